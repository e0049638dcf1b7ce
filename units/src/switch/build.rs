//! what is to be done about each item → the next generation, beside the current one.

use std::collections::BTreeMap;

use vaultix_generator::profile::Placement;
use vaultix_generator::unit::{Kind, TARGET_UNIT};

use super::plan::{State, Task};
use super::{Current, Phase, Switch};
use crate::failure::Failure;
use crate::generation::{Generation, Note};
use crate::item::note_untold;
use crate::owner::Ownership;
use crate::plaintext::Plaintext;
use crate::record::Record;
use crate::subject::Subject;
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
        let taken = self.names();
        if self.phase == Phase::Normal {
            self.take_over_early(current, &next, &taken)?;
        }
        if let Some(old) = &current.old {
            for record in removed {
                note_gone(record, &next)?;
            }
            take_over_gone(old, &next)?;
        }
        // What the first phase has noted, and does not take away.
        if let Some(early) = &current.early {
            take_over_gone(early, &next)?;
        }
        self.note_due(current, &next)?;
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
        let before = current.old.as_ref().zip(task.record.as_ref());
        let news = match (&task.state, before) {
            (State::Failed(_) | State::Make, _) | (State::Keep, None) => return Ok(()),
            (State::Keep, Some((old, record))) => {
                next.link(old, &record.name, &subject.place().name)?;
                News::Same
            }
            (State::Made(plaintext, _), _) => write(
                plaintext,
                subject.place(),
                ownership,
                before.map(|(_, record)| record),
                next,
            )?,
        };
        note_news(&news, subject, current, next)?;
        let moved = |record: &&Record| {
            record.path != subject.place().path || record.symlink != subject.place().symlink
        };
        if let Some(record) = before.map(|(_, record)| record).filter(moved) {
            note_gone(record, next)?;
        }
        let (inputs, digest) = match (&task.state, &task.record) {
            (State::Made(plaintext, inputs), _) => (*inputs, plaintext.digest()),
            (_, Some(record)) => (record.inputs, record.digest),
            (_, None) => return Ok(()),
        };
        let (kind, id, place) = (task.kind, task.id, subject.place());
        let record = Record::new(inputs, digest, kind, id, place, self.settings);
        match before {
            Some((old, same)) if *same == record => next.link_note(old, Note::Placed, &task.key),
            _ => next.write_note(Note::Placed, &task.key, &record.to_note()),
        }
    }
}

/// What a plaintext is to those who know the one before.
#[derive(PartialEq, Eq)]
enum News {
    /// The same.
    Same,
    /// Another one.
    Other,
    /// There was none.
    First,
}

/// Writes a plaintext into the generation `next`.
fn write(
    plaintext: &Plaintext,
    place: &Placement,
    ownership: Ownership,
    before: Option<&Record>,
    next: &Generation,
) -> Result<News, Failure> {
    next.write(&place.name, plaintext, ownership)?;
    Ok(match before {
        None => News::First,
        Some(record) if record.digest == plaintext.digest() => News::Same,
        Some(_) => News::Other,
    })
}

/// Notes who has to be told of an item: of another plaintext, or of one that an earlier run could not tell of.
fn note_news(
    news: &News,
    subject: Subject,
    current: &Current,
    next: &Generation,
) -> Result<(), Failure> {
    let untold = match &current.old {
        Some(old) => old.has_note(Note::Untold, &subject.key())?,
        None => false,
    };
    if untold || *news == News::Other {
        note_untold(next, subject)
    } else if *news == News::First && subject.place().early {
        next.mark(Note::Due, USERBORN)
    } else {
        Ok(())
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
    if let Some(from) = from
        && from.has_note(Note::Unplaced, key)?
    {
        next.mark(Note::Unplaced, key)?;
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

/// Notes in `next` what `record` says was put elsewhere.
fn note_gone(record: &Record, next: &Generation) -> Result<(), Failure> {
    next.write_note(Note::Gone, &record.kind.unit(&record.id), &record.to_note())
}

/// Takes over what an earlier switch could not take away.
fn take_over_gone(old: &Generation, next: &Generation) -> Result<(), Failure> {
    for key in old.notes(Note::Gone)? {
        if let Some(text) = old.note(Note::Gone, &key)? {
            next.write_note(Note::Gone, &key, &text)?;
        }
    }
    Ok(())
}
