//! the end of the boot → the units of all items, started, and the one that removes what earlier boots have left.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use vaultix_generator::profile::Profile;
use vaultix_generator::unit::{ITEMS_UNIT, Kind, PATHS_UNIT};

use crate::disk_record::DiskRecord;
use crate::failure::Failure;
use crate::systemctl::{self, Job};

/// How long the end of the boot is waited for (2 minutes): a boot may never end.
const LIMIT: Duration = Duration::from_secs(120);

/// How many units one command starts: the arguments of a program have a limit.
const MAX_NAMES: usize = 1000;

/// Waits for the end of the boot, then starts the units of all items, and their target.
///
/// Those that have failed are not tried again, since nothing has changed for them.
///
/// # Errors
///
/// When systemd cannot be asked.
pub fn start_rest(profile: &Profile) -> Result<(), Failure> {
    let systemctl = &profile.settings.systemctl;
    let mut waiting = systemctl::wait_for_boot(systemctl)?;
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        // Its answer does not matter, only that it has come.
        let _ = waiting.wait();
        let _ = ended.send(());
    });
    // A program that is still waiting ends with this unit.
    let _ = end.recv_timeout(LIMIT);
    let tried = systemctl::items_in(systemctl, "failed,active,activating,reloading")?;
    let secrets = profile.secrets.keys().map(|id| Kind::Secret.unit(id));
    let templates = profile.templates.keys().map(|id| Kind::Template.unit(id));
    let units: Vec<String> = secrets.chain(templates).filter(|it| !tried.contains(it)).collect();
    for units in units.chunks(MAX_NAMES) {
        systemctl::queue(systemctl, Job::Start, units)?;
    }
    if !DiskRecord::read(&profile.settings).leftovers(profile).is_empty() {
        // Where items have paths of their own, it has run: what is left then waits for the next switch.
        systemctl::queue(systemctl, Job::Start, &[PATHS_UNIT.to_owned()])?;
    }
    // Without what it wants: that would try the failed ones again.
    systemctl::start_alone(systemctl, ITEMS_UNIT)
}
