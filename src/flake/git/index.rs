//! files of work trees → those that git does not know, has not merged, or has only an older version of.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use vaultix_generator::escape;
use vaultix_units::bounded;

use super::{
    LISTING, LITERAL, Tracked, answered, cannot_determine, introduce, list_within, run, top, track,
    warn_ignored,
};
use crate::error::Result;
use crate::flake::nix;
use crate::keys::armor;
use crate::report::{self, Report};
use crate::system::fence;
use crate::system::origin;
use crate::system::program::Output;

/// Work trees by the folders that are in them.
#[derive(Default)]
pub struct Trees {
    /// The top of the work tree, and the path of the folder in there; `None` outside of any.
    known: BTreeMap<PathBuf, Option<(PathBuf, PathBuf)>>,
}

impl Trees {
    /// Returns the top of the work tree that `folder` is in, and its path in there.
    pub fn folder(&mut self, folder: &Path) -> Option<(PathBuf, PathBuf)> {
        let folder = if folder == Path::new("") { Path::new(".") } else { folder };
        if let Some(known) = self.known.get(folder) {
            return known.clone();
        }
        let find = || {
            let real = folder.canonicalize().ok()?;
            let top = top(&real).ok()??;
            let below = real.strip_prefix(&top).ok()?.to_owned();
            Some((top, below))
        };
        let found = find();
        self.known.insert(folder.to_owned(), found.clone());
        found
    }

    /// Returns the same for a file.
    pub fn find(&mut self, file: &Path) -> Option<(PathBuf, PathBuf)> {
        let (top, below) = self.folder(file.parent()?)?;
        Some((top, below.join(file.file_name()?)))
    }
}

/// What git has of some folders of a work tree, by the names there.
#[derive(Default)]
struct Index {
    known: HashSet<PathBuf>,
    /// Those of which it has another version, or none: they are not what is committed next.
    unstaged: BTreeSet<PathBuf>,
    /// Those of which it has several versions, since a merge is not finished.
    unmerged: BTreeSet<PathBuf>,
}

/// What is asked of the content of files that git knows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Whether it is staged as it is here.
    Compared,
    /// Nothing.
    Unseen,
}

impl Index {
    /// Returns the arguments for git, to list what is in `folders`.
    fn arguments<'a>(folders: &'a BTreeSet<&Path>, content: Content) -> Vec<&'a OsStr> {
        /// More than that are not passed, but all is listed.
        const MANY: usize = 1000;
        let compare = ["--modified"].into_iter().filter(|_| content == Content::Compared);
        let args = [LITERAL, "ls-files", "-z", "-t", "--cached", "--full-name"].into_iter();
        let mut args: Vec<&OsStr> = args.chain(compare).chain(["--"]).map(OsStr::new).collect();
        let is_all = folders.len() > MANY || folders.contains(Path::new(""));
        if is_all {
            args.push(OsStr::new("."));
        } else {
            args.extend(folders.iter().map(|folder| folder.as_os_str()));
        }
        args
    }

    /// Reads what git has answered to these.
    fn parse(answer: &[u8]) -> Self {
        let mut index = Self::default();
        for entry in answer.split(|byte| *byte == 0) {
            let Some((tag, [b' ', name @ ..])) = entry.split_first() else { continue };
            let name = Path::new(OsStr::from_bytes(name)).to_owned();
            match tag {
                b'C' | b'R' => drop(index.unstaged.insert(name.clone())),
                b'M' => drop(index.unmerged.insert(name.clone())),
                _ => {}
            }
            index.known.insert(name);
        }
        index
    }
}

