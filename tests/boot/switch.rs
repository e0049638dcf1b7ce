//! a running host + another profile → the next generation, and who is told of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use xtask::system::System;

mod walk;

use walk::{Walk, restarted};

use crate::support::{Scenario, placeholder, secret_unit, template_unit};

/// Every kind of change, alone and all at once, reaches its file and exactly those who use it.
pub fn every_kind_of_change(system: System) {
    let mut host = Scenario::new(system, "switch");
    // It takes ten seconds; where several boot at once, a minute may not do for so many switches.
    host.limit(Duration::from_secs(180));
    host.nixos();
    host.file("/etc/users", "alice 1500\n");
    let told = |name: &str| json!({ "restartUnits": [format!("c-{name}.service")] });
    let mut files = BTreeMap::new();
    for id in ["keep", "change", "remove", "rename", "owner", "same", "inner", "alice"] {
        let mut fields = told(id);
        if id == "change" {
            fields["restartUnits"] = json!(["c-change.service", "c-stopped.service"]);
            fields["reloadUnits"] = json!(["l-change.service"]);
        }
        host.secret_with(id, format!("{id}-v1"), fields);
        files.insert(id.to_owned(), format!("{id}-v1"));
    }
    let p = placeholder;
    host.profile()["placeholder"] = json!({ "inner": p("inner"), "keep": p("keep") });
    host.profile()["templates"] = json!({
        "outer": { "content": format!("<{}>", p("inner")), "restartUnits": ["c-outer.service"] },
        "text": { "content": format!("t1 {}", p("keep")), "restartUnits": ["c-text.service"] },
    });
    host.profile()["beforeUserborn"] = json!(["alice"]);
    files.insert("outer".into(), "<inner-v1>".into());
    files.insert("text".into(), "t1 keep-v1".into());
    let consumers =
        ["alice", "change", "inner", "keep", "outer", "owner", "remove", "rename", "same"];
    for name in consumers.into_iter().chain(["text", "stopped", "unrelated"]) {
        host.consumer(&format!("c-{name}"), &format!("/run/vaultix/{name}"));
    }
    host.consumer("l-change", "/run/vaultix/change");

    let mut walk = Walk::new(host, files);
    walk.step("nothing", &[], 0);
    let added = walk.host.store("added", "added-v1");
    walk.profile["secrets"]["added"] = json!({ "cipher": added });
    walk.expect("added", "added-v1");
    walk.step("add", &[], 0);
    // As with values of one file, of which one changed: all of them have new copies.
    walk.cipher("change", "v2", "change-v2");
    walk.cipher("same", "v2", "same-v1");
    walk.cipher("inner", "copy", "inner-v1");
    walk.expect("change", "change-v2");
    walk.step("change", &["change"], 0);
    walk.profile["secrets"].as_object_mut().unwrap().remove("remove");
    walk.files.remove("remove");
    walk.step("remove", &[], 0);
    walk.profile["secrets"]["rename"]["name"] = "renamed".into();
    walk.files.remove("rename");
    walk.expect("renamed", "rename-v1");
    walk.step("rename", &[], 0);
    walk.profile["secrets"]["owner"]["owner"] = "daemon".into();
    walk.profile["secrets"]["owner"]["mode"] = "0440".into();
    walk.step("owner", &["owner"], 0);
    walk.cipher("same", "again", "same-v1");
    walk.step("same", &[], 0);
    walk.profile["templates"]["text"]["content"] = format!("t2 {}", p("keep")).into();
    walk.expect("text", "t2 keep-v1");
    walk.step("text", &["text"], 0);
    walk.cipher("inner", "v2", "inner-v2");
    walk.expect("inner", "inner-v2");
    walk.expect("outer", "<inner-v2>");
    walk.step("inner", &["inner", "outer"], 0);
    walk.cipher("alice", "v2", "alice-v2");
    walk.expect("alice", "alice-v2");
    walk.step("early", &["alice"], 0);
    walk.cipher("alice", "again", "alice-v2");
    walk.step("early-same", &[], 0);
    walk.profile["secrets"]["change"]["cipher"] = "/store/broken".into();
    walk.profile["secrets"]["change"]["mode"] = "0444".into();
    walk.host.file("/store/broken", "not an age file");
    walk.cipher("inner", "v3", "inner-v3");
    walk.expect("inner", "inner-v3");
    walk.expect("outer", "<inner-v3>");
    walk.step("bad", &["inner", "outer"], 4);
    // All at once, one that is still bad among them.
    let more = walk.host.store("more", "more-v1");
    walk.profile["secrets"]["more"] = json!({ "cipher": more });
    walk.expect("more", "more-v1");
    walk.profile["secrets"].as_object_mut().unwrap().remove("added");
    walk.files.remove("added");
    walk.cipher("keep", "v2", "keep-v2");
    walk.expect("keep", "keep-v2");
    walk.expect("text", "t2 keep-v2");
    walk.cipher("same", "third", "same-v1");
    walk.cipher("alice", "v3", "alice-v3");
    walk.expect("alice", "alice-v3");
    walk.profile["secrets"]["rename"]["name"] = "again".into();
    walk.files.remove("renamed");
    walk.expect("again", "rename-v1");
    walk.profile["secrets"]["owner"]["group"] = "mail".into();
    walk.step("all", &["alice", "keep", "owner", "text"], 4);
    walk.cipher("change", "v3", "change-v3");
    walk.expect("change", "change-v3");
    walk.step("mended", &["change"], 0);
    walk.step("idle", &[], 0);

    let script = format!("systemctl stop c-stopped.service; snapshot boot\n{}", walk.script());
    let host = std::mem::replace(&mut walk.host, Scenario::new(system, "spare"));
    let boot = host.run(&script);
    walk.check(&boot);

    let unit = |step: &str, unit: &str| boot.unit_at(step, unit)["ActiveState"].clone();
    assert_eq!(unit("add", &secret_unit("added")), "active");
    assert_eq!(unit("all", &secret_unit("more")), "active");
    for (step, id) in [("remove", "remove"), ("all", "added")] {
        let gone = boot.units(step).get(&secret_unit(id)).map(|unit| unit["ActiveState"].clone());
        assert!(gone.is_none_or(|state| state == "inactive"), "{step}: {id} is stopped");
    }
    for unit in ["vaultix-switch-early.service", "vaultix-switch.service"] {
        assert_eq!(boot.unit_at("boot", unit)["InvocationID"], "", "nothing switches at boot");
    }
    let said = "9 secrets can be decrypted, 2 templates can be rendered";
    assert_eq!(boot.text("change.check"), said, "the check before a switch says that all is well");
    assert_eq!(boot.status("bad.check"), 1, "and says beforehand what would fail");
    assert!(boot.text("bad.check").contains("change"), "{}", boot.text("bad.check"));
    boot.assert_error("vaultix-switch.service", &["change", "/store/broken"]);
    assert_eq!(boot.unit_at("bad", "vaultix-switch.service")["ActiveState"], "failed");

    // What is said beforehand is what is done.
    for (step, lines) in [
        ("nothing", &["would leave unchanged: 10"][..]),
        ("add", &["would add:", "  secret \"added\" at /run/vaultix/added"]),
        (
            "change",
            &[
                "would change:",
                "  secret \"change\" at /run/vaultix/change (new content)",
                "would leave unchanged: 10",
                "would restart, if running: c-change.service, c-stopped.service",
                "would reload, if running: l-change.service",
            ],
        ),
        ("remove", &["would remove:", "  secret \"remove\" at /run/vaultix/remove"]),
        (
            "rename",
            &[
                "would move:",
                "  secret \"rename\" at /run/vaultix/renamed (before: /run/vaultix/rename)",
            ],
        ),
        ("owner", &["  secret \"owner\" at /run/vaultix/owner (new owner, group or mode)"]),
        ("same", &["would leave unchanged: 10"]),
        (
            "inner",
            &[
                "  secret \"inner\" at /run/vaultix/inner (new content)",
                "  template \"outer\" at /run/vaultix/outer (new content)",
            ],
        ),
        (
            "early",
            &[
                "  secret \"alice\" at /run/vaultix-for-user/alice (new content)",
                "would restart, if running: c-alice.service, userborn.service",
            ],
        ),
        ("early-same", &["would leave unchanged: 10"]),
        (
            "bad",
            &[
                "would fail, and leave as it is:",
                "  template \"outer\" at /run/vaultix/outer (new content)",
            ],
        ),
        ("idle", &["would leave unchanged: 10"]),
    ] {
        let text = boot.text(&format!("{step}.preview"));
        for line in lines {
            assert!(text.lines().any(|it| it == *line), "{step}: {line} in\n{text}");
        }
    }
    let bad = boot.text("bad.preview");
    assert!(
        bad.contains("\n  secret \"change\": /store/broken: the file is not an age file"),
        "{bad}"
    );
    for step in ["nothing", "same", "early-same", "idle"] {
        let text = boot.text(&format!("{step}.preview"));
        assert_eq!(text.lines().count(), 1, "{step}: {text}");
    }

    let line = |step: &str, file: &str, name: &str| -> String {
        let text = boot.text(&format!("{step}.{file}"));
        let found = text.lines().find(|line| line.split(' ').any(|word| word.ends_with(name)));
        found.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
    };
    assert!(line("owner", "files", "/owner").ends_with("/owner 440 daemon root "));
    assert!(line("all", "files", "/owner").ends_with("/owner 440 daemon mail "));
    assert!(line("bad", "files", "/change").ends_with("/change 400 root root "), "as it was");
    assert!(line("mended", "files", "/change").ends_with("/change 444 root root "));
    for step in ["add", "change", "remove", "rename", "same", "text", "inner", "early", "bad"] {
        let inode = line(step, "inodes", "keep");
        assert_eq!(inode, line("nothing", "inodes", "keep"), "{step}: a hard link");
        assert!(line(step, "files", "/alice").contains(" 400 root root"), "{step}");
    }
    for text in ["files", "inodes", "generations"] {
        let (before, after) =
            (boot.text(&format!("mended.{text}")), boot.text(&format!("idle.{text}")));
        assert_eq!(before, after, "nothing to do, nothing touched");
    }
    assert_eq!(
        boot.text("userborn.log"),
        "alice alice-v1\nalice alice-v2\nalice alice-v3",
        "users are made again when an early secret changed, and only then"
    );
    let log = boot.text("l-change.log");
    assert_eq!(log, "start change-v1\nreload change-v2\nreload change-v3\nstop change-v3");
    assert!(!boot.text("c-stopped.log").contains("v2"), "what is stopped is left so");
    for step in ["text", "inner"] {
        assert_eq!(unit(step, &template_unit("outer")), "active", "{step}");
    }
    boot.assert_no_cycle();
}

