//! text with placeholders + values → [`Plaintext`], pure, in one pass, any bytes.

use vaultix_generator::placeholder::{Piece, split};
use zeroize::Zeroizing;

use crate::plaintext::Plaintext;

/// What is put in for a placeholder.
pub enum Value<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// The placeholder itself.
    Itself,
}

/// Puts values into `text`, by the hash of each placeholder.
///
/// A value is not searched for placeholders, so no secret can pull another one in.
///
/// # Errors
///
/// The first error of `value`; nothing is left in memory then.
pub fn fill<'a, E>(
    text: &[u8],
    mut value: impl FnMut(&str) -> Result<Value<'a>, E>,
) -> Result<Plaintext, E> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for piece in split(text) {
        parts.push(match piece {
            Piece::Text(bytes) => bytes,
            Piece::Placeholder { hash, whole } => match value(hash)? {
                Value::Bytes(bytes) => bytes,
                Value::Itself => whole,
            },
        });
    }
    // Sized beforehand: a vector that grows leaves copies behind.
    let mut filled = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    for part in parts {
        filled.extend_from_slice(part);
    }
    Ok(Plaintext::new(std::mem::take(&mut *filled)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    /// Returns the placeholder of 64 times `digit`.
    fn mark(digit: char) -> String {
        format!("{{{{ {} }}}}", digit.to_string().repeat(64))
    }

    /// Fills with `\xff` for `a`, with the placeholder of `a` for `b`, with itself for `c`, fails for others.
    fn filled(text: &str) -> Result<Vec<u8>, String> {
        let inner = mark('a').into_bytes();
        fill(text.as_bytes(), |hash| match hash.chars().next() {
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
    fn an_unknown_one_is_an_error() {
        assert_eq!(filled(&mark('d')), Err("d".repeat(64)));
    }
}
