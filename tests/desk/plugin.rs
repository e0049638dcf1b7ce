//! identities of a plugin → one process and one PIN, no matter how many secrets.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use pretty_assertions::assert_eq;
use serde_json::json;

use crate::pty::Pty;
use crate::support::{Workspace, feed, run};

/// Returns the directory with the plugin of `tests/plugin`, and builds it if necessary.
fn plugin() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        // All of the workspace at once takes what the tests are linked with.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--quiet", "--locked", "--workspace", "--bin", "age-plugin-counting"])
            .status()
            .unwrap();
        assert!(status.success(), "cargo build --bin age-plugin-counting: {status}");
        Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("debug")
    })
}

/// Makes a workspace with `count` secrets for the plugin, and three hosts that use all of them.
fn workspace(name: &str, count: usize) -> Workspace {
    let workspace = Workspace::new(name);
    let identity =
        run(&mut workspace.command(plugin().join("age-plugin-counting"))).exits(0).stdout;
    assert!(identity.contains("recipient: age1counting1"), "{identity}");
    workspace.write("card.txt", identity);
    let ids: Vec<String> = (0..count).map(|i| format!("s{i}")).collect();
    for id in &ids {
        let line = format!("edit secrets/{id}.age -i card.txt");
        feed(&mut with_plugin(&workspace, &line), id.as_bytes()).exits(0);
    }
    let secrets: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), id.as_str())).collect();
    for host in ["web1", "db1", "old1"] {
        workspace.profile(host, &format!("host-{host}.pub"), &secrets);
    }
    let _ = std::fs::remove_file(workspace.path("log"));
    workspace
}

/// Prepares to run `vaultix` with the plugin in `PATH`.
fn with_plugin(workspace: &Workspace, line: &str) -> Command {
    let mut command = workspace.vaultix_command(line);
    let path = command
        .get_envs()
        .find_map(|(name, value)| (name == "PATH").then_some(value))
        .flatten()
        .unwrap()
        .to_owned();
    let path = format!("{}:{}", plugin().display(), path.display());
    command.env("PATH", path).env("COUNTING_LOG", workspace.path("log")).env("AGEDEBUG", "plugin");
    command
}

/// Prepares to re-encrypt for all hosts.
fn renc(workspace: &Workspace) -> Command {
    with_plugin(workspace, "-p web1.json -p db1.json -p old1.json renc -i card.txt")
}

/// Returns what the plugin has logged.
fn log(workspace: &Workspace) -> String {
    String::from_utf8(workspace.read("log")).unwrap()
}

#[test]
fn two_hundred_secrets_cost_one_process_and_one_pin() {
    let workspace = workspace("plugin-200", 200);
    let mut pty = Pty::start(renc(&workspace).arg("-v"));
    pty.expect("age-plugin-counting for identity-v1");
    pty.expect("age-plugin-counting: Please touch the card");
    pty.expect("Insert the card [y: done, n: skip] ");
    pty.send("y\n");
    pty.expect("PIN of the card (to decrypt 200 secrets): ");
    pty.send("1234\n");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 0, "{shown}");
    assert_eq!(log(&workspace), "identity-v1\nidentity\nfiles 200\npin\n");
    assert!(shown.contains("600 re-encrypted"), "{shown}");
    assert!(!shown.contains("1234"), "neither typed, nor by AGEDEBUG, nor by -v: {shown}");
    workspace.cached("web1", "host-web1", "s199");
}

