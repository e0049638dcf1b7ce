//! `vaultix check` → is every copy there, valid and needed?

use std::fs;

use pretty_assertions::assert_eq;
use serde_json::Value;

use crate::json::ensure_documented;
use crate::support::Workspace;

/// The check that most of these tests run.
const CHECK: &str = "-p web1.json -p db1.json check";

#[test]
fn check_finds_nothing_after_renc() {
    let workspace = Workspace::with_secrets("check-well");
    workspace.renc().exits(0);
    let done = workspace.vaultix(CHECK).exits(0);
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("", "5 up to date, 0 problems\n"));
    let done = workspace.vaultix(&format!("{CHECK} --json")).exits(0);
    assert_eq!(done.stdout, "{\"ok\":true,\"upToDate\":5,\"findings\":[]}\n");
}

#[test]
fn a_missing_copy_is_named() {
    let workspace = Workspace::with_secrets("check-missing");
    workspace.vaultix(CHECK).exits(66).says(&["0 up to date, 5 problems"]);
    workspace.renc().exits(0);
    workspace.secret("secrets/wifi.age", "new text");
    let done = workspace.vaultix(&format!("{CHECK} --json")).exits(1);
    let answer: Value = serde_json::from_str(&done.stdout).unwrap();
    let kinds: Vec<_> =
        answer["findings"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["missing", "missing", "stale", "stale"]);
    assert_eq!(answer["findings"][0]["fix"], "vaultix renc");
    assert_eq!(answer["findings"][0]["secret"], "wifi");
    assert_eq!(answer["ok"], false);
    assert_eq!(answer["upToDate"], 3);
}

#[test]
fn a_secret_that_cannot_be_decrypted_is_found_without_a_key() {
    let workspace = Workspace::with_secrets("check-secret");
    workspace.renc().exits(0);
    workspace.write("secrets/tls.age", "no secret");
    let said = ["secrets/tls.age cannot be decrypted by anyone: the file is not an age file"];
    let done = workspace.vaultix(CHECK).exits(1).says(&said);
    // The fix that it prints works, although edit does not open a damaged file.
    let fix = "rm secrets/tls.age && vaultix edit secrets/tls.age";
    assert!(done.stderr.contains(&format!("; to fix: {fix}\n")), "{}", done.stderr);
    let line = format!("echo new | ({fix} --stdin --identity keys/me.txt)");
    workspace.sh(&line).exits(0);
}

#[test]
fn a_copy_that_its_host_cannot_decrypt_is_found_without_a_key() {
    for (what, damage) in [
        ("for another ssh key", "age -R keys/host-db1.pub -o FILE keys/README"),
        ("for another kind of key", "age -R keys/host-old1.pub -o FILE keys/README"),
        ("for two keys", "age -R keys/host-web1.pub -R keys/host-db1.pub -o FILE keys/README"),
        ("for age", "age -e -i keys/me.txt -o FILE keys/README"),
        ("cut in the header", "truncate -s 100 FILE"),
        ("cut in the payload", "truncate -s -36 FILE"),
        ("no age file", "echo nonsense >FILE"),
        ("with something appended", "echo >>FILE"),
        (
            "merged",
            "printf '<<<<<<< HEAD\n%s\n=======\n' \"$(tr -d '\\0' <FILE)\" >merged && mv merged FILE",
        ),
    ] {
        let workspace = Workspace::with_secrets("check-unfit");
        workspace.profile("web1", "host-web1.pub", &[("wifi", "wifi")]);
        workspace.vaultix("-p web1.json renc -i keys/me.txt").exits(0);
        let file = &workspace.tree("secrets/cache")[0].0;
        workspace.sh(&damage.replace("FILE", &format!("secrets/cache/{file}"))).exits(0);
        let done = workspace.vaultix("-p web1.json check").exits(65);
        let said =
            format!("host web1 cannot decrypt secrets/cache/{file}, its copy of secret \"wifi\"");
        assert!(done.stderr.contains(&said), "{what}: {}", done.stderr);
        assert!(done.stderr.contains("0 up to date, 1 problem"), "{what}: {}", done.stderr);
        assert!(done.stderr.contains("to fix: vaultix renc\n"), "{what}: {}", done.stderr);
        // What it says to do helps, with words of the same kind.
        let renc = workspace.vaultix("-p web1.json renc -i keys/me.txt").exits(0);
        renc.says(&[&said, "which has to be replaced: ", "1 re-encrypted, 0 up to date"]);
        workspace.vaultix("-p web1.json check").exits(0);
        workspace.cached("web1", "host-web1", "wifi text");
    }
}

