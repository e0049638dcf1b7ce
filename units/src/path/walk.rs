//! path → its parent directory, if the way to it is safe.
//!
//! Each component is looked up once. The result is held by a descriptor, and everything else uses that descriptor:
//! exchanging a name afterwards has no effect, since it is not used again.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, StatxFlags, Uid};
use rustix::io::Errno;
use vaultix_generator::status::Status;

use super::mount::{self, Mount};
use crate::failure::Failure;
use crate::replace::DIRECTORY;

/// How often to try to make a directory that other processes also make.
const MAX_TRIES: u32 = 50;

/// Most links that are followed on the way to one path, as in the kernel.
const MAX_LINKS: u32 = 40;
/// Mode of directories made on the way.
const PARENT: Mode = Mode::from_raw_mode(0o755);
/// A directory that only root can access, in which a directory for an owner is made.
const STAGING: &str = ".vaultix-new";
/// Permission bits that let others than the owner write.
const SHARED: u32 = 0o022;
/// How a component is held: without opening it, which involves neither the file system nor the holder of a lease.
pub(super) const HOLD: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What to do when a directory on the way does not exist.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Make it.
    Make,
    /// Fail.
    Fail,
}

/// How far this process goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// To paths of root on local file systems: no unprivileged user can make it wait there.
    RootOnly,
    /// To whatever is on a file system of this kernel.
    Near,
    /// Everywhere: it can be abandoned.
    Everywhere,
}

/// Why a path was not reached.
pub(super) enum Obstacle {
    /// It leads beyond [`Reach::RootOnly`].
    OutOfReach,
    /// A directory on the way does not exist, or is not a directory.
    Missing(Failure),
    /// An unprivileged user may have made it.
    Untrusted(Failure),
    /// The system's own reason, in directories of root.
    Failed(Failure),
}

impl From<Obstacle> for Failure {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::OutOfReach => Self::new(Status::Software, "it was not tried"),
            Obstacle::Missing(failure)
            | Obstacle::Untrusted(failure)
            | Obstacle::Failed(failure) => failure,
        }
    }
}

/// The file that a name referred to when it was looked up.
pub(super) struct Node {
    /// Holds it.
    pub(super) held: OwnedFd,
    /// What kind of thing it is.
    pub(super) kind: FileType,
    /// Its owner.
    pub(super) uid: u32,
    /// Its group.
    pub(super) gid: u32,
    /// Its permission bits.
    pub(super) mode: u32,
    /// The mount that it is on.
    mount: u64,
    /// Whether its file system is one of this kernel.
    is_local: bool,
}

/// Why a name could not be looked up.
enum LookupError {
    /// It leads beyond [`Reach::RootOnly`].
    OutOfReach,
    /// It is on a file system that this user has mounted.
    OfUser(u32),
    /// The system's own reason.
    System(io::Error),
}

impl From<Errno> for LookupError {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

impl Node {
    fn root() -> Result<Self, Errno> {
        Self::from_descriptor(fs::open("/", HOLD | OFlags::DIRECTORY, Mode::empty())?)
    }

    /// Returns the metadata of `held` that the kernel knows without accessing the file system.
    fn from_descriptor(held: OwnedFd) -> Result<Self, Errno> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let stat = fs::statx(&held, "", flags, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID)?;
        if stat.stx_mask & StatxFlags::MNT_ID.bits() == 0 {
            return Err(Errno::NOSYS); // Before Linux 5.8.
        }
        let mode = u32::from(stat.stx_mode);
        Ok(Self {
            held,
            kind: FileType::from_raw_mode(mode),
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            mode: mode & 0o7777,
            mount: stat.stx_mnt_id,
            is_local: true,
        })
    }

