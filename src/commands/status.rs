//! `vaultix status`: profiles + cache → a table with the columns file, recipients and hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;
use vaultix_generator::private;
use vaultix_generator::profile::Key;
use vaultix_units::{decrypt, stanza};

use crate::cache::desired::Comparison;
use crate::cache::plan::Entry;
use crate::cli::{Cli, Status};
use crate::error::{self, Exit, Result};
use crate::files::source;
use crate::flake::repository;
use crate::flake::workspace::Workspace;
use crate::keys::armor;
use crate::report::{self, Report, Verbosity};
use crate::system::origin;

/// How many recipients of a source a table names (32): what its header says is as long as whoever made it wants.
const MAX_SHOWN: usize = 32;

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
    /// What opens it, as its header says; empty where there is no header to read.
    recipients: Vec<String>,
    /// The path of the rule for its recipients, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// The hosts that use it.
    hosts: BTreeMap<String, Use>,
}

/// How one host uses a source.
#[derive(Serialize)]
struct Use {
    secret: String,
    cached: bool,
}

/// Shows what is where.
///
/// # Errors
///
/// When there are no profiles or no cache to read. Failures of single secrets are printed, and count in the exit status.
pub fn run(args: &Status, cli: &Cli) -> Result<Exit> {
    let report = Report::new(Verbosity::Normal);
    let workspace = Workspace::open(&cli.profiles, &[], args.cache.as_ref())?;
    let Comparison { desired, plan, mut failures } =
        Comparison::new(&workspace.profiles, &[], &workspace.cache.directory, &report)?;
    failures.errors.extend(workspace.host_errors(&[]));
    repository::warn_newer(&desired.digests, &report);
    let mut missing: BTreeSet<&Entry> =
        plan.encrypt.values().flatten().map(|target| &target.entry).collect();
    // What Nix does not see is missing for a host.
    let is_unseen = |entry: &&Entry| workspace.cache.unseen(&entry.host, &entry.name).is_some();
    missing.extend(desired.wanted.keys().filter(is_unseen));

    let mut rows: BTreeMap<(String, Option<Key>), Row> = BTreeMap::new();
    let mut headers: BTreeMap<&Path, Vec<String>> = BTreeMap::new();
    for (entry, wanted) in &desired.wanted {
        let file = wanted.source.display().to_string();
        let hide = |text: &str| private::hide(text).into_owned();
        let file = hide(&file);
        let row = rows.entry((file.clone(), wanted.key.clone())).or_insert_with(|| Row {
            file,
            key: wanted.key.as_ref().map(|key| hide(&key.pointer)),
            source: origin::in_input(&wanted.source).map(|name| hide(&name)),
            recipients: headers
                .entry(&wanted.source)
                .or_insert_with(|| recipients(&wanted.source))
                .clone(),
            rule: workspace.rules.rule(&wanted.source).map(|rule| rule.path.clone()),
            hosts: BTreeMap::new(),
        });
        let cached = !missing.contains(entry);
        row.hosts.insert(hide(&entry.host), Use { secret: hide(&wanted.secret), cached });
    }
    let rows: Vec<Row> = rows.into_values().collect();
    if args.json {
        report::answer_json(&rows)?;
    } else {
        report::answer_lines(table(&rows))?;
    }
    report.errors(&failures.errors);
    report::summary(format_args!(
        "{} up to date, {} missing, {} stale",
        desired.wanted.len() - missing.len(),
        missing.len(),
        plan.stale.len()
    ));
    Ok(error::common_exit(&failures.errors))
}

/// Returns what the header of a source says of who opens it.
fn recipients(path: &Path) -> Vec<String> {
    let ciphertext = source::read(path).ok().and_then(|bytes| armor::dearmor(bytes).ok());
    let found = ciphertext.and_then(|bytes| decrypt::recipients(&bytes).ok()).unwrap_or_default();
    found.into_iter().map(|one| stanza::describe(&[one])).collect()
}

/// Writes a line for each source, or value in one: the file and the key, its recipients and their rule, and its hosts with a mark on what is missing.
fn table(rows: &[Row]) -> impl Iterator<Item = String> {
    let name = |row: &Row| {
        let file = row.source.as_ref().unwrap_or(&row.file);
        row.key.as_ref().map_or_else(|| file.clone(), |key| format!("{file} {key}"))
    };
    let width = rows.iter().map(|row| name(row).chars().count()).max().unwrap_or_default();
    let line = move |row: &Row| {
        let hosts = row.hosts.iter().map(|(host, one)| {
            format!("{host}/{}{}", one.secret, if one.cached { "" } else { " (missing)" })
        });
        let hosts = hosts.collect::<Vec<_>>().join(", ");
        let shown = row.recipients.iter().take(MAX_SHOWN).map(String::as_str);
        let more = row.recipients.len().saturating_sub(MAX_SHOWN);
        let more = (more > 0).then(|| format!("{more} more"));
        let recipients: Vec<&str> = shown.chain(more.as_deref()).collect();
        let rule = row.rule.as_ref().map(|path| format!(" (rule {path})")).unwrap_or_default();
        format!("{:width$}  for {}{rule}  on {hosts}", name(row), recipients.join(", "))
    };
    rows.iter().map(line)
}
