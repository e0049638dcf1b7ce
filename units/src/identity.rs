//! files with the host's identities → identities of age.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use age::Identity;
use vaultix_generator::profile::{HostKey, HostKeyKind, Settings, fitting_keys};

use crate::bounded;
use crate::parallel::{self, Limits, Outcome};
use crate::path::FarFile;
use crate::ssh::parse_ssh;
use crate::stack;
use crate::stanza::{self, Recipient};

/// How long reading host keys may take: 5 seconds for all of them together. If one takes longer,
/// its file system does not respond.
const LIMITS: Limits = Limits {
    slow: Duration::from_millis(50),
    each: Duration::from_secs(5),
    all: Duration::from_secs(5),
};

/// The host's identities that could be read, and why others could not.
pub struct HostIdentities {
    /// In the order of the profile.
    identities: Vec<Box<dyn Identity + Send + Sync>>,
    /// Their files, each with the stanza that identifies the key if it is an ssh key.
    pub tried: Vec<(PathBuf, Option<Recipient>)>,
    /// The files that could not be used.
    pub failures: Vec<Failure>,
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
    /// It is an ssh key with a passphrase, which cannot be entered at boot.
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
        }
    }
}

impl HostIdentities {
    /// Reads every host key of `settings` whose type matches the host's recipient.
    ///
    /// Never fails as a whole: keys that could not be read are in [`HostIdentities::failures`].
    #[must_use]
    pub fn read(settings: &Settings) -> Self {
        let mut all = Self { identities: Vec::new(), tried: Vec::new(), failures: Vec::new() };
        let keys: Vec<HostKey> = fitting_keys(settings).cloned().collect();
        let paths: Vec<PathBuf> = keys.iter().map(|key| key.path.clone()).collect();
        let outcomes = parallel::each(keys.len(), LIMITS, move |at| keys.get(at).map(read));
        for (path, outcome) in paths.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Done(Some(Ok((identities, recipient)))) => {
                    all.identities.extend(identities);
                    all.tried.push((path, recipient));
                }
                Outcome::Done(Some(Err(reason))) => all.failures.push(Failure { path, reason }),
                Outcome::Done(None) | Outcome::Slow | Outcome::Late => {
                    all.failures.push(Failure { path, reason: Reason::TimedOut });
                }
            }
        }
        all
    }

    /// Returns the identities in the order in which they are to be tried.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Identity> {
        self.identities.iter().map(|identity| &**identity as &dyn Identity)
    }
}

/// Identities of one file, and the stanza that identifies the key if it is an ssh key.
type Identities = (Vec<Box<dyn Identity + Send + Sync>>, Option<Recipient>);

fn read(key: &HostKey) -> Result<Identities, Reason> {
    let text = FarFile::new(&key.path).read(bounded::MAX_IDENTITY).map_err(Reason::Read)?;
    stack::wiped(|| match key.kind {
        HostKeyKind::Ed25519 => ssh("ssh-ed25519", &text),
        HostKeyKind::Rsa => ssh("ssh-rsa", &text),
        HostKeyKind::Age => native(&text),
    })
}

/// Reads an OpenSSH private key of the type `kind`.
fn ssh(kind: &'static str, text: &[u8]) -> Result<Identities, Reason> {
    use age::ssh::Identity;
    match parse_ssh(text) {
        Ok(Identity::Encrypted(_)) => Err(Reason::Passphrase),
        Ok(Identity::Unsupported(_)) => Err(Reason::Unsupported),
        Ok(identity) => {
            // The type and the public key are available only as a recipient.
            let public = age::ssh::Recipient::try_from(identity.clone()).ok();
            match public.and_then(|public| stanza::parse_ssh_key(&public.to_string())) {
                Some(recipient) if recipient.kind == kind => {
                    Ok((vec![Box::new(identity)], Some(recipient)))
                }
                _ => Err(Reason::WrongType(kind)),
            }
        }
        Err(_) => Err(Reason::NotAKey(kind)),
    }
}

/// Reads native age identities, one per line; empty lines and comments are ignored.
fn native(text: &[u8]) -> Result<Identities, Reason> {
    let mut identities: Vec<Box<dyn Identity + Send + Sync>> = Vec::new();
    for (i, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = str::from_utf8(line).map_err(|_| Reason::Line(i + 1))?.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let identity: age::x25519::Identity = line.parse().map_err(|_| Reason::Line(i + 1))?;
        identities.push(Box::new(identity));
    }
    if identities.is_empty() { Err(Reason::Empty) } else { Ok((identities, None)) }
}