    /// Looks up `name` in this directory, `None` if there is nothing.
    fn find(&self, name: &OsStr, reach: Reach) -> Result<Option<Self>, LookupError> {
        let mut flags = HOLD;
        loop {
            let held = match fs::openat(&self.held, name, flags, Mode::empty()) {
                Ok(held) => held,
                Err(Errno::NOENT | Errno::NAMETOOLONG) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let mut node = Self::from_descriptor(held)?;
            node.is_local = self.is_local;
            if node.mount != self.mount {
                // A file system that may block is not accessed before its kind is known.
                match mount::kind(node.mount, &node.held).map_err(LookupError::System)? {
                    Mount::OfUser(user) => return Err(LookupError::OfUser(user)),
                    Mount::Local => node.is_local = true,
                    Mount::Automount | Mount::Remote if reach != Reach::Everywhere => {
                        return Err(LookupError::OutOfReach);
                    }
                    Mount::Automount if !flags.contains(OFlags::DIRECTORY) => {
                        // With this flag, the lookup waits for the mount.
                        flags |= OFlags::DIRECTORY;
                        continue;
                    }
                    Mount::Automount | Mount::Remote => node.is_local = false,
                }
            }
            if !node.is_local {
                let stat = fs::fstat(&node.held)?;
                (node.kind, node.uid, node.gid, node.mode) = (
                    FileType::from_raw_mode(stat.st_mode),
                    stat.st_uid,
                    stat.st_gid,
                    stat.st_mode & 0o7777,
                );
            }
            if reach == Reach::RootOnly && node.uid != 0 {
                return Err(LookupError::OutOfReach);
            }
            return Ok(Some(node));
        }
    }

    /// Returns whether others than its owner can make files in this directory.
    pub(super) fn is_shared(&self) -> bool {
        self.mode & SHARED != 0
    }

    /// Returns whether others can also exchange files in it that are not theirs.
    fn is_writable_by_others(&self) -> bool {
        self.is_shared() && self.mode & 0o1000 == 0
    }

    /// Returns where this link leads.
    pub(super) fn target(&self) -> Result<PathBuf, Errno> {
        let target = fs::readlinkat(&self.held, "", Vec::new())?;
        Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }
}

/// The parent directory of a path.
pub(super) struct Parent {
    /// It.
    pub(super) node: Node,
    /// The last component of the path.
    pub(super) name: OsString,
    /// Whether an unprivileged user may have made the way.
    pub(super) is_untrusted: bool,
    /// Who may own parts of the way besides root; `None` if only root does.
    pub(super) owner: Option<u32>,
    /// The path, for errors.
    path: PathBuf,
    /// How far this process goes.
    reach: Reach,
}

impl Parent {
    /// Returns what is at the path, `None` if it does not exist.
    pub(super) fn entry(&self) -> Result<Option<Node>, Obstacle> {
        let found = self.node.find(&self.name, self.reach);
        found.map_err(|error| obstacle(error, &self.path, &self.path, self.is_untrusted))
    }

