//! sops file → its values, once the data key is decrypted.
//!
//! sops itself is not needed: what a master identity opens, it opens in the same session as everything else.

mod header;
mod kept;
mod lines;
mod tree;
mod value;

use std::ops::Range;
use std::path::Path;

use age_core::format::Stanza;
use sha2::{Digest, Sha512};
use vaultix_generator::escape;
use vaultix_units::plaintext::Plaintext;

use crate::commands::import::name;
use crate::commands::import::readers::Readers;
use crate::error::{Error, Result, Status};
use crate::files::source;
use crate::keys::unwrapped::Unwrapped;
use crate::structured::{Format, Pointer};
use header::{Header, Unusable};
use lines::{Lines, Syntax};
use value::{Bytes, DataKey};

/// One value of a sops file.
struct Leaf {
    /// The names above it and its own, each with a colon after it; part of what it is encrypted with.
    aad: String,
    /// The names above it and its own, with slashes between them.
    id: String,
    /// The value as the file has it, encrypted or in clear.
    text: String,
    /// What it counts as in the file's code, if it stands there in clear.
    clear: String,
    /// The pointer to it; empty in files of lines.
    pointer: String,
    /// Where it is in the file, in bytes; nowhere in files of lines.
    place: Range<usize>,
}

/// How much the names of all values of a file may amount to, in bytes (64 MiB).
///
/// A value is encrypted with all names above it. A long name with many values below it is a small file, and would take its
/// size squared of memory and time.
const MAX_NAMES: usize = 64 << 20;

/// What the names of all values of a file amount to, in bytes.
#[derive(Default)]
struct Names(usize);

impl Names {
    /// Adds the name of one more value, or the part of it that it shares with others.
    fn add(&mut self, name: &str) {
        self.0 = self.0.saturating_add(name.len());
    }

    /// Refuses more than there may be.
    fn ensure_bounded(&self) -> std::result::Result<(), String> {
        if self.0 > MAX_NAMES {
            return Err(format!(
                "the names of its values amount to more than {MAX_NAMES} bytes, with all names above each of them"
            ));
        }
        Ok(())
    }
}

/// A sops file, before its values are decrypted.
pub struct Document {
    leaves: Vec<Leaf>,
    /// What sops says of the file: whom it is encrypted to, and the code over all values.
    header: Header,
    /// How the values become secrets.
    shape: Shape,
}

/// How the values of a file become secrets. The same as with sops-nix.
enum Shape {
    /// Each is a secret.
    Each,
    /// The only one is the secret.
    Binary,
    /// They are put where they stood, and the file is the secret.
    Lines(Lines),
    /// The same, with the file's text, and secrets are values in it.
    Kept(Format, String),
}

impl Document {
    /// Reads the file `path`, `None` if it is none of sops. If it `is_kept`, it stays one file, where it has values. Its format
    /// follows from its name, unless it is one that is `named`, as sops-nix calls it.
    ///
    /// # Errors
    ///
    /// Names the file, and why it cannot be read.
    pub fn read(path: &Path, is_kept: bool, named: Option<&str>) -> Result<Option<Self>> {
        let what = |exit| Error::new(exit, format!("cannot decrypt {}", path.display()));
        let Ok(text) = String::from_utf8(source::read(path)?) else { return Ok(None) };
        if !text.contains(value::START) {
            return Ok(None);
        }
        let name = format_name(path, named);
        let (shape, leaves, metadata) =
            parse(name, &text).map_err(|reason| what(Status::DataErr).because(reason))?;
        let header = Header::read(&metadata).map_err(|unusable| match unusable {
            Unusable::Other(reason) => what(Status::DataErr).because(reason),
            Unusable::Foreign(kinds) => what(Status::NoPerm)
                .because(format!("it is encrypted to {kinds}, and to no age recipient"))
                .fix(add_age(path)),
        })?;
        let format = match name {
            Some("yaml" | "yml") => Some(Format::Yaml),
            Some("json") => Some(Format::Json),
            _ => None,
        };
        let shape = match (shape, format) {
            (Shape::Each, Some(format)) if is_kept => Shape::Kept(format, text),
            (shape, _) => shape,
        };
        Ok(Some(Self { leaves, header, shape }))
    }

