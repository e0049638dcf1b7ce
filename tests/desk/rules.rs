//! a team with keys of their own + rules of a flake → who can read which file, as the real age client has it.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use pretty_assertions::assert_eq;

use crate::support::{Done, Workspace, feed, run};

/// Each person, with the file of their key.
const PEOPLE: [(&str, &str); 3] =
    [("alice", "me.txt"), ("bob", "ssh-ed25519"), ("carol", "other.txt")];

/// People who share a flake; the key of each is at the same path in their home.
struct Team(Workspace);

impl Team {
    /// Makes one; `None` where there is no nix.
    fn new(name: &str) -> Option<Self> {
        let workspace = Workspace::new(name);
        if !workspace.has_nix() {
            return None;
        }
        for (person, key) in PEOPLE {
            fs::create_dir_all(workspace.path(&format!("home/{person}"))).unwrap();
            let key = workspace.path("keys").join(key);
            symlink(key, workspace.path(&format!("home/{person}/key"))).unwrap();
        }
        fs::create_dir(workspace.path("secrets")).unwrap();
        workspace.sh("git init -q && printf 'home\nkeys\n' >.gitignore").exits(0);
        Some(Self(workspace))
    }

    /// Returns the public key of a person, as it stands in Nix.
    fn public(&self, person: &str) -> String {
        let (_, key) = PEOPLE.into_iter().find(|(name, _)| *name == person).unwrap();
        let text = match key.strip_suffix(".txt") {
            Some(_) => {
                let text = self.0.key(key);
                text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().into()
            }
            None => self.0.key(&format!("{key}.pub")),
        };
        format!("\"{}\"", text.trim())
    }

    /// Writes the flake: with `rules`, where people stand for their keys, and a host that uses `files`.
    fn flake(&self, rules: &str, files: &[&str]) {
        let of = |file: &&str| {
            let generator = if file.ends_with("made") {
                "generator = { kind = \"alnum\"; length = 20; };"
            } else {
                ""
            };
            format!("\"{file}\" = {{ file = \"${{self}}/{file}.age\"; {generator} }};")
        };
        let secrets: String = files.iter().map(of).collect();
        let person = |(name, _): &(&str, &str)| format!("{name} = {};", self.public(name));
        let people: String = PEOPLE.iter().map(person).collect();
        let text = format!(
            "{{ outputs = {{ self }}: let {people} in {{ vaultix = {{
              settings = {{
                identity = \"~/key\"; extraRecipients = [ alice bob carol ]; rules = {rules};
              }};
              profiles.web1 = {{
                version = 1;
                settings = {{ hostIdentifier = \"web1\"; hostPubkey = \"{}\"; hostKeys = [ ]; }};
                secrets = {{ {secrets} }};
              }};
            }}; }}; }}\n",
            self.0.key("host-web1.pub").trim()
        );
        self.0.write("flake.nix", text);
        self.0.sh("git add .").exits(0);
    }

    /// Prepares to run `vaultix` with `line` as `person` does.
    fn command(&self, person: &str, line: &str) -> Command {
        let mut command = self.0.vaultix_command(line);
        let home = self.0.path(&format!("home/{person}"));
        command.env("NIX_CONFIG", "flake-registry =").env("HOME", home);
        command
    }

    fn run(&self, person: &str, line: &str) -> Done {
        self.0.sh("git add .").exits(0);
        run(&mut self.command(person, line))
    }

    /// Has `person` write the secret `file`.
    fn edit(&self, person: &str, file: &str) -> Done {
        feed(&mut self.command(person, &format!("edit {file}")), file.as_bytes()).exits(0)
    }

    /// Returns who can decrypt `file`, with the real age client.
    fn readers(&self, file: &str) -> String {
        let can = |key: &str| {
            let mut age = self.0.command("age");
            let output = age.args(["-d", "-o", "/dev/null", "-i"]).arg(format!("keys/{key}"));
            output.arg(file).output().unwrap().status.success()
        };
        let names = PEOPLE.into_iter().filter(|(_, key)| can(key)).map(|(name, _)| name);
        names.collect::<Vec<_>>().join(" ")
    }

    /// Returns the same for some files, a line for each.
    fn all_readers(&self, files: &[&str]) -> String {
        let line = |file: &&str| format!("{file}: {}\n", self.readers(file));
        files.iter().map(line).collect()
    }
}

