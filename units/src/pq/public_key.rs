//! `age1pq1…` ↔ public key.

use std::fmt;
use std::str::FromStr;

use age_core::primitives::bech32_encode;
use bech32::Hrp;
use hpke::{Deserializable, Serializable};

use super::{decode, xwing};

/// How the text begins, before its `1`.
const PREFIX: Hrp = Hrp::parse_unchecked("age1pq");

/// The public key of an identity.
#[derive(Clone)]
pub struct PublicKey(pub(super) xwing::PublicKey);

impl PublicKey {
    /// Returns it for HPKE.
    #[must_use]
    pub fn as_kem(&self) -> &xwing::PublicKey {
        &self.0
    }
}

impl FromStr for PublicKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let key = xwing::PublicKey::from_bytes(&decode(text, PREFIX)?);
        key.map(Self).map_err(|_| "it contains no key")
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&bech32_encode(PREFIX, &self.0.to_bytes()))
    }
}
