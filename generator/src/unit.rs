//! [`Profile`] → unit files, pure; the order of all generated units is decided here, that of the switch in `units/*.in`.
//!
//! The texts are in `units/*.in`, next to the reasons for their lines.

mod boot;
mod unseal;
mod user;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::escape;
pub use crate::profile::Kind;
use crate::profile::{self, HostKeyKind, Layout, Placement, Profile, RAMFS_PATH, Settings, USERS};
pub use boot::{ITEMS_UNIT, PATHS_UNIT};
pub use unseal::unseal_unit;
pub use user::render as render_user;

const ITEM: &str = include_str!("../../units/vaultix-item@.service.in");
const TARGET: &str = include_str!("../../units/vaultix.target.in");
/// Text of the mount that only root can access.
const RAMFS: &str = include_str!("../../units/vaultix-ramfs.mount.in");
/// Text of its read-only view for everyone.
const VIEW: &str = include_str!("../../units/vaultix-view.mount.in");
/// Text of the unit that hides the ramfs of an earlier release.
const CONVERT: &str = include_str!("../../units/vaultix-convert.service.in");
/// Text of the unit that fails for an invalid profile.
const BAD_PROFILE: &str = include_str!("../../units/vaultix-profile.service.in");
/// Text of the unit that notifies the units of a user.
const NOTIFY: &str = include_str!("../../units/vaultix-notify@.service.in");
/// Text of the unit that waits for a key.
const LATE_KEY_PATH: &str = include_str!("../../units/vaultix-late-key.path.in");
/// Text of the unit that looks for the key, where no event tells that it is there.
const LATE_KEY_TIMER: &str = include_str!("../../units/vaultix-late-key.timer.in");
/// Text of the unit that tries again with the key.
const LATE_KEY_SERVICE: &str = include_str!("../../units/vaultix-late-key.service.in");

/// Text of a drop-in for a unit that switches.
const SWITCH: &str = include_str!("../../units/switch.conf.in");

/// Name of the target that is reached when placing every item has been tried.
pub const TARGET_UNIT: &str = "vaultix.target";
/// Names of the static units that switch: the early items, then all others.
pub const SWITCH_UNITS: [&str; 2] = ["vaultix-switch-early.service", "vaultix-switch.service"];
/// Returns the names of those that there are.
#[must_use]
pub fn switch_units(layout: Layout) -> &'static [&'static str] {
    match layout {
        Layout::Host => &SWITCH_UNITS,
        Layout::User(_) => &USER_SWITCH_UNITS,
    }
}

/// The one that a user's manager has.
const USER_SWITCH_UNITS: [&str; 1] = ["vaultix-switch.service"];
/// Name of the unit that fails for an invalid profile.
pub const PROFILE_UNIT: &str = "vaultix-profile.service";
/// Name of the unit that hides the ramfs of an earlier release.
const CONVERT_UNIT: &str = "vaultix-convert.service";

/// One file or link for the generator's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitFile {
    /// Its path in that directory: a name, or a name in a `.wants` or `.d` directory.
    pub path: String,
    /// What it is.
    pub content: Content,
}

/// What a unit file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file with this text.
    Text(String),
    /// A link to this path.
    Link(String),
}

/// The paths that units contain, besides those in the profile.
pub struct Programs<'a> {
    /// The helper, absolute.
    pub helper: &'a Path,
    /// The profile's path.
    pub profile: &'a Path,
}

/// Renders the units of `profile`, the same bytes for the same profile.
///
/// An invalid item also gets a unit, in which the helper fails with the reason. Without it, a service
/// that waits for the item would only report that a unit does not exist.
#[must_use]
pub fn render(profile: &Profile, programs: &Programs) -> Vec<UnitFile> {
    let settings = &profile.settings;
    let items = items(profile);
    let view = escape::path_unit(&settings.decrypted_mount_point.to_string_lossy(), "mount");
    let sealed = unseal::sealed(profile);
    // What all that decrypts wants and comes after.
    let mut mounts = format!("{view} {CONVERT_UNIT}");
    for unit in sealed.units() {
        mounts.extend([" ", unit]);
    }
    let source = escape::value(&programs.profile.to_string_lossy());
    let mut files = mount(&view, settings, programs).to_vec();
    files.push(unit_file(TARGET_UNIT, TARGET, &[("PROFILE", &source)]));
    files.push(wants_link("sysinit.target", TARGET_UNIT));
    files.extend(late_key(settings, &source, programs));
    files.extend(sealed.render(&source, programs));

    let key_mounts = key_mounts(settings);
    files.extend(switch(&items, &mounts, &key_mounts));
    let units =
        boot::Units { items: &items, settings, source: &source, mounts: &mounts, view: &view };
    files.extend(units.render(programs, &key_mounts));
    let normal = normal_order(&key_mounts);
    let waiting: BTreeSet<&str> = items
        .iter()
        .filter(|item| item.kind == Kind::Secret && waits_for_local_files(item, settings))
        .map(|item| item.id)
        .collect();
    let (template, command) = (without_comments(ITEM), command(programs));
    let parts: Vec<&str> = template.split('@').collect();
    for item in &items {
        let unit = item.kind.unit(item.id);
        let fields = [
            ("KIND", item.kind.name()),
            ("ID", &escape::value(item.id)),
            ("PROFILE", &source),
            ("MOUNTS", &mounts),
            ("VIEW", &view),
            ("ORDER", &order(item, settings, &normal, &waiting)),
            ("EXEC", &command(item.kind, item.id)),
        ];
        let content = Content::Text(fill(&parts, &fields));
        files.push(UnitFile { path: unit.clone(), content });
        files.push(wants_link(ITEMS_UNIT, &unit));
    }
    files.extend(notify(&items, &source, programs));
    files
}

