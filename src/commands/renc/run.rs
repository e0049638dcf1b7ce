//! plan → file keys, plaintexts, values of files with many, and copies in the cache, in batches.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use age::Identity;
use age_core::format::Stanza;
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};
use vaultix_generator::escape;
use vaultix_units::decrypt;
use vaultix_units::plaintext::Plaintext;

use crate::cache::desired::{Desired, Failures, cannot_reencrypt};
use crate::cache::plan::{Entry, Plan, Target};
use crate::cache::store::{Cache, Staged};
use crate::error::{Error, Result, Status};
use crate::files::source;
use crate::files::values::Values;
use crate::keys::identity_files::IdentityFiles;
use crate::keys::master::{Master, Session};
use crate::keys::unwrapped::Unwrapped;
use crate::keys::{armor, recipient};
use crate::report::{self, Progress, Report};
use crate::system::interrupt::Interrupt;
use crate::system::origin;
use crate::terminal::prompt::Prompt;

/// How many files are written before they get their names, all at once (1024).
///
/// Each sync costs the same for many files as for few; a run that is killed loses this much work.
const BATCH: usize = 1024;

#[derive(Default)]
pub(super) struct Counts {
    pub(super) encrypted: usize,
    pub(super) removed: usize,
}

/// One run of `renc`.
pub(super) struct Run<'a> {
    pub(super) desired: &'a Desired,
    pub(super) cache: &'a Cache,
    pub(super) report: &'a Report,
    pub(super) interrupt: Interrupt,
}

/// A source with its file key, and what is to be made from it.
struct Job<'a> {
    path: &'a Path,
    key: &'a Unwrapped,
    targets: &'a [Target],
}

/// A target, and its file, written but not yet named.
type Outcome<'a> = (&'a Target, Result<Staged>);

