//! a complete generation → the links to it, files at custom paths, and notified consumers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use vaultix_generator::profile::{Secret, Settings};
use vaultix_generator::status::Status;
use vaultix_generator::unit::{ITEMS_UNIT, TARGET_UNIT};

use super::plan::{State, Task};
use super::{Current, Jobs, Outcome, Phase, Switch};
use crate::disk_record::{Changes, DiskRecord, Entry, note_removal, removal};
use crate::failure::{Failure, Level, log};
use crate::generation::{Generation, List, SWITCH};
use crate::host::{Decrypted, Host, decrypt_all, plaintexts};
use crate::item::Item;
use crate::nixos;
use crate::path::{self, Job, Outcome as PathOutcome, OwnDirectories};
use crate::plaintext::Plaintext;
use crate::record::Record;
use crate::render::{render, values};
use crate::systemctl::{self, USERBORN, queue};
use crate::users;

/// Jobs at paths, each with what it is for.
type PathJobs<'t, 'a> = Vec<(Purpose<'t, 'a>, Job)>;

/// What a job at a path is for.
enum Purpose<'t, 'a> {
    /// An item is put there.
    Put(&'t Task<'a>),
    /// The note of this key is finished; the path, and what it is, in errors.
    Remove(String, PathBuf, String),
    /// What an earlier boot has put at this path is removed.
    Leftover(PathBuf, Entry),
}

