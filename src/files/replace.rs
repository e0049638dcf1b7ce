//! a file + new bytes → the file with these bytes, or unchanged; never a mixture.
//!
//! The folder is held open from the first check to the last use, and all names are looked up in it.

mod temporary;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::fs::{flock, fsync, linkat, openat, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use crate::error::{Error, Exit, Result, Status};
use crate::files::source;
use crate::report;
use crate::system::fence;
use crate::system::origin;

/// How a file is opened that must not exist yet.
const RESERVE: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::CLOEXEC);

/// A file that is about to be replaced, and its successor next to it. The successor is removed when
/// dropped.
pub struct Replacement {
    /// The path as the user gave it.
    user_path: PathBuf,
    /// The same after following links.
    path: PathBuf,
    folder: OwnedFd,
    file_name: OsString,
    /// The successor's name in that folder.
    temporary_name: OsString,
    /// The successor, open and locked, so that no other run removes it.
    file: File,
}

impl Replacement {
    /// Creates the successor of `path`, and the directories above it.
    ///
    /// # Errors
    ///
    /// The system's own, with the file's name.
    pub fn new(path: &Path) -> Result<Self> {
        Self::with_mode(path, Mode::from_raw_mode(0o666))
    }

    /// As [`Replacement::new`]; if the file is new, only the user may read it.
    ///
    /// # Errors
    ///
    /// As [`Replacement::new`].
    pub fn private(path: &Path) -> Result<Self> {
        Self::with_mode(path, Mode::from_raw_mode(0o600))
    }

    /// Creates the successor with the mode of the file, or with `mode` and the user's umask if
    /// there is none.
    fn with_mode(path: &Path, mode: Mode) -> Result<Self> {
        Self::create(path, mode).map_err(|error| cannot_write(path, &error))
    }

