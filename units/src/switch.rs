//! the current generation + a profile → the next generation, and what changed.
//!
//! One process for each of two phases: the early items before users are made, the others after. The next
//! generation is made beside the current one, which stays as it is; one rename of a link makes it current.
//! What is killed on the way leaves a generation that nothing leads to, and that the next switch removes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use vaultix_generator::profile::{Invalid, Placement, Profile, Secret, Settings, Template};
use vaultix_generator::unit::{Kind, TARGET_UNIT};

use crate::failure::Failure;
use crate::generation::{Generation, Lock, Ramfs};
use crate::host::Host;
use crate::item::{has_ownership, render, values};
use crate::owner::{Accounts, Ownership};
use crate::path;
use crate::plaintext::Plaintext;
use crate::record::{self, Record};
use crate::systemctl::{Job, queue};

/// Which items a switch brings up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Those needed before users exist.
    Early,
    /// All others. Ends the switch: removes what is no longer wanted.
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
    /// What failed, each with what it was: `secret "wifi"`.
    pub failures: Vec<(String, Failure)>,
}

/// Brings the generation to `profile`, as far as `phase` goes.
///
/// An item that fails keeps its previous file; the others are brought up to date.
///
/// # Errors
///
/// When nothing could be done at all; the current generation is as it was. What failed of single items stands in
/// the [`Outcome`].
pub fn switch(profile: &Profile, phase: Phase, jobs: Jobs) -> Result<Outcome, Failure> {
    let settings = &profile.settings;
    if phase == Phase::Early && profile.early.is_empty() {
        return Ok(Outcome::default());
    }
    let ramfs = Ramfs::open(settings, Lock::Exclusive)?;
    let current = Current::find(&ramfs, settings, phase)?;
    let mut tasks = plan_secrets(profile, phase, &current);
    decrypt(&Host::new(settings), &mut tasks);
    tasks.extend(plan_templates(profile, phase, &current, &tasks));
    let removed = match phase {
        Phase::Early => Vec::new(),
        Phase::Normal => current.removed(profile)?,
    };

    let mut outcome = Outcome { removed: removed.len(), ..Outcome::default() };
    let idle = removed.is_empty()
        && !current.pending
        && tasks.iter().all(|task| matches!(task.state, State::Keep(_) | State::Failed(_)));
    if idle {
        outcome.generation = current.old.as_ref().map(|old| old.number);
        outcome.kept = tasks.len();
        let Some(old) = &current.old else {
            outcome.fail(tasks);
            return Ok(outcome);
        };
        for task in &tasks {
            outcome.note(task.label(), put(task, old, settings));
        }
        outcome.fail(tasks);
        if phase == Phase::Normal {
            ramfs.prune(old.number, settings.keep_generations)?;
        }
        return Ok(outcome);
    }

    let next = ramfs.generation(current.next)?;
    let mut changes = Changes::default();
    let taken = names(&tasks);
    // Secrets stand first: templates find their values in place, those of failed secrets among them.
    for task in &mut tasks {
        if let Err(failure) = task.build(profile, &current, &next, &mut changes) {
            task.state = State::Failed(failure);
        }
        if matches!(task.state, State::Failed(_)) {
            task.keep(&current, &next, &taken)?;
        }
        match &task.state {
            State::Keep(_) => outcome.kept += 1,
            State::Make | State::Made { .. } => outcome.made += 1,
            State::Failed(_) => {}
        }
    }
    if phase == Phase::Normal {
        take_over_early(profile, &current, &next, &mut changes)?;
    }
    flip(profile, phase, &ramfs, next.number)?;
    outcome.generation = Some(next.number);

    for task in &tasks {
        outcome.note(task.label(), put(task, &next, settings));
    }
    if let Some(old) = &current.old {
        let moved = tasks.iter().filter_map(Task::moved);
        for record in removed.iter().chain(moved) {
            let label = label(record.kind, &record.id);
            outcome.note(label, path::take_away(record, old, settings));
        }
    }
    if phase == Phase::Normal {
        ramfs.prune(next.number, settings.keep_generations)?;
    }
    drop(ramfs);
    if jobs == Jobs::Queue {
        changes.tell(profile, phase, &removed);
    }
    outcome.fail(tasks);
    Ok(outcome)
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
    /// Notes the failure of something that was tried for the item `label`.
    fn note(&mut self, label: String, result: Result<(), Failure>) {
        self.failures.extend(result.err().map(|failure| (label, failure)));
    }

    /// Notes the failures of `tasks`.
    fn fail(&mut self, tasks: Vec<Task>) {
        for task in tasks {
            let label = task.label();
            if let State::Failed(failure) = task.state {
                self.failures.push((label, failure));
            }
        }
    }
}

