//! recipients of all shapes → each of them is encrypted to, or nothing is done.

use pretty_assertions::assert_eq;

use crate::support::{Workspace, feed, run};

/// Returns the recipient that the identity file `name` of `tests/keys` says in a comment.
fn public(workspace: &Workspace, name: &str) -> String {
    let text = workspace.key(name);
    text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned()
}

/// Returns a list of three recipients, as somebody would write it.
fn team(workspace: &Workspace) -> String {
    let [rsa, ed25519] = ["ssh-rsa.pub", "ssh-ed25519.pub"].map(|name| workspace.key(name));
    format!(
        "# the team\r\n{rsa}\n   {ed25519}\n# spare\n{} in a safe\n",
        public(workspace, "other.txt")
    )
}

/// Checks who can decrypt `file`, with the real age client.
#[track_caller]
fn opens_for_all(workspace: &Workspace, file: &str, text: &str) {
    for identity in ["me.txt", "ssh-rsa", "ssh-ed25519", "other.txt"] {
        assert_eq!(workspace.open(file, identity), text, "{identity}");
    }
}

#[test]
fn all_recipients_of_a_text_or_a_file_are_encrypted_to() {
    let workspace = Workspace::new("recipients-all");
    let team = team(&workspace);
    // With a byte order mark, as some editors write it.
    workspace.write("team.pub", format!("\u{feff}{team}"));
    let edit = |file: &str| workspace.vaultix_command(&format!("edit {file} -i keys/me.txt"));
    let said = ["3 recipients in what --recipient names", "encrypted to 4 recipients"];
    feed(edit("a.age").args(["-r", &team]), b"a text").exits(0).says(&said);
    opens_for_all(&workspace, "a.age", "a text");
    let said = ["team.pub: 3 recipients", "encrypted to 4 recipients"];
    feed(edit("b.age").args(["-R", "team.pub"]), b"b text").exits(0).says(&said);
    opens_for_all(&workspace, "b.age", "b text");

    // The other commands that have the option.
    workspace.profile_with("web1", "host-web1.pub", &[("a", "a"), ("new", "new")], |profile| {
        profile["secrets"]["a"]["file"] = workspace.path("a.age").display().to_string().into();
        profile["secrets"]["new"]["generator"] = serde_json::json!({ "kind": "alnum" });
    });
    workspace.secret("a.age", "a text");
    workspace.vaultix("rekey -p web1.json -i keys/me.txt -R team.pub a.age").exits(66);
    let line = "generate -p web1.json -i keys/me.txt --recipients-file team.pub";
    workspace.vaultix(line).exits(0).says(&["team.pub: 3 recipients", "1 generated"]);
    let text = workspace.open("secrets/new.age", "me.txt");
    opens_for_all(&workspace, "secrets/new.age", &text);
    let line = "rekey -p web1.json -i keys/me.txt -R team.pub";
    workspace.vaultix(line).exits(0).says(&["2 rekeyed"]);
    opens_for_all(&workspace, "a.age", "a text");
    workspace.secret("old/wifi.age", "wifi text");
    let line = "import agenix-rekey old -i keys/me.txt --into sealed -R team.pub";
    workspace.vaultix(line).exits(0).says(&["1 imported"]);
    opens_for_all(&workspace, "sealed/wifi.age", "wifi text");
}

