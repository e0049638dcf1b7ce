//! the ramfs → numbered directories of plaintexts in it, and the links that lead to the current one.
//!
//! ```text
//! /run/vaultix -> /run/vaultix.d/2
//! /run/vaultix.d/2/wifi                          a plaintext
//! /run/vaultix.d/2/.vaultix/placed/UNIT          what it was made from, for the next switch
//! /run/vaultix.d/2/.vaultix/failed/UNIT          its unit failed, and there is no plaintext
//! ```

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
/// Mode of the generation's own record.
const PRIVATE: Mode = Mode::from_raw_mode(0o700);
/// Mode of a file until it has its owner.
const UNFINISHED: Mode = Mode::from_raw_mode(0o600);

/// How directories are opened.
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Who else may work on the generations meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Other items.
    Shared,
    /// Nobody: a switch hides what an item would place in the generation that it replaces.
    Exclusive,
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
    /// Opens the ramfs of `settings` and takes its lock, which is given back with the process.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`] when it is not mounted, or something else is: the plaintext could be swapped out
    /// there or written to a disk.
    pub fn open(settings: &Settings, lock: Lock) -> Result<Self, Failure> {
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
        let operation = match lock {
            Lock::Shared => FlockOperation::LockShared,
            Lock::Exclusive => FlockOperation::LockExclusive,
        };
        fs::flock(&root, operation)
            .map_err(|error| Failure::path(Status::CantCreat, "lock", &point, error))?;
        Ok(Self { root, point })
    }

    /// Returns the number of the generation that `link` leads to, if it does and that exists.
    #[must_use]
    pub fn behind(&self, link: &Path) -> Option<u32> {
        let target = std::fs::read_link(link).ok()?;
        let number = number(target.strip_prefix(&self.point).ok()?.to_str()?)?;
        self.stat(&number.to_string()).map(|_| number)
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
            for kind in ["placed", "failed"] {
                ensure_directory(&record, kind, PRIVATE)?;
            }
            Ok((root, record))
        };
        let (root, record) = make().map_err(|error: Errno| Failure::write(&path, error))?;
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

    /// Removes all generations but `current` and the newest before it, of which `keep` are kept with it;
    /// 0 keeps all. What is newer than `current` was never finished.
    ///
    /// # Errors
    ///
    /// The first that could not be removed; the others are gone.
    pub fn prune(&self, current: u32, keep: usize) -> Result<(), Failure> {
        let numbers = self.numbers()?;
        let older: Vec<u32> = numbers.iter().copied().filter(|number| *number < current).collect();
        let surplus = match keep {
            0 => 0,
            keep => older.len().saturating_sub(keep - 1),
        };
        let newer = numbers.iter().copied().filter(|number| *number > current);
        let mut result = Ok(());
        for number in older.iter().copied().take(surplus).chain(newer) {
            let name = CString::new(number.to_string()).unwrap_or_default();
            if let Err(error) = remove_tree(&self.root, &name) {
                let path = self.point.join(number.to_string());
                result = result.and(Err(Failure::path(Status::CantCreat, "remove", path, error)));
            }
        }
        result
    }

    /// Returns what stands at `name` in the root.
    fn stat(&self, name: &str) -> Option<Stat> {
        fs::statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW).ok()
    }
}