#[test]
fn a_change_for_twenty_hosts_costs_one_pin_and_checking_needs_no_key() {
    let workspace = workspace("plugin-change", 5);
    let secrets = ["s0", "s1", "s2", "s3", "s4"].map(|id| (id, id));
    let hosts: Vec<String> = (0..20).map(|host| format!("h{host}")).collect();
    for host in &hosts {
        workspace.profile(host, "host-web1.pub", &secrets);
    }
    let hosts: Vec<String> = hosts.iter().map(|host| format!("-p {host}.json")).collect();
    let hosts = hosts.join(" ");
    let renc = |files: &str, pin: &str| {
        let mut pty =
            Pty::start(&mut with_plugin(&workspace, &format!("{hosts} renc -i card.txt")));
        pty.expect("Insert the card [y: done, n: skip] ");
        pty.send("y\n");
        pty.expect(&format!("PIN of the card (to decrypt {pin}): "));
        pty.send("1234\n");
        let (exit, shown) = pty.end();
        assert_eq!(exit, 0, "{shown}");
        assert!(log(&workspace).ends_with(&format!("identity-v1\nidentity\nfiles {files}\npin\n")));
        shown
    };
    assert!(renc("5", "5 secrets").contains("100 re-encrypted"));

    let before = log(&workspace);
    feed(&mut with_plugin(&workspace, "edit secrets/s3.age -i card.txt"), b"another").exits(0);
    assert_eq!(log(&workspace), before + "recipient-v1\n", "no PIN for what is thrown away");
    // Checking needs neither the plugin nor the identity.
    workspace.vaultix(&format!("{hosts} check")).exits(1).says(&["40 problems"]);
    assert!(renc("1", "1 secret").contains("20 re-encrypted, 80 up to date, 20 removed"));
    workspace.vaultix(&format!("{hosts} check")).exits(0).says(&["100 up to date"]);
    workspace.cached("h19", "host-web1", "another");
}

#[test]
fn importing_costs_one_pin_to_decrypt_and_none_to_encrypt() {
    let workspace = workspace("plugin-import", 4);
    let mut line = with_plugin(&workspace, "import agenix-rekey secrets -i card.txt --into new");
    let mut pty = Pty::start(&mut line);
    pty.expect("skip] ");
    pty.send("y\n");
    pty.expect("PIN of the card (to decrypt 4 secrets): ");
    pty.send("1234\n");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 0, "{shown}");
    assert!(shown.contains("4 imported"), "{shown}");
    let log = log(&workspace);
    assert_eq!(log.matches("pin").count(), 1, "{log}");
    assert_eq!(log.matches("identity").count(), 2, "opened in one session: {log}");

    // The identity that opens the old files may differ from the recipients of the flake.
    let root = workspace.root.display();
    let flake =
        format!("{{ outputs = _: {{ vaultix.settings.identity = \"{root}/card.txt\"; }}; }}\n");
    workspace.write("flake.nix", flake);
    workspace.secret("old/wifi.age", "wifi text");
    std::fs::remove_file(workspace.path("log")).unwrap();
    let mut line = with_plugin(&workspace, "import agenix-rekey old -i keys/me.txt --into sealed");
    run(line.env("NIX_CONFIG", "flake-registry =").env("HOME", &workspace.root)).exits(0);
    let log = String::from_utf8(workspace.read("log")).unwrap();
    assert!(!log.contains("identity"), "the card is not touched: {log}");
    let mut age = workspace.command("age");
    let me = run(age.args(["-d", "-i", "keys/me.txt", "sealed/wifi.age"]));
    assert_ne!(me.exit, 0, "it is the card's alone");
}

#[test]
fn a_wrong_pin_is_not_tried_again() {
    let workspace = workspace("plugin-wrong", 5);
    let mut pty = Pty::start(&mut renc(&workspace));
    pty.expect("skip] ");
    pty.send("y\n");
    pty.expect("): ");
    pty.send("0000\n");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 77, "{shown}");
    assert!(shown.contains("the PIN is wrong, 2 tries left"), "{shown}");
    assert_eq!(log(&workspace).matches("pin").count(), 1);
    assert!(workspace.tree("secrets/cache").is_empty());
}

#[test]
fn a_cancelled_pin_ends_the_session() {
    let workspace = workspace("plugin-cancel", 2);
    let mut pty = Pty::start(&mut renc(&workspace));
    pty.expect("skip] ");
    pty.send("y\n");
    pty.expect("): ");
    pty.send("\x03");
    assert_eq!(pty.end().0, 130);
    assert!(workspace.tree("secrets/cache").is_empty());
}

#[test]
fn a_card_that_requires_its_pin_every_time_gets_it() {
    let workspace = workspace("plugin-always", 3);
    let mut pty = Pty::start(renc(&workspace).env("COUNTING_POLICY", "always"));
    for _ in 0..3 {
        pty.expect("skip] ");
        pty.send("y\n");
        pty.expect("): ");
        pty.send("1234\n");
    }
    let (exit, shown) = pty.end();
    assert_eq!(exit, 0, "{shown}");
    assert_eq!(log(&workspace).matches("identity-v1").count(), 3);
}

#[test]
fn a_card_counts_as_absent_if_nobody_can_answer() {
    let workspace = workspace("plugin-nobody", 2);
    run(&mut renc(&workspace)).exits(77).says(&["Insert the card", "2 failed"]);
    assert!(log(&workspace).ends_with("skipped\n"));
}

