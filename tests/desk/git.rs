//! secrets and copies in git → kept byte for byte, merged never, and what is left to add is named. renc in git hooks → copies in
//! the index of the repository that contains the cache, and in no other.

use pretty_assertions::assert_eq;
use serde_json::json;

use crate::support::{Done, Workspace, feed, run};

/// Makes a workspace in git, with the hook `script` that runs before each commit.
fn workspace(name: &str, script: &str) -> Workspace {
    let workspace = Workspace::with_secrets(name);
    let git = "git init -q && git config user.name me && git config user.email me@example.org &&
        printf 'keys\n' >.gitignore && git add . && git commit -qm first";
    workspace.sh(git).exits(0);
    workspace.write(".git/hooks/pre-commit", format!("#!/bin/sh\n{script}\n"));
    workspace.sh("chmod +x .git/hooks/pre-commit").exits(0);
    workspace
}

/// Makes a copy for each host; run in the directory with the profiles.
const RENC: &str = "vaultix -p web1.json -p db1.json renc -i keys/me.txt || exit";

/// Counts the copies that git tracks in the work tree `tree`.
fn known(workspace: &Workspace, tree: &str) -> usize {
    workspace
        .sh(&format!("cd {tree} && git ls-files secrets/cache/web1 secrets/cache/db1 | wc -l"))
        .exits(0)
        .stdout
        .trim()
        .parse()
        .unwrap()
}

#[test]
fn copies_made_by_a_hook_are_tracked() {
    for (name, commit) in [
        ("hook", "git add web1.json && git commit -qm second"),
        ("hook-all", "git commit -qam second"),
    ] {
        let workspace = workspace(name, RENC);
        workspace.sh(&format!("echo >>web1.json && {commit}")).exits(0).says(&["5 re-encrypted"]);
        assert_eq!(known(&workspace, "."), 5, "{name}");
        workspace.sh("git fsck --strict && git diff --cached --quiet").exits(0);
    }
    // Below the top, where the paths in git's variables do not fit.
    let renc = "cd secrets && vaultix -p ../web1.json renc -i ../keys/me.txt --cache cache || exit";
    let workspace = workspace("hook-below", renc);
    workspace.sh("sed -i s,secrets/,,g web1.json && git commit -qam second").exits(0);
    assert_eq!(known(&workspace, "."), 3);
}

#[test]
fn copies_made_by_a_hook_of_a_linked_work_tree_are_tracked() {
    for (name, commit) in [
        ("hook-linked", "git add web1.json && git commit -qm second"),
        ("hook-linked-all", "git commit -qam second"),
    ] {
        let workspace = workspace(name, RENC);
        workspace.sh("git worktree add -q linked && ln -s ../keys linked/keys").exits(0);
        workspace
            .sh(&format!("cd linked && echo >>web1.json && {commit}"))
            .exits(0)
            .says(&["5 re-encrypted"]);
        assert_eq!((known(&workspace, "linked"), known(&workspace, ".")), (5, 0), "{name}");
    }
}

#[test]
fn a_hook_of_another_repository_changes_only_the_index_of_ours() {
    for commit in ["git add file && git commit -qm second", "git commit -qam second"] {
        let workspace = workspace("hook-other", "true");
        let git = "git init -q other && cd other && git config user.name me && \
            git config user.email me@example.org && echo >file && git add file && git commit -qm first";
        workspace.sh(git).exits(0);
        workspace.write("other/.git/hooks/pre-commit", format!("#!/bin/sh\ncd ..\n{RENC}\n"));
        workspace
            .sh(&format!("cd other && chmod +x .git/hooks/pre-commit && echo >>file && {commit}"))
            .exits(0)
            .says(&["5 re-encrypted"]);
        assert_eq!(known(&workspace, "."), 5, "{commit}");
        assert_eq!(workspace.sh("cd other && git ls-files").stdout, "file\n");

        // As `git --git-dir … --work-tree …` sets them for its hooks.
        workspace.sh("git rm -q -r --cached secrets/cache").exits(0);
        let variables =
            "GIT_DIR=$PWD/other/.git GIT_WORK_TREE=$PWD/other GIT_INDEX_FILE=$PWD/other/.git/index";
        workspace.sh(&format!("{variables} {RENC}")).exits(0).says(&["5 up to date"]);
        assert_eq!(known(&workspace, "."), 5, "{commit}");
        assert_eq!(workspace.sh("cd other && git ls-files").stdout, "file\n");
    }
}

