//! `vaultix check`: profiles + cache → is each host's copy of each secret there, and made for its key? No identity needed.

mod groups;
mod hosts;
mod rotation;
mod rules;
mod sources;
mod unknown;

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;
use vaultix_generator::private;
use vaultix_generator::profile::Profile;

use crate::cache::damage::Damaged;
use crate::cache::desired::{Comparison, Desired};
use crate::cache::plan::{Entry, Plan, Target};
use crate::cli::{Check, Cli};
use crate::error::{self, Error, Exit, Result, Status};
use crate::flake::cache::CachePlace;
use crate::flake::exposure;
use crate::flake::git::attributes;
use crate::flake::repository;
use crate::flake::workspace::Workspace;
use crate::report::{self, Report, Verbosity};
use crate::system::origin;
use groups::Group;
use sources::ExpectedRecipients;

/// What kind of thing is wrong; answers list kinds in this order.
#[derive(Clone, Copy, Default, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// Something that could not be read or used.
    #[default]
    #[serde(rename = "fault")]
    Failure,
    /// A file that does not belong into the cache.
    Foreign,
    /// A copy that should be there and is not.
    Missing,
    /// A secret that is damaged, or not encrypted to all recipients, or also to others.
    Secret,
    /// A copy that no host needs.
    Stale,
    /// A copy that its host cannot decrypt.
    Unfit,
}

impl Kind {
    fn exit(self) -> Exit {
        match self {
            Self::Missing => Exit::Failed(Status::NoInput),
            Self::Unfit | Self::Secret => Exit::Failed(Status::DataErr),
            Self::Failure | Self::Foreign | Self::Stale => Exit::Failed(Status::SomeFailed),
        }
    }
}

/// One thing that is wrong.
#[derive(Default, Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    kind: Kind,
    /// The host, if it is about one.
    host: Option<String>,
    /// The secret's id, if it is about one.
    secret: Option<String>,
    /// The pointer to the value that the secret is, if its file has many.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The file, if it is about one.
    file: Option<String>,
    /// The name of the file, such as `secrets:wifi.age`, if it is in an input.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// What is wrong, as a sentence without its end.
    problem: String,
    fix: Option<String>,
    /// How it may be said together with others.
    #[serde(skip)]
    groups: Vec<Group>,
}

impl Finding {
    /// Takes private keys out of all of it: they may have been taken for names.
    fn hide(&mut self) {
        let texts =
            [&mut self.host, &mut self.secret, &mut self.key, &mut self.file, &mut self.fix];
        for text in texts.into_iter().flatten().chain([&mut self.problem]) {
            *text = private::hide(text).into_owned();
        }
    }
}

/// The answer to `check --json`.
#[derive(Serialize)]
struct Answer<'a> {
    ok: bool,
    /// How many files of the cache are as they should be.
    #[serde(rename = "upToDate")]
    up_to_date: usize,
    findings: &'a [Finding],
}