/// Makes git aware of the `copies` that are in the directory `cache`, relative to it. Returns the command that stages them, and
/// the `secrets` that they are made from, where that is left to be done. Without a look at the `content`, these are only what git
/// does not know.
///
/// Of other repositories than that of the flake, [`crate::flake::repository`] knows what is left.
///
/// # Errors
///
/// When git fails, in its own words.
pub fn hand_over<'a>(
    cache: &Path,
    copies: &BTreeSet<PathBuf>,
    secrets: impl IntoIterator<Item = &'a PathBuf>,
    content: Content,
    report: &Report,
) -> Result<Option<String>> {
    let mut trees = Trees::default();
    let place = place(cache)?;
    let own = nix::top().or(place.as_ref().map(|(top, _)| top.as_path())).map(Path::to_owned);
    let Some(own) = own else { return Ok(None) };
    let secrets = below(&mut trees, &own, secrets.into_iter().map(PathBuf::as_path));
    let mut folders: BTreeSet<&Path> = secrets.keys().filter_map(|name| name.parent()).collect();
    let Some((_, place)) = place.filter(|(top, _)| *top == own) else {
        // The cache is in another repository, or in none, or there is none yet.
        if let Tracked::Ignored = track(cache, copies)? {
            warn_ignored(cache, report);
        }
        let index = read(&own, &folders, content);
        return Ok(index.and_then(|index| index.next(&own, &secrets, None, report)));
    };
    folders.insert(&place);
    let args = Index::arguments(&folders, content);
    let answer = answered(cache, &own, &args, || list_content(&own, &args, content))?;
    let index = Index::parse(&answer.stdout);
    let unknown = copies.iter().filter(|copy| !index.known.contains(&place.join(copy)));
    let unknown: Vec<&Path> =
        unknown.map(PathBuf::as_path).filter(|copy| !is_missing(&cache.join(copy))).collect();
    let is_new = match introduce(cache, &unknown)? {
        Tracked::Yes => !unknown.is_empty(),
        Tracked::Ignored => {
            warn_ignored(cache, report);
            false
        }
    };
    let is_unstaged = is_new || index.unstaged.iter().any(|name| name.starts_with(&place));
    let place = is_unstaged.then_some(place.as_path());
    Ok(index.next(&own, &secrets, place, report))
}

/// Returns the top of the work tree that the directory `cache` is in, and its path in there; `None` where it is in none.
fn place(cache: &Path) -> Result<Option<(PathBuf, PathBuf)>> {
    let find = || {
        let cache = if cache == Path::new("") { Path::new(".") } else { cache };
        if !cache.try_exists()? {
            return Ok(None);
        }
        let real = cache.canonicalize()?;
        let below = |top: &Path| real.strip_prefix(top).unwrap_or(&real).to_owned();
        Ok(top(&real)?.map(|top| (top.clone(), below(&top))))
    };
    find().map_err(|error: io::Error| cannot_determine(cache).because(error))
}

/// Returns whether there is surely no file `path`.
fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Returns whether git has merged the file `path` as if it were text.
fn has_markers(path: &Path) -> bool {
    fence::read(path, bounded::MAX_CIPHERTEXT).is_ok_and(|bytes| armor::is_merged(&bytes))
}

/// Returns those of `files` that are there and that git does not know, in the flake's own work tree, of which Nix sees only what
/// git knows; each with the command that has git know it.
pub fn unknown<'a>(files: impl IntoIterator<Item = &'a Path>) -> BTreeMap<&'a Path, String> {
    let Some(top) = nix::top() else { return BTreeMap::new() };
    let files = below(&mut Trees::default(), top, files);
    let folders = files.keys().filter_map(|name| name.parent()).collect();
    let Some(index) = read(top, &folders, Content::Unseen) else { return BTreeMap::new() };
    let unknown = index.unknown(&files);
    let ignored = ignored(top, &unknown);
    let command = |name: &Path| {
        let force = if ignored.contains(name) { "--force " } else { "" };
        add(top, &format!("{force}--intent-to-add"), [name])
    };
    unknown.into_iter().filter_map(|name| Some((*files.get(name)?, command(name)))).collect()
}

/// Returns those of `files` that are in the work tree `top`, by their names there.
fn below<'a>(
    trees: &mut Trees,
    top: &Path,
    files: impl IntoIterator<Item = &'a Path>,
) -> BTreeMap<PathBuf, &'a Path> {
    let found = files.into_iter().filter_map(|file| Some((trees.find(file)?, file)));
    found.filter(|((other, _), _)| other == top).map(|((_, name), file)| (name, file)).collect()
}

/// Runs git with `args` in the work tree `top`: only to compare content, it may run filters.
fn list_content(top: &Path, args: &[&OsStr], content: Content) -> io::Result<Output> {
    match content {
        Content::Compared => run(top, args, &[]),
        Content::Unseen => list_within(LISTING, top, args, &[]),
    }
}

/// Returns what git has of `folders` in the work tree `top`; `None` where it does not say.
fn read(top: &Path, folders: &BTreeSet<&Path>, content: Content) -> Option<Index> {
    let output = list_content(top, &Index::arguments(folders, content), content).ok()?;
    output.status.success().then(|| Index::parse(&output.stdout))
}

