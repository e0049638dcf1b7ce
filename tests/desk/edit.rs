//! `vaultix edit` → a secret changed, or left exactly as it was; and no plaintext on any disk.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;

use pretty_assertions::assert_eq;
use xtask::canary::marked;

use crate::pty::Pty;
use crate::support::{Done, Workspace, feed, feed_as_is, run};

/// Makes a desk with one secret.
fn workspace(name: &str) -> Workspace {
    let workspace = Workspace::new(name);
    workspace.secret("secrets/wifi.age", "old text\n");
    workspace
}

/// Edits the secret with the editor `editor`, a line of shell.
fn edit(workspace: &Workspace, editor: &str) -> Done {
    run(command(workspace).env("EDITOR", editor))
}

/// Prepares to edit the secret.
fn command(workspace: &Workspace) -> Command {
    workspace.vaultix_command("edit secrets/wifi.age -i keys/me.txt")
}

/// Writes a program, and returns its path.
fn program(workspace: &Workspace, name: &str, script: &str) -> String {
    workspace.write(name, format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(workspace.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    workspace.path(name).to_str().unwrap().to_owned()
}

#[test]
fn the_editor_changes_it() {
    let workspace = workspace("edit");
    edit(&workspace, "sed -i s/old/new/")
        .exits(0)
        .says(&["secrets/wifi.age: changed, encrypted to 1 recipient\n"]);
    assert_eq!(workspace.open("secrets/wifi.age", "me.txt"), "new text\n");
}

#[test]
fn visual_comes_before_editor() {
    let workspace = workspace("visual");
    run(command(&workspace).env("EDITOR", "false").env("VISUAL", "sed -i s/old/new/")).exits(0);
    run(command(&workspace).env("EDITOR", "sed -i s/new/newer/").env("VISUAL", "")).exits(0);
    assert_eq!(workspace.open("secrets/wifi.age", "me.txt"), "newer text\n");
}

#[test]
fn an_editor_may_replace_the_file() {
    let workspace = workspace("replace");
    edit(&workspace, "f() { echo newer >\"$1.tmp\" && mv \"$1.tmp\" \"$1\"; }; f").exits(0);
    assert_eq!(workspace.open("secrets/wifi.age", "me.txt"), "newer\n");
}

#[test]
fn an_unchanged_text_is_not_written() {
    let workspace = workspace("unchanged");
    let before = fs::metadata(workspace.path("secrets/wifi.age")).unwrap();
    edit(&workspace, "touch").exits(0).says(&["secrets/wifi.age: unchanged\n"]);
    feed(command(&workspace).arg("--stdin"), b"old text\n").exits(0).says(&["unchanged"]);
    let after = fs::metadata(workspace.path("secrets/wifi.age")).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
}

#[test]
fn a_text_that_nobody_sees_is_warned_of() {
    let workspace = workspace("blank");
    let said = "the new text of secrets/wifi.age is only white space\n";
    feed_as_is(command(&workspace).arg("--stdin"), b" \n").exits(0).says(&["changed", said]);
    let done = feed(command(&workspace).arg("--stdin"), b" x\n").exits(0);
    assert!(!done.stderr.contains("white space"), "{}", done.stderr);
    let set = |value: &[u8]| {
        let line = "set secrets/mail.yaml.age a -i keys/me.txt";
        feed_as_is(&mut workspace.vaultix_command(line), value).exits(0)
    };
    set(b"  \n").says(&["the new value of /a in secrets/mail.yaml.age is only white space\n"]);
}

#[test]
fn an_editor_that_does_not_wait_is_noticed() {
    let workspace = workspace("no-wait");
    let said = "the editor \"true\" has ended at once and changed nothing; if it opens a window, set EDITOR";
    // On a busy machine, it may take longer than a person would.
    let is_noticed = || edit(&workspace, "true").exits(0).stderr.contains(said);
    assert!((0..50).any(|_| is_noticed()));
    let done = edit(&workspace, "sed -i s/old/new/").exits(0);
    assert!(!done.stderr.contains("at once"), "{}", done.stderr);
}

#[test]
fn a_failure_leaves_it_as_it_was() {
    let workspace = workspace("failing");
    let before = workspace.read("secrets/wifi.age");
    for (editor, exit, reason) in [
        ("sh -c 'echo new >\"$0\"; exit 3'", 1, "it failed: exit status: 3"),
        ("sh -c 'echo new >\"$0\"; kill -9 $$'", 1, "it failed: "),
        ("editor-of-nowhere -x", 1, "there is no such program"),
        ("truncate -s 0", 65, "the new text is empty"),
        ("rm", 1, "it left no file to read"),
    ] {
        edit(&workspace, editor).exits(exit).says(&[reason]);
        assert_eq!(workspace.read("secrets/wifi.age"), before, "{editor}");
    }
    feed(command(&workspace).arg("--stdin"), b"").exits(65);
    assert_eq!(workspace.read("secrets/wifi.age"), before);
    assert_eq!(workspace.tree("secrets").len(), 1, "{:?}", workspace.tree("secrets"));
}

#[test]
fn the_editor_works_in_memory_and_leaves_nothing() {
    let workspace = workspace("in-memory");
    let editor = program(
        &workspace,
        "editor",
        "d=$(dirname \"$1\")\nstat -f -c %T \"$d\" >seen\nstat -c %a \"$d\" \"$1\" >>seen\n\
         echo \"$1\" >>seen\necho \"$TMPDIR\" >>seen\necho copy >\"$1~\"\nmkdir \"$d/deep\"\n\
         echo x >\"$d/deep/er\"\nln -s /etc/passwd \"$d/link\"\necho new >\"$1\"\n\
         ln \"$1\" \"$d.seen\"",
    );
    edit(&workspace, &editor).exits(0);
    let seen = String::from_utf8(workspace.read("seen")).unwrap();
    let seen: Vec<&str> = seen.lines().collect();
    assert_eq!(seen[..3], ["tmpfs", "700", "600"]);
    assert_eq!(seen[3], format!("{}/wifi", seen[4]), "coloured by its own suffix");
    assert!(!workspace.path(seen[4]).exists(), "{} is gone", seen[4]);
    let kept = format!("{}.seen", seen[4]);
    assert_eq!(fs::read(&kept).unwrap(), [0; 4], "the text is wiped, not only unlinked");
    fs::remove_file(kept).unwrap();
    assert!(fs::metadata("/etc/passwd").unwrap().len() > 0, "what a link leads to is not wiped");
}

#[test]
fn an_editor_needs_a_file_system_in_memory() {
    let workspace = workspace("no-memory");
    let script = "for place in /dev/shm /run; do mount --bind /usr $place || exit 99; done
        XDG_RUNTIME_DIR=$PWD EDITOR=true vaultix edit secrets/wifi.age -i keys/me.txt; echo $?
        echo new | vaultix edit secrets/wifi.age -i keys/me.txt; echo $?";
    let done =
        run(workspace.command("unshare").args(["--mount", "--map-root-user", "sh", "-c", script]));
    if done.exit == 99 || done.stderr.contains("unshare") {
        assert_ne!(std::env::var("VAULTIX_TESTS").as_deref(), Ok("all"), "{}", done.stderr);
        eprintln!("SKIPPED: no mount namespace here: {}", done.stderr);
        return;
    }
    let done = done.says(&["cannot open an editor without writing the secret to a disk"]);
    assert_eq!(done.stdout, "73\n0\n");
}

#[test]
fn signals_end_it_and_leave_nothing() {
    let workspace = workspace("signals");
    let before = workspace.read("secrets/wifi.age");
    let script =
        "trap '' HUP\necho secret >>\"$1\"\necho $$ >editor.pid\necho \"at $1\"\nexec sleep 100";
    let editor = program(&workspace, "editor", script);
    for (kill, exit) in [("TERM", 143), ("HUP", 129), ("QUIT", 131)] {
        let mut pty = Pty::start(command(&workspace).env("EDITOR", &editor));
        pty.expect("\nat ");
        pty.expect("\r\n");
        let at = pty.shown.lines().find_map(|line| line.strip_prefix("at ")).unwrap().to_owned();
        assert!(workspace.path(&at).exists());
        let pid = at.split('/').find_map(|part| part.strip_prefix("vaultix-")).unwrap();
        let pid = pid.split('-').next().unwrap();
        run(workspace.command("kill").args([&format!("-{kill}"), pid])).exits(0);
        let (found, shown) = pty.end();
        assert_eq!(found, exit, "{shown}");
        assert!(!workspace.path(&at).exists(), "{at} is gone");
        // And so is the editor, which still has the text, and does not mind that its terminal hangs up.
        workspace.sh("timeout 10 tail -s .1 --pid $(cat editor.pid) -f /dev/null").exits(0);
    }
    // Ctrl-C is the editor's own business: this one ends by it.
    let mut pty = Pty::start(command(&workspace).env("EDITOR", &editor));
    pty.expect("\nat ");
    pty.send("\x03");
    let (found, shown) = pty.end();
    assert_eq!(found, 1, "{shown}");
    // And this one does not, whether the key comes before it reads or ends the reading.
    let stays =
        program(&workspace, "stays", "trap 'echo new >\"$1\"' INT\necho ready\nread line\ntrue");
    let mut pty = Pty::start(command(&workspace).env("EDITOR", &stays));
    pty.expect("ready");
    pty.send("\x03");
    pty.send("\n");
    let (found, shown) = pty.end();
    assert_eq!(found, 0, "{shown}");
    assert_ne!(workspace.read("secrets/wifi.age"), before);
    assert_eq!(workspace.tree("secrets").len(), 1);
}

#[test]
fn leftovers_of_a_killed_edit_are_wiped_by_the_next() {
    let workspace = workspace("killed");
    // In a place of its own, so that no other test sweeps it.
    let script = "mount -t tmpfs none run || exit 99
        EDITOR='f() { echo $PPID >pid; echo seen >>pid; sleep 600; }; f' vaultix edit secrets/wifi.age -i keys/me.txt &
        until grep -q seen pid 2>/dev/null; do sleep .05; done
        exec 3<$(echo run/vaultix-*/wifi)
        mkdir -m 700 run/vaultix-1-x run/vaultix-1-1.d; mkdir -m 755 run/vaultix-1-2
        mkdir -m 700 run/vaultix-1-3 && mount -t tmpfs -o mode=700 none run/vaultix-1-3 && echo x >run/vaultix-1-3/theirs
        (EDITOR=true vaultix edit secrets/wifi.age -i keys/me.txt); ls -d run/vaultix-*/wifi | wc -l
        kill -KILL $(head -n 1 pid); wait
        ls -d run/vaultix-*/wifi | wc -l
        vaultix view secrets/none.age -i keys/me.txt; ls -d run/vaultix-*; ls run/vaultix-1-3
        tr -d '\\0' <&3 | wc -c; stat -L -c %s /dev/fd/3";
    fs::create_dir(workspace.path("run")).unwrap();
    let mut command = workspace.command("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]);
    let done = run(command.env("XDG_RUNTIME_DIR", workspace.path("run")));
    if done.stderr.contains("unshare") || done.exit == 99 {
        assert_ne!(std::env::var("VAULTIX_TESTS").as_deref(), Ok("all"), "{}", done.stderr);
        eprintln!("SKIPPED: no mount namespace here: {}", done.stderr);
        return;
    }
    // What is mounted there is somebody else's, and may never answer.
    let rest = "run/vaultix-1-1.d\nrun/vaultix-1-2\nrun/vaultix-1-3\nrun/vaultix-1-x\ntheirs";
    let size = marked(b"old text\n").len();
    assert_eq!(done.stdout, format!("1\n1\n{rest}\n0\n{size}\n"), "{}", done.stderr);
}

/// Has somebody use a real editor whose settings in `home` make it keep copies, and returns the files that hold one.
fn copies(name: &str, editor: &str, keys: &str, known: Known) -> String {
    let workspace = workspace(&format!("real-{name}-{known:?}"));
    let hidden = program(&workspace, "my-editor", &format!("exec {editor} \"$@\""));
    let editor = if known == Known::Yes { editor } else { &hidden };
    for (path, text) in KEEPING {
        workspace.write(&format!("home/{path}"), text);
    }
    for directory in ["b", "u", "s"] {
        fs::create_dir_all(workspace.path(&format!("home/{directory}"))).unwrap();
    }
    let mut command = command(&workspace);
    command.env("EDITOR", editor).env("HOME", workspace.path("home"));
    for name in ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"] {
        command.env_remove(name);
    }
    let mut pty = Pty::start(&mut command);
    pty.resize(24);
    if !keys.is_empty() {
        pty.expect("old text");
        pty.send(keys);
    }
    let (exit, shown) = pty.end();
    assert_eq!(exit, 0, "{name}: {shown}");
    let warned = shown.contains("may keep copies of the text elsewhere");
    assert_eq!(warned, known == Known::No, "{name}: {shown}");
    let text = workspace.open("secrets/wifi.age", "me.txt");
    assert!(text.starts_with("new text"), "{name}: {text:?}\n{shown}");
    let found =
        workspace.sh("grep -rlaE '(old|new) text' . --exclude-dir=keys --exclude=my-editor").stdout;
    for path in found.lines() {
        fs::remove_file(workspace.path(path)).unwrap(); // What the control has shown is no leak of ours.
    }
    found
}

/// Whether Vaultix knows an editor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Known {
    /// It does.
    Yes,
    /// It does not: the editor is behind a script, and is told nothing.
    No,
}

/// Settings with which the editors that we know keep what they can.
const KEEPING: &[(&str, &str)] = &[
    (
        ".vimrc",
        "set backup undofile backupdir=~/b// undodir=~/u// directory=~/s// viminfo='50\n",
    ),
    (
        ".config/nvim/init.vim",
        "set backup undofile backupdir=~/b// undodir=~/u// directory=~/s// shada='50\n",
    ),
    (
        ".emacs",
        "(setq make-backup-files t backup-enable-predicate (lambda (_) t) auto-save-interval 20)
        (setq backup-directory-alist '((\".\" . \"~/b/\")) create-lockfiles t)
        (setq auto-save-file-name-transforms '((\".*\" \"~/s/\" t)))
        (setq savehist-additional-variables '(kill-ring) savehist-file \"~/s/history\")
        (add-hook 'kill-emacs-hook 'recentf-save-list) (recentf-mode 1) (savehist-mode 1) (save-place-mode 1)\n",
    ),
    (
        ".config/micro/settings.json",
        "{\"backup\": true, \"permbackup\": true, \"saveundo\": true, \"savehistory\": true}\n",
    ),
    (".joerc", ":include /etc/joe/joerc\n-backpath ~/b\n-joe_state\n"),
];

/// The editors that were tried: how each is started, and what is typed to put `new text` into the first line and leave.
const REAL: &[(&str, &str, &str)] = &[
    ("vim", "vim", "ccnew text\x1b:wq\r"),
    ("vim-wrapped", "env X='1 2' nice vim -y", "\x0fccnew text\x0f:wq\r"),
    ("nvim", "nvim", "ccnew text\x1b:wq\r"),
    // As root, it reads root's own settings: these stand on its line.
    ("nano", "nano --backup --backupdir=home/b --historylog", "\x0bnew text\x0f\r\x18"),
    ("emacs", "emacs -nw", "\x0bnew text\x18\x13\x18\x03"),
    ("micro", "micro", "new text \x06new text\r\x13\x11"),
    ("kak", "kak -e 'exec inew<space>text<space><esc>; write; quit'", ""),
    ("joe", "joe", "new text \x0bfnew text\r\r\x0bx"),
    ("mg", "mg", "new text \x18\x13\x18\x03"),
    ("jed", "jed", "new text \x18\x13\x18\x03"),
    ("busybox", "busybox vi -c s/old/new/ -c wq", ""),
];

#[test]
fn real_editors_leave_no_copies() {
    for (name, editor, keys) in REAL {
        assert_eq!(copies(name, editor, keys, Known::Yes), "", "{name}");
    }
}

#[test]
fn real_editors_keep_copies_where_they_are_told_nothing() {
    // The control. What kak, jed, mg and busybox keep is beside the file, which is in memory.
    for (name, editor, keys) in REAL {
        let keeps = !copies(name, editor, keys, Known::No).is_empty();
        assert_eq!(keeps, !matches!(*name, "kak" | "jed" | "mg" | "busybox"), "{name}");
    }
}

#[test]
fn an_unknown_editor_is_warned_of_once() {
    let workspace = workspace("unknown-editor");
    let script = program(&workspace, "my-editor", "true # vim");
    for editor in [script.as_str(), "emacsclient -t -a true", "env X=1 sed -i s/old/new/"] {
        let done = edit(&workspace, editor);
        assert_eq!(
            done.stderr.matches("may keep copies of the text elsewhere").count(),
            1,
            "{editor}: {}",
            done.stderr
        );
    }
    // Neither of these has been tried, and the manual says so: they get their options, and there is a warning all the same.
    for (name, arguments) in [("hx", 1), ("codium", 6), ("code", 6)] {
        let editor = program(&workspace, name, "echo $# \"$@\" >seen; mkdir \"${5-$1.d}\"");
        let done = edit(&workspace, &editor).exits(0);
        let warnings = done.stderr.matches("may keep copies of the text elsewhere").count();
        assert_eq!(warnings, 1, "{name}: {}", done.stderr);
        let seen = String::from_utf8(workspace.read("seen")).unwrap();
        assert!(seen.starts_with(&format!("{arguments} ")), "{name}: {seen}");
        let wait = seen.contains(" --wait --new-window --disable-extensions --user-data-dir /");
        assert_eq!(wait, name != "hx", "{seen}");
    }
    let done = edit(&workspace, "true vim");
    assert!(!done.stderr.contains("may keep copies"), "{}", done.stderr);
}

#[test]
fn text_comes_from_elsewhere_too() {
    let workspace = workspace("elsewhere");
    feed(&mut command(&workspace), b"piped").exits(0);
    assert_eq!(workspace.open("secrets/wifi.age", "me.txt"), "piped");
    feed(command(&workspace).arg("--stdin"), b"asked for").exits(0);
    assert_eq!(workspace.open("secrets/wifi.age", "me.txt"), "asked for");
    workspace.write("plain", [0, 255, 10]);
    run(command(&workspace).args(["--from", "plain"])).exits(0);
    workspace.sh("age -d -i keys/me.txt secrets/wifi.age | cmp - plain").exits(0);
    run(command(&workspace).args(["--from", "plain", "--stdin"])).exits(64);
    run(command(&workspace).args(["--from", "none"])).exits(66);
    // Nothing to read from does not mean that an empty text was meant.
    edit(&workspace, "sed -i '1s/.*/edited/'").exits(0);

    let mut pty = Pty::start(command(&workspace).arg("--stdin"));
    pty.expect("Ctrl-D");
    pty.send("typed\n\x04");
    assert_eq!(pty.end().0, 0);
    assert_eq!(workspace.open("secrets/wifi.age", "me.txt"), "typed\n");
    let mut pty = Pty::start(command(&workspace).arg("--stdin"));
    pty.expect("Ctrl-D");
    pty.send("half\n\x03");
    assert_eq!(pty.end().0, 130);
}

#[test]
fn the_rest_of_a_file_on_standard_input_is_no_new_text_unless_asked_for() {
    let workspace = workspace("list");
    workspace.secret("secrets/mail.age", "old mail\n");
    let read = || ["wifi", "mail"].map(|name| workspace.read(&format!("secrets/{name}.age")));
    let before = read();
    workspace.write("list", "secrets/wifi.age\nsecrets/mail.age\n");
    let line = "while read -r f; do EDITOR=true vaultix edit $f -i keys/me.txt; done <list";
    workspace.sh(line).exits(64).says(&[
        "cannot edit secrets/wifi.age: standard input is a file that was already read in part; to fix: pass --stdin",
        "cannot edit secrets/mail.age: standard input is a file that",
    ]);
    assert!(read() == before);
    workspace.write("text", "new mail\n");
    workspace.sh("vaultix edit secrets/mail.age -i keys/me.txt <text").exits(0);
    assert_eq!(workspace.open("secrets/mail.age", "me.txt"), "new mail\n");
    workspace
        .sh("vaultix edit secrets/wifi.age -i keys/me.txt --stdin <list")
        .exits(0)
        .says(&["secrets/wifi.age: changed from standard input, encrypted to 1 recipient\n"]);
    assert_eq!(workspace.open("secrets/wifi.age", "me.txt").lines().count(), 2);
    workspace
        .sh("EDITOR=true vaultix edit secrets/wifi.age -i keys/me.txt --from list <list")
        .exits(0);
    feed(&mut command(&workspace), b"")
        .exits(65)
        .says(&["the new text, from standard input, is empty"]);
    workspace.write("empty", "");
    run(command(&workspace).args(["--from", "empty"]))
        .exits(65)
        .says(&[": the new text is empty\n"]);
}

#[test]
fn a_new_secret_is_made_with_its_directories() {
    let workspace = workspace("new");
    let line = "edit secrets/a/b/new.json.age -i keys/me.txt";
    let editor = "f() { basename \"$1\" >seen; echo '{}' >\"$1\"; }; f";
    run(workspace.vaultix_command(line).env("EDITOR", editor)).exits(0).says(&["created"]);
    assert_eq!(workspace.open("secrets/a/b/new.json.age", "me.txt"), "{}\n");
    assert_eq!(workspace.read("seen"), b"new.json\n");
}

#[test]
fn armor_mode_and_links_stay() {
    let workspace = workspace("as-it-was");
    workspace.secret_with("secrets/real.age", "old\n", &["-a", "-i", "keys/me.txt"]);
    let armored = [&b"\n \n"[..], &workspace.read("secrets/real.age")].concat();
    workspace.write("secrets/real.age", armored);
    fs::set_permissions(workspace.path("secrets/real.age"), fs::Permissions::from_mode(0o640))
        .unwrap();
    fs::remove_file(workspace.path("secrets/wifi.age")).unwrap();
    symlink("real.age", workspace.path("secrets/wifi.age")).unwrap();
    edit(&workspace, "sed -i s/old/new/").exits(0);
    assert!(workspace.read("secrets/real.age").starts_with(b"-----BEGIN AGE"));
    assert!(workspace.path("secrets/wifi.age").is_symlink());
    let mode = fs::metadata(workspace.path("secrets/real.age")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(workspace.open("secrets/wifi.age", "me.txt"), "new\n");
}

#[test]
fn everybody_who_should_can_open_it() {
    let workspace = workspace("recipients");
    let public = |name: &str| {
        let key = workspace.key(name);
        key.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned()
    };
    let extra = [public("other.txt"), workspace.key("ssh-rsa.pub").trim().to_owned()];
    let mut command =
        workspace.vaultix_command("edit secrets/wifi.age -i keys/ssh-ed25519 -i keys/me.txt");
    for recipient in &extra {
        command.args(["--recipient", recipient]);
    }
    feed(&mut command, b"for all").exits(0).says(&["encrypted to 4 recipients"]);
    for key in ["me.txt", "ssh-ed25519", "other.txt", "ssh-rsa"] {
        assert_eq!(workspace.open("secrets/wifi.age", key), "for all", "{key}");
    }
    feed(&mut self::command(&workspace), b"for few").exits(0).says(&[
        "vaultix: secrets/wifi.age was encrypted to 3 more before; --recipient adds them again",
    ]);

    // A new secret for others needs no identity.
    let mut command = workspace.vaultix_command("edit secrets/new.age --recipient");
    feed(command.arg(&extra[0]), b"x").exits(0);
    assert_eq!(workspace.open("secrets/new.age", "other.txt"), "x");
    feed(&mut workspace.vaultix_command("edit secrets/newer.age"), b"x").exits(64);
    feed(&mut workspace.vaultix_command("edit secrets/newer.age --recipient age1nonsense"), b"x")
        .exits(78);
    assert!(!workspace.path("secrets/newer.age").exists());
}

#[test]
fn a_recipient_is_added_to_a_text_that_stays() {
    let workspace = workspace("add-recipient");
    let mut command = command(&workspace);
    command.args(["--recipient", workspace.key("ssh-rsa.pub").trim()]).env("EDITOR", "true");
    run(&mut command).exits(0).says(&["changed, encrypted to 2 recipients"]);
    assert_eq!(workspace.open("secrets/wifi.age", "ssh-rsa"), "old text\n");
}

#[test]
fn a_recipient_counts_once() {
    let workspace = workspace("once");
    let mut command = workspace
        .vaultix_command("edit secrets/wifi.age -i keys/me.txt -i keys/ssh-rsa -i keys/me.txt");
    let me = workspace.key("me.txt");
    let me = me.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    command.args(["--recipient", me, "--recipient", workspace.key("ssh-rsa.pub").trim()]);
    feed(&mut command, b"x")
        .exits(0)
        .says(&["changed from standard input, encrypted to 2 recipients"]);
    let header = String::from_utf8_lossy(&workspace.read("secrets/wifi.age")).into_owned();
    assert_eq!(header.matches("-> X25519").count(), 1, "{header}");
}

#[test]
fn a_passphrase_is_asked_for_once() {
    let workspace = workspace("locked-edit");
    let mut command = workspace.vaultix_command("edit secrets/wifi.age -i keys/me-passphrase.age");
    let mut pty = Pty::start(command.env("EDITOR", "sed -i s/old/new/"));
    pty.expect("Passphrase for keys/me-passphrase.age (to decrypt 1 secret): ");
    pty.send("correct horse\n");
    let (exit, shown) = pty.end();
    assert_eq!((exit, shown.matches("Passphrase").count()), (0, 1), "{shown}");
    assert_eq!(workspace.open("secrets/wifi.age", "me.txt"), "new text\n");

    // The public key of an ssh identity is known without one.
    let line = "edit secrets/new.age -i keys/ssh-ed25519-passphrase";
    feed(&mut workspace.vaultix_command(line), b"x").exits(0);
}

#[test]
fn a_secret_for_somebody_else_is_not_replaced() {
    let workspace = workspace("somebody-else");
    workspace.secret_with("secrets/wifi.age", "theirs", &["-i", "keys/other.txt"]);
    let before = workspace.read("secrets/wifi.age");
    feed(&mut command(&workspace), b"mine")
        .exits(77)
        .says(&["cannot decrypt secrets/wifi.age: no identity can decrypt it"]);
    assert_eq!(workspace.read("secrets/wifi.age"), before);
}

/// A place of another user's, where plaintexts would be at their mercy.
struct Theirs(std::path::PathBuf);

impl Theirs {
    /// Makes one, of `nobody`, on a tmpfs.
    fn new(name: &str) -> Self {
        let path =
            std::path::PathBuf::from(format!("/dev/shm/theirs-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        Self(path)
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The user id of `nobody`.
const NOBODY: u32 = 65534;

#[test]
fn another_users_runtime_directory_is_no_place_for_plaintexts() {
    if !rustix::process::geteuid().is_root() {
        assert_ne!(std::env::var("VAULTIX_TESTS").as_deref(), Ok("all"));
        eprintln!("SKIPPED: only root can be somebody else");
        return;
    }
    // As `nobody`, while the editor is open: what is in their directory is exchanged, and leads to a file of root's.
    let attack = "setpriv --reuid 65534 --regid 65534 --clear-groups sh -c '
        cd \"$0\" && for d in vaultix-*; do [ -d \"$d\" ] || continue
        mv \"$d\" taken && mkdir \"$d\" && echo theirs >\"$d/wifi\" && echo exchanged; done' \"$XDG_RUNTIME_DIR\" >attacked";
    let workspace = workspace("theirs");
    let editor =
        program(&workspace, "editor", &format!("echo \"$1\" >seen\n{attack}\necho ours >\"$1\""));
    let theirs = Theirs::new("theirs");
    for place in [theirs.0.clone(), theirs.0.join("below")] {
        let _ = fs::create_dir(&place); // Root's own, in theirs.
        let mut command = command(&workspace);
        run(command.env("EDITOR", &editor).env("XDG_RUNTIME_DIR", &place)).exits(0);
        assert_eq!(workspace.open("secrets/wifi.age", "me.txt"), "ours\n");
        let seen = String::from_utf8(workspace.read("seen")).unwrap();
        assert!(!seen.starts_with(theirs.0.to_str().unwrap()), "{seen}");
        assert_eq!(workspace.read("attacked"), b"");
    }

    // The control: whoever works by paths there gets their text for the one that was typed.
    let control = "d=$XDG_RUNTIME_DIR/vaultix-1-0; mkdir -m 700 $d; echo text >$d/wifi; ./editor $d/wifi; cat $d/wifi";
    let mut sh = workspace.command("sh");
    let done = run(sh.args(["-c", control]).env("XDG_RUNTIME_DIR", &theirs.0));
    // The directory was root's: its owner could move it all the same.
    assert_eq!(workspace.read("attacked"), b"exchanged\n", "{}", done.stderr);
    assert!(theirs.0.join("taken").is_dir());
}

#[test]
fn a_directory_that_others_share_gives_them_nothing() {
    let workspace = workspace("shared");
    // As `nobody`, before and while the editor is open, in a directory like /dev/shm: what works is told.
    workspace.write(
        "attack",
        r#"cd "$1"
        for d in vaultix-*; do [ -O "$d" ] || [ -L "$d" ] || [ ! -d "$d" ] && continue
            mv "$d" taken && echo moved; mv -T mine "$d" && echo replaced; rmdir "$d" && echo removed
            ls "$d" && echo listed; cat "$d/wifi" && echo read; ln "$d/wifi" hard && echo linked
            mkdir "$d/x" && echo made; [ -e "$d/wifi" ] && echo seen; flock -n "$d" true && echo locked
        done
        "#,
    );
    let editor = program(
        &workspace,
        "editor",
        "echo \"$1\" >seen; setpriv --reuid 65534 --regid 65534 --clear-groups sh attack run >attacked\n\
         echo new >\"$1\"",
    );
    // All names that a counter could give it are taken; and what looks like ours is no directory.
    let script = "mount -t tmpfs -o mode=1777 none run || exit 99
        setpriv --reuid 65534 --regid 65534 --clear-groups sh -c 'cd run && mkdir mine
            for i in $(seq 0 99); do echo vaultix-$0-$i; done | xargs mkdir -m 777
            mkfifo vaultix-1-0; touch vaultix-1-1; ln -s / vaultix-1-2; ln -s mine vaultix-1-3' $$
        exec vaultix edit secrets/wifi.age -i keys/me.txt";
    fs::create_dir(workspace.path("run")).unwrap();
    let mut command = workspace.command("unshare");
    command.args(["--mount", "sh", "-c", script]).env("EDITOR", editor);
    let done = run(command.env("XDG_RUNTIME_DIR", workspace.path("run")));
    if done.stderr.contains("unshare") || done.exit == 99 {
        assert_ne!(std::env::var("VAULTIX_TESTS").as_deref(), Ok("all"), "{}", done.stderr);
        eprintln!("SKIPPED: no mount namespace here: {}", done.stderr);
        return;
    }
    done.exits(0);
    assert_eq!(workspace.open("secrets/wifi.age", "me.txt"), "new\n");
    let seen = String::from_utf8(workspace.read("seen")).unwrap();
    let run_directory = workspace.path("run").display().to_string();
    assert!(seen.starts_with(&run_directory), "{seen}");
    assert_eq!(workspace.read("attacked"), b"");

    // The control: the same attack on a directory that is open.
    let control = "mkdir open && chmod 777 open && mkdir -m 777 open/vaultix-1-0 open/mine && echo x >open/vaultix-1-0/wifi
        setpriv --reuid 65534 --regid 65534 --clear-groups sh attack open";
    let done = workspace.sh(control);
    assert!(done.stdout.starts_with("moved\n"), "{}{}", done.stdout, done.stderr);
}

#[test]
fn an_editor_leaves_no_core_dump_either() {
    let workspace = workspace("cores");
    let editor = program(
        &workspace,
        "editor",
        "grep 'core file' /proc/self/limits >limits; cat /proc/self/coredump_filter >filter; echo new >\"$1\"",
    );
    let look = |line: &str| {
        let mut sh = workspace.command("setsid");
        sh.args(["--wait", "sh", "-c", line]).env("EDITOR", &editor);
        run(&mut sh).exits(0);
        let text = |name| String::from_utf8(workspace.read(name)).unwrap();
        let limits: Vec<String> =
            text("limits").split_whitespace().skip(4).take(2).map(str::to_owned).collect();
        assert_eq!(text("filter").trim().trim_start_matches('0'), "", "no memory is dumped");
        limits.join(" ")
    };
    // A limit of 0 does not hold for a pipe, see core(5): 1 does.
    assert_eq!(look("ulimit -c unlimited; vaultix edit secrets/wifi.age -i keys/me.txt"), "1 1");
    // Who has 0 cannot have 1. Nothing of the memory is in such a dump.
    let line = "ulimit -c 0; exec setpriv --bounding-set -sys_resource --inh-caps -sys_resource \
         vaultix edit secrets/new.age -i keys/me.txt";
    if rustix::process::geteuid().is_root() {
        assert_eq!(look(line), "0 0");
    }
}

#[test]
fn recipients_are_checked_before_the_editor_starts() {
    let workspace = workspace("known-before");
    let before = workspace.read("secrets/wifi.age");
    for (argument, value, exit, reason) in [
        (
            "-r",
            "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t",
            77,
            "there is no program age-plugin-yubikey in PATH; to fix: install age-plugin-yubikey",
        ),
        ("-i", "keys/me-pq.txt", 78, "post-quantum recipients and others cannot share a file"),
    ] {
        let mut command = command(&workspace);
        command.args([argument, value]).env("EDITOR", "touch started; true");
        run(&mut command).exits(exit).says(&[reason]);
        assert!(!workspace.path("started").exists(), "{reason}");
    }
    assert_eq!(workspace.read("secrets/wifi.age"), before);
}
