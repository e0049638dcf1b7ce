//! an item with a path of its own → a link there, or the plaintext itself.
//!
//! Files that decide nothing about a path: `mount` tells what file system a directory is on, `walk` opens the directory
//! that a path stands in, `queue` keeps who does not answer from holding up anybody else, `far` reads ciphertexts and keys in
//! the same way, and `stamp` recognizes a file after a reboot.
//!
//! In the directory at the end of the way, three things use a name twice. None can be exchanged in between to any avail:
//! in a directory of root's only root exchanges names; in a sticky one nobody else can exchange what is root's or the
//! owner's, and nothing else is accepted there; in one of the owner's they can, but only for something that they may put
//! there, and take away, by themselves.

mod codec;
mod far;
mod mount;
pub mod queue;
mod stamp;
mod walk;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use vaultix_generator::escape::hex;
use vaultix_generator::profile::{Layout, PRIVATE_DIR, Placement, RAMFS_PATH, Settings};
use zeroize::Zeroizing;

use crate::acl;
use crate::bounded::MAX_CIPHERTEXT;
use crate::failure::Failure;
use crate::mounts::{is_in_memory, is_mounted};
use crate::owner::Ownership;
use crate::plaintext::Plaintext;
use crate::record::Record;
use crate::replace::replace_and_hold;
pub(crate) use far::FarFile;
pub use stamp::Stamp;
pub(crate) use walk::Missing;
use walk::{End, HOLD, Node, Obstacle, Parent, Reach, end_of, open_parent, own_user};

/// Largest file that is read to check that it is still what was put there, in bytes (1 MiB). Its owner can make it as
/// large as they like; a larger one is compared with the plaintext, which costs no more than decrypting it.
const MAX_COMPARED: u64 = 1 << 20;

/// What has to be done at a custom path.
pub struct Job {
    /// The path.
    pub path: PathBuf,
    /// What to do.
    pub task: Task,
}

/// What to do at a path.
pub enum Task {
    /// Put a link there.
    Link {
        /// The item's owner, who may also own directories on the way.
        owner: u32,
        /// Where it leads.
        target: PathBuf,
        /// What was put there before, and may be replaced.
        before: Vec<PathContent>,
    },
    /// Put the plaintext itself there.
    File {
        /// Its owner, group and mode.
        ownership: Ownership,
        /// Whether it may be on a disk.
        allow_disk: bool,
        /// The SHA-256 of the plaintext.
        digest: [u8; 32],
        /// The plaintext, if it is known.
        plaintext: Option<Plaintext>,
        /// What was put there before, and may be replaced.
        before: Vec<PathContent>,
    },
    /// Remove what was put there, if it is unchanged.
    Remove(PathContent),
}

/// What was put at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathContent {
    /// A link that leads there.
    Link(PathBuf),
    /// A file whose content has this SHA-256.
    File([u8; 32]),
    /// What was put there at an earlier boot, of which no digest is kept.
    Earlier(Earlier),
}

/// What was put at a path on a disk at an earlier boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// Where the link leads; `None` for a file.
    pub target: Option<PathBuf>,
    /// Which one it is.
    pub stamp: Stamp,
}

/// The outcome of a [`Job`] that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The link or file is there, in memory, or has been removed.
    Done,
    /// The link or file is there, on a disk, where it outlives this boot.
    OnDisk(Stamp),
    /// Nothing is there to remove, but what was put there at an earlier boot was on another file system: it may not be mounted.
    Absent,
    /// The file is missing or different, and the job came without the plaintext: repeat the job with it.
    NeedsPlaintext,
    /// It was not removed, and will not be tried again, for this reason: only a link may be left, or a file that is not
    /// what was put there.
    Abandoned(String),
    /// The file was not removed for this reason, which an unprivileged user may have caused. It may contain the secret: the
    /// switch warns, and the next one tries again; but it does not fail, or the user could make every switch fail.
    Remains(String),
}

/// The directories of Vaultix that links at custom paths lead into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnDirectories(Vec<PathBuf>);

