//! `tests/messages/NAME.txt` → each command there prints exactly what is below it.
//!
//! A file is a list of shell commands after `$ `, each followed by its exit status, its standard
//! output (`| `) and its standard error (`> `). They run one after another in a workspace with
//! every kind of trouble, which [`trouble`] makes. `BLESS=1` writes the files.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use pretty_assertions::assert_eq;
use serde_json::json;

use crate::pty::Pty;
use crate::support::{Workspace, run};

/// Makes a workspace with something wrong in every place.
fn trouble(name: &str) -> Workspace {
    let workspace = Workspace::with_secrets(name);
    workspace.secret_with("secrets/foreign.age", "x", &["-R", "keys/ssh-ed25519.pub"]);
    workspace.write("secrets/empty.age", "");
    workspace.write("secrets/text.age", "password\n");
    workspace.write("secrets/armor.age", "-----BEGIN AGE ENCRYPTED FILE-----\nnonsense\n");
    let whole = workspace.read("secrets/wifi.age");
    workspace.write("secrets/header.age", &whole[..40]);
    workspace.write("secrets/cut.age", &whole[..whole.len() - 1]);
    let web1 = workspace.key("host-web1.pub");
    for id in ["foreign", "empty", "text", "armor", "header", "cut", "missing"] {
        workspace.profile_with(id, web1.trim(), &[(id, id)], |_| {});
    }
    for (host, recipient) in [
        ("ecdsa", workspace.key("ssh-ecdsa.pub").trim().to_owned()),
        ("half", web1[..40].to_owned()),
        (
            "plugin",
            "age1yubikey1qgqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqmyqzsy".to_owned(),
        ),
        ("nonsense", "nonsense".to_owned()),
        ("beheaded", "kHmR8ISMOgvDcsVkSpyYkpJ1UQ9wbYzQXgAK6P1iYlk=".to_owned()),
        ("private", workspace.key("me.txt").lines().last().unwrap().to_owned()),
    ] {
        workspace.profile_with(host, &recipient, &[("wifi", "wifi")], |_| {});
    }
    let wifi = [("wifi", "wifi")];
    workspace.profile_with("version", web1.trim(), &wifi, |profile| profile["version"] = json!(2));
    workspace.profile_with("field", web1.trim(), &wifi, |profile| {
        profile["secrets"]["wifi"]["mdoe"] = json!("0400");
    });
    workspace.profile_with("twin", web1.trim(), &wifi, |profile| {
        profile["settings"]["hostIdentifier"] = json!("db1");
    });
    generators(&workspace, web1.trim());
    workspace.write("nothing.json", "");
    workspace.write("broken.json", "{");
    workspace
}

/// Writes profiles with generators that cannot work.
fn generators(workspace: &Workspace, recipient: &str) {
    let command =
        |from: &[&str]| json!({ "kind": "command", "command": ["true"], "dependencies": from });
    for (host, id, generator) in [
        ("made", "new", json!({ "kind": "alnum" })),
        ("misspelt", "new", json!({ "kind": "alnum", "lenght": 9 })),
        ("unknown", "new", command(&["nobody"])),
        ("orphan", "new", command(&["missing"])),
        ("circle", "new", command(&["new"])),
        ("unopened", "new", command(&["foreign"])),
        ("widowed", "widow", json!({ "kind": "wireguard" })),
    ] {
        let secrets = [(id, id), ("missing", "missing"), ("foreign", "foreign")];
        workspace.profile_with(host, recipient, &secrets, |profile| {
            profile["secrets"][id]["generator"] = generator;
        });
    }
    workspace.write("secrets/widow.pub", "of another one");
}

/// Runs the commands of a file, and returns the file with their current output.
fn play(workspace: &Workspace, text: &str) -> String {
    let mut now = String::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let done = workspace.sh(line);
        write!(now, "$ {line}\nexit {}\n", done.exit).unwrap();
        done.stdout
            .lines()
            .for_each(|line| writeln!(now, "{}", format!("| {line}").trim_end()).unwrap());
        done.stderr.lines().for_each(|line| writeln!(now, "> {line}").unwrap());
        now.push('\n');
    }
    // The path of the workspace depends on the checkout.
    now.replace(workspace.root.to_str().unwrap(), "DESK")
}

#[test]
fn every_message_is_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages");
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let now = play(&trouble(&format!("messages-{name}")), &text);
        if std::env::var_os("BLESS").is_some() {
            fs::write(&path, &now).unwrap();
            continue;
        }
        assert_eq!(text.trim_end(), now.trim_end(), "{}; BLESS=1 writes it", path.display());
    }
}

