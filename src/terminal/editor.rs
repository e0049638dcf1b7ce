//! [`Plaintext`] → a file in memory, opened in the user's editor → [`Plaintext`].

mod known;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use vaultix_units::bounded;
use vaultix_units::plaintext::Plaintext;

use crate::error::{Error, Result, Status};
use crate::report::{self, Report};
use crate::system::interrupt::Interrupt;
use crate::system::memory::{self, Directory};
use crate::system::program;

/// Lets the user edit `text` in a file called `name`, and returns what they saved.
///
/// The file is alone in a directory that only the user may enter, on a file system in memory. Both
/// are removed when this returns, even after an error.
///
/// # Errors
///
/// When there is no file system in memory, no editor, or the editor fails.
pub fn edit(
    text: &Plaintext,
    name: &OsStr,
    report: &Report,
    interrupt: &Interrupt,
) -> Result<Plaintext> {
    let directory = Directory::new().map_err(|reason| {
        Error::new(Status::CantCreat, "cannot open an editor without writing the secret to a disk")
            .because(reason)
            .fix(format!("{}, or pass the text with --stdin", memory::FIX))
    })?;
    let path = directory.write(name.as_ref(), text).map_err(|error| {
        let what = format!("cannot write {}", directory.path.join(name).display());
        Error::new(Status::CantCreat, what).because(error)
    })?;

    let command = command();
    report::detail(format_args!("starting the editor {} on {}", command.display(), path.display()));
    let what =
        || Error::new(Status::SomeFailed, format!("cannot edit with \"{}\"", command.display()));
    let started = Instant::now();
    let status = run(&command, &path, report, interrupt).map_err(|error| what().because(error))?;
    let took = started.elapsed();
    match interrupt.signal() {
        Some(2) => interrupt.forget(), // Ctrl-C was for the editor, which ignored it or failed.
        Some(_) => return Err(interrupt.error()),
        None => {}
    }
    if status.code() == Some(program::NO_PROGRAM) {
        return Err(what()
            .because("there is no such program")
            .fix("set VISUAL or EDITOR to your editor"));
    }
    if !status.success() {
        return Err(what().because(format!("it failed: {status}")));
    }
    // By its name, not through the open file: many editors save to a new file and rename it.
    let mut bytes = directory
        .read(name.as_ref(), bounded::MAX_PLAINTEXT)
        .map_err(|error| what().because(format!("it left no file to read: {error}")))?;
    let new = Plaintext::new(std::mem::take(&mut *bytes));
    if has_not_waited(took, text, &new) {
        report.warning(format_args!(
            "the editor \"{}\" has ended at once and changed nothing; if it opens a window, set EDITOR to a command that waits until that is closed, such as \"gedit --wait\"",
            command.display()
        ));
    }
    Ok(new)
}

/// Fastest that a person changes a text, or sees it and leaves.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Returns whether an editor that `took` that long to make `new` of `old` may have left the work to another process, which
/// finds that the text is gone.
fn has_not_waited(took: Duration, old: &Plaintext, new: &Plaintext) -> bool {
    took < AT_ONCE && old.expose() == new.expose()
}

/// Returns the user's editor, as a line for the shell.
fn command() -> OsString {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".into())
}

/// Runs the editor on `path` until it ends. Warns if nobody has tried what copies it leaves
/// elsewhere.
fn run(
    command: &OsStr,
    path: &Path,
    report: &Report,
    interrupt: &Interrupt,
) -> io::Result<ExitStatus> {
    let directory = path.parent().unwrap_or(path);
    let program = |word: &str| program::find(word)?.canonicalize().ok();
    let known = known::options(command, directory, program);
    if !known.is_tried {
        report.warning(format_args!(
            "the editor \"{}\" may keep copies of the text elsewhere; see \"Editors\" in vaultix(1)",
            command.display()
        ));
    }
    let child = program::in_shell(command)
        .args(known.options)
        .arg(path)
        // For an editor's temporary files.
        .env("TMPDIR", directory)
        .spawn()?;
    program::wait_in_foreground(child, interrupt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_editor_that_changes_nothing_at_once_may_not_have_waited() {
        for (millis, old, new, expected) in [
            (0, "a", "a", true),
            (999, "", "", true),
            (0, "a", "b", false),
            (1000, "a", "a", false),
            (60_000, "a", "a", false),
        ] {
            let [old, new] = [old, new].map(|text| Plaintext::new(text.into()));
            let found = has_not_waited(Duration::from_millis(millis), &old, &new);
            assert_eq!(found, expected, "{millis}");
        }
    }
}
