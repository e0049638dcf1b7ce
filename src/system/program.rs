//! program name → its path; program → its output, up to a limit, or how it ended at the user's
//! terminal.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Access;
use rustix::io::Errno;
use rustix::process::Signal;

use crate::system::interrupt::{self, Interrupt};
use crate::system::process::Process;
use crate::system::undo::Undo;

/// Returns the path of the program `name`, searched for in `PATH` if it has no slash.
pub fn find(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let name = Path::new(name.as_ref());
    let is_program =
        |path: &Path| path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok();
    if name.components().count() > 1 {
        return Some(name.to_owned()).filter(|path| is_program(path));
    }
    // A relative directory in `PATH` would run programs from the repository that the user is in.
    env::split_paths(&env::var_os("PATH")?)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|path| is_program(path))
}

/// Largest output that we read from a program, in bytes (256 MiB): the profiles of some thousand
/// hosts.
pub const MAX_ANSWER: u64 = 256 << 20;

/// How much of a program's standard error is kept, in bytes (64 KiB): its last lines.
const TAIL: usize = 64 << 10;

/// What a program printed, and how it ended.
pub struct Output {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    /// The end of what it wrote there.
    pub stderr: Vec<u8>,
}

/// Runs `command` to its end, with `input` if there is any, and returns its output, up to `limit`
/// bytes. It may ask the user something at the terminal.
///
/// A signal to us ends it and its children.
///
/// # Errors
///
/// The system's own; [`io::ErrorKind::FileTooLarge`] beyond `limit`: the program is ended then.
pub fn output(command: &mut Command, input: Option<&[u8]>, limit: u64) -> io::Result<Output> {
    answer(command, input, limit, None)
}

/// The same for a program that asks the user nothing and may take as long as `time`.
///
/// # Errors
///
/// The same; [`io::ErrorKind::TimedOut`] if it takes longer: it and its children are ended then.
pub fn output_within(
    time: Duration,
    command: &mut Command,
    input: Option<&[u8]>,
    limit: u64,
) -> io::Result<Output> {
    // In its own process group, which is ended as a whole. It cannot read from the terminal.
    answer(command.process_group(0), input, limit, Some(time))
}

