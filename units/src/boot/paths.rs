//! items on the ramfs → what stands at paths of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use vaultix_generator::profile::{Profile, Secret, Settings};

use super::{Left, notify, valid_items};
use crate::disk_record::{Changes, DiskRecord, note_removal, removal};
use crate::failure::{Failure, Level, log};
use crate::generation::{Generation, List};
use crate::host::{Host, decrypt_all, plaintexts};
use crate::item::Item;
use crate::mounts::is_mounted;
use crate::owner::{Accounts, Ownership};
use crate::path::queue::{self, JobResult};
use crate::path::{Job, Outcome, OwnDirectories, is_custom};
use crate::place::{current_number, replaced_meanwhile};
use crate::plaintext::Plaintext;
use crate::ramfs::Ramfs;
use crate::record::Record;
use crate::render::{render, values};

/// Puts items at paths of their own: all on local file systems, or those below the late `mount`. Returns how many. Removes what
/// an earlier boot has put where no item has a path any more.
///
/// Early items are there already, and are only written down: their phase comes before the record's file system. Items that are not on the ramfs have been left to their own units. `is_current` returns whether `profile` is still the
/// host's.
///
/// # Errors
///
/// When the units of items that could not be put there could not be started.
pub fn put_at_paths(
    profile: &Profile,
    mount: Option<&Path>,
    is_current: &dyn Fn() -> bool,
) -> Result<usize, Failure> {
    let settings = &profile.settings;
    let items: Vec<Item> =
        valid_items(profile).filter(|it| is_ours(*it, mount, settings)).collect();
    let mut left = Left::default();
    let done = Ramfs::open(settings).and_then(|ramfs| {
        remove_leftovers(profile, mount, &ramfs, is_current)?;
        put(profile, &ramfs, &items, is_current, &mut left)
    });
    let count = done.unwrap_or_else(|failure| {
        for item in &items {
            left.add(item.kind(), item.id(), &failure);
        }
        0
    });
    left.start(settings)?;
    Ok(count)
}

/// Returns whether `item` has a path that is to be made now.
fn is_ours(item: Item, mount: Option<&Path>, settings: &Settings) -> bool {
    let place = item.placement();
    is_custom(place, settings)
        && match (settings.late_mount_of(&place.path), mount) {
            (late, Some(mount)) => late == Some(mount),
            (Some(late), None) => is_mounted(late),
            (None, None) => true,
        }
}

/// Removes what an earlier boot has put where no item of `profile` has a path any more. What fails is tried again at the next
/// switch or boot.
fn remove_leftovers(
    profile: &Profile,
    mount: Option<&Path>,
    ramfs: &Ramfs,
    is_current: &dyn Fn() -> bool,
) -> Result<(), Failure> {
    let settings = &profile.settings;
    let mut leftovers = DiskRecord::read(settings).leftovers(profile);
    leftovers.retain(|(path, _)| mount.is_none() || settings.late_mount_of(path) == mount);
    if leftovers.is_empty() || !is_current() {
        return Ok(());
    }
    let jobs = leftovers.iter().map(|(path, entry)| removal(path, entry)).collect();
    let done = ramfs.unlocked(|| queue::run(jobs, &OwnDirectories::new(settings)))?;
    let mut changes = Changes::default();
    for ((path, entry), done) in leftovers.iter().zip(done) {
        if let Err(failure) = note_removal(&mut changes, path, entry, done) {
            let what = entry.description();
            log(Level::Error, &format!("cannot {what}: {}", failure.reason));
        }
    }
    changes.write(settings);
    Ok(())
}

/// An item on the ramfs.
struct Placed<'a> {
    item: Item<'a>,
    record: Record,
    ownership: Ownership,
}

impl Placed<'_> {
    /// Returns the job for its path. Its plaintext may have been made `again`.
    fn job(&self, settings: &Settings, again: Option<Plaintext>) -> Option<Job> {
        let (place, record) = (self.item.placement(), &self.record);
        Job::put(place, settings, self.ownership, record.digest, again, Some(record))
    }
}

