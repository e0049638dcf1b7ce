//! layouts of public repositories, made small → the same values after the move.

use std::fs;
use std::path::Path;
use std::process::Command;

use pretty_assertions::assert_eq;

use crate::support::{Done, Workspace, run};

/// Returns what Nix makes of a module of secrets: ids, and the files that they name from the flake's root.
#[track_caller]
fn files(workspace: &Workspace, module: &str) -> Vec<(String, String)> {
    workspace.write("module.nix", module);
    let text = "builtins.attrValues (builtins.mapAttrs (id: secret: [ id (toString (secret.file or \"\")) ]) \
                (import ./module.nix).vaultix.secrets)";
    let mut nix = workspace.command("nix-instantiate");
    let done = run(nix.args(["--eval", "--strict", "--json", "--expr", text])).exits(0);
    let found: Vec<(String, String)> = serde_json::from_str(&done.stdout).unwrap();
    let root = format!("{}/", workspace.root.display());
    found.into_iter().map(|(id, file)| (id, file.replace(&root, ""))).collect()
}

/// Returns the groups of a snippet by their headings.
fn groups(done: &Done) -> Vec<(&str, &str)> {
    done.stdout.split("\n\n").filter_map(|part| part.strip_prefix("# ")?.split_once('\n')).collect()
}

/// Returns a flake whose hosts declare secrets of agenix as `hosts` says, bindings of hosts.
fn flake(hosts: &str) -> String {
    format!("{{ outputs = {{ self }}: {{ nixosConfigurations = {{ {hosts} }}; }}; }}\n")
}

/// Runs `vaultix` with `line` where Nix finds no registry, after `git add`: a flake is what git knows.
fn in_flake(workspace: &Workspace, line: &str) -> Done {
    workspace.sh("git init -q && git add -A . ':!keys' ':!.ssh' ':!module.nix'").exits(0);
    let mut command = workspace.vaultix_command(line);
    run(command.env("NIX_CONFIG", "flake-registry =").env("HOME", &workspace.root))
}

/// A home of `GnuPG` in a workspace, with the key of `tests/keys`.
struct Gnupg<'a>(&'a Workspace);

impl<'a> Gnupg<'a> {
    /// Makes it.
    fn new(workspace: &'a Workspace) -> Self {
        let gnupg = Self(workspace);
        workspace.sh("mkdir -m 700 gnupg").exits(0);
        run(gnupg.env(workspace.command("gpg").args([
            "--batch",
            "--quiet",
            "--import",
            "keys/gnupg.asc",
        ])))
        .exits(0);
        gnupg
    }

    /// Has `command` use it.
    fn env<'b>(&self, command: &'b mut Command) -> &'b mut Command {
        command.env("GNUPGHOME", self.0.path("gnupg"))
    }

    /// Runs `vaultix` with it.
    fn vaultix(&self, line: &str) -> Done {
        run(self.env(&mut self.0.vaultix_command(line)))
    }
}

impl Drop for Gnupg<'_> {
    fn drop(&mut self) {
        // It would live on.
        let _ = self.env(self.0.command("gpgconf").args(["--kill", "all"])).status();
    }
}

/// Makes a workspace with a file of sops for each of several hosts, which have their names in common.
fn hosts(name: &str) -> Workspace {
    let workspace = Workspace::new(name);
    for file in ["ace.yaml", "bee.yaml", "cat.yaml", "dog.yaml", "app.env"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sops/hosts").join(file);
        workspace.write(&format!("old/.hosts/{file}"), fs::read(path).unwrap());
    }
    workspace
}