/// Names an item in an error.
fn label(kind: Kind, id: &str) -> String {
    format!("{} \"{id}\"", kind.name())
}

/// Where a switch starts from.
struct Current {
    /// The generation that the items of this phase are in.
    old: Option<Generation>,
    /// The generation that early items are in, in the second phase.
    early: Option<Generation>,
    /// Number of the generation to be made.
    next: u32,
    /// Whether the first phase has begun that one already.
    pending: bool,
}

impl Current {
    /// Finds out.
    fn find(ramfs: &Ramfs, settings: &Settings, phase: Phase) -> Result<Self, Failure> {
        let early = ramfs.behind(&settings.decrypted_dir_for_user);
        let normal = ramfs.behind(&settings.decrypted_dir);
        let newest = ramfs.numbers()?.last().copied();
        let fresh = newest.map_or(1, |newest| newest.saturating_add(1));
        let open = |number: Option<u32>| number.map(|number| ramfs.generation(number)).transpose();
        Ok(match phase {
            Phase::Early => {
                Self { old: open(early.or(normal))?, early: None, next: fresh, pending: false }
            }
            Phase::Normal => {
                let pending = early.filter(|early| Some(*early) > normal);
                Self {
                    old: open(normal)?,
                    early: open(early)?,
                    next: pending.unwrap_or(fresh),
                    pending: pending.is_some(),
                }
            }
        })
    }

    /// Returns the record of an item, if its file is there, too.
    fn record(&self, key: &str) -> Option<Record> {
        let old = self.old.as_ref()?;
        let record = Record::from_bytes(&old.record(key)?)?;
        old.stat(&record.name).map(|_| record)
    }

    /// Returns the records of what is not in `profile` any more.
    fn removed(&self, profile: &Profile) -> Result<Vec<Record>, Failure> {
        let Some(old) = &self.old else { return Ok(Vec::new()) };
        let mut wanted: BTreeSet<String> =
            profile.secrets.keys().map(|id| Record::key(Kind::Secret, id)).collect();
        wanted.extend(profile.templates.keys().map(|id| Record::key(Kind::Template, id)));
        let keys = old.record_keys()?.into_iter().filter(|key| !wanted.contains(key));
        Ok(keys.filter_map(|key| Record::from_bytes(&old.record(&key)?)).collect())
    }
}

/// One item on its way into the next generation.
struct Task<'a> {
    /// Whether it is a secret or a template.
    kind: Kind,
    /// Its id.
    id: &'a str,
    /// The key of its record.
    key: String,
    /// What it is, unless the profile is wrong there.
    item: Option<Item<'a>>,
    /// What there is of it already.
    record: Option<Record>,
    /// What is to be done.
    state: State,
}

/// An item of either kind.
#[derive(Clone, Copy)]
enum Item<'a> {
    /// A secret, and who will own its file.
    Secret(&'a Secret, Ownership),
    /// A template, and who will own its file.
    Template(&'a Template, Ownership),
}

impl<'a> Item<'a> {
    /// Returns where it goes.
    fn place(self) -> (&'a Placement, Ownership) {
        match self {
            Self::Secret(secret, ownership) => (&secret.place, ownership),
            Self::Template(template, ownership) => (&template.place, ownership),
        }
    }
}

/// What is to be done about an item.
enum State {
    /// Its file is taken over; its inputs.
    Keep([u8; 32]),
    /// It is to be decrypted or rendered.
    Make,
    /// Its plaintext is there, and what it was made from.
    Made {
        /// The plaintext.
        plaintext: Plaintext,
        /// What it was made from.
        inputs: [u8; 32],
    },
    /// It failed; its previous file stays.
    Failed(Failure),
}

/// Returns whether the item `id` is brought up to date in `phase`.
fn is_due(profile: &Profile, phase: Phase, id: &str) -> bool {
    profile.early.contains(id) == (phase == Phase::Early)
}

/// Plans the secrets of `phase`.
fn plan_secrets<'a>(profile: &'a Profile, phase: Phase, current: &Current) -> Vec<Task<'a>> {
    let mut accounts = Accounts::default();
    due(profile, phase, &profile.secrets)
        .map(|(id, secret)| {
            let plan = |secret: &'a Secret| {
                let ownership = accounts.resolve(&secret.place)?;
                Ok((Item::Secret(secret, ownership), record::secret_inputs(secret)))
            };
            Task::plan(Kind::Secret, id, secret, current, plan)
        })
        .collect()
}

