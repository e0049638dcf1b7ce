//! the ramfs → numbered directories of plaintexts in it, and the links that lead to the current one.
//!
//! ```text
//! /run/vaultix -> /run/vaultix.d/2
//! /run/vaultix.d/2/wifi                          a plaintext
//! /run/vaultix.d/2/.vaultix/placed/UNIT          what it was made from, for the next switch
//! /run/vaultix.d/2/.vaultix/untold/UNIT          its consumers have not been told of it
//! /run/vaultix.d/2/.vaultix/due/UNIT             the unit itself has not been told: userborn of early items, or the target
//! /run/vaultix.d/2/.vaultix/gone/UNIT            what an earlier profile put elsewhere, to be taken away
//! /run/vaultix.d/2/.vaultix/lost/UNIT            the plaintext that belongs to it
//! ```
//!
//! What a switch or an item still has to do is written down before its plaintext is there, and struck out once it is
//! done: a program that is killed on the way leaves it to the next one.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use vaultix_generator::escape;
use vaultix_generator::profile::{Placement, RESERVED_NAME, Settings};
use vaultix_generator::status::Status;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::owner::Ownership;
use crate::plaintext::Plaintext;

/// What statfs(2) calls a ramfs.
const RAMFS_MAGIC: u64 = 0x8584_58f6;
/// What statfs(2) calls a tmpfs.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Mode of the directories of a generation: everyone may pass through, nobody but root may list.
const PASSABLE: Mode = Mode::from_raw_mode(0o751);
/// Mode of the generation's own notes.
const PRIVATE: Mode = Mode::from_raw_mode(0o700);
/// Mode of a file until it has its owner.
const UNFINISHED: Mode = Mode::from_raw_mode(0o600);

/// A file on its way into a generation: only who has the lock makes one.
const NEW: &str = ".new";
/// A note on its way.
const NEW_NOTE: &str = ".note";
/// A link on its way to `decryptedDir`.
const NEW_LINK: &str = ".vaultix-link";

/// How directories are opened.
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What a generation notes about an item besides its plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// What it was made from: a [`crate::record::Record`].
    Placed,
    /// Its consumers have not been told of the plaintext that is there, or of the one to come. Empty.
    Untold,
    /// The unit has to be told: userborn of an early item, the target of items to start. Empty.
    Due,
    /// What an earlier profile put somewhere else: a [`crate::record::Record`].
    Gone,
    /// The plaintext of what is gone.
    Lost,
}

impl Note {
    /// Returns the name of the directory.
    fn name(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Untold => "untold",
            Self::Due => "due",
            Self::Gone => "gone",
            Self::Lost => "lost",
        }
    }
}

/// The mounted ramfs.
pub struct Ramfs {
    /// Its root directory; also holds the lock.
    root: OwnedFd,
    /// Where it is mounted.
    point: PathBuf,
}

/// One numbered directory.
pub struct Generation {
    /// Its number, from 1.
    pub number: u32,
    /// Its path.
    path: PathBuf,
    /// The directory.
    root: OwnedFd,
    /// The directory with its own record.
    record: OwnedFd,
}

impl Ramfs {
    /// Opens the ramfs of `settings` and takes its lock: nobody else places or switches until it is dropped.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`] when it is not mounted, or something else is: the plaintext could be swapped out
    /// there or written to a disk.
    pub fn open(settings: &Settings) -> Result<Self, Failure> {
        let point = settings.decrypted_mount_point.clone();
        let unit = escape::path_unit(&point.to_string_lossy(), "mount");
        let unmounted = |why: &str| {
            Failure::new(
                Status::CantCreat,
                format!("{} {why}; see: systemctl status {unit}", point.display()),
            )
        };
        let root = match fs::open(&point, DIRECTORY, Mode::empty()) {
            Ok(root) => root,
            Err(Errno::NOENT) => {
                return Err(unmounted("does not exist, so the ramfs is not mounted"));
            }
            Err(error) => return Err(Failure::path(Status::CantCreat, "open", &point, error)),
        };
        if !is_magic(&root, &[RAMFS_MAGIC]) {
            return Err(unmounted(
                "is not a ramfs, and nothing else is safe to decrypt to (a container may lack the right to \
                 mount one: CAP_SYS_ADMIN)",
            ));
        }
        fs::flock(&root, FlockOperation::LockExclusive)
            .map_err(|error| Failure::path(Status::CantCreat, "lock", &point, error))?;
        Ok(Self { root, point })
    }

