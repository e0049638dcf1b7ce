//! a seed → the file with an ssh-ed25519 private key, as `ssh-keygen` writes it.

use std::io;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use curve25519_dalek::EdwardsPoint;
use sha2::{Digest, Sha512};
use vaultix_units::plaintext::Plaintext;
use zeroize::Zeroizing;

use crate::system::random;

/// What kind of key it is, in the key itself.
const KIND: &[u8] = b"ssh-ed25519";

/// How many characters of base64 `ssh-keygen` puts on a line.
const LINE: usize = 70;

/// Makes a key without a passphrase.
///
/// # Errors
///
/// There is no randomness to be had.
pub fn private_key(comment: &str) -> io::Result<Plaintext> {
    let binary = binary(&*random::array()?, *random::array()?, comment);
    let text = Zeroizing::new(BASE64_STANDARD.encode(&*binary));
    let mut file = String::with_capacity(text.len() * 2 + 100);
    file += "-----BEGIN OPENSSH PRIVATE KEY-----\n";
    for (i, character) in text.chars().enumerate() {
        if i > 0 && i % LINE == 0 {
            file.push('\n');
        }
        file.push(character);
    }
    file += "\n-----END OPENSSH PRIVATE KEY-----\n";
    Ok(Plaintext::new(file.into_bytes()))
}

/// Writes the key that `seed` stands for. `check` is there twice in what would be encrypted, to tell a wrong
/// passphrase.
///
/// Format: openssh-portable, PROTOCOL.key.
fn binary(seed: &[u8; 32], check: [u8; 4], comment: &str) -> Zeroizing<Vec<u8>> {
    let public = public_key(seed);
    let mut private = Zeroizing::new(Vec::with_capacity(512));
    private.extend(check);
    private.extend(check);
    string(&mut private, &[KIND]);
    string(&mut private, &[&public]);
    string(&mut private, &[seed, &public]);
    string(&mut private, &[comment.as_bytes()]);
    // To the block size of no cipher, 8.
    let padding = (1..8).take(private.len().wrapping_neg() % 8);
    private.extend(padding);

    let mut key = Zeroizing::new(Vec::with_capacity(1024));
    key.extend(b"openssh-key-v1\0");
    string(&mut key, &[b"none"]); // cipher
    string(&mut key, &[b"none"]); // its key derivation
    string(&mut key, &[]); // options of that
    key.extend(1_u32.to_be_bytes()); // how many keys
    let mut blob = Vec::new();
    string(&mut blob, &[KIND]);
    string(&mut blob, &[&public]);
    string(&mut key, &[&blob]);
    string(&mut key, &[&private]);
    key
}

/// Returns the public key that belongs to `seed`: RFC 8032, section 5.1.5.
fn public_key(seed: &[u8; 32]) -> [u8; 32] {
    let hash = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(seed)));
    let mut scalar = Zeroizing::new([0; 32]);
    scalar.iter_mut().zip(hash.iter()).for_each(|(to, from)| *to = *from);
    EdwardsPoint::mul_base_clamped(*scalar).compress().to_bytes()
}

/// Writes a string of the ssh protocol, put together from `parts`: its length, then itself. RFC 4251,
/// section 5.
fn string(to: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    // Ids are read from profiles of 16 MiB at most.
    to.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    to.extend(parts.iter().copied().flatten());
}

#[cfg(test)]
mod tests {
    use vaultix_generator::escape;

    use super::*;

    #[test]
    fn the_public_half_is_that_of_rfc_8032() {
        // Section 7.1, test 2.
        let seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
        let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        let byte = |i: usize| u8::from_str_radix(&seed[i * 2..i * 2 + 2], 16).unwrap();
        assert_eq!(escape::hex(&public_key(&std::array::from_fn(byte))), public);
    }
}
