//! a profile → all its items in place, by one process for each phase; what that cannot place is left to the item's own unit.
//!
//! A unit with a program costs systemd several milliseconds, whatever the program does. So at boot, [`place_all`] puts the
//! items of a phase on the ramfs, and [`put_at_paths`] what has a path of its own there. The unit of an item is started for it
//! if it could not be placed, since that unit says why and is what the administrator restarts; and all others by
//! [`start_rest`] once the boot is over, when they find that [`fresh`] says that they have nothing to do.

pub mod fresh;
mod items;
mod paths;
mod rest;

pub use items::place_all;
pub use paths::put_at_paths;
pub use rest::start_rest;

use std::collections::BTreeSet;

use vaultix_generator::profile::{Profile, Settings};
use vaultix_generator::unit::Kind;

use crate::failure::{Failure, Level, log};
use crate::generation::{Generation, List};
use crate::item::{Item, describe_task};
use crate::render::templates_using;
use crate::systemctl::{self, Job, USERBORN};

/// Items that could not be placed, by their units.
#[derive(Default)]
struct Left(BTreeSet<String>);

impl Left {
    /// Leaves the item to its own unit, and says so: only that unit's own attempt is an error.
    fn add(&mut self, kind: Kind, id: &str, failure: &Failure) {
        let unit = kind.unit(id);
        let what = describe_task(kind, id);
        log(Level::Info, &format!("cannot {what} here, so {unit} tries: {}", failure.reason));
        self.0.insert(unit);
    }

    /// Starts their units.
    fn start(self, settings: &Settings) -> Result<(), Failure> {
        let units: Vec<String> = self.0.into_iter().collect();
        systemctl::queue(&settings.systemctl, Job::Start, &units)
    }
}

/// Returns the valid items of `profile`.
fn valid_items(profile: &Profile) -> impl Iterator<Item = Item<'_>> {
    let secrets = profile.secrets.values().flatten().map(Item::Secret);
    secrets.chain(profile.templates.values().flatten().map(Item::Template))
}

/// Notifies the readers of those of `placed` whose plaintext is another one than before, and clears the entries. At boot, there
/// was none before, and there are no entries. `rendered` are the templates that this run has rendered anyway.
fn notify(
    profile: &Profile,
    generation: &Generation,
    placed: &[Item],
    rendered: &BTreeSet<String>,
) -> Result<(), Failure> {
    let settings = &profile.settings;
    let pending: BTreeSet<String> =
        generation.entries(List::NotifyConsumers)?.into_iter().collect();
    let changed: Vec<Item> =
        placed.iter().filter(|item| pending.contains(&item.key())).copied().collect();
    if changed.is_empty() {
        return Ok(());
    }
    let mut templates = BTreeSet::new();
    for item in &changed {
        if let Item::Secret(secret) = item {
            let units = templates_using(profile, &secret.id).map(|id| Kind::Template.unit(id));
            templates.extend(units.filter(|unit| !rendered.contains(unit)));
        }
    }
    let templates: Vec<String> = templates.into_iter().collect();
    systemctl::queue(&settings.systemctl, Job::Restart, &templates)?;
    if changed.iter().any(|item| item.placement().early)
        && generation.has_entry(List::NotifyUnit, USERBORN)?
    {
        systemctl::restart_userborn(settings)?;
        generation.clear(List::NotifyUnit, USERBORN)?;
    }
    systemctl::notify_consumers(settings, changed.iter().map(|item| item.placement()), |_| {
        BTreeSet::new()
    })?;
    changed.iter().try_for_each(|item| generation.clear(List::NotifyConsumers, &item.key()))
}
