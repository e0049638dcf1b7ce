//! identities of a plugin → one process and one PIN, whatever the number of secrets.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use pretty_assertions::assert_eq;
use serde_json::json;

use crate::pty::Pty;
use crate::support::{Desk, feed, run};

/// Returns the directory with the plugin of `tests/plugin`, built if need be.
fn plugin() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("plugin");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--quiet", "--locked", "-p", "age-plugin-counting", "--target-dir"])
            .arg(&target)
            .status()
            .unwrap();
        assert!(status.success(), "cargo build -p age-plugin-counting: {status}");
        target.join("debug")
    })
}

/// Makes a desk with `count` secrets for the plugin, and three hosts that use all of them.
fn desk(name: &str, count: usize) -> Desk {
    let desk = Desk::new(name);
    let identity = run(&mut desk.command(plugin().join("age-plugin-counting"))).exits(0).stdout;
    assert!(identity.contains("recipient: age1counting1"), "{identity}");
    desk.write("card.txt", identity);
    let ids: Vec<String> = (0..count).map(|i| format!("s{i}")).collect();
    for id in &ids {
        let line = format!("edit secrets/{id}.age -i card.txt");
        feed(&mut with_plugin(&desk, &line), id.as_bytes()).exits(0);
    }
    let secrets: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), id.as_str())).collect();
    for host in ["web1", "db1", "old1"] {
        desk.profile(host, &format!("host-{host}.pub"), &secrets);
    }
    let _ = std::fs::remove_file(desk.path("log"));
    desk
}

/// Prepares to run `vaultix` with the plugin in `PATH`.
fn with_plugin(desk: &Desk, line: &str) -> Command {
    let mut command = desk.vaultix_command(line);
    let path = command
        .get_envs()
        .find_map(|(name, value)| (name == "PATH").then_some(value))
        .flatten()
        .unwrap()
        .to_owned();
    let path = format!("{}:{}", plugin().display(), path.display());
    command.env("PATH", path).env("COUNTING_LOG", desk.path("log")).env("AGEDEBUG", "plugin");
    command
}

/// Prepares to re-encrypt for all hosts.
fn renc(desk: &Desk) -> Command {
    with_plugin(desk, "-p web1.json -p db1.json -p old1.json renc -i card.txt")
}

/// Returns what the plugin has logged.
fn log(desk: &Desk) -> String {
    String::from_utf8(desk.read("log")).unwrap()
}

#[test]
fn two_hundred_secrets_cost_one_process_and_one_pin() {
    let desk = desk("plugin-200", 200);
    let mut pty = Pty::start(renc(&desk).arg("-v"));
    pty.expect("age-plugin-counting for identity-v1");
    pty.expect("age-plugin-counting: Please touch the card");
    pty.expect("Insert the card [y: done, n: skip] ");
    pty.send("y\n");
    pty.expect("PIN of the card (to open 200 secrets): ");
    pty.send("1234\n");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 0, "{shown}");
    assert_eq!(log(&desk), "identity-v1\nidentity\nfiles 200\npin\n");
    assert!(shown.contains("600 re-encrypted"), "{shown}");
    assert!(!shown.contains("1234"), "neither typed, nor by AGEDEBUG, nor by -v: {shown}");
    desk.cached("web1", "host-web1", "s199");
}

#[test]
fn one_change_for_twenty_hosts_costs_one_pin_and_its_check_no_key() {
    let desk = desk("plugin-change", 5);
    let secrets = ["s0", "s1", "s2", "s3", "s4"].map(|id| (id, id));
    let hosts: Vec<String> = (0..20).map(|host| format!("h{host}")).collect();
    for host in &hosts {
        desk.profile(host, "host-web1.pub", &secrets);
    }
    let hosts: Vec<String> = hosts.iter().map(|host| format!("-p {host}.json")).collect();
    let hosts = hosts.join(" ");
    let renc = |files: &str, pin: &str| {
        let mut pty = Pty::start(&mut with_plugin(&desk, &format!("{hosts} renc -i card.txt")));
        pty.expect("Insert the card [y: done, n: skip] ");
        pty.send("y\n");
        pty.expect(&format!("PIN of the card (to open {pin}): "));
        pty.send("1234\n");
        let (exit, shown) = pty.end();
        assert_eq!(exit, 0, "{shown}");
        assert!(log(&desk).ends_with(&format!("identity-v1\nidentity\nfiles {files}\npin\n")));
        shown
    };
    assert!(renc("5", "5 secrets").contains("100 re-encrypted"));

    let before = log(&desk);
    feed(&mut with_plugin(&desk, "edit secrets/s3.age -i card.txt"), b"another").exits(0);
    assert_eq!(log(&desk), before + "recipient-v1\n", "no PIN for what is thrown away");
    // Without the plugin, and without the identity.
    desk.vaultix(&format!("{hosts} check")).exits(1).says(&["40 to mend"]);
    assert!(renc("1", "1 secret").contains("20 re-encrypted, 80 up to date, 20 removed"));
    desk.vaultix(&format!("{hosts} check")).exits(0).says(&["100 up to date"]);
    desk.cached("h19", "host-web1", "another");
}