/// The first activation on a running system that never had anything of ours, the way back, and a second first time; and
/// an early item that becomes one like the others and early again.
pub fn first_activation(system: System) {
    let mut host = Scenario::new(system, "first");
    host.nixos();
    host.file("/etc/users", "alice 1500\n");
    host.secret_with("alice", "hash", json!({ "restartUnits": ["c-alice.service"] }));
    host.secret_with("token", "hunter2", json!({ "owner": "alice" }));
    host.profile()["beforeUserborn"] = json!(["alice"]);
    host.consumer("c-alice", "/etc/machine-id");
    let mut profile = host.profile().clone();
    host.next("first", &profile);
    host.next("third", &profile);
    host.next("again", &profile);
    profile["beforeUserborn"] = json!([]);
    host.next("second", &profile);
    *host.profile() = Value::Null;
    let boot = host.run(
        r"
        note preview vaultix-decrypt switch --dry-run --profile /next/first/profile.json
        note before find /run/vaultix /run/vaultix.d
        switch first
        note fstype stat --file-system --format=%T /run/vaultix/
        note shadow grep ^alice: /etc/shadow
        switch second
        note gone stat /run/vaultix-for-user
        switch third
        note early cat /run/vaultix-for-user/alice
        rm /etc/vaultix/profile.json
        systemctl daemon-reload
        note back systemctl restart sysinit-reactivation.target
        note failed systemctl --failed --plain --no-legend
        note still cat /run/vaultix/token
        switch again
        ",
    );
    assert_eq!(
        boot.text("preview"),
        "would add:\n  secret \"alice\" at /run/vaultix-for-user/alice\n  secret \"token\" at /run/vaultix/token\n\
         would leave unchanged: 0\nwould restart, if running: userborn.service"
    );
    assert_eq!(boot.status("before"), 1, "there was nothing");
    for step in ["first", "second", "third", "again"] {
        let said = boot.text(&format!("{step}.switch"));
        assert_eq!(boot.status(&format!("{step}.switch")), 0, "{step}: {said}");
        assert!(boot.text(&format!("{step}.texts")).contains("/run/vaultix/token:hunter2"));
        assert!(boot.text(&format!("{step}.texts")).contains("/run/vaultix/alice:hash"), "{step}");
        let files = boot.text(&format!("{step}.files"));
        assert!(files.contains("/run/vaultix/token 400 alice root"), "{step}: {files}");
        for unit in [secret_unit("alice"), secret_unit("token"), "vaultix.target".into()] {
            assert_eq!(boot.unit_at(step, &unit)["ActiveState"], "active", "{step}: {unit}");
        }
    }
    assert_eq!(boot.text("fstype"), "ramfs");
    assert_eq!(boot.text("shadow"), "alice:hash:1::::::", "users were made again, with it");
    assert_eq!(boot.status("gone"), 1, "no early item, no link to any");
    assert_eq!(boot.text("early"), "hash");
    assert_eq!(restarted(&boot, "first", "third"), [""; 0], "the plaintext is the same");
    assert_eq!(boot.status("back"), 0, "{}", boot.text("back"));
    assert_eq!(boot.text("failed"), "");
    assert_eq!(boot.text("still"), "hunter2", "what runs can read until it is stopped");
    boot.assert_no_cycle();
}

