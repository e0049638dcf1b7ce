//! how a user names a value in a structured file ↔ the path of keys that leads to it, as an RFC 6901 pointer.

use std::fmt;

/// The place of one value in a structured file: the keys that lead to it, from the outermost. Those of a list are numbers from
/// zero.
///
/// The same as in `nix/pointer.nix`; `tests/vectors/pointer.json` makes sure of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Reads what a user writes: `smtp/password`, or a pointer, `/smtp/password`, in which `~1` is a slash inside of a key, and
    /// `~0` a tilde.
    ///
    /// # Errors
    ///
    /// Why it is neither, as a clause: it is empty, or has a tilde with nothing of this after it.
    pub fn from_user(text: &str) -> Result<Self, String> {
        match text.strip_prefix('/') {
            Some(rest) => rest.split('/').map(unescaped).collect::<Result<_, _>>().map(Self),
            None if text.is_empty() => Err(EMPTY.to_owned()),
            None => Ok(Self(text.split('/').map(str::to_owned).collect())),
        }
    }

    /// Takes the keys as they are.
    ///
    /// # Errors
    ///
    /// When there is none: that is no value in the file, but the file.
    pub fn from_words(words: Vec<String>) -> Result<Self, String> {
        if words.is_empty() { Err(EMPTY.to_owned()) } else { Ok(Self(words)) }
    }

    /// Returns the keys, from the outermost; at least one.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.0
    }
}

/// What is wrong with a pointer that has no keys.
const EMPTY: &str = "it is empty";

/// Returns a key of a pointer as it is in the file.
fn unescaped(word: &str) -> Result<String, String> {
    let mut parts = word.split('~');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (character, rest) = match part.split_at_checked(1) {
            Some(("0", rest)) => ('~', rest),
            Some(("1", rest)) => ('/', rest),
            _ => return Err("in a text that begins with /, ~ is written ~0".to_owned()),
        };
        whole.push(character);
        whole.push_str(rest);
    }
    Ok(whole)
}

/// Writes the pointer: each key with a slash before it.
impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(&self.0, f)
    }
}

/// Writes the pointer of `words`; nothing for none.
fn display(words: &[String], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    words.iter().try_for_each(|word| write!(f, "/{}", word.replace('~', "~0").replace('/', "~1")))
}

/// A part of a pointer, which may be the whole file.
pub(super) struct Part<'a>(pub &'a [String]);

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("the file") } else { display(self.0, f) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn nix_reads_the_same_keys() {
        let vectors = include_str!("../../tests/vectors/pointer.json");
        let vectors: Vec<Value> = serde_json::from_str(vectors).unwrap();
        assert!(vectors.len() > 10);
        for vector in vectors {
            let read = match &vector["key"] {
                Value::String(text) => Pointer::from_user(text),
                words => {
                    let words = words.as_array().unwrap().iter();
                    Pointer::from_words(words.map(|word| word.as_str().unwrap().into()).collect())
                }
            };
            let Some(expected) = vector["pointer"].as_str() else {
                assert!(read.is_err(), "{vector}");
                continue;
            };
            let pointer = read.unwrap();
            assert_eq!(pointer.to_string(), expected, "{vector}");
            assert_eq!(Pointer::from_user(expected).as_ref(), Ok(&pointer), "{vector}");
            assert_eq!(serde_json::json!(pointer.words()), vector["words"], "{vector}");
        }
    }
}
