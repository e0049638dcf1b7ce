//! one process that places all items at boot → each in time, whatever becomes of the others or of the process.

use std::collections::BTreeMap;

use serde_json::json;
use xtask::system::System;

use crate::support::{Boot, Scenario, placeholder, secret_unit, template_unit};

/// Mounts a file system at `/mnt/silent` that never answers, before anything is placed.
const SILENT: &str = r"
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umount /dev/fuse && rm /dev/fuse && mknod -m 0666 /dev/fuse c 10 229
mkdir -p /srv/empty /srv/behind /mnt/silent
bindfs /srv/empty /srv/behind
bindfs /srv/behind /mnt/silent
for it in /proc/[0-9]*; do
    if [ $(cat $it/comm) = bindfs ] && grep -q behind $it/cmdline && ! grep -q silent $it/cmdline; then
        kill -STOP ${it#/proc/}
    fi
done
";

/// The unit around it.
const SILENT_UNIT: &str = "\
[Unit]
DefaultDependencies=no
Before=vaultix-boot.service
[Service]
Type=forking
ExecStart=/bin/bash /silent
";

/// Returns numbers that the script noted, each after a name.
fn numbers(boot: &Boot, name: &str) -> BTreeMap<String, f64> {
    let text = boot.text(name);
    let pairs = text.lines().filter_map(|line| line.rsplit_once(' '));
    pairs.map(|(name, number)| (name.to_owned(), number.parse().unwrap())).collect()
}

/// `when UNIT...`: when each began and ended to be started, in seconds of this boot.
const WHEN: &str = r#"
when() {
    for it in "$@"; do
        systemctl show --property=Id,InactiveExitTimestampMonotonic,ActiveEnterTimestampMonotonic,ExecMainExitTimestampMonotonic "$it" |
            awk -F= 'function told() { printf "%s from %.0f\n%s to %.0f\n%s over %.0f\n", id, from, id, to, id, over }
                $1 == "Id" { id = $2 }
                $1 == "InactiveExitTimestampMonotonic" { from = $2 }
                $1 == "ActiveEnterTimestampMonotonic" { to = $2 }
                $1 == "ExecMainExitTimestampMonotonic" { over = $2 }
                $0 == "" { told(); from = to = over = 0 }
                END { told() }'
    done
}
"#;

/// One of ten cannot be read at all: the nine others are there long before that is given up, and it fails alone, with its own
/// reason, before the target. A template that needs none of it does not wait, and one that needs it fails as well.
pub fn a_slow_item_among_ten(system: System) {
    let mut host = Scenario::new(system, "slowitem");
    host.nspawn("--bind=/dev/fuse");
    for program in ["bindfs", "fusermount3", "fusermount"] {
        host.takes(program);
    }
    host.file("/silent", SILENT);
    host.file("/etc/systemd/system/silent.service", SILENT_UNIT);
    host.link("/etc/systemd/system/vaultix.target.wants/silent.service", "../silent.service");
    for n in 1..10 {
        host.secret(&format!("quick{n}"), format!("quick{n}-v1"));
    }
    // The first of all.
    host.profile()["secrets"]["a-slow"] = json!({ "cipher": "/mnt/silent/slow" });
    host.profile()["placeholder"] =
        json!({ "quick1": placeholder("quick1"), "a-slow": placeholder("a-slow") });
    host.profile()["templates"] = json!({
        "quick": { "content": placeholder("quick1") },
        "slow": { "content": placeholder("a-slow") },
    });
    let boot = host.run(&format!(
        "{WHEN}
        note files find /run/vaultix/ -name .vaultix -prune -o -type f -printf '%f %C@\\n'
        note clock sh -c 'echo now $(date +%s.%N); echo up $(cut -d\" \" -f1 /proc/uptime)'
        note when when vaultix-boot.service vaultix.target vaultix-secret@a\\\\x2dslow.service
        "
    ));
    let files = numbers(&boot, "files");
    let clock = numbers(&boot, "clock");
    let when = numbers(&boot, "when");
    assert_eq!(files.len(), 10, "{files:?}");
    let placed = when["vaultix-boot.service over"] / 1e6;
    for (name, at) in &files {
        let at = at - (clock["now"] - clock["up"]);
        assert!(
            at + 5.0 < placed,
            "{name} has waited: it came at {at}, all were there at {placed}"
        );
    }
    let (slow, template) = (secret_unit("a-slow"), template_unit("slow"));
    let reason = "/mnt/silent/slow was not read and decrypted within 10 seconds";
    boot.assert_error(&slow, &["cannot decrypt secret \"a-slow\"", reason]);
    boot.assert_error(&template, &["cannot render template \"slow\""]);
    let mut failed = boot.failed("boot");
    failed.sort();
    assert_eq!(failed, [slow.clone(), template], "and no other");
    assert_eq!(boot.unit("vaultix-boot.service")["ActiveState"], "active", "which is no failure");
    let (over, target) = (when[&format!("{slow} over")], when["vaultix.target to"]);
    assert!(over <= target, "it has been tried before the target");
    boot.assert_no_cycle();
}

/// Whatever the process dies of, before, in the middle or after, each item's unit is started before `sysinit.target`.
pub fn a_process_that_dies_is_no_failure_of_items(system: System) {
    for (name, death) in [
        ("before", "ExecStartPre=/bin/sh -c 'kill -KILL $$$$'\n"),
        // One item is larger than a file may be: the signal kills. Those before it are there.
        ("within", "LimitFSIZE=2000\n"),
        ("after", "ExecStartPost=/bin/sh -c 'kill -KILL $$$$'\n"),
    ] {
        let mut host = Scenario::new(system, name);
        host.nixos();
        host.file("/etc/users", "alice 1500\n");
        for n in 0..10 {
            let size = if n == 5 { 5000 } else { 1 };
            for kind in ["item", "early"] {
                let later = json!({ "before": [format!("after-{kind}.service")] });
                host.secret_with(&format!("{kind}{n}"), "x".repeat(size), later);
            }
        }
        for kind in ["item", "early"] {
            let name = format!("after-{kind}.service");
            host.file(
                &format!("/etc/systemd/system/{name}"),
                "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
            );
            host.link(
                &format!("/etc/systemd/system/sysinit.target.wants/{name}"),
                &format!("../{name}"),
            );
        }
        host.secret_with("elsewhere", "z", json!({ "path": "/var/lib/elsewhere" }));
        let early: Vec<String> = (0..10).map(|n| format!("early{n}")).collect();
        host.profile()["beforeUserborn"] = json!(early);
        for unit in ["vaultix-boot", "vaultix-boot-early"] {
            let place = format!("/etc/systemd/system/{unit}.service.d/die.conf");
            host.file(&place, format!("[Service]\n{death}"));
        }
        let boot = host.run(&format!(
            "{WHEN}
            note when when 'vaultix-secret@*' vaultix.target sysinit.target userborn.service 'after-*.service'
            note files find /run/vaultix/ -name .vaultix -prune -o -type f -printf '%f\\n'
            note elsewhere readlink /var/lib/elsewhere
            "
        ));
        for unit in ["vaultix-boot.service", "vaultix-boot-early.service"] {
            assert_eq!(boot.unit_at("boot", unit)["ActiveState"], "failed", "{name}: {unit}");
        }
        let when = numbers(&boot, "when");
        let mut count = 0;
        for n in 0..10 {
            for (kind, before) in
                [("item", "vaultix.target to"), ("early", "userborn.service from")]
            {
                let unit = secret_unit(&format!("{kind}{n}"));
                assert_eq!(boot.unit_at("boot", &unit)["ActiveState"], "active", "{name}: {unit}");
                let after = format!("after-{kind}.service from");
                for before in [before, &after] {
                    let (to, before) = (when[&format!("{unit} to")], when[before]);
                    assert!(
                        0.0 < to && to <= before,
                        "{name}: {unit} at {to}, and not by {before}"
                    );
                }
                count += 1;
            }
        }
        assert!(when["vaultix.target to"] <= when["sysinit.target to"]);
        assert_eq!(boot.text("files").lines().count(), count + 1, "{name}");
        assert_eq!(boot.text("elsewhere"), "/run/vaultix/elsewhere", "{name}");
        boot.assert_no_cycle();
    }
}

/// Until the boot is over, only the units run that somebody depends on, and those of items that could not be placed. Then all
/// are started but for those that have failed, without anybody asking, and find nothing to do. To restart the target places
/// everything again.
pub fn units_start_once_the_boot_is_over(system: System) {
    let mut host = Scenario::new(system, "rest");
    host.file("/fixtures/no-items", "");
    for id in ["wanted", "required", "bound", "part", "plain", "other"] {
        host.secret(id, format!("{id}-v1"));
    }
    host.secret_with("link", "link-v1", json!({ "path": "/var/lib/app/link" }));
    host.ciphertext("broken", Some(b"not an age file"), json!({}));
    host.profile()["placeholder"] = json!({ "plain": placeholder("plain") });
    host.profile()["templates"] = json!({ "conf": { "content": placeholder("plain") } });
    host.fixture("again", "plain-v2");
    for (id, how) in [
        ("wanted", "Wants="),
        ("required", "Requires="),
        ("bound", "BindsTo="),
        ("part", "PartOf="),
    ] {
        host.consumer(id, &format!("/run/vaultix/{id}"));
        let unit = secret_unit(id);
        host.file(
            &format!("/etc/systemd/system/{id}.service.d/how.conf"),
            format!("[Unit]\n{how}{unit}\nAfter={unit}\n"),
        );
    }
    host.isolates();
    // As on a real host, up to there; the boot is not over before the script says so.
    host.link(
        "/etc/systemd/system/scenario.service.wants/multi-user.target",
        "/lib/systemd/system/multi-user.target",
    );
    host.file(
        "/etc/systemd/system/hold.service",
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/bash -c 'mkfifo /run/hold; read -r _ </run/hold'\n",
    );
    host.link("/etc/systemd/system/multi-user.target.wants/hold.service", "../hold.service");
    let boot = host.run(
        r#"
        note reload systemctl reload vaultix-secret@other.service
        until [ -p /run/hold ]; do :; done
        echo >/run/hold
        rest() { systemctl show --property=$1 --value vaultix-rest.service; }
        settle
        until [ "$(rest SubState)" != running ]; do settle; done
        settle
        snapshot rest
        # As every switch of NixOS does with a target that is active.
        note rest.first rest InvocationID
        systemctl start multi-user.target
        settle
        note rest.still rest InvocationID
        note fresh ls /run/vaultix/.vaultix/fresh
        systemctl isolate home.target
        settle
        snapshot isolated
        reencrypt plain again
        cp /fixtures/again /etc/vaultix/cache/broken
        note target systemctl restart vaultix.target
        settle
        note texts cat /run/vaultix/plain /run/vaultix/conf
        note broken systemctl start vaultix-items.target
        settle
        note mended cat /run/vaultix/broken
        "#,
    );
    for id in ["wanted", "required", "bound", "part"] {
        assert_eq!(
            boot.text(&format!("{id}.log")).lines().next(),
            Some(&*format!("start {id}-v1"))
        );
        let consumer = boot.unit_at("rest", &format!("{id}.service"));
        assert_eq!(consumer["ActiveState"], "active", "{id}");
    }
    assert_ne!(boot.text("rest.first"), "");
    assert_eq!(boot.text("rest.still"), boot.text("rest.first"), "it runs once in a boot");
    let active = |snapshot: &str, id: &str| {
        boot.unit_at(snapshot, &secret_unit(id))["ActiveState"] == "active"
    };
    for id in ["wanted", "required", "bound"] {
        assert!(active("boot", id), "{id} is needed");
    }
    for id in ["part", "plain", "other", "link"] {
        assert!(!active("boot", id), "{id} is needed by nobody");
    }
    assert_ne!(boot.status("reload"), 0, "{}", boot.text("reload"));
    assert_eq!(boot.unit_at("rest", "multi-user.target")["ActiveState"], "active");
    assert_eq!(boot.failed("boot"), [secret_unit("broken")]);
    for snapshot in ["rest", "isolated"] {
        for id in ["wanted", "required", "bound", "part", "plain", "other", "link"] {
            assert!(active(snapshot, id), "{snapshot}: {id}");
        }
        assert_eq!(boot.unit_at(snapshot, "vaultix-items.target")["ActiveState"], "active");
        let template = &boot.unit_at(snapshot, &template_unit("conf"))["ActiveState"];
        assert_eq!(template, "active", "{snapshot}");
    }
    let tried = boot.journal_of(&secret_unit("broken"));
    let tried = tried.iter().filter(|line| line.priority == 3).count();
    assert_eq!(boot.text("fresh"), "", "each has asked");
    assert_eq!(boot.status("target"), 0, "{}", boot.text("target"));
    assert_eq!(boot.text("texts"), "plain-v2plain-v2");
    assert_eq!(boot.status("broken"), 0);
    assert_eq!(boot.text("mended"), "plain-v2");
    // Its own line, and systemd's two about the failed unit.
    assert!(tried <= 2, "it has been tried once: {:#?}", boot.journal_of(&secret_unit("broken")));
    boot.assert_no_cycle();
}

/// What has a path below a mount that boot does not wait for holds up nothing: it is made when that is mounted, by a unit
/// or by hand, and never below the mount point.
pub fn a_path_below_a_late_mount(system: System) {
    let mut host = Scenario::new(system, "latemount");
    host.secret_with("home", "home-v1", json!({ "path": "/home/alice/token" }));
    host.secret_with("lost", "lost-v1", json!({ "path": "/srv/lost/token" }));
    host.secret_with("local", "local-v1", json!({ "path": "/srv/local/token" }));
    host.secret_with("copy", "copy-v1", json!({ "path": "/home/copy", "symlink": false }));
    host.profile()["settings"]["lateMounts"] = json!(["/home", "/srv/lost"]);
    // One that nobody starts, one whose device never comes, and one that boot waits for.
    let mount = |place: &str, more: &str| {
        format!("[Unit]\n{more}\n[Mount]\nWhat=tmpfs\nWhere={place}\nType=tmpfs\n")
    };
    host.file("/etc/systemd/system/home.mount", mount("/home", ""));
    host.file("/etc/systemd/system/srv-local.mount", mount("/srv/local", ""));
    host.link("/etc/systemd/system/local-fs.target.requires/srv-local.mount", "../srv-local.mount");
    // A container has no devices: this is what a mount waits for.
    host.file(
        "/etc/systemd/system/device.service",
        "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/sleep infinity\n",
    );
    host.file(
        "/etc/systemd/system/srv-lost.mount",
        mount("/srv/lost", "Requires=device.service\nAfter=device.service") + "Options=nofail\n",
    );
    host.link("/etc/systemd/system/local-fs.target.wants/srv-lost.mount", "../srv-lost.mount");
    host.consumer("reader", "/run/vaultix/lost");
    let boot = host.run(
        r"
        links() { for it in /home/alice/token /srv/lost/token /srv/local/token; do readlink $it || echo none; done; }
        note waiting systemctl is-active device.service
        # Else whatever is started next would wait for it again.
        rm /etc/systemd/system/local-fs.target.wants/srv-lost.mount
        systemctl daemon-reload
        systemctl stop device.service
        note first links
        note below find /home/alice /home/copy
        note local findmnt --noheadings --output=TARGET --target /srv/local
        note verify systemd-analyze verify --generators=yes --man=no default.target
        systemctl start home.mount
        settle
        note second links
        note copy plain /home/copy
        systemctl stop home.mount
        note umounted systemctl is-active vaultix-paths@home.service
        mount -t tmpfs hand /home
        await /home/alice/token
        note third links
        note restart systemctl restart vaultix-secret@lost.service
        note lost readlink /srv/lost/token
        ",
    );
    assert_eq!(boot.text("waiting"), "activating", "the boot goes on while a device is missing");
    let local = "/run/vaultix/local";
    assert_eq!(boot.text("first"), format!("none\nnone\n{local}"));
    let below = boot.text("below");
    assert_eq!(
        below.matches("No such file").count(),
        2,
        "nothing lies below the mount point: {below}"
    );
    assert_eq!(boot.text("local"), "/srv/local", "what boot waits for is waited for");
    for name in ["second", "third"] {
        assert_eq!(boot.text(name), format!("/run/vaultix/home\nnone\n{local}"), "{name}");
    }
    assert_eq!(boot.text("copy"), "copy-v1");
    assert_eq!(boot.text("umounted"), "inactive");
    assert_eq!(boot.status("restart"), 0, "the item is in place: {}", boot.text("restart"));
    assert_eq!(boot.text("lost"), "", "what is not mounted is left alone");
    for id in ["home", "lost", "local", "copy"] {
        assert_eq!(boot.unit_at("boot", &secret_unit(id))["ActiveState"], "active", "{id}");
    }
    assert!(boot.text("reader.log").starts_with("start lost-v1"));
    assert!(!boot.text("verify").to_lowercase().contains("cycle"), "{}", boot.text("verify"));
    boot.assert_no_cycle();
}

/// A unit that opens a disk, ordered as systemd-cryptsetup-generator(8) orders it.
const CRYPTSETUP: &str = "\
[Unit]
DefaultDependencies=no
IgnoreOnIsolate=yes
After=cryptsetup-pre.target systemd-udevd-kernel.socket
Wants=blockdev@dev-mapper-data.target
Before=blockdev@dev-mapper-data.target cryptsetup.target umount.target
Conflicts=umount.target
RequiresMountsFor=/run/vaultix/disk
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'plain /run/vaultix/disk >/out/data.log 2>&1'
";

/// What starts before `sysinit.target` finds the items that come before it, however long they take, and waits for those that
/// fail. Where it need not wait, it has started: the control.
pub fn units_that_start_early_find_their_secrets(system: System) {
    let mut host = Scenario::new(system, "order");
    host.nixos();
    host.file("/etc/users", "");
    let data = "systemd-cryptsetup@data.service";
    host.secret_with(
        "disk",
        "disk-v1",
        json!({ "before": ["cryptsetup-pre.target", data, "switched.service"] }),
    );
    host.secret_with(
        "copied",
        "copied-v1",
        json!({ "before": ["systemd-tmpfiles-setup.service"] }),
    );
    let early = json!({ "before": ["users.service", "local-fs-pre.target"] });
    host.secret_with("early", "early-v1", early);
    host.profile()["beforeUserborn"] = json!(["early"]);
    // Their units run at boot. That of the template waits for local file systems, as that of its secret does, and these wait
    // for the disk.
    let broken = Some(b"not an age file".as_slice());
    host.ciphertext("broken", broken, json!({ "before": [data] }));
    host.ciphertext("linked", broken, json!({ "before": [data], "path": "/var/lib/app/linked" }));
    host.profile()["placeholder"] = json!({ "linked": placeholder("linked") });
    host.profile()["templates"] =
        json!({ "conf": { "content": placeholder("linked"), "before": [data] } });
    let mut profile = host.profile().clone();
    profile["secrets"]["disk"]["cipher"] = host.store("disk-v2", "disk-v2").into();
    host.next("two", &profile);
    for unit in ["vaultix-boot", "vaultix-boot-early", "vaultix-switch"] {
        let place = format!("/etc/systemd/system/{unit}.service.d/slow.conf");
        host.file(&place, "[Service]\nExecStartPre=/bin/sleep 1\n");
    }

    let reads = |name: &str, order: &str, path: &str| {
        let text = format!(
            "[Unit]\nDefaultDependencies=no\n{order}\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
             ExecStart=/bin/sh -c 'plain {path} >>/out/{name}.log 2>&1'\n"
        );
        host.file(&format!("/etc/systemd/system/{name}.service"), text);
    };
    reads("passive", "After=cryptsetup-pre.target\nBefore=sysinit.target", "/run/vaultix/disk");
    reads("unordered", "Before=sysinit.target", "/run/vaultix/disk");
    reads("users", "Before=userborn.service", "/run/vaultix-for-user/early");
    reads("switched", "Before=sysinit-reactivation.target", "/run/vaultix/disk");
    host.file(&format!("/etc/systemd/system/{data}"), CRYPTSETUP);
    // Debian 13 has them in a package of their own.
    let passive = "[Unit]\nRefuseManualStart=yes\nBefore=cryptsetup.target\n";
    host.file("/etc/systemd/system/cryptsetup-pre.target", passive);
    host.file("/etc/systemd/system/cryptsetup.target", "[Unit]\n");
    host.file(
        "/etc/systemd/system/srv-data.mount",
        format!("[Unit]\nRequires={data}\nAfter={data}\n[Mount]\nWhat=tmpfs\nWhere=/srv/data\nType=tmpfs\n"),
    );
    host.file("/etc/tmpfiles.d/copied.conf", "C /run/copied - - - - /run/vaultix/copied\n");
    host.keeps(&["/run/copied"]);
    for (by, unit) in [
        ("sysinit.target.wants", "passive.service"),
        ("sysinit.target.wants", "unordered.service"),
        ("userborn.service.wants", "users.service"),
        ("cryptsetup.target.requires", data),
        ("sysinit.target.wants", "cryptsetup.target"),
        ("local-fs.target.requires", "srv-data.mount"),
        ("sysinit-reactivation.target.requires", "switched.service"),
    ] {
        host.link(&format!("/etc/systemd/system/{by}/{unit}"), &format!("../{unit}"));
    }
    let boot = host.run(&format!(
        "{WHEN}
        note when when vaultix-boot.service {data} vaultix-secret@broken.service sysinit.target
        note copied plain /run/copied
        note verify systemd-analyze verify --generators=yes --man=no default.target
        switch two
        "
    ));
    for (name, text) in [("data", "disk-v1"), ("passive", "disk-v1"), ("users", "early-v1")] {
        assert_eq!(boot.text(&format!("{name}.log")), text, "{name}");
    }
    assert_eq!(boot.text("copied"), "copied-v1");
    assert_eq!(boot.text("switched.log"), "disk-v2", "the switch comes before it as well");
    assert!(boot.text("unordered.log").contains("No such file"), "{}", boot.text("unordered.log"));
    let mut failed = boot.failed("boot");
    failed.sort();
    let units = [secret_unit("broken"), secret_unit("linked"), template_unit("conf")];
    assert_eq!(failed, [&["unordered.service".to_owned()], units.as_slice()].concat());
    let when = numbers(&boot, "when");
    let began = when[&format!("{data} from")];
    for unit in ["vaultix-boot.service", "vaultix-secret@broken.service"] {
        let over = when[&format!("{unit} over")];
        assert!(0.0 < over && over <= began, "{unit} at {over}, the disk at {began}");
    }
    assert_eq!(boot.unit("srv-data.mount")["ActiveState"], "active");
    assert!(!boot.text("verify").to_lowercase().contains("cycle"), "{}", boot.text("verify"));
    boot.assert_no_cycle();
}

/// systemd-networkd reads a secret as a credential, however long it takes to decrypt. The control: where the network is to be
/// first, it fails.
pub fn the_network_finds_its_secret(system: System) {
    for before in [true, false] {
        let mut host = Scenario::new(system, if before { "network" } else { "nonetwork" });
        host.secret("wg", "wg-v1");
        host.profile()["settings"]["beforeNetwork"] = before.into();
        host.file(
            "/etc/systemd/system/vaultix-boot.service.d/slow.conf",
            "[Service]\nExecStartPre=/bin/sleep 2\n",
        );
        host.file(
            "/etc/systemd/system/systemd-networkd.service.d/wg.conf",
            "[Service]\nLoadCredential=network.wireguard.wg0:/run/vaultix/wg\nRestart=no\n",
        );
        let networkd = "/lib/systemd/system/systemd-networkd.service";
        let wants = "/etc/systemd/system/sysinit.target.wants/systemd-networkd.service";
        host.link(wants, networkd);
        let boot = host.run(
            "note network systemctl show --property=Result --value systemd-networkd.service
            systemctl stop systemd-networkd.service systemd-networkd.socket
            ",
        );
        let result = boot.text("network");
        assert_eq!(
            result == "success",
            before,
            "{result}: {:#?}",
            boot.journal_of("systemd-networkd.service")
        );
        boot.assert_no_cycle();
    }
}
