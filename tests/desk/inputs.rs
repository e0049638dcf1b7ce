//! secrets in other repositories (inputs, submodules, copies) → how they are shown, and where they are changed.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use pretty_assertions::assert_eq;
use serde_json::Value;

use crate::support::{Done, Workspace, feed, run};

/// A user with a home, a flake in `repo`, and the repository of its secrets: `remote.git`.
struct Team {
    workspace: Workspace,
}

/// A flake is evaluated without the developer's own settings and without the network.
const NIX_CONFIG: &str =
    "flake-registry =\nwarn-dirty = false\nexperimental-features = nix-command flakes";

/// Answers a git that wants to know what was committed.
const EDITOR: &str = "sh -c 'echo changed >\"$1\"' editor";

impl Team {
    /// Creates it, with two secrets in the remote repository; `None` if there is no nix.
    fn new(name: &str) -> Option<Self> {
        let workspace = Workspace::new(&format!("inputs-{name}"));
        if !workspace.has_nix() {
            return None;
        }
        workspace
            .sh("mkdir home repo && git init -q --bare remote.git && git -C repo init -q")
            .exits(0);
        let team = Self { workspace };
        team.sh("git config --global user.name me && git config --global user.email me@example.org \
                 && git config --global protocol.file.allow always && git config --global push.default current \
                 && git config --global --add vaultix.allowInput \"$PWD/remote.git\" && git clone -q remote.git other")
            .exits(0);
        team.workspace.secret("other/wifi.age", "wifi text");
        team.workspace.secret("other/home/mail.age", "mail text");
        team.sh("cd other && git add . && git commit -qm first && git push -q").exits(0);
        Some(team)
    }

    /// Writes the flake, with `inputs`, and `secrets` of its host; and gives it to git and to nix.
    fn flake(&self, inputs: &str, secrets: &str) {
        self.flake_with(inputs, secrets, "");
    }

    /// The same with more attributes of its output.
    fn flake_with(&self, inputs: &str, secrets: &str, more: &str) {
        let keys = self.workspace.path("keys").canonicalize().unwrap();
        let key = self.workspace.key("host-web1.pub");
        let (keys, key) = (keys.display(), key.trim());
        let text = format!(
            "{{ inputs = {{ {inputs} }}; outputs = {{ self, ... }}@all: {{ vaultix = {{
              settings = {{ identity = \"{keys}/me.txt\"; }};
              profiles.web1 = {{ version = 1;
                settings = {{ hostIdentifier = \"web1\"; hostPubkey = \"{key}\"; hostKeys = [ ]; }};
                secrets = {{ {secrets} }};
              }}; {more} }}; }}; }}\n"
        );
        self.workspace.write("repo/flake.nix", text);
        self.sh("cd repo && git add -A && nix flake lock && git add -A").exits(0);
    }

    /// Returns the input `secrets`, taken from the remote repository.
    fn remote(&self) -> String {
        let remote = self.workspace.path("remote.git").canonicalize().unwrap();
        format!("secrets = {{ url = \"git+file://{}\"; flake = false; }};", remote.display())
    }

    fn in_repo(&self, mut command: Command) -> Command {
        command.current_dir(self.workspace.path("repo")).env("GIT_EDITOR", EDITOR);
        command.env("HOME", self.workspace.path("home")).env("NIX_CONFIG", NIX_CONFIG);
        command.env_remove("XDG_CONFIG_HOME").env_remove("SUDO_UID");
        command
    }

    /// Runs a line of shell as the user.
    fn sh(&self, line: &str) -> Done {
        let mut command = self.workspace.command("setsid");
        command.args(["--wait", "sh", "-c", line]);
        run(self.in_repo(command).current_dir(&self.workspace.root))
    }

    /// Prepares to run `vaultix` in the flake.
    fn command(&self, line: &str) -> Command {
        self.in_repo(self.workspace.vaultix_command(line))
    }

    fn vaultix(&self, line: &str) -> Done {
        run(&mut self.command(line))
    }

    /// Saves `text` with `edit`.
    fn edit(&self, file: &str, text: &str) -> Done {
        feed(&mut self.command(&format!("edit {file} --stdin")), text.as_bytes())
    }

    /// Runs the commands that `done` said come next, as the user pastes them.
    fn paste(&self, done: &Done, before: &str) {
        let line = done.stderr.lines().find_map(|line| line.split_once(before)).unwrap().1;
        // What this nix, which is older, calls it.
        let line = line.replace("nix flake update ", "nix flake lock --update-input ");
        self.sh(&format!("cd repo && {line}")).exits(0);
    }

    /// Returns the copies in `cache`, decrypted by the host.
    fn copies(&self, cache: &str) -> Vec<String> {
        let open = |(name, _): (String, u64)| {
            self.workspace.open(&format!("{cache}/web1/{name}"), "host-web1")
        };
        let mut copies: Vec<String> =
            self.workspace.tree(&format!("{cache}/web1")).into_iter().map(open).collect();
        copies.sort();
        copies
    }
}

