//! text with `{{ <64 hex digits> }}` in it → placeholders and the text between them.

/// One piece of a text.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes that stay as they are.
    Text(&'a [u8]),
    /// A placeholder.
    Placeholder {
        /// 64 lower-case hex digits.
        hash: &'a str,
        /// The placeholder with its braces, as it is written in the text.
        whole: &'a [u8],
    },
}

/// Digits of a placeholder's hash.
const HASH_LENGTH: usize = 64;

/// Splits `text` into placeholders and the text between them.
///
/// A placeholder is `{{`, 64 lower-case hex digits and `}}`; spaces and tabs inside the braces are ignored.
/// Anything else in double braces is plain text, since the templates of other programs also use them. The
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
        if let Some((hash, whole)) = text.get(start..).and_then(placeholder) {
            pieces.extend(plain(taken, start));
            pieces.push(Piece::Placeholder { hash, whole });
            taken = start + whole.len();
        }
    }
    pieces.extend(plain(taken, text.len()));
    pieces
}

/// Returns the hash when `text` is one placeholder and nothing else.
#[must_use]
pub fn hash(text: &str) -> Option<&str> {
    let (hash, whole) = placeholder(text.as_bytes())?;
    (whole.len() == text.len()).then_some(hash)
}

/// Returns whether `text` is 64 lower-case hex digits.
#[must_use]
pub fn is_hash(text: &str) -> bool {
    text.len() == HASH_LENGTH && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Reads the placeholder that `text` begins with: its hash, and the placeholder with its braces.
fn placeholder(text: &[u8]) -> Option<(&str, &[u8])> {
    let inside = skip_blanks(text.strip_prefix(b"{{")?);
    let (hash, behind) = inside.split_at_checked(HASH_LENGTH)?;
    let hash = str::from_utf8(hash).ok().filter(|hash| is_hash(hash))?;
    let after = skip_blanks(behind).strip_prefix(b"}}")?;
    Some((hash, text.get(..text.len() - after.len())?))
}

/// Returns `text` without the spaces and tabs it begins with.
fn skip_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    text.get(blanks..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    /// Shows the pieces: text as it is, placeholders as `<first digit>`.
    fn shown(text: &str) -> String {
        split(text.as_bytes())
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => String::from_utf8_lossy(text).into_owned(),
                Piece::Placeholder { hash, .. } => format!("<{}>", &hash[..1]),
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
        assert_eq!(hash(&a), None);
    }
}
