//! a host whose `hostPubkey` is not set yet → a warning, while all other hosts get their copies.

use crate::support::Workspace;

/// Makes a workspace with two hosts, of which `new1` has no key.
fn with_keyless_host(name: &str) -> Workspace {
    let workspace = Workspace::new(name);
    workspace.secret("secrets/wifi.age", "wifi text");
    workspace.profile("web1", "host-web1.pub", &[("wifi", "wifi")]);
    workspace.profile_with("new1", "", &[("wifi", "wifi")], |_| {});
    workspace
}

#[test]
fn a_host_without_a_key_is_left_out() {
    let workspace = with_keyless_host("keyless");
    for (verb, output) in [
        ("renc -i keys/me.txt", "1 re-encrypted, 0 up to date, 0 removed\n"),
        ("check", "1 up to date"),
        ("status", "1 up to date, 0 missing, 0 stale\n"),
    ] {
        workspace.vaultix(&format!("-p web1.json -p new1.json {verb}")).exits(0).says(&[
            "host new1 has no key yet",
            "hostPubkey",
            "ssh-keyscan -t ed25519 new1",
            output,
        ]);
    }
    assert!(!workspace.path("secrets/cache/new1").exists());
}

#[test]
fn a_host_without_a_key_is_refused_by_name() {
    let workspace = with_keyless_host("keyless-by-name");
    workspace
        .vaultix("-p web1.json -p new1.json renc -i keys/me.txt --host new1")
        .exits(78)
        .says(&["cannot re-encrypt anything for host new1", "to fix:"]);
}

#[test]
fn secrets_of_a_host_without_a_key_can_be_generated() {
    let workspace = with_keyless_host("keyless-generate");
    workspace.profile_with("new1", "", &[("api", "api")], |profile| {
        profile["secrets"]["api"]["generator"] = serde_json::json!({ "kind": "alnum" });
    });
    workspace.vaultix("-p new1.json generate -i keys/me.txt").exits(0);
    assert!(workspace.path("secrets/api.age").exists());
}