impl OwnDirectories {
    /// Returns the directories in `settings`.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let ours = [
            &settings.decrypted_dir,
            &settings.decrypted_dir_for_user,
            &settings.decrypted_mount_point,
        ];
        Self(ours.into_iter().cloned().collect())
    }

    /// Returns whether a link to `target` leads there.
    fn contains(&self, target: &Path) -> bool {
        self.0.iter().any(|ours| target.starts_with(ours))
    }
}

impl PathContent {
    /// Returns what was put at the path of `record`.
    #[must_use]
    pub fn from_record(record: &Record) -> Self {
        if record.symlink { Self::Link(record.target.clone()) } else { Self::File(record.digest) }
    }

    /// Returns whether it is a link, which contains no secret.
    fn is_link(&self) -> bool {
        match self {
            Self::Link(_) => true,
            Self::File(_) => false,
            Self::Earlier(earlier) => earlier.target.is_some(),
        }
    }
}

impl Earlier {
    /// Returns whether `node` is it, unchanged.
    fn is(&self, node: &Node) -> Result<bool, Errno> {
        let is_as_it_was = match (node.kind, &self.target) {
            (FileType::Symlink, Some(target)) => node.target()? == *target,
            (FileType::RegularFile, None) => true,
            _ => false,
        };
        Ok(is_as_it_was && Stamp::of(&node.held)?.is_same(&self.stamp))
    }
}

/// Returns whether a link of root's to `target` is one that a tool has left, agenix or sops-nix: a dead one into `/run`, which is
/// empty after each boot, or one that by now leads to a file of ours, by a link in the place of that tool's directory.
fn is_left_by_a_tool(target: &Path) -> bool {
    let mut parts = target.components().skip(1);
    let is_plain = |part| matches!(part, std::path::Component::Normal(_));
    if !target.starts_with("/run") || !parts.all(is_plain) {
        return false;
    }
    match end_of(target) {
        End::Far => false,
        End::Missing => true,
        End::There(node) => node.kind == FileType::RegularFile && is_on_ramfs(&node),
    }
}

/// Returns whether `node` is on our ramfs.
fn is_on_ramfs(node: &Node) -> bool {
    let device = |stat: rustix::fs::Stat| stat.st_dev;
    let [ramfs, around] = [RAMFS_PATH, PRIVATE_DIR].map(|path| fs::stat(path).ok().map(device));
    ramfs.is_some() && ramfs != around && fs::fstat(&node.held).ok().map(device) == ramfs
}

impl Job {
    /// Returns the job to put an item at its path, `None` if it has no custom one, or one below a late mount that is not
    /// mounted: there it is put when that is mounted. `digest` is that of its plaintext,
    /// which may be omitted if it is unchanged; what was put there `before` may be replaced.
    #[must_use]
    pub fn put(
        place: &Placement,
        settings: &Settings,
        ownership: Ownership,
        digest: [u8; 32],
        plaintext: Option<Plaintext>,
        before: Option<&Record>,
    ) -> Option<Self> {
        if !is_custom(place, settings) || is_out_of_reach(&place.path, settings) {
            return None;
        }
        let path = place.path.clone();
        let before = before.filter(|before| before.path == path).map(PathContent::from_record);
        let before = before.into_iter().collect();
        let task = if place.symlink {
            let target = settings.link_of(place).join(&place.name);
            Task::Link { owner: ownership.uid, target, before }
        } else {
            Task::File { ownership, allow_disk: place.allow_disk, digest, plaintext, before }
        };
        Some(Self { path, task })
    }

    /// Returns the job to remove what an earlier profile put at the path of `record`, `None` if it had no custom one.
    #[must_use]
    pub fn remove(record: &Record, settings: &Settings) -> Option<Self> {
        settings.is_custom_path(&record.path, &record.name).then(|| Self {
            path: record.path.clone(),
            task: Task::Remove(PathContent::from_record(record)),
        })
    }

    /// Allows to replace what was put there at an `earlier` boot.
    pub fn allow(&mut self, earlier: Earlier) {
        if let Task::Link { before, .. } | Task::File { before, .. } = &mut self.task {
            before.push(PathContent::Earlier(earlier));
        }
    }

