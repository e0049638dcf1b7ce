//! a generation that is whole → what leads to it, what stands elsewhere, and whoever has to know told.

use std::collections::BTreeSet;
use std::path::Path;

use vaultix_generator::unit::TARGET_UNIT;

use super::plan::{State, Task};
use super::{Current, Jobs, Outcome, Phase, Switch};
use crate::failure::Failure;
use crate::generation::{Generation, Note};
use crate::host::Host;
use crate::path;
use crate::plaintext::Plaintext;
use crate::record::Record;
use crate::render::render_afresh;
use crate::subject::Subject;
use crate::systemctl::{self, Job, USERBORN, queue};

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

    /// Does what is left once `generation` is current: links and files elsewhere, consumers, older generations.
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
        let gone = match self.phase {
            Phase::Early => Ok(Vec::new()),
            Phase::Normal => self.take_away(generation, outcome),
        };
        for task in tasks.iter().filter(|task| !task.has_failed()) {
            outcome.note(task.what(), self.put(task, generation, host));
        }
        if self.jobs == Jobs::Queue {
            // In the second phase, too: the first may have been killed.
            let told = self.tell_userborn(generation).and_then(|()| match self.phase {
                Phase::Early => Ok(()),
                Phase::Normal => gone.and_then(|gone| self.tell(generation, tasks, &gone)),
            });
            outcome.note("tell systemd", told);
        }
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
    }

    /// Takes away what earlier profiles put elsewhere; returns the keys of what is settled.
    fn take_away(
        &self,
        generation: &Generation,
        outcome: &mut Outcome,
    ) -> Result<Vec<String>, Failure> {
        let claimed: BTreeSet<&Path> = self.items().map(|item| &*item.place().path).collect();
        let mut settled = Vec::new();
        for key in generation.notes(Note::Gone)? {
            let note = generation.note(Note::Gone, &key)?;
            let Some(record) = note.as_ref().and_then(Record::from_note) else { continue };
            // What another item has at this path by now is put there next, over what is ours.
            if claimed.contains(&*record.path) {
                settled.push(key);
                continue;
            }
            match path::take_away(&record, self.settings) {
                Ok(()) => settled.push(key),
                Err(failure) => {
                    let what =
                        format!("take away what {} \"{}\" left", record.kind.name(), record.id);
                    outcome.failures.push((what, failure));
                }
            }
        }
        Ok(settled)
    }

    /// Puts an item where its path says.
    fn put(&self, task: &Task, generation: &Generation, host: &Host) -> Result<(), Failure> {
        let Some((subject, ownership)) = task.subject else { return Ok(()) };
        let place = subject.place();
        if !path::is_custom(place, self.settings) {
            return Ok(());
        }
        if Current::record(Some(generation), &task.key)?.is_none() {
            return Ok(());
        }
        let again;
        let plaintext = match &task.state {
            State::Made(plaintext, _) => plaintext,
            // A link holds none.
            _ if place.symlink => &Plaintext::new(Vec::new()),
            _ => {
                again = self.make_again(subject, host)?;
                &again
            }
        };
        // Another item may have left something of ours there.
        let other = left_at(&place.path, generation)?;
        path::put(
            place,
            plaintext,
            ownership,
            self.settings,
            other.as_ref().or(task.record.as_ref()),
        )
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
        queue(systemctl, Job::Stop, &stopped)?;
        // Units of items that were added, and of those that had failed; also of those that fail still, to be seen.
        if generation.has_note(Note::Due, TARGET_UNIT)? || tasks.iter().any(Task::has_failed) {
            queue(systemctl, Job::Start, &[TARGET_UNIT.to_owned()])?;
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
