//! `vaultix rekey`: all secrets of the profiles → the same, encrypted to the present recipients; or none of them.

mod lost;
mod old;
mod others;
mod remaining;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use age::Identity;
use rayon::prelude::*;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use vaultix_units::decrypt;

use crate::cache::desired;
use crate::cli::{Cli, Rekey};
use crate::error::{Exit, Result};
use crate::files::replace::Replacement;
use crate::files::secret::{self, Secret};
use crate::files::source;
use crate::flake::repository::Checkouts;
use crate::flake::workspace::{self, ParsedRecipients, Workspace};
use crate::keys::master::Master;
use crate::report::{Report, Verbosity};
use crate::system::interrupt::Interrupt;
use crate::terminal::prompt::Prompt;
use lost::Lost;
use others::Others;

/// What was done if anything failed.
const NOTHING: &str = "0 rekeyed";

/// What to do where a secret was changed in the meantime.
const AGAIN: &str = "vaultix rekey";

/// Rekeys all secrets.
///
/// All are decrypted and written to temporary files before the first is replaced: what fails until then leaves every file as
/// it was.
///
/// # Errors
///
/// When one of them cannot be opened or written, or there is nobody to encrypt to.
pub fn run(args: &Rekey, cli: &Cli) -> Result<Exit> {
    let report = Report::new(Verbosity::Normal);
    let mut workspace = Workspace::open(&cli.profiles, &args.identities, None)?;
    workspace.ensure_all_known("cannot determine which secrets to rekey")?;
    let mut checkouts = Checkouts::default();
    let mut unwritable = workspace.use_checkouts(&mut checkouts, |_| true);
    let mut files = Vec::new();
    for file in &args.files {
        match workspace::file(file).and_then(|file| checkouts.writable(&file)) {
            Ok(file) => files.push(file),
            Err(error) => unwritable.push(error),
        }
    }
    if !unwritable.is_empty() {
        return Ok(report.finish(&unwritable, NOTHING));
    }
    let paths = paths(&workspace, &files);
    let given = workspace::given_recipients(&args.recipients, &args.recipient_files, &report)?;
    let recipients = ParsedRecipients::new(paths.values().copied(), &workspace.rules, &given)?;
    let interrupt = Interrupt::new()?;
    let prompt = Prompt::new(&interrupt, &report);
    let mut master = Master::read(&workspace.identities, &interrupt)?;
    master.read_old(&args.old, &interrupt)?;
    // Before anything is asked for, and again once what was locked is known.
    old::ensure_left(&workspace, &paths.values().copied(), &given, &master)?;

    let mut failures = Vec::new();
    let mut secrets = Vec::new();
    for &path in paths.values() {
        match Secret::read_existing(path) {
            Ok(secret) => secrets.push((path, secret)),
            Err(error) => failures.push(desired::with_fix(error, &workspace.profiles, path)),
        }
    }
    let headers =
        secrets.iter().filter_map(|(_, secret)| decrypt::stanzas(&secret.ciphertext).ok());
    let session = master.open(&headers.collect::<Vec<_>>(), &prompt)?;
    old::ensure_left(&workspace, &paths.values().copied(), &given, &master)?;
    let recipients = recipients.with(&mut master, &prompt)?;

    let opened: Vec<_> = secrets
        .par_iter()
        .zip(&session.keys)
        .map(|((path, secret), key)| {
            decrypt::decrypt(&secret.ciphertext, std::iter::once(key as &dyn Identity))
                .map_err(|error| source::cannot_open(path, &error, &session.skipped))
        })
        .collect();
    let mut others = Others::new(&workspace, &master, &session, &files);
    let mut lost = Lost::new(&workspace.profiles, args.old.len());
    allow_open_files();
    let mut replacements = Vec::new();
    for ((path, secret), text) in secrets.iter().zip(opened) {
        if interrupt.is_set() {
            return Err(interrupt.error());
        }
        let text = match text {
            Ok(text) => text,
            Err(error) => {
                failures.extend(others.pass_over(path, error, &report)?);
                continue;
            }
        };
        let write = || {
            let ciphertext = secret::encrypt(path, &text, recipients.of(path), &secret.format)?;
            let mut replacement = Replacement::new(path)?;
            replacement.write(&ciphertext)?;
            Ok((replacement, ciphertext))
        };
        match write() {
            Ok((replacement, after)) => replacements.push((path, secret, replacement, after)),
            Err(error) => failures.push(error),
        }
    }
    // All of them, before the first is replaced.
    let same = |(_, secret, replacement, _): &(_, &Secret, Replacement, _)| {
        replacement.ensure_same(Some(&secret.digest), AGAIN).err()
    };
    failures.extend(replacements.iter().filter_map(same));
    if !failures.is_empty() {
        failures.append(&mut others.failures);
        return Ok(report.finish(&failures, NOTHING));
    }
    let mut done = Vec::new();
    for (path, secret, replacement, after) in replacements {
        match replacement.persist_if_unchanged(Some(&secret.digest), AGAIN) {
            Ok(()) => {
                done.push(*path);
                lost.add(path, &secret.ciphertext, after);
                report.line(format_args!("{}: rekeyed", path.display()));
            }
            Err(error) => failures.push(error),
        }
    }
    failures.append(&mut others.failures);
    let passed_over = others.report(&report);
    let count = done.len();
    let next = if count > 0 { checkouts.next(done) } else { String::new() };
    let exit = report.finish(&failures, &format!("{count} rekeyed{passed_over}{next}"));
    lost.warn(&report);
    old::report(&workspace, paths.keys(), &master, &report);
    remaining::warn(&workspace, &paths.keys().collect(), &master, &report);
    Ok(exit)
}

/// Allows as many open files as the system lets us have: each secret has one until all are replaced.
fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Where it stays as it is, the file that is one too many is named.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Returns the secrets of the profiles and `files`, each once, by their whole paths.
fn paths<'a>(workspace: &'a Workspace, files: &'a [PathBuf]) -> BTreeMap<PathBuf, &'a Path> {
    let declared = workspace.profiles.iter().flat_map(|profile| profile.secrets.values().flatten());
    // What others were generated from may be gone.
    let all =
        declared.filter(|secret| !secret.intermediary || !source::is_absent(&secret.ciphertext));
    let all = all.map(|secret| &secret.ciphertext).chain(files);
    all.map(|path| (whole(path), path.as_path())).collect()
}

/// Returns `path` with links followed, as far as it exists.
fn whole(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
