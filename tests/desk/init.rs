//! `vaultix init` → a flake that works, without changes to existing files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use pretty_assertions::assert_eq;

use crate::pty::Pty;
use crate::support::{Workspace, feed, run};

/// Where the identity is.
const IDENTITY: &str = "home/.config/vaultix/identity.txt";

/// What has git keep secrets and copies as they are, and merge none.
const ATTRIBUTES: &str = "*.age -text -merge diff=vaultix\n\
    /secrets/cache/** -text -merge -diff linguist-generated\n";

/// Makes a workspace with a home directory, and a git work tree in `work`.
fn workspace(name: &str) -> Workspace {
    let workspace = Workspace::new(name);
    workspace.sh("mkdir home work && git init -q work").exits(0);
    workspace
}

/// Prepares to run `vaultix` in the work tree.
fn command(workspace: &Workspace, line: &str) -> Command {
    let mut command = workspace.vaultix_command(line);
    command.current_dir(workspace.path("work")).env("HOME", workspace.path("home"));
    command.env_remove("XDG_CONFIG_HOME").env("NIX_CONFIG", "flake-registry =");
    command
}

/// Evaluates `expression` in the work tree with the real nix; `None` if there is no nix.
fn eval(workspace: &Workspace, expression: &str) -> Option<String> {
    if workspace.sh("command -v nix-instantiate").exit != 0 {
        assert_ne!(std::env::var("VAULTIX_TESTS").as_deref(), Ok("all"), "nix is missing");
        eprintln!("SKIPPED: there is no nix here");
        return None;
    }
    let mut nix = workspace.command("nix-instantiate");
    nix.current_dir(workspace.path("work")).env("HOME", workspace.path("home"));
    // Nothing is built, so no access to the store is needed, which not every user has.
    nix.env("NIX_REMOTE", "dummy://").args(["--eval", "--strict", "--json", "--expr", expression]);
    Some(run(&mut nix).exits(0).stdout.trim().to_owned())
}

/// Returns the files in `work`: names, bytes and times of change.
fn state(workspace: &Workspace) -> Vec<(String, Vec<u8>, i64)> {
    let files = workspace.tree("work").into_iter().filter(|(name, _)| !name.starts_with(".git/"));
    let describe = |(name, _): (String, u64)| {
        let path = format!("work/{name}");
        let time = fs::metadata(workspace.path(&path)).unwrap().mtime_nsec();
        (name, workspace.read(&path), time)
    };
    files.map(describe).collect()
}

/// Returns the names of the files in `work`.
fn names(workspace: &Workspace) -> Vec<String> {
    state(workspace).into_iter().map(|(name, _, _)| name).collect()
}

#[test]
fn init_creates_everything_that_a_host_needs() {
    let workspace = workspace("init");
    let mut init = workspace.command("setsid");
    init.current_dir(workspace.path("work")).env("HOME", workspace.path("home"));
    let done = run(init.args(["--wait", "sh", "-c", "umask 0; vaultix init"])).exits(0).says(&[
        "/.config/vaultix/identity.txt: created\nsecrets/example.age: created\n.gitattributes: created\n\
         example.nix: created\nflake.nix: created\n5 created, 0 already there\n",
        "vaultix edit secrets/example.age\n",
    ]);
    assert_eq!(done.stdout, "", "the flake is there, nothing has to be put into one");
    assert_eq!(
        names(&workspace),
        [".gitattributes", "example.nix", "flake.nix", "secrets/example.age"]
    );
    assert_eq!(String::from_utf8(workspace.read("work/.gitattributes")).unwrap(), ATTRIBUTES);
    let mode = |path: &str| fs::metadata(workspace.path(path)).unwrap().mode() & 0o777;
    assert_eq!((mode("home/.config/vaultix"), mode(IDENTITY)), (0o700, 0o600));
    let tracked = workspace.sh("git -C work ls-files").exits(0).stdout;
    assert_eq!(tracked, ".gitattributes\nexample.nix\nflake.nix\nsecrets/example.age\n");

    // The real age accepts the identity, and decrypts the secret.
    let line = format!("age-keygen -y {IDENTITY} && age -d -i {IDENTITY} work/secrets/example.age");
    let shown = workspace.sh(&line).exits(0).stdout;
    assert!(shown.contains("\nThis is a secret."), "{shown}");

    let stubs = "(import ./flake.nix).outputs rec {
        self = { }; nixpkgs.lib.nixosSystem = arguments: arguments;
        vaultix = { nixosModules.default = { }; configure = arguments: arguments; };
      }";
    let identity = eval(&workspace, &format!("({stubs}).vaultix.identity"));
    assert!(identity.is_none_or(|path| path == "\"~/.config/vaultix/identity.txt\""));
    let module = eval(&workspace, "(import ./example.nix).vaultix.secrets");
    assert!(module.is_none_or(|secrets| secrets == "{}"));
    // Nobody's key: secrets for it would be a stranger's.
    let key = eval(&workspace, "(import ./example.nix).vaultix.settings.hostPubkey");
    assert!(key.is_none_or(|key| key == "\"\""));

    let before = (state(&workspace), workspace.read(IDENTITY));
    run(&mut command(&workspace, "init")).exits(0).says(&[
        "secrets/example.age: already there\n",
        "flake.nix: already there\n",
        "nothing was changed: everything is already there\n",
    ]);
    assert!(before == (state(&workspace), workspace.read(IDENTITY)));
}