impl Generation {
    /// Returns the path of its file `name`.
    #[must_use]
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns what stands at `name`, if anything does.
    #[must_use]
    pub fn stat(&self, name: &str) -> Option<Stat> {
        fs::statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW).ok()
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
            replace_file(&self.record, &temporary("new"), &self.root, name, plaintext, ownership)
        };
        write().map_err(|error: Errno| Failure::write(self.path_of(name), error))
    }

    /// Takes over the file `old` of the generation `from` as `name`. Both have the same file then.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path.
    pub fn link(&self, from: &Self, old: &str, name: &str) -> Result<(), Failure> {
        self.make_parents(name)
            .and_then(|()| link(&from.root, old, &self.root, name))
            .map_err(|error| Failure::write(self.path_of(name), error))
    }

    /// Takes over the record `key` of the generation `from`.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path.
    pub fn link_record(&self, from: &Self, key: &str) -> Result<(), Failure> {
        let name = format!("placed/{key}");
        link(&from.record, &name, &self.record, &name)
            .map_err(|error| Failure::write(self.path.join(RESERVED_NAME).join(name), error))
    }

    /// Returns the keys of all records.
    ///
    /// # Errors
    ///
    /// When they cannot be listed.
    pub fn record_keys(&self) -> Result<Vec<String>, Failure> {
        let list = || {
            let directory = fs::openat(&self.record, "placed", DIRECTORY, Mode::empty())?;
            let mut keys = Vec::new();
            for entry in Dir::read_from(&directory)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if name != "." && name != ".." {
                    keys.push(name);
                }
            }
            keys.sort_unstable();
            Ok(keys)
        };
        list().map_err(|error: Errno| {
            Failure::path(Status::CantCreat, "list", self.path.join(RESERVED_NAME), error)
        })
    }

    /// Returns the record `key`, `None` if there is none that can be read.
    #[must_use]
    pub fn record(&self, key: &str) -> Option<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&self.record, format!("placed/{key}"), flags, Mode::empty()).ok()?;
        let mut text = Vec::new();
        File::from(file).read_to_end(&mut text).ok()?;
        Some(text)
    }

    /// Writes the record `key`.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path.
    pub fn write_record(&self, key: &str, text: &[u8]) -> Result<(), Failure> {
        let name = format!("placed/{key}");
        let ownership = Ownership { uid: 0, gid: 0, mode: 0o600 };
        let text = Plaintext::new(text.to_vec());
        replace_file(&self.record, &temporary("record"), &self.record, &name, &text, ownership)
            .map_err(|error| Failure::write(self.path.join(RESERVED_NAME).join(name), error))
    }

    /// Notes that the item `key` has failed and there is no plaintext of it.
    pub fn mark_failed(&self, key: &str) {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        // The note is a help for the next run: one that cannot be written is no failure of its own.
        let _ = fs::openat(&self.record, format!("failed/{key}"), flags, UNFINISHED);
    }

    /// Returns whether the item `key` has failed and there was no plaintext of it.
    #[must_use]
    pub fn has_failed(&self, key: &str) -> bool {
        fs::accessat(&self.record, format!("failed/{key}"), fs::Access::EXISTS, AtFlags::empty())
            .is_ok()
    }

    /// Takes back the note that the item `key` has failed; returns whether there was one.
    #[must_use]
    pub fn clear_failed(&self, key: &str) -> bool {
        fs::unlinkat(&self.record, format!("failed/{key}"), AtFlags::empty()).is_ok()
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

/// Returns a name for a file that is not finished: no other process has it, and one that a killed process
/// with the same number left is replaced.
pub(crate) fn temporary(what: &str) -> String {
    format!(".{what}-{}", std::process::id())
}

/// Writes `plaintext` to the new file `temporary` in `from`, then renames it to `name` in `to`.
///
/// The order is what keeps it safe: the content before the name, so that no reader sees a part of it; the
/// owner before the mode, so that the mode's bits never apply to another one.
pub(crate) fn replace_file(
    from: &OwnedFd,
    temporary: &str,
    to: &OwnedFd,
    name: &str,
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
    let fresh = parent.join(temporary("vaultix-link"));
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

/// Makes `name` in `to` the file `old` in `from`; a file that is there before is replaced.
fn link(from: &OwnedFd, old: &str, to: &OwnedFd, name: &str) -> Result<(), Errno> {
    match fs::linkat(from, old, to, name, AtFlags::empty()) {
        Err(Errno::EXIST) => {
            fs::unlinkat(to, name, AtFlags::empty())?;
            fs::linkat(from, old, to, name, AtFlags::empty())
        }
        result => result,
    }
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
