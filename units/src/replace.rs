//! bytes or target → a file or link under its final name, complete as soon as it exists.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::acl;
use crate::bounded;
use crate::owner::Ownership;
use crate::plaintext::Plaintext;

/// Mode of a file until it has its owner.
const UNFINISHED: Mode = Mode::from_raw_mode(0o600);
/// The temporary name of a link.
const NEW_LINK: &str = ".vaultix-link";

/// How directories are opened.
pub(crate) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Writes `plaintext` to the new file `temporary` in `from`, then renames it to `name` in `to`.
///
/// The order makes it safe. First, an access list inherited from the directory is removed, which
/// the mode would activate. The content is written before the rename, so that no reader sees only
/// part of it. The owner is set before the mode, so that the bits of the mode never apply to
/// another owner.
pub(crate) fn replace_file(
    from: &OwnedFd,
    temporary: &str,
    to: &OwnedFd,
    name: impl rustix::path::Arg,
    plaintext: &Plaintext,
    ownership: Ownership,
) -> Result<(), Errno> {
    replace_and_hold(from, temporary, to, name, plaintext, ownership).map(drop)
}

/// As [`replace_file`], and returns the new file.
pub(crate) fn replace_and_hold(
    from: &OwnedFd,
    temporary: &str,
    to: &OwnedFd,
    name: impl rustix::path::Arg,
    plaintext: &Plaintext,
    ownership: Ownership,
) -> Result<File, Errno> {
    match fs::unlinkat(from, temporary, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let finish = || {
        let mut file = File::from(fs::openat(from, temporary, flags, UNFINISHED)?);
        acl::take_away(&file)?;
        file.write_all(plaintext.expose())
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let (uid, gid) = (fs::Uid::from_raw(ownership.uid), fs::Gid::from_raw(ownership.gid));
        fs::fchown(&file, Some(uid), Some(gid))?;
        fs::fchmod(&file, Mode::from_raw_mode(ownership.mode))?;
        fs::renameat(from, temporary, to, name)?;
        Ok(file)
    };
    let result = finish();
    if result.is_err() {
        // Only root can access its directory. If it cannot be removed, the next run replaces it.
        let _ = fs::unlinkat(from, temporary, AtFlags::empty());
    }
    result
}

/// Replaces `name` in `parent`, where only root can write, with a link to `target`, in one step.
pub(crate) fn replace_link(parent: &OwnedFd, name: &OsStr, target: &Path) -> Result<(), Errno> {
    match fs::unlinkat(parent, NEW_LINK, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    fs::symlinkat(target, parent, NEW_LINK)?;
    let result = fs::renameat(parent, NEW_LINK, parent, name);
    if result.is_err() {
        let _ = fs::unlinkat(parent, NEW_LINK, AtFlags::empty()); // A link contains no secret.
    }
    result
}

/// Reads the file `name` in `folder`.
///
/// Never blocks: not on a FIFO, and not on a lease of its owner, see fcntl(2).
pub(crate) fn read_file(folder: &OwnedFd, name: impl rustix::path::Arg) -> io::Result<Plaintext> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(fs::openat(folder, name, flags, Mode::empty())?);
    let mut bytes = bounded::read_file(file, bounded::MAX_CIPHERTEXT)?;
    Ok(Plaintext::new(std::mem::take(&mut *bytes)))
}

/// Creates the directory `name` in `parent` with `mode`, if it is missing.
pub(crate) fn ensure_directory(parent: &OwnedFd, name: &str, mode: Mode) -> Result<(), Errno> {
    match fs::mkdirat(parent, name, mode) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens the directory `name` in `parent`; creates it with `mode` if it is missing.
pub(crate) fn make_directory(parent: &OwnedFd, name: &str, mode: Mode) -> Result<OwnedFd, Errno> {
    ensure_directory(parent, name, mode)?;
    fs::openat(parent, name, DIRECTORY, Mode::empty())
}
