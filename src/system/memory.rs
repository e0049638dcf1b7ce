//! [`Plaintext`] → a file in memory that only the user may enter, for another program; gone when dropped.
//!
//! All is done by descriptors, from the first look to the last use: what somebody else puts in the place of a name is
//! neither used nor wiped.

mod parent;
mod wipe;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use vaultix_units::bounded;
use vaultix_units::plaintext::Plaintext;
use zeroize::Zeroizing;

use crate::system::undo::Undo;
use parent::Parent;

/// What our directories are called: this, a process and a number.
const PREFIX: &str = "vaultix-";

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory in memory; gone with all in it when dropped.
pub struct Directory {
    pub path: PathBuf,
    /// The directory, open, and what we made in it.
    open: Arc<OpenDirectory>,
    /// Wipes and removes it.
    _undo: Undo,
}

struct OpenDirectory {
    parent: Parent,
    name: String,
    /// The directory, locked as long as its process lives. Not in the hands of the program, which may live longer.
    directory: OwnedFd,
    /// The files that we made in it, wherever they are by now.
    files: Mutex<Vec<File>>,
}

impl Directory {
    /// Makes one in memory, and removes those whose process was killed.
    ///
    /// # Errors
    ///
    /// Why there is no place for it.
    pub fn new() -> Result<Self, String> {
        Self::in_one_of(parent::in_memory(), Parent::ensure_in_memory)
            .map_err(|refusals| format!("none of these is a tmpfs for us alone: {refusals}"))
    }

    /// Makes one on a disk, for files that may be too large for memory and are no plaintexts. Otherwise the same.
    ///
    /// # Errors
    ///
    /// Why there is no place for it.
    pub fn on_disk() -> Result<Self, String> {
        Self::in_one_of(parent::on_disk(), |_| Ok(())).map_err(|refusals| {
            format!("others can change what is in each of these directories: {refusals}")
        })
    }

    /// Makes one in the first of `paths` that can be used and that `ensure` accepts. The error says what is wrong with each.
    fn in_one_of(
        paths: Vec<PathBuf>,
        ensure: fn(&Parent) -> Result<(), String>,
    ) -> Result<Self, String> {
        let mut refusals = Vec::new();
        for path in paths {
            let made = Parent::open(&path).and_then(|parent| {
                ensure(&parent)?;
                sweep_parent(&parent);
                let refusal = |error: Errno| format!("{}: {error}", path.display());
                OpenDirectory::make(parent).map_err(refusal)
            });
            match made {
                Ok(open) => return Ok(Self::from_open(open)),
                Err(refusal) => refusals.push(refusal),
            }
        }
        Err(refusals.join(", "))
    }

    /// Takes over a directory that is open, to remove it when dropped.
    fn from_open(open: OpenDirectory) -> Self {
        let open = Arc::new(open);
        let path = open.parent.path.join(&open.name);
        let removed = Arc::clone(&open);
        Self { path, open, _undo: Undo::with(move || removed.remove()) }
    }

    /// Writes `text` to the new file `name`, and the directories above it. Returns its path.
    ///
    /// # Errors
    ///
    /// The system's own.
    pub fn write(&self, name: &Path, text: &Plaintext) -> io::Result<PathBuf> {
        let mut directory = self.open.directory.try_clone()?;
        let above = name.parent().unwrap_or(Path::new("")).components();
        for component in above {
            let Component::Normal(part) = component else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            match rustix::fs::mkdirat(&directory, part, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            directory = rustix::fs::openat(&directory, part, DIRECTORY, Mode::empty())?;
        }
        let last = name.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::openat(&directory, last, flags | OFlags::CLOEXEC, mode)?;
        let mut file = File::from(file);
        let written = file.write_all(text.expose());
        self.open.files.lock().unwrap_or_else(PoisonError::into_inner).push(file);
        written.map(|()| self.path.join(name))
    }

    /// Reads the file `name`, which a program has changed, up to `limit` bytes.
    ///
    /// # Errors
    ///
    /// The system's own; also where it is a link.
    pub fn read(&self, name: &Path, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = flags | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.open.directory, name, flags, Mode::empty())?;
        bounded::read_file(file.into(), limit)
    }
}

impl OpenDirectory {
    /// Makes one in `parent`.
    fn make(parent: Parent) -> rustix::io::Result<Self> {
        for i in 0..100_u8 {
            let name = format!("{PREFIX}{}-{i}", std::process::id());
            match rustix::fs::mkdirat(&parent.directory, &name, Mode::RWXU) {
                Ok(()) => {}
                // Some other program's directory of this name is left alone.
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(error),
            }
            // Somebody who sweeps may have come in between; then it is gone, and the next name is tried.
            if let Some(directory) = lock(&parent, &name) {
                return Ok(Self { parent, name, directory, files: Mutex::default() });
            }
        }
        Err(Errno::EXIST)
    }

    /// Overwrites what we made, wherever it is by now, and what else is in the directory; then removes it.
    fn remove(&self) {
        for file in &mut *self.files.lock().unwrap_or_else(PoisonError::into_inner) {
            wipe::wipe_file(file);
        }
        wipe::clear(&self.directory);
        wipe::remove(&self.parent.directory, &self.name);
    }
}

/// Opens and locks the directory `name` in `parent`, if it is ours, nobody else has locked it, and it is still there.
fn lock(parent: &Parent, name: &str) -> Option<OwnedFd> {
    let directory = rustix::fs::openat(&parent.directory, name, DIRECTORY, Mode::empty()).ok()?;
    let found = rustix::fs::fstat(&directory).ok()?;
    let is_ours = found.st_uid == rustix::process::geteuid().as_raw()
        && Mode::from_raw_mode(found.st_mode) == Mode::RWXU;
    if !is_ours {
        return None;
    }
    flock(&directory, FlockOperation::NonBlockingLockExclusive).ok()?;
    // All work is done by the descriptor. The name serves once more, to be removed: nobody else can exchange it, since the
    // parent is ours or sticky, and what is not empty stays.
    let now = rustix::fs::statat(&parent.directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    (now.st_dev == found.st_dev && now.st_ino == found.st_ino).then_some(directory)
}

/// Removes what killed runs left, in all places. Every start does.
pub fn sweep() {
    let parents = parent::in_memory().into_iter().chain(parent::on_disk());
    parents.filter_map(|path| Parent::open(&path).ok()).for_each(|parent| sweep_parent(&parent));
}

/// Removes what killed processes of ours left in `parent`: their locks are gone with them.
fn sweep_parent(parent: &Parent) {
    let Ok(entries) = Dir::read_from(parent.directory.as_fd()) else { return };
    for entry in entries.flatten() {
        if let Ok(name) = entry.file_name().to_str()
            && is_our_name(name)
            && matches!(entry.file_type(), FileType::Directory | FileType::Unknown)
            && let Some(directory) = lock(parent, name)
        {
            wipe::clear(&directory);
            wipe::remove(&parent.directory, name);
        }
    }
}

/// Returns whether a directory of this name is one of ours.
fn is_our_name(name: &str) -> bool {
    let numbers = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(process, i)| is_number(process) && is_number(i))
}

#[cfg(test)]
mod tests;