/// The secrets of the input `secrets`.
const SECRETS: &str =
    "wifi.file = \"${all.secrets}/wifi.age\"; mail.file = \"${all.secrets}/home/mail.age\";";

#[test]
fn an_input_is_shown_by_its_name() {
    let Some(team) = Team::new("name") else { return };
    team.flake(&team.remote(), SECRETS);
    let shown = |done: Done| {
        let all = format!("{}{}", done.stdout, done.stderr);
        assert!(!all.contains("/nix/store"), "{all}");
        all
    };
    let dry = shown(team.vaultix("renc --dry-run").exits(0));
    assert!(dry.contains("web1/wifi: re-encrypt secrets:wifi.age\n"), "{dry}");
    let missing = shown(team.vaultix("check").exits(66));
    assert!(missing.contains("host web1 has no copies of 2 secrets"), "{missing}");
    let missing = team.vaultix("check --json").exits(66).stdout;
    let problem = r#"no copy of secret \"mail\" that matches secrets:home/mail.age"#;
    assert!(missing.contains(problem), "{missing}");
    team.vaultix("renc").exits(0);
    assert_eq!(team.copies("repo/secrets/cache"), ["mail text", "wifi text"]);
    let table = shown(team.vaultix("status").exits(0));
    assert!(table.contains("secrets:home/mail.age  for X25519  mail on web1\n"), "{table}");

    // What others read keeps its meaning, and has the name besides.
    let json = team.vaultix("status --json").exits(0).stdout;
    assert!(crate::json::ensure_documented("status", &json).contains("[].source"));
    let rows: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(rows[1]["source"], "secrets:wifi.age");
    assert!(rows[1]["file"].as_str().unwrap().starts_with("/nix/store/"), "{json}");
    let view = |file: &str| team.vaultix(&format!("view {file}"));
    assert_eq!(view("secrets:wifi.age").exits(0).stdout, "wifi text");
    view("secrets:none.age").exits(66).says(&["cannot decrypt secrets:none.age"]);
    view("secret:wifi.age").exits(66).says(&["did you mean secrets:wifi.age?"]);
    let escape = view("secrets:../wifi.age").exits(66);
    assert!(escape.stderr.contains("secrets:../wifi.age"), "{}", escape.stderr);
    // A file that is called like that is meant.
    team.workspace.secret("repo/secrets:wifi.age", "another text");
    assert_eq!(view("secrets:wifi.age").exits(0).stdout, "another text");
    fs::remove_file(team.workspace.path("repo/secrets:wifi.age")).unwrap();

    team.workspace.secret_with("other/wifi.age", "x", &["-R", "keys/ssh-rsa.pub"]);
    team.sh("cd other && git commit -qam foreign && git push -q && cd ../repo && nix flake lock --update-input secrets")
        .exits(0);
    let failed = shown(team.vaultix("renc").exits(77));
    assert!(failed.contains("cannot decrypt secrets:wifi.age"), "{failed}");
}

