//! any profile → its units, read back as systemd reads them: what was meant, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use vaultix_generator::profile::{HostKey, Placement, Profile, Settings, Side};
use vaultix_generator::unit::{Content, Programs, UnitFile, render, render_bad_profile};

use crate::draw::Draw;
use crate::escape::{is_unit_name, systemd_escape};
use crate::meaning::{Meaning, compare};
use crate::{command, drawn};

/// Draws a profile and the programs' paths, renders them, and reads the units back.
pub fn check(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let (helper, source) = (draw.path(), draw.path());
    if !helper.starts_with('/') || format!("{helper}{source}").contains('\0') {
        return; // Such a path cannot occur: the kernel gives the program its own path.
    }
    let programs = Programs { helper: Path::new(&helper), profile: Path::new(&source) };
    let reason = draw.text();
    bad_profile(&render_bad_profile(&reason, &programs), &reason, &helper, &source);
    let text = drawn::profile(&mut draw).to_string();
    if let Ok(profile) = Profile::parse(&text, Side::Host) {
        let files = render(&profile, &programs);
        Expected::new(&profile, &helper, &source).compare(&files);
    }
}

/// Checks the unit of a profile that cannot be used.
fn bad_profile(files: &[UnitFile], reason: &str, helper: &str, source: &str) {
    let [unit, wanted] = files else { panic!("{files:?}") };
    assert_eq!(unit.path, "vaultix-profile.service");
    assert_eq!(wanted.path, "sysinit.target.wants/vaultix-profile.service");
    let words = [helper, "fail", "--", &command::told(reason)].map(str::to_owned);
    compare(
        text_of(unit),
        include_str!("../../../units/vaultix-profile.service.in"),
        &[
            ("@PROFILE@", Meaning::Text(source.to_owned())),
            ("@EXEC@", Meaning::Command(words.to_vec())),
        ],
        &[],
    );
}

/// Returns the text of a file that is not a link.
fn text_of(file: &UnitFile) -> &str {
    match &file.content {
        Content::Text(text) => text,
        Content::Link(target) => panic!("{} is a link to {target}", file.path),
    }
}

/// Returns whether a host key is sealed.
fn is_sealed(key: &HostKey) -> bool {
    format!("{:?}", key.kind) == "Credential"
}

/// Where the ramfs is mounted, which only root may enter.
const RAMFS: &str = "/run/vaultix.private/ramfs";
/// The unit that hides the ramfs of an earlier release.
const CONVERT: &str = "vaultix-convert.service";

/// What the units of a profile must be, worked out without the generator's code.
struct Expected<'a> {
    profile: &'a Profile,
    helper: &'a str,
    source: &'a str,
}

/// An item: its kind and id, the secrets that its text uses, and its placement.
type Item<'a> = (&'static str, &'a str, BTreeSet<&'a str>, Option<&'a Placement>);

/// Units that create users.
const USERS: [&str; 2] = ["systemd-sysusers.service", "userborn.service"];

impl<'a> Expected<'a> {
    fn new(profile: &'a Profile, helper: &'a str, source: &'a str) -> Self {
        Self { profile, helper, source }
    }

    /// Fails unless `files` are exactly what the profile means.
    fn compare(&self, files: &[UnitFile]) {
        let mut left: BTreeMap<&str, &UnitFile> =
            files.iter().map(|file| (&*file.path, file)).collect();
        assert_eq!(left.len(), files.len(), "two files with one name");
        let mut take = |path: &str| {
            left.remove(path).unwrap_or_else(|| panic!("no {path} in {:?}", left.keys()))
        };
        for (by, unit) in self.wants() {
            let file = take(&format!("{by}.wants/{unit}"));
            assert!(is_unit_name(&unit), "{unit}");
            assert_eq!(file.content, Content::Link(format!("../{unit}")));
        }
        self.compare_target(&mut take);
        self.compare_keys(&mut take);
        self.compare_sealed(&mut take);
        for item in self.items() {
            self.compare_item(&mut take, &item);
        }
        self.compare_boot(&mut take);
        let tells_users = |place: &Placement| {
            !place.restart_user_units.is_empty() || !place.reload_user_units.is_empty()
        };
        if self.items().iter().filter_map(|(.., place)| *place).any(tells_users) {
            let template = include_str!("../../../units/vaultix-notify@.service.in");
            let exec = ("@EXEC@", Meaning::Command(self.words(&["notify"])));
            let file = left.remove("vaultix-notify@.service").unwrap();
            compare(text_of(file), template, &[self.source(), exec], &[]);
        }
        assert!(left.is_empty(), "nobody expects {:?}", left.keys());
    }

