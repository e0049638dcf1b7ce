//! `vaultix status`: profiles + cache → a table with the columns file, recipients and hosts.

mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use vaultix_generator::profile::Key;
use vaultix_generator::{escape, private};
use vaultix_units::stanza;

use crate::cache::desired::Comparison;
use crate::cache::plan::Entry;
use crate::cache::uses::{self, State, Use};
use crate::cli::{Cli, Status};
use crate::error::{self, Exit, Result};
use crate::flake::repository;
use crate::flake::rotation;
use crate::flake::workspace::Workspace;
use crate::report::{self, Report, Verbosity};
use crate::system::origin;

/// One source, or one value in it, and the hosts that use it.
#[derive(Serialize, Default)]
struct Row {
    file: String,
    /// The pointer to the value, if the source has many.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Its name, such as `secrets:wifi.age`, if it is in an input.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// Whether there is such a file.
    exists: bool,
    /// What opens it, as its header says; empty where there is no header to read.
    recipients: Vec<String>,
    /// The path of the rule for its recipients, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// The kind of the generator that makes it, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    generator: Option<&'static str>,
    /// How old it is, if it has a `rotate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation: Option<Rotation>,
    /// The hosts that use it.
    hosts: BTreeMap<String, HostUse>,
    /// All that use it: the id, the host, and what is wrong there.
    #[serde(skip)]
    users: Vec<(String, String, &'static str)>,
}

/// How old a source is.
#[derive(Serialize)]
struct Rotation {
    /// Days since its file changed.
    age: u64,
    /// Days that it may have.
    allowed: u32,
}

/// How one host uses a source.
#[derive(Serialize)]
struct HostUse {
    secret: String,
    cached: bool,
    /// Whether the file and the host's copy are both safe from quantum computers.
    post_quantum: bool,
}

/// What follows a host that no quantum computer can decrypt a secret of.
const POST_QUANTUM: &str = " (post-quantum)";

/// A source, or one value in it.
type Place<'a> = (&'a Path, Option<&'a Key>);

/// Shows what is where.
///
/// # Errors
///
/// When there are no profiles or no cache to read. Failures of single secrets are printed, and count in the exit status.
pub fn run(args: &Status, cli: &Cli) -> Result<Exit> {
    let report = Report::new(Verbosity::Normal);
    let workspace = Workspace::open(&cli.profiles, &[], args.cache.as_ref())?;
    workspace.ensure_known(&args.hosts, &args.secrets)?;
    let (place, all) = (&workspace.cache.directory, workspace.all_hosts());
    let mut comparison =
        Comparison::with_all(&workspace.profiles, &[], place, all.as_ref(), &report)?;
    let gone = std::mem::take(&mut comparison.gone);
    let mut failures = std::mem::take(&mut comparison.failures.errors);
    failures.extend(workspace.host_errors(&args.hosts));
    repository::warn_newer(&comparison.desired.digests, &report);

    let uses = uses::find(&workspace.profiles, &comparison, &workspace.cache);
    let mut places: BTreeMap<Place, Vec<&Use>> = BTreeMap::new();
    for one in &uses {
        let place = (one.secret.ciphertext.as_path(), one.secret.key.as_ref());
        places.entry(place).or_default().push(one);
    }
    let is_asked = |one: &Use| {
        (args.hosts.is_empty() || args.hosts.iter().any(|host| host == one.host()))
            && (args.secrets.is_empty() || args.secrets.contains(&one.secret.id))
    };
    // What may not be read is only named as a failure.
    let digests = &comparison.desired.digests;
    places.retain(|(path, _), uses| {
        let is_known = digests.contains_key(*path) || path.symlink_metadata().is_err();
        is_known && uses.iter().any(|one| is_asked(one))
    });
    let mut headers = BTreeMap::new();
    let ages = rotation::ages(&workspace.profiles);
    let mut rows = Vec::new();
    for ((path, key), uses) in &places {
        let mut row = row((path, *key), uses, &workspace, &mut headers);
        let age = ages.get(&(*path, key.map(|key| key.pointer.as_str())));
        row.rotation = age.map(|age| Rotation { age: age.days, allowed: age.allowed });
        rows.push(row);
    }
    if args.json {
        report::answer_json(&rows)?;
    } else if args.hosts.is_empty() {
        report::answer_lines(table::lines(&rows, &rows).into_iter())?;
    } else {
        report::answer_lines(by_renewal(rows, &args.hosts).into_iter())?;
    }
    report.errors(&failures);
    let asked = uses.iter().filter(|one| is_asked(one));
    let copies: BTreeMap<&Entry, bool> = asked
        .filter_map(|one| match &one.state {
            State::Ready(entry) => Some((entry, true)),
            State::Missing(entry) => Some((entry, false)),
            State::Unusable | State::Keyless => None,
        })
        .collect();
    let missing = copies.values().filter(|is_ready| !**is_ready).count();
    let stale = comparison.plan.stale.iter();
    let stale = stale.filter(|entry| args.hosts.is_empty() || args.hosts.contains(&entry.host));
    for host in gone.iter().filter(|_| args.hosts.is_empty()) {
        let directory = workspace.cache.directory.join(host);
        report.line(format_args!(
            "{} has copies for host {host}, which the flake does not have",
            directory.display()
        ));
    }
    report::summary(format_args!(
        "{} up to date, {missing} missing, {} stale",
        copies.len() - missing,
        stale.count()
    ));
    Ok(error::common_exit(&failures))
}

/// Returns what is to be said of one source, or one value in it. Each header is read once.
fn row(
    (path, key): Place,
    uses: &[&Use],
    workspace: &Workspace,
    headers: &mut BTreeMap<PathBuf, Option<Vec<String>>>,
) -> Row {
    let hide = |text: &str| private::hide(text).into_owned();
    let header = headers.entry(path.to_owned()).or_insert_with(|| uses::recipients(path));
    let mut row = Row {
        file: hide(&path.display().to_string()),
        key: key.map(|key| hide(&key.pointer)),
        source: origin::in_input(path).map(|name| hide(&name)),
        exists: path.symlink_metadata().is_ok(),
        recipients: header.clone().unwrap_or_default(),
        rule: workspace.rules.rule(path).map(|rule| rule.path.clone()),
        generator: uses.iter().find_map(|one| Some(one.secret.generator.as_ref()?.kind())),
        ..Row::default()
    };
    for one in uses {
        let (id, host) = (hide(&one.secret.id), hide(one.host()));
        let post_quantum = is_post_quantum(&row.recipients, &one.profile.settings.host_pubkey);
        let mark = match one.state {
            State::Ready(_) if post_quantum => POST_QUANTUM,
            State::Ready(_) => "",
            State::Missing(_) | State::Unusable => " (missing)",
            State::Keyless => " (no key)",
        };
        row.users.push((id.clone(), host.clone(), mark));
        let cached = one.is_ready();
        row.hosts.entry(host).or_insert(HostUse { secret: id, cached, post_quantum });
    }
    // A host with several configurations has what one of them has.
    row.users.sort();
    row.users.dedup();
    row
}

/// Returns whether a file with these kinds of `recipients` and its copy for the key `host` are both safe from quantum
/// computers: the weakest counts.
fn is_post_quantum(recipients: &[String], host: &str) -> bool {
    let host = stanza::of(host).is_some_and(|host| stanza::is_post_quantum(&host.kind));
    host && !recipients.is_empty() && recipients.iter().all(|kind| stanza::is_post_quantum(kind))
}

/// Writes `rows` in two groups: what can be made again, and what has to be changed by hand.
fn by_renewal(rows: Vec<Row>, hosts: &[String]) -> Vec<String> {
    let hosts: Vec<String> =
        hosts.iter().map(|host| format!(" --host {}", escape::shell(host))).collect();
    let hosts = hosts.concat();
    let has_values = rows.iter().any(|row| row.generator.is_none() && row.key.is_some());
    let by_hand = if has_values {
        "to be changed by hand, with vaultix edit FILE, or vaultix set FILE KEY:"
    } else {
        "to be changed by hand, with vaultix edit FILE:"
    };
    let all: Vec<Row> = rows;
    let (made, typed): (Vec<&Row>, Vec<&Row>) = all.iter().partition(|row| row.generator.is_some());
    let group = |heading: String, rows: Vec<&Row>| {
        let lines = table::lines(rows.iter().copied(), &all);
        if rows.is_empty() { Vec::new() } else { [vec![heading], lines].concat() }
    };
    let heading = format!("made again by vaultix generate --renew{hosts}:");
    [group(heading, made), group(by_hand.to_owned(), typed)].concat()
}