    /// Returns whether it is one secret.
    pub fn is_whole(&self) -> bool {
        !matches!(self.shape, Shape::Each)
    }

    /// Returns the secrets in it as values of one file: their ids and keys; `None` where each is a file, or it has none.
    pub fn keys(&self) -> Option<Vec<(String, String)>> {
        let Shape::Kept(..) = self.shape else { return None };
        let key = |leaf: &Leaf| {
            let pointer = Pointer::from_user(&leaf.pointer);
            let is_same = Pointer::from_user(&leaf.id) == pointer;
            (name::id(&leaf.id), if is_same { &leaf.id } else { &leaf.pointer }.clone())
        };
        Some(self.leaves.iter().map(key).collect())
    }

    /// Returns the names of its values as sops-nix has them, with the keys of those that stay in one file; `None` where the whole
    /// is one secret without a key.
    pub fn value_names(&self) -> Option<Vec<(&str, Option<String>)>> {
        if matches!(self.shape, Shape::Binary | Shape::Lines(_)) {
            return None;
        }
        let keys = self.keys();
        let keys = keys.into_iter().flatten().map(|(_, key)| Some(key));
        let keys = keys.chain(std::iter::repeat(None));
        Some(self.leaves.iter().map(|leaf| leaf.id.as_str()).zip(keys).collect())
    }

    /// Returns how it is written, if it stays one file with values.
    pub fn format(&self) -> Option<Format> {
        match &self.shape {
            Shape::Kept(format, _) => Some(*format),
            _ => None,
        }
    }

    pub fn ids(&self, path: &Path) -> Vec<String> {
        if self.is_whole() {
            let file = path.file_name().unwrap_or_default();
            return vec![name::id(&file.to_string_lossy())];
        }
        self.leaves.iter().map(|leaf| name::id(&leaf.id)).collect()
    }

    /// Returns who can read it.
    pub fn readers(&self) -> Readers {
        self.header.readers()
    }

    pub fn stanzas(&self) -> Vec<Stanza> {
        self.header.stanzas()
    }

    /// Opens its secrets, in the order of [`Document::ids`]; `path` is where it is.
    ///
    /// # Errors
    ///
    /// Says that `key` does not fit, with `skipped` on why, or that the file was altered.
    pub fn open(&self, key: &Unwrapped, path: &Path, skipped: &[Error]) -> Result<Vec<Plaintext>> {
        let what = format!("cannot decrypt {}", path.display());
        let key = match self.header.open(key) {
            Some(key) => key,
            None => self.open_with_gpg(path, skipped)?,
        };
        let damaged = |reason: String| Error::new(Status::DataErr, &what).because(reason);
        let values = self.values(&key).map_err(damaged)?;
        self.verify(&values, &key).map_err(damaged)?;
        if let Shape::Kept(format, text) = &self.shape {
            let kept = kept::keep(text, *format, &self.leaves, values, &key);
            return kept.map(|text| vec![text]).map_err(|reason| {
                let error = Error::new(Status::DataErr, format!("cannot keep {}", path.display()));
                error.because(reason).fix("import it without --keep")
            });
        }
        Ok(self.secrets(values, &key))
    }

    /// Has `gpg` decrypt the data key, which no identity can decrypt.
    fn open_with_gpg(&self, path: &Path, skipped: &[Error]) -> Result<DataKey> {
        let what = format!("cannot decrypt {}", path.display());
        let recipients = self.header.recipients();
        match self.header.open_with_gpg() {
            Some(Ok(key)) => Ok(key),
            None => Err(source::no_match(what, &recipients, skipped)),
            Some(Err(reason)) => {
                let error = Error::new(Status::NoPerm, what).because(reason);
                let error = match recipients.as_str() {
                    "" => error,
                    _ => error.because(format!(
                        "no identity can decrypt it: it is encrypted to {recipients}"
                    )),
                };
                Err(error.fix(add_age(path)))
            }
        }
    }

    fn values(&self, key: &DataKey) -> std::result::Result<Vec<Bytes>, String> {
        let open = |leaf: &Leaf| {
            if leaf.is_sealed() {
                key.open(&leaf.text, &leaf.aad).map_err(|reason| {
                    format!("the file is damaged: {}: {reason}", name::id(&leaf.id))
                })
            } else {
                Ok(Bytes::new(leaf.clear.clone().into_bytes()))
            }
        };
        self.leaves.iter().map(open).collect()
    }

