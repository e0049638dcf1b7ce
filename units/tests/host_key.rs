//! host key files, good and bad → identities or the words for what is wrong. The keys are ssh-keygen's.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pretty_assertions::assert_eq;
use vaultix_generator::profile::{HostKey, HostKeyKind, Profile, Settings, Side};
use vaultix_units::identity::HostIdentities;

/// Makes an empty directory for one test.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// Makes an ssh key and returns its path and public half.
fn ssh_key(directory: &Path, kind: &str, passphrase: &str) -> (PathBuf, String) {
    let path = directory.join(format!("{kind}-{}", passphrase.len()));
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "a comment", "-f"])
        .arg(&path)
        .status()
        .expect("ssh-keygen is there: apt-get install openssh-client");
    assert!(status.success());
    let public = fs::read_to_string(path.with_extension("pub")).unwrap();
    (path, public)
}

/// Returns the settings of a host.
fn settings(recipient: &str, keys: &[(&Path, HostKeyKind)]) -> Settings {
    let recipient = recipient.trim();
    let text = format!(
        r#"{{"version":1,"settings":{{"hostIdentifier":"h","hostPubkey":"{recipient}","hostKeys":[]}}}}"#
    );
    let mut settings = Profile::parse(&text, Side::Host).unwrap().settings;
    settings.host_keys =
        keys.iter().map(|(path, kind)| HostKey { path: (*path).to_owned(), kind: *kind }).collect();
    settings
}

/// Returns how many identities were read, and what is wrong with the other files, without their directory.
fn read(recipient: &str, keys: &[(&Path, HostKeyKind)]) -> (usize, Vec<String>) {
    let identities = HostIdentities::read(&settings(recipient, keys), None);
    let failures = identities.failures.iter().map(|failure| {
        let directory = failure.path.parent().unwrap();
        failure.to_string().replace(&format!("{}/", directory.display()), "")
    });
    (identities.iter().count(), failures.collect())
}

#[test]
fn keys_of_all_kinds_are_read() {
    let directory = directory("kinds");
    let (ed25519, ed25519_public) = ssh_key(&directory, "ed25519", "");
    let (rsa, rsa_public) = ssh_key(&directory, "rsa", "");
    let native = directory.join("native");
    let identity = age::x25519::Identity::generate();
    let text = age::secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned();
    fs::write(&native, format!("# created by a test\n\n{text}\n{text}\r\n")).unwrap();
    assert_eq!(read(&ed25519_public, &[(&ed25519, HostKeyKind::Ed25519)]), (1, vec![]));
    assert_eq!(read(&rsa_public, &[(&rsa, HostKeyKind::Rsa)]), (1, vec![]));
    let public = identity.to_public().to_string();
    assert_eq!(read(&public, &[(&native, HostKeyKind::Age)]), (2, vec![]));
}

#[test]
fn only_keys_that_fit_the_recipient_are_read() {
    let directory = directory("fitting");
    let (key, public) = ssh_key(&directory, "ed25519", "");
    let keys = [(Path::new("/nowhere/rsa"), HostKeyKind::Rsa), (&*key, HostKeyKind::Ed25519)];
    assert_eq!(read(&public, &keys), (1, vec![]));
    assert_eq!(read("ecdsa-sha2-nistp256 AAAA", &keys), (0, vec![]));
}

#[test]
fn an_unusable_key_is_explained() {
    let directory = directory("wrong");
    let (rsa, _) = ssh_key(&directory, "rsa", "");
    let (locked, public) = ssh_key(&directory, "ed25519", "passphrase");
    let garbage = directory.join("garbage");
    fs::write(&garbage, "hunter2\n").unwrap();
    let empty = directory.join("empty");
    fs::write(&empty, "").unwrap();
    let large = directory.join("large");
    fs::write(&large, vec![b'x'; (1 << 20) + 1]).unwrap();
    let fifo = directory.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let absent = directory.join("absent");
    let keys = [&absent, &directory, &fifo, &locked, &rsa, &garbage, &empty, &large];
    let keys: Vec<(&Path, HostKeyKind)> =
        keys.into_iter().map(|key| (&**key, HostKeyKind::Ed25519)).collect();
    assert_eq!(
        read(&public, &keys),
        (
            0,
            [
                "absent: No such file or directory (os error 2)",
                "wrong: is a directory",
                "fifo: not a regular file",
                "ed25519-10: protected by a passphrase, which cannot be entered at boot",
                "rsa-0: an ssh key, but not of type ssh-ed25519",
                "garbage: not an OpenSSH private key of type ssh-ed25519",
                "empty: not an OpenSSH private key of type ssh-ed25519",
                "large: it has more than 1 MiB",
            ]
            .map(str::to_owned)
            .to_vec()
        )
    );
}

#[test]
fn a_line_that_is_no_identity_is_named_by_its_number() {
    let directory = directory("lines");
    let bad = directory.join("bad");
    fs::write(&bad, "# comment\nhunter2\n").unwrap();
    let empty = directory.join("empty");
    fs::write(&empty, "# comment\n").unwrap();
    let keys = [(&*bad, HostKeyKind::Age), (&*empty, HostKeyKind::Age)];
    assert_eq!(
        read("age1xyz", &keys),
        (
            0,
            vec![
                "bad: line 2 is not an age identity".to_owned(),
                "empty: contains no identity".to_owned()
            ]
        )
    );
}
