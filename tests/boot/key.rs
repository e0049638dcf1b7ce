//! host keys, right and wrong → what opens, and what is said of what does not.

use serde_json::{Value, json};
use xtask::system::System;

use crate::support::{Scenario, encrypt, secret_unit};

/// Returns how age names the key of `recipient` in the header of what is encrypted to it.
fn tag(recipient: &str) -> String {
    let ciphertext = encrypt(recipient, b"");
    let text = String::from_utf8_lossy(&ciphertext);
    let stanza = text.lines().find_map(|line| line.strip_prefix("-> ssh-ed25519 ")).unwrap();
    stanza.split(' ').next().unwrap().to_owned()
}

/// Returns the list of host keys with these paths.
fn host_keys(paths: &[&str]) -> Value {
    paths.iter().map(|path| json!({ "path": path, "type": "ed25519" })).collect()
}

/// All keys are tried in their order: one that is of no use is named in a warning, one that does not fit is passed over.
/// Where none fits, or there is none, the error says of each why.
pub fn each_key_is_tried(system: System) {
    const RIGHT: &str = "/etc/ssh/ssh_host_ed25519_key";
    const LOCKED: &str = "/fixtures/keys/locked";
    const STRANGER: &str = "/fixtures/keys/stranger";
    let mut host = Scenario::new(system, "keys");
    host.secret("token", "hunter2");
    host.locked_key(LOCKED);
    let (right, stranger) = (host.recipient().to_owned(), host.stranger());
    let other = host.other_key("/fixtures/keys/other");
    host.ciphertext("foreign", Some(&encrypt(&other, b"for another host")), json!({}));
    host.profile()["settings"]["hostKeys"] = host_keys(&[LOCKED, STRANGER, RIGHT]);
    host.file(
        "/etc/systemd/system/persist.mount",
        "[Mount]\nWhat=nothing\nWhere=/persist\nType=nosuchfs\n",
    );

    let base = host.profile().clone();
    let keys = |paths: &[&str]| {
        let mut profile = base.clone();
        profile["settings"]["hostKeys"] = host_keys(paths);
        profile
    };
    host.next("locked", &keys(&[LOCKED]));
    host.next("directory", &keys(&["/etc"]));
    host.next("absent", &keys(&["/nowhere/host_key"]));
    host.next("mount", &keys(&["/persist/ssh/host_key"]));
    let mut another = keys(&[RIGHT]);
    another["settings"]["hostPubkey"] = other.clone().into();
    another["secrets"]["token"]["cipher"] = base["secrets"]["foreign"]["cipher"].clone();
    host.next("another", &another);
    let mut rsa = keys(&[RIGHT]);
    rsa["settings"]["hostPubkey"] = "ssh-rsa AAAAB3NzaC1yc2E=".into();
    host.next("rsa", &rsa);

    let boot = host.run(
        r"
        note token cat /run/vaultix/token
        for it in locked directory absent mount another rsa; do
            cp /next/$it/profile.json /etc/vaultix/profile.json
            systemctl daemon-reload
            note $it systemctl restart vaultix-secret@token.service
            note $it.code systemctl show --property=ExecMainStatus --value vaultix-secret@token.service
            systemctl stop 'vaultix-late-key*'
        done
        note mounted systemctl show --property=Result --value persist.mount
        note kept cat /run/vaultix/token
        ",
    );
    let (token, foreign) = (secret_unit("token"), secret_unit("foreign"));
    assert_eq!(boot.unit_at("boot", &token)["ActiveState"], "active", "the third one opens it");
    assert_eq!(boot.text("token"), "hunter2");
    let placing = boot.journal_of("vaultix-boot.service");
    let warned = placing.iter().any(|line| {
        line.priority == 4 && line.message.contains(LOCKED) && line.message.contains("passphrase")
    });
    assert!(warned, "the first is named: {placing:#?}");
    assert_eq!(boot.unit_at("boot", &foreign)["ExecMainStatus"], "77");
    let tags = [tag(&other), tag(&stranger), tag(&right)];
    let [theirs, second, third] = tags.each_ref().map(|tag| format!("tag {tag}"));
    boot.assert_error(
        &foreign,
        &[
            "/etc/vaultix/cache/foreign",
            &theirs,
            STRANGER,
            &second,
            RIGHT,
            &third,
            LOCKED,
            "passphrase",
        ],
    );

    for (case, words) in [
        ("locked", &[LOCKED, "protected by a passphrase"][..]),
        ("directory", &["/etc: is a directory"]),
        ("absent", &["/nowhere/host_key: No such file"]),
        (
            "mount",
            &[
                "/persist/ssh/host_key",
                "/persist is not mounted",
                "systemctl status 'persist.mount'",
            ],
        ),
        ("another", &["to the key in settings.hostPubkey", &theirs, RIGHT, &third]),
        ("rsa", &["none of settings.hostKeys", RIGHT, "ssh-rsa"]),
    ] {
        assert_eq!(boot.status(case), 1, "{case}: the restart fails");
        assert_eq!(boot.text(&format!("{case}.code")), "77", "{case}");
        boot.assert_error(&token, words);
    }
    assert_ne!(boot.text("mounted"), "success", "it was tried, and failed");
    assert_eq!(boot.text("kept"), "hunter2", "whatever fails, the old one stays");
    boot.assert_no_cycle();
}

/// A host key that is bound in by itself, over an empty file: a secret waits for the mount, though the key's folder is
/// there.
pub fn a_key_that_is_a_mount_point(system: System) {
    let mut host = Scenario::new(system, "keymount");
    host.key("/origin/host_key", "ed25519");
    host.profile()["settings"]["hostKeys"] = host_keys(&["/etc/ssh/host_key"]);
    host.secret("token", "hunter2");
    host.file("/etc/ssh/host_key", "");
    host.file(
        "/etc/systemd/system/etc-ssh-host_key.mount",
        "[Unit]\nWants=slow.service\nAfter=slow.service\n\
         [Mount]\nWhat=/origin/host_key\nWhere=/etc/ssh/host_key\nType=none\nOptions=bind\n",
    );
    host.file(
        "/etc/systemd/system/slow.service",
        "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/sleep 2\n",
    );
    host.link(
        "/etc/systemd/system/local-fs.target.requires/etc-ssh-host_key.mount",
        "../etc-ssh-host_key.mount",
    );
    let boot = host.run(
        r"
        note state systemctl is-system-running
        note token cat /run/vaultix/token
        ",
    );
    let unit = boot.unit_at("boot", &secret_unit("token"));
    assert_eq!(unit["ActiveState"], "active", "{:#?}", boot.journal_of(&secret_unit("token")));
    assert_eq!((boot.text("token"), boot.text("state")), ("hunter2".into(), "running".into()));
    boot.assert_no_cycle();
}
