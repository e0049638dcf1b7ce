//! `vaultix rekey` with secrets that no profile names → they are told of, and encrypted anew where that is wanted.

use std::os::unix::fs::symlink;

use pretty_assertions::assert_eq;

use crate::support::Desk;

/// Leaves an identity behind.
const REKEY: &str = "-p web1.json rekey --old keys/me.txt -i keys/ssh-ed25519";

#[test]
fn what_no_profile_names_is_told_of() {
    let desk = Desk::with_secrets("rekey-left");
    for secret in ["loose", "deep/below", "cache/copy", ".hidden/old"] {
        desk.secret(&format!("secrets/{secret}.age"), "loose text");
    }
    desk.secret_with("secrets/theirs.age", "theirs", &["-i", "keys/other.txt"]);
    desk.write("secrets/text.age", "no secret");
    // Nobody knows what this is; better said than not.
    symlink("/dev/null", desk.path("secrets/unread.age")).unwrap();
    symlink("wifi.age", desk.path("secrets/link.age")).unwrap();
    let before = desk.read("secrets/loose.age");
    let done = desk.vaultix(REKEY).exits(0).says(&["3 encrypted anew; now run: vaultix renc\n"]);
    let left = "vaultix: not encrypted anew, as no profile names them: secrets/deep/below.age, \
                secrets/loose.age, secrets/unread.age; to encrypt them, too: vaultix rekey FILE...\n";
    assert!(done.stderr.ends_with(left), "{}", done.stderr);
    assert_eq!(desk.read("secrets/loose.age"), before);
}

#[test]
fn of_many_ten_are_told() {
    let desk = Desk::with_secrets("rekey-many");
    for i in 10..22 {
        desk.secret(&format!("secrets/more/{i}.age"), "more text");
    }
    let said = ["names them: secrets/more/10.age, ", ", secrets/more/19.age and 2 more; to"];
    desk.vaultix(REKEY).exits(0).says(&said);
}

#[test]
fn what_is_passed_is_encrypted_anew_too() {
    let desk = Desk::with_secrets("rekey-passed");
    desk.secret("secrets/loose.age", "loose text");
    desk.secret("elsewhere/key.age", "key text");
    let line = format!("{REKEY} secrets/loose.age elsewhere/key.age ./secrets/wifi.age");
    let done = desk.vaultix(&line).exits(0).says(&["5 encrypted anew"]);
    assert!(!done.stderr.contains("no profile"), "{}", done.stderr);
    for (file, text) in [("secrets/loose.age", "loose text"), ("elsewhere/key.age", "key text")] {
        assert_eq!(desk.open(file, "ssh-ed25519"), text);
        desk.vaultix(&format!("view {file} -i keys/me.txt")).exits(77);
    }
    let before = desk.read("secrets/loose.age");
    desk.vaultix(&format!("{line} secrets/none.age")).exits(66).says(&["0 encrypted anew"]);
    assert_eq!(desk.read("secrets/loose.age"), before);
}

#[test]
fn there_may_be_more_secrets_than_open_files() {
    let desk = Desk::with_secrets("rekey-limit");
    let files: Vec<String> = (0..80).map(|i| format!("secrets/{i}.age")).collect();
    for file in &files {
        std::fs::copy(desk.path("secrets/wifi.age"), desk.path(file)).unwrap();
    }
    let line = format!("ulimit -S -n 64; vaultix {REKEY} {}", files.join(" "));
    desk.sh(&line).exits(0).says(&["83 encrypted anew; now run: vaultix renc\n"]);
}

#[test]
fn secrets_in_the_working_directory_are_looked_for_too() {
    let desk = Desk::with_secrets("rekey-here");
    desk.secret("here.age", "text");
    desk.secret("loose.age", "text");
    let host = desk.key("host-web1.pub");
    desk.profile_with("web1", host.trim(), &[], |profile| {
        profile["secrets"]["here"] = serde_json::json!({ "file": "here.age" });
    });
    let said = ["1 encrypted anew", "names them: loose.age, secrets/mail.age, secrets/tls.age"];
    desk.vaultix(REKEY).exits(0).says(&said);
}
