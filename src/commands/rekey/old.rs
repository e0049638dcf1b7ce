//! old identities + whom secrets are encrypted to → a refusal where an old one would stay, and what is left of it afterwards.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use vaultix_units::decrypt;

use super::whole;
use crate::error::{Error, Result, Status};
use crate::files::secret::Secret;
use crate::files::tree;
use crate::flake::workspace::Workspace;
use crate::keys::master::Master;
use crate::keys::recipient::canonical;
use crate::report::{self, Report};
use crate::system::origin;

/// Makes sure that the `files` are not encrypted to an old identity of `master` again, because the flake, or the user who has
/// `given` recipients, still names it.
///
/// # Errors
///
/// Says who does.
pub(super) fn ensure_left<'a>(
    workspace: &Workspace,
    files: &(impl Iterator<Item = &'a Path> + Clone),
    given: &[String],
    master: &Master,
) -> Result<()> {
    let current = master.own_recipients();
    for (path, old) in master.old_recipients() {
        let is_old = |text: &String| old.contains(&canonical(text));
        let refused = |status: Status, who: &str, fix: &str| {
            let what = format!("cannot stop encrypting to the identity in {}", path.display());
            Err(Error::new(status, what).because(who).fix(fix))
        };
        if given.iter().any(is_old) {
            let who = "--recipient or --recipients-file names its recipient";
            return refused(Status::Usage, who, "leave it out");
        }
        if current.iter().any(is_old) {
            let who = "the identity to encrypt to is the same";
            let fix = "pass another one with --identity FILE, or set vaultix.identity to it";
            return refused(Status::Usage, who, fix);
        }
        let files_of_flake = &workspace.identities;
        let is_used =
            !files_of_flake.is_given || files_of_flake.names_one_of(current.iter().cloned());
        if is_used && files_of_flake.recipients.iter().any(is_old) {
            let fix = "replace it in vaultix.recipient";
            return refused(Status::Config, "vaultix.recipient names its recipient", fix);
        }
        let mut kept = files.clone();
        if let Some(file) = kept.find(|file| workspace.rules.recipients(file).iter().any(is_old)) {
            return match workspace.rules.rule(file) {
                Some(rule) => refused(
                    Status::Config,
                    &format!("the rule for \"{}\" in vaultix.rules names its recipient", rule.path),
                    "remove it from vaultix.rules",
                ),
                None => refused(
                    Status::Config,
                    "vaultix.extraRecipients names its recipient",
                    "remove it from vaultix.extraRecipients",
                ),
            };
        }
    }
    Ok(())
}

/// Says which secrets an old identity of `master` still decrypts: of the `files`, of those next to them and of the flake.
pub(super) fn report<'a>(
    workspace: &Workspace,
    files: impl Iterator<Item = &'a PathBuf>,
    master: &Master,
    report: &Report,
) {
    let old: Vec<String> =
        master.old_recipients().iter().map(|(path, _)| path.display().to_string()).collect();
    if old.is_empty() {
        return;
    }
    let files: BTreeSet<PathBuf> = files.cloned().collect();
    let declared = workspace.profiles.iter().flat_map(|profile| profile.secrets.values().flatten());
    let folders: BTreeSet<&Path> = declared
        .filter_map(|secret| secret.ciphertext.parent())
        .chain(workspace.secrets.as_deref())
        .chain([workspace.root.as_path()].into_iter().filter(|root| *root != Path::new("")))
        .collect();
    let cache = whole(&workspace.cache.directory);
    let around = folders.into_iter().flat_map(tree::secrets).map(|path| whole(&path));
    let around = around.filter(|path| !path.starts_with(&cache));
    let all: BTreeSet<PathBuf> = around.chain(files).collect();
    let mut left = Vec::new();
    let mut is_known = true;
    for path in &all {
        let Ok(Some(secret)) = Secret::read(path) else { continue };
        let Ok(header) = decrypt::stanzas(&secret.ciphertext) else { continue };
        match master.is_open_to_old(&header) {
            Some(true) => left.push(origin::shown(&report::relative(path))),
            Some(false) => {}
            None => is_known = false,
        }
    }
    let old = old.join(", ");
    if !left.is_empty() {
        report.warning(format_args!("still encrypted to {old}: {}", report::list(&left)));
    } else if is_known {
        report.line(format_args!("no secret is encrypted to {old} any more"));
    }
}
