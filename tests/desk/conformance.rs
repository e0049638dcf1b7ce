//! age's test vectors → the same outcome on a host and at the desk as expected.
//!
//! A vector is a file, the keys to try, and the expected outcome: the plaintext's SHA-256, or the
//! layer at which an implementation must refuse it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use pretty_assertions::assert_eq;
use sha2::{Digest as _, Sha256};
use vaultix_generator::profile::{HostKey, HostKeyKind, Profile, Side};
use vaultix_units::decrypt::{self, decrypt};
use vaultix_units::identity::HostIdentities;
use xtask::aloud::say;
use xtask::vectors;

use crate::pty::Pty;
use crate::support::Workspace;

/// How many vectors there are.
const COUNT: usize = 143;

/// Where the age crate differs: it accepts stanzas without their last line, as in early files.
/// Listed, so that a change is noticed.
const ACCEPTED: [&str; 2] = ["stanza_missing_body", "stanza_missing_final_line"];

/// What happened to a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It was decrypted, to the expected plaintext if there is one.
    Opened,
    /// It seems to be valid, but for another key.
    NoMatch,
    /// It was refused, and no part of the plaintext was printed.
    Damaged,
}

/// What to open a vector with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    /// Native identities.
    Native,
    /// A passphrase.
    Passphrase,
    /// Post-quantum identities.
    PostQuantum,
}

/// An identity that opens no vector, from the age crate's documentation.
const STRANGER: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

/// One vector.
struct Vector {
    /// Its name.
    name: String,
    /// The header lines before the file, by key.
    head: BTreeMap<String, String>,
    /// The age file.
    file: Vec<u8>,
}

impl Vector {
    fn parse(name: String, bytes: &[u8]) -> Self {
        let end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap();
        let mut head = BTreeMap::new();
        for line in str::from_utf8(&bytes[..end]).unwrap().lines() {
            let (key, value) = line.split_once(": ").unwrap();
            // Several identities go into one file.
            let values: &mut String = head.entry(key.to_owned()).or_default();
            write!(values, "{}{value}", if values.is_empty() { "" } else { "\n" }).unwrap();
        }
        Self { name, head, file: bytes[end + 2..].to_vec() }
    }

    /// Returns the value of a header line.
    fn get(&self, key: &str) -> Option<&str> {
        self.head.get(key).map(String::as_str)
    }

    /// Returns the expected outcome.
    fn expected(&self) -> Outcome {
        match self.get("expect").unwrap() {
            "success" => Outcome::Opened,
            "no match" => Outcome::NoMatch,
            "HMAC failure" | "header failure" | "payload failure" | "armor failure" => {
                Outcome::Damaged
            }
            other => panic!("{}: an outcome that nobody knows: {other}", self.name),
        }
    }

    /// Returns whether `plaintext` is the expected one.
    fn is_payload(&self, plaintext: &[u8]) -> bool {
        self.get("payload").is_some_and(|hash| format!("{:x}", Sha256::digest(plaintext)) == hash)
    }

    /// Returns what to open it with.
    fn means(&self) -> Means {
        match (self.get("identity"), self.get("passphrase")) {
            (Some(text), _) if text.contains("AGE-SECRET-KEY-PQ-") => Means::PostQuantum,
            (None, Some(_)) => Means::Passphrase,
            // Some are so malformed that no key is given.
            _ => Means::Native,
        }
    }

    /// Returns the identities to try.
    fn identity(&self) -> &str {
        self.get("identity").unwrap_or(STRANGER)
    }

    /// Checks its outcome.
    fn check(&self, by: &str, outcome: Outcome) {
        if ACCEPTED.contains(&&*self.name) {
            assert_eq!(self.expected(), Outcome::Damaged, "{} is no difference now", self.name);
            assert_eq!(outcome, Outcome::Opened, "{} is no difference at {by} now", self.name);
        } else {
            assert_eq!(outcome, self.expected(), "{} at {by}: {:?}", self.name, self.head);
        }
    }
}

/// Returns all vectors; `None`, with a message, if they have not been fetched.
fn vectors() -> Option<Vec<Vector>> {
    let folder = vectors::folder().unwrap();
    let Ok(entries) = fs::read_dir(&folder) else {
        assert_ne!(std::env::var("VAULTIX_TESTS").as_deref(), Ok("all"), "{}", folder.display());
        say("SKIPPED: age's vectors are not there; cargo xtask test fetches them");
        return None;
    };
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        Vector::parse(name, &fs::read(entry.path()).unwrap())
    };
    let mut all: Vec<Vector> = entries.map(Result::unwrap).map(read).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(all.len(), COUNT);
    Some(all)
}

/// Splits `vectors` into those to open with `means`, and the others.
fn split(vectors: &[Vector], means: Means) -> (Vec<&Vector>, Vec<&Vector>) {
    vectors.iter().partition(|vector| vector.means() == means)
}

/// Prints how many vectors were tried at `by`.
fn report(by: &str, tried: &[&Vector]) {
    say(&format!("{by}: {} of age's {COUNT} vectors, as expected", tried.len()));
}

