//! text of an identity file → its keys, of all kinds; and new identities.

use std::fmt::{self, Display, Formatter};
use std::iter::once;
use std::path::Path;

use age::{DecryptError, Identity, plugin, ssh, x25519};
use age_core::secrecy::{ExposeSecret, SecretString};
use rand::RngCore as _;
use rand::rngs::OsRng;
use vaultix_generator::escape;
use vaultix_units::plaintext::Plaintext;
use vaultix_units::ssh::parse_ssh;
use vaultix_units::{decrypt, stack};
use zeroize::Zeroizing;

use crate::keys::recipient::ParsedRecipient;
use crate::keys::unwrapped::Unwrapped;
use crate::keys::{armor, pkcs8, pq, ssh_to_age};

/// One identity, as it is in a file.
pub enum Key {
    /// A native identity of age.
    Native(x25519::Identity),
    /// A post-quantum identity of age.
    PostQuantum(Box<pq::Identity>),
    Ssh(Box<ssh::Identity>),
    /// An ssh private key with a passphrase, and its public key.
    LockedSsh(Box<ssh::EncryptedKey>, Box<ssh::Recipient>),
    /// An age file with a passphrase that contains identities, in binary.
    LockedFile(Zeroizing<Vec<u8>>),
    /// An identity that a plugin understands.
    Plugin(plugin::Identity),
}

/// Why a key cannot be unlocked.
pub(super) enum UnlockError {
    Wrong,
    /// No passphrase would help.
    Unusable(String),
}

/// Largest work factor of a file with a passphrase, as a power of two (20).
///
/// That takes a GiB of memory and some seconds; age and rage use about 18. A limit is needed
/// because a flake may name the file. The default of the `age` crate depends on how fast this
/// machine is at the moment, so it would refuse a file while the machine is busy and accept it
/// later.
const MAX_WORK_FACTOR: u8 = 20;

impl Key {
    /// Returns the key, if it can decrypt without a prompt.
    pub fn as_unlocked(&self) -> Option<&(dyn Identity + Sync)> {
        match self {
            Self::Native(key) => Some(key),
            Self::PostQuantum(key) => Some(&**key),
            Self::Ssh(key) => Some(&**key),
            Self::LockedSsh(..) | Self::LockedFile(_) | Self::Plugin(_) => None,
        }
    }

    /// Returns the recipient that belongs to the key, if it is known without a prompt.
    pub fn recipient(&self) -> Option<ParsedRecipient> {
        match self {
            Self::Native(key) => Some(built_in(key.to_public())),
            Self::PostQuantum(key) => Some(built_in(pq::Recipient::from(key.to_public()))),
            Self::Ssh(key) => ssh::Recipient::try_from((**key).clone()).ok().map(built_in),
            Self::LockedSsh(_, public) => Some(built_in((**public).clone())),
            Self::LockedFile(_) | Self::Plugin(_) => None,
        }
    }

    /// Unlocks the key.
    ///
    /// # Errors
    ///
    /// Whether another passphrase may help.
    pub(super) fn unlock(&self, passphrase: &str) -> Result<Identities, UnlockError> {
        let passphrase = SecretString::from(passphrase);
        match self {
            Self::LockedSsh(key, _) => match key.decrypt(passphrase) {
                Ok(key) => Ok(Identities {
                    keys: vec![Self::Ssh(Box::new(key.into()))],
                    ..Identities::default()
                }),
                Err(_) => Err(UnlockError::Wrong),
            },
            Self::LockedFile(ciphertext) => unlock_file(ciphertext, passphrase),
            _ => Err(UnlockError::Unusable("it has no passphrase".to_owned())),
        }
    }
}

/// Wraps a recipient whose text is known.
pub fn built_in(
    recipient: impl age::Recipient + ToString + Send + Sync + 'static,
) -> ParsedRecipient {
    let text = recipient.to_string();
    ParsedRecipient::BuiltIn(Box::new(recipient), text)
}