/// Plans the templates of `phase`, once it is known which of `secrets` change.
fn plan_templates<'a>(
    profile: &'a Profile,
    phase: Phase,
    current: &Current,
    secrets: &[Task],
) -> Vec<Task<'a>> {
    let mut accounts = Accounts::default();
    due(profile, phase, &profile.templates)
        .map(|(id, template)| {
            let plan = |template: &'a Template| {
                let ownership = accounts.resolve(&template.place)?;
                let files = values(profile, template)
                    .into_iter()
                    .map(|(hash, secret)| (hash, file_of(secret, current, secrets)));
                let inputs = record::template_inputs(template, files);
                Ok((Item::Template(template, ownership), inputs))
            };
            Task::plan(Kind::Template, id, template, current, plan)
        })
        .collect()
}

/// Returns what stat(2) says of the file that `secret` will have in the next generation; `None` where it will be
/// a new one.
fn file_of(secret: &Secret, current: &Current, secrets: &[Task]) -> Option<rustix::fs::Stat> {
    match secrets.iter().find(|task| task.id == secret.id) {
        Some(Task { state: State::Keep(_) | State::Failed(_), record, .. }) => {
            current.old.as_ref()?.stat(&record.as_ref()?.name)
        }
        Some(_) => None,
        // An early one, in the second phase.
        None => current.early.as_ref()?.stat(&secret.place.name),
    }
}

/// Returns the items of `phase`, right and wrong.
fn due<'a, T>(
    profile: &'a Profile,
    phase: Phase,
    items: &'a BTreeMap<String, Result<T, Invalid>>,
) -> impl Iterator<Item = (&'a str, &'a Result<T, Invalid>)> {
    items
        .iter()
        .filter(move |(id, _)| is_due(profile, phase, id))
        .map(|(id, item)| (id.as_str(), item))
}

impl<'a> Task<'a> {
    /// Plans one item: `plan` tells what it is and what it is made from.
    fn plan<T>(
        kind: Kind,
        id: &'a str,
        item: &'a Result<T, Invalid>,
        current: &Current,
        plan: impl FnOnce(&'a T) -> Result<(Item<'a>, [u8; 32]), Failure>,
    ) -> Self {
        let key = Record::key(kind, id);
        let record = current.record(&key);
        let planned = item.as_ref().map_err(Failure::from).and_then(plan);
        let (item, state) = match planned {
            Err(failure) => (None, State::Failed(failure)),
            Ok((item, inputs)) => (Some(item), state(item, inputs, record.as_ref(), current)),
        };
        Self { kind, id, key, item, record, state }
    }

    /// Names the item in an error.
    fn label(&self) -> String {
        label(self.kind, self.id)
    }

    /// Takes over the previous file of an item that failed, under the name it had, unless that is another item's
    /// now.
    fn keep(
        &self,
        current: &Current,
        next: &Generation,
        taken: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let Some((old, record)) = current.old.as_ref().zip(self.record.as_ref()) else {
            next.mark_failed(&self.key);
            return Ok(());
        };
        if taken.get(&record.name).is_some_and(|key| *key != self.key) {
            return Ok(());
        }
        next.link(old, &record.name, &record.name)?;
        next.link_record(old, &self.key)
    }

    /// Returns its old record when it now has another path.
    fn moved(&self) -> Option<&Record> {
        let (place, _) = self.item.filter(|_| !matches!(self.state, State::Failed(_)))?.place();
        self.record
            .as_ref()
            .filter(|record| record.path != place.path || record.symlink != place.symlink)
    }

