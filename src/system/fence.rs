//! path → open file or directory; if a flake named the path, only from inside the flake.
//!
//! Anyone who can commit to a repository chooses which paths its flake names, and where its links
//! lead. Paths that the user types are the user's own choice. So a path is *fenced* if the flake
//! named it, or if it is below the flake's root. After following links, a fenced path must be below
//! that root or, if it is only read, below an input in the store.
//!
//! Links are followed once, to find the real path. That path is then opened component by component,
//! from a root that is held open, without following links: if something was replaced by a link in
//! between, opening it fails.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;
use vaultix_units::bounded;
use zeroize::Zeroizing;

use crate::error::{Error, Exit, Status};
use crate::system::origin::{self, STORE};

/// What this run knows about flakes.
static FENCE: RwLock<Fence> = RwLock::new(Fence { roots: Vec::new(), named: BTreeSet::new() });

/// How a directory is opened.
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// How a file is opened: without blocking, because it may turn out to be a pipe or a device.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Which paths are fenced, and where they may lead.
struct Fence {
    /// The top directories of what Nix copies.
    roots: Vec<Root>,
    /// Absolute paths that flakes have named. Everything below them is fenced as well.
    named: BTreeSet<PathBuf>,
}

/// The top directory of what Nix copies.
struct Root {
    path: PathBuf,
    /// The directory at that path, held open.
    directory: OwnedFd,
    /// Whether everything below it is fenced, or only what was named.
    whole: bool,
}

/// Which paths below a root are fenced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of them.
    Whole,
    /// Only those passed to [`mark_named`].
    Named,
}

/// What a path is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// Why a path is refused.
#[derive(Debug)]
enum Refusal {
    /// It leads to this path, which is below none of these roots.
    Outside(PathBuf, Vec<PathBuf>),
    /// It is this path, and would be written into the store.
    Store(PathBuf),
}

impl std::error::Error for Refusal {}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside(real, roots) => {
                let roots: Vec<String> =
                    roots.iter().map(|root| root.display().to_string()).collect();
                let roots = roots.join(" and ");
                write!(f, "it is {}, which is not part of {roots}", real.display())
            }
            Self::Store(_) => write!(f, "it is in the Nix store, which only Nix may change"),
        }
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(io::ErrorKind::PermissionDenied, refusal)
    }
}

/// Returns the error `what` because of `error`. If `error` is a [`Refusal`], adds a fix and sets
/// the exit status.
pub fn explain(exit: impl Into<Exit>, what: String, error: &io::Error) -> Error {
    let refusal = error.get_ref().and_then(|inner| inner.downcast_ref::<Refusal>());
    match refusal {
        None => Error::new(exit, what).because(error),
        Some(refusal @ Refusal::Outside(..)) => Error::new(Status::Config, what)
            .because(refusal)
            .fix("put it inside the flake, or pass the profile with --profile FILE if it is one of yours"),
        Some(refusal @ Refusal::Store(path)) => {
            let error = Error::new(Status::CantCreat, what).because(refusal);
            match origin::find(path) {
                Some((input, _)) => error.because(input.unmapped()).fix(input.map),
                None => error.fix("change it in the repository that it comes from"),
            }
        }
    }
}

/// Adds `top` as a root.
///
/// # Errors
///
/// The system's own.
pub fn add_root(top: &Path, extent: Extent) -> io::Result<()> {
    let path = top.canonicalize()?;
    let mut fence = FENCE.write().unwrap_or_else(PoisonError::into_inner);
    let whole = extent == Extent::Whole;
    if let Some(root) = fence.roots.iter_mut().find(|root| root.path == path) {
        root.whole |= whole;
        return Ok(());
    }
    let directory = rustix::fs::open(&path, DIRECTORY, Mode::empty())?;
    fence.roots.push(Root { path, directory, whole });
    Ok(())
}

/// Marks `path` as named by a flake.
pub fn mark_named(path: &Path) {
    if let Ok(path) = normalize(path) {
        FENCE.write().unwrap_or_else(PoisonError::into_inner).named.insert(path);
    }
}

