//! profiles + cache → what hosts should have, what is missing or stale, and what failed. Needs no key.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use vaultix_generator::placeholder::{self, Encoding, Piece};
use vaultix_generator::profile::{Invalid, Profile, Template};
use vaultix_generator::{escape, private};
use vaultix_units::stanza::Recipient;

use crate::cache::copy;
use crate::cache::damage::{self, Damaged};
use crate::cache::plan::{Entry, Plan, Target, Wanted, plan};
use crate::cache::store;
use crate::error::{Error, Exit, Result, Status};
use crate::files::source;
use crate::flake::repository;
use crate::keys::armor;
use crate::keys::recipient::{self, SharedRecipient};
use crate::report::{self, Report};
use crate::system::origin;

/// What some hosts should have, compared with what the cache contains.
pub struct Comparison {
    pub desired: Desired,
    pub plan: Plan,
    /// Copies that the plan makes anew, since their hosts cannot decrypt them.
    pub damaged: Damaged,
    /// Names in the cache of which no host is called: the plan removes their copies.
    pub gone: BTreeSet<String>,
    /// What is wrong with single secrets and hosts.
    pub failures: Failures,
}

impl Comparison {
    /// Compares what the hosts of `profiles` need of the secrets `ids`, or of all secrets if `ids`
    /// is empty, with their copies in the directory `cache`.
    ///
    /// # Errors
    ///
    /// When the cache itself cannot be read. What is wrong with single secrets or hosts is in [`Comparison::failures`].
    pub fn new(
        profiles: &[Profile],
        ids: &[String],
        cache: &Path,
        report: &Report,
    ) -> Result<Self> {
        Self::with_all(profiles, ids, cache, None, report)
    }

    /// The same; `all` are the names of all hosts that can have copies there, if that is known: those of others are stale.
    ///
    /// # Errors
    ///
    /// As [`Comparison::new`].
    pub fn with_all(
        profiles: &[Profile],
        ids: &[String],
        cache: &Path,
        all: Option<&BTreeSet<String>>,
        report: &Report,
    ) -> Result<Self> {
        let found = Self::look(profiles, ids, cache, all)?;
        for host in &found.desired.keyless {
            report.warning(format_args!(
                "host {host} has no key yet, and is left out; set vaultix.settings.hostPubkey to what \
                 `cat /etc/ssh/ssh_host_ed25519_key.pub` or `vaultix-decrypt enroll` prints there, or to what `ssh-keyscan -t ed25519 {}` \
                 prints here after its name",
                escape::shell(host)
            ));
        }
        Ok(found)
    }

    /// The same, without a word on hosts that have no key.
    ///
    /// # Errors
    ///
    /// As [`Comparison::new`].
    pub fn look(
        profiles: &[Profile],
        ids: &[String],
        cache: &Path,
        all: Option<&BTreeSet<String>>,
    ) -> Result<Self> {
        let mut failures = Failures::default();
        let mut desired = Desired::new(profiles, ids, &mut failures);
        let store::Listed { files: mut listing, unusable } =
            store::list(cache, desired.hosts.keys().map(String::as_str))?;
        for (host, error) in unusable {
            desired.leave_out(&host);
            failures.errors.push(error);
            failures.hosts.insert(host);
        }
        let damaged = damage::take(cache, &desired, &mut listing)?;
        let others = all.map(|all| store::list_others(cache, all)).transpose()?;
        let others = others.unwrap_or_default();
        let gone: BTreeSet<String> = others.keys().cloned().collect();
        listing.extend(others);
        let complete = desired.complete.union(&gone).cloned().collect();
        let mut plan = plan(&desired.wanted, &listing, &complete);
        failures.errors.extend(store::keep_foreign(cache, &mut plan)?);
        report::detail(format_args!(
            "read {} sources for {} hosts, and listed {}: {} copies up to date, {} missing or damaged, {} stale",
            desired.digests.len(),
            desired.hosts.len(),
            origin::shown(cache),
            plan.up_to_date,
            plan.encrypt.values().map(Vec::len).sum::<usize>(),
            plan.stale.len()
        ));
        Ok(Self { desired, plan, damaged, gone, failures })
    }
}