#[test]
fn for_an_existing_flake_init_prints_what_to_add() {
    let workspace = workspace("init-flake");
    workspace.write("work/flake.nix", "{ outputs = _: { }; }\n");
    fs::create_dir(workspace.path("work/below")).unwrap();
    let done = run(command(&workspace, "init").current_dir(workspace.path("work/below")))
        .exits(0)
        .says(&[
            &format!("{}: already there\n", workspace.path("work/flake.nix").display()),
            &format!("{}: created\n", workspace.path("work/secrets/example.age").display()),
            "- add to your flake what is printed here",
        ]);
    assert_eq!(workspace.read("work/flake.nix"), b"{ outputs = _: { }; }\n");
    assert_eq!(names(&workspace), [".gitattributes", "flake.nix", "secrets/example.age"]);

    // Each part where its comment says, and nothing else.
    let parts: Vec<&str> =
        done.stdout.split("\n\n").map(|part| part.split_once('\n').unwrap().1).collect();
    let [inputs, output, modules] = parts[..] else { panic!("{}", done.stdout) };
    let flake = format!(
        "{{ {inputs}
           outputs = {{ self, nixpkgs, vaultix, ... }}: {{
             {output}
             nixosConfigurations.web1 = nixpkgs.lib.nixosSystem {{ modules = [ ./web1.nix {modules} ]; }};
           }}; }}"
    );
    workspace.write("work/flake.nix", &flake);
    let stubs = "(import ./flake.nix).outputs {
        self.outPath = \"/flake\"; nixpkgs.lib.nixosSystem = arguments: arguments;
        vaultix = { nixosModules.default = 1; configure = arguments: arguments; };
      }";
    let modules =
        eval(&workspace, &format!("builtins.tail ({stubs}).nixosConfigurations.web1.modules"));
    let Some(modules) = modules else { return };
    assert_eq!(
        modules,
        r#"[1,{"vaultix":{"secrets":{"example":{}},"settings":{"flake":"/flake","hostPubkey":""}}}]"#
    );
    let names = eval(&workspace, "builtins.attrNames (import ./flake.nix).inputs.vaultix").unwrap();
    assert_eq!(names, r#"["inputs","url"]"#);
    // With it, the flake names the identity. No inputs: there is no network here.
    let configure =
        "arguments: { settings = { inherit (arguments) identity; extraRecipients = [ ]; }; }";
    let flake = format!(
        "{{ outputs = {{ self }}: let vaultix.configure = {configure}; in {{ {output} }}; }}"
    );
    workspace.write("work/flake.nix", flake);
    workspace.sh("git -C work add -A").exits(0);
    let done = run(&mut command(&workspace, "view secrets/example.age")).exits(0);
    assert!(done.stdout.starts_with("This is a secret."), "{}", done.stdout);
    feed(&mut command(&workspace, "edit secrets/example.age"), b"changed").exits(0);
    assert_eq!(
        run(&mut command(&workspace, "view secrets/example.age")).exits(0).stdout,
        "changed"
    );
    // A colleague's machine, where it is elsewhere or not yet.
    fs::remove_file(workspace.path(IDENTITY)).unwrap();
    run(&mut command(&workspace, "view secrets/example.age")).exits(77).says(&[
        "home/.config/vaultix/identity.txt: it does not exist",
        "with --identity FILE; or, if you have none: vaultix init --identity /",
    ]);
}

