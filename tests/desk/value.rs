//! files with many values → each host gets its own, and nothing else.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use xtask::canary::marker;

use crate::support::{Workspace, feed_as_is};

/// A file with the values of two hosts; `@` is the marker.
const MAIL: &str = "\
# Of the mail server.
smtp: &login
  user: '@mail'
  password: \"@hunter2\\n\"
imap:
  <<: *login
  port: 993
dkim:
  - private: |
      @key of
      two lines
";

/// Encrypts a structured text with markers in it to the user's native identity.
fn structured(workspace: &Workspace, name: &str, text: &str) {
    fs::create_dir_all(workspace.path("secrets")).unwrap();
    let mut age = workspace.command("age");
    age.args(["--encrypt", "--output", name, "-i", "keys/me.txt"]);
    feed_as_is(&mut age, text.replace('@', &marker()).as_bytes()).exits(0);
}

/// Writes `HOST.json`, with secrets as triples of an id, a file and a pointer.
fn profile(workspace: &Workspace, host: &str, key: &str, secrets: &[(&str, &str, &str)]) {
    workspace.profile_with(host, workspace.key(key).trim(), &[], |profile| {
        for (id, file, pointer) in secrets {
            profile["secrets"][*id] = json!({ "file": format!("secrets/{file}"), "key": pointer });
        }
    });
}

/// Makes a workspace with that file, and two hosts that use it.
fn mail(name: &str) -> Workspace {
    let workspace = Workspace::new(name);
    structured(&workspace, "secrets/mail.yaml.age", MAIL);
    profile(
        &workspace,
        "web1",
        "host-web1.pub",
        &[
            ("password", "mail.yaml.age", "/smtp/password"),
            ("port", "mail.yaml.age", "/imap/port"),
            ("login", "mail.yaml.age", "/smtp"),
        ],
    );
    profile(&workspace, "db1", "host-db1.pub", &[("dkim", "mail.yaml.age", "/dkim/0/private")]);
    workspace
}

/// Returns the names of copies of `host`, by what they contain.
fn copies(workspace: &Workspace, host: &str) -> Vec<(String, String)> {
    let files = workspace.tree(&format!("secrets/cache/{host}"));
    let open = |name: &str| {
        workspace.open(&format!("secrets/cache/{host}/{name}"), &format!("host-{host}"))
    };
    let mut copies: Vec<_> = files.into_iter().map(|(name, _)| (open(&name), name)).collect();
    copies.sort();
    copies
}

