//! a flake of which a part does not evaluate → all that can be done without it; and what Nix says, for people.

use std::process::Command;

use crate::prefix::prefix;
use crate::pty::Pty;
use crate::support::{Done, Workspace, feed, run};

/// Makes a flake whose output `vaultix` has the attributes `output`, in a work tree of git; `None` where there is no nix.
///
/// `host NAME` is what the output `hosts` has of a host with the secret `wifi`, and `all HOSTS` are the other outputs.
fn flake(name: &str, output: &str) -> Option<Workspace> {
    let workspace = Workspace::with_secrets(name);
    if !workspace.has_nix() {
        return None;
    }
    workspace.sh("git init -q && git add secrets").exits(0);
    change(&workspace, output);
    Some(workspace)
}

/// Writes another output.
fn change(workspace: &Workspace, output: &str) {
    workspace.write(
        "flake.nix",
        format!("{{ outputs = {{ self }}: {}; }}\n", outputs(workspace, output)),
    );
    workspace.sh("git add flake.nix").exits(0);
}

/// Returns what a file in Nix says that has the attributes `output`.
fn outputs(workspace: &Workspace, output: &str) -> String {
    let key = |name: &str| workspace.key(name).trim().to_owned();
    format!(
        "let
              keys = {{ web1 = \"{}\"; db1 = \"{}\"; }};
              settings.identity = \"{}/keys/me.txt\";
              host = identifier: {{
                inherit identifier;
                cache = null;
                profile = {{
                  version = 1;
                  settings = {{ hostIdentifier = identifier; hostPubkey = keys.${{identifier}}; hostKeys = [ ]; }};
                  secrets.wifi.file = \"${{self}}/secrets/wifi.age\";
                }};
              }};
              all = hosts: {{
                inherit hosts;
                profiles = builtins.listToAttrs (map (node: {{
                  name = hosts.${{node}}.identifier;
                  value = hosts.${{node}}.profile;
                }}) (builtins.attrNames hosts));
              }};
            in {{ {output} }}",
        key("host-web1.pub"),
        key("host-db1.pub"),
        workspace.root.display(),
    )
}

fn vaultix(workspace: &Workspace, line: &str) -> Command {
    let mut command = workspace.vaultix_command(line);
    command.env("NIX_CONFIG", "flake-registry =").env("HOME", &workspace.root);
    command
}

fn say(workspace: &Workspace, line: &str) -> Done {
    run(&mut vaultix(workspace, line))
}

#[test]
fn a_host_that_does_not_evaluate_stops_only_itself() {
    let broken =
        "vaultix = all { web1 = host \"web1\"; db1 = throw \"boo\"; } // { inherit settings; };";
    let Some(workspace) = flake("evaluation-one", broken) else { return };
    let stale = format!("secrets/cache/db1/{}", "a".repeat(64));
    workspace.write(&stale, "its last good copy");
    let said = ["cannot evaluate host db1 of", ": boo\n"];
    say(&workspace, "renc")
        .exits(1)
        .says(&said)
        .says(&["web1/wifi: re-encrypted", "1 re-encrypted, 0 up to date, 0 removed, 1 failed"]);
    workspace.cached("web1", "host-web1", "wifi text");
    assert_eq!(workspace.read(&stale), b"its last good copy");
    let done = say(&workspace, "renc --host web1").exits(0);
    assert_eq!(done.stderr, "0 re-encrypted, 1 up to date, 0 removed\n");
    say(&workspace, "renc --host db1").exits(1).says(&said);
    say(&workspace, "renc --host db1 --host web1").exits(1).says(&said).says(&["1 up to date"]);
    say(&workspace, "renc --host nope").exits(64).says(&["cannot find host \"nope\""]);
    say(&workspace, "check").exits(1).says(&said).says(&["1 up to date, 1 problem"]);
    let shown = say(&workspace, "status").exits(1).says(&said).stdout;
    assert!(shown.contains("wifi on web1\n"), "{shown}");
    say(&workspace, "generate").exits(1).says(&said);
    // Which secrets there are is not known.
    let before = workspace.read("secrets/wifi.age");
    say(&workspace, "rekey").exits(78).says(&said).says(&["cannot determine which secrets"]);
    assert_eq!(workspace.read("secrets/wifi.age"), before);

    // Two that cannot be told apart stop only themselves as well.
    change(
        &workspace,
        "vaultix = all { web1 = host \"web1\"; a = host \"db1\"; b = host \"db1\"; } // {
           inherit settings; profiles = throw \"twins\"; };",
    );
    say(&workspace, "check")
        .exits(1)
        .says(&["cannot distinguish the hosts a, b: each has \"db1\"", "1 up to date, 1 problem"]);
    // Where a flake does not name its hosts, all that can be said is why not all evaluate.
    change(
        &workspace,
        "vaultix = removeAttrs (all { web1 = host \"web1\"; db1 = throw \"boo\"; }) [ \"hosts\" ] // { inherit settings; };",
    );
    say(&workspace, "renc").exits(78).says(&["cannot evaluate vaultix.profiles of", ": boo\n"]);
    // Where there is no other host, nothing can be done.
    change(&workspace, "vaultix = all { db1 = throw \"boo\"; } // { inherit settings; };");
    say(&workspace, "renc").exits(78).says(&said);
}

#[test]
fn what_a_host_can_be_switched_to_has_its_copies() {
    let variant = |text: &str| {
        format!(
            "vaultix = all {{ web1 = host \"web1\"; }} // {{ inherit settings; variants.web1 = {{ {text} }}; }};"
        )
    };
    let changed = "let it = host \"web1\"; in it // { profile = it.profile // { secrets.mail.file = \"${self}/secrets/mail.age\"; }; }";
    let Some(workspace) =
        flake("evaluation-variant", &variant(&format!("\"specialisation work\" = {changed};")))
    else {
        return;
    };
    say(&workspace, "renc").exits(0).says(&["2 re-encrypted, 0 up to date, 0 removed"]);
    let done = say(&workspace, "renc").exits(0);
    assert_eq!(done.stderr, "0 re-encrypted, 2 up to date, 0 removed\n");
    say(&workspace, "check").exits(0);
    let shown = say(&workspace, "status").exits(0).stdout;
    assert_eq!(shown.matches("wifi.age").count(), 1, "{shown}");
    assert_eq!(shown.matches("mail.age").count(), 1, "{shown}");

    // A virtual machine has another key, and then another name.
    let with_key = |name: &str| {
        format!(
            "let it = {changed}; in it // {{ identifier = \"{name}\"; profile = it.profile // {{ settings = it.profile.settings // {{
                hostIdentifier = \"{name}\"; hostPubkey = keys.db1; }}; }}; }}"
        )
    };
    change(&workspace, &variant(&format!("vmVariant = {};", with_key("web1-vm"))));
    say(&workspace, "renc").exits(0).says(&["1 re-encrypted, 1 up to date, 1 removed"]);
    assert_eq!(workspace.sh("ls secrets/cache").stdout, "web1\nweb1-vm\n");
    change(&workspace, &variant(&format!("vmVariant = {};", with_key("web1"))));
    say(&workspace, "check").exits(78).says(&[
        "cannot distinguish host web1 and its vmVariant: both have \"web1\" as vaultix.settings.hostIdentifier, but \
         not the same hostPubkey; to fix: set vaultix.settings.hostIdentifier = \"web1-vm\" in its vmVariant",
    ]);
}

#[test]
fn nix_is_told_what_the_user_says() {
    let only_impure = |settings: &str| {
        format!(
            "vaultix = let it = all {{ web1 = host \"web1\"; }}; in it // {{ settings = settings // {{ {settings} }}; profiles =
                if builtins ? currentSystem then it.profiles else throw \"it is pure\"; }};"
        )
    };
    let Some(workspace) = flake("evaluation-arguments", &only_impure("")) else { return };
    say(&workspace, "renc").exits(78).says(&["it is pure"]);
    say(&workspace, "renc --dry-run -- --impure").exits(0).says(&["1 to re-encrypt"]);
    run(vaultix(&workspace, "renc --dry-run").env("VAULTIX_NIX_ARGS", " --show-trace  --impure "))
        .exits(0);
    say(&workspace, "view secrets/wifi.age -- --impure").exits(64);
    say(&workspace, "renc -- --no-such-flag").exits(78).says(&["unrecognised flag"]);

    // A flake has no such say before the user has allowed it, in a place that no repository can write to.
    change(&workspace, &only_impure("nixArgs = [ \"--option\" \"x-y\" \"a b\" \"--impure\" ];"));
    let allow = "git config --global --add vaultix.allowNixArgs '--option x-y a b --impure'";
    let refused = format!(
        "run nix with --option x-y a b --impure: you have not allowed that; to fix: {allow}\n"
    );
    say(&workspace, "renc").exits(78).says(&[&refused]);
    workspace.sh("git config --add vaultix.allowNixArgs '--option x-y a b --impure'").exits(0);
    say(&workspace, "check").exits(78).says(&[&refused]);
    run(workspace.command("sh").args(["-c", allow]).env("HOME", &workspace.root)).exits(0);
    say(&workspace, "renc").exits(0).says(&["1 re-encrypted"]);
    // Others need another permission.
    change(&workspace, &only_impure("nixArgs = [ \"--impure\" ];"));
    say(&workspace, "renc").exits(78).says(&["run nix with --impure: you have not allowed that"]);
}

#[test]
fn a_flake_may_be_named_with_its_submodules() {
    let output = "vaultix = all { web1 = let it = host \"web1\"; in it // { profile = it.profile // {
        secrets.wifi.file = if builtins.pathExists ./team/wifi.age then ./team/wifi.age else throw \"no submodule\"; }; }; }
        // { inherit settings; };";
    let Some(workspace) = flake("evaluation-submodule", output) else { return };
    workspace
        .sh("git init -q other && cp secrets/wifi.age other && cd other && git add . && git commit -qm wifi && cd .. \
             && git -c protocol.file.allow=always submodule --quiet add ./other team")
        .exits(0);
    say(&workspace, "renc").exits(78).says(&["no submodule"]);
    say(&workspace, "-f .?submodules=1 renc").exits(0).says(&["web1/wifi: re-encrypted"]);
    run(vaultix(&workspace, "check").env("VAULTIX_FLAKE", "?submodules=1")).exits(0);
    say(&workspace, "-f gone?submodules=1 renc").exits(78).says(&["cannot use the flake in gone"]);
}

#[test]
fn without_a_flake_a_file_does() {
    let Some(workspace) = flake("evaluation-file", "") else { return };
    workspace
        .sh("git rm -qf flake.nix && mkdir modules && echo '{ }' >modules/vaultix.nix")
        .exits(0);
    let change = |output: &str| {
        let text = outputs(&workspace, output);
        workspace.write("vaultix.nix", format!("let self = toString ./.; in ({text}).vaultix\n"));
    };
    change("vaultix = all { web1 = host \"web1\"; db1 = host \"db1\"; } // { inherit settings; };");
    say(&workspace, "renc").exits(0).says(&["2 re-encrypted, 0 up to date, 0 removed"]);
    workspace.cached("web1", "host-web1", "wifi text");
    say(&workspace, "check").exits(0).says(&["2 up to date, 0 problems"]);
    assert!(say(&workspace, "status").exits(0).stdout.starts_with("secrets/wifi.age"));
    say(&workspace, "view wifi").exits(0);
    say(&workspace, "rekey").exits(0).says(&["wifi.age"]);
    // From another directory, also with -f.
    run(vaultix(&workspace, "renc").current_dir(workspace.path("secrets")))
        .exits(0)
        .says(&["2 re-encrypted"]);
    run(vaultix(&workspace, "check -f ..").current_dir(workspace.path("secrets"))).exits(64);
    run(vaultix(&workspace, "-f .. check").current_dir(workspace.path("secrets"))).exits(0);

    // It is no more trusted than a flake.
    change(
        "vaultix = all { web1 = host \"web1\"; } // { settings = settings // { cache = \"../elsewhere\"; }; };",
    );
    say(&workspace, "renc")
        .exits(78)
        .says(&["vaultix.nix: \"../elsewhere\" is not inside the flake"]);
    workspace.write("../evaluation-file-private.age", workspace.read("secrets/wifi.age"));
    change(
        "vaultix = all { web1 = let it = host \"web1\"; in it // { profile = it.profile // {
           secrets.wifi.file = \"${self}/../evaluation-file-private.age\"; }; }; } // { inherit settings; };",
    );
    say(&workspace, "renc").exits(78).says(&["which is not part of"]);
    workspace.sh("rm ../evaluation-file-private.age").exits(0);

    // One broken host stops only itself there, too; and a missing attribute is named.
    change(
        "vaultix = all { web1 = host \"web1\"; db1 = throw \"boo\"; } // { inherit settings; };",
    );
    say(&workspace, "renc").exits(1).says(&["cannot evaluate host db1 of", "vaultix.nix: boo\n"]);
    change("vaultix = { inherit settings; };");
    say(&workspace, "renc").exits(78).says(&["profiles"]);
    workspace.write("vaultix.nix", "{ }\n");
    say(&workspace, "edit secrets/new.age").exits(78).says(&["settings", "vaultix.configure"]);
}

#[test]
fn copies_of_hosts_that_are_gone_are_removed() {
    let hosts = |names: &[&str]| {
        let all: Vec<String> =
            names.iter().map(|name| format!("{name} = host \"{name}\";")).collect();
        format!("vaultix = all {{ {} }} // {{ inherit settings; }};", all.join(" "))
    };
    let Some(workspace) = flake("evaluation-gone", &hosts(&["web1", "db1"])) else { return };
    say(&workspace, "renc").exits(0).says(&["2 re-encrypted"]);
    let copies = workspace.tree("secrets/cache");
    // What only looks like them.
    let [hex, age] = ["a".repeat(64), "age-encryption.org/v1\n".to_owned()];
    for (name, text) in
        [("restic", "{}"), (".hidden", &*age), ("not a host", &*age), ("WEB1", &*age)]
    {
        workspace.write(&format!("secrets/cache/{name}/{hex}"), text);
    }
    workspace.write(&format!("secrets/cache/{hex}"), &age);
    workspace.sh("ln -s db1 secrets/cache/link").exits(0);
    let strangers = workspace.tree("secrets/cache");
    say(&workspace, "renc").exits(0).says(&["0 re-encrypted, 2 up to date, 0 removed\n"]);
    assert_eq!(workspace.tree("secrets/cache"), strangers);

    // A host that does not evaluate may be any.
    let broken = hosts(&["web1", "broken"]).replace("host \"broken\"", "throw \"boo\"");
    change(&workspace, &broken);
    let done = say(&workspace, "renc").exits(1).says(&["0 re-encrypted, 1 up to date, 0 removed"]);
    assert!(!done.stderr.contains("secrets/cache/db1"), "{}", done.stderr);
    let done = say(&workspace, "check").exits(1).says(&["1 up to date, 1 problem\n"]);
    assert!(!done.stderr.contains("secrets/cache/db1"), "{}", done.stderr);
    change(&workspace, &hosts(&["web1"]));
    workspace.profile("web1", "host-web1.pub", &[("wifi", "wifi")]);
    for line in [
        "renc --host web1",
        "renc --secret wifi",
        "renc --cache secrets/cache",
        "-p web1.json renc",
        "renc --dry-run",
    ] {
        say(&workspace, line).exits(0);
        assert_eq!(workspace.tree("secrets/cache"), strangers, "{line}");
    }
    // Another flake may have its hosts there as well.
    workspace.sh("mv secrets/cache elsewhere && ln -s ../elsewhere secrets/cache").exits(0);
    say(&workspace, "renc").exits(0).says(&["1 up to date, 0 removed\n"]);
    workspace
        .sh("rm secrets/cache && mv elsewhere secrets/cache && git init -q secrets/cache")
        .exits(0);
    say(&workspace, "renc").exits(0).says(&["1 up to date, 0 removed"]);
    workspace.sh("rm -rf secrets/cache/.git").exits(0);
    assert_eq!(workspace.tree("secrets/cache"), strangers);

    let gone = "secrets/cache/db1 has copies for host db1, which the flake does not have";
    say(&workspace, "status").exits(0).says(&[gone, "1 up to date, 0 missing, 1 stale"]);
    let said = format!("{gone}; to fix: vaultix renc\n");
    say(&workspace, "check").exits(1).says(&[&said, "1 up to date, 1 problem\n"]);
    workspace.write("secrets/cache/db1/README", "mine");
    say(&workspace, "renc")
        .exits(0)
        .says(&["secrets/cache/db1/README is not part of the cache", "1 up to date, 1 removed\n"]);
    assert_eq!(workspace.read("secrets/cache/db1/README"), b"mine");
    // With nothing else in it, the directory goes as well.
    change(&workspace, &hosts(&["web1", "db1"]));
    workspace.sh("rm secrets/cache/db1/README").exits(0);
    say(&workspace, "renc").exits(0);
    change(&workspace, &hosts(&["web1"]));
    let left = format!("secrets/cache/db1/.new-{hex}");
    workspace.write(&left, &age[..9]);
    say(&workspace, "renc").exits(0).says(&[
        "secrets/cache/db1: removed, no host of the flake is called db1\n",
        "1 up to date, 1 removed\n",
    ]);
    assert!(!workspace.path("secrets/cache/db1").exists());
    let kept = |(name, _): &&(String, u64)| !name.starts_with("db1/");
    let rest: Vec<_> = strangers.iter().filter(kept).cloned().collect();
    assert_eq!(workspace.tree("secrets/cache"), rest);
    assert_eq!(copies.len(), 2);
    say(&workspace, "check").exits(0);
}

#[test]
fn without_a_host_nothing_is_well() {
    let Some(workspace) = flake("evaluation-none", "") else { return };
    for verb in ["renc", "check", "status", "generate", "rekey"] {
        say(&workspace, verb)
            .exits(78)
            .says(&["the flake does not provide attribute \"vaultix\"; to fix: vaultix init\n"]);
    }
    say(&workspace, "view secrets/wifi.age").exits(78).says(&["\"vaultix.settings\"; to fix: "]);
    change(&workspace, "vaultix = all { } // { inherit settings; };");
    for verb in ["renc", "check", "status", "generate", "rekey"] {
        say(&workspace, verb)
            .exits(78)
            .says(&["cannot find any host in", "vaultix.nodes is empty; to fix: vaultix init\n"]);
    }
    change(
        &workspace,
        "vaultix = { inherit settings; profiles = { }; hosts = { a = null; b = null; }; };",
    );
    say(&workspace, "renc").exits(78).says(&["none of a, b imports the module of Vaultix"]);
}

#[test]
fn what_nix_does_not_see_is_named() {
    let output =
        "vaultix = all { web1 = host \"web1\"; db1 = import ./db1.nix; } // { inherit settings; };";
    let Some(workspace) = flake("evaluation-untracked", output) else { return };
    workspace.write("db1.nix", "throw \"never\"");
    let said = "git does not track db1.nix, so Nix does not see it; to fix: git add --intent-to-add db1.nix\n";
    say(&workspace, "check").exits(1).says(&["cannot evaluate host db1", said]);
    let top = workspace.root.display().to_string();
    let fix = format!("to fix: git -C {top} add --intent-to-add {top}/db1.nix\n");
    let mut elsewhere = vaultix(&workspace, &format!("-f {top} check"));
    run(elsewhere.current_dir("/")).exits(1).says(&[&fix]);
    // What is pasted helps.
    workspace.sh(&format!("cd / && {}", fix.trim_start_matches("to fix: "))).exits(0);
    say(&workspace, "check").exits(1).says(&["cannot evaluate host db1", ": never\n"]);
    // A file that is nowhere.
    workspace.sh("git rm -qf --cached db1.nix && rm db1.nix").exits(0);
    let done = say(&workspace, "check").exits(1).says(&["cannot evaluate host db1", "db1.nix"]);
    assert!(!done.stderr.contains("git add"), "{}", done.stderr);

    let profile =
        "(host \"db1\").profile // { secrets.wifi.file = \"/no-flake/secrets/wifi.age\"; }";
    change(
        &workspace,
        &format!(
            "vaultix = all {{ web1 = host \"web1\"; db1 = host \"db1\" // {{ profile = {profile}; }}; }} // {{ inherit settings; }};"
        ),
    );
    say(&workspace, "renc").exits(1).says(&[
        "cannot use the profile of host db1: vaultix.settings.flake is not set there",
        "to fix: set vaultix.settings.flake = self",
        "1 re-encrypted, 0 up to date, 0 removed, 1 failed",
    ]);
}

#[test]
fn what_git_does_not_track_is_found_before_evaluation_misses_it() {
    let output = "vaultix = all { web1 = host \"web1\"; } // { inherit settings; };";
    let Some(workspace) = flake("evaluation-unknown", output) else { return };
    say(&workspace, "renc").exits(0).says(&["\nnow run: git add secrets/cache\n"]);
    say(&workspace, "check").exits(0).says(&["1 up to date, 0 problems"]);
    workspace.sh("git rm -rq --cached secrets").exits(0);
    let said = "git does not track secrets/wifi.age, so Nix does not see it; to fix: git add --intent-to-add secrets/wifi.age\n";
    say(&workspace, "check").exits(1).says(&[
        said,
        "git does not track secrets/cache/web1/",
        ", the copy of secret \"wifi\" of host web1, so Nix does not see it; to fix: git add --intent-to-add secrets/cache/",
        "0 up to date, 2 problems",
    ]);
    say(&workspace, "renc").exits(0).says(&["\nnow run: git add secrets/wifi.age secrets/cache\n"]);
    say(&workspace, "check").exits(65).says(&[said, "1 up to date, 1 problem"]);
    workspace.sh("echo '*.age' >.git/info/exclude").exits(0);
    let fix = "git add --force --intent-to-add secrets/wifi.age";
    say(&workspace, "check").exits(65).says(&[&format!("to fix: {fix}\n")]);
    workspace.sh(&format!("{fix} && rm .git/info/exclude")).exits(0);
    say(&workspace, "check").exits(0).says(&["1 up to date, 0 problems"]);

    // A secret that edit makes is tracked at once.
    let done = feed(&mut vaultix(&workspace, "edit secrets/new.age --stdin"), b"new").exits(0);
    assert!(done.stderr.ends_with("\nnow run: vaultix renc\n"), "{}", done.stderr);
    let names = "git ls-files secrets/new.age && git diff --cached --name-only secrets/new.age";
    assert_eq!(workspace.sh(names).exits(0).stdout, "secrets/new.age\n", "its text is not staged");
    let done = feed(&mut vaultix(&workspace, "edit secrets/new.age --stdin"), b"newer").exits(0);
    assert!(done.stderr.ends_with("\nnow run: vaultix renc\n"), "{}", done.stderr);
}

/// Returns how many lines are what Nix says.
fn from_nix(done: &Done) -> usize {
    done.stderr.lines().filter(|line| line.starts_with("nix: ")).count()
}

#[test]
fn what_a_flake_says_is_shown_once_and_as_its_own_word() {
    let warned = "vaultix = all { web1 = host \"web1\"; } // { settings = builtins.trace
      \"\\u001b[1;31mwarning: vaultix: it is careless\\n  because: of this\\n  to fix:  do that\\u001b[0m\" settings; };"
        .replace("\\u001b", "${builtins.fromJSON \"\\\"\\\\u001b\\\"\"}");
    let Some(workspace) = flake("evaluation-says", &warned) else { return };
    let said = "nix: it is careless: of this; the flake suggests: do that\n";
    let done = say(&workspace, "renc").exits(0).says(&[said]);
    // Nor what Nix says of a work tree that is dirty.
    assert_eq!(from_nix(&done), 1, "{}", done.stderr);
    assert!(!done.stderr.contains("to fix"), "{}", done.stderr);
    say(&workspace, "view secrets/wifi.age").exits(0).says(&[said]);
    // Evaluated again and again for the others, but shown once.
    let broken = warned.replace("host \"web1\";", "host \"web1\"; db1 = throw \"boo\";");
    change(&workspace, &broken);
    let done = say(&workspace, "check").exits(1).says(&[said]);
    assert_eq!(from_nix(&done), 1, "{}", done.stderr);

    let refusal = "throw \"vaultix: cannot use it\\n  because: of this\\n  to fix:  do that\"";
    change(
        &workspace,
        &format!("vaultix = all {{ web1 = host \"web1\"; }} // {{ settings = {refusal}; }};"),
    );
    let done = say(&workspace, "renc").exits(78);
    assert!(
        done.stderr.ends_with(": cannot use it: of this; the flake suggests: do that\n"),
        "{}",
        done.stderr
    );
    // Said in the middle of a line, it is what a name may say.
    change(&workspace, "vaultix = all { } // { settings = throw \"a; to fix: b\"; };");
    say(&workspace, "check").exits(78).says(&[r"a; to fix\u{3a} b"]);
}

/// What Nix says of a flake without inputs.
const METADATA: &str = r#"{"path":"/nix/store/x","locks":{"nodes":{},"root":"root"}}"#;

#[test]
fn a_flake_is_evaluated_once_with_a_sign_of_life() {
    let workspace = Workspace::new("evaluation-life");
    workspace.write("flake.nix", "{ outputs = _: { }; }");
    workspace.write("bin/nix-instantiate", "#!/bin/sh\necho '{\"names\":[],\"references\":[]}'\n");
    let profile =
        r#"{"version":1,"settings":{"hostIdentifier":"h","hostPubkey":"","hostKeys":[]}}"#;
    let hosts = format!(r#"{{"profiles":{{"h":{profile}}},"caches":{{}},"settings":{{}}}}"#);
    workspace.write(
        "bin/nix",
        format!(
            "#!/bin/sh\ncase $* in *eval*) echo run >>evaluated; read -r _ <go; echo '{hosts}' ;;\n\
             *) echo '{METADATA}' ;; esac\n"
        ),
    );
    workspace.sh("chmod +x bin/* && mkfifo go").exits(0);
    let at = workspace.root.display();
    let path = format!("{at}/bin:{}/bin:/usr/bin:/bin", prefix().display());
    for (options, is_shown) in [("", true), ("-q", false), ("-v", false)] {
        let before = if options == "-v" { "-v" } else { "" };
        let after = if options == "-q" { "-q" } else { "" };
        let mut command = workspace.vaultix_command(&format!("{before} -f . renc {after}"));
        let mut pty = Pty::start(command.env("PATH", &path));
        if is_shown {
            pty.expect("\r\x1b[Kevaluating vaultix.profiles: ");
            pty.expect(" s");
        }
        // Waits until nix reads.
        std::fs::write(workspace.path("go"), "\n").unwrap();
        let (exit, shown) = pty.end();
        assert_eq!(exit, 0, "{shown}");
        assert!(shown.contains("0 re-encrypted"), "{shown}");
        assert_eq!(shown.contains("\r\x1b[K"), is_shown, "{shown}");
        assert!(!is_shown || shown.contains(" s\r\x1b[Kvaultix: host h has no key"), "{shown}");
    }
    assert_eq!(workspace.read("evaluated"), b"run\nrun\nrun\n");
}
