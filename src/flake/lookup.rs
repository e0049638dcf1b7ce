//! what the user types, and where they are → the file of a secret.
//!
//! In this order: a file that is here; the file of a declared secret, as it is called from the flake's root; the secret of
//! this id. Hosts are evaluated only if there is no such file here.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use vaultix_generator::escape;
use vaultix_generator::profile::{Key, Profile};

use crate::cli::{did_you_mean, is_slip, near};
use crate::error::{Error, Result, Status};
use crate::flake::workspace::{self, DEFAULT_SECRETS};
use crate::flake::{nix, profiles};
use crate::report;
use crate::system::fence;
use crate::system::origin;
use crate::terminal::prompt::{Prompt, Question};

/// Most files of a directory that are compared with what was typed.
const MAX_FILES: usize = 10_000;

/// The secret that the user means.
pub struct Found {
    pub path: PathBuf,
    /// Which value of the file it is, if its id says so.
    pub key: Option<Key>,
    /// Why the user is asked before a file is made there.
    doubt: Option<Doubt>,
}

/// Why a new file may be in the wrong place.
enum Doubt {
    /// No host declares it. These are called nearly the same.
    Undeclared(Vec<String>),
    /// It is not known what hosts declare.
    Unknown(Error),
    /// It is among the flake's secrets, where files are often made before they are declared; but it looks like a slip.
    Misspelt(String),
}

impl Found {
    fn file(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), key: None, doubt: None }
    }

    fn doubted(path: &Path, doubt: Doubt) -> Self {
        Self { doubt: Some(doubt), ..Self::file(path) }
    }

    /// A new file that is among the flake's secrets.
    fn among_secrets(path: &Path) -> Self {
        let names = files_beside(path);
        let meant =
            names.into_iter().find(|name| path.to_str().is_some_and(|it| is_slip(it, name)));
        Self { doubt: meant.map(Doubt::Misspelt), ..Self::file(path) }
    }

    /// Makes sure that the user wants a new file there if no host declares it, or warns of a likely slip. `again` returns the command line for a file.
    ///
    /// # Errors
    ///
    /// When they do not want it, or cannot be asked.
    pub fn ensure_wanted(&self, again: &dyn Fn(&Path) -> String, prompt: &Prompt) -> Result<()> {
        let Some(doubt) = &self.doubt else { return Ok(()) };
        let shown = escape::line(&origin::shown(&self.path));
        let reason = match doubt {
            Doubt::Undeclared(_) => "no host declares it",
            Doubt::Unknown(_) => "it is not known whether a host declares it",
            Doubt::Misspelt(_) => "another secret is called nearly the same",
        };
        let near: Vec<&str> = match doubt {
            Doubt::Undeclared(near) => near.iter().map(String::as_str).collect(),
            Doubt::Misspelt(meant) => vec![meant],
            Doubt::Unknown(_) => Vec::new(),
        };
        let hint = did_you_mean(&near);
        let aside = hint.as_ref().map(|hint| format!("; {}", escape::line(hint)));
        let what = format!("{shown} does not exist, and {reason}{}", aside.unwrap_or_default());
        let question = Question { what: &what, purpose: "", complaint: None };
        match (prompt.confirm(&question, "create it", Some("stop"))?, doubt) {
            (Some(true), _) => return Ok(()),
            // A script that names its files is right more often than this guess.
            (None, Doubt::Misspelt(meant)) => {
                prompt.warn(&Error::new(
                    Status::Usage,
                    format!("{shown} is new, and {reason}: {meant}"),
                ));
                return Ok(());
            }
            (Some(false) | None, _) => {}
        }
        let error = Error::new(Status::Usage, format!("cannot create {}", self.path.display()));
        let error = error.because(reason);
        let error = match doubt {
            Doubt::Unknown(reason) => error.because_of(reason.clone().without_fix()),
            Doubt::Undeclared(_) | Doubt::Misspelt(_) => {
                hint.into_iter().fold(error, Error::because)
            }
        };
        let create = format!("{} --new", again(&self.path));
        Err(error.fix(match near.first() {
            Some(near) => format!("{}  # or, for a new file: {create}", again(Path::new(near))),
            None => create,
        }))
    }
}