#[test]
fn files_of_hosts_have_their_names_in_common() {
    let workspace = hosts("layout-sops-hosts");
    let gnupg = Gnupg::new(&workspace);
    // An age key, GnuPG, and a recipient that ssh-to-age has made.
    let line = "import sops old -i keys/me.txt -i keys/ssh-ed25519 --into new";
    let done = gnupg.vaultix(line).exits(77).says(&[
        "7 imported, 1 failed",
        "cannot decrypt old/.hosts/dog.yaml: no identity can decrypt it: it is encrypted to age1",
    ]);
    for host in ["ace", "bee", "cat"] {
        let open = |id: &str| workspace.open(&format!("new/.hosts/{host}/{id}.age"), "me.txt");
        assert_eq!(open("root-password"), format!("hunter2 of {host}"));
        assert_eq!(open("mail/work"), format!("correct horse of {host}"));
    }
    let text = workspace.open("new/.hosts/app.env.age", "me.txt");
    assert_eq!(text, "PORT=8080\nTOKEN=hunter2 of the app\n");

    let mut found = groups(&done);
    let (heading, rules) = found.pop().unwrap();
    assert!(heading.starts_with("In flake.nix, next to vaultix.identity"), "{heading}");
    assert_eq!(rules.matches("path = \"new/.hosts/app.env.age\";").count(), 1, "{rules}");
    assert_eq!(rules.matches("path = ").count(), 1, "{rules}");
    let headings: Vec<&str> = found.iter().map(|(heading, _)| *heading).collect();
    let expected =
        ["ace.yaml", "app.env", "bee.yaml", "cat.yaml"].map(|name| format!("from .hosts/{name}"));
    assert_eq!(headings, expected);
    assert!(done.stdout.starts_with("# Some ids are in several groups"), "{}", done.stdout);
    let of = |id: &str, file: &str| (id.to_owned(), format!("new/.hosts/{file}.age"));
    assert_eq!(
        files(&workspace, found[2].1),
        [of("mail/work", "bee/mail/work"), of("root-password", "bee/root-password")]
    );
    assert_eq!(files(&workspace, found[1].1), [of("app.env", "app.env")]);

    // Once its key is there, the rest follows.
    let key = "keys/ssh-ed25519-passphrase";
    let done =
        gnupg.vaultix(&format!("import sops old -i keys/me.txt -i {key} --into new")).exits(77);
    done.says(&[
        "cannot make an age key of keys/ssh-ed25519-passphrase: it has a passphrase",
        "ssh-to-age -private-key -i keys/ssh-ed25519-passphrase",
    ]);
}

#[test]
fn where_gpg_opens_nothing_the_way_to_age_is_named() {
    let workspace = hosts("layout-sops-gpg");
    let import = |name: &str| {
        let mut command =
            workspace.vaultix_command(&format!("import sops {name} -i keys/me.txt --into new"));
        run(command.env("GNUPGHOME", workspace.path("nowhere")))
    };
    let name = "old/.hosts/cat.yaml";
    let fix = format!("to fix: sops rotate --in-place --add-age age1… {name}");
    import(name).exits(77).says(&["cannot decrypt old/.hosts/cat.yaml: gpg", &fix]);
    let name = "old/.hosts/app.env";
    import(name)
        .exits(77)
        .says(&["cannot decrypt", "no identity can decrypt it: it is encrypted to age1pcme5h9"]);

    // A machine without gpg.
    workspace.sh(
        "mkdir bin && for name in setsid vaultix sh; do ln -s \"$(command -v $name)\" bin; done",
    )
    .exits(0);
    let mut command =
        workspace.vaultix_command("import sops old/.hosts/cat.yaml -i keys/me.txt --into new");
    let done = run(command.env("PATH", workspace.path("bin"))).exits(77);
    done.says(&["gpg: No such file or directory", "sops rotate"]);
    assert!(workspace.tree("new").is_empty());
}

#[test]
fn hidden_directories_are_looked_into() {
    let workspace = Workspace::new("layout-hidden");
    workspace.sh("git init -q").exits(0);
    for (name, text) in [
        (".secrets/hosts/ace/wifi.age", "correct horse"),
        (".secrets/mail.age", "hunter2"),
        (".secrets/local.nix.age", "{ domain = \"example.org\"; }"),
        (".git/x.age", "no secret"),
        (".direnv/x.age", "no secret"),
    ] {
        workspace.secret(name, text);
    }
    let host = ["-R", "keys/host-web1.pub"];
    workspace.secret_with(
        ".secrets/rekeyed/web/0123456789abcdef0123456789abcdef-mail.age",
        "one",
        &host,
    );
    for (source, new) in [(".", "new"), (".secrets", "other")] {
        let line = format!("import agenix-rekey {source} -i keys/me.txt --into {new}");
        let done = workspace.vaultix(&line).exits(0);
        let done =
            done.says(&["local.nix.age: left out, since it is Nix and no secret", "2 imported"]);
        // Where they are is no part of what they are called.
        let of = |id: &str| (id.to_owned(), format!("{new}/{id}.age"));
        assert_eq!(files(&workspace, &done.stdout), ["hosts/ace/wifi", "mail"].map(of));
        let text = workspace.open(&format!("{new}/hosts/ace/wifi.age"), "me.txt");
        assert_eq!(text, "correct horse");
    }
}

