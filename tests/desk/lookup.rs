//! what the user types, in some directory of a flake → the secret that they mean, or a question.

use std::fs;
use std::process::Command;

use pretty_assertions::assert_eq;
use xtask::canary::marker;

use crate::pty::Pty;
use crate::support::{Done, Workspace, feed, feed_as_is, run};

/// A flake with a host that declares `wifi`, `new`, of which there is no file, and `smtp`, one value of many.
struct Flake(Workspace);

impl Flake {
    /// Makes it, if there is a nix.
    fn new(name: &str) -> Option<Self> {
        let workspace = Workspace::new(name);
        if !workspace.has_nix() {
            return None;
        }
        workspace.secret("flake/secrets/wifi.age", "old");
        let mut age = workspace.command("age");
        age.args(["--encrypt", "--output", "flake/secrets/mail.yaml.age", "-i", "keys/me.txt"]);
        let many = format!("# {}\nsmtp:\n  password: hunter2\n", marker());
        feed_as_is(&mut age, many.as_bytes()).exits(0);
        let host = workspace.key("host-web1.pub");
        let profiles = format!(
            "profiles.web1 = {{
              version = 1;
              settings = {{ hostIdentifier = \"web1\"; hostPubkey = \"{}\"; hostKeys = [ ]; }};
              secrets = {{
                wifi.file = \"${{self}}/secrets/wifi.age\";
                \"home/new\".file = \"${{self}}/secrets/new.age\";
                smtp = {{ file = \"${{self}}/secrets/mail.yaml.age\"; key = \"/smtp/password\"; }};
              }};
            }};",
            host.trim()
        );
        let flake = Self(workspace);
        flake.set(&profiles);
        fs::create_dir(flake.0.path("flake/hosts")).unwrap();
        flake.0.sh("git -C flake init -q && git -C flake add .").exits(0);
        Some(flake)
    }

    /// Has the flake say `outputs` of hosts.
    fn set(&self, outputs: &str) {
        let text = format!(
            "{{ outputs = {{ self }}: {{ vaultix = {{ settings.identity = \"../keys/me.txt\"; {outputs} }}; }}; }}\n"
        );
        self.0.write("flake/flake.nix", text);
    }

    /// Prepares to run `vaultix` with `line` in `directory`.
    fn command(&self, directory: &str, line: &str) -> Command {
        let mut command = self.0.vaultix_command(line);
        command.current_dir(self.0.path("flake").join(directory));
        command.env("NIX_CONFIG", "flake-registry =").env("HOME", &self.0.root);
        command
    }

    /// Writes `text` into the secret that is called `typed` in `directory`.
    fn edit(&self, directory: &str, typed: &str, text: &str) -> Done {
        feed(&mut self.command(directory, &format!("-v edit {typed}")), text.as_bytes())
    }

    /// Returns the text of `file`.
    #[track_caller]
    fn open(&self, file: &str) -> String {
        self.0.open(&format!("flake/{file}"), "me.txt")
    }

    fn has(&self, file: &str) -> bool {
        self.0.path("flake").join(file).exists()
    }
}

/// What is printed when hosts are evaluated.
const EVALUATED: &str = "evaluating vaultix.profiles";

#[test]
fn a_declared_secret_is_found_from_anywhere() {
    let Some(flake) = Flake::new("lookup-declared") else { return };
    flake.edit("hosts", "secrets/wifi.age", "from the root").exits(0).says(&["changed"]);
    assert_eq!(flake.open("secrets/wifi.age"), "from the root");
    assert!(!flake.has("hosts/secrets"));
    flake.edit("hosts", "secrets/new.age", "declared").exits(0).says(&["created"]);
    assert_eq!(flake.open("secrets/new.age"), "declared");
    assert!(!flake.has("hosts/secrets"));
    flake.edit("hosts", "wifi", "by id").exits(0).says(&["changed"]);
    assert_eq!(flake.open("secrets/wifi.age"), "by id");

    // The control, and what is here comes first.
    flake.edit("hosts", "secrets/wifi.age --new", "here").exits(0).says(&["created"]);
    let done = flake.edit("hosts", "secrets/wifi.age", "changed here").exits(0);
    assert!(!done.stderr.contains(EVALUATED), "{}", done.stderr);
    assert_eq!(flake.open("hosts/secrets/wifi.age"), "changed here");
    assert_eq!(flake.open("secrets/wifi.age"), "by id");

    let done = run(&mut flake.command("hosts", "view secrets/new.age")).exits(0);
    assert_eq!(done.stdout, "declared");
    for line in ["view smtp", "get smtp", "get smtp smtp/password"] {
        assert_eq!(run(&mut flake.command(".", line)).exits(0).stdout, "hunter2", "{line}");
    }
    feed(&mut flake.command("hosts", "set smtp smtp/password"), b"new").exits(0);
    assert_eq!(flake.open("secrets/mail.yaml.age"), "# \nsmtp:\n  password: new\n");
}

#[test]
fn a_misspelt_name_shows_near_ones() {
    let Some(flake) = Flake::new("lookup-near") else { return };
    let done = flake.edit(".", "wfi", "x").exits(64).says(&[
        "cannot create wfi: no host declares it: did you mean wifi?; to fix: vaultix edit wifi  # or, for a new file: \
         vaultix edit wfi --new\n",
    ]);
    assert!(done.stderr.contains(EVALUATED), "the control of what is looked for: {}", done.stderr);
    assert!(!flake.has("wfi"));
    flake.edit("hosts", "secrts/wifi.age", "x").exits(64).says(&["did you mean secrets/wifi.age?"]);
    for (typed, near) in
        [("wfi", "wifi"), ("secrets/wfi.age", "secrets/wifi.age"), ("home/nwe", "home/new")]
    {
        let done = run(&mut flake.command(".", &format!("view {typed}"))).exits(66);
        let said = format!("cannot find {typed}: it does not exist: did you mean {near}?\n");
        done.says(&[&said]);
    }
    let done = run(&mut flake.command(".", "view secrets/nothing-like-it.age")).exits(66);
    done.says(&["cannot decrypt secrets/nothing-like-it.age: it does not exist\n"]);
    for (line, near) in [
        ("renc --host wbe1", "web1"),
        ("renc --secret wiif", "wifi"),
        ("generate --secret wiif", "wifi"),
    ] {
        let done = run(&mut flake.command(".", line)).exits(64);
        done.says(&[&format!(": did you mean {near}?\n")]);
    }
}

#[test]
fn a_new_file_that_no_host_declares_is_made_on_demand() {
    let Some(flake) = Flake::new("lookup-new") else { return };
    let said =
        ["cannot create loose.age: no host declares it; to fix: vaultix edit loose.age --new\n"];
    flake.edit("hosts", "loose.age", "x").exits(64).says(&said);
    assert!(!flake.has("hosts/loose.age"));
    flake.edit("hosts", "loose.age --new", "wanted").exits(0).says(&["created"]);
    assert_eq!(flake.open("hosts/loose.age"), "wanted");
    let set = |options: &str| {
        let line = format!("set many.yaml.age a{options}");
        feed(&mut flake.command("hosts", &line), b"b")
    };
    set("").exits(64).says(&["to fix: vaultix set many.yaml.age a --new\n"]);
    set(" --new").exits(0).says(&["created"]);

    // Among the flake's secrets, it need not be declared yet; the host is not even evaluated.
    let done = flake.edit(".", "secrets/later.age", "x").exits(0).says(&["created"]);
    assert!(!done.stderr.contains(EVALUATED), "{}", done.stderr);
    flake.edit("secrets", "later2.age", "x").exits(0).says(&["created"]);
    // A slip of the fingers is warned of; a figure or an ending is none.
    let slip = [
        "secrets/wfi.age is new, and another secret is called nearly the same: secrets/wifi.age",
        "created",
    ];
    flake.edit(".", "secrets/wfi.age", "x").exits(0).says(&slip);
    let done = flake.edit(".", "secrets/wifi2.age", "x").exits(0);
    assert!(!done.stderr.contains("nearly"), "{}", done.stderr);
    // And elsewhere, no host would.
    let done = flake.edit(".", "../outside.age", "x").exits(0).says(&["created"]);
    assert!(!done.stderr.contains(EVALUATED), "{}", done.stderr);

    // On a terminal, the user is asked.
    let ask = |answer: &str| {
        let mut command = flake.command("hosts", "edit asked.age");
        let mut pty = Pty::start(command.env("EDITOR", "f() { echo typed >\"$1\"; }; f"));
        pty.expect("Asked.age does not exist, and no host declares it");
        pty.expect(" [y: create it, n: stop] ");
        pty.send(answer);
        pty.end()
    };
    let mut command = flake.command(".", "edit secrets/mial.yaml.age");
    let mut pty = Pty::start(command.env("EDITOR", "false"));
    pty.expect("nearly the same; did you mean secrets/mail.yaml.age?");
    pty.expect(" [y: create it, n: stop] ");
    pty.send("n\r");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 64, "{shown}");
    assert!(shown.contains("vaultix edit secrets/mail.yaml.age  # or"), "{shown}");
    let (exit, shown) = ask("n\r");
    assert_eq!(exit, 64, "{shown}");
    assert!(!flake.has("hosts/asked.age"));
    let (exit, shown) = ask("y\r");
    assert_eq!(exit, 0, "{shown}");
    assert_eq!(flake.open("hosts/asked.age"), "typed\n");

    // A flake that does not evaluate declares nothing that is known.
    flake.set("profiles = throw \"boo\";");
    let said = ["it is not known whether a host declares it", "boo", "vaultix edit x.age --new\n"];
    flake.edit("hosts", "x.age", "x").exits(64).says(&said);
    flake.edit("secrets", "later3.age", "x").exits(0).says(&["created"]);
    // And one that is not for hosts has no say.
    flake.0.write("flake/flake.nix", "{ outputs = { self }: { }; }\n");
    flake.edit("hosts", "x.age -i ../../keys/me.txt", "x").exits(0).says(&["created"]);
}
