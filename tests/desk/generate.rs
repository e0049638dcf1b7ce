//! `vaultix generate` → secrets that are accepted by the programs that use them, each created once.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use xtask::canary::{marked, marker, plain};

use crate::prefix::prefix;
use crate::pty::Pty;
use crate::support::{Done, Workspace, feed_as_is, run};

/// Makes a workspace with a host `web1`, whose secrets have these generators; `null` for none.
fn workspace(name: &str, generators: &Value) -> Workspace {
    let workspace = Workspace::new(name);
    profile(&workspace, "web1", generators);
    workspace
}

/// Writes the profile of a host.
fn profile(workspace: &Workspace, host: &str, generators: &Value) {
    let ids: Vec<&str> = generators.as_object().unwrap().keys().map(String::as_str).collect();
    let secrets: Vec<(&str, &str)> = ids.iter().map(|&id| (id, id)).collect();
    workspace.profile_with(host, workspace.key("host-web1.pub").trim(), &secrets, |profile| {
        for id in ids {
            if !generators[id].is_null() {
                profile["secrets"][id]["generator"] = generators[id].clone();
            }
        }
    });
}

/// Prepares `generate` with the native identity.
fn command(workspace: &Workspace) -> Command {
    workspace.vaultix_command("-p web1.json generate -i keys/me.txt")
}

/// Runs `generate`.
fn generate(workspace: &Workspace) -> Done {
    run(&mut command(workspace))
}

/// Returns the plaintext of a secret.
#[track_caller]
fn open(workspace: &Workspace, id: &str) -> String {
    workspace.open(&format!("secrets/{id}.age"), "me.txt")
}

/// Returns the names of all files in `secrets`.
fn names(workspace: &Workspace) -> Vec<String> {
    workspace.tree("secrets").into_iter().map(|(name, _)| name).collect()
}

/// Returns a generator that runs a line of shell.
fn shell(line: &str, dependencies: &[&str]) -> Value {
    json!({ "kind": "command", "command": ["sh", "-c", line], "dependencies": dependencies })
}

#[test]
fn passwords_have_their_length_and_alphabet() {
    let workspace = workspace(
        "generate-passwords",
        &json!({
            "a": { "kind": "alnum" },
            "a2": { "kind": "alnum", "length": 5000 },
            "b": { "kind": "base64" },
            "b2": { "kind": "base64", "length": 1 },
            "h": { "kind": "hex" },
            "h2": { "kind": "hex", "length": 65536 },
            "p": { "kind": "passphrase" },
            "p2": { "kind": "passphrase", "length": 3 },
        }),
    );
    generate(&workspace).exits(0).says(&["8 generated, 0 already there; now run: vaultix renc\n"]);
    for (id, length) in [("a", 32), ("a2", 5000)] {
        let text = open(&workspace, id);
        assert_eq!((text.len(), text.bytes().all(|b| b.is_ascii_alphanumeric())), (length, true));
    }
    let long = open(&workspace, "a2");
    let seen: std::collections::BTreeSet<char> = long.chars().collect();
    assert_eq!(seen.len(), 62, "each letter and digit: {seen:?}");
    for (id, length) in [("b", "32\n"), ("b2", "1\n")] {
        let line = format!("age -d -i keys/me.txt secrets/{id}.age | base64 -d | wc -c");
        assert_eq!(workspace.sh(&line).exits(0).stdout, length);
    }
    for (id, length) in [("h", 64), ("h2", 131_072)] {
        let text = open(&workspace, id);
        let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        assert_eq!((text.len(), is_hex), (length, true));
    }
    let words = include_str!("../../src/commands/generate/words.txt");
    for (id, count) in [("p", 8), ("p2", 3)] {
        let text = open(&workspace, id);
        assert_eq!(text.split('-').count(), count, "{text}");
        assert!(text.split('-').all(|word| words.lines().any(|known| known == word)), "{text}");
    }
}

#[test]
fn ssh_accepts_its_keys() {
    // Comments of eight lengths, each of which needs different padding.
    let ids = ["s", "ss", "sss", "ssss", "sssss", "ssssss", "sssssss", "ssssssss"];
    let generators: serde_json::Map<_, _> =
        ids.iter().map(|&id| (id.to_owned(), json!({ "kind": "ssh-ed25519" }))).collect();
    let workspace = workspace("generate-ssh", &generators.into());
    generate(&workspace).exits(0).says(&["secrets/s.age: generated\nsecrets/s.pub: written\n"]);
    for id in ids {
        let line = format!(
            "umask 077; age -d -i keys/me.txt secrets/{id}.age >key && ssh-keygen -y -f key >found &&
            cmp found secrets/{id}.pub && grep -q '^ssh-ed25519 [^ ]* {id}$' secrets/{id}.pub &&
            echo text >text && ssh-keygen -q -Y sign -n test -f key text &&
            echo \"me $(cat secrets/{id}.pub)\" >allowed &&
            ssh-keygen -q -Y verify -f allowed -I me -n test -s text.sig <text && rm text.sig &&
            age -R secrets/{id}.pub text | age -d -i key | cmp - text &&
            ssh-keygen -q -p -f key -N passphrase && ssh-keygen -y -f key -P passphrase | cmp - found"
        );
        workspace.sh(&line).exits(0);
    }
    let private = |id: &str| open(&workspace, id).lines().nth(3).unwrap().to_owned();
    assert_ne!(private("s"), private("ss"));
}

#[test]
fn wireguard_and_age_accept_their_keys() {
    let workspace = workspace(
        "generate-keys",
        &json!({ "wg.home": { "kind": "wireguard" }, "wg2": { "kind": "wireguard" }, "id": { "kind": "age" } }),
    );
    generate(&workspace).exits(0);
    for id in ["wg.home", "wg2"] {
        let line =
            format!("age -d -i keys/me.txt secrets/{id}.age | wg pubkey | cmp - secrets/{id}.pub");
        workspace.sh(&line).exits(0);
    }
    assert_ne!(workspace.read("secrets/wg.home.pub"), workspace.read("secrets/wg2.pub"));
    // The bits that `wg genkey` sets and clears are set and cleared, so that `wg show` prints the
    // same key as the file.
    let line = "age -d -i keys/me.txt secrets/wg2.age | base64 -d | od -An -tu1 -v -w32";
    let bytes = workspace.sh(line).exits(0).stdout;
    let bytes: Vec<u8> = bytes.split_ascii_whitespace().map(|byte| byte.parse().unwrap()).collect();
    assert_eq!((bytes.len(), bytes[0] & 7, bytes[31] & 0xc0), (32, 0, 0x40));

    let line = "umask 077; age -d -i keys/me.txt secrets/id.age >id.txt &&
        age-keygen -y id.txt | cmp - secrets/id.pub &&
        echo text | age -R secrets/id.pub | age -d -i id.txt | grep -qx text";
    workspace.sh(line).exits(0);
}