#[test]
fn a_reader_that_goes_away_is_not_a_failure() {
    let workspace = Workspace::with_secrets("reader");
    workspace.profile_with(
        "made",
        workspace.key("host-db1.pub").trim(),
        &[("new", "new")],
        |profile| {
            profile["secrets"]["new"]["generator"] = json!({ "kind": "alnum" });
        },
    );
    workspace.renc().exits(0);
    for line in [
        "--help",
        "--version",
        "-p web1.json status",
        "-p web1.json status --json",
        "-p web1.json check --json",
        "-p web1.json renc --dry-run --cache other",
        "-p made.json generate --dry-run",
        "view -i keys/me.txt secrets/wifi.age",
    ] {
        let done = workspace.sh(&format!("{{ sleep 0.2; vaultix {line}; echo $? >exit; }} | true"));
        assert!(!done.stderr.contains("cannot print"), "{line}: {}", done.stderr);
        assert_eq!(workspace.read("exit"), b"0\n", "{line}: {}", done.stderr);
        // But an answer that cannot be written completely is a failure.
        workspace.sh(&format!("vaultix {line} >/dev/full")).exits(73).says(&["cannot print"]);
    }
}

#[test]
fn a_name_cannot_forge_a_message() {
    let workspace = Workspace::new("forged");
    let odd = "a\u{1b}[31mX\nvaultix: all good";
    workspace.secret(&format!("secrets/{odd}.age"), "text");
    workspace.secret("secrets/old.age", "text");
    workspace.profile_with(
        "web1",
        workspace.key("host-web1.pub").trim(),
        &[("old", "old")],
        |profile| {
            let secrets = &mut profile["secrets"];
            secrets[odd] = json!({ "file": format!("secrets/{odd}.age") });
            secrets[format!("{odd} new")] = json!({
                "file": format!("secrets/{odd} new.age"),
                "generator": { "kind": "alnum" },
            });
            secrets[format!("{odd} missing")] =
                json!({ "file": format!("secrets/{odd} missing.age") });
            secrets[format!("{odd} misspelt")] =
                json!({ "file": "secrets/old.age", "mdoe": "0400" });
        },
    );
    let mut shown = 0;
    for line in [
        "check",
        "status",
        "renc --dry-run -i keys/me.txt",
        "-v renc -i keys/me.txt",
        "check",
        "generate --dry-run",
        "-v generate -i keys/me.txt",
        "-v rekey -i keys/me.txt",
    ] {
        let line = format!("-p web1.json {line}");
        let done = workspace.vaultix(&line);
        let mut command = workspace.vaultix_command(&line);
        let (_, seen) = Pty::start(command.env("NO_COLOR", "1").env("TERM", "dumb")).end();
        for text in [done.stdout, done.stderr, seen] {
            assert!(!text.contains("\x1b[31m"), "{line}: {text:?}");
            assert!(
                !text.lines().any(|line| line.starts_with("vaultix: all good")),
                "{line}: {text}"
            );
            shown += text.matches("a\\u{1b}[31mX\\nvaultix: all good").count();
        }
    }
    assert!(shown >= 8 * 2, "{shown}");

    // A question is printed on the terminal itself.
    std::fs::copy(workspace.path("keys/me-passphrase.age"), workspace.path(odd)).unwrap();
    let mut command = workspace.vaultix_command("view secrets/old.age -i");
    let mut pty = Pty::start(command.arg(odd));
    pty.expect("Passphrase for a\\u{1b}[31mX\\nvaultix: all good (to decrypt 1 secret): ");
    pty.send("\n");
    assert_eq!(pty.end().0, 77);
}

#[test]
fn a_fix_can_be_pasted() {
    // Names that somebody else may commit: pasting a fix must not make the shell run what is in
    // them.
    let workspace = Workspace::new("pasted");
    for name in [
        "two words",
        "it's $HOME `touch hit` $(touch hit); touch hit #",
        "-rf",
        "a\nb",
        "\u{202e}ega.ifiw\u{202c}\u{200b}",
        "~",
        "\\x2d*?[a]",
    ] {
        let profile = workspace.key("host-web1.pub");
        workspace.profile_with("web1", profile.trim(), &[("wifi", "wifi")], |profile| {
            profile["secrets"]["wifi"]["file"] = json!(name);
        });
        let done = workspace.vaultix("-p web1.json check").exits(66);
        let (_, fix) = done.stderr.split_once("to fix: ").unwrap();
        let fix = fix.lines().next().unwrap().to_owned();
        assert!(fix.starts_with("vaultix edit "), "{fix}");
        assert!(!done.stderr.contains(['\u{202e}', '\u{202c}', '\u{200b}']), "{}", done.stderr);
        workspace.write("fix", format!("printf new | {fix} -i keys/me.txt\n"));
        run(workspace.command("setsid").args(["--wait", "bash", "fix"])).exits(0);
        assert_eq!(workspace.open(&format!("./{name}"), "me.txt"), "new", "{fix}");
        assert!(!workspace.path("hit").exists(), "{fix}");
        // The control: without quotes, another file is written, or none.
        workspace.write("fix", format!("printf evil | vaultix edit {name} -i keys/me.txt\n"));
        run(workspace
            .command("setsid")
            .args(["--wait", "bash", "fix"])
            .env("HOME", &workspace.root));
        let is_same = workspace.open(&format!("./{name}"), "me.txt") == "evil";
        assert!(!is_same || name.contains('\u{202e}'), "{name}");
        let _ = std::fs::remove_file(workspace.path("hit"));
        std::fs::remove_file(workspace.path(name)).unwrap();
    }
}
