//! `vaultix renc` → copies that hosts can decrypt, and nothing else changed.

use std::fmt::Write;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;

use pretty_assertions::assert_eq;
use rustix::fs::FlockOperation;
use serde_json::{Value, json};

use xtask::canary::marker;

use crate::support::{Workspace, feed_as_is, run};

/// The first line of every age file.
const AGE: &str = "age-encryption.org/v1\n";

#[test]
fn every_host_gets_every_secret() {
    let workspace = Workspace::new("every-host");
    workspace.secret("secrets/wifi.age", "wifi text");
    workspace.secret_with("secrets/mail.age", "mail text", &["-a", "-i", "keys/me.txt"]);
    let secrets = [("wifi", "wifi"), ("mail", "mail")];
    workspace.profile("web1", "host-web1.pub", &secrets);
    workspace.profile("old1", "host-old1.pub", &secrets);
    let public = workspace.key("host-age.txt");
    let public = public.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    workspace.profile_with("age1", public, &secrets, |_| {});
    let done = workspace
        .vaultix("renc -p web1.json -p old1.json -p age1.json --identity keys/me.txt")
        .exits(0)
        .says(&["web1/wifi: re-encrypted\n", "6 re-encrypted, 0 up to date, 0 removed\n"]);
    assert_eq!(done.stdout, "");
    for (host, key) in [("web1", "host-web1"), ("old1", "host-old1"), ("age1", "host-age.txt")] {
        workspace.cached(host, key, "wifi text");
        workspace.cached(host, key, "mail text");
    }
}

