//! items with a path of their own → links or files there, safely.

use serde_json::json;
use xtask::system::System;

use crate::support::{Scenario, secret_unit};

/// Links and plaintexts at paths of their own, through a switch that moves and removes them.
pub fn paths_of_their_own(system: System) {
    let mut host = Scenario::new(system, "path");
    host.nixos();
    host.file("/etc/users", "");
    for (id, fields) in [
        ("link", json!({ "path": "/etc/app/deep/link" })),
        ("moved", json!({ "path": "/etc/app/before" })),
        ("removed", json!({ "path": "/etc/app/removed" })),
        ("replaced", json!({ "path": "/etc/app/replaced" })),
        (
            "file",
            json!({ "path": "/run/app/file", "symlink": false, "owner": "daemon", "mode": "0440" }),
        ),
        ("filegone", json!({ "path": "/run/app/gone", "symlink": false })),
        ("filetheirs", json!({ "path": "/run/app/theirs", "symlink": false })),
        ("filemoved", json!({ "path": "/run/app/before", "symlink": false })),
        ("tolink", json!({ "path": "/run/app/tolink", "symlink": false })),
        ("tofile", json!({ "path": "/run/app/tofile" })),
        ("disk", json!({ "path": "/etc/app/disk", "symlink": false })),
        ("allowed", json!({ "path": "/etc/app/allowed", "symlink": false, "allowDisk": true })),
        ("foreign", json!({ "path": "/etc/app/foreign" })),
        ("blocked", json!({ "path": "/etc/app/blocked", "restartUnits": ["user.service"] })),
        ("theirs", json!({ "path": "/home/mallory/dir/secret" })),
        ("theirlink", json!({ "path": "/srv/planted/secret" })),
        ("own", json!({ "path": "/home/games/secret", "owner": "games" })),
        ("config", json!({ "path": "/home/games/.config/gh/token", "owner": "games" })),
    ] {
        host.secret_with(id, format!("{id}-v1"), fields);
    }
    host.file("/etc/app/foreign", "somebody else's");
    host.file("/etc/app/blocked", "in the way");
    host.consumer("user", "/etc/app/blocked");
    host.file(
        "/etc/tmpfiles.d/mallory.conf",
        "d /home/mallory 0755 12345 12345\nd /home/mallory/dir 0755 12345 12345\n\
         d /home/games 0755 games games\n",
    );
    // Somebody owns the folder and has planted a link in it; root's own links on the way are fine.
    host.file(
        "/etc/systemd/system/plant.service",
        "[Unit]\nDefaultDependencies=no\nBefore=systemd-sysusers.service vaultix.target\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c '\
         mkdir -p /home/mallory/dir /home/games /srv; \
         chown 12345:12345 /home/mallory /home/mallory/dir; chown games:games /home/games; \
         ln -s /etc /home/mallory/etc; ln -s /home/mallory/etc /srv/planted'\n",
    );
    host.link("/etc/systemd/system/userborn.service.requires/plant.service", "../plant.service");
    host.file("/etc/systemd/system/userborn.service.d/after.conf", "[Unit]\nAfter=plant.service\n");
    let mut profile = host.profile().clone();
    profile["secrets"]["moved"]["path"] = "/etc/app/after".into();
    profile["secrets"]["filemoved"]["path"] = "/run/app/after".into();
    profile["secrets"]["tolink"]["symlink"] = true.into();
    profile["secrets"]["tofile"]["symlink"] = false.into();
    for id in ["removed", "replaced", "filegone", "filetheirs"] {
        profile["secrets"].as_object_mut().unwrap().remove(id);
    }
    for id in ["disk", "foreign", "theirs", "theirlink"] {
        profile["secrets"].as_object_mut().unwrap().remove(id);
    }
    profile["secrets"]["link"]["cipher"] = host.store("link-v2", "link-v2").into();
    profile["secrets"]["file"]["cipher"] = host.store("file-v2", "file-v2").into();
    host.next("two", &profile);
    host.keeps(&[
        "/etc/app/allowed",
        "/run/app/after",
        "/run/app/file",
        "/run/app/theirs",
        "/run/app/tofile",
    ]);
    let boot = host.run(
        r"
        look() { note $1 find /etc/app /run/app /home/mallory /home/games -printf '%p %y %m %U %G %l\n'; }
        look boot.paths
        note boot.texts tail -n 1 /etc/app/deep/link /run/app/file /etc/app/allowed /home/games/secret
        note boot.other stat /etc/secret
        rm /etc/app/blocked
        systemctl restart vaultix-secret@blocked.service
        settle
        note boot.user cat /out/user.log
        ln -sfn /somewhere/else /etc/app/replaced
        echo mine >>/run/app/theirs
        look two.before
        note two.preview vaultix-decrypt switch --dry-run --profile /next/two/profile.json
        look two.after
        switch two
        look two.paths
        note two.texts2 cat /etc/app/deep/link /run/app/file
        ",
    );
    let has = |look: &str, line: &str| {
        let text = boot.text(look);
        assert!(text.lines().any(|it| it.trim_end() == line), "{look}: {line} in\n{text}");
    };
    let lacks = |look: &str, path: &str| {
        let text = boot.text(look);
        assert!(
            !text.lines().any(|it| it.starts_with(&format!("{path} "))),
            "{look}: {path} in\n{text}"
        );
    };
    has("boot.paths", "/etc/app/deep d 755 0 0");
    has("boot.paths", "/etc/app/deep/link l 777 0 0 /run/vaultix/link");
    has("boot.paths", "/etc/app/before l 777 0 0 /run/vaultix/moved");
    has("boot.paths", "/home/games/.config d 755 5 60");
    has("boot.paths", "/home/games/.config/gh d 755 5 60");
    has("boot.paths", "/home/games/.config/gh/token l 777 5 60 /run/vaultix/config");
    has("boot.paths", "/run/app/file f 440 1 0");
    for file in ["gone", "theirs", "before", "tolink"] {
        has("boot.paths", &format!("/run/app/{file} f 400 0 0"));
    }
    has("boot.paths", "/run/app/tofile l 777 0 0 /run/vaultix/tofile");
    has("boot.paths", "/etc/app/allowed f 400 0 0");
    has("boot.paths", "/home/games/secret l 777 5 60 /run/vaultix/own");
    has("boot.paths", "/etc/app/foreign f 644 0 0");
    lacks("boot.paths", "/etc/app/disk");
    lacks("boot.paths", "/home/mallory/dir/secret");
    assert_eq!(boot.status("boot.other"), 1, "nothing went through the planted link");
    for word in ["link-v1", "file-v1", "allowed-v1", "own-v1"] {
        assert!(boot.text("boot.texts").contains(word), "{word}");
    }
    for (id, word) in [
        ("blocked", "/etc/app/blocked"),
        ("disk", "/etc/app/disk"),
        ("foreign", "/etc/app/foreign"),
        ("theirs", "/home/mallory"),
        ("theirlink", "/home/mallory"),
    ] {
        assert_eq!(boot.unit_at("boot", &secret_unit(id))["ExecMainStatus"], "73", "{id}");
        boot.assert_error(&secret_unit(id), &[id, word]);
    }
    boot.assert_error(&secret_unit("theirs"), &["unsafe path transition"]);
    let mut failed = boot.failed("boot");
    failed.sort();
    assert_eq!(failed, ["blocked", "disk", "foreign", "theirlink", "theirs"].map(secret_unit));
    assert_eq!(
        boot.text("boot.user"),
        "start in the way\nstop blocked-v1\nstart blocked-v1",
        "who read something else is told once it is there"
    );

    for line in [
        "  secret \"moved\" at /etc/app/after (before: /etc/app/before)",
        "  secret \"tolink\" at /run/app/tolink (a link instead of the file itself)",
        "  secret \"tofile\" at /run/app/tofile (the file itself instead of a link)",
        "  secret \"removed\" at /etc/app/removed",
    ] {
        has("two.preview", line);
    }
    assert_eq!(boot.text("two.before"), boot.text("two.after"), "a preview touches nothing");
    assert_eq!(boot.status("two.switch"), 0, "{}", boot.text("two.switch"));
    assert_eq!(boot.text("two.texts2"), "link-v2file-v2");
    has("two.paths", "/etc/app/after l 777 0 0 /run/vaultix/moved");
    has("two.paths", "/etc/app/replaced l 777 0 0 /somewhere/else");
    has("two.paths", "/etc/app/foreign f 644 0 0");
    has("two.paths", "/run/app/after f 400 0 0");
    has("two.paths", "/run/app/tolink l 777 0 0 /run/vaultix/tolink");
    has("two.paths", "/run/app/tofile f 400 0 0");
    has("two.paths", "/run/app/theirs f 400 0 0");
    for path in ["/run/app/gone", "/run/app/before"] {
        lacks("two.paths", path);
    }
    let warned = boot.journal_of("vaultix-switch.service").into_iter().any(|line| {
        line.priority == 4 && line.message.contains("/run/app/theirs is not what was put there")
    });
    assert!(warned, "what is not ours any more may hold a secret, and is named");
    lacks("two.paths", "/etc/app/before");
    lacks("two.paths", "/etc/app/removed");
    boot.assert_no_cycle();
}

