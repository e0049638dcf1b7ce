//! one value of a sops file + data key → its bytes.
//!
//! Format: <https://getsops.io/docs/#encryption-protocol>.

use aes_gcm::aead::consts::U32;
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, Key, KeyInit, Nonce};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

/// sops takes nonces of 32 bytes, where most take 12.
type Cipher = AesGcm<Aes256, U32>;

/// Bytes of a value, wiped when dropped.
pub type Bytes = Zeroizing<Vec<u8>>;

pub struct DataKey(Cipher);

impl DataKey {
    /// Takes the key's bytes, `None` if they are none.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == 32).then(|| Self(Cipher::new(Key::<Cipher>::from_slice(bytes))))
    }

    /// Opens the value `text`, which is at `aad`: the key of an entry moved elsewhere opens nothing.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as a clause.
    pub fn open(&self, text: &str, aad: &str) -> Result<Bytes, &'static str> {
        let sealed = Sealed::parse(text).ok_or("it is malformed")?;
        let nonce = Nonce::<U32>::from_slice(&sealed.nonce);
        let payload = Payload { msg: &sealed.ciphertext, aad: aad.as_bytes() };
        let opened = self.0.decrypt(nonce, payload);
        opened.map(Zeroizing::new).map_err(|_| "it was changed, or moved from elsewhere")
    }
}

/// Returns whether `text` is an encrypted value.
///
/// sops goes by names and patterns that the file sets, and so by what *should* be encrypted. What *is* says as
/// much here: a value that was swapped for one in clear is not what the file's code was made of.
pub fn is_sealed(text: &str) -> bool {
    text.starts_with(START) && text.ends_with(']')
}

/// Returns what kind of value `text` contains: `str`, `int`, `bool`, ….
pub fn kind(text: &str) -> Option<&str> {
    Some(text.strip_suffix(']')?.rsplit_once(",type:")?.1)
}

/// How an encrypted value begins.
pub const START: &str = "ENC[AES256_GCM,data:";

struct Sealed {
    /// Its ciphertext, and the code of that.
    ciphertext: Vec<u8>,
    nonce: Vec<u8>,
}

impl Sealed {
    fn parse(text: &str) -> Option<Self> {
        let (data, rest) = text.strip_prefix(START)?.split_once(",iv:")?;
        let (nonce, rest) = rest.split_once(",tag:")?;
        let (tag, _) = rest.split_once(",type:")?;
        let bytes = |text: &str| BASE64_STANDARD.decode(text).ok();
        let mut ciphertext = bytes(data)?;
        ciphertext.extend(bytes(tag)?);
        let nonce = bytes(nonce).filter(|nonce| nonce.len() == 32)?;
        Some(Self { ciphertext, nonce })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_where_it_was_sealed() {
        let key = DataKey::new(&[7; 32]).unwrap();
        let payload = Payload { msg: b"hunter2", aad: b"a:b:" };
        let sealed = key.0.encrypt(Nonce::<U32>::from_slice(&[1; 32]), payload).unwrap();
        let (data, tag) = sealed.split_at(7);
        let [data, nonce, tag] = [data, &[1; 32], tag].map(|bytes| BASE64_STANDARD.encode(bytes));
        let text = format!("{START}{data},iv:{nonce},tag:{tag},type:str]");
        assert_eq!(**key.open(&text, "a:b:").unwrap(), *b"hunter2");
        let moved = key.open(&text, "a:c:").err();
        assert_eq!(moved, Some("it was changed, or moved from elsewhere"));
    }

    #[test]
    fn a_malformed_value_is_refused() {
        let key = DataKey::new(&[7; 32]).unwrap();
        for text in ["", "ENC[AES256_GCM,data:]", "ENC[AES256_GCM,data:,iv:AAAA,tag:,type:str]"] {
            assert_eq!(key.open(text, "a:").err(), Some("it is malformed"), "{text}");
        }
        assert!(DataKey::new(&[7; 16]).is_none());
    }

    #[test]
    fn a_kind_stands_at_the_end() {
        assert_eq!(kind("ENC[AES256_GCM,data:,iv:,tag:,type:bool]"), Some("bool"));
        assert!(is_sealed("ENC[AES256_GCM,data:,iv:,tag:,type:bool]"));
        assert!(!is_sealed("ENC[AES256_GCM,data:"));
    }
}