#[test]
fn nothing_found_is_no_success() {
    let workspace = Workspace::new("layout-nothing");
    workspace.secret("secrets/wifi.age", "one");
    workspace.write("empty/README.md", "no secret");
    workspace.write("empty/rules/secrets.nix", "{ }");
    for (line, reason) in [
        ("agenix-rekey empty --into new", "there is no file of agenix-rekey"),
        ("sops empty --into new", "there is no file that sops encrypted"),
        ("pass empty --into new", "there is no entry of a password store"),
        ("agenix empty --into new", "there is no rule of agenix"),
        ("agenix empty/rules/secrets.nix --into new", "there is no rule of agenix"),
        (
            "agenix-rekey .",
            "secrets is not looked into, since new secrets go there; to fix: have them go",
        ),
    ] {
        for option in ["-i keys/me.txt", "--dry-run"] {
            let done = workspace.vaultix(&format!("import {line} {option}")).exits(66);
            assert_eq!(done.says(&["cannot import", reason]).stdout, "", "{line}");
        }
    }
}

/// Makes a workspace with rules of agenix in many files, and hosts that call some of the files otherwise.
fn agenix(name: &str) -> Workspace {
    let workspace = Workspace::new(name);
    let rules = |names: &[&str]| {
        let rule = |name: &&str| format!("\"{name}\".publicKeys = [ me ];");
        let rules: Vec<String> = names.iter().map(rule).collect();
        format!("let me = \"ssh-ed25519 AAAA\"; in {{ {} }}\n", rules.join(" "))
    };
    let to = ["-R", "keys/ssh-ed25519.pub", "-R", "keys/host-web1.pub"];
    for host in ["ace", "bee"] {
        let own = format!("hosts/{host}/secrets.nix");
        workspace.write(&own, rules(&["wifi.age", "age/mail.age", "../../shared/backup.age"]));
        for (file, text) in [("wifi", "correct horse"), ("age/mail", "hunter2")] {
            workspace.secret_with(
                &format!("hosts/{host}/{file}.age"),
                format!("{text} of {host}"),
                &to,
            );
        }
    }
    workspace.write(".private/rules.nix", rules(&["root.age"]));
    workspace.secret_with(".private/root.age", "hunter2 of root", &to);
    workspace.secret_with("shared/backup.age", "hunter2 of all", &to);
    // Rules that are taken over by others, and name files from there.
    workspace.write("shared/part.nix", rules(&["shared/tls.age"]));
    workspace.write(
        "all.nix",
        "# publicKeys\nimport ./shared/part.nix // import ./.private/rules.nix\n",
    );
    workspace.secret_with("shared/tls.age", "hunter2 of tls", &to);
    // None of these has rules.
    workspace.write("modules/secrets.nix", "{ config, ... }: { age.secrets.x.file = ./x.age; }\n");
    workspace.write("modules/users.nix", "{ lib, ... }: { publicKeys = throw \"no rules\"; }\n");
    workspace
        .write("modules/key.nix", "{ ace = { publicKey = \"x\"; publicKeys = 1; }.publicKey; }\n");
    workspace
}

#[test]
fn rules_in_many_files_are_all_taken() {
    let workspace = agenix("layout-agenix-rules");
    // Names that `all.nix` takes over lead nowhere from there.
    workspace.sh("rm all.nix").exits(0);
    let line = "import agenix . -i keys/ssh-ed25519 --into vaultix";
    let done = workspace.vaultix(line).exits(0).says(&["7 imported"]);
    let ids = [
        ".private/root",
        "hosts/ace/age/mail",
        "hosts/ace/wifi",
        "hosts/bee/age/mail",
        "hosts/bee/wifi",
        "shared/backup",
        "shared/tls",
    ];
    let of = |id: &str| (id.to_owned(), format!("vaultix/{id}.age"));
    assert_eq!(files(&workspace, &done.stdout), ids.map(of));
    for (id, text) in [
        ("hosts/ace/wifi", "correct horse of ace"),
        ("hosts/bee/age/mail", "hunter2 of bee"),
        ("shared/tls", "hunter2 of tls"),
        (".private/root", "hunter2 of root"),
    ] {
        assert_eq!(workspace.open(&format!("vaultix/{id}.age"), "ssh-ed25519"), text);
    }
    // What cannot be evaluated is named, and the rest goes on.
    workspace.write("shared/broken.nix", "{ \"x.age\".publicKeys = [ me ]; }\n");
    let done = workspace.vaultix("import agenix . -i keys/ssh-ed25519 --into other").exits(78);
    done.says(&[
        "cannot evaluate ./shared/broken.nix",
        "undefined variable 'me'",
        "7 imported, 1 failed",
    ]);
    // As a part of all rules it is the same file.
    workspace.write("shared/broken.nix", "import ./part.nix // { a = { }; b = 1; } # publicKeys\n");
    workspace
        .vaultix("import agenix . -i keys/ssh-ed25519 --into third")
        .exits(0)
        .says(&["7 imported"]);
    workspace.vaultix("import agenix modules/key.nix -i keys/ssh-ed25519").exits(66);
    workspace
        .vaultix("import agenix modules/users.nix -i keys/ssh-ed25519")
        .exits(65)
        .says(&["no attribute set"]);
}

