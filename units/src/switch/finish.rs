//! a generation that is whole → what leads to it, what stands elsewhere, and whoever has to know told.

use std::collections::BTreeSet;
use std::path::Path;

use vaultix_generator::unit::TARGET_UNIT;

use super::plan::{State, Task};
use super::{Current, Jobs, Outcome, Phase, Switch};
use crate::failure::{Failure, Level, say};
use crate::generation::{Generation, Note};
use crate::host::Host;
use crate::path::{self, Job, Ours, Outcome as Done};
use crate::plaintext::Plaintext;
use crate::record::Record;
use crate::render::render_afresh;
use crate::subject::Subject;
use crate::systemctl::{self, USERBORN, queue};

/// Jobs at paths, each with what it is for.
type Errands<'t, 'a> = Vec<(Errand<'t, 'a>, Job)>;

/// What a job at a path is for.
enum Errand<'t, 'a> {
    /// An item is put there.
    Put(&'t Task<'a>),
    /// The note of this key is settled; what it is, in errors.
    TakeAway(String, String),
}

impl Switch<'_> {
    /// Makes the links lead to the generation `number`. Does nothing where they do.
    pub(super) fn flip(&self, number: u32) -> Result<(), Failure> {
        let (normal, early) = (&self.settings.decrypted_dir, &self.settings.decrypted_dir_for_user);
        match self.phase {
            Phase::Early => self.ramfs.point(early, number),
            Phase::Normal => {
                self.ramfs.point(normal, number)?;
                if self.profile.early.is_empty() {
                    self.ramfs.remove_link(early)
                } else {
                    self.ramfs.point(early, number)
                }
            }
        }
    }

    /// Does what is left once `generation` is current: older generations, links and files elsewhere, consumers.
    ///
    /// What fails here stays noted.
    pub(super) fn finish(
        &self,
        generation: &Generation,
        current: &Current,
        tasks: &[Task],
        host: &Host,
        outcome: &mut Outcome,
    ) {
        if self.phase == Phase::Normal {
            let passing = current
                .early
                .as_ref()
                .filter(|early| current.old.as_ref().is_none_or(|old| old.number < early.number));
            let keep = self.settings.keep_generations;
            let passing = passing.map(|early| early.number);
            let pruned = self.ramfs.prune(generation.number, keep, passing);
            outcome.note("remove old generations", pruned);
        }
        let settled = match self.serve_paths(generation, tasks, host, outcome) {
            // Whoever has switched meanwhile has taken over what is left to do.
            Ok(None) => return,
            Ok(Some(settled)) => Ok(settled),
            Err(failure) => Err(failure),
        };
        if self.jobs == Jobs::Queue {
            // In the second phase, too: the first may have been killed.
            let told = self.tell_userborn(generation).and_then(|()| match self.phase {
                Phase::Early => settled.map(drop),
                Phase::Normal => settled.and_then(|gone| self.tell(generation, tasks, &gone)),
            });
            outcome.note("tell systemd", told);
        }
    }

    /// Takes away what earlier profiles put elsewhere, and puts items where their paths say, all without the lock. Returns the
    /// keys of what is taken away, or is not to be tried again; `None` if another switch was faster.
    fn serve_paths(
        &self,
        generation: &Generation,
        tasks: &[Task],
        host: &Host,
        outcome: &mut Outcome,
    ) -> Result<Option<Vec<String>>, Failure> {
        let (mut settled, mut errands) = match self.phase {
            Phase::Early => (Vec::new(), Vec::new()),
            Phase::Normal => self.gone(generation)?,
        };
        for task in tasks.iter().filter(|task| !task.has_failed()) {
            match self.put(task, generation, None) {
                Ok(job) => errands.extend(job.map(|job| (Errand::Put(task), job))),
                Err(failure) => outcome.failures.push((task.what(), failure)),
            }
        }
        if errands.is_empty() {
            return Ok(Some(settled));
        }
        let done = self.ramfs.unlocked(|| self.run(errands, generation, host))?;
        let is_current = match self.phase {
            Phase::Early => self.ramfs.behind(&self.settings.decrypted_dir_for_user)?,
            Phase::Normal => self.ramfs.behind(&self.settings.decrypted_dir)?,
        } == Some(generation.number);
        for (errand, done) in done {
            match errand {
                Errand::Put(task) => {
                    let done = done.and_then(|_| {
                        ensure_unchanged(task, generation).filter(|_| is_current).unwrap_or(Ok(()))
                    });
                    if is_current {
                        note_place(task, generation, done.is_ok())?;
                    }
                    outcome.note(task.what(), done);
                }
                Errand::TakeAway(key, what) => match done {
                    Ok(Done::Done | Done::NeedsPlaintext) => settled.push(key),
                    Ok(Done::Settled(reason)) => {
                        say(Level::Warning, &format!("cannot {what}: {reason}"));
                        settled.push(key);
                    }
                    Ok(Done::Stays(reason)) => {
                        let left = "the secret may be there still; remove it there";
                        say(Level::Warning, &format!("cannot {what}: {reason}; {left}"));
                    }
                    Err(failure) => outcome.failures.push((what, failure)),
                },
            }
        }
        Ok(is_current.then_some(settled))
    }

    /// Does what is to be done at paths. What an item needs that is known by its record alone, is made again.
    fn run<'t, 'a>(
        &self,
        errands: Errands<'t, 'a>,
        generation: &Generation,
        host: &Host,
    ) -> Vec<(Errand<'t, 'a>, path::queue::Done)> {
        let ours = Ours::new(self.settings);
        // First what is to go, to its end: the path of an item may be another name of the place that it has left.
        let (gone, put): (Errands, Errands) =
            errands.into_iter().partition(|(errand, _)| matches!(errand, Errand::TakeAway(..)));
        let (mut errands, jobs): (Vec<_>, Vec<_>) = gone.into_iter().unzip();
        let mut done = path::queue::run(jobs, &ours);
        let (put, jobs): (Vec<_>, Vec<_>) = put.into_iter().unzip();
        errands.extend(put);
        done.extend(path::queue::run(jobs, &ours));
        let (mut again, mut jobs) = (Vec::new(), Vec::new());
        for (at, (errand, done)) in errands.iter().zip(&mut done).enumerate() {
            let (Errand::Put(task), Ok(Done::NeedsPlaintext)) = (errand, &done) else { continue };
            match self.put_again(task, generation, host) {
                Ok(job) => {
                    again.extend(job.as_ref().map(|_| at));
                    jobs.extend(job);
                }
                Err(failure) => *done = Err(failure),
            }
        }
        for (at, outcome) in again.into_iter().zip(path::queue::run(jobs, &ours)) {
            if let Some(done) = done.get_mut(at) {
                *done = outcome;
            }
        }
        errands.into_iter().zip(done).collect()
    }

    /// Returns what earlier profiles put elsewhere: the keys of what needs nothing to be done, and what is to be taken away.
    fn gone<'t, 'a>(
        &self,
        generation: &Generation,
    ) -> Result<(Vec<String>, Errands<'t, 'a>), Failure> {
        let claimed: BTreeSet<&Path> = self.items().map(|item| &*item.place().path).collect();
        let (mut settled, mut errands) = (Vec::new(), Vec::new());
        for key in generation.notes(Note::Gone)? {
            let note = generation.note(Note::Gone, &key)?;
            let Some(record) = note.as_ref().and_then(Record::from_note) else { continue };
            // What another item has at this path by now is put there next, over what is ours.
            let job =
                Job::take_away(&record, self.settings).filter(|_| !claimed.contains(&*record.path));
            let Some(job) = job else {
                settled.push(key);
                continue;
            };
            let what = format!("take away what {} \"{}\" left", record.kind.name(), record.id);
            errands.push((Errand::TakeAway(key, what), job));
        }
        Ok((settled, errands))
    }

    /// Returns what is to be done at the path of an item, if it has one of its own. Its plaintext may have been made `again`.
    fn put(
        &self,
        task: &Task,
        generation: &Generation,
        again: Option<Plaintext>,
    ) -> Result<Option<Job>, Failure> {
        let Some((subject, ownership)) = task.subject else { return Ok(None) };
        let place = subject.place();
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
        // Another item may have left something of ours there.
        let other = left_at(&place.path, generation)?;
        let before = other.as_ref().or(task.record.as_ref());
        Ok(Job::put(place, self.settings, ownership, digest, known, before))
    }

    /// Returns it again, with the plaintext.
    fn put_again(
        &self,
        task: &Task,
        generation: &Generation,
        host: &Host,
    ) -> Result<Option<Job>, Failure> {
        let Some((subject, _)) = task.subject else { return Ok(None) };
        self.put(task, generation, Some(self.make_again(subject, host)?))
    }

    /// Makes the plaintext of an item again whose file was taken over: that file may be its owner's to open.
    fn make_again(&self, subject: Subject, host: &Host) -> Result<Plaintext, Failure> {
        match subject {
            Subject::Secret(secret) => host.decrypt(secret),
            Subject::Template(template) => Ok(render_afresh(self.profile, template, host)?.0),
        }
    }

    /// Has users made again where an early item has come or changed. Its consumers are told in the second phase, with
    /// those of the other items.
    fn tell_userborn(&self, generation: &Generation) -> Result<(), Failure> {
        if generation.has_note(Note::Due, USERBORN)? {
            systemctl::make_users(self.settings)?;
            generation.strike_note(Note::Due, USERBORN)?;
        }
        Ok(())
    }

    /// Stops the units of what is gone, starts those of what has come, tells the consumers of what has changed, and
    /// strikes out the notes.
    fn tell(
        &self,
        generation: &Generation,
        tasks: &[Task],
        gone: &[String],
    ) -> Result<(), Failure> {
        let systemctl = &self.settings.systemctl;
        let stopped: Vec<String> =
            gone.iter().filter(|key| !self.wanted.contains(*key)).cloned().collect();
        queue(systemctl, systemctl::Job::Stop, &stopped)?;
        // Units of items that were added, and of those that had failed; also of those that fail still, to be seen.
        if generation.has_note(Note::Due, TARGET_UNIT)? || tasks.iter().any(Task::has_failed) {
            queue(systemctl, systemctl::Job::Start, &[TARGET_UNIT.to_owned()])?;
            generation.strike_note(Note::Due, TARGET_UNIT)?;
        }
        let keys = generation.notes(Note::Untold)?;
        let failed: BTreeSet<&str> =
            tasks.iter().filter(|task| task.has_failed()).map(|task| task.key.as_str()).collect();
        let mut told: Vec<Subject> = Vec::new();
        for item in self.items() {
            let key = item.key();
            if keys.contains(&key)
                && !failed.contains(key.as_str())
                && !generation.has_note(Note::Unplaced, &key)?
                && generation.stat(&item.place().name)?.is_some()
            {
                told.push(item);
            }
        }
        systemctl::tell(self.settings, told.iter().map(|item| item.place()))?;
        for item in told {
            generation.strike_note(Note::Untold, &item.key())?;
        }
        for key in gone {
            generation.strike_note(Note::Gone, key)?;
        }
        Ok(())
    }
}

