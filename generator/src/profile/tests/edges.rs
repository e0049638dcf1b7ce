//! values on the edge of what is allowed, on either side of it → what becomes of each. Mutation testing asked for them.

use pretty_assertions::assert_eq;

use super::*;

/// Returns the only secret `x`, which has a cipher and these fields.
fn secret(fields: &str) -> Secret {
    let text = with_secrets(&format!(r#"{{"x":{{"cipher":"/c",{fields}}}}}"#));
    Profile::parse(&text, Side::Host).unwrap().secrets.remove("x").unwrap().unwrap()
}

#[test]
fn a_mode_is_read_as_octal() {
    for (text, bits) in [("0640", 0o640), ("777", 0o777), ("000", 0)] {
        assert_eq!(secret(&format!(r#""mode":"{text}""#)).placement.mode.bits(), bits);
    }
    for text in ["12345", "8400", "9999", "0889"] {
        let reason = invalid(&format!(r#""mode":"{text}""#));
        assert!(reason.contains("is not three or four octal digits"), "{reason}");
    }
    assert!(invalid(r#""mode":"4400""#).contains("sticky bit"));
}

#[test]
fn neither_directory_may_lie_in_the_other() {
    for (normal, early) in [("/run/a", "/run/a/b"), ("/run/a/b", "/run/a"), ("/run/a", "/run/a")] {
        let text =
            with_setting(&format!(r#""decryptedDir":"{normal}","decryptedDirForUser":"{early}""#));
        assert_eq!(refusal(&text), "settings.decryptedDirForUser: overlaps decryptedDir");
    }
    let text = with_setting(r#""decryptedDir":"/run/a","decryptedDirForUser":"/run/ab""#);
    assert_eq!(refusal(&text), "");
}

#[test]
fn a_secret_and_a_template_with_one_place_are_both_refused() {
    let text = format!(
        r#"{{"version":1,"settings":{SETTINGS},
        "secrets":{{"s":{{"cipher":"/s","name":"x"}}}},"templates":{{"t":{{"content":"","name":"x"}}}}}}"#
    );
    let profile = Profile::parse(&text, Side::Host).unwrap();
    let secrets: Vec<_> = profile.secrets.iter().map(|(id, one)| (&**id, one.is_ok())).collect();
    let templates: Vec<_> =
        profile.templates.iter().map(|(id, one)| (&**id, one.is_ok())).collect();
    assert_eq!((secrets, templates), (vec![("s", false)], vec![("t", false)]));
    assert_eq!(
        failures(&text),
        [
            "secrets.s.name: \"x\" is also used by templates.t",
            "templates.t.name: \"x\" is also used by secrets.s"
        ]
    );
}

#[test]
fn the_unit_of_a_mount_point_has_255_bytes_at_most() {
    // A dash takes four bytes in it.
    let refused = |length: usize| {
        let path = format!("/{}{}", "-".repeat(60), "n".repeat(length - 4 * 60 - ".mount".len()));
        refusal(&with_setting(&format!(r#""decryptedMountPoint":"{path}""#)))
    };
    assert_eq!(refused(255), "");
    assert!(
        refused(256).starts_with("settings.decryptedMountPoint: is too long"),
        "{}",
        refused(256)
    );
}

#[test]
fn an_early_owner_is_a_number_that_there_can_be() {
    let owner = |owner: &str| {
        let secrets = format!(r#"{{"x":{{"cipher":"/c","owner":"{owner}"}}}}"#);
        let text = with_secrets(&secrets).replacen('{', r#"{"beforeUserborn":["x"],"#, 1);
        failures(&text).join(" | ")
    };
    for good in ["root", "0", "4294967295"] {
        assert_eq!(owner(good), "");
    }
    for bad in ["4294967296", "+1", "-1", "1a"] {
        assert!(owner(bad).contains("is a name, but the item is needed"), "{bad}: {}", owner(bad));
    }
}

#[test]
fn a_unit_that_comes_before_an_item_is_no_consumer_of_it() {
    let units = |unit: &str| invalid(&format!(r#""reloadUnits":["{unit}"]"#));
    for unit in [
        "run-vaultix.d.mount",
        "vaultix.target",
        "vaultix-secret@a.service",
        "sysinit.target",
        "userborn.service",
        "systemd-sysusers.service",
    ] {
        assert!(units(unit).contains("is ordered before this item"), "{unit}: {}", units(unit));
    }
    assert_eq!(units("multi-user.target"), "");
}

#[test]
fn what_comes_before_an_item_cannot_start_after_it() {
    let keys =
        r#""hostKeys":[{"path":"/late/key","type":"rsa"},{"path":"/etc/ssh/key","type":"rsa"}]"#;
    let settings =
        SETTINGS.replace(r#""hostKeys":[]"#, &format!(r#"{keys},"lateMounts":["/late"]"#));
    let reason = |unit: &str, early: bool| {
        let secrets = format!(r#"{{"x":{{"cipher":"/c","before":["{unit}"]}}}}"#);
        let ids = if early { r#"["x"]"# } else { "[]" };
        let text = format!(
            r#"{{"version":1,"settings":{settings},"secrets":{secrets},"beforeUserborn":{ids}}}"#
        );
        failures(&text).join(" | ")
    };
    for unit in [
        "cryptsetup-pre.target",
        r"systemd-cryptsetup@my\\x2ddata.service",
        "systemd-tmpfiles-setup.service",
        "network-pre.target",
        "local-fs.target",
        "sysinit.target",
        "home.mount",
        "late.mount",
    ] {
        assert_eq!(reason(unit, false), "", "{unit}");
        assert_eq!(reason(unit, true), "", "{unit}");
    }
    let users = "comes before this item: users are created by it or after it";
    let mounts = "may be on a file system that is mounted after it";
    for (unit, why, is_early_fine) in [
        ("vaultix.target", "is a unit of Vaultix", false),
        ("vaultix-secret@y.service", "is a unit of Vaultix", false),
        ("run-vaultix.d.mount", "comes before this item: the ramfs", false),
        (r"run-vaultix.private-ramfs.mount", "comes before this item: the ramfs", false),
        ("run.mount", "comes before this item: the ramfs", false),
        ("systemd-journald.socket", "comes before this item: the ramfs", false),
        ("graphical-session.target", "is a unit of users' managers", false),
        ("session.slice", "is a unit of users' managers", false),
        ("system.slice", "is a slice, which cannot wait", false),
        ("dev-sda.device", "is a device, which cannot wait", false),
        ("init.scope", "is a scope, which cannot wait", false),
        ("cryptsetup-pre", "is not the name of a unit", false),
        ("userborn.service", users, true),
        ("systemd-sysusers.service", users, true),
        ("systemd-remount-fs.service", users, true),
        ("systemd-tmpfiles-setup-dev-early.service", users, true),
        ("etc-ssh.mount", "the host key /etc/ssh/key may be on it", true),
        ("local-fs-pre.target", mounts, true),
        ("systemd-udevd.service", mounts, true),
    ] {
        let found = reason(unit, false);
        assert!(found.starts_with("secrets.x.before: \"") && found.contains(why), "{found}");
        let early = reason(unit, true);
        assert_eq!(early.is_empty(), is_early_fine, "{unit}: {early}");
    }
}

#[test]
fn a_unit_is_named_as_systemd_names_them() {
    let units = |unit: &str| invalid(&format!(r#""restartUnits":["{unit}"]"#));
    for unit in ["a.service", "a@b.service", "a:b_c-d.socket", r"a\\x2db.mount", "a@b@c.service"] {
        assert_eq!(units(unit), "", "{unit}");
    }
    for unit in [
        ".service",
        "@.service",
        "@a.service",
        "a@.service",
        ".a.service",
        "-a.service",
        "a b.service",
        "a/b.service",
        "a.conf",
    ] {
        assert!(units(unit).contains("is not the name of a unit"), "{unit}: {}", units(unit));
    }
}

#[test]
fn units_of_users_are_listed_by_user() {
    for (fields, reason) in [
        (r#""restartUserUnits":{"alice":["mail.service"],"1500":[]}"#, ""),
        (
            r#""restartUserUnits":{"alice":["mail"]}"#,
            "restartUserUnits.alice: \"mail\" is not the name of a unit; write it in full",
        ),
        (r#""reloadUserUnits":{"":[]}"#, "reloadUserUnits.: \"\" cannot be the name of an account"),
        (r#""reloadUserUnits":["a"]"#, "reloadUserUnits: invalid type: sequence"),
    ] {
        let found = invalid(fields);
        assert!(found.contains(reason) && found.is_empty() == reason.is_empty(), "{found}");
    }
}

#[test]
fn a_consumer_leaves_room_for_the_folder_of_its_drop_in() {
    let unit = |length: usize| {
        let name = format!("{}.service", "a".repeat(length - ".service".len()));
        invalid(&format!(r#""restartUnits":["{name}"]"#))
    };
    assert_eq!(unit(253), "");
    for length in [254, 255, 256] {
        assert!(unit(length).ends_with("is longer than 253 bytes"), "{}", unit(length));
    }
}

#[test]
fn a_path_is_one_that_can_be_opened() {
    // The kernel counts the byte that ends it.
    let long = |length: usize| {
        let path = "/abc".repeat(1024);
        path.get(..length).unwrap().to_owned()
    };
    for field in ["path", "cipher"] {
        let secret = |path: &str| {
            let cipher = if field == "path" { r#""cipher":"/c","# } else { "" };
            failures(&with_secrets(&format!(r#"{{"x":{{{cipher}"{field}":"{path}"}}}}"#))).join("")
        };
        assert_eq!(secret(&long(4095)), "");
        let reason = secret(&long(4096));
        assert!(reason.ends_with("is longer than 4095 bytes"), "{reason}");
        assert_eq!(secret(&format!("/{}/x", "n".repeat(255))), "");
        let reason = secret(&format!("/{}/x", "n".repeat(256)));
        assert!(reason.ends_with("has a component longer than 255 bytes"), "{reason}");
    }
}

#[test]
fn a_name_makes_a_path_that_can_be_opened() {
    let name = |length: usize| {
        let name = "abc/".repeat(1024);
        invalid(&format!(r#""name":"{}""#, name.get(..length).unwrap().trim_end_matches('/')))
    };
    // "/run/vaultix/" stands before it.
    assert_eq!(name(4095 - 13), "");
    assert!(name(4096 - 13).ends_with("is longer than 4095 bytes"), "{}", name(4096 - 13));
    // Where the file is elsewhere, it is a link to there.
    let long = "abc/".repeat(1023);
    let reason = invalid(&format!(r#""path":"/etc/x","name":"{long}x""#));
    assert_eq!(reason, "secrets.x.name: is longer than 4095 bytes");
}

#[test]
fn systemctl_is_a_program_that_a_unit_can_run() {
    let systemctl = |path: &str| {
        let path = serde_json::to_string(path).unwrap();
        refusal(&with_setting(&format!(r#""systemctl":{path}"#)))
    };
    for good in [
        "systemctl",
        "/run/current-system/systemd/bin/systemctl",
        "/opt/its own/systemctl",
        "/opt/$a%b/-c",
        "/a/../b/./c//d",
        "/\u{fc}\u{85}\u{ffff}",
        "a-b@c",
    ] {
        assert_eq!(systemctl(good), "", "{good}");
    }
    for bad in ["/a\"b", "/a'b", "/a\\b", "/a\nb", "/a\tb", "/a\u{7f}b", "/a\0b"] {
        let reason = systemctl(bad);
        assert!(reason.ends_with("which a unit cannot run"), "{bad:?}: {reason}");
    }
    for bad in [
        "bin/systemctl",
        "./systemctl",
        ".",
        "..",
        "/",
        "/a/",
        " /a",
        "-systemctl",
        "@a",
        ":a",
        "+a",
        "!a",
        "|a",
    ] {
        let reason = systemctl(bad);
        assert!(reason.ends_with("is neither an absolute path nor a bare name"), "{bad}: {reason}");
    }
    for bad in [&*"a".repeat(256), &format!("/{}", "a".repeat(256)), &"/abc".repeat(1024)] {
        assert!(systemctl(bad).contains("longer than"), "{}", systemctl(bad));
    }
}

#[test]
fn a_component_of_a_name_has_255_bytes_at_most() {
    let name = |length: usize| invalid(&format!(r#""name":"d/{}""#, "n".repeat(length)));
    assert_eq!(name(255), "");
    assert!(name(256).ends_with("has a component longer than 255 bytes"), "{}", name(256));
}

#[test]
fn keys_fit_a_recipient_of_their_own_type() {
    let kinds = |pubkey: &str| -> Vec<HostKeyKind> {
        let keys = ["ed25519", "rsa", "age", "credential"]
            .map(|kind| format!(r#"{{"path":"/{kind}","type":"{kind}"}}"#))
            .join(",");
        let text = format!(
            r#"{{"version":1,"settings":{{"hostIdentifier":"h","hostPubkey":"{pubkey}","hostKeys":[{keys}]}}}}"#
        );
        let settings = Profile::parse(&text, Side::Host).unwrap().settings;
        fitting_keys(&settings).map(|key| key.kind).collect()
    };
    assert_eq!(kinds("ssh-ed25519 AAAA me"), [HostKeyKind::Ed25519]);
    assert_eq!(kinds("ssh-rsa AAAA"), [HostKeyKind::Rsa]);
    assert_eq!(kinds("age1abc"), [HostKeyKind::Age, HostKeyKind::Credential]);
    assert_eq!(kinds("ecdsa-sha2-nistp256 AAAA"), []);
}