    /// Returns the number of the generation that `link` leads to, if it does and that exists.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`] when that cannot be told.
    pub fn behind(&self, link: &Path) -> Result<Option<u32>, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::path(Status::CantCreat, "read the link", link, error)
        };
        let target = match std::fs::read_link(link) {
            Ok(target) => target,
            // What is no link is in the way of ours, and said to be when that is made.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::InvalidInput
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(failed(&error)),
        };
        let inside = target.strip_prefix(&self.point).ok();
        let Some(number) = inside.and_then(Path::to_str).and_then(number) else { return Ok(None) };
        match fs::statat(&self.root, number.to_string(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(Some(number)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Returns the numbers of all generations, sorted. What is no number does not count.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn numbers(&self) -> Result<Vec<u32>, Failure> {
        let failed = |error| Failure::path(Status::CantCreat, "list", &self.point, error);
        let mut numbers = Vec::new();
        for entry in Dir::read_from(&self.root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            numbers.extend(entry.file_name().to_str().ok().and_then(number));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Opens the generation `number`, and makes it where it is missing. Makes what is missing of it, so that
    /// one that a killed program left is as good as new.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path.
    pub fn generation(&self, number: u32) -> Result<Generation, Failure> {
        let path = self.point.join(number.to_string());
        let make = || {
            let root = make_directory(&self.root, &number.to_string(), PASSABLE)?;
            let record = make_directory(&root, RESERVED_NAME, PRIVATE)?;
            Ok((root, record))
        };
        let (root, record) = make().map_err(|error: Errno| Failure::write(&path, error))?;
        for unfinished in [NEW, NEW_NOTE] {
            // Of a program that was killed. What cannot be removed now is replaced or goes with the generation.
            let _ = fs::unlinkat(&record, unfinished, AtFlags::empty());
        }
        Ok(Generation { number, path, root, record })
    }

    /// Makes `link` lead to the generation `number`, in a single step: who reads it meanwhile sees the old
    /// generation or the new one. Does nothing when it does already.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`]: something that is no link is in the way, or the system's own reason. `link` is
    /// as it was then.
    pub fn point(&self, link: &Path, number: u32) -> Result<(), Failure> {
        let target = self.point.join(number.to_string());
        match std::fs::symlink_metadata(link) {
            Ok(metadata) if !metadata.is_symlink() => {
                return Err(Failure::write(
                    link,
                    "something that is not a link stands there; move it away",
                ));
            }
            Ok(_) if std::fs::read_link(link).is_ok_and(|old| old == target) => return Ok(()),
            _ => {}
        }
        replace_link(link, &target).map_err(|error| Failure::write(link, error))
    }

    /// Removes `link` if it leads into the ramfs.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path.
    pub fn remove_link(&self, link: &Path) -> Result<(), Failure> {
        let ours = std::fs::read_link(link).is_ok_and(|target| target.starts_with(&self.point));
        if !ours {
            return Ok(());
        }
        std::fs::remove_file(link)
            .map_err(|error| Failure::path(Status::CantCreat, "remove", link, error))
    }

    /// Removes all generations but `current` and the newest before it, of which `keep` are kept with it; 0 keeps all.
    /// What is newer than `current`, and what is in `unfinished`, was never a whole generation, and goes too.
    ///
    /// # Errors
    ///
    /// The first that could not be removed; the others are gone.
    pub fn prune(&self, current: u32, keep: usize, unfinished: Option<u32>) -> Result<(), Failure> {
        let (older, newer): (Vec<u32>, Vec<u32>) = self
            .numbers()?
            .into_iter()
            .filter(|number| *number != current)
            .partition(|number| *number < current && Some(*number) != unfinished);
        let surplus = if keep == 0 { 0 } else { (older.len() + 1).saturating_sub(keep) };
        let mut result = Ok(());
        for number in older.into_iter().take(surplus).chain(newer) {
            let name = CString::new(number.to_string()).unwrap_or_default();
            if let Err(error) = remove_tree(&self.root, &name) {
                let path = self.point.join(number.to_string());
                result = result.and(Err(Failure::path(Status::CantCreat, "remove", path, error)));
            }
        }
        result
    }
}

impl Generation {
    /// Returns the path of its file `name`.
    #[must_use]
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns what stands at `name`, if anything does.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`] when that cannot be told.
    pub fn stat(&self, name: &str) -> Result<Option<Stat>, Failure> {
        match fs::statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => {
                Err(Failure::path(Status::CantCreat, "look at", self.path_of(name), error))
            }
        }
    }

    /// Returns the plaintext `name`, `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path: something stands there that cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<Plaintext>, Failure> {
        let read = || {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = File::from(fs::openat(&self.root, name, flags, Mode::empty())?);
            read_all(file)
        };
        match read() {
            Ok(plaintext) => Ok(Some(plaintext)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::path(Status::CantCreat, "read", self.path_of(name), error)),
        }
    }

    /// Writes the file `name`, which has its owner, group and mode from the moment it is there. One that was
    /// there before is replaced in the same moment, or left as it is.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path; nothing has changed then.
    pub fn write(
        &self,
        name: &str,
        plaintext: &Plaintext,
        ownership: Ownership,
    ) -> Result<(), Failure> {
        // In a directory that only root may enter: nobody sees the file before it has its owner.
        let write = || {
            self.make_parents(name)?;
            replace_file(&self.record, NEW, &self.root, name, plaintext, ownership)
        };
        write().map_err(|error: Errno| Failure::write(self.path_of(name), error))
    }

    /// Takes over the file `old` of the generation `from` as `name`. Both have the same file then.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path; among others, when there is a file of this name already.
    pub fn link(&self, from: &Self, old: &str, name: &str) -> Result<(), Failure> {
        self.make_parents(name)
            .and_then(|()| fs::linkat(&from.root, old, &self.root, name, AtFlags::empty()))
            .map_err(|error| Failure::write(self.path_of(name), error))
    }

    /// Returns the names of all notes of this kind, sorted.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`] when they cannot be listed.
    pub fn notes(&self, kind: Note) -> Result<Vec<String>, Failure> {
        let list = || {
            let directory = match fs::openat(&self.record, kind.name(), DIRECTORY, Mode::empty()) {
                Ok(directory) => directory,
                Err(Errno::NOENT) => return Ok(Vec::new()),
                Err(error) => return Err(error),
            };
            let mut keys = Vec::new();
            for entry in Dir::read_from(&directory)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                // Besides `.` and `..`, what a killed program did not finish.
                if !name.starts_with('.') {
                    keys.push(name);
                }
            }
            keys.sort_unstable();
            Ok(keys)
        };
        list().map_err(|error: Errno| {
            Failure::path(Status::CantCreat, "list", self.path_of_note(kind, ""), error)
        })
    }

    /// Returns whether there is a note `key` of this kind.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`] when that cannot be told.
    pub fn has_note(&self, kind: Note, key: &str) -> Result<bool, Failure> {
        let path = format!("{}/{key}", kind.name());
        match fs::accessat(&self.record, path, fs::Access::EXISTS, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => {
                Err(Failure::path(Status::CantCreat, "read", self.path_of_note(kind, key), error))
            }
        }
    }

    /// Returns the text of the note `key`, `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`] when it cannot be read.
    pub fn note(&self, kind: Note, key: &str) -> Result<Option<Plaintext>, Failure> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = format!("{}/{key}", kind.name());
        let read = || read_all(File::from(fs::openat(&self.record, path, flags, Mode::empty())?));
        match read() {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(Failure::path(Status::CantCreat, "read", self.path_of_note(kind, key), error))
            }
        }
    }

    /// Writes the note `key`, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path.
    pub fn write_note(&self, kind: Note, key: &str, text: &Plaintext) -> Result<(), Failure> {
        let ownership = Ownership { uid: 0, gid: 0, mode: 0o600 };
        let path = format!("{}/{key}", kind.name());
        ensure_directory(&self.record, kind.name(), PRIVATE)
            .and_then(|()| {
                replace_file(&self.record, NEW_NOTE, &self.record, &path, text, ownership)
            })
            .map_err(|error| Failure::write(self.path_of_note(kind, key), error))
    }

    /// Writes the note `key`, which has no text.
    ///
    /// # Errors
    ///
    /// As [`Self::write_note`].
    pub fn mark(&self, kind: Note, key: &str) -> Result<(), Failure> {
        self.write_note(kind, key, &Plaintext::new(Vec::new()))
    }

    /// Takes over the note `key` of the generation `from`.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path.
    pub fn link_note(&self, from: &Self, kind: Note, key: &str) -> Result<(), Failure> {
        let path = format!("{}/{key}", kind.name());
        ensure_directory(&self.record, kind.name(), PRIVATE)
            .and_then(|()| fs::linkat(&from.record, &path, &self.record, &path, AtFlags::empty()))
            .map_err(|error| Failure::write(self.path_of_note(kind, key), error))
    }

    /// Strikes out the note `key`, if there is one.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path.
    pub fn strike_note(&self, kind: Note, key: &str) -> Result<(), Failure> {
        match fs::unlinkat(&self.record, format!("{}/{key}", kind.name()), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => {
                Err(Failure::path(Status::CantCreat, "remove", self.path_of_note(kind, key), error))
            }
        }
    }

    /// Returns the path of a note, for errors.
    fn path_of_note(&self, kind: Note, key: &str) -> PathBuf {
        self.path.join(RESERVED_NAME).join(kind.name()).join(key)
    }

    /// Makes the directories that the file `name` stands in.
    fn make_parents(&self, name: &str) -> Result<(), Errno> {
        let at = name.match_indices('/').filter_map(|(at, _)| name.get(..at));
        for parent in at {
            ensure_directory(&self.root, parent, PASSABLE)?;
        }
        Ok(())
    }
}

/// Returns the link in `settings` under which the consumers of `place` find it.
#[must_use]
pub fn link_of<'a>(place: &Placement, settings: &'a Settings) -> &'a Path {
    if place.early { &settings.decrypted_dir_for_user } else { &settings.decrypted_dir }
}

