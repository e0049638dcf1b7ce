//! what a host goes through after its boot → its secrets are there again.

use serde_json::json;
use xtask::system::System;

use crate::support::{Scenario, encrypt, placeholder, secret_unit, template_unit};

/// A host key that comes late is noticed without anybody asking, also where there is no shell, and consumers are told.
pub fn a_late_key_is_enough(system: System) {
    let mut host = Scenario::new(system, "latekey");
    host.key("/origin/host_key", "ed25519");
    host.profile()["settings"]["hostKeys"] =
        json!([{ "path": "/late/host_key", "type": "ed25519" }]);
    host.secret_with("token", "hunter2", json!({ "restartUnits": ["user.service"] }));
    host.profile()["placeholder"] = json!({ "token": placeholder("token") });
    host.profile()["templates"] = json!({ "conf": { "content": placeholder("token") } });
    for name in ["user", "plain"] {
        host.consumer_of(name, "/run/vaultix/token", "/bin/bash");
    }
    // Both the helper and the unit that tries again use the one that the profile names.
    host.profile()["settings"]["systemctl"] = "/opt/its own/systemctl".into();
    host.program(
        "/opt/its own/systemctl",
        "#!/bin/bash\necho \"$*\" >>/out/systemctl.log\nexec /bin/systemctl \"$@\"\n",
    );
    let boot = host.run(
        r"
        note state systemctl is-system-running
        # Units of the test need a shell; nothing of ours does.
        rm /bin/sh
        note shell systemd-run --quiet --wait --pipe /bin/sh -c true
        mkdir /late
        cp /origin/host_key /late/.new && mv /late/.new /late/host_key
        # The template is the last of them.
        await /run/vaultix/conf
        settle
        snapshot came
        note token cat /run/vaultix/token /run/vaultix/conf
        note second systemctl is-system-running
        ",
    );
    assert_eq!(boot.text("state"), "degraded");
    assert_ne!(boot.status("shell"), 0, "there is none");
    assert_eq!(boot.unit_at("boot", &secret_unit("token"))["ExecMainStatus"], "77");
    assert_eq!(boot.unit_at("boot", "vaultix-late-key.path")["ActiveState"], "active");
    boot.assert_error(&secret_unit("token"), &["token", "/late/host_key"]);
    assert_eq!(boot.text("token"), "hunter2hunter2");
    for unit in [secret_unit("token"), template_unit("conf")] {
        assert_eq!(boot.unit_at("came", &unit)["ActiveState"], "active", "{unit}");
    }
    assert_eq!(boot.text("second"), "running");
    let log = boot.text("user.log");
    let starts: Vec<_> = log.lines().filter(|line| line.starts_with("start")).collect();
    assert_eq!(starts.len(), 2, "{log}");
    assert!(starts[1] == "start hunter2", "told when it came: {log}");
    assert_eq!(boot.text("plain.log").matches("start").count(), 1, "who did not ask is not told");
    let jobs = boot.text("systemctl.log");
    for job in ["start -- vaultix-late-key.path", "reset-failed", "try-restart -- user.service"] {
        assert!(jobs.contains(job), "{job} in {jobs}");
    }
    boot.assert_no_cycle();
}

/// Of two host keys one is missing, and a secret is for that one: it is not tried again until the key that is missing
/// comes, and then it is.
pub fn only_the_missing_key_is_waited_for(system: System) {
    let mut host = Scenario::new(system, "twokeys");
    let keys = host.profile()["settings"]["hostKeys"].as_array_mut().unwrap();
    keys.push(json!({ "path": "/late/host_key", "type": "ed25519" }));
    host.secret("token", "hunter2");
    let stranger = host.stranger();
    host.ciphertext("foreign", Some(&encrypt(&stranger, b"hunter3")), json!({}));
    let boot = host.run(
        r"
        settle
        snapshot before
        note token cat /run/vaultix/token
        mkdir /late
        mv /fixtures/keys/stranger /late/host_key
        await /run/vaultix/foreign
        settle
        ",
    );
    assert_eq!(boot.text("token"), "hunter2", "the other key will do");
    assert_eq!(boot.failed("before"), [secret_unit("foreign")]);
    let state = |unit: &str| boot.unit_at("before", unit)["ActiveState"].clone();
    assert_eq!(state("vaultix-late-key.path"), "inactive");
    assert_eq!(state("vaultix-late-key-2.path"), "active");
    assert_eq!(state("vaultix-late-key.timer"), "inactive");
    assert_eq!(state("vaultix-late-key-2.timer"), "active");
    for unit in ["vaultix-late-key.service", "vaultix-late-key-2.service"] {
        assert_eq!(boot.unit_at("before", unit)["InvocationID"], "", "{unit} never ran");
    }
    assert_eq!(boot.failed("final"), [""; 0]);
    assert_eq!(boot.unit("vaultix-late-key-2.timer")["ActiveState"], "inactive");
}

