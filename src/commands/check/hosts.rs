//! secrets + hosts → the secrets that hosts can decrypt themselves, without a copy made for them.
//!
//! So it is where files are kept that agenix has encrypted to hosts. Nothing is wrong with that, but who takes a host over
//! can read what it was never meant to get.

use std::collections::BTreeSet;
use std::path::Path;

use vaultix_units::stanza::{self, Recipient};

use super::sources::{self, ExpectedRecipients};
use crate::cache::desired::Desired;
use crate::flake::workspace::Workspace;

/// How many secrets are named.
const MAX_NAMED: usize = 10;

/// Returns a hint that names these secrets and their hosts; `None` if there are none.
pub(super) fn hint(
    desired: &Desired,
    workspace: &Workspace,
    expected: &ExpectedRecipients,
) -> Option<String> {
    let keys: Vec<(Recipient, &str)> = workspace
        .profiles
        .iter()
        .map(|profile| &profile.settings)
        .filter_map(|host| {
            Some((stanza::parse_ssh_key(&host.host_pubkey)?, host.host_identifier.as_str()))
        })
        .filter(|(key, _)| !expected.contains(key))
        .collect();
    let found: Vec<String> = desired
        .digests
        .keys()
        .filter_map(|file| {
            let hosts = hosts(file, &keys);
            let hosts: Vec<&str> = hosts.into_iter().collect();
            (!hosts.is_empty()).then(|| format!("{} ({})", file.display(), hosts.join(", ")))
        })
        .collect();
    let more = match found.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!found.is_empty()).then(|| {
        let named: Vec<String> = found.into_iter().take(MAX_NAMED).collect();
        format!(
            "hosts can decrypt the secrets themselves, without copies: {}{more}; to encrypt to you alone: vaultix rekey",
            named.join(", ")
        )
    })
}

/// Returns those that `keys` belong to and can decrypt `file`.
fn hosts<'a>(file: &Path, keys: &[(Recipient, &'a str)]) -> BTreeSet<&'a str> {
    // What cannot be read is reported elsewhere.
    let found = sources::recipients(file).ok().flatten().unwrap_or_default();
    keys.iter().filter(|(key, _)| found.contains(key)).map(|(_, host)| *host).collect()
}
