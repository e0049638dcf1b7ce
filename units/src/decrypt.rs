//! ciphertext + identities → [`Plaintext`], whole or not at all.

use std::fmt;
use std::io::Read;

use age::{DecryptError, Decryptor, Identity};

use crate::header::{self, Recipient};
use crate::plaintext::Plaintext;
use crate::stack;

/// First line of an armored age file.
const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";

/// First bytes of every age file.
const MAGIC: &[u8] = b"age-encryption.org/";

/// Why a ciphertext did not decrypt.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// No identity fits; the recipients that its header names.
    NoMatch(Vec<Recipient>),
    /// It is no whole age file; what is wrong with it.
    Damaged(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMatch(recipients) => {
                write!(f, "it is encrypted to another key: {}", header::describe(recipients))
            }
            Self::Damaged(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Says in our words why `age` did not open `ciphertext`.
    pub(crate) fn new(ciphertext: &[u8], error: &DecryptError) -> Self {
        let reason = match error {
            DecryptError::NoMatchingKeys => {
                return Self::NoMatch(header::recipients(ciphertext).unwrap_or_default());
            }
            _ if ciphertext.is_empty() => "the file is empty".to_owned(),
            _ if ciphertext.starts_with(ARMOR) => {
                "the file is an armored age file, but a binary one belongs here".to_owned()
            }
            _ if !ciphertext.starts_with(MAGIC) => "the file is not an age file".to_owned(),
            DecryptError::UnknownFormat => {
                "the file is of an age format that this program does not know".to_owned()
            }
            DecryptError::InvalidMac => "the file is damaged: its header was altered".to_owned(),
            DecryptError::DecryptionFailed => {
                "the file is damaged: the key in its header does not open".to_owned()
            }
            DecryptError::InvalidHeader => {
                "the file is damaged: its header is malformed".to_owned()
            }
            DecryptError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                "the file is truncated in its header".to_owned()
            }
            DecryptError::Io(error) => format!("the file cannot be read: {error}"),
            // Passphrases and plugins, which the identities here have nothing to do with. Not in age's own words:
            // they bring a translation machinery of 400 kB into the helper.
            _ => "the file does not open with this kind of key".to_owned(),
        };
        Self::Damaged(reason)
    }
}

/// Decrypts the binary age file `ciphertext` with the first of `identities` that fits.
///
/// Reads to the end before it returns. age proves a file complete only at its last chunk, so bytes seen
/// earlier may belong to a truncated file and must not be used.
///
/// # Errors
///
/// - [`Error::NoMatch`]: no identity fits.
/// - [`Error::Damaged`]: it is not a whole, unaltered age file.
///
/// Format: <https://age-encryption.org/v1>.
pub fn decrypt<'a>(
    ciphertext: &[u8],
    identities: impl Iterator<Item = &'a dyn Identity>,
) -> Result<Plaintext, Error> {
    stack::wiped(|| read(ciphertext, identities))
}

/// Does it.
fn read<'a>(
    ciphertext: &[u8],
    identities: impl Iterator<Item = &'a dyn Identity>,
) -> Result<Plaintext, Error> {
    let mut reader =
        open(ciphertext, identities).map_err(|error| Error::new(ciphertext, &error))?;
    // The plaintext is shorter than the ciphertext: the vector never grows and leaves no copies behind.
    let mut bytes = Vec::with_capacity(ciphertext.len());
    let read = reader.read_to_end(&mut bytes);
    let plaintext = Plaintext::new(bytes);
    match read {
        Ok(_) => Ok(plaintext),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(Error::Damaged("the file is truncated".to_owned()))
        }
        Err(_) => Err(Error::Damaged(
            "the file is damaged: its content was altered or cut off".to_owned(),
        )),
    }
}

/// Opens `ciphertext`, to be read.
pub(crate) fn open<'a, 'b>(
    ciphertext: &'b [u8],
    identities: impl Iterator<Item = &'a dyn Identity>,
) -> Result<age::stream::StreamReader<&'b [u8]>, DecryptError> {
    Decryptor::new_buffered(ciphertext)?.decrypt(identities)
}
