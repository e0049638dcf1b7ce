//! value + encoding → its bytes as they are written where it is put in. Pure.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use vaultix_generator::placeholder::Encoding;
use zeroize::Zeroizing;

/// A value that can be written in its encoding.
#[derive(Clone, Copy)]
pub struct Encoded<'a> {
    value: &'a [u8],
    encoding: Encoding,
    length: usize,
}

impl<'a> Encoded<'a> {
    /// Checks `value`, and counts the bytes that it takes, without making them.
    ///
    /// # Errors
    ///
    /// Why it cannot be written so, as a clause with "it" for the value.
    pub fn new(value: &'a [u8], encoding: Encoding) -> Result<Self, &'static str> {
        let mut length = 0_usize;
        encode(value, encoding, &mut |bytes| length = length.saturating_add(bytes.len()))?;
        Ok(Self { value, encoding, length })
    }

    /// Returns how many bytes [`Encoded::append_to`] appends.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Appends the encoded bytes to `text`, which should have room for them: a growing vector leaves copies behind.
    pub fn append_to(&self, text: &mut Vec<u8>) {
        // It was encoded once already, so it cannot fail.
        let _ = encode(self.value, self.encoding, &mut |bytes| text.extend_from_slice(bytes));
    }
}

/// Passes the encoded bytes of `value` to `put`, in pieces.
fn encode(value: &[u8], encoding: Encoding, put: Put) -> Result<(), &'static str> {
    match encoding {
        Encoding::Json => each(text_of(value)?.as_bytes(), put, &json),
        Encoding::Url => each(value, put, &url),
        Encoding::Shell => {
            ensure_no_nul(value)?;
            quoted(b"'", value, put, &shell);
        }
        Encoding::Base64 => base64(value, put),
        Encoding::Hex => each(value, put, &|byte| Some(hex(byte))),
        Encoding::Environment => {
            ensure_no_nul(text_of(value)?.as_bytes())?;
            quoted(b"\"", value, put, &environment);
        }
        Encoding::Xml => {
            ensure_xml(text_of(value)?)?;
            each(value, put, &xml);
        }
    }
    Ok(())
}

/// What takes the bytes.
type Put<'a> = &'a mut dyn FnMut(&[u8]);

/// What is written instead of one byte: at most six bytes, in place, so that none are left on the heap.
struct Escape {
    bytes: [u8; 6],
    length: usize,
}

impl Escape {
    fn new(text: &[u8]) -> Self {
        let mut bytes = [0; 6];
        bytes.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        Self { bytes, length: text.len() }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Passes `value` to `put`, with the escapes of the bytes that have one.
fn each(value: &[u8], put: Put, escape: &dyn Fn(u8) -> Option<Escape>) {
    for byte in value {
        match escape(*byte) {
            Some(escape) => put(escape.bytes()),
            None => put(&[*byte]),
        }
    }
}

fn quoted(quote: &[u8], value: &[u8], put: Put, escape: &dyn Fn(u8) -> Option<Escape>) {
    put(quote);
    each(value, put, escape);
    put(quote);
}

/// Rule: RFC 8259, section 7.
fn json(byte: u8) -> Option<Escape> {
    Some(Escape::new(match byte {
        b'"' => b"\\\"",
        b'\\' => b"\\\\",
        0x08 => b"\\b",
        b'\t' => b"\\t",
        b'\n' => b"\\n",
        0x0c => b"\\f",
        b'\r' => b"\\r",
        0..=0x1f => {
            return Some(Escape::new(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte)]));
        }
        _ => return None,
    }))
}

/// Rule: RFC 3986, section 2: everything but unreserved characters, so that it fits into any part of a URL.
fn url(byte: u8) -> Option<Escape> {
    let is_unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let upper = |byte| digit(byte).to_ascii_uppercase();
    (!is_unreserved).then(|| Escape::new(&[b'%', upper(byte >> 4), upper(byte)]))
}

/// Rule: POSIX, Shell Command Language, section 2.2.2: between single quotes, nothing but their end is special.
fn shell(byte: u8) -> Option<Escape> {
    (byte == b'\'').then(|| Escape::new(b"'\\''"))
}

/// Rule: systemd.exec(5), `EnvironmentFile=`: between double quotes, as in a shell.
fn environment(byte: u8) -> Option<Escape> {
    b"\"\\`$".contains(&byte).then(|| Escape::new(&[b'\\', byte]))
}

/// Rule: XML 1.0, sections 2.4, 2.11 and 3.3.3: a reader changes white space that is not escaped.
fn xml(byte: u8) -> Option<Escape> {
    Some(Escape::new(match byte {
        b'&' => b"&amp;",
        b'<' => b"&lt;",
        b'>' => b"&gt;",
        b'"' => b"&quot;",
        b'\'' => b"&#39;",
        b'\t' => b"&#9;",
        b'\n' => b"&#10;",
        b'\r' => b"&#13;",
        _ => return None,
    }))
}

fn hex(byte: u8) -> Escape {
    Escape::new(&[digit(byte >> 4), digit(byte)])
}

fn base64(value: &[u8], put: Put) {
    let mut digits = Zeroizing::new([0; 4]);
    for three in value.chunks(3) {
        // Three bytes always fit into four.
        let written = BASE64_STANDARD.encode_slice(three, &mut *digits).unwrap_or_default();
        put(digits.get(..written).unwrap_or_default());
    }
}

/// Returns the hex digit of the lower half of `byte`.
fn digit(byte: u8) -> u8 {
    let half = byte & 0xf;
    if half < 10 { b'0' + half } else { b'a' + half - 10 }
}

fn text_of(value: &[u8]) -> Result<&str, &'static str> {
    str::from_utf8(value).map_err(|_| "it is not UTF-8; use base64 or hex")
}

fn ensure_no_nul(value: &[u8]) -> Result<(), &'static str> {
    if value.contains(&0) { Err("it contains a NUL byte; use base64 or hex") } else { Ok(()) }
}

/// Rule: XML 1.0, section 2.2.
fn ensure_xml(text: &str) -> Result<(), &'static str> {
    let is_allowed = |one: char| matches!(one, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    if text.chars().all(is_allowed) {
        Ok(())
    } else {
        Err("it contains a character that XML cannot contain; use base64 or hex")
    }
}

#[cfg(test)]
mod tests;