/// Returns those of `names` in the work tree `top` that git is told to ignore.
fn ignored(top: &Path, names: &[&Path]) -> BTreeSet<PathBuf> {
    if names.is_empty() {
        return BTreeSet::new();
    }
    let list = names.iter().flat_map(|name| name.as_os_str().as_bytes().iter().chain(&[0]));
    let list: Vec<u8> = list.copied().collect();
    let args = ["check-ignore", "--stdin", "-z"].map(OsStr::new);
    let answer = run(top, &args, &list).map(|output| output.stdout).unwrap_or_default();
    let found = answer.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    found.map(|name| Path::new(OsStr::from_bytes(name)).to_owned()).collect()
}

/// Returns the command `git add` with the option `option` for `names` in the work tree `top`.
fn add<'a>(top: &Path, option: &str, names: impl IntoIterator<Item = &'a Path>) -> String {
    git_command(top, &["add", option].join(" "), names)
}

/// Returns the command of git for `names` in the work tree `top`, as it is typed from here.
pub(super) fn git_command<'a>(
    top: &Path,
    words: &str,
    names: impl IntoIterator<Item = &'a Path>,
) -> String {
    let is_here = env::current_dir().is_ok_and(|here| here.starts_with(top));
    let name = |name: &Path| {
        let name = if is_here { report::relative(&top.join(name)) } else { name.to_owned() };
        escape::shell_path(if name == Path::new("") { Path::new(".") } else { &name })
    };
    let mut command =
        if is_here { "git".to_owned() } else { format!("git -C {}", escape::shell_path(top)) };
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        command = command + " " + word;
    }
    names.into_iter().fold(command, |command, one| command + " " + &name(one))
}

impl Index {
    /// Returns those of `files`, by their names, that are there and not in the index.
    fn unknown<'a>(&self, files: &'a BTreeMap<PathBuf, &Path>) -> Vec<&'a Path> {
        let unknown = files.iter().filter(|(name, _)| !self.known.contains(*name));
        let unknown = unknown.filter(|(_, file)| !is_missing(file));
        unknown.map(|(name, _)| name.as_path()).collect()
    }

    /// Returns the command that stages what is left of `secrets`, and of the copies in `cache` if some are, in the work tree
    /// `top`. Warns of secrets that git has not merged.
    fn next(
        &self,
        top: &Path,
        secrets: &BTreeMap<PathBuf, &Path>,
        cache: Option<&Path>,
        report: &Report,
    ) -> Option<String> {
        /// If more secrets have changed, their folders are named.
        const FEW: usize = 10;
        let all = || secrets.keys().map(PathBuf::as_path);
        // One with conflict markers is no version of anything, and it was said what to do.
        let unmerged: Vec<&Path> = all()
            .filter(|name| self.unmerged.contains(*name) && !has_markers(&top.join(name)))
            .collect();
        if !unmerged.is_empty() {
            let names = unmerged.iter().filter_map(|name| secrets.get(*name));
            let names: Vec<String> = names.map(|file| origin::shown(file)).collect();
            report.warning(format_args!(
                "git has not merged {}: hosts get the version that is here; to take the other one: {} && vaultix renc",
                report::list(&names),
                git_command(top, "checkout --theirs", unmerged.iter().copied())
            ));
        }
        let unknown = self.unknown(secrets);
        let ignored = ignored(top, &unknown);
        let (ignored, mut names): (Vec<&Path>, Vec<&Path>) =
            unknown.into_iter().partition(|name| ignored.contains(*name));
        let is_changed = |name: &&Path| {
            self.unstaged.contains(*name) && !self.unmerged.contains(*name)
                || unmerged.contains(name)
        };
        let unstaged: Vec<&Path> = all().filter(is_changed).collect();
        let mut folders = BTreeSet::new();
        if unstaged.len() <= FEW {
            names.extend(unstaged);
        } else {
            folders = unstaged.iter().filter_map(|name| name.parent()).collect();
        }
        names.extend(cache);
        let commands =
            [("--force", ignored), ("", names), ("--update", folders.into_iter().collect())];
        let commands = commands.iter().filter(|(_, names)| !names.is_empty());
        let commands: Vec<String> =
            commands.map(|(option, names)| add(top, option, names.iter().copied())).collect();
        (!commands.is_empty()).then(|| commands.join(" && "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_lists_is_read() {
        let index = Index::parse(b"H a\0H b c\0C b c\0M d\0M d\0C d\0R e\0");
        let names = |set: &BTreeSet<PathBuf>| {
            set.iter().map(|name| name.display().to_string()).collect::<Vec<_>>().join(",")
        };
        assert_eq!(names(&index.known.into_iter().collect()), "a,b c,d,e");
        assert_eq!(names(&index.unstaged), "b c,d,e");
        assert_eq!(names(&index.unmerged), "d");
        assert!(Index::parse(b"").known.is_empty());
    }
}
