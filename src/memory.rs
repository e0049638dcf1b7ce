//! [`Plaintext`] → a file in memory that only the user may enter, for another program; gone when dropped.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use vaultix_units::plaintext::Plaintext;

/// Type of a tmpfs, from linux/magic.h.
const TMPFS: u64 = 0x0102_1994;

/// Type of a ramfs, from there, too.
const RAMFS: u64 = 0x8584_58f6;

/// A directory in memory that only the user may enter; gone with all in it when dropped.
pub struct Directory(PathBuf);

impl Directory {
    /// Makes one.
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
        places.iter().find_map(|place| Self::in_place(place)).ok_or_else(|| {
            let list: Vec<String> =
                places.iter().map(|place| place.display().to_string()).collect();
            format!("none of {} is a tmpfs that we may write", list.join(", "))
        })
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes `text` to the new file `name`, and the directories above it. Returns its path.
    ///
    /// # Errors
    ///
    /// The system's own.
    pub fn write(&self, name: &Path, text: &Plaintext) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        if let Some(parent) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text.expose())?;
        Ok(path)
    }

    /// Makes one in `place`, if that is in memory.
    fn in_place(place: &Path) -> Option<Self> {
        let kind = u64::try_from(rustix::fs::statfs(place).ok()?.f_type).ok()?;
        if !place.is_absolute() || !matches!(kind, TMPFS | RAMFS) {
            return None;
        }
        // Some other program's directory of this name is left alone.
        (0..100_u8).find_map(|i| {
            let path = place.join(format!("vaultix-{}-{i}", std::process::id()));
            DirBuilder::new().mode(0o700).create(&path).ok()?;
            Some(Self(path))
        })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        wipe(&self.0);
        let _ = fs::remove_dir_all(&self.0); // Whatever the program did to it.
    }
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
