//! restart, reload, stop and start of one secret → its file and those who use it.

use serde_json::{Value, json};
use xtask::system::System;

use crate::home;
use crate::support::{Boot, Scenario, placeholder, secret_unit, template_unit};

/// Names of the three kinds of consumers: named in `restartUnits`, in `reloadUnits`, and nowhere.
const CONSUMERS: [&str; 3] = ["restarted", "reloaded", "unrelated"];

/// A changed plaintext reaches those who asked for it, an unchanged or bad one reaches nobody.
pub fn consumers_are_notified_of_changes_only(system: System) {
    let mut host = Scenario::new(system, "restart");
    let fields = json!({
        "restartUnits": ["restarted.service", "stopped.service"], "reloadUnits": ["reloaded.service"],
        "group": "root",
    });
    host.secret_with("token", "v1", fields);
    host.fixture("again", "v1");
    for version in ["v2", "v3", "v4", "v5"] {
        host.fixture(version, version);
    }
    host.file("/fixtures/broken", "not an age file");
    for name in CONSUMERS.into_iter().chain(["stopped"]) {
        host.consumer(name, "/run/vaultix/token");
    }
    let boot = host.run(
        r#"
        unit=vaultix-secret@token.service
        systemctl stop stopped.service
        step() { # step NAME VERB: runs it, waits for what it queued, notes all
            note "$1" systemctl "$2" $unit
            settle
            snapshot "$1"
            note "$1.file" cat /run/vaultix/token
            note "$1.inode" stat --format='%i %a %u %g' /run/vaultix/token
        }
        step boot is-active
        exec 9</run/vaultix/token

        step same restart
        reencrypt token again;  step again restart
        reencrypt token v2;     step changed restart
        note held cat <&9
        reencrypt token broken; step broken restart
        reencrypt token v2;     step mended restart
        reencrypt token v3;     step reload reload
        reencrypt token broken; step badreload reload
        step stop stop
        reencrypt token v4;     step start start
        for i in 1 2 3 4 5 6 7 8 9 10 11 12; do systemctl restart $unit || echo refused: $i >&2; done
        settle
        step often is-active
        sed -i 's/"group": "root"/"group": "mail"/' /etc/vaultix/profile.json
        systemctl daemon-reload
        step group restart
        step group.again restart
        "#,
    );
    assert_eq!(boot.text("script.errors"), "", "restarts are not refused for their number");

    let quiet = |from: &str, to: &str| {
        for name in CONSUMERS {
            assert_eq!(invocation(&boot, from, name), invocation(&boot, to, name), "{to}: {name}");
        }
    };
    let told = |from: &str, to: &str| {
        for name in ["reloaded", "unrelated"] {
            assert_eq!(invocation(&boot, from, name), invocation(&boot, to, name), "{to}: {name}");
        }
        assert_ne!(
            invocation(&boot, from, "restarted"),
            invocation(&boot, to, "restarted"),
            "{to}: a restart"
        );
    };
    let check = |step: &str, status: i32, state: &str, file: &str| {
        assert_eq!(boot.status(step), status, "{step}: {}", boot.text(step));
        let unit = boot.unit_at(step, &secret_unit("token"));
        assert_eq!(unit["ActiveState"], state, "{step}");
        assert_eq!(boot.text(&format!("{step}.file")), file, "{step}");
        let inode = boot.text(&format!("{step}.inode"));
        assert!(inode.ends_with(" 400 0 0"), "{step}: {inode}");
    };
    check("boot", 0, "active", "v1");
    check("same", 0, "active", "v1");
    quiet("boot", "same");
    check("again", 0, "active", "v1");
    quiet("same", "again");
    assert_eq!(boot.text("boot.inode"), boot.text("again.inode"), "nothing happened to the file");
    check("changed", 0, "active", "v2");
    told("again", "changed");
    assert_eq!(boot.text("held"), "v1", "who has the old file open keeps it whole");
    check("broken", 1, "failed", "v2");
    quiet("changed", "broken");
    assert_eq!(boot.unit_at("broken", &secret_unit("token"))["ExecMainStatus"], "65");
    boot.assert_error(&secret_unit("token"), &["token", "/etc/vaultix/cache/token"]);
    check("mended", 0, "active", "v2");
    quiet("broken", "mended");
    check("reload", 0, "active", "v3");
    told("mended", "reload");
    check("badreload", 1, "active", "v3");
    quiet("reload", "badreload");
    check("stop", 0, "inactive", "v3");
    quiet("badreload", "stop");
    check("start", 0, "active", "v4");
    told("stop", "start");
    check("often", 0, "active", "v4");
    quiet("start", "often");
    assert!(boot.text("group.inode").ends_with(" 400 0 8"), "{}", boot.text("group.inode"));
    told("often", "group");
    quiet("group", "group.again");

    let log = |name: &str| boot.text(&format!("{name}.log"));
    assert_eq!(
        log("restarted"),
        "start v1\nstop v2\nstart v2\nstop v3\nstart v3\nstop v4\nstart v4\nstop v4\nstart v4\nstop v4",
        "once for each change, and the new file is there before the old process stops"
    );
    assert_eq!(log("reloaded"), "start v1\nreload v2\nreload v3\nreload v4\nreload v4\nstop v4");
    assert_eq!(log("unrelated"), "start v1\nstop v4");
    assert_eq!(log("stopped"), "start v1\nstop v1", "what is stopped is left so");
    boot.assert_no_cycle();
}

