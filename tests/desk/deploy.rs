//! `vaultix deploy` → secrets in place, without systemd.

use pretty_assertions::assert_eq;
use serde_json::Value;

use crate::support::{Workspace, run};

#[test]
fn deploy_does_what_units_would_do() {
    let workspace = Workspace::with_secrets("deploy");
    workspace.renc().exits(0);
    let cipher = workspace.cached("web1", "host-web1", "wifi text");
    let at = |name: &str| workspace.path(name).display().to_string();
    workspace.write(
        "host.json",
        serde_json::json!({
            "version": 1,
            "settings": {
                "hostIdentifier": "web1",
                "hostPubkey": workspace.key("host-web1.pub").trim(),
                "hostKeys": [ { "path": at("keys/host-web1"), "type": "ed25519" } ],
                "decryptedDir": at("run"),
                "decryptedDirForUser": at("run-for-user"),
                "decryptedMountPoint": at("run.d"),
            },
            "secrets": {
                "wifi": { "cipher": at(&format!("secrets/cache/web1/{cipher}")) },
                "gone": { "cipher": "/there-is-none" },
            },
        })
        .to_string(),
    );
    let script = "vaultix -p host.json deploy; echo $?; cat run/wifi; stat -f -c ' %T' run.d
        vaultix -p host.json deploy --early; echo $?";
    let done = run(workspace.command("unshare").args(["--mount", "sh", "-c", script]));
    if done.stderr.contains("unshare") {
        assert_ne!(std::env::var("VAULTIX_TESTS").as_deref(), Ok("all"), "{}", done.stderr);
        eprintln!("SKIPPED: no mount namespace here: {}", done.stderr);
        return;
    }
    let done =
        done.says(&["cannot decrypt secret \"gone\": ", "1 placed, 0 up to date, 0 removed"]);
    assert_eq!(done.stdout, "66\nwifi text ramfs\n0\n");

    let mut profile: Value = serde_json::from_slice(&workspace.read("host.json")).unwrap();
    profile["secrets"].as_object_mut().unwrap().remove("gone");
    profile["secrets"]["wifi"]["owner"] = "nobody-of-this-name".into();
    workspace.write("host.json", profile.to_string());
    let script = "vaultix -p host.json deploy";
    run(workspace.command("unshare").args(["--mount", "sh", "-c", script]))
        .exits(67)
        .says(&["nobody-of-this-name", "0 placed"]);
}
