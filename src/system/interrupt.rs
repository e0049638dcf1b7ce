//! SIGINT, SIGTERM, SIGHUP, SIGQUIT → a flag that is checked between steps; a second signal ends
//! the program at once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::{Error, Exit, Result, Status};
use crate::system::undo;

/// The signals that ask the program to end, and their numbers as the shell sees them.
const SIGNALS: [(i32, u8); 4] = [(SIGINT, 2), (SIGTERM, 15), (SIGHUP, 1), (SIGQUIT, 3)];

/// Whether signals are checked between steps. Until then, the first signal ends the program.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// A descriptor that becomes readable when a signal comes. Signals are no longer reported once this
/// is dropped.
pub struct Wake {
    /// The end that becomes readable.
    reader: UnixStream,
    /// The signal handlers that write to the other end.
    registered: Vec<SigId>,
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        for one in self.registered.drain(..) {
            signal_hook::low_level::unregister(one);
        }
    }
}

/// Returns a descriptor that a signal makes readable. From now on, a signal that ends the program
/// first runs all steps of [`undo`].
///
/// # Errors
///
/// Only where the system has no file descriptors left.
pub fn wake() -> io::Result<Wake> {
    /// The thread that ends the program.
    static ENDING: Mutex<bool> = Mutex::new(false);
    let mut is_there = ENDING.lock().unwrap_or_else(PoisonError::into_inner);
    if !*is_there {
        let mut signals = Signals::new(heeded())?;
        thread::Builder::new().spawn(move || {
            for number in signals.forever() {
                if !IS_TAKEN.load(Ordering::Relaxed) {
                    let _done = undo::all();
                    let _ = signal_hook::low_level::emulate_default_handler(number); // It does not return.
                }
            }
        })?;
        *is_there = true;
    }
    let (reader, sender) = UnixStream::pair()?;
    let mut wake = Wake { reader, registered: Vec::new() };
    for number in heeded() {
        wake.registered.push(signal_hook::low_level::pipe::register(number, sender.try_clone()?)?);
    }
    Ok(wake)
}

/// Returns if signals are checked between steps. Otherwise never returns: a signal has come and is
/// about to end the program.
pub fn or_end() {
    while !IS_TAKEN.load(Ordering::Relaxed) {
        thread::park();
    }
}

/// Returns the signals that ask the program to end, except those that it was started with as
/// ignored, as by nohup(1).
fn heeded() -> Vec<i32> {
    // The kernel's text about this process, a few kilobytes. macOS has none, and nothing else that
    // tells without unsafe code: there, all are heeded.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let numbers = SIGNALS.iter().map(|(number, _)| *number);
    numbers.filter(|number| ignored >> (number - 1) & 1 == 0).collect()
}

/// Takes over the signals that ask the program to end, so that it can clean up first.
pub struct Interrupt {
    /// The signal that came, 0 for none.
    signal: Arc<AtomicUsize>,
    /// Becomes readable when a signal comes.
    wake: UnixStream,
    /// Whether a signal has come already, so that the next one is the second.
    is_signalled: Arc<AtomicBool>,
    /// Whether Ctrl-C is meant for another program.
    is_in_background: Arc<AtomicBool>,
}

impl Interrupt {
    /// Takes over the signals until the program ends.
    ///
    /// # Errors
    ///
    /// Only where the system has no file descriptors left.
    pub fn new() -> Result<Self> {
        Self::register().map_err(|error| {
            Error::new(Status::CantCreat, "cannot prepare for interruptions").because(error)
        })
    }

    /// Sets up the flag and the pipe.
    fn register() -> io::Result<Self> {
        IS_TAKEN.store(true, Ordering::Relaxed);
        let signal = Arc::new(AtomicUsize::new(0));
        let (wake, sender) = UnixStream::pair()?;
        for (number, value) in SIGNALS {
            signal_hook::flag::register_usize(number, Arc::clone(&signal), value.into())?;
            signal_hook::low_level::pipe::register(number, sender.try_clone()?)?;
        }
        let (is_signalled, is_in_background) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let both = (Arc::clone(&is_signalled), Arc::clone(&is_in_background));
        let signals = Signals::new(SIGNALS.map(|(number, _)| number))?;
        thread::Builder::new().spawn(move || watch(signals, &both.0, &both.1))?;
        Ok(Self { signal, wake, is_signalled, is_in_background })
    }

