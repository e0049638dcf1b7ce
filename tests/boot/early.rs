//! secrets that are needed before users exist → users with passwords.

use serde_json::{Value, json};
use xtask::system::System;

use crate::support::{Scenario, placeholder, secret_unit};

/// A user whose password is an early secret, or a template of one, can be looked up after the first boot, and after
/// each change of the password; and a secret may belong to a user who was made in that very boot, or switch.
pub fn a_password_is_there_before_users(system: System) {
    let mut host = Scenario::new(system, "early");
    host.nixos();
    host.file("/etc/users", "alice 1500\nbob 1501\n");
    // A number means something before there are users.
    host.secret_with("alice", "$y$j9T$alice$hash", json!({ "owner": "1500", "group": "8" }));
    host.secret("bob-hash", "hash-of-bob");
    host.secret_with("owned", "1", json!({ "owner": "alice" }));
    host.profile()["placeholder"] = json!({ "bob-hash": placeholder("bob-hash") });
    host.profile()["templates"] =
        json!({ "bob": { "content": format!("$y$j9T${}", placeholder("bob-hash")) } });
    host.profile()["beforeUserborn"] = json!(["alice", "bob-hash", "bob"]);
    host.fixture("bob2", "second");
    let mut profile = host.profile().clone();
    profile["secrets"]["bob-hash"]["cipher"] = host.store("bob3", "third").into();
    let carols = host.store("carols", "2");
    profile["secrets"]["carols"] = json!({ "cipher": carols, "owner": "carol" });
    host.next("three", &profile);
    host.file("/next/three/users", "alice 1500\nbob 1501\ncarol 1502\n");
    profile["secrets"]["bob-hash"]["cipher"] = host.store("bob3-again", "third").into();
    host.next("again", &profile);
    let boot = host.run(
        r"
        note state systemctl is-system-running
        note shadow grep -E '^(alice|bob):' /etc/shadow
        note owned stat --format='%a %U' /run/vaultix/owned
        note early find /run/vaultix-for-user/ -name .vaultix -prune -o -type f -printf '%P %m %U %G\n'
        note order systemctl show --property=ActiveEnterTimestampMonotonic --value \
            vaultix-boot-early.service userborn.service vaultix-boot.service
        note needs systemctl show --property=After --value vaultix-boot-early.service
        note verify systemd-analyze verify --generators=yes --man=no default.target
        reencrypt bob-hash bob2
        note restart systemctl restart 'vaultix-secret@bob\x2dhash.service'
        settle
        note shadow2 grep ^bob: /etc/shadow
        switch three
        note shadow3 grep -E '^(bob|carol):' /etc/shadow
        note carols stat --format='%a %U' /run/vaultix/carols
        switch again
        ",
    );
    assert_eq!(boot.text("state"), "running", "{:?}", boot.failed("final"));
    assert_eq!(boot.status("restart"), 0, "{}", boot.text("restart"));
    assert_eq!(boot.text("shadow2"), "bob:$y$j9T$second:1::::::", "after a restart of its value");
    assert_eq!(boot.status("three.switch"), 0, "{}", boot.text("three.switch"));
    assert_eq!(boot.text("shadow3"), "bob:$y$j9T$third:1::::::", "after a switch");
    assert_eq!(boot.text("carols"), "400 carol", "whose user was made in that switch");
    let passwords = boot.text("userborn.log");
    let passwords: Vec<_> =
        passwords.lines().filter_map(|line| line.strip_prefix("bob $y$j9T$")).collect();
    let expected = ["hash-of-bob", "second", "third"];
    assert_eq!(passwords, expected, "once for each change, with secret and template in place");
    assert_eq!(
        boot.text("shadow"),
        "alice:$y$j9T$alice$hash:1::::::\nbob:$y$j9T$hash-of-bob:1::::::"
    );
    assert_eq!(boot.text("owned"), "400 alice");
    let early = boot.text("early");
    let mut early: Vec<_> = early.lines().collect();
    early.sort_unstable();
    let expected = ["alice 400 1500 8", "bob 400 0 0", "bob-hash 400 0 0", "owned 400 1500 0"];
    assert_eq!(early, expected, "both links lead to the one generation");
    let times: Vec<u64> =
        boot.text("order").split_whitespace().map(|time| time.parse().unwrap()).collect();
    assert!(times[0] <= times[1] && times[1] <= times[2], "in order: {times:?}");
    let needs = boot.text("needs");
    let mounts: Vec<_> = needs.split(' ').filter(|unit| unit.contains(".mount")).collect();
    assert_eq!(mounts, ["run-vaultix.d.mount"], "any other mount makes a cycle");
    assert!(!boot.text("verify").to_lowercase().contains("cycle"), "{}", boot.text("verify"));
    boot.assert_no_cycle();
}

