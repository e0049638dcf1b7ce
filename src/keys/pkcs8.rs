//! text of a private key in PKCS#8, as `openssl` writes it → the same key as ssh has it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

/// How such a block begins.
pub const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";

/// How one with a passphrase begins.
pub const BEGIN_LOCKED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";

/// The name of an rsa key, 1.2.840.113549.1.1.1, as DER has it.
const RSA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];

/// Tags of DER.
const INTEGER: u8 = 0x02;
const BYTES: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// What is in a block.
pub enum Content {
    /// An rsa key, as `-----BEGIN RSA PRIVATE KEY-----` has it.
    Rsa(Zeroizing<String>),
    /// A key of another kind.
    Other,
}

/// Reads `block`, all lines of it; `None` where it is damaged.
pub fn read(block: &str) -> Option<Content> {
    let size = block.len();
    let mut text = Zeroizing::new(String::with_capacity(size));
    let lines = block.lines().filter(|line| !line.starts_with("-----"));
    text.extend(lines.flat_map(|line| line.trim().chars()));
    let mut bytes = Zeroizing::new(vec![0; size]);
    let length = BASE64_STANDARD.decode_slice(text.as_bytes(), &mut bytes).ok()?;
    // RFC 5208, section 5: version, name of the kind, key.
    let (whole, _) = element(bytes.get(..length)?, SEQUENCE)?;
    let (_version, rest) = element(whole, INTEGER)?;
    let (kind, rest) = element(rest, SEQUENCE)?;
    let (key, _) = element(rest, BYTES)?;
    if !kind.starts_with(RSA) {
        return Some(Content::Other);
    }
    // All of it at its final size: what grows leaves copies behind.
    let mut encoded = Zeroizing::new(vec![0; key.len().div_ceil(3) * 4]);
    let length = BASE64_STANDARD.encode_slice(key, &mut encoded).ok()?;
    let encoded = str::from_utf8(encoded.get(..length)?).ok()?;
    let mut pem = Zeroizing::new(String::with_capacity(length + length / 32 + 128));
    pem.push_str("-----BEGIN RSA PRIVATE KEY-----\n");
    for (i, letter) in encoded.chars().enumerate() {
        if i > 0 && i % 64 == 0 {
            pem.push('\n');
        }
        pem.push(letter);
    }
    pem.push_str("\n-----END RSA PRIVATE KEY-----\n");
    Some(Content::Rsa(pem))
}

/// Returns what is in the first element of `der`, if it has this `tag`, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        // The length of the length: four bytes are more than any file that is read has.
        let count = usize::from(first & 0x7f);
        let (bytes, rest) = rest.split_at_checked(count).filter(|_| count <= 4)?;
        (bytes.iter().fold(0, |all, byte| (all << 8) | usize::from(*byte)), rest)
    };
    rest.split_at_checked(length).filter(|_| *found == tag)
}
