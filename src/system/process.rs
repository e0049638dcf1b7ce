//! a child → when it ends, and signals to it and to those below it.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux::{Handle, children};

// Its tests run on Linux as well.
#[cfg(any(target_os = "macos", test))]
#[cfg_attr(not(target_os = "macos"), allow(dead_code, reason = "only tested there"))]
mod macos;
#[cfg(target_os = "macos")]
use macos::{Handle, children};

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Child;

use rustix::process::{Pid, Signal};

/// Most processes that are signalled.
const LIMIT: usize = 1000;

/// A child of this process.
#[derive(Clone)]
pub struct Process {
    pid: Pid,
    handle: Handle,
}

/// It can be read from when the process has ended.
impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

impl Process {
    /// Takes `child`, which has not been waited for.
    ///
    /// # Errors
    ///
    /// The system's own.
    pub fn of(child: &Child) -> io::Result<Self> {
        let pid = Pid::from_child(child);
        Ok(Self { pid, handle: Handle::of(pid)? })
    }

    /// Sends `signal` to all processes in the group that it leads.
    pub fn signal_group(&self, signal: Signal) {
        let _ = rustix::process::kill_process_group(self.pid, signal); // It may have ended just now.
    }

    /// Sends `signal` to it and its descendants: a shell does not pass signals on.
    pub fn signal_tree(&self, signal: Signal) {
        let children = children();
        let mut found = vec![self.pid];
        let mut at = 0;
        while let Some(pid) = found.get(at).copied().filter(|_| found.len() < LIMIT) {
            found.extend(children(pid));
            at += 1;
        }
        for pid in found.into_iter().skip(1) {
            let _ = rustix::process::kill_process(pid, signal); // It may have ended just now.
        }
        self.handle.signal(self.pid, signal);
    }
}
