//! renc in git hooks → copies in the index of the repository that contains the cache, and in no
//! other.

use crate::support::Workspace;

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
