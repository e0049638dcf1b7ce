//! VERB profiles → plan → file keys → ciphertexts per host → cache.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use age::Identity;
use age_core::format::Stanza;
use rayon::prelude::*;
use vaultix_generator::profile::Profile;
use vaultix_units::plaintext::Plaintext;
use vaultix_units::{decrypt, header};

use crate::cache::{self, Cache, Staged};
use crate::cli::Renc;
use crate::error::{self, Error, Exit, Result};
use crate::git::{self, Tracked};
use crate::interrupt::Interrupt;
use crate::master::{Master, Session, Unwrapped};
use crate::plan::{Entry, Plan, Target, Want, plan};
use crate::prompt::Prompt;
use crate::recipient::{self, Shared};
use crate::report::{self, Progress, Report, Volume};
use crate::{profiles, source};

/// How many files are written before they get their names, all at once (1024).
///
/// Each sync costs the same for many files as for few; a run that is killed loses this much work.
const BATCH: usize = 1024;

/// Brings the copies of all hosts up to date.
///
/// # Errors
///
/// When nothing at all can be done. What fails for one secret or host is said, and counts in the outcome.
pub fn run(args: &Renc, profile_paths: &[PathBuf]) -> Result<Exit> {
    let report = Report::new(if args.quiet { Volume::Quiet } else { Volume::Normal });
    let root = args.cache.clone().unwrap_or_else(|| PathBuf::from("secrets/cache"));
    let profiles = choose(profiles::read_all(profile_paths)?, args)?;
    let mut faults = Faults::default();
    let need = Need::of(&profiles, args, &mut faults);
    let listing = cache::list(&root, need.hosts.keys().map(String::as_str))?;
    let plan = plan(&need.wanted, &listing, &need.settled);
    for entry in &plan.foreign {
        report.warning(format_args!("{} is not of the cache, and stays", at(&root, entry)));
    }
    if args.dry_run {
        show(&root, &plan)?;
        return Ok(finish(&report, &faults, &count(&plan)));
    }

    let done = if plan.encrypt.is_empty() && plan.stale.is_empty() {
        Done::default()
    } else {
        let cache = Cache::open(&root)?;
        for host in need.hosts.keys() {
            cache.sweep(host)?;
        }
        let work =
            Work { need: &need, cache: &cache, report: &report, interrupt: Interrupt::new()? };
        let mut done = Done::default();
        if let Err(error) = work.encrypt(&args.identities, &plan, &mut done, &mut faults) {
            let targets: Vec<Target> = plan.encrypt.values().flatten().cloned().collect();
            faults.add(error, &targets);
        }
        work.remove(&plan, &mut done, &mut faults);
        done
    };
    let files = need.wanted.keys().map(|entry| Path::new(&entry.host).join(&entry.name)).collect();
    match git::track(&root, &files) {
        Ok(Tracked::Yes) => {}
        Ok(Tracked::Ignored) => report.warning(format_args!(
            "git ignores files in {}, so a flake will not find them",
            root.display()
        )),
        Err(error) => faults.errors.push(error),
    }
    let line = format!(
        "{} re-encrypted, {} up to date, {} removed",
        done.encrypted, plan.up_to_date, done.removed
    );
    Ok(finish(&report, &faults, &line))
}

/// Says what failed, and what all of it comes to.
fn finish(report: &Report, faults: &Faults, line: &str) -> Exit {
    faults.errors.iter().for_each(|error| report.error(error));
    match faults.errors.len() {
        0 => report::count(line),
        failed => report::count(format_args!("{line}, {failed} failed")),
    }
    error::exit(&faults.errors)
}

/// Counts what a plan is about to do.
fn count(plan: &Plan) -> String {
    let new: usize = plan.encrypt.values().map(Vec::len).sum();
    let stale = plan.stale.len();
    format!("{new} to re-encrypt, {} up to date, {stale} to remove", plan.up_to_date)
}

/// What failed so far, while the rest goes on.
#[derive(Default)]
struct Faults {
    /// For the user.
    errors: Vec<Error>,
    /// Hosts that did not get all they need.
    hosts: BTreeSet<String>,
}

impl Faults {
    /// Adds `error`, because of which `targets` are not made.
    fn add(&mut self, error: Error, targets: &[Target]) {
        self.errors.push(error);
        self.hosts.extend(targets.iter().map(|target| target.entry.host.clone()));
    }

