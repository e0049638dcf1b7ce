//! `age1pq1…` ↔ post-quantum recipient of age; file key → stanza.
//!
//! Keys and what decrypts are the boot side's.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use age::EncryptError;
use age_core::format::{FileKey, Stanza};
use age_core::primitives::hpke_seal;
use age_core::secrecy::ExposeSecret;
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use hpke::Serializable;
use rand::rngs::OsRng;
pub use vaultix_units::pq::Identity;
use vaultix_units::pq::{INFO, PublicKey, TAG, XWing};

/// The label that age gives to such recipients: they cannot share a file with recipients that have
/// another label or none.
const LABEL: &str = "postquantum";

#[derive(Clone)]
pub struct Recipient(PublicKey);

impl From<PublicKey> for Recipient {
    fn from(key: PublicKey) -> Self {
        Self(key)
    }
}

impl FromStr for Recipient {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl age::Recipient for Recipient {
    fn wrap_file_key(&self, key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        // It panics if the key encapsulation fails. That only happens for points of low order,
        // which parsing refuses.
        let to = self.0.as_kem();
        let (sent, body) = hpke_seal::<XWing, _>(to, INFO, key.expose_secret(), &mut OsRng);
        let args = vec![BASE64_STANDARD_NO_PAD.encode(sent.to_bytes())];
        Ok((vec![Stanza { tag: TAG.to_owned(), args, body }], HashSet::from([LABEL.to_owned()])))
    }
}