    /// Returns the obstacle to do something at the path.
    pub(super) fn failed(&self, verb: &str, error: impl Display) -> Obstacle {
        let failure = Failure::path(Status::CantCreat, verb, &self.path, error);
        if self.is_untrusted { Obstacle::Untrusted(failure) } else { Obstacle::Failed(failure) }
    }
}

/// Returns the obstacle that `error` with `at` is on the way to `path`.
fn obstacle(error: LookupError, path: &Path, at: &Path, is_untrusted: bool) -> Obstacle {
    let failure = match error {
        LookupError::OutOfReach => return Obstacle::OutOfReach,
        LookupError::OfUser(user) => {
            let reason = format!(
                "unsafe path transition: {} is on a file system that user {user} has mounted (FUSE), who could redirect \
                 the secret; unmount it, or set another path",
                at.display()
            );
            return Obstacle::Untrusted(Failure::write(path, reason));
        }
        LookupError::System(error) => Failure::path(Status::CantCreat, "open", at, error),
    };
    if is_untrusted { Obstacle::Untrusted(failure) } else { Obstacle::Failed(failure) }
}

/// Opens the parent directory of `path`.
///
/// Each directory and link on the way must belong to root or to `owner`, who may read the plaintext anyway: anyone else
/// could have planted it to see the plaintext, or to make root write where they cannot. For the same reason, a link of
/// `owner` may lead only to what also belongs to `owner`, and nobody else may be able to exchange the next component in any
/// directory. systemd-tmpfiles(8) calls the rest unsafe path transitions. If nothing is put there, `owner` may be `None`:
/// it is then the first owner other than root.
pub(super) fn open_parent(
    path: &Path,
    owner: Option<u32>,
    missing: Missing,
    reach: Reach,
) -> Result<Parent, Obstacle> {
    let nameless = || Obstacle::Failed(Failure::write(path, "it is the root directory"));
    let name = path.file_name().ok_or_else(nameless)?.to_owned();
    let mut rest = components(path.parent().unwrap_or(Path::new("/")));
    let mut walk = Walk::new(path, owner, reach)?;
    while let Some(component) = rest.pop() {
        if component == ".." {
            walk.go_up()?;
            continue;
        }
        let node = walk.find_or_make(&component, missing)?;
        match node.kind {
            FileType::Symlink => rest.extend(components(&walk.follow(&component, &node)?)),
            FileType::Directory => walk.enter(&component, node)?,
            _ => return Err(Obstacle::Missing(walk.failure("open", &component, Errno::NOTDIR))),
        }
    }
    walk.end(name)
}

/// Where a path leads to, whoever laid the way.
pub(super) enum End {
    /// A file system that may not respond is on the way.
    Far,
    /// Nothing is there.
    Missing,
    /// This is there.
    There(Node),
}

/// Returns whether all of the way to `path` is on file systems of this kernel: then reading it waits for nobody. What does
/// not exist is near.
pub(super) fn is_near(path: &Path) -> bool {
    std::path::absolute(path).is_ok_and(|path| !matches!(end_of(&path), End::Far))
}

/// Follows the absolute `path`, only on file systems of this kernel, so that it waits for nobody.
pub(super) fn end_of(path: &Path) -> End {
    let Ok(mut here) = Node::root() else { return End::Far };
    let (mut rest, mut links) = (components(path), 0);
    while let Some(component) = rest.pop() {
        let node = match here.find(&component, Reach::Near) {
            Ok(Some(node)) => node,
            Ok(None) => return End::Missing,
            Err(_) => return End::Far,
        };
        match node.kind {
            FileType::Directory => here = node,
            FileType::Symlink => {
                let Ok(target) = node.target() else { return End::Far };
                links += 1;
                if links > MAX_LINKS {
                    return End::Far;
                }
                rest.extend(components(&target));
                if target.is_absolute() {
                    let Ok(root) = Node::root() else { return End::Far };
                    here = root;
                }
            }
            _ if rest.is_empty() => return End::There(node),
            _ => return End::Missing,
        }
    }
    End::There(here)
}

/// A walk from the root directory, one component at a time.
struct Walk<'a> {
    /// The path, for errors.
    path: &'a Path,
    /// Who may own parts of the way besides root.
    owner: Option<u32>,
    /// How far this process goes.
    reach: Reach,
    here: Node,
    shown: PathBuf,
    /// Whether it has been in a directory of the owner. A file there may belong to root and still have been put there by the
    /// owner, who can rename it, or make a hard link to a link.
    is_untrusted: bool,
    /// Whether it has followed a link there, or a link of the owner: everything after that must belong to the owner.
    is_confined: bool,
    links: u32,
}

impl<'a> Walk<'a> {
    /// Starts at the root directory.
    fn new(path: &'a Path, owner: Option<u32>, reach: Reach) -> Result<Self, Obstacle> {
        let here = root(path)?;
        let shown = PathBuf::from("/");
        let mut walk = Self {
            path,
            owner,
            reach,
            here,
            shown,
            is_untrusted: false,
            is_confined: false,
            links: 0,
        };
        walk.ensure_not_writable_by_others()?;
        walk.is_untrusted = walk.here.uid != 0;
        Ok(walk)
    }

    fn go_up(&mut self) -> Result<(), Obstacle> {
        // The owner may have moved the directory, and with it what is above it.
        self.is_confined |= self.is_untrusted;
        let Some(above) = self
            .here
            .find(OsStr::new(".."), self.reach)
            .map_err(|error| obstacle(error, self.path, &self.shown, self.is_untrusted))?
        else {
            return Err(Obstacle::Missing(Failure::write(self.path, Errno::NOENT)));
        };
        self.shown.pop();
        self.ensure_trusted_owner(OsStr::new("."), &above)?;
        self.here = above;
        self.ensure_not_writable_by_others()
    }

    /// Looks up `component`, and makes it if it is missing, unless a link of the owner has led here.
    fn find_or_make(&mut self, component: &OsStr, missing: Missing) -> Result<Node, Obstacle> {
        let mut node = self.find(component)?;
        if node.is_none() && missing == Missing::Make && !self.is_confined {
            self.make(component)?;
            node = self.find(component)?;
        }
        let node =
            node.ok_or_else(|| Obstacle::Missing(self.failure("open", component, Errno::NOENT)))?;
        self.ensure_trusted_owner(component, &node)?;
        Ok(node)
    }

