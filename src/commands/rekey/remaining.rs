//! folders of secrets → a warning about the secrets there that were not rekeyed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::whole;
use crate::error::{Exit, Status};
use crate::files::secret::Secret;
use crate::files::tree;
use crate::flake::workspace::Workspace;
use crate::keys::master::Master;
use crate::report::{self, Report};
use crate::system::origin;

/// Says which secrets are next to those of the profiles, and are none of `done`, whole paths.
pub(super) fn warn(
    workspace: &Workspace,
    done: &BTreeSet<&PathBuf>,
    master: &Master,
    report: &Report,
) {
    let left = find(workspace, done, master);
    let names: Vec<String> = left.iter().map(|path| origin::shown(path)).collect();
    if names.is_empty() {
        return;
    }
    report.warning(format_args!(
        "not rekeyed, because no profile names them: {}; to rekey them as well: vaultix rekey FILE...",
        report::list(&names)
    ));
}

/// Finds them: all in the folders of secrets and below, but the cache, and what is known to be for others alone.
fn find(workspace: &Workspace, done: &BTreeSet<&PathBuf>, master: &Master) -> Vec<PathBuf> {
    let declared = workspace.profiles.iter().flat_map(|profile| profile.secrets.values().flatten());
    let folders: BTreeSet<&Path> = declared
        .filter_map(|secret| secret.ciphertext.parent())
        .chain(workspace.secrets.as_deref())
        .collect();
    let cache = whole(&workspace.cache.directory);
    let mut seen = BTreeSet::new();
    folders
        .into_iter()
        .flat_map(tree::secrets)
        .filter(|path| {
            let whole = whole(path);
            !done.contains(&whole) && !whole.starts_with(&cache) && seen.insert(whole)
        })
        .filter(|path| may_be_ours(path, master))
        .collect()
}

/// Returns whether an identity of ours opens the secret `path`, or may do so.
fn may_be_ours(path: &Path, master: &Master) -> bool {
    match Secret::read(path) {
        // One for others is not ours to keep, and what is no secret, or damaged, opens with no key.
        Ok(Some(secret)) => !secret.open_without_prompt(path, master).is_err_and(|error| {
            matches!(error.exit, Exit::Failed(Status::NoPerm | Status::DataErr))
        }),
        Ok(None) => false,
        Err(error) => error.exit != Exit::Failed(Status::DataErr),
    }
}
