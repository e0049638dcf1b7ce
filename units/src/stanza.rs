//! recipient stanza → a short description of who can decrypt the file.

use age_core::format::Stanza;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use sha2::{Digest, Sha256};
use vaultix_generator::escape;

use crate::pq;

/// One recipient stanza: what a header reveals about who can decrypt the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recipient {
    /// The stanza's type, `ssh-ed25519`, `X25519`, `scrypt`, ….
    pub kind: String,
    /// For ssh keys, the four bytes that identify the key: the start of its SHA-256, in base64.
    pub tag: Option<String>,
}

impl Recipient {
    /// Returns the recipient of `stanza`; `None` for grease, which age programs add and which has
    /// no meaning.
    #[must_use]
    pub fn new(stanza: &Stanza) -> Option<Self> {
        let kind = stanza.tag.clone();
        let tag = kind.starts_with("ssh-").then(|| stanza.args.first().cloned()).flatten();
        (!kind.ends_with("-grease")).then_some(Self { kind, tag })
    }

    /// Returns it as text: `ssh-ed25519 (tag z0HZwQ)`.
    fn name(&self) -> String {
        match &self.tag {
            Some(tag) => format!("{} (tag {})", shown(&self.kind), shown(tag)),
            None => shown(&self.kind),
        }
    }
}

/// Returns the stanza that a file has for the ssh public key `recipient`; `None` if that is not an
/// ssh public key.
///
/// ```
/// let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJKFAtszmoMMh2IBHZkmST/rxao9WDWCaShoXWZTOnKT me";
/// assert_eq!(vaultix_units::stanza::parse_ssh_key(key).unwrap().tag.unwrap(), "z0HZwQ");
/// ```
#[must_use]
pub fn parse_ssh_key(recipient: &str) -> Option<Recipient> {
    let mut words = recipient.split_ascii_whitespace();
    let kind = words.next().filter(|kind| matches!(*kind, "ssh-ed25519" | "ssh-rsa"))?;
    let key = BASE64_STANDARD.decode(words.next()?).ok()?;
    let digest = Sha256::digest(key);
    let tag = BASE64_STANDARD_NO_PAD.encode(digest.get(..4)?);
    Some(Recipient { kind: kind.to_owned(), tag: Some(tag) })
}

/// Returns the stanza that a file has for `recipient`, an ssh public key or a recipient of age of its own; `None` for any
/// other, such as one of a plugin.
///
/// ```
/// assert_eq!(vaultix_units::stanza::of("age1pq1xyz").unwrap().kind, "mlkem768x25519");
/// ```
#[must_use]
pub fn of(recipient: &str) -> Option<Recipient> {
    let of_age = || {
        let kind = match recipient {
            _ if recipient.starts_with("age1pq1") => pq::TAG,
            _ if recipient.parse::<age::x25519::Recipient>().is_ok() => "X25519",
            _ => return None,
        };
        Some(Recipient { kind: kind.to_owned(), tag: None })
    };
    parse_ssh_key(recipient).or_else(of_age)
}

/// Returns whether no quantum computer can decrypt stanzas of the type `kind`, as far as is known.
#[must_use]
pub fn is_post_quantum(kind: &str) -> bool {
    // The second one is that of hardware keys.
    [pq::TAG, "mlkem768p256tag"].contains(&kind)
}

/// How many recipients are listed (5).
const MAX_NAMED: usize = 5;

/// How much of a word of a header is shown, in characters (64).
const MAX_WORD: usize = 64;

/// Lists `recipients` for an error: `ssh-ed25519 (tag z0HZwQ) and X25519`.
///
/// The author of the file chose these words and their number: only the first few are listed, and only the beginning of each.
#[must_use]
pub fn describe(recipients: &[Recipient]) -> String {
    let mut names: Vec<String> = recipients.iter().take(MAX_NAMED).map(Recipient::name).collect();
    let more = recipients.len() - names.len();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    match names.as_slice() {
        [names @ .., last] if !names.is_empty() => format!("{} and {last}", names.join(", ")),
        _ => names.concat(),
    }
}

/// Returns the beginning of a word of a header.
fn shown(word: &str) -> String {
    let mut text: String = word.chars().take(MAX_WORD).collect();
    if text.len() < word.len() {
        text.push('\u{2026}');
    }
    escape::line(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    #[test]
    fn recipients_are_listed_as_in_a_sentence() {
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
        let many = vec![recipient("X25519", None); 10_000];
        assert_eq!(describe(&many), "X25519, X25519, X25519, X25519, X25519 and 9995 more");
    }

    #[test]
    fn a_header_cannot_fill_a_message() {
        let recipient = Recipient {
            kind: format!("ssh-{}", "k".repeat(1 << 20)),
            tag: Some("\u{1b}".repeat(1 << 20)),
        };
        let text = describe(&vec![recipient; 100]);
        assert!(text.len() < 4096, "{} bytes", text.len());
        assert!(!text.contains('\u{1b}'));
    }
}
