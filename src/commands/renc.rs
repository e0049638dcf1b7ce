//! `vaultix renc` re-encrypts: profiles → plan → age's file keys → ciphertexts per host → cache.

mod run;

use std::collections::BTreeSet;
use std::path::Path;

use vaultix_generator::profile::Profile;

use crate::cache::damage::Damaged;
use crate::cache::desired::{Comparison, Desired};
use crate::cache::plan::{Plan, Target};
use crate::cache::store::{Cache, Wait};
use crate::cli::{Cli, Renc, did_you_mean, near};
use crate::error::{Error, Exit, Result, Status};
use crate::files::names::Names;
use crate::flake::exposure;
use crate::flake::git::attributes;
use crate::flake::git::index::{self, Content};
use crate::flake::nix::HostFailure;
use crate::flake::repository;
use crate::flake::workspace::Workspace;
use crate::report::{self, Report, Verbosity};
use crate::system::interrupt::Interrupt;
use crate::system::origin;
use run::{Counts, Run};

/// Brings the copies of all hosts up to date.
///
/// # Errors
///
/// When nothing at all can be done. Failures of single secrets or hosts are printed, and count in the exit status.
pub fn run(args: &Renc, cli: &Cli) -> Result<Exit> {
    let report = Report::new(if args.quiet { Verbosity::Quiet } else { Verbosity::Normal });
    let workspace = Workspace::open(&cli.profiles, &args.identities, args.cache.as_ref())?;
    if cli.profiles.is_empty() {
        Names::new(&workspace.profiles, &workspace.root).remember(&workspace.root);
    }
    let unknown = workspace.host_errors(&args.hosts);
    let is_whole = args.hosts.is_empty() && args.secrets.is_empty();
    let all = workspace.all_hosts().filter(|_| is_whole);
    let place = workspace.cache;
    let root = place.directory.clone();
    let profiles = choose(workspace.profiles, &workspace.failures, args)?;
    let mut found = Comparison::with_all(&profiles, &args.secrets, &root, all.as_ref(), &report)?;
    let has_work = !found.plan.encrypt.is_empty() || !found.plan.stale.is_empty();
    let wait = if args.no_wait { Wait::No } else { Wait::Yes };
    let is_needed = has_work && !args.dry_run;
    // Held until git knows the new files, too: another run would add them at the same time.
    let cache = is_needed.then(|| Cache::open(&root, wait, &report)).transpose()?;
    if cache.as_ref().is_some_and(|cache| cache.has_waited) {
        found = Comparison::look(&profiles, &args.secrets, &root, all.as_ref())?;
    }
    let Comparison { desired, plan, damaged, gone, mut failures } = found;
    repository::warn_newer(&desired.digests, &report);
    failures.errors.extend(unknown);
    failures.errors.extend(exposure::faults(&workspace.identities, &workspace.root));
    if !args.hosts.is_empty() {
        failures.errors.extend(desired.keyless.iter().map(|host| cannot_encrypt_to(host)));
    }
    for entry in &plan.foreign {
        report.warning(format_args!(
            "{} is not part of the cache, and stays",
            entry.path(&root).display()
        ));
    }
    warn_damaged(&root, &desired, &damaged, &report);
    if args.dry_run {
        show(&root, &plan)?;
        return Ok(report.finish(&failures.errors, &count(&plan)));
    }

    let mut done = Counts::default();
    if let Some(cache) = &cache {
        for host in desired.hosts.keys().chain(&gone) {
            match cache.sweep(host) {
                Ok(paths) => paths.iter().for_each(|path| {
                    let path = path.display();
                    report.line(format_args!("{path}: removed, a killed run had left it"));
                }),
                Err(error) => {
                    failures.errors.push(error);
                    failures.hosts.insert(host.clone());
                }
            }
        }
        let run = Run { desired: &desired, cache, report: &report, interrupt: Interrupt::new()? };
        if let Err(error) = run.encrypt(&workspace.identities, &plan, &mut done, &mut failures) {
            let targets: Vec<Target> = plan.encrypt.values().flatten().cloned().collect();
            failures.add(error, &targets);
        }
        run.remove(&plan, &mut done, &mut failures);
        run.remove_directories(&gone, &mut failures);
    }
    let changed = done.encrypted + done.removed > 0;
    let copies = desired.copies();
    let content = if changed { Content::Compared } else { Content::Unseen };
    // What is damaged was said, and is nothing to add.
    let whole = desired.digests.keys().filter(|path| desired.payloads.contains_key(*path));
    // At the same time, since each waits for git.
    let (add, warnings) = std::thread::scope(|scope| {
        let warnings = scope.spawn(|| attributes::changed(desired.digests.keys(), &root, &copies));
        let add = index::hand_over(&root, &copies, whole, content, &report);
        (add, warnings.join().unwrap_or_default())
    });
    let add = add.unwrap_or_else(|error| {
        failures.errors.push(error);
        None
    });
    for warning in &warnings {
        report.warning_of(warning);
    }
    let steps = place.steps();
    let add = add.filter(|_| steps.is_none());
    let next = steps.filter(|_| changed).map(|steps| format!("; now run: {steps}"));
    let line = format!(
        "{} re-encrypted, {} up to date, {} removed{}",
        done.encrypted,
        plan.up_to_date,
        done.removed,
        next.unwrap_or_default()
    );
    let exit = report.finish(&failures.errors, &line);
    if let Some(add) = add {
        report.line(format_args!("now run: {add}"));
    }
    Ok(exit)
}

