//! a flake above the working directory → taken if it is the user's or root's, or if they say so.

use std::os::unix::fs::chown;
use std::process::Command;

use crate::support::{Done, Workspace, feed_as_is, run};

/// Somebody else.
const NOBODY: u32 = 65534;

/// Makes a desk with a directory where everybody may make files, and one of the user's below it; `None` without nix, or
/// the rights to be somebody else.
fn workspace(name: &str) -> Option<Workspace> {
    let workspace = Workspace::new(&format!("whose-{name}"));
    let is_root = rustix::process::geteuid().is_root();
    if !is_root || workspace.sh("command -v nix").exit != 0 {
        assert_ne!(
            std::env::var("VAULTIX_TESTS").as_deref(),
            Ok("all"),
            "not root, or nix is missing"
        );
        eprintln!("SKIPPED: this takes root and nix");
        return None;
    }
    workspace
        .sh("mkdir -p home shared/mine && chmod 1777 shared && touch shared/flake.nix")
        .exits(0);
    let text = format!(
        "{{ outputs = _: {{ vaultix.settings = {{ extraRecipients = [ \"{}\" ]; cache = \"mine/new/planted\"; }}; }}; }}\n",
        workspace.key("ssh-rsa.pub").trim()
    );
    workspace.write("shared/flake.nix", text);
    Some(workspace)
}

/// Prepares to save a secret in the user's directory.
fn vaultix(workspace: &Workspace, line: &str) -> Command {
    let mut command = workspace.vaultix_command(line);
    command.current_dir(workspace.path("shared/mine")).env("HOME", workspace.path("home"));
    command
        .env("NIX_CONFIG", "flake-registry =")
        .env_remove("SUDO_UID")
        .env_remove("VAULTIX_FLAKE");
    command
}

/// Saves one.
fn edit(workspace: &Workspace, options: &str, change: impl FnOnce(&mut Command)) -> Done {
    let line = format!("{options} edit new.age --stdin -i ../../keys/me.txt");
    let mut command = vaultix(workspace, line.trim());
    change(&mut command);
    feed_as_is(&mut command, b"text")
}

/// Gives `path` to somebody else.
fn give(workspace: &Workspace, path: &str) {
    std::os::unix::fs::lchown(workspace.path(path), Some(NOBODY), None).unwrap();
}

#[test]
fn a_planted_flake_is_refused() {
    let Some(workspace) = workspace("planted") else { return };
    give(&workspace, "shared/flake.nix");
    let root = workspace.path("shared").canonicalize().unwrap();
    let said =
        format!("cannot use {0}/flake.nix: {0}/flake.nix belongs to user nobody", root.display());
    let fix = format!("to fix: export VAULTIX_FLAKE={}\n", root.display());
    edit(&workspace, "", |_| {}).exits(77).says(&[&said, &fix]);
    for line in ["renc", "check", "generate", "rekey", "view x.age", "import pass .", "init"] {
        run(&mut vaultix(&workspace, line)).exits(77).says(&[&said]);
    }
    assert!(!workspace.path("shared/mine/new.age").exists());
    // The controls: who names it, trusts it. Here, whom it adds can open what is made.
    for option in ["-f ..", "--flake=.."] {
        edit(&workspace, option, |_| {}).exits(0).says(&["encrypted to 2 recipients"]);
        assert_eq!(workspace.open("shared/mine/new.age", "ssh-rsa"), "text");
        std::fs::remove_file(workspace.path("shared/mine/new.age")).unwrap();
    }
    let by_variable = |command: &mut Command| {
        command.env("VAULTIX_FLAKE", &root);
    };
    edit(&workspace, "", by_variable).exits(0).says(&["encrypted to 2 recipients"]);
    // With profiles, the flake has no say.
    workspace.profile("web1", "host-web1.pub", &[]);
    run(&mut vaultix(&workspace, "-p ../../web1.json check")).exits(0);
}

