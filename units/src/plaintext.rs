//! decrypted bytes → bytes that are wiped when they are dropped.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Decrypted bytes, wiped when dropped.
///
/// Has no `Debug`, `Clone` or `Display` on purpose, so that no log line, error or failed test can carry a
/// secret. [`Plaintext::expose`] is the one way to the bytes; search for it to find every place that sees
/// them.
pub struct Plaintext(Zeroizing<Vec<u8>>);

/// Plaintexts of secrets by id.
pub type Plaintexts<'a> = BTreeMap<&'a str, &'a Plaintext>;

impl Plaintext {
    /// Takes over `bytes`.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Returns the bytes. A caller that copies them must wipe the copy.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Returns its SHA-256.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }
}
