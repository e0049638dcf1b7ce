//! `vaultix rekey` → all secrets encrypted to other recipients, or none; and a warning about those
//! that no profile names.

use std::os::unix::fs::symlink;

use pretty_assertions::assert_eq;

use crate::support::{Workspace, run};

/// Stops encrypting to an old identity.
const REKEY: &str = "-p web1.json rekey --old keys/me.txt -i keys/ssh-ed25519";

#[test]
fn secrets_that_no_profile_names_are_listed() {
    let workspace = Workspace::with_secrets("rekey-left");
    for secret in ["loose", "deep/below", "cache/copy", ".hidden/old"] {
        workspace.secret(&format!("secrets/{secret}.age"), "loose text");
    }
    workspace.secret_with("secrets/theirs.age", "theirs", &["-i", "keys/other.txt"]);
    workspace.write("secrets/text.age", "no secret");
    // It may be a secret, so it is listed as well.
    symlink("/dev/null", workspace.path("secrets/unread.age")).unwrap();
    symlink("wifi.age", workspace.path("secrets/link.age")).unwrap();
    let before = workspace.read("secrets/loose.age");
    let done = workspace.vaultix(REKEY).exits(0).says(&["3 rekeyed; now run: vaultix renc\n"]);
    let left = "vaultix: not rekeyed, because no profile names them: secrets/.hidden/old.age, \
                secrets/deep/below.age, secrets/loose.age, secrets/unread.age; to rekey them as well: vaultix rekey FILE...\n";
    assert!(done.stderr.ends_with(left), "{}", done.stderr);
    assert_eq!(workspace.read("secrets/loose.age"), before);
}

#[test]
fn ten_of_many_secrets_are_listed() {
    let workspace = Workspace::with_secrets("rekey-many");
    for i in 10..22 {
        workspace.secret(&format!("secrets/more/{i}.age"), "more text");
    }
    let said = ["names them: secrets/more/10.age, ", ", secrets/more/19.age and 2 more; to"];
    workspace.vaultix(REKEY).exits(0).says(&said);
}

#[test]
fn secrets_on_the_command_line_are_also_rekeyed() {
    let workspace = Workspace::with_secrets("rekey-passed");
    workspace.secret("secrets/loose.age", "loose text");
    workspace.secret("elsewhere/key.age", "key text");
    let line = format!("{REKEY} secrets/loose.age elsewhere/key.age ./secrets/wifi.age");
    let done = workspace.vaultix(&line).exits(0).says(&["5 rekeyed"]);
    assert!(!done.stderr.contains("no profile"), "{}", done.stderr);
    for (file, text) in [("secrets/loose.age", "loose text"), ("elsewhere/key.age", "key text")] {
        assert_eq!(workspace.open(file, "ssh-ed25519"), text);
        workspace.vaultix(&format!("view {file} -i keys/me.txt")).exits(77);
    }
    let before = workspace.read("secrets/loose.age");
    workspace.vaultix(&format!("{line} secrets/none.age")).exits(66).says(&["0 rekeyed"]);
    assert_eq!(workspace.read("secrets/loose.age"), before);
}

#[test]
fn there_may_be_more_secrets_than_open_files_allowed() {
    let workspace = Workspace::with_secrets("rekey-limit");
    let files: Vec<String> = (0..80).map(|i| format!("secrets/{i}.age")).collect();
    for file in &files {
        std::fs::copy(workspace.path("secrets/wifi.age"), workspace.path(file)).unwrap();
    }
    let line = format!("ulimit -S -n 64; vaultix {REKEY} {}", files.join(" "));
    workspace.sh(&line).exits(0).says(&["83 rekeyed; now run: vaultix renc\n"]);
}

#[test]
fn secrets_in_the_working_directory_are_also_found() {
    let workspace = Workspace::with_secrets("rekey-here");
    workspace.secret("here.age", "text");
    workspace.secret("loose.age", "text");
    let host = workspace.key("host-web1.pub");
    workspace.profile_with("web1", host.trim(), &[], |profile| {
        profile["secrets"]["here"] = serde_json::json!({ "file": "here.age" });
    });
    let said = ["1 rekeyed", "names them: loose.age, secrets/mail.age, secrets/tls.age"];
    workspace.vaultix(REKEY).exits(0).says(&said);
}

#[test]
fn rekey_changes_all_or_nothing() {
    let workspace = Workspace::with_secrets("rekey");
    workspace.secret_with("secrets/mail.age", "mail text", &["-a", "-i", "keys/me.txt"]);
    let line = "-p web1.json -p db1.json rekey -i keys/me.txt -i keys/ssh-ed25519";
    workspace.vaultix(line).exits(0).says(&["3 rekeyed; now run: vaultix renc"]);
    for key in ["me.txt", "ssh-ed25519"] {
        assert_eq!(workspace.open("secrets/mail.age", key), "mail text");
    }
    assert!(workspace.read("secrets/mail.age").starts_with(b"-----BEGIN"), "armor stays");

    workspace.secret_with("secrets/tls.age", "theirs", &["-i", "keys/other.txt"]);
    let before: Vec<_> =
        ["wifi", "mail", "tls"].map(|id| workspace.read(&format!("secrets/{id}.age"))).into();
    workspace
        .vaultix(line)
        .exits(77)
        .says(&["cannot decrypt secrets/tls.age", "0 rekeyed, 1 failed"]);
    let after: Vec<_> =
        ["wifi", "mail", "tls"].map(|id| workspace.read(&format!("secrets/{id}.age"))).into();
    assert!(before == after);
    assert_eq!(workspace.tree("secrets").len(), 3, "{:?}", workspace.tree("secrets"));
}