#[test]
fn a_planted_flake_does_not_say_what_git_ignores_in_a_new_directory() {
    let Some(workspace) = workspace("attributes") else { return };
    let attributes = || {
        workspace.sh("rm -rf shared/mine/new && mkdir shared/mine/new").exits(0);
        run(&mut vaultix(&workspace, "init new -i ../../keys/me.txt")).exits(0);
        String::from_utf8(workspace.read("shared/mine/new/.gitattributes")).unwrap()
    };
    // The control: one of the user's own does.
    assert!(attributes().contains("/planted/**"), "{}", attributes());
    give(&workspace, "shared/flake.nix");
    assert!(!attributes().contains("planted"), "{}", attributes());
}

#[test]
fn files_that_decide_about_a_flake_have_an_owner_too() {
    for planted in ["shared", "shared/flake.lock", "shared/.git"] {
        let Some(workspace) = workspace("around") else { return };
        match planted {
            "shared/flake.lock" => {
                let text = "{ \"version\": 7, \"root\": \"root\", \"nodes\": { \"root\": { } } }";
                workspace.write(planted, text);
            }
            "shared/.git" => {
                workspace.sh("git -C shared init -q && git -C shared add flake.nix").exits(0);
            }
            _ => {}
        }
        edit(&workspace, "", |_| {}).exits(0).says(&["encrypted to 2 recipients"]);
        give(&workspace, planted);
        edit(&workspace, "", |_| {}).exits(77).says(&["belongs to user nobody"]);
    }
}

#[test]
fn roots_own_and_the_users_behind_sudo_are_taken() {
    let Some(workspace) = workspace("sudo") else { return };
    give(&workspace, "shared");
    give(&workspace, "shared/flake.nix");
    for (uid, exit) in [(None, 77), (Some("1234"), 77), (Some("x"), 77), (Some("65534"), 0)] {
        let sudo = |command: &mut Command| {
            if let Some(uid) = uid {
                command.env("SUDO_UID", uid);
            }
        };
        edit(&workspace, "", sudo).exits(exit);
    }
    // Another user has nothing of it, whoever they say they are; of root's they have all.
    let program = crate::prefix::prefix().join("bin/vaultix");
    workspace.sh(&format!("cp {} vaultix", program.display())).exits(0);
    chown(workspace.path("shared/mine"), Some(1234), None).unwrap();
    workspace.sh("chmod 755 . vaultix home").exits(0);
    let as_user = |workspace: &Workspace| {
        let mut command = workspace.command("setpriv");
        command.args(["--reuid=1234", "--clear-groups", "../../vaultix", "renc"]);
        command
            .current_dir(workspace.path("shared/mine"))
            .env("HOME", "/nonexistent")
            .env("SUDO_UID", "65534");
        run(&mut command)
    };
    as_user(&workspace).exits(77).says(&["belongs to user nobody"]);
    for path in ["shared", "shared/flake.nix"] {
        chown(workspace.path(path), Some(0), None).unwrap();
    }
    let done = as_user(&workspace);
    assert!(!done.stderr.contains("belongs to"), "{}", done.stderr);
}

#[test]
fn the_way_up_ends_with_the_file_system() {
    let Some(workspace) = workspace("border") else { return };
    let script = "mount -t tmpfs none shared/mine || exit 99
        cd shared/mine && mkdir deep && cd deep && vaultix edit new.age --stdin -i ../../../keys/me.txt <../../../text
        cd .. && vaultix renc; echo $?; vaultix -f .. renc; echo $?";
    workspace.write("text", "text");
    let mut command = workspace.command("unshare");
    command.args(["--mount", "sh", "-c", script]).env("HOME", workspace.path("home"));
    command.env("NIX_CONFIG", "flake-registry =").env_remove("SUDO_UID");
    let done = run(&mut command).exits(0).says(&[
        "encrypted to 1 recipient\n",
        "cannot find any profile: there is no flake.nix",
        "cannot evaluate vaultix.profiles of",
    ]);
    assert_eq!(done.stdout, "78\n78\n");
}

#[test]
fn a_named_flake_has_to_exist() {
    let Some(workspace) = workspace("named") else { return };
    edit(&workspace, "-f ../none", |_| {}).exits(78).says(&["cannot use the flake in ../none"]);
    edit(&workspace, "-f .", |_| {}).exits(78).says(&["there is no flake.nix in it"]);
    let empty = |command: &mut Command| {
        command.env("VAULTIX_FLAKE", "");
    };
    edit(&workspace, "", empty).exits(0).says(&["encrypted to 2 recipients"]);
}
