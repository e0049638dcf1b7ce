//! names and messages that somebody else chose, and that look like lines of ours → nobody takes them for one.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use serde_json::{Value, json};
use vaultix_generator::escape;

use crate::support::{Done, Workspace, run};

/// What files, hosts and recipients are called here.
const NAMES: [&str; 10] = [
    "vaultix: cannot forged",
    "\nvaultix: cannot forged",
    "\rvaultix: cannot forged",
    "  because: forged",
    "  to fix:  forged",
    "x; to fix: forged",
    "<3>forged",
    "\u{1b}[2Jforged",
    "\u{9b}2Jforged",
    "\u{202e}forged",
];

/// How a line of the module begins that an import prints.
const MODULE: [&str; 2] = ["  vaultix.secrets.", "  # from "];

/// Returns the first line of `text` that somebody could take for one of ours, or that a terminal would not show as it is.
fn forged(text: &str) -> Option<&str> {
    text.split('\n').find(|line| {
        // Nix and JSON have them in quotes or comments, and a command has them in quotes.
        let is_module = MODULE.iter().any(|start| line.starts_with(start));
        let is_code = ["# from ", "#   { path = \"", "{\"", "[{\""];
        let is_code = is_module || is_code.iter().any(|start| line.starts_with(start));
        let plain: String = line.split('\'').step_by(2).collect();
        line.chars().any(escape::is_hidden)
            || line.starts_with("vaultix: cannot forged")
            || line.starts_with(['<', ' ']) && !is_module
            || plain.contains("to fix: forged") && !is_code
    })
}

/// Fails if `done` has said or answered something that is forged.
#[track_caller]
fn is_honest(done: &Done, what: &str) {
    for text in [&done.stdout, &done.stderr] {
        assert_eq!(forged(text), None, "{what}: {text}");
    }
    assert!((done.stdout.clone() + &done.stderr).contains("forged"), "{what}: it is named");
}

#[test]
fn a_name_as_it_is_would_be_taken_for_ours() {
    for name in NAMES {
        assert!(forged(&format!("{name}: rekeyed")).is_some(), "{name:?}");
    }
    assert_eq!(forged("vaultix: cannot read a: it is a directory; to fix: rm a"), None);
}

#[test]
fn names_of_files_and_hosts_look_like_nothing_of_ours() {
    let workspace = Workspace::new("forged-names");
    let host = workspace.key("host-web1.pub");
    for name in NAMES {
        let file = format!("{name}.age");
        workspace.secret(&file, "text");
        workspace.write(&format!("{name}.bad.age"), "no age file");
        workspace.profile_with("bad", host.trim(), &[(name, "x"), ("bad", "x")], |profile| {
            profile["settings"]["hostIdentifier"] = json!(name);
            profile["secrets"][name]["file"] = json!(file);
            profile["secrets"]["bad"]["file"] = json!(format!("{name}.bad.age"));
        });
        for verb in [
            "renc --dry-run -i keys/me.txt --cache cache",
            "renc -i keys/me.txt --cache cache",
            "rekey -i keys/me.txt",
            "check --cache cache",
            "check --json --cache cache",
            "status --cache cache",
            "status --json --cache cache",
            "generate --dry-run",
        ] {
            let line = format!("-p bad.json {verb}");
            let done = workspace.vaultix(&line);
            if verb.contains("--json") {
                // Escaped, it is the same.
                let answer: Value = serde_json::from_str(&done.stdout).unwrap();
                assert!(answer.to_string().contains(&json!(name).to_string()), "{answer}");
            }
            if !verb.starts_with("generate") {
                is_honest(&done, &format!("{name:?}: {verb}"));
            }
            // In a journal, a level stands in front of each line.
            let command = format!(
                "JOURNAL_STREAM=$(stat -L -c %d:%i /dev/stderr) vaultix {line} 2>&1 >answer"
            );
            let done = workspace.sh(&command);
            for line in done.stdout.lines() {
                let said = ["<3>vaultix: ", "<4>vaultix: ", "<6>"];
                let said = said.iter().find_map(|start| line.strip_prefix(start));
                let said = said.unwrap_or_else(|| panic!("{name:?}: {verb}: {}", done.stdout));
                // What begins with a level and our name is ours, whatever comes next.
                assert_eq!(forged(&format!("x{said}")), None, "{name:?}: {verb}");
                assert!(!line.starts_with("<6>vaultix: "), "{name:?}: {verb}: {line}");
            }
        }
        for words in [["view"], ["edit"]] {
            let mut command = workspace.vaultix_command("");
            command.args(words).args(["-i", "keys/other.txt", "--"]).arg(&file);
            is_honest(&run(&mut command).exits(77), &format!("{name:?}: {words:?}"));
        }
        let key = workspace.key("ssh-ed25519.pub");
        let key = key.split(' ').take(2).collect::<Vec<_>>().join(" ");
        for recipient in [format!("{key} {name}"), format!("age1{name}"), format!("ssh-x {name}")] {
            let mut command = workspace.vaultix_command("edit new.age --from bad.json -r");
            let done = run(command.arg(recipient));
            assert_eq!(forged(&done.stderr), None, "{name:?}");
            let _ = fs::remove_file(workspace.path("new.age"));
        }
        workspace.sh("rm -rf cache *.age").exits(0);
    }
}

