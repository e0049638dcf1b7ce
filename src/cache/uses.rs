//! profiles + what the cache has → which host uses which secret, and whether it has its copy.

use std::collections::BTreeSet;
use std::path::Path;

use vaultix_generator::profile::{Profile, Secret};
use vaultix_units::{decrypt, stanza};

use crate::cache::desired::Comparison;
use crate::cache::plan::Entry;
use crate::cache::store;
use crate::files::source;
use crate::flake::cache::CachePlace;
use crate::keys::armor;
use crate::keys::recipient;

/// A secret of a host.
pub struct Use<'a> {
    pub profile: &'a Profile,
    pub secret: &'a Secret,
    pub state: State,
}

impl Use<'_> {
    /// Returns the name of the host.
    pub fn host(&self) -> &str {
        &self.profile.settings.host_identifier
    }

    /// Returns whether the host has its copy.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready(_))
    }
}

/// Whether a host has its copy of a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum State {
    /// It has it.
    Ready(Entry),
    /// It does not have it, or not where Nix looks for it.
    Missing(Entry),
    /// There is nothing to make a copy of, or the host's key cannot be used.
    Unusable,
    /// The host has no key yet.
    Keyless,
}

/// Returns what all hosts of `profiles` use, host by host.
pub fn find<'a>(
    profiles: &'a [Profile],
    comparison: &Comparison,
    cache: &CachePlace,
) -> Vec<Use<'a>> {
    let Comparison { desired, plan, .. } = comparison;
    let missing: BTreeSet<&Entry> =
        plan.encrypt.values().flatten().map(|target| &target.entry).collect();
    let state = |profile: &Profile, key: &str, secret: &Secret| {
        let host = &profile.settings.host_identifier;
        if desired.keyless.contains(host) {
            return State::Keyless;
        }
        let Some(digest) = desired.digests.get(&secret.ciphertext) else { return State::Unusable };
        let name = store::name(digest, key, secret.key.as_ref());
        let entry = Entry { host: host.clone(), name };
        if !desired.wanted.contains_key(&entry) {
            State::Unusable
        } else if missing.contains(&entry) || cache.unseen(host, &entry.name).is_some() {
            State::Missing(entry)
        } else {
            State::Ready(entry)
        }
    };
    let of_host = |profile: &'a Profile| {
        let key = recipient::canonical(&profile.settings.host_pubkey);
        let secrets = profile.secrets.values().flatten();
        let uses =
            secrets.map(|secret| Use { profile, secret, state: state(profile, &key, secret) });
        uses.collect::<Vec<_>>()
    };
    profiles.iter().flat_map(of_host).collect()
}

/// Returns what the header of the secret `path` says of who opens it, a text for each recipient; `None` where there is no
/// header to read.
pub fn recipients(path: &Path) -> Option<Vec<String>> {
    let ciphertext = armor::dearmor(source::read(path).ok()?).ok()?;
    let found = decrypt::recipients(&ciphertext).ok()?;
    Some(found.into_iter().map(|one| stanza::describe(&[one])).collect())
}
