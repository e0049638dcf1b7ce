//! our files → decrypted by age and rage; theirs → decrypted by us; for every kind of key that all
//! support.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pretty_assertions::assert_eq;
use serde_json::json;
use xtask::canary::{marked, marker, plain};

use crate::pty::Pty;
use crate::support::{Workspace, feed, feed_as_is, run};

/// Kinds of keys: the file with the private key, and the options with the public key for any
/// client.
const KINDS: [(&str, [&str; 2]); 4] = [
    ("me.txt", ["-r", "age1pdl2sdxshcxxus82xq28kf8netg772gpu5ca78tl2hz9vrqmd4qqq8tkz5"]),
    ("ssh-ed25519", ["-R", "keys/ssh-ed25519.pub"]),
    ("ssh-rsa", ["-R", "keys/ssh-rsa.pub"]),
    ("ssh-rsa-pem", ["-R", "keys/ssh-rsa-pem.pub"]),
];

/// Sizes around the boundary of a chunk, which has 64 KiB.
const SIZES: [usize; 4] = [1, 65_536, 65_537, 200_000];

/// Returns the other implementations: Debian's age, in Go, and rage, in Rust, which `cargo xtask test` builds.
fn clients() -> Vec<PathBuf> {
    let rage = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("rage").join("bin/rage");
    if rage.exists() {
        return vec!["age".into(), rage];
    }
    assert_ne!(std::env::var("VAULTIX_TESTS").as_deref(), Ok("all"), "rage is missing");
    eprintln!("SKIPPED: rage is not in {}; cargo xtask test builds it", rage.display());
    vec!["age".into()]
}

/// Returns a text of `size` bytes, with the marker if there is room for it.
fn text(size: usize) -> Vec<u8> {
    let marker = if size == 1 { String::new() } else { marker() };
    let rest = b"0123456789abcde\n".iter().cycle();
    marker.as_bytes().iter().chain(rest).take(size).copied().collect()
}

/// Prepares to run `client` with `line`, in a way that it can get a terminal.
fn at_terminal(workspace: &Workspace, client: &Path, line: &[&str]) -> Command {
    let mut command = workspace.command("setsid");
    command.arg("--wait").arg(client).args(line);
    command
}

/// Encrypts `text` as `name` with `client`; the options `to` contain the recipients.
fn seal(workspace: &Workspace, client: &Path, name: &str, text: &[u8], to: &[&str]) {
    let mut command = workspace.command(client);
    feed_as_is(command.args(["--encrypt", "--output", name]).args(to), text).exits(0);
}

/// Decrypts the file `name` with `client`.
#[track_caller]
fn open(workspace: &Workspace, client: &Path, name: &str, identity: &str) -> String {
    let identity = format!("keys/{identity}");
    run(workspace.command(client).args(["--decrypt", "--identity", &identity, name]))
        .exits(0)
        .stdout
}

/// Decrypts the file `name` with our program.
#[track_caller]
fn view(workspace: &Workspace, name: &str, identity: &str) -> String {
    workspace.vaultix(&format!("view {name} -i keys/{identity}")).exits(0).stdout
}

#[test]
fn other_clients_decrypt_our_files() {
    let workspace = Workspace::new("interop-ours");
    for client in clients() {
        for (identity, _) in KINDS {
            for size in SIZES {
                let line = format!("edit ours.age -i keys/{identity} --stdin");
                feed_as_is(&mut workspace.vaultix_command(&line), &text(size)).exits(0);
                assert!(
                    open(&workspace, &client, "ours.age", identity).as_bytes()
                        == plain(&text(size)),
                    "{identity} {size}"
                );
                std::fs::remove_file(workspace.path("ours.age")).unwrap();
            }
        }
    }
}

#[test]
fn we_decrypt_files_of_other_clients() {
    let workspace = Workspace::new("interop-theirs");
    for client in clients() {
        for (identity, to) in KINDS {
            for (size, armor) in SIZES.into_iter().flat_map(|size| [(size, false), (size, true)]) {
                let armor = if armor { &["--armor"][..] } else { &[] };
                seal(&workspace, &client, "theirs.age", &text(size), &[&to[..], armor].concat());
                assert!(
                    view(&workspace, "theirs.age", identity).as_bytes() == plain(&text(size)),
                    "{identity} {size} {armor:?}"
                );
            }
        }
    }
}

