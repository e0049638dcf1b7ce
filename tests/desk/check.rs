//! `vaultix check`, `view`, `textconv`, `rekey` → what is there, told and changed.

use std::fs;

use pretty_assertions::assert_eq;
use serde_json::Value;

use crate::pty::Pty;
use crate::support::{Workspace, feed, run};

/// What every check of these tests is about.
const CHECK: &str = "-p web1.json -p db1.json check";

#[test]
fn all_is_well_after_renc() {
    let workspace = Workspace::with_secrets("check-well");
    workspace.renc().exits(0);
    let done = workspace.vaultix(CHECK).exits(0);
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("", "5 up to date, 0 to mend\n"));
    let done = workspace.vaultix(&format!("{CHECK} --json")).exits(0);
    assert_eq!(done.stdout, "{\"ok\":true,\"upToDate\":5,\"findings\":[]}\n");
}

#[test]
fn what_is_missing_is_named() {
    let workspace = Workspace::with_secrets("check-missing");
    workspace.vaultix(CHECK).exits(66).says(&["0 up to date, 5 to mend"]);
    workspace.renc().exits(0);
    workspace.secret("secrets/wifi.age", "new text");
    let done = workspace.vaultix(&format!("{CHECK} --json")).exits(1);
    let answer: Value = serde_json::from_str(&done.stdout).unwrap();
    let kinds: Vec<_> =
        answer["findings"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["missing", "missing", "stale", "stale"]);
    assert_eq!(answer["findings"][0]["fix"], "vaultix renc");
    assert_eq!(answer["findings"][0]["secret"], "wifi");
    assert_eq!(answer["ok"], false);
    assert_eq!(answer["upToDate"], 3);
}

#[test]
fn a_secret_that_nobody_can_open_is_found_without_a_key() {
    let workspace = Workspace::with_secrets("check-secret");
    workspace.renc().exits(0);
    workspace.write("secrets/tls.age", "no secret");
    let said = ["secrets/tls.age cannot be opened by anybody: the file is not an age file"];
    let done = workspace.vaultix(CHECK).exits(1).says(&said);
    // What it says to do works: edit does not open a damaged file.
    let fix = "rm secrets/tls.age && vaultix edit secrets/tls.age";
    assert!(done.stderr.contains(&format!("to fix: git checkout -- secrets/tls.age # or: {fix}")));
    let line = format!("echo new | ({fix} --stdin --identity keys/me.txt)");
    workspace.sh(&line).exits(0);
}

#[test]
fn a_copy_that_its_host_cannot_open_is_found_without_a_key() {
    for (what, damage) in [
        ("for another ssh key", "age -R keys/host-db1.pub -o FILE keys/README"),
        ("for another kind of key", "age -R keys/host-old1.pub -o FILE keys/README"),
        ("for two keys", "age -R keys/host-web1.pub -R keys/host-db1.pub -o FILE keys/README"),
        ("for age", "age -e -i keys/me.txt -o FILE keys/README"),
        ("cut in the header", "truncate -s 100 FILE"),
        ("cut in the payload", "truncate -s -36 FILE"),
        ("no age file", "echo nonsense >FILE"),
    ] {
        let workspace = Workspace::with_secrets("check-unfit");
        workspace.profile("web1", "host-web1.pub", &[("wifi", "wifi")]);
        workspace.vaultix("-p web1.json renc -i keys/me.txt").exits(0);
        let file = &workspace.tree("secrets/cache")[0].0;
        workspace.sh(&damage.replace("FILE", &format!("secrets/cache/{file}"))).exits(0);
        let done = workspace.vaultix("-p web1.json check").exits(65);
        let said =
            format!("host web1 cannot open secrets/cache/{file}, its copy of secret \"wifi\"");
        assert!(done.stderr.contains(&said), "{what}: {}", done.stderr);
        assert!(done.stderr.contains("0 up to date, 1 to mend"), "{what}: {}", done.stderr);
    }
}

