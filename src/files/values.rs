//! structured file + keys → its format, and each of these values as a plaintext of its own; and the errors that name them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;

use vaultix_generator::escape;
use vaultix_generator::profile::Key;
use vaultix_units::plaintext::Plaintext;

use crate::error::{Error, Result, Status};
use crate::structured::{Document, Format, Pointer};
use crate::system::origin;

/// Returns the format of the file `path`: the one called `named`, or else that of its name.
///
/// # Errors
///
/// When there is no such format, or its name has none.
pub fn format(path: &Path, named: Option<&str>) -> Result<Format> {
    let all = || Format::NAMES.map(|(name, _)| name).join(", ");
    let what =
        || Error::new(Status::Usage, format!("cannot find values in {}", origin::shown(path)));
    match named {
        Some(name) => Format::parse(name)
            .ok_or_else(|| what().because(format!("the format \"{name}\" is none of {}", all()))),
        None => Format::of_file(path).ok_or_else(|| {
            what()
                .because("its name does not end with a format and .age, such as .yaml.age")
                .fix(format!("pass --format, one of {}", all()))
        }),
    }
}

/// Returns the pointer that the user has written as `key`.
///
/// # Errors
///
/// When it is none.
pub fn pointer(key: &str) -> Result<Pointer> {
    Pointer::from_user(key).map_err(|reason| {
        Error::new(Status::Usage, format!("cannot use the key \"{key}\"")).because(reason)
    })
}

/// Returns the error for the file `path`, which cannot be read as `format`, for this reason.
pub fn cannot_parse(path: &Path, format: impl Display, reason: impl Display) -> Error {
    let shown = origin::shown(path);
    Error::new(Status::DataErr, format!("cannot read {shown} as {format}"))
        .because(reason)
        .fix(edit(path))
}

/// Values of one file.
pub struct Values<'a> {
    whole: &'a Plaintext,
    parts: BTreeMap<&'a Key, Result<Plaintext>>,
    /// Those that the file does not have.
    missing: BTreeSet<&'a Key>,
}

impl<'a> Values<'a> {
    /// Reads what is at `keys` in `whole`, the plaintext of the file `path`. It is parsed once for each format.
    pub fn read(
        path: &Path,
        whole: &'a Plaintext,
        keys: impl IntoIterator<Item = &'a Key>,
    ) -> Self {
        let mut documents = BTreeMap::new();
        let keys: BTreeSet<&Key> = keys.into_iter().collect();
        let mut lacking = BTreeSet::new();
        let read = |key: &'a Key| {
            let document =
                documents.entry(key.format.as_str()).or_insert_with(|| parse(path, whole, key));
            let value = document.as_ref().map_err(Clone::clone).and_then(|document| {
                let pointer = Pointer::from_user(&key.pointer)
                    .map_err(|reason| missing(path, key, &reason))?;
                let mut value = document.get(&pointer).map_err(|reason| {
                    lacking.insert(key);
                    missing(path, key, &reason)
                })?;
                Ok(Plaintext::new(std::mem::take(&mut *value)))
            });
            (key, value)
        };
        let parts = keys.into_iter().map(read).collect();
        Self { whole, parts, missing: lacking }
    }

    /// Returns whether the file, which can be read, has nothing at `key`.
    pub fn lacks(&self, key: Option<&Key>) -> bool {
        key.is_some_and(|key| self.missing.contains(key))
    }

    /// Returns the value at one of the keys; the whole file for `None`.
    ///
    /// # Errors
    ///
    /// When the file does not have it, or is not in its format: with the key and those that are there, never a value.
    pub fn get(&self, key: Option<&Key>) -> Result<&Plaintext> {
        let Some(key) = key else { return Ok(self.whole) };
        match self.parts.get(key) {
            Some(value) => value.as_ref().map_err(Clone::clone),
            None => Err(Error::new(Status::DataErr, format!("cannot find {}", key.pointer))
                .because("it was not read")),
        }
    }
}

fn parse(path: &Path, whole: &Plaintext, key: &Key) -> Result<Document> {
    let Some(format) = Format::parse(&key.format) else {
        return Err(cannot_parse(path, &key.format, "there is no such format"));
    };
    Document::parse(whole.expose(), format)
        .map_err(|malformed| cannot_parse(path, format, malformed))
}

fn missing(path: &Path, key: &Key, reason: &str) -> Error {
    let what = format!("cannot find {} in {}", key.pointer, origin::shown(path));
    Error::new(Status::DataErr, what).because(reason).fix(edit(path))
}

fn edit(path: &Path) -> String {
    format!("vaultix edit {}", escape::shell_path(origin::shown(path)))
}