/// A host key is on a file system that is mounted late, by hand or by a unit: no event tells that it is there, and yet what it
/// decrypts arrives. Only while a key is missing is it looked for, and the journal does not fill up with that.
pub fn a_key_whose_file_system_comes_late(system: System) {
    let mut host = Scenario::new(system, "latedisk");
    for name in ["hand", "unit"] {
        let key = host.other_key(&format!("/origin/{name}/host_key"));
        let path = format!("/late/{name}/host_key");
        let keys = host.profile()["settings"]["hostKeys"].as_array_mut().unwrap();
        keys.push(json!({ "path": path, "type": "ed25519" }));
        let told = json!({ "restartUnits": [format!("{name}.service")] });
        host.ciphertext(name, Some(&encrypt(&key, format!("{name}-v1").as_bytes())), told);
        host.consumer(name, &format!("/run/vaultix/{name}"));
        host.file(&format!("/late/{name}/.mountpoint"), "");
    }
    host.file(
        "/etc/systemd/system/late-unit.mount",
        "[Mount]\nWhat=overlay\nWhere=/late/unit\nType=overlay\nOptions=lowerdir=/origin/disk:/origin/empty\n",
    );
    host.file("/origin/empty/none", "");
    // Else the boot would wait for it, since a key is below it.
    host.profile()["settings"]["lateMounts"] = json!(["/late/unit"]);
    host.secret("here", "here-v1");
    let boot = host.run(
        r#"
        timers() { systemctl is-active vaultix-late-key.timer vaultix-late-key-2.timer vaultix-late-key-3.timer; }
        last() { systemctl show --property=LastTriggerUSec vaultix-late-key-3.timer; }
        note none timers
        systemctl stop vaultix-late-key-2.timer
        mount -t tmpfs hand /late/hand
        cp /origin/hand/host_key /late/hand/.new && mv /late/hand/.new /late/hand/host_key
        # The other key is still missing each time that it is looked for.
        for it in 1 2; do
            before=$(last)
            while [ "$before" = "$(last)" ]; do :; done
        done
        settle
        note blind systemctl is-active vaultix-secret@hand.service vaultix-late-key-2.path
        umount /late/hand
        settle
        systemctl start vaultix-late-key-2.timer
        mount -t tmpfs hand /late/hand
        cp /origin/hand/host_key /late/hand/.new && mv /late/hand/.new /late/hand/host_key
        await /run/vaultix/hand
        settle
        note hand timers
        note disk systemctl is-active vaultix-late-key-3.path
        mv /origin/unit /origin/disk
        systemctl start late-unit.mount
        await /run/vaultix/unit
        settle
        note unit timers
        note state systemctl is-system-running
        "#,
    );
    assert_eq!(boot.text("script.errors"), "");
    assert_eq!(boot.text("none"), "inactive\nactive\nactive", "of the two that are missing");
    assert_eq!(boot.text("blind"), "failed\nactive", "the control: nobody else notices");
    assert_eq!(boot.text("hand"), "inactive\ninactive\nactive");
    assert_ne!(
        boot.text("disk"),
        "active",
        "the disk is missing, and who waits for a path on it fails"
    );
    assert_eq!(boot.text("unit"), "inactive\ninactive\ninactive");
    assert_eq!(boot.text("state"), "running");
    for name in ["hand", "unit"] {
        let log = boot.text(&format!("{name}.log"));
        let told = log.lines().any(|line| line == format!("start {name}-v1"));
        assert!(told, "who reads it is notified: {log}");
    }
    let lines = boot.journal().into_iter().filter(|line| line.unit.contains("late-key"));
    let skipped: Vec<_> = lines.filter(|line| line.message.contains("skipped")).collect();
    assert!(skipped.is_empty(), "{skipped:#?}");
    boot.assert_no_cycle();
}

