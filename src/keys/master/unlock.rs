//! a key under a passphrase + a prompt for it → the key.

use std::iter::once;

use age::{DecryptError, Identity};
use age_core::secrecy::SecretString;
use vaultix_generator::escape;
use vaultix_units::{decrypt, stack};

use super::{LoadedKey, Unwrapped};
use crate::error::{Error, Result, Status};
use crate::keys::identity::{self, Key};
use crate::terminal::prompt::{Answer, Prompt, Question};

/// How much work, as a power of two, a file under a passphrase may demand (20).
///
/// That takes a GiB of memory and some seconds; age and rage write 18 or so. A flake may name the file, so it is not
/// the user's word. The `age` crate would measure this machine instead, and then refuse on a busy day what it accepts on
/// another.
const MAX_WORK_FACTOR: u8 = 20;

/// How often a passphrase may be typed.
const ATTEMPTS: usize = 3;

/// Unlocks a key under a passphrase, for `purpose`.
pub(super) fn unlock(
    entry: &LoadedKey,
    purpose: &str,
    prompt: &Prompt,
) -> Result<identity::Identities> {
    let what = format!("passphrase of {}", escape::line(&entry.path.display().to_string()));
    let mut complaint = None;
    for _ in 0..ATTEMPTS {
        let Some(answer) = prompt.secret(&Question { what: &what, purpose, complaint })? else {
            return Err(locked(entry).because("no passphrase was given"));
        };
        match entry.key.unlock(&answer) {
            Ok(found) => return Ok(found),
            Err(UnlockError::Wrong) => complaint = Some("This passphrase is wrong, try again."),
            Err(UnlockError::Unusable(reason)) => return Err(locked(entry).because(reason)),
        }
    }
    Err(locked(entry).because("the passphrase is wrong"))
}

fn locked(entry: &LoadedKey) -> Error {
    Error::new(Status::NoPerm, format!("cannot unlock the identity file {}", entry.path.display()))
}

/// Why a key stays locked.
enum UnlockError {
    Wrong,
    /// No passphrase would help.
    Unusable(String),
}

impl Key {
    fn unlock(
        &self,
        passphrase: &Answer,
    ) -> std::result::Result<identity::Identities, UnlockError> {
        let secret = SecretString::from(passphrase.as_str());
        match self {
            Self::LockedSsh(key, _) => match key.decrypt(secret) {
                Ok(key) => Ok(identity::Identities {
                    keys: vec![Self::Ssh(Box::new(key.into()))],
                    recipients: Vec::new(),
                }),
                Err(_) => Err(UnlockError::Wrong),
            },
            Self::LockedFile(ciphertext) => {
                let mut identity = age::scrypt::Identity::new(secret);
                identity.set_max_work_factor(MAX_WORK_FACTOR);
                let unusable = |error: decrypt::Error| UnlockError::Unusable(error.to_string());
                let stanzas = decrypt::stanzas(ciphertext).map_err(unusable)?;
                let mut key = Unwrapped::default();
                match identity.unwrap_stanzas(&stanzas) {
                    Some(Err(
                        DecryptError::KeyDecryptionFailed | DecryptError::DecryptionFailed,
                    )) => return Err(UnlockError::Wrong),
                    Some(Err(DecryptError::ExcessiveWork { required, .. })) => {
                        return Err(UnlockError::Unusable(format!(
                            "it demands work of 2^{required}, the limit is 2^{MAX_WORK_FACTOR}"
                        )));
                    }
                    outcome => key.set(outcome),
                }
                let text =
                    decrypt::decrypt(ciphertext, once(&key as &dyn Identity)).map_err(unusable)?;
                stack::wiped(|| identity::parse(text.expose()))
                    .map_err(|reason| UnlockError::Unusable(format!("what it holds: {reason}")))
            }
            _ => Err(UnlockError::Unusable("it is not locked".to_owned())),
        }
    }
}