#[test]
fn what_is_not_a_recipient_refuses_all() {
    let workspace = Workspace::new("recipients-refused");
    let [rsa, ed25519] = ["ssh-rsa.pub", "ssh-ed25519.pub"].map(|name| workspace.key(name));
    let (rsa, ed25519) = (rsa.trim(), ed25519.trim());
    let sk = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t";
    for (text, reason) in [
        (format!("{rsa}\n{ed25519}\nnonsense\n"), "\"nonsense\" is neither"),
        (format!("{rsa}\n{ed25519} {rsa}\n"), "a key of type ssh-rsa follows another one"),
        (format!("{rsa}\nno-pty,from=\"10.0.0.1\" {ed25519}\n"), "options of authorized_keys"),
        (format!("{rsa}\n{sk}\n"), "keys of type sk-ssh-ed25519@openssh.com"),
        (format!("{rsa}\nssh-ed25519\n"), "it is not a complete ssh-ed25519 public key"),
        ("# nobody\n\n".to_owned(), "no"),
    ] {
        workspace.write("team.pub", &text);
        for (option, value) in [("-r", text.as_str()), ("-R", "team.pub")] {
            let mut line = workspace.vaultix_command("edit new.age -i keys/me.txt");
            feed(line.args([option, value]), b"text").exits(78).says(&[reason]);
            assert!(!workspace.path("new.age").exists(), "{option} {text}");
        }
    }
    workspace.write("team.pub", format!("{rsa}\nnonsense\n"));
    let mut line = workspace.vaultix_command("edit new.age -i keys/me.txt -R team.pub");
    feed(&mut line, b"text").exits(78).says(&["recipients in team.pub: line 2: \"nonsense\""]);
    let mut line = workspace.vaultix_command("edit new.age -i keys/me.txt -R nowhere.pub");
    feed(&mut line, b"text").exits(78).says(&["cannot use the recipients in nowhere.pub"]);

    // A private key is not shown, wherever it is.
    for key in ["keys/me.txt", "keys/ssh-ed25519"] {
        let secret = workspace.sh(&format!("cat {key}")).stdout;
        let line = secret.lines().find(|line| line.len() > 60).unwrap();
        workspace.write("mixed.pub", format!("{rsa}\n{secret}"));
        let mut edit = workspace.vaultix_command("edit new.age -i keys/me.txt -R mixed.pub");
        let done = feed(&mut edit, b"text").exits(78).says(&["private key; it is not shown"]);
        assert!(!done.stderr.contains(line), "{}", done.stderr);
    }
    assert!(!workspace.path("new.age").exists());
    run(&mut workspace.vaultix_command("edit --help")).exits(0);
}

/// A flake with settings, and a host that uses some secrets of `secrets/`.
struct Desk(Workspace);

impl Desk {
    /// Makes one with these `settings`; `None` where there is no nix.
    fn new(name: &str, settings: &str) -> Option<Self> {
        let workspace = Workspace::new(name);
        if !workspace.has_nix() {
            return None;
        }
        workspace.secret("secrets/wifi.age", "wifi text");
        workspace.sh("git init -q && echo keys >.gitignore").exits(0);
        let desk = Self(workspace);
        desk.set(settings);
        Some(desk)
    }

    /// Writes the flake with these `settings`.
    fn set(&self, settings: &str) {
        let flake = format!(
            "{{ outputs = {{ self }}: {{ vaultix = {{
              settings = {{ {settings} }};
              profiles.web1 = {{
                version = 1;
                settings = {{ hostIdentifier = \"web1\"; hostPubkey = \"{}\"; hostKeys = [ ]; }};
                secrets.wifi.file = \"${{self}}/secrets/wifi.age\";
                secrets.made = {{ file = \"${{self}}/secrets/made.age\"; generator.kind = \"alnum\"; }};
              }};
            }}; }}; }}\n",
            self.0.key("host-web1.pub").trim()
        );
        self.0.write("flake.nix", flake);
        self.0.sh("git add .").exits(0);
    }

    /// Prepares to run `vaultix` with `line`.
    fn command(&self, line: &str) -> std::process::Command {
        let mut command = self.0.vaultix_command(line);
        command.env("NIX_CONFIG", "flake-registry =").env("HOME", &self.0.root);
        command
    }

    /// Runs it, with `text` on standard input.
    fn run(&self, line: &str, text: &str) -> crate::support::Done {
        feed(&mut self.command(line), text.as_bytes())
    }
}

