//! source + recipient → name of a file in the cache; ciphertext → that file, whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use sha2::{Digest, Sha256};
use vaultix_generator::escape;

use crate::error::{Error, Exit, Result};
use crate::plan::{Entry, Listing, is_ours};
use crate::report;
use crate::source::hex;

/// What stands before the name of a file that is not whole yet.
const BESIDE: &str = ".new-";

/// Up to how many files are synced to disk each on its own (64).
///
/// Beyond that, one sync of the whole file system is faster: 0.35 ms a file against 76 ms for 300 on ext4.
/// Below it, that could mean to wait for what other programs wrote.
const SYNC_EACH: usize = 64;

/// Returns the name of the file that holds the source with this digest, encrypted to `recipient`.
///
/// `digest` is the SHA-256 of the source's bytes in lower-case hex, and `recipient` in the form of
/// [`crate::recipient::canonical`]. `nix/cache-name.nix` computes the same name at evaluation;
/// `tests/vectors/cache-name.json` holds the cases both must pass.
pub fn name(digest: &str, recipient: &str) -> String {
    let mut hash = Sha256::new();
    for part in ["vaultix-v1\n", digest, "\n", recipient, "\n"] {
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// Returns what `root` holds for `hosts`. What is not there is empty.
///
/// # Errors
///
/// Names the directory that cannot be read.
pub fn list<'a>(root: &Path, hosts: impl Iterator<Item = &'a str>) -> Result<Listing> {
    hosts
        .map(|host| {
            let directory = root.join(host);
            let mut files = files(&directory)?;
            files.retain(|(name, _)| !is_leftover(name));
            Ok((host.to_owned(), files.into_iter().collect()))
        })
        .collect()
}

/// Returns names and sizes of what is in `directory`; none where it does not exist.
///
/// A link is not followed: it may have come with somebody's commit, and what is of no use to a host is removed.
fn files(directory: &Path) -> Result<Vec<(String, u64)>> {
    let shown = directory.display();
    let what = || Error::new(Exit::CantCreate, format!("cannot list the cache {shown}"));
    if directory.symlink_metadata().is_ok_and(|metadata| !metadata.is_dir()) {
        return Err(what()
            .because("it is no directory")
            .fix(format!("rm {}", escape::shell_path(directory))));
    }
    read_directory(directory).map_err(|error| what().because(error))
}

/// Does that.
fn read_directory(directory: &Path) -> io::Result<Vec<(String, u64)>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    entries
        .map(|entry| {
            let entry = entry?;
            let metadata = entry.metadata()?;
            // What is not a file cannot be read as one: as good as absent.
            let size = if metadata.is_file() { metadata.len() } else { 0 };
            Ok((entry.file_name().to_string_lossy().into_owned(), size))
        })
        .collect()
}

/// Returns whether `name` is that of a file which a killed run did not finish.
fn is_leftover(name: &str) -> bool {
    name.strip_prefix(BESIDE).is_some_and(is_ours)
}

/// A cache that is being changed, by nobody else at the same time.
pub struct Cache {
    /// Its directory.
    root: PathBuf,
    /// The same, open and locked.
    directory: File,
}

