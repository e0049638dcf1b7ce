//! name of a program → its path; a program → its output, up to a limit, or how it ended at the
//! user's terminal.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Access;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::system::interrupt::{self, Interrupt};
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

/// How much is kept of what a program says besides its answer, in bytes (64 KiB): its last lines.
const TAIL: usize = 64 << 10;

/// What a program printed, and how it ended.
pub struct Output {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    /// The end of what it said besides that.
    pub stderr: Vec<u8>,
}

/// Runs `command` to its end, with `input` if there is any, and returns what it answers: up to `limit` bytes. It may ask
/// the user something at the terminal.
///
/// A signal to us ends it, and what it runs.
///
/// # Errors
///
/// The system's own; [`io::ErrorKind::FileTooLarge`] for more bytes: the program is ended then.
pub fn output(command: &mut Command, input: Option<&[u8]>, limit: u64) -> io::Result<Output> {
    answer(command, input, limit, None)
}

/// Does the same for a program that asks nobody anything and may take as long as `time`.
///
/// # Errors
///
/// The same; [`io::ErrorKind::TimedOut`] where it takes longer: it and what it runs are ended then.
pub fn output_within(
    time: Duration,
    command: &mut Command,
    input: Option<&[u8]>,
    limit: u64,
) -> io::Result<Output> {
    // A group of its own, which is ended as one. It could not read from the terminal.
    answer(command.process_group(0), input, limit, Some(time))
}

/// Runs `command` for the two above.
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
    // Before the program is there: what fails after that ends it in the middle of something.
    // Both threads hold the one end, and so the other one tells when they are done.
    let (reading, read) = UnixStream::pair()?;
    let listening = reading.try_clone()?;
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let running = match Running::of(&child, time.is_some()) {
        Ok(running) => running,
        Err(error) => {
            // Nobody could end it: it has to end by itself, without anybody who reads, before we go on.
            drop((child.stdin.take(), child.stdout.take(), child.stderr.take()));
            child.wait()?;
            return Err(error);
        }
    };
    let ended = running.clone();
    // Also in an orderly way: git removes its locks.
    let killed = Undo::with(move || ended.end_for_good());
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (answer, said, reason) = thread::scope(|scope| {
        // All at the same time: a full pipe would hold the program up.
        scope.spawn(|| {
            // A program that fails early does not read all of it, and says why.
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
        let reason = wait([read.as_fd(), running.file.as_fd()], wake.as_fd(), time);
        // Where waiting itself fails, it ends by itself: nothing is wrong with it.
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

/// Waits until all of `files` can be read, for as long as `time`. Returns why not, if `wake` can be before, or the time is
/// over.
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
    /// Its number.
    pid: Pid,
    /// What stays it when the number is another's.
    file: Arc<OwnedFd>,
    /// Whether it is the first of a process group of its own.
    is_group: bool,
}

impl Running {
    /// Returns the one that `child` is.
    fn of(child: &Child, is_group: bool) -> io::Result<Self> {
        let pid = Pid::from_child(child);
        let file = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self { pid, file: Arc::new(file), is_group })
    }

    /// Has it and what it runs killed, if the program ends before this is forgotten.
    fn kill_at_end(&self) -> Undo {
        let one = self.clone();
        Undo::with(move || one.end(Signal::KILL))
    }

    /// Sends `signal` to it and to what it runs.
    fn end(&self, signal: Signal) {
        if self.is_group {
            let _ = rustix::process::kill_process_group(self.pid, signal); // It may have ended just now.
        }
        signal_tree(self.pid, &self.file, signal);
    }

    /// Ends it: in order, if that takes no longer than it should.
    fn end_for_good(&self) {
        self.end(Signal::TERM);
        let mut polled = [PollFd::new(&self.file, PollFlags::IN)];
        let grace = Timespec { tv_sec: 2, tv_nsec: 0 };
        let _ = poll(&mut polled, Some(&grace)); // Whatever comes of it.
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
    let running = Running::of(&child, false)?;
    let killed = running.kill_at_end();
    interrupt.set_in_background(true);
    while !interrupt.wait(running.file.as_fd())? {
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

/// Has `child` and what it runs killed, if a second signal ends us at once. To be forgotten once it has ended.
///
/// # Errors
///
/// The system's own.
pub fn kill_at_end(child: &Child) -> io::Result<Undo> {
    Ok(Running::of(child, false)?.kill_at_end())
}

/// Sends `signal` to a program and to what it runs: a shell does not pass it on.
fn signal_tree(pid: Pid, file: &OwnedFd, signal: Signal) {
    /// How many are found at most.
    const LIMIT: usize = 1000;
    /// Most of one list that is read, in bytes: more than as many numbers.
    const MAX_LIST: u64 = 64 << 10;
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(pid) = found.get(at).copied().filter(|_| found.len() < LIMIT) {
        let list = format!("/proc/{0}/task/{0}/children", pid.as_raw_nonzero());
        let mut children = String::new();
        let _ = fs::File::open(list).map(|list| list.take(MAX_LIST).read_to_string(&mut children));
        // A space follows each number: what is behind the last one was cut off.
        let whole = children.rsplit_once(' ').map_or("", |(whole, _)| whole);
        let numbers = whole.split(' ').filter_map(|number| number.parse().ok());
        found.extend(numbers.filter_map(Pid::from_raw));
        at += 1;
    }
    for pid in found.into_iter().skip(1) {
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

    #[test]
    fn what_takes_too_long_is_ended_with_all_that_it_runs() {
        // One that does not mind being asked, and one that it has left behind, with its output open.
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