#[test]
fn a_new_secret_needs_no_identity_where_the_flake_names_the_recipient() {
    let Some(desk) = Desk::new("recipients-named", "identity = \"keys/me-passphrase.age\";") else {
        return;
    };
    let me = public(&desk.0, "me.txt");
    // As a control: without the recipient, somebody has to be asked.
    desk.run("edit secrets/new.age", "text").exits(77).says(&["cannot ask for the passphrase"]);

    desk.set(&format!("identity = \"keys/me-passphrase.age\"; recipient = \"{me}\";"));
    let said = [&format!("encrypting to what vaultix.recipient names: {me}"), "1 recipient"];
    desk.run("edit secrets/new.age", "text").exits(0).says(&said);
    assert_eq!(desk.0.open("secrets/new.age", "me.txt"), "text");
    desk.run("edit secrets/new.age", "changed").exits(0).says(&["changed from standard input"]);
    desk.run("generate", "").exits(0).says(&["1 generated"]);
    assert_eq!(desk.0.open("secrets/made.age", "me.txt").len(), 32);
    desk.0.secret("old/mail.age", "mail text");
    let line = "import agenix-rekey old -i keys/me.txt --into sealed";
    desk.run(line, "").exits(0).says(&["1 imported"]);
    assert_eq!(desk.0.open("sealed/mail.age", "me.txt"), "mail text");
    // A flake that is begun a second time, with the identity locked.
    desk.run("init -i keys/me-passphrase.age", "").exits(0).says(&["example.age: not created"]);

    // The same where it is not on this machine at all; to decrypt, it is missed.
    desk.set(&format!("identity = \"~/nowhere.txt\"; recipient = [ \"{me} mine\" ];"));
    desk.run("edit secrets/other.age", "text").exits(0).says(&[&me]);
    assert_eq!(desk.0.open("secrets/other.age", "me.txt"), "text");
    let said = ["cannot decrypt secrets/wifi.age", "nowhere.txt: it does not exist"];
    desk.run("view secrets/wifi.age", "").exits(77).says(&said);
    desk.run("check", "").exits(66).says(&["host web1 has no copies of 2 secrets", "\"wifi\""]);
}

#[test]
fn a_recipient_that_is_not_the_identitys_is_refused() {
    let other = public(&Workspace::new("recipients-wrong-keys"), "other.txt");
    let settings = format!("identity = \"keys/me.txt\"; recipient = \"{other}\";");
    let Some(desk) = Desk::new("recipients-wrong", &settings) else { return };
    let me = public(&desk.0, "me.txt");
    let said = ["cannot use vaultix.recipient", "identity file keys/me.txt", &me];
    desk.run("edit secrets/new.age", "text").exits(78).says(&said);
    desk.run("generate", "").exits(78).says(&said);
    assert!(!desk.0.path("secrets/new.age").exists() && !desk.0.path("secrets/made.age").exists());
    desk.run("check", "").says(&said);
    desk.run("renc", "").says(&said);
    // An identity that is passed has its own recipient.
    desk.run("edit secrets/new.age -i keys/me.txt", "text").exits(0).says(&["to 1 recipient"]);
    assert_eq!(desk.0.open("secrets/new.age", "me.txt"), "text");
    // Unless the flake names it, with those of others.
    desk.set(&format!("recipient = [ \"{me}\" \"{other}\" ];"));
    desk.run("edit secrets/new.age -i keys/me.txt", "all").exits(0).says(&["to 2 recipients"]);
    assert_eq!(desk.0.open("secrets/new.age", "other.txt"), "all");
    let said = ["encrypting to what vaultix.recipient names", "2 recipients"];
    desk.run("edit secrets/third.age", "text").exits(0).says(&said);
}