#[test]
fn names_are_those_that_nix_computes() {
    let workspace = Workspace::with_secrets("names");
    workspace.renc().exits(0);
    let name = workspace
        .sh(r#"printf 'vaultix-v1\n%s\n%s\n' "$(sha256sum <secrets/tls.age | cut -d' ' -f1)" \
            "$(cut -d' ' -f1,2 keys/host-web1.pub)" | sha256sum | cut -d' ' -f1"#)
        .stdout;
    assert_eq!(workspace.cached("web1", "host-web1", "tls text"), name.trim());
}

#[test]
fn a_run_with_nothing_to_do_asks_for_nothing() {
    let workspace = Workspace::with_secrets("nothing-to-do");
    workspace.renc().exits(0);
    let before = workspace.tree("secrets");
    workspace
        .vaultix("-p web1.json -p db1.json renc -i keys/there-is-none")
        .exits(0)
        .says(&["0 re-encrypted, 5 up to date, 0 removed\n"]);
    assert_eq!(workspace.tree("secrets"), before);
}

#[test]
fn only_a_changed_secret_is_reencrypted() {
    let workspace = Workspace::with_secrets("only-changed");
    workspace.renc().exits(0);
    let wifi = workspace.cached("web1", "host-web1", "wifi text");
    let mail = format!("secrets/cache/web1/{}", workspace.cached("web1", "host-web1", "mail text"));
    let inode = fs::metadata(workspace.path(&mail)).unwrap().ino();
    workspace.secret("secrets/wifi.age", "new text");
    workspace.renc().exits(0).says(&[
        "web1/wifi: re-encrypted",
        "db1/wifi: re-encrypted",
        "2 re-encrypted, 3 up to date, 2 removed\n",
    ]);
    workspace.cached("web1", "host-web1", "new text");
    assert!(
        !workspace.path(&format!("secrets/cache/web1/{wifi}")).exists(),
        "the stale copy is gone"
    );
    assert_eq!(
        fs::metadata(workspace.path(&mail)).unwrap().ino(),
        inode,
        "the others are untouched"
    );
}

#[test]
fn an_empty_file_counts_as_missing() {
    let workspace = Workspace::with_secrets("empty-file");
    workspace.renc().exits(0);
    let name = format!("secrets/cache/web1/{}", workspace.cached("web1", "host-web1", "tls text"));
    workspace.write(&name, "");
    workspace.renc().exits(0).says(&["web1/tls: re-encrypted", "1 re-encrypted, 4 up to date"]);
    assert_eq!(workspace.open(&name, "host-web1"), "tls text");
}

#[test]
fn a_damaged_copy_stays_until_there_is_another() {
    let workspace = Workspace::with_secrets("damaged-stays");
    workspace.renc().exits(0);
    let name = workspace.cached("web1", "host-web1", "tls text");
    let file = format!("secrets/cache/web1/{name}");
    workspace.sh(&format!("echo >>{file}")).exits(0);
    let before = workspace.read(&file);
    let said = [&*format!("host web1 cannot decrypt {file}, its copy of secret \"tls\"")];
    let done = workspace.vaultix("-p web1.json renc --dry-run").exits(0).says(&said);
    assert_eq!(done.stdout, "web1/tls: re-encrypt secrets/tls.age\n");
    workspace.vaultix("-p web1.json renc -i keys/other.txt").exits(77).says(&said);
    assert_eq!(workspace.read(&file), before);
    let status = workspace.vaultix("-p web1.json status").exits(0);
    assert!(status.stdout.contains("tls on web1 (missing)\n"), "{}", status.stdout);
    // Nobody asks for it.
    let done = workspace.vaultix("-p web1.json renc -i keys/me.txt --secret wifi").exits(0);
    assert!(!done.stderr.contains("cannot decrypt"), "{}", done.stderr);
    workspace.renc().exits(0).says(&["web1/tls: re-encrypted", "1 re-encrypted, 4 up to date"]);
    workspace.cached("web1", "host-web1", "tls text");
}

#[test]
fn a_sound_copy_is_not_taken_for_damaged() {
    let workspace = Workspace::new("damaged-none");
    let lengths = [0, 1, 4000, 65535, 65536, 65537, 131_072, 200_000];
    let mut secrets = Vec::new();
    for length in lengths {
        for (kind, more) in [("binary", &[][..]), ("armored", &["-a"][..])] {
            let id = format!("{kind}-{length}");
            let name = format!("secrets/{id}.age");
            let to = [&["-i", "keys/me.txt"], more].concat();
            if length < marker().len() {
                fs::create_dir_all(workspace.path("secrets")).unwrap();
                let mut age = workspace.command("age");
                feed_as_is(age.args(["-e", "-o", &name]).args(to), &vec![b'x'; length]).exits(0);
            } else {
                workspace.secret_with(&name, vec![b'x'; length - marker().len()], &to);
            }
            secrets.push(id);
        }
    }
    let secrets: Vec<(&str, &str)> = secrets.iter().map(|id| (&**id, &**id)).collect();
    for (host, key) in [("web1", "host-web1.pub"), ("old1", "host-old1.pub")] {
        workspace.profile(host, key, &secrets);
    }
    let public = workspace.key("host-age.txt");
    let public = public.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    workspace.profile_with("age1", public, &secrets, |_| {});
    let line = "-p web1.json -p old1.json -p age1.json";
    workspace.vaultix(&format!("{line} renc -i keys/me.txt")).exits(0).says(&["48 re-encrypted"]);
    workspace.vaultix(&format!("{line} renc")).exits(0).says(&["0 re-encrypted, 48 up to date"]);
    workspace.vaultix(&format!("{line} check")).exits(0).says(&["48 up to date, 0 problems"]);
    // The same of all of them, one byte shorter.
    workspace.sh("for file in secrets/cache/*/*; do truncate -s -1 $file; done").exits(0);
    let done = workspace.vaultix(&format!("{line} check")).exits(65);
    done.says(&["0 up to date, 48 problems"]);
    let done = workspace.vaultix(&format!("{line} renc -i keys/me.txt")).exits(0);
    done.says(&["48 re-encrypted, 0 up to date", "38 more copies cannot be decrypted by"]);
}

#[test]
fn a_foreign_file_is_listed_and_stays() {
    let workspace = Workspace::with_secrets("foreign-file");
    workspace.write("secrets/cache/web1/README", "mine");
    workspace.write("secrets/cache/other/0", "of a host that was not asked for");
    workspace
        .renc()
        .exits(0)
        .says(&["vaultix: secrets/cache/web1/README is not part of the cache, and stays\n"]);
    assert_eq!(workspace.read("secrets/cache/web1/README"), b"mine");
    assert!(workspace.path("secrets/cache/other/0").exists());
}

#[test]
fn failures_are_reported_and_the_others_continue() {
    let workspace = Workspace::with_secrets("failures");
    let all = ["wifi", "mail", "tls"].map(|name| (name, name));
    let broken = ["corrupt", "foreign", "missing"].map(|name| (name, name));
    workspace.profile_with(
        "web1",
        workspace.key("host-web1.pub").trim(),
        &[&all[..], &broken[..]].concat(),
        |profile| profile["secrets"]["odd"] = json!({ "file": "secrets/wifi.age", "mdoe": "0400" }),
    );
    workspace.secret_with("secrets/foreign.age", "x", &["-i", "keys/other.txt"]);
    workspace.secret("secrets/corrupt.age", "corrupt text");
    let mut bytes = workspace.read("secrets/corrupt.age");
    *bytes.last_mut().unwrap() ^= 1;
    workspace.write("secrets/corrupt.age", bytes);
    let stale = "a".repeat(64);
    workspace.write(&format!("secrets/cache/web1/{stale}"), AGE); // Perhaps the last good copy of a secret.
    workspace.write(&format!("secrets/cache/db1/{stale}"), AGE); // A copy of a secret that no longer exists.
    workspace.renc().exits(1).says(&[
        "secret \"corrupt\" for host web1",
        "secret \"foreign\" for host web1",
        "secret \"missing\" for host web1",
        "secret \"odd\" for host web1",
        "5 re-encrypted, 0 up to date, 1 removed, 4 failed\n",
    ]);
    for text in ["wifi text", "mail text", "tls text"] {
        let name = workspace
            .tree("secrets/cache/web1")
            .into_iter()
            .filter(|(name, _)| *name != stale)
            .map(|(name, _)| workspace.open(&format!("secrets/cache/web1/{name}"), "host-web1"));
        assert_eq!(name.filter(|found| found == text).count(), 1, "{text}");
    }
    assert!(workspace.path(&format!("secrets/cache/web1/{stale}")).exists(), "nothing is lost");
    assert!(!workspace.path(&format!("secrets/cache/db1/{stale}")).exists());
}

#[test]
fn faults_of_templates_are_told_and_stop_no_copy() {
    let workspace = Workspace::with_secrets("templates");
    let unknown = "a".repeat(64);
    let write = |templates: Value| {
        let key = workspace.key("host-db1.pub");
        workspace.profile_with("db1", key.trim(), &[("wifi", "wifi")], |profile| {
            profile["templates"] = templates;
            profile["placeholder"]["wifi"] = format!("{{{{ {} }}}}", "b".repeat(64)).into();
        });
    };
    let known = format!("x {{{{ {} json }}}}", "b".repeat(64));
    write(json!({
        "good": { "content": known },
        "misspelt": { "content": "x", "mdoe": "0400" },
        "unknown": { "content": format!("x {{{{ {unknown} }}}} y") },
    }));
    let misspelt = "cannot use template \"misspelt\" for host db1: templates.misspelt.mdoe: ";
    let of_none = format!(
        "cannot use template \"unknown\" for host db1: the placeholder {{{{ {unknown} }}}} in its content belongs to no secret"
    );
    let stale = format!("secrets/cache/db1/{unknown}");
    workspace.write(&stale, AGE);
    let said = [misspelt, &of_none];
    let done = workspace.renc().exits(1).says(&said);
    done.says(&["4 re-encrypted, 0 up to date, 1 removed, 2 failed\n"]);
    let done = workspace.vaultix("-p web1.json -p db1.json check").exits(1).says(&said);
    done.says(&["4 up to date, 2 problems"]);
    workspace.vaultix("-p web1.json -p db1.json status").exits(1).says(&said);
    // Asked for one secret, or for another host, nobody asks for templates.
    let line = "-p web1.json -p db1.json renc";
    workspace.vaultix(&format!("{line} --secret wifi")).exits(0);
    workspace.vaultix(&format!("{line} --host web1")).exits(0);
    write(json!({ "unknown": { "content": format!("{{{{ {unknown} }}}}") } }));
    workspace.renc().exits(65);
    write(json!({ "good": { "content": known } }));
    workspace.renc().exits(0);
}

#[test]
fn a_failed_run_keeps_the_old_copy() {
    let workspace = Workspace::with_secrets("keeps-the-old");
    workspace.renc().exits(0);
    let before = workspace.tree("secrets/cache");
    workspace.secret_with("secrets/wifi.age", "new text", &["-i", "keys/other.txt"]);
    workspace.renc().exits(77).says(&["0 re-encrypted, 3 up to date, 0 removed, 1 failed"]);
    assert_eq!(workspace.tree("secrets/cache"), before);
}

#[test]
fn a_single_cause_has_its_own_exit_status() {
    let workspace = Workspace::with_secrets("statuses");
    let only = |id: &str| format!("-p web1.json renc -i keys/me.txt --secret {id}");
    workspace.write("secrets/wifi.age", "");
    workspace.vaultix(&only("wifi")).exits(65);
    fs::remove_file(workspace.path("secrets/mail.age")).unwrap();
    workspace.vaultix(&only("tls")).exits(0);
    workspace.renc().exits(1);
    workspace.secret("secrets/wifi.age", "x");
    workspace.vaultix(&only("mail")).exits(66);
    workspace.secret("secrets/mail.age", "x");
    workspace.write("cache", "a file");
    workspace.vaultix(&(only("tls") + " --cache cache")).exits(73);
    workspace.vaultix("-p web1.json renc -i keys/none --secret tls --cache other").exits(77);
    // One that can decrypt it is enough.
    let done = workspace.vaultix(&(only("tls") + " -i keys/none --cache other")).exits(0);
    done.says(&["cannot use the identity file keys/none: it does not exist"]);
    workspace.vaultix("-p none.json renc").exits(78);
    workspace.vaultix("renc --frob").exits(64);
}

#[test]
fn a_dry_run_touches_nothing() {
    let workspace = Workspace::with_secrets("dry-run");
    workspace.renc().exits(0);
    workspace.secret("secrets/wifi.age", "new text");
    let before = workspace.tree("secrets");
    let done = workspace.vaultix("-p web1.json renc --dry-run").exits(0);
    assert_eq!(workspace.tree("secrets"), before);
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(lines[0], "web1/wifi: re-encrypt secrets/wifi.age");
    assert!(lines[1].starts_with("secrets/cache/web1/") && lines[1].ends_with(": remove"));
    assert_eq!(lines.len(), 2);
    assert_eq!(done.stderr, "1 to re-encrypt, 2 up to date, 1 to remove\n");
}

#[test]
fn one_host_or_one_secret_leaves_the_others_alone() {
    let workspace = Workspace::with_secrets("one-only");
    let renc = "-p web1.json -p db1.json renc -i keys/me.txt";
    workspace.vaultix(&format!("{renc} --host db1")).exits(0).says(&["2 re-encrypted"]);
    assert!(!workspace.path("secrets/cache/web1").exists());
    let stale = format!("secrets/cache/db1/{}", "a".repeat(64));
    workspace.write(&stale, AGE);
    workspace
        .vaultix(&format!("{renc} --secret mail"))
        .exits(0)
        .says(&["web1/mail: re-encrypted", "1 re-encrypted, 1 up to date, 0 removed"]);
    assert!(workspace.path(&stale).exists());
    workspace.vaultix(&format!("{renc} --host db1 --host web1 --secret tls")).exits(0);
    workspace.vaultix(&format!("{renc} --host db9")).exits(64);
    workspace.vaultix(&format!("{renc} --secret tsl")).exits(64);
}

#[test]
fn secrets_of_homes_are_secrets_of_the_host() {
    let workspace = Workspace::new("renc-homes");
    workspace.secret("secrets/alice/mail.age", "of alice");
    workspace.secret("secrets/bob/mail.age", "of bob");
    let all = [("alice/mail", "alice/mail"), ("bob/mail", "bob/mail")];
    workspace.profile("web1", "host-web1.pub", &all);
    workspace.vaultix("-p web1.json renc --secret bob/mail -i keys/me.txt").exits(0);
    let done = workspace.vaultix("-p web1.json status").exits(0);
    assert_eq!(
        done.stdout,
        "secrets/alice/mail.age  for X25519  alice/mail on web1 (missing)\n\
         secrets/bob/mail.age    for X25519  bob/mail on web1\n"
    );
    let check = workspace.vaultix("-p web1.json check").exits(66);
    check.says(&["secret \"alice/mail\"", "secrets/alice/mail.age"]);
    workspace.vaultix("-p web1.json renc -i keys/me.txt").exits(0);
    workspace.vaultix("-p web1.json check").exits(0);
    workspace.cached("web1", "host-web1", "of alice");
    assert_eq!(workspace.tree("secrets/cache/web1").len(), 2, "files, and no directories of users");
}

#[test]
fn a_shared_secret_is_one_source_with_many_names() {
    let workspace = Workspace::new("shared");
    workspace.secret("secrets/wifi.age", "wifi text");
    workspace.profile("web1", "host-web1.pub", &[("one", "wifi"), ("two", "wifi")]);
    workspace.vaultix("-p web1.json renc -i keys/me.txt").exits(0).says(&["1 re-encrypted"]);
    workspace.vaultix("-p web1.json renc").exits(0).says(&["1 up to date, 0 removed"]);
}

#[test]
fn new_copies_are_tracked_by_git() {
    let workspace = Workspace::with_secrets("git");
    workspace.sh("git init -q && printf 'keys\n*.json\n' >.gitignore").exits(0);
    workspace.renc().exits(0);
    let status = workspace.sh("git status --porcelain secrets/cache").stdout;
    assert_eq!(status.lines().filter(|line| line.starts_with(" A ")).count(), 5, "{status}");

    // If a run was killed before this, the next one does it.
    workspace.sh("git rm -q -r --cached secrets/cache").exits(0);
    workspace.renc().exits(0).says(&["0 re-encrypted, 5 up to date"]);
    assert_eq!(workspace.sh("git status --porcelain secrets/cache").stdout, status);

    workspace.sh("git rm -q -r --cached secrets/cache; echo cache >>.gitignore").exits(0);
    workspace.renc().exits(0).says(&["vaultix: git ignores files in secrets/cache"]);

    workspace.sh("echo '[' >.git/config").exits(0);
    workspace.renc().exits(73).says(&["cannot add the new files in secrets/cache to git: fatal:"]);
}

#[test]
fn a_link_in_the_cache_is_not_followed() {
    let workspace = Workspace::with_secrets("link");
    // The cache itself may be a link, if the user wants that.
    fs::create_dir_all(workspace.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink("../elsewhere", workspace.path("secrets/cache")).unwrap();
    workspace.renc().exits(0);
    assert_eq!(workspace.tree("elsewhere").len(), 5);

    let mine = format!("mine/{}", "a".repeat(64));
    workspace.write(&mine, "my own");
    fs::remove_dir_all(workspace.path("elsewhere/web1")).unwrap();
    for target in ["../mine", "nowhere"] {
        let _ = fs::remove_file(workspace.path("elsewhere/web1"));
        std::os::unix::fs::symlink(target, workspace.path("elsewhere/web1")).unwrap();
        for verb in ["renc -i keys/me.txt", "check", "status"] {
            workspace.vaultix(&format!("-p web1.json -p db1.json {verb}")).exits(73).says(&[
                "cannot list the cache secrets/cache/web1: it is not a directory; to fix: rm ",
            ]);
        }
        assert_eq!((workspace.tree("mine").len(), workspace.read(&mine)), (1, b"my own".to_vec()));
    }
}

#[test]
fn an_unusable_directory_stops_its_host_alone() {
    for (what, make) in
        [("file", "echo mine >DIR"), ("link", "ln -s / DIR"), ("pipe", "mkfifo DIR")]
    {
        let workspace = Workspace::with_secrets(&format!("unusable-{what}"));
        let directory = "secrets/cache/web1";
        workspace.sh("mkdir secrets/cache").exits(0);
        workspace.sh(&make.replace("DIR", directory)).exits(0);
        let fix = format!("rm {directory}");
        let said =
            format!("cannot list the cache {directory}: it is not a directory; to fix: {fix}\n");
        let done = workspace.renc().exits(73).says(&[&said, "db1/wifi: re-encrypted\n"]);
        done.says(&["2 re-encrypted, 0 up to date, 0 removed, 1 failed\n"]);
        workspace.cached("db1", "host-db1", "mail text");
        let all = "-p web1.json -p db1.json";
        let done = workspace.vaultix(&format!("{all} check")).exits(73);
        done.says(&[&said, "2 up to date, 1 problem"]);
        let done = workspace.vaultix(&format!("{all} status")).exits(73).says(&[&said]);
        assert!(done.stdout.contains("wifi on db1, web1 (missing)\n"), "{}", done.stdout);
        workspace.vaultix(&format!("{all} renc --host db1")).exits(0);
        workspace.sh(&fix).exits(0);
        workspace.renc().exits(0).says(&["3 re-encrypted, 2 up to date, 0 removed\n"]);
    }
}

#[test]
fn leftovers_of_a_killed_run_are_removed() {
    let workspace = Workspace::with_secrets("leftovers");
    let left = format!("secrets/cache/web1/.new-{}", "b".repeat(64));
    for half in ["", &AGE[..8], AGE] {
        workspace.write(&left, half);
        workspace.write("secrets/wifi.age", workspace.read("secrets/wifi.age"));
        fs::remove_dir_all(workspace.path("secrets/cache/db1")).unwrap_or_default();
        workspace.renc().exits(0).says(&[&format!("{left}: removed, a killed run had left it\n")]);
        assert!(!workspace.path(&left).exists());
    }
    // A file that vaultix cannot have written.
    workspace.write(&left, "mine");
    workspace.renc().exits(0).says(&[&format!("{left} is not part of the cache, and stays\n")]);
    assert_eq!(workspace.read(&left), b"mine");
}

#[test]
fn only_age_files_are_removed_and_each_is_listed() {
    let workspace = Workspace::with_secrets("removed");
    let at = |digit: &str| format!("secrets/cache/web1/{}", digit.repeat(64));
    // Names like those of restic's files.
    for (digit, bytes) in [("a", "{}"), ("b", "age-encryption.org/v2\n"), ("c", ""), ("d", AGE)] {
        workspace.write(&at(digit), bytes);
    }
    std::os::unix::fs::symlink("README", workspace.path(&at("e"))).unwrap();
    fs::create_dir(workspace.path(&at("f"))).unwrap();
    let done = workspace.renc().exits(0).says(&[&format!("{}: removed\n", at("d")), "1 removed\n"]);
    for digit in ["a", "b", "c", "e", "f"] {
        let stays = format!("{} is not part of the cache, and stays\n", at(digit));
        assert!(done.stderr.contains(&stays), "{stays}{}", done.stderr);
        assert!(workspace.path(&at(digit)).symlink_metadata().is_ok());
    }
    assert!(!workspace.path(&at("d")).exists());
    workspace
        .vaultix("-p web1.json -p db1.json check")
        .exits(1)
        .says(&["5 up to date, 5 problems"]);
}

#[test]
fn a_link_at_a_temporary_name_is_not_followed() {
    let workspace = Workspace::with_secrets("link-beside");
    workspace.renc().exits(0);
    let name = workspace.cached("web1", "host-web1", "wifi text");
    fs::remove_file(workspace.path(&format!("secrets/cache/web1/{name}"))).unwrap();
    workspace.write("mine", "my own");
    let beside = format!("secrets/cache/web1/.new-{name}");
    std::os::unix::fs::symlink("../../../mine", workspace.path(&beside)).unwrap();
    workspace.renc().exits(73).says(&[&format!("cannot write {beside}: File exists")]);
    assert_eq!(workspace.read("mine"), b"my own");
}

#[test]
fn a_second_run_waits_for_the_first() {
    let workspace = Workspace::with_secrets("second-run");
    workspace.renc().exits(0);
    workspace.sh("mv secrets/cache made && mkdir secrets/cache").exits(0);
    let lock = || {
        let other = File::open(workspace.path("secrets/cache")).unwrap();
        rustix::fs::flock(&other, FlockOperation::LockExclusive).unwrap();
        other
    };
    let start = |line: &str| {
        let mut command = workspace.command("vaultix");
        command.args(line.split(' ')).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        said.read_line(&mut first).unwrap();
        let waits = "waiting for another vaultix, which is using the cache secrets/cache; to see which: fuser -v secrets/cache";
        assert_eq!(first, format!("vaultix: {waits}\n"));
        (child, said)
    };
    let line = "-p web1.json -p db1.json renc -i keys/me.txt";
    let other = lock();
    let (mut child, mut said) = start(line);
    assert_eq!(child.try_wait().unwrap(), None);
    // What the other makes in the meantime is not made again.
    workspace.sh("mv made/* secrets/cache").exits(0);
    drop(other);
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(rest, "0 re-encrypted, 5 up to date, 0 removed\n");

    // Who waits can be ended.
    workspace.sh("rm -r secrets/cache/db1").exits(0);
    let other = lock();
    let (mut child, _said) = start(line);
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let ended = child.wait().unwrap();
    assert!(ended.signal() == Some(2) || ended.code() == Some(130), "{ended:?}");
    // Nothing to do is nothing to wait for, and neither is a look.
    workspace.vaultix(&format!("{line} --host web1")).exits(0).says(&["0 re-encrypted, 3 up"]);
    workspace.vaultix(&format!("{line} --dry-run")).exits(0);
    drop(other);

    // Each of many at once ends well, and nothing is made twice.
    workspace.sh("rm -r secrets/cache/*").exits(0);
    let done = workspace.sh(&format!(
        "for i in 1 2 3 4; do vaultix {line} 2>said$i & all=\"$all $!\"; done; for one in $all; do wait $one || exit; done"
    ));
    done.exits(0);
    let said: String =
        (1..=4).map(|i| String::from_utf8(workspace.read(&format!("said{i}"))).unwrap()).collect();
    assert_eq!(said.matches("web1/tls: re-encrypted\n").count(), 1, "{said}");
    assert_eq!(said.matches("db1/wifi: re-encrypted\n").count(), 1, "{said}");
}

#[test]
fn two_runs_do_not_mix() {
    let workspace = Workspace::with_secrets("two-runs");
    fs::create_dir_all(workspace.path("secrets/cache")).unwrap();
    let other = File::open(workspace.path("secrets/cache")).unwrap();
    // A shared lock also blocks it: ours is exclusive.
    rustix::fs::flock(&other, FlockOperation::LockShared).unwrap();
    let line = "-p web1.json -p db1.json renc -i keys/me.txt --no-wait";
    workspace.vaultix(line).exits(73).says(&["another vaultix is using it"]);
    assert!(workspace.tree("secrets/cache").is_empty());
}

#[test]
fn a_full_disk_leaves_complete_files_or_none() {
    let workspace = Workspace::with_secrets("full-disk");
    workspace.secret("secrets/tls.age", "x".repeat(300_000));
    fs::create_dir_all(workspace.path("secrets/cache")).unwrap();
    let script = "mount -t tmpfs -o size=64k none secrets/cache || exit 99
        # One after the other: until it fails, the large one leaves no room for those beside it.
        RAYON_NUM_THREADS=1 vaultix -p web1.json -p db1.json renc -i keys/me.txt; echo $?
        find secrets/cache -type f | wc -l; find secrets/cache -name '.*' -type f";
    let done =
        run(workspace.command("unshare").args(["--mount", "--map-root-user", "sh", "-c", script]));
    if done.stderr.contains("unshare") || done.exit == 99 {
        assert_ne!(std::env::var("VAULTIX_TESTS").as_deref(), Ok("all"), "{}", done.stderr);
        eprintln!("SKIPPED: no mount namespace here: {}", done.stderr);
        return;
    }
    let done = done.says(&["secret \"tls\" for host web1", "No space left on device", "1 failed"]);
    assert_eq!(done.stdout, "73\n4\n");
}

#[test]
fn a_large_secret_is_re_encrypted() {
    let workspace = Workspace::with_secrets("large");
    let text = "0123456789abcdef".repeat(4 << 20);
    workspace.secret("secrets/tls.age", &text);
    workspace.renc().exits(0);
    workspace.cached("web1", "host-web1", &text);
}

#[test]
fn a_damaged_secret_is_not_copied() {
    let workspace = Workspace::with_secrets("damaged");
    workspace.profile("web1", "host-web1.pub", &[("tls", "tls")]);
    workspace.secret("secrets/tls.age", "x".repeat(300_000));
    let whole = workspace.read("secrets/tls.age");
    let header = whole.windows(4).position(|bytes| bytes == b"\n---").unwrap() + 1;
    let payload = header + 4 + 43 + 1;
    let chunk = 64 * 1024 + 16;
    let ends =
        (0..=4).map(|i| payload + 16 + i * chunk).chain([0, 10, header, payload, payload + 5]);
    let mut damaged: Vec<Vec<u8>> = ends.map(|end| whole[..end].to_vec()).collect();
    for at in [5, 40, header + 10, payload + 3]
        .into_iter()
        .chain((0..5).map(|i| payload + 20 + i * chunk))
    {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        damaged.push(bytes);
    }
    for bytes in damaged {
        let length = bytes.len();
        workspace.write("secrets/tls.age", bytes);
        let done = workspace.vaultix("-p web1.json renc -i keys/me.txt");
        // A damaged stanza looks like a stanza for another key.
        assert!([65, 77].contains(&done.exit), "{length}: {}", done.stderr);
        assert!(workspace.tree("secrets/cache/web1").is_empty(), "{length}");
    }
}

#[test]
fn many_copies_are_written_in_batches() {
    let workspace = Workspace::new("fleet");
    workspace.secret("secrets/wifi.age", "wifi text");
    let ids: Vec<String> = (0..40).map(|i| format!("secret{i}")).collect();
    for id in &ids {
        workspace.secret(&format!("secrets/{id}.age"), id);
    }
    let secrets: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), id.as_str())).collect();
    let mut line = String::new();
    for i in 0..50 {
        workspace.profile(&format!("h{i}"), "host-web1.pub", &secrets);
        write!(line, "-p h{i}.json ").unwrap();
    }
    workspace
        .vaultix(&(line.clone() + "renc -q -i keys/me.txt"))
        .exits(0)
        .says(&["2000 re-encrypted, 0 up to date, 0 removed\n"]);
    workspace.cached("h49", "host-web1", "secret39");
    workspace.vaultix(&(line + "renc")).exits(0).says(&["0 re-encrypted, 2000 up to date"]);
}

#[test]
fn the_process_cannot_be_dumped_or_traced() {
    // Core dumps are off and debuggers are refused, seen from outside while a prompt waits.
    let workspace = Workspace::with_secrets("private");
    let mut command = workspace.vaultix_command("-p web1.json renc -i keys/me-passphrase.age");
    let mut pty = crate::pty::Pty::start(&mut command);
    pty.expect("Passphrase");
    let found = fs::read_dir("/proc").unwrap().flatten().find(|entry| {
        let path = entry.path();
        fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd == workspace.root)
            && fs::read(path.join("cmdline")).is_ok_and(|line| line.starts_with(b"vaultix\0"))
    });
    let process = found.expect("it waits for a passphrase").path();
    let limits = fs::read_to_string(process.join("limits")).unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    // Not 0, which does not apply to core dumps that go to a pipe.
    assert_eq!(cores.split_whitespace().collect::<Vec<_>>()[4..6], ["1", "1"], "{cores}");
    let owner = fs::metadata(Path::new(&process).join("mem")).unwrap().uid();
    assert_eq!(owner, 0, "files of a process that is not dumpable belong to root");
    pty.send("\x03");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 130, "{shown}");
    assert!(workspace.tree("secrets/cache").is_empty());
}
