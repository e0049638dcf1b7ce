//! files in repositories other than the flake's own → where they can be changed, and what has Nix see the change.
//!
//! Those are inputs, of which the user names a checkout in their own settings, and submodules. A flake names none: whoever
//! commits to it could choose what is written to.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::{Path, PathBuf};

use vaultix_generator::escape;

use crate::error::{Error, Result, Status};
use crate::flake::git;
use crate::flake::nix::{self, FlakeInput};
use crate::report::{self, Report};
use crate::system::fence::{self, Extent};
use crate::system::origin;

/// Names checkouts, where settings of git do not: `NAME=DIRECTORY`, separated by colons.
const VARIABLE: &str = "VAULTIX_CHECKOUTS";

/// The checkouts of inputs that the user has named.
#[derive(Default)]
pub struct Checkouts {
    /// By the name of the input; `None` where there is none.
    known: BTreeMap<String, Option<PathBuf>>,
}

/// Another repository than the flake's own.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Repository {
    directory: PathBuf,
    /// Whether Nix sees only what is committed.
    is_committed: bool,
    /// Whether Nix takes it from elsewhere.
    is_pushed: bool,
    /// Whether it is a submodule of the flake's.
    is_submodule: bool,
    /// The input that it is.
    input: Option<String>,
}

impl Checkouts {
    /// Returns where `path`, which may be in an input, can be changed: in the checkout of that.
    ///
    /// # Errors
    ///
    /// When the user has named no checkout, or one that cannot be used.
    pub fn writable(&mut self, path: &Path) -> Result<PathBuf> {
        let Some((input, below)) = origin::find(path) else { return Ok(path.to_owned()) };
        let what =
            || Error::new(Status::CantCreat, format!("cannot change {}", origin::shown(path)));
        let Some(directory) = self.directory(&input.name)? else {
            return Err(what()
                .because("it is in the Nix store, which only Nix may change")
                .because(input.unmapped())
                .fix(input.map));
        };
        let found = report::relative(&directory.join(&below));
        if !found.exists() && path.exists() {
            let place = escape::shell_path(&directory);
            return Err(what()
                .because(format!("{} does not exist: the checkout is behind", found.display()))
                .fix(format!("git -C {place} pull")));
        }
        Ok(found)
    }

    /// Returns the checkout of the input `name`, whose files are fenced from then on.
    ///
    /// # Errors
    ///
    /// When it cannot be used.
    pub fn directory(&mut self, name: &str) -> Result<Option<PathBuf>> {
        if let Some(known) = self.known.get(name) {
            return Ok(known.clone());
        }
        let found = named(name).map(|directory| open(name, &directory)).transpose()?;
        self.known.insert(name.to_owned(), found.clone());
        Ok(found)
    }

    /// Takes `directory` for the checkout of the input `name`.
    pub fn assume(&mut self, name: String, directory: PathBuf) {
        self.known.insert(name, Some(directory));
    }

    /// Returns the commands that have Nix see `files`, which were changed; `None` where it sees them as they are.
    pub fn steps<'a>(&self, files: impl IntoIterator<Item = &'a Path>) -> Option<String> {
        let mut repositories: BTreeMap<Repository, BTreeSet<PathBuf>> = BTreeMap::new();
        for file in files {
            let Ok(real) = fence::resolve(file) else { continue };
            if let Some(repository) = self.repository(&real) {
                let name = real.strip_prefix(&repository.directory).unwrap_or(&real).to_owned();
                repositories.entry(repository).or_default().insert(name);
            }
        }
        let steps = repositories.iter().flat_map(|(repository, files)| repository.steps(files));
        let steps: Vec<String> = steps.collect();
        (!steps.is_empty()).then(|| steps.join(" && "))
    }

    /// Returns the end of a closing line: the commands that bring the changes of `files` to hosts.
    pub fn next<'a>(&self, files: impl IntoIterator<Item = &'a Path>) -> String {
        let steps = self.steps(files).map(|steps| format!("{steps} && ")).unwrap_or_default();
        format!("; now run: {steps}vaultix renc")
    }

    /// Returns the repository that the file `real`, a path without links, is in, if it is not the flake's own.
    fn repository(&self, real: &Path) -> Option<Repository> {
        let is_in =
            |input: &&FlakeInput| self.place(input).is_some_and(|place| real.starts_with(place));
        let input = nix::inputs().iter().find(is_in);
        let top = nix::top();
        let found = git::top_around(real);
        let is_submodule = top
            .zip(found.as_deref())
            .is_some_and(|(top, found)| found != top && found.starts_with(top));
        let directory = match input {
            Some(input) => found.clone().or_else(|| self.place(input)),
            None => found.clone().filter(|_| is_submodule),
        }?;
        let is_committed = found.is_some() && input.is_none_or(|input| !input.is_directory);
        let is_here = |input: &FlakeInput| input.local.as_ref() == Some(&directory);
        Some(Repository {
            is_pushed: is_committed && !input.is_some_and(is_here),
            is_committed,
            is_submodule,
            input: input.map(|input| input.name.clone()),
            directory,
        })
    }

    /// Returns where `input` is changed, if that is known.
    fn place(&self, input: &FlakeInput) -> Option<PathBuf> {
        let named = self.known.get(&input.name).cloned().flatten();
        named.or_else(|| input.directory.clone())
    }
}