#[test]
fn encrypting_touches_no_card() {
    let workspace = workspace("plugin-encrypt", 1);
    // With the recipient from the comment; without a comment, the plugin finds it.
    feed(&mut with_plugin(&workspace, "edit secrets/new.age -i card.txt"), b"x").exits(0);
    let card = String::from_utf8(workspace.read("card.txt")).unwrap();
    let bare: Vec<&str> = card.lines().filter(|line| !line.starts_with('#')).collect();
    let bare = bare.join("\n") + "\n";
    workspace.write("bare.txt", bare);
    feed(&mut with_plugin(&workspace, "edit secrets/newer.age -i bare.txt"), b"x").exits(0);
    assert_eq!(log(&workspace), "recipient-v1\nrecipient-v1\n");
}

#[test]
fn generating_touches_the_card_only_to_decrypt() {
    let workspace = workspace("plugin-generate", 2);
    let line = "-p web1.json generate -i card.txt";
    let generate = |from: &[&str]| {
        let command = ["sh", "-c", "cat $VAULTIX_DEPENDENCIES/s* /dev/null; echo made"];
        let one = json!({ "kind": "alnum" });
        let other = json!({ "kind": "command", "command": command, "dependencies": from });
        let recipient = workspace.key("host-web1.pub");
        let secrets = [("s0", "s0"), ("s1", "s1"), ("one", "one"), ("other", "other")];
        workspace.profile_with("web1", recipient.trim(), &secrets, |profile| {
            profile["secrets"]["one"]["generator"] = one;
            profile["secrets"]["other"]["generator"] = other;
        });
    };
    generate(&[]);
    run(&mut with_plugin(&workspace, line)).exits(0).says(&["2 generated"]);
    let seen = log(&workspace);
    assert!(!seen.contains("identity"), "the card is not touched: {seen}");

    std::fs::remove_file(workspace.path("secrets/other.age")).unwrap();
    std::fs::remove_file(workspace.path("log")).unwrap();
    generate(&["s0", "s1", "one"]);
    let mut pty = Pty::start(&mut with_plugin(&workspace, line));
    pty.expect("skip] ");
    pty.send("y\n");
    pty.expect("PIN of the card (to decrypt 3 secrets): ");
    pty.send("1234\n");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 0, "{shown}");
    let seen = log(&workspace);
    assert_eq!(
        (seen.matches("pin").count(), seen.matches("identity-v1").count()),
        (1, 1),
        "{seen}"
    );
}

#[test]
fn a_missing_plugin_is_named() {
    let workspace = workspace("plugin-missing", 1);
    workspace
        .vaultix("-p web1.json renc -i card.txt")
        .exits(77)
        .says(&["there is no program age-plugin-counting in PATH"]);
}

/// Writes the shell script `name`, with these `lines`.
fn script(workspace: &Workspace, name: &str, lines: &str) {
    workspace.write(name, format!("#!/bin/sh\n{lines}\n"));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(workspace.path(name), mode).unwrap();
}

/// Returns `data` in bech32 with the prefix `kind`.
fn bech32(kind: &str, data: &[u8]) -> String {
    bech32::encode::<bech32::Bech32>(bech32::Hrp::parse(kind).unwrap(), data).unwrap()
}

/// Anyone who can commit chooses the names of plugins, and can also commit programs.
#[test]
fn a_plugin_whose_name_is_a_path_is_not_run() {
    let workspace = Workspace::new("plugin-path");
    let ran = format!("echo ran >>{}", workspace.path("ran").display());
    for name in ["age-plugin-/program", "program", "age-plugin-.program"] {
        script(&workspace, name, &ran);
    }
    let public = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    for name in ["/program", "/../program", "../program", "./../program", "a/../../program"] {
        let recipient = bech32(&format!("age1{name}"), &[7; 16]);
        let done = feed(
            &mut workspace.vaultix_command(&format!("edit new.age -r {public} -r {recipient}")),
            b"text",
        );
        assert_ne!(done.exit, 0, "{name}");
        let identity = bech32(&format!("age-plugin-{name}-"), &[7; 16]).to_uppercase();
        workspace.write("card.txt", identity);
        workspace.secret("old.age", "old");
        assert_ne!(workspace.vaultix("view old.age -i card.txt").exit, 0, "{name}");
    }
    assert!(!workspace.path("ran").exists() && !workspace.path("new.age").exists());
    // The control: as paths, these names lead to the programs.
    workspace.sh("age-plugin-/program && age-plugin-/../program").exits(0);
    assert_eq!(workspace.read("ran"), b"ran\nran\n");
}

