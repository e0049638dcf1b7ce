//! what can be wrong with one item or with the whole profile → who fails, with which words, and who does not.

use std::path::PathBuf;
use std::process::{self, Command};
use std::{env, fs};

use serde_json::{Value, json};
use xtask::system::System;

use crate::support::{Boot, Scenario, encrypt, secret_unit};

/// Four of ten cannot be decrypted: those four units fail, each with its reason, and the others arrive.
pub fn four_of_ten(system: System) {
    let mut host = Scenario::new(system, "four");
    for id in ["one", "two", "three", "four", "five", "six"] {
        host.secret(id, format!("plaintext {id}"));
    }
    let recipient = host.recipient().to_owned();
    let mut corrupt = encrypt(&recipient, b"damaged on the way");
    *corrupt.last_mut().unwrap() ^= 1;
    host.ciphertext("corrupt", Some(&corrupt), json!({ "restartUnits": ["user.service"] }));
    let stranger = host.stranger();
    host.ciphertext("foreign", Some(&encrypt(&stranger, b"for another host")), json!({}));
    host.ciphertext("missing", None, json!({}));
    host.secret_with("ownerless", "whose?", json!({ "owner": "nosuchuser" }));
    host.consumer("user", "/run/vaultix/corrupt");
    let boot = host.run(
        r"
        note state systemctl is-system-running
        note failed systemctl --failed --plain --no-legend
        note files find /run/vaultix.d/ -name .vaultix -prune -o -type f -printf '%P '
        note content cat /run/vaultix/one /run/vaultix/six
        note targets systemctl is-active vaultix.target sysinit.target
        note status systemctl status vaultix-secret@corrupt.service
        ",
    );
    assert_eq!(boot.text("state"), "degraded", "a failure is seen");
    assert_eq!(boot.text("targets"), "active\nactive", "and holds up nobody");
    for (id, status, name, words) in [
        ("corrupt", "65", "DATAERR", ["corrupt", "/etc/vaultix/cache/corrupt"]),
        ("foreign", "77", "NOPERM", ["foreign", "/etc/ssh/ssh_host_ed25519_key"]),
        ("missing", "66", "NOINPUT", ["missing", "/etc/vaultix/cache/missing"]),
        (
            "ownerless",
            "67",
            "NOUSER",
            ["nosuchuser", "systemctl status systemd-sysusers.service userborn.service"],
        ),
    ] {
        let unit = secret_unit(id);
        assert_eq!(boot.unit(&unit)["ExecMainStatus"], status, "{id}");
        assert_eq!(boot.unit(&unit)["Result"], "exit-code", "{id}");
        boot.assert_error(&unit, &words);
        let named = format!("status={status}/{name}");
        let journal = boot.journal_of(&unit);
        assert!(journal.iter().any(|line| line.message.contains(&named)), "{named}: {journal:#?}");
    }
    for words in ["the file is damaged", "status=65/DATAERR"] {
        assert!(boot.text("status").contains(words), "{words} in {}", boot.text("status"));
    }
    let mut failed = boot.failed("boot");
    failed.sort();
    let expected = ["corrupt", "foreign", "missing", "ownerless"].map(secret_unit);
    assert_eq!(failed, expected, "exactly those");
    let files = boot.text("files");
    let mut files: Vec<_> = files.split_whitespace().collect();
    files.sort_unstable();
    assert_eq!(files, ["1/five", "1/four", "1/one", "1/six", "1/three", "1/two"]);
    assert_eq!(boot.text("content"), "plaintext oneplaintext six");
    assert!(boot.text("user.log").starts_with("start cat:"), "its user starts nevertheless");
    boot.assert_no_cycle();
}

