//! units to notify of a change → jobs in systemd's queue.

use std::collections::BTreeSet;
use std::process::{Child, Command, Output, Stdio};

pub use vaultix_generator::profile::USERBORN;
use vaultix_generator::profile::{Manager, Placement, Settings, Systemctl};
use vaultix_generator::status::Status;

use crate::failure::{Failure, Level, log};

/// The option for the manager of the user.
const OF_USER: &str = "--user";

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Starts what is stopped or failed.
    Start,
    /// Stops.
    Stop,
    /// Restarts, and starts what is stopped.
    Restart,
    /// Restarts if it is running.
    TryRestart,
    /// Reloads if it is running, or restarts if it cannot be reloaded.
    TryReload,
}

impl Job {
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

/// Queues `job` for each of `units` with the program `systemctl`.
///
/// Never waits for a job: one that is ordered after the unit that runs this program would wait for it in turn. A job that
/// systemd refuses, most often because the unit does not exist, is only a warning: there is nothing to notify.
///
/// # Errors
///
/// [`Status::Software`] when the program cannot be run, or does not reach systemd.
pub fn queue(systemctl: &Systemctl, job: Job, units: &[String]) -> Result<(), Failure> {
    if units.is_empty() {
        return Ok(());
    }
    request(systemctl, job, units).map(warn)
}

/// Stops `units`, and waits until they are stopped. Only for units that no job is ordered after.
///
/// # Errors
///
/// As [`queue`].
pub fn stop(systemctl: &Systemctl, units: &[String]) -> Result<(), Failure> {
    if units.is_empty() {
        return Ok(());
    }
    ask(systemctl, &["--no-ask-password", "stop", "--"], units).map(warn)
}

/// Clears the failures of units whose names fit `patterns`, so that they do not count as failed until they are tried again.
///
/// # Errors
///
/// As [`queue`].
pub fn reset_failed(systemctl: &Systemctl, patterns: &[String]) -> Result<(), Failure> {
    ask(systemctl, &["--no-ask-password", "reset-failed", "--"], patterns).map(warn)
}

/// Returns whether one of `units` has failed.
///
/// # Errors
///
/// [`Status::Software`] when the program cannot be run.
pub fn has_failed(systemctl: &Systemctl, units: &[String]) -> Result<bool, Failure> {
    let args = ["is-failed", "--quiet", "--"].into_iter();
    let output = run(systemctl, args.chain(units.iter().map(String::as_str)))?;
    Ok(output.status.success())
}

/// Returns whether a job for `unit` is queued or running.
///
/// # Errors
///
/// [`Status::Software`] when the program cannot be run.
pub fn has_job(systemctl: &Systemctl, unit: &str) -> Result<bool, Failure> {
    Ok(property(systemctl, "Job", unit)?.is_some_and(|job| !matches!(&*job, "" | "0")))
}

/// Returns whether `unit` does not run, and no job for it is queued.
///
/// # Errors
///
/// [`Status::Software`] when the program cannot be run.
pub fn is_idle(systemctl: &Systemctl, unit: &str) -> Result<bool, Failure> {
    let state = property(systemctl, "ActiveState", unit)?;
    let is_down = state.is_some_and(|state| matches!(&*state, "inactive" | "failed"));
    Ok(is_down && !has_job(systemctl, unit)?)
}

/// Returns a property of `unit`; `None` if systemd does not answer. Of a job, the number; `0` or nothing if there is none.
fn property(systemctl: &Systemctl, name: &str, unit: &str) -> Result<Option<String>, Failure> {
    let output = run(systemctl, ["show", "--property", name, "--value", "--", unit])?;
    let value = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(output.status.success().then_some(value))
}

/// Starts `unit` itself, and nothing that it wants; jobs that come before it still do.
///
/// # Errors
///
/// As [`queue`].
pub fn start_alone(systemctl: &Systemctl, unit: &str) -> Result<(), Failure> {
    let args =
        ["--no-block", "--no-ask-password", "--job-mode=ignore-requirements", "start", "--", unit];
    let output = run(systemctl, args)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(Status::Software, format!("cannot start {unit}: {}", said.trim())))
}

