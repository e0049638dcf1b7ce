//! what `renc` has seen → names that shells complete, without evaluating anything.

use std::fs;

use pretty_assertions::assert_eq;

use crate::pty::Pty;
use crate::support::{Workspace, feed_as_is, run};

/// An id that a shell would run if it took it for code.
const TRAP: &str = "x$(touch pwned)";

/// Makes a flake, of which `renc` has seen the names, and which does not evaluate any more.
fn flake(name: &str) -> Workspace {
    let workspace = Workspace::new(name);
    let host = |name: &str, secrets: &str| {
        let key = workspace.key(&format!("host-{name}.pub"));
        format!(
            "profiles.{name} = {{ version = 1; secrets = {{ {secrets} }};
              settings = {{ hostIdentifier = \"{name}\"; hostPubkey = \"{}\"; hostKeys = [ ]; }}; }};",
            key.trim()
        )
    };
    let file = |name: &str| format!("{{ file = \"${{self}}/secrets/{name}.age\"; }}");
    let flake = format!(
        "{{ outputs = {{ self }}: {{ vaultix = {{ settings.identity = \"{}/keys/me.txt\"; {} {} }}; }}; }}\n",
        workspace.root.display(),
        host(
            "web1",
            &format!(
                "wifi = {w}; \"alice/mail\" = {w}; \"x\\$(touch pwned)\" = {w};",
                w = file("wifi")
            )
        ),
        host(
            "db1",
            &format!(
                "new = {}; smtp = {} // {{ key = \"/smtp/password\"; }};",
                file("new"),
                file("mail.yaml")
            )
        ),
    );
    fs::create_dir_all(workspace.path("work/secrets")).unwrap();
    workspace.write("work/flake.nix", flake);
    workspace.secret("work/secrets/wifi.age", "hunter2");
    let mut age = workspace.command("age");
    age.args(["--encrypt", "--output", "work/secrets/mail.yaml.age", "-i", "keys/me.txt"]);
    feed_as_is(&mut age, b"smtp:\n  password: x\n").exits(0);
    workspace.sh("git -C work init -q && git -C work add -A").exits(0);
    let mut renc = workspace.vaultix_command("renc");
    renc.current_dir(workspace.path("work")).env("HOME", &workspace.root);
    renc.env_remove("XDG_CACHE_HOME").env("NIX_CONFIG", "flake-registry =");
    // One file is still to be made.
    run(&mut renc).says(&["web1/alice/mail: re-encrypted", "secrets/new.age"]);

    let names = workspace.tree(".cache/vaultix/names");
    let [(digest, _)] = &names[..] else { panic!("{names:?}") };
    let path = format!(".cache/vaultix/names/{digest}");
    let text = String::from_utf8(workspace.read(&path)).unwrap();
    let root = workspace.path("work").canonicalize().unwrap();
    assert_eq!(
        text,
        format!(
            "flake\t{}\nhost\tdb1\nhost\tweb1\nsecret\talice/mail\nsecret\tnew\nsecret\tsmtp\nsecret\twifi\n\
             secret\t{TRAP}\nfile\tsecrets/mail.yaml.age\nfile\tsecrets/new.age\nfile\tsecrets/wifi.age\n\
             key\tsecrets/mail.yaml.age\tsmtp/password\n",
            root.display()
        )
    );
    // As of a flake with another repository, and of one that is gone.
    workspace.write(&path, text + "file\tshared:wifi.age\nfile\t\x1b[2J\n");
    workspace.write("work/flake.nix", "throw \"nobody evaluates this\"\n");
    workspace
}

/// What is typed, and what it becomes.
const TYPED: [(&str, &str); 8] = [
    ("vaultix renc --host w", "vaultix renc --host web1 "),
    ("vaultix renc --secret=wi", "vaultix renc --secret=wifi "),
    ("vaultix generate --secret al", "vaultix generate --secret alice/mail "),
    ("vaultix renc --secret x", r"vaultix renc --secret x\$\(touch\ pwned\) "),
    ("vaultix -v edit secrets/ne", "vaultix -v edit secrets/new.age "),
    (
        "vaultix get -i me secrets/mail.yaml.age sm",
        "vaultix get -i me secrets/mail.yaml.age smtp/password ",
    ),
    ("vaultix view alice/m", "vaultix view alice/mail "),
    ("vaultix view shared:w", "vaultix view shared:wifi.age "),
];

/// Types each of these into a `shell` that shows its line at Ctrl-X.
fn complete(workspace: &Workspace, shell: &[&str], setup: &str) {
    let mut command = workspace.command("setsid");
    command.arg("--wait").args(shell).current_dir(workspace.path("work"));
    command.env("HOME", &workspace.root).env_remove("XDG_CACHE_HOME");
    let mut pty = Pty::start(&mut command);
    pty.send(&format!("{setup}; echo rea''dy\n"));
    pty.expect("ready");
    for (typed, completed) in TYPED {
        pty.send(&format!("{typed}\t\x18"));
        pty.expect(&format!("<{completed}>"));
    }
    pty.send("exit\n");
    pty.end();
    assert!(!workspace.path("work/pwned").exists(), "a name has been run");
}

#[test]
fn bash_completes_names() {
    let workspace = flake("complete-bash");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/completions/vaultix.bash");
    let setup = format!(
        r#"show() {{ echo "<$READLINE_LINE>"; READLINE_LINE=; READLINE_POINT=0; }}; bind -x '"\C-x": show'; . {file}"#
    );
    complete(&workspace, &["bash", "--norc", "--noprofile", "-i"], &setup);
    // Taken for words, such a name is run.
    let mut bash = workspace.command("bash");
    bash.current_dir(workspace.path("work"))
        .env("HOME", &workspace.root)
        .env_remove("XDG_CACHE_HOME");
    run(bash.args(["-c", "compgen -W \"$(vaultix __complete secrets --)\""]));
    assert!(workspace.path("work/pwned").exists(), "the attack works");
}

#[test]
fn zsh_completes_names() {
    let workspace = flake("complete-zsh");
    fs::create_dir(workspace.path("functions")).unwrap();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/completions/vaultix.zsh");
    fs::copy(file, workspace.path("functions/_vaultix")).unwrap();
    let setup = format!(
        r#"show() {{ zle -I; print -r -- "<$BUFFER>"; BUFFER= }}; zle -N show; bindkey '^X' show; fpath=({} $fpath); autoload -Uz compinit; compinit -u -D"#,
        workspace.path("functions").display()
    );
    complete(&workspace, &["zsh", "-f", "-i"], &setup);
}

#[test]
fn fish_completes_names() {
    let workspace = flake("complete-fish");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/completions/vaultix.fish");
    let mut fish = workspace.command("fish");
    fish.current_dir(workspace.path("work"))
        .env("HOME", &workspace.root)
        .env_remove("XDG_CACHE_HOME");
    let lines = TYPED.map(|(typed, _)| format!("complete -C '{typed}'; echo"));
    fish.args(["--no-config", "-c", &format!("source {file}; {}", lines.join("; "))]);
    let done = run(&mut fish).exits(0).stdout;
    let found: Vec<&str> = done
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.split('\t').next().unwrap())
        .collect();
    let expected = TYPED.map(|(typed, completed)| {
        // fish completes words, and quotes what it inserts.
        let at = typed.rfind(' ').unwrap() + 1;
        completed[at..].trim_end().replace('\\', "")
    });
    assert_eq!(found, expected);
    assert!(!workspace.path("work/pwned").exists(), "a name has been run");
}

#[test]
fn names_are_those_of_the_flake_that_is_meant() {
    let workspace = flake("complete-where");
    let ask = |line: &str, directory: &str| {
        let mut command = workspace.command("vaultix");
        command.current_dir(workspace.path(directory)).args(line.split(' '));
        command.env("HOME", &workspace.root).env_remove("XDG_CACHE_HOME");
        let done = run(&mut command).exits(0);
        assert_eq!(done.stderr, "");
        done.stdout
    };
    assert_eq!(ask("__complete hosts -- renc --host", "work"), "db1\nweb1\n");
    assert_eq!(ask("__complete hosts -- renc --host", "."), "");
    assert_eq!(ask("__complete hosts -- -f work renc --host", "."), "db1\nweb1\n");
    assert_eq!(ask("__complete hosts -- --flake = none renc", "work"), "");
    assert_eq!(ask("__complete keys -- get mail.yaml.age", "work/secrets"), "smtp/password\n");
    assert_eq!(ask("__complete keys -- get wifi.age", "work/secrets"), "");
    let files = "mail.yaml.age\nnew.age\nwifi.age\nshared:wifi.age\n";
    assert_eq!(ask("__complete files -- edit", "work/secrets"), files);
    assert_eq!(ask("__complete nothing", "work"), "");

    // Names of a flake that is gone go with the next change.
    fs::rename(workspace.path("work"), workspace.path("moved")).unwrap();
    let flake = "{ outputs = { self }: { vaultix = { settings = { }; profiles.web1 = { version = 1;
        settings = { hostIdentifier = \"web1\"; hostPubkey = \"\"; hostKeys = [ ]; }; }; }; }; }\n";
    workspace.write("moved/flake.nix", flake);
    let mut renc = workspace.vaultix_command("renc");
    renc.current_dir(workspace.path("moved")).env("HOME", &workspace.root);
    run(renc.env_remove("XDG_CACHE_HOME").env("NIX_CONFIG", "flake-registry =")).exits(0);
    assert_eq!(workspace.tree(".cache/vaultix/names").len(), 1);
    assert_eq!(ask("__complete hosts", "moved"), "web1\n");
}