/// Runs `command` for the two functions above.
fn answer(
    command: &mut Command,
    input: Option<&[u8]>,
    limit: u64,
    time: Option<Duration>,
) -> io::Result<Output> {
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let wake = interrupt::wake()?;
    // Set up before the program starts: a failure after that would end it in the middle of
    // something. Both threads hold one end, so that the other end is closed when both are done.
    let (reading, read) = UnixStream::pair()?;
    let listening = reading.try_clone()?;
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let running = match Running::of(&child, time.is_some()) {
        Ok(running) => running,
        Err(error) => {
            // We could not end it later. So we close its pipes and wait until it ends by itself.
            drop((child.stdin.take(), child.stdout.take(), child.stderr.take()));
            child.wait()?;
            return Err(error);
        }
    };
    let ended = running.clone();
    // With SIGTERM first, so that git removes its locks.
    let killed = Undo::with(move || ended.end_for_good());
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (answer, said, reason) = thread::scope(|scope| {
        // All at the same time: a full pipe would block the program.
        scope.spawn(|| {
            // A program that fails early does not read all of it; its own error says why.
            let _ = stdin.zip(input).map(|(mut stdin, input)| stdin.write_all(input));
        });
        let listener = scope.spawn(move || {
            let said = stderr.map(|stderr| tail(stderr, TAIL)).unwrap_or_default();
            drop(listening);
            said
        });
        let reader = scope.spawn(|| {
            let mut answer = Vec::new();
            let read = stdout.map(|stdout| stdout.take(limit + 1).read_to_end(&mut answer));
            if answer.len() as u64 > limit || matches!(read, Some(Err(_))) {
                running.end(Signal::TERM);
            }
            drop(reading);
            read.unwrap_or(Ok(0)).map(|_| answer)
        });
        let reason = wait([read.as_fd(), running.process.as_fd()], wake.as_fd(), time);
        // If waiting itself fails, nothing is wrong with the program: it ends by itself.
        if matches!(reason, Ok(Some(_))) {
            running.end_for_good();
        }
        let answer = reader.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
        (answer, listener.join().unwrap_or_default(), reason)
    });
    let status = child.wait()?;
    killed.forget();
    if let Some(reason) = reason? {
        return Err(reason);
    }
    let answer = answer?;
    if answer.len() as u64 > limit {
        let text = format!("its output has more than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(Output { status, stdout: answer, stderr: said })
}

/// Waits until all of `files` can be read. Returns an error if `wake` can be read first, or if it
/// takes longer than `time`.
fn wait(
    files: [BorrowedFd; 2],
    wake: BorrowedFd,
    time: Option<Duration>,
) -> io::Result<Option<io::Error>> {
    let start = Instant::now();
    for file in files {
        loop {
            let mut polled = [file, wake].map(|file| PollFd::from_borrowed_fd(file, PollFlags::IN));
            let left = time.map(|time| time.saturating_sub(start.elapsed()));
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match (poll(&mut polled, left.as_ref()), time) {
                (Err(Errno::INTR), _) => continue,
                (Err(error), _) => return Err(error.into()),
                (Ok(0), Some(time)) => {
                    let text = format!("it has not ended within {} seconds", time.as_secs());
                    return Ok(Some(io::Error::new(io::ErrorKind::TimedOut, text)));
                }
                (Ok(_), _) => {}
            }
            match polled.each_ref().map(|file| !file.revents().is_empty()) {
                [true, _] => break,
                [_, true] => {
                    interrupt::or_end();
                    return Ok(Some(io::ErrorKind::Interrupted.into()));
                }
                _ => {}
            }
        }
    }
    Ok(None)
}

/// A program that runs.
#[derive(Clone)]
struct Running {
    process: Process,
    /// Whether it leads its own process group.
    is_group: bool,
}

impl Running {
    fn of(child: &Child, is_group: bool) -> io::Result<Self> {
        Ok(Self { process: Process::of(child)?, is_group })
    }

    /// Kills it and its children if our program ends before this is forgotten.
    fn kill_at_end(&self) -> Undo {
        let one = self.clone();
        Undo::with(move || one.end(Signal::KILL))
    }

    /// Sends `signal` to it and its children.
    fn end(&self, signal: Signal) {
        if self.is_group {
            self.process.signal_group(signal);
        }
        self.process.signal_tree(signal);
    }

    /// Ends it with SIGTERM, and with SIGKILL if it is still running after two seconds.
    fn end_for_good(&self) {
        self.end(Signal::TERM);
        let mut polled = [PollFd::new(&self.process, PollFlags::IN)];
        let grace = Timespec { tv_sec: 2, tv_nsec: 0 };
        let _ = poll(&mut polled, Some(&grace)); // SIGKILL follows in any case.
        self.end(Signal::KILL);
    }
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

/// The exit status of sh if the program does not exist; POSIX, "Shell Command Language", "Exit
/// Status for Commands".
pub const NO_PROGRAM: i32 = 127;

/// Prepares to run the shell command `line` at the user's terminal, with the arguments that the
/// caller adds.
pub fn in_shell(line: &OsStr) -> Command {
    // The shell must not end at Ctrl-C, because the program may not either.
    let mut script = OsString::from("trap : INT; ");
    script.push(line);
    script.push(" \"$@\"");
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(line);
    command
}

/// Waits for a program at the user's terminal. Ctrl-C is left to the program; any other signal that
/// asks us to end is passed on as SIGTERM.
///
/// # Errors
///
/// The system's own.
pub fn wait_in_foreground(mut child: Child, interrupt: &Interrupt) -> io::Result<ExitStatus> {
    let running = Running::of(&child, false)?;
    let killed = running.kill_at_end();
    interrupt.set_in_background(true);
    while !interrupt.wait(running.process.as_fd())? {
        if interrupt.signal() == Some(2) {
            interrupt.forget();
            continue;
        }
        running.end(Signal::TERM);
        break;
    }
    let status = child.wait();
    killed.forget();
    interrupt.set_in_background(false);
    status
}

/// Kills `child` and its children if a second signal ends us at once. Forget the result once the
/// child has ended.
///
/// # Errors
///
/// The system's own.
pub fn kill_at_end(child: &Child) -> io::Result<Undo> {
    Ok(Running::of(child, false)?.kill_at_end())
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

    #[test]
    fn a_slow_program_is_ended_with_its_children() {
        // One ignores SIGTERM, one leaves a child behind that holds its output open, one closes its
        // output.
        for line in [
            "trap '' TERM; sleep 1000 & wait; wait; wait",
            "sleep 1000 & exit",
            "exec sleep 1000 >&- 2>&-",
        ] {
            let mut sh = Command::new("sh");
            sh.args(["-c", line]);
            let error = output_within(Duration::from_millis(300), &mut sh, None, 100).err();
            assert_eq!(error.unwrap().kind(), io::ErrorKind::TimedOut, "{line}");
        }
    }
}
