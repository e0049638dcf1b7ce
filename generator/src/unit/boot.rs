//! profile → the units that place all items at boot, in a process for each phase, and those that follow them.

use std::collections::BTreeSet;
use std::path::Path;

use super::{
    ItemUnit, Programs, Settings, TARGET_UNIT, UnitFile, helper, later_units, normal_order,
    profile_option, unit_file, wants_link,
};
use crate::escape;
use crate::profile::USERS;

/// Text of the unit that places all items of a phase.
const BOOT: &str = include_str!("../../../units/vaultix-boot.service.in");
/// Text of the unit that starts the items' units if that one dies.
const BOOT_FAILED: &str = include_str!("../../../units/vaultix-boot-failed.service.in");
/// Text of the units that put items at paths of their own.
const PATHS: &str = include_str!("../../../units/vaultix-paths.service.in");
/// Text of the unit that starts the items' units once the boot is over.
const REST: &str = include_str!("../../../units/vaultix-rest.service.in");
/// Text of the target of all items.
const ITEMS: &str = include_str!("../../../units/vaultix-items.target.in");

/// Name of the target of all items' units.
pub const ITEMS_UNIT: &str = "vaultix-items.target";
/// Name of the unit that puts items at paths of their own on local file systems.
pub const PATHS_UNIT: &str = "vaultix-paths.service";
/// Name of the unit that places the items that are not early.
pub(super) const BOOT_UNIT: &str = "vaultix-boot.service";
/// Name of the unit that places the early items.
pub(super) const EARLY_UNIT: &str = "vaultix-boot-early.service";
/// Name of the unit that starts all items' units if a process dies that places several.
const FAILED_UNIT: &str = "vaultix-boot-failed.service";
/// Name of the unit that does so for the early ones.
const EARLY_FAILED_UNIT: &str = "vaultix-boot-early-failed.service";
/// Name of the unit that starts the items' units once the boot is over.
const REST_UNIT: &str = "vaultix-rest.service";

/// What comes before an item is put at a path of its own.
pub(super) const LOCAL_FILES: &str =
    "local-fs.target systemd-tmpfiles-setup.service vaultix-paths.service";

/// Targets that nothing pulls in but what comes before them, from systemd.special(7).
const PASSIVE: [&str; 7] = [
    "cryptsetup-pre.target",
    "getty-pre.target",
    "integritysetup-pre.target",
    "local-fs-pre.target",
    "network-pre.target",
    "remote-fs-pre.target",
    "veritysetup-pre.target",
];

/// How many units one command of a unit starts. A line of a unit has a limit, of 1 MiB.
const MAX_NAMES: usize = 100;

/// What all these units contain.
pub(super) struct Units<'a> {
    pub(super) items: &'a [ItemUnit<'a>],
    pub(super) settings: &'a Settings,
    /// The profile's path.
    pub(super) source: &'a str,
    /// The mounts of the ramfs.
    pub(super) mounts: &'a str,
    /// The mount that users see.
    pub(super) view: &'a str,
}

