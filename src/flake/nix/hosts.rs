//! flake → what it says of its hosts, all at once, or of each alone where one does not evaluate.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;
use vaultix_generator::profile::{Profile, Side};

use super::place::Tracked;
use super::{
    COPY, FlakeCopy, NO_ATTRIBUTE, SETTINGS, Settings, arguments, eval_as, eval_with, file_of,
    flake_copy, in_work_tree, settings,
};
use crate::error::{Error, Exit, Result, Status};
use crate::flake::cache::Caches;
use crate::keys::recipient;
use crate::report::{self, Report, Verbosity};
use crate::system::fence;
use crate::system::origin::{self, STORE};

/// What a flake says of its hosts, and its settings.
#[derive(Default)]
pub struct Hosts {
    pub profiles: Vec<Profile>,
    pub caches: Caches,
    pub settings: Settings,
    /// The hosts of which it says nothing that can be used.
    pub failures: Vec<HostFailure>,
}

/// Why nothing is known of some hosts.
#[derive(Clone)]
pub struct HostFailure {
    /// What they may be called: the names of their nodes, and their identifier if that is known.
    pub names: Vec<String>,
    pub error: Error,
}

/// Asks the flake at `root` for the profiles of all its hosts. Warns of those that have none.
///
/// # Errors
///
/// As [`hosts()`].
pub fn profiles(root: &Path) -> Result<Vec<Profile>> {
    let hosts = hosts(root)?;
    let report = Report::new(Verbosity::Normal);
    hosts.failures.iter().for_each(|failure| report.warning_of(&failure.error));
    Ok(hosts.profiles)
}

/// What the flake says of all hosts, by their identifiers.
#[derive(Deserialize, Default)]
struct Answer {
    #[serde(default)]
    profiles: BTreeMap<String, Box<RawValue>>,
    #[serde(default)]
    caches: Caches,
    settings: Settings,
    /// Other configurations of each host, by their names.
    #[serde(default)]
    variants: BTreeMap<String, BTreeMap<String, Variant>>,
}

/// Another configuration of a host: one that it can be switched to, or that runs in a virtual machine. Twin of `variants` in
/// `nix/flake-options.nix`.
#[derive(Deserialize)]
struct Variant {
    identifier: String,
    profile: Box<RawValue>,
    cache: Option<PathBuf>,
}

/// Asks the flake at `root` for its settings, the profiles of all its hosts, and the places of their caches.
///
/// # Errors
///
/// Nix's own; or says what is wrong with a host, if there is no other.
pub fn hosts(root: &Path) -> Result<Hosts> {
    /// All at once: evaluating hosts is what takes time. Only newer flakes have caches and variants.
    const ALL: &str = "{ inherit (vaultix) profiles settings; caches = vaultix.caches or { };
        variants = vaultix.variants or { }; }";
    let mut failures = Vec::new();
    let mut ask = |function: &str| {
        let answer = eval_as::<Answer>("vaultix.profiles", root, "vaultix", Some(function));
        answer.or_else(|whole| each_alone(root, whole, &mut failures))
    };
    // No host before nix is told what the flake wants it to be told.
    let first = "if vaultix.settings.nixArgs or [ ] != [ ] then { inherit (vaultix) settings; }";
    let mut answer = ask(&format!("vaultix: {first} else {ALL}"))?;
    if arguments::adopt(root, &answer.settings)? {
        answer = ask(&format!("vaultix: {ALL}"))?;
    }
    let Answer { profiles: texts, mut caches, settings, variants } = answer;
    SETTINGS.get_or_init(|| settings.clone());
    let copy = flake_copy(root)?;
    let tracked = OnceCell::new();
    let mut profiles = Vec::new();
    for (host, text) in texts {
        match read(&host, &text, copy, &tracked) {
            Ok(profile) => profiles.push(profile),
            Err(error) => failures.push(HostFailure { names: vec![host], error }),
        }
    }
    let mut others = Vec::new();
    for (host, variants) in variants {
        for (name, Variant { identifier, profile: text, cache }) in variants {
            let profile = read(&format!("{host}, {name},"), &text, copy, &tracked);
            let outcome = profile.and_then(|profile| {
                ensure_key_of_host(&host, &name, &profile, &profiles).map(|()| profile)
            });
            match outcome {
                Ok(profile) => {
                    caches.entry(identifier).or_insert(cache);
                    others.push(profile);
                }
                // Not even its other copies: which of them are stale is not known.
                Err(error) => {
                    profiles.retain(|profile| profile.settings.host_identifier != host);
                    failures.push(HostFailure { names: vec![host.clone()], error });
                }
            }
        }
    }
    profiles.extend(others);
    if profiles.is_empty() {
        if let Some(failure) = failures.into_iter().next() {
            return Err(failure.error);
        }
        return Err(no_hosts(root));
    }
    // The others are done: only some failed.
    for one in &mut failures {
        one.error.exit = Exit::Failed(Status::SomeFailed);
    }
    Ok(Hosts { profiles, caches, settings, failures })
}

