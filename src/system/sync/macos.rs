//! open files → the same, safely on the disk of a Mac.
//!
//! There is no sync of one file system that could be waited for without unsafe code: sync(2) may return before it is done.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{fcntl_fullfsync, fsync};
use rustix::io::Result;

/// Waits until all of `files` are on the disk, which are in the file system of `directory`. They are
/// opened as they are needed.
///
/// # Errors
///
/// The system's own.
pub fn all<F: AsFd>(
    directory: BorrowedFd,
    files: impl ExactSizeIterator<Item = Result<F>>,
) -> Result<()> {
    for file in files {
        fsync(file?)?; // As far as the cache of the disk, which is emptied once, below.
    }
    // File systems of others, such as network ones, may not know it.
    fcntl_fullfsync(directory).or_else(|_| fsync(directory))
}
