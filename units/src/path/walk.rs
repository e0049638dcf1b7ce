//! path → the directory that it stands in, by a way that nobody else could have laid.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode, Stat};
use rustix::io::Errno;
use vaultix_generator::status::Status;

use crate::failure::Failure;
use crate::replace::DIRECTORY;

/// Stands for every owner, where nothing is put.
pub(super) const ANYONE: u32 = u32::MAX;
/// Owner of what nobody but root may lead.
pub(crate) const ROOT: u32 = 0;

/// Links followed on the way to one path, as in the kernel.
const MAX_LINKS: u32 = 40;

/// Mode of directories made on the way.
const PARENT: Mode = Mode::from_raw_mode(0o755);

/// What to do when a directory on the way does not exist.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Make it.
    Make,
    /// Fail.
    Fail,
}

/// Opens the directory that `path` stands in, and returns it with the last component.
///
/// Each directory and link on the way must belong to root or to `owner`, who may read the plaintext anyway:
/// anyone else could have planted it and be shown the plaintext, or have root write where they may not. For the
/// same reason a link of `owner` may lead only to what is `owner`'s, too. systemd-tmpfiles(8) calls the rest
/// unsafe path transitions.
pub(crate) fn open_parent(
    path: &Path,
    owner: u32,
    missing: Missing,
) -> Result<(OwnedFd, OsString), Failure> {
    let nameless = || Failure::write(path, "it is the root directory");
    let name = path.file_name().ok_or_else(nameless)?.to_owned();
    let mut rest = components(path.parent().unwrap_or(Path::new("/")));
    let mut walk = Walk::new(path, owner)?;
    while let Some(component) = rest.pop() {
        if component == ".." {
            walk.leave()?;
            continue;
        }
        if missing == Missing::Make {
            walk.make(&component)?;
        }
        match walk.look(&component)? {
            Some(link) => rest.extend(components(&walk.follow(&component, &link)?)),
            None => walk.enter(&component)?,
        }
    }
    walk.end().map(|directory| (directory, name))
}

/// A walk from the root directory, one component at a time.
struct Walk<'a> {
    /// Where it shall end, for errors.
    path: &'a Path,
    /// Whose way it may be besides root's.
    owner: u32,
    /// Where it is.
    directory: OwnedFd,
    /// The path of that.
    shown: PathBuf,
    /// Whether a link of the owner was followed: the rest must be the owner's.
    confined: bool,
    /// How many links were followed.
    links: u32,
}

impl<'a> Walk<'a> {
    /// Starts at the root directory.
    fn new(path: &'a Path, owner: u32) -> Result<Self, Failure> {
        let directory = root().map_err(|error| Failure::write(path, error))?;
        Ok(Self { path, owner, directory, shown: "/".into(), confined: false, links: 0 })
    }

    /// Goes one directory up.
    fn leave(&mut self) -> Result<(), Failure> {
        self.directory = fs::openat(&self.directory, "..", DIRECTORY, Mode::empty())
            .map_err(|error| Failure::write(self.path, error))?;
        self.shown.pop();
        Ok(())
    }

    /// Makes the directory `component` where it is missing, unless a link of the owner has led here.
    fn make(&self, component: &OsStr) -> Result<(), Failure> {
        let stat = fs::statat(&self.directory, component, AtFlags::SYMLINK_NOFOLLOW);
        if self.confined || !matches!(stat, Err(Errno::NOENT)) {
            return Ok(());
        }
        match fs::mkdirat(&self.directory, component, PARENT) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(self.failure("create", component, error)),
        }
    }

    /// Makes sure that `component` is safe; returns what stat(2) says of it if it is a link.
    fn look(&self, component: &OsStr) -> Result<Option<Stat>, Failure> {
        let stat = fs::statat(&self.directory, component, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| self.failure("open", component, error))?;
        let is_owners = self.owner == ANYONE || stat.st_uid == self.owner;
        if !is_owners && (stat.st_uid != 0 || self.confined) {
            return Err(Failure::write(
                self.path,
                format!(
                    "unsafe path transition: {} belongs to user {}, who could lead the secret elsewhere; it must \
                     belong to {}",
                    self.shown.join(component).display(),
                    stat.st_uid,
                    if self.confined { "the secret's owner" } else { "root or the secret's owner" },
                ),
            ));
        }
        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        Ok(is_link.then_some(stat))
    }

    /// Follows the link `component`: returns where it leads, from the directory where the walk is then.
    fn follow(&mut self, component: &OsStr, link: &Stat) -> Result<PathBuf, Failure> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Failure::write(self.path, Errno::LOOP));
        }
        self.confined |= link.st_uid != 0 && self.owner != ANYONE;
        let target = fs::readlinkat(&self.directory, component, Vec::new())
            .map_err(|error| self.failure("read", component, error))?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        if target.is_absolute() {
            self.directory = root().map_err(|error| Failure::write(self.path, error))?;
            self.shown = PathBuf::from("/");
        }
        Ok(target)
    }

    /// Enters the directory `component`.
    fn enter(&mut self, component: &OsStr) -> Result<(), Failure> {
        self.directory = fs::openat(&self.directory, component, DIRECTORY, Mode::empty())
            .map_err(|error| self.failure("open", component, error))?;
        self.shown.push(component);
        Ok(())
    }

    /// Ends where it is.
    fn end(self) -> Result<OwnedFd, Failure> {
        // `..` and `/` at the end of a link lead somewhere that was not looked at.
        let is_owners =
            |directory: &OwnedFd| fs::fstat(directory).is_ok_and(|stat| stat.st_uid == self.owner);
        if self.confined && !is_owners(&self.directory) {
            return Err(Failure::write(
                self.path,
                format!(
                    "unsafe path transition: a link on the way leads to {}, which does not belong to the secret's \
                     owner",
                    self.shown.display()
                ),
            ));
        }
        Ok(self.directory)
    }

    /// Returns the failure to do something with `component`.
    fn failure(&self, verb: &str, component: &OsStr, error: impl Display) -> Failure {
        Failure::path(Status::CantCreat, verb, self.shown.join(component), error)
    }
}

/// Opens the root directory.
fn root() -> Result<OwnedFd, Errno> {
    fs::open("/", DIRECTORY, Mode::empty())
}

/// Returns the components of `path`, the last one first.
fn components(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter_map(|part| match part {
            std::path::Component::Normal(name) => Some(name.to_owned()),
            std::path::Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}
