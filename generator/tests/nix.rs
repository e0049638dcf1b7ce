//! what the NixOS module refuses, and the kinds that it knows → the generator agrees.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use pretty_assertions::assert_eq;
use vaultix_generator::escape;
use vaultix_generator::placeholder::Encoding;
use vaultix_generator::profile::{Generator, Key, Profile, Side, USERS};

/// Invalid configurations with a valid profile, and what the profile does not show.
const ONLY_NIX: [(&str, &str); 52] = [
    ("before-disk", "file systems"),
    ("before-user", "units of users"),
    ("cache-input", "the cache"),
    ("cache-missing", "the cache"),
    ("cache-stale", "the cache"),
    ("enroll-memory", "file systems"),
    ("enroll-place", "who makes a key"),
    ("enroll-sealed", "file systems"),
    ("flake-unknown", "the flake"),
    ("home-outside", "homes"),
    ("home-placeholder", "rendering reports it"),
    ("home-source", "sources"),
    ("home-template", "the file of a template"),
    ("home-value", "the desk's alone"),
    ("intermediary-template", "rendering reports it"),
    ("key-bound", "file systems"),
    ("key-empty", "a host without a key yet has a valid profile"),
    ("key-late", "file systems"),
    ("key-network", "file systems"),
    ("key-nonsense", "no key can be decrypted for, which the helper reports"),
    ("key-of-type", "no key can be decrypted for, which the helper reports"),
    ("key-private", "the helper hides and reports it"),
    ("key-private-block", "the helper hides and reports it"),
    ("key-private-comment", "comments are left out of a profile"),
    ("key-private-plugin", "the helper hides and reports it"),
    ("key-private-spoilt", "the helper hides and reports it"),
    ("key-sealed", "file systems"),
    ("key-type", "no key fits, which the helper reports"),
    ("key-unmade", "no key fits, which the helper reports"),
    ("owner-unknown", "users"),
    ("password-late", "users"),
    ("password-late-twin", "users"),
    ("placeholder-unknown", "rendering reports it"),
    ("reader-etc", "what else is in the configuration"),
    ("reader-initrd", "what else is in the configuration"),
    ("reader-order", "what else is in the configuration"),
    ("reader-script", "what else is in the configuration"),
    ("reader-script-order", "what else is in the configuration"),
    ("reader-tmpfiles", "what else is in the configuration"),
    ("reader-trigger", "what else is in the configuration"),
    ("source-input", "sources"),
    ("source-missing", "sources"),
    ("source-missing-generated", "sources"),
    ("source-missing-some-generated", "sources"),
    ("template-file", "the file of a template"),
    ("template-file-both", "the file of a template"),
    ("template-file-encoding", "the file of a template"),
    ("template-file-unknown", "the file of a template"),
    ("users-without-unit", "users"),
    ("value-empty", "the desk's alone"),
    ("value-format", "the desk's alone"),
    ("value-pointer", "the desk's alone"),
];

/// Reads a file of the repository.
fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// Returns why `profile` is invalid, as a whole or in some items; empty if it is valid.
fn refusal(profile: &str) -> String {
    match Profile::parse(profile, Side::Host) {
        Err(error) => error.to_string(),
        Ok(profile) => {
            let secrets = profile.secrets.into_values().filter_map(Result::err);
            let templates = profile.templates.into_values().filter_map(Result::err);
            let reasons: Vec<String> =
                secrets.chain(templates).map(|reason| reason.to_string()).collect();
            reasons.join("\n")
        }
    }
}

#[test]
fn profiles_of_invalid_configurations_are_refused() {
    let (mut found, mut accepted) = (String::new(), Vec::new());
    for line in read("tests/nix/profile/failures.txt").lines().filter(|line| !line.is_empty()) {
        let (name, profile) = line.split_once(' ').unwrap();
        let reason = refusal(profile);
        if reason.is_empty() {
            accepted.push(name.to_owned());
        } else {
            let reason: String = reason
                .lines()
                .fold(String::new(), |text, line| text + "  " + &escape::line(line) + "\n");
            write!(found, "{name}\n{reason}").unwrap();
        }
    }
    let path = "tests/nix/profile/refused.txt";
    if std::env::var_os("BLESS").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path), &found).unwrap();
    }
    assert_eq!(found, read(path));
    assert_eq!(accepted, ONLY_NIX.map(|(name, _)| name.to_owned()));
}

#[test]
fn units_that_cannot_start_after_an_item_are_those_of_the_module() {
    let listed = |path: &str, indent: &str| -> BTreeSet<String> {
        let text = read(path);
        let values = text.lines().filter_map(|line| line.strip_prefix(indent)?.strip_prefix('"'));
        let units = values.filter_map(|value| value.trim_end_matches(',').strip_suffix('"'));
        units.filter(|unit| unit.contains('.') && !unit.contains('/')).map(str::to_owned).collect()
    };
    let mut ours = listed("generator/src/profile/before.rs", "    ");
    ours.extend(USERS.map(str::to_owned));
    assert!(ours.len() > 15, "the lists are gone: {ours:?}");
    assert_eq!(listed("nix/before.nix", "    "), ours);
}

#[test]
fn generator_kinds_are_those_of_the_module() {
    let text = read("nix/secret.nix");
    let (_, list) = text.split_once("\n  kinds = [\n").unwrap();
    let (list, _) = list.split_once("];").unwrap();
    let kinds: Vec<&str> = list.lines().map(|line| line.trim().trim_matches('"')).collect();
    assert_eq!(kinds[..kinds.len() - 1], Generator::KINDS);
}

#[test]
fn encodings_are_those_of_the_module() {
    let text = read("nix/encodings.nix");
    let known: Vec<&str> =
        text.lines().filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix('"')).collect();
    assert_eq!(known, Encoding::ALL.map(Encoding::name));
}

#[test]
fn formats_are_those_of_the_module() {
    let text = read("nix/format.nix");
    let (_, list) = text.split_once("  formats = [\n").unwrap();
    let (list, _) = list.split_once("];").unwrap();
    let known: Vec<&str> = list.split_whitespace().map(|name| name.trim_matches('"')).collect();
    assert_eq!(known, Key::FORMATS);
}