#[test]
fn an_id_is_the_name_that_hosts_use() {
    let workspace = agenix("layout-agenix-names");
    workspace.sh("rm all.nix").exits(0);
    workspace.write("flake.nix", flake(
        "ace.config.age.secrets = { wlan.file = ./hosts/ace/wifi.age; backup.file = ./shared/backup.age; tls.file = ./shared/tls.age; };
         bee.config.age.secrets = { wlan.file = self + \"/hosts/bee/wifi.age\"; backup.file = ./shared/backup.age; };
         \"cat \\${{x}}\".config = { };
         dog.config.age.secrets = throw \"it barks\";",
    ));
    let done = in_flake(&workspace, "import agenix . -i keys/ssh-ed25519 --into vaultix");
    let done =
        done.exits(0).says(&["7 imported", "it is not known what host dog declares", "it barks"]);
    let found = groups(&done);
    let of = |id: &str, file: &str| (id.to_owned(), format!("vaultix/{file}.age"));
    let expected = [
        ("declared on ace", vec![of("tls", "shared/tls"), of("wlan", "hosts/ace/wifi")]),
        ("declared on ace and bee", vec![of("backup", "shared/backup")]),
        ("declared on bee", vec![of("wlan", "hosts/bee/wifi")]),
        (
            "declared on no host",
            vec![
                of(".private/root", ".private/root"),
                of("hosts/ace/age/mail", "hosts/ace/age/mail"),
                of("hosts/bee/age/mail", "hosts/bee/age/mail"),
            ],
        ),
    ];
    let found: Vec<_> =
        found.iter().map(|(heading, text)| (*heading, files(&workspace, text))).collect();
    assert_eq!(found, expected);
    assert_eq!(workspace.open("vaultix/hosts/bee/wifi.age", "ssh-ed25519"), "correct horse of bee");
}

#[test]
fn agenix_rekey_has_its_names_and_files_too() {
    let workspace = Workspace::new("layout-rekey-names");
    for name in ["wifi", "host", "local.nix", "other.nix"] {
        workspace.secret(&format!("secrets/{name}.age"), "hunter2");
    }
    workspace.write(
        "flake.nix",
        flake(
            "ace.config.age.secrets = {
           wlan = { rekeyFile = ./secrets/wifi.age; file = ./secrets/rekeyed/x.age; };
           plain = { rekeyFile = null; file = ./secrets/host.age; };
           nix = { rekeyFile = ./secrets/other.nix.age; };
         };",
        ),
    );
    let done = in_flake(&workspace, "import agenix-rekey secrets -i keys/me.txt --into vaultix");
    let done =
        done.exits(0).says(&["secrets/local.nix.age: left out, since it is Nix and no secret"]);
    let of = |id: &str, file: &str| (id.to_owned(), format!("vaultix/{file}.age"));
    assert_eq!(
        files(&workspace, &done.stdout),
        [of("nix", "other.nix"), of("plain", "host"), of("wlan", "wifi")]
    );
}

