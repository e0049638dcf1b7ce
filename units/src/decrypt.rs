//! ciphertext + identities → [`Plaintext`], complete or not at all; without any key, the stanzas of its header.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, BufRead, Read};

use age::{DecryptError, Decryptor, Identity};
use age_core::format::{FileKey, Stanza};

use crate::plaintext::Plaintext;
use crate::stack;
use crate::stanza::{self, Recipient};

/// First line of an armored age file.
const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";

/// First bytes of every age file.
const MAGIC: &[u8] = b"age-encryption.org/";

/// Largest header, in bytes (1 MiB).
///
/// All of it is read, and copied several times, before anything in it is verified.
pub const MAX_HEADER: usize = 1 << 20;

/// How many stanzas a header may have, grease included (4096).
///
/// A native identity is tried on each of its kind, at some 60 microseconds.
pub const MAX_STANZAS: usize = 4096;

/// Why a ciphertext did not decrypt.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// No identity fits; the recipients that its header names.
    NoMatch(Vec<Recipient>),
    /// It is not a complete age file; what is wrong with it.
    Damaged(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMatch(recipients) => {
                write!(f, "it is encrypted to another key: {}", stanza::describe(recipients))
            }
            Self::Damaged(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Explains why `age` did not decrypt `ciphertext`.
    fn new(ciphertext: &[u8], error: &DecryptError) -> Self {
        let reason = match error {
            DecryptError::NoMatchingKeys => {
                return Self::NoMatch(recipients(ciphertext).unwrap_or_default());
            }
            _ if ciphertext.is_empty() => "the file is empty".to_owned(),
            _ if ciphertext.starts_with(ARMOR) => {
                "the file is an armored age file, but a binary one belongs here".to_owned()
            }
            _ if !ciphertext.starts_with(MAGIC) => "the file is not an age file".to_owned(),
            DecryptError::UnknownFormat => {
                "the file has an age format that this program does not support".to_owned()
            }
            DecryptError::InvalidMac => "the file is damaged: its header was altered".to_owned(),
            DecryptError::DecryptionFailed => {
                "the file is damaged: the key in its header cannot be decrypted".to_owned()
            }
            DecryptError::InvalidHeader => {
                "the file is damaged: its header is malformed".to_owned()
            }
            DecryptError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                "the file is truncated in its header".to_owned()
            }
            DecryptError::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                "the file is damaged: its header is malformed".to_owned()
            }
            DecryptError::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                format!(
                    "the header of the file is too large, the limits are {MAX_HEADER} bytes and {MAX_STANZAS} recipients"
                )
            }
            DecryptError::Io(error) => format!("the file cannot be read: {error}"),
            // Passphrases and plugins, which do not concern the identities here. Not in age's own words:
            // they would add 400 kB of translation code to the helper.
            _ => "the file cannot be decrypted with this kind of key".to_owned(),
        };
        Self::Damaged(reason)
    }
}

/// Decrypts the binary age file `ciphertext` with the first of `identities` that fits.
///
/// Reads to the end before it returns. age authenticates the end of a file only in its last chunk, so earlier bytes
/// may belong to a truncated file and must not be used.
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

fn read<'a>(
    ciphertext: &[u8],
    identities: impl Iterator<Item = &'a dyn Identity>,
) -> Result<Plaintext, Error> {
    let mut reader =
        open(ciphertext, identities).map_err(|error| Error::new(ciphertext, &error))?;
    // The plaintext is shorter than the ciphertext: the vector never grows, which would leave copies behind.
    let mut bytes = Vec::with_capacity(ciphertext.len());
    let read = reader.read_to_end(&mut bytes);
    let plaintext = Plaintext::new(bytes);
    match read {
        Ok(_) => Ok(plaintext),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(Error::Damaged("the file is truncated".to_owned()))
        }
        Err(_) => Err(Error::Damaged(
            "the file is damaged: its content was altered or cut off".to_owned(),
        )),
    }
}

/// Returns the recipient stanzas of `ciphertext`, without grease.
///
/// # Errors
///
/// As [`decrypt`], as far as the header alone shows.
pub fn recipients(ciphertext: &[u8]) -> Result<Vec<Recipient>, Error> {
    collect(ciphertext, Recipient::new)
}

