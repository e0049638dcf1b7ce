//! Wipes and removes directories of ours, by descriptors and never through a link.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat};
use rustix::path::Arg;

use super::DIRECTORY;

/// How many directories may be in each other; what is below stays.
const MAX_DEPTH: usize = 128;

/// Overwrites `file`, so that the memory behind it does not keep what it held.
pub(super) fn wipe_file(file: &mut File) {
    let Ok(metadata) = file.metadata() else { return };
    let mut zeros = io::repeat(0).take(metadata.len());
    // What cannot be written is still removed.
    let _ = file.rewind().and_then(|()| io::copy(&mut zeros, file));
}

/// Removes `name` in `directory`: a file, a link, or an empty directory.
pub(super) fn remove(directory: impl AsFd, name: impl Arg + Copy) {
    if rustix::fs::unlinkat(&directory, name, AtFlags::empty()).is_err() {
        let _ = rustix::fs::unlinkat(&directory, name, AtFlags::REMOVEDIR); // What cannot be removed is wiped.
    }
}

/// Overwrites and removes all that is in `directory`.
pub(super) fn clear(directory: &OwnedFd) {
    clear_to(directory, MAX_DEPTH);
}

/// Does that, `depth` directories down.
fn clear_to(directory: &OwnedFd, depth: usize) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let Ok(entries) = Dir::read_from(directory.as_fd()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if let Ok(below) = rustix::fs::openat(directory, name, DIRECTORY, Mode::empty()) {
            if is_on_same(directory, &below) {
                // Nix makes directories in which nothing can be removed.
                let _ = rustix::fs::fchmod(&below, Mode::RWXU); // Who may not, removes less.
                clear_to(&below, depth);
            }
        } else if let Some(mut file) = own(directory, name) {
            wipe_file(&mut file);
        }
        remove(directory, name);
    }
}

/// Opens the file `name` in `directory` to write, if it is ours and has no other name elsewhere.
fn own(directory: &OwnedFd, name: &std::ffi::CStr) -> Option<File> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::openat(directory, name, flags | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let found = fstat(&file).ok()?;
    let is_own = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
        && found.st_uid == rustix::process::geteuid().as_raw()
        && found.st_nlink == 1;
    (is_own && is_on_same(directory, &file)).then(|| file.into())
}

/// Returns whether two files are on one file system: what is mounted here is none of ours.
fn is_on_same(one: &OwnedFd, other: &OwnedFd) -> bool {
    let device = |file| fstat(file).map(|found| found.st_dev);
    matches!((device(one), device(other)), (Ok(one), Ok(other)) if one == other)
}
