//! secrets + configured recipients → the secrets that some of these cannot decrypt, as far as headers tell.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use vaultix_generator::escape;
use vaultix_units::bounded;
use vaultix_units::decrypt;
use vaultix_units::stanza::{self, Recipient};

use crate::files::source;
use crate::flake::workspace::Workspace;
use crate::keys::recipient::canonical;
use crate::keys::{armor, identity};
use crate::system::input;

/// The recipients that the header of each secret has to hold.
pub struct ExpectedRecipients {
    all: Vec<Recipient>,
    /// Those of the identity.
    own: Vec<Recipient>,
}

impl ExpectedRecipients {
    /// Takes the recipients that the flake names, and those of its identity where that is here and locked by nothing. In
    /// CI it is not.
    pub fn from_workspace(workspace: &Workspace) -> Self {
        let own = workspace.identities.iter().flat_map(|path: &PathBuf| public_keys(path));
        let own: BTreeSet<String> = own.collect();
        let named = workspace.recipients.iter().map(|text| canonical(text));
        let all: BTreeSet<String> = named.chain(own.iter().cloned()).collect();
        let stanzas =
            |texts: BTreeSet<String>| texts.iter().filter_map(|text| stanza(text)).collect();
        Self { all: stanzas(all), own: stanzas(own) }
    }

    /// Returns whether the secrets are meant to be encrypted to `recipient`.
    pub fn contains(&self, recipient: &Recipient) -> bool {
        self.all.contains(recipient)
    }

    /// Returns what is wrong with the secret `file`, and how to fix it.
    pub fn problem(&self, file: &Path) -> Option<(String, String)> {
        let shown = file.display();
        let damaged = |reason| {
            let problem = format!("{shown} cannot be decrypted by anyone: {reason}");
            let word = escape::shell_path(file);
            Some((
                problem,
                format!("git checkout -- {word} # or: rm {word} && vaultix edit {word}"),
            ))
        };
        // What cannot be read is reported elsewhere.
        let found = match recipients(file) {
            Ok(found) => found?,
            Err(reason) => return damaged(reason),
        };
        let missing = without(&self.all, &found);
        if missing.is_empty() {
            return None;
        }
        let missing = stanza::describe(&missing);
        let problem = format!("{shown} is not encrypted to {missing}");
        if self.own.is_empty() || self.own.iter().any(|own| found.contains(own)) {
            return Some((problem, "vaultix rekey".to_owned()));
        }
        // The identity does not open it, so nothing is done without another one.
        let problem = format!("{problem}, but to {}", stanza::describe(&found));
        Some((problem, "vaultix rekey --old IDENTITY_THAT_OPENS_IT".to_owned()))
    }
}

/// Returns whom the secret `file` is encrypted to, `None` where it cannot be read.
///
/// # Errors
///
/// Why it is damaged.
pub fn recipients(file: &Path) -> Result<Option<Vec<Recipient>>, String> {
    let Ok(bytes) = source::read(file) else { return Ok(None) };
    let bytes = armor::dearmor(bytes)?;
    decrypt::recipients(&bytes).map(Some).map_err(|error| error.to_string())
}

/// Returns those of `wanted` that are not in `found`. Where a header does not tell keys apart, it has to hold as many.
fn without(wanted: &[Recipient], found: &[Recipient]) -> Vec<Recipient> {
    let mut left: BTreeMap<&Recipient, usize> = BTreeMap::new();
    for one in found {
        *left.entry(one).or_default() += 1;
    }
    let mut missing = wanted.to_vec();
    missing.retain(|one| match left.get_mut(one) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    });
    missing
}

/// Returns the public keys of an identity file, as far as they are known without asking.
fn public_keys(path: &Path) -> Vec<String> {
    let text = input::file(path, bounded::MAX_IDENTITY, None).ok();
    let found = text.and_then(|text| identity::parse(&text).ok());
    let keys = found.map(|found| found.keys).unwrap_or_default();
    keys.iter().filter_map(|key| Some(key.recipient()?.text())).collect()
}

/// Returns what a header contains of `recipient`; `None` for one of a plugin, whose stanzas only it knows.
fn stanza(recipient: &str) -> Option<Recipient> {
    let of_age = || {
        let kind = if recipient.parse::<age::x25519::Recipient>().is_ok() {
            "X25519"
        } else if recipient.starts_with("age1pq1") {
            "mlkem768x25519"
        } else {
            return None;
        };
        Some(Recipient { kind: kind.to_owned(), tag: None })
    };
    stanza::parse_ssh_key(recipient).or_else(of_age)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, tag: Option<&str>) -> Recipient {
        Recipient { kind: kind.to_owned(), tag: tag.map(str::to_owned) }
    }

    #[test]
    fn keys_that_cannot_be_told_apart_are_counted() {
        let [age, one, other] =
            [of("X25519", None), of("ssh-rsa", Some("a")), of("ssh-rsa", Some("b"))];
        let missing = |found: &[&Recipient]| {
            let wanted = [age.clone(), age.clone(), one.clone()];
            let found: Vec<Recipient> = found.iter().copied().cloned().collect();
            stanza::describe(&without(&wanted, &found))
        };
        assert_eq!(missing(&[&one, &age, &other]), "X25519");
        assert_eq!(missing(&[&age, &age, &other]), "ssh-rsa (tag a)");
        assert_eq!(missing(&[&age, &one, &age]), "");
    }
}
