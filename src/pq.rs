//! post-quantum keys of age ↔ their text; file keys ↔ their stanzas.
//!
//! Format: <https://c2sp.org/age>, "The hybrid recipient type". What the `age` crate does not have yet.

mod identity;
mod recipient;
mod xwing;

pub use identity::Identity;
pub use recipient::Recipient;

/// The first word of a stanza, and how the key encapsulation is told what it is for.
const TAG: &str = "mlkem768x25519";

/// What HPKE is told it is for.
const INFO: &[u8] = b"age-encryption.org/mlkem768x25519";
