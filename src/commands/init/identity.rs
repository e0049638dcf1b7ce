//! path + perhaps a passphrase → a new identity in a file of its own.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use age::armor::Format;
use age::scrypt;
use age_core::secrecy::SecretString;
use vaultix_generator::escape;
use vaultix_units::plaintext::Plaintext;

use crate::error::{Error, Result, Status};
use crate::files::replace::Replacement;
use crate::files::secret;
use crate::keys::identity;
use crate::keys::recipient::ParsedRecipient;
use crate::terminal::prompt::{Answer, Prompt, Question};

/// How much work a passphrase costs whoever tries one, as a power of two: a second, and what age(1) chooses. The `age`
/// crate would measure this machine instead.
const WORK_FACTOR: u8 = 18;

/// How often two passphrases may differ.
const ATTEMPTS: usize = 3;

/// What kind of identity is made.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Whether a passphrase is asked for, which locks it.
    pub is_locked: bool,
    /// Whether it is post-quantum.
    pub is_post_quantum: bool,
}

/// Makes the file `path` with a new identity, which only the user may read. Returns its recipient.
///
/// # Errors
///
/// When there is no passphrase, or the file cannot be written. There is none then.
pub fn make(path: &Path, kind: Kind, prompt: &Prompt) -> Result<ParsedRecipient> {
    let (text, recipient) = if kind.is_post_quantum {
        let (text, recipient) = identity::generate_post_quantum();
        (text, identity::built_in(recipient))
    } else {
        let (text, recipient) = identity::generate();
        (text, identity::built_in(recipient))
    };
    let locked = if kind.is_locked { Some(lock(&text, path, prompt)?) } else { None };
    let cannot = |reason: String| {
        Error::new(Status::CantCreat, format!("cannot write {}", path.display())).because(reason)
    };
    if let Some(folder) = path.parent().filter(|folder| *folder != Path::new("")) {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| cannot(error.to_string()))?;
    }
    let mut replacement = Replacement::private(path)?;
    replacement.write(locked.as_deref().unwrap_or(text.expose()))?;
    replacement.persist_noclobber()?;
    Ok(recipient)
}

/// Encrypts the identity `text`, for the file `path`, under a passphrase.
fn lock(text: &Plaintext, path: &Path, prompt: &Prompt) -> Result<Vec<u8>> {
    let passphrase = ask(path, prompt)?;
    let mut recipient = scrypt::Recipient::new(SecretString::from(passphrase.as_str()));
    recipient.set_work_factor(WORK_FACTOR);
    secret::encrypt(path, text, &[Box::new(recipient)], &Format::AsciiArmor)
}

/// Asks for a new passphrase, twice: nobody sees what is typed.
fn ask(path: &Path, prompt: &Prompt) -> Result<Answer> {
    let what = format!("new passphrase for {}", escape::line(&path.display().to_string()));
    let none = |reason: &str| {
        Error::new(Status::NoPerm, "cannot create an identity with a passphrase")
            .because(reason)
            .fix("vaultix init, without --passphrase")
    };
    let mut complaint = None;
    for _ in 0..ATTEMPTS {
        let question = Question { what: &what, purpose: "to protect it", complaint };
        let once = prompt.secret(&question)?.ok_or_else(|| none("none was given"))?;
        let question =
            Question { what: "the passphrase again", purpose: "to be sure", complaint: None };
        if prompt.secret(&question)?.is_some_and(|again| again == once) {
            return Ok(once);
        }
        complaint = Some("The passphrases differ, try again.");
    }
    Err(none("they differ"))
}
