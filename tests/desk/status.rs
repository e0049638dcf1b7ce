//! `vaultix status` → a table of secrets, recipients and hosts.

use pretty_assertions::assert_eq;
use serde_json::Value;

use crate::pty::Pty;
use crate::support::Workspace;

#[test]
fn status_shows_secrets_recipients_and_hosts() {
    let workspace = Workspace::with_secrets("status");
    workspace.vaultix("-p web1.json renc -i keys/me.txt").exits(0);
    let done = workspace.vaultix("-p web1.json -p db1.json status").exits(0);
    assert_eq!(
        done.stdout,
        "secrets/mail.age  for X25519  mail on db1 (missing), web1\n\
         secrets/tls.age   for X25519  tls on web1\n\
         secrets/wifi.age  for X25519  wifi on db1 (missing), web1\n"
    );
    assert_eq!(done.stderr, "3 up to date, 2 missing, 0 stale\n");
    let done = workspace.vaultix("-p db1.json status --json").exits(0);
    let rows: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(rows[0]["hosts"]["db1"]["cached"], false);
    assert_eq!(rows[0]["recipients"][0], "X25519");
}

#[test]
fn a_secret_without_a_file_and_a_host_without_a_key_have_their_place() {
    let workspace = Workspace::with_secrets("status-all");
    workspace.profile_with("new1", "", &[("wifi", "wifi"), ("psk", "wifi")], |_| {});
    workspace.profile("db1", "host-db1.pub", &[("later", "later")]);
    let hosts = "-p web1.json -p db1.json -p new1.json";
    workspace.vaultix(&format!("{hosts} renc -i keys/me.txt")).exits(66);
    let done = workspace.vaultix(&format!("{hosts} status")).exits(66);
    assert_eq!(
        done.stdout,
        "secrets/later.age  without a file  later on db1 (missing)\n\
         secrets/mail.age   for X25519  mail on web1\n\
         secrets/tls.age    for X25519  tls on web1\n\
         secrets/wifi.age   for X25519  psk on new1 (no key); wifi on new1 (no key), web1\n"
    );
    let done = done.says(&["cannot use secret \"later\"", "3 up to date, 0 missing, 0 stale\n"]);
    assert!(done.stderr.contains("to fix: vaultix edit secrets/later.age"), "{}", done.stderr);
    let done = workspace.vaultix(&format!("{hosts} status --json")).exits(66);
    let rows: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((&rows[0]["exists"], &rows[1]["exists"]), (&false.into(), &true.into()));
    assert_eq!(rows[0]["hosts"]["db1"]["cached"], false);
    let of_new1 = serde_json::json!({ "secret": "psk", "cached": false, "post_quantum": false });
    assert_eq!(rows[3]["hosts"]["new1"], of_new1);
}

#[test]
fn secrets_of_a_host_are_grouped_by_what_is_to_be_done_after_a_break_in() {
    let workspace = Workspace::with_secrets("status-host");
    let generator = |profile: &mut Value| {
        profile["secrets"]["wifi"]["generator"] = serde_json::json!({ "kind": "alnum" });
    };
    let web1 = workspace.key("host-web1.pub");
    let all = [("wifi", "wifi"), ("mail", "mail"), ("tls", "tls")];
    workspace.profile_with("web1", web1.trim(), &all, generator);
    workspace.renc().exits(0);
    let status = |line: &str| workspace.vaultix(&format!("-p web1.json -p db1.json status {line}"));
    let done = status("--host web1").exits(0);
    assert_eq!(
        done.stdout,
        "made again by vaultix generate --renew --host web1:\n\
         secrets/wifi.age  for X25519  wifi on db1, web1\n\
         to be changed by hand, with vaultix edit FILE:\n\
         secrets/mail.age  for X25519  mail on db1, web1\n\
         secrets/tls.age   for X25519  tls on web1\n"
    );
    assert_eq!(done.stderr, "3 up to date, 0 missing, 0 stale\n");
    let done = status("--host db1 --secret mail").exits(0);
    let shown = "to be changed by hand, with vaultix edit FILE:\n\
                 secrets/mail.age  for X25519  mail on db1, web1\n";
    assert_eq!(done.stdout, shown);
    assert_eq!(done.stderr, "1 up to date, 0 missing, 0 stale\n");
    let done = status("--secret tls").exits(0);
    assert_eq!(done.stdout, "secrets/tls.age  for X25519  tls on web1\n");
    let rows: Value = serde_json::from_str(&status("--host web1 --json").exits(0).stdout).unwrap();
    let generators: Vec<&Value> =
        rows.as_array().unwrap().iter().map(|row| &row["generator"]).collect();
    assert_eq!(generators, [&Value::Null, &Value::Null, &Value::from("alnum")]);

    let said = ["cannot find host \"web2\": the profiles are for db1, web1: did you mean web1?"];
    status("--host web2").exits(64).says(&said);
    status("--host db1 --secret tls").exits(64).says(&["no chosen host has a secret of this name"]);
}

#[test]
fn a_table_fits_its_terminal_and_is_whole_elsewhere() {
    let workspace = Workspace::with_secrets("status-wide");
    let hosts: Vec<String> = (0..30).map(|i| format!("host{i}")).collect();
    for host in &hosts {
        workspace.profile(host, "host-web1.pub", &[("wifi", "wifi")]);
    }
    let profiles: Vec<String> = hosts.iter().map(|host| format!("-p {host}.json")).collect();
    let line = format!("{} status", profiles.join(" "));
    let whole = workspace.vaultix(&line).exits(0).stdout;
    assert!(hosts.iter().all(|host| whole.contains(&format!("{host} (missing)"))), "{whole}");
    let (exit, shown) = Pty::start(&mut workspace.vaultix_command(&line)).end();
    assert_eq!(exit, 0, "{shown}");
    let row = shown.lines().find(|line| line.starts_with("secrets/wifi.age")).unwrap();
    let expected = "secrets/wifi.age  for X25519  wifi on host0 (missing) and 29 more (29 missing)";
    assert_eq!(row.trim_end(), expected);
    assert!(expected.len() <= 80);
}

#[test]
fn a_home_is_a_host_with_a_user_in_its_name() {
    let workspace = Workspace::with_secrets("status-home");
    workspace.profile("alice@laptop", "host-web1.pub", &[("mail", "mail")]);
    let both = "-p db1.json -p alice@laptop.json";
    workspace.vaultix(&format!("{both} renc -i keys/me.txt --host alice@laptop")).exits(0);
    assert_eq!(workspace.cached("alice@laptop", "host-web1", "mail text").len(), 64);
    let done = workspace.vaultix(&format!("{both} status")).exits(0);
    assert!(done.stdout.contains("mail on alice@laptop, db1 (missing)"), "{}", done.stdout);
    let done = workspace.vaultix(&format!("{both} check")).exits(66);
    assert!(!done.stderr.contains("alice@laptop"), "{}", done.stderr);
    workspace.vaultix(&format!("{both} check --host alice@laptop")).exits(0);
}