/// Returns the secret that the user calls `typed`, which has to exist: a path, or the id of a secret in the profiles that were
/// `named`, or else of the flake.
///
/// # Errors
///
/// When the flake cannot be asked, hosts mean different secrets by the id, or only others are called nearly the same.
pub fn existing(typed: &Path, named: &[PathBuf]) -> Result<Found> {
    let path = workspace::file(typed)?;
    if path != typed || typed.symlink_metadata().is_ok() {
        return Ok(Found::file(path));
    }
    let root = if named.is_empty() { nix::root().ok().flatten() } else { None };
    let profiles = match &root {
        _ if !named.is_empty() => profiles::read_all(named),
        Some(root) => nix::profiles(root),
        None => Ok(Vec::new()),
    };
    let profiles = match profiles {
        Ok(profiles) => profiles,
        // It may be a file that is gone, whatever the flake says.
        Err(_) if is_age(typed) => Vec::new(),
        Err(error) => {
            return Err(error.context(format!("cannot find secret \"{}\"", typed.display())));
        }
    };
    if let Some(found) = declared(typed, root.as_deref(), &profiles)? {
        return Ok(found);
    }
    let near = names_near(typed, root.as_deref(), &profiles);
    let near: Vec<&str> = near.iter().map(String::as_str).collect();
    match did_you_mean(&near) {
        Some(hint) => Err(Error::new(Status::NoInput, format!("cannot find {}", typed.display()))
            .because("it does not exist")
            .because(hint)),
        // Whoever reads it says that it does not exist.
        None => Ok(Found::file(path)),
    }
}

/// Returns the same of a secret that is made if it does not exist. If the user says that it `is_new`, or does not use a flake,
/// that is the file at this path.
///
/// # Errors
///
/// When the flake cannot be asked for its inputs, or hosts mean different secrets by the id.
pub fn existing_or_new(typed: &Path, named: &[PathBuf], is_new: bool) -> Result<Found> {
    let path = workspace::file(typed)?;
    if is_new || path != typed || typed.symlink_metadata().is_ok() {
        return Ok(Found::file(path));
    }
    if !named.is_empty() {
        let profiles = profiles::read_all(named)?;
        return Ok(declared(typed, None, &profiles)?.unwrap_or_else(|| Found::file(typed)));
    }
    let Some(root) = nix::root()? else { return Ok(Found::file(typed)) };
    let place = whole(typed);
    let is_inside = place.starts_with(&root) || resolved(&place).starts_with(&root);
    let is_same_from_root = whole(&root.join(typed)) == place;
    // No host has files elsewhere; and one among the flake's secrets is often made before it is declared.
    if !is_inside {
        return Ok(Found::file(typed));
    }
    if is_same_from_root && is_among_secrets(typed, &root) {
        return Ok(Found::among_secrets(typed));
    }
    let profiles = match nix::profiles(&root) {
        Ok(profiles) => profiles,
        Err(_) if is_among_secrets(typed, &root) => return Ok(Found::among_secrets(typed)),
        Err(error) if has_no_hosts(&error) => return Ok(Found::file(typed)),
        Err(error) => return Ok(Found::doubted(typed, Doubt::Unknown(error))),
    };
    if let Some(found) = declared(typed, Some(&root), &profiles)? {
        return Ok(found);
    }
    if is_among_secrets(typed, &root) {
        return Ok(Found::among_secrets(typed));
    }
    let near = names_near(typed, Some(&root), &profiles);
    Ok(Found::doubted(typed, Doubt::Undeclared(near)))
}

/// Returns the secret of `profiles` that `typed` means: the file at this path here, or from the flake's `root`, or the id.
///
/// # Errors
///
/// When hosts mean different secrets by the id.
fn declared(typed: &Path, root: Option<&Path>, profiles: &[Profile]) -> Result<Option<Found>> {
    let here = whole(typed);
    let from_root = root.filter(|_| typed.is_relative()).map(|root| whole(&root.join(typed)));
    let mut is_from_root = None;
    for (_, path, _) in secrets(profiles) {
        let found = Some(whole(path));
        if found.as_ref() == Some(&here) {
            return Ok(Some(Found::file(typed)));
        }
        if found == from_root {
            is_from_root = Some(Found::file(path));
        }
    }
    match is_from_root {
        Some(found) => Ok(Some(found)),
        None => by_id(typed, profiles),
    }
}

