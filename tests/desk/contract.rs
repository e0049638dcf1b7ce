//! parts of the work tree → whether they agree with each other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use pretty_assertions::assert_eq;
use serde_json::Value;

use crate::support::{Workspace, run};

/// Returns the text of a file of the work tree.
fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn names_in_the_cache_are_those_of_the_vectors() {
    // Through the product: with the vector's recipient in a profile, and its bytes as the source.
    let vectors: Value = serde_json::from_str(&text("tests/vectors/cache-name.json")).unwrap();
    let vectors = vectors.as_array().unwrap();
    assert!(!vectors.is_empty());
    let workspace = Workspace::new("vectors");
    let mut compared = 0;
    for vector in vectors {
        let hex = vector["sourceHex"].as_str().unwrap();
        let byte = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
        workspace.write("secrets/x.age", (0..hex.len()).step_by(2).map(byte).collect::<Vec<_>>());
        let recipient = vector["recipient"].as_str().unwrap();
        workspace.profile_with("web1", recipient, &[("x", "x")], |profile| {
            if vector["pointer"].is_string() {
                profile["secrets"]["x"]["key"] = vector["pointer"].clone();
                profile["secrets"]["x"]["format"] = vector["format"].clone();
            }
        });
        // As JSON, because no vector is a real age file, and not all recipients are valid.
        let done = workspace.vaultix("-p web1.json check --json");
        let answer: Value = serde_json::from_str(&done.stdout).unwrap();
        let findings = answer["findings"].as_array().unwrap();
        if let Some(missing) = findings.iter().find(|finding| finding["kind"] == "missing") {
            let name = vector["name"].as_str().unwrap();
            assert_eq!(missing["file"], format!("secrets/cache/web1/{name}"), "{vector}");
            compared += 1;
        }
    }
    assert!(compared > 0, "no vector has a recipient that can be encrypted to");
}

#[test]
fn the_boot_side_needs_only_what_is_listed() {
    for package in ["generator", "units"] {
        let tree = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args([
                "tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}",
                "-p",
            ])
            .arg(format!("vaultix-{package}"))
            .output()
            .unwrap();
        assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
        let tree = String::from_utf8(tree.stdout).unwrap();
        let found: BTreeSet<&str> =
            tree.lines().filter_map(|line| line.split(' ').next()).collect();
        let found: Vec<&str> = found.into_iter().filter(|name| !name.is_empty()).collect();
        let found = found.join("\n") + "\n";
        let list = format!("tests/deps/{package}.txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(&list), &found).unwrap();
        }
        assert_eq!(found, text(&list), "{list}: BLESS=1 cargo test writes it");
    }
}

#[test]
fn files_that_decide_do_no_io() {
    for path in [
        "generator/src/profile.rs",
        "generator/src/profile/check.rs",
        "generator/src/profile/clash.rs",
        "generator/src/profile/fields.rs",
        "generator/src/profile/generator.rs",
        "generator/src/profile/item.rs",
        "generator/src/profile/settings.rs",
        "generator/src/escape.rs",
        "generator/src/placeholder.rs",
        "generator/src/unit.rs",
        "units/src/template.rs",
        "units/src/decrypt.rs",
        "units/src/stanza.rs",
        "src/cli.rs",
        "src/error.rs",
        "src/commands/generate/plan.rs",
        "src/commands/generate/public.rs",
        "src/commands/generate/ssh.rs",
        "src/keys/identity.rs",
        "src/cache/plan.rs",
    ] {
        let text = text(path);
        for module in ["std::fs", "std::process", "std::env", "std::net"] {
            // An exit status is only a value.
            let text = text.replace("std::process::ExitCode", "");
            assert!(!text.contains(module), "{path} uses {module}");
        }
    }
}

#[test]
fn files_begin_with_what_they_do() {
    for path in sources(&["src", "generator/src", "units/src", "tests/desk"]) {
        let text = text(&path);
        let first = text.lines().next().unwrap_or_default();
        // Input → output; or a sentence.
        let is_whole = first.contains(['→', '↔']) || first.ends_with('.');
        assert!(first.starts_with("//! ") && is_whole, "{path}: {first}");
    }
}

#[test]
fn a_clock_that_is_set_back_changes_nothing() {
    // Code that does not read the clock does not depend on it. `Instant` cannot go back; the times
    // of a file are only compared with its earlier times, like its inode. How long ago a value was
    // changed is the one question that takes a clock; `check` and `status` tell it, and nothing is
    // made or removed because of it.
    for path in sources(&["src", "generator/src", "units/src"]) {
        if path == "src/flake/rotation.rs" {
            continue;
        }
        let text = text(&path);
        for asked in ["SystemTime", ".modified()"] {
            assert!(!text.contains(asked), "{path} uses {asked}");
        }
    }
}

/// Returns the paths of all sources below `folders`.
fn sources(folders: &[&str]) -> Vec<String> {
    let mut find = Command::new("find");
    find.current_dir(env!("CARGO_MANIFEST_DIR")).args(folders).args(["-name", "*.rs"]);
    let found = run(&mut find).exits(0).stdout;
    assert!(found.lines().count() > 10, "{found}");
    found.lines().map(str::to_owned).collect()
}

#[test]
fn unit_names_are_escaped_as_by_systemd() {
    let ids = [
        "wifi",
        "wifi/home psk",
        "a-b",
        ".dot",
        "ü",
        "100%",
        "$x",
        "a\\b",
        "-dash",
        "a:b_c",
        "'\"",
    ];
    let workspace = Workspace::new("escape");
    let mut escape = workspace.command("systemd-escape");
    let done = run(escape.arg("--").args(ids)).exits(0);
    let ours: Vec<String> = ids.into_iter().map(vaultix_generator::escape::instance).collect();
    assert_eq!(done.stdout.trim(), ours.join(" "));
}
