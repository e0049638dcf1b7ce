//! `vaultix explain`: a secret → where it comes from, who can decrypt it, and what each host does with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use vaultix_generator::placeholder::{self, Piece};
use vaultix_generator::private;
use vaultix_generator::profile::{Key, Kind, Placement, Profile, Template, UserUnits};

use crate::cache::desired::Comparison;
use crate::cache::uses::{self, State, Use};
use crate::cli::{Cli, Explain, did_you_mean, near};
use crate::error::{self, Error, Exit, Result, Status};
use crate::flake::git::history::{self, History};
use crate::flake::workspace::{self, Workspace};
use crate::report::{self, Report, Verbosity};
use crate::system::origin;

/// One source, or one value in it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    /// Its ids, on whatever host.
    ids: BTreeSet<String>,
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
    /// The secrets that it is made from.
    dependencies: Vec<String>,
    /// When it has changed; null where git cannot tell.
    changed: Option<Changed>,
    hosts: Vec<HostUse>,
}

/// The last change of a source.
#[derive(Serialize)]
struct Changed {
    /// When the last commit was made that changed it; null where there is none.
    time: Option<String>,
    author: Option<String>,
    commit: Option<String>,
    /// Whether it has changed since then.
    uncommitted: bool,
}

/// What one host does with a source.
#[derive(Serialize, PartialEq, Eq)]
struct HostUse {
    host: String,
    secret: String,
    /// The unit that places it.
    unit: String,
    cached: bool,
    /// Whether the host has no key yet.
    keyless: bool,
    #[serde(flatten)]
    place: Place,
    /// The templates that contain it.
    templates: Vec<TemplateUse>,
}

/// A template with a placeholder of the source.
#[derive(Serialize, PartialEq, Eq)]
struct TemplateUse {
    id: String,
    #[serde(flatten)]
    place: Place,
}

/// Where a plaintext goes, and which units are told when it changes.
#[derive(Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Place {
    path: String,
    mode: String,
    owner: String,
    group: String,
    early: bool,
    before: Vec<String>,
    restart_units: Vec<String>,
    reload_units: Vec<String>,
    restart_user_units: UserUnits,
    reload_user_units: UserUnits,
}

/// Shows all that is known of a secret.
///
/// # Errors
///
/// When no host uses such a secret, or there are no profiles or no cache to read.
pub fn run(args: &Explain, cli: &Cli) -> Result<Exit> {
    let report = Report::new(Verbosity::Normal);
    let workspace = Workspace::open(&cli.profiles, &[], args.cache.as_ref())?;
    let comparison =
        Comparison::new(&workspace.profiles, &[], &workspace.cache.directory, &report)?;
    let all = uses::find(&workspace.profiles, &comparison, &workspace.cache);
    let mut places: BTreeMap<(&Path, Option<&Key>), Vec<&Use>> = BTreeMap::new();
    for one in chosen(&args.secret, &all, &workspace.root)? {
        let place = (one.secret.ciphertext.as_path(), one.secret.key.as_ref());
        places.entry(place).or_default().push(one);
    }
    let found: Vec<Explanation> = places
        .iter()
        .map(|((path, key), uses)| {
            // Nothing is looked up around a file that may not be read.
            let is_readable = comparison.desired.digests.contains_key(*path);
            let history = if is_readable { history::of(path) } else { None };
            explanation(path, *key, uses, history, &workspace)
        })
        .collect();
    if args.json {
        let answer = serde_json::to_value(&found).map(hidden).unwrap_or_default();
        report::answer_json(&answer)?;
    } else {
        let lines = found.iter().enumerate().flat_map(|(at, one)| {
            let gap = (at > 0).then(String::new);
            gap.into_iter().chain(lines(one))
        });
        report::answer_lines(lines.map(|line| private::hide(&line).into_owned()))?;
    }
    let failures = workspace.host_errors(&[]);
    report.errors(&failures);
    Ok(error::common_exit(&failures))
}

