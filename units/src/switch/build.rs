//! what has to be done for each item → the next generation, next to the current one.

use std::collections::BTreeMap;

use vaultix_generator::profile::Placement;
use vaultix_generator::unit::{Kind, TARGET_UNIT};

use super::plan::{State, Task};
use super::{Current, Phase, Switch};
use crate::failure::Failure;
use crate::generation::{Generation, List, SWITCH};
use crate::item::Item;
use crate::owner::Ownership;
use crate::place::{has_ownership, schedule_notification};
use crate::plaintext::Plaintext;
use crate::record::Record;
use crate::systemctl::USERBORN;

impl Switch<'_> {
    /// Makes the next generation.
    pub(super) fn build(
        &self,
        current: &Current,
        tasks: &mut [Task],
        removed: &[Record],
    ) -> Result<Generation, Failure> {
        let next = self.ramfs.generation(current.next)?;
        next.mark(List::Unfinished, SWITCH)?;
        let taken = self.file_names();
        if self.phase == Phase::Normal {
            self.carry_over_early(current, &next, &taken)?;
        }
        if let Some(old) = &current.old {
            for record in removed {
                schedule_removal(record, &next)?;
            }
            carry_over_removals(old, &next)?;
        }
        // Removals that the first phase has scheduled but does not do.
        if let Some(early) = &current.early {
            carry_over_removals(early, &next)?;
        }
        self.schedule_unit_notifications(current, &next)?;
        for task in tasks {
            if let Err(failure) = self.build_item(task, current, &next) {
                task.state = State::Failed(failure);
            }
            if task.has_failed() {
                keep_previous(
                    &task.key,
                    task.record.as_ref(),
                    current.old.as_ref(),
                    &next,
                    &taken,
                )?;
            }
        }
        Ok(next)
    }

    /// Writes down which units have to be notified themselves: those that earlier runs could not notify, and at the end of a
    /// switch the target, which starts the units of new items.
    fn schedule_unit_notifications(
        &self,
        current: &Current,
        next: &Generation,
    ) -> Result<(), Failure> {
        let before = match self.phase {
            Phase::Early => &current.old,
            // The first phase has taken over these entries, and cleared those that it did.
            Phase::Normal => &current.early,
        };
        if let Some(before) = before {
            for key in before.entries(List::NotifyUnit)? {
                next.mark(List::NotifyUnit, &key)?;
            }
        }
        match self.phase {
            Phase::Early => Ok(()),
            Phase::Normal => next.mark(List::NotifyUnit, TARGET_UNIT),
        }
    }

    /// Returns the names of all files of the profile, each with the key of its item.
    fn file_names(&self) -> BTreeMap<String, String> {
        self.items().map(|item| (item.placement().name.clone(), item.key())).collect()
    }

    /// Takes over the early items, as the first phase left them.
    fn carry_over_early(
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
            // An item that has become early and failed is still where it was before.
            let mut from = current.early.as_ref();
            let mut record = Current::record(from, &key)?;
            if record.is_none() {
                record = Current::record(current.old.as_ref(), &key)?;
                from = if record.is_some() { current.old.as_ref() } else { from };
            }
            keep_previous(&key, record.as_ref(), from, next, taken)?;
        }
        Ok(())
    }

    /// Brings one item into the generation `next`, and writes down what has to be done about it.
    fn build_item(
        &self,
        task: &mut Task,
        current: &Current,
        next: &Generation,
    ) -> Result<(), Failure> {
        let Some((item, ownership)) = task.item else { return Ok(()) };
        let before = current.old.as_ref().zip(task.record.as_ref());
        let change = match (&task.state, before) {
            (State::Failed(_) | State::Make, _) | (State::Keep, None) => return Ok(()),
            (State::Keep, Some((old, record))) => {
                next.link(old, &record.name, &item.placement().name)?;
                Change::Same
            }
            (State::Made(plaintext, _), _) => {
                write(plaintext, item.placement(), ownership, before, next)?
            }
        };
        schedule_notifications_of(&change, item, current, next)?;
        let moved = |record: &&Record| {
            record.path != item.placement().path || record.symlink != item.placement().symlink
        };
        if let Some(record) = before.map(|(_, record)| record).filter(moved) {
            schedule_removal(record, next)?;
        }
        let (inputs, digest) = match (&task.state, &task.record) {
            (State::Made(plaintext, inputs), _) => (*inputs, plaintext.digest()),
            (_, Some(record)) => (record.inputs, record.digest),
            (_, None) => return Ok(()),
        };
        let (kind, id, place) = (task.kind, task.id, item.placement());
        let record = Record::new(inputs, digest, kind, id, place, self.settings);
        match before {
            Some((old, same)) if *same == record => next.link_entry(old, List::Placed, &task.key),
            _ => next.write_entry(List::Placed, &task.key, &record.to_text()),
        }
    }
}

/// How a file differs from the previous one.
#[derive(PartialEq, Eq)]
enum Change {
    /// Not at all.
    Same,
    /// Its plaintext, owner, group or mode is a different one.
    Other,
    /// There was no previous one.
    First,
}

/// Writes a plaintext into the generation `next`.
fn write(
    plaintext: &Plaintext,
    place: &Placement,
    ownership: Ownership,
    before: Option<(&Generation, &Record)>,
    next: &Generation,
) -> Result<Change, Failure> {
    next.write(&place.name, plaintext, ownership)?;
    let Some((old, record)) = before else { return Ok(Change::First) };
    let same = record.digest == plaintext.digest() && has_ownership(old, &record.name, ownership)?;
    Ok(if same { Change::Same } else { Change::Other })
}

/// Writes down who has to be notified of an item: of another plaintext, or of one that an earlier run left pending.
fn schedule_notifications_of(
    change: &Change,
    item: Item,
    current: &Current,
    next: &Generation,
) -> Result<(), Failure> {
    let is_pending = match &current.old {
        Some(old) => old.has_entry(List::NotifyConsumers, &item.key())?,
        None => false,
    };
    if is_pending || *change == Change::Other {
        schedule_notification(next, item)
    } else if *change == Change::First && item.placement().early {
        next.mark(List::NotifyUnit, USERBORN)
    } else {
        Ok(())
    }
}

/// Takes over the previous file of an item as it is, with its entries in the journal, unless its name is another item's by
/// now. Where there is none, that is written down.
fn keep_previous(
    key: &str,
    record: Option<&Record>,
    from: Option<&Generation>,
    next: &Generation,
    taken: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    let is_pending = match from {
        Some(from) => from.has_entry(List::NotifyConsumers, key)?,
        None => false,
    };
    if is_pending || record.is_none() {
        next.mark(List::NotifyConsumers, key)?;
    }
    if let Some(from) = from
        && from.has_entry(List::PutAtPath, key)?
    {
        next.mark(List::PutAtPath, key)?;
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
    next.write_entry(List::Placed, key, &record.to_text())
}

/// Writes down in `next` that what `record` says was put elsewhere has to be removed.
fn schedule_removal(record: &Record, next: &Generation) -> Result<(), Failure> {
    next.write_entry(List::Remove, &record.kind.unit(&record.id), &record.to_text())
}

/// Takes over the removals that an earlier switch could not do.
fn carry_over_removals(old: &Generation, next: &Generation) -> Result<(), Failure> {
    for key in old.entries(List::Remove)? {
        if let Some(text) = old.entry(List::Remove, &key)? {
            next.write_entry(List::Remove, &key, &text)?;
        }
    }
    Ok(())
}
