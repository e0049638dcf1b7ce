//! post-quantum keys of age ↔ their text; stanza → file key.
//!
//! Format: <https://c2sp.org/age>, "The hybrid recipient type". The `age` crate does not have it
//! yet. What encrypts is the desk's.

mod identity;
mod public_key;
mod xwing;

use age_core::primitives::bech32_decode;
use bech32::Hrp;
use zeroize::Zeroizing;

pub use identity::Identity;
pub use public_key::PublicKey;
pub use xwing::XWing;

/// The type of a stanza.
pub const TAG: &str = "mlkem768x25519";

/// The `info` of HPKE.
pub const INFO: &[u8] = b"age-encryption.org/mlkem768x25519";

/// Decodes the bytes of `text` after `prefix`, or returns what is wrong with it, as a clause.
fn decode(text: &str, prefix: Hrp) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    bech32_decode(
        text,
        |_| "it is mistyped or truncated",
        |found| (found == prefix).then_some(()).ok_or("it has another prefix"),
        |_, bytes| Ok(Zeroizing::new(bytes.collect())),
    )
}