#[test]
fn a_key_that_stays_is_a_finding() {
    let Some(desk) = Desk::new("recipients-stay", "identity = \"keys/me.txt\";") else { return };
    let [me, other] = ["me.txt", "other.txt"].map(|name| public(&desk.0, name));
    let [rsa, ed25519, host] =
        ["ssh-rsa.pub", "ssh-ed25519.pub", "host-web1.pub"].map(|name| desk.0.key(name));
    let [rsa, ed25519, host] = [&rsa, &ed25519, &host].map(|key| key.trim());
    let all = format!("[ \"{rsa}\" \"{ed25519}\" \"{other}\" ]");
    let set = |identity: &str, rest: &str| desk.set(&format!("identity = \"{identity}\"; {rest}"));
    let encrypt = |to: &[&str]| {
        let to: Vec<&str> = to.iter().flat_map(|key| ["-r", key]).collect();
        desk.0.secret_with("secrets/wifi.age", "wifi text", &to);
        desk.run("renc -i keys/me.txt", "").exits(0);
    };
    set("keys/me.txt", &format!("extraRecipients = {all};"));
    desk.run("generate", "").exits(0);
    encrypt(&[&me, rsa, ed25519, &other]);
    desk.run("renc", "").exits(0);
    desk.run("check", "").exits(0).says(&["2 up to date, 0 problems"]);

    // Two leave, and nobody runs rekey; neither where the identity is known, nor where it is not.
    for (identity, more) in [
        (
            "keys/me.txt",
            "ssh-rsa (tag 6sOZwg) and 1 of 2 X25519 recipients, which the flake does not name",
        ),
        (
            "~/nowhere.txt",
            "ssh-rsa (tag 6sOZwg) and 2 X25519 recipients, which the flake does not name (at most 1 of them: ",
        ),
        (
            "keys/me-passphrase.age",
            "2 X25519 recipients, which the flake does not name (at most 1 of them: ",
        ),
    ] {
        set(identity, &format!("extraRecipients = [ \"{ed25519}\" ];"));
        let said = [
            "2 secrets are also encrypted to ",
            more,
            ": secrets/made.age, secrets/wifi.age; ",
            "to fix: vaultix rekey",
            "2 problems\n",
        ];
        desk.run("check", "").exits(65).says(&said);
        let answer = desk.run("check --json", "").exits(65).stdout;
        assert!(
            answer.contains("{\"ok\":false") && answer.contains("\"kind\":\"secret\""),
            "{answer}"
        );
    }
    // One who leaves may be the identity, as far as is known, unless the flake says whose it is.
    set("~/nowhere.txt", &format!("extraRecipients = [ \"{rsa}\" \"{ed25519}\" \"{other}\" ];"));
    let said = [
        "secrets/made.age, secrets/wifi.age; to have this checked, name that in vaultix.recipient",
    ];
    desk.run("check", "").exits(0).says(&said).says(&["that may be its identity's: "]);
    set(
        "~/nowhere.txt",
        &format!("recipient = \"{ed25519}\"; extraRecipients = [ \"{rsa}\" \"{other}\" ];"),
    );
    let said = ["are also encrypted to 1 of 2 X25519 recipients, which the flake does not name: "];
    desk.run("check", "").exits(65).says(&said);

    // Whom a rule leaves out, and who is still there.
    let rule =
        |path: &str| format!("rules = [ {{ path = \"{path}\"; recipients = [ \"{rsa}\" ]; }} ];");
    set("keys/me.txt", &format!("extraRecipients = {all}; {}", rule("secrets/wifi.age")));
    let said = "secrets/wifi.age is also encrypted to ssh-ed25519 (tag ";
    let named = " and 1 of 2 X25519 recipients, which the rule for \"secrets/wifi.age\" does not name; to fix: vaultix rekey\n";
    desk.run("check", "").exits(65).says(&[said, named, "1 problem\n"]);

    // A host that can decrypt the file is no person.
    set("keys/me.txt", "");
    encrypt(&[&me, host]);
    let said = ["hosts can decrypt the secrets themselves", "is also encrypted to", "1 problem\n"];
    let done = desk.run("check", "").exits(65).says(&said);
    assert!(!done.stderr.contains("secrets/wifi.age is also"), "{}", done.stderr);
    desk.run("rekey", "").exits(0).says(&["2 rekeyed"]);
    desk.run("renc", "").exits(0);
    desk.run("check", "").exits(0).says(&["2 up to date, 0 problems"]);

    // Whoever encrypts with an identity of their own, without one in the flake, is one recipient.
    desk.set("");
    desk.run("check", "").exits(0);
    encrypt(&[&me, rsa]);
    desk.run("check", "").exits(65).says(&["also encrypted to ssh-rsa (tag "]);
    // Without a flake, nobody says who should be there.
    desk.0.profile("web1", "host-web1.pub", &[("wifi", "wifi"), ("made", "made")]);
    desk.run("check -p web1.json --cache secrets/cache", "").exits(0);
}