/// Adds what a home of alice declares, as `nix/homes.nix` makes it: tests/nix compares it with the same file.
fn home_of_alice(host: &mut Scenario) {
    let home: Value = serde_json::from_str(include_str!("../vectors/home.json")).unwrap();
    for (id, plaintext) in [("alice/mail", "mail-v1"), ("alice/token", "token-v1")] {
        host.secret_with(id, plaintext, home["secrets"][id].clone());
        host.profile()["placeholder"][id] = placeholder(id).into();
    }
    host.profile()["templates"] = home["templates"].clone();
    // Homes are made by it, as userborn has it do on NixOS.
    host.file("/etc/tmpfiles.d/home.conf", "d /home/alice 0700 alice users\n");
}

/// Units of users' managers are notified by a switch and by a restart, if the manager runs: none is started, and one that does
/// not answer delays nobody. What homes declare is there before anybody logs in, for their users alone.
pub fn units_of_users_are_notified(system: System) {
    let mut host = Scenario::new(system, "ofusers");
    host.nixos();
    host.file("/etc/users", "alice 1500\nbob 1501\ncarol 1502\ndave 1503\n");
    home_of_alice(&mut host);
    let units = |unit: &str| json!({ "alice": [unit], "1501": [unit], "nobody-here": [unit] });
    let fields = json!({
        "mode": "0444", "restartUserUnits": units("mail.service"),
        "reloadUserUnits": units("chat.service"),
    });
    host.secret_with("token", "v1", fields);
    let log = |name: &str, verb: &str| {
        let path = format!("/out/users/{name}.$$(id -un)");
        let texts = "$$(plain /run/vaultix/token) $$(plain /run/vaultix/alice/mail 2>&1)";
        format!("/bin/bash -c 'echo \"{verb} {texts}\" >>{path}'")
    };
    for name in ["mail", "chat"] {
        let text = format!(
            "[Service]\nType=exec\nExecStartPre={}\nExecStart=/bin/sleep infinity\nExecReload={}\n",
            log(name, "start"),
            log(name, "reload"),
        );
        host.file(&format!("/etc/systemd/user/{name}.service"), text);
    }
    host.fixture("v3", "v3");
    host.fixture("v4", "v4");
    let mut profile = host.profile().clone();
    profile["secrets"]["token"]["cipher"] = host.store("v2", "v2").into();
    host.next("two", &profile);
    profile["secrets"]["alice/mail"]["cipher"] = host.store("mail-v2", "mail-v2").into();
    host.next("home", &profile);
    // A manager as user@.service starts it, without PAM, which not every root directory has.
    host.file(
        "/etc/systemd/system/manager@.service",
        "[Service]\nType=notify\nUser=%i\nDelegate=yes\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n\
         ExecStartPre=+/bin/mkdir -p /run/user/%i\nExecStartPre=+/bin/chown %i /run/user/%i\n\
         ExecStart=/lib/systemd/systemd --user\nExecStopPost=+/bin/rm -r /run/user/%i\n",
    );
    home::add(&host);
    let script = r#"
        mkdir -m 0777 /out/users
        # Nobody has logged in.
        await /home/alice/.config/app/token
        cd /run/vaultix/alice
        note home stat --format='%n %U %G %a' mail app/token netrc /home/alice/.config /home/alice/.config/app
        for it in 1500 1501; do
            note read.$it sh -c "setpriv --reuid=$it --regid=$it --clear-groups cat mail app/token netrc"
        done
        note link setpriv --reuid=1500 --regid=1500 --clear-groups readlink /home/alice/.config/app/token
        cd /
        items
        note unit systemctl is-active vaultix-secret@alice-mail.service vaultix-template@alice-netrc.service
        systemctl restart vaultix-secret@token.service
        of() { setpriv --reuid=$1 --regid=$1 --clear-groups env XDG_RUNTIME_DIR=/run/user/$1 systemctl --user "${@:2}"; }
        for it in 1500 1501; do
            systemctl start manager@$it.service
            of $it start mail.service chat.service
        done
        # It holds up nobody but the unit that notifies it.
        kill -STOP $(systemctl show --property=MainPID --value manager@1501.service)
        switch two
        systemctl kill --signal=KILL manager@1501.service
        # Until it has ended: a unit that fails during a switch counts as one of that.
        systemctl stop manager@1501.service
        switch home
        # What is queued comes first.
        of 1500 start mail.service chat.service
        systemctl stop manager@1500.service
        cp /fixtures/v3 /store/v2
        note three systemctl restart vaultix-secret@token.service
        settle
        note three.state systemctl show --property=ActiveState --property=ConditionResult manager@1500.service vaultix-notify@1500.service
        "#;
    let boot = host.run(&format!("{script}{}", home::SCRIPT));
    assert_eq!(boot.text("script.errors"), "");
    home::check(&boot);
    assert_eq!(boot.status("two.switch"), 0, "{}", boot.text("two.switch"));
    let files = "mail alice users 400\napp/token alice users 600\nnetrc alice users 400\n\
        /home/alice/.config alice users 755\n/home/alice/.config/app alice users 755";
    assert_eq!(boot.text("home"), files);
    assert_eq!(boot.text("read.1500"), "mail-v1token-v1login mail-v1 token-v1");
    assert_eq!(boot.text("read.1501").matches("Permission denied").count(), 3, "bob reads nothing");
    assert_eq!(boot.text("link"), "/run/vaultix/alice/app/token");
    assert_eq!(boot.text("unit"), "active\nactive");
    assert_eq!(boot.status("home.switch"), 0, "{}", boot.text("home.switch"));
    assert_eq!(
        boot.text("users/mail.alice"),
        "start v1 mail-v1\nstart v2 mail-v1\nstart v2 mail-v2"
    );
    assert_eq!(
        boot.text("users/chat.alice"),
        "start v1 mail-v1\nreload v2 mail-v1\nreload v2 mail-v2"
    );
    let stopped = boot.unit_at("two", "vaultix-notify@1501.service");
    assert_eq!(stopped["Result"], "timeout", "a manager that does not answer is given up");
    let refused = "start v1 cat: /run/vaultix/alice/mail: Permission denied";
    assert_eq!(boot.text("users/mail.bob"), refused);
    assert_eq!(boot.status("three"), 0, "{}", boot.text("three"));
    let state = boot.text("three.state");
    assert_eq!(state.matches("ActiveState=inactive").count(), 2, "no manager is started: {state}");
    assert!(state.contains("ConditionResult=no"), "{state}");
    let warned = boot
        .journal_of("vaultix-switch.service")
        .into_iter()
        .any(|line| line.priority == 4 && line.message.contains("nobody-here"));
    assert!(warned, "a user who does not exist is named");
    boot.assert_no_cycle();
}

