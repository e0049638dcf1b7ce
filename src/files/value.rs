//! plaintext of a file with many values + keys → each of these values as a plaintext of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use vaultix_generator::escape;
use vaultix_generator::profile::Key;
use vaultix_units::plaintext::Plaintext;

use crate::error::{Error, Result, Status};
use crate::structured::{Document, Format, Pointer};
use crate::system::origin;

/// Values of one file.
pub struct Values<'a> {
    whole: &'a Plaintext,
    parts: BTreeMap<&'a Key, Result<Plaintext>>,
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
        let read = |key: &'a Key| {
            let document =
                documents.entry(key.format.as_str()).or_insert_with(|| parse(path, whole, key));
            let value = document.as_ref().map_err(Clone::clone).and_then(|document| {
                let pointer = Pointer::from_user(&key.pointer)
                    .map_err(|reason| missing(path, key, &reason))?;
                let mut value =
                    document.get(&pointer).map_err(|reason| missing(path, key, &reason))?;
                Ok(Plaintext::new(std::mem::take(&mut *value)))
            });
            (key, value)
        };
        Self { whole, parts: keys.into_iter().map(read).collect() }
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
    let failed = |format: &str, reason: &str| {
        Error::new(Status::DataErr, format!("cannot read {} as {format}", origin::shown(path)))
            .because(reason)
            .fix(edit(path))
    };
    let Some(format) = Format::parse(&key.format) else {
        return Err(failed(&key.format, "there is no such format"));
    };
    Document::parse(whole.expose(), format)
        .map_err(|malformed| failed(&format.to_string(), &malformed.to_string()))
}

fn missing(path: &Path, key: &Key, reason: &str) -> Error {
    let what = format!("cannot find {} in {}", key.pointer, origin::shown(path));
    Error::new(Status::DataErr, what).because(reason).fix(edit(path))
}

fn edit(path: &Path) -> String {
    format!("vaultix edit {}", escape::shell_path(origin::shown(path)))
}
