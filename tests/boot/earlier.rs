//! what an earlier boot, or another tool, has left at paths on a disk → replaced or removed if it is ours, otherwise refused.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::PathBuf;

use serde_json::{Value, json};
use xtask::system::System;

use crate::support::{Boot, Scenario, secret_unit};

/// A user, and the group of the same name.
const GAMES: (u32, u32) = (5, 60);

/// A disk that several boots have, one after another: `/disk` and `/var/lib/vaultix`.
struct Disk(PathBuf);

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Disk {
    fn new(system: System) -> Self {
        let name = format!("earlier-{}", system.name());
        let disk = Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name));
        let _ = fs::remove_dir_all(&disk.0); // It may not be there.
        fs::create_dir_all(disk.at("home")).unwrap();
        chown(disk.at("home"), Some(GAMES.0), Some(GAMES.1)).unwrap();
        fs::create_dir(disk.0.join("lib")).unwrap();
        fs::set_permissions(disk.0.join("lib"), fs::Permissions::from_mode(0o755)).unwrap();
        disk
    }

    /// Returns the path outside of what is at `/disk/NAME` inside.
    fn at(&self, name: &str) -> PathBuf {
        self.0.join("disk").join(name)
    }

    /// Returns the path outside of the record.
    fn record(&self) -> PathBuf {
        self.0.join("lib/placed")
    }

    /// Returns a host with this disk and these secrets, each with its fields.
    fn host(&self, system: System, bind: &str, secrets: &[(&str, Value)]) -> Scenario {
        let mut host = Scenario::new(system, "earlier");
        host.nspawn(&format!("--bind={}:/disk", self.0.join("disk").display()));
        host.nspawn(&format!("--{bind}={}:/var/lib/vaultix", self.0.join("lib").display()));
        for (id, fields) in secrets {
            host.secret_with(id, format!("{id}-v1"), fields.clone());
        }
        host
    }

    /// Returns what is on the disk, by name: where a link leads, or what is in a file.
    fn look(&self) -> BTreeMap<String, String> {
        let mut seen = BTreeMap::new();
        for folder in ["", "home/"] {
            for entry in fs::read_dir(self.at(folder)).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                let what = match fs::read_link(&path) {
                    Ok(target) => target.to_str().unwrap().to_owned(),
                    Err(_) if path.is_dir() => continue,
                    Err(_) => fs::read_to_string(&path).unwrap(),
                };
                seen.insert(format!("{folder}{name}"), what);
            }
        }
        seen
    }
}

/// Returns the lines of `unit` that are warnings or worse, in one text.
fn warnings(boot: &Boot, unit: &str) -> String {
    let lines = boot.journal_of(unit).into_iter().filter(|line| line.priority < 5);
    lines.map(|line| line.message + "\n").collect()
}

