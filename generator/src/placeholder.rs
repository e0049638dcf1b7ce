//! text with `{{ <64 hex digits> }}` or `{{ <64 hex digits> ENCODING }}` in it → placeholders and the text between them.

use std::fmt;

/// How a value is written where it is put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// The inside of a JSON string.
    Json,
    /// Percent-encoded, as a part of a URL.
    Url,
    /// One word of a shell.
    Shell,
    /// Base64, with padding.
    Base64,
    /// Lower-case hex digits.
    Hex,
    /// The value of a variable in an `EnvironmentFile=`.
    Environment,
    /// Text of an XML element, or of an attribute.
    Xml,
}

impl Encoding {
    /// All encodings, in the order in which messages list them. Also in `nix/encodings.nix`.
    pub const ALL: [Self; 7] =
        [Self::Json, Self::Url, Self::Shell, Self::Base64, Self::Hex, Self::Environment, Self::Xml];

    /// Returns its name in a placeholder.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Url => "url",
            Self::Shell => "shell",
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::Environment => "environment",
            Self::Xml => "xml",
        }
    }

    /// Reads a name.
    ///
    /// # Errors
    ///
    /// [`UnknownEncoding`] if there is no encoding with this name.
    pub fn parse(name: &str) -> Result<Self, UnknownEncoding> {
        let known = Self::ALL.into_iter().find(|encoding| encoding.name() == name);
        known.ok_or_else(|| UnknownEncoding(name.to_owned()))
    }
}

/// A placeholder asks for an encoding that does not exist; with what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownEncoding(pub String);

impl fmt::Display for UnknownEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Encoding::ALL.map(Encoding::name).join(", ");
        write!(f, "a placeholder asks for the encoding \"{}\"; the encodings are {known}", self.0)
    }
}

impl std::error::Error for UnknownEncoding {}

/// One piece of a text.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes that stay as they are.
    Text(&'a [u8]),
    /// A placeholder.
    Placeholder {
        /// 64 lower-case hex digits.
        hash: &'a str,
        /// The encoding that it asks for, which may be unknown; `None` for the bytes as they are.
        encoding: Option<&'a str>,
        /// The placeholder with its braces, as it is written in the text.
        whole: &'a [u8],
    },
}

/// Digits of a placeholder's hash.
const HASH_LENGTH: usize = 64;

/// Splits `text` into placeholders and the text between them.
///
/// A placeholder is `{{`, 64 lower-case hex digits, possibly a space and an encoding, and `}}`; spaces and tabs inside the
/// braces are ignored. Whatever follows the digits and a space on the same line counts as an encoding, so that a misspelt
/// one is reported. Anything else in double braces is plain text, since the templates of other programs also use them. The
/// concatenation of all pieces is `text`.
#[must_use]
pub fn split(text: &[u8]) -> Vec<Piece<'_>> {
    let plain = |from, to| text.get(from..to).filter(|bytes| !bytes.is_empty()).map(Piece::Text);
    let mut pieces = Vec::new();
    let mut taken = 0;
    // Also tries the second of three braces: `{{{ hash }}` contains a placeholder after its first
    // brace. No placeholder begins inside another.
    let braces = text.windows(2).enumerate().filter(|(_, pair)| pair == b"{{");
    for (start, _) in braces {
        if let Some(found) = text.get(start..).and_then(placeholder) {
            pieces.extend(plain(taken, start));
            if let Piece::Placeholder { whole, .. } = found {
                taken = start + whole.len();
            }
            pieces.push(found);
        }
    }
    pieces.extend(plain(taken, text.len()));
    pieces
}

/// Returns the hash when `text` is one placeholder without an encoding, and nothing else.
#[must_use]
pub fn hash(text: &str) -> Option<&str> {
    match placeholder(text.as_bytes())? {
        Piece::Placeholder { hash, encoding: None, whole } if whole.len() == text.len() => {
            Some(hash)
        }
        _ => None,
    }
}

/// Returns whether `text` is 64 lower-case hex digits.
#[must_use]
pub fn is_hash(text: &str) -> bool {
    text.len() == HASH_LENGTH && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Reads the placeholder that `text` begins with.
fn placeholder(text: &[u8]) -> Option<Piece<'_>> {
    let inside = skip_blanks(text.strip_prefix(b"{{")?);
    let (hash, behind) = inside.split_at_checked(HASH_LENGTH)?;
    let hash = str::from_utf8(hash).ok().filter(|hash| is_hash(hash))?;
    let end = behind.iter().position(|byte| matches!(byte, b'{' | b'}' | b'\n'))?;
    let (asked, rest) = behind.split_at_checked(end)?;
    let after = rest.strip_prefix(b"}}")?;
    let encoding = str::from_utf8(asked).ok()?.trim_matches(BLANKS);
    if !encoding.is_empty() && !asked.starts_with(b" ") && !asked.starts_with(b"\t") {
        return None;
    }
    let whole = text.get(..text.len() - after.len())?;
    Some(Piece::Placeholder { hash, encoding: Some(encoding).filter(|it| !it.is_empty()), whole })
}

