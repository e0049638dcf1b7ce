//! `AGE-SECRET-KEY-PQ-1…` → private key; stanza → file key.

use std::str::FromStr;

use age::DecryptError;
use age_core::format::{FileKey, Stanza};
use age_core::primitives::{bech32_encode, hpke_open};
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use bech32::Hrp;
use hpke::{Deserializable, HpkeError, Kem};
use zeroize::Zeroizing;

use super::xwing::{Encapsulated, PrivateKey, XWing};
use super::{INFO, PublicKey, TAG, decode};
use crate::stack;

/// How the text begins, before its `1`.
const PREFIX: Hrp = Hrp::parse_unchecked("age-secret-key-pq-");

/// Length of a body in bytes: a file key and its authentication tag.
const BODY: usize = 16 + 16;

/// An identity: what decrypts what is encrypted to its public key.
#[derive(Clone)]
pub struct Identity(PrivateKey);

impl Identity {
    /// Makes the identity of 32 random bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(stack::deeply_wiped(|| PrivateKey::new(Zeroizing::new(*seed))))
    }

    /// Returns its text.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(bech32_encode(PREFIX, self.0.seed()));
        text.make_ascii_uppercase();
        text
    }

    /// Returns the public key.
    #[must_use]
    pub fn to_public(&self) -> PublicKey {
        PublicKey(XWing::sk_to_pk(&self.0))
    }
}

impl FromStr for Identity {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        stack::deeply_wiped(|| {
            let key = PrivateKey::from_bytes(&decode(text, PREFIX)?);
            key.map(Self).map_err(|_| "it contains no key")
        })
    }
}

impl age::Identity for Identity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        if stanza.tag != TAG {
            return None;
        }
        let Some(sent) = sent(stanza) else { return Some(Err(DecryptError::InvalidHeader)) };
        let open = || hpke_open::<XWing>(&sent, &self.0, INFO, &stanza.body).map(Zeroizing::new);
        match stack::deeply_wiped(open) {
            // Made for another recipient: decapsulating with the wrong key gives a different
            // secret, not an error.
            Err(HpkeError::OpenError) => None,
            Err(_) => Some(Err(DecryptError::InvalidHeader)),
            Ok(bytes) => {
                let key = FileKey::try_init_with_mut(|key| {
                    let bytes: &[u8; 16] = bytes.as_slice().try_into().map_err(drop)?;
                    key.copy_from_slice(bytes);
                    Ok::<(), ()>(())
                });
                Some(key.map_err(|()| DecryptError::InvalidHeader))
            }
        }
    }
}

/// Returns the encapsulated key in a stanza, if it is well-formed.
fn sent(stanza: &Stanza) -> Option<Encapsulated> {
    let [text] = &stanza.args[..] else { return None };
    let bytes = BASE64_STANDARD_NO_PAD.decode(text).ok()?;
    Encapsulated::from_bytes(&bytes).ok().filter(|_| stanza.body.len() == BODY)
}
