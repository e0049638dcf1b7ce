//! any profile → its units, read back as systemd reads them: what was meant, and not a line more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use vaultix_generator::profile::{Placement, Profile, Side};
use vaultix_generator::unit::{Content, Programs, UnitFile, render, render_bad_profile};

use crate::draw::Draw;
use crate::escape::{is_unit_name, systemd_escape};
use crate::meaning::{Meaning, compare};
use crate::{command, drawn};

/// Draws a profile and the programs' paths, renders, reads back.
pub fn check(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let (helper, source) = (draw.path(), draw.path());
    if !helper.starts_with('/') || format!("{helper}{source}").contains('\0') {
        return; // The kernel gives the program its own path.
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

/// Returns the text of a file that is no link.
fn text_of(file: &UnitFile) -> &str {
    match &file.content {
        Content::Text(text) => text,
        Content::Link(target) => panic!("{} is a link to {target}", file.path),
    }
}

/// Where the ramfs is mounted, and only root may enter.
const RAMFS: &str = "/run/vaultix.private/ramfs";
/// The unit that hides the ramfs of an earlier release.
const CONVERT: &str = "vaultix-convert.service";

/// What the units of a profile have to be, found without the generator's code.
struct Expected<'a> {
    profile: &'a Profile,
    helper: &'a str,
    source: &'a str,
}

/// An item: its kind and id, the secrets it puts in, and where it goes.
type Item<'a> = (&'static str, &'a str, BTreeSet<&'a str>, Option<&'a Placement>);

/// Units that make users.
const USERS: [&str; 2] = ["systemd-sysusers.service", "userborn.service"];

impl<'a> Expected<'a> {
    /// Starts with nothing compared.
    fn new(profile: &'a Profile, helper: &'a str, source: &'a str) -> Self {
        Self { profile, helper, source }
    }

    /// Fails unless `files` are what the profile means, all of it, and nothing else.
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
        for item in self.items() {
            self.compare_item(&mut take, &item);
        }
        for (consumer, items) in self.consumers() {
            let file = take(&format!("{consumer}.d/50-vaultix.conf"));
            let template = include_str!("../../../units/consumer.conf.in");
            compare(text_of(file), template, &[("@ITEMS@", Meaning::Names(items))], &[]);
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
    fn wants(&self) -> Vec<(&'static str, String)> {
        let mut wants = vec![("sysinit.target", "vaultix.target".to_owned())];
        for (kind, id, ..) in self.items() {
            wants.push(("vaultix.target", unit(kind, id)));
            if self.profile.early.contains(id) {
                wants.extend(USERS.map(|users| (users, unit(kind, id))));
            }
        }
        wants
    }

    /// Returns the units that read items, each with these.
    fn consumers(&self) -> BTreeMap<&'a str, BTreeSet<String>> {
        let mut consumers: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (kind, id, _, place) in self.items() {
            let Some(place) = place else { continue };
            for consumer in place.restart_units.iter().chain(&place.reload_units) {
                consumers.entry(consumer).or_default().insert(unit(kind, id));
            }
        }
        consumers
    }

    /// Returns the name of the ramfs's unit.
    fn mount(&self) -> String {
        mount_of(&self.profile.settings.decrypted_mount_point)
    }

    /// Returns the names of what makes the ramfs and its view.
    fn mounts(&self) -> [String; 2] {
        [self.mount(), CONVERT.to_owned()]
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

    /// Returns the names of all mounts that may hold a key.
    fn key_mounts(&self) -> BTreeSet<String> {
        let keys = self.profile.settings.host_keys.iter();
        let way = keys.flat_map(|key| key.path.ancestors());
        let names = way.filter(|path| path.parent().is_some()).map(mount_of);
        names.filter(|name| name.len() <= 255).collect()
    }

    /// Returns what `SourcePath=` means.
    fn source(&self) -> (&'static str, Meaning) {
        ("@PROFILE@", Meaning::Text(self.source.to_owned()))
    }

    /// Compares the ramfs, the target, and the drop-ins of the units that switch.
    fn compare_target(&self, take: &mut impl FnMut(&str) -> &'a UnitFile) {
        let view = self.profile.settings.decrypted_mount_point.to_str().unwrap();
        let names = |name: String| Meaning::Names(BTreeSet::from([name]));
        let path = |path: &str| Meaning::Path(path.to_owned());
        let fields = [
            self.source(),
            ("!@RAMFS_PATH@", path(&format!("!{RAMFS}"))),
            ("!@VIEW_PATH@", path(&format!("!{view}"))),
            ("@RAMFS_PATH@", path(RAMFS)),
            ("@VIEW_PATH@", path(view)),
            ("@VIEW@", names(self.mount())),
            ("@RAMFS@", names(mount_of(RAMFS))),
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
            let mounts = keys.into_iter().chain(self.mounts()).collect();
            let file = take(&format!("{name}.service.d/50-vaultix.conf"));
            let template = include_str!("../../../units/switch.conf.in");
            compare(text_of(file), template, &[("@MOUNTS@", Meaning::Names(mounts))], &[]);
        }
    }

    /// Compares the units that wait for keys.
    fn compare_keys(&self, take: &mut impl FnMut(&str) -> &'a UnitFile) {
        let settings = &self.profile.settings;
        let kind = match settings.host_pubkey.split_whitespace().next().unwrap() {
            "ssh-ed25519" => "Ed25519",
            "ssh-rsa" => "Rsa",
            _ => "Age",
        };
        let keys = settings.host_keys.iter().filter(|key| format!("{:?}", key.kind) == kind);
        let mut seen = BTreeSet::new();
        for (at, key) in (1..).zip(keys) {
            if !seen.insert(&key.path) {
                continue; // One unit waits for it already.
            }
            let number = if at == 1 { String::new() } else { format!("-{at}") };
            let name = format!("vaultix-late-key{number}.path");
            let path = Meaning::Path(key.path.to_str().unwrap().to_owned());
            compare(
                text_of(take(&name)),
                include_str!("../../../units/vaultix-late-key.path.in"),
                &[self.source(), ("@PATH@", path)],
                &[],
            );
        }
        if seen.is_empty() {
            return;
        }
        compare(
            text_of(take("vaultix-late-key.service")),
            include_str!("../../../units/vaultix-late-key.service.in"),
            &[self.source(), ("@EXEC@", Meaning::Command(self.words(&["retry"])))],
            &[],
        );
    }

    /// Compares the unit of an item.
    fn compare_item(
        &self,
        take: &mut impl FnMut(&str) -> &'a UnitFile,
        (kind, id, values, _): &Item,
    ) {
        // Where no argument can be the id, the helper finds no such item, and says so.
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
                ("@MOUNTS@", Meaning::Names(self.mounts().into())),
                ("@VIEW@", Meaning::Names(BTreeSet::from([self.mount()]))),
                ("@EXEC@", exec()),
            ],
            &self.order(id, values),
        );
    }

    /// Returns the ordering of an item.
    fn order(&self, id: &str, values: &BTreeSet<&str>) -> Vec<(&'static str, Meaning)> {
        let users = || Meaning::Names(USERS.map(str::to_owned).into());
        let pair = |names: BTreeSet<String>| {
            let names = || Meaning::Names(names.clone());
            [("Wants", names()), ("After", names())]
        };
        let mut order = Vec::new();
        if self.profile.early.contains(id) {
            order.push(("Before", users()));
        } else {
            order.push(("After", users()));
            let mounts = self.key_mounts();
            order.extend(
                if mounts.is_empty() { None } else { Some(pair(mounts)) }.into_iter().flatten(),
            );
        }
        if !values.is_empty() {
            order.extend(pair(values.iter().map(|id| unit("secret", id)).collect()));
        }
        order
    }
}

/// Returns the name of an item's unit. That of a long id is taken from the product: it is a hash.
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
