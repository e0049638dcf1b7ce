//! secrets of older schemes, made by their own programs → ours, and Nix that Nix can read.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use pretty_assertions::assert_eq;
use serde_json::Value;
use xtask::canary::plain;

use crate::pty::Pty;
use crate::support::{Done, Workspace, feed, run};

/// Bytes that are no text, and end in the middle of nothing.
const BINARY: &[u8] = b"\xff\0\n\x80\r\n\0";

/// Returns the ids that a snippet declares, and whether the file that it names exists; checked by Nix itself.
#[track_caller]
fn declared(workspace: &Workspace, done: &Done) -> BTreeMap<String, bool> {
    let is_nothing = done.stdout.is_empty();
    workspace.write("snippet.nix", if is_nothing { "{ }" } else { done.stdout.as_str() });
    let text = "builtins.mapAttrs (_: secret: builtins.pathExists (secret.file or ./.)) \
                ((import ./snippet.nix).vaultix or { secrets = { }; }).secrets";
    let mut nix = workspace.command("nix-instantiate");
    let done = run(nix.args(["--eval", "--strict", "--json", "--expr", text])).exits(0);
    serde_json::from_str(&done.stdout).unwrap()
}

/// Returns the ids that a snippet declares, each with a file.
#[track_caller]
fn ids(workspace: &Workspace, done: &Done) -> Vec<String> {
    let declared = declared(workspace, done);
    assert!(declared.values().all(|exists| *exists), "{declared:?}");
    declared.into_keys().collect()
}

/// Has the real age client decrypt `name`, any bytes.
#[track_caller]
fn open(workspace: &Workspace, name: &str, identity: &str) -> Vec<u8> {
    let mut age = workspace.command("age");
    age.args(["--decrypt", "--identity", &format!("keys/{identity}"), name]);
    let output = age.output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    plain(&output.stdout)
}

/// Makes a desk of somebody who uses agenix, with an ssh key.
fn agenix(name: &str) -> Workspace {
    let workspace = Workspace::new(name);
    workspace.write(
        "old/secrets.nix",
        "let me = \"ssh-ed25519 AAAA\"; in {\n\
         \"secrets/wifi.age\" = { publicKeys = [ me ]; owner = \"iwd\"; mode = \"0440\"; };\n\
         \"secrets/web/tls key \\${a}\\\".age\" = { publicKeys = [ me ]; armor = true; };\n\
         \"./secrets/blob.age\".publicKeys = [ me ];\n}\n",
    );
    let to = ["-R", "keys/ssh-ed25519.pub", "-R", "keys/host-web1.pub"];
    workspace.secret_with("old/secrets/wifi.age", "correct horse", &to);
    workspace.secret_with(
        "old/secrets/web/tls key ${a}\".age",
        "key\n",
        &[&["-a"], &to[..]].concat(),
    );
    workspace.secret_with("old/secrets/blob.age", BINARY, &to);
    workspace
}

#[test]
fn rules_of_agenix_become_secrets() {
    let workspace = agenix("import-agenix");
    let before = workspace.tree("old");
    for source in ["old/secrets.nix", "old"] {
        let _ = fs::remove_dir_all(workspace.path("new"));
        let line = format!("import agenix {source} -i keys/ssh-ed25519 --into new");
        let done =
            workspace.vaultix(&line).exits(0).says(&["3 imported", "new/wifi.age: created from"]);
        assert_eq!(ids(&workspace, &done), ["blob", "web/tls key ${a}\"", "wifi"]);
        let wifi =
            "vaultix.secrets.wifi = { file = ./new/wifi.age; mode = \"0440\"; owner = \"iwd\"; };";
        assert!(done.stdout.contains(wifi), "{}", done.stdout);
    }
    assert_eq!(open(&workspace, "new/wifi.age", "ssh-ed25519"), b"correct horse");
    assert_eq!(open(&workspace, "new/web/tls key ${a}\".age", "ssh-ed25519"), b"key\n");
    assert_eq!(open(&workspace, "new/blob.age", "ssh-ed25519"), BINARY);
    let mut age = workspace.command("age");
    let host = run(age.args(["-d", "-i", "keys/host-web1", "new/wifi.age"]));
    assert_ne!(host.exit, 0, "a host has no part in it any more");
    assert_eq!(workspace.tree("old"), before, "the old files stay as they are");
}

