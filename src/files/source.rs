//! path of a secret in the repository → its master ciphertext.

use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};
use vaultix_generator::escape;
use vaultix_units::{bounded, decrypt, stanza};

use crate::error::{Error, Exit, Result, Status};
use crate::flake::git::restore;
use crate::system::fence;
use crate::system::origin;

/// Returns whether there is no file `path`: one that may not be looked at is there, and reading it says why. It is read by name
/// afterwards, so this decides only whether it is missed.
pub fn is_absent(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Returns the SHA-256 of the file's bytes, in lower-case hex.
///
/// # Errors
///
/// When it cannot be read.
pub fn digest(path: &Path) -> Result<String> {
    Ok(sha256(&read(path)?))
}

/// Returns the SHA-256 of `bytes`, in lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    escape::hex(&Sha256::digest(bytes))
}

/// Returns the file's bytes.
///
/// # Errors
///
/// When it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = fence::read(path, bounded::MAX_CIPHERTEXT).map_err(|error| {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::Failed(Status::NoInput),
            io::ErrorKind::FileTooLarge => Exit::Failed(Status::DataErr),
            _ => Exit::Failed(Status::NoPerm),
        };
        fence::explain(exit, format!("cannot read {}", origin::shown(path)), &error)
    })?;
    Ok(std::mem::take(&mut *bytes))
}

/// Returns the error for a source that cannot be decrypted.
///
/// `skipped` says why some identities were not tried.
pub fn cannot_open(path: &Path, error: &decrypt::Error, skipped: &[Error]) -> Error {
    let what = format!("cannot decrypt {}", origin::shown(path));
    match error {
        decrypt::Error::NoMatch(recipients) => {
            no_match(what, &stanza::describe(recipients), skipped)
        }
        other => damaged(path, &other.to_string()),
    }
}

/// Returns the error for the secret `path`, which nobody can decrypt because of `reason`, with what brings it back.
pub fn damaged(path: &Path, reason: &str) -> Error {
    let what = format!("cannot decrypt {}", origin::shown(path));
    let error = Error::new(Status::DataErr, what).because(reason);
    restore::command(path).into_iter().fold(error, Error::fix)
}

/// Returns the error `what` for something that is encrypted to `recipients`, none of which is ours.
///
/// `skipped` says why some identities were not tried.
pub fn no_match(what: String, recipients: &str, skipped: &[Error]) -> Error {
    let reason = format!("no identity can decrypt it: it is encrypted to {recipients}");
    let error = Error::new(Status::NoPerm, what).because(reason);
    if skipped.is_empty() {
        return error.fix("pass an identity that can decrypt it with --identity FILE");
    }
    skipped.iter().fold(error, |error, reason| error.because_of(reason.clone()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::{env, fs};

    use super::*;

    /// Returns a path for a file of the test `name`.
    fn place(name: &str) -> PathBuf {
        env::temp_dir().join(format!("vaultix-source-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_file_is_read_whole_and_known_by_its_sha256() {
        let path = place("whole");
        fs::write(&path, "hunter2").unwrap();
        assert_eq!(read(&path).unwrap(), b"hunter2");
        // printf hunter2 | sha256sum
        let sum = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";
        assert_eq!(digest(&path).unwrap(), sum);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn the_exit_status_says_why_a_file_cannot_be_read() {
        let exit = |path: &Path| read(path).unwrap_err().exit;
        let path = place("large");
        assert_eq!(exit(&path), Exit::Failed(Status::NoInput));
        assert_eq!(exit(&env::temp_dir()), Exit::Failed(Status::NoPerm));
        // A sparse file, which takes no space.
        fs::File::create(&path).unwrap().set_len(bounded::MAX_CIPHERTEXT + 1).unwrap();
        assert_eq!(exit(&path), Exit::Failed(Status::DataErr));
        fs::remove_file(path).unwrap();
    }
}
