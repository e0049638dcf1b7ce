//! paths → open directories, in memory or on a disk, that nobody else can replace.

use std::env;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, Stat, fstat};

use super::{DIRECTORY, place};

/// A directory that nobody else can replace.
pub(super) struct Parent {
    pub path: PathBuf,
    pub directory: OwnedFd,
}

/// Returns where other temporary files may be put, the best place first.
pub(super) fn on_disk() -> Vec<PathBuf> {
    vec![env::temp_dir(), "/var/tmp".into(), "/tmp".into()]
}

impl Parent {
    /// Opens `path`, if nobody else can replace it or a directory above it.
    ///
    /// # Errors
    ///
    /// Why it cannot be used, as a clause.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        if !path.is_absolute() {
            return Err(format!("{shown} is not an absolute path"));
        }
        // Links are resolved here, once: a link that is put on the way later is refused.
        let real = fs::canonicalize(path).map_err(|error| format!("{shown}: {error}"))?;
        let directory = walk(&real)?;
        Ok(Self { path: real, directory })
    }
}

/// Opens `path`, which has no links, directory by directory, starting at the root.
fn walk(path: &Path) -> Result<OwnedFd, String> {
    let mut at = PathBuf::from("/");
    let step = place::HELD;
    let failed = |at: &Path, error: rustix::io::Errno| format!("{}: {error}", at.display());
    let open = rustix::fs::open(&at, step, Mode::empty());
    let mut directory = open.map_err(|error| failed(&at, error))?;
    ensure_safe(&directory, &at)?;
    for part in path.components() {
        let Component::Normal(part) = part else { continue };
        at.push(part);
        let open = rustix::fs::openat(&directory, part, step, Mode::empty());
        directory = open.map_err(|error| failed(&at, error))?;
        ensure_safe(&directory, &at)?;
    }
    rustix::fs::openat(&directory, ".", DIRECTORY, Mode::empty())
        .map_err(|error| failed(&at, error))
}

/// Makes sure that only root, we and its own owner can replace an entry of `directory`, whose path is
/// `at`.
fn ensure_safe(directory: &OwnedFd, at: &Path) -> Result<(), String> {
    let found = fstat(directory).map_err(|error| format!("{}: {error}", at.display()))?;
    refusal(&found).map_or(Ok(()), |why| Err(format!("{} {why}", at.display())))
}

/// Returns why others can replace what is in a directory, if they can.
fn refusal(found: &Stat) -> Option<String> {
    let owner = found.st_uid;
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Some(format!("belongs to user {owner}"));
    }
    let mode = Mode::from_raw_mode(found.st_mode);
    let is_open = mode.intersects(Mode::WGRP | Mode::WOTH) && !mode.contains(Mode::SVTX);
    is_open.then(|| "others can write to it".to_owned())
}
