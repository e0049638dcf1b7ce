//! settings → the ramfs that only root can access, and the read-only view of it that everything else uses.
//!
//! ```text
//! /run/vaultix.private          mode 0700; the lock is taken on it
//! /run/vaultix.private/ramfs    the ramfs: it can be written to only here
//! /run/vaultix.d                a bind mount of it, read-only
//! ```
//!
//! The owner of a file can change its mode, write to it, and make it larger than all memory, whatever its mode is; but not
//! through a read-only mount.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{self, Mode, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::{self, MountFlags};
use vaultix_generator::escape;
use vaultix_generator::profile::{Layout, PRIVATE_DIR, RAMFS_PATH, Settings};
use vaultix_generator::status::Status;

use crate::bounded;
use crate::failure::{Failure, Level, log};
use crate::replace::DIRECTORY;
use crate::user;

/// A ramfs in statfs(2), from linux/magic.h.
pub(crate) const RAMFS_MAGIC: u64 = 0x8584_58f6;
/// A tmpfs in statfs(2), from linux/magic.h.
pub(crate) const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Mode of the directory around the ramfs.
const PRIVATE: Mode = Mode::from_raw_mode(0o700);
/// Mode of the root of the ramfs: everyone may pass through, and only root may list or lock it.
const PASSABLE: Mode = Mode::from_raw_mode(0o711);

const SAFE_FLAGS: MountFlags =
    MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// The mounted ramfs.
pub struct Mounts {
    /// The directory around it, which only root can open.
    pub private: OwnedFd,
    /// Its root directory, through the mount that can be written to.
    pub root: OwnedFd,
}

impl Mounts {
    /// Opens both mounts of `settings`, and checks that they are safe to use. A user has one directory instead.
    ///
    /// The checks are made on the descriptors that are returned. Both mounts are in `/run`, where
    /// only root can replace anything.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`]: there is no ramfs, but no file system or one from which plaintexts
    /// could be swapped out or written to a disk; or the view is not a read-only view of the ramfs,
    /// so that users would see nothing or could write.
    pub fn open(settings: &Settings) -> Result<Self, Failure> {
        if let Layout::User(uid) = settings.layout {
            return user::open(&settings.decrypted_mount_point, uid);
        }
        let view = &settings.decrypted_mount_point;
        let unit = escape::path_unit(&view.to_string_lossy(), "mount");
        let wrong = |why: &str| {
            Failure::new(
                Status::CantCreat,
                format!("{} {why}; see: systemctl status '{unit}'", view.display()),
            )
        };
        let shown = match fs::open(view, DIRECTORY, Mode::empty()) {
            Ok(shown) => shown,
            Err(Errno::NOENT) => {
                return Err(wrong("does not exist, so the ramfs is not mounted"));
            }
            Err(error) => return Err(Failure::path(Status::CantCreat, "open", view, error)),
        };
        if !is_magic(&shown, &[RAMFS_MAGIC]) {
            return Err(wrong(
                "is not a ramfs, and nothing else is safe to decrypt to (a container may lack the right to mount one, \
                 CAP_SYS_ADMIN: see \"In a container\" in docs/troubleshooting.md)",
            ));
        }
        let hidden = || wrong(&format!("is not a view of the ramfs at {RAMFS_PATH}"));
        let open = |path: &str| fs::open(path, DIRECTORY, Mode::empty()).map_err(|_| hidden());
        let private = open(PRIVATE_DIR)?;
        keep_private(&private)?;
        let root = open(RAMFS_PATH)?;
        let is_same = |one: &OwnedFd, other: &OwnedFd| {
            let id = |file: &OwnedFd| fs::fstat(file).map(|stat| (stat.st_dev, stat.st_ino));
            id(one).is_ok_and(|one| id(other).is_ok_and(|other| one == other))
        };
        if !is_same(&shown, &root) {
            return Err(hidden());
        }
        if !is_read_only(&shown) {
            return Err(wrong("is not read-only: owners could write to their files"));
        }
        Ok(Self { private, root })
    }
}

