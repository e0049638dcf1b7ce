//! secrets before and after → a warning about those that fewer people can decrypt now.
//!
//! That hosts cannot decrypt them any more is what `rekey` is for: they have copies.

use std::path::Path;

use vaultix_generator::profile::Profile;
use vaultix_units::decrypt;
use vaultix_units::stanza::{self, Recipient};

use crate::keys::armor;
use crate::report::{self, Report};

pub(super) struct Lost {
    /// What headers contain for hosts.
    hosts: Vec<Recipient>,
    /// How many old identities there are: that these open nothing afterwards is meant.
    old: usize,
    /// The secrets that somebody has lost.
    names: Vec<String>,
}

impl Lost {
    /// Begins with none, for the hosts of `profiles` and so many `old` identities.
    pub(super) fn new(profiles: &[Profile], old: usize) -> Self {
        let keys = profiles.iter().map(|profile| &profile.settings.host_pubkey);
        let hosts = keys.filter_map(|key| stanza::parse_ssh_key(key)).collect();
        Self { hosts, old, names: Vec::new() }
    }

    /// Takes the secret `path`, which was the ciphertext `before` and is in the file `after` now.
    pub(super) fn add(&mut self, path: &Path, before: &[u8], after: Vec<u8>) {
        let Ok(after) = armor::dearmor(after) else { return };
        let people = |ciphertext| {
            let mut found = decrypt::recipients(ciphertext).unwrap_or_default();
            found.retain(|one| !self.hosts.contains(one));
            found
        };
        if count_missing(people(before), people(&after)) > self.old {
            self.names.push(path.display().to_string());
        }
    }

    /// Names them.
    pub(super) fn warn(&self, report: &Report) {
        if !self.names.is_empty() {
            report.warning(format_args!(
                "others could decrypt these secrets before, and cannot any more: {}; if they should, name them in \
                 vaultix.extraRecipients or vaultix.rules, and run vaultix rekey again",
                report::list(&self.names)
            ));
        }
    }
}

/// Returns how many of `before` are not in `after`. What cannot be told apart is counted.
fn count_missing(before: Vec<Recipient>, mut after: Vec<Recipient>) -> usize {
    let is_missing = |one: &Recipient| match after.iter().position(|other| other == one) {
        Some(at) => {
            after.swap_remove(at);
            false
        }
        None => true,
    };
    before.into_iter().filter(is_missing).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_told_apart_is_counted() {
        let age = || Recipient { kind: "X25519".to_owned(), tag: None };
        let ssh = |tag: &str| Recipient { kind: "ssh-rsa".to_owned(), tag: Some(tag.to_owned()) };
        let before = || vec![age(), age(), ssh("a"), ssh("b")];
        assert_eq!(count_missing(before(), before()), 0);
        assert_eq!(count_missing(before(), vec![age(), ssh("b"), ssh("c")]), 2);
        assert_eq!(count_missing(vec![age()], vec![age(), age()]), 0);
    }
}
