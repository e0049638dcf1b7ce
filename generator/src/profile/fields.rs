//! one JSON object → its fields, taken one by one, each error with the place it stands at.

use std::fmt;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::private;

/// A fault in a profile: where it stands, what is wrong, and, where we know it, what to write instead.
///
/// Displays as `secrets.wifi.mode: "0400zzz" is not three or four octal digits; write it like "0400"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Path of the faulty value from the top of the profile, fields joined by dots.
    pub place: String,
    /// What is wrong with it, as a clause that follows the place.
    pub problem: String,
    /// What to do about it, as an imperative clause.
    pub fix: Option<String>,
}

impl Invalid {
    /// Returns the fault `problem` at `place`, without advice.
    pub fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into(), fix: None }
    }

    /// Returns the fault `problem` of a value whose place the caller knows, see [`Fields::check`].
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
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.problem)?;
        self.fix.iter().try_for_each(|fix| write!(f, "; {fix}"))
    }
}

impl std::error::Error for Invalid {}

/// The entries of a JSON object in the order of the text, values not yet read.
///
/// This is the first stage of reading: a fault inside one value is found only when that value is read, so
/// that it stays that entry's own.
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
    /// Reads the object `text`, which stands at `place`.
    ///
    /// # Errors
    ///
    /// Names `place` when the value there is no object, and the key when one stands there twice: of two
    /// values, a reader cannot know which was meant.
    pub(super) fn read(place: &str, text: &'a RawValue) -> Result<Self, Invalid> {
        let entries: Self = serde_json::from_str(text.get())
            .map_err(|error| Invalid::new(place, without_position(&error)))?;
        let mut keys: Vec<&str> = entries.0.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        match keys.windows(2).find_map(|pair| match pair {
            [first, second] if first == second => Some(*first),
            _ => None,
        }) {
            Some(twice) => Err(Invalid::new(join(place, twice), "stands here twice")),
            None => Ok(entries),
        }
    }
}

/// The fields of one object that have not been taken yet.
pub(super) struct Fields<'a> {
    /// Where the object stands, empty for the profile itself.
    place: String,
    /// What is left of it.
    entries: Vec<(String, &'a RawValue)>,
}

impl<'a> Fields<'a> {
    /// Reads the object `text`, which stands at `place`.
    ///
    /// # Errors
    ///
    /// As [`Entries::read`].
    pub(super) fn read(place: impl Into<String>, text: &'a RawValue) -> Result<Self, Invalid> {
        let place = place.into();
        let entries = Entries::read(&place, text)?.0;
        Ok(Self { place, entries })
    }

    /// Returns the place of the field `name` of this object.
    pub(super) fn place_of(&self, name: &str) -> String {
        join(&self.place, name)
    }

    /// Gives a fault that was found in the field `name` its place.
    pub(super) fn check<T>(&self, name: &str, found: Result<T, Invalid>) -> Result<T, Invalid> {
        found.map_err(|invalid| Invalid { place: self.place_of(name), ..invalid })
    }

    /// Takes the field `name` as it stands in the text, `None` if it is missing.
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
                    .map_err(|error| Invalid::new(self.place_of(name), without_position(&error)))
            })
            .transpose()
    }

    /// Takes and reads the field `name`, which must be there.
    ///
    /// # Errors
    ///
    /// Names the field when it is missing or its value has another type.
    pub(super) fn required<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Invalid> {
        self.optional(name)?.ok_or_else(|| Invalid::new(self.place_of(name), "is missing"))
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// Names the first field that nobody took: a misspelt `mode` must not pass, or the default would apply
    /// in its stead.
    pub(super) fn finish(self) -> Result<(), Invalid> {
        match self.entries.iter().map(|(key, _)| key).min() {
            Some(unknown) => Err(Invalid::new(self.place_of(unknown), "unknown field")),
            None => Ok(()),
        }
    }
}

/// Returns the place of `name` inside `place`.
pub(super) fn join(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { [place, ".", name].concat() }
}

/// Returns `error` without the line and column that `serde_json` adds: they count from the start of one value,
/// and the place says more.
fn without_position(error: &serde_json::Error) -> String {
    let text = private::reason(error);
    match text.rfind(" at line ") {
        Some(end) => text.get(..end).unwrap_or(&text).to_owned(),
        None => text,
    }
}