/// White space that is ignored inside the braces.
const BLANKS: [char; 2] = [' ', '\t'];

/// Returns `text` without the spaces and tabs it begins with.
fn skip_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    text.get(blanks..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    /// Shows the pieces: text as it is, placeholders as `<first digit>` or `<first digit encoding>`.
    fn shown(text: &str) -> String {
        split(text.as_bytes())
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => String::from_utf8_lossy(text).into_owned(),
                Piece::Placeholder { hash, encoding, .. } => {
                    let encoding =
                        encoding.map_or(String::new(), |encoding| format!(" {encoding}"));
                    format!("<{}{encoding}>", &hash[..1])
                }
            })
            .collect()
    }

    #[test]
    fn placeholders_are_found_anywhere() {
        let a = "a".repeat(64);
        let b = "b".repeat(64);
        for (text, expected) in [
            (format!("{{{{ {a} }}}}"), "<a>".to_owned()),
            (format!("x{{{{{a}}}}}y{{{{\t{b}  }}}}z"), "x<a>y<b>z".to_owned()),
            (format!("{{{{ {a} }}}}{{{{ {b} }}}}"), "<a><b>".to_owned()),
            (format!("{{{{{{ {a} }}}}}}"), "{<a>}".to_owned()),
            (format!("{{{{{{{{ {a} }}}}"), "{{<a>".to_owned()),
        ] {
            assert_eq!(shown(&text), expected, "{text}");
        }
    }

    #[test]
    fn an_encoding_may_follow_the_digits() {
        let a = "a".repeat(64);
        for (text, expected) in [
            (format!("{{{{ {a} json }}}}"), "<a json>"),
            (format!("{{{{{a}\t url\t}}}}x"), "<a url>x"),
            (format!("{{{{ {a} xml}}}}{{{{ {a} }}}}"), "<a xml><a>"),
            // Unknown ones, which are reported.
            (format!("{{{{ {a} Json }}}}"), "<a Json>"),
            (format!("{{{{ {a} json url }}}}"), "<a json url>"),
            (format!("{{{{ {a} | json }}}}"), "<a | json>"),
            (format!("{{{{ {a} \u{e9} }}}}"), "<a \u{e9}>"),
            (format!("{{{{ {a} {{{{ {a} json }}}}"), &*format!("{{{{ {a} <a json>")),
        ] {
            assert_eq!(shown(&text), expected, "{text}");
        }
    }

    #[test]
    fn encodings_are_known_by_name() {
        for encoding in Encoding::ALL {
            assert_eq!(Encoding::parse(encoding.name()), Ok(encoding));
        }
        for name in ["", "Json", "json ", "jso", "base32"] {
            assert_eq!(Encoding::parse(name), Err(UnknownEncoding(name.to_owned())));
        }
    }

    #[test]
    fn other_braces_are_text() {
        let a = "a".repeat(64);
        for text in [
            "",
            "{",
            "{{",
            "{{ name }}",
            "{{ }}",
            "}}{{",
            &format!("{{{{ {} }}}}", "A".repeat(64)),
            &format!("{{{{ {a}a }}}}"),
            &format!("{{{{ {} }}}}", &a[1..]),
            &format!("{{{{ {a} }}"),
            &format!("{{ {a} }}}}"),
            &format!("{{{{\n{a} }}}}"),
            &format!("{{{{ {a}json }}}}"),
            &format!("{{{{ {a} json\n}}}}"),
            &format!("{{{{ {a} json }}"),
            &format!("{{{{ {a} json }} }}}}"),
            &format!("{{{{ {a} json {{ }}}}"),
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn pieces_put_together_are_the_text() {
        let text = format!("\u{0}{{{{ {} }}}}é{{{{", "0".repeat(64));
        let again: Vec<u8> = split(text.as_bytes())
            .iter()
            .flat_map(|piece| match piece {
                Piece::Text(bytes) | Piece::Placeholder { whole: bytes, .. } => bytes.to_vec(),
            })
            .collect();
        assert_eq!(again, text.as_bytes());
    }

    #[test]
    fn a_hash_needs_its_braces_and_nothing_else() {
        let a = "a".repeat(64);
        assert_eq!(hash(&format!("{{{{ {a} }}}}")), Some(a.as_str()));
        assert_eq!(hash(&format!("{{{{ {a} }}}} ")), None);
        assert_eq!(hash(&format!("{{{{ {a} json }}}}")), None);
        assert_eq!(hash(&a), None);
    }
}
