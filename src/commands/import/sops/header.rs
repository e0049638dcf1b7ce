//! sops' metadata → the data key's ciphertexts, and the code over all values.

use std::collections::BTreeMap;

use age_core::format::Stanza;
use vaultix_units::plaintext::Plaintext;
use vaultix_units::{decrypt, stanza};

use crate::commands::import::gpg;
use crate::commands::import::readers::Readers;
use crate::commands::import::sops::value::DataKey;
use crate::keys::armor;
use crate::keys::unwrapped::Unwrapped;

/// sops' metadata, as flat as it writes them where there are no lists and mappings: names like
/// `age__list_0__map_enc`.
pub type Metadata = BTreeMap<String, String>;

/// What begins the code of files in which it is over encrypted values only: the SHA-256 of "sops".
pub const ONLY_ENCRYPTED: [u8; 32] = [
    0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b,
    0x0b, 0x97, 0x5b, 0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
];

/// Other ways to encrypt the data key, by the names of their fields.
const FOREIGN: [&str; 5] = ["kms", "gcp_kms", "azure_kv", "hc_vault", "hckms"];

/// What sops says of a file: whom it is encrypted to, and the code over all values.
pub struct Header {
    /// The data key, encrypted to each recipient of age.
    keys: Vec<Wrapped>,
    /// The same for each key of `GnuPG`, as messages of that.
    messages: Vec<String>,
    /// Whether the data key is also encrypted in ways that are none of these.
    is_foreign: bool,
    /// When the file was written; the code is at this place.
    pub modified: String,
    /// The code over all values, encrypted.
    pub code: String,
    /// Whether the code is over encrypted values only.
    pub only_encrypted: bool,
}

/// A data key, encrypted to one recipient of age.
struct Wrapped {
    recipient: String,
    ciphertext: Vec<u8>,
}

/// Why a header cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The data key is encrypted to something that cannot be opened here, this.
    Foreign(String),
    /// What else is wrong, as a clause.
    Other(String),
}

impl Header {
    /// Reads `metadata`.
    ///
    /// # Errors
    ///
    /// Why they cannot be used.
    pub fn read(metadata: &Metadata) -> Result<Self, Unusable> {
        let has = |kind: &str| {
            let start = format!("{kind}__list_");
            metadata.range(start.clone()..).next().is_some_and(|(name, _)| name.starts_with(&start))
        };
        if has("key_groups") {
            return Err(other("its data key is split among several groups of keys"));
        }
        let field = |name: &str| {
            metadata.get(name).cloned().ok_or_else(|| other(&format!("sops.{name} is missing")))
        };
        let mut keys = Vec::new();
        while let Some(armored) = metadata.get(&format!("age__list_{}__map_enc", keys.len())) {
            let recipient = field(&format!("age__list_{}__map_recipient", keys.len()))?;
            let ciphertext =
                armor::dearmor(armored.clone().into_bytes()).map_err(Unusable::Other)?;
            keys.push(Wrapped { recipient, ciphertext });
        }
        let message = |number: usize| metadata.get(&format!("pgp__list_{number}__map_enc"));
        let messages: Vec<String> = (0..).map_while(message).cloned().collect();
        if keys.is_empty() && messages.is_empty() {
            let kinds: Vec<&str> = FOREIGN.into_iter().filter(|kind| has(kind)).collect();
            return Err(match kinds.as_slice() {
                [] => other("it has no sops metadata about its keys"),
                kinds => Unusable::Foreign(kinds.join(" and ")),
            });
        }
        Ok(Self {
            keys,
            messages,
            is_foreign: FOREIGN.into_iter().any(has),
            modified: field("lastmodified")?,
            code: field("mac")?,
            only_encrypted: metadata.get("mac_only_encrypted").is_some_and(|text| text == "true"),
        })
    }

    /// Returns the stanzas of all recipients, as if they were of one file.
    pub fn stanzas(&self) -> Vec<Stanza> {
        let of = |key: &Wrapped| decrypt::stanzas(&key.ciphertext).unwrap_or_default();
        self.keys.iter().flat_map(of).collect()
    }

    /// Opens the data key, which `key` fits in one of its ciphertexts; `None` if it does not.
    pub fn open(&self, key: &Unwrapped) -> Option<DataKey> {
        let open = |wrapped: &Wrapped| -> Option<Plaintext> {
            decrypt::decrypt(&wrapped.ciphertext, std::iter::once(key as &dyn age::Identity)).ok()
        };
        let opened = self.keys.iter().find_map(open)?;
        DataKey::new(opened.expose())
    }

    /// Has `gpg` open the data key; `None` where it is encrypted to no key of that.
    pub fn open_with_gpg(&self) -> Option<Result<DataKey, String>> {
        let open = |message: &String| {
            let opened = gpg::decrypt(message.as_bytes())?;
            DataKey::new(opened.expose()).ok_or_else(|| "it holds no key of sops".to_owned())
        };
        let mut outcome = None;
        for message in &self.messages {
            outcome = Some(open(message));
            if matches!(outcome, Some(Ok(_))) {
                break;
            }
        }
        outcome
    }

    /// Returns who can read the file.
    pub fn readers(&self) -> Readers {
        let recipients = self.keys.iter().map(|key| key.recipient.clone()).collect();
        Readers { recipients, has_others: self.is_foreign || !self.messages.is_empty() }
    }

    /// Names the recipients, the first few of many.
    pub fn recipients(&self) -> String {
        let recipients = self
            .keys
            .iter()
            .map(|key| stanza::Recipient { kind: key.recipient.clone(), tag: None });
        stanza::describe(&recipients.collect::<Vec<_>>())
    }
}

fn other(reason: &str) -> Unusable {
    Unusable::Other(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Why `metadata` is refused.
    fn refused(metadata: &[(&str, &str)]) -> Unusable {
        let metadata = metadata.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        Header::read(&metadata.collect()).err().unwrap()
    }

    #[test]
    fn what_cannot_be_opened_here_is_named() {
        let metadata = [("gcp_kms__list_0__map_fp", "1"), ("kms__list_0__map_arn", "2")];
        assert_eq!(refused(&metadata), Unusable::Foreign("kms and gcp_kms".to_owned()));
    }

    #[test]
    fn a_split_key_is_no_key() {
        let metadata = [("key_groups__list_0__map_age__list_0__map_enc", "")];
        assert_eq!(refused(&metadata), other("its data key is split among several groups of keys"));
    }

    #[test]
    fn a_missing_field_is_named() {
        let metadata = [("age__list_0__map_enc", "x"), ("age__list_0__map_recipient", "age1")];
        assert_eq!(refused(&metadata), other("sops.lastmodified is missing"));
    }
}
