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
    let unit = boot.unit_at("before", "vaultix-late-key.service");
    assert_eq!(unit["InvocationID"], "", "it never ran");
    assert_eq!(boot.failed("final"), [""; 0]);
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
