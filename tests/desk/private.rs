//! a private key in a place where a public one, a path or a name belongs → it is printed nowhere.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Done, Workspace, run};

/// How many characters of a private key in a row may not be printed.
const PIECE: usize = 20;

/// A private key, as somebody may have pasted it.
struct Pasted {
    /// What it is.
    name: &'static str,
    /// The text that was pasted.
    text: String,
    /// What nobody may see, in lower case.
    private: String,
}

impl Pasted {
    /// Returns a piece of the private key that stands in `text`, whatever the case.
    fn seen<'a>(&'a self, text: &str) -> Option<&'a str> {
        let text = text.to_lowercase();
        let last = self.private.len() - PIECE;
        (0..=last).map(|at| &self.private[at..at + PIECE]).find(|piece| text.contains(piece))
    }

    /// Fails if a piece of it stands in what `what` has printed.
    #[track_caller]
    fn is_hidden(&self, done: &Done, what: &str) {
        for text in [&done.stdout, &done.stderr] {
            let seen = self.seen(text);
            assert_eq!(seen, None, "{}: {what}: {}{}", self.name, done.stdout, done.stderr);
        }
    }
}

/// Makes private keys of every kind, in the many ways in which they are pasted.
fn keys(workspace: &Workspace) -> Vec<Pasted> {
    workspace.sh("age-keygen -o fresh.txt && ssh-keygen -q -t ed25519 -N '' -f fresh && ssh-keygen -q -t rsa -m PEM -N '' -f pem")
        .exits(0);
    let text = |name: &str| String::from_utf8(workspace.read(name)).unwrap();
    let line = |name: &str, start: &str| {
        let text = text(name);
        text.lines().find(|line| line.starts_with(start)).unwrap().to_owned()
    };
    let body = |name: &str| {
        let text = text(name);
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('-')).collect();
        // The first of OpenSSH's is the same in all.
        (lines[1].to_owned(), lines.join("\n"))
    };
    let age = line("fresh.txt", "AGE-SECRET-KEY-1");
    let data = age.strip_prefix("AGE-SECRET-KEY-1").unwrap();
    let quantum = line("keys/me-pq.txt", "AGE-SECRET-KEY-PQ-1");
    let (ssh, ssh_body) = body("fresh");
    let (rsa, _) = body("pem");
    let public = text("fresh.pub");
    let public = public.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let blob = &ssh_body.replace('\n', "")[200..244];
    let putty = format!(
        "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: me\nPublic-Lines: 1\nAAAA\n\
         Private-Lines: 1\n{blob}\nPrivate-MAC: 0123\n"
    );
    let of =
        |name, text: String, private: &str| Pasted { name, text, private: private.to_lowercase() };
    vec![
        of("age", age.clone(), data),
        of("lower case", age.to_lowercase(), data),
        of("in quotes", format!(" \"{age}\"\n"), data),
        of("a letter less", format!("AGE-SECRET-KEY-1{}", &data[1..]), &data[1..]),
        of("a dash less", format!("AGE-SECRET-KEY1{data}"), data),
        of("a word misspelt", format!("AGE-SECRT-KEY-1{data}"), data),
        of("the start cut off", age[9..].to_owned(), data),
        of("what a double click selects", format!("1{data}"), data),
        of("on two lines", format!("{}\n{}", &age[..40], &age[40..]), &data[24..]),
        of("post-quantum", quantum.clone(), quantum.strip_prefix("AGE-SECRET-KEY-PQ-1").unwrap()),
        of("of a plugin", format!("AGE-PLUGIN-YUBIKEY-1{data}"), data),
        of("of a plugin, lower case", format!("AGE-PLUGIN-YUBIKEY-1{data}").to_lowercase(), data),
        of("OpenSSH", text("fresh"), &ssh),
        of("OpenSSH, on one line", text("fresh").replace('\n', " "), &ssh),
        of("OpenSSH, a dash less", text("fresh").replacen("KEY-----", "KEY----", 1), &ssh),
        of("OpenSSH, the first line missing", ssh_body.clone(), &ssh),
        of("RSA", text("pem"), &rsa),
        of("PuTTY", putty, blob),
        of("in an ssh key's comment", format!("{public} {age}"), data),
        of("in an ssh key's place", format!("ssh-ed25519 {age}"), data),
        of("behind a public key", format!("age1qqqq {age}"), data),
    ]
}

