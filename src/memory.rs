//! [`Plaintext`] → a file in memory that only the user may enter, for another program; gone when dropped.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use vaultix_units::plaintext::Plaintext;

/// Type of a tmpfs, from linux/magic.h.
const TMPFS: u64 = 0x0102_1994;

/// Type of a ramfs, from there, too.
const RAMFS: u64 = 0x8584_58f6;

/// What our directories are called: this, a process and a number.
const PREFIX: &str = "vaultix-";

/// A directory in memory; gone with all in it when dropped.
pub struct Directory {
    /// Where it is.
    pub path: PathBuf,
    /// The same, locked as long as its process lives. Not in the hands of the program, which may live longer.
    _lock: OwnedFd,
}

impl Directory {
    /// Makes one, and removes those whose process was killed.
    ///
    /// # Errors
    ///
    /// Why there is no place for it.
    pub fn new() -> Result<Self, String> {
        let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let user = rustix::process::getuid().as_raw();
        let places = [
            runtime,
            Some(format!("/run/user/{user}").into()),
            Some("/dev/shm".into()),
            Some("/run".into()),
        ];
        let places: Vec<PathBuf> = places.into_iter().flatten().collect();
        places.iter().filter(|place| is_in_memory(place)).for_each(|place| sweep(place));
        places.iter().find_map(|place| Self::in_place(place)).ok_or_else(|| {
            let list: Vec<String> =
                places.iter().map(|place| place.display().to_string()).collect();
            format!("none of {} is a tmpfs that we may write", list.join(", "))
        })
    }

    /// Writes `text` to the new file `name`, and the directories above it. Returns its path.
    ///
    /// # Errors
    ///
    /// The system's own.
    pub fn write(&self, name: &Path, text: &Plaintext) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        if let Some(parent) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text.expose())?;
        Ok(path)
    }

    /// Makes one in `place`, if that is in memory.
    fn in_place(place: &Path) -> Option<Self> {
        if !is_in_memory(place) {
            return None;
        }
        // Some other program's directory of this name is left alone.
        (0..100_u8).find_map(|i| {
            let path = place.join(format!("{PREFIX}{}-{i}", std::process::id()));
            DirBuilder::new().mode(0o700).create(&path).ok()?;
            // Somebody who sweeps may have come in between; then it is gone, and the next name is tried.
            let lock = lock(&path).filter(|_| path.exists())?;
            Some(Self { path, _lock: lock })
        })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Returns whether `place` is on a file system in memory.
fn is_in_memory(place: &Path) -> bool {
    let kind = rustix::fs::statfs(place).ok().and_then(|stat| u64::try_from(stat.f_type).ok());
    place.is_absolute() && matches!(kind, Some(TMPFS | RAMFS))
}

/// Opens and locks a directory, if nobody else has.
fn lock(path: &Path) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    flock(&directory, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(directory)
}

/// Removes what killed processes of ours left in `place`: their locks are gone with them.
fn sweep(place: &Path) {
    let user = rustix::process::getuid().as_raw();
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(is_ours)
            && entry
                .metadata()
                .is_ok_and(|found| found.uid() == user && found.mode() & 0o777 == 0o700);
        if ours && let Some(_lock) = lock(&entry.path()) {
            remove(&entry.path());
        }
    }
}

/// Returns whether a directory of this name is one of ours.
fn is_ours(name: &str) -> bool {
    let numbers = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(process, i)| is_number(process) && is_number(i))
}

/// Removes `directory` with all in it, whatever a program did to it.
fn remove(directory: &Path) {
    wipe(directory);
    let _ = fs::remove_dir_all(directory); // What cannot be removed is wiped.
}

/// Overwrites the files in `directory`, so that the memory behind them does not keep what they held.
fn wipe(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if metadata.is_dir() {
            wipe(&path);
        } else if metadata.is_file() {
            let file = File::options().write(true).open(&path);
            let mut zeros = io::Read::take(io::repeat(0), metadata.len());
            // A file that cannot be written is still removed.
            let _ = file.and_then(|mut file| io::copy(&mut zeros, &mut file));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_directories_are_swept() {
        assert!(is_ours("vaultix-12-0"));
        for name in ["vaultix", "vaultix-12", "vaultix-for-user", "vaultix-1-", "vaultix-1-2-3"] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
