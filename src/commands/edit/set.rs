//! `vaultix set` and `unset`: a structured file + a key → the same file with another value there, or none.

use std::path::{Path, PathBuf};

use vaultix_generator::escape;
use vaultix_units::plaintext::Plaintext;

use super::input::Input;
use super::keys;
use super::save::{Save, Unsaved};
use super::target::{self, Old, Target};
use crate::cli::{self, Cli};
use crate::error::{Error, Exit, Result, Status};
use crate::files::values;
use crate::flake::repository::Checkouts;
use crate::flake::{lookup, workspace};
use crate::report::{self, Report, Verbosity};
use crate::structured::{self, Pointer};
use crate::system::interrupt::Interrupt;
use crate::system::origin;
use crate::terminal::prompt::Prompt;

/// What to do with a value.
enum Change<'a> {
    /// Give it a new text, from there.
    Set(&'a Input),
    /// Remove it.
    Unset,
}

/// What both commands are given.
struct Given<'a> {
    file: &'a Path,
    key: &'a str,
    identities: &'a [PathBuf],
    recipients: &'a [String],
    recipient_files: &'a [PathBuf],
    format: Option<&'a str>,
    /// Whether a new file may be made there, whatever hosts declare.
    is_new: bool,
}

/// Changes or adds one value.
///
/// # Errors
///
/// When the file cannot be read, changed or written. It is then as it was.
pub fn set(args: &cli::Set, cli: &Cli) -> Result<Exit> {
    let input = Input::choose(args.stdin, args.from.as_ref(), || {
        format!("cannot set \"{}\" in {}", args.key, args.file.display())
    })?;
    let given = Given {
        file: &args.file,
        key: &args.key,
        identities: &args.identities,
        recipients: &args.recipients,
        recipient_files: &args.recipient_files,
        format: args.format.as_deref(),
        is_new: args.new,
    };
    change(&given, &Change::Set(&input), cli)
}

/// Removes one value.
///
/// # Errors
///
/// As [`set`].
pub fn unset(args: &cli::Unset, cli: &Cli) -> Result<Exit> {
    let given = Given {
        file: &args.file,
        key: &args.key,
        identities: &args.identities,
        recipients: &args.recipients,
        recipient_files: &args.recipient_files,
        format: args.format.as_deref(),
        is_new: false,
    };
    change(&given, &Change::Unset, cli)
}

fn change(given: &Given, change: &Change, cli: &Cli) -> Result<Exit> {
    let report = Report::new(Verbosity::Normal);
    let pointer = values::pointer(given.key)?;
    let found = match change {
        Change::Set(_) => lookup::existing_or_new(given.file, &cli.profiles, given.is_new)?,
        Change::Unset => lookup::existing(given.file, &cli.profiles)?,
    };
    let format = values::format(&found.path, given.format)?;
    let extra = workspace::given_recipients(given.recipients, given.recipient_files, &report)?;
    let (identities, rules) = workspace::keys_for_file(given.identities, &report)?;
    // After what runs nix: until here, a signal ends both.
    let interrupt = Interrupt::new()?;
    let mut checkouts = Checkouts::default();
    let path = &checkouts.writable(&found.path)?;
    let has_extra = !extra.is_empty();
    let extra = workspace::parse_recipients(&rules, path, &extra)?;
    let prompt = Prompt::new(&interrupt, &report);
    found.ensure_wanted(&|path| command(change, path, given.key), &prompt)?;
    let command = command(change, path, given.key);
    if matches!(change, Change::Unset) && path.symlink_metadata().is_err() {
        return Err(cannot(change, &pointer, path, Status::NoInput).because("it does not exist"));
    }
    let target = Target::open(path, &identities, extra, Old::Needed, &command, &prompt)?;
    let Target { before, old, recipients, count, replacement } = target;

    let empty = Plaintext::new(format.empty().to_vec());
    let old = old.unwrap_or(empty);
    // Before the user is asked for a value.
    structured::Document::parse(old.expose(), format)
        .map_err(|malformed| values::cannot_parse(path, format, malformed))?;
    let (new, input) = match change {
        Change::Set(input) => {
            // What cannot be set at all, the user should not type for nothing.
            structured::set(old.expose(), format, &pointer, b"x").map_err(|reason| {
                cannot(change, &pointer, path, Status::DataErr).because(reason)
            })?;
            let what = format!("new value of {pointer} in {}", origin::shown(path));
            let value = input.value(&what, &report, &prompt)?;
            target::warn_blank(&what, &value, &report);
            (structured::set(old.expose(), format, &pointer, value.expose()), *input)
        }
        Change::Unset => (structured::unset(old.expose(), format, &pointer), &Input::User),
    };
    let mut new =
        new.map_err(|reason| cannot(change, &pointer, path, Status::DataErr).because(reason))?;
    let new = Plaintext::new(std::mem::take(&mut *new));
    if before.is_some() && old.expose() == new.expose() && !has_extra {
        report::summary(format_args!("{}: unchanged", path.display()));
        return Ok(Exit::Done);
    }
    let before = before.as_ref();
    // What cannot be saved is not kept: nothing is lost that the command cannot do again.
    let once = Input::Stdin;
    let save = Save { path, before, recipients, input: &once, command: &command, prompt: &prompt };
    match save.save(&new, replacement) {
        Ok(()) => {
            if before.is_some() {
                keys::warn_lost(path, Some(&old), &new, &cli.profiles, &report);
            }
            Ok(target::finish(&report, path, input, before, count, &checkouts))
        }
        Err(Unsaved::Kept(error) | Unsaved::InMemory(error)) => Err(error),
    }
}

/// Returns the command line that does the same again.
fn command(change: &Change, path: &Path, key: &str) -> String {
    let verb = match change {
        Change::Set(_) => "set",
        Change::Unset => "unset",
    };
    format!("vaultix {verb} {} {}", escape::shell_path(path), escape::shell(key))
}

fn cannot(change: &Change, pointer: &Pointer, path: &Path, exit: Status) -> Error {
    let shown = origin::shown(path);
    Error::new(
        exit,
        match change {
            Change::Set(_) => format!("cannot set {pointer} in {shown}"),
            Change::Unset => format!("cannot unset {pointer} in {shown}"),
        },
    )
}
