//! rules + secrets → the rules that no secret has, and the secrets that are for others, or for more than their rules name.

use std::path::Path;

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
    for rule in workspace.rules.all().filter(|rule| !is_used(rule, workspace)) {
        let place = workspace.root.join(&rule.path);
        let hint = if !rule.path.ends_with('/') && place.is_dir() {
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

fn is_used(rule: &Rule, workspace: &Workspace) -> bool {
    let place = workspace.root.join(&rule.path);
    let mut declared =
        workspace.profiles.iter().flat_map(|profile| profile.secrets.values().flatten());
    if declared.any(|secret| workspace.rules.covers(rule, &secret.ciphertext)) {
        return true;
    }
    if rule.path.ends_with('/') { !tree::secrets(&place).is_empty() } else { place.is_file() }
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