    fn items(&self) -> Vec<Item<'a>> {
        let secrets = self.profile.secrets.iter().map(|(id, secret)| {
            ("secret", &**id, BTreeSet::new(), secret.as_ref().ok().map(|it| &it.placement))
        });
        let templates = self.profile.templates.iter().map(|(id, template)| {
            let template = template.as_ref().ok();
            let uses = |hash: &str| {
                let digits = [" ", "\t", ""].map(|blank| format!("{{{{{blank}{hash}"));
                template.is_some_and(|it| digits.iter().any(|text| it.content.contains(text)))
            };
            let all = self.profile.placeholders.iter();
            let values = all.filter(|(hash, _)| uses(hash)).map(|(_, id)| &**id).collect();
            ("template", &**id, values, template.map(|it| &it.placement))
        });
        secrets.chain(templates).collect()
    }

    /// Returns which target or unit wants which.
    fn wants(&self) -> Vec<(String, String)> {
        let mut wants = vec![("sysinit.target".to_owned(), "vaultix.target".to_owned())];
        for (kind, id, ..) in self.items() {
            wants.push(("vaultix-items.target".to_owned(), unit(kind, id)));
        }
        wants.extend(self.wants_at_boot());
        wants
    }

    /// Returns the name of the ramfs's unit.
    fn mount(&self) -> String {
        mount_of(&self.profile.settings.decrypted_mount_point)
    }

    /// Returns the names of the units that mount the ramfs and its view, and of those that unseal host keys.
    fn mounts(&self) -> BTreeSet<String> {
        let mounts = [self.mount(), CONVERT.to_owned()].into_iter();
        mounts.chain(self.sealed().into_keys()).collect()
    }

    /// Returns the sealed host keys that could decrypt something, by the units that unseal them.
    fn sealed(&self) -> BTreeMap<String, &'a Path> {
        let settings = &self.profile.settings;
        let is_age = settings.host_pubkey.starts_with("age1");
        let keys = settings.host_keys.iter().filter(|key| is_age && is_sealed(key));
        let unit_of = |path: &Path| unit("unseal", path.to_str().unwrap().trim_matches('/'));
        keys.map(|key| (unit_of(&key.path), &*key.path)).collect()
    }

    /// Compares the units that unseal host keys, and the mount of what they find.
    fn compare_sealed(&self, take: &mut impl FnMut(&str) -> &'a UnitFile) {
        const WHERE: &str = "/run/vaultix.private/identities";
        let sealed = self.sealed();
        if sealed.is_empty() {
            return;
        }
        let mount = mount_of(WHERE);
        let fields = [
            self.source(),
            ("!@WHERE@", Meaning::Path(format!("!{WHERE}"))),
            ("@WHERE@", Meaning::Path(WHERE.to_owned())),
        ];
        let template = include_str!("../../../units/vaultix-identities.mount.in");
        compare(text_of(take(&mount)), template, &fields, &[]);
        for (unit, path) in sealed {
            let path = path.to_str().unwrap();
            let mut wants = BTreeSet::from([mount.clone()]);
            let mut after = wants.clone();
            if self.profile.early.is_empty() {
                let files = [Path::new(path), Path::new("/var/lib/systemd/credential.secret")];
                wants.extend(self.mounts_of(files.into_iter()));
                after.clone_from(&wants);
                after.insert("tpm2.target".to_owned());
            }
            let words = [self.helper, "unseal", "--", path].map(str::to_owned);
            let fields = [
                self.source(),
                (
                    "Vaultix unseals the host key @PATH@",
                    Meaning::Text(format!("Vaultix unseals the host key {path}")),
                ),
                ("@WANTS@", Meaning::Names(wants)),
                ("@AFTER@", Meaning::Names(after)),
                ("@MOUNT@", names([&*mount])),
                ("@NAME@:@PATH@", Meaning::Text(format!("vaultix-host:{path}"))),
                ("@EXEC@", Meaning::Command(words.to_vec())),
            ];
            let template = include_str!("../../../units/vaultix-unseal@.service.in");
            compare(text_of(take(&unit)), template, &fields, &[]);
        }
    }

    /// Returns the command line of the helper with the verb `words`, up to the profile.
    fn words(&self, words: &[&str]) -> Vec<String> {
        let mut all = vec![self.helper];
        all.extend(words);
        if self.source != "/etc/vaultix/profile.json" {
            all.extend(["--profile", self.source]);
        }
        all.into_iter().map(str::to_owned).collect()
    }

    /// Returns the names of all mounts that a host key may be on.
    fn key_mounts(&self) -> BTreeSet<String> {
        let keys = self.profile.settings.host_keys.iter();
        self.mounts_of(keys.filter(|key| !is_sealed(key)).map(|key| &*key.path))
    }

    /// Returns the names of all mounts that one of `files` may be on.
    fn mounts_of<'b>(&self, files: impl Iterator<Item = &'b Path>) -> BTreeSet<String> {
        let way = files.flat_map(Path::ancestors);
        let late = &self.profile.settings.late_mounts;
        let names = way.filter(|path| path.parent().is_some());
        let names = names.filter(|path| late.iter().all(|mount| mount != path)).map(mount_of);
        names.filter(|name| name.len() <= 255).collect()
    }

    /// Returns the expected meaning of `SourcePath=`.
    fn source(&self) -> (&'static str, Meaning) {
        ("@PROFILE@", Meaning::Text(self.source.to_owned()))
    }

    /// Compares the ramfs, the target, and the drop-ins of the units that switch.
    fn compare_target(&self, take: &mut impl FnMut(&str) -> &'a UnitFile) {
        let view = self.profile.settings.decrypted_mount_point.to_str().unwrap();
        let path = |path: &str| Meaning::Path(path.to_owned());
        let fields = [
            self.source(),
            ("!@RAMFS_PATH@", path(&format!("!{RAMFS}"))),
            ("!@VIEW_PATH@", path(&format!("!{view}"))),
            ("@RAMFS_PATH@", path(RAMFS)),
            ("@VIEW_PATH@", path(view)),
            ("@VIEW@", names([&*self.mount()])),
            ("@RAMFS@", names([&*mount_of(RAMFS)])),
            (
                "@RAMFS@ shutdown.target",
                Meaning::Names(BTreeSet::from([mount_of(RAMFS), "shutdown.target".to_owned()])),
            ),
            ("@EXEC@", Meaning::Command(self.words(&["convert"]))),
        ];
        for (name, template) in [
            (mount_of(RAMFS), include_str!("../../../units/vaultix-ramfs.mount.in")),
            (self.mount(), include_str!("../../../units/vaultix-view.mount.in")),
            (CONVERT.to_owned(), include_str!("../../../units/vaultix-convert.service.in")),
        ] {
            compare(text_of(take(&name)), template, &fields, &[]);
        }
        let target = include_str!("../../../units/vaultix.target.in");
        compare(text_of(take("vaultix.target")), target, &[self.source()], &[]);
        for (name, keys) in
            [("vaultix-switch-early", BTreeSet::new()), ("vaultix-switch", self.key_mounts())]
        {
            let mut order: Vec<_> = pair(keys.into_iter().chain(self.mounts()).collect()).into();
            order.extend(self.later(name == "vaultix-switch-early").map(|it| ("Before", it)));
            let file = take(&format!("{name}.service.d/50-vaultix.conf"));
            compare(text_of(file), include_str!("../../../units/switch.conf.in"), &[], &order);
        }
    }

    /// Compares the units that wait for keys.
    fn compare_keys(&self, take: &mut impl FnMut(&str) -> &'a UnitFile) {
        let settings = &self.profile.settings;
        let kind = match settings.host_pubkey.split_whitespace().next().unwrap() {
            "ssh-ed25519" => &["Ed25519"][..],
            "ssh-rsa" => &["Rsa"],
            _ => &["Age", "Credential"],
        };
        let fits = |key: &&HostKey| kind.contains(&&*format!("{:?}", key.kind));
        let keys = settings.host_keys.iter().filter(fits);
        let mut seen = BTreeSet::new();
        for (at, key) in (1..).zip(keys) {
            if !seen.insert(&key.path) {
                continue; // Another unit already waits for it.
            }
            let number = if at == 1 { String::new() } else { format!("-{at}") };
            let name = |kind: &str| format!("vaultix-late-key{number}.{kind}");
            let fields = [
                self.source(),
                ("@PATH@", Meaning::Path(key.path.to_str().unwrap().to_owned())),
                ("@TIMER@", names([&*name("timer")])),
                ("@EXEC@", Meaning::Command(self.words(&["retry"]))),
            ];
            for (kind, template) in [
                ("path", include_str!("../../../units/vaultix-late-key.path.in")),
                ("timer", include_str!("../../../units/vaultix-late-key.timer.in")),
                ("service", include_str!("../../../units/vaultix-late-key.service.in")),
            ] {
                compare(text_of(take(&name(kind))), template, &fields, &[]);
            }
        }
    }

    /// Compares the unit of an item.
    fn compare_item(
        &self,
        take: &mut impl FnMut(&str) -> &'a UnitFile,
        (kind, id, values, place): &Item,
    ) {
        // If the id cannot be an argument, the helper reports that there is no such item.
        let told = command::told(id);
        let mut words = self.words(&[kind]);
        words.extend(["--".to_owned(), told]);
        let exec = || Meaning::Command(words.clone());
        compare(
            text_of(take(&unit(kind, id))),
            include_str!("../../../units/vaultix-item@.service.in"),
            &[
                self.source(),
                ("Vaultix @KIND@ @ID@", Meaning::Text(format!("Vaultix {kind} {id}"))),
                ("@MOUNTS@", Meaning::Names(self.mounts())),
                ("@VIEW@", Meaning::Names(BTreeSet::from([self.mount()]))),
                ("@EXEC@", exec()),
            ],
            &self.order(id, values, *place),
        );
    }

    /// Returns the ordering of an item.
    fn order(
        &self,
        id: &str,
        values: &BTreeSet<&str>,
        place: Option<&Placement>,
    ) -> Vec<(&'static str, Meaning)> {
        let mut order = Vec::new();
        if self.profile.early.contains(id) {
            order.push(("After", names(["vaultix-boot-early.service"])));
            order.push(("Before", names(USERS)));
        } else {
            order.push(("After", names(["vaultix-boot.service"])));
            order.extend(self.normal_order());
            if place.is_some_and(|place| self.comes_after_files(place)) {
                let local = ["local-fs.target", "systemd-tmpfiles-setup.service"];
                order.push(("After", names([local[0], local[1], "vaultix-paths.service"])));
            }
        }
        if !values.is_empty() {
            order.extend(pair(values.iter().map(|id| unit("secret", id)).collect()));
        }
        let readers =
            place.into_iter().flat_map(|it| it.restart_units.iter().chain(&it.reload_units));
        let mut readers: BTreeSet<String> = readers.cloned().collect();
        let values = self.profile.secrets.iter().filter(|(id, _)| values.contains(&***id));
        let uses_late = values.filter_map(|(_, it)| Some(&it.as_ref().ok()?.placement));
        let all = place.into_iter().chain(uses_late);
        if !all.into_iter().any(|place| self.comes_after_files(place)) {
            readers.extend(place.into_iter().flat_map(|it| it.before.iter().cloned()));
        }
        if !readers.is_empty() {
            order.push(("Before", Meaning::Names(readers)));
        }
        order
    }

    /// Returns the ordering of what is not early.
    fn normal_order(&self) -> Vec<(&'static str, Meaning)> {
        let mounts = self.key_mounts();
        let mounts = if mounts.is_empty() { None } else { Some(pair(mounts)) };
        [("After", names(USERS))].into_iter().chain(mounts.into_iter().flatten()).collect()
    }

    /// Returns whether an item is put outside of our own directories.
    fn has_own_path(&self, place: &Placement) -> bool {
        let settings = &self.profile.settings;
        let ours = [&settings.decrypted_dir, &settings.decrypted_dir_for_user];
        !ours.into_iter().any(|folder| folder.join(&place.name) == place.path)
    }

    /// Returns whether the unit of what is placed there comes after local file systems.
    fn comes_after_files(&self, place: &Placement) -> bool {
        let is_late = late_mount(&self.profile.settings, &place.path).is_some();
        self.has_own_path(place) && !place.early && !is_late
    }

    /// Returns the units that items come before, early ones or others, if there are any.
    fn later(&self, early: bool) -> Option<Meaning> {
        let items = self.items().into_iter().filter_map(|(.., place)| place);
        let items = items.filter(|place| place.early == early);
        let units: BTreeSet<_> = items.flat_map(|place| place.before.clone()).collect();
        (!units.is_empty()).then_some(Meaning::Names(units))
    }

    /// Returns whether there are items that are early, and others.
    fn phases(&self) -> [bool; 2] {
        let is = |early| self.items().iter().any(|it| self.profile.early.contains(it.1) == early);
        [is(true), is(false)]
    }

    /// Returns the late mounts that items are put below, and whether some are put elsewhere.
    fn own_paths(&self) -> (BTreeSet<&'a Path>, bool) {
        let (mut late, mut local) = (BTreeSet::new(), false);
        for (.., place) in self.items() {
            let Some(place) = place.filter(|place| self.has_own_path(place)) else { continue };
            match late_mount(&self.profile.settings, &place.path) {
                Some(mount) => drop(late.insert(mount)),
                None => local = true,
            }
        }
        (late, local)
    }

    /// Returns who wants the units that place all items at boot.
    fn wants_at_boot(&self) -> Vec<(String, String)> {
        let [early, normal] = self.phases();
        let (late, local) = self.own_paths();
        let mut wants: Vec<(&str, &str)> = Vec::new();
        if early || normal {
            wants.push(("multi-user.target", "vaultix-rest.service"));
        }
        if early {
            wants.push(("vaultix.target", "vaultix-boot-early.service"));
            wants.extend(USERS.map(|users| (users, "vaultix-boot-early.service")));
        }
        if normal {
            wants.push(("vaultix.target", "vaultix-boot.service"));
        }
        if local {
            wants.push(("vaultix.target", "vaultix-paths.service"));
        }
        let wants = wants.into_iter().map(|(by, unit)| (by.to_owned(), unit.to_owned()));
        wants.chain(late.into_iter().map(|mount| (mount_of(mount), paths_unit(mount)))).collect()
    }

    /// Compares the units that place all items at boot, and those that follow them.
    fn compare_boot(&self, take: &mut impl FnMut(&str) -> &'a UnitFile) {
        let source = || self.source();
        let exec = |words: &[&str]| ("@EXEC@", Meaning::Command(self.words(words)));
        let items = include_str!("../../../units/vaultix-items.target.in");
        compare(text_of(take("vaultix-items.target")), items, &[source()], &[]);
        let [early, normal] = self.phases();
        if !early && !normal {
            return;
        }
        let rest = include_str!("../../../units/vaultix-rest.service.in");
        compare(text_of(take("vaultix-rest.service")), rest, &[source(), exec(&["rest"])], &[]);
        self.compare_failed(
            text_of(take("vaultix-boot-failed.service")),
            ("vaultix-boot.service", &["vaultix.target"], false),
            &["vaultix-items.target".to_owned()],
        );
        if early {
            let units: Vec<String> = self
                .items()
                .into_iter()
                .filter_map(|(kind, id, ..)| {
                    self.profile.early.contains(id).then(|| unit(kind, id))
                })
                .collect();
            self.compare_failed(
                text_of(take("vaultix-boot-early-failed.service")),
                ("vaultix-boot-early.service", &[USERS[0], USERS[1], "vaultix.target"], true),
                &units,
            );
            self.compare_place(
                text_of(take("vaultix-boot-early.service")),
                (
                    "Vaultix places the items that are needed before users exist",
                    "vaultix-boot-early-failed.service",
                ),
                (&["boot", "--early"], true),
                vec![("Before", names(USERS))],
            );
        }
        if normal {
            let mut order = vec![("After", names(["vaultix-boot-early.service"]))];
            order.extend(self.normal_order());
            self.compare_place(
                text_of(take("vaultix-boot.service")),
                ("Vaultix places secrets and templates", "vaultix-boot-failed.service"),
                (&["boot"], false),
                order,
            );
        }
        self.compare_paths(take);
    }

    /// Compares a unit that places many items.
    fn compare_place(
        &self,
        text: &str,
        (what, failed): (&str, &str),
        (words, early): (&[&str], bool),
        mut order: Vec<(&'static str, Meaning)>,
    ) {
        if self.profile.settings.before_network {
            order.push(("Before", names(["network-pre.target"])));
            order.push(("Wants", names(["network-pre.target"])));
        }
        if let Some(Meaning::Names(units)) = self.later(early) {
            // All that nothing else starts are called like this; of others, none is drawn.
            let passive: BTreeSet<_> =
                units.iter().filter(|unit| unit.ends_with("-pre.target")).cloned().collect();
            order.push(("Before", Meaning::Names(units)));
            if !passive.is_empty() {
                order.push(("Wants", Meaning::Names(passive)));
            }
        }
        let fields = [
            self.source(),
            ("Vaultix places @WHAT@", Meaning::Text(what.to_owned())),
            ("@MOUNTS@", Meaning::Names(self.mounts())),
            ("@VIEW@ vaultix.target", names([&*self.mount(), "vaultix.target"])),
            ("@FAILED@", names([failed])),
            ("@EXEC@", Meaning::Command(self.words(words))),
        ];
        compare(text, include_str!("../../../units/vaultix-boot.service.in"), &fields, &order);
    }

    /// Compares a unit that starts others one by one.
    fn compare_failed(
        &self,
        text: &str,
        (after, before, early): (&str, &[&str], bool),
        units: &[String],
    ) {
        let systemctl = self.profile.settings.systemctl.program.to_str().unwrap().to_owned();
        let words = ["--no-block", "start", "--"].map(str::to_owned);
        let words = [systemctl].into_iter().chain(words).chain(units.iter().cloned()).collect();
        let before = before.iter().chain(&["shutdown.target"]).map(|&unit| unit.to_owned());
        let mut before: BTreeSet<String> = before.collect();
        if let Some(Meaning::Names(units)) = self.later(early) {
            before.extend(units);
        }
        let fields = [
            self.source(),
            ("@AFTER@", names([after])),
            ("@BEFORE@ shutdown.target", Meaning::Names(before)),
            ("@EXEC@", Meaning::Command(words)),
        ];
        compare(text, include_str!("../../../units/vaultix-boot-failed.service.in"), &fields, &[]);
    }

    /// Compares the units that put items at paths of their own.
    fn compare_paths(&self, take: &mut impl FnMut(&str) -> &'a UnitFile) {
        let template = include_str!("../../../units/vaultix-paths.service.in");
        let (late, _) = self.own_paths();
        let view = self.mount();
        // Also where no item has such a path: it then removes what an earlier boot has left, once the boot is over.
        let after = ["local-fs.target", "systemd-tmpfiles-setup.service", "vaultix-boot.service"];
        let order = [
            ("After", names(after)),
            ("PartOf", names([&*view, "vaultix.target"])),
            ("OnFailure", names(["vaultix-boot-failed.service"])),
        ];
        let fields = [
            self.source(),
            (
                "Vaultix puts items at their paths@WHERE@",
                Meaning::Text("Vaultix puts items at their paths".into()),
            ),
            ("@BEFORE@shutdown.target", names(["vaultix.target", "shutdown.target"])),
            ("@EXEC@", Meaning::Command(self.words(&["paths"]))),
        ];
        compare(text_of(take("vaultix-paths.service")), template, &fields, &order);
        for mount in late {
            let shown = mount.to_str().unwrap();
            let unit = mount_of(mount);
            let after = [&*unit, "vaultix-boot.service", "systemd-tmpfiles-setup.service"];
            let order = [
                ("BindsTo", names([&*unit])),
                ("After", names(after)),
                ("PartOf", names([&*view])),
            ];
            let mut words = self.words(&["paths"]);
            words.extend(["--mount".to_owned(), command::told(shown)]);
            let what = format!("Vaultix puts items at their paths below {shown}");
            let fields = [
                self.source(),
                ("Vaultix puts items at their paths@WHERE@", Meaning::Text(what)),
                ("@BEFORE@shutdown.target", names(["shutdown.target"])),
                ("@EXEC@", Meaning::Command(words)),
            ];
            compare(text_of(take(&paths_unit(mount))), template, &fields, &order);
        }
    }
}

