//! items that have changed → units of users' managers that are notified, by a process of each user.
//!
//! The helper writes down which units to notify, where their user can read it, and starts `vaultix-notify@UID.service`, which
//! runs this program as that user. It talks to a manager that runs, and never starts one; a manager that hangs holds up only
//! that unit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use vaultix_generator::profile::{Manager, Placement, Settings, Systemctl};
use vaultix_generator::status::Status;
use vaultix_generator::unit::notify_unit;

use crate::bounded;
use crate::failure::{Failure, Level, log};
use crate::owner::Accounts;
use crate::plaintext::Plaintext;
use crate::ramfs::{NOTICES, Ramfs};
use crate::systemctl::{self, Job};

/// Longest notice that is read, in bytes (1 MiB).
const MAX_NOTICE: u64 = 1 << 20;

/// Jobs for units of one user.
#[derive(Default)]
struct Notice {
    restart: BTreeSet<String>,
    reload: BTreeSet<String>,
}

impl Notice {
    /// Reads what [`Notice::to_text`] has written.
    fn parse(text: &str) -> Self {
        let mut notice = Self::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("restart", unit)) => drop(notice.restart.insert(unit.to_owned())),
                Some(("reload", unit)) => drop(notice.reload.insert(unit.to_owned())),
                _ => {}
            }
        }
        notice
    }

    /// Returns its text: a job and a unit in each line.
    fn to_text(&self) -> String {
        let restart = self.restart.iter().map(|unit| format!("restart {unit}\n"));
        restart.chain(self.reload.iter().map(|unit| format!("reload {unit}\n"))).collect()
    }

    /// Adds the jobs of `other`.
    fn add(&mut self, other: Self) {
        self.restart.extend(other.restart);
        self.reload.extend(other.reload);
    }
}

/// Notifies the units of users that read items which have changed. A user who does not exist has no units.
///
/// # Errors
///
/// [`Status::CantCreat`] for the file with the notice, [`Status::Software`] when systemd cannot be reached.
pub fn notify<'a>(
    ramfs: &Ramfs,
    settings: &Settings,
    changed: impl IntoIterator<Item = &'a Placement>,
) -> Result<(), Failure> {
    let mut accounts = Accounts::default();
    for (user, mut notice) in notices(changed) {
        let uid = match accounts.user(user) {
            Ok(uid) => uid,
            Err(failure) => {
                let reason = failure.reason;
                log(Level::Warning, &format!("cannot notify the units of \"{user}\": {reason}"));
                continue;
            }
        };
        let unit = notify_unit(uid);
        // One that has not been passed on yet stays.
        if !systemctl::is_idle(&settings.systemctl, &unit)?
            && let Some(text) = ramfs.notice(uid)?
        {
            notice.add(Notice::parse(str::from_utf8(text.expose()).unwrap_or_default()));
        }
        ramfs.write_notice(uid, &Plaintext::new(notice.to_text().into_bytes()))?;
        // One that is running may have read the older notice.
        systemctl::queue(&settings.systemctl, Job::Restart, &[unit])?;
    }
    Ok(())
}

/// Returns what to tell whom.
fn notices<'a>(changed: impl IntoIterator<Item = &'a Placement>) -> BTreeMap<&'a str, Notice> {
    let mut notices: BTreeMap<&str, Notice> = BTreeMap::new();
    for place in changed {
        for (user, units) in &place.restart_user_units {
            notices.entry(user).or_default().restart.extend(units.iter().cloned());
        }
        for (user, units) in &place.reload_user_units {
            notices.entry(user).or_default().reload.extend(units.iter().cloned());
        }
    }
    notices
}

/// Passes the notice for the user that runs this program on to the user's manager.
///
/// # Errors
///
/// [`Status::NoInput`] without a notice, [`Status::Software`] when the manager cannot be reached.
pub fn pass_on(settings: &Settings) -> Result<(), Failure> {
    let uid = rustix::process::getuid().as_raw();
    let path = settings.decrypted_mount_point.join(NOTICES).join(uid.to_string());
    let text = bounded::read(Path::new(&path), MAX_NOTICE)
        .map_err(|error| Failure::path(Status::NoInput, "read", &path, error))?;
    let Notice { restart, mut reload } = Notice::parse(&String::from_utf8_lossy(&text));
    reload.retain(|unit| !restart.contains(unit));
    let units = |units: BTreeSet<String>| units.into_iter().collect::<Vec<_>>();
    let systemctl =
        Systemctl { manager: Manager::User, program: settings.systemctl.program.clone() };
    systemctl::queue(&systemctl, Job::TryRestart, &units(restart))?;
    systemctl::queue(&systemctl, Job::TryReload, &units(reload))
}

#[cfg(test)]
mod tests {
    use super::Notice;
    use pretty_assertions::assert_eq;

    #[test]
    fn a_notice_is_read_as_it_was_written() {
        let text = "restart a@b.service\nrestart c.service\nreload d.socket\n";
        assert_eq!(Notice::parse(text).to_text(), text);
        assert_eq!(Notice::parse("").to_text(), "");
        let mut notice = Notice::parse("reload a.service\n");
        notice.add(Notice::parse("restart b.service\nnoise\n"));
        assert_eq!(notice.to_text(), "restart b.service\nreload a.service\n");
    }
}
