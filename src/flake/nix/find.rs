//! working directory, or what the user named → the directory of a flake whose owner is trusted.
//!
//! A flake decides whom secrets are encrypted to. In a directory where everybody may make files, that flake may be anybody's.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use vaultix_generator::escape;

use crate::error::{Error, Result, Status};
use crate::flake::git;

/// Names the flake, where `--flake` does not.
const VARIABLE: &str = "VAULTIX_FLAKE";

/// Whom sudo works for.
const SUDO: &str = "SUDO_UID";

/// The flake that the user named on the command line.
static CHOSEN: OnceLock<PathBuf> = OnceLock::new();

/// Uses the flake in `directory`, whoever owns it.
pub fn use_flake(directory: &Path) {
    let _ = CHOSEN.set(directory.to_owned()); // Once for a run.
}

/// Returns the directory of the flake that the user named, or else of that around the working directory.
///
/// # Errors
///
/// When there is none where one was named, or that which was found is somebody else's.
pub fn root() -> Result<Option<PathBuf>> {
    if let Some(directory) = named() {
        let what = || {
            Error::new(Status::Config, format!("cannot use the flake in {}", directory.display()))
        };
        let whole = directory.canonicalize().map_err(|error| what().because(error))?;
        if FILES.iter().any(|file| whole.join(file).is_file()) {
            return Ok(Some(whole));
        }
        return Err(what()
            .because(format!("there is no {FLAKE} in it, and no {PLAIN}"))
            .fix("name the directory of one with --flake DIR, or in VAULTIX_FLAKE"));
    }
    // A module may be called like the other one, in a directory of the flake.
    let Some(root) = FILES.iter().find_map(|file| find_upwards(file)) else { return Ok(None) };
    let file = file_of(&root);
    match foreign_owner(&root, &[FLAKE, PLAIN, "flake.lock"]) {
        Ok(None) => Ok(Some(root)),
        Ok(Some((path, owner))) => {
            Err(Error::new(Status::NoPerm, format!("cannot use {}", file.display()))
                .because(format!("{} belongs to {owner}", path.display()))
                .because("you have not chosen it")
                .fix(format!("export {VARIABLE}={}", escape::shell(&root))))
        }
        Err(error) => {
            Err(Error::new(Status::NoPerm, format!("cannot determine who owns {}", file.display()))
                .because(error))
        }
    }
}

/// Returns the same where profiles were named, so that the flake has little to say: none, where it is somebody else's.
///
/// # Errors
///
/// When there is none where one was named.
pub fn root_if_ours() -> Result<Option<PathBuf>> {
    match root() {
        Err(error) if named().is_some() => Err(error),
        found => Ok(found.unwrap_or_default()),
    }
}

/// The file that makes a directory one of a flake.
const FLAKE: &str = "flake.nix";

/// The file that has the same without a flake: it evaluates to what the output `vaultix` is.
const PLAIN: &str = "vaultix.nix";

const FILES: [&str; 2] = [FLAKE, PLAIN];

/// Returns whether there is a flake in `root`, and not only what does without.
pub fn is_flake(root: &Path) -> bool {
    root.join(FLAKE).is_file()
}

/// Returns the file in `root` that Nix evaluates.
pub fn file_of(root: &Path) -> PathBuf {
    root.join(if root.join(PLAIN).is_file() && !is_flake(root) { PLAIN } else { FLAKE })
}

fn named() -> Option<PathBuf> {
    chosen().map(|name| split(&name).0)
}

/// Returns the flake as nix takes it, in its directory: `.`, with what the user asks of it, such as `?submodules=1`.
pub(super) fn reference() -> OsString {
    let mut reference = OsString::from(".");
    if let Some((_, Some(query))) = chosen().map(|name| split(&name)) {
        reference.push("?");
        reference.push(query);
    }
    reference
}

/// Returns what the user named, as they wrote it.
fn chosen() -> Option<PathBuf> {
    let variable = || env::var_os(VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
    CHOSEN.get().cloned().or_else(variable)
}

/// Splits `name` into a directory, and what is asked of it behind a question mark, unless there is a directory of this name.
fn split(name: &Path) -> (PathBuf, Option<OsString>) {
    let bytes = name.as_os_str().as_bytes();
    let mark = bytes.iter().rposition(|byte| *byte == b'?').filter(|_| !name.exists());
    match mark.and_then(|mark| bytes.split_at_checked(mark)) {
        Some((directory, [_, query @ ..])) => {
            let directory = if directory.is_empty() { b"." } else { directory };
            (PathBuf::from(OsStr::from_bytes(directory)), Some(OsStr::from_bytes(query).to_owned()))
        }
        _ => (name.to_owned(), None),
    }
}

/// Returns the directory with `file` around the working directory, in the same file system.
fn find_upwards(file: &str) -> Option<PathBuf> {
    let here = env::current_dir().ok()?;
    let device = here.metadata().ok()?.dev();
    here.ancestors()
        .take_while(|directory| directory.metadata().is_ok_and(|found| found.dev() == device))
        .find(|directory| directory.join(file).is_file())
        .map(Path::to_owned)
}

/// Returns a path in `directory` that belongs neither to the user nor to root, and its owner: the directory, one of its
/// `files`, or the repository around it, which decides what Nix sees of it.
///
/// # Errors
///
/// The system's own.
pub fn foreign_owner(directory: &Path, files: &[&str]) -> io::Result<Option<(PathBuf, String)>> {
    let uid = rustix::process::geteuid().as_raw();
    let whom = env::var(SUDO).ok().filter(|_| uid == 0).and_then(|text| text.parse().ok());
    let ours = [Some(0), Some(uid), whom];
    let mut paths = vec![directory.to_owned()];
    paths.extend(files.iter().map(|file| directory.join(file)));
    paths.extend(git::top(directory)?.into_iter().flat_map(|top| [top.join(".git"), top]));
    for path in paths {
        match path.symlink_metadata() {
            Ok(found) if !ours.contains(&Some(found.uid())) => {
                return Ok(Some((path, user_name(found.uid()))));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(None)
}

/// Names the user with the number `uid`.
fn user_name(uid: u32) -> String {
    /// Largest list of users that is read, in bytes (1 MiB).
    const LIMIT: u64 = 1 << 20;
    let users = vaultix_units::bounded::read(Path::new("/etc/passwd"), LIMIT).ok();
    let users = users.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.map_or(format!("user {uid}"), |name| format!("user {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_may_have_a_query() {
        let split = |name: &str| {
            let (directory, query) = split(Path::new(name));
            (
                directory.to_str().unwrap().to_owned(),
                query.map(|it| it.to_str().unwrap().to_owned()),
            )
        };
        let with = |directory: &str, query: &str| (directory.to_owned(), Some(query.to_owned()));
        assert_eq!(split("."), (".".to_owned(), None));
        assert_eq!(split("src"), ("src".to_owned(), None));
        assert_eq!(split(".?submodules=1"), with(".", "submodules=1"));
        assert_eq!(split("?submodules=1"), with(".", "submodules=1"));
        assert_eq!(split("a?b?dir=c"), with("a?b", "dir=c"));
    }
}