/// Ten switches in a row, also of early items, keep as many generations as asked for, an older profile can come back,
/// and what did not change but for its name takes no key.
pub fn ten_switches(system: System) {
    let mut host = Scenario::new(system, "ten");
    host.limit(Duration::from_secs(180));
    host.nixos();
    host.file("/etc/users", "");
    host.secret("token", "v0");
    host.secret("keep", "kept");
    host.secret("early", "e0");
    host.profile()["beforeUserborn"] = json!(["early"]);
    host.profile()["placeholder"] = json!({ "keep": placeholder("keep") });
    host.profile()["templates"] =
        json!({ "conf": { "content": format!("<{}>", placeholder("keep")) } });
    let base = host.profile().clone();
    host.next("base", &base);
    let mut profile = base.clone();
    profile["settings"]["keepGenerations"] = 3.into();
    let mut script = String::new();
    let mut step = |host: &Scenario, name: String, profile: &Value| {
        host.next(&name, profile);
        script.extend(["switch ", &name, "\n"]);
    };
    for i in 1..=13 {
        if i > 10 {
            profile["settings"]["keepGenerations"] = 0.into();
        }
        for (id, version) in [("token", "v"), ("early", "e")] {
            let version = format!("{version}{i}");
            profile["secrets"][id]["cipher"] = host.store(&version, &version).into();
        }
        step(&host, format!("{}{i}", if i > 10 { "all" } else { "three" }), &profile);
    }
    let mut keyless = base.clone();
    keyless["secrets"]["keep"]["name"] = "deep/kept".into();
    keyless["secrets"]["early"]["name"] = "sooner".into();
    keyless["secrets"].as_object_mut().unwrap().remove("token");
    host.next("keyless", &keyless);
    script.push_str("switch base\nmv /etc/ssh/ssh_host_ed25519_key /root\nswitch keyless\n");
    let boot = host.run(&script);
    let numbers = |step: &str| -> Vec<u32> {
        let text = boot.text(&format!("{step}.generations"));
        let mut numbers: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
        numbers.sort_unstable();
        numbers
    };
    // A switch of an early item makes two, of which one is passed through.
    assert_eq!(numbers("three1"), [1, 3]);
    assert_eq!(numbers("three2"), [1, 3, 5]);
    assert_eq!(numbers("three10"), [17, 19, 21]);
    assert_eq!(numbers("all13"), [17, 19, 21, 23, 25, 27], "none is removed");
    assert_eq!(numbers("base"), [29], "back to one, and to the first profile");
    for (step, texts) in [("three10", ["v10", "e10"]), ("base", ["v0", "e0"])] {
        for (file, text) in ["token", "early"].into_iter().zip(texts) {
            let line = format!("/run/vaultix/{file}:{text}");
            assert!(
                boot.text(&format!("{step}.texts")).lines().any(|it| it == line),
                "{step}: {line}"
            );
        }
    }
    assert_eq!(boot.status("keyless.switch"), 0, "{}", boot.text("keyless.switch"));
    let texts = boot.text("keyless.texts");
    let mut texts: Vec<_> = texts.lines().collect();
    texts.sort_unstable();
    let expected = ["conf:<kept>", "deep/kept:kept", "sooner:e0"];
    assert_eq!(texts, expected.map(|text| format!("/run/vaultix/{text}")));
    boot.assert_no_cycle();
}

