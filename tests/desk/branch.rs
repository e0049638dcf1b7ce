//! a colleague's branch, checked out → what commands do with what it names: nothing outside of the flake.
//!
//! Each attack has its control: the same as the user's own word, which is done, or what the programs beneath would do.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;

use pretty_assertions::assert_eq;

use crate::support::{Workspace, feed_as_is, run};

/// A repository with a flake, in `repo`, and things of the user's own beside it.
struct Branch {
    /// Where all of it is.
    workspace: Workspace,
    /// What the flake is made of.
    flake: Flake,
}

/// A flake, in the words of Nix.
struct Flake {
    /// Its inputs.
    inputs: String,
    /// Attributes of its settings.
    settings: String,
    /// The host.
    host: String,
    /// Its secrets.
    secrets: String,
}

/// What a flake is evaluated with: nothing of the developer's own, no network, and their store.
const NIX_CONFIG: &str = "flake-registry =\nwarn-dirty = false";

impl Branch {
    /// Makes it, with one secret, which is declared; `None` where there is no nix.
    fn new(name: &str) -> Option<Self> {
        let workspace = Workspace::new(&format!("branch-{name}"));
        if !workspace.has_nix() {
            return None;
        }
        workspace.secret("repo/secrets/wifi.age", "wifi text");
        workspace.secret("private/bank.age", "bank text");
        workspace.sh("mkdir home && cd repo && git init -q").exits(0);
        let flake = Flake {
            inputs: String::new(),
            settings: String::new(),
            host: "web1".to_owned(),
            secrets: "wifi.file = \"${self}/secrets/wifi.age\";".to_owned(),
        };
        let branch = Self { workspace, flake };
        branch.commit();
        Some(branch)
    }

    /// Returns the absolute path of `name`.
    fn at(&self, name: &str) -> String {
        self.workspace
            .path(name)
            .canonicalize()
            .unwrap_or_else(|_| self.workspace.path(name))
            .display()
            .to_string()
    }

    /// Writes the flake, and gives all to git.
    fn commit(&self) {
        let Flake { inputs, settings, host, secrets } = &self.flake;
        let (keys, key) = (self.at("keys"), self.workspace.key("host-web1.pub"));
        let key = key.trim();
        self.workspace.write(
            "repo/flake.nix",
            format!(
                "{{ inputs = {{ {inputs} }}; outputs = {{ self, ... }}@all: {{ vaultix = {{
                  settings = {{ identity = \"{keys}/me.txt\"; {settings} }};
                  profiles.\"web1\" = {{ version = 1;
                    settings = {{ hostIdentifier = \"{host}\"; hostPubkey = \"{key}\"; hostKeys = [ ]; }};
                    secrets = {{ {secrets} }};
                  }}; }}; }}; }}\n"
            ),
        );
        self.workspace.sh("cd repo && git add -A").exits(0);
    }

    /// Prepares to run `vaultix` in the repository, with a limit of memory and one of time, which are there for what never
    /// ends.
    fn vaultix(&self, line: &str) -> Command {
        let limits = "ulimit -v 4000000; exec timeout -k 5 120 setsid --wait vaultix \"$@\"";
        self.in_repo(
            self.workspace.command("sh").args(["-c", limits, "vaultix"]).args(line.split(' ')),
        )
    }

    /// Has `command` run in the repository, as a user with settings of their own.
    fn in_repo(&self, command: &mut Command) -> Command {
        let mut command = std::mem::replace(command, Command::new("true"));
        command.current_dir(self.workspace.path("repo")).env("HOME", self.workspace.path("home"));
        command.env("NIX_CONFIG", NIX_CONFIG).env_remove("XDG_CONFIG_HOME").env_remove("SUDO_UID");
        command
    }

    /// Has nix write `flake.lock`, as the colleague has done.
    fn lock(&self) {
        let line = "nix --extra-experimental-features 'nix-command flakes' flake lock && git add flake.lock";
        run(&mut self.in_repo(self.workspace.command("sh").args(["-c", line]))).exits(0);
    }

    /// Returns all copies, decrypted by the host.
    fn copies(&self) -> Vec<String> {
        let files = self.workspace.tree("repo/secrets/cache/web1");
        let open = |(name, _): (String, u64)| {
            self.workspace.open(&format!("repo/secrets/cache/web1/{name}"), "host-web1")
        };
        files.into_iter().map(open).collect()
    }

    /// Returns names and bytes of what is in `name`.
    fn state(&self, name: &str) -> Vec<(String, Vec<u8>)> {
        let files = self.workspace.tree(name).into_iter();
        files
            .map(|(file, _)| (file.clone(), self.workspace.read(&format!("{name}/{file}"))))
            .collect()
    }
}

/// Makes what looks like a repository of restic: names of 64 hex digits, one of which is even an age file.
fn restic(workspace: &Workspace) -> [String; 2] {
    let [plain, age] = ["a", "b"].map(|digit| format!("restic/keys/{}", digit.repeat(64)));
    workspace.write(&plain, "{\"created\":\"\"}");
    workspace.write(&age, "age-encryption.org/v1\n");
    [plain, age]
}