/// What somebody adds to a consumer does what it does with any unit, and nobody else is touched by it: `Requires=` and
/// `BindsTo=` stop it when a restart of its secret fails, while a reload that fails stops nobody.
pub fn dependencies_of_their_own(system: System) {
    let mut host = Scenario::new(system, "own");
    let fields = json!({ "restartUnits": ["told.service", "both.service"] });
    host.secret_with("token", "v1", fields);
    for version in ["v2", "v3", "v4"] {
        host.fixture(version, version);
    }
    host.file("/fixtures/broken", "not an age file");
    host.profile()["placeholder"] = json!({ "token": placeholder("token") });
    // Whoever reads both is restarted once, after the later one.
    host.profile()["templates"] =
        json!({ "conf": { "content": placeholder("token"), "restartUnits": ["told.service"] } });
    for name in ["told", "both", "requires", "binds", "plain"] {
        host.consumer(name, "/run/vaultix/token");
    }
    let unit = secret_unit("token");
    for (name, directive) in [("both", "Requires"), ("requires", "Requires"), ("binds", "BindsTo")]
    {
        let text = format!("[Unit]\n{directive}={unit}\nAfter={unit}\n");
        host.file(&format!("/etc/systemd/system/{name}.service.d/own.conf"), text);
    }
    let boot = host.run(
        r#"
        unit=vaultix-secret@token.service
        step() { # step NAME VERB UNIT...: runs it, waits for what it queued, notes all
            note "$1" systemctl "${@:2}"
            settle
            snapshot "$1"
        }
        reencrypt token broken; step badreload reload $unit
        step badrestart restart $unit
        note kept cat /run/vaultix/token
        reencrypt token v2;     step mended restart $unit
        step back start both.service requires.service binds.service
        reencrypt token v3;     step changed restart $unit
        reencrypt token v4;     step reload reload $unit
        note conf cat /run/vaultix/conf
        rm /run/vaultix.private/ramfs/1/conf; step template reload vaultix-template@conf.service
        note again cat /run/vaultix/conf
        step stop stop $unit
        "#,
    );
    assert_eq!(boot.text("script.errors"), "");
    let told = ["told", "both", "requires", "binds", "plain"];
    let check = |from: &str, to: &str, wanted: [&str; 5]| {
        let run = |step: &str, name: &str| {
            let unit = boot.units(step).remove(&format!("{name}.service"))?;
            (unit["ActiveState"] == "active").then(|| unit["InvocationID"].clone())
        };
        let found = told.map(|name| match (run(from, name), run(to, name)) {
            (_, None) => "down",
            (before, after) if before == after => "same",
            _ => "new",
        });
        assert_eq!(found, wanted, "{to}: {told:?}");
    };
    for (step, status) in [("badreload", 1), ("badrestart", 1), ("mended", 0), ("changed", 0)] {
        assert_eq!(boot.status(step), status, "{step}: {}", boot.text(step));
    }
    check("boot", "badreload", ["same"; 5]);
    check("badreload", "badrestart", ["same", "down", "down", "down", "same"]);
    assert_eq!(boot.text("kept"), "v1");
    check("badrestart", "mended", ["new", "down", "down", "down", "same"]);
    check("mended", "back", ["same", "new", "new", "new", "same"]);
    check("back", "changed", ["new", "new", "new", "new", "same"]);
    check("changed", "reload", ["new", "new", "same", "same", "same"]);
    check("template", "stop", ["same", "down", "down", "down", "same"]);
    let starts = boot.text("told.log").matches("start").count();
    assert_eq!(starts, 4, "once for each change: {}", boot.text("told.log"));
    let log = boot.text("both.log");
    assert_eq!(log.matches("start v3").count(), 1, "one restart, not two: {log}");
    assert_eq!((boot.text("conf"), boot.text("again")), ("v4".into(), "v4".into()));
    assert_eq!(boot.unit_at("template", &template_unit("conf"))["ActiveState"], "active");
    boot.assert_no_cycle();
}