/// A consumer that does not come up again is its own failure: the switch and the other consumers are
/// not touched by it.
pub fn a_consumer_that_fails(system: System) {
    let mut host = Scenario::new(system, "fails");
    host.nixos();
    host.file("/etc/users", "");
    let units = json!({ "restartUnits": ["c-good.service", "c-picky.service"] });
    host.secret_with("token", "v1", units);
    host.consumer("c-good", "/run/vaultix/token");
    host.unit(
        "c-picky.service",
        "[Service]\nType=exec\nExecStartPre=/bin/grep -q v1 /run/vaultix/token\n\
         ExecStart=/bin/sleep infinity\n",
    );
    let mut profile = host.profile().clone();
    profile["secrets"]["token"]["cipher"] = host.store("v2", "v2").into();
    host.next("two", &profile);
    let boot = host.run("switch two");
    assert_eq!(boot.failed("two"), ["c-picky.service"]);
    assert_eq!(boot.unit_at("two", "vaultix-switch.service")["Result"], "success");
    assert_eq!(restarted(&boot, "boot", "two"), ["good", "picky"]);
    assert!(boot.text("two.texts").contains("/run/vaultix/token:v2"));
    boot.assert_no_cycle();
}

/// A unit that NixOS restarts itself, since it has changed as well, is restarted once; one that it only reloads is restarted
/// because of its secret. A list that an interrupted switch has left counts for nothing, and neither does one for a switch
/// that NixOS does not wait for.
pub fn nixos_restarts_some_units_itself(system: System) {
    let mut host = Scenario::new(system, "listed");
    host.nixos();
    host.file("/etc/users", "");
    let all = ["listed", "reloaded", "free"];
    let told = json!({
        "restartUnits": all.map(|name| format!("{name}.service")),
        "reloadUnits": ["twice.service"],
    });
    host.secret_with("token", "v1", told);
    for name in all.into_iter().chain(["twice"]) {
        host.consumer(name, "/run/vaultix/token");
    }
    let mut profile = host.profile().clone();
    for version in ["v2", "v3", "v4"] {
        profile["secrets"]["token"]["cipher"] = host.store(version, version).into();
        host.next(version, &profile);
    }
    host.file("/next/v2/restart-list", "listed.service\ntwice.service\nother.service\n");
    host.file("/next/v2/reload-list", "reloaded.service\n");
    host.unit("other.service", "[Service]\nType=exec\nExecStart=/bin/sleep infinity\n");
    let boot = host.run(
        r"
        noted() { for it in listed reloaded free twice; do cp /out/$it.log /out/$it.$1; : >/out/$it.log; done; }
        switch v2
        noted v2
        # Interrupted, so that nobody holds the lock.
        printf 'listed.service\nfree.service\n' >/run/nixos/restart-list
        cp /next/v3/profile.json /etc/vaultix/profile.json
        systemctl restart sysinit-reactivation.target
        settle
        noted v3
        # Held, but nobody waits for this switch: it may be one for a late key.
        cp /next/v4/profile.json /etc/vaultix/profile.json
        flock /run/nixos/switch-to-configuration.lock systemctl start vaultix-switch.service
        settle
        noted v4
        ",
    );
    assert_eq!(boot.status("v2.switch"), 0, "{}", boot.text("v2.switch"));
    let starts = |name: &str, version: &str| boot.text(&format!("{name}.{version}"));
    for name in ["listed", "free"] {
        let log = starts(name, "v2");
        assert_eq!(log, "start v1\nstop v2\nstart v2", "{name} is restarted once");
    }
    let log = starts("reloaded", "v2");
    assert_eq!(log.matches("start v2").count(), 1, "a reload does not do: {log}");
    let log = starts("twice", "v2");
    assert_eq!(log, "start v1\nstop v2\nstart v2", "not reloaded as well");
    for version in ["v3", "v4"] {
        for name in all {
            let log = starts(name, version);
            assert_eq!(log, format!("stop {version}\nstart {version}"), "{name}");
        }
    }
    boot.assert_no_cycle();
}