#[test]
fn renc_removes_nothing_outside() {
    for (way, cache) in [("absolute", "/restic"), ("dots", "../restic"), ("link", "./cache")] {
        let Some(mut branch) = Branch::new(&format!("removes-{way}")) else { return };
        restic(&branch.workspace);
        let before = branch.state("restic");
        branch.flake.host = "keys".to_owned();
        let root = if way == "absolute" { branch.at("") } else { String::new() };
        branch.flake.settings = format!("cache = \"{root}{cache}\";").replace("//", "/");
        symlink("../restic", branch.workspace.path("repo/cache")).unwrap();
        branch.commit();
        for verb in ["renc", "check", "status"] {
            let done = run(&mut branch.vaultix(verb)).exits(78);
            let named = if way == "link" { "restic" } else { cache };
            assert!(
                done.stderr.contains(named) && done.stderr.contains("to fix"),
                "{}",
                done.stderr
            );
        }
        assert!(branch.state("restic") == before, "{way}");
    }
    // The default place can be a link as well, and with a profile of the user's own it is no other.
    let Some(mut branch) = Branch::new("removes-default") else { return };
    let [plain, age] = restic(&branch.workspace);
    let before = branch.state("restic");
    branch.flake.host = "keys".to_owned();
    symlink("../../restic", branch.workspace.path("repo/secrets/cache")).unwrap();
    branch.commit();
    branch.workspace.profile("mine", "host-web1.pub", &[]);
    let profile = String::from_utf8(branch.workspace.read("mine.json")).unwrap();
    branch.workspace.write("mine.json", profile.replace("\"mine\"", "\"keys\""));
    for line in ["renc", "renc --cache secrets/cache", "-p ../mine.json renc"] {
        run(&mut branch.vaultix(line)).exits(78).says(&["restic, which is not part of"]);
        assert!(branch.state("restic") == before, "{line}");
    }
    // The control: it is the user's own word. Even then, only what is ours goes, and is named.
    run(&mut branch.vaultix("-p ../mine.json renc --cache ../restic")).exits(0).says(&[
        &format!("../{plain} is not part of the cache, and stays\n"),
        &format!("../{age}: removed\n"),
        "1 removed\n",
    ]);
    assert_eq!(branch.state("restic"), before[..1]);
}

#[test]
fn a_host_is_one_directory_of_the_cache() {
    let Some(mut branch) = Branch::new("host") else { return };
    for host in ["../restic/keys", "..", ".", "", "/restic", "a/b"] {
        branch.flake.host = host.to_owned();
        branch.commit();
        restic(&branch.workspace);
        let before = branch.state("restic");
        run(&mut branch.vaultix("renc"))
            .exits(78)
            .says(&["settings.hostIdentifier", "cannot be the name"]);
        assert!(branch.state("restic") == before, "{host}");
    }
}

#[test]
fn gits_own_directory_is_no_part_of_it() {
    let Some(mut branch) = Branch::new("git-host") else { return };
    for (host, cache, line, exit) in [
        (".git", "secrets/cache", "renc --cache .", 73),
        (".git", ".", "renc", 78),
        ("web1", ".git", "renc", 78),
        ("web1", ".GIT/x/../y", "renc", 78),
    ] {
        branch.flake.host = host.to_owned();
        branch.flake.settings = format!("cache = \"{cache}\";");
        branch.commit();
        run(&mut branch.vaultix(line)).exits(exit);
        let digits = |name: &str| name.len() == 64;
        assert!(
            !branch.workspace.tree("repo/.git").iter().any(|(name, _)| digits(name)),
            "{host} {cache}"
        );
    }
}

#[test]
fn an_input_that_is_a_link_leads_nowhere() {
    let Some(mut branch) = Branch::new("link-input") else { return };
    symlink("../private", branch.workspace.path("repo/relative")).unwrap();
    symlink(branch.at("private"), branch.workspace.path("repo/absolute")).unwrap();
    for link in ["relative", "absolute"] {
        branch.flake.inputs = format!("x = {{ url = \"path:./{link}\"; flake = false; }};");
        branch.flake.secrets = "bank.file = \"${all.x}/bank.age\";".to_owned();
        branch.commit();
        let line = "nix --extra-experimental-features 'nix-command flakes' flake lock; git add -A";
        run(&mut branch.in_repo(branch.workspace.command("sh").args(["-c", line]))).exits(0);
        assert_ne!(run(&mut branch.vaultix("renc")).exit, 0, "{link}");
        assert_eq!(branch.copies(), [""; 0]);
    }
}