/// Makes a tree with secrets of all names, and with what is no file. `ending` is that of the scheme, and `text` what a file has.
fn tree(workspace: &Workspace, ending: &str, text: &[u8]) {
    let root = workspace.path("old");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir(&root).unwrap();
    let write = |name: &[u8]| {
        let name = [name, ending.as_bytes()].concat();
        fs::write(root.join(OsStr::from_bytes(&name)), text).unwrap();
    };
    for name in NAMES {
        write(name.as_bytes());
    }
    [&b"-rf"[..], b"forged\xff\xfe", b"\xff", &[b'h'; 251 - 4]].into_iter().for_each(write);
    let _listens = UnixListener::bind(root.join(format!("socket{ending}"))).unwrap();
    symlink("/dev/zero", root.join(format!("zero{ending}"))).unwrap();
    symlink("/dev/stdin", root.join(format!("stdin{ending}"))).unwrap();
    symlink(format!("loop{ending}"), root.join(format!("loop{ending}"))).unwrap();
    fs::create_dir(root.join(format!("directory{ending}"))).unwrap();
    workspace.sh(&format!("mkfifo old/fifo{ending} && mknod old/null{ending} c 1 3")).exits(0);
}

#[test]
fn a_tree_of_odd_files_is_imported_or_named() {
    let workspace = Workspace::new("forged-trees");
    workspace.secret("secret", "text");
    let secret = workspace.read("secret");
    let sops = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sops/app.env");
    let sops = fs::read(sops).unwrap();
    for (scheme, ending, text) in [
        ("agenix-rekey", ".age", &secret[..]),
        ("pass", ".age", &secret),
        ("gopass", ".gpg", b"no message of gpg"),
        ("sops", ".env", &sops),
    ] {
        tree(&workspace, ending, text);
        for rest in ["--dry-run", "-i keys/me.txt"] {
            let line = format!("import {scheme} old --into new {rest}");
            // A pipe on standard input that stays open, as a terminal does.
            let (reader, writer) = std::io::pipe().unwrap();
            let done = run(workspace.vaultix_command(&line).stdin(reader));
            drop(writer);
            is_honest(&done, &line);
            assert!(done.stderr.len() < 20_000, "{line}: {} bytes", done.stderr.len());
            assert!(
                ["imported", "to import"].iter().any(|end| done.stderr.contains(end)),
                "{line}: {}",
                done.stderr
            );
            let is_module = rest != "--dry-run" && !done.stdout.is_empty();
            workspace.write("snippet.nix", if is_module { done.stdout.as_str() } else { "{ }" });
            let nix = "nix-instantiate --eval --strict --json -E 'builtins.attrNames ((import ./snippet.nix).vaultix or { secrets = { }; }).secrets'";
            let ids = workspace.sh(nix).exits(0).stdout;
            if ending == ".age" && rest != "--dry-run" {
                // What was pasted is what was found.
                let ids: Vec<String> = serde_json::from_str(&ids).unwrap();
                for id in ["<3>forged", "x; to fix: forged", "\u{202e}forged", "-rf"] {
                    assert!(ids.iter().any(|found| found == id), "{id:?}: {ids:?}");
                }
            }
        }
        let _ = fs::remove_dir_all(workspace.path("new"));
    }
    // Rules of agenix name what they like.
    workspace.sh("rm -rf old && mkdir old && mkfifo old/fifo.age").exits(0);
    let rule = |name: &str| {
        let name = json!(format!("{name}.age"));
        format!("{{ name = builtins.fromJSON ''{name}''; value.owner = \"forged \u{1b}[1m\"; }}\n")
    };
    let names = NAMES.iter().copied().chain(["fifo", "/dev/zero", "/dev/stdin"]);
    let rules: Vec<String> = names.map(rule).collect();
    workspace.write("old/secrets.nix", format!("builtins.listToAttrs [ {} ]", rules.concat()));
    for name in NAMES {
        fs::write(workspace.path("old").join(format!("{name}.age")), &secret).unwrap();
    }
    for rest in ["--dry-run", "-i keys/me.txt"] {
        let line = format!("import agenix old --into new {rest}");
        is_honest(&workspace.vaultix(&line), &line);
    }
}