    /// Adds `error`, because of which `target` is not made.
    fn add_one(&mut self, error: Error, target: &Target) {
        let targets = std::slice::from_ref(target);
        self.add(of_targets(error, targets), targets);
    }
}

/// Prints a plan.
fn show(root: &Path, plan: &Plan) -> Result<()> {
    let made = plan.encrypt.iter().flat_map(|(source, targets)| {
        targets.iter().map(move |target| {
            format!("{}/{}: re-encrypt {}\n", target.entry.host, target.secret, source.display())
        })
    });
    let removed = plan.stale.iter().map(|entry| format!("{}: remove\n", at(root, entry)));
    let text: String = made.chain(removed).collect();
    report::answer(text.as_bytes())
        .map_err(|error| Error::new(Exit::CantCreate, "cannot print the plan").because(error))
}

/// Returns the path of `entry` as the user would type it.
fn at(root: &Path, entry: &Entry) -> String {
    root.join(&entry.host).join(&entry.name).display().to_string()
}

/// Keeps the profiles of the hosts that the user wants.
fn choose(profiles: Vec<Profile>, args: &Renc) -> Result<Vec<Profile>> {
    let names: BTreeSet<&str> =
        profiles.iter().map(|profile| profile.settings.host_identifier.as_str()).collect();
    let list = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(", ");
    if let Some(unknown) = args.hosts.iter().find(|host| !names.contains(host.as_str())) {
        return Err(Error::new(Exit::Usage, format!("cannot find host \"{unknown}\""))
            .because(format!("the profiles are of {}", list(names))));
    }
    let chosen: Vec<Profile> = profiles
        .into_iter()
        .filter(|profile| {
            args.hosts.is_empty() || args.hosts.contains(&profile.settings.host_identifier)
        })
        .collect();
    let has = |id: &String| chosen.iter().any(|profile| profile.secrets.contains_key(id));
    match args.secrets.iter().find(|id| !has(id)) {
        Some(unknown) => Err(Error::new(Exit::Usage, format!("cannot find secret \"{unknown}\""))
            .because("no chosen host has one of this name")),
        None => Ok(chosen),
    }
}

/// What the hosts need.
struct Need {
    /// Recipients by host, of all hosts that were chosen; `None` where it cannot be used.
    hosts: BTreeMap<String, Option<Shared>>,
    /// The files of the cache that they need.
    wanted: BTreeMap<Entry, Want>,
    /// SHA-256 of each source.
    digests: BTreeMap<PathBuf, String>,
    /// Hosts of which every file is known: what else lies in their directories is stale.
    settled: BTreeSet<String>,
}

impl Need {
    /// Works out what the hosts of `profiles` need, and adds to `faults` what cannot be told.
    fn of(profiles: &[Profile], args: &Renc, faults: &mut Faults) -> Self {
        let sources: BTreeSet<&PathBuf> = profiles
            .iter()
            .flat_map(|profile| &profile.secrets)
            .filter(|(id, _)| is_asked(args, id))
            .filter_map(|(_, secret)| Some(&secret.as_ref().ok()?.ciphertext))
            .collect();
        let read: Vec<_> =
            sources.into_par_iter().map(|path| (path.clone(), source::digest(path))).collect();
        let mut digests = BTreeMap::new();
        for (path, outcome) in read {
            match outcome {
                Ok(digest) => {
                    digests.insert(path, digest);
                }
                Err(error) => {
                    let ids = users(profiles, &path);
                    faults.errors.push(error.under(format!("cannot re-encrypt {ids}")));
                }
            }
        }
        let mut need = Self {
            hosts: BTreeMap::new(),
            wanted: BTreeMap::new(),
            digests,
            settled: BTreeSet::new(),
        };
        for profile in profiles {
            need.add(profile, args, faults);
        }
        need
    }