/// Rules for two groups, and for one file of one of them.
const RULES: &str = "[
  { path = \"secrets/ops/\"; recipients = [ alice bob ]; }
  { path = \"./secrets/dev/\"; recipients = [ bob carol ]; }
  { path = \"secrets/ops/root.age\"; recipients = [ alice ]; }
]";

#[test]
fn everybody_reads_what_rules_say_and_nothing_else() {
    let Some(team) = Team::new("rules-team") else { return };
    let files =
        ["wifi", "ops/db", "ops/root", "dev/ci", "dev/made"].map(|file| format!("secrets/{file}"));
    let files = files.each_ref().map(String::as_str);
    team.flake(RULES, &files);
    team.edit("alice", "secrets/wifi.age").says(&["encrypted to 3 recipients"]);
    team.edit("alice", "secrets/ops/db.age").says(&["encrypted to 2 recipients"]);
    team.edit("alice", "secrets/ops/root.age").says(&["encrypted to 1 recipient\n"]);
    team.edit("carol", "secrets/dev/ci.age");
    team.run("carol", "generate").exits(0).says(&["1 generated"]);
    let paths = files.map(|file| format!("{file}.age"));
    let paths = paths.each_ref().map(String::as_str);
    let as_ruled = "secrets/wifi.age: alice bob carol\n\
                    secrets/ops/db.age: alice bob\n\
                    secrets/ops/root.age: alice\n\
                    secrets/dev/ci.age: bob carol\n\
                    secrets/dev/made.age: bob carol\n";
    assert_eq!(team.all_readers(&paths), as_ruled);

    // Nobody has made copies of what alice cannot decrypt: it is named, and so it is by rekey.
    let said = [
        "secret \"secrets/dev/ci\" for host web1",
        "3 re-encrypted, 0 up to date, 0 removed, 2 failed",
    ];
    team.run("alice", "renc").exits(77).says(&said);
    let said = ["dev/ci.age: no identity can decrypt it", "not all hosts that need it have a copy"];
    team.run("alice", "rekey").exits(77).says(&said).says(&["0 rekeyed, 2 failed"]);
    assert_eq!(team.all_readers(&paths), as_ruled);
    team.run("carol", "renc").exits(0).says(&["2 re-encrypted, 3 up to date"]).says(&[
        "passed over, because your identity cannot decrypt them, and hosts have their copies: \
         secrets/ops/db.age, secrets/ops/root.age\n",
    ]);

    // Now it is passed over, whatever else there is to do.
    let said = [
        "your identity cannot decrypt these secrets, and no rule names it: secrets/dev/ci.age, secrets/dev/made.age\n",
    ];
    team.run("alice", "check").exits(0).says(&said).says(&["5 up to date, 0 problems"]);
    let status = team.run("alice", "status").exits(0).stdout;
    let line =
        "secrets/ops/root.age  for X25519 (rule secrets/ops/root.age)  secrets/ops/root on web1\n";
    assert!(status.contains(line), "{status}");
    let status = team.run("alice", "status --json").exits(0).stdout;
    assert!(crate::json::ensure_documented("status", &status).contains("[].rule"));
    let said = [
        "hosts have their copies: secrets/dev/ci.age, secrets/dev/made.age\n",
        "3 rekeyed, 2 passed over; now run: vaultix renc",
    ];
    team.run("alice", "rekey").exits(0).says(&said);
    assert_eq!(team.all_readers(&paths), as_ruled);
    let said = ["3 re-encrypted, 2 up to date, 3 removed", "passed over", "dev/ci.age"];
    team.run("alice", "renc").exits(0).says(&said);
    // But not if she asks for it.
    team.run("alice", "rekey secrets/dev/ci.age").exits(77).says(&["0 rekeyed, 1 failed"]);

    // Rules that change: who can decrypt a file rekeys it, and who cannot is told so.
    let rules = RULES.replace("[ bob carol ]", "[ alice bob ]").replace("[ alice ]", "[ bob ]");
    team.flake(&rules, &files);
    let missing = "secrets/ops/root.age is not encrypted to ssh-ed25519 (tag ";
    let rule = "), which the rule for \"secrets/ops/root.age\" names; to fix: vaultix rekey\n";
    team.run("alice", "check").exits(65).says(&[missing, rule]);
    let said =
        ["the rule for \"secrets/ops/root.age\" names your identity; to fix: vaultix rekey #"];
    let done = team.run("bob", "rekey").exits(77).says(&said);
    done.says(&["4 rekeyed; now run: vaultix renc, 1 failed"]);
    team.run("bob", "renc").exits(0);
    team.run("alice", "rekey").exits(0).says(&["5 rekeyed; now run"]);
    let expected = "secrets/wifi.age: alice bob carol\n\
                    secrets/ops/db.age: alice bob\n\
                    secrets/ops/root.age: alice bob\n\
                    secrets/dev/ci.age: alice bob\n\
                    secrets/dev/made.age: alice bob\n";
    assert_eq!(team.all_readers(&paths), expected);
    team.run("alice", "renc").exits(0);

    // Who was there before is found, and so is a rule that is for nothing.
    let rules = rules.replace("\"secrets/ops/\"", "\"secrets/ops\"").replace("root.age", "gone/");
    team.flake(&rules, &files);
    let said = [
        "vaultix: the rule for \"secrets/ops\" in vaultix.rules is for no secret, since it is a directory; write \"secrets/ops/\"\n",
        "vaultix: the rule for \"secrets/ops/gone/\" in vaultix.rules is for no secret\n",
        "2 secrets are not encrypted to 1 of 2 X25519 recipients (",
        ": secrets/ops/db.age, secrets/ops/root.age; ",
    ];
    team.run("bob", "check").exits(65).says(&said);
}

#[test]
fn who_reads_more_than_a_rule_names_is_told() {
    let Some(team) = Team::new("rules-more") else { return };
    let workspace = &team.0;
    team.flake(RULES, &["secrets/ops/db"]);
    let (ssh, host) = ("keys/ssh-ed25519.pub", "keys/host-web1.pub");
    let to = ["-i", "keys/me.txt", "-R", ssh, "-i", "keys/other.txt", "-R", host];
    workspace.secret_with("secrets/ops/db.age", "text", &to);
    team.run("alice", "renc").exits(0);
    let said = [
        "hosts can decrypt the secrets themselves, without copies: secrets/ops/db.age (web1)",
        "secrets/ops/db.age is also encrypted to 1 of 2 X25519 recipients, which the rule for \"secrets/ops/\" does not name; \
         to fix: vaultix rekey\n",
        "1 up to date, 1 problem\n",
    ];
    team.run("alice", "check").exits(65).says(&said);
    let mut recipient = team.command("alice", "edit secrets/ops/db.age --recipient");
    feed(recipient.arg(team.public("carol").trim_matches('"')), b"x").exits(0);
    assert_eq!(team.readers("secrets/ops/db.age"), "alice bob carol");
    team.run("alice", "rekey").exits(0);
    assert_eq!(team.readers("secrets/ops/db.age"), "alice bob");
    team.run("alice", "renc").exits(0);
    team.run("alice", "check").exits(0).says(&["1 up to date, 0 problems\n"]);

    // A link is the place that it leads to, and has no rule of its own then.
    symlink("ops", workspace.path("secrets/linked")).unwrap();
    symlink("../elsewhere", workspace.path("secrets/dev")).unwrap();
    fs::create_dir(workspace.path("elsewhere")).unwrap();
    team.edit("alice", "secrets/linked/new.age").says(&["encrypted to 2 recipients"]);
    assert_eq!(team.readers("secrets/ops/new.age"), "alice bob");
    team.edit("carol", "secrets/dev/ci.age");
    assert_eq!(team.readers("elsewhere/ci.age"), "bob carol");
    let mut elsewhere = team.command("alice", "edit new2.age");
    feed(elsewhere.current_dir(workspace.path("secrets/ops")), b"x").exits(0);
    assert_eq!(team.readers("secrets/ops/new2.age"), "alice bob");
}

#[test]
fn rules_that_cannot_be_used_stop_what_would_use_them() {
    let Some(team) = Team::new("rules-refused") else { return };
    let key = team.0.key("me.txt").lines().last().unwrap().to_owned();
    for (rules, said) in [
        (
            "[ { path = \"/secrets/\"; recipients = [ ]; } ]".to_owned(),
            "its path is not one inside",
        ),
        ("[ { path = \"../x\"; recipients = [ ]; } ]".to_owned(), "its path is not one inside"),
        (
            "[ { path = \"a/\"; recipients = [ ]; } { path = \"./a/\"; recipients = [ ]; } ]"
                .to_owned(),
            "another rule for the same path",
        ),
        (format!("[ {{ path = \"a/\"; recipients = [ \"{key}\" ]; }} ]"), "it is a private key"),
        ("[ { path = \"a/\"; } ]".to_owned(), "missing field `recipients`"),
    ] {
        team.flake(&rules, &[]);
        for verb in ["edit a/x.age --stdin", "check"] {
            let done = team.run("alice", verb).exits(78).says(&[said]);
            assert!(!done.stderr.contains(&key), "{}", done.stderr);
        }
        assert!(!team.0.path("a").exists());
    }
    // With an identity, a flake that does not evaluate is only warned of; rules that are wrong are not.
    team.flake("[ { path = \"/\"; recipients = [ ]; } ]", &[]);
    team.run("alice", "edit a/x.age --stdin -i keys/me.txt").exits(78);
}

/// Returns the rules that `import` has printed.
#[track_caller]
fn printed(done: &Done) -> String {
    let (_, rules) = done
        .stdout
        .split_once("rekey\n# rules = ")
        .unwrap_or_else(|| panic!("no rules\nstdout:\n{}\nstderr:\n{}", done.stdout, done.stderr));
    rules.trim_end().trim_end_matches(';').replace("\n# ", "\n")
}

/// Who has what in the tests of imports, as what the new files are to be.
const MOVED: &str =
    "all: alice bob carol\ndev: alice carol\nops/ci: alice bob\nops/db: alice bob\nroot: alice\n";

#[test]
fn rules_of_agenix_are_kept_as_rules() {
    let Some(team) = Team::new("rules-agenix") else { return };
    let workspace = &team.0;
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|person| team.public(person));
    let host = workspace.key("host-web1.pub");
    let host = host.trim();
    let rules = format!(
        "let alice = {alice}; bob = {bob}; carol = {carol}; web1 = \"{host} root@web1\"; ops = [ alice bob ]; in {{
          \"ops/db.age\".publicKeys = ops ++ [ web1 ];
          \"ops/ci.age\".publicKeys = ops;
          \"dev.age\".publicKeys = [ carol alice ];
          \"root.age\".publicKeys = [ alice ];
          \"all.age\".publicKeys = ops ++ [ carol web1 ];
        }}\n"
    );
    workspace.write("old/secrets.nix", rules);
    let [a, b, c] = [&alice, &bob, &carol].map(|key| key.trim_matches('"'));
    for (file, to) in [
        ("ops/db", vec![a, b, host]),
        ("ops/ci", vec![a, b]),
        ("dev", vec![c, a]),
        ("root", vec![a]),
        ("all", vec![a, b, c, host]),
    ] {
        let to: Vec<&str> = to.into_iter().flat_map(|key| ["-r", key]).collect();
        workspace.secret_with(&format!("old/{file}.age"), file, &to);
    }
    let names = ["all", "dev", "ops/ci", "ops/db", "root"];
    let readers = |folder: &str| -> String {
        let line =
            |name: &&str| format!("{name}: {}\n", team.readers(&format!("{folder}/{name}.age")));
        names.iter().map(line).collect()
    };
    assert_eq!(readers("old"), MOVED);

    team.flake("[ ]", &[]);
    let done = team.run("alice", "import agenix old --into new").exits(0);
    let done = done.says(&[
        "5 imported",
        "more people can decrypt these than before, because the flake names them: new/dev.age, \
         new/ops/ci.age, new/ops/db.age, new/root.age; before you commit",
    ]);
    let rules = format!(
        "[\n  {{ path = \"new/dev.age\"; recipients = [ {alice} {carol} ]; }}\n  \
         {{ path = \"new/ops/\"; recipients = [ {alice} {bob} ]; }}\n  \
         {{ path = \"new/root.age\"; recipients = [ {alice} ]; }}\n]"
    );
    assert_eq!(printed(&done), rules);
    let files = names.map(|name| format!("new/{name}"));
    team.flake(&rules, &files.each_ref().map(String::as_str));
    team.run("alice", "rekey").exits(0).says(&["5 rekeyed"]);
    assert_eq!(readers("new"), MOVED);
    let mut age = workspace.command("age");
    let host = run(age.args(["-d", "-i", "keys/host-web1", "new/all.age"]));
    assert_ne!(host.exit, 0, "a host has copies");

    // Where the flake says it already, there is nothing to print, and nobody else reads the new files for a moment.
    fs::remove_dir_all(workspace.path("new")).unwrap();
    let done = team.run("alice", "import agenix old --into new").exits(0);
    assert!(!done.stdout.contains("rules"), "{}", done.stdout);
    assert!(!done.stderr.contains("than before"), "{}", done.stderr);
    assert_eq!(readers("new"), MOVED);
}