/// An early secret that cannot be had is loud, and keeps no user from being made.
pub fn users_are_made_without_their_password(system: System) {
    let mut host = Scenario::new(system, "noearly");
    host.nixos();
    host.file("/etc/users", "alice 1500\n");
    host.ciphertext("alice", Some(b"not an age file"), json!({}));
    host.secret_with("named", "1", json!({ "owner": "alice" }));
    host.secret_with("early-named", "1", json!({ "owner": "alice" }));
    host.profile()["beforeUserborn"] = json!(["alice", "early-named"]);
    let mut profile = host.profile().clone();
    profile["secrets"]["more"] = json!({ "cipher": host.store("more", "1") });
    host.next("two", &profile);
    let boot = host.run(
        r"
        note state systemctl is-system-running
        note users grep ^alice: /etc/passwd
        switch two
        ",
    );
    assert_eq!(boot.text("state"), "degraded");
    assert_eq!(boot.text("users"), "alice:x:1500:1500::/:/bin/sh");
    assert_eq!(boot.unit(&secret_unit("alice"))["ExecMainStatus"], "65");
    // A name means nothing before users exist: the profile itself is wrong.
    assert_eq!(boot.unit(&secret_unit("early-named"))["ExecMainStatus"], "78");
    boot.assert_error(&secret_unit("early-named"), &["early-named", "alice"]);
    assert_eq!(boot.unit(&secret_unit("named"))["ActiveState"], "active");
    assert_eq!(boot.status("two.switch"), 4, "it is still not there");
    assert_eq!(boot.text("userborn.log").lines().count(), 1, "which is no reason to make users");
    boot.assert_no_cycle();
}