/// What has failed so far, while the rest continues.
#[derive(Default)]
pub struct Failures {
    pub errors: Vec<Error>,
    /// Hosts that are missing a copy because of that.
    pub hosts: BTreeSet<String>,
}

impl Failures {
    /// Adds `error`, which prevented `targets` from being made.
    pub fn add(&mut self, error: Error, targets: &[Target]) {
        self.errors.push(error);
        self.hosts.extend(targets.iter().map(|target| target.entry.host.clone()));
    }

    pub fn add_one(&mut self, error: Error, target: &Target) {
        let targets = std::slice::from_ref(target);
        self.add(cannot_reencrypt(error, targets), targets);
    }
}

/// What the cache should contain for some hosts.
#[derive(Default)]
pub struct Desired {
    /// The recipient of each chosen host; `None` if it cannot be used.
    pub hosts: BTreeMap<String, Option<SharedRecipient>>,
    /// The files that the hosts need in the cache, and what each is made from.
    pub wanted: BTreeMap<Entry, Wanted>,
    /// Of `wanted`, the values that `vaultix generate` adds to their files.
    pub generated: BTreeSet<Entry>,
    /// SHA-256 of each source.
    pub digests: BTreeMap<PathBuf, String>,
    /// How long the payload of each source is, as far as it has one.
    pub payloads: HashMap<PathBuf, u64>,
    /// What the header of a copy for each host has to name.
    pub stanzas: BTreeMap<String, Recipient>,
    /// Hosts of which every file is known: any other file in their directories is stale.
    pub complete: BTreeSet<String>,
    /// Hosts whose `hostPubkey` is not set yet: nothing can be encrypted to them.
    pub keyless: BTreeSet<String>,
}

impl Desired {
    /// Works out what the hosts of `profiles` need of the secrets `ids`, or of all secrets if `ids`
    /// is empty. Adds what is wrong with single secrets or hosts to `failures`.
    pub fn new(profiles: &[Profile], ids: &[String], failures: &mut Failures) -> Self {
        let sources: BTreeSet<&PathBuf> = profiles
            .iter()
            .flat_map(|profile| &profile.secrets)
            .filter(|(id, _)| is_asked(ids, id))
            .filter_map(|(_, secret)| secret.as_ref().ok())
            // What others were generated from may be gone: no host needs it.
            .filter(|secret| !secret.intermediary || !source::is_absent(&secret.ciphertext))
            .map(|secret| &secret.ciphertext)
            .collect();
        let read: Vec<_> =
            sources.into_par_iter().map(|path| (path.clone(), digest(path))).collect();
        let mut desired = Self::default();
        for (path, outcome) in read {
            match outcome {
                Ok((digest, payload)) => {
                    desired.payloads.extend(payload.map(|length| (path.clone(), length)));
                    desired.digests.insert(path, digest);
                }
                Err(error) => {
                    let error = with_fix(error, profiles, &path);
                    let ids = users(profiles, &path);
                    failures.errors.push(error.context(format!("cannot use {ids}")));
                }
            }
        }
        for profile in profiles {
            desired.add(profile, ids, failures);
        }
        desired
    }

    /// Takes `host` out, since nothing is known of its copies, and none can be made.
    fn leave_out(&mut self, host: &str) {
        self.hosts.remove(host);
        self.complete.remove(host);
        self.wanted.retain(|entry, _| entry.host != host);
    }

