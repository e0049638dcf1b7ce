//! units to be told of a change → jobs in systemd's queue.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use vaultix_generator::profile::{Placement, Settings};
use vaultix_generator::status::Status;

use crate::failure::{Failure, Level, log};

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Starts what is stopped or failed.
    Start,
    /// Stops.
    Stop,
    /// Restarts, and starts what is stopped.
    Restart,
    /// Restarts what is running.
    TryRestart,
    /// Reloads what is running, or restarts what cannot be reloaded.
    TryReload,
}

impl Job {
    /// Returns the verb of systemctl(1).
    fn verb(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::TryRestart => "try-restart",
            Self::TryReload => "try-reload-or-restart",
        }
    }
}

/// The unit that makes users on NixOS.
pub const USERBORN: &str = "userborn.service";

/// Queues `job` for each of `units` with the program `systemctl`.
///
/// Never waits for a job: one that is ordered behind the unit we run in would wait for us in turn. A job that systemd
/// refuses, most often for a unit that does not exist, is a warning: there is nobody to be told.
///
/// # Errors
///
/// [`Status::Software`] when the program cannot be run, or does not reach systemd.
pub fn queue(systemctl: &Path, job: Job, units: &[String]) -> Result<(), Failure> {
    if units.is_empty() {
        return Ok(());
    }
    if let Some(refusal) = request(systemctl, job, units)? {
        log(Level::Warning, &refusal);
    }
    Ok(())
}

/// Tells the consumers of items that have changed, each once: who is to be restarted is not reloaded, too.
///
/// # Errors
///
/// As [`queue`].
pub fn notify_consumers<'a>(
    settings: &Settings,
    changed: impl IntoIterator<Item = &'a Placement>,
) -> Result<(), Failure> {
    let (mut restart, mut reload) = (BTreeSet::new(), BTreeSet::new());
    for place in changed {
        restart.extend(place.restart_units.iter().cloned());
        reload.extend(place.reload_units.iter().cloned());
    }
    let reload: Vec<String> = reload.difference(&restart).cloned().collect();
    let restart: Vec<String> = restart.into_iter().collect();
    queue(&settings.systemctl, Job::TryRestart, &restart)?;
    queue(&settings.systemctl, Job::TryReload, &reload)
}

/// Has userborn read its files again: an early item may hold a password. A host that makes its users otherwise has no
/// such unit, and nothing to do.
///
/// # Errors
///
/// As [`queue`].
pub fn restart_userborn(settings: &Settings) -> Result<(), Failure> {
    request(&settings.systemctl, Job::TryRestart, &[USERBORN.to_owned()]).map(drop)
}

/// Asks systemd to queue `job` for each of `units`; returns why it refused one, if it did.
fn request(systemctl: &Path, job: Job, units: &[String]) -> Result<Option<String>, Failure> {
    let args = ["--no-block", "--no-ask-password", job.verb(), "--"];
    let output = run(systemctl, args.into_iter().chain(units.iter().map(String::as_str)))?;
    if output.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let refusal = format!("cannot {} {}: {}", job.verb(), units.join(" "), said.trim());
    if output.status.code().is_some() && is_reachable(systemctl)? {
        return Ok(Some(refusal));
    }
    Err(Failure::new(Status::Software, refusal))
}

/// Returns whether systemd answers. The exit status of a job that was not queued does not tell: it is 1 both for a unit
/// that is masked and where there is no systemd to ask.
fn is_reachable(systemctl: &Path) -> Result<bool, Failure> {
    let output = run(systemctl, ["show", "--property=Version"])?;
    Ok(output.status.success())
}

/// Runs systemctl.
fn run<'a>(systemctl: &Path, args: impl IntoIterator<Item = &'a str>) -> Result<Output, Failure> {
    Command::new(systemctl)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::path(Status::Software, "run", systemctl, error))
}
