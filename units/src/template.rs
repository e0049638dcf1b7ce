//! text with placeholders + values → [`Plaintext`], in one pass. Both may be any bytes.

use std::collections::BTreeMap;
use std::fmt;

use vaultix_generator::placeholder::{Piece, split};
use vaultix_generator::size;
use vaultix_generator::status::Status;
use zeroize::Zeroizing;

use crate::bounded::MAX_PLAINTEXT;
use crate::encoding::Encoded;
use crate::failure::Failure;
use crate::plaintext::Plaintext;

/// The text would exceed the limit; with its size in bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge(pub usize);

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, limit) = (self.0, size::shown(MAX_PLAINTEXT));
        write!(
            f,
            "with its values in place it would have {bytes} bytes, the limit is {limit}; use fewer or shorter ones"
        )
    }
}

impl From<TooLarge> for String {
    fn from(error: TooLarge) -> Self {
        error.to_string()
    }
}

impl From<TooLarge> for Failure {
    fn from(error: TooLarge) -> Self {
        Self::new(Status::DataErr, error.to_string())
    }
}

/// What a placeholder is replaced with.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// This value in its encoding.
    Encoded(Encoded<'a>),
    /// The placeholder itself.
    Itself,
}

/// Replaces each placeholder in `text` with the `value` for its hash and the encoding that it asks for.
///
/// A value is not searched for placeholders, so no secret can include another one.
///
/// # Errors
///
/// The first error of `value`, or [`TooLarge`]: a few placeholders of a large value would make a
/// text that does not fit into memory. Nothing is allocated then.
pub fn fill<'a, E: From<TooLarge>>(
    text: &[u8],
    mut value: impl FnMut(&str, Option<&str>) -> Result<Value<'a>, E>,
) -> Result<Plaintext, E> {
    let mut parts: Vec<Value> = Vec::new();
    // A large value is read once for each encoding, however many placeholders it has.
    let mut encoded = BTreeMap::new();
    for piece in split(text) {
        parts.push(match piece {
            Piece::Text(bytes) => Value::Bytes(bytes),
            Piece::Placeholder { hash, encoding, whole } => {
                let known = encoded.get(&(hash, encoding)).copied();
                match known.map_or_else(|| value(hash, encoding), Ok)? {
                    Value::Itself => Value::Bytes(whole),
                    value @ Value::Encoded(_) => {
                        encoded.insert((hash, encoding), value);
                        value
                    }
                    value @ Value::Bytes(_) => value,
                }
            }
        });
    }
    // Allocated at its full size: a growing vector leaves copies behind.
    let size = parts.iter().fold(0_usize, |size, part| size.saturating_add(part.length()));
    if size as u64 > MAX_PLAINTEXT {
        return Err(TooLarge(size).into());
    }
    let mut filled = Zeroizing::new(Vec::with_capacity(size));
    for part in parts {
        match part {
            Value::Bytes(bytes) => filled.extend_from_slice(bytes),
            Value::Encoded(value) => value.append_to(&mut filled),
            Value::Itself => {}
        }
    }
    Ok(Plaintext::new(std::mem::take(&mut *filled)))
}

impl Value<'_> {
    fn length(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Encoded(value) => value.length(),
            Self::Itself => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use vaultix_generator::placeholder::Encoding;

    /// Returns the placeholder whose hash is `digit`, 64 times.
    fn mark(digit: char) -> String {
        format!("{{{{ {} }}}}", digit.to_string().repeat(64))
    }

    /// Replaces `a` with `\xff` and `b` with the placeholder of `a`, keeps `c`, and fails for
    /// others.
    fn filled(text: &str) -> Result<Vec<u8>, String> {
        let inner = mark('a').into_bytes();
        fill(text.as_bytes(), |hash, encoding| match hash.chars().next() {
            Some('a') if encoding == Some("hex") => {
                Ok(Value::Encoded(Encoded::new(b"\xff", Encoding::Hex)?))
            }
            Some('a') => Ok(Value::Bytes(b"\xff")),
            Some('b') => Ok(Value::Bytes(&inner)),
            Some('c') => Ok(Value::Itself),
            _ => Err(hash.to_owned()),
        })
        .map(|plaintext| plaintext.expose().to_vec())
    }

    #[test]
    fn values_may_be_any_bytes() {
        assert_eq!(filled(&format!("x{}y", mark('a'))), Ok(b"x\xffy".to_vec()));
    }

    #[test]
    fn a_value_is_not_searched_again() {
        assert_eq!(filled(&mark('b')), Ok(mark('a').into_bytes()));
    }

    #[test]
    fn a_placeholder_may_stay() {
        let text = format!("{}{}", mark('c'), mark('a'));
        assert_eq!(filled(&text), Ok([mark('c').as_bytes(), b"\xff"].concat()));
    }

    #[test]
    fn a_text_that_would_be_too_large_is_refused_before_it_takes_memory() {
        let value = vec![b'x'; 1 << 20];
        let made = |count: usize| {
            let filled: Result<Plaintext, TooLarge> =
                fill(mark('a').repeat(count).as_bytes(), |_, _| Ok(Value::Bytes(&value)));
            filled.map(|plaintext| plaintext.expose().len())
        };
        assert_eq!(made(128), Ok(128 << 20));
        assert_eq!(made(129), Err(TooLarge(129 << 20)));
        // 256 GiB.
        assert_eq!(made(1 << 18), Err(TooLarge(1 << 38)));
    }

    #[test]
    fn a_value_may_be_put_in_encoded_and_as_it_is() {
        let encoded = mark('a').replace(" }}", " hex }}");
        let text = [mark('a'), encoded.clone(), mark('c'), encoded].concat();
        assert_eq!(filled(&text), Ok([b"\xffff", mark('c').as_bytes(), b"ff"].concat()));
    }

    #[test]
    fn an_encoded_value_is_counted_before_it_takes_memory() {
        let value = vec![b'x'; 1 << 20];
        let text = mark('a').replace(" }}", " hex }}");
        let mut asked = 0;
        let mut made = |count: usize| {
            let filled: Result<Plaintext, TooLarge> =
                fill(text.repeat(count).as_bytes(), |_, _| {
                    asked += 1;
                    Ok(Value::Encoded(Encoded::new(&value, Encoding::Hex).unwrap()))
                });
            filled.map(|plaintext| plaintext.expose().len())
        };
        assert_eq!(made(64), Ok(128 << 20));
        assert_eq!(made(1 << 17), Err(TooLarge(1 << 38)));
        assert_eq!(asked, 2, "once for all placeholders of a value");
    }

    #[test]
    fn an_unknown_placeholder_is_an_error() {
        assert_eq!(filled(&mark('d')), Err("d".repeat(64)));
    }
}
