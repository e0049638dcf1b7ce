//! Wipes and removes our directories, through descriptors and never through a link.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat};
use rustix::path::Arg;

use super::DIRECTORY;

/// How deep directories may be nested; anything deeper stays.
const MAX_DEPTH: usize = 128;

/// Overwrites `file`, so that its content does not stay in memory.
pub(super) fn wipe_file(file: &mut File) {
    let Ok(metadata) = file.metadata() else { return };
    let mut zeros = io::repeat(0).take(metadata.len());
    // If it cannot be overwritten, it is still removed.
    let _ = file.rewind().and_then(|()| io::copy(&mut zeros, file));
}

/// Removes `name` in `directory`: a file, a link, or an empty directory.
pub(super) fn remove(directory: impl AsFd, name: impl Arg + Copy) {
    if rustix::fs::unlinkat(&directory, name, AtFlags::empty()).is_err() {
        let _ = rustix::fs::unlinkat(&directory, name, AtFlags::REMOVEDIR); // If it cannot be removed, it has at least been wiped.
    }
}

/// Overwrites and removes everything in `directory`.
pub(super) fn clear(directory: &OwnedFd) {
    clear_to(directory, MAX_DEPTH);
}

/// The same, at most `depth` directories deep.
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
                let _ = rustix::fs::fchmod(&below, Mode::RWXU); // If this fails, less is removed.
                clear_to(&below, depth);
            }
        } else if let Some(mut file) = own(directory, name) {
            wipe_file(&mut file);
        }
        remove(directory, name);
    }
}

/// Opens the file `name` in `directory` for writing, if it is ours and has no other hard link.
fn own(directory: &OwnedFd, name: &std::ffi::CStr) -> Option<File> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::openat(directory, name, flags | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let found = fstat(&file).ok()?;
    let is_own = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
        && found.st_uid == rustix::process::geteuid().as_raw()
        && found.st_nlink == 1;
    (is_own && is_on_same(directory, &file)).then(|| file.into())
}

/// Returns whether two files are on the same file system: what is mounted here is not ours.
fn is_on_same(one: &OwnedFd, other: &OwnedFd) -> bool {
    let device = |file| fstat(file).map(|found| found.st_dev);
    matches!((device(one), device(other)), (Ok(one), Ok(other)) if one == other)
}
