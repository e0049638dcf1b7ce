//! a profile + the current generation → what has to be done for each item. Writes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use vaultix_generator::profile::{Invalid, Profile, Secret, Template};
use vaultix_generator::unit::Kind;

use super::{Current, Phase, Planner, Switch, wanted};
use crate::failure::Failure;
use crate::generation::{Generation, List};
use crate::host::{Host, decrypt_all, inputs_of_secrets, plaintexts};
use crate::item::{Item, describe_task};
use crate::owner::{Accounts, Ownership};
use crate::place::has_ownership;
use crate::plaintext::Plaintext;
use crate::record::{self, Record};
use crate::render::{render, values};

/// One item on its way into the next generation.
pub(super) struct Task<'a> {
    /// Whether it is a secret or a template.
    pub(super) kind: Kind,
    /// Its id.
    pub(super) id: &'a str,
    /// Its key in the journal.
    pub(super) key: String,
    /// The item and the owner of its file, unless it is invalid.
    pub(super) item: Option<(Item<'a>, Ownership)>,
    /// The record of its current file.
    pub(super) record: Option<Record>,
    /// What is to be done.
    pub(super) state: State,
    /// Whether its file, if it is kept, gets another name or path.
    moves: bool,
}

/// What has to be done for an item.
pub(super) enum State {
    /// Its file is taken over.
    Keep,
    /// It has to be decrypted or rendered.
    Make,
    /// Its plaintext, and the hash of its inputs.
    Made(Plaintext, [u8; 32]),
    /// It failed; its previous file stays.
    Failed(Failure),
}

impl<'a> Task<'a> {
    /// Returns it, if it is a template that has to be rendered.
    fn template_to_make(&self) -> Option<&'a Template> {
        match (&self.state, self.item) {
            (State::Make, Some((Item::Template(template), _))) => Some(template),
            _ => None,
        }
    }

    /// Names what is done to it in an error.
    pub(super) fn description(&self) -> String {
        describe_task(self.kind, self.id)
    }

    /// Returns whether it failed.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.state, State::Failed(_))
    }
}

impl<'a> Planner<'a> {
    /// Plans the secrets.
    pub(super) fn plan_secrets(
        &self,
        current: &Current,
        mut inputs: BTreeMap<&str, Result<[u8; 32], Failure>>,
    ) -> Result<Vec<Task<'a>>, Failure> {
        let mut accounts = Accounts::default();
        items_of_phase(self.profile, self.phase, &self.profile.secrets)
            .map(|(id, secret)| {
                let item = secret.as_ref().map(Item::Secret).map_err(Failure::from);
                let (item, inputs) = match inputs.remove(id) {
                    Some(Err(failure)) => (Err(failure), [0; 32]),
                    Some(Ok(inputs)) => (item, inputs),
                    None => (item, [0; 32]),
                };
                self.plan((Kind::Secret, id), item, inputs, current, &mut accounts)
            })
            .collect()
    }

    /// Plans the templates, once it is known which `secrets` change.
    pub(super) fn plan_templates(
        &self,
        current: &Current,
        secrets: &[Task],
    ) -> Result<Vec<Task<'a>>, Failure> {
        let mut accounts = Accounts::default();
        items_of_phase(self.profile, self.phase, &self.profile.templates)
            .map(|(id, template)| {
                let item = template.as_ref().map(Item::Template).map_err(Failure::from);
                let inputs = match template {
                    Ok(template) => {
                        let digests: Result<Vec<_>, Failure> = values(self.profile, template)
                            .into_iter()
                            .map(|(hash, secret)| Ok((hash, digest_of(secret, current, secrets)?)))
                            .collect();
                        record::template_inputs(template, digests?)
                    }
                    Err(_) => [0; 32],
                };
                self.plan((Kind::Template, id), item, inputs, current, &mut accounts)
            })
            .collect()
    }

    /// Plans one item, which would be made from `inputs`.
    fn plan(
        &self,
        (kind, id): (Kind, &'a str),
        item: Result<Item<'a>, Failure>,
        inputs: [u8; 32],
        current: &Current,
        accounts: &mut Accounts,
    ) -> Result<Task<'a>, Failure> {
        let key = kind.unit(id);
        let record = Current::record(current.old.as_ref(), &key)?;
        let resolved = item.and_then(|item| {
            let ownership = accounts.resolve(item.placement())?;
            Ok((item, ownership))
        });
        let mut moves = false;
        let (item, state) = match resolved {
            Err(failure) => (None, State::Failed(failure)),
            Ok((item, ownership)) => {
                // If the inputs are the same, so is the plaintext.
                let digest = record.as_ref().map_or([0; 32], |record| record.digest);
                let wanted = Record::new(inputs, digest, kind, id, item.placement(), self.settings);
                let state = state(&wanted, ownership, record.as_ref(), current)?;
                moves = record.as_ref() != Some(&wanted);
                (Some((item, ownership)), state)
            }
        };
        Ok(Task { kind, id, key, item, record, state, moves })
    }

    /// Renders the `templates` that have to be made. Secrets that are kept are decrypted again; `secrets` that
    /// failed are missing.
    pub(super) fn render(&self, host: &Host, secrets: &[Task], templates: &mut [Task]) {
        let mut again: BTreeMap<&str, &Secret> = BTreeMap::new();
        for template in templates.iter().filter_map(Task::template_to_make) {
            again.extend(values(self.profile, template).into_iter().map(|(_, it)| (&*it.id, it)));
        }
        again.retain(|id, _| {
            let task = secrets.iter().find(|task| task.id == *id);
            task.is_none_or(|task| matches!(task.state, State::Keep))
        });
        let again: Vec<&Secret> = again.into_values().collect();
        let decrypted = decrypt_all(host, &again);
        let mut known = plaintexts(&again, &decrypted);
        known.extend(secrets.iter().filter_map(|task| match &task.state {
            State::Made(plaintext, _) => Some((task.id, plaintext)),
            _ => None,
        }));
        for task in templates {
            let Some(template) = task.template_to_make() else { continue };
            task.state = match render(self.profile, template, &known) {
                Ok((plaintext, inputs)) => State::Made(plaintext, inputs),
                Err(failure) => State::Failed(failure),
            };
        }
    }

    /// Returns the records of items that are no longer in the profile, in the second phase.
    pub(super) fn removed_items(&self, current: &Current) -> Result<Vec<Record>, Failure> {
        let Some(old) = current.old.as_ref().filter(|_| self.phase == Phase::Normal) else {
            return Ok(Vec::new());
        };
        let (mut removed, wanted) = (Vec::new(), wanted(self.profile));
        for key in old.entries(List::Placed)? {
            if !wanted.contains(&key) {
                removed.extend(old.record(&key)?);
            }
        }
        Ok(removed)
    }
}

