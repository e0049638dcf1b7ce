//! a program of the user's choice → run at their terminal, to its end.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus};

use rustix::process::{Pid, PidfdFlags, Signal};

use crate::system::interrupt::Interrupt;
use crate::system::undo::Undo;

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
    let killed = kill_at_end(&child)?;
    interrupt.set_in_background(true);
    while !interrupt.wait(file.as_fd())? {
        if interrupt.signal() == Some(2) {
            interrupt.forget();
            continue;
        }
        end(pid, &file, Signal::TERM);
        break;
    }
    let status = child.wait();
    killed.forget();
    interrupt.set_in_background(false);
    status
}

/// Has `child` and what it runs killed, if a second signal ends us at once. To be forgotten once it has ended.
///
/// # Errors
///
/// The system's own.
pub fn kill_at_end(child: &Child) -> io::Result<Undo> {
    let pid = Pid::from_child(child);
    let file = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    Ok(Undo::with(move || end(pid, &file, Signal::KILL)))
}

/// Sends `signal` to a program and to what it runs: a shell does not pass it on.
fn end(pid: Pid, file: &OwnedFd, signal: Signal) {
    let list = format!("/proc/{0}/task/{0}/children", pid.as_raw_nonzero());
    let children = fs::read_to_string(list).unwrap_or_default();
    let children =
        children.split_whitespace().filter_map(|number| Pid::from_raw(number.parse().ok()?));
    for pid in children {
        let _ = rustix::process::kill_process(pid, signal); // It may have ended just now.
    }
    let _ = rustix::process::pidfd_send_signal(file, signal); // So may this.
}