    /// Adds what the host of `profile` needs of the secrets `ids`, or of all secrets if `ids` is
    /// empty.
    pub fn add(&mut self, profile: &Profile, ids: &[String], failures: &mut Failures) {
        let settings = &profile.settings;
        let host = &settings.host_identifier;
        if ids.is_empty() {
            failures.errors.extend(template_failures(profile));
        }
        if settings.host_pubkey.trim().is_empty() {
            self.keyless.insert(host.clone());
            return;
        }
        let recipient = recipient::parse_for_host(&settings.host_pubkey).map_err(|reason| {
            let public = "set vaultix.settings.hostPubkey to the host's public key";
            let fix = if private::is_private(&settings.host_pubkey) {
                format!(
                    "set vaultix.settings.hostPubkey to the public key: {}",
                    private::PUBLIC_KEY_HINT
                )
            } else {
                public.to_owned()
            };
            failures.errors.push(
                Error::new(Status::Config, format!("cannot use the hostPubkey of host {host}"))
                    .because(reason)
                    .fix(fix),
            );
        });
        let mut complete = recipient.is_ok() && ids.is_empty();
        let key = recipient::canonical(&settings.host_pubkey);
        self.stanzas.insert(host.clone(), copy::recipient(&key));
        for (id, secret) in profile.secrets.iter().filter(|(id, _)| is_asked(ids, id)) {
            let secret = match secret {
                Ok(secret) => secret,
                Err(invalid) => {
                    complete = false;
                    let what = format!("cannot use secret \"{id}\" for host {host}");
                    failures.errors.push(Error::new(Status::Config, what).because(invalid));
                    continue;
                }
            };
            if secret.intermediary {
                continue;
            }
            let Some(digest) = self.digests.get(&secret.ciphertext) else {
                complete = false;
                continue;
            };
            if recipient.is_ok() {
                let name = store::name(digest, &key, secret.key.as_ref());
                let entry = Entry { host: host.clone(), name };
                let wanted = Wanted {
                    source: secret.ciphertext.clone(),
                    key: secret.key.clone(),
                    secret: id.clone(),
                };
                if secret.generator.is_some() {
                    self.generated.insert(entry.clone());
                }
                self.wanted.entry(entry).or_insert(wanted);
            }
        }
        let known = self.hosts.insert(host.clone(), recipient.ok()).is_some();
        if complete && (!known || self.complete.contains(host)) {
            self.complete.insert(host.clone());
        } else {
            self.complete.remove(host);
        }
    }
}

impl Desired {
    /// Returns the paths of all copies, relative to the cache.
    pub fn copies(&self) -> BTreeSet<PathBuf> {
        self.wanted.keys().map(|entry| entry.path(Path::new(""))).collect()
    }
}

impl Comparison {
    /// Returns whether each host of `profiles` that has a key has a copy of the present `source`, if it uses that, or of each
    /// value in it that it uses.
    pub fn has_copies(&self, profiles: &[Profile], source: &Path) -> bool {
        let Some(digest) = self.desired.digests.get(source) else { return false };
        let missing = self.plan.encrypt.values().flatten();
        let missing: BTreeSet<&Entry> = missing.map(|target| &target.entry).collect();
        let users = profiles
            .iter()
            .filter(|profile| !self.desired.keyless.contains(&profile.settings.host_identifier));
        let mut pairs = users.flat_map(|profile| {
            let secrets = profile.secrets.values().flatten();
            secrets
                .filter(|secret| secret.ciphertext == source && !secret.intermediary)
                .map(move |secret| (profile, secret))
        });
        pairs.all(|(profile, secret)| {
            let settings = &profile.settings;
            let recipient = recipient::canonical(&settings.host_pubkey);
            let name = store::name(digest, &recipient, secret.key.as_ref());
            let entry = Entry { host: settings.host_identifier.clone(), name };
            self.desired.wanted.contains_key(&entry) && !missing.contains(&entry)
        })
    }
}

/// Returns the digest of the source `path`, if it is the one that Nix computes, and how long its payload is.
fn digest(path: &Path) -> Result<(String, Option<u64>)> {
    let bytes = source::read(path)?;
    let digest = source::sha256(&bytes);
    repository::ensure_seen(path, &digest)?;
    // What is damaged in it, is told where it is opened.
    Ok((digest, armor::dearmor(bytes).ok().and_then(|bytes| copy::payload(&bytes))))
}