/// Four boots with one disk: what each changes is set up by `nixos-rebuild boot`, without a switch.
pub fn what_an_earlier_boot_left(system: System) {
    let disk = Disk::new(system);
    let link = |path: &str| json!({ "path": format!("/disk/{path}") });
    let file = |path: &str| json!({ "path": format!("/disk/{path}"), "symlink": false, "allowDisk": true });
    let of_games = |path: &str| json!({ "path": format!("/disk/{path}"), "owner": "games" });
    let host = disk.host(
        system,
        "bind",
        &[
            ("stays", link("stays")),
            ("tolink", file("tolink")),
            ("removed", link("removed")),
            ("fileremoved", file("fileremoved")),
            ("moved", file("moved")),
            ("token", of_games("home/token")),
            ("gone", of_games("home/gone")),
            ("planted", of_games("home/planted")),
            ("same", of_games("home/same")),
            ("mine", of_games("home/mine")),
        ],
    );
    let boot = host.run("true");
    assert_eq!(boot.failed("boot"), [""; 0]);
    assert_eq!(warnings(&boot, "vaultix-paths.service"), "");
    let first = disk.look();
    assert_eq!(first["stays"], "/run/vaultix/stays");
    assert_eq!(first["home/token"], "/run/vaultix/token");
    assert!(first["tolink"].ends_with("tolink-v1"));
    let record = fs::metadata(disk.record()).unwrap();
    assert_eq!((record.uid(), record.mode() & 0o7777), (0, 0o600));
    drop(boot);

    // What a user does meanwhile, in a directory of their own.
    let by_games = |target: &str, path: &str| {
        let _ = fs::remove_file(disk.at(path));
        symlink(target, disk.at(path)).unwrap();
        lchown(disk.at(path), Some(GAMES.0), Some(GAMES.1)).unwrap();
    };
    by_games("/run/vaultix/planted", "home/planted");
    by_games("/run/vaultix/same", "home/same");
    by_games("/run/agenix/dead", "home/dead");
    fs::remove_file(disk.at("home/mine")).unwrap();
    fs::write(disk.at("home/mine"), "mine").unwrap();
    // What other tools have left, and what has nothing to do with us.
    symlink("/run/agenix/agenix", disk.at("agenix")).unwrap();
    symlink("/run/secrets/sops", disk.at("sops")).unwrap();
    symlink("/run/agenix/other", disk.at("other")).unwrap();
    symlink("/run/agenix/other", disk.at("tofile")).unwrap();
    symlink("/etc/none", disk.at("elsewhere")).unwrap();
    fs::write(disk.at("foreign"), "foreign").unwrap();
    // A record that is partly of another disk.
    fs::write(disk.at("precious"), "precious").unwrap();
    let precious = fs::metadata(disk.at("precious")).unwrap();
    let forged = format!(
        "secret\0p\0/disk/precious\0file\0\00 {} {} {} {}\0",
        precious.dev(),
        precious.ino(),
        precious.ctime(),
        precious.ctime_nsec() + 1
    );
    let text = [fs::read(disk.record()).unwrap(), forged.into_bytes()].concat();
    fs::write(disk.record(), text).unwrap();

    let mut host = disk.host(
        system,
        "bind",
        &[
            ("stays", link("stays")),
            ("tolink", link("tolink")),
            ("moved", file("movedto")),
            ("token", of_games("home/token")),
            ("planted", of_games("home/planted")),
            ("agenix", link("agenix")),
            ("sops", link("sops")),
            ("tofile", file("tofile")),
            ("dead", of_games("home/dead")),
            ("elsewhere", link("elsewhere")),
            ("foreign", link("foreign")),
        ],
    );
    host.profile()["settings"]["decryptedDir"] = "/run/renamed".into();
    let boot = host.run("true");
    let second = disk.look();
    for id in ["stays", "tolink", "agenix", "sops"] {
        assert_eq!(second[id], format!("/run/renamed/{id}"), "{second:?}");
    }
    assert_eq!(second["home/token"], "/run/renamed/token");
    for id in ["movedto", "tofile"] {
        assert!(second[id].ends_with("-v1"), "{id}: {second:?}");
    }
    for path in ["removed", "fileremoved", "moved", "home/gone"] {
        assert!(!second.contains_key(path), "{path}: {second:?}");
    }
    for (path, what) in [
        ("home/planted", "/run/vaultix/planted"),
        ("home/same", "/run/vaultix/same"),
        ("home/dead", "/run/agenix/dead"),
        ("home/mine", "mine"),
        ("other", "/run/agenix/other"),
        ("elsewhere", "/etc/none"),
        ("foreign", "foreign"),
        ("precious", "precious"),
    ] {
        assert_eq!(second.get(path).map(String::as_str), Some(what), "{path}: {second:?}");
    }
    let refused = ["dead", "elsewhere", "foreign", "planted"];
    for id in refused {
        assert_eq!(boot.unit_at("boot", &secret_unit(id))["ExecMainStatus"], "73", "{id}");
        boot.assert_error(&secret_unit(id), &[id, "is in the way"]);
    }
    let mut failed = boot.failed("boot");
    failed.sort();
    assert_eq!(failed, refused.map(secret_unit));
    let warned = warnings(&boot, "vaultix-paths.service");
    for path in ["/disk/home/same", "/disk/home/mine", "/disk/precious"] {
        let why = format!("{path} is not what was put there at an earlier boot");
        assert!(warned.contains(&why), "{path}: {warned}");
    }
    assert_eq!(warned.lines().count(), 3, "{warned}");
    drop(boot);

    // No item has a path of its own any more: nothing of this is in the way of the boot, and it is done afterwards.
    let host = disk.host(system, "bind", &[("token", json!({}))]);
    let boot = host.run(
        r"
        note before systemctl is-active vaultix-paths.service
        note rest vaultix-decrypt rest
        settle
        note after systemctl is-active vaultix-paths.service
        ",
    );
    assert_eq!(boot.text("before"), "inactive");
    assert_eq!((boot.status("rest"), boot.text("after")), (0, "active".into()));
    let third = disk.look();
    for path in ["stays", "tolink", "agenix", "sops", "movedto", "tofile", "home/token"] {
        assert!(!third.contains_key(path), "{path}: {third:?}");
    }
    assert_eq!(third.len(), second.len() - 7, "{third:?}");
    // Each is named once; this one was an item's until now.
    let warned = warnings(&boot, "vaultix-paths.service");
    assert!(warned.contains("/disk/home/planted is not what"), "{warned}");
    assert_eq!(warned.lines().count(), 1, "{warned}");
    boot.assert_no_cycle();
    drop(boot);

    // A record that is damaged, where none can be written: the items are in place all the same.
    fs::write(disk.record(), "vaultix-placed-1\0secret\0").unwrap();
    let host = disk.host(system, "bind-ro", &[("token", of_games("home/token"))]);
    let boot = host.run("true");
    assert_eq!(boot.failed("boot"), [""; 0]);
    assert_eq!(disk.look()["home/token"], "/run/vaultix/token");
    let warned = warnings(&boot, "vaultix-paths.service");
    for why in ["it is damaged", "Read-only file system"] {
        assert!(warned.contains(why), "{why}: {warned}");
    }
}
