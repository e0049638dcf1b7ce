//! identities of every kind → secrets decrypted, each passphrase asked for once.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::pty::Pty;
use crate::support::{Workspace, run};

/// The passphrase of the keys in `tests/keys` that have one.
const PASSPHRASE: &str = "correct horse";

/// Makes a workspace with five secrets for one host, encrypted with the options `to`.
fn workspace(name: &str, to: &[&str]) -> Workspace {
    let workspace = Workspace::new(name);
    let ids = ["a", "b", "c", "d", "e"];
    for id in ids {
        workspace.secret_with(&format!("secrets/{id}.age"), format!("{id} text"), to);
    }
    workspace.profile("web1", "host-web1.pub", &ids.map(|id| (id, id)));
    workspace
}

/// Prepares `renc` with `identity`.
fn renc(workspace: &Workspace, identity: &str) -> Command {
    workspace.vaultix_command(&format!("renc -p web1.json -i keys/{identity}"))
}

#[test]
fn identities_without_a_passphrase() {
    for (name, identity, to) in [
        ("native", "me.txt", ["-i", "keys/me.txt"]),
        ("second-in-the-file", "both.txt", ["-i", "keys/other.txt"]),
        ("ssh-ed25519", "ssh-ed25519", ["-R", "keys/ssh-ed25519.pub"]),
        ("ssh-rsa", "ssh-rsa", ["-R", "keys/ssh-rsa.pub"]),
        ("ssh-rsa-pem", "ssh-rsa-pem", ["-R", "keys/ssh-rsa-pem.pub"]),
    ] {
        let workspace = workspace(name, &to);
        run(&mut renc(&workspace, identity)).exits(0).says(&["5 re-encrypted"]);
        workspace.cached("web1", "host-web1", "e text");
    }
}

#[test]
fn an_rsa_key_of_openssl_is_that_of_ssh() {
    let workspace = workspace("pkcs8", &["-R", "keys/ssh-rsa.pub"]);
    let convert = "umask 077; cp keys/ssh-rsa pkcs8 && ssh-keygen -q -p -m PKCS8 -N '' -f pkcs8";
    workspace.sh(convert).exits(0);
    let text = String::from_utf8(workspace.read("pkcs8")).unwrap();
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\n"), "it is not in PKCS#8");
    workspace.vaultix("renc -p web1.json -i pkcs8").exits(0).says(&["5 re-encrypted"]);
    let public = workspace.key("ssh-rsa.pub");
    let printed = workspace.vaultix("recipient -i pkcs8").exits(0).stdout;
    assert!(public.starts_with(printed.trim()) && printed.len() > 300, "{printed}");
    workspace.write("cut", text.get(..text.len() / 2).unwrap());
    workspace.vaultix("view secrets/a.age -i cut").exits(77).says(&["that is not complete"]);
}

#[test]
fn each_passphrase_is_asked_for_once() {
    for (name, identity, to) in [
        ("locked", "me-passphrase.age", ["-i", "keys/me.txt"]),
        ("locked-armored", "me-passphrase-armored.age", ["-i", "keys/me.txt"]),
        ("locked-ed25519", "ssh-ed25519-passphrase", ["-R", "keys/ssh-ed25519-passphrase.pub"]),
        ("locked-rsa", "ssh-rsa-passphrase", ["-R", "keys/ssh-rsa-passphrase.pub"]),
    ] {
        let workspace = workspace(name, &to);
        let mut pty = Pty::start(&mut renc(&workspace, identity));
        pty.expect(&format!("Passphrase for keys/{identity} (to decrypt 5 secrets): "));
        pty.send(&format!("{PASSPHRASE}\n"));
        let (exit, shown) = pty.end();
        assert_eq!(exit, 0, "{shown}");
        assert_eq!(shown.matches("Passphrase").count(), 1, "{shown}");
        assert!(!shown.contains(PASSPHRASE), "{shown}");
        assert!(shown.contains("5 re-encrypted"), "{shown}");
        workspace.cached("web1", "host-web1", "e text");
    }
}