/// Early items that move and go, one that moves with a restart, and links into an earlier `decryptedDir`.
pub fn old_paths_are_removed(system: System) {
    let mut host = Scenario::new(system, "moves");
    host.nixos();
    host.file("/etc/users", "");
    let file = |path: &str| json!({ "path": path, "symlink": false });
    host.secret_with("early", "early-v1", file("/run/app/early"));
    host.secret_with("restarted", "restarted-v1", file("/run/app/restarted"));
    host.secret_with(
        "link",
        "link-v1",
        json!({ "path": "/etc/app/link", "restartUnits": ["user.service"] }),
    );
    host.consumer("user", "/etc/app/link");
    host.profile()["beforeUserborn"] = json!(["early"]);
    let mut profile = host.profile().clone();
    profile["secrets"]["restarted"]["path"] = "/run/app/elsewhere".into();
    host.file("/restarted.json", profile.to_string());
    profile["secrets"]["early"]["path"] = "/run/app/moved".into();
    host.next("moved", &profile);
    profile["settings"]["decryptedDir"] = "/run/other".into();
    profile["secrets"]["link"]["cipher"] = host.store("link-v2", "link-v2").into();
    host.next("renamed", &profile);
    profile["secrets"].as_object_mut().unwrap().remove("early");
    profile["beforeUserborn"] = json!([]);
    host.next("removed", &profile);
    host.keeps(&["/run/app/elsewhere"]);
    let boot = host.run(
        r"
        look() { note $1 find /run/app /etc/app ! -type d -printf '%p %l\n'; }
        look boot.paths
        cp /restarted.json /etc/vaultix/profile.json
        systemctl daemon-reload
        systemctl restart vaultix-secret@restarted.service
        note moved.switch switch_to moved
        settle
        look moved.paths
        note renamed.switch switch_to renamed
        settle
        look renamed.paths
        note renamed.user cat /out/user.log
        note removed.switch switch_to removed
        settle
        look removed.paths
        ",
    );
    let paths = |look: &str| -> Vec<String> {
        let mut paths: Vec<_> =
            boot.text(look).lines().map(|line| line.trim_end().to_owned()).collect();
        paths.sort();
        paths
    };
    assert_eq!(
        paths("boot.paths"),
        ["/etc/app/link /run/vaultix/link", "/run/app/early", "/run/app/restarted"]
    );
    assert_eq!(
        paths("moved.paths"),
        ["/etc/app/link /run/vaultix/link", "/run/app/elsewhere", "/run/app/moved"]
    );
    assert_eq!(
        paths("renamed.paths"),
        ["/etc/app/link /run/other/link", "/run/app/elsewhere", "/run/app/moved"]
    );
    assert_eq!(boot.text("renamed.user"), "start link-v1\nstop link-v2\nstart link-v2");
    assert_eq!(paths("removed.paths"), ["/etc/app/link /run/other/link", "/run/app/elsewhere"]);
    for switch in ["moved", "renamed", "removed"] {
        assert_eq!(boot.status(&format!("{switch}.switch")), 0, "{switch}");
    }
}