#[test]
fn a_secret_that_fails_stops_no_other() {
    let workspace = agenix("import-some");
    workspace.secret_with("old/secrets/web/tls key ${a}\".age", "key\n", &["-i", "keys/other.txt"]);
    workspace.write("new/wifi.age", "mine");
    let line = "import agenix old -i keys/ssh-ed25519 --into new";
    let done = workspace.vaultix(line).exits(77);
    let done = done.says(&["already there, and not replaced: new/wifi.age\n", "tls key"]);
    let done = done.says(&["no identity can decrypt it", "1 imported, 1 already there, 1 failed"]);
    assert_eq!(ids(&workspace, &done), ["blob", "wifi"]);
    assert_eq!(workspace.read("new/wifi.age"), b"mine");
    assert_eq!(workspace.tree("new").len(), 2);

    // Again: what is not a file is in the way, even a link that leads nowhere.
    fs::remove_file(workspace.path("new/wifi.age")).unwrap();
    std::os::unix::fs::symlink("nowhere", workspace.path("new/wifi.age")).unwrap();
    let done = workspace.vaultix(line).exits(1).says(&["new/wifi.age already exists"]);
    assert_eq!(ids(&workspace, &done), ["blob"]);
    assert!(!workspace.path("new/nowhere").exists());

    fs::remove_file(workspace.path("old/secrets/blob.age")).unwrap();
    fs::write(workspace.path("old/secrets/wifi.age"), "nonsense").unwrap();
    let _ = fs::remove_dir_all(workspace.path("new"));
    let done = workspace.vaultix(line).exits(1);
    done.says(&[
        "old/secrets/blob.age: it does not exist",
        "wifi.age: the file is not an age file",
    ]);
}

#[test]
fn rules_that_do_not_evaluate_are_told_by_nix() {
    let workspace = Workspace::new("import-rules");
    workspace.write("secrets.nix", "{ \"a.age\".publicKeys = [ ]; } // missing");
    workspace.vaultix("import agenix . -i keys/me.txt").exits(78).says(&["undefined variable"]);
    workspace
        .vaultix("import agenix nowhere -i keys/me.txt")
        .exits(66)
        .says(&["cannot read nowhere"]);
    assert!(workspace.tree("secrets").is_empty());
}

#[test]
fn a_tree_of_agenix_rekey_becomes_secrets() {
    let workspace = Workspace::new("import-rekey");
    workspace.secret("old/mail.age", "one");
    workspace.secret("old/mail/work.age", BINARY);
    workspace.secret("old/new\nline.age", "two");
    workspace.secret("old/.git/x.age", "no secret");
    let host = ["-R", "keys/host-web1.pub"];
    workspace.secret_with(
        "old/rekeyed/web/0123456789abcdef0123456789abcdef-mail.age",
        "one",
        &host,
    );
    workspace.write("old/README.md", "no secret");
    let done = workspace.vaultix("import agenix-rekey old -i keys/me.txt --into new").exits(0);
    assert_eq!(ids(&workspace, &done), ["mail", "mail/work", "new_line"]);
    // On a host, one file cannot be the other's directory.
    assert!(
        done.stdout
            .contains("vaultix.secrets.mail = { file = ./new/mail.age; name = \"mail_\"; };")
    );
    assert_eq!(open(&workspace, "new/mail/work.age", "me.txt"), BINARY);

    workspace.secret("old/a\tb.age", "one");
    workspace.secret("old/a\x01b.age", "two");
    let done = workspace.vaultix("import agenix-rekey old -i keys/me.txt --into other").exits(1);
    let done = done.says(&["cannot import \"a_b\"", "contains another secret of this name"]);
    assert_eq!(ids(&workspace, &done), ["mail", "mail/work", "new_line"]);
}

#[test]
fn our_own_files_are_not_taken_for_an_older_scheme() {
    let workspace = Workspace::new("import-twice");
    workspace.secret("old/wifi.age", "one");
    let line = "import agenix-rekey old -i keys/me.txt --into old/new";
    workspace.vaultix(line).exits(0).says(&["1 imported"]);
    workspace.vaultix(line).exits(0).says(&[
        "already there, and not replaced: old/new/wifi.age",
        "0 imported, 1 already there\n",
    ]);
    assert_eq!(workspace.tree("old").len(), 2);
    // Unless it is all that was asked for.
    workspace.vaultix("import agenix-rekey old/new -i keys/me.txt --into old/new").exits(1);
    workspace.vaultix("import agenix-rekey old/new -i keys/me.txt --into other").exits(0);
}