#[test]
fn a_plugin_that_never_stops_sending_is_ended_by_a_signal() {
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::CommandExt;
    let workspace = Workspace::new("plugin-talks");
    // The message is `hi` in red, followed by a bell.
    let talk = "cat >/dev/null & while :; do printf '%s\\n' '-> msg' 'G1szMW1oaQc'; done";
    script(&workspace, "bin/age-plugin-talking", talk);
    workspace.write("card.txt", bech32("age-plugin-talking-", &[7; 16]).to_uppercase());
    workspace.secret("old.age", "old");
    let mut command = Command::new(crate::prefix::prefix().join("bin/vaultix"));
    let path = format!("{}:/usr/bin:/bin", workspace.path("bin").display());
    command.args(["view", "old.age", "-i", "card.txt"]).env("PATH", path);
    command.current_dir(&workspace.root).stdin(std::process::Stdio::null());
    let mut child = command.stderr(std::process::Stdio::piped()).process_group(0).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = said.next().unwrap().unwrap();
    assert!(first.contains("age-plugin-talking: ") && first.contains("hi"), "{first}");
    assert!(!first.contains(['\u{1b}', '\u{7}']), "{first:?}");
    workspace.sh(&format!("kill -TERM {}", child.id())).exits(0);
    let rest = said.map_while(Result::ok).last();
    assert_eq!(child.wait().unwrap().code(), Some(143), "{rest:?}");
}

/// Prepares to edit with a plugin that fails to encrypt once for each line of the file `failing`.
fn failing(workspace: &Workspace, line: &str) -> Command {
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = --age-plugin=recipient-v1 ] && [ -s failing ]; then\n\
         sed -i 1d failing; exit 1; fi\nexec {}/age-plugin-counting \"$@\"\n",
        plugin().display()
    );
    workspace.write("bin/age-plugin-counting", script);
    let path = workspace.path("bin/age-plugin-counting");
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = with_plugin(workspace, line);
    let path = std::env::var("PATH").unwrap();
    let ours = crate::prefix::prefix().join("bin");
    command.env("PATH", format!("{}:{}:{path}", workspace.path("bin").display(), ours.display()));
    command.env("EDITOR", "f() { grep -c typed \"$1\" >>looks; echo typed >>\"$1\"; }; f");
    command
}

#[test]
fn typed_text_is_not_lost_when_a_plugin_fails() {
    let workspace = workspace("plugin-fails", 0);
    workspace.write("failing", "1\n2\n");
    let mut pty = Pty::start(&mut failing(&workspace, "edit secrets/new.age -i card.txt"));
    for _ in 0..2 {
        pty.expect("cannot encrypt secrets/new.age");
        pty.expect("is not saved [y: discard it, n: edit it again] ");
        pty.send("\n");
    }
    let (exit, shown) = pty.end();
    assert_eq!(exit, 0, "{shown}");
    assert_eq!(
        workspace.read("looks"),
        b"0\n1\n2\n",
        "the editor opens with what was typed before"
    );
    assert_eq!(workspace.tree("secrets").len(), 1);

    // It is lost only if the user confirms that.
    workspace.write("failing", "1\n");
    let mut pty = Pty::start(&mut failing(&workspace, "edit secrets/newer.age -i card.txt"));
    pty.expect("n: edit it again] ");
    pty.send("y\n");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 78, "{shown}");
    assert!(shown.contains("the new text is lost"), "{shown}");
    assert_eq!(workspace.tree("secrets").len(), 1);

    // If another identity could decrypt it, it is kept encrypted to that, without a question.
    workspace.write("failing", "1\n");
    let line = "edit secrets/newer.age -i card.txt -i keys/me.txt";
    let (exit, shown) = Pty::start(&mut failing(&workspace, line)).end();
    assert_eq!(exit, 78, "{shown}");
    assert!(shown.contains("the new text is in secrets/newer.mine.age, encrypted"), "{shown}");
    assert_eq!(workspace.open("secrets/newer.mine.age", "me.txt"), "typed\n");
}