#[test]
fn a_file_for_several_recipients_is_decrypted_by_each() {
    let workspace = Workspace::new("interop-several");
    let all: Vec<&str> = KINDS.iter().flat_map(|(_, to)| to).copied().collect();
    for client in clients() {
        seal(
            &workspace,
            &client,
            "several.age",
            &marked(b"theirs"),
            &[&all[..], &["--armor"]].concat(),
        );
        for (identity, _) in KINDS {
            assert_eq!(view(&workspace, "several.age", identity), "theirs");
        }
        // Still armored, and for as many recipients.
        let mut edit = workspace.vaultix_command("edit several.age --stdin");
        for (identity, _) in KINDS {
            edit.args(["-i", &format!("keys/{identity}")]);
        }
        feed(&mut edit, b"ours").exits(0).says(&["to 4 recipients"]);
        assert!(workspace.read("several.age").starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----\n"));
        for (identity, _) in KINDS {
            assert_eq!(open(&workspace, &client, "several.age", identity), "ours");
        }
        std::fs::remove_file(workspace.path("several.age")).unwrap();
    }
}

#[test]
fn identity_files_with_a_passphrase_are_exchangeable() {
    let workspace = Workspace::new("interop-passphrase");
    workspace.secret("secret.age", "text");
    for client in clients() {
        // Encrypted by the other client, which asks twice.
        let name = format!("{}.age", client.file_name().unwrap().display());
        let line = ["--passphrase", "--armor", "--output", &name, "keys/me.txt"];
        let mut pty = Pty::start(&mut at_terminal(&workspace, &client, &line));
        for _ in 0..2 {
            pty.expect(": ");
            pty.send("correct horse\n");
        }
        assert_eq!(pty.end().0, 0);
        let mut pty =
            Pty::start(&mut workspace.vaultix_command(&format!("view secret.age -i {name}")));
        pty.expect(&format!("Passphrase for {name} (to decrypt 1 secret): "));
        pty.send("correct horse\n");
        let (exit, shown) = pty.end();
        assert_eq!((exit, shown.contains("text")), (0, true), "{shown}");

        // The other client decrypts with it what we encrypt to it.
        let line = "edit ours.age -i keys/me-passphrase.age --from keys/README";
        let mut pty = Pty::start(&mut workspace.vaultix_command(line));
        pty.expect("): ");
        pty.send("correct horse\n");
        assert_eq!(pty.end().0, 0);
        let line = ["--decrypt", "--identity", "keys/me-passphrase.age", "ours.age"];
        let mut pty = Pty::start(&mut at_terminal(&workspace, &client, &line));
        pty.expect(": ");
        pty.send("correct horse\n");
        let (exit, shown) = pty.end();
        assert_eq!((exit, shown.contains("THESE KEYS ARE PUBLIC")), (0, true), "{shown}");
        std::fs::remove_file(workspace.path("ours.age")).unwrap();
    }
}

#[test]
fn other_clients_decrypt_copies_for_every_kind_of_host_key() {
    let workspace = Workspace::new("interop-hosts");
    workspace.secret("secrets/wifi.age", "wifi text");
    let age = workspace.key("host-age.txt");
    let age = age.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    let (web1, old1) = (workspace.key("host-web1.pub"), workspace.key("host-old1.pub"));
    for (recipient, identity) in [(age, "host-age.txt"), (&web1, "host-web1"), (&old1, "host-old1")]
    {
        workspace.profile_with("host", recipient.trim(), &[("wifi", "wifi")], |_| {});
        workspace.vaultix("-p host.json renc -i keys/me.txt").exits(0);
        let copy = format!("secrets/cache/{}", workspace.tree("secrets/cache")[0].0);
        for client in clients() {
            assert_eq!(open(&workspace, &client, &copy, identity), "wifi text");
        }
    }
}

/// Runs the implementation in JavaScript, or says why it cannot.
fn typage(workspace: &Workspace, verb: &str, key: &str, input: &[u8]) -> Option<Vec<u8>> {
    let folder = xtask::typage::folder().unwrap();
    if !folder.is_dir() {
        assert_ne!(std::env::var("VAULTIX_TESTS").as_deref(), Ok("all"), "{}", folder.display());
        eprintln!("SKIPPED: age-encryption is not there; cargo xtask test fetches it");
        return None;
    }
    let mut node = workspace.command("node");
    node.current_dir(folder).args([xtask::typage::script(), verb, key]);
    let mut child = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "node {verb}: {}", output.status);
    Some(output.stdout)
}

/// An implementation that shares no code with ours opens the copies of a post-quantum host, and a host opens what it makes.
#[test]
fn post_quantum_copies_are_exchangeable() {
    let workspace = Workspace::new("interop-pq");
    let key = workspace.key("other-pq.txt");
    let secret = key.lines().last().unwrap();
    let public = key.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    let edit = "edit secrets/wifi.age -i keys/me-pq.txt --stdin";
    feed_as_is(&mut workspace.vaultix_command(edit), &text(200_000)).exits(0);
    workspace.profile_with("web1", public, &[("wifi", "wifi")], |_| {});
    workspace.vaultix("-p web1.json renc -i keys/me-pq.txt").exits(0);
    let copies = workspace.tree("secrets/cache/web1");
    let copy = format!("secrets/cache/web1/{}", copies[0].0);
    let Some(found) = typage(&workspace, "decrypt", secret, &workspace.read(&copy)) else { return };
    assert!(found == text(200_000));

    let theirs = typage(&workspace, "encrypt", public, &text(65_537)).unwrap();
    workspace.write("theirs.age", &theirs);
    assert!(view(&workspace, "theirs.age", "other-pq.txt").as_bytes() == plain(&text(65_537)));
    let profile = json!({
        "version": 1,
        "settings": { "hostIdentifier": "web1", "hostPubkey": public,
            "hostKeys": [{ "path": workspace.path("keys/other-pq.txt"), "type": "age" }] },
        "secrets": { "wifi": { "cipher": workspace.path("theirs.age") } },
    });
    workspace.write("host.json", profile.to_string());
    run(workspace.command("vaultix-decrypt").args(["check", "--profile", "host.json"])).exits(0);
}
