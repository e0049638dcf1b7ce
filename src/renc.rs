//! VERB profiles → plan → file keys → ciphertexts per host → cache.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use age::Identity;
use age_core::format::Stanza;
use rayon::prelude::*;
use vaultix_generator::profile::Profile;
use vaultix_units::plaintext::Plaintext;
use vaultix_units::{decrypt, header};

use crate::cache::{Cache, Staged};
use crate::cli::{Cli, Renc};
use crate::desk::Desk;
use crate::error::{Error, Exit, Result};
use crate::git::{self, Tracked};
use crate::interrupt::Interrupt;
use crate::master::{Master, Session, Unwrapped};
use crate::need::{Faults, Need, of_targets};
use crate::plan::{Entry, Plan, Target};
use crate::prompt::Prompt;
use crate::recipient;
use crate::report::{self, Progress, Report, Volume};
use crate::source;
use crate::survey::Survey;

/// How many files are written before they get their names, all at once (1024).
///
/// Each sync costs the same for many files as for few; a run that is killed loses this much work.
const BATCH: usize = 1024;

/// Brings the copies of all hosts up to date.
///
/// # Errors
///
/// When nothing at all can be done. What fails for one secret or host is said, and counts in the outcome.
pub fn run(args: &Renc, cli: &Cli) -> Result<Exit> {
    let report = Report::new(if args.quiet { Volume::Quiet } else { Volume::Normal });
    let desk = Desk::open(cli, &args.identities, args.cache.as_ref())?;
    let root = desk.cache;
    let profiles = choose(desk.profiles, args)?;
    let Survey { need, plan, mut faults } = Survey::of(&profiles, args, &root)?;
    for entry in &plan.foreign {
        report.warning(format_args!("{} is not of the cache, and stays", at(&root, entry)));
    }
    if args.dry_run {
        show(&root, &plan)?;
        return Ok(report.finish(&faults.errors, &count(&plan)));
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
        if let Err(error) = work.encrypt(&desk.identities, &plan, &mut done, &mut faults) {
            let targets: Vec<Target> = plan.encrypt.values().flatten().cloned().collect();
            faults.add(error, &targets);
        }
        work.remove(&plan, &mut done, &mut faults);
        done
    };
    let files = need.wanted.keys().map(|entry| Path::new(&entry.host).join(&entry.name)).collect();
    match git::track(&root, &files) {
        Ok(Tracked::Yes) => {}
        Ok(Tracked::Ignored) => git::warn(&root, &report),
        Err(error) => faults.errors.push(error),
    }
    let line = format!(
        "{} re-encrypted, {} up to date, {} removed",
        done.encrypted, plan.up_to_date, done.removed
    );
    Ok(report.finish(&faults.errors, &line))
}

/// Counts what a plan is about to do.
fn count(plan: &Plan) -> String {
    let new: usize = plan.encrypt.values().map(Vec::len).sum();
    let stale = plan.stale.len();
    format!("{new} to re-encrypt, {} up to date, {stale} to remove", plan.up_to_date)
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
                .fix("pass --identity FILE, or set vaultix.identity in the flake"));
        }
        let mut master = Master::read(identities, &self.interrupt)?;
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
        report::detail(format_args!("opening {}", job.path.display()));
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
