//! `-v` → a line for each step, which contains names but no secrets.

use crate::pty::Pty;
use crate::support::{Done, Workspace, feed, run};

/// Is in every secret of these tests.
const MARKER: &str = "marker4711";

/// Checks that nothing secret was printed.
#[track_caller]
fn ensure_no_secret(said: &str) {
    for secret in [MARKER, "AGE-SECRET-KEY-", "PRIVATE KEY", "correct horse"] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
}

/// Checks that a command has printed `steps`, with times, and nothing secret.
#[track_caller]
fn prints(done: Done, steps: &[&str]) {
    let done = done.exits(0).says(steps);
    ensure_no_secret(&done.stderr);
    let timed = |line: &str| {
        line.trim_start().split_once("  ").is_some_and(|(time, _)| time.parse::<f64>().is_ok())
    };
    for step in steps {
        assert!(
            done.stderr.lines().any(|line| line.contains(step) && timed(line)),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn every_verb_prints_its_steps() {
    let workspace = Workspace::with_secrets("verbose");
    for id in ["wifi", "mail", "tls"] {
        workspace.secret(&format!("secrets/{id}.age"), format!("{MARKER} {id}"));
    }
    let all = "-p web1.json -p db1.json";
    let read = "read the profile web1.json: host web1, 3 secrets";
    prints(
        workspace.vaultix(&format!("{all} renc -v -i keys/me.txt")),
        &[
            read,
            "read 3 sources for 2 hosts, and listed secrets/cache: 0 copies up to date, 5 missing or damaged, 0 stale",
            "read keys/me.txt for identities: 1",
            "3 of 3 secrets are decrypted",
            "decrypting secrets/tls.age",
            "wrote 5 copies to secrets/cache, and synced",
        ],
    );
    prints(workspace.vaultix(&format!("-v {all} check")), &[read]);
    prints(workspace.vaultix(&format!("{all} status --verbose")), &[read]);
    prints(workspace.vaultix(&format!("{all} explain -v wifi")), &[read]);
    let text = format!("{MARKER} new");
    let edit = "edit secrets/wifi.age -v -i keys/me.txt";
    let steps = ["read secrets/wifi.age: ", "encrypting to age1pdl", "replacing /"];
    prints(feed(&mut workspace.vaultix_command(edit), text.as_bytes()), &steps);
    let mut command = workspace.vaultix_command(edit);
    prints(
        run(command.env("EDITOR", "sed -i s/new/newer/")),
        &["starting the editor sed -i s/new/newer/ on /"],
    );
    prints(
        workspace.vaultix(&format!("{all} rekey -v -i keys/me.txt")),
        &["encrypting to age1pdl"],
    );
    let done = workspace.vaultix("view -v secrets/wifi.age -i keys/me.txt");
    assert!(done.stdout.contains(MARKER));
    prints(done, &["read secrets/wifi.age: "]);
}

#[test]
fn typed_text_is_not_printed() {
    let workspace = Workspace::with_secrets("verbose-typed");
    let mut command = workspace.vaultix_command("-p web1.json renc -v -i keys/me-passphrase.age");
    let mut pty = Pty::start(&mut command);
    pty.expect("Passphrase for keys/me-passphrase.age");
    pty.send("correct horse\n");
    pty.expect("tried keys/me-passphrase.age: 3 of 3 secrets are decrypted");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 0, "{shown}");
    ensure_no_secret(&shown);
}

#[test]
fn steps_are_printed_only_on_request() {
    let workspace = Workspace::with_secrets("verbose-not");
    let done = workspace.vaultix("-p web1.json renc -q -i keys/me.txt").exits(0);
    assert_eq!(done.stderr, "3 re-encrypted, 0 up to date, 0 removed\n");
}
