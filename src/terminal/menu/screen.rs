//! The terminal's alternate screen and keyboard. Restores the terminal when dropped.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::SigId;
use signal_hook::consts::SIGWINCH;

use super::key::{self, Key};
use crate::system::interrupt::Interrupt;
use crate::system::terminal;
use crate::system::undo::Undo;

/// How long the rest of a key may take to arrive, in nanoseconds (50 ms, as in other programs).
const REST_NANOS: i64 = 50_000_000;

/// Switches to the alternate screen, and turns line wrapping off.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?7l";

/// Undoes this.
const LEAVE: &[u8] = b"\x1b[?7h\x1b[?1049l";

pub(super) struct Screen<'a> {
    output: File,
    /// Reading never blocks.
    input: OwnedFd,
    /// Restores the terminal.
    _restored: Undo,
    /// Becomes readable when the terminal's size changes.
    resized: UnixStream,
    /// The handler that writes to it.
    signal: SigId,
    interrupt: &'a Interrupt,
    /// What was typed and is not a complete key yet.
    bytes: Vec<u8>,
}

impl<'a> Screen<'a> {
    /// Takes over the terminal.
    ///
    /// # Errors
    ///
    /// The system's own; also if there is no terminal.
    pub(super) fn open(interrupt: &'a Interrupt) -> io::Result<Self> {
        let output = File::options().write(true).open(terminal::path())?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let input = rustix::fs::open(terminal::path(), flags, Mode::empty())?;
        let before = tcgetattr(&output)?;
        let (resized, sender) = UnixStream::pair()?;
        resized.set_nonblocking(true)?;
        let signal = signal_hook::low_level::pipe::register(SIGWINCH, sender)?;
        let mut raw = before.clone();
        raw.make_raw();
        let restored = output.try_clone()?;
        let restored = Undo::with(move || restore(&restored, &before));
        // From here on, dropping it undoes everything.
        let mut screen = Self {
            output,
            input,
            _restored: restored,
            resized,
            signal,
            interrupt,
            bytes: Vec::new(),
        };
        tcsetattr(&screen.output, OptionalActions::Flush, &raw)?;
        screen.output.write_all(ENTER)?;
        Ok(screen)
    }

    /// Returns how many lines the terminal has; 24 if it does not say.
    pub(super) fn size(&self) -> usize {
        let rows = tcgetwinsize(&self.output).map_or(0, |size| size.ws_row);
        if rows == 0 { 24 } else { rows.into() }
    }

    /// Shows `text`.
    ///
    /// # Errors
    ///
    /// The system's own.
    pub(super) fn show(&mut self, text: &str) -> io::Result<()> {
        self.output.write_all(text.as_bytes())
    }

    /// Waits for a key; [`Key::Other`] if the size has changed, `None` when a signal comes.
    ///
    /// # Errors
    ///
    /// The system's own.
    pub(super) fn key(&mut self) -> io::Result<Option<Key>> {
        loop {
            if let Some(key) = key::take(&mut self.bytes) {
                return Ok(Some(key));
            }
            if !self.bytes.is_empty() && !self.has_rest()? {
                return Ok(Some(key::take_rest(&mut self.bytes)));
            }
            let Some(ready) =
                self.interrupt.wait_any(&[self.input.as_fd(), self.resized.as_fd()])?
            else {
                return Ok(None);
            };
            let mut bytes = [0; 64];
            if ready == 1 {
                let _ = rustix::io::read(&self.resized, &mut bytes); // One byte for each change.
                return Ok(Some(Key::Other));
            }
            match rustix::io::read(&self.input, &mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.bytes.extend_from_slice(bytes.get(..length).unwrap_or_default()),
                Err(rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for the rest of a key, and returns whether it comes: many keys send what begins like
    /// the escape key.
    fn has_rest(&self) -> io::Result<bool> {
        let patience = Timespec { tv_sec: 0, tv_nsec: REST_NANOS };
        match poll(&mut [PollFd::new(&self.input, PollFlags::IN)], Some(&patience)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(true), // A signal: the next wait handles it.
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        signal_hook::low_level::unregister(self.signal);
    }
}

/// Leaves the alternate screen, and restores the settings `before`.
fn restore(mut output: &File, before: &Termios) {
    // If the terminal is gone, there is nothing to restore.
    let _ = output.write_all(LEAVE);
    let _ = tcsetattr(output, OptionalActions::Flush, before);
}