#[test]
fn web_servers_accept_a_hash_of_another_secret() {
    let workspace = workspace(
        "generate-htpasswd",
        &json!({
            "a-login": { "kind": "htpasswd", "user": "me", "dependencies": ["password"] },
            "password": { "kind": "passphrase", "length": 5 },
            "z-login": { "kind": "htpasswd", "user": "you", "dependencies": ["typed"] },
            "typed": null,
        }),
    );
    workspace.secret("secrets/typed.age", "by an editor\n");
    generate(&workspace).exits(0).says(&[
        "secrets/password.age: generated\nsecrets/a-login.age: generated\nsecrets/z-login.age: generated\n",
    ]);
    for (id, user, password) in [
        ("a-login", "me", open(&workspace, "password").into_bytes()),
        ("z-login", "you", marked(b"by an editor")),
    ] {
        assert!(open(&workspace, id).starts_with(&format!("{user}:$2y$10$")));
        workspace.sh(&format!("age -d -i keys/me.txt secrets/{id}.age >lines")).exits(0);
        let verify = |password: &[u8]| {
            let mut verify = workspace.command("htpasswd");
            feed_as_is(verify.args(["-vi", "lines", user]), password)
        };
        verify(&password).exits(0);
        verify(b"another one").exits(3);
    }
}

#[test]
fn existing_secrets_are_not_replaced() {
    let workspace = workspace(
        "generate-again",
        &json!({ "mine": { "kind": "alnum" }, "new": { "kind": "alnum" }, "wg": { "kind": "wireguard" } }),
    );
    workspace.secret_with("secrets/mine.age", "mine", &["-i", "keys/other.txt"]);
    generate(&workspace).exits(0).says(&["2 generated, 1 already there"]);
    let before: Vec<_> = names(&workspace);
    let read = || -> Vec<_> {
        before.iter().map(|name| workspace.read(&format!("secrets/{name}"))).collect()
    };
    let bytes = read();
    // With nothing to do, no identity is needed.
    workspace.vaultix("-p web1.json generate").exits(0).says(&["0 generated, 3 already there\n"]);
    assert_eq!(names(&workspace), ["mine.age", "new.age", "wg.age", "wg.pub"]);
    assert!(bytes == read());
    assert_eq!(fs::metadata(workspace.path("secrets/new.age")).unwrap().nlink(), 1);

    // A new private key must not be created while the old public key exists: the user has to remove
    // it as well.
    fs::remove_file(workspace.path("secrets/wg.age")).unwrap();
    let half = workspace.read("secrets/wg.pub");
    generate(&workspace)
        .exits(66)
        .says(&["secrets/wg.pub is the public key of another secret", "rm secrets/wg.pub"]);
    assert_eq!(workspace.read("secrets/wg.pub"), half);
    fs::remove_file(workspace.path("secrets/wg.pub")).unwrap();
    generate(&workspace).exits(0);
    assert_ne!(workspace.read("secrets/wg.pub"), half);
}

#[test]
fn a_secret_that_appears_in_the_meantime_stays() {
    let line = "mkdir secrets && echo theirs >secrets/x.age; echo ours";
    let workspace =
        workspace("generate-race", &json!({ "x": shell(line, &[]), "y": { "kind": "alnum" } }));
    generate(&workspace).exits(73).says(&[
        "/secrets/x.age: File exists",
        "1 generated",
        "1 failed",
    ]);
    assert_eq!(workspace.read("secrets/x.age"), b"theirs\n");
    assert_eq!(names(&workspace), ["x.age", "y.age"]);
}

#[test]
fn a_dry_run_needs_no_key_and_creates_nothing() {
    let workspace = workspace(
        "generate-dry",
        &json!({
            "hash": { "kind": "htpasswd", "user": "me", "dependencies": ["typed", ] },
            "typed": { "kind": "alnum" },
            "wg": { "kind": "wireguard" },
            "plain": null,
            "script": shell("mk |\nsort", &["typed"]),
        }),
    );
    workspace.secret("secrets/wg.age", "whatever");
    let done = workspace.vaultix("-p web1.json generate --dry-run").exits(0);
    assert_eq!(
        done.stdout,
        "secrets/typed.age: generate, alnum\nsecrets/hash.age: generate, htpasswd from typed\n\
         secrets/script.age: generate, command sh -c $'mk |\\nsort' from typed\n\
         secrets/wg.pub: write, public key of secrets/wg.age\n"
    );
    assert_eq!(done.stderr, "3 to generate, 0 already there\n");
    assert_eq!(names(&workspace), ["wg.age"]);
    let done = workspace.vaultix("-p web1.json generate --dry-run --secret hash").exits(0);
    assert_eq!(done.stdout.lines().count(), 2, "and what it is made from: {}", done.stdout);
    let done = workspace.vaultix("-p web1.json generate --dry-run --secret typed").exits(0);
    assert_eq!(done.stdout, "secrets/typed.age: generate, alnum\n");
}

#[test]
fn dependencies_are_decrypted_in_one_session() {
    let workspace = workspace(
        "generate-session",
        &json!({
            "a": null, "b": null, "c": null,
            "x": shell("cat $VAULTIX_DEPENDENCIES/a $VAULTIX_DEPENDENCIES/b", &["a", "b"]),
            "y": shell("cat $VAULTIX_DEPENDENCIES/c $VAULTIX_DEPENDENCIES/x", &["c", "x"]),
        }),
    );
    for id in ["a", "b", "c"] {
        workspace.secret(&format!("secrets/{id}.age"), format!("{id} "));
    }
    let line = "-p web1.json generate -i keys/me-passphrase.age";
    let mut pty = Pty::start(&mut workspace.vaultix_command(line));
    pty.expect("Passphrase for keys/me-passphrase.age (to decrypt 3 secrets): ");
    pty.send("correct horse\n");
    let (exit, shown) = pty.end();
    assert_eq!((exit, shown.matches("Passphrase").count()), (0, 1), "{shown}");
    assert_eq!(open(&workspace, "y"), "c a b ");

    // The public key of an ssh key is known without its passphrase: if nothing has to be decrypted,
    // nothing is asked.
    profile(&workspace, "web1", &json!({ "z": { "kind": "alnum" } }));
    let line = "-p web1.json generate -i keys/ssh-ed25519-passphrase -r";
    let other = workspace.sh("age-keygen -y keys/other.txt").exits(0).stdout;
    run(workspace.vaultix_command(line).arg(other.trim())).exits(0);
    assert_eq!(workspace.open("secrets/z.age", "other.txt").len(), 32);
}

