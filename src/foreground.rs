//! a program of the user's choice → run at their terminal, to its end.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus};

use rustix::process::{Pid, PidfdFlags, Signal};

use crate::interrupt::Interrupt;

/// What sh exits with where there is no such program; see the shell's standard, "Exit Status for Commands".
pub const NO_PROGRAM: i32 = 127;

/// Prepares to run `line`, words for the shell, with the arguments that the caller adds.
pub fn command(line: &OsStr) -> Command {
    // The shell stays when Ctrl-C is pressed, since the program may.
    let mut script = OsString::from("trap : INT; ");
    script.push(line);
    script.push(" \"$@\"");
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(line);
    command
}

/// Waits for it. Ctrl-C is its own business; asked to end otherwise, we ask it to end.
///
/// # Errors
///
/// The system's own.
pub fn wait(mut child: Child, interrupt: &Interrupt) -> io::Result<ExitStatus> {
    let pid = Pid::from_child(&child);
    let file: OwnedFd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    while !interrupt.wait(file.as_fd())? {
        if interrupt.signal() == Some(2) {
            interrupt.forget();
            continue;
        }
        end(pid);
        break;
    }
    child.wait()
}

/// Asks a shell and what it runs to end: a shell does not pass it on.
fn end(shell: Pid) {
    let list = format!("/proc/{0}/task/{0}/children", shell.as_raw_nonzero());
    let children = fs::read_to_string(list).unwrap_or_default();
    let children =
        children.split_whitespace().filter_map(|number| Pid::from_raw(number.parse().ok()?));
    for pid in children.chain([shell]) {
        let _ = rustix::process::kill_process(pid, Signal::TERM); // It may have ended just now.
    }
}