/// Runs `vaultix` with `line`, in which each word `KEY` is the private key.
fn with_key(workspace: &Workspace, line: &str, key: &str) -> Done {
    let mut command = workspace.vaultix_command("");
    command.args(line.split(' ').map(|word| word.replace("KEY", key)));
    run(&mut command)
}

#[test]
fn a_private_key_as_an_argument_is_not_shown() {
    let workspace = Workspace::with_secrets("private-argument");
    workspace.write("secrets.nix", "{ }");
    for key in keys(&workspace) {
        for line in [
            "edit secrets/new.age --stdin -r KEY",
            "edit secrets/new.age --stdin --recipient=KEY",
            "edit secrets/wifi.age -i KEY",
            "edit secrets/wifi.age --from KEY",
            "edit KEY --stdin -i keys/me.txt",
            "edit --rcipient KEY",
            "edit --KEY",
            "edit a KEY",
            "edit -p KEY",
            "-p web1.json -v rekey -r KEY -i keys/me.txt",
            "-p web1.json -v rekey --old KEY -i keys/me.txt",
            "-p web1.json -v rekey -i keys/me.txt KEY",
            "-p web1.json -v generate -r KEY -i keys/me.txt",
            "-p web1.json -v generate --secret KEY",
            "import agenix secrets.nix -i keys/me.txt -r KEY",
            "import agenix KEY -i keys/me.txt",
            "import KEY secrets.nix",
            "import pass -i keys/me.txt --into KEY",
            "-p web1.json -v renc -i KEY",
            "-p web1.json -v renc -i keys/me.txt --host KEY",
            "-p web1.json -v renc -i keys/me.txt --cache KEY",
            "-p web1.json -v renc --dry-run --secret KEY",
            "-p KEY -v check",
            "-p web1.json -v check --cache KEY",
            "-p web1.json -v check KEY",
            "-p web1.json -v status --cache KEY",
            "-p web1.json -v status --json KEY",
            "-p KEY -v deploy",
            "view KEY -i keys/me.txt",
            "view secrets/wifi.age -i KEY",
            "textconv KEY",
            "init KEY",
            "init --identity KEY",
            "KEY",
            "--KEY",
        ] {
            let before = workspace.tree("");
            let done = with_key(&workspace, line, &key.text);
            key.is_hidden(&done, line);
            assert!(done.exit == 64 || line == "--KEY", "{}: {line}: {}", key.name, done.exit);
            // Nor is a file called like that.
            assert_eq!(workspace.tree(""), before, "{}: {line}", key.name);
        }
        let done = with_key(&workspace, "edit secrets/new.age --stdin -r KEY", &key.text).exits(64);
        done.says(&["private key", "age-keygen -y", "ssh-keygen -y -f"]);
    }
}

