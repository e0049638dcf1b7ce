//! one numbered directory of the ramfs → its plaintexts, and its journal.
//!
//! ```text
//! /run/vaultix.d/current -> 2
//! /run/vaultix.d/2/wifi                            a plaintext
//! /run/vaultix.d/2/.vaultix/placed/UNIT            its record: what it was made from, and where it was put
//! /run/vaultix.d/2/.vaultix/notify-consumers/UNIT  its consumers have not been notified of it
//! /run/vaultix.d/2/.vaultix/put-at-path/UNIT       it is not at its own path yet; its consumers are notified once it is
//! /run/vaultix.d/2/.vaultix/notify-unit/UNIT       the unit itself has to be notified: userborn of early items, or the target
//! /run/vaultix.d/2/.vaultix/remove/UNIT            what an earlier profile put elsewhere, to be removed
//! /run/vaultix.d/2/.vaultix/fresh/UNIT             the boot has placed it, and its unit has not been started since
//! /run/vaultix.d/2/.vaultix/unfinished/switch      a switch has begun it, and it was never current and complete
//! ```
//!
//! Nothing here opens a plaintext again: its owner can take a lease on it and block whoever opens it, see fcntl(2). What was
//! placed is known from its record; code that needs the text decrypts it again.
//!
//! Work that a switch or an item still has to do is written to the journal before its plaintext is there, and cleared once it
//! is done: a program that is killed on the way leaves it to the next one.

mod journal;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Mode, Stat};
use rustix::io::Errno;
use vaultix_generator::profile::RESERVED_NAME;
use vaultix_generator::status::Status;

use crate::failure::Failure;
use crate::owner::Ownership;
use crate::plaintext::Plaintext;
use crate::record::Record;
use crate::replace::{DIRECTORY, ensure_directory, make_directory, replace_file};
pub use journal::List;

/// Mode of the directories of a generation: everyone may pass through, only root may list.
const PASSABLE: Mode = Mode::from_raw_mode(0o711);
const PRIVATE: Mode = Mode::from_raw_mode(0o700);

/// The entry of a switch in [`List::Unfinished`].
pub(crate) const SWITCH: &str = "switch";
/// A file on its way into a generation; only the holder of the lock makes one.
const NEW: &str = ".new";
/// An entry of the journal on its way.
const NEW_ENTRY: &str = ".entry";

/// One numbered directory.
pub struct Generation {
    /// Its number, from 1.
    pub number: u32,
    path: PathBuf,
    root: OwnedFd,
    /// The directory with its journal.
    record: OwnedFd,
}

impl Generation {
    /// Opens the generation `number` in the ramfs `root`, which is mounted at `point`, and makes what is missing of it, so that
    /// one that a killed program left behind can be used.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path.
    pub(crate) fn open(root: &OwnedFd, point: &Path, number: u32) -> Result<Self, Failure> {
        let path = point.join(number.to_string());
        let make = || {
            let root = make_directory(root, &number.to_string(), PASSABLE)?;
            let record = make_directory(&root, RESERVED_NAME, PRIVATE)?;
            Ok((root, record))
        };
        let (root, record) = make().map_err(|error: Errno| Failure::write(&path, error))?;
        for unfinished in [NEW, NEW_ENTRY] {
            // Left by a program that was killed. What cannot be removed now is replaced or removed with the generation.
            let _ = fs::unlinkat(&record, unfinished, AtFlags::empty());
        }
        let generation = Self { number, path, root, record };
        generation.adopt_old_names().map_err(|error| Failure::write(&generation.path, error))?;
        Ok(generation)
    }

    /// Opens the generation `number` as it is, to be read; `None` if it is not complete.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path.
    pub(crate) fn look(root: &OwnedFd, point: &Path, number: u32) -> Result<Option<Self>, Failure> {
        let path = point.join(number.to_string());
        let open = || {
            let root = fs::openat(root, number.to_string(), DIRECTORY, Mode::empty())?;
            let record = fs::openat(&root, RESERVED_NAME, DIRECTORY, Mode::empty())?;
            Ok((root, record))
        };
        match open() {
            Ok((root, record)) => Ok(Some(Self { number, path, root, record })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(Failure::path(Status::CantCreat, "open", path, error)),
        }
    }

    /// Returns whether no switch has finished it. What a killed one has just made is empty.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`] when that cannot be determined.
    pub fn is_unfinished(&self) -> Result<bool, Failure> {
        Ok(self.has_entry(List::Unfinished, SWITCH)? || self.entries(List::Placed)?.is_empty())
    }

    /// Returns the path of its file `name`.
    #[must_use]
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns the metadata of `name`, if it exists.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`] when that cannot be determined.
    pub fn stat(&self, name: &str) -> Result<Option<Stat>, Failure> {
        match fs::statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => {
                Err(Failure::path(Status::CantCreat, "look at", self.path_of(name), error))
            }
        }
    }

    /// Returns the record of what was placed as the item `key`.
    ///
    /// # Errors
    ///
    /// As [`Generation::entry`].
    pub fn record(&self, key: &str) -> Result<Option<Record>, Failure> {
        Ok(self.entry(List::Placed, key)?.as_ref().and_then(Record::parse))
    }

    /// Writes the file `name`, which has its owner, group and mode as soon as it exists. An existing one
    /// is replaced in the same step, or left as it is.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path; nothing has changed in that case.
    pub fn write(
        &self,
        name: &str,
        plaintext: &Plaintext,
        ownership: Ownership,
    ) -> Result<(), Failure> {
        // In a directory that only root can access: nobody sees the file before it has its owner.
        let write = || {
            self.make_parents(name)?;
            replace_file(&self.record, NEW, &self.root, name, plaintext, ownership)
        };
        write().map_err(|error: Errno| Failure::write(self.path_of(name), error))
    }

    /// Takes over the file `old` of the generation `from` as `name`, as a hard link.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path; among others, when there is a file of this name already.
    pub fn link(&self, from: &Self, old: &str, name: &str) -> Result<(), Failure> {
        self.make_parents(name)
            .and_then(|()| fs::linkat(&from.root, old, &self.root, name, AtFlags::empty()))
            .map_err(|error| Failure::write(self.path_of(name), error))
    }

    /// Makes the parent directories of the file `name`.
    fn make_parents(&self, name: &str) -> Result<(), Errno> {
        let at = name.match_indices('/').filter_map(|(at, _)| name.get(..at));
        for parent in at {
            ensure_directory(&self.root, parent, PASSABLE)?;
        }
        Ok(())
    }
}