#[test]
fn an_old_identity_that_the_flake_names_is_refused() {
    let Some(desk) = Desk::new("recipients-old", "identity = \"keys/me.txt\";") else { return };
    let [me, other] = ["me.txt", "other.txt"].map(|name| public(&desk.0, name));
    desk.run("generate", "").exits(0);
    let before = desk.0.read("secrets/wifi.age");
    let rule = format!("[ {{ path = \"secrets/\"; recipients = [ \"{me}\" \"{other}\" ]; }} ]");
    for (settings, identity, said) in [
        (
            format!("extraRecipients = [ \"{other}\\n# old\\n{me}\" ];"),
            " -i keys/other.txt",
            "vaultix.extraRecipients names its recipient; to fix: remove it from vaultix.extraRecipients\n",
        ),
        (
            format!("identity = \"keys/other.txt\"; rules = {rule};"),
            "",
            "the rule for \"secrets/\" in vaultix.rules names its recipient; to fix: remove it",
        ),
        (
            format!("recipient = [ \"{me}\" \"{other}\" ];"),
            " -i keys/other.txt",
            "vaultix.recipient names its recipient; to fix: replace it in vaultix.recipient\n",
        ),
    ] {
        desk.set(&settings);
        let done = desk.run(&format!("rekey --old keys/me.txt{identity}"), "").exits(78);
        done.says(&["cannot stop encrypting to the identity in keys/me.txt: ", said]);
        assert!(desk.0.read("secrets/wifi.age") == before, "{settings}");
    }
    // Another rule that does not count for any secret may name it, and a flake that names another recipient.
    let rule = rule.replace("secrets/", "elsewhere/");
    desk.set(&format!("identity = \"keys/other.txt\"; rules = {rule};"));
    let said = ["2 rekeyed", "no secret is encrypted to keys/me.txt any more\n"];
    desk.run("rekey --old keys/me.txt", "").exits(0).says(&said);
}

#[test]
fn any_of_several_identities_decrypts_and_all_are_recipients() {
    let list = "identity = [ \"keys/other.txt\" \"~/nowhere.txt\" \"keys/me.txt\" ];";
    let Some(desk) = Desk::new("recipients-several", list) else { return };
    let [me, other] = ["me.txt", "other.txt"].map(|name| public(&desk.0, name));
    let done = desk.run("view secrets/wifi.age", "").exits(0);
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("wifi text", ""));
    let done = desk.run("recipient", "").exits(0);
    assert_eq!(done.stdout, format!("{other}\n{me}\n"));
    // Who would be left out is not known.
    let said = ["nowhere.txt: it does not exist: it would not be encrypted to its recipient"];
    desk.run("edit secrets/new.age", "text").exits(77).says(&said);
    assert!(!desk.0.path("secrets/new.age").exists());

    let ssh = desk.0.key("ssh-ed25519.pub");
    let named = format!("recipient = [ \"{me}\\n# carol\\n{other}\" \"{}\" ];", ssh.trim());
    desk.set(&format!("{list} {named}"));
    desk.run("edit secrets/new.age", "text").exits(0).says(&["encrypted to 3 recipients"]);
    for identity in ["me.txt", "other.txt", "ssh-ed25519"] {
        assert_eq!(desk.0.open("secrets/new.age", identity), "text", "{identity}");
    }
    desk.run("generate", "").exits(0);
    desk.run("rekey", "").exits(0);
    assert_eq!(desk.0.open("secrets/wifi.age", "ssh-ed25519"), "wifi text");

    // None is left.
    desk.set("identity = [ \"~/nowhere.txt\" \"~/neither.txt\" ];");
    desk.run("view secrets/wifi.age", "").exits(77).says(&["nowhere.txt: it does not exist"]);
}

#[test]
fn an_identity_that_cannot_be_used_is_passed_over_for_another() {
    let workspace = Workspace::with_secrets("recipients-passed-over");
    for bad in ["nowhere.txt", "keys/README", "secrets/wifi.age", "keys/ssh-ecdsa"] {
        let warned = format!("vaultix: cannot use the identity file {bad}");
        let view = format!("view secrets/wifi.age -i {bad} -i keys/me.txt");
        assert_eq!(workspace.vaultix(&view).exits(0).says(&[&warned]).stdout, "wifi text");
        let mut edit = workspace.vaultix_command(&format!("edit new.age -i {bad} -i keys/me.txt"));
        feed(&mut edit, b"text").exits(77).says(&["it would not be encrypted to its recipient"]);
        assert!(!workspace.path("new.age").exists());
        workspace.vaultix(&format!("view secrets/wifi.age -i {bad}")).exits(77);
    }
    workspace.vaultix("-p web1.json renc -i nowhere.txt -i keys/me.txt").exits(0);
}