#[test]
fn each_host_gets_its_own_values_and_nothing_else() {
    let workspace = mail("own-values");
    workspace
        .renc()
        .exits(0)
        .says(&["web1/password: re-encrypted\n", "4 re-encrypted, 0 up to date, 0 removed\n"]);
    let texts = |host| {
        let copies = copies(&workspace, host).into_iter();
        copies.map(|(text, _)| text).collect::<Vec<String>>()
    };
    let web = ["993", "hunter2\n", r#"{"user":"mail","password":"hunter2\n"}"#];
    assert_eq!(
        texts("web1"),
        web,
        "a number as it is written, a text byte for byte, a map as JSON"
    );
    assert_eq!(texts("db1"), ["key of\ntwo lines\n"]);
    // The control: web1's key opens nothing of db1's, where the value of dkim is.
    let (_, dkim) = &copies(&workspace, "db1")[0];
    let mut age = workspace.command("age");
    age.args(["--decrypt", "-i", "keys/host-web1"]).arg(format!("secrets/cache/db1/{dkim}"));
    assert!(!age.output().unwrap().status.success());
    let name = workspace
        .sh(r#"printf 'vaultix-v1\n%s\n%s\n%s\n%s\n' "$(sha256sum <secrets/mail.yaml.age | cut -d' ' -f1)" \
            "$(cut -d' ' -f1,2 keys/host-db1.pub)" /dkim/0/private yaml | sha256sum | cut -d' ' -f1"#)
        .stdout;
    assert_eq!(dkim, name.trim());
    workspace.renc().exits(0).says(&["0 re-encrypted, 4 up to date, 0 removed\n"]);
}

#[test]
fn a_value_that_changes_makes_all_copies_again_and_the_others_are_the_same() {
    let workspace = mail("changed-value");
    workspace.renc().exits(0);
    let before = copies(&workspace, "web1");
    structured(&workspace, "secrets/mail.yaml.age", &MAIL.replace("993", "143"));
    workspace.renc().exits(0).says(&["4 re-encrypted, 0 up to date, 4 removed\n"]);
    let after = copies(&workspace, "web1");
    let names = |copies: &[(String, String)]| {
        copies.iter().map(|(_, name)| name.clone()).collect::<BTreeSet<_>>()
    };
    assert!(names(&before).is_disjoint(&names(&after)));
    assert_eq!(
        (after[0].0.as_str(), &after[1].0, &after[2].0),
        ("143", &before[1].0, &before[2].0)
    );
}

#[test]
fn a_file_is_decrypted_once_for_all_values_and_hosts() {
    /// More copies than are named at once.
    const HOSTS: usize = 20;
    let workspace = Workspace::new("thousand-values");
    let mut text = "{".to_owned();
    for i in 0..1000 {
        write!(text, "\"value{i}\": \"@{i}\", ").unwrap();
    }
    structured(&workspace, "secrets/many.json.age", &(text + "\"last\": null}"));
    let public = workspace.key("host-age.txt");
    let public = public.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    let mut line = "renc -v -i keys/me.txt".to_owned();
    for host in 0..HOSTS {
        // Each has fifty of its own, and one that its neighbour also has.
        workspace.profile_with(&format!("h{host}"), public, &[], |profile| {
            for i in host * 50..=host * 50 + 50 {
                let key = format!("/value{}", i % 1000);
                profile["secrets"][format!("s{i}")] =
                    json!({ "file": "secrets/many.json.age", "key": key });
            }
        });
        write!(line, " -p h{host}.json").unwrap();
    }
    let done = workspace.vaultix(&line).exits(0).says(&["1020 re-encrypted, 0 up to date"]);
    assert_eq!(done.stderr.matches("decrypting secrets/many.json.age").count(), 1);
    // The values of one host, of all twenty: no other host's.
    let files = workspace.tree("secrets/cache/h7");
    let open = |(name, _): &(String, u64)| {
        workspace.open(&format!("secrets/cache/h7/{name}"), "host-age.txt")
    };
    let found: BTreeSet<String> = files.iter().map(open).collect();
    assert_eq!(found, (350..=400).map(|i| i.to_string()).collect());
}

#[test]
fn what_is_not_there_is_named_with_what_is_and_no_value_is() {
    let workspace = mail("missing-key");
    structured(&workspace, "secrets/broken.json.age", "{\"a\": \"@x\",\n \"b\" \"@y\"}");
    let key = [
        ("good", "mail.yaml.age", "/imap/user"),
        ("typo", "mail.yaml.age", "/smtp/pasword"),
        ("deep", "mail.yaml.age", "/smtp/password/x"),
        ("index", "mail.yaml.age", "/dkim/1"),
        ("broken", "broken.json.age", "/a"),
        ("other", "broken.json.age", "/b"),
    ];
    profile(&workspace, "web1", "host-web1.pub", &key);
    profile(&workspace, "db1", "host-db1.pub", &key[1..2]);
    let done = workspace.renc().exits(65);
    for expected in [
        "vaultix: cannot re-encrypt secret \"typo\" for hosts db1, web1: cannot find /smtp/pasword in \
         secrets/mail.yaml.age: /smtp has no key \"pasword\"; it has user, password; to fix: vaultix edit \
         secrets/mail.yaml.age\n",
        "secret \"deep\" for host web1: cannot find /smtp/password/x in secrets/mail.yaml.age: \
         /smtp/password is a value, without keys",
        "cannot find /dkim/1 in secrets/mail.yaml.age: /dkim is a list with the keys 0 to 0",
        "cannot re-encrypt secrets \"broken\", \"other\" for host web1: cannot read secrets/broken.json.age as \
         JSON: line 2: ",
        "web1/good: re-encrypted\n",
        "1 re-encrypted",
    ] {
        assert!(done.stderr.contains(expected), "{expected}\n{}", done.stderr);
    }
    assert!(!done.stderr.contains("hunter2"));
}

#[test]
fn formats_follow_from_the_name_or_the_profile() {
    let workspace = Workspace::new("formats");
    structured(&workspace, "secrets/a.json.age", "{\"a/b\": {\"~\": [true, \"@json\"]}}");
    structured(&workspace, "secrets/a.toml.age", "[a]\nb = '@toml'\n");
    structured(&workspace, "secrets/a.env.age", "A=\"@env\"\n");
    structured(&workspace, "secrets/a.ini.age", "[a]\nb=@ini\n");
    structured(&workspace, "secrets/plain.age", "A: '@yaml'\n");
    profile(
        &workspace,
        "web1",
        "host-web1.pub",
        &[
            ("json", "a.json.age", "/a~1b/~0/1"),
            ("true", "a.json.age", "/a~1b/~0/0"),
            ("toml", "a.toml.age", "/a/b"),
            ("env", "a.env.age", "/A"),
            ("ini", "a.ini.age", "/a/b"),
            ("none", "plain.age", "/A"),
            // The same copy.
            ("again", "a.env.age", "/A"),
        ],
    );
    profile(&workspace, "db1", "host-db1.pub", &[]);
    workspace.renc().exits(78).says(&[
        "cannot use secret \"none\" for host web1: secrets.none.key: the name of \"secrets/plain.age\" has no \
         format before .age; set format to \"json\", \"yaml\", \"toml\", \"env\", \"ini\"\n",
        "5 re-encrypted, 0 up to date",
    ]);
    let mut text: Value = serde_json::from_slice(&workspace.read("web1.json")).unwrap();
    text["secrets"]["none"]["format"] = json!("yaml");
    text["secrets"]["whole"] = json!({ "file": "secrets/a.ini.age" });
    workspace.write("web1.json", text.to_string());
    workspace.renc().exits(0).says(&["2 re-encrypted, 5 up to date, 0 removed\n"]);
    let texts: Vec<String> = copies(&workspace, "web1").into_iter().map(|(text, _)| text).collect();
    assert_eq!(texts, ["[a]\nb=ini\n", "env", "ini", "json", "toml", "true", "yaml"]);
}

#[test]
fn keys_are_shown_wherever_secrets_are() {
    let workspace = mail("shown-keys");
    let both = "-p web1.json -p db1.json";
    workspace.vaultix(&format!("check {both}")).exits(66).says(&[
        "host db1 has no copy of secret \"dkim\" that matches /dkim/0/private in secrets/mail.yaml.age; to fix: vaultix renc\n",
    ]);
    let json = |line: &str| {
        let done = workspace.vaultix(&format!("{line} --json {both}"));
        serde_json::from_str::<Value>(&done.stdout).unwrap()
    };
    let findings = &json("check")["findings"];
    let finding = findings.as_array().unwrap().iter().find(|one| one["secret"] == "dkim").unwrap();
    assert_eq!(finding["key"], "/dkim/0/private");
    let dry =
        workspace.vaultix(&format!("renc {both} -n -i keys/me.txt").replace("-n", "--dry-run"));
    let dry = dry.exits(0).stdout;
    assert!(dry.contains("db1/dkim: re-encrypt secrets/mail.yaml.age /dkim/0/private\n"), "{dry}");
    workspace.renc().exits(0);
    let rows = json("status");
    let rows: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["file"].as_str().unwrap(), row["key"].as_str().unwrap(), &row["hosts"]))
        .collect();
    let file = "secrets/mail.yaml.age";
    let on = |host: &str, id: &str| json!({ host: { "secret": id, "cached": true, "post_quantum": false } });
    assert_eq!(
        rows,
        [
            (file, "/dkim/0/private", &on("db1", "dkim")),
            (file, "/imap/port", &on("web1", "port")),
            (file, "/smtp", &on("web1", "login")),
            (file, "/smtp/password", &on("web1", "password")),
        ]
    );
    let table = workspace.vaultix(&format!("status {both}")).exits(0).stdout;
    assert!(table.contains("secrets/mail.yaml.age /smtp/password   for "), "{table}");
    workspace.vaultix(&format!("check {both}")).exits(0).says(&["4 up to date, 0 problems\n"]);
}

