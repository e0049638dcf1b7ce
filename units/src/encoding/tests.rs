//! Values, and how each encoding writes them.

use super::*;
use pretty_assertions::assert_eq;

/// Returns `value` in `encoding`, or why it cannot be written so.
fn encoded(value: &[u8], encoding: Encoding) -> Result<String, &'static str> {
    let encoded = Encoded::new(value, encoding)?;
    let mut text = Vec::new();
    encoded.append_to(&mut text);
    assert_eq!(text.len(), encoded.length(), "{encoding:?}");
    Ok(String::from_utf8(text).unwrap())
}

#[test]
fn each_encoding_escapes_what_is_special_in_it() {
    for (encoding, value, expected) in [
        (Encoding::Json, "a\"b\\c/\u{e9}\u{7f}", "a\\\"b\\\\c/\u{e9}\u{7f}"),
        (Encoding::Json, "\0\u{8}\t\n\u{b}\u{c}\r\u{1f} ", "\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f "),
        (Encoding::Url, "aZ09-._~", "aZ09-._~"),
        (Encoding::Url, " /?#[]@:+%\u{e9}\0", "%20%2F%3F%23%5B%5D%40%3A%2B%25%C3%A9%00"),
        (Encoding::Shell, "", "''"),
        (Encoding::Shell, "it's $x \"y\" \\\n", "'it'\\''s $x \"y\" \\\n'"),
        (Encoding::Base64, "", ""),
        (Encoding::Base64, "f", "Zg=="),
        (Encoding::Base64, "fo", "Zm8="),
        (Encoding::Base64, "foob", "Zm9vYg=="),
        (Encoding::Hex, "\0\u{7f}\u{e9}", "007fc3a9"),
        (Encoding::Environment, "", "\"\""),
        (Encoding::Environment, " a'$b`\"\\\n ", "\" a'\\$b\\`\\\"\\\\\n \""),
        (
            Encoding::Xml,
            "<a b='c' d=\"e\">&\u{e9}",
            "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;\u{e9}",
        ),
        (Encoding::Xml, "\t\n\r ", "&#9;&#10;&#13; "),
    ] {
        assert_eq!(encoded(value.as_bytes(), encoding).as_deref(), Ok(expected), "{encoding:?}");
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    const NOT_UTF_8: &str = "it is not UTF-8; use base64 or hex";
    const NUL: &str = "it contains a NUL byte; use base64 or hex";
    const NOT_XML: &str = "it contains a character that XML cannot contain; use base64 or hex";
    for (encoding, value, why) in [
        (Encoding::Json, &b"a\xff"[..], NOT_UTF_8),
        (Encoding::Environment, b"\xc3", NOT_UTF_8),
        (Encoding::Environment, b"a\0", NUL),
        (Encoding::Shell, b"\0\xff", NUL),
        (Encoding::Xml, b"\xed\xa0\x80", NOT_UTF_8),
        (Encoding::Xml, b"\0", NOT_XML),
        (Encoding::Xml, b"\x1b", NOT_XML),
        (Encoding::Xml, "\u{fffe}".as_bytes(), NOT_XML),
        (Encoding::Xml, "\u{ffff}".as_bytes(), NOT_XML),
    ] {
        assert_eq!(encoded(value, encoding), Err(why), "{encoding:?}");
    }
    for edge in [
        '\t',
        '\n',
        '\r',
        ' ',
        '\u{7f}',
        '\u{d7ff}',
        '\u{e000}',
        '\u{fffd}',
        '\u{10000}',
        '\u{10ffff}',
    ] {
        assert!(encoded(edge.to_string().as_bytes(), Encoding::Xml).is_ok(), "{edge:?}");
    }
}
