//! the mounted ramfs → the generations in it, and the links that lead to the current one.
//!
//! ```text
//! /run/vaultix           -> /run/vaultix.d/current        never changes
//! /run/vaultix-for-user  -> /run/vaultix.d/current-early  never changes
//! /run/vaultix.d/current       -> 2
//! /run/vaultix.d/current-early -> 2
//! ```
//!
//! What changes is inside the ramfs: who has bound its view into a container or a guest sees every switch. A link of the release
//! before leads straight to a generation, until the next switch.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Dir, FileType, FlockOperation, Mode};
use rustix::io::Errno;
use vaultix_generator::profile::{Layout, PRIVATE_DIR, Settings};
use vaultix_generator::status::Status;

use crate::failure::Failure;
use crate::generation::Generation;
use crate::mounts::Mounts;
use crate::owner::Ownership;
use crate::path::{Missing, open_trusted_parent};
use crate::plaintext::Plaintext;
use crate::replace::{DIRECTORY, ensure_directory, read_file, replace_file, replace_link};

/// The link in it to the current generation.
const CURRENT: &str = "current";
/// The same for early items.
const CURRENT_EARLY: &str = "current-early";
/// The directory with a notice for each user whose units have to be notified.
pub const NOTICES: &str = ".notify";
/// A notice on its way.
const NEW_NOTICE: &str = ".notice";
/// Mode of the directory: everyone may pass through, only root may list.
const PASSABLE: Mode = Mode::from_raw_mode(0o711);

/// The mounted ramfs.
pub struct Ramfs {
    /// Its root directory, through the mount that can be written to.
    root: OwnedFd,
    /// The directory around it, whose lock keeps all other runs out: only root can open it, and therefore hold the lock.
    lock: OwnedFd,
    /// Where users see the ramfs, read-only.
    view: PathBuf,
    /// The link under which users find early items.
    early: PathBuf,
    layout: Layout,
}

impl Ramfs {
    /// Opens the ramfs of `settings` and takes its lock: no other run places or switches until it is dropped.
    ///
    /// # Errors
    ///
    /// As [`Mounts::open`].
    pub fn open(settings: &Settings) -> Result<Self, Failure> {
        let Mounts { private, root } = Mounts::open(settings)?;
        fs::flock(&private, FlockOperation::LockExclusive)
            .map_err(|error| Failure::path(Status::CantCreat, "lock", PRIVATE_DIR, error))?;
        Ok(Self {
            root,
            lock: private,
            view: settings.decrypted_mount_point.clone(),
            early: settings.decrypted_dir_for_user.clone(),
            layout: settings.layout,
        })
    }

    /// Does `work` without the lock, and takes it again: work that may wait for a user's file system does not block other
    /// runs. These may have placed items and switched in the meantime.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`] when the lock cannot be released or taken.
    pub fn unlocked<T>(&self, work: impl FnOnce() -> T) -> Result<T, Failure> {
        let lock = |operation| {
            fs::flock(&self.lock, operation)
                .map_err(|error| Failure::path(Status::CantCreat, "lock", PRIVATE_DIR, error))
        };
        lock(FlockOperation::Unlock)?;
        let result = work();
        lock(FlockOperation::LockExclusive)?;
        Ok(result)
    }

