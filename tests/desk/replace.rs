//! a secret that changes while `vaultix edit` or `rekey` is running → no change is lost.

use std::fs::{self, File};
use std::process::Command;

use pretty_assertions::assert_eq;
use rustix::fs::{FlockOperation, flock};

use crate::pty::Pty;
use crate::support::{Workspace, run};

/// Makes a workspace with one secret, and another one that somebody else saves in the meantime.
fn workspace(name: &str) -> Workspace {
    let workspace = Workspace::new(name);
    workspace.secret("secrets/wifi.age", "old\n");
    workspace.secret("theirs.age", "theirs\n");
    workspace
}

/// Prepares to edit `file` with the editor `script`, the body of a shell function.
fn edit(workspace: &Workspace, file: &str, script: &str) -> Command {
    let mut command = workspace.vaultix_command(&format!("edit {file} -i keys/me.txt"));
    command.env("EDITOR", format!("f() {{ {script}; }}; f"));
    command
}

/// Lists the files of `secrets/`.
fn names(workspace: &Workspace) -> Vec<String> {
    workspace.tree("secrets").into_iter().map(|(name, _)| name).collect()
}

#[test]
fn an_edit_does_not_replace_a_changed_secret() {
    let workspace = workspace("replace-edit");
    let theirs = workspace.read("theirs.age");
    let script = "cp theirs.age secrets/wifi.age; echo mine >\"$1\"";
    for kept in ["wifi.mine.age", "wifi.mine-2.age"] {
        workspace.secret("secrets/wifi.age", "old\n");
        let kept = format!("secrets/{kept}");
        run(&mut edit(&workspace, "secrets/wifi.age", script)).exits(65).says(&[
            "cannot save secrets/wifi.age: it was changed in the meantime",
            &format!("the new text is in {kept}, encrypted"),
            "to fix: vaultix edit secrets/wifi.age",
        ]);
        assert_eq!(workspace.read("secrets/wifi.age"), theirs);
        assert_eq!(workspace.open(&kept, "me.txt"), "mine\n");
    }
    assert_eq!(names(&workspace), ["wifi.age", "wifi.mine-2.age", "wifi.mine.age"]);
}

#[test]
fn a_secret_is_created_only_once() {
    let workspace = workspace("replace-made");
    let theirs = workspace.read("theirs.age");
    let script = "cp theirs.age secrets/new.age; echo mine >\"$1\"";
    run(&mut edit(&workspace, "secrets/new.age", script))
        .exits(65)
        .says(&["cannot save secrets/new.age: it was created in the meantime"]);
    assert_eq!(workspace.read("secrets/new.age"), theirs);
    assert_eq!(workspace.open("secrets/new.mine.age", "me.txt"), "mine\n");
}

#[test]
fn a_secret_that_was_removed_does_not_come_back() {
    let workspace = workspace("replace-removed");
    run(&mut edit(&workspace, "secrets/wifi.age", "rm secrets/wifi.age; echo mine >\"$1\""))
        .exits(65)
        .says(&["cannot save secrets/wifi.age: it was removed in the meantime"]);
    assert_eq!(names(&workspace), ["wifi.mine.age"]);
}

#[test]
fn a_text_from_standard_input_is_not_kept() {
    let workspace = workspace("replace-stdin");
    let mut pty =
        Pty::start(&mut workspace.vaultix_command("edit secrets/wifi.age -i keys/me.txt --stdin"));
    pty.expect("Ctrl-D");
    fs::copy(workspace.path("theirs.age"), workspace.path("secrets/wifi.age")).unwrap();
    pty.send("typed\n\x04");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 65, "{shown}");
    assert!(shown.contains("it was changed in the meantime"), "{shown}");
    assert_eq!(workspace.read("secrets/wifi.age"), workspace.read("theirs.age"));
    assert_eq!(names(&workspace), ["wifi.age"]);
}

