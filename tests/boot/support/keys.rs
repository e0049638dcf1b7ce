//! a place → a key there, and what is encrypted to it. By the real programs.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use xtask::canary::marked;

use crate::prefix::prefix;

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

/// Returns the path of a post-quantum identity that age 1.3 has made, and its recipient.
fn post_quantum(name: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name);
    let text = fs::read_to_string(&path).unwrap();
    let recipient = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    (path, recipient.to_owned())
}

/// Puts a post-quantum identity at `path` and returns its recipient. It is always the same one: Debian's age makes none.
pub fn pq_key(path: &Path) -> String {
    let (key, recipient) = post_quantum(POST_QUANTUM);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::copy(key, path).unwrap();
    recipient
}

/// The identity of hosts that are post-quantum.
const POST_QUANTUM: &str = "other-pq.txt";

/// Encrypts with the program under test to the identity of [`pq_key`].
fn encrypt_to_pq(plaintext: &[u8]) -> Vec<u8> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("pq-{}-{number}.age", std::process::id());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut vaultix = Command::new(prefix().join("bin/vaultix"));
    vaultix.arg("edit").arg(&path).arg("--stdin").arg("-i").arg(post_quantum(POST_QUANTUM).0);
    // Outside of any flake, which would have a say.
    vaultix.current_dir("/");
    let mut child = vaultix.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&marked(plaintext)).unwrap();
    assert!(child.wait().unwrap().success(), "{vaultix:?}");
    let ciphertext = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    ciphertext
}

/// Encrypts with the real age, with the marker in the plaintext; to a post-quantum key, which Debian's does not know, with
/// the program under test.
pub fn encrypt(recipient: &str, plaintext: &[u8]) -> Vec<u8> {
    if recipient.starts_with("age1pq1") {
        assert_eq!(recipient, post_quantum(POST_QUANTUM).1);
        return encrypt_to_pq(plaintext);
    }
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

/// Seals `text` as systemd-creds does on the host whose root directory is `root`: with its machine id, and with its key, which is
/// made if need be. The credential is called `name`.
pub fn seal(root: &Path, name: &str, text: &[u8]) -> Vec<u8> {
    const SCRIPT: &str = r#"
        mount --bind "$1" /etc/machine-id
        export SYSTEMD_CREDENTIAL_SECRET="$2"
        exec systemd-creds encrypt --with-key=host --name="$3" - -
    "#;
    let (id, state) = (root.join("etc/machine-id"), root.join("var/lib/systemd"));
    fs::create_dir_all(&state).unwrap();
    let mut child = Command::new("unshare")
        .args(["--mount", "sh", "-ec", SCRIPT, "sh"])
        .args([id, state.join("credential.secret"), name.into()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "systemd-creds: {}: {said}", output.status);
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