/// How many damaged copies are named (10): after a merge, there may be thousands.
const MAX_DAMAGED: usize = 10;

/// Says which copies are there and are replaced nevertheless.
fn warn_damaged(root: &Path, desired: &Desired, damaged: &Damaged, report: &Report) {
    for (entry, reason) in damaged.iter().take(MAX_DAMAGED) {
        let secret = desired.wanted.get(entry).map_or("", |wanted| wanted.secret.as_str());
        report.warning(format_args!(
            "host {} cannot decrypt {}, its copy of secret \"{secret}\", which has to be replaced: {reason}",
            entry.host,
            origin::shown(&entry.path(root)),
        ));
    }
    let more = damaged.len().saturating_sub(MAX_DAMAGED);
    if more > 0 {
        report.warning(format_args!("{more} more copies cannot be decrypted by their hosts"));
    }
}

/// Says that nothing can be made for `host`, which the user has named.
fn cannot_encrypt_to(host: &str) -> Error {
    Error::new(Status::Config, format!("cannot re-encrypt anything for host {host}"))
        .because("its vaultix.settings.hostPubkey is empty")
        .fix("set it to what this prints on the host: cat /etc/ssh/ssh_host_ed25519_key.pub")
}

/// Counts what a plan is about to do.
fn count(plan: &Plan) -> String {
    let new: usize = plan.encrypt.values().map(Vec::len).sum();
    let stale = plan.stale.len();
    format!("{new} to re-encrypt, {} up to date, {stale} to remove", plan.up_to_date)
}

fn show(root: &Path, plan: &Plan) -> Result<()> {
    let made = plan.encrypt.iter().flat_map(|(source, targets)| {
        targets.iter().map(move |target| {
            let value = target.key.as_ref().map(|key| format!(" {}", key.pointer));
            let (host, secret) = (&target.entry.host, &target.secret);
            let source = origin::shown(source);
            format!("{host}/{secret}: re-encrypt {source}{}", value.unwrap_or_default())
        })
    });
    let removed = plan.stale.iter().map(|entry| format!("{}: remove", entry.path(root).display()));
    report::answer_lines(made.chain(removed))
}

/// Keeps the profiles of the hosts that the user wants. There is none of those in `failures`.
fn choose(profiles: Vec<Profile>, failures: &[HostFailure], args: &Renc) -> Result<Vec<Profile>> {
    let names: BTreeSet<&str> =
        profiles.iter().map(|profile| profile.settings.host_identifier.as_str()).collect();
    let list = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(", ");
    let is_known = |host: &String| {
        names.contains(host.as_str()) || failures.iter().any(|failure| failure.names.contains(host))
    };
    if let Some(unknown) = args.hosts.iter().find(|host| !is_known(host)) {
        let hint = did_you_mean(&near(unknown, names.iter().copied()));
        let error = Error::new(Status::Usage, format!("cannot find host \"{unknown}\""))
            .because(format!("the profiles are for {}", list(names)));
        return Err(hint.into_iter().fold(error, Error::because));
    }
    let chosen: Vec<Profile> = profiles
        .into_iter()
        .filter(|profile| {
            args.hosts.is_empty() || args.hosts.contains(&profile.settings.host_identifier)
        })
        .collect();
    let has = |id: &String| chosen.iter().any(|profile| profile.secrets.contains_key(id));
    match args.secrets.iter().find(|id| !has(id)) {
        Some(unknown) => {
            let ids = chosen.iter().flat_map(|profile| profile.secrets.keys());
            let hint = did_you_mean(&near(unknown, ids.map(String::as_str)));
            let error = Error::new(Status::Usage, format!("cannot find secret \"{unknown}\""))
                .because("no chosen host has a secret of this name");
            Err(hint.into_iter().fold(error, Error::because))
        }
        None => Ok(chosen),
    }
}