    /// Checks that `values` are those that sops wrote, all of them, and in this order.
    fn verify(&self, values: &[Bytes], key: &DataKey) -> std::result::Result<(), String> {
        let mut hash = Sha512::new();
        if self.header.only_encrypted {
            hash.update(header::ONLY_ENCRYPTED);
        }
        for (leaf, value) in self.leaves.iter().zip(values) {
            if leaf.is_sealed() || !self.header.only_encrypted {
                hash.update(value);
            }
        }
        let recorded = key
            .open(&self.header.code, &self.header.modified)
            .map_err(|reason| format!("the file is damaged: sops.mac: {reason}"))?;
        if recorded.eq_ignore_ascii_case(escape::hex(&hash.finalize()).as_bytes()) {
            Ok(())
        } else {
            Err("the file is damaged: values were added, removed or changed without sops"
                .to_owned())
        }
    }

    /// Returns what `values` are to services.
    fn secrets(&self, values: Vec<Bytes>, key: &DataKey) -> Vec<Plaintext> {
        match &self.shape {
            Shape::Lines(lines) => {
                let sealed = self.leaves.iter().zip(&values).filter(|(leaf, _)| leaf.is_sealed());
                vec![Plaintext::new(lines.fill(sealed.map(|(_, value)| value), key))]
            }
            Shape::Each | Shape::Binary | Shape::Kept(..) => self
                .leaves
                .iter()
                .zip(values)
                .map(|(leaf, mut value)| Plaintext::new(leaf.shown(std::mem::take(&mut value))))
                .collect(),
        }
    }
}

impl Leaf {
    fn is_sealed(&self) -> bool {
        value::is_sealed(&self.text)
    }

    /// Returns what the value is to a service: the text that `sops decrypt` would print for it.
    fn shown(&self, value: Vec<u8>) -> Vec<u8> {
        if !self.is_sealed() {
            return self.text.clone().into_bytes();
        }
        match (value::kind(&self.text), value.as_slice()) {
            (Some("bool"), b"True") => b"true".to_vec(),
            (Some("bool"), b"False") => b"false".to_vec(),
            _ => value,
        }
    }
}

/// Returns the command that also encrypts the file `path` to an age recipient.
fn add_age(path: &Path) -> String {
    format!("sops rotate --in-place --add-age age1… {}", escape::shell_path(path))
}

/// What is read from a file: how its values become secrets, the values, and sops' metadata.
type Parsed = (Shape, Vec<Leaf>, header::Metadata);

/// Returns what is behind the last dot in the name of `path`: `env` for `.env` as well.
fn ending(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.rsplit_once('.').map(|(_, ending)| ending)
}

/// Returns the name of the format of the file `path`: what it ends with, as sops chooses it, or the one that is `named`.
fn format_name<'a>(path: &'a Path, named: Option<&'a str>) -> Option<&'a str> {
    let ending = ending(path);
    let is_known =
        ending.is_some_and(|ending| matches!(ending, "yaml" | "yml" | "json" | "env" | "ini"));
    // That is the default of sops-nix, and so it is also said of what is none.
    named.filter(|named| *named != "yaml" || !is_known).or(ending)
}

/// Reads `text` in the format called `name`.
fn parse(name: Option<&str>, text: &str) -> std::result::Result<Parsed, String> {
    let in_lines = |syntax| {
        let (lines, leaves, metadata) = lines::read(text, syntax)?;
        Ok((Shape::Lines(lines), leaves, metadata))
    };
    match name {
        Some("env" | "dotenv") => in_lines(Syntax::Dotenv),
        Some("ini") => in_lines(Syntax::Ini),
        Some("yaml" | "yml" | "json") => {
            let (leaves, metadata) = tree::read(text)?;
            Ok((Shape::Each, leaves, metadata))
        }
        _ => {
            // JSON around a single value.
            let (leaves, metadata) = tree::read(text)?;
            let is_whole = leaves.len() == 1 && leaves.iter().all(|leaf| leaf.id == "data");
            Ok((if is_whole { Shape::Binary } else { Shape::Each }, leaves, metadata))
        }
    }
}