#[test]
fn a_secret_is_read_and_written_below_the_flake_alone() {
    let Some(mut branch) = Branch::new("secret") else { return };
    branch.workspace.secret("repo/secrets/real.age", "real text");
    let links = [
        ("repo/secrets/file.age", "../../private/bank.age"),
        ("repo/secrets/dir", "../../private"),
        ("repo/secrets/inside.age", "real.age"),
    ];
    for (link, target) in links {
        symlink(target, branch.workspace.path(link)).unwrap();
    }
    symlink(branch.at("private/bank.age"), branch.workspace.path("repo/secrets/absolute.age"))
        .unwrap();
    let before = branch.state("private");
    let files = [
        branch.at("private/bank.age"),
        "${self}/../private/bank.age".to_owned(),
        "${self}/secrets/file.age".to_owned(),
        "${self}/secrets/dir/bank.age".to_owned(),
        "${self}/secrets/absolute.age".to_owned(),
        format!("{}/../private/bank.age", branch.at("repo")),
    ];
    for file in files {
        branch.flake.secrets = format!(
            "bank.file = \"{file}\"; wifi.file = \"${{self}}/secrets/wifi.age\";
             inside.file = \"${{self}}/secrets/inside.age\";"
        );
        branch.commit();
        let _ = fs::remove_dir_all(branch.workspace.path("repo/secrets/cache"));
        run(&mut branch.vaultix("renc")).exits(78).says(&[
            "cannot use secret \"bank\" for host web1: cannot read ",
            "bank.age, which is not part of ",
            "to fix: ",
            "2 re-encrypted, 0 up to date, 0 removed, 1 failed",
        ]);
        let mut copies = branch.copies();
        copies.sort();
        assert_eq!(copies, ["real text", "wifi text"], "{file}: the others go on");
        run(&mut branch.vaultix("check")).exits(78);
        let shown = run(&mut branch.vaultix("status")).exits(78).stdout;
        assert!(!shown.contains("bank"), "{shown}");
        let wifi = branch.workspace.read("repo/secrets/wifi.age");
        run(&mut branch.vaultix("rekey")).exits(78).says(&["bank.age", "0 rekeyed"]);
        assert!(branch.workspace.read("repo/secrets/wifi.age") == wifi, "all or nothing");
        assert!(branch.state("private") == before, "{file}");
    }
    // A name that the user types is the colleague's link all the same; one outside is the user's own word.
    for link in ["secrets/file.age", "secrets/dir/bank.age", "secrets/dir/new.age"] {
        let mut edit = branch.vaultix(&format!("edit {link} --stdin"));
        feed_as_is(&mut edit, b"new").exits(78).says(&["private", "which is not part of"]);
        assert!(branch.state("private") == before, "{link}");
    }
    branch.workspace.secret("outside.age", "old");
    feed_as_is(&mut branch.vaultix("edit ../outside.age --stdin"), b"new").exits(0);
    assert_eq!(branch.workspace.open("outside.age", "me.txt"), "new");
    // The control: a profile that the user names says the same, and is believed.
    let mine = format!("{}/bank", branch.at("private"));
    branch.workspace.profile("web1", "host-web1.pub", &[("bank", "bank")]);
    let profile = String::from_utf8(branch.workspace.read("web1.json")).unwrap();
    let profile = profile.replace("secrets/bank", &mine);
    branch.workspace.write("web1.json", profile);
    let own = "-p ../web1.json";
    let identity = "-i ../keys/me.txt";
    run(&mut branch.vaultix(&format!("{own} renc {identity}")))
        .exits(0)
        .says(&["web1/bank: re-encrypted"]);
    run(&mut branch.vaultix(&format!("{own} rekey {identity}"))).exits(0).says(&["1 rekeyed"]);
    assert!(branch.state("private") != before);
}

#[test]
fn new_secrets_are_written_below_the_flake() {
    let Some(mut branch) = Branch::new("written") else { return };
    symlink("../private", branch.workspace.path("repo/away")).unwrap();
    let before = branch.state("private");
    let outside = branch.at("private");
    for file in [
        format!("{outside}/new.age"),
        "${self}/away/new.age".to_owned(),
        "${self}/away/deep/new.age".to_owned(),
        "${self}/.git/new.age".to_owned(),
    ] {
        branch.flake.secrets =
            format!("new = {{ file = \"{file}\"; generator.kind = \"ssh-ed25519\"; }};");
        branch.commit();
        run(&mut branch.vaultix("generate")).exits(78).says(&["which is not part of", "1 failed"]);
        assert!(branch.state("private") == before, "{file}");
        assert!(!branch.workspace.path("repo/.git/new.age").exists());
    }
    // The control: inside, it is made.
    branch.flake.secrets =
        "new = { file = \"${self}/deep/new.age\"; generator.kind = \"alnum\"; };".to_owned();
    branch.commit();
    run(&mut branch.vaultix("generate")).exits(0).says(&["deep/new.age: generated"]);

    for (directory, said) in
        [("./away", "which is not part of"), ("../private", "is not inside the flake")]
    {
        branch.flake.settings = format!("defaultSecretDirectory = \"{directory}\";");
        branch.commit();
        branch.workspace.secret("old/mail.age", "mail text");
        run(&mut branch.vaultix("import agenix-rekey ../old")).exits(78).says(&[said]);
        assert!(branch.state("private") == before, "{directory}");
    }
    run(&mut branch.vaultix("import agenix-rekey ../old --into ../private"))
        .exits(78)
        .says(&["not inside the flake"]);
    branch.flake.settings = String::new();
    branch.commit();
    run(&mut branch.vaultix("import agenix-rekey ../old --into ../private")).exits(0);
    assert!(branch.state("private") != before, "the user's own word");
}