    /// Brings the item into the generation `next`.
    fn build(
        &mut self,
        profile: &Profile,
        current: &Current,
        next: &Generation,
        changes: &mut Changes,
    ) -> Result<(), Failure> {
        let Some(item) = self.item else { return Ok(()) };
        if let (Item::Template(template, _), State::Make) = (item, &self.state) {
            let plaintext = render(profile, template, next)?;
            self.state = State::Made { plaintext, inputs: [0; 32] };
        }
        let (place, ownership) = item.place();
        let old = current.old.as_ref().zip(self.record.as_ref());
        let inputs = match &self.state {
            State::Failed(_) | State::Make => return Ok(()),
            State::Keep(inputs) => {
                if let Some((old, record)) = old {
                    next.link(old, &record.name, &place.name)?;
                }
                *inputs
            }
            State::Made { plaintext, inputs } => {
                let before = match old {
                    Some((old, record)) => {
                        old.read(&record.name)?.map(|before| (old, record, before))
                    }
                    None => None,
                };
                match before {
                    Some((old, record, before)) if before.expose() == plaintext.expose() => {
                        if has_ownership(old, &record.name, ownership) {
                            next.link(old, &record.name, &place.name)?;
                        } else {
                            next.write(&place.name, plaintext, ownership)?;
                        }
                    }
                    Some(_) => {
                        next.write(&place.name, plaintext, ownership)?;
                        changes.changed.insert((self.kind, self.id.to_owned()));
                    }
                    None => {
                        next.write(&place.name, plaintext, ownership)?;
                        let failed =
                            current.old.as_ref().is_some_and(|old| old.has_failed(&self.key));
                        if failed {
                            changes.changed.insert((self.kind, self.id.to_owned()));
                        }
                        changes.added = true;
                    }
                }
                *inputs
            }
        };
        // A template's values may be new files by now.
        let inputs = match item {
            Item::Secret(..) => inputs,
            Item::Template(template, _) => record::template_inputs(
                template,
                values(profile, template)
                    .into_iter()
                    .map(|(hash, secret)| (hash, next.stat(&secret.place.name))),
            ),
        };
        let record = Record::new(inputs, self.kind, self.id, place);
        match (&current.old, &self.record) {
            (Some(old), Some(same)) if *same == record => next.link_record(old, &self.key),
            _ => next.write_record(&self.key, &record.to_bytes()),
        }
    }
}

/// Returns what is to be done about an item that would be made from `inputs`.
fn state(item: Item, inputs: [u8; 32], record: Option<&Record>, current: &Current) -> State {
    let (place, ownership) = item.place();
    let Some((record, old)) = record.zip(current.old.as_ref()) else { return State::Make };
    if record.inputs != inputs {
        return State::Make;
    }
    if has_ownership(old, &record.name, ownership) {
        // A file that only moves is a change, too.
        if *record == Record::new(inputs, record.kind, &record.id, place) {
            return State::Keep(inputs);
        }
    }
    match old.read(&record.name) {
        Ok(Some(plaintext)) => State::Made { plaintext, inputs },
        _ => State::Make,
    }
}

/// Decrypts the secrets that are to be made, on all processors.
fn decrypt(host: &Host, tasks: &mut [Task]) {
    let todo: Vec<(usize, &Secret)> = tasks
        .iter()
        .enumerate()
        .filter_map(|(at, task)| match (&task.state, task.item) {
            (State::Make, Some(Item::Secret(secret, _))) => Some((at, secret)),
            _ => None,
        })
        .collect();
    let secrets: Vec<&Secret> = todo.iter().map(|(_, secret)| *secret).collect();
    let made = decrypt_all(host, &secrets);
    let made: Vec<(usize, State)> = todo
        .iter()
        .zip(made)
        .map(|((at, _), result)| match result {
            Ok((plaintext, inputs)) => (*at, State::Made { plaintext, inputs }),
            Err(failure) => (*at, State::Failed(failure)),
        })
        .collect();
    for (at, state) in made {
        if let Some(task) = tasks.get_mut(at) {
            task.state = state;
        }
    }
}

/// A plaintext, and what it was made from.
type Decrypted = Result<(Plaintext, [u8; 32]), Failure>;

