//! a file + new bytes → the file with these bytes; or as it was, never half of each.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Exit, Result};
use crate::report;

/// A file that is about to be replaced, and its successor beside it. That is removed when dropped.
pub struct Target {
    /// The file, links followed.
    path: PathBuf,
    /// Where its successor is.
    beside: PathBuf,
    /// The same, open.
    file: File,
}

impl Target {
    /// Makes the successor of `path`, and the directories above it.
    ///
    /// # Errors
    ///
    /// The system's own, with the file's name.
    pub fn new(path: &Path) -> Result<Self> {
        Self::with_mode(path, 0o666)
    }

    /// The same, for a file that only the user may read, if it is new.
    ///
    /// # Errors
    ///
    /// As [`Target::new`].
    pub fn private(path: &Path) -> Result<Self> {
        Self::with_mode(path, 0o600)
    }

    /// Makes the successor with `mode`, less the user's umask, unless the file is there and has one.
    fn with_mode(path: &Path, mode: u32) -> Result<Self> {
        Self::create(path, mode).map_err(|error| {
            Error::new(Exit::CantCreate, format!("cannot write {}", path.display())).because(error)
        })
    }

    /// Does that.
    fn create(path: &Path, new_mode: u32) -> io::Result<Self> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        if directory != Path::new("") {
            fs::create_dir_all(directory)?;
        }
        let mut new = OsString::from(".");
        new.push(name);
        new.push(format!(".new-{}", std::process::id()));
        let beside = directory.join(new);
        let mode = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(metadata) if metadata.file_type().is_fifo() => {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            Ok(metadata) => Some(metadata.permissions().mode()),
            Err(_) => None,
        };
        let file = File::options().write(true).create_new(true).mode(new_mode).open(&beside)?;
        let target = Self { path, beside, file };
        if let Some(mode) = mode {
            target.file.set_permissions(fs::Permissions::from_mode(mode & 0o777))?;
        }
        Ok(target)
    }

    /// Writes the successor, safely to disk.
    ///
    /// # Errors
    ///
    /// The system's own. The file is as it was.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).and_then(|()| self.file.sync_all()).map_err(|error| {
            Error::new(Exit::CantCreate, format!("cannot write {}", self.path.display()))
                .because(error)
        })
    }

    /// Puts the successor in the file's place.
    ///
    /// # Errors
    ///
    /// The system's own. The file is as it was, or wholly new.
    pub fn settle(self) -> Result<()> {
        self.put(|beside, path| fs::rename(beside, path))
    }

    /// Puts the successor where no file was; if there is one meanwhile, it stays.
    ///
    /// # Errors
    ///
    /// The system's own.
    pub fn settle_new(self) -> Result<()> {
        self.put(|beside, path| fs::hard_link(beside, path))
    }

    /// Gives the successor its name by `give`, safely on disk.
    fn put(&self, give: impl FnOnce(&Path, &Path) -> io::Result<()>) -> Result<()> {
        report::detail(format_args!("replacing {}", self.path.display()));
        let write = || {
            give(&self.beside, &self.path)?;
            let directory = self.path.parent().filter(|parent| *parent != Path::new(""));
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(|error| {
            Error::new(Exit::CantCreate, format!("cannot write {}", self.path.display()))
                .because(error)
        })
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.beside); // Not there once it is in place.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_meanwhile_stays() {
        let directory =
            std::env::temp_dir().join(format!("vaultix-replace-{}", std::process::id()));
        let path = directory.join("wifi.age");
        let mut target = Target::new(&path).unwrap();
        target.write(b"new").unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(target.settle_new().is_err());
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing is left beside it");
        fs::remove_dir_all(directory).unwrap();
    }
}