/// Opens the vector as a host does, with a file of identities as the host key.
fn on_host(workspace: &Workspace, vector: &Vector) -> Outcome {
    let text =
        r#"{"version":1,"settings":{"hostIdentifier":"h","hostPubkey":"age1h","hostKeys":[]}}"#;
    let mut settings = Profile::parse(text, Side::Host).unwrap().settings;
    workspace.write("key", vector.identity());
    settings.host_keys = vec![HostKey { path: workspace.path("key"), kind: HostKeyKind::Age }];
    let identities = HostIdentities::read(&settings, None);
    assert!(identities.failures.is_empty(), "{:?}", identities.failures);
    match decrypt(&vector.file, identities.iter()) {
        Ok(plaintext) => {
            assert!(vector.is_payload(plaintext.expose()) || ACCEPTED.contains(&&*vector.name));
            Outcome::Opened
        }
        Err(decrypt::Error::NoMatch(_)) => Outcome::NoMatch,
        Err(_) => Outcome::Damaged,
    }
}

#[test]
fn a_host_opens_what_it_should_and_nothing_else() {
    let Some(vectors) = vectors() else { return };
    let workspace = Workspace::new("conformance-host");
    for (means, what) in [(Means::Native, "on a host"), (Means::PostQuantum, "post-quantum")] {
        let (armored, binary): (Vec<&Vector>, Vec<&Vector>) =
            split(&vectors, means).0.into_iter().partition(|one| one.get("armored").is_some());
        for vector in &binary {
            vector.check("the host", on_host(&workspace, vector));
        }
        report(what, &binary);
        // The cache is binary: a host refuses even valid armor.
        for vector in &armored {
            assert_eq!(on_host(&workspace, vector), Outcome::Damaged, "{}", vector.name);
        }
        report("on a host, refused for their armor", &armored);
    }
}

/// Opens the vector with `vaultix view`.
fn at_desk(workspace: &Workspace, vector: &Vector) -> Outcome {
    workspace.write("key", vector.identity());
    workspace.write("secret.age", &vector.file);
    let output = workspace.vaultix_command("view secret.age -i key").output().unwrap();
    if output.status.code() != Some(0) {
        assert!(output.stdout.is_empty(), "{}: a part of it was printed", vector.name);
    }
    match output.status.code() {
        Some(0) => {
            assert!(vector.is_payload(&output.stdout) || ACCEPTED.contains(&&*vector.name));
            Outcome::Opened
        }
        Some(77) => Outcome::NoMatch,
        Some(65) => Outcome::Damaged,
        other => panic!("{}: {other:?} {}", vector.name, String::from_utf8_lossy(&output.stderr)),
    }
}

#[test]
fn the_desk_opens_what_it_should_and_nothing_else() {
    let Some(vectors) = vectors() else { return };
    let workspace = Workspace::new("conformance-desk");
    for (means, what) in [(Means::Native, "at the desk"), (Means::PostQuantum, "post-quantum")] {
        let (tried, _) = split(&vectors, means);
        for vector in &tried {
            vector.check("the desk", at_desk(&workspace, vector));
        }
        report(what, &tried);
    }
}

/// What the desk prints for a valid file that the passphrase does not open.
const NO_MATCH: [&str; 2] = ["the passphrase is wrong", "an age file without a passphrase"];

/// Opens the vector as an identity file with a passphrase: the desk uses passphrases only for
/// these.
///
/// Its content is not an identity, which is only reported after it has been decrypted to its end.
fn as_identity_file(workspace: &Workspace, vector: &Vector) -> Outcome {
    workspace.write("locked", &vector.file);
    let mut pty = Pty::start(&mut workspace.vaultix_command("view secret.age -i locked"));
    while pty.offers("Passphrase for locked") {
        pty.send(&format!("{}\n", vector.get("passphrase").unwrap()));
    }
    let (exit, shown) = pty.end();
    assert_eq!(exit, 77, "{}: {shown}", vector.name);
    if shown.contains("its content: ") {
        Outcome::Opened
    } else if NO_MATCH.iter().any(|words| shown.contains(words)) {
        Outcome::NoMatch
    } else {
        Outcome::Damaged
    }
}

#[test]
fn identity_files_with_a_passphrase_open_when_they_should() {
    let Some(vectors) = vectors() else { return };
    let (locked, _) = split(&vectors, Means::Passphrase);
    let workspace = Workspace::new("conformance-passphrase");
    workspace.secret("secret.age", "text");
    for vector in &locked {
        vector.check("an identity file", as_identity_file(&workspace, vector));
    }
    report("identity files at the desk", &locked);
}

#[test]
fn every_vector_is_tried() {
    let Some(vectors) = vectors() else { return };
    let all = [Means::Native, Means::Passphrase, Means::PostQuantum];
    let tried: usize = all.into_iter().map(|means| split(&vectors, means).0.len()).sum();
    assert_eq!(tried, COUNT);
}