/// Returns what is wrong with the templates of `profile`, as far as that shows without values. Copies do not depend on it.
fn template_failures(profile: &Profile) -> Vec<Error> {
    let host = &profile.settings.host_identifier;
    let problem = |id: &String, template: &std::result::Result<Template, Invalid>| {
        let what = format!("cannot use template \"{id}\" for host {host}");
        match template {
            Ok(template) => {
                let reason = unknown_placeholder(profile, template)?;
                Some(Error::new(Status::DataErr, what).because(reason))
            }
            Err(invalid) => Some(Error::new(Status::Config, what).because(invalid)),
        }
    };
    profile.templates.iter().filter_map(|(id, template)| problem(id, template)).collect()
}

/// Returns why a placeholder in `template` stands for nothing, as a clause.
fn unknown_placeholder(profile: &Profile, template: &Template) -> Option<String> {
    placeholder::split(template.content.as_bytes()).into_iter().find_map(|piece| {
        let Piece::Placeholder { hash, encoding, .. } = piece else { return None };
        let secret = profile.placeholders.get(hash);
        if let Some(id) = secret
            && !profile.secrets.contains_key(id)
        {
            return Some(format!(
                "a placeholder in its content belongs to \"{id}\", which is not a secret of this host"
            ));
        }
        if secret.is_none() {
            return Some(format!(
                "the placeholder {{{{ {hash} }}}} in its content belongs to no secret of this host"
            ));
        }
        encoding.and_then(|name| Encoding::parse(name).err()).map(|unknown| unknown.to_string())
    })
}

/// Returns whether the user asked for the secret `id`.
fn is_asked(ids: &[String], id: &String) -> bool {
    ids.is_empty() || ids.contains(id)
}

/// Adds to `error` how to create `source`, if it could not be read because it does not exist.
pub fn with_fix(error: Error, profiles: &[Profile], source: &Path) -> Error {
    let mut secrets = profiles.iter().flat_map(|profile| profile.secrets.values().flatten());
    let is_made = secrets.any(|secret| secret.ciphertext == source && secret.generator.is_some());
    match error.exit {
        Exit::Failed(Status::NoInput) if is_made => error.fix("vaultix generate"),
        Exit::Failed(Status::NoInput) => {
            error.fix(format!("vaultix edit {}", escape::shell_path(origin::shown(source))))
        }
        _ => error,
    }
}

/// Names the secrets that come from `source`: `secret "wifi" for hosts db, web`.
fn users(profiles: &[Profile], source: &Path) -> String {
    let users = profiles.iter().flat_map(|profile| {
        profile.secrets.iter().filter_map(move |(id, secret)| {
            let uses = secret.as_ref().is_ok_and(|secret| secret.ciphertext == source);
            uses.then_some((id.as_str(), profile.settings.host_identifier.as_str()))
        })
    });
    name(&users.collect())
}

/// Names secrets and their hosts: `secret "wifi" for hosts db, web`.
fn name(users: &BTreeSet<(&str, &str)>) -> String {
    let ids: BTreeSet<&str> = users.iter().map(|(id, _)| *id).collect();
    let hosts: BTreeSet<&str> = users.iter().map(|(_, host)| *host).collect();
    let plural = |names: &BTreeSet<&str>| if names.len() == 1 { "" } else { "s" };
    let quoted: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    format!(
        "secret{} {} for host{} {}",
        plural(&ids),
        quoted.join(", "),
        plural(&hosts),
        hosts.iter().copied().collect::<Vec<_>>().join(", ")
    )
}

/// error + the targets that it concerns → error that names them.
pub fn cannot_reencrypt(error: Error, targets: &[Target]) -> Error {
    let users =
        targets.iter().map(|target| (target.secret.as_str(), target.entry.host.as_str())).collect();
    error.context(format!("cannot re-encrypt {}", name(&users)))
}

#[cfg(test)]
mod tests;
