//! text → a string literal of Nix.

use std::fmt::Write;

use vaultix_generator::escape;

/// Returns `text` as a string literal on one line: with quotes, nothing in it that Nix would replace, and no character that a
/// terminal does not show itself: what is pasted is what was seen.
pub fn string(text: &str) -> String {
    let mut literal = String::from("\"");
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => literal.push_str("\\\\"),
            '"' => literal.push_str("\\\""),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            // Nor does one stand in front of what follows below.
            '$' if characters
                .peek()
                .is_some_and(|next| *next == '{' || escape::is_hidden(*next)) =>
            {
                literal.push_str("\\$");
            }
            // Nix has no other escapes; JSON has.
            hidden if escape::is_hidden(hidden) => {
                literal.push_str("${builtins.fromJSON ''\"");
                for unit in hidden.encode_utf16(&mut [0; 2]) {
                    let _ = write!(literal, "\\u{unit:04x}"); // Writing to a String cannot fail.
                }
                literal.push_str("\"''}");
            }
            seen => literal.push(seen),
        }
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_shows_all_that_is_in_it() {
        for (text, expected) in [
            ("wifi $HOME é", r#""wifi $HOME é""#),
            (r#"a"b\${c}$d"#, r#""a\"b\\\${c}$d""#),
            ("$${a}", r#""$\${a}""#),
            ("a\n\r\tb", r#""a\n\r\tb""#),
            ("a\u{202e}b", r#""a${builtins.fromJSON ''"\u202e"''}b""#),
            ("$\u{1b}", r#""\$${builtins.fromJSON ''"\u001b"''}""#),
            ("\u{e0041}", r#""${builtins.fromJSON ''"\udb40\udc41"''}""#),
        ] {
            assert_eq!(string(text), expected, "{text:?}");
        }
    }
}