#[test]
fn a_passphrase_that_is_not_needed_is_not_asked_for() {
    let workspace = workspace("not-needed", &["-i", "keys/me.txt"]);
    // The first identity is for other secrets, the third opens all of these without a passphrase.
    let line =
        "renc -p web1.json -i keys/ssh-ed25519-passphrase -i keys/me-passphrase.age -i keys/me.txt";
    workspace.vaultix(line).exits(0).says(&["5 re-encrypted"]);

    // The stanzas of ssh keys have a tag, which shows that this key fits none.
    let line =
        "renc -p web1.json -i keys/ssh-ed25519-passphrase -i keys/me-passphrase.age --cache other";
    let mut pty = Pty::start(&mut workspace.vaultix_command(line));
    pty.expect("Passphrase for keys/me-passphrase.age");
    pty.send(&format!("{PASSPHRASE}\n"));
    let (exit, shown) = pty.end();
    assert_eq!((exit, shown.matches("Passphrase").count()), (0, 1), "{shown}");
}

#[test]
fn a_mistyped_passphrase_may_be_typed_again() {
    let workspace = workspace("mistyped", &["-R", "keys/ssh-ed25519-passphrase.pub"]);
    let mut pty = Pty::start(&mut renc(&workspace, "ssh-ed25519-passphrase"));
    pty.expect("): ");
    pty.send("wrong horse\n");
    pty.expect("This passphrase is wrong, try again.");
    pty.expect("): ");
    pty.send(&format!("{PASSPHRASE}\n"));
    assert_eq!(pty.end().0, 0);

    let workspace = self::workspace("mistyped-thrice", &["-i", "keys/me.txt"]);
    let mut pty = Pty::start(&mut renc(&workspace, "me-passphrase.age"));
    for _ in 0..3 {
        pty.expect("): ");
        pty.send("wrong horse\n");
    }
    let (exit, shown) = pty.end();
    assert_eq!(exit, 77, "{shown}");
    assert!(shown.contains("the passphrase is wrong"), "{shown}");
    assert!(workspace.tree("secrets/cache").is_empty());
}

#[test]
fn an_identity_file_cannot_make_us_use_all_memory() {
    // A work factor of 2^20 takes 1 GiB, 2^21 takes 2 GiB. It is in the header, so it is known
    // before anything is computed.
    let workspace = Workspace::with_secrets("work");
    let file = workspace.read("keys/me-passphrase.age");
    let header = file.windows(2).position(|two| two == b"18").unwrap();
    let demanding = [&file[..header], b"21", &file[header + 2..]].concat();
    workspace.write("demanding.age", demanding);
    let mut pty =
        Pty::start(&mut workspace.vaultix_command("view secrets/wifi.age -i demanding.age"));
    pty.expect("Passphrase");
    pty.send("correct horse\n");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 77, "{shown}");
    assert!(shown.contains("its work factor is 2^21, the limit is 2^20"), "{shown}");
}

#[test]
fn a_passphrase_is_never_shown_after_ctrl_z_or_ctrl_backslash() {
    let workspace = workspace("suspend", &["-i", "keys/me.txt"]);
    // Ctrl-Z would bring back the shell and its echo, Ctrl-\ would end vaultix with echo off.
    // Ctrl-U erases the line.
    for key in ["\x1a", "\x1c"] {
        let _ = fs::remove_dir_all(workspace.path("secrets/cache"));
        let line = "vaultix renc -p web1.json -i keys/me-passphrase.age; echo ended with $?";
        // A shell with job control, because the first process of a session could not be continued.
        let mut shell = workspace.command("setsid");
        let mut pty = Pty::start(shell.args(["--wait", "sh", "-mc", line]));
        pty.expect("): ");
        pty.send(&format!("{key}\x15{PASSPHRASE}\n"));
        pty.expect("5 re-encrypted");
        pty.expect("ended with 0");
        let (_, shown) = pty.end();
        assert!(!shown.contains(PASSPHRASE), "{shown}");
    }
}

