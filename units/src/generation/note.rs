//! a generation → what is known and what is left to do about its items, written down beside them.

use std::io;
use std::path::PathBuf;

use rustix::fs::{self, AtFlags, Dir, Mode};
use rustix::io::Errno;
use vaultix_generator::profile::RESERVED_NAME;
use vaultix_generator::status::Status;

use super::{Generation, NEW_NOTE, PRIVATE};
use crate::failure::Failure;
use crate::owner::Ownership;
use crate::plaintext::Plaintext;
use crate::replace::{DIRECTORY, ensure_directory, read_file, replace_file};

/// What a generation notes about an item besides its plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// What it was made from: a [`crate::record::Record`].
    Placed,
    /// Its consumers have not been told of the plaintext that is there, or of the one to come. Empty.
    Untold,
    /// It is not where its own path says, so that its consumers are not told yet. Empty.
    Unplaced,
    /// The unit has to be told: userborn of an early item, the target of items to start. Empty.
    Due,
    /// What an earlier profile put somewhere else: a [`crate::record::Record`].
    Gone,
}

impl Note {
    /// Returns the name of the directory.
    fn name(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Untold => "untold",
            Self::Unplaced => "unplaced",
            Self::Due => "due",
            Self::Gone => "gone",
        }
    }
}

impl Generation {
    /// Returns the names of all notes of this kind, sorted.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`] when they cannot be listed.
    pub fn notes(&self, kind: Note) -> Result<Vec<String>, Failure> {
        let list = || {
            let directory = match fs::openat(&self.record, kind.name(), DIRECTORY, Mode::empty()) {
                Ok(directory) => directory,
                Err(Errno::NOENT) => return Ok(Vec::new()),
                Err(error) => return Err(error),
            };
            let mut keys = Vec::new();
            for entry in Dir::read_from(&directory)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                // Besides `.` and `..`, what a killed program did not finish.
                if !name.starts_with('.') {
                    keys.push(name);
                }
            }
            keys.sort_unstable();
            Ok(keys)
        };
        list().map_err(|error: Errno| {
            Failure::path(Status::CantCreat, "list", self.path_of_note(kind, ""), error)
        })
    }

    /// Returns whether there is a note `key` of this kind.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`] when that cannot be told.
    pub fn has_note(&self, kind: Note, key: &str) -> Result<bool, Failure> {
        let path = format!("{}/{key}", kind.name());
        match fs::accessat(&self.record, path, fs::Access::EXISTS, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => {
                Err(Failure::path(Status::CantCreat, "read", self.path_of_note(kind, key), error))
            }
        }
    }

    /// Returns the text of the note `key`, `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`] when it cannot be read.
    pub fn note(&self, kind: Note, key: &str) -> Result<Option<Plaintext>, Failure> {
        match read_file(&self.record, format!("{}/{key}", kind.name())) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(Failure::path(Status::CantCreat, "read", self.path_of_note(kind, key), error))
            }
        }
    }

    /// Writes the note `key`, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path.
    pub fn write_note(&self, kind: Note, key: &str, text: &Plaintext) -> Result<(), Failure> {
        let ownership = Ownership { uid: 0, gid: 0, mode: 0o600 };
        let path = format!("{}/{key}", kind.name());
        ensure_directory(&self.record, kind.name(), PRIVATE)
            .and_then(|()| {
                replace_file(&self.record, NEW_NOTE, &self.record, &path, text, ownership)
            })
            .map_err(|error| Failure::write(self.path_of_note(kind, key), error))
    }

    /// Writes the note `key`, which has no text.
    ///
    /// # Errors
    ///
    /// As [`Self::write_note`].
    pub fn mark(&self, kind: Note, key: &str) -> Result<(), Failure> {
        self.write_note(kind, key, &Plaintext::new(Vec::new()))
    }

    /// Takes over the note `key` of the generation `from`.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path.
    pub fn link_note(&self, from: &Self, kind: Note, key: &str) -> Result<(), Failure> {
        let path = format!("{}/{key}", kind.name());
        ensure_directory(&self.record, kind.name(), PRIVATE)
            .and_then(|()| fs::linkat(&from.record, &path, &self.record, &path, AtFlags::empty()))
            .map_err(|error| Failure::write(self.path_of_note(kind, key), error))
    }

    /// Strikes out the note `key`, if there is one.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path.
    pub fn strike_note(&self, kind: Note, key: &str) -> Result<(), Failure> {
        match fs::unlinkat(&self.record, format!("{}/{key}", kind.name()), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => {
                Err(Failure::path(Status::CantCreat, "remove", self.path_of_note(kind, key), error))
            }
        }
    }

    /// Returns the path of a note, for errors.
    fn path_of_note(&self, kind: Note, key: &str) -> PathBuf {
        self.path.join(RESERVED_NAME).join(kind.name()).join(key)
    }
}
