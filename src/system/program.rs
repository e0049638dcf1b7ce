//! name of a program → its path; a program → its output, up to a limit, or how it ended at the
//! user's terminal.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use rustix::fs::Access;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::system::interrupt::Interrupt;
use crate::system::undo::Undo;

/// Returns the path of the program `name`, searched for in `PATH` if it has no slash.
pub fn find(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let name = Path::new(name.as_ref());
    let is_program =
        |path: &Path| path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok();
    if name.components().count() > 1 {
        return Some(name.to_owned()).filter(|path| is_program(path));
    }
    // A relative one would lead into whatever repository somebody is in.
    env::split_paths(&env::var_os("PATH")?)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|path| is_program(path))
}

/// Most bytes that a program may answer with (256 MiB): the profiles of some thousand hosts.
pub const MAX_ANSWER: u64 = 256 << 20;

/// How much is kept of what a program says beside its answer, in bytes (64 KiB): its last lines.
const TAIL: usize = 64 << 10;

/// What a program printed, and how it ended.
pub struct Output {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    /// The end of what it said beside that.
    pub stderr: Vec<u8>,
}

/// Runs `command` to its end, with `input` if there is any, and returns what it answers: up to `limit` bytes.
///
/// # Errors
///
/// The system's own; [`io::ErrorKind::FileTooLarge`] for more bytes: the program is ended then.
pub fn output(command: &mut Command, input: Option<&[u8]>, limit: u64) -> io::Result<Output> {
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (answer, said) = thread::scope(|scope| {
        // All at the same time: a full pipe would hold the program up.
        scope.spawn(|| {
            // A program that fails early does not read all of it, and says why.
            let _ = stdin.zip(input).map(|(mut stdin, input)| stdin.write_all(input));
        });
        let listener = scope.spawn(|| stderr.map(|stderr| tail(stderr, TAIL)).unwrap_or_default());
        let mut answer = Vec::new();
        let read = stdout.map(|stdout| stdout.take(limit + 1).read_to_end(&mut answer));
        if answer.len() as u64 > limit || matches!(read, Some(Err(_))) {
            // In order: git takes its locks along. It may have ended just now.
            let _ = rustix::process::kill_process(Pid::from_child(&child), Signal::TERM);
        }
        (read.unwrap_or(Ok(0)).map(|_| answer), listener.join().unwrap_or_default())
    });
    let status = child.wait()?;
    let answer = answer?;
    if answer.len() as u64 > limit {
        let text = format!("it answers with more than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(Output { status, stdout: answer, stderr: said })
}

/// Reads all of `from`, and returns up to `limit` bytes from its end.
pub fn tail(mut from: impl Read, limit: usize) -> Vec<u8> {
    let mut tail = Vec::new();
    let mut part = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut part) {
        tail.extend_from_slice(part.get(..length).unwrap_or_default());
        tail.drain(..tail.len().saturating_sub(limit));
    }
    tail
}

/// What sh exits with where there is no such program; see the shell's standard, "Exit Status for Commands".
pub const NO_PROGRAM: i32 = 127;

/// Prepares to run `line` at the user's terminal, words for the shell, with the arguments that the caller adds.
pub fn in_shell(line: &OsStr) -> Command {
    // The shell stays when Ctrl-C is pressed, since the program may.
    let mut script = OsString::from("trap : INT; ");
    script.push(line);
    script.push(" \"$@\"");
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(line);
    command
}

/// Waits for a program at the user's terminal. Ctrl-C is its own business; asked to end otherwise, we ask it to end.
///
/// # Errors
///
/// The system's own.
pub fn wait_in_foreground(mut child: Child, interrupt: &Interrupt) -> io::Result<ExitStatus> {
    let pid = Pid::from_child(&child);
    let file: OwnedFd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let killed = kill_at_end(&child)?;
    interrupt.set_in_background(true);
    while !interrupt.wait(file.as_fd())? {
        if interrupt.signal() == Some(2) {
            interrupt.forget();
            continue;
        }
        signal_tree(pid, &file, Signal::TERM);
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
    Ok(Undo::with(move || signal_tree(pid, &file, Signal::KILL)))
}

/// Sends `signal` to a program and to what it runs: a shell does not pass it on.
fn signal_tree(pid: Pid, file: &OwnedFd, signal: Signal) {
    let list = format!("/proc/{0}/task/{0}/children", pid.as_raw_nonzero());
    let children = fs::read_to_string(list).unwrap_or_default();
    let children =
        children.split_whitespace().filter_map(|number| Pid::from_raw(number.parse().ok()?));
    for pid in children {
        let _ = rustix::process::kill_process(pid, signal); // It may have ended just now.
    }
    let _ = rustix::process::pidfd_send_signal(file, signal); // So may this.
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_answer_has_a_limit() {
        let run = |line: &str, limit| {
            output(Command::new("sh").args(["-c", line]), Some(b"input"), limit)
        };
        assert_eq!(run("cat", 5).unwrap().stdout, b"input");
        assert_eq!(run("cat", 4).err().unwrap().kind(), io::ErrorKind::FileTooLarge);
        // Neither ends by itself.
        assert!(run("exec yes", 100).is_err());
        let said = run("yes | head -c 10000000 >&2; echo end >&2", 0).unwrap().stderr;
        assert!(said.len() == TAIL && said.ends_with(b"end\n"));
    }
}