/// A switch for which the key is missing keeps what there is, and is run again once the key is there.
pub fn a_key_is_late_for_a_switch(system: System) {
    let mut host = Scenario::new(system, "lateswitch");
    host.nixos();
    host.file("/etc/users", "alice 1500\n");
    host.secret("alice", "a1");
    host.secret_with("token", "v1", json!({ "restartUnits": ["user.service"] }));
    host.profile()["beforeUserborn"] = json!(["alice"]);
    host.unit(
        "user.service",
        "[Service]\nType=exec\nExecStart=/bin/sleep infinity\n\
         ExecStartPre=/bin/sh -c 'touch /run/read-$$(plain /run/vaultix/token)'\n",
    );
    let mut profile = host.profile().clone();
    profile["secrets"]["alice"]["cipher"] = host.store("a2", "a2").into();
    profile["secrets"]["token"]["cipher"] = host.store("v2", "v2").into();
    host.next("two", &profile);
    let boot = host.run(
        r"
        mv /etc/ssh/ssh_host_ed25519_key /root
        switch two
        mv /root/ssh_host_ed25519_key /etc/ssh
        await /run/read-v2
        settle
        note token cat /run/vaultix/token /run/vaultix-for-user/alice
        note shadow grep ^alice: /etc/shadow
        note state systemctl is-system-running
        ",
    );
    assert_eq!(boot.status("two.switch"), 4, "it says that it failed");
    assert!(boot.text("two.texts").contains("/run/vaultix/token:v1"), "what was there still is");
    assert_eq!(boot.text("token"), "v2a2");
    assert_eq!(boot.text("shadow"), "alice:a2:1::::::");
    assert_eq!(boot.text("state"), "running");
    boot.assert_no_cycle();
}

/// Rescue mode and back, and the ramfs unmounted and mounted again.
pub fn rescue_and_the_mount(system: System) {
    let mut host = Scenario::new(system, "rescue");
    host.secret("token", "hunter2");
    host.secret("other", "hunter3");
    // The real one waits for a password on the console.
    host.file(
        "/etc/systemd/system/rescue.service",
        "[Unit]\nDefaultDependencies=no\nConflicts=shutdown.target\nBefore=shutdown.target\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
    );
    host.isolates();
    let boot = host.run(
        r"
        look() { settle; snapshot $1; note $1 cat /run/vaultix/token /run/vaultix/other; }
        look boot
        systemctl isolate rescue.target; look rescue
        systemctl isolate home.target; look home
        systemctl stop run-vaultix.d.mount; look stopped
        note gone findmnt /run/vaultix.d
        systemctl start vaultix.target
        note placed cat /run/vaultix/token /run/vaultix/other
        systemctl start vaultix-items.target; look again
        note link readlink --canonicalize /run/vaultix
        note fstype stat --file-system --format=%T /run/vaultix/
        ",
    );
    assert_eq!(boot.text("script.errors"), "");
    for step in ["boot", "rescue", "home", "again"] {
        assert_eq!(boot.text(step), "hunter2hunter3", "{step}");
        for unit in [secret_unit("token"), secret_unit("other"), "vaultix.target".into()] {
            assert_eq!(boot.unit_at(step, &unit)["ActiveState"], "active", "{step}: {unit}");
        }
    }
    assert_eq!(boot.status("gone"), 1, "it was unmounted");
    assert_eq!(boot.text("placed"), "hunter2hunter3", "before their units run");
    assert_eq!(boot.unit_at("stopped", &secret_unit("token"))["ActiveState"], "inactive");
    assert_eq!(boot.text("link"), "/run/vaultix.d/1");
    assert_eq!(boot.text("fstype"), "ramfs");
    boot.assert_no_cycle();
}

/// After a soft reboot, which keeps `/run` but not the ramfs, everything is made again.
pub fn soft_reboot(system: System) {
    let mut host = Scenario::new(system, "soft");
    host.secret("token", "hunter2");
    host.fixture("v2", "v2");
    host.consumer("user", "/run/vaultix/token");
    let boot = host.run(
        r"
        if [ ! -e /out/soft ]; then
            touch /out/soft
            note first cat /run/vaultix/token
            reencrypt token v2
            systemctl soft-reboot
            # Never gets beyond this: the reboot kills it.
            sleep infinity
        fi
        note count systemctl show --property=SoftRebootsCount --value
        note second cat /run/vaultix/token
        note state systemctl is-system-running
        note link readlink --canonicalize /run/vaultix
        ",
    );
    assert_eq!(boot.text("first"), "hunter2");
    assert_eq!(boot.text("count"), "1", "it really was one");
    assert_eq!(boot.text("second"), "v2");
    assert_eq!(boot.text("state"), "running");
    assert_eq!(boot.text("link"), "/run/vaultix.d/1");
    assert_eq!(boot.text("user.log"), "start hunter2\nstop hunter2\nstart v2\nstop v2");
    boot.assert_no_cycle();
}
