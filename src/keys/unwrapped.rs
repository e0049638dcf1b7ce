//! file key that an identity unwrapped → an identity that opens only this file.

use age::{DecryptError, Identity};
use age_core::format::{FileKey, Stanza};
use age_core::secrecy::ExposeSecret;

/// What the identities found for a file: nothing, its file key, or a failure.
///
/// As an identity, it opens that file; any other file fails because its MAC does not match.
#[derive(Default)]
pub struct Unwrapped(Option<Result<FileKey, DecryptError>>);

impl Unwrapped {
    /// Returns whether no identity has matched so far.
    pub fn is_closed(&self) -> bool {
        self.0.is_none()
    }

    /// Stores the outcome of an identity; `None` if it does not match.
    pub fn set(&mut self, outcome: Option<Result<FileKey, DecryptError>>) {
        self.0 = outcome;
    }
}

impl Identity for Unwrapped {
    fn unwrap_stanza(&self, _: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        self.0.as_ref().map(|outcome| match outcome {
            Ok(key) => Ok(FileKey::init_with_mut(|copy| copy.copy_from_slice(key.expose_secret()))),
            Err(error) => Err(error.clone()),
        })
    }
}