#[test]
fn a_private_key_in_a_profile_is_not_shown() {
    let workspace = Workspace::with_secrets("private-profile");
    let public = workspace.key("host-web1.pub");
    let places = [
        "/settings/hostPubkey",
        "/settings/hostIdentifier",
        "/settings/hostKeys/0/path",
        "/settings/hostKeys/0/type",
        "/settings/hostKeys",
        "/settings/keepGenerations",
        "/settings/systemctl",
        "/settings/decryptedDir",
        "/settings",
        "/secrets/wifi/file",
        "/secrets/wifi/mode",
        "/secrets/wifi/owner",
        "/secrets/wifi/path",
        "/secrets/wifi/name",
        "/secrets/wifi/id",
        "/secrets/wifi/symlink",
        "/secrets/wifi/insert",
        "/secrets/wifi/restartUnits/0",
        "/secrets/wifi/generator/kind",
        "/secrets/wifi/generator/length",
        "/secrets/wifi",
        "/secrets",
        "/beforeUserborn/0",
        "/placeholder/wifi",
        "/version",
        "",
    ];
    let mut refused = 0;
    for (i, key) in keys(&workspace).iter().enumerate() {
        // Each key at every fourth place, and each place with every fourth key.
        for place in places.iter().skip(i % 4).step_by(4) {
            workspace.profile_with(
                "bad",
                public.trim(),
                &[("wifi", "wifi"), ("mail", "mail")],
                |profile| {
                    profile["settings"]["hostKeys"] =
                        json!([{ "path": "/key", "type": "ed25519" }]);
                    profile["secrets"]["wifi"]["restartUnits"] = json!([]);
                    profile["secrets"]["wifi"]["generator"] = json!({ "kind": "alnum" });
                    profile["beforeUserborn"] = json!([]);
                    put(profile, place, &key.text);
                },
            );
            for verb in [
                "check",
                "check --json",
                "status",
                "status --json",
                "renc -i keys/me.txt --dry-run",
                "renc -i keys/me.txt --cache cache",
                "generate --dry-run",
                "generate -i keys/me.txt",
                "rekey -i keys/me.txt",
                "edit -i keys/me.txt",
                "deploy",
            ] {
                let what = format!("{place}: {verb}");
                let done = workspace.vaultix(&format!("-v -p bad.json {verb}"));
                key.is_hidden(&done, &what);
                refused += usize::from(done.stderr.contains("private key"));
                if verb.ends_with("--json") && !done.stdout.is_empty() {
                    serde_json::from_str::<Value>(&done.stdout).expect(&what);
                }
            }
            let _ = fs::remove_dir_all(workspace.path("cache"));
        }
        workspace.profile_with("bad", &key.text, &[("wifi", "wifi")], |_| {});
        for verb in ["check", "status", "renc -i keys/me.txt"] {
            let done = workspace.vaultix(&format!("-p bad.json {verb}")).exits(78);
            done.says(&["hostPubkey", "private key", "age-keygen -y", "ssh-keygen -y -f"]);
        }
    }
    assert!(refused > 100, "{refused}");
}

/// Puts `text` at the place `pointer` of `profile`, where an array ends one after its last.
fn put(profile: &mut Value, pointer: &str, text: &str) {
    match profile.pointer_mut(pointer) {
        Some(value) => *value = text.into(),
        None => match pointer.rsplit_once('/').unwrap() {
            (parent, "0") => *profile.pointer_mut(parent).unwrap() = json!([text]),
            (parent, name) => match profile.pointer_mut(parent) {
                Some(parent) => parent[name] = text.into(),
                None => profile[parent.trim_start_matches('/')] = json!({ name: text }),
            },
        },
    }
}

#[test]
fn a_private_key_in_a_flake_is_not_shown() {
    let workspace = Workspace::with_secrets("private-flake");
    workspace.write("secrets.nix", "{ }");
    workspace.sh("git init -q && git add secrets").exits(0);
    let host = workspace.key("host-web1.pub");
    let flake = |settings: &str, key: &str| {
        let text = format!(
            "{{ outputs = {{ self }}: {{ vaultix = {{
              settings = {settings};
              profiles.web1 = {{
                version = 1;
                settings = {{ hostIdentifier = \"web1\"; hostPubkey = {key}; hostKeys = [ ]; }};
                secrets.wifi.file = \"${{self}}/secrets/wifi.age\";
              }};
            }}; }}; }}\n"
        );
        workspace.write("flake.nix", text);
        workspace.sh("git add flake.nix").exits(0);
    };
    let host = nix(host.trim());
    let keys = keys(&workspace);
    let some = ["lower case", "a word misspelt", "OpenSSH", "in an ssh key's comment"];
    for (i, key) in keys.iter().filter(|key| some.contains(&key.name)).enumerate() {
        let text = nix(&key.text);
        for (j, (settings, host)) in [
            (format!("{{ extraRecipients = [ {text} ]; identity = \"keys/me.txt\"; }}"), &host),
            (format!("{{ extraRecipients = {text}; }}"), &host),
            (format!("{{ identity = {text}; }}"), &host),
            (format!("{{ identity = [ {text} ]; }}"), &host),
            (format!("{{ identity = \"keys/me.txt\"; cache = {text}; }}"), &host),
            (format!("throw {text}"), &host),
            ("{ identity = \"keys/me.txt\"; }".to_owned(), &text),
        ]
        .into_iter()
        .enumerate()
        {
            flake(&settings, host);
            let verbs = [
                "-v edit secrets/wifi.age --stdin",
                "-v renc",
                "-v rekey",
                "-v check --json",
                "-v generate",
                "-v status",
                "-v import agenix secrets.nix",
                "view secrets/wifi.age",
            ];
            // Nix takes its time: every other command, and the others with the next key.
            for verb in verbs.iter().skip((i + j) % 2).step_by(2) {
                let done = asking_nix(&workspace, verb);
                key.is_hidden(&done, &format!("{settings}: {verb}"));
            }
            workspace.sh("git checkout -q . && git clean -fdq secrets").exits(0);
        }
        // Where something of another type belongs, Nix and Vaultix each have words of their own.
        let me = "{ identity = \"keys/me.txt\"; }".to_owned();
        for (settings, host) in [
            (format!("{{ identity = {{ {text} = {text}; }}; cache = [ {text} ]; }}"), host.clone()),
            (me.clone(), format!("{{ x = {text}; }}")),
            (me, format!("[ {text} ]")),
        ] {
            flake(&settings, &host);
            for verb in ["renc", "check"] {
                let done = asking_nix(&workspace, verb);
                assert_ne!(done.exit, 0, "{host}");
                key.is_hidden(&done, &format!("{settings} {host}: {verb}"));
            }
        }
        for settings in [
            format!("{{ extraRecipients = [ {text} ]; identity = \"keys/me.txt\"; }}"),
            format!("{{ identity = {text}; }}"),
        ] {
            flake(&settings, &host);
            let done = asking_nix(&workspace, "edit secrets/wifi.age --stdin").exits(78);
            done.says(&["private key"]);
        }
    }
}

