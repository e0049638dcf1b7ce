//! path → what is there, opened; where a flake has named the path, nothing outside of the flake.
//!
//! Whoever commits to a repository chooses what its flake names, and what its links lead to. What the user types is
//! their own word. So a path is *fenced* if the flake has named it, or if it is below the flake's root; it then has to
//! lead, links followed, to something below that root, or, to be read only, below an input in the store.
//!
//! Links are followed once, to find the name without them. What is opened is that name, component by component from a
//! root that is held open, and no link is followed on this way: what is exchanged in between is refused, not followed.

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

/// Where Nix keeps what it evaluates.
pub const STORE: &str = "/nix/store";

/// What this run knows of flakes.
static FENCE: RwLock<Fence> =
    RwLock::new(Fence { roots: Vec::new(), named: BTreeSet::new(), inputs: BTreeSet::new() });

/// How a directory is opened.
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// How a file is: what is no file must not be waited for before it is known what it is.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Where what is fenced may lead, and what is fenced.
struct Fence {
    /// The tops of what Nix copies.
    roots: Vec<Root>,
    /// Paths that flakes have named, absolute. What is below them is fenced as well.
    named: BTreeSet<PathBuf>,
    /// Where inputs are in the store, to be read only.
    inputs: BTreeSet<PathBuf>,
}

/// The top of what Nix copies.
struct Root {
    path: PathBuf,
    /// The directory at that path, held open.
    directory: OwnedFd,
    /// Whether all below it is fenced, or only what was named.
    whole: bool,
}

/// What of a root is fenced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All below it.
    Whole,
    /// Only what is given to [`mark_named`].
    Named,
}

/// What a path is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// Why something is neither read nor written.
#[derive(Debug)]
enum Refusal {
    /// It leads to this path, and these are the roots.
    Outside(PathBuf, Vec<PathBuf>),
    /// It would be written into the store.
    Store,
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
            Self::Store => write!(f, "it is in the Nix store, which only Nix may change"),
        }
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(io::ErrorKind::PermissionDenied, refusal)
    }
}

/// Returns the error `what` because of `error`; where it is one of this file, with what to do, and the exit status.
pub fn explain(exit: impl Into<Exit>, what: String, error: &io::Error) -> Error {
    let refusal = error.get_ref().and_then(|inner| inner.downcast_ref::<Refusal>());
    match refusal {
        None => Error::new(exit, what).because(error),
        Some(refusal @ Refusal::Outside(..)) => Error::new(Status::Config, what)
            .because(refusal)
            .fix("put it inside the flake, or pass the profile with --profile FILE if it is one of yours"),
        Some(Refusal::Store) => Error::new(Status::CantCreat, what)
            .because(&Refusal::Store)
            .fix("change it in the repository that it comes from, and update the input"),
    }
}

/// Takes `top` for a root from now on.
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

/// Takes `path` for one that a flake has named.
pub fn mark_named(path: &Path) {
    if let Ok(path) = normalize(path) {
        FENCE.write().unwrap_or_else(PoisonError::into_inner).named.insert(path);
    }
}

/// Takes `paths` in the store for inputs.
pub fn allow_inputs(paths: impl IntoIterator<Item = PathBuf>) {
    FENCE.write().unwrap_or_else(PoisonError::into_inner).inputs.extend(paths);
}

/// Reads the regular file `path`, which may hold up to `limit` bytes. The bytes are wiped when dropped.
///
/// # Errors
///
/// As [`bounded::read`]; or where the path is fenced and leads outside.
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

/// Opens the directory `path`, to look into it.
///
/// # Errors
///
/// The system's own; or where the path is fenced and leads outside.
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

/// Opens the directory `path`, to change what is in it, and makes it and those above it where they are missing.
///
/// # Errors
///
/// The system's own; where the path is fenced and leads outside, and where it is in the store. Nothing is made then.
pub fn make_directory(path: &Path) -> io::Result<OwnedFd> {
    let path = or_current(path);
    let real = resolve(path)?;
    if real.starts_with(STORE) {
        return Err(Refusal::Store.into());
    }
    let fence = FENCE.read().unwrap_or_else(PoisonError::into_inner);
    if !fence.is_fenced(path)? {
        fs::create_dir_all(&real)?;
        return Ok(rustix::fs::open(&real, DIRECTORY, Mode::empty())?);
    }
    let (base, below) = fence.find_base(&real, Access::Write)?;
    open_below(base, &below, Access::Write)
}

/// Makes sure that `path`, which another program is to read, leads nowhere outside where it is fenced.
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

/// Makes sure that `called`, which is `found` when links are followed, leads nowhere outside where it is fenced, and not
/// into the store.
///
/// # Errors
///
/// Where it does.
pub fn ensure_writable(called: &Path, found: &Path) -> io::Result<()> {
    let real = resolve(found)?;
    if real.starts_with(STORE) {
        return Err(Refusal::Store.into());
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

    /// Returns the root, or the input where it is only read, that the path `real`, without links, is below; and how
    /// to go on from there.
    fn find_base(&self, real: &Path, access: Access) -> io::Result<(OwnedFd, PathBuf)> {
        for root in &self.roots {
            if let Ok(below) = real.strip_prefix(&root.path)
                && !is_git(below)
            {
                // Opened again: a lock on a copy of the descriptor would be one on all of them.
                let base = openat(&root.directory, ".", DIRECTORY, Mode::empty())?;
                return Ok((base, below.to_owned()));
            }
        }
        let input =
            self.inputs.iter().find(|input| access == Access::Read && real.starts_with(input));
        if let Some(input) = input {
            let below = real.strip_prefix(input).map_err(io::Error::other)?;
            let base = rustix::fs::open(input, DIRECTORY, Mode::empty())?;
            return Ok((base, below.to_owned()));
        }
        let roots = self.roots.iter().map(|root| root.path.clone()).collect();
        Err(Refusal::Outside(real.to_owned(), roots).into())
    }
}

/// Returns whether git's own files are on the way to `below`: Nix copies none of them, and some are programs.
fn is_git(below: &Path) -> bool {
    below.components().any(|part| part.as_os_str().eq_ignore_ascii_case(".git"))
}

/// Goes from `base` down to `below`, and creates what is missing on the way, to write.
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

/// Returns `path` without links, as far as it exists; what does not follows as it is.
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

/// Returns the whole of `path`, whose dots are resolved by what is written alone.
fn normalize(path: &Path) -> io::Result<PathBuf> {
    std::path::absolute(or_current(path)).map(|path| without_parents(&path))
}

/// Returns `path` with each `..` and what comes before it taken out.
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

/// Returns `path`, or that of the working directory where it is empty.
fn or_current(path: &Path) -> &Path {
    if path == Path::new("") { Path::new(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_resolved_by_what_is_written() {
        assert_eq!(normalize(Path::new("/a/../b/./c/..")).unwrap(), Path::new("/b"));
        assert_eq!(normalize(Path::new("")).unwrap(), std::env::current_dir().unwrap());
    }

    #[test]
    fn the_git_directory_is_no_part_of_a_flake() {
        assert!(is_git(Path::new(".git/hooks/x")));
        assert!(is_git(Path::new("module/.GIT")));
        assert!(!is_git(Path::new(".github/x.git")));
    }

    /// Exchanges `one` and `other` again and again, until the test is over.
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
        // The control: the same without the way by descriptors. It looks, and then believes the name.
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
