//! the current generation + a profile → the next generation, and notified consumers.
//!
//! One process for each of two phases: the early items before users are made, the others after. Each makes a new
//! generation next to the current one, which stays as it is; the rename of a link makes it current. Work that is left
//! after that is first written to the journal of the new generation, so that the next switch does what a killed one did not.

mod build;
mod finish;
mod outcome;
mod plan;
mod preview;

use std::collections::BTreeSet;

use vaultix_generator::profile::{Profile, Settings};
use vaultix_generator::unit::Kind;

use crate::aside::make_way;
use crate::failure::Failure;
use crate::generation::{Generation, List};
use crate::host::Host;
use crate::item::Item;
use crate::place::wait_for_keys;
use crate::ramfs::Ramfs;
use crate::record::Record;
pub use outcome::Outcome;
use plan::{State, decrypt};
pub use preview::{Preview, preview};

/// Which items a switch updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Those needed before users exist.
    Early,
    /// All others. Completes the switch: removes what is no longer wanted, and notifies all consumers.
    Normal,
}

/// Whether jobs are queued for what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jobs {
    /// Queue them.
    Queue,
    /// Queue none: systemd is not running.
    Skip,
}

/// Makes the items of `phase` what `profile` says.
///
/// An item that fails keeps its previous file; the others are updated.
///
/// # Errors
///
/// When no next generation could be made: the current one is unchanged. All other failures are in the [`Outcome`].
pub fn switch(profile: &Profile, phase: Phase, jobs: Jobs) -> Result<Outcome, Failure> {
    if phase == Phase::Early && profile.early.is_empty() {
        return Ok(Outcome::default());
    }
    // Before the lock, which must not be held while waiting for a file system that may not respond.
    let host = match jobs {
        Jobs::Queue => Host::new(&profile.settings),
        // No unit has unsealed anything for it.
        Jobs::Skip => Host::unsealing(&profile.settings),
    };
    let inputs = plan::inputs(profile, phase, &host);
    let ramfs = Ramfs::open(&profile.settings)?;
    make_way(profile)?;
    let planner = Planner { profile, settings: &profile.settings, phase };
    let current = Current::find(&planner, &ramfs, |number| ramfs.generation(number).map(Some))?;
    let mut tasks = planner.plan_secrets(&current, inputs)?;
    decrypt(&host, &mut tasks);
    let mut templates = planner.plan_templates(&current, &tasks)?;
    planner.render(&host, &tasks, &mut templates);
    tasks.extend(templates);
    let removed = planner.removed_items(&current)?;
    let wanted = wanted(profile);
    let switch = Switch { profile, settings: &profile.settings, phase, jobs, ramfs, wanted };

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
        switch.finish(generation, &tasks, &host, &mut outcome);
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

/// Returns the keys of all items of `profile`, valid and invalid.
fn wanted(profile: &Profile) -> BTreeSet<String> {
    let secrets = profile.secrets.keys().map(|id| Kind::Secret.unit(id));
    let templates = profile.templates.keys().map(|id| Kind::Template.unit(id));
    secrets.chain(templates).collect()
}

/// What decides on what has to be done in a phase. It writes nothing.
struct Planner<'a> {
    profile: &'a Profile,
    settings: &'a Settings,
    phase: Phase,
}

/// One run of a phase.
struct Switch<'a> {
    profile: &'a Profile,
    settings: &'a Settings,
    phase: Phase,
    jobs: Jobs,
    /// Where the generations are; the lock on it is held.
    ramfs: Ramfs,
    /// Keys of all items of the profile, valid and invalid.
    wanted: BTreeSet<String>,
}

/// The state before a switch.
#[derive(Default)]
struct Current {
    /// The generation that the items of this phase are in.
    old: Option<Generation>,
    /// The generation that early items are in, in the second phase.
    early: Option<Generation>,
    /// Number of the generation to be made.
    next: u32,
}

impl Current {
    /// Returns the record of an item in `generation`, if its file also exists.
    fn record(generation: Option<&Generation>, key: &str) -> Result<Option<Record>, Failure> {
        let Some(generation) = generation else { return Ok(None) };
        let Some(record) = generation.record(key)? else { return Ok(None) };
        Ok(generation.stat(&record.name)?.map(|_| record))
    }
}

impl Current {
    /// Determines the state before the switch. `open` opens a generation, if it is one.
    fn find(
        planner: &Planner,
        ramfs: &Ramfs,
        open: impl Fn(u32) -> Result<Option<Generation>, Failure>,
    ) -> Result<Self, Failure> {
        let (settings, phase) = (planner.settings, planner.phase);
        let numbers = ramfs.generation_numbers()?;
        let newest = numbers.last().copied();
        let early = ramfs.linked_generation(&settings.decrypted_dir_for_user)?;
        let normal = ramfs.linked_generation(&settings.decrypted_dir)?;
        let old = match phase {
            Phase::Early => early.or(normal).or(newest),
            Phase::Normal => match (normal, early) {
                (Some(normal), _) => Some(normal),
                // Nothing was placed, but its journal may list what failed.
                (None, None) => newest,
                (None, Some(_)) => newest_with_normal_items(&numbers, &open)?,
            },
        };
        let early = early.or(old).filter(|_| phase == Phase::Normal);
        let find = |number: Option<u32>| number.map_or(Ok(None), &open);
        Ok(Self {
            old: find(old)?,
            early: find(early)?,
            next: newest.map_or(1, |newest| newest.saturating_add(1)),
        })
    }
}

/// Returns the newest of the generations `numbers` that contains more than the first phase puts into one. It is the current
/// one if `decryptedDir` has been changed to another directory, which does not lead to a generation yet.
fn newest_with_normal_items(
    numbers: &[u32],
    open: impl Fn(u32) -> Result<Option<Generation>, Failure>,
) -> Result<Option<u32>, Failure> {
    for &number in numbers.iter().rev() {
        let Some(generation) = open(number)? else { continue };
        for key in generation.entries(List::Placed)? {
            if generation.record(&key)?.is_some_and(|record| !record.early) {
                return Ok(Some(number));
            }
        }
    }
    Ok(None)
}

impl<'a> Switch<'a> {
    /// Returns the valid items of the profile, of both phases.
    fn items(&self) -> impl Iterator<Item = Item<'a>> {
        let secrets = self.profile.secrets.values().flatten().map(Item::Secret);
        let templates = self.profile.templates.values().flatten().map(Item::Template);
        secrets.chain(templates)
    }
}
