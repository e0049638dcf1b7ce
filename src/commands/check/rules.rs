//! rules + secrets → the rules that no secret has, and the secrets that are for others, or for more than their rules name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use vaultix_units::stanza::{self, Recipient};

use super::sources::{Deviation, ExpectedRecipients};
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

/// Returns lines about secrets that are for others than the identity, and about those that are for more than their rules
/// name. Both may be meant.
pub(super) fn hints(
    desired: &Desired,
    workspace: &Workspace,
    expected: &ExpectedRecipients,
) -> Vec<String> {
    let hosts = workspace.profiles.iter().map(|profile| &profile.settings.host_pubkey);
    let hosts: Vec<Recipient> = hosts.filter_map(|key| stanza::parse_ssh_key(key)).collect();
    let (mut of_others, mut with_more) = (Vec::new(), Vec::new());
    for file in desired.digests.keys() {
        match expected.deviation(file, &hosts) {
            Some(Deviation::OfOthers) => of_others.push(shown(file)),
            Some(Deviation::More(count)) => with_more.push(format!("{} ({count})", shown(file))),
            None => {}
        }
    }
    let mut hints = Vec::new();
    if !of_others.is_empty() {
        hints.push(format!(
            "your identity cannot decrypt these secrets, and no rule names it: {}",
            report::list(&of_others)
        ));
    }
    if !with_more.is_empty() {
        hints.push(format!(
            "others can decrypt these secrets than their rules name: {}; to encrypt to these alone: vaultix rekey",
            report::list(&with_more)
        ));
    }
    hints
}

fn shown(file: &Path) -> String {
    origin::shown(file)
}
