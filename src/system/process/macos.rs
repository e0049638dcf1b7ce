//! The same on macOS, which has no pidfd and no `/proc`, and whose kqueue needs unsafe code.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

/// One end of a pair of sockets. A thread waits for the process, without taking its exit status, and
/// then closes the other end.
#[derive(Clone)]
pub(super) struct Handle {
    end: Arc<UnixStream>,
    /// Whether the process has ended: its id may belong to another one soon.
    has_ended: Arc<AtomicBool>,
}

impl Handle {
    pub(super) fn of(pid: Pid) -> io::Result<Self> {
        let (end, other) = UnixStream::pair()?;
        let has_ended = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&has_ended);
        thread::Builder::new().spawn(move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            // An error means that somebody else has waited for it: it has ended then.
            let _ = retry_on_intr(|| waitid(WaitId::Pid(pid), options));
            set.store(true, Ordering::Release);
            drop(other);
        })?;
        Ok(Self { end: Arc::new(end), has_ended })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }

    pub(super) fn signal(&self, pid: Pid, signal: Signal) {
        if !self.has_ended.load(Ordering::Acquire) {
            let _ = rustix::process::kill_process(pid, signal); // It may have ended just now.
        }
    }
}

/// Returns what tells the children of a process, as of now.
pub(super) fn children() -> impl Fn(Pid) -> Vec<Pid> {
    let table = parse(&list().unwrap_or_default());
    move |pid| table.get(&pid.as_raw_nonzero().get()).cloned().unwrap_or_default()
}

/// Returns all processes, one a line: its id and that of its parent.
fn list() -> io::Result<String> {
    /// How much of it is read, in bytes (1 MiB).
    const MAX_LIST: u64 = 1 << 20;
    let mut ps = Command::new("/bin/ps");
    ps.args(["-A", "-o", "pid=", "-o", "ppid="]);
    let mut ps = ps.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut text = String::new();
    let read = ps.stdout.take().map(|from| from.take(MAX_LIST).read_to_string(&mut text));
    ps.wait()?;
    read.transpose()?;
    Ok(text)
}

/// text of `ps` → children by parent.
fn parse(text: &str) -> BTreeMap<i32, Vec<Pid>> {
    let mut table: BTreeMap<i32, Vec<Pid>> = BTreeMap::new();
    for line in text.lines() {
        let mut numbers = line.split_whitespace().map(str::parse::<i32>);
        if let (Some(Ok(pid)), Some(Ok(parent))) = (numbers.next(), numbers.next())
            && let Some(pid) = Pid::from_raw(pid)
        {
            table.entry(parent).or_default().push(pid);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use std::process::Child;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    /// Returns whether `handle` can be read from, at once or within a minute.
    fn has_ended(handle: &Handle, secs: i64) -> bool {
        let time = Timespec { tv_sec: secs, tv_nsec: 0 };
        let file = handle.as_fd();
        poll(&mut [PollFd::from_borrowed_fd(file, PollFlags::IN)], Some(&time)).unwrap() > 0
    }

    fn start(line: &str) -> (Child, Pid) {
        let child = Command::new("sh").args(["-c", line]).stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        (child, pid)
    }

    #[test]
    fn the_end_of_a_process_is_seen_and_its_status_kept() {
        let (mut child, pid) = start("read line; exit 7");
        let handle = Handle::of(pid).unwrap();
        assert!(!has_ended(&handle, 0));
        drop(child.stdin.take());
        assert!(has_ended(&handle, 60));
        assert_eq!(child.wait().unwrap().code(), Some(7));
        // The id may belong to somebody else by now.
        handle.signal(rustix::process::getpid(), Signal::KILL);
        let (mut child, pid) = start("read line");
        let handle = Handle::of(pid).unwrap();
        handle.signal(pid, Signal::KILL);
        assert!(has_ended(&handle, 60));
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn children_are_found_by_their_parents() {
        let (mut child, pid) = start("read line");
        assert!(children()(rustix::process::getpid()).contains(&pid));
        drop(child.stdin.take());
        child.wait().unwrap();
        let table = parse("    1     0\n  501     1\n  502   501\nPID PPID\n\n503");
        assert_eq!(table.get(&501).unwrap(), &[Pid::from_raw(502).unwrap()]);
        assert_eq!(table.len(), 3);
    }
}