#[test]
fn what_a_plugin_says_bears_its_name() {
    let workspace = Workspace::new("forged-plugin");
    let body = |text: &str| BASE64_STANDARD_NO_PAD.encode(text);
    let forged_text = "a\nvaultix: cannot forged\n<3>forged";
    let words = body(forged_text);
    let lines = body(&"\n".repeat(200));
    let lines: Vec<&[u8]> = lines.as_bytes().chunks(64).collect();
    let lines = String::from_utf8(lines.join(&b"\\n"[..])).unwrap();
    let script = format!(
        "#!/bin/sh\nexec 3<&0; cat <&3 >/dev/null & printf -- '-> msg\\n{words}\\n-> confirm {}\\n{words}\\n-> msg\\n{lines}\\n-> error internal\\n{words}\\n-> done\\n\\n'; wait\n",
        body("y")
    );
    workspace.write("bin/age-plugin-forging", script);
    workspace.sh("chmod 755 bin/age-plugin-forging").exits(0);
    let hrp = bech32::Hrp::parse("age-plugin-forging-").unwrap();
    let identity = bech32::encode::<bech32::Bech32>(hrp, &[7; 16]).unwrap().to_uppercase();
    workspace.write("card.txt", identity);
    workspace.secret("old.age", "old");
    for journal in ["", "JOURNAL_STREAM=$(stat -L -c %d:%i /dev/stderr)"] {
        let line = format!(
            "PATH={}:$PATH; {journal} timeout 60 vaultix view old.age -i card.txt 2>&1 >answer",
            workspace.path("bin").display()
        );
        let done = workspace.sh(&line);
        let text = &done.stdout;
        assert!(text.lines().count() < 100, "{text}");
        let said = |line: &&str| line.contains("age-plugin-forging: vaultix: cannot forged");
        assert!(text.lines().filter(said).count() >= 2, "{text}");
        for line in text.lines() {
            let line = line.strip_prefix("<5>").or(line.strip_prefix("<3>")).unwrap_or(line);
            let of_whom = line.starts_with("age-plugin-forging: ")
                || line.starts_with("vaultix: cannot decrypt old.age");
            assert!(of_whom, "{line:?}: {text}");
        }
    }
}
