//! a generation → the record of each item, and the work that is left to do about it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{self, AtFlags, Dir, Mode};
use rustix::io::Errno;
use vaultix_generator::profile::RESERVED_NAME;
use vaultix_generator::status::Status;

use super::{Generation, NEW_ENTRY, PRIVATE};
use crate::failure::Failure;
use crate::owner::Ownership;
use crate::plaintext::Plaintext;
use crate::replace::{DIRECTORY, ensure_directory, read_file, replace_file};

/// A list in a generation's journal: a directory with one file for each entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// What each item was made from: a [`crate::record::Record`].
    Placed,
    /// Items whose consumers have not been notified of the plaintext that is there, or of the one to come. Empty files.
    NotifyConsumers,
    /// Items that are not at their own path yet. Their consumers are notified once they are. Empty files.
    PutAtPath,
    /// Units that have to be notified themselves: userborn of an early item, the target of items to start. Empty files.
    NotifyUnit,
    /// What an earlier profile put somewhere else: a [`crate::record::Record`] each.
    Remove,
    /// Items that the boot has placed and whose unit has not been started since, see [`crate::boot::fresh`].
    Fresh,
    /// Phases of a switch that have begun the generation. Cleared once it is current, and complete. Empty files.
    Unfinished,
}

/// Lists of pending work as the release before this one called them.
const OLD_NAMES: [(&str, List); 4] = [
    ("untold", List::NotifyConsumers),
    ("unplaced", List::PutAtPath),
    ("due", List::NotifyUnit),
    ("gone", List::Remove),
];

impl List {
    /// Returns the name of the directory.
    fn name(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::NotifyConsumers => "notify-consumers",
            Self::PutAtPath => "put-at-path",
            Self::NotifyUnit => "notify-unit",
            Self::Remove => "remove",
            Self::Fresh => "fresh",
            Self::Unfinished => "unfinished",
        }
    }
}

impl Generation {
    /// Moves pending work that the previous release left to the names that this one uses.
    pub(super) fn adopt_old_names(&self) -> Result<(), Errno> {
        for (old, list) in OLD_NAMES {
            let keys = names_in(&self.record, old)?;
            if keys.is_empty() {
                continue;
            }
            ensure_directory(&self.record, list.name(), PRIVATE)?;
            for key in keys {
                let (from, to) = (format!("{old}/{key}"), format!("{}/{key}", list.name()));
                fs::renameat(&self.record, from, &self.record, to)?;
            }
        }
        Ok(())
    }

    /// Returns the keys of all entries of `list`, sorted.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`] when they cannot be listed.
    pub fn entries(&self, list: List) -> Result<Vec<String>, Failure> {
        names_in(&self.record, list.name()).map_err(|error| {
            Failure::path(Status::CantCreat, "list", self.entry_path(list, ""), error)
        })
    }

    /// Returns whether `list` has an entry `key`.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`] when that cannot be determined.
    pub fn has_entry(&self, list: List, key: &str) -> Result<bool, Failure> {
        let path = format!("{}/{key}", list.name());
        match fs::accessat(&self.record, path, fs::Access::EXISTS, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => {
                Err(Failure::path(Status::CantCreat, "read", self.entry_path(list, key), error))
            }
        }
    }

    /// Returns the text of the entry `key`, `None` if there is no such entry.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`] when it cannot be read.
    pub fn entry(&self, list: List, key: &str) -> Result<Option<Plaintext>, Failure> {
        match read_file(&self.record, format!("{}/{key}", list.name())) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(Failure::path(Status::CantCreat, "read", self.entry_path(list, key), error))
            }
        }
    }

    /// Writes the entry `key`, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path.
    pub fn write_entry(&self, list: List, key: &str, text: &Plaintext) -> Result<(), Failure> {
        let ownership = Ownership::own(0o600);
        let path = format!("{}/{key}", list.name());
        ensure_directory(&self.record, list.name(), PRIVATE)
            .and_then(|()| {
                replace_file(&self.record, NEW_ENTRY, &self.record, &path, text, ownership)
            })
            .map_err(|error| Failure::write(self.entry_path(list, key), error))
    }

    /// Writes the entry `key`, an empty file.
    ///
    /// # Errors
    ///
    /// As [`Self::write_entry`].
    pub fn mark(&self, list: List, key: &str) -> Result<(), Failure> {
        self.write_entry(list, key, &Plaintext::new(Vec::new()))
    }

    /// Takes over the entry `key` of the generation `from`, as a hard link.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path.
    pub fn link_entry(&self, from: &Self, list: List, key: &str) -> Result<(), Failure> {
        let path = format!("{}/{key}", list.name());
        ensure_directory(&self.record, list.name(), PRIVATE)
            .and_then(|()| fs::linkat(&from.record, &path, &self.record, &path, AtFlags::empty()))
            .map_err(|error| Failure::write(self.entry_path(list, key), error))
    }

    /// Removes the entry `key`, if there is one: the work is done.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path.
    pub fn clear(&self, list: List, key: &str) -> Result<(), Failure> {
        match fs::unlinkat(&self.record, format!("{}/{key}", list.name()), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => {
                Err(Failure::path(Status::CantCreat, "remove", self.entry_path(list, key), error))
            }
        }
    }

    /// Returns the path of an entry, for errors.
    fn entry_path(&self, list: List, key: &str) -> PathBuf {
        self.path.join(RESERVED_NAME).join(list.name()).join(key)
    }
}

/// Returns the names in the directory `name` of `parent`, sorted; none if there is no such directory.
fn names_in(parent: &OwnedFd, name: &str) -> Result<Vec<String>, Errno> {
    let directory = match fs::openat(parent, name, DIRECTORY, Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        // Besides `.` and `..`, what a killed program did not finish.
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}
