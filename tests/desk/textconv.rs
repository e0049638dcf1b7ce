//! `vaultix textconv` → git shows differences of plaintexts, and stores them nowhere.

use pretty_assertions::assert_eq;

use crate::support::{Workspace, feed, run};

/// Nix runs `git diff` to find out whether a flake is dirty, and git runs us on every secret. If each
/// of these runs evaluated the flake, this would never end.
#[test]
fn a_diff_during_an_evaluation_does_not_start_another() {
    let workspace = Workspace::with_secrets("recursion");
    workspace.write("flake.nix", "{ }");
    let vaultix = crate::prefix::prefix().join("bin/vaultix");
    workspace.write(
        "bin/nix",
        format!(
            "#!/bin/sh\necho run >>nix.log\n[ $(wc -l <nix.log) -gt 3 ] && exit 1\n{} textconv secrets/wifi.age\n\
             echo '{{\"identity\":\"keys/me.txt\",\"extraRecipients\":[]}}'\n",
            vaultix.display()
        ),
    );
    workspace.sh("chmod 755 bin/nix").exits(0);
    let (ours, bin) = (vaultix.parent().unwrap().display().to_string(), workspace.path("bin"));
    let path = format!("{}:{ours}:/usr/bin:/bin", bin.display());
    let mut command = workspace.vaultix_command("textconv secrets/wifi.age");
    run(command.env("PATH", path)).exits(0);
    assert_eq!(workspace.read("nix.log"), b"run\n");
}

#[test]
fn git_shows_differences_of_plaintext() {
    let workspace = Workspace::with_secrets("textconv");
    workspace
        .sh("git init -q && echo '*.age diff=vaultix' >.gitattributes && git add secrets && \
         git config diff.vaultix.textconv 'vaultix textconv -i keys/me.txt'")
        .exits(0);
    feed(&mut workspace.vaultix_command("edit secrets/wifi.age -i keys/me.txt"), b"new text")
        .exits(0);
    let diff = workspace.sh("git --no-pager diff").exits(0).stdout;
    assert!(diff.contains("-wifi text") && diff.contains("+new text"), "{diff}");
    let done = workspace.vaultix("textconv secrets/wifi.age -i keys/other.txt").exits(0);
    assert!(done.stdout.starts_with("encrypted, sha256 "), "{}", done.stdout);
}

#[test]
fn git_does_not_store_plaintexts() {
    let workspace = Workspace::with_secrets("cachetextconv");
    let script = "git init -q && git config user.name me && git config user.email me@example.org &&
        git config diff.vaultix.textconv 'vaultix textconv -i keys/me.txt' && git config diff.vaultix.cachetextconv true &&
        printf 'keys\n' >.gitignore && echo '*.age diff=vaultix' >.gitattributes && git add . && git commit -qm first &&
        echo new | vaultix edit secrets/wifi.age -i keys/me.txt && git commit -qam second";
    workspace.sh(script).exits(0);
    let objects = "for object in $(git rev-list --all --objects | cut -d' ' -f1); do git cat-file -p $object; done |
        grep -ac 'wifi text'";
    let fix = "git config --unset-all diff.vaultix.cachetextconv; git update-ref -d refs/notes/textconv/vaultix; \
         git gc --prune=now";
    let done = workspace.sh("git show").exits(0);
    let done = done.says(&["diff.vaultix.cachetextconv is set: git would keep the text", fix]);
    assert!(done.stdout.contains("+encrypted, sha256 "), "{}", done.stdout);
    assert_eq!(workspace.sh(objects).stdout, "0\n");
    let done = workspace.sh(&format!("{{ {fix}; }} 2>&1 && git show")).exits(0);
    assert!(done.stdout.contains("-wifi text"), "{}", done.stdout);
    // The control: with another program, git does.
    let script = "git config diff.vaultix.textconv 'age -d -i keys/me.txt' && git config diff.vaultix.cachetextconv true &&
        git show";
    assert!(workspace.sh(script).exits(0).stdout.contains("-wifi text"));
    assert_eq!(workspace.sh(objects).stdout, "1\n");
    workspace.sh(fix);
}