/// Mounts both without systemd, if they are missing. A ramfs that an earlier release mounted at the
/// path of the view is kept, with all files.
///
/// # Errors
///
/// [`Status::CantCreat`], with the path.
pub fn mount(settings: &Settings) -> Result<(), Failure> {
    let view = &settings.decrypted_mount_point;
    let ramfs = Path::new(RAMFS_PATH);
    let failed = |path: &Path, error: Errno| Failure::path(Status::CantCreat, "mount", path, error);
    make_directories(view)?;
    if is_ramfs(view) {
        return convert(settings);
    }
    if !is_ramfs(ramfs) {
        mount::mount("ramfs", ramfs, "ramfs", SAFE_FLAGS, c"mode=0711")
            .map_err(|error| failed(ramfs, error))?;
    }
    mount_view(view).map_err(|error| failed(view, error))
}

/// Turns a ramfs that everyone can access, as an earlier release mounted it at the path of the view, into the one that only
/// root can access. All files stay. Does nothing if that has been done, or if there is none.
///
/// # Errors
///
/// [`Status::CantCreat`], with the path. The next run does the rest.
pub fn convert(settings: &Settings) -> Result<(), Failure> {
    let view = &settings.decrypted_mount_point;
    let ramfs = Path::new(RAMFS_PATH);
    let failed = |path: &Path, error: Errno| Failure::path(Status::CantCreat, "mount", path, error);
    if !is_ramfs(view) {
        return Ok(());
    }
    make_directories(view)?;
    if !is_ramfs(ramfs) {
        mount::mount_bind(view, ramfs).map_err(|error| failed(ramfs, error))?;
    }
    let open = |path| fs::open(path, DIRECTORY, Mode::empty());
    let root = open(ramfs).map_err(|error| failed(ramfs, error))?;
    fs::fchmod(&root, PASSABLE).map_err(|error| failed(ramfs, error))?;
    if open(view).is_ok_and(|view| is_read_only(&view)) {
        return Ok(());
    }
    match mount::mount_remount(view, MountFlags::BIND | MountFlags::RDONLY | SAFE_FLAGS, c"") {
        // A process has a file there open for writing. A second view is mounted on top of the first
        // one, which is unchanged for the processes that use it.
        Err(Errno::BUSY) => {
            log(
                Level::Warning,
                &format!(
                    "a process has a file in {} open for writing, and can write there until the next boot; to find \
                     it: fuser --verbose --mount {RAMFS_PATH}",
                    view.display()
                ),
            );
            mount_view(view)
        }
        result => result,
    }
    .map_err(|error| failed(view, error))
}

/// Mounts the view of the ramfs.
fn mount_view(view: &Path) -> Result<(), Errno> {
    mount::mount_bind(RAMFS_PATH, view)?;
    mount::mount_remount(view, MountFlags::BIND | MountFlags::RDONLY | SAFE_FLAGS, c"")
}

fn make_directories(view: &Path) -> Result<(), Failure> {
    let failed = |path: &Path, error: Errno| Failure::write(path, error);
    std::fs::create_dir_all(view).map_err(|error| Failure::write(view, error))?;
    let (private, ramfs) = (Path::new(PRIVATE_DIR), Path::new(RAMFS_PATH));
    for path in [private, ramfs] {
        match fs::mkdir(path, PRIVATE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(path, error)),
        }
    }
    let opened = fs::open(private, DIRECTORY, Mode::empty());
    keep_private(&opened.map_err(|error| failed(private, error))?)
}