    /// Returns the signal that came last, if one did.
    pub fn signal(&self) -> Option<u8> {
        u8::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|number| *number > 0)
    }

    /// Returns whether a signal asked the program to end, such as Ctrl-C.
    pub fn is_set(&self) -> bool {
        self.signal().is_some()
    }

    /// Forgets a signal that was meant for another program.
    pub fn forget(&self) {
        self.signal.store(0, Ordering::Relaxed);
        self.is_signalled.store(false, Ordering::Relaxed);
    }

    /// Sets whether Ctrl-C is meant for another program, which has the terminal: then it is
    /// ignored, no matter how often it is pressed.
    pub fn set_in_background(&self, is_in_background: bool) {
        self.is_in_background.store(is_in_background, Ordering::Relaxed);
    }

    /// Returns the error of a run that ends here because of a signal.
    pub fn error(&self) -> Error {
        Error::new(Exit::Signal(self.signal().unwrap_or(2)), "interrupted")
    }

    /// Waits until `file` can be read, or until a signal comes.
    ///
    /// Returns whether `file` can be read.
    ///
    /// # Errors
    ///
    /// The system's own.
    pub fn wait(&self, file: BorrowedFd) -> io::Result<bool> {
        self.wait_any(&[file]).map(|ready| ready.is_some())
    }

    /// Waits until one of `files` can be read, and returns which; `None` when a signal comes.
    ///
    /// # Errors
    ///
    /// The system's own.
    pub fn wait_any(&self, files: &[BorrowedFd]) -> io::Result<Option<usize>> {
        let all = files.iter().copied().chain([self.wake.as_fd()]);
        let mut polled: Vec<PollFd> =
            all.map(|file| PollFd::from_borrowed_fd(file, PollFlags::IN)).collect();
        loop {
            if self.is_set() {
                return Ok(None);
            }
            match poll(&mut polled, None) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let is_ready = |file: &PollFd| !(file.revents() - PollFlags::NVAL).is_empty();
            let ready = polled.iter().position(is_ready);
            if let Some(ready) = ready.filter(|ready| *ready < files.len()) {
                return Ok(Some(ready));
            }
            // `/dev/tty` on macOS cannot be waited for. It is tried every now and then.
            let blind = polled.iter().position(|file| file.revents() == PollFlags::NVAL);
            if blind.is_some() && !self.comes_soon()? {
                return Ok(blind);
            }
            // The byte of a signal that has been forgotten in the meantime.
            let mut byte = [0];
            rustix::io::read(self.wake.as_fd(), &mut byte)?;
        }
    }

    /// Waits for a signal, but not for long (50 ms); returns whether one comes.
    fn comes_soon(&self) -> io::Result<bool> {
        let moment = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        Ok(poll(&mut [PollFd::new(&self.wake, PollFlags::IN)], Some(&moment))? > 0)
    }
}

/// Ends the program at the second signal, whatever it is doing.
fn watch(mut signals: Signals, is_signalled: &AtomicBool, is_in_background: &AtomicBool) {
    for number in signals.forever() {
        if number == SIGINT && is_in_background.load(Ordering::Relaxed) {
            continue;
        }
        if is_signalled.swap(true, Ordering::Relaxed) {
            let value = SIGNALS.iter().find(|signal| signal.0 == number);
            end(value.map_or(2, |signal| signal.1));
        }
    }
}

/// Ends the program. Plaintexts for other programs are wiped and terminals restored.
fn end(signal: u8) {
    let _done = undo::all();
    // Prints nothing: the program may be waiting for the reader of its output.
    process::exit(u8::from(Exit::Signal(signal)).into());
}