#[test]
fn what_does_not_belong_is_named() {
    let workspace = Workspace::with_secrets("check-foreign");
    workspace.renc().exits(0);
    workspace.write("secrets/cache/web1/README", "mine");
    workspace.vaultix(CHECK).exits(1).says(&["secrets/cache/web1/README is not of the cache"]);
    fs::remove_file(workspace.path("secrets/mail.age")).unwrap();
    workspace.vaultix(CHECK).exits(1).says(&["cannot read secrets/mail.age"]);
}

#[test]
fn status_tells_what_is_where() {
    let workspace = Workspace::with_secrets("status");
    workspace.vaultix("-p web1.json renc -i keys/me.txt").exits(0);
    let done = workspace.vaultix("-p web1.json -p db1.json status").exits(0);
    assert_eq!(
        done.stdout,
        "secrets/mail.age  for X25519  on db1/mail (missing), web1/mail\n\
         secrets/tls.age   for X25519  on web1/tls\n\
         secrets/wifi.age  for X25519  on db1/wifi (missing), web1/wifi\n"
    );
    assert_eq!(done.stderr, "3 up to date, 2 missing, 0 stale\n");
    let done = workspace.vaultix("-p db1.json status --json").exits(0);
    let rows: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(rows[0]["hosts"]["db1"]["cached"], false);
    assert_eq!(rows[0]["recipients"][0], "X25519");
}

#[test]
fn a_secret_can_be_looked_at() {
    let workspace = Workspace::with_secrets("view");
    let done = workspace.vaultix("view secrets/wifi.age -i keys/me.txt").exits(0);
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("wifi text", ""));
    workspace.vaultix("view secrets/wifi.age -i keys/other.txt").exits(77);
    workspace.vaultix("view secrets/none.age -i keys/me.txt").exits(66);
    workspace.vaultix("view secrets/wifi.age").exits(64);
}