/// Ways to mount what host keys and paths are on: a name, `/etc/fstab`, and settings. A container has no disks.
const LAYOUTS: [(&str, &str, &str); 9] = [
    (
        "automount",
        "tmpfs /home tmpfs noauto,x-systemd.automount\n",
        r#"{ "lateMounts": ["/home"] }"#,
    ),
    (
        "bound",
        "tmpfs /persist tmpfs\n/persist/ssh /etc/ssh none bind,x-systemd.requires-mounts-for=/persist\n",
        r#"{ "hostKeys": [{ "path": "/etc/ssh/ssh_host_ed25519_key", "type": "ed25519" }] }"#,
    ),
    (
        "encrypted",
        "tmpfs /srv/data tmpfs x-systemd.requires=systemd-cryptsetup@data.service\ntmpfs /persist tmpfs\n",
        "{}",
    ),
    ("netdev", "tmpfs /home tmpfs _netdev\n", r#"{ "lateMounts": ["/home"] }"#),
    ("nfs-home", "server:/home /home nfs\n", r#"{ "lateMounts": ["/home"] }"#),
    ("nfs-key", "server:/keys /persist nfs\n", r#"{ "lateMounts": ["/persist"] }"#),
    (
        "nofail",
        "tmpfs /home tmpfs nofail\ntmpfs /srv/data tmpfs noauto\n",
        r#"{ "lateMounts": ["/home", "/srv/data"] }"#,
    ),
    (
        "nested",
        "server:/srv /srv nfs nofail\ntmpfs /srv/data tmpfs nofail\ntmpfs /persist tmpfs\n",
        r#"{ "lateMounts": ["/srv", "/srv/data"] }"#,
    ),
    ("separate", "tmpfs /persist tmpfs\ntmpfs /home tmpfs\ntmpfs /srv/data tmpfs\n", "{}"),
];

/// A host key on a file system that is mounted late: the early secret fails and says what to do, the
/// normal one waits for the mount, and nothing goes in a circle, at boot or at shutdown. Neither would it with other ways to
/// mount what keys and paths are on.
pub fn a_key_on_a_late_mount(system: System) {
    let mut host = Scenario::new(system, "latemount");
    host.nixos();
    host.file("/etc/users", "alice 1500\n");
    host.key("/origin/host_key", "ed25519");
    host.profile()["settings"]["hostKeys"] =
        json!([{ "path": "/persist/host_key", "type": "ed25519" }]);
    host.secret("alice", "hash");
    host.secret("normal", "hunter2");
    host.profile()["beforeUserborn"] = json!(["alice"]);
    host.file("/persist/.mountpoint", "");
    host.file(
        "/etc/systemd/system/persist.mount",
        "[Mount]\nWhat=/origin\nWhere=/persist\nType=none\nOptions=bind\n",
    );
    host.link(
        "/etc/systemd/system/local-fs.target.requires/persist.mount",
        "/etc/systemd/system/persist.mount",
    );
    for (name, fstab, fields) in LAYOUTS {
        let mut profile = host.profile().clone();
        let fields: Value = serde_json::from_str(fields).unwrap();
        profile["settings"].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        for (id, path) in [("home", "/home/alice/token"), ("data", "/srv/data/token")] {
            profile["secrets"][id] = json!({ "cipher": "/none", "path": path });
        }
        profile["secrets"]["alice"]["before"] = json!(["local-fs-pre.target", "persist.mount"]);
        profile["secrets"]["normal"]["before"] = json!([
            "cryptsetup-pre.target",
            "systemd-cryptsetup@data.service",
            "home.mount",
            "local-fs.target",
            "systemd-tmpfiles-setup.service",
            "network-pre.target",
        ]);
        host.file(&format!("/layouts/{name}/profile.json"), profile.to_string());
        host.file(&format!("/layouts/{name}/fstab"), fstab);
    }
    // As NetworkManager is ordered, and as a disk is opened.
    let unit = |name: &str, order: &str| {
        let text = format!("[Unit]\n{order}\n[Service]\nType=oneshot\nExecStart=/bin/true\n");
        host.file(&format!("/layouts/units/{name}"), text);
    };
    unit("network.service", "Wants=network.target\nBefore=network.target network-online.target");
    unit(
        "systemd-cryptsetup@data.service",
        "DefaultDependencies=no\nAfter=cryptsetup-pre.target\nBefore=cryptsetup.target",
    );
    let boot = host.run(
        r"
        verify() { systemd-analyze verify --generators=yes --man=no default.target; }
        note verify verify
        await /run/vaultix-for-user/alice
        settle
        note shadow grep ^alice: /etc/shadow
        rm /etc/systemd/system/persist.mount /etc/systemd/system/local-fs.target.requires/persist.mount
        cp /layouts/units/* /run/systemd/system
        mkdir -p /run/systemd/system/multi-user.target.wants
        ln -s ../network.service /run/systemd/system/multi-user.target.wants
        for it in /layouts/*/fstab; do
            it=$(basename $(dirname $it))
            cp /layouts/$it/fstab /etc/fstab
            cp /layouts/$it/profile.json /etc/vaultix/profile.json
            note layout-$it verify
        done
        # The control: the early items wait for a mount, that of the last layout.
        mkdir /run/systemd/system/vaultix-boot-early.service.d
        printf '[Unit]\nRequiresMountsFor=/persist\n' >/run/systemd/system/vaultix-boot-early.service.d/wait.conf
        note control verify
        ",
    );
    for name in LAYOUTS.map(|(name, ..)| format!("layout-{name}")).iter().chain(&["verify".into()])
    {
        assert!(!boot.text(name).to_lowercase().contains("cycle"), "{name}: {}", boot.text(name));
    }
    assert!(boot.text("control").contains("cycle"), "{}", boot.text("control"));
    boot.assert_no_cycle();
    assert_eq!(boot.text("shadow"), "alice:hash:1::::::", "users are made again once it is there");
    assert_eq!(boot.text("userborn.log").lines().count(), 2, "{}", boot.text("userborn.log"));
    boot.assert_error(&secret_unit("alice"), &["alice", "/persist/host_key", "neededForBoot"]);
    // The mount comes later in the same boot, and with it the key.
    assert_eq!(boot.unit(&secret_unit("alice"))["ActiveState"], "active");
    assert_eq!(boot.unit_at("boot", &secret_unit("normal"))["ActiveState"], "active");
}
