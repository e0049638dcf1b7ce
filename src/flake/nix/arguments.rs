//! the user's words, and those of a flake that the user has allowed → what nix is told besides what we ask it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

use vaultix_generator::escape;

use super::{Settings, file_of};
use crate::error::{Error, Result, Status};
use crate::flake::git;

/// Has arguments for nix, separated by white space.
const VARIABLE: &str = "VAULTIX_NIX_ARGS";

/// Says which arguments of flakes are allowed: all of a flake's, separated by spaces.
const ALLOW: &str = "vaultix.allowNixArgs";

/// What the user gave behind `--`.
static GIVEN: OnceLock<Vec<OsString>> = OnceLock::new();

/// What the flake of this run says, once it is allowed.
static OF_FLAKE: OnceLock<Vec<String>> = OnceLock::new();

/// Takes what the user gave behind `--`.
pub fn give(arguments: Vec<OsString>) {
    let _ = GIVEN.set(arguments); // Once for a run.
}

/// Returns what nix is told when it evaluates a flake: the flake's, the variable's and the user's own, so that the last of
/// them counts.
pub(super) fn all() -> Vec<OsString> {
    let of_flake = OF_FLAKE.get().into_iter().flatten().map(OsString::from);
    let variable = env::var_os(VARIABLE).unwrap_or_default();
    let words = variable.as_bytes().split(u8::is_ascii_whitespace);
    let words =
        words.filter(|word| !word.is_empty()).map(|word| OsStr::from_bytes(word).to_owned());
    let given = GIVEN.get().into_iter().flatten().cloned();
    of_flake.chain(words).chain(given).collect()
}

/// Has nix be told from now on what `settings`, of the flake at `root`, want. Returns whether that is anything new.
///
/// # Errors
///
/// When the user has not allowed it: whoever may change the flake would have nix read any file, or run any program.
pub(super) fn adopt(root: &Path, settings: &Settings) -> Result<bool> {
    let wanted = &settings.nix_args;
    if wanted.is_empty() || OF_FLAKE.get().is_some() {
        return Ok(false);
    }
    let line = wanted.join(" ");
    let what = || {
        let what = format!("cannot evaluate the hosts of {}", file_of(root).display());
        Error::new(Status::Config, what)
    };
    let allowed = git::own_texts(ALLOW).map_err(|error| what().because(error))?;
    if !allowed.iter().any(|text| text.as_encoded_bytes() == line.as_bytes()) {
        return Err(what()
            .because(format!("it has vaultix.nixArgs run nix with {line}"))
            .because("you have not allowed that")
            .fix(format!("git config --global --add {ALLOW} {}", escape::shell(&line))));
    }
    Ok(OF_FLAKE.set(wanted.clone()).is_ok())
}