/// NixOS runs the units of a switch twice, and shows what the second run has written: that includes what the first one has.
pub fn the_second_run_repeats_the_first(system: System) {
    let mut host = Scenario::new(system, "repeat");
    host.nixos();
    host.file("/etc/users", "");
    host.secret("token", "v1");
    host.secret("broken", "b1");
    let mut profile = host.profile().clone();
    profile["secrets"]["token"]["cipher"] = host.store("v2", "v2").into();
    profile["secrets"]["broken"]["cipher"] = "/store/late".into();
    host.next("two", &profile);
    host.next("three", &profile);
    // What fails in the first run and in no other.
    host.store("there", "b2");
    host.file(
        "/etc/systemd/system/mend.service",
        "[Unit]\nDefaultDependencies=no\nAfter=vaultix-switch.service\nConditionPathExists=!/store/late\n\
         [Service]\nType=oneshot\nExecStart=/bin/cp /store/there /store/late\n",
    );
    host.link(
        "/etc/systemd/system/sysinit-reactivation.target.wants/mend.service",
        "../mend.service",
    );
    let boot = host.run(
        r"
        said() { # what the last run of the unit has written
            journalctl --sync
            journalctl --output=cat --unit=vaultix-switch.service | tac | sed '/^Starting vaultix-switch.service/q'
        }
        switch two
        note two.said said
        note two.state systemctl show --property=Result --value vaultix-switch.service
        switch three
        note three.said said
        ",
    );
    assert_eq!(boot.text("two.state"), "success", "its status is its own");
    let said = boot.text("two.said");
    for words in [
        "earlier in this switch: cannot decrypt secret \"broken\": the ciphertext /store/late",
        "earlier in this switch: generation 2: 1 made, 0 kept, 0 removed, 1 failed",
    ] {
        assert_eq!(said.matches(words).count(), 1, "{words}: {said}");
    }
    assert!(said.contains("vaultix-decrypt: generation 3: 1 made"), "its own: {said}");
    assert!(!boot.text("three.said").contains("earlier"), "that was another switch");
}

