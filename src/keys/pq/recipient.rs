//! `age1pq1…` ↔ public key; file key → stanza.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use age::EncryptError;
use age_core::format::{FileKey, Stanza};
use age_core::primitives::{bech32_encode, hpke_seal};
use age_core::secrecy::ExposeSecret;
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use bech32::Hrp;
use hpke::{Deserializable, Serializable};
use rand::rngs::OsRng;

use super::xwing::{PublicKey, XWing};
use super::{INFO, TAG, decode};

/// How the text begins, before its `1`.
const PREFIX: Hrp = Hrp::parse_unchecked("age1pq");

/// The label that age gives to such recipients: they cannot share a file with recipients that have
/// another label or none.
const LABEL: &str = "postquantum";

#[derive(Clone)]
pub struct Recipient(pub(super) PublicKey);

impl FromStr for Recipient {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let key = PublicKey::from_bytes(&decode(text, PREFIX)?);
        key.map(Self).map_err(|_| "it contains no key")
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&bech32_encode(PREFIX, &self.0.to_bytes()))
    }
}

impl age::Recipient for Recipient {
    fn wrap_file_key(&self, key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        // It panics if the key encapsulation fails. That only happens for points of low order,
        // which parsing refuses.
        let (sent, body) = hpke_seal::<XWing, _>(&self.0, INFO, key.expose_secret(), &mut OsRng);
        let args = vec![BASE64_STANDARD_NO_PAD.encode(sent.to_bytes())];
        Ok((vec![Stanza { tag: TAG.to_owned(), args, body }], HashSet::from([LABEL.to_owned()])))
    }
}