#[test]
fn a_recipient_is_printed_without_the_private_key() {
    let workspace = Workspace::new("recipients-print");
    let me = public(&workspace, "me.txt");
    let both = workspace.sh("age-keygen -y keys/both.txt").stdout;
    let ed25519 = workspace.key("ssh-ed25519-passphrase.pub");
    let ed25519 = ed25519.rsplit_once(' ').unwrap().0.to_owned() + "\n";
    for (keys, expected) in [
        ("-i keys/me.txt", format!("{me}\n")),
        ("-i keys/both.txt", both),
        // Its public key is not encrypted.
        ("-i keys/ssh-ed25519-passphrase", ed25519.clone()),
        ("-i keys/me.txt -i keys/ssh-ed25519-passphrase", format!("{me}\n{ed25519}")),
    ] {
        assert_eq!(workspace.vaultix(&format!("recipient {keys}")).exits(0).stdout, expected);
    }
    let mut locked = workspace.vaultix_command("recipient -i keys/me-passphrase.age");
    let mut pty = crate::pty::Pty::start(&mut locked);
    pty.expect("Passphrase for keys/me-passphrase.age (to find its recipient): ");
    pty.send("correct horse\n");
    let (exit, shown) = pty.end();
    assert!(exit == 0 && shown.contains(&me) && !shown.contains("SECRET"), "{shown}");
    workspace.vaultix("recipient").exits(64).says(&["there is no identity", "to fix: "]);
    workspace.vaultix("recipient -i nowhere.txt").exits(77);
}

#[test]
fn an_identity_that_everyone_can_use_is_an_error() {
    let Some(desk) = Desk::new("recipients-exposed", "identity = \"keys/me.txt\";") else { return };
    let copy = |key: &str, file: &str| {
        desk.0.sh(&format!("cp keys/{key} {file} && git add --force {file}")).exits(0);
    };
    desk.run("renc --secret wifi", "").exits(0);
    copy("me.txt", "id.age.pub");
    // Of what is public, encrypted, or in a device, nobody warns, whatever it is called.
    copy("me-passphrase.age", "locked.txt");
    desk.0.write("stub.txt", "# recipient: age1card1qpzry9xgwa3fsc\nAGE-PLUGIN-CARD-188EE7T\n");
    desk.0.sh("git add --force stub.txt && cp keys/me.txt untracked.txt").exits(0);
    desk.0.sh("echo untracked.txt >>.git/info/exclude").exits(0);
    for identity in
        ["\"locked.txt\"", "\"stub.txt\"", "\"untracked.txt\"", "\"${self}/locked.txt\""]
    {
        desk.set(&format!("identity = {identity};"));
        for line in ["renc --secret wifi --dry-run", "check"] {
            let said = desk.run(line, "").stderr;
            assert!(
                !said.contains("is not encrypted, ") && !said.contains("is not encrypted:"),
                "{identity}: {said}"
            );
        }
    }
    for (identity, who) in [
        ("\"id.age.pub\"", "git tracks it"),
        ("\"./id.age.pub\"", "git tracks it"),
        ("\"${self}/id.age.pub\"", "it is in the Nix store, which"),
    ] {
        desk.set(&format!("identity = {identity};"));
        let said = ["id.age.pub is not encrypted: ", who, "to fix: age-keygen"];
        desk.run("renc --secret wifi", "").exits(78).says(&said).says(&["1 up to date"]);
        desk.run("check", "").says(&said);
        // Whoever has to get away from it can.
        let warned = desk.run("view secrets/wifi.age", "").exits(0).says(&said[..2]);
        assert_eq!(warned.stdout, "wifi text");
    }
}