#[test]
fn committed_files_that_look_like_a_repository_are_not_used_as_one() {
    let workspace = Workspace::with_secrets("bare");
    let made = "git init -q && git init -q --bare bare && mv bare/HEAD bare/objects bare/refs bare/config secrets/ &&
        git add . && git commit -qm first";
    workspace.sh(&format!("git config --global user.email me@example.org; {made}")).exits(0);
    // The control: git itself uses it from there.
    let found = workspace.sh("git -C secrets rev-parse --absolute-git-dir").exits(0);
    assert_eq!(found.stdout.trim(), workspace.path("secrets").display().to_string());
    workspace.sh("vaultix -p web1.json renc -i keys/me.txt").exits(0);
    assert_eq!(known(&workspace, "."), 3);
    assert!(!workspace.path("secrets/index").exists(), "nothing is written to the other one");
}

/// Encrypts `text` as the secret `name`, in lines of text.
fn armored(workspace: &Workspace, name: &str, text: &str) {
    workspace.secret_with(&format!("secrets/{name}.age"), text, &["-a", "-i", "keys/me.txt"]);
}

/// Runs `vaultix` with `line` for the host web1.
fn of_web1(workspace: &Workspace, line: &str) -> Done {
    workspace.vaultix(&format!("-p web1.json {line}"))
}

/// Returns what `done` says behind `start` on a line.
fn behind(done: &Done, start: &str) -> String {
    let found = done.stderr.lines().find_map(|line| line.split_once(start));
    found.unwrap_or_else(|| panic!("not said: {start}\n{}", done.stderr)).1.to_owned()
}

#[test]
fn git_merges_no_ciphertexts() {
    let workspace = workspace("git-merge", "true");
    workspace.sh("vaultix init other -i keys/me.txt && mv other/.gitattributes attributes && rm -r other").exits(0);
    armored(&workspace, "wifi", "of both");
    workspace.sh("git branch -m main && git add -A secrets && git commit -qm base").exits(0);
    let change = |branch: &str| {
        armored(&workspace, "wifi", branch);
        workspace.sh(&format!("git commit -qam {branch}")).exits(0);
    };
    workspace.sh("git checkout -qb theirs").exits(0);
    change("theirs");
    workspace.sh("git checkout -q main").exits(0);
    change("ours");

    // The control: git takes it for text.
    workspace.sh("git merge -q theirs").exits(1);
    assert!(workspace.read("secrets/wifi.age").windows(9).any(|word| word == b"\n<<<<<<< "));
    let fix = "git checkout --theirs secrets/wifi.age && vaultix renc # or --ours";
    let said = ["git has put two versions of it into one file", &format!("to fix: {fix}\n")];
    workspace.vaultix("view secrets/wifi.age -i keys/me.txt").exits(65).says(&said);
    of_web1(&workspace, "check").exits(1).says(&said);
    let done = of_web1(&workspace, "renc -i keys/me.txt").exits(65).says(&said);
    assert_eq!(behind(&done, "now run: "), "git add secrets/cache");
    assert!(!done.stderr.contains("git has not merged"), "{}", done.stderr);
    let fix = fix.replace("vaultix", "vaultix -p web1.json").replace("renc", "renc -i keys/me.txt");
    workspace.sh(&fix).exits(0);
    assert_eq!(workspace.open("secrets/wifi.age", "me.txt"), "theirs");

    // With the attributes that init writes, it leaves ours as it is.
    workspace.sh("git rm -rqf --cached secrets/cache && rm -r secrets/cache").exits(0);
    workspace.sh("git merge --abort && mv attributes .gitattributes").exits(0);
    workspace.sh("git add .gitattributes && git commit -qm attributes").exits(0);
    let before = workspace.read("secrets/wifi.age");
    workspace.sh("git merge -q theirs").exits(1);
    assert!(workspace.read("secrets/wifi.age") == before);
    let other = "git checkout --theirs secrets/wifi.age && vaultix renc";
    let said = format!(
        "git has not merged secrets/wifi.age: hosts get the version that is here; to take the other one: {other}\n"
    );
    let done = of_web1(&workspace, "renc -i keys/me.txt").exits(0).says(&[&said]);
    assert_eq!(workspace.cached("web1", "host-web1", "ours").len(), 64);
    let next = behind(&done, "now run: ");
    assert_eq!(next, "git add secrets/wifi.age secrets/cache");
    workspace.sh(&format!("{next} && git commit -qm merged")).exits(0);
    assert_eq!(workspace.sh("git status --porcelain").stdout, "");
    let done = of_web1(&workspace, "renc").exits(0);
    assert_eq!(done.stderr, "0 re-encrypted, 3 up to date, 0 removed\n");
}

/// Returns what `done` says is to be done.
fn fix(done: &Done) -> Option<&str> {
    let mut lines = done.stderr.lines().filter(|line| line.contains("decrypt"));
    lines.find_map(|line| line.split_once("; to fix: ")).map(|(_, fix)| fix)
}

