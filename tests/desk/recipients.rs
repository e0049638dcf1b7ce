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
    workspace.write("team.pub", &team);
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