/// Compares the cache with what the hosts need.
///
/// # Errors
///
/// When there are no profiles or no cache to read. What is wrong is printed, and counts in the exit status.
pub fn run(args: &Check, cli: &Cli) -> Result<Exit> {
    let report = Report::new(Verbosity::Normal);
    let mut workspace = Workspace::open(&cli.profiles, &[], args.cache.as_ref())?;
    workspace.ensure_known(&args.hosts, &[])?;
    let all = workspace.all_hosts().filter(|_| args.hosts.is_empty());
    let is_asked = |profile: &Profile| {
        args.hosts.is_empty() || args.hosts.contains(&profile.settings.host_identifier)
    };
    let (asked, others): (Vec<Profile>, Vec<Profile>) =
        std::mem::take(&mut workspace.profiles).into_iter().partition(is_asked);
    let Comparison { desired, mut plan, damaged, gone, mut failures } =
        Comparison::with_all(&asked, &[], &workspace.cache.directory, all.as_ref(), &report)?;
    plan.stale.retain(|entry| !gone.contains(&entry.host));
    // Who the others are is known all the same.
    workspace.profiles = asked.into_iter().chain(others).collect();
    failures.errors.extend(workspace.host_errors(&args.hosts));

    repository::warn_newer(&desired.digests, &report);
    failures.errors.extend(exposure::faults(&workspace.identities, &workspace.root));
    let due = rotation::due(&workspace.profiles);
    if args.strict {
        failures.errors.extend(due);
    } else {
        for error in &due {
            report.warning_of(error);
        }
    }
    let mut findings = plan_findings(&workspace.cache, &plan, &damaged);
    findings.extend(gone.iter().map(|host| gone_finding(&workspace.cache, host)));
    findings.extend(unfit_findings(&workspace.cache, &desired, &damaged));
    let mut unseen = unseen_findings(&workspace.cache, &desired, &plan);
    let (unknown_secrets, unknown_copies) = unknown::findings(&workspace.cache, &desired, &plan);
    unseen.extend(unknown_copies);
    findings.extend(unknown_secrets);
    let place = &workspace.cache.directory;
    attributes::warn_changed(desired.digests.keys(), place, &desired.copies(), &report);
    let unseen_count = unseen.len();
    findings.extend(unseen);
    let expected = ExpectedRecipients::from_workspace(&workspace);
    rules::warn_unused(&workspace, &report);
    findings.extend(source_findings(&desired, &expected));
    findings.extend(failures.errors.iter().map(|error| Finding {
        kind: Kind::Failure,
        problem: format!("{error:#}"),
        ..Finding::default()
    }));
    findings.iter_mut().for_each(Finding::hide);
    findings.sort();
    let up_to_date = plan.up_to_date.saturating_sub(unseen_count);
    if args.json {
        let answer = Answer { ok: findings.is_empty(), up_to_date, findings: &findings };
        report::answer_json(&answer)?;
    } else {
        let found: Vec<&Finding> =
            findings.iter().filter(|finding| finding.kind != Kind::Failure).collect();
        let (lines, is_shortened) = if cli.verbose {
            (found.into_iter().map(as_error).collect(), false)
        } else {
            groups::lines(&found)
        };
        report.errors(&lines);
        report.errors(&failures.errors);
        if is_shortened {
            report.line("for each of them: vaultix check -v");
        }
        if let Some(hint) = hosts::hint(&desired, &workspace, &expected) {
            report.line(hint);
        }
        for hint in rules::hints(&desired, &expected) {
            report.line(hint);
        }
        let problems = if findings.len() == 1 { "problem" } else { "problems" };
        report::summary(format_args!("{up_to_date} up to date, {} {problems}", findings.len()));
    }
    let exits = findings.iter().filter(|one| one.kind != Kind::Failure).map(as_error);
    Ok(error::common_exit(&exits.chain(failures.errors.iter().cloned()).collect::<Vec<_>>()))
}

/// finding → error with its exit status.
fn as_error(finding: &Finding) -> Error {
    let error = Error::new(finding.kind.exit(), finding.problem.clone());
    match &finding.fix {
        Some(fix) => error.fix(fix),
        None => error,
    }
}

fn source_findings(desired: &Desired, expected: &ExpectedRecipients) -> Vec<Finding> {
    let problems = desired.digests.keys().flat_map(|path| {
        expected.problems(path).into_iter().map(|problem| Finding {
            kind: Kind::Secret,
            groups: vec![Group::new(
                "",
                format!(" secrets {}", problem.what.replacen("is ", "are ", 1)),
                origin::shown(path),
            )],
            file: Some(path.display().to_string()),
            source: origin::in_input(path),
            problem: format!("{} {}", origin::shown(path), problem.what),
            fix: Some(problem.fix),
            ..Finding::default()
        })
    });
    problems.collect()
}

fn plan_findings(cache: &CachePlace, plan: &Plan, damaged: &Damaged) -> Vec<Finding> {
    let (root, renc) = (cache.directory.as_path(), &cache.renc());
    let missing = plan.encrypt.iter().flat_map(|(source, targets)| {
        let absent = targets.iter().filter(|target| !damaged.contains_key(&target.entry));
        absent.map(move |target| Finding {
            kind: Kind::Missing,
            groups: lacking(source, target),
            host: Some(target.entry.host.clone()),
            secret: Some(target.secret.clone()),
            key: target.key.as_ref().map(|key| key.pointer.clone()),
            file: Some(target.entry.path(root).display().to_string()),
            source: origin::in_input(&target.entry.path(root)),
            problem: format!(
                "host {} has no copy of secret \"{}\" that matches {}{}",
                target.entry.host,
                target.secret,
                target.key.as_ref().map(|key| format!("{} in ", key.pointer)).unwrap_or_default(),
                origin::shown(source)
            ),
            fix: Some(renc.clone()),
        })
    });
    let other = |kind: Kind, entry: &Entry, problem: &str, fix: Option<&str>| Finding {
        kind,
        groups: vec![among_others(kind, root, entry)],
        host: Some(entry.host.clone()),
        file: Some(entry.path(root).display().to_string()),
        source: origin::in_input(&entry.path(root)),
        problem: format!("{} {problem}", origin::shown(&entry.path(root))),
        fix: fix.map(str::to_owned),
        ..Finding::default()
    };
    let stale = plan
        .stale
        .iter()
        .map(|entry| other(Kind::Stale, entry, "is not used by its host", Some(renc)));
    let foreign = plan
        .foreign
        .iter()
        .map(|entry| other(Kind::Foreign, entry, "is not part of the cache", None));
    missing.chain(stale).chain(foreign).collect()
}

