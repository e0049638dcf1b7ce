//! rules + secrets → the rules that no secret has, the secrets that are for others, and those that may be for more people.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::sources::ExpectedRecipients;
use crate::cache::desired::Desired;
use crate::files::tree;
use crate::flake::rules::Rule;
use crate::flake::workspace::Workspace;
use crate::report::{self, Report};
use crate::system::origin;

/// Warns of rules that are for no secret, neither one that a host declares nor one that is there.
pub(super) fn warn_unused(workspace: &Workspace, report: &Report) {
    let declared = workspace.profiles.iter().flat_map(|profile| profile.secrets.values().flatten());
    let declared = declared.map(|secret| secret.ciphertext.clone());
    let is_unused = |rule: &&Rule, secrets: &BTreeSet<PathBuf>| {
        !secrets.iter().any(|path| workspace.rules.covers(rule, path))
    };
    let mut secrets: BTreeSet<PathBuf> = declared.collect();
    if workspace.rules.all().all(|rule| !is_unused(&rule, &secrets)) {
        return;
    }
    // The walk does not leave the flake, whatever links are committed.
    secrets.extend(tree::secrets(&workspace.root));
    for rule in workspace.rules.all().filter(|rule| is_unused(rule, &secrets)) {
        let place = workspace.root.join(&rule.path);
        let hint = if secrets.iter().any(|path| path != &place && path.starts_with(&place)) {
            format!(", since it is a directory; write \"{}/\"", rule.path)
        } else {
            String::new()
        };
        report.warning(format_args!(
            "the rule for \"{}\" in vaultix.rules is for no secret{hint}",
            rule.path
        ));
    }
}

/// Returns lines about secrets that are for others than the identity, and about those of which it is not known whether
/// somebody can decrypt them who should not.
pub(super) fn hints(desired: &Desired, expected: &ExpectedRecipients) -> Vec<String> {
    let of = |is_meant: &dyn Fn(&Path) -> bool| -> Vec<String> {
        let files = desired.digests.keys().filter(|file| is_meant(file));
        files.map(|file| origin::shown(file)).collect()
    };
    let of_others = of(&|file| expected.leaves_to_others(file));
    let with_more = of(&|file| expected.may_have_more(file));
    let mut hints = Vec::new();
    if !of_others.is_empty() {
        hints.push(format!(
            "your identity cannot decrypt these secrets, and no rule names it: {}",
            report::list(&of_others)
        ));
    }
    if !with_more.is_empty() {
        hints.push(format!(
            "these secrets have a recipient that the flake does not name, and that may be its identity's: {}; to have this \
             checked, name that in vaultix.recipient",
            report::list(&with_more)
        ));
    }
    hints
}