/// A bad item has a unit of its own that fails with the reason; the others are emitted.
pub fn a_bad_item_fails_alone(system: System) {
    let mut host = Scenario::new(system, "item");
    host.secret("good", "1");
    let bad = [
        ("badmode", json!({ "mode": "0400zzz" }), "0400zzz"),
        ("nines", json!({ "mode": "999" }), "999"),
        ("setuid", json!({ "mode": "4755" }), "4755"),
        ("misspelt", json!({ "mdoe": "0400" }), "mdoe"),
        ("dotdot", json!({ "name": "../escape" }), "../escape"),
        ("absolute", json!({ "name": "/etc/shadow" }), "/etc/shadow"),
        ("twopart", json!({ "name": "a//b" }), "a//b"),
    ];
    for (id, fields, _) in &bad {
        host.secret_with(id, "never seen", fields.clone());
    }
    host.profile()["secrets"]["nocipher"] = json!({});
    let boot = host.run("note files find /run/vaultix.d/ -name .vaultix -prune -o -type f -print");
    for (id, _, word) in &bad {
        let unit = secret_unit(id);
        assert_eq!(boot.unit(&unit)["ActiveState"], "failed", "{id}");
        assert_eq!(boot.unit(&unit)["ExecMainStatus"], "78", "{id}");
        boot.assert_error(&unit, &[id, word]);
    }
    assert_eq!(boot.unit(&secret_unit("nocipher"))["ExecMainStatus"], "78");
    boot.assert_error(&secret_unit("nocipher"), &["nocipher", "cipher"]);
    assert_eq!(boot.failed("boot").len(), bad.len() + 1, "{:?}", boot.failed("boot"));
    assert_eq!(boot.unit(&secret_unit("good"))["ActiveState"], "active");
    assert_eq!(boot.text("files"), "/run/vaultix.d/1/good");
    boot.assert_no_cycle();
}

/// A profile that cannot be used is one failing unit with the reason, and boot goes on.
pub fn an_invalid_profile(system: System) {
    let mut host = Scenario::new(system, "profile");
    *host.profile() = json!({ "version": 2, "settings": {}, "secrets": {} });
    for (name, text) in [
        ("empty", String::new()),
        ("noise", "\u{1}\u{2}no json at all".into()),
        ("cut", r#"{"version": 1, "settings": {"#.into()),
        (
            "unknown",
            r#"{"version": 1, "settings": {"hostIdentifier": "h", "hostPubkey": "ssh-ed25519 A",
            "hostKeys": []}, "secrets": {}, "secerts": {}}"#
                .into(),
        ),
        ("list", "[]".into()),
        (
            "feed",
            r#"{"version": 1, "settings": {"hostIdentifier": "h", "hostPubkey": "ssh-ed25519 A",
            "hostKeys": []}, "two\nlines": {}}"#
                .into(),
        ),
    ] {
        host.file(&format!("/fixtures/{name}.json"), text);
    }
    let boot = host.run(
        r"
        note state systemctl is-system-running
        note failed systemctl --failed --plain --no-legend
        # Without a shell, which a host need not have.
        rm /bin/sh
        for it in empty noise cut unknown list feed; do
            cp /fixtures/$it.json /etc/vaultix/profile.json
            systemctl daemon-reload
            systemctl reset-failed
            note $it systemctl start vaultix-profile.service
            systemctl show --property=ExecMainStatus --value vaultix-profile.service >/out/$it.code
        done
        rm /etc/vaultix/profile.json
        systemctl daemon-reload
        ",
    );
    assert_eq!(boot.text("state"), "degraded");
    assert_eq!(boot.failed("boot"), ["vaultix-profile.service"]);
    boot.assert_error(
        "vaultix-profile.service",
        &["/etc/vaultix/profile.json", "version", "2", "1"],
    );
    for (name, word) in [
        ("empty", "empty"),
        ("noise", "line 1 column 1"),
        ("cut", "line 1 column 28"),
        ("unknown", "secerts"),
        ("list", "expected"),
        ("feed", r"two\nlines: unknown field"),
    ] {
        assert_eq!(boot.status(name), 1, "{name}: starting it fails");
        assert_eq!(boot.text(&format!("{name}.code")), "78", "{name}");
        boot.assert_error("vaultix-profile.service", &["/etc/vaultix/profile.json", word]);
    }
    assert!(
        !boot.text("generated").contains("vaultix"),
        "without a profile nothing is emitted: {}",
        boot.text("generated")
    );
    boot.assert_no_cycle();
}

/// A host without a profile has nothing of ours.
pub fn no_profile(system: System) {
    let mut host = Scenario::new(system, "none");
    *host.profile() = Value::Null;
    let boot = host.run("note state systemctl is-system-running");
    assert_eq!(boot.text("state"), "running");
    assert_nothing_of_ours(&boot);
}

