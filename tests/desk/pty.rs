//! command → the same command on its own terminal, with input as if typed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use xtask::canary::plain;

use crate::support::may_answer;

/// How long to wait for an expected output.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program on a terminal.
pub struct Pty {
    /// The program.
    child: Child,
    /// Our end of its terminal.
    terminal: File,
    /// Everything that was shown so far.
    pub shown: String,
    /// How much of it has matched what was expected.
    seen: usize,
    /// Whether it may show a plaintext.
    is_open: bool,
}

impl Pty {
    /// Starts `command`, which must be a `setsid --wait` as from `Workspace::vaultix_command`.
    pub fn start(command: &mut Command) -> Self {
        let terminal =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let name = OsStr::from_bytes(name.as_bytes());
        let open = || {
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
            rustix::fs::open(name, flags, Mode::empty()).unwrap()
        };
        let mut with_terminal = Command::new("setsid");
        with_terminal.arg("--ctty").args(command.get_args());
        with_terminal.current_dir(command.get_current_dir().unwrap()).env("TERM", "xterm");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => with_terminal.env(name, value),
                None if name == "TERM" => &mut with_terminal,
                None => with_terminal.env_remove(name),
            };
        }
        let child = with_terminal.stdin(open()).stdout(open()).stderr(open()).spawn().unwrap();
        let edits = command.get_envs().any(|(name, value)| name == "EDITOR" && value.is_some());
        let is_open = edits || may_answer(command);
        Self { child, terminal: terminal.into(), shown: String::new(), seen: 0, is_open }
    }

    /// Waits until `text` is shown, after the last expected text.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        assert!(self.offers(text), "not shown: {text:?}\nshown:\n{}", self.shown);
    }

    /// Waits until `text` is shown or the program has ended; returns whether it was shown.
    pub fn offers(&mut self, text: &str) -> bool {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.shown[self.seen..].find(text) {
                self.seen += at + text.len();
                return true;
            }
            if !self.more(end) {
                return false;
            }
        }
    }

    /// Types `text`.
    pub fn send(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).unwrap();
    }

    /// Sets the height of the terminal.
    pub fn resize(&mut self, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.terminal, size).unwrap();
    }

    /// Waits for the end, and returns the exit status and everything that was shown, without the
    /// marker. Fails if a plaintext was shown although the command must not show one.
    pub fn end(mut self) -> (i32, String) {
        let end = Instant::now() + PATIENCE;
        while self.more(end) {}
        let shown = plain(self.shown.as_bytes());
        assert!(self.is_open || shown.len() == self.shown.len(), "it has shown a plaintext");
        (self.child.wait().unwrap().code().unwrap(), String::from_utf8(shown).unwrap())
    }

    /// Reads more output; returns whether there may be still more.
    fn more(&mut self, end: Instant) -> bool {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: 0 };
        let mut files = [PollFd::new(&self.terminal, PollFlags::IN)];
        let ready = poll(&mut files, Some(&left)).unwrap();
        let mut bytes = [0; 4096];
        assert!(ready > 0, "nothing happened for {PATIENCE:?}; shown:\n{}", self.shown);
        // A terminal that no process has open any more cannot be read.
        match self.terminal.read(&mut bytes) {
            Ok(0) | Err(_) => false,
            Ok(length) => {
                self.shown += &String::from_utf8_lossy(&bytes[..length]);
                true
            }
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill(); // It has already ended, unless the test has failed.
        let _ = self.child.wait();
    }
}
