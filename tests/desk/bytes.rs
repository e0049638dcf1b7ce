//! file names on the command line that are not UTF-8 → accepted like any others.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;

use pretty_assertions::assert_eq;

use crate::support::{Done, Workspace, run};

/// A name that is not UTF-8: Latin 1, a byte that cannot begin a character, and a character that is
/// cut off.
const ODD: &[u8] = b"caf\xe9 \xff \xe2\x82";

/// Returns `before`, [`ODD`] and `after` as one argument.
fn odd(before: &str, after: &str) -> OsString {
    OsStr::from_bytes(&[before.as_bytes(), ODD, after.as_bytes()].concat()).to_owned()
}

/// Runs `vaultix` with `args`.
fn vaultix(workspace: &Workspace, args: &[&OsStr]) -> Done {
    run(workspace.vaultix_command("").args(args).env("EDITOR", "sed -i s/old/new/"))
}

#[test]
fn a_secret_of_any_name_is_edited_and_viewed() {
    let workspace = Workspace::new("bytes-edit");
    let (file, key) = (odd("", ".age"), odd("", ".txt"));
    workspace.secret("plain.age", "old text");
    fs::rename(workspace.path("plain.age"), workspace.root.join(&file)).unwrap();
    fs::copy(workspace.path("keys/me.txt"), workspace.root.join(&key)).unwrap();
    let joined = odd("--identity=", ".txt");

    vaultix(&workspace, &["edit".as_ref(), &file, "-i".as_ref(), &key]).exits(0).says(&["changed"]);
    for args in [
        ["view".as_ref(), file.as_os_str(), "-i".as_ref(), &key],
        ["view".as_ref(), &joined, "--".as_ref(), &file],
    ] {
        assert_eq!(vaultix(&workspace, &args).exits(0).stdout, "new text");
    }
    // The content of a file with such a name is encrypted as it is.
    let text = odd("", ".text");
    fs::write(workspace.root.join(&text), "from a file").unwrap();
    vaultix(&workspace, &["edit".as_ref(), &file, "-i".as_ref(), &key, &odd("--from=", ".text")])
        .exits(0);
    assert_eq!(
        vaultix(&workspace, &["view".as_ref(), &file, "-i".as_ref(), &key]).stdout,
        "from a file"
    );
    // The control: the nearest name in UTF-8 is another file.
    let lossy = file.to_string_lossy().into_owned();
    vaultix(&workspace, &["view".as_ref(), lossy.as_ref(), "-i".as_ref(), &key]).exits(66);
}

#[test]
fn a_fix_names_such_a_file() {
    let workspace = Workspace::new("bytes-fix");
    let file = odd("", ".age");
    let done =
        vaultix(&workspace, &["edit".as_ref(), &file, "--from".as_ref(), "keys/README".as_ref()]);
    let (_, fix) = done
        .exits(64)
        .stderr
        .split_once("to fix: ")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let fix = fix.trim().replace("--identity FILE", "--identity keys/me.txt --from keys/README");
    run(workspace.command("bash").args(["-c", &fix])).exits(0);
    assert!(workspace.root.join(&file).exists(), "{fix}");
}

#[test]
fn profiles_identities_and_the_cache_may_have_any_name() {
    let workspace = Workspace::with_secrets("bytes-renc");
    workspace.sh("git init -q").exits(0);
    let (profile, key, cache) = (odd("", ".json"), odd("", ".txt"), odd("cache-", ""));
    fs::rename(workspace.path("web1.json"), workspace.root.join(&profile)).unwrap();
    fs::copy(workspace.path("keys/me.txt"), workspace.root.join(&key)).unwrap();
    let line = [
        "-p".as_ref(),
        profile.as_os_str(),
        "renc".as_ref(),
        "-i".as_ref(),
        &key,
        "--cache".as_ref(),
        &cache,
    ];
    vaultix(&workspace, &line).exits(0).says(&["3 re-encrypted"]);
    let copies: Vec<_> = fs::read_dir(workspace.root.join(&cache).join("web1")).unwrap().collect();
    assert_eq!(copies.len(), 3);
    let tracked = run(workspace.command("git").arg("ls-files")).exits(0).stdout;
    assert_eq!(tracked.lines().filter(|line| line.contains("cache-caf")).count(), 3, "{tracked}");
    let profile = odd("--profile=", ".json");
    vaultix(&workspace, &["check".as_ref(), &profile, "--cache".as_ref(), &cache]).exits(0);
}

#[test]
fn hosts_ids_and_recipients_must_be_utf_8() {
    let workspace = Workspace::with_secrets("bytes-text");
    let name = odd("", "");
    for (option, verb) in [("--host", "renc"), ("--secret", "renc"), ("--recipient", "edit")] {
        vaultix(&workspace, &[verb.as_ref(), option.as_ref(), &name]).exits(64).says(&[
            "usage error: bad value \"caf\u{fffd}",
            &format!("for {option} of {verb}: it is not UTF-8; to fix: vaultix {verb} --help"),
        ]);
    }
    vaultix(&workspace, &[&odd("--", "")]).exits(64).says(&["unknown option \"--caf\u{fffd}"]);
    // A flake contains the path of its identity as text.
    let done = vaultix(&workspace, &["init".as_ref(), "-i".as_ref(), &name]).exits(64);
    assert!(done.stderr.contains("its path is not UTF-8"), "{}", done.stderr);
    assert!(!workspace.root.join(&name).exists() && !workspace.path("flake.nix").exists());
}