/// Makes a desk with the files of `tests/sops`, which sops itself made.
fn sops(name: &str) -> Workspace {
    let workspace = Workspace::new(name);
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sops");
    std::os::unix::fs::symlink(files, workspace.path("sops")).unwrap();
    workspace
}

/// Adds the leaves of `value` to `found`, by their ids, as text.
fn leaves(value: &Value, id: &str, found: &mut BTreeMap<String, String>) {
    let below = |key: &str| if id.is_empty() { key.to_owned() } else { format!("{id}/{key}") };
    match value {
        Value::Object(entries) => {
            entries.iter().for_each(|(key, value)| leaves(value, &below(key), found));
        }
        Value::Array(values) => {
            (0..)
                .zip(values)
                .for_each(|(i, value): (usize, _)| leaves(value, &below(&i.to_string()), found));
        }
        Value::Null => {}
        Value::String(text) => drop(found.insert(id.to_owned(), text.clone())),
        other => drop(found.insert(id.to_owned(), other.to_string())),
    }
}

#[test]
fn a_value_of_sops_becomes_a_secret() {
    let workspace = sops("import-sops");
    for name in ["secrets.yaml", "data.json", "regex.yaml", "mac-only.yaml"] {
        let line = format!("import sops sops/{name} -i keys/me.txt --into new/{name}");
        let done = workspace.vaultix(&line).exits(0);
        let mut expected = BTreeMap::new();
        let text = String::from_utf8(workspace.read(&format!("sops/expected/{name}"))).unwrap();
        // sops writes a number that no float holds as the float that it is.
        let text = text.replace("12345678901234567000", "\"12345678901234567000\"");
        leaves(&serde_json::from_str(&text).unwrap(), "", &mut expected);
        if let Some(dots) = expected.remove("..") {
            expected.insert("__".to_owned(), dots);
        }
        assert_eq!(ids(&workspace, &done), expected.keys().cloned().collect::<Vec<_>>(), "{name}");
        for (id, text) in expected {
            let file = format!("new/{name}/{id}.age");
            assert_eq!(open(&workspace, &file, "me.txt"), text.as_bytes(), "{file}");
        }
    }
}