#[test]
fn where_there_are_secrets_init_makes_no_example() {
    let workspace = workspace("init-again");
    // Only with a passphrase, so it is an identity.
    let copy = |key: &str, name: &str| {
        workspace.sh(&format!("mkdir -p work/hosts && cp keys/{key} work/{name}")).exits(0);
    };
    copy("me-passphrase.age", "hosts/me.age");
    workspace.write("work/flake.nix", "{ outputs = _: { }; }\n");
    run(&mut command(&workspace, "init")).exits(0).says(&["secrets/example.age: created\n"]);
    fs::remove_file(workspace.path("work/secrets/example.age")).unwrap();

    // A colleague, who has no identity yet.
    fs::remove_file(workspace.path(IDENTITY)).unwrap();
    workspace.secret("work/hosts/mail.age", "mail text");
    let identity = workspace.path(IDENTITY).display().to_string();
    let recipient = format!("vaultix recipient --identity {identity}\n");
    let done = run(&mut command(&workspace, "init")).exits(0).says(&[
        "identity.txt: created\n",
        "secrets/example.age: not created: there are secrets already, such as hosts/mail.age\n",
        "1 created, 2 already there\n",
        &recipient,
        "- add to your flake what is printed here and not in it yet\n- nix flake lock\n",
    ]);
    assert!(!workspace.path("work/secrets/example.age").exists());
    assert!(!done.stderr.contains("vaultix edit"), "{}", done.stderr);
    workspace.sh(recipient.trim()).exits(0);

    // A flake that is set up, with secrets in another repository.
    workspace.sh("rm work/hosts/*.age && git -C work add -A").exits(0);
    let flake =
        "{ outputs = _: { vaultix.settings.identity = \"~/.config/vaultix/identity.txt\"; }; }";
    workspace.write("work/flake.nix", flake);
    if eval(&workspace, "1").is_none() {
        return;
    }
    let done = run(&mut command(&workspace, "init")).exits(0).says(&[
        "secrets/example.age: not created: the flake is set up already\n",
        "nothing was changed: everything is already there\n",
    ]);
    assert_eq!((done.stdout.as_str(), done.stderr.contains("nix flake lock")), ("", false));
    assert!(!workspace.path("work/secrets/example.age").exists());
}

#[test]
fn an_existing_identity_is_kept() {
    let workspace = workspace("init-kept");
    let keys = workspace.path("keys").canonicalize().unwrap();
    let before = workspace.key("me.txt");
    let line = format!("init . --identity {}/me.txt", keys.display());
    run(&mut command(&workspace, &line))
        .exits(0)
        .says(&["/me.txt: already there\nsecrets/example.age: created\n"]);
    assert_eq!(workspace.key("me.txt"), before);
    assert!(workspace.open("work/secrets/example.age", "me.txt").starts_with("This is a secret."));
    assert!(!workspace.path("home/.config").exists());
    // A new identity inside the repository is created, but with a warning.
    run(&mut command(&workspace, "init other --identity other/me.txt")).exits(0).says(&[
        "other/me.txt: created\nother/secrets/example.age: created\n",
        "vaultix: other/me.txt is in the repository",
    ]);
    assert_eq!(workspace.sh("git -C work ls-files | grep me.txt").stdout, "");
}

#[test]
fn the_identity_is_created_in_the_users_settings_directory() {
    let workspace = workspace("init-settings");
    let settings = workspace.path("home/settings");
    let line = "init --passphrase";
    run(command(&workspace, line).env_remove("HOME"))
        .exits(64)
        .says(&["vaultix init --identity FILE"]);
    run(command(&workspace, "init").env("XDG_CONFIG_HOME", &settings)).exits(0);
    assert!(settings.join("vaultix/identity.txt").exists());
    let flake = String::from_utf8(workspace.read("work/flake.nix")).unwrap();
    assert!(flake.contains("identity = \"~/settings/vaultix/identity.txt\";"), "{flake}");
}