/// Makes sure that `variant`, the configuration `name` of `host`, has the key of one of `hosts` if it is called like that:
/// both have the same cache.
fn ensure_key_of_host(host: &str, name: &str, variant: &Profile, hosts: &[Profile]) -> Result<()> {
    let settings = &variant.settings;
    let (host_identifier, host_pubkey) = (&settings.host_identifier, &settings.host_pubkey);
    let key = recipient::canonical(host_pubkey);
    let is_other = |profile: &&Profile| {
        profile.settings.host_identifier == *host_identifier
            && recipient::canonical(&profile.settings.host_pubkey) != key
    };
    if !hosts.iter().any(|profile| is_other(&profile)) {
        return Ok(());
    }
    let what = format!("cannot distinguish host {host} and its {name}");
    Err(Error::new(Status::Config, what)
        .because(format!(
            "both have \"{host_identifier}\" as vaultix.settings.hostIdentifier, but not the same hostPubkey"
        ))
        .fix(format!("set vaultix.settings.hostIdentifier = \"{host}-vm\" in its {name}")))
}

/// Says that the flake has no host with secrets.
fn no_hosts(root: &Path) -> Error {
    let what = format!("cannot find any host in {}", file_of(root).display());
    let nodes: Vec<String> = eval_with(root, HOSTS, Some("builtins.attrNames")).unwrap_or_default();
    let reason = if nodes.is_empty() {
        "vaultix.nodes is empty".to_owned()
    } else {
        format!("none of {} imports the module of Vaultix", report::list(&nodes))
    };
    Error::new(Status::Config, what).because(reason).fix("vaultix init")
}

/// Reads the profile of one host.
fn read(
    host: &str,
    text: &RawValue,
    copy: &FlakeCopy,
    tracked: &OnceCell<Tracked>,
) -> Result<Profile> {
    let what = || Error::new(Status::Config, format!("cannot use the profile of host {host}"));
    let mut profile =
        Profile::parse(text.get(), Side::Workspace).map_err(|error| what().because(error))?;
    for secret in profile.secrets.values_mut().flatten() {
        let path = &secret.ciphertext;
        if path.starts_with(NO_FLAKE) {
            return Err(what()
                .because("vaultix.settings.flake is not set there, so its files are not known")
                .fix("set vaultix.settings.flake = self, or pass specialArgs = { inherit self; } to nixosSystem"));
        }
        let by_content = || tracked.get_or_init(|| Tracked::new(copy)).find(path);
        let is_other = || path.starts_with(STORE) && origin::find(path).is_none();
        let found = in_work_tree(copy, path);
        if let Some(path) = found.or_else(|| is_other().then(by_content).flatten()) {
            secret.ciphertext = path;
        }
        fence::mark_named(&secret.ciphertext);
    }
    Ok(profile)
}

/// Where `nix/root.nix` has the files of a host that does not know its flake.
const NO_FLAKE: &str = "/no-flake";

/// What a flake says of each host, by the names of nodes.
const HOSTS: &str = "vaultix.hosts";

/// How many hosts are evaluated at once: each may take a gigabyte of memory.
const AT_ONCE: usize = 4;

/// What the flake says of one host that has the module. Twin of `hosts` in `nix/flake-options.nix`.
#[derive(Deserialize)]
struct Host {
    identifier: String,
    profile: Box<RawValue>,
    cache: Option<PathBuf>,
    /// Only newer flakes have them.
    #[serde(default)]
    variants: BTreeMap<String, Variant>,
}

