//! ciphertext of `GnuPG` → its text, from `gpg`.
//!
//! `pass`, `gopass` and sops also run it: it knows where the keys are, and asks for their passphrases by itself.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::Command;

use vaultix_units::bounded;
use vaultix_units::plaintext::Plaintext;

use crate::error::{Error, Result, Status};
use crate::system::{fence, program};

/// Where `gpg` is told which terminal to ask at.
const TERMINAL: &str = "GPG_TTY";

/// Decrypts the file `path`.
///
/// # Errors
///
/// Its own, with the file's name.
pub fn open(path: &Path) -> Result<Plaintext> {
    let what = || format!("cannot decrypt {}", path.display());
    fence::ensure_readable(path).map_err(|error| fence::explain(Status::NoPerm, what(), &error))?;
    run(Command::new("gpg").args(["--quiet", "--decrypt", "--"]).arg(path), None)
        .map_err(|reason| Error::new(Status::NoPerm, what()).because(reason))
}

/// Decrypts `message`.
///
/// # Errors
///
/// What gpg says, or why it does not run.
pub fn decrypt(message: &[u8]) -> std::result::Result<Plaintext, String> {
    let mut gpg = Command::new("gpg");
    // It would look at its standard input, which is the message.
    if env::var_os(TERMINAL).is_none()
        && let Ok(terminal) = rustix::termios::ttyname(io::stdin(), Vec::new())
    {
        gpg.env(TERMINAL, OsString::from_vec(terminal.into_bytes()));
    }
    run(gpg.args(["--quiet", "--decrypt"]), Some(message))
}

/// Runs `gpg`, and returns what it prints.
fn run(gpg: &mut Command, input: Option<&[u8]>) -> std::result::Result<Plaintext, String> {
    let output = program::output(gpg, input, bounded::MAX_PLAINTEXT)
        .map_err(|error| format!("gpg: {error}"))?;
    let text = Plaintext::new(output.stdout);
    if output.status.success() {
        return Ok(text);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().last().unwrap_or("gpg failed").to_owned())
}