#[test]
fn a_passphrase_is_asked_for_twice() {
    let workspace = workspace("init-passphrase");
    let mut pty = Pty::start(&mut command(&workspace, "init --passphrase"));
    pty.expect("identity.txt (to protect it): ");
    pty.send("correct horse\n");
    pty.expect("The passphrase again (to be sure): ");
    pty.send("battery staple\n");
    pty.expect("The passphrases differ, try again.");
    pty.expect("identity.txt (to protect it): ");
    pty.send("correct horse\n");
    pty.expect("The passphrase again (to be sure): ");
    pty.send("correct horse\n");
    pty.expect("5 created, 0 already there");
    let (exit, shown) = pty.end();
    assert_eq!((exit, shown.contains("horse")), (0, false), "{shown}");
    assert!(workspace.read(IDENTITY).starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----\n"));
    assert_eq!(fs::metadata(workspace.path(IDENTITY)).unwrap().mode() & 0o777, 0o600);

    let line = format!("view secrets/example.age -i {}", workspace.path(IDENTITY).display());
    let mut pty = Pty::start(&mut command(&workspace, &line));
    pty.expect("(to decrypt 1 secret): ");
    pty.send("correct horse\n");
    pty.expect("This is a secret.");
    assert_eq!(pty.end().0, 0);

    // The real age decrypts it with the same passphrase.
    let mut age = workspace.command("setsid");
    let mut pty = Pty::start(age.args(["--wait", "age", "--decrypt", IDENTITY]));
    pty.expect("Enter passphrase: ");
    pty.send("correct horse\n");
    pty.expect("AGE-SECRET-KEY-1");
    assert_eq!(pty.end().0, 0);

    // Creating the secret again needs the recipient, and so the passphrase.
    fs::remove_file(workspace.path("work/secrets/example.age")).unwrap();
    let mut pty = Pty::start(&mut command(&workspace, "init --passphrase"));
    pty.expect("(to find its recipient): ");
    pty.send("correct horse\n");
    pty.expect("1 created, 3 already there");
    assert_eq!(pty.end().0, 0);
}

#[test]
fn an_identity_needs_its_passphrase() {
    let workspace = workspace("init-none");
    run(&mut command(&workspace, "init --passphrase")).exits(77).says(&["there is no terminal"]);
    for (keys, exit) in [("\n", 77), ("half\x03", 130)] {
        let mut pty = Pty::start(&mut command(&workspace, "init --passphrase"));
        pty.expect("(to protect it): ");
        pty.send(keys);
        let (found, shown) = pty.end();
        assert_eq!(found, exit, "{shown}");
    }
    assert_eq!((workspace.tree("home"), names(&workspace)), (vec![], vec![]));
}

#[test]
fn existing_files_stay() {
    let workspace = workspace("init-way");
    workspace.write("work/example.nix", "{ theirs = true; }\n");
    let done =
        run(&mut command(&workspace, "init")).exits(0).says(&["example.nix: already there\n"]);
    assert!(done.stdout.contains("vaultix.configure"), "what a flake would need: {}", done.stdout);
    assert_eq!(names(&workspace), [".gitattributes", "example.nix", "secrets/example.age"]);
    assert_eq!(workspace.read("work/example.nix"), b"{ theirs = true; }\n");

    fs::remove_dir_all(workspace.path("work/secrets")).unwrap();
    workspace.write("work/secrets", "a file");
    run(&mut command(&workspace, "init")).exits(73).says(&["cannot write secrets/example.age"]);
    assert_eq!(workspace.read("work/secrets"), b"a file");
}

#[test]
fn lines_are_added_to_attributes_once() {
    let workspace = workspace("init-attributes");
    let [secrets, cache] = ATTRIBUTES.split_inclusive('\n').collect::<Vec<_>>().try_into().unwrap();
    let old = "*.age diff=vaultix";
    for (before, added) in [
        ("", ATTRIBUTES.to_owned()),
        ("*.png binary", format!("\n{ATTRIBUTES}")),
        ("*.age -text\n", format!("*.age -merge diff=vaultix\n{cache}")),
        (&format!("{old}\r\n"), format!("*.age -text -merge\n{cache}")),
        (
            &format!("# x\n{old}\nsecrets/cache/** binary linguist-generated"),
            "\n*.age -text -merge\n".to_owned(),
        ),
        (&format!("{cache}*.age text diff=mine"), "\n*.age -text -merge\n".to_owned()),
        (&format!("{secrets}{cache}"), String::new()),
    ] {
        let text = || String::from_utf8(workspace.read("work/.gitattributes")).unwrap();
        workspace.write("work/.gitattributes", before);
        let done = run(&mut command(&workspace, "init")).exits(0);
        assert_eq!(text(), format!("{before}{added}"));
        for line in added.lines().filter(|line| !line.is_empty()) {
            assert!(done.stderr.contains(&format!(".gitattributes: added {line}\n")), "{line}");
        }
        run(&mut command(&workspace, "init")).exits(0).says(&["nothing was changed"]);
        assert_eq!(text(), format!("{before}{added}"));
    }
    // What git makes of them.
    let copy = "secrets/cache/web1/0";
    let line = format!(
        "git -C work check-attr text merge diff linguist-generated -- secrets/x.age {copy}"
    );
    let found = workspace.sh(&line).exits(0).stdout;
    let expected = format!(
        "secrets/x.age: text: unset\nsecrets/x.age: merge: unset\nsecrets/x.age: diff: vaultix\n\
         secrets/x.age: linguist-generated: unspecified\n{copy}: text: unset\n{copy}: merge: unset\n\
         {copy}: diff: unset\n{copy}: linguist-generated: set\n"
    );
    assert_eq!(found, expected);
}

#[test]
fn the_attributes_of_copies_are_for_where_the_flake_has_them() {
    let workspace = workspace("init-cache");
    let flake = "{ outputs = _: { vaultix.settings.cache = \"./hosts/my copies/\"; }; }";
    workspace.write("work/flake.nix", flake);
    if eval(&workspace, "1").is_none() {
        return;
    }
    workspace.sh("git -C work add flake.nix").exits(0);
    run(&mut command(&workspace, "init")).exits(0);
    let attribute = |path: &str| {
        let line = format!("git -C work check-attr merge -- '{path}'");
        let answer = workspace.sh(&line).exits(0).stdout;
        answer.trim().rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!(attribute("hosts/my copies/web1/0"), "unset");
    assert_eq!(attribute("secrets/cache/web1/0"), "unspecified");
}
