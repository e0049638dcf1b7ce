//! the current generation + a profile → the next generation, and whoever has to know told.
//!
//! One process for each of two phases: the early items before users are made, the others after. Each makes a fresh
//! generation beside the current one, which stays as it is; the rename of a link makes it current. What is left to do
//! after that is noted in the new generation before, so that the next switch does what a killed one could not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use vaultix_generator::profile::{Invalid, Profile, Secret, Settings};
use vaultix_generator::unit::{Kind, TARGET_UNIT};

use crate::failure::Failure;
use crate::generation::{Generation, Note, Ramfs};
use crate::host::{Host, decrypt_all};
use crate::item::{has_ownership, wait_for_keys};
use crate::owner::{Accounts, Ownership};
use crate::path::{self, Before};
use crate::plaintext::Plaintext;
use crate::record::{self, Record};
use crate::render::{files, render, values};
use crate::subject::{Subject, task};
use crate::systemctl::{self, Job, USERBORN, queue};

/// Which items a switch brings up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Those needed before users exist.
    Early,
    /// All others. Ends the switch: takes away what is no longer wanted, and tells everyone.
    Normal,
}

/// Whether systemd is told what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jobs {
    /// Queue them.
    Queue,
    /// There is no systemd to tell.
    Skip,
}

/// What a switch did.
#[derive(Default)]
pub struct Outcome {
    /// The generation that is current now, if there is one.
    pub generation: Option<u32>,
    /// How many plaintexts were made.
    pub made: usize,
    /// How many were taken over.
    pub kept: usize,
    /// How many were removed.
    pub removed: usize,
    /// What failed: what was tried (`decrypt secret "wifi"`), and why it did not work.
    pub failures: Vec<(String, Failure)>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = self.generation {
            write!(f, "generation {number}: ")?;
        }
        write!(f, "{} made, {} kept, {} removed", self.made, self.kept, self.removed)?;
        if self.failures.is_empty() {
            Ok(())
        } else {
            write!(f, ", {} failed", self.failures.len())
        }
    }
}

impl Outcome {
    /// Counts what was made and taken over.
    fn count(&mut self, tasks: &[Task]) {
        for task in tasks {
            match task.state {
                State::Keep => self.kept += 1,
                State::Make | State::Made(..) => self.made += 1,
                State::Failed(_) => {}
            }
        }
    }

    /// Notes a failure of `what`.
    fn note(&mut self, what: impl Into<String>, result: Result<(), Failure>) {
        self.failures.extend(result.err().map(|failure| (what.into(), failure)));
    }
}

/// Brings the generation to `profile`, as far as `phase` goes.
///
/// An item that fails keeps its previous file; the others are brought up to date.
///
/// # Errors
///
/// When there is no next generation: the current one is as it was. Whatever else failed stands in the [`Outcome`].
pub fn switch(profile: &Profile, phase: Phase, jobs: Jobs) -> Result<Outcome, Failure> {
    if phase == Phase::Early && profile.early.is_empty() {
        return Ok(Outcome::default());
    }
    let ramfs = Ramfs::open(&profile.settings)?;
    let secrets = profile.secrets.keys().map(|id| Kind::Secret.unit(id));
    let templates = profile.templates.keys().map(|id| Kind::Template.unit(id));
    let wanted = secrets.chain(templates).collect();
    let switch = Switch { profile, settings: &profile.settings, phase, jobs, ramfs, wanted };
    let current = switch.current()?;
    let host = Host::new(&profile.settings);
    let mut tasks = switch.plan_secrets(&current)?;
    decrypt(&host, &mut tasks);
    tasks.extend(switch.plan_templates(&current, &tasks)?);
    let removed = switch.removed(&current)?;

    let mut outcome = Outcome { removed: removed.len(), ..Outcome::default() };
    let next = match current.old {
        Some(ref old) if removed.is_empty() && switch.is_idle(old, &tasks)? => None,
        _ => Some(switch.build(&current, &mut tasks, &removed)?),
    };
    outcome.count(&tasks);
    let generation = next.as_ref().or(current.old.as_ref());
    if let Some(generation) = generation {
        switch.flip(generation.number)?;
        outcome.generation = Some(generation.number);
        switch.finish(generation, &current, &tasks, &mut outcome);
    }
    drop(switch);
    if jobs == Jobs::Queue {
        wait_for_keys(&host, &profile.settings);
    }
    for task in tasks {
        let what = task.what();
        if let State::Failed(failure) = task.state {
            outcome.failures.push((what, failure));
        }
    }
    Ok(outcome)
}