#[test]
fn imported_files_are_part_of_the_old_repository() {
    let Some(branch) = Branch::new("imported") else { return };
    branch.workspace.sh("mkdir -p old/secrets && git -C old init -q").exits(0);
    let rules = |name: &str| {
        let text = format!(
            "let key = (import ../keys.nix).key; in {{ \"{name}\".publicKeys = [ key ]; }}"
        );
        branch.workspace.write("old/secrets/secrets.nix", text);
    };
    branch.workspace.write("old/keys.nix", "{ key = \"age1\"; }");
    branch.workspace.secret("old/mail.age", "mail text");
    symlink("../../private/bank.age", branch.workspace.path("old/secrets/link.age")).unwrap();
    for name in ["../../private/bank.age", "link.age"] {
        rules(name);
        let done =
            run(&mut branch.vaultix("import agenix ../old/secrets/secrets.nix -i ../keys/me.txt"));
        done.exits(78).says(&["private/bank.age, which is not part of", "0 imported"]);
    }
    // What rules read is as little theirs to choose.
    for text in [
        format!("{{ x.publicKeys = [ (builtins.readFile {}) ]; }}", branch.at("private/bank.age")),
        "{ x.publicKeys = [ (builtins.readFile (builtins.fetchurl \"http://127.0.0.1:9/x\")) ]; }"
            .to_owned(),
    ] {
        let text =
            text.replace("x.publicKeys = [", "x.publicKeys = [ ]; x.owner = builtins.head [");
        branch.workspace.write("old/secrets/secrets.nix", text);
        run(&mut branch.vaultix("import agenix ../old/secrets/secrets.nix -i ../keys/me.txt"))
            .exits(78)
            .says(&["restricted mode"]);
    }
    rules("../mail.age");
    run(&mut branch.vaultix("import agenix ../old/secrets/secrets.nix -i ../keys/me.txt"))
        .exits(0)
        .says(&["1 imported"]);
}

#[test]
fn a_command_that_only_reads_copies_nothing_into_the_store() {
    let Some(mut branch) = Branch::new("fetched") else { return };
    let unique = unique(&branch, "fetched");
    let private = branch.at("private");
    // Neither is refused by Nix's restrictions where the user has flakes turned on in nix.conf, as most have.
    let ways = [
        format!("(builtins.fetchTree {{ type = \"path\"; path = \"{private}\"; }}).outPath"),
        format!("toString (builtins.getFlake \"path:{private}\")"),
    ];
    branch.workspace.write("private/flake.nix", "{ outputs = _: { }; }");
    let with_flakes = |branch: &Branch, line: &str| {
        let config = format!("{NIX_CONFIG}\nexperimental-features = nix-command flakes");
        run(branch.vaultix(line).env("NIX_CONFIG", config))
    };
    branch.workspace.sh("mkdir old && git -C old init -q").exits(0);
    for way in &ways {
        branch
            .workspace
            .write("old/secrets.nix", format!("{{ x.publicKeys = [ ]; x.owner = {way}; }}"));
        with_flakes(&branch, "import agenix ../old/secrets.nix -i ../keys/me.txt").exits(78);
        assert!(!branch_store(&unique), "rules: {way}");
        branch.flake.inputs = format!("x.url = {way};");
        branch.commit();
        with_flakes(&branch, "renc").exits(78);
        assert!(!branch_store(&unique), "inputs: {way}");
    }
    // The control: restrictions alone.
    let line = format!(
        "nix-instantiate --eval --option restrict-eval true --option allowed-uris '' -E '{}'",
        ways[0]
    );
    let config = "experimental-features = nix-command flakes";
    run(branch
        .in_repo(branch.workspace.command("sh").args(["-c", &line]))
        .env("NIX_CONFIG", config))
    .exits(0);
    assert!(branch_store(&unique), "the control of what is looked for");
}

/// Nix itself copies any directory into the store, even in pure evaluation, if it is told a revision, which it does not check.
#[test]
fn what_evaluation_has_fetched_is_no_secret_of_the_flake() {
    let Some(mut branch) = Branch::new("evaluated") else { return };
    let unique = unique(&branch, "evaluated");
    let private = branch.at("private");
    let revision = "0".repeat(40);
    let tree = format!(
        "builtins.fetchTree {{ type = \"path\"; path = \"{private}\"; rev = \"{revision}\"; }}"
    );
    branch.flake.secrets = format!("bank.file = \"${{{tree}}}/bank.age\";");
    branch.commit();
    for verb in ["renc", "rekey"] {
        let done = run(&mut branch.vaultix(verb)).exits(78);
        done.says(&["bank.age, which is not part of"]);
        assert_eq!(branch.copies(), [""; 0]);
    }
    // Where Nix refuses this, nothing needs to be refused.
    assert!(branch_store(&unique), "the control: it was copied, by Nix");
}