impl Repository {
    /// Returns the commands that have Nix see `files`, relative to it.
    fn steps(&self, files: &BTreeSet<PathBuf>) -> Vec<String> {
        let mut steps = Vec::new();
        let git = git_in(&self.directory);
        if self.is_committed {
            let name = |file: &PathBuf| {
                let is_all = file == Path::new("");
                escape::shell_path(if is_all { Path::new(".") } else { file })
            };
            let files: Vec<String> = files.iter().map(name).collect();
            steps.push(format!("{git} add {}", files.join(" ")));
            steps.push(format!("{git} commit"));
        }
        steps.extend(self.is_pushed.then(|| format!("{git} push")));
        if let Some(top) = nix::top().filter(|_| self.is_submodule) {
            let name = self.directory.strip_prefix(top).unwrap_or(&self.directory);
            steps.push(format!("{} add {}", git_in(top), escape::shell_path(name)));
        }
        steps.extend(self.input.as_ref().map(|name| nix::update_command(name)));
        steps
    }
}

/// Ensures that Nix sees the file `path`, whose SHA-256 is `digest`, as it is here: what is encrypted
/// for hosts would not be what they are built from.
///
/// # Errors
///
/// When it sees an older version.
pub fn ensure_seen(path: &Path, digest: &str) -> Result<()> {
    if nix::digest_in_nix(path).is_none_or(|seen| seen == digest) {
        return Ok(());
    }
    let error = Error::new(Status::DataErr, format!("cannot use {}", path.display()))
        .because("Nix still sees an older version of it");
    let checkouts = Checkouts::default();
    let found = fence::resolve(path).ok().and_then(|real| checkouts.repository(&real));
    let Some(repository) = found else {
        let word = escape::shell_path(path);
        return Err(error.fix(format!("git add {word} && git commit {word}")));
    };
    let what = match (repository.is_pushed, repository.is_committed) {
        (true, _) => "only what is committed and pushed",
        (_, true) => "only what is committed",
        _ => "only what flake.lock has",
    };
    let directory = report::relative(&repository.directory);
    let error = error.because(format!("of {}, it sees {what}", directory.display()));
    Err(error.fix(checkouts.steps([path]).unwrap_or_default()))
}

/// Warns about files of inputs, given with their digests, that differ in the checkouts of the user:
/// hosts get those that `flake.lock` has.
pub fn warn_newer<'a>(files: impl IntoIterator<Item = (&'a PathBuf, &'a String)>, report: &Report) {
    let mut checkouts = Checkouts::default();
    let (mut names, mut newer) = (Vec::new(), Vec::new());
    for (path, digest) in files {
        let Some((input, below)) = origin::find(path) else { continue };
        // One that cannot be used is reported where it is needed.
        let Ok(Some(directory)) = checkouts.directory(&input.name) else { continue };
        let file = directory.join(below);
        if nix::digest(&file).is_some_and(|other| other != *digest) {
            names.push(origin::shown(path));
            newer.push(file);
        }
    }
    if let Some(steps) = checkouts.steps(newer.iter().map(PathBuf::as_path)) {
        report.warning(format_args!(
            "hosts get the versions in flake.lock of {}, which differ in your checkout; to use those: {steps}",
            report::list(&names)
        ));
    }
}

/// Returns how to run git in `directory`, from here.
fn git_in(directory: &Path) -> String {
    let short = report::relative(directory);
    if short == Path::new("") {
        "git".to_owned()
    } else {
        format!("git -C {}", escape::shell_path(short))
    }
}

/// Returns the directory that the user has named for the input `name`.
fn named(name: &str) -> Option<PathBuf> {
    let all = env::var_os(VARIABLE).unwrap_or_default();
    let of_name = |one: PathBuf| {
        let text = one.into_os_string().into_string().ok()?;
        let (key, directory) = text.split_once('=')?;
        (key == name).then(|| directory.into())
    };
    // The last one counts, as everywhere in git.
    let in_git = || git::own_paths(&nix::checkout_key(name)).ok()?.pop();
    env::split_paths(&all).find_map(of_name).or_else(in_git)
}

/// Makes sure that `directory`, which the user has named for the input `name`, can be used, and fences it.
fn open(name: &str, directory: &Path) -> Result<PathBuf> {
    let what = || {
        let what = format!("cannot use {}, the checkout of the input {name}", directory.display());
        Error::new(Status::NoPerm, what)
    };
    let use_directory = || {
        let real = directory.canonicalize()?;
        if let Some((path, owner)) = nix::foreign_owner(&real, &[])? {
            return Ok(Err(what().because(format!("{} belongs to {owner}", path.display()))));
        }
        if real.starts_with(origin::STORE) {
            return Ok(Err(what().because("it is in the Nix store")));
        }
        fence::add_root(&real, Extent::Whole)?;
        Ok(Ok(real))
    };
    use_directory().unwrap_or_else(|error: std::io::Error| Err(what().because(error)))
}
