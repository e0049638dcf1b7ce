//! a profile + the current generation → what a switch would do, in words. Writes nothing.
//!
//! It plans and decrypts as the switch does, so that it knows which plaintexts change. It does not look at what is in the way at
//! paths of items, nor at which units run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use vaultix_generator::escape::message;
use vaultix_generator::profile::{Placement, Profile, Settings};
use vaultix_generator::unit::Kind;

use super::plan::{self, State, Task, decrypt};
use super::{Current, Phase, Planner};
use crate::disk_record::DiskRecord;
use crate::failure::Failure;
use crate::generation::{Generation, List};
use crate::host::Host;
use crate::place::has_ownership;
use crate::ramfs::Ramfs;
use crate::record::Record;
use crate::systemctl::USERBORN;

/// What a switch would do. One line for each item.
#[derive(Default)]
pub struct Preview {
    added: Vec<String>,
    changed: Vec<String>,
    moved: Vec<String>,
    removed: Vec<String>,
    failing: Vec<String>,
    unchanged: usize,
    restart: BTreeSet<String>,
    reload: BTreeSet<String>,
    /// Units of users' managers, by user.
    of_users: BTreeMap<String, BTreeSet<String>>,
}

/// How an item differs from what is in place.
enum Change {
    /// Not at all; it may move.
    None,
    /// Nothing is in place.
    First,
    /// This is different.
    Other(&'static str),
}

/// Returns what a switch to `profile` would do, up to the phase `last`.
///
/// # Errors
///
/// When the current generation cannot be read.
pub fn preview(profile: &Profile, last: Phase) -> Result<Preview, Failure> {
    let settings = &profile.settings;
    let host = Host::unsealing(settings);
    let mut inputs = Vec::new();
    for phase in [Phase::Early, Phase::Normal] {
        if last == Phase::Normal || phase == Phase::Early {
            // Before the lock, as in a switch.
            inputs.push((phase, plan::inputs(profile, phase, &host)));
        }
    }
    // Where there is none yet, a switch has it mounted first.
    let ramfs = Ramfs::open(settings).ok();
    let mut preview = Preview::default();
    let mut secrets: Vec<Task> = Vec::new();
    for (phase, inputs) in inputs {
        let planner = Planner { profile, settings, phase };
        let current = match &ramfs {
            Some(ramfs) => {
                Current::find(&planner, ramfs, |number| ramfs.existing_generation(number))?
            }
            None => Current::default(),
        };
        let mut of_phase = planner.plan_secrets(&current, inputs)?;
        decrypt(&host, &mut of_phase);
        let first = secrets.len();
        // Templates of the second phase may use secrets of the first.
        secrets.extend(of_phase);
        let mut templates = planner.plan_templates(&current, &secrets)?;
        planner.render(&host, &secrets, &mut templates);
        for task in secrets.iter().skip(first).chain(&templates) {
            preview.add(task, settings, current.old.as_ref())?;
        }
        for Record { kind, id, path, .. } in planner.removed_items(&current)? {
            preview.removed.push(line(kind, &id, &path, ""));
        }
    }
    if last == Phase::Normal {
        for (path, entry) in DiskRecord::read(settings).leftovers(profile) {
            let why = "put there at an earlier boot";
            preview.removed.push(line(entry.kind, &entry.id, &path, why));
        }
    }
    Ok(preview)
}

impl Preview {
    /// Returns whether an item would fail.
    #[must_use]
    pub fn has_failures(&self) -> bool {
        !self.failing.is_empty()
    }