/// Reads the regular file `path`, of at most `limit` bytes. They are wiped when dropped.
///
/// # Errors
///
/// As [`bounded::read`]; or the path is fenced and leads outside.
pub fn read(path: &Path, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let fence = FENCE.read().unwrap_or_else(PoisonError::into_inner);
    if !fence.is_fenced(path)? {
        return bounded::read(path, limit);
    }
    let real = path.canonicalize()?;
    let (base, below) = fence.find_base(&real, Access::Read)?;
    let parent = below.parent().unwrap_or(Path::new(""));
    let name = below.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let folder = open_below(base, parent, Access::Read)?;
    bounded::read_file(File::from(openat(&folder, name, FILE, Mode::empty())?), limit)
}

/// Opens the directory `path` for reading.
///
/// # Errors
///
/// The system's own; or the path is fenced and leads outside.
pub fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let path = or_current(path);
    let fence = FENCE.read().unwrap_or_else(PoisonError::into_inner);
    let real = path.canonicalize()?;
    if !fence.is_fenced(path)? {
        return Ok(rustix::fs::open(&real, DIRECTORY, Mode::empty())?);
    }
    let (base, below) = fence.find_base(&real, Access::Read)?;
    open_below(base, &below, Access::Read)
}

/// Opens the directory `path` to change what is in it. Creates it and its parents if they are
/// missing.
///
/// # Errors
///
/// The system's own; or the path is in the store, or is fenced and leads outside: then nothing is
/// created.
pub fn make_directory(path: &Path) -> io::Result<OwnedFd> {
    let path = or_current(path);
    let real = resolve(path)?;
    if real.starts_with(STORE) {
        return Err(Refusal::Store(real).into());
    }
    let fence = FENCE.read().unwrap_or_else(PoisonError::into_inner);
    if !fence.is_fenced(path)? {
        fs::create_dir_all(&real)?;
        return Ok(rustix::fs::open(&real, DIRECTORY, Mode::empty())?);
    }
    let (base, below) = fence.find_base(&real, Access::Write)?;
    open_below(base, &below, Access::Write)
}

/// Makes sure that `path`, which another program will read, does not lead outside if it is fenced.
///
/// # Errors
///
/// Where it does.
pub fn ensure_readable(path: &Path) -> io::Result<()> {
    let fence = FENCE.read().unwrap_or_else(PoisonError::into_inner);
    if fence.is_fenced(path)? {
        fence.find_base(&path.canonicalize()?, Access::Read).map(drop)
    } else {
        Ok(())
    }
}

/// Makes sure that `called` does not lead into the store, nor outside if it is fenced. `found` is
/// the same path after following links.
///
/// # Errors
///
/// Where it does.
pub fn ensure_writable(called: &Path, found: &Path) -> io::Result<()> {
    let real = resolve(found)?;
    if real.starts_with(STORE) {
        return Err(Refusal::Store(real).into());
    }
    let fence = FENCE.read().unwrap_or_else(PoisonError::into_inner);
    if fence.is_fenced(called)? { fence.find_base(&real, Access::Write).map(drop) } else { Ok(()) }
}

impl Fence {
    fn is_fenced(&self, path: &Path) -> io::Result<bool> {
        if self.roots.is_empty() {
            return Ok(false);
        }
        let path = normalize(path)?;
        let below = |root: &Root| root.whole && path.starts_with(&root.path);
        Ok(self.roots.iter().any(below) || path.ancestors().any(|one| self.named.contains(one)))
    }

    /// Returns the root that `real`, a path without links, is below, or the input if it is only
    /// read; and the rest of the path below that.
    fn find_base(&self, real: &Path, access: Access) -> io::Result<(OwnedFd, PathBuf)> {
        for root in &self.roots {
            if let Ok(below) = real.strip_prefix(&root.path)
                && !is_git(below)
            {
                // Opened again, not copied: a lock on a copy of the descriptor would be shared by
                // all copies.
                let base = openat(&root.directory, ".", DIRECTORY, Mode::empty())?;
                return Ok((base, below.to_owned()));
            }
        }
        if let Some((input, below)) = origin::find(real).filter(|_| access == Access::Read) {
            let base = rustix::fs::open(&input.store, DIRECTORY, Mode::empty())?;
            return Ok((base, below));
        }
        let roots = self.roots.iter().map(|root| root.path.clone()).collect();
        Err(Refusal::Outside(real.to_owned(), roots).into())
    }
}