#[test]
fn a_damaged_secret_is_brought_back_from_git() {
    let workspace = workspace("git-damaged", "true");
    let name = "secrets/wifi.age";
    let whole = workspace.read(name);
    workspace.secret("secrets/values.yaml.age", "name: value");
    workspace.profile_with(
        "made",
        workspace.key("host-web1.pub").trim(),
        &[("wifi", "wifi")],
        |one| {
            let command =
                json!({ "kind": "command", "command": ["cat"], "dependencies": ["wifi"] });
            one["secrets"]["new"] = json!({ "file": "secrets/new.age", "generator": command });
        },
    );
    workspace.sh("git add . && git commit -qm more").exits(0);
    let damages: [&[u8]; 4] = [b"text", b"<<<<<<< HEAD\n", &whole[..60], &whole[..whole.len() - 1]];
    for damage in damages {
        let lines = [
            "view secrets/wifi.age -i keys/me.txt",
            "edit secrets/wifi.age -i keys/me.txt",
            "get secrets/wifi.age /name --format yaml -i keys/me.txt",
            "set secrets/wifi.age /name --format yaml -i keys/me.txt",
            "unset secrets/wifi.age /name --format yaml -i keys/me.txt",
            "-p web1.json renc -i keys/me.txt",
            "-p web1.json rekey -i keys/me.txt",
            "-p made.json generate -i keys/me.txt",
            "-p web1.json check",
        ];
        for line in lines {
            // Without its key, nobody knows of a header what is behind it.
            if line.ends_with("check") && damage == damages[3] {
                continue;
            }
            workspace.write(name, damage);
            let done = workspace.vaultix(line);
            let said = fix(&done).unwrap_or_else(|| panic!("{line}: {}", done.stderr));
            let (said, other) = said.split_once(" # ").unwrap_or((said, ""));
            assert_eq!(said, format!("git checkout -- {name}"), "{line}");
            assert_eq!(other.is_empty(), !line.ends_with("check"), "{line}: {other}");
            workspace.sh(said).exits(0);
            assert!(workspace.read(name) == whole, "{line}");
        }
    }

    let view = |line: &str| workspace.vaultix(&format!("{line} -i keys/me.txt")).exits(65);
    let of_view = || view("view secrets/wifi.age");
    // Staged as it is.
    workspace.write(name, "text");
    workspace.sh(&format!("git add {name}")).exits(0);
    assert_eq!(fix(&of_view()), Some("git checkout HEAD -- secrets/wifi.age"));
    // From elsewhere.
    let mut elsewhere = workspace.vaultix_command("view wifi.age -i ../keys/me.txt");
    let done = run(elsewhere.current_dir(workspace.path("secrets"))).exits(65);
    assert_eq!(fix(&done), Some("git checkout HEAD -- wifi.age"));
    let line = format!(
        "view {} -i {}",
        workspace.path(name).display(),
        workspace.path("keys/me.txt").display()
    );
    let done = run(workspace.vaultix_command(&line).current_dir("/")).exits(65);
    let top = workspace.root.display();
    assert_eq!(fix(&done), Some(&*format!("git -C {top} checkout HEAD -- {name}")));
    workspace.sh(fix(&done).unwrap()).exits(0);
    assert!(workspace.read(name) == whole);

    // Where git has nothing else, it is not named: as it was committed, new, or not tracked.
    workspace.write(name, "text");
    workspace.sh(&format!("git commit -qm damaged {name}")).exits(0);
    assert_eq!(fix(&of_view()), None);
    let done = of_web1(&workspace, "check");
    assert_eq!(fix(&done), Some("rm secrets/wifi.age && vaultix edit secrets/wifi.age"));
    for known in ["true", "git add --intent-to-add", "git add"] {
        workspace.write("secrets/new.age", "text");
        workspace.sh(&format!("{known} secrets/new.age")).exits(0);
        assert_eq!(fix(&view("view secrets/new.age")), None, "{known}");
    }
}

