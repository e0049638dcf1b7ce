//! any text → a panic, if it is accepted as a profile although it must not be.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use vaultix_generator::profile::{Placement, Profile, Side};

use crate::draw::Draw;
use crate::drawn;

/// Reads a profile for both sides, and checks what was accepted.
pub fn check(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let text = match draw.below(2) {
        0 => String::from_utf8_lossy(draw.rest()).into_owned(),
        _ => drawn::profile(&mut draw).to_string(),
    };
    let host = Profile::parse(&text, Side::Host);
    let desk = Profile::parse(&text, Side::Workspace);
    if let Ok(host) = &host {
        let mut secrets = host.secrets.values().flatten();
        assert!(secrets.all(|secret| secret.key.is_none()
            && !secret.intermediary
            && secret.rotate_days.is_none()));
    }
    match (&host, &desk) {
        (Ok(host), Ok(desk)) => assert_eq!(host.settings, desk.settings),
        (Err(host), Err(desk)) => assert_eq!(host, desk),
        _ => panic!("one side takes it, the other does not: {text}"),
    }
    [host, desk].iter().flatten().for_each(items);
}

/// Checks all items that were accepted.
fn items(profile: &Profile) {
    let mut names = BTreeSet::new();
    let mut paths = BTreeSet::new();
    // What is placed nowhere is in the way of nothing.
    let placed = profile.secrets.iter().filter_map(|(id, one)| Some((id, one.as_ref().ok()?)));
    let placed = placed.filter(|(_, one)| !one.intermediary);
    let secrets = placed.map(|(id, one)| (id, &one.placement));
    let templates =
        profile.templates.iter().filter_map(|(id, one)| Some((id, &one.as_ref().ok()?.placement)));
    for (id, place) in secrets.chain(templates) {
        assert!(!id.is_empty() && !id.contains('\0'), "an id that no argument can be: {id:?}");
        assert_eq!(place.early, profile.early.contains(id));
        one(place);
        assert!(names.insert(place.name.clone()), "two items in one file: {}", place.name);
        assert!(
            paths.insert(place.path.clone()),
            "two items at one path: {}",
            place.path.display()
        );
    }
    for name in &names {
        let inside = names.iter().filter(|other| other.starts_with(&format!("{name}/")));
        assert_eq!(inside.count(), 0, "{name} is a file and a directory");
    }
    for (id, secret) in &profile.secrets {
        assert!(secret.as_ref().is_ok_and(|secret| secret.id == *id) || secret.is_err());
        let Some(key) = secret.as_ref().ok().and_then(|secret| secret.key.as_ref()) else {
            continue;
        };
        let parts: Vec<&str> = key.pointer.split('/').collect();
        assert!(parts.len() > 1 && parts[0].is_empty(), "no pointer: {}", key.pointer);
        let left = key.pointer.replace("~0", "").replace("~1", "");
        assert!(!left.contains('~'), "no pointer: {}", key.pointer);
        assert!("json yaml toml env ini".split(' ').any(|name| name == key.format));
    }
}

/// Checks where one item is placed.
fn one(place: &Placement) {
    let name = Path::new(&place.name);
    let plain = |part: Component| matches!(part, Component::Normal(_));
    assert!(name.components().all(plain), "{} leads elsewhere", place.name);
    assert!(!name.starts_with(".vaultix"), "{} is ours", place.name);
    assert!(place.path.is_absolute() && place.path.components().skip(1).all(plain));
    assert!(place.mode.bits() <= 0o777);
    let is_own = |unit: &&String| unit.starts_with("vaultix");
    assert_eq!(place.before.iter().find(is_own), None, "our units have their own order");
    if !place.early {
        let users = ["userborn.service", "systemd-sysusers.service"];
        let cycle = place.before.iter().find(|unit| users.contains(&unit.as_str()));
        assert_eq!(cycle, None, "users come first");
    }
    for account in [&place.owner, &place.group] {
        assert!(!account.is_empty() && !account.contains([':', '\n']), "{account:?}");
        assert!(!place.early || account == "root" || account.parse::<u32>().is_ok());
    }
}