/// Decrypts `secrets` on all processors; the results stand in the same order.
pub(crate) fn decrypt_all(host: &Host, secrets: &[&Secret]) -> Vec<Decrypted> {
    let one = |secret: &Secret| {
        let inputs = record::secret_inputs(secret);
        host.decrypt(secret).map(|plaintext| (plaintext, inputs))
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(secrets.len());
    if workers < 2 {
        return secrets.iter().map(|secret| one(secret)).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(secret) = secrets.get(at) else { return done };
            done.push((at, one(secret)));
        }
    };
    let mut done: Vec<(usize, Decrypted)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
        let own = work();
        // A worker that panics ends the process, by the hook that main sets.
        own.into_iter()
            .chain(others.into_iter().filter_map(|other| other.join().ok()).flatten())
            .collect()
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Returns the names that files of the next generation have, each with the key of its item.
fn names(tasks: &[Task]) -> BTreeMap<String, String> {
    let named = |task: &Task| Some((task.item?.place().0.name.clone(), task.key.clone()));
    tasks.iter().filter_map(named).collect()
}

/// Takes over the early items in the second phase, and notes which of them the first one has changed.
fn take_over_early(
    profile: &Profile,
    current: &Current,
    next: &Generation,
    changes: &mut Changes,
) -> Result<(), Failure> {
    let Some(early) = &current.early else { return Ok(()) };
    let secrets = profile.secrets.keys().map(|id| (Kind::Secret, id));
    let templates = profile.templates.keys().map(|id| (Kind::Template, id));
    for (kind, id) in secrets.chain(templates).filter(|(_, id)| profile.early.contains(*id)) {
        let key = Record::key(kind, id);
        let Some(record) = early.record(&key).and_then(|text| Record::from_bytes(&text)) else {
            if early.has_failed(&key) {
                next.mark_failed(&key);
            }
            continue;
        };
        if !current.pending {
            next.link(early, &record.name, &record.name)?;
            next.link_record(early, &key)?;
            continue;
        }
        let before = match current.old.as_ref().zip(current.record(&key)) {
            Some((old, before)) => old.read(&before.name)?,
            None => None,
        };
        let now = early.read(&record.name)?;
        match before.zip(now) {
            Some((before, now)) if before.expose() != now.expose() => {
                changes.changed.insert((kind, id.clone()));
            }
            Some(_) => {}
            None => changes.added = true,
        }
    }
    Ok(())
}

/// Makes the links lead to the generation `next`.
fn flip(profile: &Profile, phase: Phase, ramfs: &Ramfs, next: u32) -> Result<(), Failure> {
    let settings = &profile.settings;
    match phase {
        Phase::Early => ramfs.point(&settings.decrypted_dir_for_user, next),
        Phase::Normal => {
            ramfs.point(&settings.decrypted_dir, next)?;
            if profile.early.is_empty() {
                ramfs.remove_link(&settings.decrypted_dir_for_user)
            } else {
                ramfs.point(&settings.decrypted_dir_for_user, next)
            }
        }
    }
}

/// Puts an item where its path says.
fn put(task: &Task, generation: &Generation, settings: &Settings) -> Result<(), Failure> {
    let Some(item) = task.item.filter(|_| !matches!(task.state, State::Failed(_))) else {
        return Ok(());
    };
    let (place, ownership) = item.place();
    if !path::is_custom(place, settings) {
        return Ok(());
    }
    match generation.read(&place.name)? {
        Some(plaintext) => path::put(place, &plaintext, ownership, settings),
        None => Ok(()),
    }
}

/// What systemd has to be told.
#[derive(Default)]
struct Changes {
    /// Items whose plaintext changed, or came at last.
    changed: BTreeSet<(Kind, String)>,
    /// Whether there are early items that had no file before.
    added: bool,
}

impl Changes {
    /// Queues the jobs, each unit once.
    fn tell(&self, profile: &Profile, phase: Phase, removed: &[Record]) {
        let systemctl = &profile.settings.systemctl;
        if phase == Phase::Early {
            if self.added || !self.changed.is_empty() {
                // Reads its files again. It is ordered behind us, so that nobody waits for it here.
                queue(systemctl, Job::TryRestart, &["userborn.service".to_owned()]);
            }
            // Their consumers are told in the second phase, together with those of the other items.
            return;
        }
        let stopped: Vec<String> =
            removed.iter().map(|record| Record::key(record.kind, &record.id)).collect();
        queue(systemctl, Job::Stop, &stopped);
        // The units of items that were added, and of those that had failed: their files are there now.
        queue(systemctl, Job::Start, &[TARGET_UNIT.to_owned()]);
        let (mut restart, mut reload) = (BTreeSet::new(), BTreeSet::new());
        for (kind, id) in &self.changed {
            let place = match kind {
                Kind::Secret => {
                    profile.secrets.get(id).and_then(|item| Some(&item.as_ref().ok()?.place))
                }
                Kind::Template => {
                    profile.templates.get(id).and_then(|item| Some(&item.as_ref().ok()?.place))
                }
            };
            let Some(place) = place else { continue };
            restart.extend(place.restart_units.iter().cloned());
            reload.extend(place.reload_units.iter().cloned());
        }
        let reload: Vec<String> = reload.difference(&restart).cloned().collect();
        let restart: Vec<String> = restart.into_iter().collect();
        queue(systemctl, Job::TryRestart, &restart);
        queue(systemctl, Job::TryReload, &reload);
    }
}
