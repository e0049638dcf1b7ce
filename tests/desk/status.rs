//! `vaultix status` → a table of secrets, recipients and hosts.

use pretty_assertions::assert_eq;
use serde_json::Value;

use crate::support::Workspace;

#[test]
fn status_shows_secrets_recipients_and_hosts() {
    let workspace = Workspace::with_secrets("status");
    workspace.vaultix("-p web1.json renc -i keys/me.txt").exits(0);
    let done = workspace.vaultix("-p web1.json -p db1.json status").exits(0);
    assert_eq!(
        done.stdout,
        "secrets/mail.age  for X25519  on db1/mail (missing), web1/mail\n\
         secrets/tls.age   for X25519  on web1/tls\n\
         secrets/wifi.age  for X25519  on db1/wifi (missing), web1/wifi\n"
    );
    assert_eq!(done.stderr, "3 up to date, 2 missing, 0 stale\n");
    let done = workspace.vaultix("-p db1.json status --json").exits(0);
    let rows: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(rows[0]["hosts"]["db1"]["cached"], false);
    assert_eq!(rows[0]["recipients"][0], "X25519");
}
