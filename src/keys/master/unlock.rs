//! a key with a passphrase + a prompt for it → the unlocked key.

use vaultix_generator::escape;

use super::LoadedKey;
use crate::error::{Error, Result, Status};
use crate::keys::identity::{self, UnlockError};
use crate::terminal::prompt::{Prompt, Question};

/// How often the user may try a passphrase.
const ATTEMPTS: usize = 3;

/// Asks for the passphrase of a key, with `purpose` as the reason, and unlocks it.
pub(super) fn unlock(
    entry: &LoadedKey,
    purpose: &str,
    prompt: &Prompt,
) -> Result<identity::Identities> {
    let what = format!("passphrase for {}", escape::line(&entry.path.display().to_string()));
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