    /// Adds what the host of `profile` needs.
    fn add(&mut self, profile: &Profile, args: &Renc, faults: &mut Faults) {
        let settings = &profile.settings;
        let host = &settings.host_identifier;
        let recipient = recipient::of_host(&settings.host_pubkey).map_err(|reason| {
            faults.errors.push(
                Error::new(Exit::Config, format!("cannot re-encrypt for host {host}"))
                    .because(format!("its hostPubkey cannot be used: {reason}"))
                    .fix("set vaultix.settings.hostPubkey to the host's public key"),
            );
        });
        let mut complete = recipient.is_ok() && args.secrets.is_empty();
        let key = recipient::canonical(&settings.host_pubkey);
        for (id, secret) in profile.secrets.iter().filter(|(id, _)| is_asked(args, id)) {
            let secret = match secret {
                Ok(secret) => secret,
                Err(invalid) => {
                    complete = false;
                    let what = format!("cannot re-encrypt secret \"{id}\" for host {host}");
                    faults.errors.push(Error::new(Exit::Config, what).because(invalid));
                    continue;
                }
            };
            let Some(digest) = self.digests.get(&secret.ciphertext) else {
                complete = false;
                continue;
            };
            if recipient.is_ok() {
                let entry = Entry { host: host.clone(), name: cache::name(digest, &key) };
                let want = Want { source: secret.ciphertext.clone(), secret: id.clone() };
                self.wanted.entry(entry).or_insert(want);
            }
        }
        let known = self.hosts.insert(host.clone(), recipient.ok()).is_some();
        if complete && (!known || self.settled.contains(host)) {
            self.settled.insert(host.clone());
        } else {
            self.settled.remove(host);
        }
    }
}

/// Returns whether the user wants the secret `id`.
fn is_asked(args: &Renc, id: &String) -> bool {
    args.secrets.is_empty() || args.secrets.contains(id)
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

/// What was done.
#[derive(Default)]
struct Done {
    /// How many files were made.
    encrypted: usize,
    /// How many were removed.
    removed: usize,
}

/// What the steps of one run share.
struct Work<'a> {
    /// What the hosts need.
    need: &'a Need,
    /// Where it goes.
    cache: &'a Cache,
    /// Who watches.
    report: &'a Report,
    /// Whether to stop.
    interrupt: Interrupt,
}

/// A source with its file key, and what is to be made from it.
struct Job<'a> {
    /// Where the source is.
    path: &'a Path,
    /// Its key.
    key: &'a Unwrapped,
    /// Where copies go.
    targets: &'a [Target],
}

/// What came of one target.
type Outcome<'a> = (&'a Target, Result<Staged>);