impl Switch<'_> {
    /// Returns whether `old` already is what is wanted, apart from items that fail.
    pub(super) fn is_up_to_date(&self, old: &Generation, tasks: &[Task]) -> Result<bool, Failure> {
        let links: &[&Path] = match self.phase {
            Phase::Early => &[&self.settings.decrypted_dir_for_user],
            Phase::Normal if self.profile.early.is_empty() => &[&self.settings.decrypted_dir],
            Phase::Normal => &[&self.settings.decrypted_dir, &self.settings.decrypted_dir_for_user],
        };
        for link in links {
            if self.ramfs.linked_generation(link)?.is_some_and(|number| number != old.number) {
                return Ok(false);
            }
        }
        for task in tasks {
            let idle = match task.state {
                State::Keep => !task.moves,
                // One without a file is in the journal, so that consumers are notified once it is placed.
                State::Failed(_) => {
                    task.record.is_some() || old.has_entry(List::NotifyConsumers, &task.key)?
                }
                State::Make | State::Made(..) => false,
            };
            if !idle {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Returns the items of a phase, valid and invalid.
fn items_of_phase<'a, T>(
    profile: &'a Profile,
    phase: Phase,
    items: &'a BTreeMap<String, Result<T, Invalid>>,
) -> impl Iterator<Item = (&'a str, &'a Result<T, Invalid>)> {
    items
        .iter()
        .filter(move |(id, _)| profile.early.contains(*id) == (phase == Phase::Early))
        .map(|(id, item)| (id.as_str(), item))
}

/// Returns the inputs of the valid secrets of a phase, by id.
pub(super) fn inputs<'a>(
    profile: &'a Profile,
    phase: Phase,
    host: &Host,
) -> BTreeMap<&'a str, Result<[u8; 32], Failure>> {
    let (ids, secrets): (Vec<&str>, Vec<&Secret>) =
        items_of_phase(profile, phase, &profile.secrets)
            .filter_map(|(id, secret)| Some((id, secret.as_ref().ok()?)))
            .unzip();
    ids.into_iter().zip(inputs_of_secrets(host, &secrets)).collect()
}

/// Returns what has to be done for an item that would have the record `wanted`.
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
    // With another name or path, it is still the same file.
    let same = has_ownership(old, &record.name, ownership)?;
    Ok(if same { State::Keep } else { State::Make })
}

/// Returns the digest of the plaintext that `secret` will have in the next generation; `None` if it will have none.
fn digest_of(
    secret: &Secret,
    current: &Current,
    secrets: &[Task],
) -> Result<Option<[u8; 32]>, Failure> {
    let digest = |record: &Record| record.digest;
    match secrets.iter().find(|task| task.id == secret.id) {
        Some(Task { state: State::Made(plaintext, _), .. }) => Ok(Some(plaintext.digest())),
        Some(task) => Ok(task.record.as_ref().map(digest)),
        // An early one, in the second phase.
        None => {
            let record = Current::record(current.early.as_ref(), &Kind::Secret.unit(&secret.id))?;
            Ok(record.as_ref().map(digest))
        }
    }
}

/// Decrypts the secrets that have to be made, on all processors.
pub(super) fn decrypt(host: &Host, tasks: &mut [Task]) {
    let todo: Vec<(usize, &Secret)> = tasks
        .iter()
        .enumerate()
        .filter_map(|(at, task)| match (&task.state, task.item) {
            (State::Make, Some((Item::Secret(secret), _))) => Some((at, secret)),
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