#[test]
fn rekey_stops_encrypting_to_an_old_identity() {
    let workspace = Workspace::with_secrets("rekey-old");
    let line = "-p web1.json rekey --old keys/me.txt -i keys/ssh-ed25519";
    workspace.vaultix(line).exits(0).says(&["3 rekeyed"]);
    assert_eq!(workspace.open("secrets/mail.age", "ssh-ed25519"), "mail text");
    workspace.vaultix("view secrets/mail.age -i keys/me.txt").exits(77);
    // With only the old identity, no recipient is left.
    workspace
        .vaultix("-p web1.json rekey --old keys/ssh-ed25519")
        .exits(64)
        .says(&["cannot encrypt without a recipient"]);
    // The old identity is not unlocked if it is not needed.
    let line = "-p web1.json rekey --old keys/me-passphrase.age -i keys/ssh-ed25519";
    workspace.vaultix(line).exits(0).says(&["3 rekeyed"]);
}

#[test]
fn who_loses_a_secret_is_no_surprise() {
    const LOST: &str = "others could decrypt these secrets before, and cannot any more: ";
    let workspace = Workspace::with_secrets("rekey-lost");
    let encrypt = || {
        let [me, team, host] =
            ["-i keys/me.txt", "-R keys/ssh-ed25519.pub", "-R keys/host-web1.pub"];
        for (name, to) in [
            ("wifi", format!("{me} {team} {host}")),
            ("mail", format!("-a {me} {team}")),
            ("tls", format!("{me} {host}")),
        ] {
            let to: Vec<&str> = to.split(' ').collect();
            workspace.secret_with(&format!("secrets/{name}.age"), format!("{name} text"), &to);
        }
    };
    encrypt();
    let line = "-p web1.json -p db1.json rekey -i keys/me.txt";
    let names =
        "secrets/mail.age, secrets/wifi.age; if they should, name them in vaultix.extraRecipients";
    workspace.vaultix(line).exits(0).says(&["3 rekeyed", &format!("{LOST}{names}")]);
    workspace.vaultix("view secrets/wifi.age -i keys/ssh-ed25519").exits(77);
    // Nobody has lost anything since.
    let done = workspace.vaultix(line).exits(0);
    assert!(!done.stderr.contains(LOST), "{}", done.stderr);
    // Those that are named, and those that are old, are no surprise.
    encrypt();
    let mut command = workspace.vaultix_command(line);
    let done = run(command.args(["-r", workspace.key("ssh-ed25519.pub").trim()])).exits(0);
    assert!(!done.stderr.contains(LOST), "{}", done.stderr);
    encrypt();
    let done = workspace.vaultix(&format!("{line} --old keys/ssh-ed25519")).exits(0);
    assert!(!done.stderr.contains(LOST), "{}", done.stderr);
    assert_eq!(workspace.open("secrets/wifi.age", "me.txt"), "wifi text");
}

#[test]
fn an_old_identity_that_is_named_again_is_refused() {
    let workspace = Workspace::with_secrets("rekey-kept");
    let before: Vec<_> =
        ["wifi", "mail", "tls"].map(|id| workspace.read(&format!("secrets/{id}.age"))).into();
    let same = || {
        let after: Vec<_> =
            ["wifi", "mail", "tls"].map(|id| workspace.read(&format!("secrets/{id}.age"))).into();
        assert!(before == after);
    };
    let me = workspace.sh("age-keygen -y keys/me.txt").stdout;
    let mut again = workspace.vaultix_command(REKEY);
    let said = "cannot stop encrypting to the identity in keys/me.txt: --recipient or --recipients-file names its recipient";
    run(again.args(["-r", me.trim()])).exits(64).says(&[said]);
    same();
    workspace.write("me", workspace.key("me.txt"));
    let said = "in keys/me.txt: the identity to encrypt to is the same; to fix: pass another one";
    workspace.vaultix("-p web1.json rekey --old keys/me.txt -i me").exits(64).says(&[said]);
    same();
    std::fs::remove_file(workspace.path("me")).unwrap();
}

#[test]
fn what_an_old_identity_still_decrypts_is_said() {
    const NONE: &str = "no secret is encrypted to keys/me.txt any more\n";
    let workspace = Workspace::with_secrets("rekey-rest");
    workspace.secret("secrets/loose.age", "loose text");
    workspace
        .vaultix(REKEY)
        .exits(0)
        .says(&["still encrypted to keys/me.txt: secrets/loose.age\n"]);
    workspace.vaultix(&format!("{REKEY} secrets/loose.age")).exits(0).says(&["4 rekeyed", NONE]);
    // An ssh key needs no passphrase to know that; of a locked identity that was not needed, nothing is known.
    let line = "-p web1.json rekey --old keys/ssh-ed25519-passphrase -i keys/ssh-ed25519";
    let said = ["no secret is encrypted to keys/ssh-ed25519-passphrase any more\n"];
    workspace.vaultix(line).exits(0).says(&said);
    let line = "-p web1.json rekey --old keys/me-passphrase.age -i keys/ssh-ed25519";
    let done = workspace.vaultix(line).exits(0);
    assert!(!done.stderr.contains("any more"), "{}", done.stderr);
    // Without an old one, nobody asks.
    let done = workspace.vaultix("-p web1.json rekey -i keys/ssh-ed25519").exits(0);
    assert!(!done.stderr.contains("any more"), "{}", done.stderr);
}
