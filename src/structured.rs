//! a file with many values, decrypted → one of them, or the same file with one of them changed.
//!
//! Formats are read as their own specifications say; env as systemd reads an `EnvironmentFile=`, ini as most programs do: see
//! "STRUCTURED FILES" in vaultix(1). Nothing here prints, and no message has anything of a value in it.

mod edit;
mod env;
mod flow;
mod ini;
mod json;
pub(crate) mod node;
mod pointer;
mod splice;
mod toml;
mod yaml;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::structured::node::Slot;
pub use crate::structured::pointer::Pointer;

/// How a structured file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// RFC 8259.
    Json,
    /// YAML 1.2, one document without tags.
    Yaml,
    /// TOML 1.1.
    Toml,
    /// Variables, as in an `EnvironmentFile=`, systemd.exec(5).
    Env,
    /// Sections with names and values.
    Ini,
}

impl Format {
    /// All formats, by their names.
    pub const NAMES: [(&str, Self); 5] = [
        ("json", Self::Json),
        ("yaml", Self::Yaml),
        ("toml", Self::Toml),
        ("env", Self::Env),
        ("ini", Self::Ini),
    ];

    /// Returns the format called `name`, as the profile has it: in small letters; `yml` is none.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, format)| format)
    }

    /// Returns the format of the file `path`, by what its name has before `.age`: `mail.yaml.age`, also `mail.yml.age`.
    #[must_use]
    pub fn of_file(path: &Path) -> Option<Self> {
        let stem = path.extension().filter(|suffix| *suffix == "age").and(path.file_stem())?;
        Self::of_name(Path::new(stem))
    }

    /// Returns the format of a text called `path`, by what its name ends with.
    #[must_use]
    pub fn of_name(path: &Path) -> Option<Self> {
        match path.extension().and_then(OsStr::to_str)? {
            "yml" => Some(Self::Yaml),
            suffix => Self::parse(suffix),
        }
    }

    /// Returns a file without values.
    #[must_use]
    pub fn empty(self) -> &'static [u8] {
        if self == Self::Json { b"{}\n" } else { b"" }
    }

    /// Returns its name, which is part of what names a copy in the cache.
    #[must_use]
    pub fn name(self) -> &'static str {
        let known = Self::NAMES.into_iter().find(|(_, format)| *format == self);
        known.map_or("", |(name, _)| name)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::Yaml => "YAML",
            Self::Toml => "TOML",
            Self::Env => "env",
            Self::Ini => "INI",
        })
    }
}

/// Why a text cannot be read: nothing of what is in it, except for keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The line, from one.
    line: Option<usize>,
    reason: String,
}

impl Malformed {
    /// Says that `text` is wrong at the byte `at`.
    fn at(text: &str, at: usize, reason: impl Into<String>) -> Self {
        let before = text.get(..at).unwrap_or(text);
        Self { line: Some(before.split('\n').count()), reason: reason.into() }
    }
}

impl From<String> for Malformed {
    fn from(reason: String) -> Self {
        Self { line: None, reason }
    }
}

/// Writes it as a clause: `line 3: expected a comma`.
impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.line.iter().try_for_each(|line| write!(f, "line {line}: "))?;
        f.write_str(&self.reason)
    }
}

/// A structured file, decrypted and read. Its values are wiped when dropped; what its parser has copied, when that frees it.
pub struct Document {
    root: Slot,
}

impl Document {
    /// Reads `bytes`.
    ///
    /// # Errors
    ///
    /// Where they are not what `format` says, or more than a file may be, without any value.
    pub fn parse(bytes: &[u8], format: Format) -> Result<Self, Malformed> {
        Ok(Self { root: read(text(bytes)?, format)? })
    }

    /// Returns the value at `pointer` as a host gets it: a text byte for byte, a number, a boolean or null as the file writes it,
    /// a map or a list as compact JSON.
    ///
    /// # Errors
    ///
    /// Why there is none, with the keys that are there, as a clause; never a value.
    pub fn get(&self, pointer: &Pointer) -> Result<Zeroizing<Vec<u8>>, String> {
        self.root.node.find(pointer)?.node.value()
    }

    /// Returns the pointers to all values, in the order of the file; that to a map or a list before those below it.
    #[must_use]
    pub fn keys(&self) -> Vec<Pointer> {
        let mut found = Vec::new();
        self.root.node.collect_keys(&mut Vec::new(), &mut found);
        found
    }
}

/// Returns `bytes`, a file in `format`, with `value` at `pointer`: in the place of the value there, or as a new key, with the maps
/// on the way to it. All else stays byte for byte: comments, order, quotes.
///
/// A number or a boolean stays one where the new value is one as well; all other values are texts.
///
/// # Errors
///
/// Why that cannot be, as a clause; never a value.
pub fn set(
    bytes: &[u8],
    format: Format,
    pointer: &Pointer,
    value: &[u8],
) -> Result<Zeroizing<Vec<u8>>, String> {
    let old = text(bytes).map_err(|malformed| malformed.to_string())?;
    let value = str::from_utf8(value)
        .map_err(|_| format!("the value is not UTF-8, and {format} has nothing else"))?;
    edit::set(old, format, pointer, value).map(into_bytes)
}

/// Returns `bytes`, a file in `format`, with each of `values` as a text in the place of the value at its pointer. All else stays
/// byte for byte. This reads the file twice, however many values there are.
///
/// # Errors
///
/// Why that cannot be, as a clause; never a value.
pub(crate) fn replace_all(
    bytes: &[u8],
    format: Format,
    values: &BTreeMap<&Pointer, &[u8]>,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let old = text(bytes).map_err(|malformed| malformed.to_string())?;
    let mut texts = BTreeMap::new();
    for (pointer, value) in values {
        let value = str::from_utf8(value)
            .map_err(|_| format!("{pointer} is not UTF-8, and {format} has nothing else"))?;
        texts.insert(*pointer, value);
    }
    let values = texts;
    edit::replace_all(old, format, &values).map(into_bytes)
}

/// Returns `bytes`, a file in `format`, without what is at `pointer`. All else stays byte for byte.
///
/// # Errors
///
/// Why that cannot be, as a clause; never a value.
pub fn unset(
    bytes: &[u8],
    format: Format,
    pointer: &Pointer,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let old = text(bytes).map_err(|malformed| malformed.to_string())?;
    edit::unset(old, format, pointer).map(into_bytes)
}

fn into_bytes(mut text: Zeroizing<String>) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(std::mem::take(&mut *text).into_bytes())
}

/// Reads all documents of the YAML `text`: files of sops may have several.
///
/// # Errors
///
/// As [`Document::parse`].
pub(crate) fn yaml_documents(text: &str) -> Result<Vec<Slot>, Malformed> {
    yaml::documents(text)
}

/// Returns `bytes` as text.
fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        Malformed { line: Some(line), reason: "it is not UTF-8".to_owned() }
    })
}

fn read(text: &str, format: Format) -> Result<Slot, Malformed> {
    match format {
        Format::Json => json::read(text),
        Format::Yaml => yaml::read(text),
        Format::Toml => toml::read(text),
        Format::Env => env::read(text),
        Format::Ini => ini::read(text),
    }
}
