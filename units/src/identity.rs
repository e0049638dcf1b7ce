//! files with the host's identities → identities of age.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use age::Identity;
use vaultix_generator::profile::{HostKey, HostKeyKind, Settings, fitting_keys};
use vaultix_generator::unit::unseal_unit;
use zeroize::Zeroizing;

use crate::bounded;
use crate::creds::Creds;
use crate::parallel::{self, Limits, Outcome};
use crate::path::FarFile;
use crate::pq;
use crate::ssh::parse_ssh;
use crate::stack;
use crate::stanza::{self, Recipient};
use crate::unseal::copy_of;

/// How long reading host keys may take: 5 seconds for all of them together. If one takes longer,
/// its file system does not respond.
const LIMITS: Limits = Limits {
    slow: Duration::from_millis(50),
    each: Duration::from_secs(5),
    all: Duration::from_secs(5),
};

/// The host's identities that could be read, and why others could not.
pub struct HostIdentities {
    /// The files that contain them, in the order of the profile.
    pub tried: Vec<KeyFile>,
    /// The files that could not be used.
    pub failures: Vec<Failure>,
}

/// A file with identities of the host.
pub struct KeyFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it contains.
    pub content: Content,
}

/// What a file with identities contains.
pub enum Content {
    /// An ssh key, and the stanza that identifies it.
    Ssh(Box<age::ssh::Identity>, Recipient),
    /// Identities of age, one or more.
    Age(Vec<AgeIdentity>),
}

/// An identity of age.
pub enum AgeIdentity {
    /// Without protection against quantum computers.
    X25519(age::x25519::Identity),
    /// A post-quantum one.
    PostQuantum(pq::Identity),
}

impl AgeIdentity {
    /// Returns its recipient.
    #[must_use]
    pub fn recipient(&self) -> String {
        match self {
            Self::X25519(identity) => identity.to_public().to_string(),
            Self::PostQuantum(identity) => identity.to_public().to_string(),
        }
    }

    fn as_identity(&self) -> &dyn Identity {
        match self {
            Self::X25519(identity) => identity,
            Self::PostQuantum(identity) => identity,
        }
    }
}

impl Content {
    /// Returns the identities in the order in which they are to be tried.
    fn iter(&self) -> impl Iterator<Item = &dyn Identity> {
        let (ssh, age) = match self {
            Self::Ssh(identity, _) => (Some(&**identity as &dyn Identity), &[][..]),
            Self::Age(identities) => (None, &identities[..]),
        };
        ssh.into_iter().chain(age.iter().map(AgeIdentity::as_identity))
    }
}

