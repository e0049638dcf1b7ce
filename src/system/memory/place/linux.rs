//! The same on Linux: a tmpfs or ramfs.

use std::convert::Infallible;
use std::env;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use vaultix_units::mounts::is_in_memory;

use crate::system::memory::{DIRECTORY, Directory, Parent};

/// What to do if there is nowhere to put it.
pub const FIX: &str = "set XDG_RUNTIME_DIR to a directory on a tmpfs";

/// How a directory on the way is opened.
pub(in crate::system::memory) const HELD: OFlags = OFlags::PATH.union(DIRECTORY);

/// What has to go after a directory: nothing.
pub(in crate::system::memory) type Hold = Infallible;

/// Creates a directory in memory.
///
/// # Errors
///
/// Why there is nowhere to put it.
pub(in crate::system::memory) fn make() -> Result<Directory, String> {
    Directory::in_one_of(parents(), ensure_in_memory)
        .map_err(|refusals| format!("none of these is a tmpfs for us alone: {refusals}"))
}

/// Returns where plaintexts may be put, the best place first.
pub(in crate::system::memory) fn parents() -> Vec<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let own = format!("/run/user/{user}").into();
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    runtime.into_iter().chain([own, "/dev/shm".into(), "/run".into()]).collect()
}

/// Makes sure that `parent` is on a tmpfs or ramfs.
///
/// # Errors
///
/// If it is not, as a clause.
pub(in crate::system::memory) fn ensure_in_memory(parent: &Parent) -> Result<(), String> {
    let shown = parent.path.display();
    if is_in_memory(&parent.directory) { Ok(()) } else { Err(format!("{shown} is not in memory")) }
}

/// Opens the directory `name` in `parent`, if it is on the same file system. One that somebody has
/// mounted there is not asked anything: it may never answer.
pub(in crate::system::memory) fn open_beneath(parent: &OwnedFd, name: &str) -> Option<OwnedFd> {
    openat2(parent, name, DIRECTORY, Mode::empty(), ResolveFlags::NO_XDEV).ok()
}

/// Takes away what a killed run has mounted in its directory: nothing.
pub(in crate::system::memory) fn release(_: &Path, _: &OwnedFd) {}
