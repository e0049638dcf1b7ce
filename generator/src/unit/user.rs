//! the profile of a user → the units of that user's manager.
//!
//! They are made when the configuration is built, and not by a generator of that manager: so they name the profile by where it
//! will be, below the user's directory for configurations.

use std::collections::BTreeSet;

use super::{
    ItemUnit, Programs, TARGET_UNIT, USER_SWITCH_UNITS, UnitFile, fill, helper, items,
    late_key_timer, late_key_units, unit_file, wants_link, with_suffix, without_comments,
};
use crate::escape;
use crate::profile::{Kind, Profile, Settings};
use crate::unit::{Content, ITEMS_UNIT};

const ITEM: &str = include_str!("../../../units/user/vaultix-item@.service.in");
const TARGET: &str = include_str!("../../../units/user/vaultix.target.in");
const ITEMS: &str = include_str!("../../../units/user/vaultix-items.target.in");
const SWITCH: &str = include_str!("../../../units/user/vaultix-switch.service.in");
const LATE_KEY_PATH: &str = include_str!("../../../units/user/vaultix-late-key.path.in");
const LATE_KEY_TIMER: &str = include_str!("../../../units/user/vaultix-late-key.timer.in");
const LATE_KEY_SERVICE: &str = include_str!("../../../units/user/vaultix-late-key.service.in");

/// The profile, as units name it. systemd fills in the directory, see "Specifiers" in systemd.unit(5).
const PROFILE: &str = "%E/vaultix/profile.json";

/// Renders the units of `profile`, the same bytes for the same profile.
#[must_use]
pub fn render(profile: &Profile, programs: &Programs) -> Vec<UnitFile> {
    let command = |words: &str| format!("{} {words} --user --profile {PROFILE}", helper(programs));
    let mut files = vec![
        unit_file(TARGET_UNIT, TARGET, &[]),
        wants_link("default.target", TARGET_UNIT),
        unit_file(ITEMS_UNIT, ITEMS, &[]),
    ];
    for unit in USER_SWITCH_UNITS {
        files.push(unit_file(unit, SWITCH, &[("EXEC", &command("switch"))]));
    }
    files.extend(late_key(&profile.settings, &command("retry")));
    let template = without_comments(ITEM);
    let parts: Vec<&str> = template.split('@').collect();
    for item in &items(profile) {
        let unit = item.kind.unit(item.id);
        let kind = item.kind.name();
        let exec = format!("{} -- {}", command(kind), escape::argument(item.id));
        let fields = [
            ("KIND", kind),
            ("ID", &escape::value(item.id)),
            ("ORDER", &order(item)),
            ("EXEC", &exec),
        ];
        files.push(UnitFile { path: unit.clone(), content: Content::Text(fill(&parts, &fields)) });
        files.push(wants_link(ITEMS_UNIT, &unit));
    }
    files
}

/// Returns the ordering of an item's unit, each line of it after a line break.
fn order(item: &ItemUnit) -> String {
    let mut order = String::new();
    if !item.values.is_empty() {
        // Not Requires=: after one failed restart of a secret, the template would stay down for good.
        let values: Vec<String> = item.values.iter().map(|id| Kind::Secret.unit(id)).collect();
        let values = values.join(" ");
        order = format!("\nWants={values}\nAfter={values}");
    }
    let places = item.place.into_iter();
    let readers = places.flat_map(|it| it.restart_units.iter().chain(&it.reload_units));
    let readers: BTreeSet<&str> = readers.map(String::as_str).collect();
    if !readers.is_empty() {
        let readers: Vec<&str> = readers.into_iter().collect();
        order = format!("{order}\nBefore={}", readers.join(" "));
    }
    order
}

/// Renders the units that try again when an identity comes late.
fn late_key(settings: &Settings, exec: &str) -> Vec<UnitFile> {
    let files = late_key_units(settings).into_iter().flat_map(|(unit, path)| {
        let (timer, service) = (late_key_timer(&unit), with_suffix(&unit, "service"));
        let path = escape::value(&path.to_string_lossy());
        let fields = [("PATH", &*path), ("TIMER", &*timer), ("EXEC", exec)];
        [(&unit, LATE_KEY_PATH), (&timer, LATE_KEY_TIMER), (&service, LATE_KEY_SERVICE)]
            .map(|(unit, template)| unit_file(unit, template, &fields))
    });
    files.collect()
}
