//! what is wrong with keys and secrets → words for it: on a host, or for a user who has secrets of their own, whose configuration
//! has other options.

use std::fmt::Display;

use vaultix_generator::private;
use vaultix_generator::profile::Layout;

use crate::identity::{Failure, Reason};

/// Whose keys they are.
#[derive(Clone, Copy)]
pub(crate) struct Wording(pub(crate) Layout);

impl Wording {
    /// Returns whether they are a user's.
    fn is_of_user(self) -> bool {
        matches!(self.0, Layout::User(_))
    }

    /// A key that cannot be read, while others can.
    pub(crate) fn one_unreadable(self, failure: &str) -> String {
        if self.is_of_user() {
            format!("cannot use the identity {failure}")
        } else {
            format!("cannot use the host key {failure}")
        }
    }

    /// No key can be read, for these reasons.
    pub(crate) fn all_unreadable(self, reasons: &str) -> String {
        if self.is_of_user() {
            format!("no identity can be read: {reasons}")
        } else {
            format!("no host key can be read: {reasons}")
        }
    }

    /// Why one of them cannot.
    pub(crate) fn explain(self, failure: &Failure) -> String {
        match failure.reason {
            Reason::Passphrase if self.is_of_user() => format!(
                "{}: protected by a passphrase, which nobody is there to enter; make an identity without one: \
                 vaultix-decrypt enroll --user",
                failure.path.display()
            ),
            _ => failure.to_string(),
        }
    }

    /// The public key is a private one.
    pub(crate) fn private_public_key(self) -> String {
        let hint = private::PUBLIC_KEY_HINT;
        if self.is_of_user() {
            format!(
                "settings.recipient is or contains a private key, which is not shown; set it to the public key: {hint}"
            )
        } else {
            format!(
                "settings.hostPubkey is or contains a private key, which is not shown; set it to the public key: {hint}"
            )
        }
    }

    /// There is no public key.
    pub(crate) fn no_public_key(self) -> String {
        let what = if self.is_of_user() {
            "settings.recipient is empty; set it to what this prints, and run vaultix renc: vaultix-decrypt enroll --user"
        } else {
            "settings.hostPubkey is empty; set it to the public key of this host, and run: vaultix renc"
        };
        what.to_owned()
    }

    /// None of `keys` has the type `kind` of the public key.
    pub(crate) fn no_such_type(self, keys: &str, kind: &str) -> String {
        if self.is_of_user() {
            format!(
                "none of settings.identities ({keys}) has the type of settings.recipient, {kind}; add the identity that \
                 belongs to it"
            )
        } else {
            format!(
                "none of settings.hostKeys ({keys}) has the type of settings.hostPubkey, {kind}; add the key that belongs \
                 to it"
            )
        }
    }

    /// The ciphertext `path` is encrypted to `recipients`, and `file` has the right key.
    pub(crate) fn another_copy(
        self,
        path: &dyn Display,
        recipients: &str,
        file: &dyn Display,
    ) -> String {
        if self.is_of_user() {
            format!(
                "{path} is encrypted to another key: {recipients}, although {file} contains the key in settings.recipient; \
                 remove that file from the cache, and run: vaultix renc"
            )
        } else {
            format!(
                "{path} is encrypted to another key: {recipients}, although {file} contains the key in settings.hostPubkey; \
                 remove that file from the cache, and run: vaultix renc"
            )
        }
    }

    /// The ciphertext `path` is encrypted to the right key, and only `keys` are here.
    pub(crate) fn other_keys(self, path: &dyn Display, recipients: &str, keys: &str) -> String {
        if self.is_of_user() {
            format!(
                "{path} is encrypted to the key in settings.recipient ({recipients}), but the identities are others: {keys}; \
                 install the right one, or set recipient to that of one of these and run: vaultix renc"
            )
        } else {
            format!(
                "{path} is encrypted to the key in settings.hostPubkey ({recipients}), but this host has other keys: \
                 {keys}; install the right key, or set hostPubkey to this host's and run: vaultix renc"
            )
        }
    }

    /// The ciphertext `path` is encrypted to none of `keys`.
    pub(crate) fn another_key(self, path: &dyn Display, recipients: &str, keys: &str) -> String {
        let start = format!("{path} is encrypted to another key: {recipients}, but {keys}");
        if self.is_of_user() {
            format!(
                "{start}; set recipient to that of one of settings.identities and run: vaultix renc"
            )
        } else {
            format!("{start}; set hostPubkey to this host's and run: vaultix renc")
        }
    }

    /// Of a placeholder: its secret is unknown, or there is none.
    pub(crate) fn no_secret(self) -> [&'static str; 2] {
        if self.is_of_user() {
            ["which is not a secret of this home", "belongs to no secret of this home"]
        } else {
            ["which is not a secret of this host", "belongs to no secret of this host"]
        }
    }

    /// Whose ciphertexts they are.
    pub(crate) fn owner(self) -> &'static str {
        if self.is_of_user() { "this home" } else { "this host" }
    }
}
