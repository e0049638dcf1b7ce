//! `vaultix edit`: secret file → editor, standard input or another file → secret file.

mod input;
mod pick;
mod save;

use std::path::Path;

use crate::cli::{Cli, Edit};
use crate::error::{Exit, Result};
use crate::files::replace::Replacement;
use crate::files::secret::Secret;
use crate::flake::repository::Checkouts;
use crate::flake::workspace;
use crate::keys::master::Master;
use crate::report::{self, Report, Verbosity};
use crate::system::interrupt::Interrupt;
use crate::terminal::prompt::Prompt;
use input::Input;
use pick::List;
use save::{Recipients, Save};

/// Changes one secret.
///
/// # Errors
///
/// When it cannot be read, changed or written. The file is then as it was.
pub fn run(args: &Edit, cli: &Cli) -> Result<Exit> {
    let report = Report::new(Verbosity::Normal);
    let input = Input::choose(args)?;
    let (identities, rules) = workspace::keys_for_file(&args.identities, &report)?;
    let file = match &args.file {
        Some(path) => Ok(workspace::file(path)?),
        None => Err(List::read(&cli.profiles, &report)?),
    };
    // After what runs nix: until here, a signal ends both.
    let interrupt = Interrupt::new()?;
    let mut checkouts = Checkouts::default();
    let path = &checkouts.writable(&file.or_else(|list| list.pick(&interrupt))?)?;
    let extra = workspace::parse_recipients(&rules, path, &args.recipients)?;
    let prompt = Prompt::new(&interrupt, &report);
    let mut master = Master::read(&identities, &interrupt)?;

    let before = Secret::read(path)?;
    let old = match &before {
        Some(before) if input == Input::Editor => Some(before.open(path, &mut master, &prompt)?),
        _ => None,
    };
    let recipients = master.recipients(extra, &prompt)?;
    let count = recipients.len();
    let recipients = Recipients::new(recipients, path, &prompt)?;
    let old = match (old, &before) {
        // Only to see what is unchanged: the user should not have to type a PIN for that.
        (None, Some(before)) if !identities.is_empty() => {
            before.open_without_prompt(path, &master)?
        }
        (old, _) => old,
    };
    // Made before the editor starts: what the user then types must not be lost because there is no place.
    let mut replacement = Replacement::new(path)?;
    let mut new = input.read(old.as_ref(), path, &report, &interrupt)?;
    // A user who names a recipient wants it to be one, even where the text is the same.
    let is_unchanged = old.is_some_and(|old| old.expose() == new.expose());
    if is_unchanged && args.recipients.is_empty() {
        report::summary(format_args!("{}: unchanged", path.display()));
        return Ok(Exit::Done);
    }

    let save = Save { path, before: before.as_ref(), recipients, input: &input, prompt: &prompt };
    while let Err(unsaved) = save.save(&new, replacement) {
        save.offer_another_edit(unsaved, &new, &report)?;
        replacement = Replacement::new(path)?;
        new = input.read(Some(&new), path, &report, &interrupt)?;
    }
    report_saved(&report, path, &input, before.as_ref(), count);
    if let Some(steps) = checkouts.steps([path.as_path()]) {
        report::summary(format_args!("now run: {steps} && vaultix renc"));
    }
    Ok(Exit::Done)
}

/// Says what was done: `path` has its text from `input`, and is encrypted to `count` recipients.
fn report_saved(
    report: &Report,
    path: &Path,
    input: &Input,
    before: Option<&Secret>,
    count: usize,
) {
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
}
