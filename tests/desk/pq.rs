//! post-quantum identities of people and hosts → secrets and copies that only they open.
//!
//! `keys/for-me-pq.age` was made by age 1.3.2: Debian's age does not support these keys.
//! `conformance.rs` tests the rest of the format.

use pretty_assertions::assert_eq;
use serde_json::json;

use crate::pty::Pty;
use crate::support::{Done, Workspace, feed, run};

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

/// Writes the profile of a host whose key is `key` and whose copy of `wifi` is the only one in the cache, and returns what its
/// helper says of it.
fn on_host(workspace: &Workspace, recipient: &str, key: &str) -> Done {
    let copies = workspace.tree("secrets/cache/web1");
    assert_eq!(copies.len(), 1, "{copies:?}");
    let kind = if recipient.starts_with("ssh-") { "ed25519" } else { "age" };
    let profile = json!({
        "version": 1,
        "settings": { "hostIdentifier": "web1", "hostPubkey": recipient,
            "hostKeys": [{ "path": workspace.path(&format!("keys/{key}")), "type": kind }] },
        "secrets": { "wifi": {
            "cipher": workspace.path(&format!("secrets/cache/web1/{}", copies[0].0)) } },
    });
    workspace.write("host.json", profile.to_string());
    run(workspace.command("vaultix-decrypt").args(["check", "--profile", "host.json"]))
}

#[test]
fn a_host_may_be_post_quantum_and_stop_being_it() {
    let workspace = workspace("pq-host");
    let (host, ssh) = (public(&workspace, "other-pq.txt"), workspace.key("host-web1.pub"));
    let renc = || workspace.vaultix("-p web1.json renc -i keys/me-pq.txt").exits(0);
    let use_key = |key: &str| workspace.profile_with("web1", key, &[("wifi", "wifi")], |_| {});
    renc();
    let with_ssh = workspace.tree("secrets/cache/web1");
    on_host(&workspace, ssh.trim(), "host-web1").exits(0);

    use_key(&host);
    workspace
        .vaultix("-p web1.json check")
        .exits(1)
        .says(&["host web1 has no copy of secret \"wifi\""]);
    renc().says(&["1 re-encrypted", "1 removed"]);
    workspace.vaultix("-p web1.json check").exits(0);
    on_host(&workspace, &host, "other-pq.txt").exits(0);
    let status = |line: &str| workspace.vaultix(&format!("-p web1.json {line}")).exits(0).stdout;
    let line = "secrets/wifi.age  for mlkem768x25519  wifi on web1";
    assert_eq!(status("status"), format!("{line} (post-quantum)\n"));
    assert!(status("status --json").contains(r#""post_quantum":true"#));
    // No other key does, and the message says which keys there are.
    let known =
        format!("keys/me-pq.txt contains the key of \"{}", &public(&workspace, "me-pq.txt")[..20]);
    on_host(&workspace, &host, "me-pq.txt")
        .exits(1)
        .says(&["to another key: mlkem768x25519", &known]);
    on_host(&workspace, &host, "me.txt")
        .exits(1)
        .says(&["to another key: mlkem768x25519", "age1pdl2sdxshcxx"]);
    on_host(&workspace, ssh.trim(), "host-web1").exits(1).says(&["to another key: mlkem768x25519"]);
    // Nothing of what is in the repository can be read by who breaks other keys.
    for (name, _) in workspace.tree("secrets") {
        let file = workspace.read(&format!("secrets/{name}"));
        let header = String::from_utf8_lossy(&file);
        assert!(!header.contains("-> X25519") && !header.contains("-> ssh-"), "{name}");
    }

    use_key(&ssh);
    assert_eq!(status("status"), format!("{line} (missing)\n"), "the weakest counts");
    renc().says(&["1 re-encrypted", "1 removed"]);
    let names =
        |tree: Vec<(String, u64)>| tree.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(workspace.tree("secrets/cache/web1")), names(with_ssh));
    on_host(&workspace, ssh.trim(), "host-web1").exits(0);
}

#[test]
fn a_copy_of_another_kind_is_found_without_a_key() {
    let workspace = workspace("pq-kind");
    let quantum = public(&workspace, "other-pq.txt");
    let age = public(&workspace, "host-age.txt");
    for (right, wrong, key, kinds) in [
        (&quantum, &age, "other-pq.txt", ["mlkem768x25519", "X25519"]),
        (&age, &quantum, "host-age.txt", ["X25519", "mlkem768x25519"]),
    ] {
        workspace.sh("rm -rf secrets/cache").exits(0);
        let renc = |recipient: &str| {
            workspace.profile_with("web1", recipient, &[("wifi", "wifi")], |_| {});
            workspace.vaultix("-p web1.json renc -i keys/me-pq.txt").exits(0);
            let copies = workspace.tree("secrets/cache/web1");
            format!("secrets/cache/web1/{}", copies[0].0)
        };
        let other = workspace.read(&renc(wrong));
        let copy = renc(right);
        workspace.write(&copy, other);
        let found = format!("it is encrypted to {}", kinds[1]);
        workspace
            .vaultix("-p web1.json check")
            .exits(65)
            .says(&["host web1 cannot decrypt", &found]);
        // On the host, the key itself is known to be the right one.
        let done = on_host(&workspace, right, key).exits(1);
        let right = format!("keys/{key} contains the key in settings.hostPubkey");
        done.says(&[
            &format!("to another key: {}", kinds[1]),
            &right,
            "remove that file from the cache",
        ]);
    }
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
    feed(command.arg(half), b"x").exits(78).says(&[
        "\u{2026}\" is not a complete post-quantum recipient: it is mistyped or truncated",
    ]);
    // Nor does a host get it.
    workspace.profile_with("web1", half, &[("wifi", "wifi")], |_| {});
    let done = workspace.vaultix("-p web1.json renc -i keys/me-pq.txt").exits(78);
    assert!(done.stderr.contains("is not a complete post-quantum recipient"), "{}", done.stderr);
    assert!(!done.stderr.contains(&half[..100]), "a screen full of letters: {}", done.stderr);
}

#[test]
fn init_makes_a_post_quantum_identity_and_says_what_it_excludes() {
    let workspace = Workspace::new("pq-init");
    workspace.sh("mkdir work").exits(0);
    let line = "init work --pq --identity me.txt";
    workspace.vaultix(line).exits(0).says(&[
        "cannot also be for ssh keys, X25519 or a YubiKey, and age needs version 1.3",
        "the weakest recipient counts: each host needs an identity of its own as well",
    ]);
    let text = String::from_utf8(workspace.read("me.txt")).unwrap();
    let (comment, secret) = text.split_once('\n').unwrap();
    let recipient = comment.strip_prefix("# public key: ").unwrap();
    assert!(
        recipient.starts_with("age1pq1") && secret.starts_with("AGE-SECRET-KEY-PQ-1"),
        "{comment}"
    );
    assert_eq!(workspace.vaultix("recipient -i me.txt").exits(0).stdout.trim(), recipient);
    assert!(
        workspace
            .vaultix("view work/secrets/example.age -i me.txt")
            .exits(0)
            .stdout
            .starts_with("This is")
    );
    assert!(String::from_utf8(workspace.read("work/flake.nix")).unwrap().contains(recipient));
    // Who has another one already is told that it is none.
    workspace.sh("mkdir other && cp keys/me.txt mine.txt").exits(0);
    workspace
        .vaultix("init other --pq --identity mine.txt")
        .exits(0)
        .says(&["mine.txt was there before, and may not be post-quantum"]);
    assert!(!workspace.vaultix(line).exits(0).stderr.contains("may not be"), "it is one");
}
