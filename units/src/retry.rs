//! a host key that came late → what failed without it is tried again.

use vaultix_generator::profile::Settings;
use vaultix_generator::unit::{ITEMS_UNIT, late_key_timer, late_key_units, switch_units};

use crate::failure::Failure;
use crate::systemctl::{self, Job};

/// Starts what failed again, and stops waiting for keys. An item that still misses its key waits for it again.
///
/// # Errors
///
/// The first thing that systemd could not be asked for; the others are done.
pub fn retry(settings: &Settings) -> Result<(), Failure> {
    let systemctl = &settings.systemctl;
    // First, and until it is done: they would start this again as long as the key exists.
    let paths: Vec<String> = late_key_units(settings).into_keys().collect();
    let timers = paths.iter().map(|unit| late_key_timer(unit));
    let waiting: Vec<String> = timers.chain(paths.iter().cloned()).collect();
    let stopped = systemctl::stop(systemctl, &waiting);
    // A switch that failed because of the key: its items are active, with their old files.
    let switches: Vec<String> =
        switch_units(settings.layout).iter().map(|&unit| unit.to_owned()).collect();
    let again = systemctl::has_failed(systemctl, &switches).and_then(|has_failed| {
        let switches: &[String] = if has_failed { &switches } else { &[] };
        systemctl::queue(systemctl, Job::Start, switches)
    });
    let items = ["vaultix-secret@*", "vaultix-template@*"].map(str::to_owned);
    let reset = systemctl::reset_failed(systemctl, &items);
    let started = systemctl::queue(systemctl, Job::Start, &[ITEMS_UNIT.to_owned()]);
    stopped.and(again).and(reset).and(started)
}