#[test]
fn the_store_is_not_written_to() {
    let Some(mut branch) = Branch::new("store") else { return };
    branch.workspace.secret("theirs/mail.age", "mail text");
    branch.flake.inputs =
        format!("x = {{ url = \"path:{}\"; flake = false; }};", branch.at("theirs"));
    branch.flake.secrets = "mail.file = \"${all.x}/mail.age\";".to_owned();
    branch.commit();
    branch.lock();
    let allow = "git config --global --add vaultix.allowInput \"$PWD/../theirs\"";
    run(&mut branch.in_repo(branch.workspace.command("sh").args(["-c", allow]))).exits(0);
    // It may be read: flake.lock has it.
    run(&mut branch.vaultix("renc")).exits(0).says(&["web1/mail: re-encrypted"]);
    assert_eq!(branch.copies(), ["mail text"]);
    let shown = run(&mut branch.vaultix("status --json")).exits(0).stdout;
    let start = shown.find("/nix/store/").unwrap();
    let file = PathBuf::from(shown[start..].split('"').next().unwrap());
    let before = fs::read(&file).unwrap();
    let time = fs::metadata(file.parent().unwrap()).unwrap().modified().unwrap();
    let said = ["it is in the Nix store, which only Nix may change", "to fix: "];
    run(&mut branch.vaultix("rekey")).exits(73).says(&said).says(&["0 rekeyed"]);
    for store in [file.clone(), file.with_file_name("new.age"), "/nix/store/new.age".into()] {
        let mut edit = branch.vaultix(&format!("edit {} --stdin", store.display()));
        feed_as_is(&mut edit, b"new").exits(73).says(&said);
    }
    let link = branch.workspace.path("store.age");
    symlink(&file, &link).unwrap();
    feed_as_is(&mut branch.vaultix("edit ../store.age --stdin"), b"new").exits(73).says(&said);
    run(&mut branch.vaultix("renc --cache /nix/store/cache")).exits(73).says(&said[..1]);
    assert!(fs::read(&file).unwrap() == before);
    let after = fs::metadata(file.parent().unwrap()).unwrap().modified().unwrap();
    assert_eq!(after, time, "nothing was there for a moment either");
    // The control: nothing else would keep root from it.
    if rustix::process::geteuid().is_root() {
        let probe = file.with_file_name("probe");
        fs::write(&probe, "x").unwrap();
        fs::remove_file(probe).unwrap();
    }
}

#[test]
fn the_store_is_read_for_inputs_only() {
    let Some(mut branch) = Branch::new("other-store") else { return };
    let add = branch.workspace.sh("nix-store --add private").exits(0).stdout;
    let path = add.trim();
    branch.flake.secrets = format!("bank.file = \"{path}/bank.age\";");
    branch.commit();
    run(&mut branch.vaultix("renc"))
        .exits(78)
        .says(&[&format!("it is {path}/bank.age, which is not part of")]);
    // A link in an input leads no further either.
    branch.workspace.secret("theirs/mail.age", "mail text");
    symlink(format!("{path}/bank.age"), branch.workspace.path("theirs/store.age")).unwrap();
    symlink(branch.at("private/bank.age"), branch.workspace.path("theirs/bank.age")).unwrap();
    branch.flake.inputs =
        format!("x = {{ url = \"path:{}\"; flake = false; }};", branch.at("theirs"));
    let allow = "git config --global vaultix.allowInput \"$PWD/../theirs\"";
    run(&mut branch.in_repo(branch.workspace.command("sh").args(["-c", allow]))).exits(0);
    for (name, exit) in [("store", 78), ("bank", 78), ("mail", 0)] {
        branch.flake.secrets = format!("x.file = \"${{all.x}}/{name}.age\";");
        branch.commit();
        branch.lock();
        run(&mut branch.vaultix("renc")).exits(exit);
    }
    assert_eq!(branch.copies(), ["mail text"]);
    branch.workspace.sh(&format!("nix-store --delete {path} >/dev/null 2>&1 || true")).exits(0);
}

#[test]
fn an_input_on_this_machine_takes_a_yes_of_the_users() {
    let Some(mut branch) = Branch::new("input") else { return };
    let unique = unique(&branch, "input");
    branch.workspace.sh("cd private && git init -q && git config user.name me && git config user.email me@x.org \
         && git add . && git commit -qm first").exits(0);
    let private = branch.at("private");
    let in_store = || branch_store(&unique);
    let urls = [
        format!("x = {{ url = \"path:{private}\"; flake = false; }};"),
        format!("x = {{ url = \"{private}\"; flake = false; }};"),
        format!("x = {{ url = \"git+file://{private}\"; flake = false; }};"),
        format!("x = {{ type = \"path\"; path = \"{private}\"; flake = false; }};"),
        format!("x = {{ url = \"p\\ath:{private}\"; flake = false; }};"),
        format!(
            "y.url = \"path:./sub\"; y.inputs.x = {{ url = \"path:{private}\"; flake = false; }};"
        ),
    ];
    branch.flake.secrets = "bank.file = \"${all.x}/bank.age\";".to_owned();
    branch.workspace.write("repo/sub/flake.nix", "{ outputs = _: { }; }");
    for inputs in urls {
        branch.flake.inputs = inputs;
        branch.commit();
        for verb in ["renc", "edit secrets/wifi.age --stdin"] {
            let done = feed_as_is(&mut branch.vaultix(verb), b"new").exits(78);
            done.says(&[
                &format!("it has {private} as an input, which is outside {}", branch.at("repo")),
                &format!("to fix: git config --global --add vaultix.allowInput {private}\n"),
            ]);
        }
        assert!(!in_store(), "{}", branch.flake.inputs);
        assert!(!branch.workspace.path("repo/flake.lock").exists());
    }
    // By a link of the repository, which Nix follows, or from the directory where Nix runs.
    let links = "ln -s ../private repo/link; mkdir -p repo/sub/in; ln -s sub/in repo/deep; ln -s . repo/sub/link";
    branch.workspace.sh(links).exits(0);
    for url in [
        "path:./link",
        "./link",
        "path:%2e/link",
        "git+file:../private",
        "git+file:./link",
        "path:./deep/../link",
    ] {
        branch.flake.inputs = format!("x = {{ url = \"{url}\"; flake = false; }};");
        branch.commit();
        let done = run(&mut branch.vaultix("renc")).exits(78);
        done.says(&["as an input, which is outside", "you have not allowed that"]);
        assert!(!in_store(), "{url}");
    }
    branch.workspace.sh("rm repo/link repo/deep repo/sub/link").exits(0);
    // What is in the work tree need not be what git gives to Nix.
    let hidden = format!("$Format:{}$", private.replace('/', "%x2f"));
    let user = "git config user.name me && git config user.email me@x.org";
    branch.flake.inputs =
        format!("x = {{ type = \"path\"; path = \"{hidden}\"; flake = false; }};");
    branch.workspace.write("repo/.gitattributes", "flake.* export-subst\n");
    branch.commit();
    branch.workspace.sh(&format!("cd repo && {user} && git commit -qm hidden")).exits(0);
    run(&mut branch.vaultix("renc")).exits(78).says(&[&format!("it has {hidden} as an input")]);
    assert!(!in_store(), "hidden");
    // As does one that flake.lock has; the flake's own settings, and those of its repository, say no yes.
    branch.flake.inputs = format!("x = {{ url = \"path:{private}\"; flake = false; }};");
    branch.commit();
    branch.lock();
    branch.workspace.sh(&format!("git -C repo config vaultix.allowInput {private}")).exits(0);
    run(&mut branch.vaultix("renc")).exits(78).says(&["you have not allowed that"]);
    assert_eq!(branch.copies(), [""; 0]);
    // Without the input in flake.nix, it is in flake.lock.
    let with = branch.flake.inputs.clone();
    branch.flake.inputs = "x = { url = \"path:./sub\"; flake = false; };".to_owned();
    branch.commit();
    run(&mut branch.vaultix("renc")).exits(78).says(&[&format!("it has {private} as an input")]);
    // The control: with a yes, all of it is the flake's.
    branch.flake.inputs = with;
    branch.commit();
    let allow = format!("git config --global --add vaultix.allowInput {private}");
    run(&mut branch.in_repo(branch.workspace.command("sh").args(["-c", &allow]))).exits(0);
    run(&mut branch.vaultix("renc")).exits(0).says(&["web1/bank: re-encrypted"]);
    assert_eq!(branch.copies(), ["bank text"]);
    assert!(in_store(), "the control of what is looked for");
}

