//! The same on Linux.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::process::{Pid, PidfdFlags, Signal};

/// A pidfd, which stays valid when the process id is reused.
#[derive(Clone)]
pub(super) struct Handle(Arc<OwnedFd>);

impl Handle {
    pub(super) fn of(pid: Pid) -> io::Result<Self> {
        let file = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self(Arc::new(file)))
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    pub(super) fn signal(&self, _: Pid, signal: Signal) {
        let _ = rustix::process::pidfd_send_signal(&self.0, signal); // It may have ended just now.
    }
}

/// Returns what tells the children of a process.
pub(super) fn children() -> impl Fn(Pid) -> Vec<Pid> {
    children_of
}

fn children_of(pid: Pid) -> Vec<Pid> {
    /// How much of one list is read, in bytes: enough for a thousand process ids.
    const MAX_LIST: u64 = 64 << 10;
    let list = format!("/proc/{0}/task/{0}/children", pid.as_raw_nonzero());
    let mut children = String::new();
    let _ = File::open(list).map(|list| list.take(MAX_LIST).read_to_string(&mut children));
    // A space follows each number: anything after the last space was cut off.
    let whole = children.rsplit_once(' ').map_or("", |(whole, _)| whole);
    let numbers = whole.split(' ').filter_map(|number| number.parse().ok());
    numbers.filter_map(Pid::from_raw).collect()
}