    fn find(&self, component: &OsStr) -> Result<Option<Node>, Obstacle> {
        let at = || self.shown.join(component);
        let found = self.here.find(component, self.reach);
        found.map_err(|error| obstacle(error, self.path, &at(), self.is_untrusted))
    }

    /// Makes sure that `component` belongs to root or to the owner.
    fn ensure_trusted_owner(&mut self, component: &OsStr, node: &Node) -> Result<(), Obstacle> {
        if self.owner.is_none() && node.uid != 0 {
            self.owner = Some(node.uid);
        }
        let is_owners = self.owner == Some(node.uid);
        if is_owners || (node.uid == 0 && !self.is_confined) {
            return Ok(());
        }
        Err(self.unsafe_at(
            component,
            &format!(
                "belongs to user {}, who could redirect the secret; it must belong to {}",
                node.uid,
                if self.is_confined { "the secret's owner" } else { "root or the secret's owner" },
            ),
        ))
    }

    /// Makes sure that only root and its owner can exchange files in the current directory.
    fn ensure_not_writable_by_others(&self) -> Result<(), Obstacle> {
        if !self.here.is_writable_by_others() {
            return Ok(());
        }
        let here = self.shown.display();
        Err(self.unsafe_at(
            OsStr::new("."),
            &format!(
                "is writable by its group or by everyone, who could redirect the secret; to forbid that: chmod \
                 go-w {here}"
            ),
        ))
    }

    /// Makes the directory `component`.
    ///
    /// In a directory of root, nobody else can exchange it before it is looked up; in a sticky one, another user may
    /// have made it first, and then it belongs to that user.
    fn make(&self, component: &OsStr) -> Result<(), Obstacle> {
        // The owner's where the directory that it is made in is the owner's, so that the owner can use it; otherwise root's, or
        // that of the user who runs this.
        let is_another = |owner: &u32| *owner != own_user() && *owner == self.here.uid;
        let made = match self.owner.filter(is_another) {
            Some(owner) => self.make_with_retries(component, owner),
            None => fs::mkdirat(&self.here.held, component, PARENT).map_err(LookupError::from),
        };
        match made {
            Ok(()) => Ok(()),
            Err(LookupError::System(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                Ok(())
            }
            Err(LookupError::System(error)) => Err(self.failed("create", component, error)),
            Err(error) => {
                Err(obstacle(error, self.path, &self.shown.join(component), self.is_untrusted))
            }
        }
    }

    /// Makes the directory `component` of `owner`. Other processes do the same for other items, and may remove each other's
    /// staging directory.
    fn make_with_retries(&self, component: &OsStr, owner: u32) -> Result<(), LookupError> {
        let mut result = self.make_owned_by(component, owner);
        for _ in 0..MAX_TRIES {
            match &result {
                Err(LookupError::System(error))
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound
                            | io::ErrorKind::AlreadyExists
                            | io::ErrorKind::DirectoryNotEmpty
                    ) => {}
                _ => return result,
            }
            if self.here.find(component, self.reach)?.is_some() {
                return Ok(());
            }
            result = self.make_owned_by(component, owner);
        }
        result
    }

