//! tests/generator/NN-name/profile.json → the tree in expected/, file by file and link by link.
//!
//! `BLESS=1 cargo test -p vaultix-generator` writes the trees.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pretty_assertions::assert_eq;

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/generator")
}

/// Reads a tree: the text of each file, and `-> target` for each link, by relative path.
fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut entries = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
                continue;
            }
            let content = match fs::read_link(&path) {
                Ok(target) => format!("-> {}", target.display()),
                Err(_) => fs::read_to_string(&path).unwrap(),
            };
            entries.insert(path.strip_prefix(root).unwrap().display().to_string(), content);
        }
    }
    entries
}

/// Runs the generator on the profile of `case`, into an empty directory.
fn generate(case: &Path) -> PathBuf {
    let name = case.file_name().unwrap().to_str().unwrap();
    let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&output);
    fs::create_dir_all(&output).unwrap();
    // The trees contain the profile's path, so it must be relative. The other test of this process uses
    // no relative path.
    std::env::set_current_dir(case).unwrap();
    let helper = Path::new("/usr/bin/vaultix-decrypt");
    // The units of a user are made in another way.
    let work = if name.ends_with("-user") {
        vaultix_generator::generate_user
    } else {
        vaultix_generator::generate
    };
    let result = work(Path::new("profile.json"), helper, &output);
    let status = result.err().map(|(status, _)| status as u8).unwrap_or_default();
    fs::write(output.join("STATUS"), format!("{status}\n")).unwrap();
    output
}

#[test]
fn every_profile_gives_its_tree() {
    let mut cases: Vec<PathBuf> =
        fs::read_dir(cases()).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 9, "the cases are gone: {}", cases.len());
    for case in cases {
        let output = generate(&case);
        let expected = case.join("expected");
        if std::env::var_os("BLESS").is_some() {
            let _ = fs::remove_dir_all(&expected);
            assert!(
                std::process::Command::new("cp")
                    .arg("-a")
                    .args([&output, &expected])
                    .status()
                    .unwrap()
                    .success()
            );
        }
        let once = tree(&output);
        assert_eq!(tree(&expected), once, "{}", case.display());
        assert_eq!(once, tree(&generate(&case)), "the same profile gives the same bytes");
    }
}

#[test]
fn no_unit_needs_a_shell() {
    // Of the whole text, so that a comment or another way to name one is looked at as well.
    let mut units: Vec<PathBuf> = Vec::new();
    for folder in ["units", "units/user", "nix"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
        units.extend(fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    }
    units.retain(|path| path.is_file());
    assert!(units.len() > 20, "the units are gone: {units:?}");
    for path in units {
        let text = fs::read_to_string(&path).unwrap();
        let is_shell = |line: &&str| {
            line.contains("Exec") && line.split(['/', ' ', '"']).any(|word| word == "sh")
        };
        assert_eq!(text.lines().find(is_shell), None, "{}", path.display());
        assert!(!text.contains("/bin/sh"), "{}: a host need not have /bin/sh", path.display());
    }
}

#[test]
fn a_user_has_nothing_that_only_a_host_can_have() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("host-for-user");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("units")).unwrap();
    let (profile, units) = (folder.join("profile.json"), folder.join("units"));
    let generate = |key: &str, early: &str| {
        let text = format!(
            r#"{{"version":1,"settings":{{"hostIdentifier":"a","hostPubkey":"age1x",
            "hostKeys":[{{"path":"/k","type":"{key}"}}]}},
            "secrets":{{"x":{{"cipher":"/c"}}}},"beforeUserborn":[{early}]}}"#
        );
        fs::write(&profile, text).unwrap();
        vaultix_generator::generate_user(&profile, Path::new("/helper"), &units)
    };
    for (key, early, why) in
        [("credential", "", "sealed to the machine"), ("age", "\"x\"", "before users exist")]
    {
        let (status, reason) = generate(key, early).unwrap_err();
        assert_eq!(status as u8, 78, "{reason}");
        assert!(reason.contains(why), "{reason}");
        assert_eq!(fs::read_dir(&units).unwrap().count(), 0, "{why}");
    }
    assert_eq!(generate("age", ""), Ok(()));
}