#[test]
fn a_foreign_file_is_reported() {
    let workspace = Workspace::with_secrets("check-foreign");
    workspace.renc().exits(0);
    workspace.write("secrets/cache/web1/README", "mine");
    workspace.vaultix(CHECK).exits(1).says(&["secrets/cache/web1/README is not part of the cache"]);
    fs::remove_file(workspace.path("secrets/mail.age")).unwrap();
    workspace.vaultix(CHECK).exits(1).says(&["cannot read secrets/mail.age"]);
}

#[test]
fn findings_with_one_cause_have_a_line_for_each_secret_or_host() {
    let workspace = Workspace::with_secrets("check-groups");
    let all = [("wifi", "wifi"), ("mail", "mail"), ("tls", "tls")];
    let hosts: Vec<String> = (10..22).map(|i| format!("h{i}")).collect();
    for host in &hosts {
        workspace.profile(host, "host-web1.pub", &all);
    }
    let profiles: Vec<String> = hosts.iter().map(|host| format!("-p {host}.json")).collect();
    let profiles = profiles.join(" ");
    workspace.vaultix(&format!("{profiles} renc -i keys/me.txt")).exits(0);
    workspace.vaultix(&format!("{profiles} rekey -i keys/me.txt")).exits(0);

    let done = workspace.vaultix(&format!("{profiles} check")).exits(1);
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(lines.len(), 3 + 12 + 2, "{}", done.stderr);
    let missing = "vaultix: 12 hosts have no copy of secret \"mail\" that matches secrets/mail.age: \
                   h10, h11, h12, h13, h14, h15, h16, h17, h18, h19 and 2 more; to fix: vaultix renc";
    assert_eq!(lines[0], missing);
    let stale =
        "vaultix: 3 files in secrets/cache/h10 are not used by its host; to fix: vaultix renc";
    assert_eq!(lines[3], stale);
    assert_eq!(lines[15..], ["for each of them: vaultix check -v", "0 up to date, 72 problems"]);
    // All of them, if that is asked for, and for programs.
    let done = workspace.vaultix(&format!("{profiles} check -v")).exits(1);
    let single = done.stderr.lines().filter(|line| line.starts_with("vaultix: "));
    assert_eq!(single.count(), 72);
    let done = workspace.vaultix(&format!("{profiles} check --json")).exits(1);
    ensure_documented("check", &done.stdout);
    let answer: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(answer["findings"].as_array().unwrap().len(), 72);

    // By host, where that takes fewer lines.
    let one = workspace.vaultix("-p h10.json check").exits(1);
    one.says(&[
        "vaultix: host h10 has no copies of 3 secrets that match their files: \"mail\", \"tls\", \"wifi\"; to fix: vaultix renc\n",
        "0 up to date, 6 problems\n",
    ]);
    // Of one host alone, whoever the others are.
    let one = workspace.vaultix(&format!("{profiles} check --host h11")).exits(1);
    one.says(&["host h11 has no copies of 3 secrets", "0 up to date, 6 problems\n"]);
    workspace
        .vaultix(&format!("{profiles} check --host h9"))
        .exits(64)
        .says(&["cannot find host \"h9\""]);
    // A single one is said as it is.
    workspace.vaultix(&format!("{profiles} renc -i keys/me.txt")).exits(0);
    workspace.write("secrets/cache/h10/README", "mine");
    let done = workspace.vaultix(&format!("{profiles} check")).exits(1);
    let said =
        "vaultix: secrets/cache/h10/README is not part of the cache\n36 up to date, 1 problem\n";
    assert_eq!(done.stderr, said);
}