#[test]
fn dependencies_of_a_command_are_only_in_memory() {
    let script = "cd \"$VAULTIX_DEPENDENCIES\" && {
        stat -f -c %T . && stat -c %a . dep deep dep deep/er && ls && cat dep deep/er; echo; pwd
        ls /proc/self/fd | wc -l; } >\"$OLDPWD/seen\"
        env >\"$OLDPWD/env\"; tr '\\0' '\\n' </proc/$PPID/cmdline >\"$OLDPWD/argv\"
        ln dep \"$PWD.seen\"; printf 'a\\0b\\n'";
    let workspace = workspace(
        "generate-command",
        &json!({ "dep": { "kind": "alnum" }, "deep/er": null, "x": shell(script, &["dep", "deep/er"]) }),
    );
    workspace.secret("secrets/deep/er.age", "hunter2");
    generate(&workspace).exits(0);
    workspace
        .sh("age -d -i keys/me.txt secrets/x.age | od -An -c | grep -q 'a  .0   b  .n'")
        .exits(0);
    workspace.keeps("seen");
    let seen = String::from_utf8(plain(&workspace.read("seen"))).unwrap();
    let seen: Vec<&str> = seen.lines().collect();
    assert_eq!(seen[..6], ["tmpfs", "700", "600", "700", "600", "600"]);
    assert_eq!(seen[6..8], ["deep", "dep"]);
    let dep = open(&workspace, "dep");
    assert_eq!(seen[8], format!("{dep}hunter2"));
    assert!(!std::path::Path::new(seen[9]).exists(), "{} is gone", seen[9]);
    let kept = format!("{}.seen", seen[9]);
    assert_eq!(fs::read(&kept).unwrap(), [0; 32], "the text is wiped, not only unlinked");
    fs::remove_file(kept).unwrap();
    for place in ["env", "argv"] {
        let text = String::from_utf8_lossy(&workspace.read(place)).into_owned();
        assert!(!text.contains("hunter2") && !text.contains(&dep), "{text}");
    }
}

#[test]
fn no_host_gets_what_only_others_are_generated_from() {
    let workspace = workspace(
        "generate-intermediary",
        &json!({
            "login": { "kind": "htpasswd", "user": "me", "dependencies": [{ "host": "db1", "secret": "root" }] },
            "both": shell("cat $VAULTIX_DEPENDENCIES/seed $VAULTIX_DEPENDENCIES/db1/root", &[]),
            "seed": { "kind": "hex" },
        }),
    );
    let mut web: Value = serde_json::from_slice(&workspace.read("web1.json")).unwrap();
    web["secrets"]["both"]["generator"]["dependencies"] =
        json!(["seed", { "host": "db1", "secret": "root" }]);
    web["secrets"]["seed"]["intermediary"] = json!(true);
    workspace.write("web1.json", web.to_string());
    profile(
        &workspace,
        "db1",
        &json!({ "root": { "kind": "passphrase" }, "other": { "kind": "hex" } }),
    );
    let mut db: Value = serde_json::from_slice(&workspace.read("db1.json")).unwrap();
    db["secrets"]["root"]["intermediary"] = json!(true);
    workspace.write("db1.json", db.to_string());

    // Without the profile of the other host, nothing is known of its secrets.
    generate(&workspace).exits(78).says(&["\"root\" of host db1, of which nothing is known"]);
    fs::remove_dir_all(workspace.path("secrets")).unwrap();
    let hosts = "-p web1.json -p db1.json";
    let identity = "-i keys/me.txt";
    workspace.vaultix(&format!("{hosts} generate {identity}")).exits(0).says(&["5 generated"]);
    let (seed, root) = (open(&workspace, "seed"), open(&workspace, "root"));
    assert_eq!(open(&workspace, "both"), format!("{seed}{root}"));
    workspace.sh("age -d -i keys/me.txt secrets/login.age >lines").exits(0);
    let mut verify = workspace.command("htpasswd");
    feed_as_is(verify.args(["-vi", "lines", "me"]), root.as_bytes()).exits(0);

    workspace.vaultix(&format!("{hosts} renc {identity}")).exits(0).says(&["3 re-encrypted"]);
    for host in ["web1", "db1"] {
        for (name, _) in workspace.tree(&format!("secrets/cache/{host}")) {
            let text = workspace.open(&format!("secrets/cache/{host}/{name}"), "host-web1");
            assert!(text != seed && text != root, "{host}/{name} is what no host gets");
        }
    }
    // The control: without the word, it is a copy like any other.
    db["secrets"]["root"]["intermediary"] = json!(false);
    workspace.write("db2.json", db.to_string());
    workspace
        .vaultix("-p db2.json check")
        .exits(66)
        .says(&["host db1 has no copy of secret \"root\""]);

    // The desk edits and rekeys it, looks whom it is encrypted to, and copies are not made for that.
    workspace.vaultix(&format!("{hosts} check")).exits(0).says(&["3 up to date, 0 problems"]);
    let edit = workspace.vaultix_command(&format!("edit secrets/seed.age {identity} --stdin"));
    feed_as_is(&mut { edit }, b"another one").exits(0);
    assert_eq!(open(&workspace, "seed"), "another one");
    workspace.vaultix(&format!("{hosts} rekey {identity}")).exits(0).says(&["5 rekeyed"]);
    workspace.vaultix(&format!("{hosts} renc {identity}")).exits(0);
    workspace.write("secrets/seed.age", "damaged");
    workspace
        .vaultix(&format!("{hosts} check"))
        .exits(65)
        .says(&["secrets/seed.age cannot be decrypted by anyone"]);
    // And who has what was made from it can do without it.
    fs::remove_file(workspace.path("secrets/seed.age")).unwrap();
    for line in ["check", "status", "renc -i keys/me.txt", "rekey -i keys/me.txt"] {
        workspace.vaultix(&format!("{hosts} {line}")).exits(0);
    }
    // One that only cannot be reached is not gone: its old recipients would stay, and nobody would be told.
    workspace.sh("ln -s nowhere secrets/seed.age").exits(0);
    workspace.vaultix(&format!("{hosts} rekey {identity}")).exits(66).says(&["secrets/seed.age"]);
    fs::remove_file(workspace.path("secrets/seed.age")).unwrap();

    // A host that is given the desk's profile has no unit for it.
    web["secrets"]["login"]["cipher"] = json!("/c");
    web["secrets"]["both"]["cipher"] = json!("/c");
    workspace.write("web1.json", web.to_string());
    let generator = prefix().join("lib/systemd/system-generators/vaultix-generator");
    fs::create_dir(workspace.path("units")).unwrap();
    run(workspace.command(generator).args(["--profile", "web1.json", "units"])).exits(0);
    let units = workspace.tree("units");
    let of = |id: &str| units.iter().filter(|(name, _)| name.contains(id)).count();
    assert!(of("@login") > 0 && of("seed") == 0, "{units:?}");
}

