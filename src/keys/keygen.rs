//! nothing → a new identity of age, as `age-keygen` writes it.

use age::x25519;
use age_core::secrecy::ExposeSecret;
use vaultix_units::plaintext::Plaintext;

/// Returns a new identity, its recipient in a comment; and that recipient.
pub fn identity() -> (Plaintext, x25519::Recipient) {
    let identity = x25519::Identity::generate();
    let recipient = identity.to_public();
    let text = format!("# public key: {recipient}\n{}\n", identity.to_string().expose_secret());
    (Plaintext::new(text.into_bytes()), recipient)
}