    fn create(user_path: &Path, new_mode: Mode) -> io::Result<Self> {
        let path = fs::canonicalize(user_path).unwrap_or_else(|_| user_path.to_owned());
        let file_name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_owned();
        let parent = path.parent().unwrap_or(Path::new(""));
        // Check the path as given as well: it may be fenced where the real path is not.
        fence::ensure_writable(user_path, &path)?;
        let folder = fence::make_directory(parent)?;
        // If the file is replaced after this, the successor only gets the mode of the previous
        // file, and it is a ciphertext.
        let mode = match statat(&folder, &file_name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => return Err(io::ErrorKind::IsADirectory.into()),
                FileType::Fifo => return Err(io::ErrorKind::InvalidInput.into()),
                // A dangling link: there is no file whose mode could be kept.
                FileType::Symlink => None,
                _ => Some(stat.st_mode),
            },
            Err(_) => None,
        };
        let (temporary_name, file) = temporary::create(&folder, &file_name, new_mode)?;
        let replacement =
            Self { user_path: user_path.to_owned(), path, folder, file_name, temporary_name, file };
        if let Some(mode) = mode {
            rustix::fs::fchmod(&replacement.file, Mode::from_raw_mode(mode & 0o777))?;
        }
        Ok(replacement)
    }

    /// Writes the successor, and syncs it to disk.
    ///
    /// # Errors
    ///
    /// The system's own. The file is unchanged.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_all());
        written.map_err(|error| cannot_write(&self.path, &error))
    }

    /// Puts the successor in the file's place.
    ///
    /// # Errors
    ///
    /// The system's own. The file is unchanged, or completely replaced.
    pub fn persist(self) -> Result<()> {
        self.with_folder_locked(|| self.rename())
    }

    /// Gives the successor the name of the file, which must not exist; if somebody has created it
    /// in the meantime, it stays.
    ///
    /// # Errors
    ///
    /// The system's own.
    pub fn persist_noclobber(self) -> Result<()> {
        self.with_folder_locked(|| {
            self.name_as_new().map_err(|error| cannot_write(&self.path, &error.into()))
        })
    }

    /// Gives the successor the name of the file, if nothing has that name, in the best way that the file system knows.
    fn name_as_new(&self) -> std::result::Result<(), Errno> {
        let (folder, from, to) = (&self.folder, &self.temporary_name, &self.file_name);
        match renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
            Err(error) if is_unsupported(error) => {}
            done => return done,
        }
        match linkat(folder, from, folder, to, AtFlags::empty()) {
            Err(error) if is_unsupported(error) => {}
            done => return done,
        }
        // Creating it reserves the name, so that the rename replaces nothing else. Somebody who is killed in between leaves an
        // empty file, which no command takes for a secret.
        drop(openat(folder, to, RESERVE, Mode::from_raw_mode(0o600))?);
        renameat(folder, from, folder, to).inspect_err(|_| {
            let _ = unlinkat(folder, to, AtFlags::empty()); // The error says more.
        })
    }

    /// Puts the successor in the file's place, if that is still the one that was read; see
    /// [`Replacement::ensure_same`]. While this is checked and done, no other vaultix writes to
    /// that folder.
    ///
    /// # Errors
    ///
    /// As [`Replacement::ensure_same`], or the system's own. The file is unchanged, or completely
    /// replaced.
    pub fn persist_if_unchanged(&self, before: Option<&str>, fix: &str) -> Result<()> {
        self.with_folder_locked(|| self.ensure_same(before, fix).and_then(|()| self.rename()))
    }

    /// Removes the file, if there is one; its successor can be put in its place later.
    ///
    /// # Errors
    ///
    /// The system's own.
    pub fn remove_old(&self) -> Result<()> {
        self.with_folder_locked(|| {
            match unlinkat(&self.folder, &self.file_name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(error) => Err(cannot_write(&self.path, &error.into())),
            }
        })
    }

    /// Makes sure that the file has the SHA-256 `before`; for `None`, that it does not exist.
    ///
    /// # Errors
    ///
    /// When somebody else has changed it, with `fix`; or it cannot be read.
    pub fn ensure_same(&self, before: Option<&str>, fix: &str) -> Result<()> {
        let now = match source::digest(&self.path) {
            Ok(digest) => Some(digest),
            Err(error) if error.exit == Exit::Failed(Status::NoInput) => None,
            Err(error) => return Err(error),
        };
        if now.as_deref() == before {
            return Ok(());
        }
        let done = match (before, now) {
            (None, _) => "created",
            (_, None) => "removed",
            _ => "changed",
        };
        Err(Error::new(Status::DataErr, format!("cannot save {}", self.user_path.display()))
            .because(format!("it was {done} in the meantime"))
            .fix(fix))
    }

    /// Keeps the successor next to the file under another name, like `wifi.mine.age`. Returns its
    /// path.
    ///
    /// # Errors
    ///
    /// The system's own.
    pub fn keep(&self) -> io::Result<PathBuf> {
        for i in 1..100_u8 {
            let name = kept_name(&self.file_name, i);
            // Creating it reserves the name, so that the rename replaces nothing else.
            match openat(&self.folder, &name, RESERVE, Mode::from_raw_mode(0o666)) {
                Ok(_) => {
                    renameat(&self.folder, &self.temporary_name, &self.folder, &name)?;
                    return Ok(self.path.with_file_name(name));
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn rename(&self) -> Result<()> {
        renameat(&self.folder, &self.temporary_name, &self.folder, &self.file_name)
            .map_err(|error| cannot_write(&self.path, &error.into()))
    }

    /// Runs `give`, which gives the successor its name, with the folder locked; then syncs the
    /// folder.
    fn with_folder_locked(&self, give: impl FnOnce() -> Result<()>) -> Result<()> {
        report::detail(format_args!("replacing {}", self.path.display()));
        // On a file system without locks, another vaultix could change the folder in this moment.
        let _ = flock(&self.folder, FlockOperation::LockExclusive);
        let given = give();
        let _ = flock(&self.folder, FlockOperation::Unlock); // The same.
        given?;
        fsync(&self.folder).map_err(|error| cannot_write(&self.path, &error.into()))
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // It no longer exists once it is in place.
        let _ = unlinkat(&self.folder, &self.temporary_name, AtFlags::empty());
    }
}

/// Returns whether `error` says that a file system cannot do something at all: rename without replacing, as many network file
/// systems (rename(2), `EINVAL`), or link, as vfat and many that programs make (link(2), `EPERM`).
fn is_unsupported(error: Errno) -> bool {
    use Errno as E;
    [E::INVAL, E::NOSYS, E::NOTSUP, E::OPNOTSUPP, E::PERM, E::MLINK].contains(&error)
}

fn cannot_write(path: &Path, error: &io::Error) -> Error {
    fence::explain(Status::CantCreat, format!("cannot write {}", origin::shown(path)), error)
}

/// Returns the `i`th name for a successor that could not replace `file_name`.
fn kept_name(file_name: &OsStr, i: u8) -> OsString {
    let file_name = Path::new(file_name);
    let mut name = file_name.file_stem().unwrap_or_default().to_owned();
    name.push(".mine");
    if i > 1 {
        name.push(format!("-{i}"));
    }
    if let Some(extension) = file_name.extension() {
        name.push(".");
        name.push(extension);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_has_appeared_in_the_meantime_stays() {
        let directory =
            std::env::temp_dir().join(format!("vaultix-replace-{}", std::process::id()));
        let path = directory.join("wifi.age");
        let mut replacement = Replacement::new(&path).unwrap();
        replacement.write(b"new").unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(replacement.persist_noclobber().is_err());
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing is left beside it");
        fs::remove_dir_all(directory).unwrap();
    }
}