#[test]
fn a_file_of_sops_can_stay_one_file() {
    let workspace = sops("import-keep");
    let line = "import sops sops/secrets.yaml -i keys/me.txt --into new --keep";
    let dry = workspace.vaultix(&format!("{line} --dry-run")).exits(0);
    assert_eq!(dry.stdout, "new/secrets.yaml.age: from sops/secrets.yaml\n");
    let done = workspace.vaultix(line).exits(0).says(&["1 imported"]);
    for declaration in [
        "vaultix.secrets.wifi = { file = ./new/secrets.yaml.age; key = \"wifi\"; };\n",
        "vaultix.secrets.\"hosts/1/tokens/0\" = { file = ./new/secrets.yaml.age; key = \"hosts/1/tokens/0\"; };\n",
        "vaultix.secrets.\"odd \\${key} \\\"x\\\" it's/é\" = { file = ./new/secrets.yaml.age; \
         key = \"/odd \\${key} \\\"x\\\" it's~1é\"; };\n",
    ] {
        assert!(done.stdout.contains(declaration), "{}", done.stdout);
    }
    let text = String::from_utf8(open(&workspace, "new/secrets.yaml.age", "me.txt")).unwrap();
    assert!(text.starts_with("# everything a value can be\nwifi: 'correct horse'\n"), "{text}");
    for part in ["    # and a comment\n", "    port: 5432\n", "    ssl: true\n", "    none: null\n"]
    {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(!text.contains("ENC[") && !text.contains("sops"), "{text}");

    for name in ["secrets.yaml", "data.json", "regex.yaml", "mac-only.yaml"] {
        let line = format!("import sops sops/{name} -i keys/me.txt --into new/{name} --keep");
        let done = workspace.vaultix(&line).exits(0);
        let mut expected = BTreeMap::new();
        let text = String::from_utf8(workspace.read(&format!("sops/expected/{name}"))).unwrap();
        let text = text.replace("12345678901234567000", "\"12345678901234567000\"");
        leaves(&serde_json::from_str(&text).unwrap(), "", &mut expected);
        let declared = done.stdout.lines().filter(|line| line.starts_with("  vaultix.secrets."));
        assert_eq!(declared.count(), expected.len(), "{}", done.stdout);
        for (id, text) in expected {
            let key = if id.starts_with("odd") { "/odd ${key} \"x\" it's~1é" } else { &id };
            let mut get = workspace.vaultix_command("get -i keys/me.txt");
            get.arg(format!("new/{name}/{name}.age")).arg(key);
            assert_eq!(run(&mut get).exits(0).stdout.trim_end(), text.trim_end(), "{id}");
        }
    }
    // What has no values by key is as it was, and so is what has no file of several.
    workspace.vaultix("import sops sops/app.env -i keys/me.txt --into env --keep").exits(0);
    let expected = workspace.read("sops/expected/app.env");
    assert_eq!(open(&workspace, "env/app.env.age", "me.txt"), expected);
    let done = workspace
        .vaultix("import sops sops/hosts -i keys/me.txt -i keys/ssh-ed25519 --into hosts --keep");
    assert!(
        done.stdout.contains("# from ace.yaml\n")
            && done.stdout.contains("file = ./hosts/ace.yaml.age; key = \""),
        "{}",
        done.stdout
    );
    workspace
        .vaultix("import pass sops -i keys/me.txt --keep")
        .exits(64)
        .says(&["cannot import with --keep: only files of sops have several values"]);
}

#[test]
fn a_file_that_a_service_reads_whole_stays_whole() {
    let workspace = sops("import-whole");
    for name in ["app.env", "app.ini", "blob.key"] {
        let line = format!("import sops sops/{name} -i keys/me.txt --into new");
        let done = workspace.vaultix(&line).exits(0).says(&["1 imported"]);
        assert_eq!(ids(&workspace, &done), [name]);
    }
    workspace.sh("mkdir dot && cp sops/app.env dot/.env").exits(0);
    let done = workspace.vaultix("import sops dot/.env -i keys/me.txt --into new").exits(0);
    assert_eq!(ids(&workspace, &done), [".env"]);
    for (name, plain) in [("app.env", "app.env"), (".env", "app.env"), ("app.ini", "app.ini")] {
        let expected = workspace.read(&format!("sops/expected/{plain}"));
        let found = open(&workspace, &format!("new/{name}.age"), "me.txt");
        assert_eq!(String::from_utf8(found).unwrap(), String::from_utf8(expected).unwrap());
    }
    let expected = [(0..=255).collect(), (0..=255).collect(), b"\n\0\n".to_vec()].concat();
    assert_eq!(open(&workspace, "new/blob.key.age", "me.txt"), expected);
}

#[test]
fn a_file_of_sops_that_cannot_be_opened_says_why() {
    let workspace = sops("import-closed");
    for (name, exit, reason) in [
        ("other.yaml", 77, "no identity can decrypt it: it is encrypted to age1pcme5h9"),
        ("groups.yaml", 65, "its data key is split among several groups of keys"),
        ("plain/secrets.yaml", 65, "it is not a file that sops encrypted"),
        ("make.sh", 65, "it is not a file that sops encrypted"),
        ("missing.yaml", 66, "cannot read sops/missing.yaml"),
    ] {
        let line = format!("import sops sops/{name} -i keys/me.txt --into new");
        let done = workspace.vaultix(&line).exits(exit).says(&[reason]);
        assert_eq!(done.stdout, "", "{name}");
    }
    let line = "import sops sops/ssh.yaml -i keys/me.txt -i keys/ssh-ed25519 --into new";
    workspace.vaultix(line).exits(0).says(&["7 imported"]);
}

#[test]
fn a_file_of_sops_that_was_altered_opens_nothing() {
    let workspace = sops("import-altered");
    let text = |name: &str| String::from_utf8(workspace.read(&format!("sops/{name}"))).unwrap();
    let (yaml, regex, only) = (text("secrets.yaml"), text("regex.yaml"), text("mac-only.yaml"));
    let line_of = |text: &str, start: &str| -> String {
        text.lines().find(|line| line.trim_start().starts_with(start)).unwrap().to_owned()
    };
    let value = |line: &str| line.split_once(": ").unwrap().1.to_owned();
    let (wifi, password) = (line_of(&yaml, "wifi:"), line_of(&yaml, "password:"));
    let swapped = yaml.replace(&value(&wifi), "@").replace(&value(&password), &value(&wifi));
    let swapped = swapped.replace('@', &value(&password));
    let at = yaml.find("wifi: ENC[AES256_GCM,data:").unwrap() + "wifi: ENC[AES256_GCM,data:".len();
    let other = if yaml[at..].starts_with('A') { "B" } else { "A" };
    let flipped = format!("{}{other}{}", &yaml[..at], &yaml[at + 1..]);
    for (name, text, reason) in [
        ("swapped", swapped, "wifi: it was changed, or moved from elsewhere"),
        ("flipped", flipped, "wifi: it was changed, or moved from elsewhere"),
        ("removed", yaml.replace(&format!("{wifi}\n"), ""), "without sops"),
        ("cleared", yaml.replace(&value(&wifi), "hunter2"), "without sops"),
        ("unencrypted", yaml.replace("493", "494"), "without sops"),
        ("added", format!("extra: hunter2\n{regex}"), "without sops"),
        ("only", only.replace("mac_only_encrypted: true", ""), "without sops"),
        ("code", yaml.replace("    mac: ", "    mac: x"), "sops.mac: it is malformed"),
        ("noted", yaml.replace("    mac: ", "    cam: "), "sops.mac is missing"),
        ("cut", yaml[..yaml.len() / 2].to_owned(), ""),
    ] {
        workspace.write(&format!("{name}.yaml"), text);
        let line = format!("import sops {name}.yaml -i keys/me.txt --into new");
        let done = workspace.vaultix(&line).exits(65).says(&["cannot decrypt", reason]);
        assert!(!done.stderr.contains("hunter2"), "{}", done.stderr);
    }
    assert!(workspace.tree("new").is_empty());
    // What is in clear may change, where the file says so.
    workspace.write("changed.yaml", only.replace("ratio: 0.5", "ratio: 7"));
    workspace.vaultix("import sops changed.yaml -i keys/me.txt --into new").exits(0);
    assert_eq!(open(&workspace, "new/ratio.age", "me.txt"), b"7");
}

#[test]
fn a_directory_of_sops_costs_one_passphrase() {
    let workspace = sops("import-directory");
    for name in ["secrets.yaml", "data.json", "app.env", "plain/app.env", "pgp.yaml"] {
        workspace.write(&format!("old/{name}"), workspace.read(&format!("sops/{name}")));
    }
    let line = "import sops old -i keys/me-passphrase.age --into new";
    let mut command = workspace.vaultix_command(line);
    let mut pty = Pty::start(command.env("GNUPGHOME", "nowhere"));
    pty.expect("Passphrase for keys/me-passphrase.age (to decrypt 3 secrets): ");
    pty.send("correct horse\n");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 77, "{shown}");
    assert_eq!(shown.matches("Passphrase").count(), 1, "{shown}");
    assert!(shown.contains("27 imported, 1 failed"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");

    // The same names in two files.
    workspace.write("old/twin.yaml", workspace.read("sops/mac-only.yaml"));
    workspace.write("old/other.yaml", workspace.read("sops/regex.yaml"));
    let mut command = workspace.vaultix_command("import sops old -i keys/me.txt --into again");
    let done = run(command.env("GNUPGHOME", "nowhere")).exits(77);
    done.says(&["again/twin/kind.age: created from old/twin.yaml", "41 imported, 1 failed"]);
}

#[test]
fn a_dry_run_needs_no_key_and_makes_nothing() {
    let workspace = sops("import-dry");
    workspace.secret("old/wifi.age", "one");
    workspace.write("old/secrets.nix", "{ \"wifi.age\" = { }; }");
    workspace.write("store/web/mail.gpg", "closed");
    for (line, expected) in [
        ("agenix old", "new/wifi.age: from old/wifi.age\n"),
        ("agenix-rekey old", "new/wifi.age: from old/wifi.age\n"),
        ("sops sops/app.env", "new/app.env.age: from sops/app.env\n"),
        ("pass store", "new/web/mail.age: from store/web/mail.gpg\n"),
        ("gopass store", "new/web/mail.age: from store/web/mail.gpg\n"),
    ] {
        let done = workspace.vaultix(&format!("import {line} --into new --dry-run")).exits(0);
        assert_eq!(done.stdout, expected, "{line}");
        done.says(&["1 to import"]);
    }
    let done = workspace.vaultix("import sops sops/secrets.yaml --into new --dry-run").exits(0);
    assert!(done.stdout.contains("new/hosts/1/tokens/0.age: from sops/secrets.yaml\n"));
    assert!(!workspace.path("new").exists());
    workspace.write("new/wifi.age", "mine");
    let done = workspace.vaultix("import agenix old --into new --dry-run").exits(0);
    assert_eq!(done.says(&["0 to import, 1 already there\n"]).stdout, "");
}

/// A password store, made by pass, with keys of its own.
struct Store {
    /// The desk it is on.
    workspace: Workspace,
}

impl Store {
    /// Makes it.
    fn new(name: &str) -> Self {
        let store = Self { workspace: Workspace::new(name) };
        store.workspace.sh("mkdir -m 700 gnupg").exits(0);
        store.sh(
            "gpg --batch --quiet --passphrase '' --quick-gen-key me future-default default never",
        );
        store.sh("pass init me");
        for (entry, text) in [
            ("mail", &b"hunter2\nlogin: me\n"[..]),
            ("mail/work me@example.org", b"correct horse\n"),
            ("odd/${a} \"b\" 'c'", b"text"),
            ("-dash", b"text"),
            ("blob", BINARY),
        ] {
            let mut pass = store.command("pass insert --multiline -- \"$0\"");
            feed(pass.arg(entry), text).exits(0);
        }
        store
    }

    /// Prepares a line of shell that finds the store.
    fn command(&self, line: &str) -> std::process::Command {
        let mut command = self.workspace.command("setsid");
        command.args(["--wait", "sh", "-c", line]);
        for (name, place) in [("GNUPGHOME", "gnupg"), ("PASSWORD_STORE_DIR", "store")] {
            command.env(name, self.workspace.path(place));
        }
        command
    }

    /// Runs a line of shell that finds the store.
    #[track_caller]
    fn sh(&self, line: &str) -> Done {
        run(&mut self.command(line)).exits(0)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // It would live on.
        let _ = self.command("gpgconf --kill all").status();
    }
}

#[test]
fn a_password_store_becomes_secrets() {
    let store = Store::new("import-pass");
    let workspace = &store.workspace;
    let expected =
        ["-dash", "blob", "mail", "mail/work me@example.org", "native", "odd/${a} \"b\" 'c'"];
    for line in ["pass", "pass store", "gopass store"] {
        let _ = fs::remove_dir_all(workspace.path("new"));
        workspace.secret("store/native.age", "of gopass with age");
        let done = store.sh(&format!("vaultix import {line} -i keys/me.txt --into new"));
        assert_eq!(ids(workspace, &done), expected, "{line}");
    }
    assert_eq!(open(workspace, "new/mail.age", "me.txt"), b"hunter2\nlogin: me\n");
    assert_eq!(open(workspace, "new/odd/${a} \"b\" 'c'.age", "me.txt"), b"text");
    assert_eq!(open(workspace, "new/blob.age", "me.txt"), BINARY);
    assert_eq!(open(workspace, "new/native.age", "me.txt"), b"of gopass with age");

    // One that is there, and one that nobody can open.
    let _ = fs::remove_dir_all(workspace.path("new"));
    workspace.write("new/mail.age", "mine");
    workspace.write("store/-dash.gpg", "nonsense");
    fs::remove_file(workspace.path("store/native.age")).unwrap();
    let done = run(&mut store.command("vaultix import pass -i keys/me.txt --into new")).exits(77);
    let done = done.says(&["not replaced: new/mail.age\n", "cannot decrypt", "-dash.gpg: gpg: "]);
    let done = done.says(&["3 imported, 1 already there, 1 failed"]);
    let all = ["blob", "mail", "mail/work me@example.org", "odd/${a} \"b\" 'c'"];
    assert_eq!(ids(workspace, &done), all);
    assert_eq!(workspace.read("new/mail.age"), b"mine");

    // As with pass, a directory may be behind a link; what is no entry is named.
    fs::remove_file(workspace.path("store/-dash.gpg")).unwrap();
    let script = "mkdir -p store/team elsewhere && mv store/blob.gpg store/team/ && \
                  cp store/mail.gpg elsewhere/ && ln -s team store/alias && ln -s .. store/team/up && \
                  ln -s \"$PWD/elsewhere\" store/outside && echo note >store/note.txt && \
                  pass show alias/blob && pass show outside/mail";
    store.sh(&format!("{{ {script}; }} >/dev/null"));
    let done = run(&mut store.command("vaultix import pass -i keys/me.txt --into new")).exits(78);
    let done = done.says(&[
        "left out, since their names do not end in .gpg or .age: note.txt\n",
        "left out, since they lead back to where they are: alias/up, team/up\n",
        "/store/outside: ",
        "elsewhere, which is not part of",
        "to fix: import the directory that the link leads to by itself",
        "2 imported, 3 already there, 1 failed",
    ]);
    let all = ["alias/blob", "mail", "mail/work me@example.org", "odd/${a} \"b\" 'c'", "team/blob"];
    assert_eq!(ids(workspace, &done), all);
    assert_eq!(open(workspace, "new/alias/blob.age", "me.txt"), BINARY);

    // Once more: there is nothing to do, which is no failure, and the module is as before.
    fs::remove_file(workspace.path("store/outside")).unwrap();
    let again = run(&mut store.command("vaultix import pass -i keys/me.txt --into new")).exits(0);
    let again = again.says(&["0 imported, 5 already there\n"]);
    assert_eq!(again.stdout, done.stdout);
}

#[test]
fn settings_of_a_flake_hold_for_imports() {
    let workspace = Workspace::new("import-flake");
    workspace.secret_with("old/wifi.age", "correct horse", &["-R", "keys/ssh-ed25519.pub"]);
    let recipient = workspace.key("ssh-rsa.pub");
    workspace.write(
        "flake.nix",
        format!(
            "{{ outputs = {{ self }}: {{ vaultix.settings = {{ identity = \"{}/keys/me.txt\"; \
             extraRecipients = [ \"{}\" ]; defaultSecretDirectory = \"./sealed\"; }}; }}; }}\n",
            workspace.root.display(),
            recipient.trim(),
        ),
    );
    workspace.sh("git init -q && git add flake.nix").exits(0);
    let import = |line: &str| {
        let mut command = workspace.vaultix_command(&format!("import agenix-rekey old {line}"));
        run(command.env("NIX_CONFIG", "flake-registry =").env("HOME", &workspace.root))
    };
    let done = import("-i keys/ssh-ed25519").exits(0);
    let expected = "{\n  vaultix.secrets.wifi = { };\n}\n";
    assert_eq!(done.stdout, expected, "found where secrets are by default");
    for identity in ["me.txt", "ssh-rsa"] {
        assert_eq!(open(&workspace, "sealed/wifi.age", identity), b"correct horse");
    }
    let mut age = workspace.command("age");
    let old = run(age.args(["-d", "-i", "keys/ssh-ed25519", "sealed/wifi.age"]));
    assert_ne!(old.exit, 0, "the identity that opened the old file has no part in the new one");
    assert_eq!(workspace.sh("git ls-files sealed").stdout, "sealed/wifi.age\n", "a flake finds it");
    assert_eq!(
        workspace.sh("git diff --cached --name-only").stdout,
        "flake.nix\n",
        "but it is not staged"
    );

    let done = import("-i keys/ssh-ed25519 --into web/new").exits(0);
    assert_eq!(done.stdout, "{\n  vaultix.secrets.wifi = { file = ./web/new/wifi.age; };\n}\n");
    import("--into other").exits(77).says(&["no identity can decrypt it"]);
}

#[test]
fn recipients_of_an_import_have_to_be_named() {
    let workspace = Workspace::new("import-nobody");
    workspace.secret("old/wifi.age", "one");
    workspace
        .vaultix("import agenix-rekey old")
        .exits(64)
        .says(&["cannot encrypt without a recipient"]);
    workspace.vaultix("import agenix").exits(64).says(&["cannot import without a source"]);
    workspace.vaultix("import ansible old").exits(64).says(&["none of agenix, agenix-rekey, sops"]);
    workspace
        .vaultix("import agenix-rekey missing -i keys/me.txt")
        .exits(66)
        .says(&["cannot list"]);
    let other = workspace.key("ssh-rsa.pub");
    let mut command = workspace.vaultix_command("import agenix-rekey old -i keys/me.txt -q -r");
    let done = run(command.arg(other.trim())).exits(0);
    assert_eq!(done.stderr, "1 imported\n");
    assert_eq!(open(&workspace, "secrets/wifi.age", "ssh-rsa"), b"one");
    assert_eq!(done.stdout, "{\n  vaultix.secrets.wifi = { };\n}\n");
}
