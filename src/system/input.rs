//! path or standard input → its bytes, up to a limit.
//!
//! Pipes are accepted, because shells make one for `<(command)`. Ctrl-C works even while nothing is
//! written to it.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, Mode, OFlags};
use vaultix_generator::size;
use vaultix_units::bounded;
use zeroize::Zeroizing;

use crate::system::interrupt::Interrupt;
use crate::system::terminal;

/// How everything is opened: without blocking, because it may turn out to be a pipe or a device.
const FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Reads the file or pipe `path`, of at most `limit` bytes. They are wiped when dropped.
///
/// Without an `interrupt`, a signal ends the program as usual.
///
/// # Errors
///
/// The system's own; [`io::ErrorKind::InvalidInput`] for a device, [`io::ErrorKind::FileTooLarge`]
/// beyond `limit`, and [`io::ErrorKind::Other`] when a signal comes.
pub fn file(
    path: &Path,
    limit: u64,
    interrupt: Option<&Interrupt>,
) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = rustix::fs::open(path, FLAGS, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile | FileType::Fifo => {}
        FileType::Directory => return Err(io::ErrorKind::IsADirectory.into()),
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a file nor a pipe")),
    }
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    whole(InterruptibleReader { file, interrupt }, size, limit)
}

/// Reads the file `path`, of at most `limit` bytes. Anything but a regular file is refused, and never waited for.
///
/// # Errors
///
/// As [`file()`], without signals.
pub fn regular_file(path: &Path, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    bounded::read_file(File::from(rustix::fs::open(path, FLAGS, Mode::empty())?), limit)
}

/// Reads standard input to its end, up to `limit` bytes.
///
/// A terminal is opened again, so that reading it never blocks: Ctrl-C discards a line that was
/// there when we stopped waiting, and a blocking read would then wait for another one.
///
/// # Errors
///
/// As [`file()`].
pub fn stdin(limit: u64, interrupt: &Interrupt) -> io::Result<Zeroizing<Vec<u8>>> {
    let stdin = io::stdin();
    let terminal =
        stdin.is_terminal().then(|| rustix::fs::open(terminal::path(), FLAGS, Mode::empty()).ok());
    let file = match terminal.flatten() {
        Some(terminal) => terminal,
        None => stdin.as_fd().try_clone_to_owned()?,
    };
    whole(InterruptibleReader { file, interrupt: Some(interrupt) }, 0, limit)
}

/// Reads what another program writes to `pipe` to its end, up to `limit` bytes.
///
/// # Errors
///
/// As [`file()`].
pub fn pipe(pipe: OwnedFd, limit: u64, interrupt: &Interrupt) -> io::Result<Zeroizing<Vec<u8>>> {
    whole(InterruptibleReader { file: pipe, interrupt: Some(interrupt) }, 0, limit)
}

/// Reads all of `reader`, of which `size` bytes are expected and `limit` allowed.
fn whole(reader: InterruptibleReader, size: u64, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    // One byte more, so that the last read finds the end without growing the vector.
    let capacity = usize::try_from(size.min(limit)).unwrap_or_default().saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let text = format!("it has more than {}", size::shown(limit));
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// A file or pipe; Ctrl-C interrupts reading even while there is nothing to read.
struct InterruptibleReader<'a> {
    file: OwnedFd,
    interrupt: Option<&'a Interrupt>,
}

impl InterruptibleReader<'_> {
    /// Waits for something to read or a signal; returns whether there is something to read.
    fn wait(&self) -> io::Result<bool> {
        let Some(interrupt) = self.interrupt else {
            poll(&mut [PollFd::new(&self.file, PollFlags::IN)], None)?;
            return Ok(true);
        };
        interrupt.wait(self.file.as_fd())
    }
}

impl Read for InterruptibleReader<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.wait()? {
            match rustix::io::read(&self.file, &mut *bytes) {
                Err(rustix::io::Errno::AGAIN) => {}
                read => return Ok(read?),
            }
        }
        // Not `Interrupted`: `read_to_end` would try again.
        Err(io::Error::other("interrupted"))
    }
}