#[test]
fn a_value_is_viewed_by_its_id_and_the_file_by_its_name() {
    let workspace = mail("view-value");
    let view = |what: &str| {
        workspace.vaultix(&format!("view {what} -p web1.json -p db1.json -i keys/me.txt"))
    };
    assert_eq!(view("password").exits(0).stdout, "hunter2\n");
    assert_eq!(view("dkim").exits(0).stdout, "key of\ntwo lines\n");
    assert_eq!(view("secrets/mail.yaml.age").exits(0).stdout, MAIL.replace('@', ""));
    view("nothing").exits(66).says(&["cannot decrypt nothing: it does not exist\n"]);
    let textconv = workspace.vaultix("textconv secrets/mail.yaml.age -i keys/me.txt").exits(0);
    assert_eq!(textconv.stdout, MAIL.replace('@', ""));
    profile(&workspace, "db1", "host-db1.pub", &[("password", "mail.yaml.age", "/imap/password")]);
    view("password").exits(64).says(&[
        "cannot choose one secret \"password\": hosts mean different ones: /imap/password in \
         secrets/mail.yaml.age, /smtp/password in secrets/mail.yaml.age",
    ]);
}

#[test]
fn keys_that_hosts_need_are_missed_when_they_are_gone() {
    let workspace = mail("lost-keys");
    let save = |text: &str| {
        let line = "-p web1.json -p db1.json edit --stdin -i keys/me.txt secrets/mail.yaml.age";
        let text = text.replace('@', &marker());
        feed_as_is(&mut workspace.vaultix_command(line), text.as_bytes()).exits(0)
    };
    let done = save(&MAIL.replace("993", "143"));
    assert!(!done.stderr.contains("does not have"), "{}", done.stderr);
    let unset = |key: &str| {
        let line = "-p web1.json -p db1.json unset -i keys/me.txt secrets/mail.yaml.age";
        workspace.vaultix(&format!("{line} {key}")).exits(0)
    };
    unset("dkim")
        .says(&["does not have what hosts need: /dkim/0/private (secret \"dkim\" for host db1)"]);
    save(MAIL);
    save(&MAIL.replace("password:", "pass:").replace("port:", "ports:")).says(&[
        "secrets/mail.yaml.age: changed from standard input",
        "secrets/mail.yaml.age does not have what hosts need: /imap/port (secret \"port\" for host web1), \
         /smtp/password (secret \"password\" for host web1)\n",
    ]);
}

#[test]
fn a_secret_is_generated_from_a_value() {
    let workspace = mail("generate-value");
    let generator =
        |kind: &str, from: &str| json!({ "kind": kind, "user": "me", "dependencies": [from] });
    workspace.profile_with("web1", workspace.key("host-web1.pub").trim(), &[], |profile| {
        profile["secrets"] = json!({
            "password": { "file": "secrets/mail.yaml.age", "key": "/smtp/password" },
            "login": { "file": "secrets/login.age", "generator": generator("htpasswd", "password") },
        });
    });
    workspace
        .vaultix("generate -p web1.json -i keys/me.txt")
        .exits(0)
        .says(&["secrets/login.age: generated\n"]);
    let line = workspace.open("secrets/login.age", "me.txt");
    workspace.write("htpasswd", line.trim());
    let mut check = workspace.command("htpasswd");
    check.args(["-v", "-i", "htpasswd", "me"]);
    let password = format!("{}hunter2", marker());
    assert_eq!(feed_as_is(&mut check, password.as_bytes()).exit, 0, "of the value, and no more");
}
