//! units to be told of a change → jobs in systemd's queue.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::failure::{Level, say};

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

/// Queues `job` for each of `units` with the program `systemctl`.
///
/// Never waits for a job: one that is ordered behind the unit we run in would wait for us in turn. A job that
/// cannot be queued, most often for a unit that does not exist, is a warning: the file is in place.
pub fn queue(systemctl: &Path, job: Job, units: &[String]) {
    if units.is_empty() {
        return;
    }
    let status = Command::new(systemctl)
        .args(["--no-block", "--no-ask-password", job.verb(), "--"])
        .args(units)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    let reason = match status {
        Ok(status) if status.success() => return,
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let units = units.join(" ");
    say(
        Level::Warning,
        &format!("cannot queue \"{} {units}\": {}: {reason}", job.verb(), systemctl.display()),
    );
}
