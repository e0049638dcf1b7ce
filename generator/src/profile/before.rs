//! a unit that is to start after an item → nothing, or why that would be a cycle or have no effect.

use std::path::Path;

use super::check::{ensure_user_unit, mount_unit};
use super::fields::Invalid;
use super::{HOST_SECRET, HostKeyKind, RAMFS_PATH, Settings, USERS};

/// Units that only users' managers have, from systemd.special(7). Others have the same names as units of the system.
const OF_USERS: [&str; 6] = [
    "app.slice",
    "background.slice",
    "graphical-session-pre.target",
    "graphical-session.target",
    "session.slice",
    "xdg-desktop-autostart.target",
];

/// What comes before the units that create users, on systemd 252 and 257 and with userborn.
const BEFORE_USERS: [&str; 5] = [
    "kmod-static-nodes.service",
    "systemd-firstboot.service",
    "systemd-fsck-root.service",
    "systemd-remount-fs.service",
    "systemd-tmpfiles-setup-dev-early.service",
];

/// What comes before any file system of a disk is mounted.
const BEFORE_MOUNTS: [&str; 6] = [
    "local-fs-pre.target",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-udev-trigger.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udevd.service",
];

/// Checks that `unit` names a unit that can start after an item, and does not come before it already.
pub(super) fn ensure_before(unit: &str, early: bool, settings: &Settings) -> Result<(), Invalid> {
    ensure_user_unit(unit)?;
    let Some((why, fix)) = obstacle(unit, early, settings) else { return Ok(()) };
    Err(Invalid::here(format!("\"{unit}\" {why}")).fix(fix))
}

/// Returns why `unit` cannot start after an item, and what to do about it.
fn obstacle(unit: &str, early: bool, settings: &Settings) -> Option<(String, &'static str)> {
    let cycle =
        |what: &str| format!("comes before this item: {what}; systemd would drop one of them");
    let later = "list units that start later";
    let earlier = "list units that start later, or add the item to beforeUserborn if its host key is on a file system that the initrd mounts";
    if is_mount_of_ramfs(unit, settings) || unit == "systemd-journald.socket" {
        return Some((cycle("the ramfs that it is placed on needs it"), later));
    }
    if unit.starts_with("vaultix") {
        let why = "is a unit of Vaultix, and they have their own order: every item comes before vaultix.target";
        return Some((why.to_owned(), "remove it"));
    }
    if OF_USERS.contains(&unit) {
        let why = "is a unit of users' managers, which know no unit of the system";
        return Some((
            why.to_owned(),
            "remove it: they start after all items; restartUserUnits notifies their units",
        ));
    }
    if let Some(kind) =
        ["device", "scope", "slice"].into_iter().find(|it| unit.ends_with(&format!(".{it}")))
    {
        return Some((
            format!("is a {kind}, which cannot wait"),
            "list the units that read the item",
        ));
    }
    if early {
        return None;
    }
    if USERS.contains(&unit) || BEFORE_USERS.contains(&unit) {
        return Some((
            cycle("users are created by it or after it, and the item waits for them"),
            earlier,
        ));
    }
    let is_sealed = settings.host_keys.iter().any(|key| key.kind == HostKeyKind::Credential);
    let secret = is_sealed.then_some(Path::new(HOST_SECRET));
    let key = settings.host_keys.iter().map(|key| &*key.path).chain(secret);
    if let Some(key) = key.clone().find(|key| is_mount_of(unit, key, settings)) {
        return Some((cycle(&format!("the host key {} may be on it", key.display())), earlier));
    }
    let key = key.into_iter().next().filter(|_| BEFORE_MOUNTS.contains(&unit))?;
    let what =
        format!("the host key {} may be on a file system that is mounted after it", key.display());
    Some((cycle(&what), earlier))
}

/// Returns whether `unit` mounts the ramfs, its view, or what one of them is on.
fn is_mount_of_ramfs(unit: &str, settings: &Settings) -> bool {
    [Path::new(RAMFS_PATH), &settings.decrypted_mount_point]
        .into_iter()
        .flat_map(Path::ancestors)
        .any(|path| unit == mount_unit(path))
}

/// Returns whether `unit` mounts what the host key `key` may be on, and items wait for it.
fn is_mount_of(unit: &str, key: &Path, settings: &Settings) -> bool {
    key.ancestors()
        .filter(|path| !settings.late_mounts.iter().any(|mount| mount == path))
        .any(|path| unit == mount_unit(path))
}