/// Decrypts an identity file that has a passphrase.
fn unlock_file(ciphertext: &[u8], passphrase: SecretString) -> Result<Identities, UnlockError> {
    let unusable = |error: decrypt::Error| UnlockError::Unusable(error.to_string());
    let mut identity = age::scrypt::Identity::new(passphrase);
    identity.set_max_work_factor(MAX_WORK_FACTOR);
    let stanzas = decrypt::stanzas(ciphertext).map_err(unusable)?;
    let mut key = Unwrapped::default();
    match identity.unwrap_stanzas(&stanzas) {
        Some(Err(DecryptError::KeyDecryptionFailed | DecryptError::DecryptionFailed)) => {
            return Err(UnlockError::Wrong);
        }
        Some(Err(DecryptError::ExcessiveWork { required, .. })) => {
            return Err(UnlockError::Unusable(format!(
                "its work factor is 2^{required}, the limit is 2^{MAX_WORK_FACTOR}"
            )));
        }
        outcome => key.set(outcome),
    }
    let text = decrypt::decrypt(ciphertext, once(&key as &dyn Identity)).map_err(unusable)?;
    stack::wiped(|| parse(text.expose()))
        .map_err(|reason| UnlockError::Unusable(format!("its content: {reason}")))
}

/// Why a text holds no identities.
#[derive(Debug)]
pub struct Unreadable {
    /// What is wrong, with the line number.
    reason: String,
    /// The command that makes a key of another program usable; `FILE` stands for the file.
    convert: Option<&'static str>,
}

impl Unreadable {
    /// Returns the command that makes the key in the file `path` usable, if there is one.
    #[must_use]
    pub fn fix(&self, path: &Path) -> Option<String> {
        Some(self.convert?.replace("FILE", &escape::shell_path(path)))
    }
}

impl From<String> for Unreadable {
    fn from(reason: String) -> Self {
        Self { reason, convert: None }
    }
}