#[test]
fn an_input_is_changed_in_a_checkout_of_the_users() {
    let Some(team) = Team::new("checkout") else { return };
    let with_new = format!(
        "{SECRETS} new = {{ file = \"${{all.secrets}}/new.age\"; generator.kind = \"ssh-ed25519\"; }};"
    );
    team.flake(&team.remote(), &with_new);
    // Without one, nothing is done, and the command that makes one is said.
    let said = [
        "it is in the Nix store, which only Nix may change",
        "you have named no checkout of the input secrets",
        "to fix: git clone -- file:///",
        "remote.git ~/secrets && git config --global vaultix.secrets.checkout ~/secrets",
    ];
    let missing = team.edit("secrets:wifi.age", "new wifi").exits(73).says(&said);
    team.vaultix("rekey").exits(73).says(&said).says(&["cannot change secrets:", "0 rekeyed"]);
    team.vaultix("generate")
        .exits(66)
        .says(&said[1..])
        .says(&["secrets:new.age is in the Nix store"]);
    team.flake(&team.remote(), SECRETS);
    // The flake and its repository do not have a say in it.
    team.sh("git -C repo config vaultix.secrets.checkout \"$PWD/other\"").exits(0);
    team.edit("secrets:wifi.age", "new wifi").exits(73).says(&said);
    team.sh("git -C repo config --unset vaultix.secrets.checkout").exits(0);

    team.paste(&missing, "to fix: ");
    let done = team.edit("secrets:wifi.age", "new wifi").exits(0).says(&[
        "home/secrets/wifi.age: changed from standard input, encrypted to 1 recipient\n",
        "/home/secrets add wifi.age && git -C ",
        " push && nix flake update secrets && vaultix renc\n",
    ]);
    assert_eq!(team.workspace.open("home/secrets/wifi.age", "me.txt"), "new wifi");
    // Hosts get what flake.lock has, until it has the new state.
    team.vaultix("renc").exits(0).says(&[
        "hosts get the versions in flake.lock of secrets:wifi.age, which differ in your checkout; to use those: git -C ",
        "2 re-encrypted",
    ]);
    assert_eq!(team.copies("repo/secrets/cache"), ["mail text", "wifi text"]);
    team.paste(&done, "now run: ");
    assert_eq!(team.copies("repo/secrets/cache"), ["mail text", "new wifi"]);
    let done = team.vaultix("check");
    assert!(!done.stderr.contains("flake.lock"), "{}", done.stderr);

    // New files: by hand and made.
    team.edit("secrets:home/new.age", "text")
        .exits(0)
        .says(&["home/secrets/home/new.age: created"]);
    team.flake(&team.remote(), &with_new);
    let done = team.vaultix("generate").exits(0).says(&["new.age: generated", "new.pub: written"]);
    team.vaultix("generate").exits(0).says(&["0 generated, 1 already there"]);
    team.paste(&done, "now run: ");
    assert_eq!(
        team.sh("git -C remote.git ls-tree --name-only HEAD | tr '\\n' ' '").stdout,
        "home new.age new.pub wifi.age "
    );
    assert_eq!(team.copies("repo/secrets/cache").len(), 3);

    // To whom they are encrypted.
    let key = team.workspace.key("ssh-rsa.pub");
    let flake = String::from_utf8(team.workspace.read("repo/flake.nix")).unwrap();
    let flake =
        flake.replace("me.txt\";", &format!("me.txt\"; extraRecipients = [ \"{}\" ];", key.trim()));
    team.workspace.write("repo/flake.nix", flake);
    let done = team.vaultix("rekey").exits(0).says(&["3 rekeyed; now run: git -C"]);
    assert_eq!(team.workspace.open("home/secrets/wifi.age", "ssh-rsa"), "new wifi");
    team.paste(&done, "now run: ");
    team.vaultix("check").exits(0).says(&["3 up to date, 0 problems"]);
}