/// `vaultix=off` on the kernel command line turns everything off, and a switch passes by.
pub fn turned_off(system: System) {
    let mut host = with_one_secret_more(system, "off");
    host.kernel("vaultix=off");
    let boot = host.run(
        r"
        note state systemctl is-system-running
        note args cat /proc/1/cmdline
        switch two
        note skipped systemctl show --property=ConditionResult --value vaultix-switch-early.service vaultix-switch.service
        ",
    );
    assert!(boot.text("args").contains("vaultix=off"), "it was given");
    assert_eq!(boot.text("state"), "running");
    assert_eq!(boot.status("two.switch"), 0, "{}", boot.text("two.switch"));
    assert_eq!(boot.text("skipped").matches("no").count(), 2, "{}", boot.text("skipped"));
    assert_nothing_of_ours(&boot);
}

/// The last word on the kernel command line counts, also for a switch.
pub fn turned_on_again(system: System) {
    let mut host = with_one_secret_more(system, "onagain");
    host.kernel("vaultix=off");
    host.kernel("vaultix=on");
    let boot = host.run("switch two; note texts cat /run/vaultix/token /run/vaultix/more");
    assert_eq!(boot.status("two.switch"), 0, "{}", boot.text("two.switch"));
    assert_eq!(boot.text("texts"), "hunter21");
}

/// Returns a host with a secret, and a profile `two` to switch to that has one more.
fn with_one_secret_more(system: System, name: &str) -> Scenario {
    let mut host = Scenario::new(system, name);
    host.nixos();
    host.file("/etc/users", "alice 1500\n");
    host.secret("token", "hunter2");
    let mut profile = host.profile().clone();
    profile["secrets"]["more"] = json!({ "cipher": host.store("more", "1") });
    host.next("two", &profile);
    host
}

/// Fails if the generator has made anything, or a unit of ours is active.
fn assert_nothing_of_ours(boot: &Boot) {
    assert!(!boot.text("generated").contains("vaultix"), "{}", boot.text("generated"));
    assert!(boot.text("tree").contains("No such file"), "{}", boot.text("tree"));
    let units = boot.units("final");
    let ours = units.iter().filter(|(name, unit)| {
        (name.starts_with("vaultix") || name.starts_with("run-vaultix"))
            && unit["ActiveState"] != "inactive"
    });
    assert_eq!(ours.count(), 0);
}

/// A ramfs that is not there is said by each secret's own unit, and all arrive once it is.
pub fn no_mount(system: System) {
    let mut host = Scenario::new(system, "nomount");
    host.secret("token", "hunter2");
    host.link("/etc/systemd/system/run-vaultix.d.mount", "/dev/null");
    let boot = host.run(
        r"
        note found find /run/vaultix.d /run/vaultix
        rm /etc/systemd/system/run-vaultix.d.mount
        systemctl daemon-reload
        note start systemctl start vaultix-items.target
        note token cat /run/vaultix/token
        note state systemctl is-system-running
        ",
    );
    let unit = secret_unit("token");
    assert_eq!(boot.failed("boot"), [&*unit], "it is listed, and nothing else is");
    assert_eq!(boot.unit_at("boot", &unit)["ExecMainStatus"], "73");
    boot.assert_error(
        &unit,
        &["token", "/run/vaultix.d", "systemctl status 'run-vaultix.d.mount'"],
    );
    assert_eq!(boot.text("found").matches("No such file").count(), 2, "{}", boot.text("found"));
    assert_eq!((boot.text("token"), boot.text("state")), ("hunter2".into(), "running".into()));
    boot.assert_no_cycle();
}

/// A ramfs mounted outside of a container, to be shown inside; unmounted when dropped.
struct Outside(PathBuf);

