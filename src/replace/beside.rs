//! name of a file → a new file beside it, locked while it is in use. What killed runs left there is removed.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use crate::{random, source};

/// How many random bytes a name has.
const BYTES: usize = 4;

/// Makes a file with `mode` in `folder`, beside `name` there. It is in use until it is closed.
pub(super) fn make(folder: &Path, name: &OsStr, mode: u32) -> io::Result<(PathBuf, File)> {
    sweep(folder, name);
    for _ in 0..100_u8 {
        let mut new = beginning(name);
        new.push(source::hex(&*random::array::<BYTES>()?));
        let path = folder.join(new);
        let file = match File::options().write(true).create_new(true).mode(mode).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            opened => opened?,
        };
        // Somebody who sweeps may have come in between; then it is gone, and the next name is tried. Where the
        // file system has no locks, nobody sweeps.
        let taken = flock(&file, FlockOperation::NonBlockingLockExclusive);
        if taken != Err(Errno::WOULDBLOCK) && path.exists() {
            return Ok((path, file));
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Returns how the names of files beside `name` begin.
fn beginning(name: &OsStr) -> OsString {
    let mut beginning = OsString::from(".");
    beginning.push(name);
    beginning.push(".new-");
    beginning
}

/// Removes what killed runs left beside `name` in `folder`: their locks are gone with them.
fn sweep(folder: &Path, name: &OsStr) {
    let beginning = beginning(name);
    let here = folder == Path::new("");
    let entries = fs::read_dir(if here { Path::new(".") } else { folder });
    for entry in entries.into_iter().flatten().flatten() {
        if is_ours(&entry.file_name(), &beginning)
            && let Some(_lock) = lock(&entry.path())
        {
            let _ = fs::remove_file(entry.path()); // What cannot be removed harms nobody.
        }
    }
}

/// Returns whether `name` is one of those that begin with `beginning`.
fn is_ours(name: &OsStr, beginning: &OsStr) -> bool {
    let digits = name.as_bytes().strip_prefix(beginning.as_bytes());
    digits
        .is_some_and(|digits| digits.len() == 2 * BYTES && digits.iter().all(u8::is_ascii_hexdigit))
}

/// Opens and locks a file, if it is one and nobody else has.
fn lock(path: &Path) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}