/// Returns the uses of the secret that the user calls `typed`: its id, or else its file.
fn chosen<'a>(typed: &Path, all: &'a [Use<'a>], root: &Path) -> Result<Vec<&'a Use<'a>>> {
    let by_id: Vec<&Use> =
        all.iter().filter(|one| typed.to_str() == Some(&one.secret.id)).collect();
    if !by_id.is_empty() {
        return Ok(by_id);
    }
    let file = workspace::file(typed)?;
    let real = fs::canonicalize(&file).ok();
    let below_root = root.join(&file);
    let is_file = |path: &Path| {
        path == file
            || path == report::relative(&below_root)
            || real.is_some() && fs::canonicalize(path).ok() == real
    };
    let by_file: Vec<&Use> = all.iter().filter(|one| is_file(&one.secret.ciphertext)).collect();
    if by_file.is_empty() {
        let names: BTreeSet<String> = all
            .iter()
            .flat_map(|one| [one.secret.id.clone(), origin::shown(&one.secret.ciphertext)])
            .collect();
        let typed = typed.to_string_lossy();
        let hint = did_you_mean(&near(&typed, names.iter().map(String::as_str)));
        let error = Error::new(Status::Usage, format!("cannot find secret \"{typed}\""))
            .because("no host has a secret with this id, or in this file");
        return Err(hint.into_iter().fold(error, Error::because).fix("vaultix status"));
    }
    Ok(by_file)
}

fn explanation(
    path: &Path,
    key: Option<&Key>,
    uses: &[&Use],
    history: Option<History>,
    workspace: &Workspace,
) -> Explanation {
    let generator = uses.iter().find_map(|one| one.secret.generator.as_ref());
    let mut hosts: Vec<HostUse> = Vec::new();
    for one in uses {
        let found = host_use(one);
        // A host with several configurations may use it in the same way in all of them.
        if !hosts.contains(&found) {
            hosts.push(found);
        }
    }
    Explanation {
        ids: uses.iter().map(|one| one.secret.id.clone()).collect(),
        file: path.display().to_string(),
        key: key.map(|key| key.pointer.clone()),
        source: origin::in_input(path),
        exists: path.symlink_metadata().is_ok(),
        recipients: uses::recipients(path).unwrap_or_default(),
        rule: workspace.rules.rule(path).map(|rule| rule.path.clone()),
        generator: generator.map(vaultix_generator::profile::Generator::kind),
        dependencies: generator
            .iter()
            .flat_map(|one| one.dependencies())
            .map(ToString::to_string)
            .collect(),
        changed: history.map(changed),
        hosts,
    }
}

fn changed(History { last, is_uncommitted }: History) -> Changed {
    let (time, author, commit) = match last {
        Some(last) => (Some(last.time), Some(last.author), Some(last.commit)),
        None => (None, None, None),
    };
    Changed { time, author, commit, uncommitted: is_uncommitted }
}

fn host_use(one: &Use) -> HostUse {
    let templates = one.profile.templates.values().flatten();
    let of_secret = templates.filter(|template| contains(template, &one.secret.id, one.profile));
    HostUse {
        host: one.host().to_owned(),
        secret: one.secret.id.clone(),
        unit: Kind::Secret.unit(&one.secret.id),
        cached: one.is_ready(),
        keyless: one.state == State::Keyless,
        place: place(&one.secret.placement),
        templates: of_secret
            .map(|template| TemplateUse {
                id: template.id.clone(),
                place: place(&template.placement),
            })
            .collect(),
    }
}

/// Returns whether there is a placeholder of the secret `id` in `template`.
fn contains(template: &Template, id: &str, profile: &Profile) -> bool {
    placeholder::split(template.content.as_bytes()).iter().any(|piece| match piece {
        Piece::Placeholder { hash, .. } => {
            profile.placeholders.get(*hash).is_some_and(|named| named == id)
        }
        Piece::Text(_) => false,
    })
}