#[test]
fn what_is_renewed_is_replaced_with_all_that_is_made_from_it() {
    let workspace = workspace(
        "generate-renew",
        &json!({
            "login": { "kind": "htpasswd", "user": "me", "dependencies": ["password"] },
            "password": { "kind": "alnum" },
            "stays": { "kind": "alnum" },
            "typed": null,
            "wg": { "kind": "wireguard" },
        }),
    );
    workspace.secret("secrets/typed.age", "typed");
    profile(&workspace, "db1", &json!({ "password": { "kind": "alnum" } }));
    let hosts = "-p web1.json -p db1.json";
    workspace.vaultix(&format!("{hosts} generate -i keys/me.txt")).exits(0);
    let all = ["login", "password", "stays", "typed", "wg"];
    let read = |suffix: &str| {
        let read = |id| workspace.path(&format!("secrets/{id}.{suffix}"));
        all.map(|id| fs::read(read(id)).unwrap_or_default())
    };
    let changed = |before: &[Vec<u8>; 5]| -> Vec<&str> {
        let after = read("age");
        let pairs = all.iter().zip(before.iter().zip(&after));
        pairs.filter(|(_, (one, other))| one != other).map(|(id, _)| *id).collect()
    };
    let before = read("age");
    let line = format!("{hosts} generate --renew --host web1 --secret password");
    let dry = workspace.vaultix(&format!("{line} --dry-run")).exits(0);
    assert_eq!(
        dry.stdout,
        "secrets/password.age: generate again, alnum\nsecrets/login.age: generate again, htpasswd from password\n"
    );
    assert_eq!(changed(&before), [""; 0]);
    workspace.vaultix(&format!("{line} -i keys/me.txt")).exits(0).says(&[
        "secrets/password.age is also for the host db1",
        "secrets/password.age: generated again\nsecrets/login.age: generated again\n",
        "2 generated, 0 already there; now run: vaultix renc\n",
    ]);
    assert_eq!(changed(&before), ["login", "password"]);
    workspace.sh("age -d -i keys/me.txt secrets/login.age >lines").exits(0);
    let mut verify = workspace.command("htpasswd");
    let password = open(&workspace, "password");
    feed_as_is(verify.args(["-vi", "lines", "me"]), password.as_bytes()).exits(0);

    // A public key belongs to its private key, also after a kill in between.
    let public = workspace.read("secrets/wg.pub");
    workspace.vaultix(&format!("{hosts} generate --renew --secret wg -i keys/me.txt")).exits(0);
    assert_ne!(workspace.read("secrets/wg.pub"), public);
    let pair = "age -d -i keys/me.txt secrets/wg.age | wg pubkey | cmp - secrets/wg.pub";
    workspace.sh(pair).exits(0);
    let renew = "vaultix -p web1.json generate --renew --secret wg -i keys/me.txt";
    for call in ["unlinkat", "renameat", "renameat2,linkat"] {
        let kill = format!(
            "strace -f -qq -o log -e trace={call} -e inject={call}:signal=KILL:when=1 {renew}
             test $? -ne 0"
        );
        workspace.sh(&kill).exits(0);
        // There is none where the next run has to make it, or that of the private key that is there.
        let is_there = workspace.path("secrets/wg.pub").exists();
        assert_eq!(is_there, call == "unlinkat");
        generate(&workspace).exits(0);
        workspace.sh(pair).exits(0);
    }

    // Everything is replaced only on a yes, and what is not known is no host.
    let before = read("age");
    workspace
        .vaultix(&format!("{hosts} generate --renew -i keys/me.txt"))
        .exits(64)
        .says(&["nobody has agreed to that", "--secret or --host"]);
    assert_eq!(changed(&before), [""; 0]);
    let mut pty = Pty::start(
        &mut workspace.vaultix_command(&format!("{hosts} generate --renew -i keys/me.txt")),
    );
    pty.expect(
        "4 secrets would be replaced: all that have a generator. [y: replace them, n: keep them] ",
    );
    pty.send("y\n");
    assert_eq!(pty.end().0, 0);
    assert_eq!(changed(&before), ["login", "password", "stays", "wg"]);
    workspace
        .vaultix(&format!("{hosts} generate --host none"))
        .exits(64)
        .says(&["cannot find host \"none\""]);
    workspace
        .vaultix(&format!("{hosts} generate --host db1 --secret wg"))
        .exits(64)
        .says(&["no chosen host has a secret of this name"]);
}

