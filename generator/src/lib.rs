//! the systemd generator as a library (not `vaultix generate`): profile → units, and what the other packages use of it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub mod escape;
pub mod output;
pub mod placeholder;
pub mod private;
pub mod profile;
pub mod size;
pub mod status;
pub mod unit;

use profile::{HostKey, Profile, Side};
use status::Status;
use unit::Programs;

/// Generates the units of the host with the profile `profile` into `directory`.
///
/// Without a profile there is nothing to do. For an invalid one, a single unit is made that fails with the
/// reason: the output of a generator is lost.
///
/// # Errors
///
/// The exit status, and a line for people who run the generator by hand.
pub fn generate(profile: &Path, helper: &Path, directory: &Path) -> Result<(), (Status, String)> {
    let programs = Programs { helper, profile };
    let read = match read_profile(profile, Side::Host) {
        Ok(None) => return Ok(()),
        Ok(Some(read)) => read,
        Err(reason) => {
            // The reason may contain anything, and the journal has an entry for each line.
            let reason = format!("cannot use the profile {}: {reason}", profile.display());
            let reason = escape::message(&reason);
            write(directory, &unit::render_bad_profile(&reason, &programs))?;
            return Err((Status::Config, reason));
        }
    };
    write(directory, &unit::render(&read, &programs))
}

/// Makes the units of the manager of a user with the profile `profile`, in `directory`. They name the profile by where it will be
/// in the user's home.
///
/// # Errors
///
/// As [`generate`], also without a profile: the configuration that they are a part of is not built then.
pub fn generate_user(
    profile: &Path,
    helper: &Path,
    directory: &Path,
) -> Result<(), (Status, String)> {
    let refused = |reason: &str| {
        let reason = format!("cannot use the profile {}: {reason}", profile.display());
        Err((Status::Config, escape::message(&reason)))
    };
    match read_profile(profile, Side::Host) {
        Ok(None) => refused("it does not exist"),
        Ok(Some(read)) if !read.early.is_empty() => {
            refused("beforeUserborn: a user has nothing that is needed before users exist")
        }
        Ok(Some(read)) if read.settings.host_keys.iter().any(HostKey::is_sealed) => {
            refused("settings.hostKeys: a user cannot have a key that is sealed to the machine")
        }
        Ok(Some(read)) => {
            write(directory, &unit::render_user(&read, &Programs { helper, profile }))
        }
        Err(reason) => refused(&reason),
    }
}

/// Reads the profile `path`; `None` if there is none.
///
/// # Errors
///
/// Why it cannot be used, without its path.
pub fn read_profile(path: &Path, side: Side) -> Result<Option<Profile>, String> {
    read_profile_from(path, side, || {
        // Checked before it is opened, since opening a FIFO would block.
        if fs::metadata(path)?.is_file() { File::open(path) } else { Err(no_file()) }
    })
}

/// As [`read_profile`], where `open` opens it, and never blocks.
///
/// # Errors
///
/// As [`read_profile`], and those of `open`.
pub fn read_profile_from(
    path: &Path,
    side: Side,
    open: impl FnOnce() -> io::Result<File>,
) -> Result<Option<Profile>, String> {
    let text = match open().and_then(read_text) {
        Ok(text) => text,
        // A dangling link is not the same as no profile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match fs::symlink_metadata(path) {
                Ok(_) => Err("it is a link to a file that does not exist".to_owned()),
                Err(_) => Ok(None),
            };
        }
        Err(error) => return Err(error.to_string()),
    };
    Profile::parse(&text, side).map(Some).map_err(|error| error.to_string())
}

/// Returns the error that it is a directory, or anything else that has no text.
fn no_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")
}

/// Reads `file`, up to the limit of a profile.
fn read_text(file: File) -> io::Result<String> {
    let limit = profile::MAX_BYTES;
    let expected = file.metadata()?.len().min(limit);
    let mut text = String::with_capacity(usize::try_from(expected).unwrap_or_default() + 1);
    let read = file.take(limit + 1).read_to_string(&mut text)?;
    if read as u64 > limit {
        let text = format!("it has more than {}", size::shown(limit));
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(text)
}

/// Writes `files` and words what failed.
fn write(directory: &Path, files: &[unit::UnitFile]) -> Result<(), (Status, String)> {
    output::write(directory, files).map_err(|failures| {
        let lines: Vec<String> = failures
            .into_iter()
            .map(|(path, error): (PathBuf, io::Error)| {
                format!("cannot write {}: {error}", path.display())
            })
            .collect();
        (Status::CantCreat, lines.join("\n"))
    })
}