fn put(
    profile: &Profile,
    ramfs: &Ramfs,
    items: &[Item],
    is_current: &dyn Fn() -> bool,
    left: &mut Left,
) -> Result<usize, Failure> {
    let settings = &profile.settings;
    let number = current_number(ramfs, &settings.decrypted_dir, settings)?;
    let generation = ramfs.generation(number)?;
    let placed = placed(&generation, items, left)?;
    let record = if placed.is_empty() { DiskRecord::default() } else { DiskRecord::read(settings) };
    let (placed, jobs): (Vec<Placed>, Vec<Job>) =
        placed.into_iter().filter_map(|one| one.job(settings, None).map(|job| (one, job))).unzip();
    let done = ramfs.unlocked(|| run(profile, &placed, jobs, &record))?;
    let is_same = is_current()
        && current_number(ramfs, &settings.decrypted_dir, settings)? == generation.number;
    let (mut there, mut changes) = (Vec::new(), Changes::default());
    for (one, done) in placed.iter().zip(done) {
        let key = one.item.key();
        let same = is_same && generation.record(&key)?.as_ref() == Some(&one.record);
        match done
            .and_then(|it| if same { Ok(it) } else { Err(replaced_meanwhile(settings, &key)) })
        {
            Ok(outcome) => {
                changes.put(one.item, settings, &outcome);
                generation.clear(List::PutAtPath, &key)?;
                there.push(one.item);
            }
            Err(failure) => left.add(one.item.kind(), one.item.id(), &failure),
        }
    }
    changes.write(settings);
    if is_same {
        let rendered: BTreeSet<String> = items.iter().map(|item| item.key()).collect();
        notify(profile, &generation, &there, &rendered)?;
    }
    Ok(there.len())
}

/// Returns those of `items` that are in `generation`.
fn placed<'a>(
    generation: &Generation,
    items: &[Item<'a>],
    left: &mut Left,
) -> Result<Vec<Placed<'a>>, Failure> {
    let mut accounts = Accounts::default();
    let mut placed = Vec::new();
    for &item in items {
        let record = generation.record(&item.key())?;
        let Some(record) = record.filter(|record| record.name == item.placement().name) else {
            continue;
        };
        if generation.stat(&record.name)?.is_none() {
            continue;
        }
        match accounts.resolve(item.placement()) {
            Ok(ownership) => placed.push(Placed { item, record, ownership }),
            Err(failure) => left.add(item.kind(), item.id(), &failure),
        }
    }
    Ok(placed)
}

/// Does the jobs. A plaintext that is needed is made again: files that belong to others are never opened.
fn run(
    profile: &Profile,
    items: &[Placed],
    mut jobs: Vec<Job>,
    record: &DiskRecord,
) -> Vec<JobResult> {
    let settings = &profile.settings;
    let ours = OwnDirectories::new(settings);
    record.allow(&mut jobs);
    let mut done = queue::run(jobs, &ours);
    let again: Vec<usize> = done
        .iter()
        .enumerate()
        .filter(|(_, done)| matches!(done, Ok(Outcome::NeedsPlaintext)))
        .map(|(at, _)| at)
        .collect();
    let wanted: Vec<&Placed> = again.iter().filter_map(|at| items.get(*at)).collect();
    let made = remake(profile, &wanted.iter().map(|one| one.item).collect::<Vec<_>>());
    let (mut places, mut jobs) = (Vec::new(), Vec::new());
    for ((at, one), made) in again.into_iter().zip(wanted).zip(made) {
        let unchanged = made.and_then(|text| {
            if text.digest() == one.record.digest {
                Ok(text)
            } else {
                Err(replaced_meanwhile(&profile.settings, &one.item.key()))
            }
        });
        match (unchanged, done.get_mut(at)) {
            (Ok(text), _) => {
                let job = one.job(settings, Some(text));
                places.extend(job.as_ref().map(|_| at));
                jobs.extend(job);
            }
            (Err(failure), Some(done)) => *done = Err(failure),
            (Err(_), None) => {}
        }
    }
    record.allow(&mut jobs);
    for (at, outcome) in places.into_iter().zip(queue::run(jobs, &ours)) {
        if let Some(done) = done.get_mut(at) {
            *done = outcome;
        }
    }
    done
}

/// Makes the plaintexts of `items` again.
fn remake(profile: &Profile, items: &[Item]) -> Vec<Result<Plaintext, Failure>> {
    let mut needed: BTreeMap<&str, &Secret> = BTreeMap::new();
    for item in items {
        match *item {
            Item::Secret(secret) => drop(needed.insert(&secret.id, secret)),
            Item::Template(template) => {
                let used = values(profile, template).into_iter();
                needed.extend(used.map(|(_, secret)| (&*secret.id, secret)));
            }
        }
    }
    let secrets: Vec<&Secret> = needed.into_values().collect();
    let decrypted = decrypt_all(&Host::new(&profile.settings), &secrets);
    let known = plaintexts(&secrets, &decrypted);
    let make = |item: &Item| match *item {
        Item::Template(template) => Ok(render(profile, template, &known)?.0),
        Item::Secret(secret) => match known.get(&*secret.id) {
            Some(text) => Ok(Plaintext::new(text.expose().to_vec())),
            None => Err(replaced_meanwhile(&profile.settings, &item.key())),
        },
    };
    items.iter().map(make).collect()
}