/// Asks the flake for its settings, and for each host alone, since all at once fail as `whole` says. What a host does not
/// answer is added to `failures`.
///
/// # Errors
///
/// `whole`, if the flake does not say which hosts there are; or what is wrong with its settings.
fn each_alone(root: &Path, whole: Error, failures: &mut Vec<HostFailure>) -> Result<Answer> {
    let is_missing = |error: &Error| error.to_string().contains(NO_ATTRIBUTE);
    if COPY.get().is_none() || is_missing(&whole) {
        return Err(whole);
    }
    let settings = match settings(root) {
        Ok(settings) => settings,
        // What was evaluated first.
        Err(error) if is_missing(&error) && !whole.to_string().contains("'settings' missing") => {
            return Err(whole);
        }
        Err(error) => return Err(error),
    };
    let Ok(nodes) = eval_with::<Vec<String>>(root, HOSTS, Some("builtins.attrNames")) else {
        return Err(whole);
    };
    let waiting = report::waiting(format!("evaluating {} hosts one by one", nodes.len()));
    let mut found: BTreeMap<String, Vec<(String, Host)>> = BTreeMap::new();
    for some in nodes.chunks(AT_ONCE) {
        let answers: Vec<_> = some.par_iter().map(|node| (node, host(root, node))).collect();
        for (node, answer) in answers {
            match answer {
                Ok(Some(host)) => {
                    found.entry(host.identifier.clone()).or_default().push((node.clone(), host));
                }
                Ok(None) => {}
                Err(error) => failures.push(HostFailure { names: vec![node.clone()], error }),
            }
        }
    }
    drop(waiting);
    // It was none of them: something that they share.
    if failures.is_empty() && found.values().all(|twins| twins.len() == 1) {
        return Err(whole);
    }
    let mut answer = Answer { settings, ..Answer::default() };
    for (identifier, mut twins) in found {
        match (twins.pop(), twins.is_empty()) {
            (Some((_, host)), true) => {
                answer.caches.insert(identifier.clone(), host.cache);
                answer.variants.insert(identifier.clone(), host.variants);
                answer.profiles.insert(identifier, host.profile);
            }
            (last, _) => {
                twins.extend(last);
                let nodes = twins.into_iter().map(|(node, _)| node).collect();
                failures.push(not_distinct(identifier, nodes));
            }
        }
    }
    Ok(answer)
}

/// Asks the flake for the host that is the node `name`; `None` if that has no secrets.
fn host(root: &Path, name: &str) -> Result<Option<Host>> {
    let quoted = serde_json::Value::from(name).to_string().replace("${", "\\${");
    eval_as(&format!("host {name}"), root, HOSTS, Some(&format!("hosts: hosts.{quoted}")))
}

/// Says that `nodes` are one host.
fn not_distinct(identifier: String, nodes: Vec<String>) -> HostFailure {
    let what = format!("cannot distinguish the hosts {}", report::list(&nodes));
    let error = Error::new(Status::Config, what)
        .because(format!(
            "each has \"{identifier}\" as vaultix.settings.hostIdentifier, and therefore the same cache"
        ))
        .fix("set networking.hostName or vaultix.settings.hostIdentifier to another one, or remove one from vaultix.nodes");
    let names = nodes.into_iter().chain([identifier]).collect();
    HostFailure { names, error }
}

/// Takes the keys alone, as profiles have them; none of a host that does not evaluate.
const KEYS: &str = "profiles: builtins.mapAttrs (_: profile: let
    key = builtins.tryEval (toString profile.settings.hostPubkey);
  in if key.success then key.value else \"\") profiles";

/// Asks the flake at `root` for the public keys of its hosts, as far as they have some. Warns where it cannot be asked.
pub fn host_keys(root: &Path, report: &Report) -> Vec<String> {
    let ask = || {
        arguments::adopt(root, &settings(root)?)?;
        eval_with::<BTreeMap<String, String>>(root, "vaultix.profiles", Some(KEYS))
    };
    match ask() {
        Ok(keys) => keys.into_values().filter(|key| !key.trim().is_empty()).collect(),
        Err(error) => {
            report.warning(format_args!("the keys of hosts are unknown: {error:#}"));
            Vec::new()
        }
    }
}