/// Puts a file into what is private whose name nothing else has, so that no copy of it can be in the store. Returns the name.
fn unique(branch: &Branch, test: &str) -> String {
    let time = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let name = format!("unique-{test}-{}-{time}", std::process::id());
    branch.workspace.write(&format!("private/{name}"), &name);
    name
}

/// Returns whether the store has a source tree with a file of this name.
fn branch_store(name: &str) -> bool {
    let trees = fs::read_dir("/nix/store").unwrap().flatten();
    trees.map(|tree| tree.path()).any(|tree| tree.join(name).exists())
}

#[test]
fn an_unlocked_input_is_not_fetched() {
    let Some(mut branch) = Branch::new("unlocked") else { return };
    branch.workspace.write("repo/sub/flake.nix", "{ outputs = _: { }; }");
    branch.flake.inputs = "y.url = \"path:./sub\";".to_owned();
    branch.commit();
    run(&mut branch.vaultix("renc"))
        .exits(78)
        .says(&["flake.lock does not have its input y", "to fix: nix flake lock\n"]);
    assert!(!branch.workspace.path("repo/flake.lock").exists());
    // A registry that the flake brings along says where an input is that has no place.
    let unique = format!("registry-{}", std::process::id());
    branch.workspace.write(&format!("private/{unique}"), "");
    branch.workspace.write("private/flake.nix", "{ outputs = _: { }; }");
    let private = branch.at("private");
    let registry = format!(
        "{{\"version\":2,\"flakes\":[{{\"from\":{{\"type\":\"indirect\",\"id\":\"vaultix-test\"}},\
         \"to\":{{\"type\":\"path\",\"path\":\"{private}\"}}}}]}}"
    );
    branch.workspace.write("repo/registry.json", registry);
    branch.flake.inputs = format!(
        "x.url = \"vaultix-test\"; }}; nixConfig = {{ flake-registry = \"{}\";",
        branch.at("repo/registry.json")
    );
    branch.commit();
    run(&mut branch.vaultix("renc")).exits(78);
    assert!(!branch_store(&unique));
}

