//! text of an ssh ed25519 key → the age identity or recipient that `ssh-to-age` makes from it.
//!
//! Users of sops with ssh keys often have files for `age1…` recipients that were made this way.
//! Both kinds of keys are on the same curve, in different forms.

use age::x25519;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bech32::{Bech32, Hrp};
use curve25519_dalek::edwards::CompressedEdwardsY;
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

/// How the text of an identity begins, before its `1`.
const PREFIX: Hrp = Hrp::parse_unchecked("age-secret-key-");

/// How a key file begins, after decoding its base64.
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// How the text of a recipient begins, before its `1`.
const PUBLIC_PREFIX: Hrp = Hrp::parse_unchecked("age");

/// Length of a key of either kind in bytes, private or public.
const LENGTH: usize = 32;

/// Converts the key in `block`, all lines of its file; `None` if it is of another kind or has a
/// passphrase.
pub fn identity(block: &str) -> Option<x25519::Identity> {
    let size = block.len();
    let mut text = Zeroizing::new(String::with_capacity(size));
    text.extend(
        block
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .flat_map(|line| line.trim().chars()),
    );
    let mut bytes = Zeroizing::new(vec![0; size]);
    let length = BASE64_STANDARD.decode_slice(text.as_bytes(), &mut bytes).ok()?;
    let seed = seed(bytes.get(..length)?)?;
    // RFC 8032, section 5.1.5: the scalar is the first half of the digest.
    let digest = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(seed)));
    let text =
        bech32::encode_upper::<Bech32>(PREFIX, digest.get(..LENGTH)?).ok().map(Zeroizing::new)?;
    text.parse().ok()
}

/// Returns the recipient that is made of the public key `text`; `None` where that is of another kind.
pub fn recipient(text: &str) -> Option<String> {
    let mut words = text.split_ascii_whitespace();
    words.next().filter(|kind| *kind == "ssh-ed25519")?;
    let bytes = BASE64_STANDARD.decode(words.next()?).ok()?;
    let mut rest = bytes.as_slice();
    field(&mut rest).filter(|kind| *kind == b"ssh-ed25519")?;
    let key: [u8; LENGTH] = field(&mut rest)?.try_into().ok()?;
    // RFC 7748, section 4.1: the same point, as the other curve has it.
    let point = CompressedEdwardsY(key).decompress()?.to_montgomery();
    bech32::encode_lower::<Bech32>(PUBLIC_PREFIX, point.as_bytes()).ok()
}

/// Returns the private key in the decoded file `bytes`.
///
/// Source: PROTOCOL.key of OpenSSH.
fn seed(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let [cipher, kdf, _] = [field(&mut rest)?, field(&mut rest)?, field(&mut rest)?];
    if (cipher, kdf) != (b"none", b"none") {
        return None;
    }
    rest = rest.strip_prefix(&1_u32.to_be_bytes())?;
    let _public = field(&mut rest)?;
    let mut private = field(&mut rest)?;
    // Skips the two check numbers, which are equal if a passphrase was right.
    private = private.get(8..)?;
    if field(&mut private)? != b"ssh-ed25519" {
        return None;
    }
    let _public = field(&mut private)?;
    // The private key, followed by the public key.
    field(&mut private)?.get(..LENGTH)
}

/// Takes the next field from `rest`: its length, and that many bytes.
fn field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (field, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the text of a file of `tests/keys`.
    fn key(name: &str) -> String {
        std::fs::read_to_string(format!("{}/tests/keys/{name}", env!("CARGO_MANIFEST_DIR")))
            .unwrap()
    }

    #[test]
    fn the_identity_belongs_to_the_recipient_of_the_public_key() {
        // python3 tests/sops/ssh-to-age.py <tests/keys/ssh-ed25519.pub
        assert_eq!(
            identity(&key("ssh-ed25519")).unwrap().to_public().to_string(),
            "age1ryfah66xk69jseqy6x4zmz8mm3kvacm2lvrh9h5ej53j3nyney0srvm89x"
        );
    }

    #[test]
    fn the_recipient_is_that_of_the_identity() {
        assert_eq!(
            recipient(&key("ssh-ed25519.pub")).unwrap(),
            identity(&key("ssh-ed25519")).unwrap().to_public().to_string()
        );
        let text = key("ssh-ed25519.pub");
        for other in [&key("ssh-rsa.pub"), &key("ssh-ecdsa.pub"), "age1", "", &text[..40]] {
            assert_eq!(recipient(other), None, "{other}");
        }
    }

    #[test]
    fn keys_of_another_kind_are_not_converted() {
        for name in ["ssh-rsa", "ssh-rsa-pem", "ssh-ed25519-passphrase", "ssh-ecdsa", "me.txt"] {
            assert!(identity(&key(name)).is_none(), "{name}");
        }
        let text = key("ssh-ed25519");
        for length in 0..text.len() - "-----END OPENSSH PRIVATE KEY-----\n".len() - 2 {
            assert!(identity(&text[..length]).is_none(), "cut off at {length}");
        }
    }
}
