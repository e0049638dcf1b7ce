//! `vaultix view` → one secret, on standard output or in a pager.

use pretty_assertions::assert_eq;

use crate::pty::Pty;
use crate::support::Workspace;

#[test]
fn view_prints_a_secret() {
    let workspace = Workspace::with_secrets("view");
    let done = workspace.vaultix("view secrets/wifi.age -i keys/me.txt").exits(0);
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("wifi text", ""));
    workspace.vaultix("view secrets/wifi.age -i keys/other.txt").exits(77);
    workspace.vaultix("view secrets/none.age -i keys/me.txt").exits(66);
    workspace.vaultix("view secrets/wifi.age").exits(64);
}

#[test]
fn without_nix_an_identity_is_enough() {
    let workspace = Workspace::with_secrets("view-no-nix");
    workspace.write("flake.nix", "{ outputs = _: { }; }\n");
    workspace
        .sh("mkdir bin && ln -s \"$(command -v vaultix)\" \"$(command -v git)\" bin/")
        .exits(0);
    let without = |line: &str| workspace.sh(&format!("PATH=$PWD/bin; {line}"));
    for line in [
        "vaultix view secrets/wifi.age",
        "echo new | vaultix edit secrets/wifi.age",
        "vaultix recipient",
    ] {
        without(line)
            .exits(78)
            .says(&["; to fix: install nix, or pass an identity with --identity FILE\n"]);
        let line = format!("{line} -i keys/me.txt");
        without(&line).exits(0);
    }
    without("vaultix renc").exits(78).says(&["; to fix: pass the profiles with --profile FILE\n"]);
}

#[test]
fn a_pager_shows_a_secret_on_a_terminal() {
    let workspace = Workspace::with_secrets("pager");
    let long: Vec<String> = (1..200).map(|i| format!("line {i}")).collect();
    workspace.secret("secrets/tls.age", long.join("\n"));
    let view = |file: &str, pager: Option<&str>| {
        let mut command =
            workspace.vaultix_command(&format!("view secrets/{file}.age -i keys/me.txt"));
        command.env("HOME", &workspace.root).env_remove("PAGER").env_remove("LESS");
        command.envs(pager.map(|pager| ("PAGER", pager)));
        Pty::start(&mut command)
    };
    // A text that fits on the screen is shown without waiting.
    let (exit, shown) = view("wifi", None).end();
    assert_eq!((exit, shown.contains("wifi text")), (0, true), "{shown}");
    // A longer text can be searched, but this leaves no history, and the pager cannot start a
    // program.
    let mut pty = view("tls", None);
    pty.expect("line 20");
    pty.send("/line 150\r");
    pty.expect("line 150");
    pty.send("!");
    pty.expect("ommand not available");
    pty.send("\rq");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 0, "{shown}");
    assert_eq!(workspace.sh("ls -A | grep less").stdout, "");

    let (exit, shown) = view("wifi", Some("tr t T")).end();
    assert_eq!((exit, shown.as_str()), (0, "wifi TexT"));
    let (exit, _) = view("tls", Some("head -n 1")).end();
    assert_eq!(exit, 0, "that it reads no more is no failure");
    for none in ["", "cat"] {
        assert_eq!(view("wifi", Some(none)).end(), (0, "wifi text".to_owned()));
    }
    let (exit, shown) = view("wifi", Some("pager-of-nowhere")).end();
    assert_eq!(exit, 1);
    assert!(shown.contains("because: there is no such program"), "{shown}");
}
