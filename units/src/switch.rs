//! the current generation + a profile → the next generation, and whoever has to know told.
//!
//! One process for each of two phases: the early items before users are made, the others after. Each makes a fresh
//! generation beside the current one, which stays as it is; the rename of a link makes it current. What is left to do
//! after that is noted in the new generation before, so that the next switch does what a killed one could not.

mod build;
mod finish;
mod outcome;
mod plan;

use std::collections::BTreeSet;

use vaultix_generator::profile::{Profile, Settings};
use vaultix_generator::unit::Kind;

use crate::failure::Failure;
use crate::generation::{Generation, List};
use crate::host::Host;
use crate::item::Item;
use crate::place::wait_for_keys;
use crate::ramfs::Ramfs;
use crate::record::Record;
pub use outcome::Outcome;
use plan::{State, decrypt};

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
    // Before the lock, which nobody holds while a file system is asked that may not answer.
    let inputs = plan::inputs(profile, phase);
    let ramfs = Ramfs::open(&profile.settings)?;
    let secrets = profile.secrets.keys().map(|id| Kind::Secret.unit(id));
    let templates = profile.templates.keys().map(|id| Kind::Template.unit(id));
    let wanted = secrets.chain(templates).collect();
    let switch = Switch { profile, settings: &profile.settings, phase, jobs, ramfs, wanted };
    let current = switch.current()?;
    let host = Host::new(&profile.settings);
    let mut tasks = switch.plan_secrets(&current, inputs)?;
    decrypt(&host, &mut tasks);
    let mut templates = switch.plan_templates(&current, &tasks)?;
    switch.render(&host, &tasks, &mut templates);
    tasks.extend(templates);
    let removed = switch.removed_items(&current)?;

    let mut outcome = Outcome { removed: removed.len(), ..Outcome::default() };
    let next = match current.old {
        Some(ref old) if removed.is_empty() && switch.is_up_to_date(old, &tasks)? => None,
        _ => Some(switch.build(&current, &mut tasks, &removed)?),
    };
    outcome.count(&tasks);
    let generation = next.as_ref().or(current.old.as_ref());
    if let Some(generation) = generation {
        switch.make_current(generation.number)?;
        outcome.generation = Some(generation.number);
        switch.finish(generation, &current, &tasks, &host, &mut outcome);
    }
    drop(switch);
    if jobs == Jobs::Queue {
        wait_for_keys(&host, &profile.settings);
    }
    for task in tasks {
        let what = task.description();
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
        let Some(record) = generation.record(key)? else { return Ok(None) };
        Ok(generation.stat(&record.name)?.map(|_| record))
    }
}

impl<'a> Switch<'a> {
    /// Finds out where the switch starts from.
    fn current(&self) -> Result<Current, Failure> {
        let numbers = self.ramfs.generation_numbers()?;
        let newest = numbers.last().copied();
        let early = self.ramfs.linked_generation(&self.settings.decrypted_dir_for_user)?;
        let normal = self.ramfs.linked_generation(&self.settings.decrypted_dir)?;
        let old = match self.phase {
            Phase::Early => early.or(normal).or(newest),
            Phase::Normal => match (normal, early) {
                (Some(normal), _) => Some(normal),
                // Nothing has arrived, but there may be notes of what failed.
                (None, None) => newest,
                (None, Some(_)) => self.newest_with_normal_items(&numbers)?,
            },
        };
        let open =
            |number: Option<u32>| number.map(|number| self.ramfs.generation(number)).transpose();
        Ok(Current {
            old: open(old)?,
            early: open(early.or(old).filter(|_| self.phase == Phase::Normal))?,
            next: newest.map_or(1, |newest| newest.saturating_add(1)),
        })
    }

    /// Returns the newest of the generations `numbers` that has more than the first phase puts into one: the current one,
    /// where `decryptedDir` is another directory now and leads nowhere.
    fn newest_with_normal_items(&self, numbers: &[u32]) -> Result<Option<u32>, Failure> {
        for &number in numbers.iter().rev() {
            let generation = self.ramfs.generation(number)?;
            for key in generation.entries(List::Placed)? {
                if generation.record(&key)?.is_some_and(|record| !record.early) {
                    return Ok(Some(number));
                }
            }
        }
        Ok(None)
    }

    /// Returns the items of the profile that are right, of both phases.
    fn items(&self) -> impl Iterator<Item = Item<'a>> {
        let secrets = self.profile.secrets.values().flatten().map(Item::Secret);
        let templates = self.profile.templates.values().flatten().map(Item::Template);
        secrets.chain(templates)
    }
}
