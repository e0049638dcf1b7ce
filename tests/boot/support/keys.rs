//! a place → a key there, and what is encrypted to it. By the real programs.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use xtask::canary::marked;

/// Makes an OpenSSH key pair at `path` and `path.pub` and returns the public half without its comment.
pub fn ssh_key(path: &Path, kind: &str) -> String {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let status = Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-C", "", "-t", kind, "-f"])
        .arg(path)
        .status()
        .expect("ssh-keygen is there: apt-get install openssh-client");
    assert!(status.success(), "ssh-keygen: {status}");
    fs::read_to_string(path.with_extension("pub")).unwrap().trim().to_owned()
}

/// Makes an age identity at `path` and returns its recipient.
pub fn age_key(path: &Path) -> String {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let output = Command::new("age-keygen")
        .arg("-o")
        .arg(path)
        .output()
        .expect("age-keygen is there: apt-get install age");
    assert!(output.status.success(), "age-keygen: {}", output.status);
    let said = String::from_utf8(output.stderr).unwrap();
    said.trim().strip_prefix("Public key: ").unwrap().to_owned()
}

/// Encrypts with the real age, with the marker in the plaintext.
pub fn encrypt(recipient: &str, plaintext: &[u8]) -> Vec<u8> {
    let mut age = Command::new("age")
        .args(["-r", recipient])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("age is there: apt-get install age");
    let mut stdin = age.stdin.take().unwrap();
    let plaintext = marked(plaintext);
    let writer = thread::spawn(move || stdin.write_all(&plaintext).unwrap());
    let output = age.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "age: {}", output.status);
    output.stdout
}

/// Gives the ssh key at `path` a passphrase.
pub fn lock(path: &Path) {
    let status = Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "a passphrase", "-f"])
        .arg(path)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "ssh-keygen: {status}");
}