impl Display for Unreadable {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// What an identity file contains.
#[derive(Default)]
pub struct Identities {
    pub keys: Vec<Key>,
    /// Recipients named in comments, where `age-keygen` and plugins write them.
    pub recipients: Vec<String>,
    /// The identities that `ssh-to-age` makes from the ssh keys.
    pub converted: Vec<x25519::Identity>,
}

/// First bytes of a binary age file.
const MAGIC: &[u8] = b"age-encryption.org/";

/// First line of an armored age file.
const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";

/// Reads the identities in `text`: an age file with a passphrase, or any number of native
/// identities, plugin identities and ssh keys, with comments and empty lines between them.
///
/// # Errors
///
/// What is wrong, with the line number, never the line itself.
pub fn parse(text: &[u8]) -> Result<Identities, Unreadable> {
    // Some editors put a byte order mark in front.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let trimmed = text.trim_ascii_start();
    if trimmed.starts_with(MAGIC) || trimmed.starts_with(ARMOR) {
        let binary = armor::dearmor(trimmed.to_vec())?;
        return Ok(Identities { keys: vec![locked(binary)?], ..Identities::default() });
    }
    let text = str::from_utf8(text).map_err(|_| "it is not a text file".to_owned())?;
    let mut found = Identities::default();
    let mut lines = text.lines().enumerate();
    while let Some((i, line)) = lines.next() {
        let number = i + 1;
        match line.trim() {
            "" => {}
            comment if comment.starts_with('#') => found.recipients.extend(recipient(comment)),
            begin if begin.starts_with("-----BEGIN ") => {
                let mut block = vec![line];
                let is_last = |part: &str| part.trim().starts_with("-----END ");
                while !block.last().is_some_and(|part| is_last(part)) {
                    let Some((_, part)) = lines.next() else { break };
                    block.push(part);
                }
                let block = joined(&block);
                found.keys.push(private_key(&block, number)?);
                found.converted.extend(ssh_to_age::identity(&block));
            }
            other => found.keys.push(native(other, number)?),
        }
    }
    if found.keys.is_empty() {
        return Err("it contains no identity".to_owned().into());
    }
    Ok(found)
}

/// Joins lines, without leading and trailing white space.
fn joined(lines: &[&str]) -> Zeroizing<String> {
    // Allocated at its final size: a string that grows leaves copies behind.
    let size = lines.iter().map(|line| line.len() + 1).sum();
    let mut text = Zeroizing::new(String::with_capacity(size));
    for line in lines {
        *text += line.trim();
        *text += "\n";
    }
    text
}

/// Reads one line that is not a comment.
fn native(line: &str, number: usize) -> Result<Key, Unreadable> {
    let incomplete = |reason: &dyn Display| {
        format!("line {number} is not a complete age identity: {reason}").into()
    };
    if line.starts_with("AGE-SECRET-KEY-1") {
        return match line.parse() {
            Ok(key) => Ok(Key::Native(key)),
            Err(reason) => Err(incomplete(&reason)),
        };
    }
    if line.starts_with("AGE-SECRET-KEY-PQ-1") {
        return match line.parse() {
            Ok(key) => Ok(Key::PostQuantum(Box::new(key))),
            Err(reason) => Err(incomplete(&reason)),
        };
    }
    if line.starts_with("AGE-SECRET-KEY-") {
        return Err(format!("line {number} is an age identity of an unknown kind").into());
    }
    if let Ok(identity) = line.parse() {
        return Ok(Key::Plugin(identity));
    }
    if line.starts_with("age1") || line.starts_with("ssh-") {
        let reason = format!("line {number} is a public key; use the file with the private key");
        return Err(reason.into());
    }
    if line.starts_with("PuTTY-User-Key-File-") {
        return Err(Unreadable {
            reason: format!("line {number} begins a key of PuTTY"),
            convert: Some("puttygen FILE -O private-openssh -o FILE.openssh"),
        });
    }
    Err(format!("line {number} is not an identity").into())
}

/// Reads the ssh private key `block`, which begins at line `number` of the file.
fn private_key(block: &str, number: usize) -> Result<Key, Unreadable> {
    let incomplete = || {
        let reason = format!("line {number} begins an ssh private key that is not complete");
        Unreadable::from(reason)
    };
    let foreign = |kind: &str| Unreadable {
        reason: format!("line {number} begins {kind}"),
        convert: Some("ssh-keygen -p -f FILE"),
    };
    if block.starts_with(pkcs8::BEGIN_LOCKED) {
        return Err(foreign("a key in PKCS#8 with a passphrase"));
    }
    if block.starts_with(pkcs8::BEGIN) {
        return match pkcs8::read(block).ok_or_else(incomplete)? {
            pkcs8::Content::Rsa(block) => private_key(&block, number),
            pkcs8::Content::Other => Err(foreign("a key in PKCS#8 that is not rsa")),
        };
    }
    let identity = parse_ssh(block.as_bytes()).map_err(|_| incomplete())?;
    match identity {
        ssh::Identity::Unencrypted(_) => Ok(Key::Ssh(Box::new(identity))),
        ssh::Identity::Encrypted(ref key) => match ssh::Recipient::try_from(identity.clone()) {
            Ok(public) => Ok(Key::LockedSsh(Box::new(key.clone()), Box::new(public))),
            Err(_) => {
                Err(format!("line {number} begins an ssh key of a type that age cannot use").into())
            }
        },
        ssh::Identity::Unsupported(reason) => {
            use ssh::UnsupportedKey as Reason;
            let kind = match reason {
                Reason::EncryptedPem => {
                    return Err(foreign("an ssh key with a passphrase in the old format"));
                }
                Reason::EncryptedSsh(cipher) => format!("encrypted with the cipher {cipher}"),
                Reason::Hardware(kind) => format!("of type {kind}, which stays in its device"),
                Reason::Type(kind) => format!("of type {kind}"),
            };
            Err(format!("line {number} begins an ssh key that age cannot use: {kind}").into())
        }
    }
}

/// Returns the binary age file `bytes` as a key, if it has a passphrase.
fn locked(bytes: Vec<u8>) -> Result<Key, String> {
    let bytes = Zeroizing::new(bytes);
    let recipients = decrypt::recipients(&bytes).map_err(|error| error.to_string())?;
    if recipients.iter().all(|recipient| recipient.kind == "scrypt") {
        Ok(Key::LockedFile(bytes))
    } else {
        Err("it is an age file without a passphrase, so it contains no identity".to_owned())
    }
}

/// Returns the recipient that a comment names, as in `# public key: age1…` or `#    Recipient: age1…`.
fn recipient(comment: &str) -> Option<String> {
    let (label, value) = comment.trim_start_matches('#').split_once(':')?;
    let label = label.trim().to_ascii_lowercase();
    let value = value.trim();
    let named = matches!(label.as_str(), "public key" | "recipient");
    (named && value.starts_with("age1")).then(|| value.to_owned())
}

/// Generates an identity, in the format of `age-keygen` with the recipient in a comment. Returns it
/// and its recipient.
pub fn generate() -> (Plaintext, x25519::Recipient) {
    let identity = x25519::Identity::generate();
    let recipient = identity.to_public();
    let text = format!("# public key: {recipient}\n{}\n", identity.to_string().expose_secret());
    (Plaintext::new(text.into_bytes()), recipient)
}

/// The same for a post-quantum one.
pub fn generate_post_quantum() -> (Plaintext, pq::Recipient) {
    let mut seed = Zeroizing::new([0; 32]);
    OsRng.fill_bytes(&mut *seed);
    let identity = pq::Identity::from_seed(&seed);
    let recipient = pq::Recipient::from(identity.to_public());
    let text = format!("# public key: {recipient}\n{}\n", *identity.to_text());
    (Plaintext::new(text.into_bytes()), recipient)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A throw-away identity, from the age crate's documentation.
    const KEY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

    /// Returns why `text` is refused.
    fn refused(text: &str) -> String {
        parse(text.as_bytes()).err().unwrap().to_string()
    }

    #[test]
    fn identities_may_have_comments_between_them() {
        let text =
            format!("# mine\n\n{KEY}\r\n  {KEY}\n# public key: age1abc\n#  Recipient: age1y\n");
        let found = parse(text.as_bytes()).unwrap();
        assert_eq!(found.keys.len(), 2);
        assert_eq!(found.recipients, ["age1abc", "age1y"]);
    }

    #[test]
    fn a_malformed_identity_is_named_by_its_line() {
        assert_eq!(refused("# nothing\n"), "it contains no identity");
        assert_eq!(refused(&format!("{KEY}\nhunter2\n")), "line 2 is not an identity");
        assert!(refused(&KEY[..60]).starts_with("line 1 is not a complete age identity"));
        assert!(refused("age1abc").starts_with("line 1 is a public key"));
        assert_eq!(
            refused("\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
            "line 2 begins an ssh private key that is not complete"
        );
        assert_eq!(refused("age-encryption.org/v1\n"), "the file is truncated in its header");
    }

    #[test]
    fn a_key_of_another_program_is_named_with_what_converts_it() {
        let found = parse(format!("\u{feff}{KEY}\n").as_bytes()).unwrap();
        assert_eq!(found.keys.len(), 1);
        let fix = |text: &str| {
            let refused = parse(text.as_bytes()).err().unwrap();
            refused.fix(Path::new("my key")).unwrap_or_default()
        };
        let putty = "PuTTY-User-Key-File-3: ssh-ed25519\n";
        assert_eq!(refused(putty), "line 1 begins a key of PuTTY");
        assert_eq!(fix(putty), "puttygen 'my key' -O private-openssh -o 'my key'.openssh");
        let locked =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert_eq!(refused(locked), "line 1 begins a key in PKCS#8 with a passphrase");
        assert_eq!(fix(locked), "ssh-keygen -p -f 'my key'");
        // An ed25519 key of zeros, as openssl writes it.
        let ed25519 = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(refused(ed25519), "line 1 begins a key in PKCS#8 that is not rsa");
        assert_eq!(fix("ssh-rsa\n"), "");
    }

    #[test]
    fn comments_name_recipients_only_under_a_known_label() {
        let text = format!("# public key: ssh-ed25519 AAAA\n# laptop: age1abc\n# age1abc\n{KEY}\n");
        assert!(parse(text.as_bytes()).unwrap().recipients.is_empty());
    }

    #[test]
    fn an_age_file_is_an_identity_if_it_has_a_passphrase() {
        let file = |kind: &str| {
            let body = "4l79aULbC32GcDspHxAPBctUz0Em7tORXTUAKF2Dh6I";
            let mac = "F5Qaoa2jV5uPBmcPy24w21W9GRurqsWHib6IlDplm8w";
            let payload = "x".repeat(32);
            format!("age-encryption.org/v1\n-> {kind}\n{body}\n--- {mac}\n{payload}")
        };
        let locked = file("scrypt BPD+rOkKVEGTAWb5kwfIPg 18");
        let found = parse(locked.as_bytes()).unwrap();
        assert!(
            matches!(&found.keys[..], [Key::LockedFile(bytes)] if **bytes == *locked.as_bytes())
        );
        let reason = refused(&file("X25519 F5Qaoa2jV5uPBmcPy24w21W9GRurqsWHib6IlDplm8w"));
        assert!(reason.starts_with("it is an age file without a passphrase"), "{reason}");
    }

    #[test]
    fn errors_do_not_repeat_the_line() {
        assert!(!refused(&KEY[..60]).contains("GQ9778"));
    }
}