fn place(placement: &Placement) -> Place {
    Place {
        path: placement.path.display().to_string(),
        mode: format!("{:04o}", placement.mode.bits()),
        owner: placement.owner.clone(),
        group: placement.group.clone(),
        early: placement.early,
        before: placement.before.clone(),
        restart_units: placement.restart_units.clone(),
        reload_units: placement.reload_units.clone(),
        restart_user_units: placement.restart_user_units.clone(),
        reload_user_units: placement.reload_user_units.clone(),
    }
}

/// Takes private keys out of all texts of `value`: they may have been taken for names.
fn hidden(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(private::hide(&text).into_owned()),
        Value::Array(all) => Value::Array(all.into_iter().map(hidden).collect()),
        Value::Object(all) => Value::Object(
            all.into_iter()
                .map(|(key, one)| (private::hide(&key).into_owned(), hidden(one)))
                .collect(),
        ),
        other => other,
    }
}

/// Says it for people.
fn lines(one: &Explanation) -> Vec<String> {
    let ids: Vec<&str> = one.ids.iter().map(String::as_str).collect();
    let file = one.source.as_ref().unwrap_or(&one.file);
    let nothing = if one.exists { "" } else { ", which does not exist" };
    let mut lines = vec![format!("secret: {}", ids.join(", ")), format!("file: {file}{nothing}")];
    lines.extend(one.key.iter().map(|key| format!("key: {key}")));
    if one.exists {
        let some = Some(one.recipients.join(", ")).filter(|text| !text.is_empty());
        lines.push(format!("recipients: {}", some.unwrap_or_else(|| "unreadable".to_owned())));
    }
    lines.extend(one.rule.iter().map(|path| format!("rule: {path}")));
    lines.extend(one.generator.iter().map(|kind| {
        let from = one.dependencies.join(", ");
        if from.is_empty() {
            format!("generator: {kind}")
        } else {
            format!("generator: {kind}, from {from}")
        }
    }));
    lines
        .extend(one.changed.iter().map(|changed| format!("changed: {}", describe_change(changed))));
    lines.extend(one.hosts.iter().map(describe_host));
    lines
}

fn describe_change(changed: &Changed) -> String {
    let Changed { time, author, commit, uncommitted } = changed;
    match (time, author, commit) {
        (Some(time), Some(author), Some(commit)) => {
            let since = if *uncommitted { "; and since then, not committed" } else { "" };
            let commit: String = commit.chars().take(12).collect();
            format!("{time} by {author} in commit {commit}{since}")
        }
        _ => "not committed yet".to_owned(),
    }
}

fn describe_host(one: &HostUse) -> String {
    let state = match (one.keyless, one.cached) {
        (true, _) => "no key yet",
        (_, true) => "ready",
        (_, false) => "no copy",
    };
    let templates = one.templates.iter().map(|template| {
        let units = describe_units(&template.place);
        format!("; in template {} at {}{units}", template.id, template.place.path)
    });
    let Place { path, mode, owner, group, early, .. } = &one.place;
    let early = if *early { ", before users exist" } else { "" };
    let (host, units) = (&one.host, describe_units(&one.place));
    let templates: String = templates.collect();
    format!("host {host}: {state}; {path}, {mode} {owner}:{group}{early}{units}{templates}")
}

/// Says which units are told, or wait.
fn describe_units(place: &Place) -> String {
    let system = [
        ("restarts", &place.restart_units),
        ("reloads", &place.reload_units),
        ("comes before", &place.before),
    ];
    let system = system.into_iter().filter(|(_, units)| !units.is_empty());
    let system = system.map(|(does, units)| format!("; {does} {}", units.join(", ")));
    let users = [("restarts", &place.restart_user_units), ("reloads", &place.reload_user_units)];
    let users = users.into_iter().flat_map(|(does, users)| {
        let units = users.iter().filter(|(_, units)| !units.is_empty());
        units.map(move |(user, units)| format!("; {does} {} of user {user}", units.join(", ")))
    });
    system.chain(users).collect()
}