#[test]
fn importing_costs_one_pin_to_open_and_none_to_encrypt() {
    let desk = desk("plugin-import", 4);
    let mut line = with_plugin(&desk, "import agenix-rekey secrets -i card.txt --into new");
    let mut pty = Pty::start(&mut line);
    pty.expect("skip] ");
    pty.send("y\n");
    pty.expect("PIN of the card (to open 4 secrets): ");
    pty.send("1234\n");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 0, "{shown}");
    assert!(shown.contains("4 imported"), "{shown}");
    let log = log(&desk);
    assert_eq!(log.matches("pin").count(), 1, "{log}");
    assert_eq!(log.matches("identity").count(), 2, "opened in one session: {log}");

    // What opens the old files need not be what the flake encrypts to.
    let root = desk.root.display();
    let flake =
        format!("{{ outputs = _: {{ vaultix.settings.identity = \"{root}/card.txt\"; }}; }}\n");
    desk.write("flake.nix", flake);
    desk.secret("old/wifi.age", "wifi text");
    std::fs::remove_file(desk.path("log")).unwrap();
    let mut line = with_plugin(&desk, "import agenix-rekey old -i keys/me.txt --into sealed");
    run(line.env("NIX_CONFIG", "flake-registry =").env("HOME", &desk.root)).exits(0);
    let log = String::from_utf8(desk.read("log")).unwrap();
    assert!(!log.contains("identity"), "the card is not touched: {log}");
    let mut age = desk.command("age");
    let me = run(age.args(["-d", "-i", "keys/me.txt", "sealed/wifi.age"]));
    assert_ne!(me.exit, 0, "it is the card's alone");
}

#[test]
fn a_wrong_pin_is_not_tried_again() {
    let desk = desk("plugin-wrong", 5);
    let mut pty = Pty::start(&mut renc(&desk));
    pty.expect("skip] ");
    pty.send("y\n");
    pty.expect("): ");
    pty.send("0000\n");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 77, "{shown}");
    assert!(shown.contains("the PIN is wrong, 2 tries left"), "{shown}");
    assert_eq!(log(&desk).matches("pin").count(), 1);
    assert!(desk.tree("secrets/cache").is_empty());
}

#[test]
fn a_cancelled_pin_ends_the_session() {
    let desk = desk("plugin-cancel", 2);
    let mut pty = Pty::start(&mut renc(&desk));
    pty.expect("skip] ");
    pty.send("y\n");
    pty.expect("): ");
    pty.send("\x03");
    assert_eq!(pty.end().0, 130);
    assert!(desk.tree("secrets/cache").is_empty());
}

#[test]
fn a_card_that_wants_its_pin_every_time_gets_it() {
    let desk = desk("plugin-always", 3);
    let mut pty = Pty::start(renc(&desk).env("COUNTING_POLICY", "always"));
    for _ in 0..3 {
        pty.expect("skip] ");
        pty.send("y\n");
        pty.expect("): ");
        pty.send("1234\n");
    }
    let (exit, shown) = pty.end();
    assert_eq!(exit, 0, "{shown}");
    assert_eq!(log(&desk).matches("identity-v1").count(), 3);
}

#[test]
fn where_nobody_answers_the_card_is_not_there() {
    let desk = desk("plugin-nobody", 2);
    run(&mut renc(&desk)).exits(77).says(&["Insert the card", "2 failed"]);
    assert!(log(&desk).ends_with("skipped\n"));
}

#[test]
fn encrypting_touches_no_card() {
    let desk = desk("plugin-encrypt", 1);
    // By the recipient in the comment; and, without that, by asking the plugin.
    feed(&mut with_plugin(&desk, "edit secrets/new.age -i card.txt"), b"x").exits(0);
    let card = String::from_utf8(desk.read("card.txt")).unwrap();
    let bare: Vec<&str> = card.lines().filter(|line| !line.starts_with('#')).collect();
    let bare = bare.join("\n") + "\n";
    desk.write("bare.txt", bare);
    feed(&mut with_plugin(&desk, "edit secrets/newer.age -i bare.txt"), b"x").exits(0);
    assert_eq!(log(&desk), "recipient-v1\nrecipient-v1\n");
}