    /// Makes the directory `component` of `owner`, who can exchange all names in the current directory.
    ///
    /// So its owner is changed while it is in a directory that only root can access, and only if root has made it there: if
    /// the owner has replaced the staging directory with another directory of root, that has no entry of this name, or it is
    /// left alone.
    fn make_owned_by(&self, component: &OsStr, owner: u32) -> Result<(), LookupError> {
        let here = &self.here.held;
        match fs::mkdirat(here, STAGING, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let stage = match self.here.find(OsStr::new(STAGING), self.reach)? {
            // Another process has removed it, and the next try makes it again.
            None => return Err(LookupError::System(io::ErrorKind::NotFound.into())),
            Some(it) if it.kind == FileType::Directory && (it.uid, it.mode & 0o077) == (0, 0) => {
                it.held
            }
            Some(_) => {
                let reason = format!("{STAGING} in the same directory was not made by Vaultix");
                return Err(LookupError::System(io::Error::other(reason)));
            }
        };
        let made = || {
            // Left by a program that was killed. One that is not empty was made by someone else.
            let _ = fs::unlinkat(&stage, STAGING, AtFlags::REMOVEDIR);
            fs::mkdirat(&stage, STAGING, PARENT)?;
            let fresh = fs::openat(&stage, STAGING, DIRECTORY, Mode::empty())?;
            fs::fchown(&fresh, Some(Uid::from_raw(owner)), Some(Gid::from_raw(self.here.gid)))?;
            // Another process may have made it in the meantime, and be about to put its item there.
            match fs::renameat_with(&stage, STAGING, here, component, RenameFlags::NOREPLACE) {
                // Some network file systems do not know the flag. There this can replace an empty directory.
                Err(Errno::INVAL) => fs::renameat(&stage, STAGING, here, component),
                done => done,
            }
        };
        let result = made();
        // The last one may be an empty directory of the owner, who could remove it as well.
        let _ = fs::unlinkat(&stage, STAGING, AtFlags::REMOVEDIR);
        let _ = fs::unlinkat(here, STAGING, AtFlags::REMOVEDIR);
        Ok(result?)
    }

    /// Follows the link `component`, which is `node`: returns where it leads, relative to the current directory after that.
    fn follow(&mut self, component: &OsStr, node: &Node) -> Result<PathBuf, Obstacle> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(self.fail(Failure::write(self.path, Errno::LOOP)));
        }
        // It need not have been renamed to here: without protected_hardlinks, proc_sys_fs(5), it can also be a hard link.
        if self.here.is_shared() {
            return Err(self.unsafe_at(
                component,
                "is a link in a directory that everyone can write to, who could redirect the secret; set another path",
            ));
        }
        self.is_confined |= self.is_untrusted || node.uid != 0;
        let target = node.target().map_err(|error| self.failed("read", component, error))?;
        if target.is_absolute() {
            self.here = root(self.path)?;
            self.shown = PathBuf::from("/");
        }
        Ok(target)
    }

    /// Enters the directory `component`, which is `node`.
    fn enter(&mut self, component: &OsStr, node: Node) -> Result<(), Obstacle> {
        self.is_untrusted |= node.uid != 0;
        self.here = node;
        self.shown.push(component);
        self.ensure_not_writable_by_others()
    }

    /// Ends the walk in the current directory.
    fn end(self, name: OsString) -> Result<Parent, Obstacle> {
        // `..` and `/` at the end of a link lead to a directory that was not checked.
        if self.is_confined && self.owner != Some(self.here.uid) {
            return Err(Obstacle::Untrusted(Failure::write(
                self.path,
                format!(
                    "unsafe path transition: a link on the way leads to {}, which does not belong to the secret's \
                     owner",
                    self.shown.display()
                ),
            )));
        }
        Ok(Parent {
            is_untrusted: self.is_untrusted || self.here.is_shared(),
            owner: self.owner,
            path: self.path.to_owned(),
            reach: self.reach,
            node: self.here,
            name,
        })
    }

    /// Returns the obstacle that `component` is not safe, for the reason `why`.
    fn unsafe_at(&self, component: &OsStr, why: &str) -> Obstacle {
        let at = if component == "." { self.shown.clone() } else { self.shown.join(component) };
        let reason = format!("unsafe path transition: {} {why}", at.display());
        Obstacle::Untrusted(Failure::write(self.path, reason))
    }

    /// Returns the obstacle to do something with `component`.
    fn failed(&self, verb: &str, component: &OsStr, error: impl Display) -> Obstacle {
        self.fail(self.failure(verb, component, error))
    }

    /// Returns the obstacle that `failure` is here.
    fn fail(&self, failure: Failure) -> Obstacle {
        if self.is_untrusted { Obstacle::Untrusted(failure) } else { Obstacle::Failed(failure) }
    }

    /// Returns the failure to do something with `component`.
    fn failure(&self, verb: &str, component: &OsStr, error: impl Display) -> Failure {
        Failure::path(Status::CantCreat, verb, self.shown.join(component), error)
    }
}

/// Returns the number of the user who runs this program: root, on a host.
pub(super) fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Opens the root directory, on the way to `path`.
fn root(path: &Path) -> Result<Node, Obstacle> {
    Node::root().map_err(|error| Obstacle::Failed(Failure::write(path, error)))
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