/// Why a file with an identity of the host cannot be used.
#[derive(Debug)]
pub struct Failure {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a file that should contain an identity.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reason {
    /// It cannot be read.
    Read(io::Error),
    /// It was not read in time.
    TimedOut,
    /// It has a passphrase, which cannot be entered at boot.
    Passphrase,
    /// It is an ssh key of a type that age does not support.
    Unsupported,
    /// It is not a private key of the stated type; the name of that type.
    NotAKey(&'static str),
    /// It is an ssh key, but of the other type; the stated one.
    WrongType(&'static str),
    /// A line of it is not an age identity; its number, from 1.
    Line(usize),
    /// It contains no identity.
    Empty,
    /// It is sealed, and its unit has not unsealed it.
    Sealed,
    /// It is sealed, and cannot be unsealed; why.
    Unseal(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.reason {
            Reason::Read(error) => error.fmt(f),
            Reason::TimedOut => {
                write!(f, "not read within {} seconds", LIMITS.each.as_secs())
            }
            Reason::Passphrase => {
                f.write_str("protected by a passphrase, which cannot be entered at boot")
            }
            Reason::Unsupported => f.write_str("an ssh key of a type that age does not support"),
            Reason::NotAKey(kind) => write!(f, "not an OpenSSH private key of type {kind}"),
            Reason::WrongType(kind) => write!(f, "an ssh key, but not of type {kind}"),
            Reason::Line(number) => write!(f, "line {number} is not an age identity"),
            Reason::Empty => f.write_str("contains no identity"),
            Reason::Sealed => {
                let unit = unseal_unit(&self.path);
                write!(f, "sealed, and {unit} has not unsealed it, see: systemctl status '{unit}'")
            }
            Reason::Unseal(why) => write!(f, "sealed, and cannot be unsealed: {why}"),
        }
    }
}

impl HostIdentities {
    /// Reads every host key of `settings` whose type matches the host's recipient.
    ///
    /// Never fails as a whole: keys that could not be read are in [`HostIdentities::failures`].
    ///
    /// A sealed key is read where its unit has put it, and nowhere else. With `creds`, it is unsealed where that has not
    /// happened: a check of a profile comes before its units.
    #[must_use]
    pub fn read(settings: &Settings, creds: Option<&Creds>) -> Self {
        let mut all = Self { tried: Vec::new(), failures: Vec::new() };
        let keys: Vec<HostKey> = fitting_keys(settings).cloned().collect();
        let paths: Vec<PathBuf> = keys.iter().map(|key| key.path.clone()).collect();
        let outcomes = parallel::each(keys.len(), LIMITS, move |at| keys.get(at).map(read));
        for (path, outcome) in paths.into_iter().zip(outcomes) {
            let read = match (outcome, creds) {
                // Not limited: a TPM may take longer than any file system.
                (Outcome::Done(Some(Err(Reason::Sealed))), Some(creds)) => unseal(creds, &path),
                (Outcome::Done(Some(read)), _) => read,
                (Outcome::Done(None) | Outcome::Slow | Outcome::Late, _) => Err(Reason::TimedOut),
            };
            match read {
                Ok(content) => all.tried.push(KeyFile { path, content }),
                Err(reason) => all.failures.push(Failure { path, reason }),
            }
        }
        all
    }

    /// Returns the identities in the order in which they are to be tried.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Identity> {
        self.tried.iter().flat_map(|file| file.content.iter())
    }
}

fn read(key: &HostKey) -> Result<Content, Reason> {
    let text = match key.kind {
        HostKeyKind::Credential => unsealed(&key.path)?,
        _ => FarFile::new(&key.path).read(bounded::MAX_IDENTITY).map_err(Reason::Read)?,
    };
    stack::wiped(|| match key.kind {
        HostKeyKind::Ed25519 => ssh("ssh-ed25519", &text),
        HostKeyKind::Rsa => ssh("ssh-rsa", &text),
        HostKeyKind::Age | HostKeyKind::Credential => native(&text).map(Content::Age),
    })
}

/// Returns the identity that was sealed in the file `path`, and that its unit has unsealed.
fn unsealed(path: &Path) -> Result<Zeroizing<Vec<u8>>, Reason> {
    match bounded::read(&copy_of(path), bounded::MAX_IDENTITY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => return result.map_err(Reason::Read),
    }
    // A file that is missing may come later on; one that is there has been tried.
    FarFile::new(path).look().map_err(Reason::Read)?;
    Err(Reason::Sealed)
}

/// Returns the identities that are sealed in the file `path`, for who runs in no unit.
fn unseal(creds: &Creds, path: &Path) -> Result<Content, Reason> {
    let sealed = FarFile::new(path).read(bounded::MAX_IDENTITY).map_err(Reason::Read)?;
    let text = creds.unseal(&sealed).map_err(Reason::Unseal)?;
    stack::wiped(|| native(&text)).map(Content::Age)
}

/// Reads an OpenSSH private key of the type `kind`.
fn ssh(kind: &'static str, text: &[u8]) -> Result<Content, Reason> {
    use age::ssh::Identity;
    match parse_ssh(text) {
        Ok(Identity::Encrypted(_)) => Err(Reason::Passphrase),
        Ok(Identity::Unsupported(_)) => Err(Reason::Unsupported),
        Ok(identity) => {
            // The type and the public key are available only as a recipient.
            let public = age::ssh::Recipient::try_from(identity.clone()).ok();
            match public.and_then(|public| stanza::parse_ssh_key(&public.to_string())) {
                Some(recipient) if recipient.kind == kind => {
                    Ok(Content::Ssh(Box::new(identity), recipient))
                }
                _ => Err(Reason::WrongType(kind)),
            }
        }
        Err(_) => Err(Reason::NotAKey(kind)),
    }
}

/// How a post-quantum identity begins.
const POST_QUANTUM: &str = "AGE-SECRET-KEY-PQ-1";

/// How a file with identities begins that is encrypted itself, as `age --passphrase` does.
const ENCRYPTED: [&[u8]; 2] = [b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE-----"];

/// Reads identities of age, one per line; empty lines and comments are ignored.
///
/// # Errors
///
/// [`Reason::Passphrase`], [`Reason::Line`] or [`Reason::Empty`].
pub fn native(text: &[u8]) -> Result<Vec<AgeIdentity>, Reason> {
    if ENCRYPTED.iter().any(|first| text.starts_with(first)) {
        return Err(Reason::Passphrase);
    }
    let mut identities = Vec::new();
    for (i, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let wrong = || Reason::Line(i + 1);
        let line = str::from_utf8(line).map_err(|_| wrong())?.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        identities.push(if line.starts_with(POST_QUANTUM) {
            AgeIdentity::PostQuantum(line.parse().map_err(|_| wrong())?)
        } else {
            AgeIdentity::X25519(line.parse().map_err(|_| wrong())?)
        });
    }
    if identities.is_empty() { Err(Reason::Empty) } else { Ok(identities) }
}
