//! secrets and copies → those that git does not know: Nix does not see them, and evaluation fails.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::groups::Group;
use super::{Finding, Kind};
use crate::cache::desired::Desired;
use crate::cache::plan::{Entry, Plan};
use crate::flake::cache::CachePlace;
use crate::flake::git::index;
use crate::system::origin;

/// Returns the secrets that git does not know, and the copies.
pub(super) fn findings(
    cache: &CachePlace,
    desired: &Desired,
    plan: &Plan,
) -> (Vec<Finding>, Vec<Finding>) {
    let missing: BTreeSet<&Entry> =
        plan.encrypt.values().flatten().map(|target| &target.entry).collect();
    let there = desired.wanted.iter().filter(|(entry, _)| !missing.contains(entry));
    let copies: Vec<_> =
        there.map(|(entry, wanted)| (entry.path(&cache.directory), entry, wanted)).collect();
    let paths = copies.iter().map(|(path, _, _)| path).chain(desired.digests.keys());
    let unknown = index::unknown(paths.map(PathBuf::as_path));
    let secrets = desired.digests.keys().filter_map(|path| {
        let fix = unknown.get(path.as_path())?;
        Some(Finding {
            kind: Kind::Secret,
            host: None,
            secret: None,
            key: None,
            file: Some(path.display().to_string()),
            source: None,
            problem: format!("git does not track {}, so Nix does not see it", origin::shown(path)),
            fix: Some(fix.clone()),
            groups: vec![Group::new(
                "git does not track ",
                " secrets, so Nix does not see them",
                origin::shown(path),
            )],
        })
    });
    let copies = copies.iter().filter_map(|(path, entry, wanted)| {
        let fix = unknown.get(path.as_path())?;
        Some(Finding {
            kind: Kind::Missing,
            host: Some(entry.host.clone()),
            secret: Some(wanted.secret.clone()),
            key: wanted.key.as_ref().map(|key| key.pointer.clone()),
            file: Some(path.display().to_string()),
            source: None,
            problem: format!(
                "git does not track {}, the copy of secret \"{}\" of host {}, so Nix does not see it",
                path.display(),
                wanted.secret,
                entry.host
            ),
            fix: Some(fix.clone()),
            groups: vec![Group::new(
                "git does not track ",
                format!(" copies of host {}, so Nix does not see them", entry.host),
                format!("\"{}\"", wanted.secret),
            )],
        })
    });
    (secrets.collect(), copies.collect())
}