impl Run<'_> {
    /// Makes what `plan` says, and adds to `failures` what cannot be made.
    pub(super) fn encrypt(
        &self,
        identities: &IdentityFiles,
        plan: &Plan,
        done: &mut Counts,
        failures: &mut Failures,
    ) -> Result<()> {
        if plan.encrypt.is_empty() {
            return Ok(());
        }
        if identities.is_empty() {
            return Err(Error::new(Status::Usage, "cannot re-encrypt without an identity")
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
                Err(error) => failures.add(cannot_reencrypt(error, targets), targets),
            }
        }
        let session = master.open(&headers, &Prompt::new(&self.interrupt, self.report))?;
        self.report_others(&master, plan);
        let jobs: Vec<Job> = opened
            .iter()
            .zip(&session.keys)
            .map(|((path, targets), key)| Job { path, key, targets })
            .collect();
        let total = jobs.iter().map(|job| job.targets.len()).sum();
        let progress = self.report.progress("re-encrypting", total);
        batches(&jobs)
            .into_iter()
            .try_for_each(|batch| self.batch(batch, &session, &progress, done, failures))
    }

    /// Says which secrets were passed over though no identity of `master` opens them: all hosts have their copies.
    fn report_others(&self, master: &Master, plan: &Plan) {
        let sources: BTreeSet<&PathBuf> =
            self.desired.wanted.values().map(|wanted| &wanted.source).collect();
        let is_others = |path: &Path| self.header(path).is_ok_and(|one| master.is_closed_to(&one));
        let others: Vec<String> = sources
            .into_iter()
            .filter(|path| !plan.encrypt.contains_key(*path) && is_others(path))
            .map(|path| origin::shown(path))
            .collect();
        if !others.is_empty() {
            self.report.line(format_args!(
                "passed over, because your identity cannot decrypt them, and hosts have their copies: {}",
                report::list(&others)
            ));
        }
    }

    fn header(&self, path: &Path) -> Result<Vec<Stanza>> {
        decrypt::stanzas(&self.read(path)?).map_err(|error| source::cannot_open(path, &error, &[]))
    }

    /// Decrypts each source of one batch, encrypts it for its hosts, and gives the copies their names.
    fn batch(
        &self,
        jobs: &[Job],
        session: &Session,
        progress: &Progress,
        done: &mut Counts,
        failures: &mut Failures,
    ) -> Result<()> {
        let outcomes: Vec<Result<Vec<Outcome>>> = jobs
            .par_iter()
            .map(|job| {
                let plaintext = self.decrypt(job, session)?;
                let keys = job.targets.iter().filter_map(|target| target.key.as_ref());
                let values = Values::read(job.path, &plaintext, keys);
                let make = |target| {
                    let staged = self.target(target, &values);
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
                Err(error) => failures.add(cannot_reencrypt(error, job.targets), job.targets),
                Ok(outcomes) => {
                    let mut failed: BTreeMap<String, (Error, Vec<Target>)> = BTreeMap::new();
                    for (target, outcome) in outcomes {
                        match outcome {
                            Ok(file) => {
                                made.push(target);
                                staged.push(file);
                            }
                            Err(error) => {
                                let entry = failed.entry(error.to_string());
                                entry.or_insert((error, Vec::new())).1.push(target.clone());
                            }
                        }
                    }
                    // What is wrong with a value is the same for all hosts, and with a file for all of its values.
                    for (error, targets) in failed.into_values() {
                        failures.add(cannot_reencrypt(error, &targets), &targets);
                    }
                }
            }
        }
        for (target, outcome) in made.into_iter().zip(self.cache.commit(staged)?) {
            match outcome {
                Ok(()) => {
                    done.encrypted += 1;
                    let Target { entry, secret, .. } = target;
                    self.report.line(format_args!("{}/{secret}: re-encrypted", entry.host));
                }
                Err(error) => failures.add_one(error, target),
            }
        }
        Ok(())
    }

    /// Reads a source again, and makes sure that it is the one the plan is about.
    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let bytes = source::read(path)?;
        let digest = escape::hex(&Sha256::digest(&bytes));
        if self.desired.digests.get(path) != Some(&digest) {
            return Err(Error::new(Status::DataErr, format!("cannot use {}", origin::shown(path)))
                .because("it was changed in the meantime")
                .fix("vaultix renc"));
        }
        armor::dearmor(bytes).map_err(|reason| source::damaged(path, &reason))
    }

    fn decrypt(&self, job: &Job, session: &Session) -> Result<Plaintext> {
        if self.interrupt.is_set() {
            return Err(self.interrupt.error());
        }
        let ciphertext = self.read(job.path)?;
        report::detail(format_args!("decrypting {}", origin::shown(job.path)));
        decrypt::decrypt(&ciphertext, std::iter::once(job.key as &dyn Identity))
            .map_err(|error| source::cannot_open(job.path, &error, &session.skipped))
    }

    fn target(&self, target: &Target, values: &Values) -> Result<Staged> {
        if self.interrupt.is_set() {
            return Err(self.interrupt.error());
        }
        let key = target.key.as_ref();
        let plaintext = values.get(key).map_err(|error| {
            let is_made = values.lacks(key) && self.desired.generated.contains(&target.entry);
            if is_made { error.fix("vaultix generate") } else { error }
        })?;
        let failed = |reason: &str| Error::new(Status::Config, "cannot encrypt").because(reason);
        let recipient = self.desired.hosts.get(&target.entry.host).and_then(Option::as_ref);
        let recipient = recipient.ok_or_else(|| failed("the host has no recipient"))?;
        let ciphertext =
            recipient::encrypt(plaintext, std::iter::once(&**recipient as &dyn age::Recipient))
                .map_err(|error| failed(&error.to_string()))?;
        self.cache.stage(&target.entry, &ciphertext)
    }

    /// Removes what is stale.
    ///
    /// Where something failed for a host, its stale files stay: one of them may be the last good copy.
    pub(super) fn remove(&self, plan: &Plan, done: &mut Counts, failures: &mut Failures) {
        let stale = plan.stale.iter().filter(|entry| !failures.hosts.contains(&entry.host));
        let removable: Vec<&Entry> = stale.collect();
        for entry in removable {
            match self.cache.remove(entry) {
                Ok(()) => {
                    done.removed += 1;
                    self.report.line(format_args!("{}: removed", self.cache.path(entry).display()));
                }
                Err(error) => failures.errors.push(error),
            }
        }
    }
}

impl Run<'_> {
    /// Removes the directories of hosts that are `gone`, as far as nothing is left in them.
    pub(super) fn remove_directories(&self, gone: &BTreeSet<String>, failures: &mut Failures) {
        for host in gone {
            match self.cache.remove_directory(host) {
                Ok(Some(path)) => self.report.line(format_args!(
                    "{}: removed, no host of the flake is called {host}",
                    path.display()
                )),
                Ok(None) => {}
                Err(error) => failures.errors.push(error),
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