/// Returns a workspace with files of sops, and hosts that call some of their values otherwise.
fn sops(name: &str) -> Workspace {
    let workspace = Workspace::new(name);
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sops");
    for (from, to) in [("mac-only.yaml", "main.yaml"), ("app.env", "env"), ("regex.yaml", "rest")] {
        workspace.write(&format!("sops/{to}"), fs::read(files.join(from)).unwrap());
    }
    // What sops-nix makes of `sops.defaultSopsFile` and the like.
    let of = |file: &str, key: &str, format: &str| {
        format!("{{ sopsFile = ./sops/{file}; key = \"{key}\"; format = \"{format}\"; }}")
    };
    let hosts = format!(
        "ace.config.sops.secrets = {{ token = {token}; \"mail/smtp\" = {nested}; all = {all}; env = {env}; gone = {gone}; }};
         bee.config.sops.secrets = {{ token = {token}; other = {nested}; }};
         cat.config = {{ }};
         dog.config.sops.secrets = throw \"it barks\";",
        token = of("main.yaml", "kind", "yaml"),
        nested = of("main.yaml", "data/password", "yaml"),
        all = of("main.yaml", "", "yaml"),
        env = of("env", "env", "dotenv"),
        gone = of("main.yaml", "data/none", "yaml"),
    );
    workspace.write("flake.nix", flake(&hosts));
    workspace
}

#[test]
fn values_of_sops_have_the_names_that_hosts_use() {
    let workspace = sops("layout-sops-names");
    let line = "import sops sops/main.yaml -i keys/me.txt --into new";
    let done = in_flake(&workspace, line).exits(0).says(&[
        "\"all\" of hosts is all of sops/main.yaml; --keep imports that as one file",
        "\"gone\" of hosts has the key \"data/none\", and sops/main.yaml has no such value",
        "it is not known what host dog declares",
        "it barks",
    ]);
    let parts: Vec<&str> = done.stdout.split("  # ").skip(1).collect();
    let find = |heading: &str| {
        let mut found =
            parts.iter().filter_map(|part| part.strip_prefix(heading)?.strip_prefix('\n'));
        let part = found.next().unwrap_or_else(|| panic!("{heading} in {parts:?}"));
        files(&workspace, &format!("{{ {} }}", part.strip_suffix("}\n").unwrap_or(part)))
    };
    let of = |id: &str, file: &str| (id.to_owned(), format!("new/{file}.age"));
    assert_eq!(find("declared on ace and bee"), [of("token", "kind")]);
    assert_eq!(find("declared on ace"), [of("mail/smtp", "data/password")]);
    assert_eq!(find("declared on bee"), [of("other", "data/password")]);
    assert!(!find("declared on no host").is_empty());

    // As one file, all of it can be a secret as well.
    let done = in_flake(&workspace, &line.replace("new", "kept --keep")).exits(0);
    for declaration in [
        "vaultix.secrets.\"mail/smtp\" = { file = ./kept/main.yaml.age; key = \"data/password\"; };",
        "vaultix.secrets.other = { file = ./kept/main.yaml.age; key = \"data/password\"; };",
        "vaultix.secrets.all = { file = ./kept/main.yaml.age; };",
    ] {
        assert!(done.stdout.contains(declaration), "{declaration} in {}", done.stdout);
    }
    assert!(!done.stderr.contains("\"all\" of hosts"), "{}", done.stderr);

    // Formats that no name says: lines stay one secret, and of values the declaration says it.
    let flake = fs::read_to_string(workspace.path("flake.nix")).unwrap();
    let rest =
        "cow.config.sops.secrets.x = { sopsFile = ./sops/rest; key = \"x\"; format = \"yaml\"; };";
    workspace.write("flake.nix", flake.replacen("cat.config = { };", rest, 1));
    let done = in_flake(&workspace, "import sops sops -i keys/me.txt --into all --keep").exits(0);
    assert!(
        done.stdout.contains("vaultix.secrets.env = { file = ./all/env.age; };"),
        "{}",
        done.stdout
    );
    let values = "file = ./all/rest.age; key = \"";
    assert!(
        done.stdout.contains(values) && done.stdout.contains("\"; format = \"yaml\"; };"),
        "{}",
        done.stdout
    );
    let expected =
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sops/expected/app.env"));
    let found = workspace.open("all/env.age", "me.txt");
    assert_eq!(found, String::from_utf8(expected.unwrap()).unwrap());
}