/// Returns whether `below` leads through a `.git` directory: Nix copies none of its files, and some
/// are programs.
fn is_git(below: &Path) -> bool {
    below.components().any(|part| part.as_os_str().eq_ignore_ascii_case(".git"))
}

/// Opens `below`, starting at `base`. For writing, creates the directories that are missing.
fn open_below(base: OwnedFd, below: &Path, access: Access) -> io::Result<OwnedFd> {
    let mut at = base;
    for part in below.components() {
        let Component::Normal(name) = part else { return Err(io::ErrorKind::InvalidInput.into()) };
        at = match openat(&at, name, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) if access == Access::Write => {
                match mkdirat(&at, name, Mode::from_raw_mode(0o777)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                openat(&at, name, DIRECTORY, Mode::empty())?
            }
            opened => opened?,
        };
    }
    Ok(at)
}

/// Resolves the links in `path`, as far as it exists; the rest is appended unchanged.
///
/// # Errors
///
/// The system's own, other than that it does not exist.
pub fn resolve(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = path.file_name().ok_or(error)?;
            Ok(resolve(or_current(path.parent().unwrap_or(Path::new(""))))?.join(name))
        }
        found => found,
    }
}

/// Returns `path` as an absolute path. `.` and `..` are resolved without looking at the file
/// system.
fn normalize(path: &Path) -> io::Result<PathBuf> {
    std::path::absolute(or_current(path)).map(|path| without_parents(&path))
}

/// Returns `path` without each `..` and the component before it.
pub fn without_parents(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}

/// Returns `path`, or `.` if it is empty.
fn or_current(path: &Path) -> &Path {
    if path == Path::new("") { Path::new(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_resolved_lexically() {
        assert_eq!(normalize(Path::new("/a/../b/./c/..")).unwrap(), Path::new("/b"));
        assert_eq!(normalize(Path::new("")).unwrap(), std::env::current_dir().unwrap());
    }

    #[test]
    fn the_git_directory_is_no_part_of_a_flake() {
        assert!(is_git(Path::new(".git/hooks/x")));
        assert!(is_git(Path::new("module/.GIT")));
        assert!(!is_git(Path::new(".github/x.git")));
    }

    /// Keeps exchanging `one` and `other` until `over` is set.
    fn exchange(one: &Path, other: &Path, over: &std::sync::atomic::AtomicBool) {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        while !over.load(std::sync::atomic::Ordering::Relaxed) {
            renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
        }
    }

    #[test]
    fn an_exchanged_folder_leads_nowhere() {
        let all = std::env::temp_dir().join(format!("vaultix-fence-{}", std::process::id()));
        let top = all.join("top");
        for (folder, text) in [(all.join("private"), "private"), (top.join("folder"), "inside")] {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("bank.age"), text).unwrap();
        }
        std::os::unix::fs::symlink("../private", top.join("link")).unwrap();
        add_root(&top, Extent::Whole).unwrap();
        let path = top.join("folder/bank.age");
        // The control: the same without descriptors. It checks the path, and then opens it by name.
        let broken = || {
            let real = path.canonicalize().ok()?;
            real.starts_with(&top).then(|| fs::read(&path).ok()).flatten()
        };
        let over = std::sync::atomic::AtomicBool::new(false);
        let (mut fooled, mut read, mut held) = (0, 0, true);
        std::thread::scope(|scope| {
            scope.spawn(|| exchange(&top.join("folder"), &top.join("link"), &over));
            for _ in 0..1_000_000 {
                fooled += usize::from(broken().is_some_and(|bytes| bytes == b"private"));
                if let Ok(bytes) = super::read(&path, 100) {
                    read += 1;
                    held &= *bytes == b"inside";
                }
                if !held || (fooled > 10 && read > 1000) {
                    break;
                }
            }
            over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert!(held, "what is outside was read");
        assert!(
            fooled > 10 && read > 1000,
            "{fooled} {read}: one that is broken is fooled, ours reads"
        );
        fs::remove_dir_all(all).unwrap();
    }
}
