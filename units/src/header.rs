//! ciphertext → the recipient stanzas in its header, without any key.

use std::cell::RefCell;
use std::fmt::Write;

use age::{DecryptError, Identity};
use age_core::format::{FileKey, Stanza};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use sha2::{Digest, Sha256};

use crate::decrypt::Error;

/// One recipient stanza: what a header says of who can open the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The stanza's type, `ssh-ed25519`, `X25519`, `scrypt`, ….
    pub kind: String,
    /// For ssh keys, the four bytes that name the key: the start of its SHA-256, in base64.
    pub tag: Option<String>,
}

/// Returns the recipient stanzas of `ciphertext`, grease left out.
///
/// # Errors
///
/// As [`crate::decrypt::decrypt`], as far as the header alone can tell.
pub fn recipients(ciphertext: &[u8]) -> Result<Vec<Recipient>, Error> {
    Ok(stanzas(ciphertext)?.iter().filter_map(Recipient::new).collect())
}

/// Returns all stanzas of `ciphertext` as they stand in its header, grease included.
///
/// # Errors
///
/// As [`recipients`].
pub fn stanzas(ciphertext: &[u8]) -> Result<Vec<Stanza>, Error> {
    let recorder = Recorder::default();
    match crate::decrypt::open(ciphertext, std::iter::once(&recorder as &dyn Identity)) {
        Err(DecryptError::NoMatchingKeys) => Ok(recorder.0.into_inner()),
        Err(error) => Err(Error::new(ciphertext, &error)),
        Ok(_) => Ok(Vec::new()), // A recorder opens nothing.
    }
}

impl Recipient {
    /// Returns what `stanza` says, `None` for grease.
    #[must_use]
    pub fn new(stanza: &Stanza) -> Option<Self> {
        let kind = stanza.tag.clone();
        let tag = kind.starts_with("ssh-").then(|| stanza.args.first().cloned()).flatten();
        (!kind.ends_with("-grease")).then_some(Self { kind, tag })
    }
}

/// Returns the stanza that a file has for the ssh public key `recipient`, `None` if it is none.
///
/// ```
/// let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJKFAtszmoMMh2IBHZkmST/rxao9WDWCaShoXWZTOnKT me";
/// assert_eq!(vaultix_units::header::of_ssh_key(key).unwrap().tag.unwrap(), "z0HZwQ");
/// ```
#[must_use]
pub fn of_ssh_key(recipient: &str) -> Option<Recipient> {
    let mut words = recipient.split_ascii_whitespace();
    let kind = words.next().filter(|kind| matches!(*kind, "ssh-ed25519" | "ssh-rsa"))?;
    let key = BASE64_STANDARD.decode(words.next()?).ok()?;
    let digest = Sha256::digest(key);
    let tag = BASE64_STANDARD_NO_PAD.encode(digest.get(..4)?);
    Some(Recipient { kind: kind.to_owned(), tag: Some(tag) })
}

/// Writes `recipients` for an error: `ssh-ed25519 (tag z0HZwQ) and X25519`.
#[must_use]
pub fn describe(recipients: &[Recipient]) -> String {
    let mut text = String::new();
    for (i, recipient) in recipients.iter().enumerate() {
        let joint = if i == 0 {
            ""
        } else if i + 1 == recipients.len() {
            " and "
        } else {
            ", "
        };
        text += joint;
        text += &recipient.kind;
        if let Some(tag) = &recipient.tag {
            let _ = write!(text, " (tag {tag})"); // Writing to a String cannot fail.
        }
    }
    text
}

/// An identity that opens nothing and remembers what it was shown.
#[derive(Default)]
struct Recorder(RefCell<Vec<Stanza>>);

impl Identity for Recorder {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        // A stanza cannot be cloned.
        self.0.borrow_mut().push(Stanza {
            tag: stanza.tag.clone(),
            args: stanza.args.clone(),
            body: stanza.body.clone(),
        });
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    #[test]
    fn recipients_are_listed_as_a_sentence_would() {
        let recipient = |kind: &str, tag: Option<&str>| Recipient {
            kind: kind.to_owned(),
            tag: tag.map(str::to_owned),
        };
        let all = [
            recipient("X25519", None),
            recipient("ssh-rsa", Some("abcd")),
            recipient("scrypt", None),
        ];
        for (count, text) in
            ["", "X25519", "X25519 and ssh-rsa (tag abcd)", "X25519, ssh-rsa (tag abcd) and scrypt"]
                .into_iter()
                .enumerate()
        {
            assert_eq!(describe(&all[..count]), text);
        }
    }
}