impl Units<'_> {
    /// Renders them all.
    pub(super) fn render(&self, programs: &Programs, key_mounts: &str) -> Vec<UnitFile> {
        let command =
            |words: &str| format!("{} {words}{}", helper(programs), profile_option(programs));
        let source = [("PROFILE", self.source)];
        let rest = [("PROFILE", self.source), ("EXEC", &command("rest"))];
        let mut files = vec![unit_file(ITEMS_UNIT, ITEMS, &source)];
        if self.items.is_empty() {
            return files;
        }
        files.push(unit_file(REST_UNIT, REST, &rest));
        files.push(wants_link("multi-user.target", REST_UNIT));
        if self.items.iter().any(|item| item.early) {
            files.extend(self.early(&command("boot --early")));
        }
        if self.items.iter().any(|item| !item.early) {
            files.push(self.normal(&command("boot"), key_mounts));
            files.push(wants_link(TARGET_UNIT, BOOT_UNIT));
        }
        files.extend(self.paths(&command("paths")));
        let before = before(TARGET_UNIT, &later_units(self.items, false));
        files.push(self.failed(FAILED_UNIT, (BOOT_UNIT, &before), &[ITEMS_UNIT.to_owned()]));
        files
    }

    /// Renders the unit that places the early items, before there are users.
    fn early(&self, exec: &str) -> Vec<UnitFile> {
        let users = USERS.join(" ");
        let later = later_units(self.items, true);
        // No mount but the ramfs, as for the items' units.
        let order = self.before_others(format!("Before={users}"), &later);
        let before = before(&format!("{users} {TARGET_UNIT}"), &later);
        let what = "the items that are needed before users exist";
        let names: Vec<String> =
            self.items.iter().filter(|it| it.early).map(|it| it.kind.unit(it.id)).collect();
        let mut files = vec![
            self.boot(EARLY_UNIT, what, (exec, &order, EARLY_FAILED_UNIT)),
            wants_link(TARGET_UNIT, EARLY_UNIT),
            self.failed(EARLY_FAILED_UNIT, (EARLY_UNIT, &before), &names),
        ];
        // Wants=, since userborn must still make the other users when the secret of one fails.
        files.extend(USERS.map(|users| wants_link(users, EARLY_UNIT)));
        files
    }

    /// Renders the unit that places all others.
    fn normal(&self, exec: &str, key_mounts: &str) -> UnitFile {
        let order = format!("After={EARLY_UNIT}\n{}", normal_order(key_mounts));
        let order = self.before_others(order, &later_units(self.items, false));
        self.boot(BOOT_UNIT, "secrets and templates", (exec, &order, FAILED_UNIT))
    }

    /// Adds the order before the units `later`, and before the network, which may need secrets.
    fn before_others(&self, mut order: String, later: &[&str]) -> String {
        if self.settings.before_network {
            order.push_str("\nBefore=network-pre.target\nWants=network-pre.target");
        }
        if !later.is_empty() {
            order = format!("{order}\nBefore={}", later.join(" "));
        }
        let passive: Vec<&str> =
            later.iter().copied().filter(|unit| PASSIVE.contains(unit)).collect();
        if !passive.is_empty() {
            order = format!("{order}\nWants={}", passive.join(" "));
        }
        order
    }

    /// Renders a unit that places many items.
    fn boot(&self, unit: &str, what: &str, (exec, order, failed): (&str, &str, &str)) -> UnitFile {
        unit_file(
            unit,
            BOOT,
            &[
                ("WHAT", what),
                ("PROFILE", self.source),
                ("MOUNTS", self.mounts),
                ("VIEW", self.view),
                ("ORDER", order),
                ("FAILED", failed),
                ("EXEC", exec),
            ],
        )
    }

    /// Renders the unit that starts `units` after and before others.
    fn failed(&self, unit: &str, (after, before): (&str, &str), units: &[String]) -> UnitFile {
        let systemctl = escape::program(&self.settings.systemctl.program.to_string_lossy());
        let commands: Vec<String> = units
            .chunks(MAX_NAMES)
            .map(|names| {
                let names: Vec<String> = names.iter().map(|name| escape::argument(name)).collect();
                format!("{systemctl} --no-block start -- {}", names.join(" "))
            })
            .collect();
        unit_file(
            unit,
            BOOT_FAILED,
            &[
                ("PROFILE", self.source),
                ("AFTER", after),
                ("BEFORE", before),
                ("EXEC", &commands.join("\nExecStart=")),
            ],
        )
    }

    /// Renders the units that put items at paths of their own: one at boot, and one for each late mount.
    fn paths(&self, exec: &str) -> Vec<UnitFile> {
        let mut late: BTreeSet<&Path> = BTreeSet::new();
        let mut is_needed = false;
        let places = self.items.iter().filter_map(|item| item.place);
        for place in places.filter(|place| self.settings.is_custom(place)) {
            match self.settings.late_mount_of(&place.path) {
                Some(mount) => {
                    late.insert(mount);
                }
                None => is_needed = true,
            }
        }
        let order = format!(
            "After=local-fs.target systemd-tmpfiles-setup.service {BOOT_UNIT}\n\
             PartOf={} {TARGET_UNIT}\nOnFailure={FAILED_UNIT}",
            self.view
        );
        let before = format!("{TARGET_UNIT} ");
        // Where no item has such a path, it is started once the boot is over, if an earlier boot has left something.
        let mut files = vec![self.path_unit(PATHS_UNIT, ("", &before, &order), exec)];
        if is_needed {
            files.push(wants_link(TARGET_UNIT, PATHS_UNIT));
        }
        for mount in late {
            let shown = mount.to_string_lossy();
            let unit = paths_unit(mount);
            let mount_unit = escape::path_unit(&shown, "mount");
            let order = format!(
                "BindsTo={mount_unit}\nAfter={mount_unit} {BOOT_UNIT} systemd-tmpfiles-setup.service\n\
                 PartOf={}",
                self.view
            );
            let exec = format!("{exec} --mount {}", escape::argument(&shown));
            let place = format!(" below {}", escape::value(&shown));
            files.push(self.path_unit(&unit, (&place, "", &order), &exec));
            files.push(wants_link(&mount_unit, &unit));
        }
        files
    }

    fn path_unit(
        &self,
        unit: &str,
        (place, before, order): (&str, &str, &str),
        exec: &str,
    ) -> UnitFile {
        let fields = [
            ("PROFILE", self.source),
            ("WHERE", place),
            ("BEFORE", before),
            ("ORDER", order),
            ("EXEC", exec),
        ];
        unit_file(unit, PATHS, &fields)
    }
}

/// Returns `units` and `later` in one list.
fn before(units: &str, later: &[&str]) -> String {
    [&[units], later].concat().join(" ")
}

/// Returns the name of the unit that puts items at their paths below the late mount `mount`.
fn paths_unit(mount: &Path) -> String {
    escape::unit_name("vaultix-paths@", mount.to_string_lossy().trim_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_mount_of_any_length_has_a_unit() {
        assert_eq!(paths_unit(Path::new("/srv/a b")), r"vaultix-paths@srv-a\x20b.service");
        let long = format!("/{}", "x".repeat(240));
        assert!(paths_unit(Path::new(&long)).starts_with("vaultix-paths@sha256-"));
    }
}