#[test]
fn generating_touches_the_card_only_for_what_is_there() {
    let desk = desk("plugin-generate", 2);
    let line = "-p web1.json generate -i card.txt";
    let generate = |from: &[&str]| {
        let command = ["sh", "-c", "cat $VAULTIX_DEPENDENCIES/s* /dev/null; echo made"];
        let one = json!({ "kind": "alnum" });
        let other = json!({ "kind": "command", "command": command, "dependencies": from });
        let recipient = desk.key("host-web1.pub");
        let secrets = [("s0", "s0"), ("s1", "s1"), ("one", "one"), ("other", "other")];
        desk.profile_with("web1", recipient.trim(), &secrets, |profile| {
            profile["secrets"]["one"]["generator"] = one;
            profile["secrets"]["other"]["generator"] = other;
        });
    };
    generate(&[]);
    run(&mut with_plugin(&desk, line)).exits(0).says(&["2 generated"]);
    let seen = log(&desk);
    assert!(!seen.contains("identity"), "the card is not touched: {seen}");

    std::fs::remove_file(desk.path("secrets/other.age")).unwrap();
    std::fs::remove_file(desk.path("log")).unwrap();
    generate(&["s0", "s1", "one"]);
    let mut pty = Pty::start(&mut with_plugin(&desk, line));
    pty.expect("skip] ");
    pty.send("y\n");
    pty.expect("PIN of the card (to open 3 secrets): ");
    pty.send("1234\n");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 0, "{shown}");
    let seen = log(&desk);
    assert_eq!(
        (seen.matches("pin").count(), seen.matches("identity-v1").count()),
        (1, 1),
        "{seen}"
    );
}

#[test]
fn a_missing_plugin_is_named() {
    let desk = desk("plugin-missing", 1);
    desk.vaultix("-p web1.json renc -i card.txt")
        .exits(77)
        .says(&["there is no program age-plugin-counting in PATH"]);
}

/// Prepares to edit with a plugin that fails to encrypt as often as `failing` has lines.
fn failing(desk: &Desk, line: &str) -> Command {
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = --age-plugin=recipient-v1 ] && [ -s failing ]; then\n\
         sed -i 1d failing; exit 1; fi\nexec {}/age-plugin-counting \"$@\"\n",
        plugin().display()
    );
    desk.write("bin/age-plugin-counting", script);
    let path = desk.path("bin/age-plugin-counting");
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = with_plugin(desk, line);
    let path = std::env::var("PATH").unwrap();
    let ours = crate::prefix::prefix().join("bin");
    command.env("PATH", format!("{}:{}:{path}", desk.path("bin").display(), ours.display()));
    command.env("EDITOR", "f() { grep -c typed \"$1\" >>looks; echo typed >>\"$1\"; }; f");
    command
}

#[test]
fn what_was_typed_is_not_lost_when_a_plugin_fails() {
    let desk = desk("plugin-fails", 0);
    desk.write("failing", "1\n2\n");
    let mut pty = Pty::start(&mut failing(&desk, "edit secrets/new.age -i card.txt"));
    for _ in 0..2 {
        pty.expect("cannot encrypt secrets/new.age");
        pty.expect("is not saved [y: lose it, n: edit it again] ");
        pty.send("\n");
    }
    let (exit, shown) = pty.end();
    assert_eq!(exit, 0, "{shown}");
    assert_eq!(desk.read("looks"), b"0\n1\n2\n", "the editor opens with what was typed before");
    assert_eq!(desk.tree("secrets").len(), 1);

    // Only who says so loses it.
    desk.write("failing", "1\n");
    let mut pty = Pty::start(&mut failing(&desk, "edit secrets/newer.age -i card.txt"));
    pty.expect("n: edit it again] ");
    pty.send("y\n");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 78, "{shown}");
    assert!(shown.contains("what was typed is lost"), "{shown}");
    assert_eq!(desk.tree("secrets").len(), 1);

    // Where somebody else could open it, it is kept for them, and nobody is asked.
    desk.write("failing", "1\n");
    let line = "edit secrets/newer.age -i card.txt -i keys/me.txt";
    let (exit, shown) = Pty::start(&mut failing(&desk, line)).end();
    assert_eq!(exit, 78, "{shown}");
    assert!(shown.contains("what was typed is in secrets/newer.mine.age, encrypted"), "{shown}");
    assert_eq!(desk.open("secrets/newer.mine.age", "me.txt"), "typed\n");
}