    /// Does it, as far as `reach` goes.
    fn perform(&self, ours: &OwnDirectories, reach: Reach) -> Result<Outcome, Obstacle> {
        match &self.task {
            Task::Link { owner, target, before } => {
                let destination =
                    Destination::open(&self.path, Some(*owner), Missing::Make, reach)?;
                destination.put_link(target, ours, before)
            }
            Task::File { ownership, .. } => {
                let destination =
                    Destination::open(&self.path, Some(ownership.uid), Missing::Make, reach)?;
                destination.put_file(&self.task, ours)
            }
            Task::Remove(content) => match remove_content(&self.path, content, reach) {
                Err(Obstacle::Missing(_)) if matches!(content, PathContent::Earlier(_)) => {
                    Ok(Outcome::Absent)
                }
                Err(Obstacle::Missing(_)) => Ok(Outcome::Done),
                // A link contains no secret. What the system refuses in directories of root is tried again.
                Err(Obstacle::Untrusted(failure)) if content.is_link() => {
                    Ok(Outcome::Abandoned(failure.reason))
                }
                Err(Obstacle::Untrusted(failure)) => Ok(Outcome::Remains(failure.reason)),
                other => other,
            },
        }
    }
}

/// Returns whether `place` has a path outside our own directories.
#[must_use]
pub fn is_custom(place: &Placement, settings: &Settings) -> bool {
    settings.is_custom(place)
}

/// Returns whether `path` is below a late mount that is not mounted.
fn is_out_of_reach(path: &Path, settings: &Settings) -> bool {
    settings.late_mount_of(path).is_some_and(|mount| !is_mounted(mount))
}

/// Removes what was put at `path`, if it is unchanged.
fn remove_content(path: &Path, content: &PathContent, reach: Reach) -> Result<Outcome, Obstacle> {
    // The directories on the way may have any owner now: only what Vaultix put there is removed.
    let destination = Destination::open(path, None, Missing::Fail, reach)?;
    if !content.is_link() {
        destination.remove_leftover()?;
    }
    let Some(node) = destination.parent.entry()? else {
        return Ok(match content {
            PathContent::Earlier(it) if !it.stamp.is_on(&destination.parent.node.held) => {
                Outcome::Absent
            }
            _ => Outcome::Done,
        });
    };
    let is_ours = match (node.kind, content) {
        (FileType::Symlink, PathContent::Link(target)) => destination.target(&node)? == *target,
        (FileType::RegularFile, PathContent::File(digest)) => {
            match (destination.digest(MAX_CIPHERTEXT), node.uid) {
                // For example because of a lease, which they can hold as long as they like.
                (Err(Obstacle::Failed(failure)), 1..) => return Err(Obstacle::Untrusted(failure)),
                (found, _) => found? == Some(*digest),
            }
        }
        // What cannot be looked at now may be ours all the same, and is tried again.
        (_, PathContent::Earlier(earlier)) => {
            earlier.is(&node).map_err(|error| destination.parent.failed("read", error))?
        }
        _ => false,
    };
    if is_ours {
        // By name: see above. If the owner has put another file there in between, they could have removed it themselves.
        return match fs::unlinkat(
            &destination.parent.node.held,
            &destination.parent.name,
            AtFlags::empty(),
        ) {
            Ok(()) | Err(Errno::NOENT) => Ok(Outcome::Done),
            Err(error) => Err(destination.parent.failed("remove", error)),
        };
    }
    Ok(match content {
        PathContent::Link(_) => Outcome::Done,
        PathContent::File(_) => Outcome::Abandoned(format!(
            "{} is not what was put there, so it was not removed; check whether it contains a secret",
            path.display()
        )),
        PathContent::Earlier(_) => Outcome::Abandoned(format!(
            "{} is not what was put there at an earlier boot, so it was not removed; check whether it contains a secret",
            path.display()
        )),
    })
}

struct Destination {
    /// The directory, and the name in it.
    parent: Parent,
}