/// Returns the ordering of an item's unit, `normal` being that of items that are not early, and `waiting` the secrets that
/// wait for local file systems.
fn order(item: &ItemUnit, settings: &Settings, normal: &str, waiting: &BTreeSet<&str>) -> String {
    let mut order = if item.early {
        format!("After={}\nBefore={}", boot::EARLY_UNIT, USERS.join(" "))
    } else {
        format!("After={}\n{normal}", boot::BOOT_UNIT)
    };
    let waits = waits_for_local_files(item, settings);
    if waits {
        order = format!("{order}\nAfter={}", boot::LOCAL_FILES);
    }
    if !item.values.is_empty() {
        // Not Requires=: after one failed restart of a secret, the template would stay down for good.
        let values: Vec<_> = item.values.iter().map(|id| Kind::Secret.unit(id)).collect();
        let values = values.join(" ");
        order = format!("{order}\nWants={values}\nAfter={values}");
    }
    let readers =
        item.place.into_iter().flat_map(|it| it.restart_units.iter().chain(&it.reload_units));
    // Not where it waits for local file systems, if only through a secret that it uses: what comes after the item may have to
    // come before these. The order of the boot unit, which waits for neither, is enough unless the item fails.
    let is_free = !waits && item.values.is_disjoint(waiting);
    let later = item.place.into_iter().filter(|_| is_free).flat_map(|it| &it.before);
    let readers: BTreeSet<&str> = readers.chain(later).map(String::as_str).collect();
    if !readers.is_empty() {
        let readers: Vec<&str> = readers.into_iter().collect();
        order = format!("{order}\nBefore={}", readers.join(" "));
    }
    order
}

/// Returns whether the unit of an item waits for local file systems, since it also puts the item at a path on one.
fn waits_for_local_files(item: &ItemUnit, settings: &Settings) -> bool {
    let is_there = |place: &Placement| {
        settings.is_custom(place) && settings.late_mount_of(&place.path).is_none()
    };
    !item.early && item.place.is_some_and(is_there)
}

/// Returns the units that items of a phase come before, `early` or not.
fn later_units<'a>(items: &[ItemUnit<'a>], early: bool) -> Vec<&'a str> {
    let units: BTreeSet<&str> = items
        .iter()
        .filter(|item| item.early == early)
        .filter_map(|item| item.place)
        .flat_map(|place| place.before.iter().map(String::as_str))
        .collect();
    units.into_iter().collect()
}

/// Returns the name of the unit that notifies the units of the user `uid`.
#[must_use]
pub fn notify_unit(uid: u32) -> String {
    format!("vaultix-notify@{uid}.service")
}

/// Renders the template of the units that notify units of users, if there are any.
fn notify(items: &[ItemUnit], source: &str, programs: &Programs) -> Option<UnitFile> {
    let is_needed = items
        .iter()
        .filter_map(|item| item.place)
        .any(|place| !place.restart_user_units.is_empty() || !place.reload_user_units.is_empty());
    let exec = format!("{} notify{}", helper(programs), profile_option(programs));
    let fields = [("PROFILE", source), ("EXEC", &exec)];
    is_needed.then(|| unit_file("vaultix-notify@.service", NOTIFY, &fields))
}

/// Renders the two mounts, `view` being the name of the second, and the unit that makes them from the single mount of an
/// earlier release.
///
/// Units that need the mounts also want that unit directly: systemd drops the job of a mount that is already active, and
/// everything that only this job has pulled in.
fn mount(view: &str, settings: &Settings, programs: &Programs) -> [UnitFile; 3] {
    let ramfs = escape::path_unit(RAMFS_PATH, "mount");
    let exec = format!("{} convert{}", helper(programs), profile_option(programs));
    let fields = [
        ("PROFILE", &*escape::value(&programs.profile.to_string_lossy())),
        ("RAMFS", &ramfs),
        ("RAMFS_PATH", RAMFS_PATH),
        ("VIEW", view),
        ("VIEW_PATH", &escape::value(&settings.decrypted_mount_point.to_string_lossy())),
        ("EXEC", &exec),
    ];
    [(&*ramfs, RAMFS), (view, VIEW), (CONVERT_UNIT, CONVERT)]
        .map(|(unit, template)| unit_file(unit, template, &fields))
}