#[test]
fn recipients_of_sops_are_kept_as_rules() {
    let Some(team) = Team::new("rules-sops") else { return };
    let workspace = &team.0;
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sops/team");
    workspace.sh(&format!("cp -r {source} old")).exits(0);
    let names = ["all", "dev", "ops/ci", "ops/db", "root"];
    // sops has an age file for each recipient. That of bob is made of his ssh key, so that only its name shows.
    let bob = "recipient: age1ryfah66xk69jseqy6x4zmz8mm3kvacm2lvrh9h5ej53j3nyney0srvm89x\n";
    let line = |name: &&str| {
        let text = String::from_utf8(workspace.read(&format!("old/{name}.yaml"))).unwrap();
        let mut readers = Vec::new();
        for block in text.split("-----BEGIN").skip(1) {
            let block = block.lines().map(|line| line.trim().to_owned() + "\n").collect::<String>();
            let (block, _) = block.split_once("-----END AGE ENCRYPTED FILE-----").unwrap();
            let whole =
                format!("-----BEGIN {}-----END AGE ENCRYPTED FILE-----\n", block.trim_start());
            workspace.write("block", whole);
            readers.push(team.readers("block"));
        }
        readers.push(if text.contains(bob) { "bob".to_owned() } else { String::new() });
        readers.retain(|names| !names.is_empty());
        readers.sort();
        format!("{name}: {}\n", readers.join(" "))
    };
    assert_eq!(names.iter().map(line).collect::<String>(), MOVED);

    team.flake("[ ]", &[]);
    let done = team.run("alice", "import sops old --into new").exits(0).says(&["10 imported"]);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|person| team.public(person));
    let rules = format!(
        "[\n  {{ path = \"new/dev/\"; recipients = [ {alice} {carol} ]; }}\n  \
         {{ path = \"new/ops/\"; recipients = [ {alice} {bob} ]; }}\n  \
         {{ path = \"new/root/\"; recipients = [ {alice} ]; }}\n]"
    );
    assert_eq!(printed(&done), rules);
    let secrets = ["root-password", "mail/work"];
    let files: Vec<String> =
        names.iter().flat_map(|name| secrets.map(|id| format!("new/{name}/{id}"))).collect();
    team.flake(&rules, &files.iter().map(String::as_str).collect::<Vec<_>>());
    team.run("alice", "rekey").exits(0).says(&["10 rekeyed"]);
    for id in secrets {
        let line =
            |name: &&str| format!("{name}: {}\n", team.readers(&format!("new/{name}/{id}.age")));
        assert_eq!(names.iter().map(line).collect::<String>(), MOVED, "{id}");
    }
}