#[test]
fn an_input_whose_place_changed_reaches_no_store_that_others_read() {
    let Some(mut branch) = Branch::new("changed") else { return };
    let unique = unique(&branch, "changed");
    let private = branch.at("private");
    branch.workspace.write("repo/sub/flake.nix", "{ outputs = _: { }; }");
    branch.flake.inputs = "y.url = \"path:./sub\";".to_owned();
    branch.commit();
    branch.lock();
    // Another place for y, inside of the repository; what that names is nowhere in what is looked at before.
    let other = format!(
        "{{ inputs.z = {{ url = \"path:{private}\"; flake = false; }}; outputs = _: {{ }}; }}"
    );
    branch.workspace.write("repo/other/flake.nix", other);
    branch.flake.inputs = "y.url = \"path:./other\";".to_owned();
    branch.commit();
    branch.workspace.sh("mkdir tmp && chmod 700 tmp").exits(0);
    for verb in ["renc", "edit secrets/wifi.age --stdin"] {
        let mut command = branch.vaultix(verb);
        command.env("TMPDIR", branch.workspace.path("tmp"));
        feed_as_is(&mut command, b"new")
            .exits(78)
            .says(&["requires lock file changes", "to fix: nix flake lock\n"]);
        assert!(!branch_store(&unique), "{verb}");
        assert_eq!(branch.workspace.sh("ls -A tmp").stdout, "", "the store of its own is gone");
    }
    // One where others could exchange it is not taken.
    branch
        .workspace
        .sh("mkdir -p open/below && chmod 777 open && touch -d 2001-01-01 open/below")
        .exits(0);
    let time = || fs::metadata(branch.workspace.path("open/below")).unwrap().modified().unwrap();
    let before = time();
    run(branch.vaultix("renc").env("TMPDIR", branch.workspace.path("open/below"))).exits(78);
    assert_eq!(time(), before);
    // The control: Nix, by itself.
    let nix = "nix --extra-experimental-features 'nix-command flakes' flake metadata --no-update-lock-file";
    run(&mut branch.in_repo(branch.workspace.command("sh").args(["-c", nix]))).exits(1);
    assert!(branch_store(&unique), "the control of what is looked for");
    // With what flake.lock has, all is well, and nothing is left.
    branch.flake.inputs = "y.url = \"path:./sub\";".to_owned();
    branch.commit();
    run(branch.vaultix("renc").env("TMPDIR", branch.workspace.path("tmp"))).exits(0);
    assert_eq!(branch.workspace.sh("ls -A tmp").stdout, "");
}

/// What Nix makes can be removed by nobody before it is made writable, but by root.
#[test]
fn a_store_of_its_own_is_removed_by_whoever_made_it() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: this takes root");
        return;
    }
    let workspace = Workspace::new("branch-own-store");
    workspace.write("repo/flake.nix", "{ outputs = _: { }; }");
    workspace.write("bin/nix-instantiate", "#!/bin/sh\necho '{\"names\":[],\"references\":[]}'\n");
    workspace.write(
        "bin/nix",
        "#!/bin/sh\nwhile [ \"$1\" != --store ]; do shift; done
         mkdir -p \"$2/nix/store/x-source/deep\" && echo x >\"$2/nix/store/x-source/deep/file\"
         chmod -R a-w \"$2/nix/store/x-source\"; touch \"$2/../made\"; echo 'error: no' >&2; exit 1\n",
    );
    let program = crate::prefix::prefix().join("bin/vaultix");
    workspace
        .sh(&format!("cp {} vaultix && chmod 755 . vaultix bin bin/*", program.display()))
        .exits(0);
    workspace.sh("mkdir tmp && chown -R nobody tmp repo").exits(0);
    let mut command = workspace.command("setpriv");
    command.args(["--reuid=nobody", "--clear-groups", "../vaultix", "renc"]);
    let path = format!("{}:/usr/bin:/bin", workspace.path("bin").display());
    command
        .current_dir(workspace.path("repo"))
        .env("PATH", path)
        .env("TMPDIR", workspace.path("tmp"));
    run(command.env("HOME", "/nonexistent")).exits(78);
    assert_eq!(workspace.sh("ls -A tmp").stdout, "made\n");
}

#[test]
fn git_runs_nothing_that_a_repository_names() {
    let Some(branch) = Branch::new("git") else { return };
    let program = branch.workspace.path("program");
    branch.workspace.write(
        "program",
        format!("#!/bin/sh\necho ran >>{}/ran\n", branch.workspace.root.display()),
    );
    branch.workspace.sh("chmod +x program; cp program repo/.git/hooks/post-index-change").exits(0);
    branch
        .workspace
        .sh(&format!("git -C repo config core.fsmonitor {}", program.display()))
        .exits(0);
    // A filter, which git runs on what may have changed.
    let filter = format!("{}; cat", program.display());
    branch.workspace.sh(&format!("git -C repo config filter.z.clean '{filter}'")).exits(0);
    branch
        .workspace
        .sh("echo '* filter=z' >repo/.git/info/attributes; touch repo/flake.nix")
        .exits(0);
    let _ = fs::remove_file(branch.workspace.path("ran"));
    run(&mut branch.vaultix("renc")).exits(0).says(&["web1/wifi: re-encrypted"]);
    assert!(!branch.workspace.path("ran").exists());
    branch.workspace.sh("git -C repo status --porcelain | grep -q '^ A secrets/cache'").exits(0);
    // The control.
    branch.workspace.sh("git -C repo add -A").exits(0);
    assert!(branch.workspace.path("ran").exists());
}

