//! [`Plaintext`] → the user's pager, through a pipe.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{ExitStatus, Stdio};
use std::thread;

use vaultix_units::plaintext::Plaintext;

use crate::error::{Error, Result, Status};
use crate::report;
use crate::system::interrupt::Interrupt;
use crate::system::program;

/// Makes `less` keep no history, start no program and write no file. Other pagers ignore it.
const ENVIRONMENT: [(&str, &str); 2] = [("LESSSECURE", "1"), ("LESSHISTFILE", "-")];

/// Returns the shell command of the user's pager: `$PAGER`, or `less` if it is installed; `None`
/// for no pager.
pub fn command_line() -> Option<OsString> {
    match env::var_os("PAGER") {
        Some(line) => Some(line).filter(|line| !line.is_empty() && line != "cat"),
        None => program::find("less").map(Into::into),
    }
}

/// Shows `text` in the pager `line`, until the user leaves it.
///
/// # Errors
///
/// When it cannot be run or fails, or a signal asks us to end.
///
/// # Security
///
/// Only the pager sees the text: it is not in a file or an argument.
pub fn show(text: &Plaintext, line: &OsString, interrupt: &Interrupt) -> Result<()> {
    report::detail(format_args!("starting the pager {}", line.display()));
    let what =
        || Error::new(Status::SomeFailed, format!("cannot show it with \"{}\"", line.display()));
    let status = run(text, line, interrupt).map_err(|error| what().because(error))?;
    if interrupt.is_set() {
        return Err(interrupt.error());
    }
    match status.code() {
        Some(program::NO_PROGRAM) => Err(what()
            .because("there is no such program")
            .fix("set PAGER to your pager, or leave it empty for none")),
        _ if status.success() => Ok(()),
        _ => Err(what().because(format!("it failed: {status}"))),
    }
}

/// Runs the pager on `text` until it ends.
fn run(text: &Plaintext, line: &OsString, interrupt: &Interrupt) -> io::Result<ExitStatus> {
    let mut command = program::in_shell(line);
    if env::var_os("LESS").is_none() {
        command.env("LESS", "F"); // Exits at once if the text fits on the screen.
    }
    let mut child = command.envs(ENVIRONMENT).stdin(Stdio::piped()).spawn()?;
    let pipe = child.stdin.take();
    thread::scope(|scope| {
        // A pager that the user leaves early does not read all of it.
        scope.spawn(move || pipe.map(|mut pipe| pipe.write_all(text.expose())));
        program::wait_in_foreground(child, interrupt)
    })
}
