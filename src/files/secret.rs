//! secret file ↔ its plaintext, armored or binary as before.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use age::Identity;
use age::armor::{ArmoredWriter, Format};
use sha2::{Digest as _, Sha256};
use vaultix_generator::escape;
use vaultix_units::decrypt;
use vaultix_units::plaintext::Plaintext;

use crate::error::{Error, Exit, Result, Status};
use crate::files::source;
use crate::keys::master::{Master, Session};
use crate::keys::{armor, recipient};
use crate::report;
use crate::system::origin;
use crate::terminal::prompt::Prompt;

/// A secret as it is in the repository.
pub struct Secret {
    /// The SHA-256 of the file when it was read, to check that it is unchanged before replacing it.
    pub digest: String,
    pub ciphertext: Vec<u8>,
    /// The format of the file, which is kept.
    pub format: Format,
    /// How many recipients it is encrypted to.
    pub recipients: usize,
}

impl Secret {
    /// Reads the secret `path`, which must exist.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is not an age file.
    pub fn read_existing(path: &Path) -> Result<Self> {
        Self::read(path)?.ok_or_else(|| {
            Error::new(Status::NoInput, format!("cannot decrypt {}", origin::shown(path)))
                .because("it does not exist")
        })
    }

    /// Reads the secret `path`, `None` if there is none.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(None);
        }
        let bytes = source::read(path)?;
        report::detail(format_args!("read {}: {} bytes", origin::shown(path), bytes.len()));
        let digest = escape::hex(&Sha256::digest(&bytes));
        let format = if armor::is_armored(&bytes) { Format::AsciiArmor } else { Format::Binary };
        let ciphertext = armor::dearmor(bytes).map_err(|reason| source::damaged(path, &reason))?;
        let stanzas = decrypt::recipients(&ciphertext)
            .map_err(|error| source::damaged(path, &error.to_string()))?;
        Ok(Some(Self { digest, ciphertext, format, recipients: stanzas.len() }))
    }

    pub fn open(&self, path: &Path, master: &mut Master, prompt: &Prompt) -> Result<Plaintext> {
        let stanzas = decrypt::stanzas(&self.ciphertext)
            .map_err(|error| source::cannot_open(path, &error, &[]))?;
        self.decrypt(path, &master.open(&[stanzas], prompt)?)
    }

    /// Decrypts it with identities that need no prompt; `None` if the user would have to be asked.
    pub fn open_without_prompt(&self, path: &Path, master: &Master) -> Result<Option<Plaintext>> {
        let stanzas = decrypt::stanzas(&self.ciphertext)
            .map_err(|error| source::cannot_open(path, &error, &[]))?;
        let session = master.open_without_prompt(&[stanzas]);
        session.map(|session| self.decrypt(path, &session)).transpose()
    }

    /// Decrypts it with the file keys that a session has found.
    fn decrypt(&self, path: &Path, session: &Session) -> Result<Plaintext> {
        let identities = session.keys.iter().map(|key| key as &dyn Identity);
        decrypt::decrypt(&self.ciphertext, identities)
            .map_err(|error| source::cannot_open(path, &error, &session.skipped))
    }
}

/// Decrypts the secrets `paths`, all in one session. Asks for nothing if there are none.
///
/// # Errors
///
/// When the user interrupts. The error of a single secret is in its place.
pub fn open_all(
    paths: &BTreeSet<&Path>,
    master: &mut Master,
    prompt: &Prompt,
) -> Result<BTreeMap<PathBuf, Result<Plaintext>>> {
    let mut outcomes = BTreeMap::new();
    let (mut headers, mut files) = (Vec::new(), Vec::new());
    for &path in paths {
        let read = Secret::read_existing(path).and_then(|secret| {
            let Secret { ciphertext, .. } = secret;
            let stanzas = decrypt::stanzas(&ciphertext)
                .map_err(|error| source::cannot_open(path, &error, &[]))?;
            headers.push(stanzas);
            files.push((path, ciphertext));
            Ok(())
        });
        if let Err(error) = read {
            outcomes.insert(path.to_owned(), Err(error));
        }
    }
    let session = master.open(&headers, prompt)?;
    for ((path, ciphertext), key) in files.iter().zip(&session.keys) {
        let opened = decrypt::decrypt(ciphertext, std::iter::once(key as &dyn Identity))
            .map_err(|error| source::cannot_open(path, &error, &session.skipped));
        outcomes.insert((*path).to_owned(), opened);
    }
    Ok(outcomes)
}

/// Encrypts `text` in `format`, for the file `path`.
///
/// # Errors
///
/// If it cannot be encrypted to the recipients, with the reason.
pub fn encrypt(
    path: &Path,
    text: &Plaintext,
    recipients: &[Box<dyn age::Recipient + '_>],
    format: &Format,
) -> Result<Vec<u8>> {
    let failed = || cannot_encrypt(Status::Config, path);
    let recipients = recipients.iter().map(|recipient| &**recipient as &dyn age::Recipient);
    let binary = recipient::encrypt(text, recipients)
        .map_err(|error| recipient::because(failed(), &error))?;
    let armor = || {
        let mut writer = ArmoredWriter::wrap_output(Vec::new(), copy(format))?;
        writer.write_all(&binary)?;
        writer.finish()
    };
    armor().map_err(|error: io::Error| failed().because(error))
}

/// Returns the error for the file `path`, which cannot be encrypted.
pub fn cannot_encrypt(exit: impl Into<Exit>, path: &Path) -> Error {
    Error::new(exit, format!("cannot encrypt {}", origin::shown(path)))
}

fn copy(format: &Format) -> Format {
    match format {
        Format::Binary => Format::Binary,
        Format::AsciiArmor => Format::AsciiArmor,
    }
}