#[test]
fn git_keeps_ciphertexts_byte_for_byte() {
    let name = "secrets/wifi.age";
    for (setup, reason, file) in [
        ("git config core.autocrlf input", "core.autocrlf is input", ".gitattributes"),
        ("printf '* text=auto' >.gitattributes", "the attribute text is auto", ".gitattributes"),
        ("echo '* eol=lf' >secrets/.gitattributes", "eol is lf", "secrets/.gitattributes"),
        (
            "git config filter.z.clean 'tr -d \\r' && echo '*.age filter=z' >.git/info/attributes",
            "it has the filter z for it: .git/info/attributes says so",
            ".git/info/attributes",
        ),
        (
            "echo '*.age -text' >.gitattributes && echo 'secrets/** !text' >.git/info/attributes &&
                git config core.autocrlf true",
            "core.autocrlf is true: .git/info/attributes says so",
            ".git/info/attributes",
        ),
        // Counts less than a line in the repository.
        (
            "echo '*.age text' >mine && git config core.attributesFile mine",
            "the attribute text is set; to fix: ",
            ".gitattributes",
        ),
    ] {
        let workspace = workspace("git-bytes", "true");
        // Lines that end as on Windows: of others, git changes one in ten thousand.
        armored(&workspace, "wifi", "wifi text");
        workspace.sh(&format!("sed -i 's/$/\\r/' {name} && {setup}")).exits(0);
        let as_it_is = format!("git add {name} && git show :{name} | cmp - {name}");
        let said = ["git would not keep the bytes of ", name, reason];
        let done = of_web1(&workspace, "renc -i keys/me.txt").exits(0).says(&said);
        of_web1(&workspace, "check").exits(0).says(&said);
        let mut edit = workspace.vaultix_command(&format!("edit {name} -i keys/me.txt --stdin"));
        feed(&mut edit, b"new").exits(0).says(&said);
        workspace.sh(&format!("sed -i 's/\\r*$/\\r/' {name}")).exits(0);
        // The control: it does not keep them.
        workspace.sh(&as_it_is).exits(1);
        let fix = behind(&done, "; to fix: ");
        assert!(fix.ends_with(&format!(" >>{file}")), "{fix}");
        if file.starts_with(".git/") {
            // The control: elsewhere, the same line does not help.
            let elsewhere = format!("{} >>.gitattributes", fix.rsplit_once(" >>").unwrap().0);
            workspace.sh(&elsewhere).exits(0);
            workspace.sh(&as_it_is).exits(1);
        }
        workspace.sh(&fix).exits(0);
        workspace.sh(&format!("git rm -qf --cached {name} && {as_it_is}")).exits(0);
        for line in ["renc -i keys/me.txt", "check"] {
            let done = of_web1(&workspace, line).exits(0);
            assert!(!done.stderr.contains("git would not"), "{setup}: {}", done.stderr);
        }
    }
}

#[test]
fn renc_says_what_is_left_to_add() {
    let workspace = workspace("git-next", "true");
    let mut ids: Vec<String> = (0..11).map(|i| format!("s{i:02}")).collect();
    ids.push("new one".to_owned());
    for id in &ids {
        workspace.secret(&format!("secrets/{id}.age"), id);
    }
    let pairs: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), id.as_str())).collect();
    workspace.profile("web1", "host-web1.pub", &pairs);
    workspace.sh("git add secrets/s* web1.json && git commit -qm more").exits(0);
    let renc = |line: &str| of_web1(&workspace, &format!("renc -i keys/me.txt {line}")).exits(0);
    assert!(!renc("--dry-run").stderr.contains("now run"));
    let commit = |next: &str| {
        workspace.sh(&format!("{next} && git commit -qm next")).exits(0);
        assert_eq!(workspace.sh("git status --porcelain").stdout, "");
    };
    let next = behind(&renc(""), "now run: ");
    assert_eq!(next, "git add 'secrets/new one.age' secrets/cache");
    // What is not tracked is named again, what is not staged only after it has changed.
    assert_eq!(behind(&renc(""), "now run: "), "git add 'secrets/new one.age'");
    commit(&next);
    assert_eq!(renc("").stderr, "0 re-encrypted, 12 up to date, 0 removed\n");

    workspace.secret("secrets/s00.age", "another text");
    let mut elsewhere =
        workspace.vaultix_command("-p ../web1.json renc -i ../keys/me.txt --cache cache");
    workspace.sh("sed -i s,secrets/,,g web1.json").exits(0);
    let next = behind(&run(elsewhere.current_dir(workspace.path("secrets"))).exits(0), "now run: ");
    assert_eq!(next, "git add s00.age cache");
    workspace.sh("git checkout -q web1.json").exits(0);
    commit(&format!("cd secrets && {next} && cd .."));

    for id in &ids {
        workspace.secret(&format!("secrets/{id}.age"), "another text");
    }
    workspace.write("secrets/notes.txt", "not for git");
    assert_eq!(renc("-q").stderr, "12 re-encrypted, 0 up to date, 12 removed\n");
    workspace.sh("rm -r secrets/cache").exits(0);
    let next = behind(&renc(""), "now run: ");
    assert_eq!(next, "git add secrets/cache && git add --update secrets");
    workspace.sh(&next).exits(0);
    assert_eq!(
        workspace.sh("git status --porcelain | grep -v ^[AMDR]").stdout,
        "?? secrets/notes.txt\n"
    );

    // Where git ignores it, it has to be told.
    workspace.secret("secrets/s00.age", "a third text");
    workspace.sh("git rm -qf --cached secrets/s00.age && echo s00.age >>.gitignore").exits(0);
    let next = behind(&renc(""), "now run: ");
    assert_eq!(next, "git add --force secrets/s00.age && git add secrets/cache");
    workspace.sh(&next).exits(0);
}
