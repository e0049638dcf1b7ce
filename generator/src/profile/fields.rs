//! one JSON object → its fields, taken one by one, each error with the location it stands at.

use std::fmt;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::private;

/// Why a value of a profile is invalid: where it is, what is wrong, and, if known, what to write instead.
///
/// Displays as `secrets.wifi.mode: "0400zzz" is not three or four octal digits; write it like "0400"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Path of the invalid value from the top of the profile, fields joined by dots.
    pub location: String,
    /// What is wrong with it, as a clause that follows the location.
    pub problem: String,
    /// What to do about it, as an imperative clause.
    pub fix: Option<String>,
}

impl Invalid {
    /// Returns the failure `problem` at `location`, without advice.
    pub fn new(location: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { location: location.into(), problem: problem.into(), fix: None }
    }

    /// Returns the failure `problem` of a value whose location the caller knows, see [`Fields::check`].
    pub(super) fn here(problem: impl Into<String>) -> Self {
        Self::new("", problem)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.location.is_empty() {
            write!(f, "{}: ", self.location)?;
        }
        f.write_str(&self.problem)?;
        self.fix.iter().try_for_each(|fix| write!(f, "; {fix}"))
    }
}

impl std::error::Error for Invalid {}

/// The entries of a JSON object in the order of the text, values not yet read.
///
/// This is the first stage of reading: a value is checked only when it is read itself, so that an invalid one
/// affects only its own entry.
pub(super) struct Entries<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Collects the entries of a map.
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut entries = Vec::with_capacity(map.size_hint().unwrap_or(0));
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_map(Collect).map(Entries)
    }
}

impl<'a> Entries<'a> {
    /// Reads the object `text`, which stands at `location`.
    ///
    /// # Errors
    ///
    /// Names `location` when the value there is not an object, and the key when one appears twice: it is unknown
    /// which of two values was meant.
    pub(super) fn read(location: &str, text: &'a RawValue) -> Result<Self, Invalid> {
        let entries: Self = serde_json::from_str(text.get())
            .map_err(|error| Invalid::new(location, without_position(&error)))?;
        let mut keys: Vec<&str> = entries.0.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        match keys.windows(2).find_map(|pair| match pair {
            [first, second] if first == second => Some(*first),
            _ => None,
        }) {
            Some(twice) => Err(Invalid::new(join(location, twice), "appears twice")),
            None => Ok(entries),
        }
    }
}

/// The fields of one object that have not been taken yet.
pub(super) struct Fields<'a> {
    /// Where the object is, empty for the profile itself.
    location: String,
    entries: Vec<(String, &'a RawValue)>,
}

impl<'a> Fields<'a> {
    /// Reads the object `text`, which stands at `location`.
    ///
    /// # Errors
    ///
    /// As [`Entries::read`].
    pub(super) fn read(location: impl Into<String>, text: &'a RawValue) -> Result<Self, Invalid> {
        let location = location.into();
        let entries = Entries::read(&location, text)?.0;
        Ok(Self { location, entries })
    }

    /// Makes sure that all fields are in one of the lists `known`.
    ///
    /// Asked before a field is said to be missing: with `cihper`, that `cipher` is missing says less.
    ///
    /// # Errors
    ///
    /// Names the first field that is in none.
    pub(super) fn ensure_known(&self, known: &[&[&str]]) -> Result<(), Invalid> {
        let is_known = |name: &str| known.iter().any(|names| names.contains(&name));
        match self
            .entries
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| !is_known(name))
            .min()
        {
            Some(unknown) => Err(self.unknown(unknown)),
            None => Ok(()),
        }
    }

    fn unknown(&self, name: &str) -> Invalid {
        Invalid::new(self.location_of(name), "unknown field")
    }

    /// Returns the location of the field `name` of this object.
    pub(super) fn location_of(&self, name: &str) -> String {
        join(&self.location, name)
    }

    /// Returns the failure `problem` of the field `name` of this object.
    pub(super) fn invalid(&self, name: &str, problem: impl Into<String>) -> Invalid {
        Invalid::new(self.location_of(name), problem)
    }

    /// Adds the location of the field `name` to a failure that was found there.
    pub(super) fn check<T>(&self, name: &str, found: Result<T, Invalid>) -> Result<T, Invalid> {
        found.map_err(|invalid| Invalid { location: self.location_of(name), ..invalid })
    }

    /// Takes the field `name` as unparsed text, `None` if it is missing.
    pub(super) fn raw(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.entries.iter().position(|(key, _)| key == name)?;
        Some(self.entries.swap_remove(at).1)
    }

    /// Takes and reads the field `name`, `None` if it is missing.
    ///
    /// # Errors
    ///
    /// Names the field when its value has another type.
    pub(super) fn optional<T: DeserializeOwned>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, Invalid> {
        self.raw(name)
            .map(|text| {
                serde_json::from_str(text.get())
                    .map_err(|error| Invalid::new(self.location_of(name), without_position(&error)))
            })
            .transpose()
    }

    /// Takes and reads the field `name`, which must be there.
    ///
    /// # Errors
    ///
    /// Names the field when it is missing or its value has another type.
    pub(super) fn required<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Invalid> {
        self.optional(name)?.ok_or_else(|| Invalid::new(self.location_of(name), "is missing"))
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// Names the first field that was not taken: if a misspelt `mode` were accepted, the default would apply
    /// instead.
    pub(super) fn finish(self) -> Result<(), Invalid> {
        match self.entries.iter().map(|(key, _)| key).min() {
            Some(unknown) => Err(self.unknown(unknown)),
            None => Ok(()),
        }
    }
}

/// Returns the location of `name` inside `location`.
pub(super) fn join(location: &str, name: &str) -> String {
    if location.is_empty() { name.to_owned() } else { [location, ".", name].concat() }
}

/// Returns `error` without the line and column that `serde_json` adds: they are relative to the start of one value,
/// and the location is more useful.
pub(super) fn without_position(error: &serde_json::Error) -> String {
    let text = private::reason(error);
    match text.rfind(" at line ") {
        Some(end) => text.get(..end).unwrap_or(&text).to_owned(),
        None => text,
    }
}