#[test]
fn profiles_name_secrets_as_well() {
    let workspace = Workspace::new("layout-profile-names");
    workspace.secret("secrets/home.age", "hunter2");
    workspace.write("secrets/secrets.nix", "{ \"home.age\".publicKeys = [ ]; }");
    workspace.write("flake.nix", format!(
        "{{ outputs = {{ self }}: {{ vaultix.settings = {{ }}; vaultix.profiles.ace = {{ version = 1;
           settings = {{ hostIdentifier = \"ace\"; hostPubkey = \"{}\"; hostKeys = [ ]; }};
           secrets.wifi.file = self + \"/secrets/home.age\"; }}; }}; }}\n",
        workspace.key("host-web1.pub").trim(),
    ));
    let done = in_flake(&workspace, "import agenix secrets -i keys/me.txt --into vaultix").exits(0);
    let expected = ("wifi".to_owned(), "vaultix/home.age".to_owned());
    assert_eq!(files(&workspace, &done.stdout), [expected]);
}

#[test]
fn files_of_agenix_stay_where_they_are() {
    let workspace = Workspace::new("layout-agenix-stay");
    workspace.sh("mkdir -m 700 .ssh && cp keys/ssh-ed25519 .ssh/id_ed25519").exits(0);
    let [me, web1, db1] =
        ["-R keys/ssh-ed25519.pub", "-R keys/host-web1.pub", "-R keys/host-db1.pub"];
    for (name, to) in [
        ("wifi", [me, web1, db1].join(" ")),
        ("mail", [me, web1].join(" ")),
        ("token", me.to_owned()),
        ("root", [web1, db1].join(" ")),
    ] {
        let to: Vec<&str> = to.split(' ').collect();
        workspace.secret_with(&format!("secrets/{name}.age"), format!("hunter2 of {name}"), &to);
    }
    let host = |host: &str, secrets: &[&str]| {
        let secret = |id: &&str| format!("\"{id}\".file = self + \"/secrets/{id}.age\";");
        let secrets: Vec<String> = secrets.iter().map(secret).collect();
        format!(
            "{host} = {{ version = 1; settings = {{ hostIdentifier = \"{host}\"; hostPubkey = \"{}\"; hostKeys = [ ]; }};
             secrets = {{ {} }}; }};",
            workspace.key(&format!("host-{host}.pub")).trim(),
            secrets.join(" "),
        )
    };
    let flake = |more: &[&str]| {
        let hosts =
            host("web1", &[&["wifi", "mail", "token"], more].concat()) + &host("db1", &["wifi"]);
        format!(
            "{{ outputs = {{ self }}: {{ vaultix.settings.identity = \"~/.ssh/id_ed25519\"; vaultix.profiles = {{ {hosts} }}; }}; }}\n"
        )
    };

    // What this key does not decrypt is named, and so is who does.
    workspace.write("flake.nix", flake(&["root"]));
    in_flake(&workspace, "check").exits(1).says(&[
        "secrets/root.age is not encrypted to ssh-ed25519 (tag",
        "), but to ssh-ed25519 (tag",
        "to fix: vaultix rekey --old IDENTITY_THAT_OPENS_IT",
        "hosts can decrypt the secrets themselves, without copies: secrets/mail.age (web1), secrets/root.age (db1, web1), \
         secrets/wifi.age (db1, web1); to encrypt them to people alone: vaultix rekey",
    ]);
    in_flake(&workspace, "renc").exits(77).says(&["secrets/root.age", "4 re-encrypted"]);

    // Without that one, all is there. That hosts can decrypt more than copies is no failure.
    workspace.write("flake.nix", flake(&[]));
    let before = workspace.tree("secrets");
    let done = in_flake(&workspace, "check").exits(0);
    done.says(&[
        "secrets/mail.age (web1), secrets/wifi.age (db1, web1);",
        "4 up to date, 0 problems",
    ]);
    assert_eq!(workspace.tree("secrets"), before);
    for (host, name) in [("web1", "mail"), ("web1", "token"), ("db1", "wifi")] {
        workspace.cached(host, &format!("host-{host}"), &format!("hunter2 of {name}"));
    }

    // One command takes the hosts out, and they have their copies all the same.
    in_flake(&workspace, "rekey").exits(0).says(&["3 rekeyed"]);
    for name in ["wifi", "mail", "token"] {
        let file = format!("secrets/{name}.age");
        assert_eq!(workspace.open(&file, "ssh-ed25519"), format!("hunter2 of {name}"));
        let mut age = workspace.command("age");
        assert_ne!(
            run(age.args(["-d", "-i", "keys/host-web1", &file])).exit,
            0,
            "a host decrypts {name}"
        );
    }
    in_flake(&workspace, "renc").exits(0).says(&["4 re-encrypted"]);
    let done = in_flake(&workspace, "check").exits(0);
    assert!(!done.stderr.contains("hosts can decrypt"), "{}", done.stderr);
    workspace.cached("web1", "host-web1", "hunter2 of mail");
}