impl Work<'_> {
    /// Makes what `plan` says, and adds to `faults` what cannot be made.
    fn encrypt(
        &self,
        identities: &[PathBuf],
        plan: &Plan,
        done: &mut Done,
        faults: &mut Faults,
    ) -> Result<()> {
        if plan.encrypt.is_empty() {
            return Ok(());
        }
        if identities.is_empty() {
            return Err(Error::new(Exit::Usage, "cannot re-encrypt without an identity")
                .fix("vaultix renc --identity FILE"));
        }
        let mut master = Master::read(identities)?;
        let (mut headers, mut opened) = (Vec::new(), Vec::new());
        for (path, targets) in &plan.encrypt {
            match self.header(path) {
                Ok(stanzas) => {
                    headers.push(stanzas);
                    opened.push((path, targets));
                }
                Err(error) => faults.add(of_targets(error, targets), targets),
            }
        }
        let session = master.open(&headers, &Prompt::new(&self.interrupt, self.report))?;
        let jobs: Vec<Job> = opened
            .iter()
            .zip(&session.keys)
            .map(|((path, targets), key)| Job { path, key, targets })
            .collect();
        let total = jobs.iter().map(|job| job.targets.len()).sum();
        let progress = self.report.progress("re-encrypting", total);
        batches(&jobs)
            .into_iter()
            .try_for_each(|batch| self.batch(batch, &session, &progress, done, faults))
    }

    /// Reads the stanzas of a source.
    fn header(&self, path: &Path) -> Result<Vec<Stanza>> {
        header::stanzas(&self.read(path)?).map_err(|error| source::cannot_open(path, &error, &[]))
    }

    /// Makes everything of one batch.
    fn batch(
        &self,
        jobs: &[Job],
        session: &Session,
        progress: &Progress,
        done: &mut Done,
        faults: &mut Faults,
    ) -> Result<()> {
        let outcomes: Vec<Result<Vec<Outcome>>> = jobs
            .par_iter()
            .map(|job| {
                let plaintext = self.decrypt(job, session)?;
                let make = |target| {
                    let staged = self.target(target, &plaintext);
                    progress.step();
                    (target, staged)
                };
                Ok(job.targets.par_iter().map(make).collect())
            })
            .collect();
        if self.interrupt.is_set() {
            return Err(self.interrupt.error());
        }
        let (mut made, mut staged) = (Vec::new(), Vec::new());
        for (job, outcome) in jobs.iter().zip(outcomes) {
            match outcome {
                Err(error) => faults.add(of_targets(error, job.targets), job.targets),
                Ok(outcomes) => {
                    for (target, outcome) in outcomes {
                        match outcome {
                            Ok(file) => {
                                made.push(target);
                                staged.push(file);
                            }
                            Err(error) => faults.add_one(error, target),
                        }
                    }
                }
            }
        }
        for (target, outcome) in made.into_iter().zip(self.cache.commit(staged)?) {
            match outcome {
                Ok(()) => {
                    done.encrypted += 1;
                    let Target { entry, secret } = target;
                    self.report.line(format_args!("{}/{secret}: re-encrypted", entry.host));
                }
                Err(error) => faults.add_one(error, target),
            }
        }
        Ok(())
    }

    /// Reads a source again, and makes sure that it is the one the plan is about.
    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        use sha2::{Digest, Sha256};
        let bytes = source::read(path)?;
        let digest = source::hex(&Sha256::digest(&bytes));
        if self.need.digests.get(path) != Some(&digest) {
            return Err(Error::new(Exit::Data, format!("cannot use {}", path.display()))
                .because("it was changed meanwhile")
                .fix("vaultix renc"));
        }
        source::dearmor(bytes).map_err(|reason| {
            Error::new(Exit::Data, format!("cannot open {}", path.display())).because(reason)
        })
    }

    /// Decrypts a source.
    fn decrypt(&self, job: &Job, session: &Session) -> Result<Plaintext> {
        if self.interrupt.is_set() {
            return Err(self.interrupt.error());
        }
        let ciphertext = self.read(job.path)?;
        decrypt::decrypt(&ciphertext, std::iter::once(job.key as &dyn Identity))
            .map_err(|error| source::cannot_open(job.path, &error, &session.notes))
    }

    /// Encrypts `plaintext` for one host.
    fn target(&self, target: &Target, plaintext: &Plaintext) -> Result<Staged> {
        if self.interrupt.is_set() {
            return Err(self.interrupt.error());
        }
        let failed = |reason: &str| Error::new(Exit::Config, "cannot encrypt").because(reason);
        let recipient = self.need.hosts.get(&target.entry.host).and_then(Option::as_ref);
        let recipient = recipient.ok_or_else(|| failed("the host has no recipient"))?;
        let ciphertext =
            recipient::encrypt(plaintext, std::iter::once(&**recipient as &dyn age::Recipient))
                .map_err(|error| failed(&error.to_string()))?;
        self.cache.stage(&target.entry, &ciphertext)
    }

    /// Removes what is stale.
    ///
    /// Where something failed for a host, its stale files stay: one of them may be the last good copy.
    fn remove(&self, plan: &Plan, done: &mut Done, faults: &mut Faults) {
        let stale = plan.stale.iter().filter(|entry| !faults.hosts.contains(&entry.host));
        let removable: Vec<&Entry> = stale.collect();
        for entry in removable {
            match self.cache.remove(entry) {
                Ok(()) => done.removed += 1,
                Err(error) => faults.errors.push(error),
            }
        }
    }
}

/// Cuts `jobs` into pieces with about [`BATCH`] targets each.
fn batches<'a, 'b>(jobs: &'a [Job<'b>]) -> Vec<&'a [Job<'b>]> {
    let mut size = 0;
    jobs.chunk_by(|job, _| {
        size += job.targets.len();
        let full = size >= BATCH;
        if full {
            size = 0;
        }
        !full
    })
    .collect()
}

/// Puts the targets that `error` concerns into it.
fn of_targets(error: Error, targets: &[Target]) -> Error {
    let users =
        targets.iter().map(|target| (target.secret.as_str(), target.entry.host.as_str())).collect();
    error.under(format!("cannot re-encrypt {}", name(&users)))
}