#[test]
fn two_runs_check_one_after_the_other() {
    let workspace = workspace("replace-lock");
    let other = File::open(workspace.path("secrets")).unwrap();
    flock(&other, FlockOperation::LockExclusive).unwrap();
    let mut command = edit(&workspace, "secrets/wifi.age", "echo mine >\"$1\"");
    let mut pty = Pty::start(command.arg("-v"));
    // It checks the file once it gets the lock, which we hold.
    pty.expect("replacing ");
    fs::copy(workspace.path("theirs.age"), workspace.path("secrets/wifi.age")).unwrap();
    drop(other);
    let (exit, shown) = pty.end();
    assert_eq!(exit, 65, "{shown}");
    assert_eq!(workspace.read("secrets/wifi.age"), workspace.read("theirs.age"));
}

#[test]
fn rekey_does_not_replace_a_changed_secret() {
    let workspace = Workspace::with_secrets("replace-rekey");
    workspace.secret("theirs.age", "theirs");
    let mail = workspace.read("secrets/mail.age");
    let line = "-p web1.json rekey -i keys/me-passphrase.age";
    let mut pty = Pty::start(&mut workspace.vaultix_command(line));
    pty.expect("Passphrase");
    fs::copy(workspace.path("theirs.age"), workspace.path("secrets/wifi.age")).unwrap();
    pty.send("correct horse\n");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 65, "{shown}");
    let said = ["cannot save secrets/wifi.age", "it was changed in the meantime", "vaultix rekey"];
    assert!(said.iter().all(|text| shown.contains(text)), "{shown}");
    assert!(shown.contains("0 rekeyed, 1 failed"), "{shown}");
    assert_eq!(workspace.read("secrets/wifi.age"), workspace.read("theirs.age"));
    assert!(workspace.read("secrets/mail.age") == mail, "and none of the others is replaced");
    assert_eq!(names(&workspace), ["mail.age", "tls.age", "wifi.age"]);
}

#[test]
fn leftovers_of_a_killed_run_are_removed() {
    let workspace = workspace("replace-killed");
    run(&mut edit(&workspace, "secrets/wifi.age", "kill -KILL $PPID"));
    let left: Vec<String> =
        names(&workspace).into_iter().filter(|name| name != "wifi.age").collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let is_random = |name: &str| {
        let digits = name.strip_prefix(".wifi.age.new-");
        digits.is_some_and(|digits| {
            digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit())
        })
    };
    assert!(is_random(&left[0]), "{left:?}");
    // One that is in use, one for another secret, and some that are not ours.
    let used = ".wifi.age.new-0123abcd";
    let others = [
        ".mail.age.new-0123abcd",
        ".wifi.age.new-copy",
        ".wifi.age.new-0123abcde",
        "wifi.age.new-0123abcd",
    ];
    for name in others.iter().chain([&used]) {
        workspace.write(&format!("secrets/{name}"), "half");
    }
    std::os::unix::fs::symlink("wifi.age", workspace.path("secrets/.wifi.age.new-ffffffff"))
        .unwrap();
    let lock = File::open(workspace.path(&format!("secrets/{used}"))).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    run(&mut edit(&workspace, "secrets/wifi.age", "echo new >\"$1\"")).exits(0);
    let mut expected: Vec<&str> = others.to_vec();
    expected.extend([used, "wifi.age", ".wifi.age.new-ffffffff"]);
    expected.sort_unstable();
    assert_eq!(names(&workspace), expected);
    drop(lock);
    run(&mut edit(&workspace, "secrets/wifi.age", "echo newer >\"$1\"")).exits(0);
    assert!(!workspace.path(&format!("secrets/{used}")).exists(), "its run has ended");
}

#[test]
fn a_run_does_not_remove_the_temporary_file_of_another() {
    let workspace = workspace("replace-both");
    let inner =
        "EDITOR='f() { echo inner >\"$1\"; }; f' vaultix edit secrets/wifi.age -i keys/me.txt";
    run(&mut edit(&workspace, "secrets/wifi.age", &format!("echo outer >\"$1\"; {inner}")))
        .exits(65)
        .says(&["secrets/wifi.age: changed, ", "the new text is in secrets/wifi.mine.age"]);
    assert_eq!(workspace.open("secrets/wifi.age", "me.txt"), "inner\n");
    assert_eq!(workspace.open("secrets/wifi.mine.age", "me.txt"), "outer\n");
}