/// Says how a host lacks a copy as others do, or as it does of other secrets.
fn lacking(source: &Path, target: &Target) -> Vec<Group> {
    let (host, secret) = (&target.entry.host, &target.secret);
    let key = target.key.as_ref().map(|key| format!("{} in ", key.pointer)).unwrap_or_default();
    let source = origin::shown(source);
    vec![
        Group::new(
            "",
            format!(" hosts have no copy of secret \"{secret}\" that matches {key}{source}"),
            host,
        ),
        Group::new(
            format!("host {host} has no copies of "),
            " secrets that match their files",
            format!("\"{secret}\""),
        ),
    ]
}

/// Says that a file of a host is there without need, as others are.
fn among_others(kind: Kind, root: &Path, entry: &Entry) -> Group {
    let directory = origin::shown(&root.join(&entry.host));
    if kind == Kind::Stale {
        // Nobody knows the names of copies.
        return Group::new("", format!(" files in {directory} are not used by its host"), "");
    }
    let end = format!(" files in {directory} are not part of the cache");
    Group::new("", end, entry.name.as_str())
}

/// Says that the cache has copies for `host`, which no host is called.
fn gone_finding(cache: &CachePlace, host: &str) -> Finding {
    let directory = cache.directory.join(host);
    Finding {
        kind: Kind::Stale,
        host: Some(host.to_owned()),
        secret: None,
        key: None,
        file: Some(directory.display().to_string()),
        source: None,
        problem: format!(
            "{} has copies for host {host}, which the flake does not have",
            directory.display()
        ),
        fix: Some(cache.renc()),
        groups: Vec::new(),
    }
}

/// Returns copies that are there, but that their hosts cannot decrypt.
fn unfit_findings(cache: &CachePlace, desired: &Desired, damaged: &Damaged) -> Vec<Finding> {
    let finding = |(entry, reason): (&Entry, &String)| {
        let file = entry.path(&cache.directory);
        let wanted = desired.wanted.get(entry)?;
        Some(Finding {
            kind: Kind::Unfit,
            host: Some(entry.host.clone()),
            secret: Some(wanted.secret.clone()),
            key: wanted.key.as_ref().map(|key| key.pointer.clone()),
            problem: format!(
                "host {} cannot decrypt {}, its copy of secret \"{}\": {reason}",
                entry.host,
                origin::shown(&file),
                wanted.secret
            ),
            fix: Some(cache.renc()),
            file: Some(file.display().to_string()),
            source: origin::in_input(&file),
            groups: vec![Group::new(
                format!("host {} cannot decrypt its copies of ", entry.host),
                format!(" secrets: {reason}"),
                format!("\"{}\"", wanted.secret),
            )],
        })
    };
    damaged.iter().filter_map(finding).collect()
}

/// Returns the copies that are there, but not where Nix looks for them.
fn unseen_findings(cache: &CachePlace, desired: &Desired, plan: &Plan) -> Vec<Finding> {
    let missing: BTreeSet<&Entry> =
        plan.encrypt.values().flatten().map(|target| &target.entry).collect();
    let there = desired.wanted.iter().filter(|(entry, _)| !missing.contains(entry));
    there
        .filter_map(|(entry, wanted)| {
            let path = cache.unseen(&entry.host, &entry.name)?;
            let Entry { host, .. } = entry;
            let (secret, place) = (&wanted.secret, cache.directory.display());
            Some(Finding {
                kind: Kind::Missing,
                host: Some(host.clone()),
                secret: Some(secret.clone()),
                key: wanted.key.as_ref().map(|key| key.pointer.clone()),
                problem: format!(
                    "host {host} has a copy of secret \"{secret}\" in {place}, which Nix does not see yet as {}",
                    origin::shown(&path)
                ),
                groups: vec![Group::new(
                    format!("host {host} has copies of "),
                    format!(" secrets in {place}, which Nix does not see yet"),
                    format!("\"{secret}\""),
                )],
                fix: cache.steps(),
                source: origin::in_input(&path),
                file: Some(path.display().to_string()),
            })
        })
        .collect()
}