/// Returns the secret of `profiles` whose id is `typed`.
///
/// # Errors
///
/// When hosts mean different ones by it.
fn by_id(typed: &Path, profiles: &[Profile]) -> Result<Option<Found>> {
    if is_age(typed) {
        return Ok(None);
    }
    let same = secrets(profiles).filter(|(id, ..)| typed.to_str() == Some(id));
    let found: BTreeSet<(&Path, Option<&Key>)> = same.map(|(_, path, key)| (path, key)).collect();
    let mut all = found.iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some((path, key)), None) => Ok(Some(Found { key: key.cloned(), ..Found::file(*path) })),
        _ => {
            let files: Vec<String> = found
                .iter()
                .map(|(path, key)| {
                    let key = key.map(|key| format!("{} in ", key.pointer));
                    key.unwrap_or_default() + &origin::shown(path)
                })
                .collect();
            let what = format!("cannot choose one secret \"{}\"", typed.display());
            Err(Error::new(Status::Usage, what)
                .because(format!("hosts mean different ones: {}", report::list(&files)))
                .fix("pass the file, or the profile of one host with --profile FILE"))
        }
    }
}

/// Returns the ids, files and keys of all secrets of `profiles`.
fn secrets(profiles: &[Profile]) -> impl Iterator<Item = (&str, &Path, Option<&Key>)> {
    let all = profiles.iter().flat_map(|profile| profile.secrets.values().flatten());
    all.map(|secret| (secret.id.as_str(), secret.ciphertext.as_path(), secret.key.as_ref()))
}

/// Returns what is called nearly as `typed`: ids and files of `profiles`, and files beside it.
fn names_near(typed: &Path, root: Option<&Path>, profiles: &[Profile]) -> Vec<String> {
    let Some(text) = typed.to_str() else { return Vec::new() };
    let mut names: BTreeSet<String> = BTreeSet::new();
    for (id, path, _) in secrets(profiles) {
        // A file from the root only if it is found from here as well.
        let from_root =
            root.and_then(|root| whole(path).strip_prefix(root).ok().map(Path::to_owned));
        names.insert(id.to_owned());
        names.insert(origin::shown(path));
        names.extend(from_root.map(|path| path.display().to_string()));
    }
    names.extend(files_beside(typed));
    near(text, names.iter().map(String::as_str)).into_iter().map(str::to_owned).collect()
}

/// Returns the files of secrets in the directory of `typed`, as the user would type them.
fn files_beside(typed: &Path) -> BTreeSet<String> {
    let parent = typed.parent().unwrap_or(Path::new(""));
    let directory = if parent == Path::new("") { Path::new(".") } else { parent };
    let files = fs::read_dir(directory).into_iter().flatten().flatten().take(MAX_FILES);
    let files = files.map(|file| parent.join(file.file_name())).filter(|path| is_age(path));
    files.filter_map(|path| path.to_str().map(str::to_owned)).collect()
}

/// Returns whether `typed` is called as a file of a secret, and not as an id.
fn is_age(typed: &Path) -> bool {
    typed.extension() == Some(OsStr::new("age"))
}

/// Returns whether `typed` is in the directory for secrets of the flake at `root`.
fn is_among_secrets(typed: &Path, root: &Path) -> bool {
    let settings = nix::settings(root).unwrap_or_default();
    let directory = settings.secrets(root).ok().flatten();
    let directory = whole(&directory.unwrap_or_else(|| root.join(DEFAULT_SECRETS)));
    let place = whole(typed);
    is_age(typed)
        && (place.starts_with(&directory) || resolved(&place).starts_with(resolved(&directory)))
}

/// Returns whether `error` says that the flake is not one with hosts.
fn has_no_hosts(error: &Error) -> bool {
    let text = error.to_string();
    text.contains("does not provide attribute") || text.contains("'profiles' missing")
}

/// Returns `path` as an absolute one.
fn whole(path: &Path) -> PathBuf {
    std::path::absolute(path).map_or_else(|_| path.to_owned(), |path| fence::without_parents(&path))
}

/// Returns `path` without links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    fence::resolve(path).unwrap_or_else(|_| path.to_owned())
}