#[test]
fn an_empty_answer_is_a_refusal() {
    let workspace = workspace("no-answer", &["-i", "keys/me.txt"]);
    let mut pty = Pty::start(&mut renc(&workspace, "me-passphrase.age"));
    pty.expect("): ");
    pty.send("\n");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 77, "{shown}");
    assert!(shown.contains("no passphrase was given"), "{shown}");
}

#[test]
fn an_error_says_that_there_is_no_terminal_and_no_pinentry() {
    let workspace = workspace("nobody", &["-i", "keys/me.txt"]);
    run(&mut renc(&workspace, "me-passphrase.age")).exits(77).says(&[
        "cannot ask for the passphrase for keys/me-passphrase.age: there is no terminal and no pinentry",
    ]);
    // Secrets that another identity opens are still processed.
    workspace.secret_with("secrets/a.age", "a text", &["-R", "keys/ssh-ed25519.pub"]);
    workspace
        .vaultix("renc -p web1.json -i keys/me-passphrase.age -i keys/ssh-ed25519")
        .exits(77)
        .says(&["1 re-encrypted", "4 failed"]);
}

/// Writes a pinentry that answers `GETPIN` with `answer`, and logs the commands it receives.
fn pinentry(workspace: &Workspace, answer: &str) -> String {
    let script = format!(
        "#!/bin/sh\necho OK hello\nwhile read -r line; do echo \"$line\" >>heard\ncase $line in\n\
         GETPIN) {answer} ;;\nBYE) exit ;;\n*) echo OK ;;\nesac\ndone\n"
    );
    workspace.write("pinentry", script);
    let path = workspace.path("pinentry");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn pinentry_is_used_if_there_is_one() {
    let workspace = workspace("pinentry", &["-i", "keys/me.txt"]);
    let program = pinentry(&workspace, "echo 'D correct%20horse'; echo OK");
    run(renc(&workspace, "me-passphrase.age").env("PINENTRY_PROGRAM", &program)).exits(0);
    let heard = String::from_utf8(workspace.read("heard")).unwrap();
    assert_eq!(heard.matches("GETPIN").count(), 1, "{heard}");
    let description = "SETDESC passphrase for keys/me-passphrase.age (to decrypt 5 secrets)";
    assert!(heard.contains(description), "{heard}");

    // It is found by its name if the variable is not set.
    fs::remove_dir_all(workspace.path("secrets/cache")).unwrap();
    let path = format!("{}:{}", workspace.root.display(), std::env::var("PATH").unwrap());
    let mut command = renc(&workspace, "me-passphrase.age");
    let vaultix = crate::prefix::prefix().join("bin");
    command.env("PATH", format!("{path}:{}", vaultix.display())).env_remove("PINENTRY_PROGRAM");
    run(&mut command).exits(0).says(&["5 re-encrypted"]);
}

#[test]
fn pinentry_may_be_cancelled_missing_or_broken() {
    let workspace = workspace("pinentry-bad", &["-i", "keys/me.txt"]);
    let ask =
        |program: &str| run(renc(&workspace, "me-passphrase.age").env("PINENTRY_PROGRAM", program));
    ask(&pinentry(&workspace, "echo 'ERR 83886179 Operation cancelled <Pinentry>'"))
        .exits(77)
        .says(&["no passphrase was given"]);
    ask(&pinentry(&workspace, "echo 'ERR 83918950 Inappropriate ioctl for device'"))
        .exits(77)
        .says(&["pinentry failed: Inappropriate ioctl for device"]);
    ask(&pinentry(&workspace, "exit"))
        .exits(77)
        .says(&["pinentry failed: it ended without a reply"]);
    ask("pinentry-of-nowhere")
        .exits(77)
        .says(&["cannot find the pinentry \"pinentry-of-nowhere\": PINENTRY_PROGRAM names it"]);
}

#[test]
fn a_pinentry_that_ends_early_leaves_the_terminal_as_it_was() {
    let workspace = workspace("pinentry-early", &["-i", "keys/me.txt"]);
    // What a pinentry does to a terminal, and how different ones end when interrupted.
    let changes = "stty -icanon -echo -opost </dev/tty; echo ready >/dev/tty; sleep 9 & wait";
    for (trap, tidied) in [
        ("", false),
        ("trap 'sleep 0.1; kill $!; echo tidied >>heard; exit' INT;", true),
        ("trap '' INT; trap 'sleep 0.1; kill $!; echo tidied >>heard; exit' TERM;", true),
        ("trap '' INT TERM;", false),
    ] {
        let program = pinentry(&workspace, &format!("{trap} {changes}"));
        let line = "vaultix renc -p web1.json -i keys/me-passphrase.age; echo ended with $?; stty -a; read -r rest; echo rest: $rest.";
        let mut shell = workspace.command("setsid");
        shell.args(["--wait", "sh", "-mc", line]).env("PINENTRY_PROGRAM", &program);
        let mut pty = Pty::start(&mut shell);
        pty.expect("ready");
        pty.send("half of it\x03the rest");
        pty.expect("ended with 130");
        pty.expect("echoke");
        pty.send("none\n");
        pty.expect("rest: none.");
        let (_, shown) = pty.end();
        let modes: Vec<&str> = shown.split_whitespace().collect();
        assert!(["icanon", "echo", "opost"].iter().all(|mode| modes.contains(mode)), "{shown}");
        let heard = String::from_utf8(workspace.read("heard")).unwrap();
        assert_eq!(heard.contains("tidied"), tidied, "{trap}: {heard}");
        fs::remove_file(workspace.path("heard")).unwrap();
    }
}

#[test]
fn an_identity_may_come_through_a_pipe() {
    let workspace = workspace("pipe", &["-i", "keys/me.txt"]);
    let bash = |line: &str| run(workspace.command("setsid").args(["--wait", "bash", "-c", line]));
    bash("vaultix -p <(cat web1.json) renc -i <(sleep .2; cat keys/me.txt)")
        .exits(0)
        .says(&["5 re-encrypted"]);
    // A FIFO that nobody has opened for writing yet.
    workspace.sh("mkfifo fifo").exits(0);
    bash("vaultix view secrets/a.age -i fifo & sleep .2; cat keys/me.txt >fifo; wait").exits(0);
    let done = bash("vaultix view secrets/a.age -i /dev/stdin <keys/me.txt").exits(0);
    assert_eq!(done.stdout, "a text");
    // There is a size limit, and Ctrl-C works while nothing is written.
    bash("vaultix view secrets/a.age -i <(yes)").exits(77).says(&["it has more than 1 MiB"]);
    let mut pty =
        Pty::start(&mut workspace.vaultix_command("-p web1.json renc -i fifo --cache other"));
    // Opening for writing waits until there is a reader.
    let _silent = fs::File::options().write(true).open(workspace.path("fifo")).unwrap();
    pty.send("\x03");
    assert_eq!(pty.end().0, 130);
}

#[test]
fn a_malformed_identity_is_refused() {
    let workspace = workspace("no-identity", &["-i", "keys/me.txt"]);
    fs::create_dir(workspace.path("directory")).unwrap();
    workspace.write("empty", "");
    workspace.write("password", "hunter2\n");
    workspace.sh("age -e -R keys/ssh-rsa.pub -o sealed.age keys/README").exits(0);
    for (file, reason) in [
        ("there-is-none", "it does not exist"),
        ("directory", "is a directory"),
        ("/dev/zero", "neither a file nor a pipe"),
        ("empty", "it contains no identity"),
        ("password", "line 1 is not an identity"),
        ("keys/ssh-rsa.pub", "line 1 is a public key"),
        ("keys/ssh-ecdsa", "age cannot use: of type ecdsa-sha2-nistp256"),
        ("sealed.age", "it is an age file without a passphrase"),
    ] {
        let done = workspace.vaultix(&format!("renc -p web1.json -i {file}")).exits(77);
        assert!(done.stderr.contains(&format!("cannot use the identity file {file}: ")));
        assert!(done.stderr.to_lowercase().contains(reason), "{}", done.stderr);
        assert!(!done.stderr.contains("hunter2"));
    }
}
