//! post-quantum master identities → secrets that only they open, and copies that hosts open as
//! usual.
//!
//! `keys/for-me-pq.age` was made by age 1.3.2: Debian's age does not support these keys.
//! `conformance.rs` tests the rest of the format.

use pretty_assertions::assert_eq;

use crate::pty::Pty;
use crate::support::{Workspace, feed, run};

/// Returns the public key of the key file `name`.
fn public(workspace: &Workspace, name: &str) -> String {
    let key = workspace.key(name);
    key.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned()
}

/// Makes a workspace with one secret for a post-quantum identity.
fn workspace(name: &str) -> Workspace {
    let workspace = Workspace::new(name);
    let edit = "edit secrets/wifi.age -i keys/me-pq.txt";
    feed(&mut workspace.vaultix_command(edit), b"wifi text").exits(0).says(&["to 1 recipient"]);
    workspace.profile("web1", "host-web1.pub", &[("wifi", "wifi")]);
    workspace
}

#[test]
fn a_file_made_by_age_is_decrypted() {
    let workspace = Workspace::new("pq-theirs");
    let done = workspace.vaultix("view keys/for-me-pq.age -i keys/me-pq.txt").exits(0);
    assert_eq!(done.stdout, workspace.key("README"));
    workspace
        .vaultix("view keys/for-me-pq.age -i keys/other-pq.txt")
        .exits(77)
        .says(&["no identity can decrypt it: it is encrypted to mlkem768x25519"]);
}

#[test]
fn a_post_quantum_identity_decrypts_all_secrets() {
    let workspace = workspace("pq-renc");
    workspace.vaultix("-p web1.json renc -i keys/me-pq.txt").exits(0).says(&["1 re-encrypted"]);
    workspace.cached("web1", "host-web1", "wifi text");
    workspace.vaultix("-p web1.json check").exits(0);
    run(workspace
        .vaultix_command("edit secrets/wifi.age -i keys/me-pq.txt")
        .env("EDITOR", "sed -i s/text/new/"))
    .exits(0);
    // Another identity cannot.
    workspace.vaultix("-p web1.json renc -i keys/other-pq.txt").exits(77);
    workspace.vaultix("-p web1.json renc -i keys/other-pq.txt -i keys/me-pq.txt").exits(0);
    workspace.cached("web1", "host-web1", "wifi new");
}

#[test]
fn post_quantum_recipients_share_a_file_with_each_other_only() {
    let workspace = workspace("pq-several");
    let edit = |recipient: &str| {
        let mut command =
            workspace.vaultix_command("edit secrets/wifi.age -i keys/me-pq.txt --stdin");
        feed(command.args(["--recipient", recipient]), b"for two")
    };
    edit(&public(&workspace, "other-pq.txt")).exits(0).says(&["to 2 recipients"]);
    for key in ["me-pq.txt", "other-pq.txt"] {
        assert_eq!(
            workspace.vaultix(&format!("view secrets/wifi.age -i keys/{key}")).stdout,
            "for two"
        );
    }
    let before = workspace.read("secrets/wifi.age");
    for other in [public(&workspace, "me.txt"), workspace.key("ssh-rsa.pub").trim().to_owned()] {
        edit(&other).exits(78).says(&[
            "cannot encrypt secrets/wifi.age: post-quantum recipients and others cannot share a file",
        ]);
    }
    // The same in the other order.
    let line = "edit new.age -i keys/me.txt -i keys/me-pq.txt";
    feed(&mut workspace.vaultix_command(line), b"x").exits(78).says(&["cannot share a file"]);
    assert!(workspace.read("secrets/wifi.age") == before);
    assert!(!workspace.path("new.age").exists());
}

#[test]
fn secrets_can_be_rekeyed_to_a_post_quantum_identity() {
    let workspace = Workspace::with_secrets("pq-rekey");
    let line = "-p web1.json -p db1.json rekey --old keys/me.txt -i keys/me-pq.txt";
    workspace.vaultix(line).exits(0).says(&["3 rekeyed"]);
    assert_eq!(workspace.vaultix("view secrets/tls.age -i keys/me-pq.txt").stdout, "tls text");
    workspace.vaultix("view secrets/tls.age -i keys/me.txt").exits(77);
}

#[test]
fn a_post_quantum_identity_may_have_a_passphrase() {
    let workspace = workspace("pq-locked");
    let mut age = workspace.command("setsid");
    age.args(["--wait", "age", "--passphrase", "--output", "locked.age", "keys/me-pq.txt"]);
    let mut pty = Pty::start(&mut age);
    for _ in 0..2 {
        pty.expect(": ");
        pty.send("correct horse\n");
    }
    assert_eq!(pty.end().0, 0);
    let mut pty = Pty::start(&mut workspace.vaultix_command("-p web1.json renc -i locked.age"));
    pty.expect("Passphrase for locked.age (to decrypt 1 secret): ");
    pty.send("correct horse\n");
    assert_eq!(pty.end().0, 0);
    workspace.cached("web1", "host-web1", "wifi text");
}

#[test]
fn a_post_quantum_host_key_is_refused() {
    let workspace = workspace("pq-host");
    workspace.profile_with("web1", &public(&workspace, "me-pq.txt"), &[("wifi", "wifi")], |_| {});
    workspace
        .vaultix("-p web1.json renc -i keys/me-pq.txt")
        .exits(78)
        .says(&["is post-quantum, which hosts cannot decrypt"]);
}

#[test]
fn a_truncated_key_is_refused() {
    let workspace = workspace("pq-half");
    let key = workspace.key("me-pq.txt");
    let secret = key.lines().last().unwrap();
    workspace.write("half.txt", &secret[..secret.len() - 1]);
    let done = workspace.vaultix("view secrets/wifi.age -i half.txt").exits(77);
    assert!(
        done.stderr.contains("line 1 is not a complete age identity: it is mistyped or truncated")
    );
    assert!(!done.stderr.contains(&secret[20..40]), "{}", done.stderr);
    let half = &public(&workspace, "me-pq.txt")[..1000];
    let mut command = workspace.vaultix_command("edit new.age --stdin --recipient");
    feed(command.arg(half), b"x").exits(78).says(&["is not a post-quantum age recipient"]);
}