/// Returns the names of the units of items that are in one of `states` (`failed,active`).
///
/// # Errors
///
/// As [`queue`].
pub fn items_in(systemctl: &Systemctl, states: &str) -> Result<BTreeSet<String>, Failure> {
    let state = format!("--state={states}");
    let words = ["list-units", "--all", "--plain", "--full", "--no-legend", "--no-pager", &*state];
    let output =
        run(systemctl, words.into_iter().chain(["--", "vaultix-secret@*", "vaultix-template@*"]))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(Status::Software, format!("cannot list units: {}", said.trim())));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().next())
        .map(str::to_owned)
        .collect())
}

/// Starts a program that ends when the boot is over, and returns it.
///
/// # Errors
///
/// [`Status::Software`] when it cannot be run.
pub(crate) fn wait_for_boot(systemctl: &Systemctl) -> Result<Child, Failure> {
    command(systemctl)
        .args(["is-system-running", "--wait", "--quiet"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| Failure::path(Status::Software, "run", &systemctl.program, error))
}

/// Notifies the consumers of items that have changed, each once: a unit that is restarted is not reloaded as well.
///
/// Those that `is_restarted_later` returns are left out: somebody else restarts them, after this.
///
/// # Errors
///
/// As [`queue`].
pub fn notify_consumers<'a>(
    settings: &Settings,
    changed: impl IntoIterator<Item = &'a Placement>,
    is_restarted_later: impl FnOnce(&BTreeSet<String>) -> BTreeSet<String>,
) -> Result<(), Failure> {
    let (mut restart, mut reload) = (BTreeSet::new(), BTreeSet::new());
    for place in changed {
        restart.extend(place.restart_units.iter().cloned());
        reload.extend(place.reload_units.iter().cloned());
    }
    let later = is_restarted_later(&restart.union(&reload).cloned().collect());
    let reload: Vec<String> =
        reload.difference(&restart).filter(|unit| !later.contains(*unit)).cloned().collect();
    let restart: Vec<String> = restart.difference(&later).cloned().collect();
    queue(&settings.systemctl, Job::TryRestart, &restart)?;
    queue(&settings.systemctl, Job::TryReload, &reload)
}

/// Makes userborn read its files again: an early item may be a password. A host that creates its users in another way has no
/// such unit, and nothing is done.
///
/// # Errors
///
/// As [`queue`].
pub fn restart_userborn(settings: &Settings) -> Result<(), Failure> {
    request(&settings.systemctl, Job::TryRestart, &[USERBORN.to_owned()]).map(drop)
}

/// Requests `job` for each of `units` from systemd; returns why one was refused, if one was.
fn request(systemctl: &Systemctl, job: Job, units: &[String]) -> Result<Option<String>, Failure> {
    ask(systemctl, &["--no-block", "--no-ask-password", job.verb(), "--"], units)
}

/// Warns of what was refused.
fn warn(refusal: Option<String>) {
    if let Some(refusal) = refusal {
        log(Level::Warning, &refusal);
    }
}

/// Runs the program with `args`, the last but one of which is the verb, for `units`; returns why it refused, if it did.
fn ask(systemctl: &Systemctl, args: &[&str], units: &[String]) -> Result<Option<String>, Failure> {
    let output = run(systemctl, args.iter().copied().chain(units.iter().map(String::as_str)))?;
    if output.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let verb = args.iter().rev().nth(1).copied().unwrap_or_default();
    let refusal = format!("cannot {verb} {}: {}", units.join(" "), said.trim());
    if output.status.code().is_some() && is_reachable(systemctl)? {
        return Ok(Some(refusal));
    }
    Err(Failure::new(Status::Software, refusal))
}

/// Returns whether systemd responds. The exit status of a job that was not queued does not show that: it is 1 both for a unit
/// that is masked and if systemd is not running.
fn is_reachable(systemctl: &Systemctl) -> Result<bool, Failure> {
    let output = run(systemctl, ["show", "--property=Version"])?;
    Ok(output.status.success())
}

fn run<'a>(
    systemctl: &Systemctl,
    args: impl IntoIterator<Item = &'a str>,
) -> Result<Output, Failure> {
    command(systemctl)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::path(Status::Software, "run", &systemctl.program, error))
}

/// Returns the program, told which manager to talk to.
fn command(systemctl: &Systemctl) -> Command {
    let mut command = Command::new(&systemctl.program);
    if systemctl.manager == Manager::User {
        command.arg(OF_USER);
    }
    command
}