/// Makes sure that only root can access the directory around the ramfs.
fn keep_private(private: &OwnedFd) -> Result<(), Failure> {
    let failed = |why: String| Err(Failure::write(PRIVATE_DIR, why));
    let stat = match fs::fstat(private) {
        Ok(stat) => stat,
        Err(error) => return failed(error.to_string()),
    };
    if stat.st_uid != 0 {
        return failed(format!("it belongs to user {}, who could access it", stat.st_uid));
    }
    if Mode::from_raw_mode(stat.st_mode) == PRIVATE {
        return Ok(());
    }
    // A container manager that mounts the ramfs from outside creates this directory with another
    // mode.
    fs::fchmod(private, PRIVATE).or_else(|error| failed(error.to_string()))
}

/// Returns whether `path` is on a ramfs.
#[must_use]
pub fn is_ramfs(path: &Path) -> bool {
    fs::open(path, DIRECTORY, Mode::empty()).is_ok_and(|root| is_magic(&root, &[RAMFS_MAGIC]))
}

/// Most of the table of mounts that is read, in bytes (64 MiB).
const MAX_TABLE: u64 = 64 << 20;

/// Returns whether something is mounted at `point`. An automount that waits does not count: what is mounted there is not yet.
///
/// Format: proc(5), `/proc/pid/mountinfo`.
#[must_use]
pub fn is_mounted(point: &Path) -> bool {
    let table = bounded::read(Path::new("/proc/self/mountinfo"), MAX_TABLE).unwrap_or_default();
    is_listed(&table, point)
}

/// Returns whether the table of mounts `table` has a file system at `point`.
fn is_listed(table: &[u8], point: &Path) -> bool {
    let at = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        let place = fields.nth(4)?;
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        (unescaped(place) == point.as_os_str().as_encoded_bytes()).then_some(kind != b"autofs")
    };
    // The last one is on top.
    table.rsplit(|byte| *byte == b'\n').find_map(at).unwrap_or(false)
}

/// Returns the bytes of a field of the table of mounts, in which white space and backslashes are three octal digits.
pub(crate) fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let octal = digits.and_then(|it| u8::from_str_radix(str::from_utf8(it).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        rest = after.get(if octal.is_some() { 3 } else { 0 }..).unwrap_or_default();
    }
    bytes
}

/// Returns whether `directory` is on a file system that keeps its files in memory.
#[must_use]
pub fn is_in_memory(directory: &OwnedFd) -> bool {
    is_magic(directory, &[RAMFS_MAGIC, TMPFS_MAGIC])
}

/// Returns whether `directory` is on a tmpfs.
pub(crate) fn is_tmpfs(directory: &OwnedFd) -> bool {
    is_magic(directory, &[TMPFS_MAGIC])
}

/// Returns whether `directory` was opened through a read-only mount.
fn is_read_only(directory: &OwnedFd) -> bool {
    fs::fstatvfs(directory).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Returns whether the file system of `directory` is one of `magics`.
pub(crate) fn is_magic(directory: &OwnedFd, magics: &[u64]) -> bool {
    fs::fstatfs(directory)
        .is_ok_and(|stat| u64::try_from(stat.f_type).is_ok_and(|kind| magics.contains(&kind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_system_at_the_very_point_is_mounted() {
        let table = b"1 0 0:1 / / rw shared:1 - ext4 /dev/a rw\n\
            2 1 0:2 / /home rw - autofs systemd-1 rw\n\
            3 1 0:3 / /srv/a\\040b\\134c rw,noatime shared:2 master:1 - nfs h:/ rw\n\
            4 1 0:2 / /data rw - autofs systemd-1 rw\n5 1 0:5 / /data rw - ext4 /dev/b rw\nbroken\n";
        for (point, mounted) in [
            ("/", true),
            ("/srv/a b\\c", true),
            ("/srv", false),
            ("/home", false),
            ("/home/alice", false),
            ("/data", true),
        ] {
            assert_eq!(is_listed(table, Path::new(point)), mounted, "{point}");
        }
        assert!(!is_listed(b"", Path::new("/")));
    }
}
