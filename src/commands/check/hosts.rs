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
use crate::report;
use crate::system::origin;

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
        .collect();
    let found: Vec<String> = desired
        .digests
        .keys()
        .filter_map(|file| {
            let hosts = hosts(file, &keys, expected);
            let hosts: Vec<&str> = hosts.into_iter().collect();
            (!hosts.is_empty()).then(|| format!("{} ({})", origin::shown(file), hosts.join(", ")))
        })
        .collect();
    (!found.is_empty()).then(|| {
        format!(
            "hosts can decrypt the secrets themselves, without copies: {}; to encrypt them to people alone: vaultix rekey",
            report::list(&found)
        )
    })
}

/// Returns those that `keys` belong to and can decrypt `file`, but are not meant to.
fn hosts<'a>(
    file: &Path,
    keys: &[(Recipient, &'a str)],
    expected: &ExpectedRecipients,
) -> BTreeSet<&'a str> {
    // What cannot be read is reported elsewhere.
    let found = sources::recipients(file).ok().flatten().unwrap_or_default();
    let meant = expected.of(file);
    let can = |key: &Recipient| found.contains(key) && !meant.contains(key);
    keys.iter().filter(|(key, _)| can(key)).map(|(_, host)| *host).collect()
}