/// Whoever binds the view of the ramfs and reads through its link `current` sees every switch, in a container or a guest as
/// well. Who binds what `/run/vaultix` leads to is left with an empty directory.
pub fn bound_folders_see_every_switch(system: System) {
    let mut host = Scenario::new(system, "bound");
    host.nixos();
    host.file("/etc/users", "");
    host.secret("token", "v1");
    host.secret("keep", "kept");
    host.secret("early", "e1");
    host.profile()["beforeUserborn"] = json!(["early"]);
    let mut profile = host.profile().clone();
    for version in ["2", "3"] {
        let (token, early) = (format!("v{version}"), format!("e{version}"));
        profile["secrets"]["token"]["cipher"] = host.store(&token, &token).into();
        profile["secrets"]["early"]["cipher"] = host.store(&early, &early).into();
        host.next(&token, &profile);
    }
    host.unit(
        "guest.service",
        "[Service]\nType=exec\nExecStart=/bin/sleep infinity\n\
         BindReadOnlyPaths=/run/vaultix.d:/guest /run/vaultix:/followed\n",
    );
    let boot = host.run(
        r"
        links() { readlink /run/vaultix /run/vaultix-for-user; stat --format=%i --no-dereference /run/vaultix /run/vaultix-for-user; }
        guest() { nsenter --target=$(systemctl show --property=MainPID --value guest.service) --mount plain $@; }
        sees() { note $1 guest /guest/current/token /guest/current/keep /guest/current-early/early; note $1.followed guest /followed/keep; }
        sees v1
        note before links
        switch v2; sees v2
        switch v3; sees v3
        note after links
        ",
    );
    for version in ["1", "2", "3"] {
        let step = format!("v{version}");
        assert_eq!(boot.text(&step), format!("v{version}kepte{version}"), "{step}");
    }
    assert_eq!(boot.text("v1.followed"), "kept");
    assert_ne!(boot.status("v2.followed"), 0, "that directory is gone");
    let links = boot.text("before");
    assert!(links.starts_with("/run/vaultix.d/current\n/run/vaultix.d/current-early\n"), "{links}");
    assert_eq!(links, boot.text("after"), "they never change");
}