#[test]
fn a_checkout_is_looked_at_as_a_flake_is() {
    let Some(team) = Team::new("looked-at") else { return };
    team.flake(&team.remote(), SECRETS);
    let edit = |variable: &str| {
        let mut command = team.command("edit secrets:wifi.age --stdin");
        feed(command.env("VAULTIX_CHECKOUTS", variable), b"new")
    };
    let other = team.workspace.path("other").canonicalize().unwrap();
    let other = other.display();
    // The variable comes before the settings, and its names are whole ones.
    team.sh("git config --global vaultix.secrets.checkout /nonexistent").exits(0);
    edit("")
        .exits(77)
        .says(&["cannot use /nonexistent, the checkout of the input secrets: No such file"]);
    edit(&format!("secret={other}:s={other}")).exits(77);
    edit(&format!("x=/nonexistent:secrets={other}")).exits(0);
    assert_eq!(team.workspace.open("other/wifi.age", "me.txt"), "new");

    // A link that leads out of it is not followed.
    team.workspace.secret("private/bank.age", "bank text");
    let before = team.workspace.read("private/bank.age");
    fs::remove_file(team.workspace.path("other/wifi.age")).unwrap();
    symlink("../private/bank.age", team.workspace.path("other/wifi.age")).unwrap();
    let variable = format!("secrets={other}");
    edit(&variable).exits(78).says(&["private/bank.age, which is not part of"]);
    run(team.command("rekey").env("VAULTIX_CHECKOUTS", &variable)).exits(78).says(&["0 rekeyed"]);
    assert!(team.workspace.read("private/bank.age") == before);
    // Nor is what is no file.
    fs::remove_file(team.workspace.path("other/wifi.age")).unwrap();
    team.sh("mkfifo other/wifi.age").exits(0);
    assert_ne!(edit(&variable).exit, 0);
    // One that is behind is not mistaken for one without the file.
    fs::remove_file(team.workspace.path("other/wifi.age")).unwrap();
    edit(&variable).exits(73).says(&[
        "wifi.age does not exist: the checkout is behind",
        "to fix: git -C /",
        "other pull",
    ]);
    edit("secrets=/nix/store").exits(77);
    if rustix::process::geteuid().is_root() {
        team.sh("git -C other checkout -q . && chown nobody other").exits(0);
        edit(&variable).exits(77).says(&[&format!("{other} belongs to user nobody")]);
        team.sh("chown root other && chown nobody other/.git").exits(0);
        edit(&variable).exits(77).says(&[&format!("{other}/.git belongs to user nobody")]);
        // The control.
        team.sh("chown root other/.git").exits(0);
        edit(&variable).exits(0);
    }
}

