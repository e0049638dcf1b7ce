//! path of a secret + whom it is for → the secret, open to be changed.

use std::collections::BTreeSet;
use std::path::Path;

use vaultix_units::plaintext::Plaintext;

use super::input::Input;
use super::save::Recipients;
use crate::error::{Exit, Result, common_exit};
use crate::files::replace::Replacement;
use crate::files::secret::Secret;
use crate::flake::git::{self, attributes};
use crate::flake::nix;
use crate::flake::repository::Checkouts;
use crate::keys::identity_files::IdentityFiles;
use crate::keys::master::Master;
use crate::keys::recipient::ParsedRecipient;
use crate::report::{self, Report};
use crate::system::fence;
use crate::terminal::prompt::Prompt;

/// A secret that is about to be changed.
pub(super) struct Target<'a> {
    /// As it is in the repository; `None` if there is none yet.
    pub before: Option<Secret>,
    /// Its text, as far as it is needed or can be had without a question.
    pub old: Option<Plaintext>,
    pub recipients: Recipients<'a>,
    /// How many recipients there will be.
    pub count: usize,
    /// Where the new text goes. Made before the user types it: that must not be lost because there is no place.
    pub replacement: Replacement,
}

/// Whether the old text is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Old {
    Needed,
    /// Only to see what is unchanged: the user should not have to type a PIN for that.
    IfOpen,
}

impl<'a> Target<'a> {
    /// Opens the secret `path` with the `identities`, to be encrypted to them and to `extra`. To do so again, the user runs
    /// `command`.
    pub(super) fn open(
        path: &Path,
        identities: &IdentityFiles,
        extra: Vec<ParsedRecipient>,
        need: Old,
        command: &str,
        prompt: &'a Prompt,
    ) -> Result<Self> {
        let mut master = Master::read(identities, prompt.interrupt)?;
        let before = Secret::read(path)?;
        let old = match &before {
            Some(before) if need == Old::Needed => Some(before.open(path, &mut master, prompt)?),
            _ => None,
        };
        let recipients = master.recipients(extra, prompt)?;
        let count = recipients.len();
        let recipients = Recipients::new(recipients, path, command, prompt)?;
        let old = match (old, &before) {
            (None, Some(before)) if !identities.is_empty() => {
                before.open_without_prompt(path, &master)?
            }
            (old, _) => old,
        };
        let replacement = Replacement::new(path)?;
        Ok(Self { before, old, recipients, count, replacement })
    }
}

/// Warns if `new`, which is saved as the text or value `what`, has nothing that can be seen: of a hash like that, a host makes a user without a
/// password.
pub(super) fn warn_blank(what: &str, new: &Plaintext, report: &Report) {
    if new.expose().trim_ascii().is_empty() {
        report.warning(format_args!("the {what} is only white space"));
    }
}

/// Says what was done: `path` has its text from `input`, and is encrypted to `count` recipients. Makes git aware of a new file.
pub(super) fn finish(
    report: &Report,
    path: &Path,
    input: &Input,
    before: Option<&Secret>,
    count: usize,
    checkouts: &Checkouts,
) -> Exit {
    let to = if count == 1 { "1 recipient".to_owned() } else { format!("{count} recipients") };
    let done = if before.is_some() { "changed" } else { "created" };
    // A user who did not mean to pass anything there should see it.
    let from = if *input == Input::Stdin { " from standard input" } else { "" };
    report::summary(format_args!("{}: {done}{from}, encrypted to {to}", path.display()));
    let lost = before.map_or(0, |before| before.recipients.saturating_sub(count));
    if lost > 0 {
        report.warning(format_args!(
            "{} was encrypted to {lost} more before; --recipient adds them again",
            path.display()
        ));
    }
    // Nix does not see what git does not know.
    let failures = match before {
        Some(_) => Vec::new(),
        None => git::track_all([&path.to_owned()], report),
    };
    report.errors(&failures);
    attributes::warn_changed([&path.to_owned()], Path::new(""), &BTreeSet::new(), report);
    if let Some(steps) = checkouts.steps([path]) {
        report::summary(format_args!("now run: {steps} && vaultix renc"));
    } else if is_in_flake(path) {
        report::summary("now run: vaultix renc");
    }
    common_exit(&failures)
}

/// Returns whether the file `path` is in the flake of this run: then hosts may need a copy of it.
fn is_in_flake(path: &Path) -> bool {
    let real = fence::resolve(path);
    nix::top().zip(real.ok()).is_some_and(|(top, real)| real.starts_with(top))
}
