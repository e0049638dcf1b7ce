//! a flake above the working directory → taken if it is the user's or root's, or if they say so.

use std::os::unix::fs::chown;
use std::process::Command;

use crate::support::{Desk, Done, feed_as_is, run};

/// Somebody else.
const NOBODY: u32 = 65534;

/// Makes a desk with a directory where everybody may make files, and one of the user's below it; `None` without nix, or
/// the rights to be somebody else.
fn desk(name: &str) -> Option<Desk> {
    let desk = Desk::new(&format!("whose-{name}"));
    let is_root = rustix::process::geteuid().is_root();
    if !is_root || desk.sh("command -v nix").exit != 0 {
        assert_ne!(
            std::env::var("VAULTIX_TESTS").as_deref(),
            Ok("all"),
            "not root, or nix is missing"
        );
        eprintln!("SKIPPED: this takes root and nix");
        return None;
    }
    desk.sh("mkdir -p home shared/mine && chmod 1777 shared && touch shared/flake.nix").exits(0);
    let text = format!(
        "{{ outputs = _: {{ vaultix.settings.extraRecipients = [ \"{}\" ]; }}; }}\n",
        desk.key("ssh-rsa.pub").trim()
    );
    desk.write("shared/flake.nix", text);
    Some(desk)
}

/// Prepares to save a secret in the user's directory.
fn vaultix(desk: &Desk, line: &str) -> Command {
    let mut command = desk.vaultix_command(line);
    command.current_dir(desk.path("shared/mine")).env("HOME", desk.path("home"));
    command
        .env("NIX_CONFIG", "flake-registry =")
        .env_remove("SUDO_UID")
        .env_remove("VAULTIX_FLAKE");
    command
}

/// Saves one.
fn edit(desk: &Desk, options: &str, change: impl FnOnce(&mut Command)) -> Done {
    let line = format!("{options} edit new.age --stdin -i ../../keys/me.txt");
    let mut command = vaultix(desk, line.trim());
    change(&mut command);
    feed_as_is(&mut command, b"text")
}

/// Gives `path` to somebody else.
fn give(desk: &Desk, path: &str) {
    std::os::unix::fs::lchown(desk.path(path), Some(NOBODY), None).unwrap();
}

#[test]
fn a_planted_flake_is_refused() {
    let Some(desk) = desk("planted") else { return };
    give(&desk, "shared/flake.nix");
    let root = desk.path("shared").canonicalize().unwrap();
    let said =
        format!("cannot use {0}/flake.nix: {0}/flake.nix belongs to user nobody", root.display());
    let fix = format!("to fix: export VAULTIX_FLAKE={}\n", root.display());
    edit(&desk, "", |_| {}).exits(77).says(&[&said, &fix]);
    for line in ["renc", "check", "generate", "rekey", "view x.age", "import pass .", "init"] {
        run(&mut vaultix(&desk, line)).exits(77).says(&[&said]);
    }
    assert!(!desk.path("shared/mine/new.age").exists());
    // The controls: who names it, trusts it. Here, whom it adds can open what is made.
    for option in ["-f ..", "--flake=.."] {
        edit(&desk, option, |_| {}).exits(0).says(&["encrypted to 2 recipients"]);
        assert_eq!(desk.open("shared/mine/new.age", "ssh-rsa"), "text");
        std::fs::remove_file(desk.path("shared/mine/new.age")).unwrap();
    }
    let by_variable = |command: &mut Command| {
        command.env("VAULTIX_FLAKE", &root);
    };
    edit(&desk, "", by_variable).exits(0).says(&["encrypted to 2 recipients"]);
    // With profiles, the flake has no say.
    desk.profile("web1", "host-web1.pub", &[]);
    run(&mut vaultix(&desk, "-p ../../web1.json check")).exits(0);
}

#[test]
fn so_is_what_decides_about_a_flake() {
    for planted in ["shared", "shared/flake.lock", "shared/.git"] {
        let Some(desk) = desk("around") else { return };
        match planted {
            "shared/flake.lock" => {
                let text = "{ \"version\": 7, \"root\": \"root\", \"nodes\": { \"root\": { } } }";
                desk.write(planted, text);
            }
            "shared/.git" => {
                desk.sh("git -C shared init -q && git -C shared add flake.nix").exits(0);
            }
            _ => {}
        }
        edit(&desk, "", |_| {}).exits(0).says(&["encrypted to 2 recipients"]);
        give(&desk, planted);
        edit(&desk, "", |_| {}).exits(77).says(&["belongs to user nobody"]);
    }
}

#[test]
fn roots_own_and_the_users_behind_sudo_are_taken() {
    let Some(desk) = desk("sudo") else { return };
    give(&desk, "shared");
    give(&desk, "shared/flake.nix");
    for (uid, exit) in [(None, 77), (Some("1234"), 77), (Some("x"), 77), (Some("65534"), 0)] {
        let sudo = |command: &mut Command| {
            if let Some(uid) = uid {
                command.env("SUDO_UID", uid);
            }
        };
        edit(&desk, "", sudo).exits(exit);
    }
    // Another user has nothing of it, whoever they say they are; of root's they have all.
    let program = crate::prefix::prefix().join("bin/vaultix");
    desk.sh(&format!("cp {} vaultix", program.display())).exits(0);
    chown(desk.path("shared/mine"), Some(1234), None).unwrap();
    desk.sh("chmod 755 . vaultix home").exits(0);
    let as_user = |desk: &Desk| {
        let mut command = desk.command("setpriv");
        command.args(["--reuid=1234", "--clear-groups", "../../vaultix", "renc"]);
        command
            .current_dir(desk.path("shared/mine"))
            .env("HOME", "/nonexistent")
            .env("SUDO_UID", "65534");
        run(&mut command)
    };
    as_user(&desk).exits(77).says(&["belongs to user nobody"]);
    for path in ["shared", "shared/flake.nix"] {
        chown(desk.path(path), Some(0), None).unwrap();
    }
    let done = as_user(&desk);
    assert!(!done.stderr.contains("belongs to"), "{}", done.stderr);
}

#[test]
fn the_way_up_ends_with_the_file_system() {
    let Some(desk) = desk("border") else { return };
    let script = "mount -t tmpfs none shared/mine || exit 99
        cd shared/mine && mkdir deep && cd deep && vaultix edit new.age --stdin -i ../../../keys/me.txt <../../../text
        cd .. && vaultix renc; echo $?; vaultix -f .. renc; echo $?";
    desk.write("text", "text");
    let mut command = desk.command("unshare");
    command.args(["--mount", "sh", "-c", script]).env("HOME", desk.path("home"));
    command.env("NIX_CONFIG", "flake-registry =").env_remove("SUDO_UID");
    let done = run(&mut command).exits(0).says(&[
        "encrypted to 1 recipient\n",
        "cannot find any profile: there is no flake.nix",
        "cannot evaluate vaultix.profiles of",
    ]);
    assert_eq!(done.stdout, "78\n78\n");
}

#[test]
fn what_is_named_has_to_be_there() {
    let Some(desk) = desk("named") else { return };
    edit(&desk, "-f ../none", |_| {}).exits(78).says(&["cannot use the flake in ../none"]);
    edit(&desk, "-f .", |_| {}).exits(78).says(&["there is no flake.nix in it"]);
    let empty = |command: &mut Command| {
        command.env("VAULTIX_FLAKE", "");
    };
    edit(&desk, "", empty).exits(0).says(&["encrypted to 2 recipients"]);
}