#[test]
fn an_endless_file_is_not_read() {
    let Some(mut branch) = Branch::new("endless") else { return };
    // A pipe that stays open, as a terminal does.
    let run_open = |branch: &Branch, line: &str| {
        let mut command = branch.vaultix(line);
        let (reader, writer) = std::io::pipe().unwrap();
        let done = run(command.stdin(reader));
        drop(writer);
        done
    };
    for device in ["/dev/zero", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"] {
        let link = branch.workspace.path("repo/secrets/wifi.age");
        let _ = fs::remove_file(&link);
        symlink(device, &link).unwrap();
        branch.commit();
        for verb in ["renc", "check", "status", "rekey"] {
            let done = run_open(&branch, verb);
            assert!(
                [1, 66, 77, 78].contains(&done.exit),
                "{device} {verb}: {} {}",
                done.exit,
                done.stderr
            );
        }
        for name in [".gitattributes", "example.nix"] {
            let link = branch.workspace.path(&format!("new/{name}"));
            let _ = fs::remove_dir_all(branch.workspace.path("new"));
            branch.workspace.sh("mkdir new && git -C new init -q").exits(0);
            symlink(device, link).unwrap();
            let done = run_open(&branch, "init ../new -i ../keys/me.txt");
            assert!(
                [0, 66, 73, 77, 78].contains(&done.exit),
                "{device} {name}: {} {}",
                done.exit,
                done.stderr
            );
        }
        let lock = branch.workspace.path("repo/flake.lock");
        symlink(device, &lock).unwrap();
        assert_ne!(run_open(&branch, "renc").exit, 0, "{device}");
        fs::remove_file(lock).unwrap();
        branch.flake.settings = format!("}} // {{ identity = \"{device}\";");
        branch.commit();
        run_open(&branch, "edit secrets/new.age --from ../private/bank.age")
            .exits(77)
            .says(&["cannot use the identity file", "not a regular file"]);
        branch.flake.settings = String::new();
        branch.commit();
    }
    // Nor what a program answers.
    for program in ["nix", "nix-instantiate"] {
        branch.workspace.write(&format!("bin/{program}"), "#!/bin/sh\nexec yes\n");
        branch.workspace.sh(&format!("chmod +x bin/{program}")).exits(0);
        let mut command = branch.vaultix("renc");
        let path =
            command.get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap().to_owned();
        let bin = branch.workspace.path("bin").display().to_string();
        command.env("PATH", format!("{bin}:{}", path.display()));
        run(&mut command).exits(78).says(&[&format!("{program}: its output has more than")]);
    }
}

/// Has git in the repository of `branch` include a pipe that nobody writes to, and returns its path.
fn endless_settings(branch: &Branch) -> PathBuf {
    branch.workspace.sh("mkfifo repo/.git/more && git -C repo config include.path more").exits(0);
    branch.workspace.path("repo/.git/more")
}

/// Waits until whoever has `pipe` open to read, has it no more.
fn wait_for_end(pipe: &fs::File) {
    use rustix::event::{PollFd, PollFlags, poll};
    poll(&mut [PollFd::new(pipe, PollFlags::empty())], None).unwrap();
}

#[test]
fn settings_of_git_that_never_end_are_not_waited_for() {
    let Some(branch) = Branch::new("endless-git") else { return };
    branch.commit();
    let pipe = endless_settings(&branch);
    for line in
        ["renc", "edit secrets/new.age --from ../private/bank.age", "textconv secrets/wifi.age"]
    {
        let opened = std::thread::spawn({
            let pipe = pipe.clone();
            // This ends once git reads.
            move || fs::File::options().write(true).open(pipe).unwrap()
        });
        let done = run(&mut branch.vaultix(line));
        done.says(
            &["git: it has not ended within 10 seconds"][usize::from(line.starts_with("text"))..],
        );
        wait_for_end(&opened.join().unwrap());
    }
    // The control: git waits until it is ended.
    let mut git = branch.in_repo(branch.workspace.command("git").args(["config", "--list"]));
    let mut git = git.spawn().unwrap();
    let writer = fs::File::options().write(true).open(&pipe).unwrap();
    assert!(git.try_wait().unwrap().is_none());
    git.kill().unwrap();
    git.wait().unwrap();
    drop(writer);
}

#[test]
fn a_signal_ends_the_git_that_waits() {
    let Some(branch) = Branch::new("signalled-git") else { return };
    let pipe = endless_settings(&branch);
    for (signal, exit) in [("TERM", 143), ("INT", 130), ("HUP", 129), ("QUIT", 131)] {
        let program = crate::prefix::prefix().join("bin/vaultix");
        // A shell that starts the tests in the background, or nohup, has them ignore signals, and vaultix then does.
        let mut command = branch.workspace.command("env");
        command.arg("--default-signal=TERM,INT,HUP,QUIT").arg(program).arg("check");
        let mut command = branch.in_repo(&mut command);
        let mut child = command.spawn().unwrap();
        let writer = fs::File::options().write(true).open(&pipe).unwrap();
        branch.workspace.sh(&format!("kill -{signal} {}", child.id())).exits(0);
        wait_for_end(&writer);
        let status = child.wait().unwrap();
        assert_eq!(status.signal().map(|signal| 128 + signal), Some(exit));
    }
}

#[test]
fn init_writes_through_no_link() {
    let Some(branch) = Branch::new("init") else { return };
    branch.workspace.sh("mkdir new && git -C new init -q").exits(0);
    branch.workspace.write("private/attributes", "mine\n");
    symlink("../private/attributes", branch.workspace.path("new/.gitattributes")).unwrap();
    symlink("../private", branch.workspace.path("new/secrets")).unwrap();
    let before = branch.state("private");
    for line in ["init ../new -i ../keys/me.txt", "init -i ../keys/me.txt"] {
        let mut command = branch.vaultix(line);
        command.current_dir(branch.workspace.path("new"));
        run(&mut command).exits(78).says(&["which is not part of"]);
        fs::remove_file(branch.workspace.path("new/secrets")).unwrap_or_default();
        assert!(branch.state("private") == before);
    }
}