impl Switch<'_> {
    /// Makes the links lead to the generation `number`. Does nothing if they already do.
    pub(super) fn make_current(&self, number: u32) -> Result<(), Failure> {
        let (normal, early) = (&self.settings.decrypted_dir, &self.settings.decrypted_dir_for_user);
        match self.phase {
            Phase::Early => self.ramfs.set_link(early, number),
            Phase::Normal => {
                self.ramfs.set_link(normal, number)?;
                if self.profile.early.is_empty() {
                    self.ramfs.remove_link(early)
                } else {
                    self.ramfs.set_link(early, number)
                }
            }
        }
    }

    /// Does what is left once `generation` is current: old generations, custom paths, consumers.
    ///
    /// What fails here stays in the journal.
    pub(super) fn finish(
        &self,
        generation: &Generation,
        tasks: &[Task],
        host: &Host,
        outcome: &mut Outcome,
    ) {
        // What the first phase has made stays unfinished: the second one makes another generation.
        if self.phase == Phase::Normal {
            let pruned = generation
                .clear(List::Unfinished, SWITCH)
                .and_then(|()| self.ramfs.prune(generation.number, self.settings.keep_generations));
            outcome.add("remove old generations", pruned);
        }
        let finished = match self.update_paths(generation, tasks, host, outcome) {
            // Another switch has run in the meantime, and has taken over what is left.
            Ok(None) => return,
            Ok(Some(finished)) => Ok(finished),
            Err(failure) => Err(failure),
        };
        if self.jobs == Jobs::Queue {
            // Also in the second phase: the first may have been killed.
            let notified = self.notify_userborn(generation).and_then(|()| match self.phase {
                Phase::Early => finished.map(drop),
                Phase::Normal => finished.and_then(|gone| self.notify(generation, tasks, &gone)),
            });
            outcome.add("notify systemd", notified);
        }
    }

    /// Removes what earlier profiles put at custom paths, and puts items at theirs, all without the lock. Returns the
    /// keys of removals that are done or abandoned; `None` if another switch was faster.
    fn update_paths(
        &self,
        generation: &Generation,
        tasks: &[Task],
        host: &Host,
        outcome: &mut Outcome,
    ) -> Result<Option<Vec<String>>, Failure> {
        let (mut finished, mut path_jobs) = match self.phase {
            Phase::Early => (Vec::new(), Vec::new()),
            Phase::Normal => self.removals(generation)?,
        };
        let record = DiskRecord::read(self.settings);
        if self.phase == Phase::Normal {
            path_jobs.extend(self.leftovers(&record, &path_jobs));
        }
        for task in tasks.iter().filter(|task| !task.has_failed()) {
            match self.path_job(task, generation, None) {
                Ok(job) => path_jobs.extend(job.map(|job| (Purpose::Put(task), job))),
                Err(failure) => outcome.failures.push((task.description(), failure)),
            }
        }
        if path_jobs.is_empty() {
            return Ok(Some(finished));
        }
        let done = self.ramfs.unlocked(|| self.run_jobs(path_jobs, generation, host, &record))?;
        let is_current = match self.phase {
            Phase::Early => self.ramfs.linked_generation(&self.settings.decrypted_dir_for_user)?,
            Phase::Normal => self.ramfs.linked_generation(&self.settings.decrypted_dir)?,
        } == Some(generation.number);
        let mut changes = Changes::default();
        let mut recorded = Ok(());
        for (purpose, done) in done {
            match purpose {
                Purpose::Put(task) => {
                    if let (Ok(done), Some((item, _))) = (&done, task.item) {
                        changes.put(item, self.settings, done);
                    }
                    let done = done.and_then(|_| {
                        ensure_unchanged(task, generation, self.settings)
                            .filter(|_| is_current)
                            .unwrap_or(Ok(()))
                    });
                    if is_current && recorded.is_ok() {
                        recorded = record_path_result(task, generation, done.is_ok());
                    }
                    outcome.add(task.description(), done);
                }
                Purpose::Leftover(path, entry) => {
                    let noted = note_removal(&mut changes, &path, &entry, done);
                    outcome.add(entry.description(), noted);
                }
                Purpose::Remove(key, path, what) => match done {
                    Ok(PathOutcome::Abandoned(reason)) => {
                        log(Level::Warning, &format!("cannot {what}: {reason}"));
                        changes.remove(&path);
                        finished.push(key);
                    }
                    Ok(PathOutcome::Remains(reason)) => {
                        let left = "the secret may still be there; remove it";
                        log(Level::Warning, &format!("cannot {what}: {reason}; {left}"));
                    }
                    Ok(_) => {
                        changes.remove(&path);
                        finished.push(key);
                    }
                    Err(failure) => outcome.failures.push((what, failure)),
                },
            }
        }
        if is_current {
            changes.write(self.settings);
        }
        recorded?;
        Ok(is_current.then_some(finished))
    }

    /// Does the jobs at custom paths. A plaintext that is needed but known only by its record is made again.
    fn run_jobs<'t, 'a>(
        &self,
        path_jobs: PathJobs<'t, 'a>,
        generation: &Generation,
        host: &Host,
        record: &DiskRecord,
    ) -> Vec<(Purpose<'t, 'a>, path::queue::JobResult)> {
        let ours = OwnDirectories::new(self.settings);
        // All removals first: the new path of an item may be another name of its old one.
        let (put, gone): (PathJobs, PathJobs) =
            path_jobs.into_iter().partition(|(purpose, _)| matches!(purpose, Purpose::Put(..)));
        let (mut purposes, jobs): (Vec<_>, Vec<_>) = gone.into_iter().unzip();
        let mut done = path::queue::run(jobs, &ours);
        let (put, mut jobs): (Vec<_>, Vec<_>) = put.into_iter().unzip();
        record.allow(&mut jobs);
        purposes.extend(put);
        done.extend(path::queue::run(jobs, &ours));
        let items: Vec<Item> = (purposes.iter().zip(&done))
            .filter_map(|(purpose, done)| match (purpose, done) {
                (Purpose::Put(task), Ok(PathOutcome::NeedsPlaintext)) => Some(task.item?.0),
                _ => None,
            })
            .collect();
        let mut made = self.remake_plaintexts(&items, host).into_iter();
        let (mut again, mut jobs) = (Vec::new(), Vec::new());
        for (at, (purpose, done)) in purposes.iter().zip(&mut done).enumerate() {
            let (Purpose::Put(task), Ok(PathOutcome::NeedsPlaintext)) = (purpose, &done) else {
                continue;
            };
            let Some(made) = task.item.and_then(|_| made.next()) else { continue };
            match made.and_then(|plaintext| self.path_job(task, generation, Some(plaintext))) {
                Ok(job) => {
                    again.extend(job.as_ref().map(|_| at));
                    jobs.extend(job);
                }
                Err(failure) => *done = Err(failure),
            }
        }
        record.allow(&mut jobs);
        for (at, outcome) in again.into_iter().zip(path::queue::run(jobs, &ours)) {
            if let Some(done) = done.get_mut(at) {
                *done = outcome;
            }
        }
        purposes.into_iter().zip(done).collect()
    }

    /// Returns what earlier profiles put at custom paths: the keys of removals that need no work, and the jobs for the others.
    fn removals<'t, 'a>(
        &self,
        generation: &Generation,
    ) -> Result<(Vec<String>, PathJobs<'t, 'a>), Failure> {
        let claimed: BTreeSet<&Path> = self.items().map(|item| &*item.placement().path).collect();
        let (mut finished, mut path_jobs) = (Vec::new(), Vec::new());
        for key in generation.entries(List::Remove)? {
            let entry = generation.entry(List::Remove, &key)?;
            let Some(record) = entry.as_ref().and_then(Record::parse) else { continue };
            // If another item has this path now, it replaces what is there.
            let job =
                Job::remove(&record, self.settings).filter(|_| !claimed.contains(&*record.path));
            let Some(job) = job else {
                finished.push(key);
                continue;
            };
            let what = format!("remove what {} \"{}\" left", record.kind.name(), record.id);
            path_jobs.push((Purpose::Remove(key, record.path, what), job));
        }
        Ok((finished, path_jobs))
    }

    /// Returns the jobs to remove what earlier boots have put where no item has a path any more, but for what is in `path_jobs`.
    fn leftovers<'t, 'a>(
        &self,
        record: &DiskRecord,
        path_jobs: &PathJobs<'t, 'a>,
    ) -> PathJobs<'t, 'a> {
        let known: BTreeSet<&Path> = path_jobs.iter().map(|(_, job)| &*job.path).collect();
        let mut leftovers = record.leftovers(self.profile);
        leftovers.retain(|(path, _)| !known.contains(&**path));
        let job = |(path, entry): (PathBuf, Entry)| {
            let job = removal(&path, &entry);
            (Purpose::Leftover(path, entry), job)
        };
        leftovers.into_iter().map(job).collect()
    }

    /// Returns the job for the path of an item, if it has a custom one. Its plaintext may have been made `again`.
    fn path_job(
        &self,
        task: &Task,
        generation: &Generation,
        again: Option<Plaintext>,
    ) -> Result<Option<Job>, Failure> {
        let Some((item, ownership)) = task.item else { return Ok(None) };
        let place = item.placement();
        if !path::is_custom(place, self.settings) {
            return Ok(None);
        }
        let Some(record) = Current::record(Some(generation), &task.key)? else { return Ok(None) };
        let known = match (&task.state, again) {
            (_, Some(again)) => Some(again),
            (State::Made(plaintext, _), None) if !place.symlink => {
                Some(Plaintext::new(plaintext.expose().to_vec()))
            }
            _ => None,
        };
        let digest = known.as_ref().map_or(record.digest, Plaintext::digest);
        // Another item may have been there before.
        let other = leftover_at(&place.path, generation)?;
        let before = other.as_ref().or(task.record.as_ref());
        Ok(Job::put(place, self.settings, ownership, digest, known, before))
    }

    /// Makes the plaintexts of items again whose files were taken over: those files may be their owners' to open. All at once,
    /// so that one that does not answer costs the others nothing.
    fn remake_plaintexts(&self, items: &[Item], host: &Host) -> Vec<Result<Plaintext, Failure>> {
        let mut needed: BTreeMap<&str, &Secret> = BTreeMap::new();
        for item in items {
            match *item {
                Item::Secret(secret) => drop(needed.insert(&secret.id, secret)),
                Item::Template(template) => {
                    let values = values(self.profile, template).into_iter();
                    needed.extend(values.map(|(_, secret)| (&*secret.id, secret)));
                }
            }
        }
        let secrets: Vec<&Secret> = needed.into_values().collect();
        let decrypted = decrypt_all(host, &secrets);
        let known = plaintexts(&secrets, &decrypted);
        let make = |item: &Item| match *item {
            Item::Template(template) => Ok(render(self.profile, template, &known)?.0),
            Item::Secret(secret) => match known.get(&*secret.id) {
                Some(plaintext) => Ok(Plaintext::new(plaintext.expose().to_vec())),
                None => Err(why_not(secret, &secrets, &decrypted)),
            },
        };
        items.iter().map(make).collect()
    }

    /// Restarts userborn if an early item is new or has changed. Its consumers are notified in the second phase, with
    /// those of the other items.
    fn notify_userborn(&self, generation: &Generation) -> Result<(), Failure> {
        if generation.has_entry(List::NotifyUnit, USERBORN)? {
            systemctl::restart_userborn(self.settings)?;
            generation.clear(List::NotifyUnit, USERBORN)?;
        }
        Ok(())
    }

    /// Stops the units of removed items, starts those of new ones, notifies the consumers of changed ones, and
    /// clears the entries.
    fn notify(
        &self,
        generation: &Generation,
        tasks: &[Task],
        gone: &[String],
    ) -> Result<(), Failure> {
        let systemctl = &self.settings.systemctl;
        let stopped: Vec<String> =
            gone.iter().filter(|key| !self.wanted.contains(*key)).cloned().collect();
        queue(systemctl, systemctl::Job::Stop, &stopped)?;
        // Units of new items, and of those that had failed; also of those that still fail, so that the failure is visible.
        if generation.has_entry(List::NotifyUnit, TARGET_UNIT)?
            || tasks.iter().any(Task::has_failed)
        {
            // The first one as well: the host may have booted without any of this.
            let targets = [TARGET_UNIT, ITEMS_UNIT].map(str::to_owned);
            queue(systemctl, systemctl::Job::Start, &targets)?;
            generation.clear(List::NotifyUnit, TARGET_UNIT)?;
        }
        let keys = generation.entries(List::NotifyConsumers)?;
        let failed: BTreeSet<&str> =
            tasks.iter().filter(|task| task.has_failed()).map(|task| task.key.as_str()).collect();
        let mut notified: Vec<Item> = Vec::new();
        for item in self.items() {
            let key = item.key();
            if keys.contains(&key)
                && !failed.contains(key.as_str())
                && !generation.has_entry(List::PutAtPath, &key)?
                && generation.stat(&item.placement().name)?.is_some()
            {
                notified.push(item);
            }
        }
        systemctl::notify_consumers(
            self.settings,
            notified.iter().map(|item| item.placement()),
            |units| nixos::restarted_later(self.settings, units),
        )?;
        let changed = notified.iter().map(|item| item.placement());
        users::notify(&self.ramfs, self.settings, changed)?;
        for item in notified {
            generation.clear(List::NotifyConsumers, &item.key())?;
        }
        for key in gone {
            generation.clear(List::Remove, key)?;
        }
        Ok(())
    }
}