/// Notes whether an item is where its path says: those who read it there are told once it is.
fn note_place(task: &Task, generation: &Generation, is_there: bool) -> Result<(), Failure> {
    if is_there {
        return generation.strike_note(Note::Unplaced, &task.key);
    }
    generation.mark(Note::Unplaced, &task.key)?;
    generation.mark(Note::Untold, &task.key)
}

/// Makes sure that nobody has placed an item again while its path was served: the older plaintext may have come there
/// last. `None` where that does not matter.
fn ensure_unchanged(task: &Task, generation: &Generation) -> Option<Result<(), Failure>> {
    let place = task.subject?.0.place();
    let State::Made(plaintext, _) = &task.state else { return None };
    let is_same = match generation.record(&task.key) {
        Ok(record) => record.is_some_and(|record| record.digest == plaintext.digest()),
        Err(failure) => return Some(Err(failure)),
    };
    (!place.symlink && !is_same).then(|| {
        let reason =
            format!("it was placed again meanwhile; to fix: systemctl restart '{}'", task.key);
        Err(Failure::write(&place.path, reason))
    })
}

/// Returns the record of what another item left at `path`.
fn left_at(path: &Path, generation: &Generation) -> Result<Option<Record>, Failure> {
    for key in generation.notes(Note::Gone)? {
        let note = generation.note(Note::Gone, &key)?;
        let record = note.as_ref().and_then(Record::from_note);
        if let Some(record) = record.filter(|record| record.path == path) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}
