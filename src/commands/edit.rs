//! `vaultix edit`: secret file → editor, standard input or another file → secret file. `vaultix set` and `unset` change one
//! value in such a file, in the same way.

mod input;
mod keys;
mod pick;
mod save;
mod set;
mod target;
mod text;

pub use set::{set, unset};

use std::path::Path;

use vaultix_generator::escape;
use vaultix_units::plaintext::Plaintext;

use crate::cli::{Cli, Edit};
use crate::error::{Exit, Result};
use crate::files::replace::Replacement;
use crate::flake::repository::Checkouts;
use crate::flake::{lookup, workspace};
use crate::report::{self, Report, Verbosity};
use crate::system::interrupt::Interrupt;
use crate::terminal::prompt::Prompt;
use input::Input;
use pick::List;
use save::Save;
use target::{Old, Target};
use text::{Check, Next};

/// Changes one secret.
///
/// # Errors
///
/// When it cannot be read, changed or written. The file is then as it was.
pub fn run(args: &Edit, cli: &Cli) -> Result<Exit> {
    let report = Report::new(Verbosity::Normal);
    let input = Input::choose(args.stdin, args.from.as_ref(), || match &args.file {
        Some(path) => format!("cannot edit {}", path.display()),
        None => "cannot edit a secret".to_owned(),
    })?;
    let given = workspace::given_recipients(&args.recipients, &args.recipient_files, &report)?;
    // Before the settings: hosts have them as well, and are evaluated once.
    let found = match &args.file {
        Some(path) => Some(lookup::existing_or_new(path, &cli.profiles, args.new)?),
        None => None,
    };
    let (identities, rules) = workspace::keys_for_file(&args.identities, &report)?;
    let file = match &found {
        Some(found) => Ok(found.path.clone()),
        None => Err(List::read(&cli.profiles, &report)?),
    };
    // After what runs nix: until here, a signal ends both.
    let interrupt = Interrupt::new()?;
    let mut checkouts = Checkouts::default();
    let path = &checkouts.writable(&file.or_else(|list| list.pick(&interrupt))?)?;
    let extra = workspace::parse_recipients(&rules, path, &given)?;
    let prompt = Prompt::new(&interrupt, &report);
    let again = |path: &Path| format!("vaultix edit {}", escape::shell_path(path));
    found.map_or(Ok(()), |found| found.ensure_wanted(&again, &prompt))?;
    let command = again(path);
    let need = if input == Input::User { Old::Needed } else { Old::IfOpen };
    let target = Target::open(path, &identities, extra, need, &command, &prompt)?;
    let Target { before, old, recipients, count, mut replacement } = target;

    let mut new = input.read(old.as_ref(), path, &report, &interrupt)?;
    // A user who names a recipient wants it to be one, even where the text is the same.
    let is_unchanged = old.as_ref().is_some_and(|old| old.expose() == new.expose());
    if is_unchanged && given.is_empty() {
        report::summary(format_args!("{}: unchanged", path.display()));
        return Ok(Exit::Done);
    }

    let (before, input, command) = (before.as_ref(), &input, command.as_str());
    let save = Save { path, before, recipients, input, command, prompt: &prompt };
    let check = Check::new(path, old.as_ref(), args.as_is);
    // What was typed is kept if it cannot be edited again.
    let again = |new: &Plaintext| {
        input.read(Some(new), path, &report, &interrupt).map_err(|error| save.refuse(error, new))
    };
    loop {
        if let Next::EditAgain = check.decide(&new, &save)? {
            new = again(&new)?;
            continue;
        }
        let Err(unsaved) = save.save(&new, replacement) else { break };
        save.offer_another_edit(unsaved, &new, &report)?;
        replacement = Replacement::new(path)?;
        new = again(&new)?;
    }
    target::warn_blank(&format!("new text of {}", path.display()), &new, &report);
    if before.is_some() {
        keys::warn_lost(path, old.as_ref(), &new, &cli.profiles, &report);
    }
    Ok(target::finish(&report, path, input, before, count, &checkouts))
}
