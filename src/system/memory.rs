//! [`Plaintext`] → a file for another program, in a directory in memory that only the user may
//! enter; removed when dropped.
//!
//! Everything is done through descriptors, from the first check to the last use: if somebody
//! replaces a file or directory, what they put there is neither used nor wiped.

mod parent;
mod place;
// Its tests run on Linux as well.
#[cfg(any(target_os = "macos", test))]
#[cfg_attr(not(target_os = "macos"), allow(dead_code, reason = "only tested there"))]
mod ram_disk;
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

use crate::system::random;
use crate::system::undo::Undo;
use parent::Parent;
pub use place::FIX;

/// The names of our directories: this, a process id, a dash and a random number.
const PREFIX: &str = "vaultix-";

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory in memory; removed with everything in it when dropped.
pub struct Directory {
    pub path: PathBuf,
    /// The open directory, and the files that we made in it.
    open: Arc<OpenDirectory>,
    /// Wipes and removes it.
    _undo: Undo,
    /// What it is in, and has to go after it.
    _under: Option<place::Hold>,
}

struct OpenDirectory {
    parent: Parent,
    name: String,
    /// The directory, locked until our process ends. Not inherited by the other program, which may
    /// run longer.
    directory: OwnedFd,
    /// The files that we made in it, even if they were moved.
    files: Mutex<Vec<File>>,
}

impl Directory {
    /// Creates a directory in memory, and removes those of killed processes.
    ///
    /// # Errors
    ///
    /// Why there is nowhere to put it.
    pub fn new() -> Result<Self, String> {
        place::make()
    }

    /// Creates a directory on a disk, for files that are not plaintexts and may be too large for
    /// memory. Otherwise the same.
    ///
    /// # Errors
    ///
    /// Why there is nowhere to put it.
    pub fn on_disk() -> Result<Self, String> {
        Self::in_one_of(parent::on_disk(), |_| Ok(())).map_err(|refusals| {
            format!("others can change what is in each of these directories: {refusals}")
        })
    }

    /// Creates a directory in the first of `paths` that can be used and that `ensure` accepts. The
    /// error says what is wrong with each of them.
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

    /// Takes over an open directory, and removes it when dropped.
    fn from_open(open: OpenDirectory) -> Self {
        let open = Arc::new(open);
        let path = open.parent.path.join(&open.name);
        let removed = Arc::clone(&open);
        Self { path, open, _undo: Undo::with(move || removed.remove()), _under: None }
    }

    /// Writes `text` to the new file `name`, and creates the directories above it. Returns its
    /// path.
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

    /// Reads the file `name`, of at most `limit` bytes, which a program may have changed.
    ///
    /// # Errors
    ///
    /// The system's own; also if it is a link.
    pub fn read(&self, name: &Path, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = flags | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.open.directory, name, flags, Mode::empty())?;
        bounded::read_file(file.into(), limit)
    }
}

impl OpenDirectory {
    /// Creates one in `parent`.
    fn make(parent: Parent) -> rustix::io::Result<Self> {
        for _ in 0..100 {
            // Nobody can take all names that it may have before it has one.
            let random = random::array().map_err(|_| Errno::IO)?;
            let name = format!("{PREFIX}{}-{}", std::process::id(), u64::from_ne_bytes(*random));
            match rustix::fs::mkdirat(&parent.directory, &name, Mode::RWXU) {
                Ok(()) => {}
                // Some other program's directory of this name is left alone.
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(error),
            }
            // Another run may have swept it before it was locked; then it is gone, and the next
            // name is tried.
            if let Some(directory) = lock(&parent, &name) {
                return Ok(Self { parent, name, directory, files: Mutex::default() });
            }
        }
        Err(Errno::EXIST)
    }

    /// Overwrites the files that we made, even if they were moved, and everything else in the
    /// directory; then removes it.
    fn remove(&self) {
        for file in &mut *self.files.lock().unwrap_or_else(PoisonError::into_inner) {
            wipe::wipe_file(file);
        }
        wipe::clear(&self.directory);
        wipe::remove(&self.parent.directory, &self.name);
    }
}

/// Opens and locks the directory `name` in `parent`, if it is ours, not locked, and still there.
fn lock(parent: &Parent, name: &str) -> Option<OwnedFd> {
    let directory = place::open_beneath(&parent.directory, name)?;
    let found = rustix::fs::fstat(&directory).ok()?;
    let is_ours = found.st_uid == rustix::process::geteuid().as_raw()
        && Mode::from_raw_mode(found.st_mode) == Mode::RWXU;
    if !is_ours {
        return None;
    }
    flock(&directory, FlockOperation::NonBlockingLockExclusive).ok()?;
    // Everything is done through the descriptor. The name is only used once more, to remove it:
    // nobody else can replace it, because the parent is ours or sticky, and a directory that is not
    // empty stays.
    let now = rustix::fs::statat(&parent.directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    (now.st_dev == found.st_dev && now.st_ino == found.st_ino).then_some(directory)
}

/// Removes what killed runs left, in all places. Called at every start.
pub fn sweep() {
    let parents = place::parents().into_iter().chain(parent::on_disk());
    parents.filter_map(|path| Parent::open(&path).ok()).for_each(|parent| sweep_parent(&parent));
}

/// Removes what killed processes left in `parent`: their locks ended with them.
fn sweep_parent(parent: &Parent) {
    let Ok(entries) = Dir::read_from(parent.directory.as_fd()) else { return };
    for entry in entries.flatten() {
        if let Ok(name) = entry.file_name().to_str()
            && is_our_name(name)
            && matches!(entry.file_type(), FileType::Directory | FileType::Unknown)
            && let Some(directory) = lock(parent, name)
        {
            place::release(&parent.path.join(name), &directory);
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