/// Returns why `secret` is none of those of `secrets` that were `decrypted`.
fn why_not(secret: &Secret, secrets: &[&Secret], decrypted: &[Decrypted]) -> Failure {
    let mut pairs = secrets.iter().zip(decrypted);
    match pairs.find(|(other, _)| other.id == secret.id) {
        Some((_, Err(failure))) => failure.clone(),
        _ => Failure::new(Status::Software, "it was not decrypted"),
    }
}

/// Writes down whether an item is at its path: its consumers are notified once it is.
fn record_path_result(task: &Task, generation: &Generation, is_there: bool) -> Result<(), Failure> {
    if is_there {
        return generation.clear(List::PutAtPath, &task.key);
    }
    generation.mark(List::PutAtPath, &task.key)?;
    generation.mark(List::NotifyConsumers, &task.key)
}

/// Makes sure that no other run has placed an item while its path was updated: the older plaintext may have been put there
/// last. `None` if that does not matter.
fn ensure_unchanged(
    task: &Task,
    generation: &Generation,
    settings: &Settings,
) -> Option<Result<(), Failure>> {
    let place = task.item?.0.placement();
    let State::Made(plaintext, _) = &task.state else { return None };
    let is_same = match generation.record(&task.key) {
        Ok(record) => record.is_some_and(|record| record.digest == plaintext.digest()),
        Err(failure) => return Some(Err(failure)),
    };
    (!place.symlink && !is_same).then(|| {
        let systemctl = settings.systemctl.words();
        let reason = format!(
            "it was placed again in the meantime; to fix: {systemctl} restart '{}'",
            task.key
        );
        Err(Failure::write(&place.path, reason))
    })
}

/// Returns the record of what another item left at `path`.
fn leftover_at(path: &Path, generation: &Generation) -> Result<Option<Record>, Failure> {
    for key in generation.entries(List::Remove)? {
        let entry = generation.entry(List::Remove, &key)?;
        let record = entry.as_ref().and_then(Record::parse);
        if let Some(record) = record.filter(|record| record.path == path) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}
