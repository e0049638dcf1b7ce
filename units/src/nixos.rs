//! the files of a running `switch-to-configuration` → what it restarts by itself, and what an earlier run in it has said.
//!
//! It holds a lock from its beginning to its end, and lists what it will restart before it starts our units. The list stays
//! where it was interrupted, so that it counts only together with the lock. See nixpkgs, `switch-to-configuration-ng`.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs;
use vaultix_generator::profile::Settings;

use crate::bounded;
use crate::systemctl;

const LOCK: &str = "/run/nixos/switch-to-configuration.lock";
/// What it restarts after our units have run, one unit per line.
const RESTART_LIST: &str = "/run/nixos/restart-list";
/// The target that it restarts and waits for: it comes after our units.
const REACTIVATION: &str = "sysinit-reactivation.target";

/// Longest list that is read, in bytes (1 MiB).
const MAX_LIST: u64 = 1 << 20;
/// Longest table of locks that is read, in bytes (16 MiB).
const MAX_LOCKS: u64 = 16 << 20;

/// Returns which of `units` NixOS restarts later in the switch that this process is a part of.
///
/// A switch that a late key has started is no such part, even if it runs at the same time: NixOS may have restarted them
/// before. When in doubt, a unit is restarted twice.
#[must_use]
pub fn restarted_later(settings: &Settings, units: &BTreeSet<String>) -> BTreeSet<String> {
    if units.is_empty() || running().is_none() {
        return BTreeSet::new();
    }
    let list = bounded::read(Path::new(RESTART_LIST), MAX_LIST).unwrap_or_default();
    let list = String::from_utf8_lossy(&list);
    let later: BTreeSet<String> =
        list.lines().filter(|line| units.contains(*line)).map(str::to_owned).collect();
    if later.is_empty() || !systemctl::has_job(&settings.systemctl, REACTIVATION).unwrap_or(false) {
        return BTreeSet::new();
    }
    later
}

/// Returns what identifies the `switch-to-configuration` that is running, `None` if none is.
///
/// The lock is not tried: whoever holds it for a moment makes one that starts at that moment fail.
#[must_use]
pub fn running() -> Option<String> {
    let lock = std::fs::metadata(LOCK).ok()?;
    let device = (fs::major(lock.dev()), fs::minor(lock.dev()));
    let table = bounded::read(Path::new("/proc/locks"), MAX_LOCKS).ok()?;
    let holder = holder(str::from_utf8(&table).ok()?, device, lock.ino())?;
    let stat = bounded::read(Path::new(&format!("/proc/{holder}/stat")), MAX_LIST).ok()?;
    Some(format!("{holder} {}", start_time(&String::from_utf8_lossy(&stat))?))
}

/// Returns the process that holds the exclusive lock of flock(2) on a file, from the text of `/proc/locks`.
///
/// Rule: `proc_locks(5)`: `1: FLOCK  ADVISORY  WRITE 1234 00:18:567 0 EOF`; one that waits has `->` after the number.
fn holder(table: &str, (major, minor): (u32, u32), inode: u64) -> Option<u32> {
    let file = format!("{major:02x}:{minor:02x}:{inode}");
    table.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (_, kind, _, access) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let (process, place) = (words.next()?, words.next()?);
        (kind == "FLOCK" && access == "WRITE" && place == file).then(|| process.parse().ok())?
    })
}

/// Returns when a process was started, from the text of `/proc/PID/stat`: the number alone may be another process by now.
///
/// Rule: `proc_pid_stat(5)`: the 22nd field; the second, in parentheses, may contain anything.
fn start_time(stat: &str) -> Option<&str> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    const TABLE: &str = "\
1: POSIX  ADVISORY  WRITE 11 00:1a:567 0 EOF
2: FLOCK  ADVISORY  READ  12 00:1a:567 0 EOF
3: FLOCK  ADVISORY  WRITE 13 00:1a:5678 0 EOF
3: -> FLOCK  ADVISORY  WRITE 14 00:1a:567 0 EOF
4: FLOCK  ADVISORY  WRITE 15 00:1b:567 0 EOF
";

    #[test]
    fn only_who_holds_the_whole_lock_on_this_file_counts() {
        assert_eq!(holder(TABLE, (0, 0x1a), 567), None);
        let more = format!("{TABLE}5: FLOCK  ADVISORY  WRITE 16 00:1a:567 0 EOF\n");
        assert_eq!(holder(&more, (0, 0x1a), 567), Some(16));
        assert_eq!(holder(&more, (0, 0x1b), 567), Some(15));
        assert_eq!(holder("", (0, 0), 0), None);
    }

    #[test]
    fn the_name_of_a_process_may_be_anything() {
        let fields: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        let stat = format!("16 (a) 1 (b c) {}", fields.join(" "));
        assert_eq!(start_time(&stat), Some("22"));
        assert_eq!(start_time("16 (a) 1 2"), None);
        assert_eq!(start_time(""), None);
    }
}