/// Returns all stanzas in the header of `ciphertext`, including grease.
///
/// # Errors
///
/// As [`recipients`].
pub fn stanzas(ciphertext: &[u8]) -> Result<Vec<Stanza>, Error> {
    // A stanza cannot be cloned.
    collect(ciphertext, |stanza| {
        Some(Stanza {
            tag: stanza.tag.clone(),
            args: stanza.args.clone(),
            body: stanza.body.clone(),
        })
    })
}

/// Returns what `select` makes of each stanza of `ciphertext`.
fn collect<T>(ciphertext: &[u8], select: fn(&Stanza) -> Option<T>) -> Result<Vec<T>, Error> {
    let collector = StanzaCollector { select, collected: RefCell::default() };
    match open(ciphertext, std::iter::once(&collector as &dyn Identity)) {
        Err(DecryptError::NoMatchingKeys) => Ok(collector.collected.into_inner()),
        Err(error) => Err(Error::new(ciphertext, &error)),
        Ok(_) => Ok(Vec::new()), // A collector decrypts nothing.
    }
}

fn open<'a, 'b>(
    ciphertext: &'b [u8],
    identities: impl Iterator<Item = &'a dyn Identity>,
) -> Result<age::stream::StreamReader<HeaderAtOnce<'b>>, DecryptError> {
    Decryptor::new_buffered(HeaderAtOnce::new(ciphertext)?)?.decrypt(identities)
}

/// An identity that decrypts nothing and remembers the stanzas that it was given.
struct StanzaCollector<T> {
    select: fn(&Stanza) -> Option<T>,
    collected: RefCell<Vec<T>>,
}

impl<T> Identity for StanzaCollector<T> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        self.collected.borrow_mut().extend((self.select)(stanza));
        None
    }
}

/// A file whose header is read as if it were one line: age reads a line, then parses everything so far again, so
/// that n lines would take n² steps.
struct HeaderAtOnce<'a> {
    /// The header, until it is read.
    header: Option<&'a [u8]>,
    payload: &'a [u8],
}

impl<'a> HeaderAtOnce<'a> {
    /// Splits the file `bytes`.
    ///
    /// If no end of the header is found, all of it is the header: age knows best what is wrong with it.
    fn new(bytes: &'a [u8]) -> Result<Self, DecryptError> {
        let head = bytes.get(..MAX_HEADER).unwrap_or(bytes);
        let end = end_of_header(head);
        let is_cut = end.is_none() && head.len() < bytes.len() && bytes.starts_with(MAGIC);
        let end = end.unwrap_or(head.len());
        let (header, payload) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
        let stanzas = header.windows(4).filter(|bytes| bytes == b"\n-> ").count();
        if is_cut || stanzas > MAX_STANZAS {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge).into());
        }
        Ok(Self { header: Some(header), payload })
    }
}

/// Returns how many bytes of `ciphertext` are its header; `None` if that has no end.
#[must_use]
pub fn header_length(ciphertext: &[u8]) -> Option<usize> {
    end_of_header(ciphertext.get(..MAX_HEADER).unwrap_or(ciphertext))
}

/// Returns where the header in `head` ends: after the first line that begins with `---`, which no line of a stanza does.
///
/// Format: <https://age-encryption.org/v1>, "Header".
fn end_of_header(head: &[u8]) -> Option<usize> {
    let line = head.windows(4).position(|bytes| bytes == b"\n---")? + 1;
    let length = head.get(line..)?.iter().position(|byte| *byte == b'\n')? + 1;
    Some(line + length)
}

impl Read for HeaderAtOnce<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.payload.read(buffer)
    }
}

impl BufRead for HeaderAtOnce<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.payload.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.payload.consume(amount);
    }

    fn read_until(&mut self, _: u8, line: &mut Vec<u8>) -> io::Result<usize> {
        match self.header.take() {
            Some(header) => {
                line.extend_from_slice(header);
                Ok(header.len())
            }
            // Nothing that follows could make the header whole.
            None if self.payload.is_empty() => Ok(0),
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