impl Cache {
    /// Makes sure that `root` is there, and locks it against other runs of this program.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or another run is at work in it.
    pub fn open(root: &Path) -> Result<Self> {
        let what =
            || Error::new(Exit::CantCreate, format!("cannot write the cache {}", root.display()));
        fs::create_dir_all(root).map_err(|error| what().because(error))?;
        let directory = File::open(root).map_err(|error| what().because(error))?;
        match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { root: root.to_owned(), directory }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(what().because("another vaultix is at work in it"))
            }
            Err(error) => Err(what().because(error)),
        }
    }

    /// Removes what killed runs left behind for `host`.
    ///
    /// # Errors
    ///
    /// Names the file that cannot be removed, or the directory that cannot be read.
    pub fn sweep(&self, host: &str) -> Result<()> {
        let names = files(&self.root.join(host))?;
        for (name, _) in names.into_iter().filter(|(name, _)| is_leftover(name)) {
            self.remove(&Entry { host: host.to_owned(), name })?;
        }
        Ok(())
    }

    /// Writes `ciphertext` beside the place of `entry`.
    ///
    /// # Errors
    ///
    /// Names the file. Nothing is left of it.
    pub fn stage(&self, entry: &Entry, ciphertext: &[u8]) -> Result<Staged> {
        let directory = self.root.join(&entry.host);
        let path = directory.join(&entry.name);
        let beside = directory.join(format!("{BESIDE}{}", entry.name));
        let write = || {
            fs::create_dir_all(&directory)?;
            let mut options = File::options();
            options.write(true).create(true).truncate(true).mode(0o666);
            let mut file = options.open(&beside)?;
            // From here on, what is there is ours to remove.
            let staged = Staged { beside: beside.clone(), path: path.clone() };
            file.write_all(ciphertext)?;
            Ok(staged)
        };
        write().map_err(|error: io::Error| cannot_write(&path, error))
    }

    /// Gives all of `staged` their names, once they are safely on disk.
    ///
    /// Returns an outcome for each, in order. Where one fails, its old file is still there, if there was one.
    ///
    /// # Errors
    ///
    /// When the disk fails. Then none has its name.
    pub fn commit(&self, staged: Vec<Staged>) -> Result<Vec<Result<()>>> {
        let what = |error: io::Error| cannot_write(&self.root, error);
        let each = staged.len() <= SYNC_EACH;
        if each {
            for file in &staged {
                File::open(&file.beside).and_then(|file| file.sync_all()).map_err(what)?;
            }
        } else {
            rustix::fs::syncfs(&self.directory).map_err(|error| what(error.into()))?;
        }
        let mut directories: Vec<PathBuf> =
            staged.iter().filter_map(|file| file.path.parent().map(Path::to_owned)).collect();
        let count = staged.len();
        let outcomes = staged.into_iter().map(Staged::settle).collect();
        if each {
            directories.push(self.root.clone());
            directories.dedup();
            for directory in directories {
                File::open(directory).and_then(|file| file.sync_all()).map_err(what)?;
            }
        } else {
            rustix::fs::syncfs(&self.directory).map_err(|error| what(error.into()))?;
        }
        report::detail(format_args!("wrote {count} copies to {}, and synced", self.root.display()));
        Ok(outcomes)
    }

    /// Removes the file of `entry`.
    ///
    /// # Errors
    ///
    /// Names the file.
    pub fn remove(&self, entry: &Entry) -> Result<()> {
        let path = self.root.join(&entry.host).join(&entry.name);
        report::detail(format_args!("removing {}", path.display()));
        fs::remove_file(&path).map_err(|error| {
            Error::new(Exit::CantCreate, format!("cannot remove {}", path.display())).because(error)
        })
    }
}

/// Returns the error of a file that cannot be written.
fn cannot_write(path: &Path, error: io::Error) -> Error {
    Error::new(Exit::CantCreate, format!("cannot write {}", path.display())).because(error)
}

/// A file that is written, but does not have its name yet. Removed when dropped.
pub struct Staged {
    /// Where it is.
    beside: PathBuf,
    /// Where it will be.
    path: PathBuf,
}

impl Staged {
    /// Gives the file its name.
    fn settle(self) -> Result<()> {
        fs::rename(&self.beside, &self.path).map_err(|error| cannot_write(&self.path, error))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.beside); // Not there once it has its name.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_sha256sum_says() {
        // printf 'vaultix-v1\n%s\n%s\n' "$(printf secret | sha256sum | cut -d' ' -f1)" age1xyz | sha256sum
        let digest = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        assert_eq!(name(digest, "age1xyz"), NAME);
    }

    /// What that command prints.
    const NAME: &str = "ac041395a2eb47115f23239676b2e82f24d7e34038de642277a5359568c8491a";

    #[test]
    fn only_our_own_leftovers_are_leftovers() {
        assert!(is_leftover(&format!(".new-{}", "a".repeat(64))));
        assert!(!is_leftover(".new-thing"));
        assert!(!is_leftover(&"a".repeat(64)));
    }
}