#[test]
fn a_renewed_value_leaves_the_others_of_its_file() {
    let workspace = workspace(
        "generate-renew-value",
        &json!({ "a": { "kind": "age" }, "b": { "kind": "hex" } }),
    );
    let mut web: Value = serde_json::from_slice(&workspace.read("web1.json")).unwrap();
    for (id, key) in [("a", "/keys/a"), ("b", "/b")] {
        web["secrets"][id]["file"] = json!("secrets/all.yaml.age");
        web["secrets"][id]["key"] = json!(key);
    }
    workspace.write("web1.json", web.to_string());
    fs::create_dir(workspace.path("secrets")).unwrap();
    let mut age = workspace.command("age");
    age.args(["--encrypt", "--output", "secrets/all.yaml.age", "-i", "keys/me.txt"]);
    feed_as_is(&mut age, format!("# mine\nother: {}x # y\n", marker()).as_bytes()).exits(0);
    let renc = "-p web1.json renc -i keys/me.txt";
    // Without the value, renc says what makes it.
    workspace
        .vaultix(renc)
        .exits(65)
        .says(&["cannot find /b in secrets/all.yaml.age", "to fix: vaultix generate\n"]);
    generate(&workspace).exits(0);
    workspace.vaultix(renc).exits(0);
    let text = open(&workspace, "all.yaml");
    let public = workspace.read("secrets/all.keys.a.pub");
    let line = "-p web1.json generate --renew --secret a -i keys/me.txt";
    workspace.vaultix(line).exits(0).says(&["secrets/all.yaml.age: generated /keys/a again"]);
    let new = open(&workspace, "all.yaml");
    let without = |text: &str| {
        text.lines()
            .filter(|line| !line.contains("AGE-SECRET-KEY-"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert!(new != text && new.contains("other: x # y\n"), "{new}");
    let (old, new) = (without(&text), without(&new));
    assert_eq!(
        old.iter().filter(|line| !line.contains("# ")).collect::<Vec<_>>(),
        new.iter().filter(|line| !line.contains("# ")).collect::<Vec<_>>()
    );
    assert_ne!(workspace.read("secrets/all.keys.a.pub"), public);
    workspace
        .sh("umask 077; vaultix get secrets/all.yaml.age keys/a -i keys/me.txt >id && age-keygen -y id | cmp - secrets/all.keys.a.pub")
        .exits(0);
}

#[test]
fn a_secret_that_is_older_than_it_may_be_is_said() {
    let workspace = workspace(
        "generate-rotate",
        &json!({ "made": { "kind": "hex" }, "typed": null, "young": null, "free": null }),
    );
    let mut web: Value = serde_json::from_slice(&workspace.read("web1.json")).unwrap();
    for (id, rotate) in [("made", "90d"), ("typed", "1y"), ("young", "2y")] {
        web["secrets"][id]["rotate"] = json!(rotate);
    }
    workspace.write("web1.json", web.to_string());
    for id in ["typed", "young", "free"] {
        workspace.secret(&format!("secrets/{id}.age"), id);
    }
    generate(&workspace).exits(0);
    workspace.vaultix("-p web1.json renc -i keys/me.txt").exits(0);
    // Without git, the files say it.
    workspace.sh("touch -d '400 days ago' secrets/*.age").exits(0);
    let check = "-p web1.json check";
    let done = workspace.vaultix(check).exits(0).says(&[
        "cannot keep secrets/made.age any longer: its file was last changed or rekeyed 400 days ago, and rotate of \"made\" is 90 days",
        "vaultix generate --renew --secret made && vaultix renc",
        "cannot keep secrets/typed.age any longer",
        "vaultix edit secrets/typed.age && vaultix renc",
        "4 up to date, 0 problems",
    ]);
    assert!(!done.stderr.contains("young") && !done.stderr.contains("free"), "{}", done.stderr);
    workspace.vaultix(&format!("{check} --strict")).exits(1).says(&["4 up to date, 2 problems"]);
    let shown = workspace.vaultix("-p web1.json status").exits(0).stdout;
    assert!(shown.contains(" (400 of 90 days old)  made on web1"), "{shown}");
    assert_eq!(shown.matches("days old").count(), 3, "{shown}");
    // With it, its commits do, whatever the time of the file.
    let commit = |days: u32| {
        let line = format!(
            "git add secrets && GIT_COMMITTER_DATE=\"$(date -d '{days} days ago' -R)\" git -c user.name=x -c user.email=x@y commit -qm x"
        );
        workspace.sh(&line).exits(0);
    };
    workspace.sh("git init -q && touch secrets/*.age").exits(0);
    workspace.vaultix(&format!("{check} --strict")).exits(0);
    commit(100);
    workspace.vaultix(&format!("{check} --strict")).exits(1).says(&["100 days ago", "1 problem"]);
    let renew = "-p web1.json generate --renew --secret made -i keys/me.txt";
    workspace.vaultix(renew).exits(0);
    workspace.vaultix("-p web1.json renc -i keys/me.txt").exits(0);
    workspace.vaultix(&format!("{check} --strict")).exits(0);
    commit(91);
    workspace.vaultix(&format!("{check} --strict")).exits(1).says(&["91 days ago"]);
    // A clone without history does not know.
    workspace.sh("git clone -q --depth 1 \"file://$PWD\" clone && cp web1.json clone/").exits(0);
    let mut shallow = workspace.vaultix_command(&format!("{check} --strict"));
    shallow.current_dir(workspace.path("clone"));
    run(&mut shallow).exits(0);
}

#[test]
fn a_command_that_fails_creates_nothing() {
    let workspace = workspace(
        "generate-failing",
        &json!({
            "after": shell("true", &["status"]),
            "blank": shell("printf ' \\n'", &[]),
            "empty": shell("true", &[]),
            "good": { "kind": "hex" },
            "loud": shell("head -c 300000 /dev/zero | tr '\\0' x >&2; printf '\\n\\033[31mlast\\n\\n' >&2; exit 1", &[]),
            "none": { "kind": "command", "command": ["program-of-nowhere"] },
            "signal": shell("echo half; kill -9 $$", &[]),
            "status": shell("echo half; echo first >&2; echo why >&2; exit 3", &[]),
            "much": shell("yes", &[]),
            "quotes": shell("printf 'first\nprinted' ; echo \"no: printed: $(cat \"$VAULTIX_DEPENDENCIES/good\")\" >&2; exit 1", &["good"]),
        }),
    );
    let done = generate(&workspace).exits(1).says(&[
        "cannot generate secret \"after\": it is made from \"status\", which could not be created or decrypted",
        "cannot generate secret \"blank\": \"sh\" printed only white space",
        "cannot generate secret \"empty\": \"sh\" printed nothing",
        "cannot generate secret \"loud\": \"sh\" failed: exit status: 1: [31mlast\n",
        "cannot generate secret \"none\": \"program-of-nowhere\" cannot be run: No such file or directory",
        "cannot generate secret \"signal\": \"sh\" failed: signal: 9 (SIGKILL)\n",
        "cannot generate secret \"status\": \"sh\" failed: exit status: 3: why\n",
        "cannot generate secret \"much\": the output of \"sh\" cannot be used: it has more than 128 MiB\n",
        // What a program writes to stderr is shown, except secrets that it was given or has
        // printed.
        "cannot generate secret \"quotes\": \"sh\" failed: exit status: 1: no: [a secret, not shown]: [a secret, not shown]\n",
        "1 generated, 0 already there; now run: vaultix renc, 9 failed",
    ]);
    assert!(!done.stderr.contains("half"), "{}", done.stderr);
    assert_eq!(names(&workspace), ["good.age"]);
}

#[test]
fn an_interrupted_run_leaves_complete_files() {
    let slow = shell(
        "echo \"at $VAULTIX_DEPENDENCIES\" >&2; echo \"$VAULTIX_DEPENDENCIES\" >at; exec sleep 100",
        &["a"],
    );
    let workspace = workspace(
        "generate-interrupt",
        &json!({ "a": { "kind": "alnum" }, "b": slow, "c": { "kind": "alnum" } }),
    );
    let gone = |workspace: &Workspace| {
        let at = String::from_utf8(workspace.read("at")).unwrap();
        assert!(!std::path::Path::new(at.trim()).exists(), "{at} is gone");
        fs::remove_file(workspace.path("at")).unwrap();
    };
    let mut pty = Pty::start(&mut command(&workspace));
    pty.expect("secrets/a.age: generated");
    workspace.sh("until [ -s at ]; do sleep 0.01; done").exits(0);
    pty.send("\x03");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 130, "{shown}");
    assert!(shown.contains("1 generated") && shown.contains("interrupted"), "{shown}");
    gone(&workspace);
    assert_eq!(names(&workspace), ["a.age"]);

    // At the second signal, it does not wait for a program that ignores signals, and ends that as
    // well.
    profile(
        &workspace,
        "web1",
        &json!({
            "a": { "kind": "alnum" },
            "deaf": shell(
                "trap 'echo >trapped' TERM INT; echo $VAULTIX_DEPENDENCIES >at; echo $$ >pid; \
                 while :; do sleep 600 & wait; done",
                &["a"],
            ),
        }),
    );
    for (first, second, exit) in [("TERM", "TERM", 143), ("INT", "QUIT", 131), ("HUP", "INT", 130)]
    {
        let pty = Pty::start(&mut command(&workspace));
        workspace.sh("until [ -s pid ]; do sleep 0.01; done").exits(0);
        let at = String::from_utf8(workspace.read("at")).unwrap();
        assert!(std::path::Path::new(at.trim()).join("a").exists());
        let pid = at.split('/').find_map(|part| part.strip_prefix("vaultix-")).unwrap();
        let pid = pid.split('-').next().unwrap();
        run(workspace.command("kill").args([&format!("-{first}"), pid])).exits(0);
        workspace.sh("until [ -e trapped ]; do sleep 0.01; done").exits(0);
        run(workspace.command("kill").args([&format!("-{second}"), pid])).exits(0);
        let (found, shown) = pty.end();
        assert_eq!(found, exit, "{first} {second}: {shown}");
        gone(&workspace);
        workspace.sh("timeout 10 tail -s .1 --pid $(cat pid) -f /dev/null").exits(0);
        for name in ["pid", "trapped"] {
            fs::remove_file(workspace.path(name)).unwrap();
        }
    }
    profile(&workspace, "web1", &json!({ "a": { "kind": "alnum" }, "b": slow }));

    // A SIGTERM from outside is passed on to the program.
    let mut pty = Pty::start(&mut command(&workspace));
    workspace.sh("until [ -s at ]; do sleep 0.01; done").exits(0);
    let at = String::from_utf8(workspace.read("at")).unwrap();
    let pid = at.split('/').find_map(|part| part.strip_prefix("vaultix-")).unwrap();
    run(workspace.command("kill").args(["-TERM", pid.split('-').next().unwrap()])).exits(0);
    pty.expect("interrupted");
    assert_eq!(pty.end().0, 143);
    gone(&workspace);
    assert_eq!(names(&workspace), ["a.age"]);
}

#[test]
fn new_files_get_their_names_on_any_file_system() {
    let workspace = workspace("generate-names", &json!({ "wg": { "kind": "wireguard" } }));
    // As many network file systems refuse the first, and vfat the second.
    let [rename, link] = ["renameat2:error=EINVAL", "linkat:error=EPERM"];
    let broken = ["renameat2:error=EIO", "linkat:error=EIO", "renameat:error=EIO"];
    for (faults, exit) in [
        // The controls: each way is tried after those before it, and one that fails for another reason leaves nothing.
        (vec![broken[0]], 73),
        (vec![rename, broken[1]], 73),
        (vec![rename, link, broken[2]], 73),
        (vec![rename], 0),
        (vec![rename, link], 0),
    ] {
        let _ = fs::remove_dir_all(workspace.path("secrets"));
        let mut strace = workspace.command("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=renameat2,linkat,renameat"]);
        for fault in &faults {
            strace.args(["-e", &format!("inject={fault}")]);
        }
        let command = "vaultix -p web1.json generate -i keys/me.txt";
        run(strace.args(command.split(' '))).exits(exit);
        let found: &[&str] = if exit == 0 { &["wg.age", "wg.pub"] } else { &[] };
        assert_eq!(names(&workspace), found, "{faults:?}");
    }
    generate(&workspace).exits(0).says(&["0 generated, 1 already there"]);
}

#[test]
fn a_run_killed_between_private_and_public_key_is_completed_by_the_next() {
    let workspace = workspace("generate-killed", &json!({ "wg": { "kind": "wireguard" } }));
    // Before each call that gives a file its name.
    for (when, found) in [(1, vec![]), (2, vec!["wg.age"])] {
        let _ = fs::remove_dir_all(workspace.path("secrets"));
        let mut strace = workspace.command("strace");
        let inject = format!("inject=renameat2:signal=KILL:when={when}:error=EINTR");
        let strace = strace.args(["-f", "-q", "-o", "trace", "-e", &inject, "vaultix"]);
        let done = run(strace.args(["-p", "web1.json", "generate", "-i", "keys/me.txt"]));
        assert_eq!(done.exit, 137, "{}", done.stderr);
        let whole = names(&workspace).into_iter().filter(|name| !name.starts_with('.'));
        assert_eq!(whole.collect::<Vec<_>>(), found);
        workspace.sh("rm -f secrets/.*.new-*").exits(0);
        generate(&workspace).exits(0);
        assert_eq!(names(&workspace), ["wg.age", "wg.pub"]);
        workspace
            .sh("age -d -i keys/me.txt secrets/wg.age | wg pubkey | cmp - secrets/wg.pub")
            .exits(0);
    }
    // If the secret is not a private key, nothing is written.
    workspace.secret("secrets/wg.age", "no key");
    fs::remove_file(workspace.path("secrets/wg.pub")).unwrap();
    generate(&workspace)
        .exits(65)
        .says(&["cannot write secrets/wg.pub", "it is not 32 bytes in base64"]);
    assert_eq!(names(&workspace), ["wg.age"]);
}

#[test]
fn generated_files_are_added_to_git() {
    let workspace = workspace(
        "generate-git",
        &json!({ "wg": { "kind": "wireguard" }, "deep/x": { "kind": "hex" } }),
    );
    workspace.sh("git init -q && echo mine >secrets.txt").exits(0);
    generate(&workspace).exits(0);
    let tracked = workspace.sh("git ls-files && git diff --cached --name-only").exits(0).stdout;
    assert_eq!(tracked, "secrets/deep/x.age\nsecrets/wg.age\nsecrets/wg.pub\n");
    assert_eq!(
        fs::metadata(workspace.path("secrets/wg.age")).unwrap().permissions().mode() & 0o111,
        0
    );

    workspace
        .sh("echo '*.age' >.gitignore && rm -r secrets && git rm -q --cached -r secrets")
        .exits(0);
    generate(&workspace)
        .exits(0)
        .says(&["vaultix: git ignores files in secrets, so a flake will not find them"]);
}

#[test]
fn secrets_of_a_flake_are_generated() {
    let workspace = Workspace::new("generate-flake");
    if !workspace.has_nix() {
        return;
    }
    let flake = |secrets: &str| {
        format!(
            "{{ outputs = {{ self }}: {{ vaultix = {{
              settings = {{ identity = \"{}/keys/me.txt\"; extraRecipients = [ \"{}\" ]; }};
              profiles.web1 = {{
                version = 1;
                settings = {{ hostIdentifier = \"web1\"; hostPubkey = \"{}\"; hostKeys = [ ]; }};
                secrets = {secrets};
              }};
            }}; }}; }}\n",
            workspace.root.display(),
            workspace.key("ssh-rsa.pub").trim(),
            workspace.key("host-web1.pub").trim(),
        )
    };
    let secrets = "{
        db = { file = \"${self}/secrets/db.age\"; generator.kind = \"alnum\"; };
        where = { file = \"${self}/secrets/where.age\";
                  generator = { kind = \"command\"; command = [ \"pwd\" ]; }; };
        elsewhere = { file = \"/nix/store/x/secrets/db.age\"; generator.kind = \"alnum\"; };
      }";
    workspace.write("flake.nix", flake(secrets));
    workspace.write("below/empty", "");
    workspace.sh("git init -q && git add flake.nix").exits(0);
    let nix = |line: &str| {
        let mut command = workspace.vaultix_command(line);
        command.env("NIX_CONFIG", "flake-registry =").env("HOME", &workspace.root);
        command
    };
    run(&mut nix("renc")).exits(66).says(&[
        "cannot use secret \"db\" for host web1: cannot read secrets/db.age: No such file or directory (os \
         error 2); to fix: vaultix generate",
    ]);
    run(nix("generate").current_dir(workspace.path("below"))).exits(66).says(&[
        "secrets/db.age: generated\n",
        "cannot generate secret \"elsewhere\": /nix/store/x/secrets/db.age is in the Nix store",
        "2 generated, 0 already there; now run: vaultix renc, 1 failed",
    ]);
    for key in ["me.txt", "ssh-rsa"] {
        assert_eq!(workspace.open("secrets/db.age", key).len(), 32, "{key}");
    }
    let root = workspace.root.canonicalize().unwrap();
    assert_eq!(
        open(&workspace, "where"),
        format!("{}\n", root.display()),
        "commands run at the root"
    );
    workspace.write("flake.nix", flake(&secrets.replace("elsewhere", "# ")));
    run(&mut nix("generate")).exits(0).says(&["0 generated, 2 already there"]);
    run(&mut nix("renc")).exits(0).says(&["web1/db: re-encrypted", "web1/where: re-encrypted"]);
}

#[test]
fn a_secret_that_hosts_share_is_warned_about_once() {
    let own = json!({ "kind": "hex" });
    let workspace = workspace("generate-shared", &json!({ "shared": own, "web": own }));
    let recipient = workspace.key("host-db1.pub");
    workspace.profile_with(
        "db1",
        recipient.trim(),
        &[("shared", "shared"), ("db", "db")],
        |profile| {
            for id in ["shared", "db"] {
                profile["secrets"][id]["generator"] = own.clone();
            }
        },
    );
    let warning = "secrets/shared.age is one value for the hosts db1 and web1; for a value for each host, set on all of them: \
                   vaultix.settings.defaultSecretDirectory = \"./secrets/generated/${config.networking.hostName}\";";
    let run = |line: &str| {
        workspace.vaultix(&format!("-p web1.json -p db1.json generate -i keys/me.txt {line}"))
    };
    for line in ["--dry-run", ""] {
        let done = run(line).exits(0).says(&[warning]);
        assert_eq!(done.stderr.matches("one value").count(), 1, "{}", done.stderr);
    }
    // The secret exists now, so the warning would be of no use.
    let done = run("").exits(0);
    assert!(!done.stderr.contains("one value"), "{}", done.stderr);
}

/// Writes the profile of web1, whose secrets are values of `secrets/mail.yaml.age`: their pointers and generators by ids. Those
/// without a pointer have files of their own.
fn values(workspace: &Workspace, secrets: &Value) {
    workspace.profile_with("web1", workspace.key("host-web1.pub").trim(), &[], |profile| {
        for (id, secret) in secrets.as_object().unwrap() {
            profile["secrets"][id] = match &secret["key"] {
                Value::Null => json!({ "file": format!("secrets/{id}.age") }),
                pointer => json!({ "file": "secrets/mail.yaml.age", "key": pointer }),
            };
            profile["secrets"][id]["generator"] = secret["generator"].clone();
        }
    });
}

/// A file of values, with a marker in the place of `@`.
const MAIL: &str = "# @of the mail server\nsmtp: { user: 'me' }   # as it is\n";

/// Writes `secrets/mail.yaml.age` with a text, in which `@` stands for a marker.
fn mail(workspace: &Workspace, text: &str) {
    fs::create_dir_all(workspace.path("secrets")).unwrap();
    let mut age = workspace.command("age");
    age.args(["--encrypt", "--output", "secrets/mail.yaml.age", "-i", "keys/me.txt"]);
    feed_as_is(&mut age, text.replace('@', &marker()).as_bytes()).exits(0);
}

#[test]
fn values_are_generated_into_one_new_version_of_their_file() {
    let workspace = Workspace::new("generate-values");
    let secrets = json!({
        "all-users": { "generator": { "kind": "htpasswd", "user": "me", "dependencies": ["smtp"] } },
        "api": { "key": "/api/0", "generator": shell("cat $VAULTIX_DEPENDENCIES/smtp", &["smtp"]) },
        "dkim": { "key": "/dkim/private", "generator": { "kind": "wireguard" } },
        "smtp": { "key": "/smtp/password", "generator": { "kind": "alnum" } },
    });
    let mut without_lists = secrets.clone();
    without_lists["api"]["key"] = "/api".into();
    values(&workspace, &without_lists);

    let done = workspace.vaultix("-p web1.json generate --dry-run").exits(0);
    assert_eq!(
        done.stdout,
        "secrets/mail.yaml.age: generate /smtp/password, alnum\n\
         secrets/all-users.age: generate, htpasswd from smtp\n\
         secrets/mail.yaml.age: generate /api, command sh -c 'cat $VAULTIX_DEPENDENCIES/smtp' from smtp\n\
         secrets/mail.yaml.age: generate /dkim/private, wireguard\n"
    );
    generate(&workspace).exits(0).says(&[
        "secrets/mail.yaml.age: generated /smtp/password\n",
        "secrets/mail.yaml.age: generated /api\nsecrets/mail.yaml.age: generated /dkim/private\n",
        "4 generated, 0 already there; now run: vaultix renc\n",
    ]);
    let get = |key: &str| {
        workspace
            .vaultix(&format!("get secrets/mail.yaml.age {key} -i keys/me.txt"))
            .exits(0)
            .stdout
    };
    assert_eq!((get("smtp/password").trim().len(), get("api")), (32, get("smtp/password")));
    let line = "vaultix get secrets/mail.yaml.age dkim/private -i keys/me.txt | wg pubkey |
        cmp - secrets/mail.dkim.private.pub";
    workspace.sh(line).exits(0);

    // Into a file that is there, once for all that is missing.
    for name in ["all-users.age", "mail.dkim.private.pub", "mail.yaml.age"] {
        fs::remove_file(workspace.path(&format!("secrets/{name}"))).unwrap();
    }
    mail(&workspace, MAIL);
    let some = json!({ "dkim": secrets["dkim"], "smtp": secrets["smtp"] });
    values(&workspace, &some);
    let done = workspace.vaultix("-p web1.json generate --dry-run").exits(0);
    assert_eq!(
        done.stdout,
        "secrets/mail.yaml.age: generate /dkim/private if it is missing, wireguard\n\
         secrets/mail.yaml.age: generate /smtp/password if it is missing, alnum\n"
    );
    let done = run(command(&workspace).arg("-v")).exits(0).says(&["2 generated, 0 already there"]);
    let versions = done.stderr.lines().filter(|line| line.ends_with("secrets/mail.yaml.age"));
    assert_eq!(versions.filter(|line| line.contains("replacing")).count(), 1, "{}", done.stderr);
    let password = get("smtp/password");
    let text = workspace.open("secrets/mail.yaml.age", "me.txt");
    let (before, rest) = text.split_once(password.trim()).unwrap();
    // A password that begins with a digit is quoted.
    let rest = rest.trim_start_matches('\'');
    assert!(before.starts_with("# of the mail server\nsmtp: { user: 'me', password: "), "{text}");
    assert!(rest.starts_with(" }   # as it is\ndkim:"), "{text}");
}

#[test]
fn a_value_that_is_there_is_not_replaced() {
    let workspace = Workspace::new("generate-values-again");
    let wireguard = json!({ "kind": "wireguard" });
    values(
        &workspace,
        &json!({
            "empty": { "key": "/empty", "generator": { "kind": "hex" } },
            "map": { "key": "/smtp", "generator": { "kind": "hex" } },
            "null": { "key": "/null", "generator": { "kind": "hex" } },
            "wg": { "key": "/wg", "generator": wireguard },
        }),
    );
    let key = workspace.sh("wg genkey").exits(0).stdout;
    mail(&workspace, &format!("{MAIL}empty: ''\nnull:\nwg: {key}"));
    let before = workspace.read("secrets/mail.yaml.age");
    workspace.vaultix("-p web1.json generate").exits(77);
    generate(&workspace)
        .exits(0)
        .says(&["secrets/mail.wg.pub: written\n", "0 generated, 3 already there\n"]);
    workspace.sh("age -d -i keys/me.txt secrets/mail.yaml.age | tail -n 1 | cut -d' ' -f2 | wg pubkey | cmp - secrets/mail.wg.pub").exits(0);
    generate(&workspace).exits(0).says(&["0 generated, 4 already there\n"]);
    assert!(before == workspace.read("secrets/mail.yaml.age"));
    // Where a host has copies, they say as much, and nothing is opened.
    workspace.vaultix("-p web1.json renc -i keys/me.txt").exits(0);
    workspace.vaultix("-p web1.json generate").exits(0).says(&["0 generated, 4 already there\n"]);
    // The public key of another one.
    mail(&workspace, MAIL);
    let done = generate(&workspace).exits(66);
    done.says(&[
        "secrets/mail.wg.pub is the public key of another secret; to fix: rm secrets/mail.wg.pub",
        "2 generated",
    ]);
}

#[test]
fn a_value_that_cannot_be_added_leaves_its_file_as_it_is() {
    let workspace = Workspace::new("generate-values-failing");
    let value = |key: &str, line: &str| json!({ "key": key, "generator": shell(line, &[]) });
    values(
        &workspace,
        &json!({
            "below": value("/smtp/user/name", "echo x"),
            "bytes": value("/bytes", "printf '\\377'"),
            "nothing": value("/nothing", "true"),
        }),
    );
    mail(&workspace, MAIL);
    let before = workspace.read("secrets/mail.yaml.age");
    generate(&workspace).exits(1).says(&[
        "cannot generate secret \"below\": cannot set /smtp/user/name in secrets/mail.yaml.age: ",
        "cannot generate secret \"bytes\": cannot set /bytes in secrets/mail.yaml.age: the value is not UTF-8",
        "cannot generate secret \"nothing\": \"sh\" printed nothing",
        "0 generated, 0 already there, 3 failed",
    ]);
    assert!(before == workspace.read("secrets/mail.yaml.age"));
    mail(&workspace, "# @\na: [hunter2");
    let done = generate(&workspace).exits(65).says(&[
        "cannot read secrets/mail.yaml.age as YAML: line ",
        "0 generated, 0 already there, 1 failed",
    ]);
    assert!(!done.stderr.contains("hunter2"), "{}", done.stderr);

    // Somebody else writes the file: theirs stays, and nothing is there that was made from what is lost.
    for there in [true, false] {
        let line = "printf '%s' theirs >secrets/mail.yaml.age; echo ours";
        let hash = json!({ "kind": "htpasswd", "user": "me", "dependencies": ["new"] });
        values(&workspace, &json!({ "hash": { "generator": hash }, "new": value("/new", line) }));
        mail(&workspace, MAIL);
        if !there {
            fs::remove_file(workspace.path("secrets/mail.yaml.age")).unwrap();
        }
        let reason = if there { "it was changed in the meantime" } else { "File exists" };
        generate(&workspace).says(&[
            "cannot generate secret \"new\": cannot ",
            reason,
            "cannot generate secret \"hash\": it is made from \"new\", which could not be created",
            "0 generated, 0 already there, 2 failed",
        ]);
        assert_eq!(workspace.read("secrets/mail.yaml.age"), b"theirs");
        assert_eq!(names(&workspace), ["mail.yaml.age"]);
    }
}
