//! `vaultix edit` without a file, on a terminal → the secret that the user picks; the terminal is
//! restored.

use pretty_assertions::assert_eq;

use crate::pty::Pty;
use crate::support::Workspace;

/// Starts the picker in a shell that compares the terminal's settings before and after it, and
/// prints its exit status.
fn start(workspace: &Workspace, options: &str) -> Pty {
    let line = format!(
        "stty -g >before; export EDITOR='sed -i s/text/new/'
         sh -c 'echo $$ >pid; exec vaultix {options} -i keys/me.txt'; echo \"exit $?\"
         stty -g >after; cmp before after && echo restored"
    );
    let mut command = workspace.command("setsid");
    Pty::start(command.args(["--wait", "sh", "-c", &line]))
}

/// Checks that the program ended with `exit`, and that the terminal was restored.
#[track_caller]
fn left(pty: Pty, exit: i32) -> String {
    let (_, shown) = pty.end();
    let (first, rest) = shown.split_once("\x1b[?7h\x1b[?1049l").unwrap();
    assert!(first.contains("\x1b[?1049h"), "{shown}");
    assert!(rest.contains(&format!("exit {exit}\r\nrestored\r\n")), "{shown}");
    rest.to_owned()
}

/// Returns which of the secrets of `Workspace::with_secrets` were edited.
fn edited(workspace: &Workspace) -> Vec<&'static str> {
    let ids = ["mail", "tls", "wifi"];
    let open = |id: &str| workspace.open(&format!("secrets/{id}.age"), "me.txt");
    ids.into_iter().filter(|id| open(id) == format!("{id} new")).collect()
}

#[test]
fn letters_and_arrows_select_a_secret() {
    for (keys, picked) in [
        ("\r", "mail"),
        ("wfi\r", "wifi"),
        ("\x1b[B\r", "tls"),
        ("\x1b[B\x1bOB\x1b[B\x1b[A\r", "tls"),
        ("x\x7f\x1b[6~\r", "wifi"),
        ("nothing like this\r\x15WIFI\r", "wifi"),
    ] {
        let workspace = Workspace::with_secrets("pick");
        let mut pty = start(&workspace, "edit");
        for name in ["> secrets/mail.age", "  secrets/tls.age", "  secrets/wifi.age", "3 of 3"] {
            pty.expect(name);
        }
        pty.send(keys);
        let rest = left(pty, 0);
        assert!(rest.contains(&format!("secrets/{picked}.age: changed")), "{rest}");
        assert_eq!(edited(&workspace), [picked], "{keys:?}");
    }
}

#[test]
fn cancelling_changes_nothing() {
    for keys in ["\x1b", "\x03", "\x04", "wi\x1b"] {
        let workspace = Workspace::with_secrets("pick-left");
        let mut pty = start(&workspace, "edit");
        pty.expect("3 of 3");
        pty.send(keys);
        left(pty, 130);
        assert_eq!(edited(&workspace), [""; 0]);
    }
    let workspace = Workspace::with_secrets("pick-killed");
    let mut pty = start(&workspace, "edit");
    pty.expect("3 of 3");
    workspace.sh("kill $(cat pid)").exits(0);
    left(pty, 143);
}

#[test]
fn secrets_are_listed_from_profiles() {
    let workspace = Workspace::with_secrets("pick-profiles");
    workspace.profile(
        "web1",
        "host-web1.pub",
        &[("wlan", "wifi"), ("mail", "mail"), ("post", "mail")],
    );
    workspace.profile("db1", "host-db1.pub", &[("wifi", "wifi")]);
    let mut pty = start(&workspace, "-p web1.json -p db1.json edit");
    pty.expect("> secrets/mail.age  post\x1b[K");
    pty.expect("  secrets/wifi.age  wlan\x1b[K");
    pty.expect("2 of 2");
    pty.send("wlan");
    pty.expect("1 of 2");
    pty.send("\r");
    left(pty, 0);
    assert_eq!(edited(&workspace), ["wifi"]);
}

#[test]
fn a_terminal_of_any_size_works() {
    let workspace = Workspace::with_secrets("pick-size");
    let mut pty = start(&workspace, "edit");
    pty.expect("3 of 3");
    pty.resize(2);
    pty.expect("\x1b[HEdit: \x1b7\x1b[K\r\n> secrets/mail.age\x1b[K\x1b[J");
    pty.resize(1);
    pty.expect("\x1b[HEdit: \x1b7\x1b[K\x1b[J");
    pty.send("\x1b[B");
    pty.expect("\x1b[J");
    pty.resize(3);
    pty.expect("  secrets/mail.age\x1b[K\r\n> secrets/tls.age\x1b[K\x1b[J");
    pty.send("\r");
    left(pty, 0);
    assert_eq!(edited(&workspace), ["tls"]);
}

#[test]
fn without_a_terminal_nothing_can_be_picked() {
    let workspace = Workspace::with_secrets("pick-not");
    let said = "cannot choose a secret to edit: no FILE is given, and there is no terminal";
    workspace.vaultix("edit -i keys/me.txt").exits(64).says(&[said, "vaultix edit FILE"]);
    workspace.sh("echo x | vaultix edit -i keys/me.txt").exits(64).says(&[said]);
    let mut command = workspace.vaultix_command("edit -i keys/me.txt");
    let (exit, shown) = Pty::start(command.env("TERM", "dumb")).end();
    assert_eq!(exit, 64, "{shown}");
    std::fs::remove_dir_all(workspace.path("secrets")).unwrap();
    let (exit, shown) = Pty::start(&mut workspace.vaultix_command("edit -i keys/me.txt")).end();
    assert_eq!(exit, 66, "{shown}");
    assert!(shown.contains("there is no *.age file below secrets"), "{shown}");
}
