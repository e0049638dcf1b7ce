//! [`Plaintext`] → the user's editor, on a file in memory → [`Plaintext`].

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::ExitStatus;

use vaultix_units::bounded;
use vaultix_units::plaintext::Plaintext;

use crate::error::{Error, Exit, Result};
use crate::foreground;
use crate::interrupt::Interrupt;
use crate::memory::Directory;
use crate::program;
use crate::report;

/// Lets the user change `text` in a file called `name`, and returns what they saved.
///
/// The file is alone in a directory that only the user may enter, on a file system in memory. Both are gone
/// when this returns, whatever happened.
///
/// # Errors
///
/// When there is no file system in memory, no editor, or when the editor fails.
pub fn edit(text: &Plaintext, name: &OsStr, interrupt: &Interrupt) -> Result<Plaintext> {
    let directory = Directory::new().map_err(|reason| {
        Error::new(Exit::CantCreate, "cannot open an editor without putting the secret on a disk")
            .because(reason)
            .fix("set XDG_RUNTIME_DIR to a directory on a tmpfs, or pass the text with --stdin")
    })?;
    let path = directory.write(name.as_ref(), text).map_err(|error| {
        let what = format!("cannot write {}", directory.path.join(name).display());
        Error::new(Exit::CantCreate, what).because(error)
    })?;

    let command = command();
    report::detail(format_args!("starting the editor {} on {}", command.display(), path.display()));
    let what =
        || Error::new(Exit::SomeFailed, format!("cannot edit with \"{}\"", command.display()));
    let status = run(&command, &path, interrupt).map_err(|error| what().because(error))?;
    match interrupt.signal() {
        Some(2) => interrupt.forget(), // Ctrl-C was for the editor, which stayed or failed.
        Some(_) => return Err(interrupt.error()),
        None => {}
    }
    if status.code() == Some(foreground::NO_PROGRAM) {
        return Err(what()
            .because("there is no such program")
            .fix("set VISUAL or EDITOR to your editor"));
    }
    if !status.success() {
        return Err(what().because(format!("it failed: {status}")));
    }
    // By its path, not by the open file: many editors save to a new file and rename that.
    let mut bytes = bounded::read(&path, bounded::MAX_CIPHERTEXT)
        .map_err(|error| what().because(format!("it left no file to read: {error}")))?;
    Ok(Plaintext::new(std::mem::take(&mut *bytes)))
}

/// Returns the user's editor, as a line for the shell.
fn command() -> OsString {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".into())
}

/// Runs the editor on `path`, to its end.
fn run(command: &OsStr, path: &Path, interrupt: &Interrupt) -> io::Result<ExitStatus> {
    let child = foreground::command(command)
        .args(hardening(command))
        .arg(path)
        // Where an editor puts copies that it does not ask about.
        .env("TMPDIR", path.parent().unwrap_or(path))
        .spawn()?;
    foreground::wait(child, interrupt)
}

/// Returns options that keep an editor from leaving copies of the text elsewhere: backups, histories, undo
/// and swap files.
fn hardening(command: &OsStr) -> &'static [&'static str] {
    let word = command.to_str().and_then(|line| line.split_ascii_whitespace().next());
    let program = word.and_then(program::find);
    // `vi` is a link to one of several programs that do not understand each other's options.
    let program = program.and_then(|path| path.canonicalize().ok());
    let name = program.as_deref().and_then(Path::file_name).and_then(OsStr::to_str);
    let name = name.unwrap_or_default();
    if name.starts_with("nvim") || name.starts_with("vim") {
        &["-n", "-i", "NONE", "-c", "set nobackup nowritebackup noundofile"]
    } else if name.starts_with("emacs") && !name.starts_with("emacsclient") {
        &["--eval", "(setq make-backup-files nil auto-save-default nil create-lockfiles nil)"]
    } else if name == "nano" {
        &["--restricted"]
    } else {
        &[]
    }
}