#[test]
fn on_a_terminal_a_pager_shows_it() {
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
    // What fits on the screen is only shown.
    let (exit, shown) = view("wifi", None).end();
    assert_eq!((exit, shown.contains("wifi text")), (0, true), "{shown}");
    // The rest can be searched; that leaves no history, and no program can be started from it.
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

/// Nix runs `git diff` to learn whether a flake is dirty, and git runs us on every secret: without an end to it, each
/// evaluation would start another one.
#[test]
fn a_diff_inside_an_evaluation_starts_no_other() {
    let workspace = Workspace::with_secrets("recursion");
    workspace.write("flake.nix", "{ }");
    let vaultix = crate::prefix::prefix().join("bin/vaultix");
    workspace.write(
        "bin/nix",
        format!(
            "#!/bin/sh\necho run >>nix.log\n[ $(wc -l <nix.log) -gt 3 ] && exit 1\n{} textconv secrets/wifi.age\n\
             echo '{{\"identity\":\"keys/me.txt\",\"extraRecipients\":[]}}'\n",
            vaultix.display()
        ),
    );
    workspace.sh("chmod 755 bin/nix").exits(0);
    let (ours, bin) = (vaultix.parent().unwrap().display().to_string(), workspace.path("bin"));
    let path = format!("{}:{ours}:/usr/bin:/bin", bin.display());
    let mut command = workspace.vaultix_command("textconv secrets/wifi.age");
    run(command.env("PATH", path)).exits(0);
    assert_eq!(workspace.read("nix.log"), b"run\n");
}

#[test]
fn git_shows_differences_of_plaintext() {
    let workspace = Workspace::with_secrets("textconv");
    workspace
        .sh("git init -q && echo '*.age diff=vaultix' >.gitattributes && git add secrets && \
         git config diff.vaultix.textconv 'vaultix textconv -i keys/me.txt'")
        .exits(0);
    feed(&mut workspace.vaultix_command("edit secrets/wifi.age -i keys/me.txt"), b"new text")
        .exits(0);
    let diff = workspace.sh("git --no-pager diff").exits(0).stdout;
    assert!(diff.contains("-wifi text") && diff.contains("+new text"), "{diff}");
    let done = workspace.vaultix("textconv secrets/wifi.age -i keys/other.txt").exits(0);
    assert!(done.stdout.starts_with("encrypted, sha256 "), "{}", done.stdout);
}

#[test]
fn git_keeps_no_text_that_it_is_shown() {
    let workspace = Workspace::with_secrets("cachetextconv");
    let script = "git init -q && git config user.name me && git config user.email me@example.org &&
        git config diff.vaultix.textconv 'vaultix textconv -i keys/me.txt' && git config diff.vaultix.cachetextconv true &&
        printf 'keys\n' >.gitignore && echo '*.age diff=vaultix' >.gitattributes && git add . && git commit -qm first &&
        echo new | vaultix edit secrets/wifi.age -i keys/me.txt && git commit -qam second";
    workspace.sh(script).exits(0);
    let objects = "for object in $(git rev-list --all --objects | cut -d' ' -f1); do git cat-file -p $object; done |
        grep -ac 'wifi text'";
    let fix = "git config --unset-all diff.vaultix.cachetextconv; git update-ref -d refs/notes/textconv/vaultix; \
         git gc --prune=now";
    let done = workspace.sh("git show").exits(0);
    let done = done.says(&["diff.vaultix.cachetextconv is set: git would keep the text", fix]);
    assert!(done.stdout.contains("+encrypted, sha256 "), "{}", done.stdout);
    assert_eq!(workspace.sh(objects).stdout, "0\n");
    let done = workspace.sh(&format!("{{ {fix}; }} 2>&1 && git show")).exits(0);
    assert!(done.stdout.contains("-wifi text"), "{}", done.stdout);
    // The control: git does keep it.
    let script = "git config diff.vaultix.textconv 'age -d -i keys/me.txt' && git config diff.vaultix.cachetextconv true &&
        git show";
    assert!(workspace.sh(script).exits(0).stdout.contains("-wifi text"));
    assert_eq!(workspace.sh(objects).stdout, "1\n");
    workspace.sh(fix);
}

#[test]
fn rekey_changes_all_or_nothing() {
    let workspace = Workspace::with_secrets("rekey");
    workspace.secret_with("secrets/mail.age", "mail text", &["-a", "-i", "keys/me.txt"]);
    let line = "-p web1.json -p db1.json rekey -i keys/me.txt -i keys/ssh-ed25519";
    workspace.vaultix(line).exits(0).says(&["3 encrypted anew; now run: vaultix renc"]);
    for key in ["me.txt", "ssh-ed25519"] {
        assert_eq!(workspace.open("secrets/mail.age", key), "mail text");
    }
    assert!(workspace.read("secrets/mail.age").starts_with(b"-----BEGIN"), "armor stays");

    workspace.secret_with("secrets/tls.age", "theirs", &["-i", "keys/other.txt"]);
    let before: Vec<_> =
        ["wifi", "mail", "tls"].map(|id| workspace.read(&format!("secrets/{id}.age"))).into();
    workspace
        .vaultix(line)
        .exits(77)
        .says(&["cannot open secrets/tls.age", "0 encrypted anew, 1 failed"]);
    let after: Vec<_> =
        ["wifi", "mail", "tls"].map(|id| workspace.read(&format!("secrets/{id}.age"))).into();
    assert!(before == after);
    assert_eq!(workspace.tree("secrets").len(), 3, "{:?}", workspace.tree("secrets"));
}

#[test]
fn rekey_leaves_an_old_identity_behind() {
    let workspace = Workspace::with_secrets("rekey-old");
    let line = "-p web1.json rekey --old keys/me.txt -i keys/ssh-ed25519";
    workspace.vaultix(line).exits(0).says(&["3 encrypted anew"]);
    assert_eq!(workspace.open("secrets/mail.age", "ssh-ed25519"), "mail text");
    workspace.vaultix("view secrets/mail.age -i keys/me.txt").exits(77);
    // The old one alone leaves nobody.
    workspace.vaultix("-p web1.json rekey --old keys/ssh-ed25519").exits(64).says(&["to nobody"]);
    // It is not unlocked where it is not needed.
    let line = "-p web1.json rekey --old keys/me-passphrase.age -i keys/ssh-ed25519";
    workspace.vaultix(line).exits(0).says(&["3 encrypted anew"]);
}

#[test]
fn a_flake_says_what_is_needed() {
    let workspace = Workspace::with_secrets("flake");
    if workspace.sh("command -v nix").exit != 0 {
        assert_ne!(std::env::var("VAULTIX_TESTS").as_deref(), Ok("all"), "nix is missing");
        eprintln!("SKIPPED: there is no nix here");
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
    let said = ["wifi.age is not encrypted to ssh-rsa (tag", "to fix: vaultix rekey", "1 to mend"];
    check().exits(65).says(&said);
    feed(&mut nix("edit secrets/wifi.age"), b"new").exits(0).says(&["encrypted to 2 recipients"]);
    assert_eq!(workspace.open("secrets/wifi.age", "ssh-rsa"), "new");
    let done = run(&mut nix("renc --dry-run")).exits(0);
    assert!(done.stdout.starts_with("web1/wifi: re-encrypt secrets/wifi.age\n"), "{}", done.stdout);
    workspace.secret("vault/loose.age", "in the directory of the flake's secrets");
    let said = ["secrets/wifi.age: encrypted anew", ", vault/loose.age; to encrypt them, too"];
    run(&mut nix("rekey")).exits(0).says(&said);
    run(&mut nix("renc")).exits(0);
    check().exits(0).says(&["1 up to date, 0 to mend"]);
    // Of the identity's own kind, there is one too few.
    workspace.secret_with("secrets/wifi.age", "new", &["-R", "keys/ssh-rsa.pub"]);
    run(&mut nix("check")).exits(1).says(&["wifi.age is not encrypted to X25519"]);

    workspace
        .write("flake.nix", "{ outputs = { self }: { vaultix.profiles = throw \"boo\"; }; }\n");
    run(&mut nix("renc")).exits(78).says(&["cannot evaluate vaultix.profiles of", "boo"]);
}

#[test]
fn deploy_does_what_units_would_do() {
    let workspace = Workspace::with_secrets("deploy");
    workspace.renc().exits(0);
    let cipher = workspace.cached("web1", "host-web1", "wifi text");
    let at = |name: &str| workspace.path(name).display().to_string();
    workspace.write(
        "host.json",
        serde_json::json!({
            "version": 1,
            "settings": {
                "hostIdentifier": "web1",
                "hostPubkey": workspace.key("host-web1.pub").trim(),
                "hostKeys": [ { "path": at("keys/host-web1"), "type": "ed25519" } ],
                "decryptedDir": at("run"),
                "decryptedDirForUser": at("run-for-user"),
                "decryptedMountPoint": at("run.d"),
            },
            "secrets": {
                "wifi": { "cipher": at(&format!("secrets/cache/web1/{cipher}")) },
                "gone": { "cipher": "/there-is-none" },
            },
        })
        .to_string(),
    );
    let script = "vaultix -p host.json deploy; echo $?; cat run/wifi; stat -f -c ' %T' run.d
        vaultix -p host.json deploy --early; echo $?";
    let done = run(workspace.command("unshare").args(["--mount", "sh", "-c", script]));
    if done.stderr.contains("unshare") {
        assert_ne!(std::env::var("VAULTIX_TESTS").as_deref(), Ok("all"), "{}", done.stderr);
        eprintln!("SKIPPED: no mount namespace here: {}", done.stderr);
        return;
    }
    let done =
        done.says(&["cannot decrypt secret \"gone\": ", "1 placed, 0 up to date, 0 removed"]);
    assert_eq!(done.stdout, "66\nwifi text ramfs\n0\n");

    let mut profile: Value = serde_json::from_slice(&workspace.read("host.json")).unwrap();
    profile["secrets"].as_object_mut().unwrap().remove("gone");
    profile["secrets"]["wifi"]["owner"] = "nobody-of-this-name".into();
    workspace.write("host.json", profile.to_string());
    let script = "vaultix -p host.json deploy";
    run(workspace.command("unshare").args(["--mount", "sh", "-c", script]))
        .exits(67)
        .says(&["nobody-of-this-name", "0 placed"]);
}
