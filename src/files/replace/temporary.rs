//! file name → a new file next to it, locked while it is in use. Removes what killed runs left
//! there.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::fs::{flock, fstat, openat, statat, unlinkat};
use rustix::io::Errno;
use vaultix_generator::escape;

use crate::system::random;

const BYTES: usize = 4;

/// Creates a file with `mode` in `folder`, next to `name`. It is locked until it is closed.
pub(super) fn create(folder: &OwnedFd, name: &OsStr, mode: Mode) -> io::Result<(OsString, File)> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    sweep(folder, name);
    for _ in 0..100_u8 {
        let mut new = beginning(name);
        new.push(escape::hex(&*random::array::<BYTES>()?));
        let file = match openat(folder, &new, flags, mode) {
            Err(Errno::EXIST) => continue,
            opened => opened?,
        };
        // Another run may have swept it before it was locked; then it is gone, and the next name is
        // tried. On a file system without locks, nobody sweeps.
        let taken = flock(&file, FlockOperation::NonBlockingLockExclusive);
        let is_there = || statat(folder, &new, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        if taken != Err(Errno::WOULDBLOCK) && is_there() {
            return Ok((new, file.into()));
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Returns how the names of temporary files next to `name` begin.
fn beginning(name: &OsStr) -> OsString {
    let mut beginning = OsString::from(".");
    beginning.push(name);
    beginning.push(".new-");
    beginning
}

/// Removes what killed runs left next to `name` in `folder`: their locks ended with them.
fn sweep(folder: &OwnedFd, name: &OsStr) {
    let beginning = beginning(name);
    for entry in Dir::read_from(folder).into_iter().flatten().flatten() {
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if is_temporary_name(name, &beginning)
            && let Some(_lock) = lock(folder, name)
        {
            let _ = unlinkat(folder, name, AtFlags::empty()); // A leftover does no harm.
        }
    }
}

/// Returns whether `name` is the name of such a file: `beginning` and hex digits.
fn is_temporary_name(name: &OsStr, beginning: &OsStr) -> bool {
    let digits = name.as_bytes().strip_prefix(beginning.as_bytes());
    digits
        .is_some_and(|digits| digits.len() == 2 * BYTES && digits.iter().all(u8::is_ascii_hexdigit))
}

/// Opens and locks `name`, if it is a regular file and not locked.
fn lock(folder: &OwnedFd, name: &OsStr) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, Mode::empty()).ok()?;
    let is_file = FileType::from_raw_mode(fstat(&file).ok()?.st_mode) == FileType::RegularFile;
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok().filter(|()| is_file)?;
    Some(file)
}