    /// Adds what would be done for an item.
    fn add(
        &mut self,
        task: &Task,
        settings: &Settings,
        old: Option<&Generation>,
    ) -> Result<(), Failure> {
        let (place, change) = match (&task.state, task.item) {
            (State::Failed(failure), _) => {
                let (kind, id) = (task.kind.name(), task.id);
                self.failing.push(message(&format!("{kind} \"{id}\": {}", failure.reason)));
                return Ok(());
            }
            (_, None) => return Ok(()),
            (_, Some((item, _))) => (item.placement(), change_of(task, old)?),
        };
        let describe = |why: &str| line(task.kind, task.id, &place.path, why);
        let how = task.record.as_ref().and_then(|it| how_it_moves(it, place, settings));
        match (&change, how) {
            (Change::First, _) => self.added.push(describe("")),
            (Change::Other(what), _) => self.changed.push(describe(what)),
            (Change::None, Some(how)) => self.moved.push(describe(&how)),
            (Change::None, None) => self.unchanged += 1,
        }
        let is_other = matches!(change, Change::Other(_));
        let is_pending = match old {
            Some(old) => old.has_entry(List::NotifyConsumers, &task.key)?,
            None => false,
        };
        if is_other || is_pending {
            self.notify(place);
        }
        if place.early && (is_pending || !matches!(change, Change::None)) {
            self.restart.insert(USERBORN.to_owned());
        }
        Ok(())
    }

    /// Adds the consumers of an item.
    fn notify(&mut self, place: &Placement) {
        self.restart.extend(place.restart_units.iter().cloned());
        self.reload.extend(place.reload_units.iter().cloned());
        for (user, units) in place.restart_user_units.iter().chain(&place.reload_user_units) {
            self.of_users.entry(user.clone()).or_default().extend(units.iter().cloned());
        }
    }
}

/// Returns how the file of `task` would differ from the one in `old`.
fn change_of(task: &Task, old: Option<&Generation>) -> Result<Change, Failure> {
    let (Some(record), Some(old), Some((_, ownership))) = (&task.record, old, task.item) else {
        return Ok(Change::First);
    };
    Ok(match &task.state {
        State::Made(plaintext, _) if plaintext.digest() != record.digest => {
            Change::Other("new content")
        }
        State::Made(..) if !has_ownership(old, &record.name, ownership)? => {
            Change::Other("new owner, group or mode")
        }
        _ => Change::None,
    })
}

/// Describes how an item moves that is otherwise the same; `None` if it stays.
fn how_it_moves(record: &Record, place: &Placement, settings: &Settings) -> Option<String> {
    if record.path != place.path {
        return Some(format!("before: {}", record.path.display()));
    }
    let how = match (record.symlink, place.symlink) {
        (true, false) => "the file itself instead of a link",
        (false, true) => "a link instead of the file itself",
        _ if record.target != settings.link_of(place).join(&place.name) => {
            "the link leads elsewhere"
        }
        _ => return None,
    };
    Some(how.to_owned())
}

/// Returns the line of an item, with a reason.
fn line(kind: Kind, id: &str, path: &Path, why: &str) -> String {
    let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
    message(&format!("{} \"{id}\" at {}{why}", kind.name(), path.display()))
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        for (what, items) in [
            ("add", &self.added),
            ("change", &self.changed),
            ("move", &self.moved),
            ("remove", &self.removed),
            ("fail, and leave as it is", &self.failing),
        ] {
            if !items.is_empty() {
                lines.push(format!("would {what}:"));
                lines.extend(items.iter().map(|item| format!("  {item}")));
            }
        }
        lines.push(format!("would leave unchanged: {}", self.unchanged));
        let mut units = |what: &str, units: &mut dyn Iterator<Item = &String>| {
            let units: Vec<&str> = units.map(String::as_str).collect();
            if !units.is_empty() {
                lines.push(message(&format!("would {what}, if running: {}", units.join(", "))));
            }
        };
        units("restart", &mut self.restart.iter());
        units("reload", &mut self.reload.difference(&self.restart));
        for (user, of_user) in &self.of_users {
            units(&format!("restart or reload for user {user}"), &mut of_user.iter());
        }
        f.write_str(&lines.join("\n"))
    }
}