/// Whoever reads an item at its own path is told of a new plaintext once that is there, and not while it cannot be put there.
pub fn consumers_are_notified_once_the_path_is_there(system: System) {
    let mut host = Scenario::new(system, "tolater");
    host.nixos();
    host.file("/etc/users", "");
    let place = json!({
        "path": "/run/app/dir/token", "symlink": false, "restartUnits": ["user.service"],
    });
    host.secret_with("token", "token-v1", place);
    host.consumer("user", "/run/app/dir/token");
    let mut profile = host.profile().clone();
    profile["secrets"]["token"]["cipher"] = host.store("token-v2", "token-v2").into();
    host.next("two", &profile);
    host.keeps(&["/run/app/dir/token"]);
    let boot = host.run(
        r"
        chmod 0777 /run/app/dir
        note two switch_to two
        settle
        note two.user cat /out/user.log
        note two.text cat /run/app/dir/token
        chmod 0755 /run/app/dir
        note three switch_to two
        settle
        note three.user cat /out/user.log
        note four switch_to two
        settle
        note four.user cat /out/user.log
        ",
    );
    assert_eq!(boot.status("two"), 4, "{}", boot.text("two"));
    assert_eq!(boot.text("two.user"), "start token-v1", "there is nothing new to read");
    assert_eq!(boot.text("two.text"), "token-v1");
    assert_eq!(boot.status("three"), 0, "{}", boot.text("three"));
    let told = "start token-v1\nstop token-v2\nstart token-v2";
    assert_eq!(boot.text("three.user"), told);
    assert_eq!(boot.text("four.user"), told, "once is enough");
}

/// A path that becomes another name of the same place has its file after each switch.
pub fn two_names_of_one_place(system: System) {
    let mut host = Scenario::new(system, "twonames");
    host.nixos();
    host.file("/etc/users", "");
    let place = |path: &str| json!({ "path": path, "symlink": false, "owner": "5353" });
    host.secret_with("file", "file-v1", place("/run/one/file"));
    host.secret_with("link", "link-v1", json!({ "path": "/run/one/link", "owner": "5353" }));
    let mut profile = host.profile().clone();
    host.next("one", &profile);
    for id in ["file", "link"] {
        profile["secrets"][id]["path"] = format!("/run/two/{id}").into();
    }
    host.next("two", &profile);
    host.keeps(&["/run/one/file"]);
    let boot = host.run(
        r"
        chown 5353 /run/one
        ln -s one /run/two
        for i in $(seq 60); do
            for it in two one; do
                vaultix-decrypt switch --profile /next/$it/profile.json 2>>/out/said || echo $i $it >>/out/failed
                [ -e /run/one/file ] && [ -L /run/one/link ] || echo $i $it >>/out/missing
            done
        done
        ",
    );
    assert!(!boot.has("failed"), "{}", boot.text("said"));
    assert!(!boot.has("missing"), "{}", boot.text("missing"));
}