/// Returns which run of a consumer a snapshot saw.
fn invocation(boot: &Boot, snapshot: &str, consumer: &str) -> String {
    let unit = boot.unit_at(snapshot, &format!("{consumer}.service"));
    assert_eq!(unit["ActiveState"], "active", "{snapshot}: {consumer}");
    format!("{} {}", unit["InvocationID"], unit["MainPID"])
}

/// Who waits for another to switch does not put what an older profile says into the new generation.
pub fn a_profile_that_was_replaced_meanwhile(system: System) {
    let mut host = Scenario::new(system, "replaced");
    host.secret("token", "v1");
    host.fixture("v2", "v2");
    let boot = host.run(
        r"
        mkfifo /run/held
        flock --close --exclusive /run/vaultix.private sh -c 'echo >/run/held; exec sleep infinity' &
        read -r _ </run/held
        reencrypt token v2
        systemctl --no-block restart vaultix-secret@token.service
        # It waits for the lock.
        until grep --quiet -- '-> FLOCK' /proc/locks; do :; done
        cp /etc/vaultix/profile.json /etc/vaultix/new
        mv /etc/vaultix/new /etc/vaultix/profile.json
        kill $!
        settle
        snapshot replaced
        note kept cat /run/vaultix/token
        note again systemctl restart vaultix-secret@token.service
        note new cat /run/vaultix/token
        ",
    );
    let unit = secret_unit("token");
    assert_eq!(boot.unit_at("replaced", &unit)["ExecMainStatus"], "78");
    boot.assert_error(&unit, &["the profile was replaced in the meantime", "systemctl restart"]);
    assert_eq!((boot.text("kept"), boot.text("new")), ("v1".into(), "v2".into()));
    assert_eq!(boot.status("again"), 0);
}