/// One run of a phase.
struct Switch<'a> {
    /// What is wanted.
    profile: &'a Profile,
    /// Its settings.
    settings: &'a Settings,
    /// Whose turn it is.
    phase: Phase,
    /// Whether systemd is told.
    jobs: Jobs,
    /// Where the generations are; nobody else works on them.
    ramfs: Ramfs,
    /// Keys of all items of the profile, right and wrong.
    wanted: BTreeSet<String>,
}

/// Where a switch starts from.
struct Current {
    /// The generation that the items of this phase are in.
    old: Option<Generation>,
    /// The generation that early items are in, in the second phase.
    early: Option<Generation>,
    /// Number of the generation to be made.
    next: u32,
}

impl Current {
    /// Returns the record of an item in `generation`, if its file is there, too.
    fn record(generation: Option<&Generation>, key: &str) -> Result<Option<Record>, Failure> {
        let Some(generation) = generation else { return Ok(None) };
        let note = generation.note(Note::Placed, key)?;
        let Some(record) = note.as_ref().and_then(Record::from_note) else { return Ok(None) };
        Ok(generation.stat(&record.name)?.map(|_| record))
    }
}

/// One item on its way into the next generation.
struct Task<'a> {
    /// Whether it is a secret or a template.
    kind: Kind,
    /// Its id.
    id: &'a str,
    /// The key of its notes.
    key: String,
    /// What it is and who will own its file, unless the profile is wrong there.
    subject: Option<(Subject<'a>, Ownership)>,
    /// What there is of it already.
    record: Option<Record>,
    /// What is to be done.
    state: State,
}

/// What is to be done about an item.
enum State {
    /// Its file is taken over.
    Keep,
    /// It is to be decrypted or rendered.
    Make,
    /// Its plaintext is there, and for a secret what it was made from.
    Made(Plaintext, [u8; 32]),
    /// It failed; its previous file stays.
    Failed(Failure),
}

impl Task<'_> {
    /// Names what is done to it in an error.
    fn what(&self) -> String {
        task(self.kind, self.id)
    }

    /// Returns whether it failed.
    fn has_failed(&self) -> bool {
        matches!(self.state, State::Failed(_))
    }
}

impl<'a> Switch<'a> {
    /// Finds out where the switch starts from.
    fn current(&self) -> Result<Current, Failure> {
        let newest = self.ramfs.numbers()?.last().copied();
        let early = self.ramfs.behind(&self.settings.decrypted_dir_for_user)?;
        let normal = self.ramfs.behind(&self.settings.decrypted_dir)?;
        // Where nothing has arrived there is no link, but there may be notes of what failed.
        let none = if early.is_none() { newest } else { None };
        let old = match self.phase {
            Phase::Early => early.or(normal).or(newest),
            Phase::Normal => normal.or(none),
        };
        let open =
            |number: Option<u32>| number.map(|number| self.ramfs.generation(number)).transpose();
        Ok(Current {
            old: open(old)?,
            early: open(early.or(old).filter(|_| self.phase == Phase::Normal))?,
            next: newest.map_or(1, |newest| newest.saturating_add(1)),
        })
    }

    /// Returns the items of this phase, right and wrong.
    fn due<T>(
        &self,
        items: &'a BTreeMap<String, Result<T, Invalid>>,
    ) -> impl Iterator<Item = (&'a str, &'a Result<T, Invalid>)> {
        items
            .iter()
            .filter(|(id, _)| self.profile.early.contains(*id) == (self.phase == Phase::Early))
            .map(|(id, item)| (id.as_str(), item))
    }