/// Returns whether `directory` is on a file system that keeps its files in memory.
pub(crate) fn is_in_memory(directory: &OwnedFd) -> bool {
    is_magic(directory, &[RAMFS_MAGIC, TMPFS_MAGIC])
}

/// Returns whether the file system of `directory` is one of `magics`.
fn is_magic(directory: &OwnedFd, magics: &[u64]) -> bool {
    fs::fstatfs(directory)
        .is_ok_and(|stat| u64::try_from(stat.f_type).is_ok_and(|kind| magics.contains(&kind)))
}

/// Writes `plaintext` to the new file `temporary` in `from`, then renames it to `name` in `to`.
///
/// The order is what keeps it safe: the content before the name, so that no reader sees a part of it; the
/// owner before the mode, so that the mode's bits never apply to another one.
pub(crate) fn replace_file(
    from: &OwnedFd,
    temporary: &str,
    to: &OwnedFd,
    name: impl rustix::path::Arg,
    plaintext: &Plaintext,
    ownership: Ownership,
) -> Result<(), Errno> {
    match fs::unlinkat(from, temporary, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let finish = || {
        let mut file = File::from(fs::openat(from, temporary, flags, UNFINISHED)?);
        file.write_all(plaintext.expose())
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let (uid, gid) = (fs::Uid::from_raw(ownership.uid), fs::Gid::from_raw(ownership.gid));
        fs::fchown(&file, Some(uid), Some(gid))?;
        fs::fchmod(&file, Mode::from_raw_mode(ownership.mode))?;
        fs::renameat(from, temporary, to, name)
    };
    let result = finish();
    if result.is_err() {
        // Nobody can enter its directory; what cannot be removed is replaced by the next run.
        let _ = fs::unlinkat(from, temporary, AtFlags::empty());
    }
    result
}

/// Makes `link` a link to `target` in one step.
pub(crate) fn replace_link(link: &Path, target: &Path) -> io::Result<()> {
    let parent = link.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent)?;
    let fresh = parent.join(NEW_LINK);
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(target, &fresh)?;
    let result = std::fs::rename(&fresh, link);
    if result.is_err() {
        let _ = std::fs::remove_file(&fresh); // A link holds no secret.
    }
    result
}

