//! The terminal's alternate screen, and keys from its bytes. All is as before when dropped.

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
use crate::system::undo::Undo;

/// How long the rest of a key may take to arrive, in nanoseconds: 50 ms, as long as others wait for it.
const REST_NANOS: i64 = 50_000_000;

/// The other screen, on which lines do not wrap.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?7l";

/// Back to the first one.
const LEAVE: &[u8] = b"\x1b[?7h\x1b[?1049l";

pub(super) struct Screen<'a> {
    /// For what is shown.
    output: File,
    /// For keys; reading never blocks.
    input: OwnedFd,
    /// Puts it back as it was before.
    _restored: Undo,
    /// Becomes readable when its size changes.
    resized: UnixStream,
    /// The signal behind that.
    signal: SigId,
    interrupt: &'a Interrupt,
    /// What was typed, and is no whole key yet.
    bytes: Vec<u8>,
}

impl<'a> Screen<'a> {
    /// Takes the terminal over.
    ///
    /// # Errors
    ///
    /// The system's own; also where there is no terminal.
    pub(super) fn open(interrupt: &'a Interrupt) -> io::Result<Self> {
        let output = File::options().write(true).open("/dev/tty")?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let input = rustix::fs::open("/dev/tty", flags, Mode::empty())?;
        let before = tcgetattr(&output)?;
        let (resized, sender) = UnixStream::pair()?;
        resized.set_nonblocking(true)?;
        let signal = signal_hook::low_level::pipe::register(SIGWINCH, sender)?;
        let mut raw = before.clone();
        raw.make_raw();
        let restored = output.try_clone()?;
        let restored = Undo::with(move || restore(&restored, &before));
        // From here on, dropping it undoes all.
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

    /// Returns how many lines it has; 24 if it does not say.
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

    /// Waits for a key, which may be none of ours when the size has changed; `None` when a signal comes.
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
                let _ = rustix::io::read(&self.resized, &mut bytes); // However often it changed.
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

    /// Returns whether the rest of a key arrives: the escape key is the beginning of what many others send.
    fn has_rest(&self) -> io::Result<bool> {
        let patience = Timespec { tv_sec: 0, tv_nsec: REST_NANOS };
        match poll(&mut [PollFd::new(&self.input, PollFlags::IN)], Some(&patience)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(true), // A signal, for which we wait next.
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        signal_hook::low_level::unregister(self.signal);
    }
}

/// Leaves the other screen of the terminal `output`, which is as `before` then.
fn restore(mut output: &File, before: &Termios) {
    // If the terminal is gone, there is nothing to restore.
    let _ = output.write_all(LEAVE);
    let _ = tcsetattr(output, OptionalActions::Flush, before);
}