    /// Plans the secrets.
    fn plan_secrets(&self, current: &Current) -> Result<Vec<Task<'a>>, Failure> {
        let mut accounts = Accounts::default();
        self.due(&self.profile.secrets)
            .map(|(id, secret)| {
                let subject = secret.as_ref().map(Subject::Secret);
                let inputs = secret.as_ref().map_or([0; 32], record::secret_inputs);
                self.plan((Kind::Secret, id), subject, inputs, current, &mut accounts)
            })
            .collect()
    }

    /// Plans the templates, once it is known which of `secrets` change.
    fn plan_templates(
        &self,
        current: &Current,
        secrets: &[Task],
    ) -> Result<Vec<Task<'a>>, Failure> {
        let mut accounts = Accounts::default();
        self.due(&self.profile.templates)
            .map(|(id, template)| {
                let subject = template.as_ref().map(Subject::Template);
                let inputs = match template {
                    Ok(template) => {
                        let files: Result<Vec<_>, Failure> = values(self.profile, template)
                            .into_iter()
                            .map(|(hash, secret)| Ok((hash, file_of(secret, current, secrets)?)))
                            .collect();
                        record::template_inputs(template, files?)
                    }
                    Err(_) => [0; 32],
                };
                self.plan((Kind::Template, id), subject, inputs, current, &mut accounts)
            })
            .collect()
    }

    /// Plans one item, which would be made from `inputs`.
    fn plan(
        &self,
        (kind, id): (Kind, &'a str),
        subject: Result<Subject<'a>, &Invalid>,
        inputs: [u8; 32],
        current: &Current,
        accounts: &mut Accounts,
    ) -> Result<Task<'a>, Failure> {
        let key = kind.unit(id);
        let record = Current::record(current.old.as_ref(), &key)?;
        let resolved = subject.map_err(Failure::from).and_then(|subject| {
            let ownership = accounts.resolve(subject.place())?;
            Ok((subject, ownership))
        });
        let (subject, state) = match resolved {
            Err(failure) => (None, State::Failed(failure)),
            Ok((subject, ownership)) => {
                let wanted = Record::new(inputs, kind, id, subject.place(), self.settings);
                let state = state(&wanted, ownership, record.as_ref(), current)?;
                (Some((subject, ownership)), state)
            }
        };
        Ok(Task { kind, id, key, subject, record, state })
    }

    /// Returns the records of what is in no profile any more, at the end of the switch.
    fn removed(&self, current: &Current) -> Result<Vec<Record>, Failure> {
        let Some(old) = current.old.as_ref().filter(|_| self.phase == Phase::Normal) else {
            return Ok(Vec::new());
        };
        let mut removed = Vec::new();
        for key in old.notes(Note::Placed)? {
            if !self.wanted.contains(&key) {
                let note = old.note(Note::Placed, &key)?;
                removed.extend(note.as_ref().and_then(Record::from_note));
            }
        }
        Ok(removed)
    }

    /// Returns whether `old` is all that is wanted, as far as that can be had.
    fn is_idle(&self, old: &Generation, tasks: &[Task]) -> Result<bool, Failure> {
        let links: &[&Path] = match self.phase {
            Phase::Early => &[&self.settings.decrypted_dir_for_user],
            Phase::Normal if self.profile.early.is_empty() => &[&self.settings.decrypted_dir],
            Phase::Normal => &[&self.settings.decrypted_dir, &self.settings.decrypted_dir_for_user],
        };
        for link in links {
            if self.ramfs.behind(link)?.is_some_and(|number| number != old.number) {
                return Ok(false);
            }
        }
        for task in tasks {
            let idle = match task.state {
                State::Keep => true,
                // One without a file is noted, so that it is told when it comes.
                State::Failed(_) => {
                    task.record.is_some() || old.has_note(Note::Untold, &task.key)?
                }
                State::Make | State::Made(..) => false,
            };
            if !idle {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes the next generation.
    fn build(
        &self,
        current: &Current,
        tasks: &mut [Task],
        removed: &[Record],
    ) -> Result<Generation, Failure> {
        let next = self.ramfs.generation(current.next)?;
        let taken = self.names();
        if self.phase == Phase::Normal {
            self.take_over_early(current, &next, &taken)?;
        }
        if let Some(old) = &current.old {
            for record in removed {
                note_gone(record, old, &next)?;
            }
            take_over_gone(old, &next)?;
        }
        self.note_due(current, &next)?;
        // Secrets stand first: templates find their values in place, those of failed secrets among them.
        for task in tasks {
            if let Err(failure) = self.build_one(task, current, &next) {
                task.state = State::Failed(failure);
            }
            if task.has_failed() {
                keep(&task.key, task.record.as_ref(), current.old.as_ref(), &next, &taken)?;
            }
        }
        Ok(next)
    }

    /// Notes which units have to be told themselves: those that earlier runs could not tell, and at the end of a switch
    /// the target, which starts the units of what has come.
    fn note_due(&self, current: &Current, next: &Generation) -> Result<(), Failure> {
        let before = match self.phase {
            Phase::Early => &current.old,
            // The first phase has taken over what there was, and struck out what it did.
            Phase::Normal => &current.early,
        };
        if let Some(before) = before {
            for key in before.notes(Note::Due)? {
                next.mark(Note::Due, &key)?;
            }
        }
        match self.phase {
            Phase::Early => Ok(()),
            Phase::Normal => next.mark(Note::Due, TARGET_UNIT),
        }
    }

    /// Returns the names of all files that the profile wants, each with the key of its item.
    fn names(&self) -> BTreeMap<String, String> {
        self.items().map(|item| (item.place().name.clone(), item.key())).collect()
    }

    /// Returns the items of the profile that are right, of both phases.
    fn items(&self) -> impl Iterator<Item = Subject<'a>> {
        let secrets = self.profile.secrets.values().flatten().map(Subject::Secret);
        let templates = self.profile.templates.values().flatten().map(Subject::Template);
        secrets.chain(templates)
    }

    /// Takes over the early items, as the first phase left them.
    fn take_over_early(
        &self,
        current: &Current,
        next: &Generation,
        taken: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let secrets = self.profile.secrets.keys().map(|id| (Kind::Secret, id));
        let templates = self.profile.templates.keys().map(|id| (Kind::Template, id));
        for (kind, id) in
            secrets.chain(templates).filter(|(_, id)| self.profile.early.contains(*id))
        {
            let key = kind.unit(id);
            // One that has become early and failed is where it was before.
            let mut from = current.early.as_ref();
            let mut record = Current::record(from, &key)?;
            if record.is_none() {
                record = Current::record(current.old.as_ref(), &key)?;
                from = if record.is_some() { current.old.as_ref() } else { from };
            }
            keep(&key, record.as_ref(), from, next, taken)?;
        }
        Ok(())
    }

    /// Brings one item into the generation `next`, and notes what has to be done about it.
    fn build_one(
        &self,
        task: &mut Task,
        current: &Current,
        next: &Generation,
    ) -> Result<(), Failure> {
        let Some((subject, ownership)) = task.subject else { return Ok(()) };
        if let (Subject::Template(template), State::Make) = (subject, &task.state) {
            task.state = State::Made(render(self.profile, template, next)?, [0; 32]);
        }
        let place = subject.place();
        let old = current.old.as_ref();
        let before = old.zip(task.record.as_ref());
        let mut untold = match old {
            Some(old) => old.has_note(Note::Untold, &task.key)?,
            None => false,
        };
        let mut changed = untold;
        match (&task.state, before) {
            (State::Failed(_) | State::Make, _) | (State::Keep, None) => return Ok(()),
            (State::Keep, Some((old, record))) => next.link(old, &record.name, &place.name)?,
            (State::Made(plaintext, _), Some((old, record))) => {
                let same = old
                    .read(&record.name)?
                    .is_some_and(|before| before.expose() == plaintext.expose());
                if same && has_ownership(old, &record.name, ownership)? {
                    next.link(old, &record.name, &place.name)?;
                } else {
                    next.write(&place.name, plaintext, ownership)?;
                    untold |= !same;
                }
                changed = untold;
                if record.path != place.path || record.symlink != place.symlink {
                    note_gone(record, old, next)?;
                }
            }
            (State::Made(plaintext, _), None) => {
                next.write(&place.name, plaintext, ownership)?;
                changed = true;
            }
        }
        if changed && place.early {
            next.mark(Note::Due, USERBORN)?;
        }
        if untold {
            next.mark(Note::Untold, &task.key)?;
        }
        let inputs = match (subject, &task.state, &task.record) {
            // Its values may be new files by now.
            (Subject::Template(template), ..) => {
                record::template_inputs(template, files(self.profile, template, next)?)
            }
            (_, State::Made(_, inputs), _) => *inputs,
            (_, _, record) => record.as_ref().map_or([0; 32], |record| record.inputs),
        };
        let record = Record::new(inputs, task.kind, task.id, place, self.settings);
        match before {
            Some((old, same)) if *same == record => next.link_note(old, Note::Placed, &task.key),
            _ => next.write_note(Note::Placed, &task.key, &record.to_note()),
        }
    }

    /// Makes the links lead to the generation `number`. Does nothing where they do.
    fn flip(&self, number: u32) -> Result<(), Failure> {
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
    fn finish(
        &self,
        generation: &Generation,
        current: &Current,
        tasks: &[Task],
        outcome: &mut Outcome,
    ) {
        let gone = match self.phase {
            Phase::Early => Ok(Vec::new()),
            Phase::Normal => self.take_away(generation, outcome),
        };
        for task in tasks.iter().filter(|task| !task.has_failed()) {
            outcome.note(task.what(), self.put(task, generation, current));
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
            let lost = generation.note(Note::Lost, &key)?;
            let gone = Before { record: &record, plaintext: lost.as_ref() };
            match path::take_away(gone, self.settings) {
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
    fn put(&self, task: &Task, generation: &Generation, current: &Current) -> Result<(), Failure> {
        let Some((subject, ownership)) = task.subject else { return Ok(()) };
        let place = subject.place();
        if !path::is_custom(place, self.settings) {
            return Ok(());
        }
        let Some(plaintext) = generation.read(&place.name)? else { return Ok(()) };
        let lost = task
            .record
            .as_ref()
            .zip(current.old.as_ref())
            .map(|(record, old)| old.read(&record.name).map(|lost| (record, lost)))
            .transpose()?;
        let before = lost
            .as_ref()
            .map(|(record, plaintext)| Before { record, plaintext: plaintext.as_ref() });
        // Another item may have left something of ours there.
        let others = left_at(&place.path, generation)?;
        let other =
            others.as_ref().map(|(record, lost)| Before { record, plaintext: lost.as_ref() });
        let before = other.or(before);
        path::put(place, &plaintext, ownership, self.settings, before)
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
            generation.strike_note(Note::Lost, key)?;
            generation.strike_note(Note::Gone, key)?;
        }
        Ok(())
    }
}

/// Returns what is to be done about an item for which `wanted` would be recorded.
fn state(
    wanted: &Record,
    ownership: Ownership,
    record: Option<&Record>,
    current: &Current,
) -> Result<State, Failure> {
    let Some((record, old)) = record.zip(current.old.as_ref()) else { return Ok(State::Make) };
    if record.inputs != wanted.inputs {
        return Ok(State::Make);
    }
    if record == wanted && has_ownership(old, &record.name, ownership)? {
        return Ok(State::Keep);
    }
    // Only its name, path or owner changed.
    Ok(match old.read(&record.name)? {
        Some(plaintext) => State::Made(plaintext, wanted.inputs),
        None => State::Make,
    })
}

/// Returns what stat(2) says of the file that `secret` will have in the next generation; `None` where it will be a
/// new one.
fn file_of(
    secret: &Secret,
    current: &Current,
    secrets: &[Task],
) -> Result<Option<rustix::fs::Stat>, Failure> {
    let (generation, name) = match secrets.iter().find(|task| task.id == secret.id) {
        Some(Task { state: State::Keep | State::Failed(_), record, .. }) => {
            (current.old.as_ref(), record.as_ref().map(|record| &record.name))
        }
        Some(_) => return Ok(None),
        // An early one, in the second phase.
        None => (current.early.as_ref(), Some(&secret.place.name)),
    };
    generation.zip(name).map_or(Ok(None), |(generation, name)| generation.stat(name))
}

/// Decrypts the secrets that are to be made, on all processors.
fn decrypt(host: &Host, tasks: &mut [Task]) {
    let todo: Vec<(usize, &Secret)> = tasks
        .iter()
        .enumerate()
        .filter_map(|(at, task)| match (&task.state, task.subject) {
            (State::Make, Some((Subject::Secret(secret), _))) => Some((at, secret)),
            _ => None,
        })
        .collect();
    let secrets: Vec<&Secret> = todo.iter().map(|(_, secret)| *secret).collect();
    let results: Vec<_> =
        todo.into_iter().map(|(at, _)| at).zip(decrypt_all(host, &secrets)).collect();
    for (at, result) in results {
        let state = match result {
            Ok((plaintext, inputs)) => State::Made(plaintext, inputs),
            Err(failure) => State::Failed(failure),
        };
        if let Some(task) = tasks.get_mut(at) {
            task.state = state;
        }
    }
}

/// Takes over the previous file of an item as it is, with its notes, unless its name is another item's by now. Where
/// there is none, that is noted.
fn keep(
    key: &str,
    record: Option<&Record>,
    from: Option<&Generation>,
    next: &Generation,
    taken: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    let untold = match from {
        Some(from) => from.has_note(Note::Untold, key)?,
        None => false,
    };
    if untold || record.is_none() {
        next.mark(Note::Untold, key)?;
    }
    let Some((from, record)) = from.zip(record) else { return Ok(()) };
    let clashes = |name: &str| {
        let inside = |one: &str, other: &str| {
            one.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        inside(name, &record.name) || inside(&record.name, name)
    };
    if taken.iter().any(|(name, owner)| owner != key && clashes(name)) {
        return Ok(());
    }
    next.link(from, &record.name, &record.name)?;
    next.write_note(Note::Placed, key, &record.to_note())
}

/// Notes in `next` what `record` says was put elsewhere, with the plaintext where that was put there.
fn note_gone(record: &Record, old: &Generation, next: &Generation) -> Result<(), Failure> {
    let key = record.kind.unit(&record.id);
    if !record.symlink
        && let Some(plaintext) = old.read(&record.name)?
    {
        next.write_note(Note::Lost, &key, &plaintext)?;
    }
    next.write_note(Note::Gone, &key, &record.to_note())
}

/// Takes over what an earlier switch could not take away.
fn take_over_gone(old: &Generation, next: &Generation) -> Result<(), Failure> {
    for key in old.notes(Note::Gone)? {
        for kind in [Note::Lost, Note::Gone] {
            if let Some(text) = old.note(kind, &key)? {
                next.write_note(kind, &key, &text)?;
            }
        }
    }
    Ok(())
}

/// What another item left at a path: its record, and the plaintext where that was put there.
type Left = (Record, Option<Plaintext>);

/// Returns what another item left at `path`.
fn left_at(path: &Path, generation: &Generation) -> Result<Option<Left>, Failure> {
    for key in generation.notes(Note::Gone)? {
        let note = generation.note(Note::Gone, &key)?;
        let record = note.as_ref().and_then(Record::from_note);
        if let Some(record) = record.filter(|record| record.path == path) {
            return Ok(Some((record, generation.note(Note::Lost, &key)?)));
        }
    }
    Ok(None)
}