/// Renders the only unit of an invalid profile: it fails with `reason`.
#[must_use]
pub fn render_bad_profile(reason: &str, programs: &Programs) -> Vec<UnitFile> {
    let fields = [
        ("PROFILE", escape::value(&programs.profile.to_string_lossy())),
        ("EXEC", format!("{} fail -- {}", helper(programs), escape::argument(reason))),
    ];
    vec![
        unit_file(
            PROFILE_UNIT,
            BAD_PROFILE,
            &fields.each_ref().map(|(name, value)| (*name, value.as_str())),
        ),
        wants_link("sysinit.target", PROFILE_UNIT),
    ]
}

/// What the unit of an item depends on.
struct ItemUnit<'a> {
    /// Whether it is a secret or a template.
    kind: Kind,
    id: &'a str,
    /// Whether it is needed before users exist.
    early: bool,
    /// For a template, the ids of the secrets that it uses.
    values: BTreeSet<&'a str>,
    /// Where it is placed; `None` when it is invalid.
    place: Option<&'a Placement>,
}

/// Returns all items, secrets first, each kind sorted by id.
fn items(profile: &Profile) -> Vec<ItemUnit<'_>> {
    let secrets = profile.secrets.iter().map(|(id, secret)| ItemUnit {
        kind: Kind::Secret,
        id,
        early: profile.early.contains(id),
        values: BTreeSet::new(),
        place: secret.as_ref().ok().map(|secret| &secret.placement),
    });
    let templates = profile.templates.iter().map(|(id, template)| ItemUnit {
        kind: Kind::Template,
        id,
        early: profile.early.contains(id),
        values: template
            .as_ref()
            .map(|template| template.secrets(&profile.placeholders))
            .unwrap_or_default(),
        place: template.as_ref().ok().map(|template| &template.placement),
    });
    secrets.chain(templates).collect()
}

/// Returns the names of the mounts that may contain a host key. A sealed one is read by a unit of its own, which waits for them.
fn key_mounts(settings: &Settings) -> String {
    let keys = settings.host_keys.iter().filter(|key| key.kind != HostKeyKind::Credential);
    mounts_of(settings, keys.map(|key| &*key.path))
}

/// Returns the names of the mounts that may contain one of `files`.
///
/// Every directory on the way to a key may be a mount point, and so may the key itself, so there is one name for each; names
/// that do not exist are ignored. `WantsMountsFor=` does the same since systemd 256. `RequiresMountsFor=` does not: an
/// item whose mount failed would not run, and would not be shown as failed.
fn mounts_of<'a>(settings: &Settings, files: impl Iterator<Item = &'a Path>) -> String {
    let mut mounts = BTreeSet::new();
    for file in files {
        mounts.extend(
            file.ancestors()
                .filter(|path| *path != Path::new("/"))
                // A late one comes after the network, perhaps: the file is waited for in another way.
                .filter(|path| !settings.late_mounts.iter().any(|mount| mount == path))
                .map(|path| escape::path_unit(&path.to_string_lossy(), "mount"))
                // systemd has no units with longer names, and warns about them.
                .filter(|name| name.len() <= escape::MAX_UNIT_NAME),
        );
    }
    mounts.into_iter().collect::<Vec<_>>().join(" ")
}

/// Returns the ordering of an item that is not early: after users, and after the mounts of the host keys.
///
/// Early items do not have it: ordered after a mount, they would form a cycle through userborn and
/// local-fs-pre.target, at boot or at shutdown.
fn normal_order(key_mounts: &str) -> String {
    let users = USERS.join(" ");
    if key_mounts.is_empty() {
        format!("After={users}")
    } else {
        format!("After={users}\nWants={key_mounts}\nAfter={key_mounts}")
    }
}

/// Renders drop-ins for the two static units. The early one does not wait for keys, like early items.
fn switch(items: &[ItemUnit], mounts: &str, key_mounts: &str) -> [UnitFile; 2] {
    let all = format!("{mounts} {key_mounts}");
    let [early, normal] = SWITCH_UNITS;
    [(early, true, mounts), (normal, false, all.trim_end())].map(|(unit, early, mounts)| {
        let mut order = format!("Wants={mounts}\nAfter={mounts}");
        let later = later_units(items, early);
        if !later.is_empty() {
            order = format!("{order}\nBefore={}", later.join(" "));
        }
        unit_file(format!("{unit}.d/50-vaultix.conf"), SWITCH, &[("ORDER", &order)])
    })
}