    /// Returns the number of the existing generation that `link` leads to, if any.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`] when that cannot be determined.
    pub fn linked_generation(&self, link: &Path) -> Result<Option<u32>, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::path(Status::CantCreat, "read the link", link, error)
        };
        let target = match std::fs::read_link(link) {
            Ok(target) => target,
            // Something else is in the way of the link, which is reported when the link is made.
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
        let inside = target.strip_prefix(&self.view).ok().and_then(Path::to_str);
        let number = match inside {
            Some(inner @ (CURRENT | CURRENT_EARLY)) => {
                match fs::readlinkat(&self.root, inner, Vec::new()) {
                    Ok(target) => target.to_str().ok().and_then(parse_number),
                    Err(Errno::NOENT) => None,
                    Err(error) => return Err(failed(&error)),
                }
            }
            other => other.and_then(parse_number),
        };
        let Some(number) = number else { return Ok(None) };
        match fs::statat(&self.root, number.to_string(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(Some(number)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Returns the numbers of all generations, sorted. Other names are ignored.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn generation_numbers(&self) -> Result<Vec<u32>, Failure> {
        let failed = |error| Failure::path(Status::CantCreat, "list", &self.view, error);
        let mut numbers = Vec::new();
        for entry in Dir::read_from(&self.root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            numbers.extend(entry.file_name().to_str().ok().and_then(parse_number));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Opens the generation `number`, and makes it if it is missing.
    ///
    /// # Errors
    ///
    /// As `Generation::open`.
    pub fn generation(&self, number: u32) -> Result<Generation, Failure> {
        Generation::open(&self.root, &self.view, number)
    }

    /// Opens the generation `number` as it is, to be read; `None` if it is not complete.
    ///
    /// # Errors
    ///
    /// As `Generation::look`.
    pub fn existing_generation(&self, number: u32) -> Result<Option<Generation>, Failure> {
        Generation::look(&self.root, &self.view, number)
    }

    /// Makes `link` lead to the generation `number`, in a single step: readers see either the old
    /// generation or the new one. Does nothing if it already does.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`]: something that is not a link is in the way, or the system's own reason. `link` leads where it did
    /// in that case.
    pub fn set_link(&self, link: &Path, number: u32) -> Result<(), Failure> {
        let inner = self.inner_link(link);
        let target = self.view.join(inner);
        // The directory is held open, and nobody else can write to it or to one on the way: its names cannot be exchanged.
        let (parent, name) = open_trusted_parent(link, self.layout, Missing::Make)?;
        let leads_there = match fs::readlinkat(&parent, &name, Vec::new()) {
            Ok(old) => old.to_bytes() == target.as_os_str().as_bytes(),
            Err(Errno::NOENT) => false,
            Err(Errno::INVAL) => {
                let why = "something that is not a link is there; move it away";
                return Err(Failure::write(link, why));
            }
            Err(error) => return Err(Failure::write(link, error)),
        };
        // First the link inside, which nobody follows yet if the other leads somewhere else.
        self.set_inner_link(inner, number)?;
        if leads_there {
            return Ok(());
        }
        replace_link(&parent, &name, &target).map_err(|error| Failure::write(link, error))
    }

    /// Makes the link `inner` of the ramfs lead to the generation `number`.
    fn set_inner_link(&self, inner: &str, number: u32) -> Result<(), Failure> {
        // Relative, so that it leads there wherever the ramfs is bound.
        let number = number.to_string();
        let old = fs::readlinkat(&self.root, inner, Vec::new());
        if old.is_ok_and(|old| old.to_bytes() == number.as_bytes()) {
            return Ok(());
        }
        replace_link(&self.root, OsStr::new(inner), Path::new(&number))
            .map_err(|error| Failure::write(self.view.join(inner), error))
    }

    /// Returns the name of the link of the ramfs that `link` leads to.
    fn inner_link(&self, link: &Path) -> &'static str {
        if link == self.early { CURRENT_EARLY } else { CURRENT }
    }

    /// Removes `link` if it leads into the ramfs, and the one that it leads to.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path.
    pub fn remove_link(&self, link: &Path) -> Result<(), Failure> {
        // As in `set_link`. Without the directory there is no such link.
        let Ok((parent, name)) = open_trusted_parent(link, self.layout, Missing::Fail) else {
            return Ok(());
        };
        let target = fs::readlinkat(&parent, &name, Vec::new());
        let ours = target.is_ok_and(|target| {
            Path::new(OsStr::from_bytes(target.to_bytes())).starts_with(&self.view)
        });
        if !ours {
            return Ok(());
        }
        let failed = |path: &Path, error| Failure::path(Status::CantCreat, "remove", path, error);
        fs::unlinkat(&parent, &name, AtFlags::empty()).map_err(|error| failed(link, error))?;
        let inner = self.inner_link(link);
        match fs::unlinkat(&self.root, inner, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed(&self.view.join(inner), error)),
        }
    }

    /// Returns the notice for the user `uid`, if there is one.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`] when it cannot be read.
    pub fn notice(&self, uid: u32) -> Result<Option<Plaintext>, Failure> {
        match read_file(&self.root, format!("{NOTICES}/{uid}")) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(Failure::path(Status::CantCreat, "read", self.notice_path(uid), error))
            }
        }
    }

    /// Writes the notice for the user `uid`. It belongs to root, and contains nothing that is not in the profile, which everyone
    /// can read.
    ///
    /// # Errors
    ///
    /// [`Status::CantCreat`], with the path.
    pub fn write_notice(&self, uid: u32, text: &Plaintext) -> Result<(), Failure> {
        let ownership = Ownership { uid: 0, gid: 0, mode: 0o444 };
        let name = format!("{NOTICES}/{uid}");
        ensure_directory(&self.root, NOTICES, PASSABLE)
            .and_then(|()| replace_file(&self.root, NEW_NOTICE, &self.root, &name, text, ownership))
            .map_err(|error| Failure::write(self.notice_path(uid), error))
    }

    /// Returns the path of a notice, for errors.
    fn notice_path(&self, uid: u32) -> PathBuf {
        self.view.join(NOTICES).join(uid.to_string())
    }

    /// Removes old generations, so that `keep` are left including `current`; 0 keeps all. Those that no switch has finished do
    /// not count, and are also removed.
    ///
    /// # Errors
    ///
    /// The first that could not be removed; the others are removed.
    pub fn prune(&self, current: u32, keep: usize) -> Result<(), Failure> {
        let mut numbers = self.generation_numbers()?;
        numbers.retain(|number| *number != current);
        let (older, mut surplus): (Vec<u32>, Vec<u32>) =
            numbers.into_iter().partition(|number| *number < current);
        let mut finished = Vec::new();
        for number in older {
            // Looked at only if it could be kept.
            let is_kept = keep != 1 && !self.generation(number)?.is_unfinished()?;
            if is_kept { finished.push(number) } else { surplus.push(number) }
        }
        let more = if keep == 0 { 0 } else { (finished.len() + 1).saturating_sub(keep) };
        surplus.extend(finished.into_iter().take(more));
        let mut result = Ok(());
        for number in surplus {
            let name = CString::new(number.to_string()).unwrap_or_default();
            if let Err(error) = remove_tree(&self.root, &name) {
                let path = self.view.join(number.to_string());
                result = result.and(Err(Failure::path(Status::CantCreat, "remove", path, error)));
            }
        }
        result
    }
}

/// Reads the number of a generation: decimal, from 1, without leading zeros.
pub(crate) fn parse_number(name: &str) -> Option<u32> {
    let plain = name.bytes().all(|byte| byte.is_ascii_digit()) && !name.starts_with('0');
    plain.then(|| name.parse().ok()).flatten()
}

/// Removes `name` in `parent`, with everything in it. Follows no link.
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
