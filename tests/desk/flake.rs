//! `vaultix` in a flake → identities, recipients, profiles and folders as the flake sets them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Workspace, feed, run};

#[test]
fn a_flake_says_what_is_needed() {
    let workspace = Workspace::with_secrets("flake");
    if !workspace.has_nix() {
        return;
    }
    let recipient = workspace.key("ssh-rsa.pub");
    let host = workspace.key("host-web1.pub");
    workspace.write(
        "flake.nix",
        format!(
            "{{ outputs = {{ self }}: {{ vaultix = {{
              settings = {{ identity = \"{}/keys/me.txt\"; extraRecipients = [ \"{}\" ]; cache = \"./cached\";
                defaultSecretDirectory = \"./vault\"; }};
              profiles.web1 = {{
                version = 1;
                settings = {{ hostIdentifier = \"web1\"; hostPubkey = \"{}\"; hostKeys = [ ]; }};
                secrets.wifi.file = \"${{self}}/secrets/wifi.age\";
              }};
            }}; }}; }}\n",
            workspace.root.display(),
            recipient.trim(),
            host.trim()
        ),
    );
    workspace.sh("git init -q && git add flake.nix secrets").exits(0);
    let nix = |line: &str| {
        let mut command = workspace.vaultix_command(line);
        command.env("NIX_CONFIG", "flake-registry =").env("HOME", &workspace.root);
        command
    };
    run(&mut nix("renc")).exits(0).says(&["web1/wifi: re-encrypted"]);
    assert_eq!(workspace.tree("cached").len(), 1);
    let check = || run(nix("check").current_dir(workspace.path("secrets")));
    let said = ["wifi.age is not encrypted to ssh-rsa (tag", "to fix: vaultix rekey", "1 problem"];
    check().exits(65).says(&said);
    feed(&mut nix("edit secrets/wifi.age"), b"new").exits(0).says(&["encrypted to 2 recipients"]);
    assert_eq!(workspace.open("secrets/wifi.age", "ssh-rsa"), "new");
    let done = run(&mut nix("renc --dry-run")).exits(0);
    assert!(done.stdout.starts_with("web1/wifi: re-encrypt secrets/wifi.age\n"), "{}", done.stdout);
    workspace.secret("vault/loose.age", "in the directory of the flake's secrets");
    let said = ["secrets/wifi.age: rekeyed", ", vault/loose.age; to rekey them as well"];
    run(&mut nix("rekey")).exits(0).says(&said);
    run(&mut nix("renc")).exits(0);
    check().exits(0).says(&["1 up to date, 0 problems"]);
    // Of the identity's own kind, there is one too few.
    workspace.secret_with("secrets/wifi.age", "new", &["-R", "keys/ssh-rsa.pub"]);
    let me = workspace.key("me.txt");
    let me = me.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    run(&mut nix("check")).exits(1).says(&[&format!("wifi.age is not encrypted to X25519 ({me})")]);

    // Where another is of the same kind, the header does not tell which of them is missing.
    let other = workspace.key("other.txt");
    let other = other.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    let flake = String::from_utf8(workspace.read("flake.nix")).unwrap();
    let team = format!("\"# the team\\n{}\\n\\n{other} spare\\n\"", recipient.trim());
    let flake = flake.replace(&format!("\"{}\"", recipient.trim()), &team);
    workspace.write("flake.nix", flake);
    let to = ["-R", "keys/ssh-rsa.pub", "-i", "keys/me.txt"];
    workspace.secret_with("secrets/wifi.age", "new", &to);
    let of = format!("not encrypted to 1 of 2 X25519 recipients ({me} or {other})");
    let of_sorted = format!("not encrypted to 1 of 2 X25519 recipients ({other} or {me})");
    let said = run(&mut nix("check")).exits(1).stderr;
    assert!(said.contains(&of) || said.contains(&of_sorted), "{said}");
    feed(&mut nix("edit secrets/wifi.age"), b"all").exits(0).says(&["encrypted to 3 recipients"]);
    assert_eq!(workspace.open("secrets/wifi.age", "other.txt"), "all");
    assert_eq!(workspace.open("secrets/wifi.age", "ssh-rsa"), "all");
    run(&mut nix("check")).exits(1).says(&["2 problems"]);

    workspace
        .write("flake.nix", "{ outputs = { self }: { vaultix.profiles = throw \"boo\"; }; }\n");
    run(&mut nix("renc")).exits(78).says(&["cannot evaluate vaultix.profiles of", "boo"]);
}

#[test]
fn directories_with_a_dot_are_the_same_for_nix() {
    let workspace = Workspace::new("flake-dot");
    if !workspace.has_nix() {
        return;
    }
    for file in ["root.nix", "flake-path.nix"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("nix").join(file);
        workspace.write(file, fs::read(path).unwrap());
    }
    workspace.secret(".secrets/wifi.age", "wifi text");
    workspace.secret("secrets/wifi.age", "of another directory");
    let flake = |cache: &str| {
        format!(
            "{{ outputs = {{ self }}: let
              settings = {{ identity = \"{}/keys/me.txt\"; cache = \"{cache}\"; defaultSecretDirectory = \".secrets/\"; }};
              root = import ./root.nix {{ lib = {{ }}; cfg.settings = settings // {{ flake = self; hostIdentifier = \"web1\"; }}; }};
            in {{
              vaultix = {{
                inherit settings;
                profiles.web1 = {{
                  version = 1;
                  settings = {{ hostIdentifier = \"web1\"; hostPubkey = \"{}\"; hostKeys = [ ]; }};
                  secrets.wifi.file = root.defaultFile \"wifi\";
                }};
              }};
              seen = builtins.attrNames (builtins.readDir (root.below root.cacheDirectory));
            }}; }}\n",
            workspace.root.display(),
            workspace.key("host-web1.pub").trim(),
        )
    };
    let in_flake = |mut command: Command| {
        let settings = "flake-registry =\nexperimental-features = nix-command flakes";
        run(command.env("NIX_CONFIG", settings).env("HOME", &workspace.root))
    };
    let vaultix = |line: &str| in_flake(workspace.vaultix_command(line));
    workspace.sh("git init -q").exits(0);
    for cache in ["./.vaultix", ".vaultix/", ".vaultix/of hosts"] {
        workspace.write("flake.nix", flake(cache));
        workspace.sh("git add -A . ':!keys'").exits(0);
        vaultix("renc").exits(0).says(&["web1/wifi: re-encrypted"]);
        vaultix("check").exits(0);
        let copies = workspace.tree(&format!("{cache}/web1"));
        let names: Vec<&str> = copies.iter().map(|(name, _)| name.as_str()).collect();
        let mut nix = workspace.command("nix");
        nix.args(["eval", "--json", ".#seen"]);
        let seen = in_flake(nix).exits(0).stdout;
        assert_eq!(serde_json::from_str::<Vec<&str>>(&seen).unwrap(), names, "{cache}");
        let text = workspace.open(&format!("{cache}/web1/{}", names[0]), "host-web1");
        assert_eq!((names.len(), text.as_str()), (1, "wifi text"));
        workspace.sh("rm -rf .vaultix").exits(0);
    }
    for cache in ["", ".", "../x", "/x", "a/../b", ".git/x"] {
        workspace.write("flake.nix", flake(cache));
        vaultix("renc").exits(78).says(&["cannot use vaultix.cache of", "is not inside the flake"]);
    }
}