/// Reads `file`, which is not written to meanwhile, without leaving copies behind.
pub(crate) fn read_all(mut file: File) -> io::Result<Plaintext> {
    let size = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    let mut bytes = Zeroizing::new(Vec::with_capacity(size.saturating_add(1)));
    file.read_to_end(&mut bytes)?;
    Ok(Plaintext::new(std::mem::take(&mut *bytes)))
}

/// Reads the number of a generation: decimal, from 1, without leading zeros.
fn number(name: &str) -> Option<u32> {
    let plain = name.bytes().all(|byte| byte.is_ascii_digit()) && !name.starts_with('0');
    plain.then(|| name.parse().ok()).flatten()
}

/// Makes the directory `name` in `parent`, with `mode`, where it is missing.
fn ensure_directory(parent: &OwnedFd, name: &str, mode: Mode) -> Result<(), Errno> {
    match fs::mkdirat(parent, name, mode) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the directory `name` in `parent`, with `mode`, where it is missing, and opens it.
fn make_directory(parent: &OwnedFd, name: &str, mode: Mode) -> Result<OwnedFd, Errno> {
    ensure_directory(parent, name, mode)?;
    fs::openat(parent, name, DIRECTORY, Mode::empty())
}

/// Removes `name` in `parent`, with all that is in it. Follows no link.
fn remove_tree(parent: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    let directory = match fs::openat(parent, name, DIRECTORY, Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR | Errno::LOOP) => return fs::unlinkat(parent, name, AtFlags::empty()),
        Err(error) => return Err(error),
    };
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        match (entry.file_type(), entry.file_name().to_bytes()) {
            (_, b"." | b"..") => {}
            (FileType::Directory, _) => remove_tree(&directory, entry.file_name())?,
            _ => fs::unlinkat(&directory, entry.file_name(), AtFlags::empty())?,
        }
    }
    fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}