/// Returns the name of the unit that waits for the host key `path`, `None` if that could decrypt nothing.
///
/// One unit for each key, so that a helper can wait for the one that is missing: a unit that waits for several would be
/// triggered by one that exists, and would try again forever.
#[must_use]
pub fn late_key_unit(settings: &Settings, path: &Path) -> Option<String> {
    let at = profile::fitting_keys(settings).position(|key| key.path == path)?;
    Some(if at == 0 {
        "vaultix-late-key.path".to_owned()
    } else {
        format!("vaultix-late-key-{}.path", at + 1)
    })
}

/// Returns the units that wait for host keys, each with its key: a key that is listed twice has only one unit.
#[must_use]
pub fn late_key_units(settings: &Settings) -> BTreeMap<String, &Path> {
    profile::fitting_keys(settings)
        .filter_map(|key| Some((late_key_unit(settings, &key.path)?, &*key.path)))
        .collect()
}

/// Renders the units that try again when a host key comes late.
fn late_key(settings: &Settings, source: &str, programs: &Programs) -> Vec<UnitFile> {
    let exec = format!("{} retry{}", helper(programs), profile_option(programs));
    let files = late_key_units(settings).into_iter().flat_map(|(unit, path)| {
        let (timer, service) = (late_key_timer(&unit), with_suffix(&unit, "service"));
        let fields = [
            ("PROFILE", source),
            ("PATH", &*escape::value(&path.to_string_lossy())),
            ("TIMER", &timer),
            ("EXEC", &exec),
        ];
        [(&unit, LATE_KEY_PATH), (&timer, LATE_KEY_TIMER), (&service, LATE_KEY_SERVICE)]
            .map(|(unit, template)| unit_file(unit, template, &fields))
    });
    files.collect()
}

/// Returns the name of the timer beside the unit `path_unit` that waits for a host key.
#[must_use]
pub fn late_key_timer(path_unit: &str) -> String {
    with_suffix(path_unit, "timer")
}

/// Returns the name of the unit that has the name of `path_unit` and another suffix.
fn with_suffix(path_unit: &str, suffix: &str) -> String {
    format!("{}.{suffix}", path_unit.trim_end_matches(".path"))
}

/// Returns the helper as the first word of a command line.
fn helper(programs: &Programs) -> String {
    escape::program(&programs.helper.to_string_lossy())
}

/// Returns the helper's option for the profile, with leading spaces; nothing for the default profile.
fn profile_option(programs: &Programs) -> String {
    if programs.profile == Path::new(profile::DEFAULT_PATH) {
        String::new()
    } else {
        format!(" --profile {}", escape::argument(&programs.profile.to_string_lossy()))
    }
}

/// Returns a function that makes the command line of an item's unit.
fn command(programs: &Programs) -> impl Fn(Kind, &str) -> String {
    let (helper, profile) = (helper(programs), profile_option(programs));
    move |kind, id| format!("{helper} {}{profile} -- {}", kind.name(), escape::argument(id))
}

/// Returns the link that makes `by` want `unit`.
fn wants_link(by: &str, unit: &str) -> UnitFile {
    UnitFile { path: format!("{by}.wants/{unit}"), content: Content::Link(format!("../{unit}")) }
}

/// Fills `fields` into `template`, in one pass.
fn unit_file(path: impl Into<String>, template: &str, fields: &[(&str, &str)]) -> UnitFile {
    let template = without_comments(template);
    let parts: Vec<&str> = template.split('@').collect();
    UnitFile { path: path.into(), content: Content::Text(fill(&parts, fields)) }
}

/// Returns `template` as it is written: without comments, and with a blank line only before each section.
fn without_comments(template: &str) -> String {
    let mut bare = "# Made by vaultix-generator.\n".to_owned();
    for line in template.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if line.starts_with('[') {
            bare.push('\n');
        }
        bare.push_str(line);
        bare.push('\n');
    }
    bare
}

/// Joins `parts`, a template that was split at each `@`, with the values of the fields in place of their names; other
/// `@` signs stay.
fn fill(parts: &[&str], fields: &[(&str, &str)]) -> String {
    let lengths = parts.iter().chain(fields.iter().map(|(_, value)| value)).map(|it| it.len() + 1);
    let mut filled = String::with_capacity(lengths.sum());
    let mut parts = parts.iter();
    filled.push_str(parts.next().copied().unwrap_or_default());
    let mut literal = "@";
    for part in parts {
        if let Some((_, value)) = fields.iter().find(|(name, _)| name == part) {
            filled.push_str(value);
            literal = "";
        } else {
            filled.push_str(literal);
            filled.push_str(part);
            literal = "@";
        }
    }
    filled
}
