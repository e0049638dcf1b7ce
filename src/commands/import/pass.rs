//! file of a password store → its text, from `gpg`.
//!
//! That is what `pass` and `gopass` would also run; without them, one way serves both.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use vaultix_units::bounded;
use vaultix_units::plaintext::Plaintext;

use crate::cli::Scheme;
use crate::error::{Error, Result, Status};
use crate::system::{fence, program};

/// Returns where the store of `scheme` is, if nobody says otherwise; `None` for one that has no such place.
pub fn store(scheme: Scheme) -> Option<PathBuf> {
    let below = |variable: &str, rest: &str| Some(PathBuf::from(env::var_os(variable)?).join(rest));
    match scheme {
        Scheme::Pass => {
            below("PASSWORD_STORE_DIR", "").or_else(|| below("HOME", ".password-store"))
        }
        Scheme::Gopass => {
            let rest = "gopass/stores/root";
            below("XDG_DATA_HOME", rest).or_else(|| below("HOME", &format!(".local/share/{rest}")))
        }
        Scheme::Agenix | Scheme::AgenixRekey | Scheme::Sops => None,
    }
}

/// Has `gpg` decrypt the file `path`.
///
/// It asks for passphrases itself, and finds the terminal by its standard input.
///
/// # Errors
///
/// Its own, with the file's name.
pub fn open(path: &Path) -> Result<Plaintext> {
    let what = || Error::new(Status::NoPerm, format!("cannot decrypt {}", path.display()));
    fence::ensure_readable(path).map_err(|error| {
        fence::explain(Status::NoPerm, format!("cannot decrypt {}", path.display()), &error)
    })?;
    let mut gpg = Command::new("gpg");
    gpg.args(["--quiet", "--decrypt", "--"]).arg(path);
    let output = program::output(&mut gpg, None, bounded::MAX_CIPHERTEXT / 2)
        .map_err(|error| what().because(format!("gpg: {error}")))?;
    let text = Plaintext::new(output.stdout);
    if output.status.success() {
        return Ok(text);
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(what().because(words.lines().last().unwrap_or("gpg failed")))
}