/// Runs `vaultix` with `line` and a nix that looks nothing up.
fn asking_nix(workspace: &Workspace, line: &str) -> Done {
    let mut command: Command = workspace.vaultix_command(line);
    run(command.env("NIX_CONFIG", "flake-registry =").env("HOME", &workspace.root))
}

/// Returns `text` as Nix writes it.
fn nix(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[test]
fn the_search_finds_what_is_printed() {
    let workspace = Workspace::with_secrets("private-control");
    // As long as a private key, and public: it is shown, and the same search finds it.
    let text = format!("age1{}", "qpzry9x8gf2tvdw0s3jn".repeat(3));
    let key = Pasted { name: "public", private: text.clone(), text };
    let done = with_key(&workspace, "edit secrets/new.age --stdin -r KEY", &key.text).exits(78);
    assert!(key.seen(&done.stderr).is_some(), "{}", done.stderr);
    assert!(key.seen(&done.stderr.to_uppercase()).is_some());
    workspace.profile_with("bad", &key.text, &[("wifi", "wifi")], |_| {});
    for verb in ["check", "check --json", "status", "renc -i keys/me.txt"] {
        let done = workspace.vaultix(&format!("-p bad.json {verb}"));
        assert!(key.seen(&(done.stdout + &done.stderr)).is_some(), "{verb}");
    }
    // A file may be called almost like a key, and a word in a message may be long.
    for name in [
        "age-secret-key-of-the-database-server",
        "age-plugin-yubikey-1",
        "secret-key-0123456789abcdef0123",
    ] {
        let file = format!("secrets/{name}.age");
        workspace.secret(&file, "text");
        let done = workspace.vaultix(&format!("view {file} -i keys/other.txt")).exits(77);
        done.says(&[&file]);
    }
}

/// What a panic says may quote any text. Where the kernel has no random numbers, a library answers with one.
#[test]
fn a_defect_is_told_without_its_words() {
    let workspace = Workspace::with_secrets("private-defect");
    let me = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let mut defects = 0;
    for at in 1..20 {
        let line = format!("edit secrets/{at}.age --from keys/README -r {me}");
        let mut command = workspace.command("strace");
        command.args(["-f", "-qq", "-o", "trace", "-e", "trace=getrandom", "-e"]);
        command.arg(format!("inject=getrandom:error=EIO:when={at}+"));
        let done = run(command.arg("vaultix").args(line.split(' ')));
        assert!(
            !done.stderr.contains("panicked") && !done.stderr.contains(".rs:"),
            "{}",
            done.stderr
        );
        if done.exit == 70 {
            assert_eq!(done.stderr, "vaultix: internal error: this is a bug in vaultix\n");
            defects += 1;
        }
        if !String::from_utf8(workspace.read("trace")).unwrap().contains("INJECTED") {
            break;
        }
    }
    assert!(defects > 0, "no library has panicked");
}