#[test]
fn a_copy_of_a_file_of_the_flake_is_that_file() {
    let Some(team) = Team::new("copy") else { return };
    for name in ["wifi", "mail", "tls", "ssh"] {
        team.workspace.secret(&format!("repo/secrets/{name}.age"), format!("{name} text"));
    }
    team.flake(
        "",
        "wifi.file = \"${./secrets}/wifi.age\"; mail.file = \"${./secrets/mail.age}\";
         tls.file = \"${builtins.path { path = ./.; name = \"renamed\"; }}/secrets/tls.age\";
         ssh.file = builtins.path { path = ./secrets/ssh.age; name = \"other\"; };",
    );
    let done = team.vaultix("renc --dry-run").exits(0);
    let names = ["mail", "ssh", "tls", "wifi"];
    let line = |name: &str| format!("web1/{name}: re-encrypt secrets/{name}.age\n");
    let expected = names.map(line).concat();
    assert_eq!(done.stdout, expected);
    team.vaultix("renc").exits(0);
    assert_eq!(team.copies("repo/secrets/cache"), names.map(|name| format!("{name} text")));
    let key = team.workspace.key("ssh-rsa.pub");
    run(team.command("rekey -r").arg(key.trim()))
        .exits(0)
        .says(&["secrets/wifi.age: rekeyed", "4 rekeyed; now run: vaultix renc\n"]);
    assert_eq!(team.workspace.open("repo/secrets/tls.age", "ssh-rsa"), "tls text");
    team.vaultix("renc").exits(0).says(&["4 re-encrypted, 0 up to date, 4 removed"]);

    // What is no copy of any is refused, as before; also if it is called the same.
    team.workspace.secret("private/secrets/wifi.age", "bank text");
    let store = team.sh("nix-store --add private").exits(0).stdout;
    let flake = String::from_utf8(team.workspace.read("repo/flake.nix")).unwrap();
    team.workspace.write(
        "repo/flake.nix",
        flake.replace("${./secrets}", &format!("{}/secrets", store.trim())),
    );
    team.vaultix("renc").exits(65).says(&[
        "cannot use secrets/wifi.age",
        "Nix still sees an older version of it",
        "3 up to date",
    ]);
    team.sh(&format!("nix-store --delete {} >/dev/null 2>&1 || true", store.trim())).exits(0);
}

#[test]
fn a_submodule_that_is_not_committed_is_no_news() {
    let Some(team) = Team::new("submodule") else { return };
    team.sh("cd repo && git submodule --quiet add ../remote.git vault 2>/dev/null || git submodule --quiet add \"$PWD/../remote.git\" vault").exits(0);
    // As an input from elsewhere that has the same commit, and from the submodule itself.
    for (inputs, push) in [
        (team.remote(), " && git -C vault push"),
        ("secrets = { url = \"git+file:./vault\"; flake = false; };".to_owned(), ""),
    ] {
        team.flake(&inputs, SECRETS);
        let done = team.vaultix("renc").exits(0);
        assert!(!done.stderr.contains("/nix/store"), "{}", done.stderr);
        let table = team.vaultix("status").exits(0).stdout;
        assert!(table.contains("vault/wifi.age"), "{table}");
        let before = team.copies("repo/secrets/cache");

        let text = format!("new{push}");
        let steps = format!(
            "git -C vault add wifi.age && git -C vault commit{push} && git add vault && nix flake update secrets"
        );
        team.edit("vault/wifi.age", &text)
            .exits(0)
            .says(&["vault/wifi.age: changed", &format!("now run: {steps} && vaultix renc\n")]);
        let done = team.vaultix("renc").exits(65).says(&[
            "cannot use vault/wifi.age",
            "Nix still sees an older version of it",
            &format!(
                "of vault, it sees only what is committed{}",
                if push.is_empty() { ";" } else { " and pushed;" }
            ),
            &format!("to fix: {steps}\n"),
        ]);
        assert_eq!(team.copies("repo/secrets/cache"), before);
        team.vaultix("check").exits(65).says(&["Nix still sees an older version of it", &steps]);
        team.vaultix("status").exits(65).says(&["Nix still sees an older version of it"]);
        team.paste(&done, "to fix: ");
        team.vaultix("renc").exits(0).says(&["web1/wifi: re-encrypted"]);
        assert_eq!(team.copies("repo/secrets/cache"), ["mail text", text.as_str()]);
        team.vaultix("check").exits(0);
    }
    // A submodule that is not checked out is read from the input, and named so.
    team.flake(&team.remote(), SECRETS);
    team.sh("cd repo && git submodule --quiet deinit -f vault").exits(0);
    assert!(team.vaultix("status").exits(0).stdout.contains("secrets:wifi.age"));
}

#[test]
fn a_cache_may_be_in_an_input() {
    let Some(team) = Team::new("cache") else { return };
    let caches = "caches.web1 = \"${all.secrets}/hosts/cache\";";
    team.flake_with(&team.remote(), SECRETS, caches);
    let said = [
        "you have named no checkout of the input secrets",
        "to fix: git clone -- file:///",
        "git config --global vaultix.secrets.checkout ~/secrets",
    ];
    team.vaultix("check")
        .exits(66)
        .says(&said[1..])
        .says(&["~/secrets && vaultix renc\n", "2 problems"]);
    let missing = team
        .vaultix("renc")
        .exits(73)
        .says(&said)
        .says(&["cannot write the cache secrets:hosts/cache"]);
    assert_eq!(team.workspace.tree("repo/secrets"), []);

    // In a directory that is named for this time, it is the same repository.
    let other = "git -C ../other add hosts/cache && git -C ../other commit && git -C ../other push";
    let other = other.replace(
        "../other",
        &team.workspace.path("other").canonicalize().unwrap().display().to_string(),
    );
    let done = team.vaultix("renc --cache ../other/hosts/cache").exits(0).says(&[&format!(
        "2 re-encrypted, 0 up to date, 0 removed; now run: {other} && nix flake update secrets\n"
    )]);
    assert_eq!(team.copies("other/hosts/cache"), ["mail text", "wifi text"]);
    team.paste(&done, "now run: ");
    let done = team.vaultix("check").exits(0).says(&["2 up to date, 0 problems"]);
    assert!(!done.stderr.contains("checkout"), "{}", done.stderr);
    team.vaultix("renc").exits(0).says(&["0 re-encrypted, 2 up to date, 0 removed\n"]);

    // In the checkout, nothing has to be named.
    team.paste(&missing, "to fix: ");
    let done = team.edit("secrets:wifi.age", "new wifi").exits(0);
    team.paste(&done, "now run: ");
    assert_eq!(team.copies("home/secrets/hosts/cache"), ["mail text", "new wifi"]);
    let done = team.vaultix("check").exits(66).says(&[
        "host web1 has a copy of secret \"wifi\" in /",
        "which Nix does not see yet as secrets:hosts/cache/web1/",
        "home/secrets add hosts/cache && git -C ",
        "&& nix flake update secrets\n",
        "1 up to date, 1 problem",
    ]);
    team.vaultix("status").exits(0).says(&["1 up to date, 1 missing"]);
    team.paste(&done, "to fix: ");
    team.vaultix("check").exits(0).says(&["2 up to date, 0 problems"]);
    team.vaultix("status").exits(0).says(&["2 up to date, 0 missing, 0 stale"]);

    // Two places for one run are refused.
    let flake = String::from_utf8(team.workspace.read("repo/flake.nix")).unwrap();
    let two = flake.replace("caches.web1", "profiles.db1 = { version = 1; settings = { hostIdentifier = \"db1\"; hostPubkey = \"\"; hostKeys = [ ]; }; secrets = { }; }; caches.db1 = \"${self}/secrets/cache\"; caches.web1");
    team.workspace.write("repo/flake.nix", two);
    team.vaultix("renc").exits(78).says(&[
        "cannot find one cache for all hosts",
        "that of host db1 in the flake, that of host web1 in secrets:hosts/cache",
    ]);
}

#[test]
fn a_cache_may_be_in_a_submodule() {
    let Some(team) = Team::new("cache-submodule") else { return };
    team.sh("cd repo && git submodule --quiet add \"$PWD/../remote.git\" vault").exits(0);
    team.flake("", "wifi.file = \"${self}/vault/wifi.age\";");
    let flake = String::from_utf8(team.workspace.read("repo/flake.nix")).unwrap();
    team.workspace.write(
        "repo/flake.nix",
        flake.replace("me.txt\";", "me.txt\"; cache = \"./vault/cache\";"),
    );
    let steps =
        "git -C vault add cache && git -C vault commit && git -C vault push && git add vault";
    team.vaultix("check").exits(66).says(&[&format!("to fix: vaultix renc && {steps}\n")]);
    let done = team.vaultix("renc").exits(0).says(&[&format!("0 removed; now run: {steps}\n")]);
    team.paste(&done, "now run: ");
    assert_eq!(team.copies("repo/vault/cache"), ["wifi text"]);
    assert_eq!(
        team.sh("git -C remote.git ls-tree -r --name-only HEAD cache | wc -l").stdout.trim(),
        "1"
    );
    team.vaultix("check").exits(0);
}