/// The generation of a first phase whose second never ran is none: it takes the place of no complete one, and goes.
pub fn what_no_switch_finished_is_removed(system: System) {
    let mut host = Scenario::new(system, "halves");
    host.nixos();
    host.file("/etc/users", "");
    host.secret("token", "v0");
    host.secret("early", "e0");
    host.profile()["beforeUserborn"] = json!(["early"]);
    host.profile()["settings"]["keepGenerations"] = 3.into();
    let mut profile = host.profile().clone();
    let names = ["one", "two", "three", "four", "five"];
    for name in names {
        profile["secrets"]["early"]["cipher"] = host.store(name, name).into();
        // A restart of userborn would restart the target that wants both phases.
        let is_half = ["two", "three"].contains(&name);
        profile["settings"]["systemctl"] = if is_half { "/bin/true" } else { "systemctl" }.into();
        host.next(name, &profile);
    }
    let boot = host.run(
        r"
        half() { vaultix-decrypt switch --early --profile /next/$1/profile.json; }
        switch one
        half two
        half three
        # As one that was killed when it had just begun.
        mkdir /run/vaultix.private/ramfs/6
        note halves ls --ignore='current*' /run/vaultix.d
        switch four
        switch five
        note early cat /run/vaultix-for-user/early
        ",
    );
    let numbers = |name: &str| -> Vec<String> {
        let mut numbers: Vec<String> = boot.text(name).lines().map(str::to_owned).collect();
        numbers.sort_by_key(|number| number.parse::<u32>().unwrap());
        numbers
    };
    assert_eq!(numbers("one.generations"), ["1", "3"]);
    assert_eq!(numbers("halves"), ["1", "3", "4", "5", "6"], "they are there until a switch");
    assert_eq!(numbers("four.generations"), ["1", "3", "8"], "and count for nothing");
    assert_eq!(numbers("five.generations"), ["3", "8", "10"]);
    assert_eq!(boot.text("early"), "five");
}
