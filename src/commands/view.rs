//! `vaultix view` and `textconv`: secret → its text on standard output; `vaultix get`: one value of a file.

use std::io::{self, IsTerminal};
use std::path::Path;

use vaultix_generator::escape;
use vaultix_units::plaintext::Plaintext;

use crate::cli::{Cli, Get, Textconv, View};
use crate::error::{Error, Exit, Result, Status};
use crate::files::secret::Secret;
use crate::files::values::Values;
use crate::files::{source, values};
use crate::flake::lookup::{self, Found};
use crate::flake::{git, nix, workspace};
use crate::keys::identity_files::IdentityFiles;
use crate::keys::master::Master;
use crate::report::{self, Report, Verbosity};
use crate::structured::{Document, Pointer};
use crate::system::interrupt::Interrupt;
use crate::system::origin;
use crate::terminal::pager;
use crate::terminal::prompt::Prompt;

/// Prints one secret; on a terminal through a pager.
///
/// # Errors
///
/// When it cannot be opened or printed.
pub fn run(args: &View, cli: &Cli) -> Result<Exit> {
    let report = Report::new(Verbosity::Normal);
    let Found { path: file, key, .. } = lookup::existing(&args.file, &cli.profiles)?;
    let identities = workspace::identities(&args.identities, &report)?;
    let interrupt = Interrupt::new()?;
    let whole = open(&file, &identities, "view", &Prompt::new(&interrupt, &report))?;
    let values = Values::read(&file, &whole, &key);
    show(values.get(key.as_ref())?, &interrupt)
}

/// Prints one value of a structured file, or the keys of all.
///
/// # Errors
///
/// When the file cannot be opened, is not structured, or has no such value.
pub fn get(args: &Get, cli: &Cli) -> Result<Exit> {
    let report = Report::new(Verbosity::Normal);
    let pointer = args.key.as_deref().map(values::pointer).transpose()?;
    let Found { path: file, key, .. } = lookup::existing(&args.file, &cli.profiles)?;
    let pointer = match (pointer, key) {
        (None, Some(key)) => Some(values::pointer(&key.pointer)?),
        (pointer, _) => pointer,
    };
    let format = values::format(&file, args.format.as_deref())?;
    let identities = workspace::identities(&args.identities, &report)?;
    let interrupt = Interrupt::new()?;
    let text = open(&file, &identities, "get", &Prompt::new(&interrupt, &report))?;
    let document = Document::parse(text.expose(), format)
        .map_err(|malformed| values::cannot_parse(&file, format, malformed))?;
    let Some(pointer) = pointer else {
        let keys = document.keys();
        return report::answer_lines(keys.iter().map(Pointer::to_string)).map(|()| Exit::Done);
    };
    let mut value = document.get(&pointer).map_err(|reason| {
        let what = format!("cannot get {pointer} from {}", origin::shown(&file));
        Error::new(Status::DataErr, what).because(reason)
    })?;
    if io::stdout().is_terminal() && !value.ends_with(b"\n") {
        value.push(b'\n');
    }
    show(&Plaintext::new(std::mem::take(&mut *value)), &interrupt)
}

/// Prints `text`; on a terminal through a pager.
fn show(text: &Plaintext, interrupt: &Interrupt) -> Result<Exit> {
    match pager::command_line().filter(|_| io::stdout().is_terminal()) {
        Some(line) => pager::show(text, &line, interrupt).map(|()| Exit::Done),
        None => report::answer(text.expose()).map(|()| Exit::Done),
    }
}

/// Prints one secret for `git diff`, or its ciphertext's digest where it cannot be opened: a diff must not
/// fail because of one file.
///
/// # Errors
///
/// When the file cannot be read.
pub fn textconv(args: &Textconv) -> Result<Exit> {
    let report = Report::new(Verbosity::Quiet);
    nix::hush();
    let opened = ensure_not_cached().and_then(|()| {
        let identities = workspace::identities(&args.identities, &report)?;
        let interrupt = Interrupt::new()?;
        open(&args.file, &identities, "view", &Prompt::new(&interrupt, &report))
    });
    let printed = match opened {
        Ok(text) => report::answer(text.expose()),
        Err(error) => {
            report.warning_of(&error);
            let digest = source::digest(&args.file)?;
            report::answer(format!("encrypted, sha256 {digest}\n").as_bytes())
        }
    };
    printed.map(|()| Exit::Done)
}

/// Makes sure that git, which asks for a text, does not keep it: with `cachetextconv` it puts the text into its objects,
/// and so on the disk, permanently.
fn ensure_not_cached() -> Result<()> {
    let what = || Error::new(Status::Config, "cannot show a secret to git");
    let settings = git::texts_kept().map_err(|error| {
        what().because(format!("cannot determine whether it keeps it: {error}"))
    })?;
    let settings = String::from_utf8_lossy(&settings);
    let Some(driver) = cached_driver(&settings) else { return Ok(()) };
    let cached = format!("diff.{driver}.cachetextconv");
    let kept = format!("refs/notes/textconv/{driver}");
    Err(what()
        .because(format!("{cached} is set: git would keep the text in its objects, in {kept}"))
        .fix(format!(
            "git config --unset-all {}; git update-ref -d {}; git gc --prune=now",
            escape::shell(cached),
            escape::shell(kept)
        )))
}

/// Returns the driver of ours that keeps what it is given, from settings of git as `--null` prints them.
fn cached_driver(settings: &str) -> Option<&str> {
    let pairs = settings.split('\0').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('\n').unwrap_or((pair, "true")));
    let mut ours = Vec::new();
    let mut cached = Vec::new();
    for (key, value) in pairs {
        let Some(key) = key.strip_prefix("diff.") else { continue };
        if let Some(driver) = key.strip_suffix(".cachetextconv") {
            cached.retain(|other| other != &driver);
            let is_off =
                ["false", "no", "off", "0", ""].iter().any(|no| value.eq_ignore_ascii_case(no));
            cached.extend((!is_off).then_some(driver));
        } else if let Some(driver) = key.strip_suffix(".textconv") {
            ours.extend(value.contains("vaultix").then_some(driver));
        }
    }
    cached.into_iter().find(|driver| ours.contains(driver))
}

/// Opens the secret `path` for the command `verb`.
fn open(path: &Path, identities: &IdentityFiles, verb: &str, prompt: &Prompt) -> Result<Plaintext> {
    let secret = Secret::read_existing(path)?;
    if identities.is_empty() {
        return Err(Error::new(Status::Usage, format!("cannot decrypt {}", origin::shown(path)))
            .because("there is no identity")
            .fix(format!(
                "vaultix {verb} {} --identity FILE",
                escape::shell_path(origin::shown(path))
            )));
    }
    secret.open(path, &mut Master::read(identities, prompt.interrupt)?, prompt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_setting_of_a_driver_counts() {
        let ours = "diff.v.textconv\nvaultix textconv\0";
        for (cached, found) in [
            ("", None),
            ("diff.v.cachetextconv\ntrue\0", Some("v")),
            ("diff.v.cachetextconv\0", Some("v")),
            ("diff.v.cachetextconv\nyes\0diff.v.cachetextconv\nFalse\0", None),
            ("diff.pdf.cachetextconv\ntrue\0diff.pdf.textconv\npdftotext\0", None),
        ] {
            assert_eq!(cached_driver(&format!("{ours}{cached}")), found, "{cached}");
        }
    }
}