impl Outside {
    fn mount() -> Self {
        let place = env::temp_dir().join(format!("vaultix-outside-{}", process::id()));
        fs::create_dir(&place).unwrap();
        let options = "mode=0711,nosuid,nodev,noexec";
        let mount = Command::new("mount")
            .args(["-t", "ramfs", "-o", options, "ramfs"])
            .arg(&place)
            .status();
        assert!(mount.unwrap().success());
        Self(place)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

/// A container that may not mount works with both mounts made outside; what `/run` has there is closed to others.
pub fn mounts_from_outside(system: System) {
    let outside = Outside::mount();
    let mut host = Scenario::new(system, "outside");
    host.nixos();
    host.file("/etc/users", "");
    host.secret_with("token", "token-v1", json!({ "owner": "4242" }));
    let mut profile = host.profile().clone();
    profile["secrets"]["token"]["cipher"] = host.store("token-v2", "token-v2").into();
    host.next("two", &profile);
    host.nspawn("--drop-capability=CAP_SYS_ADMIN");
    host.nspawn(&format!("--bind={}:/run/vaultix.private/ramfs", outside.0.display()));
    host.nspawn(&format!("--bind-ro={}:/run/vaultix.d", outside.0.display()));
    let boot = host.run(
        r"
        note state systemctl is-system-running
        note token cat /run/vaultix/token
        note private stat --format='%a %U' /run/vaultix.private
        note two switch_to two
        note two.token cat /run/vaultix/token
        ",
    );
    assert_eq!(boot.text("token"), "token-v1");
    assert_eq!(boot.text("private"), "700 root");
    assert_eq!(boot.status("two"), 0, "{}", boot.text("two"));
    assert_eq!(boot.text("two.token"), "token-v2");
    assert_eq!(boot.failed("final").iter().filter(|it| it.contains("vaultix")).count(), 0);
}

/// Where the ramfs cannot be mounted, nothing is written, and the secret's own unit says why.
pub fn not_a_ramfs(system: System) {
    let mut host = Scenario::new(system, "noram");
    host.secret("token", "hunter2");
    host.nspawn("--drop-capability=CAP_SYS_ADMIN");
    let boot = host.run("note files find /run/vaultix.d /run/vaultix/ -type f");
    let unit = secret_unit("token");
    assert_eq!(boot.unit(&unit)["ActiveState"], "failed");
    assert_eq!(boot.unit(&unit)["ExecMainStatus"], "73");
    boot.assert_error(&unit, &["token", "/run/vaultix.d", "ramfs"]);
    assert!(
        !boot.text("files").lines().any(|line| line.ends_with("token")),
        "{}",
        boot.text("files")
    );
    assert!(boot.journal().iter().all(|line| !line.message.contains("hunter2")));
}

/// A private key where the host's public one belongs, or in the place of a path, is in no line of the journal, nor in
/// anything else that the host prints or others may read of its units.
pub fn a_private_key_is_not_printed(system: System) {
    let keygen = std::process::Command::new("age-keygen").output().unwrap();
    let text = String::from_utf8(keygen.stdout).unwrap();
    let key = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap();
    let data = key.strip_prefix("AGE-SECRET-KEY-1").unwrap();
    let mut host = Scenario::new(system, "private");
    host.secret("token", "hunter2");
    host.secret_with("other", "hunter2", json!({ "mode": key }));
    host.nixos();
    let good = host.profile().clone();
    host.profile()["settings"]["hostPubkey"] = key.into();
    for (name, place) in
        [("path", "/settings/hostKeys/0/path"), ("type", "/settings/hostKeys/0/type")]
    {
        let mut profile = good.clone();
        *profile.pointer_mut(place).unwrap() = key.to_lowercase().into();
        host.next(name, &profile);
    }
    let mut block = good;
    block["settings"]["hostPubkey"] =
        format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{data}\n-----END OPENSSH PRIVATE KEY-----")
            .into();
    host.next("block", &block);
    let boot = host.run(
        r"
        switch path
        switch type
        switch block
        note status systemctl status --lines=100 --no-pager '*' --all
        note units cat /run/systemd/generator/*
        ",
    );
    let mut texts: Vec<String> = boot.journal().into_iter().map(|line| line.message).collect();
    let names =
        ["path.check", "path.switch", "type.check", "type.switch", "block.check", "block.switch"];
    texts.extend(
        names
            .into_iter()
            .chain(["status", "units", "generated", "console"])
            .map(|name| boot.text(name)),
    );
    let has = |piece: &str| texts.iter().any(|text| text.to_uppercase().contains(piece));
    let seen = (0..data.len() - 20).map(|at| &data[at..at + 20]).find(|piece| has(piece));
    assert_eq!(seen, None);
    // The same search finds what is told, and where a key was told before, something else stands.
    assert!(has("VAULTIX-SECRET@TOKEN.SERVICE"));
    boot.assert_error(
        &secret_unit("token"),
        &["hostPubkey is or contains a private key", "age-keygen -y"],
    );
    assert_eq!(boot.unit(&secret_unit("token"))["ExecMainStatus"], "77");
    for name in names {
        let said = boot.text(name);
        assert!(name.ends_with("switch") || said.contains("private key"), "{name}: {said}");
    }
}

/// A secret that the initrd has read makes a directory of our link's place: it is moved aside, and the host has its secrets.
/// One that may contain anything else is left alone.
pub fn a_directory_in_place_of_the_link(system: System) {
    let mut host = Scenario::new(system, "instead");
    host.secret("token", "hunter2");
    host.secret_with("deep", "hunter3", json!({ "name": "ssh/host" }));
    host.secret("early", "hunter4");
    host.profile()["beforeUserborn"] = json!(["early"]);
    for (name, script) in [
        // As the initrd does it, before any unit of the system.
        (
            "initrd",
            "mkdir -p /run/vaultix/ssh; echo old >/run/vaultix/ssh/host; echo old >/run/vaultix/token",
        ),
        ("other", "mkdir -p /run/vaultix-for-user; echo old >/run/vaultix-for-user/notes"),
    ] {
        host.file(
            &format!("/etc/systemd/system/{name}.service"),
            format!(
                "[Unit]\nDefaultDependencies=no\nBefore=run-vaultix.d.mount run-vaultix.private-ramfs.mount\n\
                 [Service]\nType=oneshot\nExecStart=/bin/sh -c '{script}'\n"
            ),
        );
        host.link(
            &format!("/etc/systemd/system/run-vaultix.private-ramfs.mount.wants/{name}.service"),
            &format!("../{name}.service"),
        );
    }
    let boot = host.run(
        r"
        note placed cat /run/vaultix/token /run/vaultix/ssh/host
        note aside tail -n 1 /run/vaultix.aside/token /run/vaultix.aside/ssh/host
        note mode stat --format='%a %U' /run/vaultix.aside
        note other cat /run/vaultix-for-user/notes
        rm -r /run/vaultix-for-user
        note again systemctl restart vaultix-secret@early.service
        note early cat /run/vaultix-for-user/early
        mkdir /run/agenix && ln -s /nowhere /run/older
        for it in agenix older new; do
            note link.$it vaultix-decrypt link -- /run/$it
            note read.$it cat /run/$it/token
        done
        for it in agenix older new; do note unlink.$it vaultix-decrypt unlink -- /run/$it; done
        note left find /run/agenix /run/older /run/new
        ",
    );
    assert_eq!(boot.text("placed"), "hunter2hunter3");
    assert_eq!(boot.text("aside").matches("old").count(), 2, "{}", boot.text("aside"));
    assert_eq!(boot.text("mode"), "700 root");
    let named = boot.journal().into_iter().filter(|line| {
        line.priority == 4
            && line.unit.starts_with("vaultix-")
            && line.message.contains("/run/vaultix.aside")
    });
    assert_eq!(named.count(), 1, "named, and once");
    assert_eq!(boot.text("other"), "old", "that may be anything");
    boot.assert_error(&secret_unit("early"), &["/run/vaultix-for-user", "not a link"]);
    assert_eq!((boot.status("again"), boot.text("early")), (0, "hunter4".into()));
    // The path of another tool is a link to ours, where it can be; where it cannot, a switch goes on.
    for (it, text) in [("agenix", None), ("older", Some("hunter2")), ("new", Some("hunter2"))] {
        let said = boot.text(&format!("link.{it}"));
        assert_eq!(boot.status(&format!("link.{it}")), 0, "{said}");
        assert_eq!(said.contains("is not a link is there"), text.is_none(), "{said}");
        assert_eq!(boot.status(&format!("read.{it}")) == 0, text.is_some(), "{it}");
        assert_eq!(boot.status(&format!("unlink.{it}")), 0, "{it}");
    }
    let left = boot.text("left");
    assert!(left.starts_with("/run/agenix\n") && !left.contains("\n/run/older\n"), "{left}");
}