/// Returns the innermost of the late mounts that `path` is below.
fn late_mount<'a>(settings: &'a Settings, path: &Path) -> Option<&'a Path> {
    path.ancestors().find_map(|above| {
        settings.late_mounts.iter().map(PathBuf::as_path).find(|mount| *mount == above)
    })
}

/// Returns that these units are meant.
fn names<'a>(units: impl IntoIterator<Item = &'a str>) -> Meaning {
    Meaning::Names(units.into_iter().map(str::to_owned).collect())
}

/// Returns that these units are wanted, and come before.
fn pair(units: BTreeSet<String>) -> [(&'static str, Meaning); 2] {
    [("Wants", Meaning::Names(units.clone())), ("After", Meaning::Names(units))]
}

/// Returns the name of the unit for what is put below a late mount. That of a long path is taken from the product: it is a
/// hash.
fn paths_unit(mount: &Path) -> String {
    let path = mount.to_str().unwrap().trim_matches('/');
    let name = format!("vaultix-paths@{}.service", systemd_escape(path));
    if name.len() <= 255 {
        return name;
    }
    vaultix_generator::escape::unit_name("vaultix-paths@", path)
}

/// Returns the name of an item's unit. For a long id, it is a hash, and taken from the product.
fn unit(kind: &str, id: &str) -> String {
    let name = format!("vaultix-{kind}@{}.service", systemd_escape(id));
    if name.len() <= 255 && !id.is_empty() {
        return name;
    }
    vaultix_generator::escape::unit_name(&format!("vaultix-{kind}@"), id)
}

/// Returns the name of the mount unit of a path.
fn mount_of(path: impl AsRef<Path>) -> String {
    let path = path.as_ref().to_str().unwrap();
    format!("{}.mount", systemd_escape(path.trim_start_matches('/')))
}