/// A switch that waits for its turn ends with the profile that is there then: systemd takes a second start for the first.
pub fn a_switch_whose_profile_is_replaced_meanwhile(system: System) {
    let mut host = Scenario::new(system, "waits");
    host.secret("token", "v1");
    let mut profile = host.profile().clone();
    for text in ["v2", "v3"] {
        profile["secrets"]["token"]["cipher"] = host.store(text, text).into();
        host.next(text, &profile);
    }
    let boot = host.run(
        r"
        mkfifo /run/held
        flock --close --exclusive /run/vaultix.private sh -c 'echo >/run/held; exec sleep infinity' &
        read -r _ </run/held
        cp /next/v2/profile.json /etc/vaultix/profile.json
        systemctl --no-block start vaultix-switch.service
        until grep --quiet -- '-> FLOCK' /proc/locks; do :; done
        cp /next/v3/profile.json /etc/vaultix/new
        mv /etc/vaultix/new /etc/vaultix/profile.json
        kill $!
        note second systemctl start vaultix-switch.service
        note token cat /run/vaultix/token
        ",
    );
    assert_eq!((boot.status("second"), boot.text("token")), (0, "v3".into()));
}

/// daemon-reload and daemon-reexec touch neither files nor units.
pub fn reload_of_systemd_keeps_all(system: System) {
    let mut host = Scenario::new(system, "reexec");
    host.secret_with("token", "hunter2", json!({ "restartUnits": ["user.service"] }));
    host.secret("other", "hunter3");
    host.consumer("user", "/run/vaultix/token");
    let boot = host.run(
        r"
        look() {
            settle
            snapshot $1
            note $1 find /run/vaultix.d /run/vaultix -printf '%p %i %m %U %G %T@ %C@\n'
        }
        look boot
        systemctl daemon-reload
        look reload
        systemctl daemon-reexec
        look reexec
        ",
    );
    for step in ["reload", "reexec"] {
        assert_eq!(boot.text("boot"), boot.text(step), "{step}: every file is the same");
        for unit in
            [&secret_unit("token"), &secret_unit("other"), "run-vaultix.d.mount", "user.service"]
        {
            let (before, after) = (boot.unit_at("boot", unit), boot.unit_at(step, unit));
            assert_eq!(after["ActiveState"], "active", "{step}: {unit}");
            assert_eq!(before["InvocationID"], after["InvocationID"], "{step}: {unit}");
        }
    }
    boot.assert_no_cycle();
}