impl Destination {
    fn open(
        path: &Path,
        owner: Option<u32>,
        missing: Missing,
        reach: Reach,
    ) -> Result<Self, Obstacle> {
        Ok(Self { parent: open_parent(path, owner, missing, reach)? })
    }

    /// Returns what is there. In a directory that others can write to, it has to belong to root or to the owner: anyone else
    /// could exchange it at any time.
    fn entry(&self) -> Result<Option<Node>, Obstacle> {
        let node = self.parent.entry()?;
        let strangers = node.as_ref().filter(|node| {
            self.parent.node.is_shared() && node.uid != 0 && self.parent.owner != Some(node.uid)
        });
        match strangers {
            Some(node) => Err(self.taken(&format!("a file of user {}", node.uid))),
            None => Ok(node),
        }
    }

    /// Removes the temporary file of a program that was killed: it may contain the whole plaintext.
    fn remove_leftover(&self) -> Result<(), Obstacle> {
        let (held, name) = (&self.parent.node.held, self.temporary());
        let stat = fs::statat(held, &name, AtFlags::SYMLINK_NOFOLLOW);
        let is_file =
            stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        if !is_file {
            return Ok(());
        }
        // By name: see above. Only Vaultix uses this name.
        match fs::unlinkat(held, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.parent.failed("remove the temporary file of", error)),
        }
    }

    /// Returns where the link `node` leads.
    fn target(&self, node: &Node) -> Result<PathBuf, Obstacle> {
        node.target().map_err(|error| self.parent.failed("read", error))
    }

    /// Returns the digest of the file that stands there by now, `None` if it has more than `limit` bytes, or is none.
    fn digest(&self, limit: u64) -> Result<Option<[u8; 32]>, Obstacle> {
        let Some(file) = self.open_file()? else { return Ok(None) };
        digest(file, limit).map_err(|error| self.parent.failed("read", error))
    }

    /// Returns whether the file that stands there by now has this digest, and no access list that lets others in. What cannot
    /// be read is not.
    fn holds(&self, expected: &[u8; 32], limit: u64) -> bool {
        let Ok(Some(file)) = self.open_file() else { return false };
        !acl::is_there(&file) && digest(file, limit).ok().flatten().as_ref() == Some(expected)
    }

    /// Opens the file that stands there by now, `None` if there is none.
    ///
    /// Never waits: not for the other end of a FIFO, nor until its owner gives up a lease on it, fcntl(2). If the owner has
    /// put another file there meanwhile, nobody learns more of it than whether it is what was put there.
    fn open_file(&self) -> Result<Option<File>, Obstacle> {
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let Parent { node, name, .. } = &self.parent;
        match fs::openat(&node.held, name, flags, Mode::empty()) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => Ok(None),
            Err(error) => Err(self.parent.failed("read", error)),
        }
    }

    /// Returns the obstacle that something is in the way.
    fn taken(&self, what: &str) -> Obstacle {
        let reason = format!("{what} is in the way; move it away, or set another path");
        self.parent.failed("write", reason)
    }

    /// Returns the name of the temporary file next to it, which is never too long.
    fn temporary(&self) -> String {
        let digest = Sha256::digest(self.parent.name.as_bytes());
        format!(".vaultix-{}", hex(digest.get(..8).unwrap_or_default()))
    }

    fn put_link(
        &self,
        target: &Path,
        ours: &OwnDirectories,
        before: &[PathContent],
    ) -> Result<Outcome, Obstacle> {
        match self.entry()? {
            None => {}
            Some(node) if node.kind == FileType::Symlink => {
                let old = self.target(&node)?;
                if old == target {
                    return Ok(self.outcome(&node.held));
                }
                self.ensure_replaceable(&node, &old, ours, before)?;
            }
            Some(node) if node.kind == FileType::RegularFile => {
                self.ensure_file_is_ours(&node, before)?;
            }
            Some(_) => return Err(self.taken("something that is neither a file nor a link")),
        }
        let (directory, name, fresh) =
            (&self.parent.node.held, &self.parent.name, self.temporary());
        // By name: see above. An owner who exchanges the link before it is renamed gets what they have put there.
        let put = || {
            match fs::unlinkat(directory, &fresh, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
            fs::symlinkat(target, directory, &fresh)?;
            let held = self.hold_link(&fresh, target)?;
            if let Some(held) = &held {
                self.give_link_to_owner(held)?;
            }
            fs::renameat(directory, &fresh, directory, name)?;
            Ok(held)
        };
        let link = put().map_err(|error| {
            let _ = fs::unlinkat(directory, &fresh, AtFlags::empty()); // A link contains no secret.
            self.parent.failed("write", error)
        })?;
        Ok(link.map_or(Outcome::Done, |held| self.outcome(&held)))
    }

    /// Makes sure that the file `node` was put there, at this boot or an earlier one.
    fn ensure_file_is_ours(&self, node: &Node, before: &[PathContent]) -> Result<(), Obstacle> {
        if self.is_earlier(node, before)? {
            return Ok(());
        }
        // Not read if no file was put there: it may be anything.
        for content in before {
            if let PathContent::File(digest) = content
                && self.digest(MAX_CIPHERTEXT)?.as_ref() == Some(digest)
            {
                return Ok(());
            }
        }
        Err(self.taken("a file that Vaultix did not put there"))
    }

    /// Returns whether one of `contents` was put there at an earlier boot, and is `node`.
    fn is_earlier(&self, node: &Node, contents: &[PathContent]) -> Result<bool, Obstacle> {
        for content in contents {
            if let PathContent::Earlier(earlier) = content
                && earlier.is(node).map_err(|error| self.parent.failed("read", error))?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the outcome that `held`, which is ours, stands there.
    fn outcome(&self, held: impl AsFd) -> Outcome {
        if is_in_memory(&self.parent.node.held) {
            return Outcome::Done;
        }
        // Without a stamp, the next boot does not know it.
        Stamp::of(held).map_or(Outcome::Done, Outcome::OnDisk)
    }

    /// Holds the new link `fresh`; `None` if it is another one.
    ///
    /// The owner of the directory can exchange names there, so that only what is held counts: a link of this process to this
    /// target that has no other name.
    fn hold_link(&self, fresh: &str, target: &Path) -> Result<Option<OwnedFd>, Errno> {
        let held = fs::openat(&self.parent.node.held, fresh, HOLD, Mode::empty())?;
        let stat = fs::fstat(&held)?;
        let is_new = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink
            && (stat.st_uid, stat.st_nlink) == (own_user(), 1)
            && fs::readlinkat(&held, "", Vec::new())?.to_bytes() == target.as_os_str().as_bytes();
        Ok(is_new.then_some(held))
    }

    /// Gives the new link to the item's owner, where the directory is the owner's.
    fn give_link_to_owner(&self, held: &OwnedFd) -> Result<(), Errno> {
        let node = &self.parent.node;
        let Some(owner) =
            self.parent.owner.filter(|owner| *owner != own_user() && *owner == node.uid)
        else {
            return Ok(());
        };
        let (owner, group) = (fs::Uid::from_raw(owner), fs::Gid::from_raw(node.gid));
        fs::chownat(held, "", Some(owner), Some(group), AtFlags::EMPTY_PATH)
    }

    /// Puts the plaintext itself there. An existing file is replaced, whatever it contains: a host may have no record of what was
    /// put there before the last boot.
    fn put_file(&self, task: &Task, ours: &OwnDirectories) -> Result<Outcome, Obstacle> {
        let Task::File { ownership, allow_disk, digest, plaintext, before } = task else {
            return Ok(Outcome::Done);
        };
        // Checked on the descriptor of the directory that it is written to.
        if !allow_disk && !is_in_memory(&self.parent.node.held) {
            return Err(self.parent.failed(
                "write",
                "its directory is not on ramfs or tmpfs, so the plaintext would be on a disk; let path be a link \
                 (symlink = true), or, for a secret, set allowDisk = true",
            ));
        }
        match self.entry()? {
            None => {}
            Some(node) if node.kind == FileType::Symlink => {
                self.ensure_replaceable(&node, &self.target(&node)?, ours, before)?;
            }
            Some(node) if node.kind == FileType::RegularFile => {
                let has = (node.uid, node.gid, node.mode);
                if has == (ownership.uid, ownership.gid, ownership.mode)
                    && self.holds(digest, limit(plaintext.as_ref()))
                {
                    return Ok(self.outcome(&node.held));
                }
            }
            Some(_) => return Err(self.taken("something that is not a file")),
        }
        let Some(plaintext) = plaintext else { return Ok(Outcome::NeedsPlaintext) };
        let (directory, name, fresh) =
            (&self.parent.node.held, &self.parent.name, self.temporary());
        // Owner, mode and content are set on the descriptor of the new file; only the rename uses names, see above.
        // An owner who exchanges the file before that gets what they have put there, and may read the plaintext anyway.
        let file = replace_and_hold(directory, &fresh, directory, name, plaintext, *ownership)
            .map_err(|error| self.parent.failed("write", error))?;
        Ok(self.outcome(&file))
    }

    /// Makes sure that the link `node`, which leads to `old`, may be replaced.
    fn ensure_replaceable(
        &self,
        node: &Node,
        old: &Path,
        ours: &OwnDirectories,
        before: &[PathContent],
    ) -> Result<(), Obstacle> {
        let was_put = |content: &PathContent| matches!(content, PathContent::Link(it) if it == old);
        if before.iter().any(was_put)
            || ours.contains(old)
            || self.is_earlier(node, before)?
            || (node.uid == 0 && is_left_by_a_tool(old))
        {
            return Ok(());
        }
        Err(self.taken("a link that Vaultix did not put there"))
    }
}

/// Returns how many bytes are read of a file that may contain `plaintext`.
fn limit(plaintext: Option<&Plaintext>) -> u64 {
    plaintext.map_or(MAX_COMPARED, |plaintext| plaintext.expose().len() as u64)
}

/// Returns the digest of `file`, `None` if it has more than `limit` bytes, or is not a regular file.
fn digest(file: File, limit: u64) -> io::Result<Option<[u8; 32]>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > limit {
        return Ok(None);
    }
    let mut piece = Zeroizing::new(vec![0; 64 << 10]);
    let (mut hash, mut rest) = (Sha256::new(), file.take(limit + 1));
    let mut size = 0;
    loop {
        let count = rest.read(&mut piece)?;
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        hash.update(bytes);
        size += count as u64;
    }
    Ok((size <= limit).then(|| hash.finalize().into()))
}

/// Opens the parent directory of `path`, if only root and whoever has this `layout` control the way to it, and returns it with
/// the last component. The descriptor can be used to look up names, but not to list the directory.
pub(crate) fn open_trusted_parent(
    path: &Path,
    layout: Layout,
    missing: Missing,
) -> Result<(OwnedFd, OsString), Failure> {
    let owner = Some(layout.owner());
    let parent = open_parent(path, owner, missing, Reach::Everywhere).map_err(Failure::from)?;
    Ok((parent.node.held, parent.name))
}

/// As [`open_trusted_parent`], on a file system that always responds, and where nobody else can make files; `None` if a
/// directory on the way does not exist.
pub(crate) fn open_private_parent(
    path: &Path,
    layout: Layout,
    missing: Missing,
) -> Result<Option<(OwnedFd, OsString)>, Failure> {
    // A user's own directories hold up nobody else.
    let reach = if layout == Layout::Host { Reach::RootOnly } else { Reach::Near };
    match open_parent(path, Some(layout.owner()), missing, reach) {
        Ok(parent) if parent.node.is_shared() => {
            Err(Failure::write(path, "others can make files in its directory"))
        }
        Ok(parent) => Ok(Some((parent.node.held, parent.name))),
        Err(Obstacle::Missing(_)) if missing == Missing::Fail => Ok(None),
        Err(Obstacle::OutOfReach) => {
            let reason = match layout {
                Layout::Host => "its directory is not one of root's on a local file system",
                Layout::User(_) => "its directory is not on a local file system",
            };
            Err(Failure::write(path, reason))
        }
        Err(obstacle) => Err(obstacle.into()),
    }
}
