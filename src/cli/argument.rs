//! an argument of any bytes → text for argh, and back.
//!
//! argh takes text only, but a file name may be any bytes. A byte that is not UTF-8 becomes a NUL
//! followed by the character with its number. No argument contains a NUL, so this is unambiguous.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Returns `arg` as text.
pub fn encode(arg: &OsStr) -> String {
    let mut text = String::new();
    for chunk in arg.as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.extend(['\0', char::from(*byte)]));
    }
    text
}

/// Returns the argument that [`encode`] made `text` from.
pub fn decode(text: &str) -> OsString {
    let mut bytes = Vec::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\0' {
            bytes.extend(characters.next().and_then(|number| u8::try_from(number).ok()));
        } else {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    OsString::from_vec(bytes)
}

/// Reads a file name.
///
/// # Errors
///
/// None.
#[expect(clippy::unnecessary_wraps, reason = "argh wants a result")]
pub fn path(text: &str) -> Result<PathBuf, String> {
    Ok(decode(text).into())
}

/// Reads an argument that has to be text: the name of a host or secret, or a recipient.
///
/// # Errors
///
/// When it is not UTF-8.
pub fn text(text: &str) -> Result<String, String> {
    if text.contains('\0') { Err("it is not UTF-8".to_owned()) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_survive() {
        let all: Vec<u8> = (1..=255).collect();
        for bytes in [
            &b""[..],
            b"plain",
            "é\u{ff}".as_bytes(),
            b"\xff",
            b"\xc3",
            b"a\xc3\xa9\xc3b\xf0\x9f",
            &all,
        ] {
            let arg = OsStr::from_bytes(bytes);
            assert_eq!(decode(&encode(arg)), arg);
        }
        assert_ne!(encode(OsStr::from_bytes(b"\xff")), encode(OsStr::new("\u{ff}")));
    }
}
