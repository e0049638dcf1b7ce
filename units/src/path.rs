//! an item with a path of its own → a link there, or the plaintext itself.

mod walk;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use vaultix_generator::escape::hex;
use vaultix_generator::profile::{Placement, Settings};
use vaultix_generator::status::Status;

use crate::failure::{Failure, Level, say};
use crate::generation::link_of;
use crate::mounts::is_in_memory;
use crate::owner::Ownership;
use crate::plaintext::Plaintext;
use crate::record::Record;
use crate::replace::{read_file, replace_file};
use walk::ANYONE;
pub(crate) use walk::{Missing, ROOT, open_parent};

/// Returns whether `place` has a path outside our own directories.
#[must_use]
pub fn is_custom(place: &Placement, settings: &Settings) -> bool {
    is_custom_path(&place.path, &place.name, settings)
}

/// Returns whether `path` is not where a generation shows the file `name`.
fn is_custom_path(path: &Path, name: &str, settings: &Settings) -> bool {
    [&settings.decrypted_dir, &settings.decrypted_dir_for_user]
        .iter()
        .all(|link| link.join(name) != path)
}

/// Puts an item where its path says, once its plaintext is in the generation. Does nothing when it is there. What was put
/// there `before` is ours to replace.
///
/// # Errors
///
/// [`Status::CantCreat`]: the way there is not safe, something foreign stands there, it would be a disk, or the
/// system's own reason. What stood there still does.
pub fn put(
    place: &Placement,
    plaintext: &Plaintext,
    ownership: Ownership,
    settings: &Settings,
    before: Option<&Record>,
) -> Result<(), Failure> {
    if !is_custom(place, settings) {
        return Ok(());
    }
    let (parent, name) = open_parent(&place.path, ownership.uid, Missing::Make)?;
    let before = before.filter(|before| before.path == place.path);
    let spot = Spot { parent, name, path: &place.path };
    if place.symlink {
        put_link(&spot, place, settings, before)
    } else {
        put_file(&spot, place, plaintext, ownership, settings, before)
    }
}

/// Takes away what an earlier profile put at a path, if it is still ours: a link that leads where it did, or a
/// plaintext that is what it was.
///
/// # Errors
///
/// [`Status::CantCreat`], with the path.
pub fn take_away(record: &Record, settings: &Settings) -> Result<(), Failure> {
    if !is_custom_path(&record.path, &record.name, settings) {
        return Ok(());
    }
    match std::fs::symlink_metadata(&record.path) {
        Ok(_) => {}
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(());
        }
        Err(error) => {
            return Err(Failure::path(Status::CantCreat, "look at", &record.path, error));
        }
    }
    // Whoever owns the directories on the way by now: nothing but what is ours is removed.
    let (parent, name) = open_parent(&record.path, ANYONE, Missing::Fail)?;
    let spot = Spot { parent, name, path: &record.path };
    let ours = match spot.entry()? {
        None => return Ok(()),
        Some(FileType::Symlink) => record.is_link_to(&spot.target()?),
        Some(FileType::RegularFile) if !record.symlink => record.is_file_of(&spot.read()?),
        Some(_) => false,
    };
    if !ours {
        if !record.symlink {
            let path = record.path.display();
            say(
                Level::Warning,
                &format!(
                    "{path} is not what was put there, and stays; see whether it holds a secret"
                ),
            );
        }
        return Ok(());
    }
    fs::unlinkat(&spot.parent, &spot.name, AtFlags::empty())
        .map_err(|error| Failure::path(Status::CantCreat, "remove", &record.path, error))
}

/// A place in the file system where something of ours is put.
struct Spot<'a> {
    /// The directory.
    parent: OwnedFd,
    /// The name in it.
    name: OsString,
    /// The whole path, for errors.
    path: &'a Path,
}

impl Spot<'_> {
    /// Returns what kind of thing stands there, `None` if there is nothing.
    fn entry(&self) -> Result<Option<FileType>, Failure> {
        match fs::statat(&self.parent, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.unreadable(error)),
        }
    }

    /// Returns where the link that stands there leads.
    fn target(&self) -> Result<PathBuf, Failure> {
        let target = fs::readlinkat(&self.parent, &self.name, Vec::new());
        let target = target.map_err(|error| self.unreadable(error))?;
        Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }

    /// Returns the content of the file that stands there.
    fn read(&self) -> Result<Plaintext, Failure> {
        read_file(&self.parent, &self.name).map_err(|error| self.unreadable(error))
    }

    /// Returns the failure to find out what stands there.
    fn unreadable(&self, error: impl std::fmt::Display) -> Failure {
        Failure::path(Status::CantCreat, "read", self.path, error)
    }

    /// Returns the failure for what stands there and is not ours.
    fn taken(&self, what: &str) -> Failure {
        let reason = format!("{what} stands there; move it away, or set another path");
        Failure::write(self.path, reason)
    }

    /// Returns a name for a file beside it that is not finished: short enough for any name.
    fn temporary(&self) -> String {
        let digest = Sha256::digest(self.name.as_bytes());
        format!(".vaultix-{}", hex(digest.get(..8).unwrap_or_default()))
    }
}

/// Makes a link.
fn put_link(
    spot: &Spot,
    place: &Placement,
    settings: &Settings,
    before: Option<&Record>,
) -> Result<(), Failure> {
    let target = link_of(place, settings).join(&place.name);
    match spot.entry()? {
        None => {}
        Some(FileType::Symlink) => {
            let old = spot.target()?;
            if old == target {
                return Ok(());
            }
            if !is_ours(&old, settings) && !before.is_some_and(|before| before.is_link_to(&old)) {
                return Err(spot.taken("a link that leads elsewhere"));
            }
        }
        Some(FileType::RegularFile) => {
            // Not looked into where none was put: it may be anything.
            let before = before.filter(|before| !before.symlink);
            if !before.is_some_and(|before| spot.read().is_ok_and(|it| before.is_file_of(&it))) {
                return Err(spot.taken("a file that is not ours"));
            }
        }
        Some(_) => return Err(spot.taken("something that is neither a file nor a link")),
    }
    let fresh = spot.temporary();
    let make = || {
        match fs::unlinkat(&spot.parent, &fresh, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
        fs::symlinkat(&target, &spot.parent, &fresh)?;
        fs::renameat(&spot.parent, &fresh, &spot.parent, &spot.name)
    };
    make().map_err(|error| {
        let _ = fs::unlinkat(&spot.parent, &fresh, AtFlags::empty()); // A link holds no secret.
        Failure::write(spot.path, error)
    })
}

/// Puts the plaintext itself there. A file that stands there is replaced, whatever it holds: on a disk, nothing
/// remembers what was put there before the last boot.
fn put_file(
    spot: &Spot,
    place: &Placement,
    plaintext: &Plaintext,
    ownership: Ownership,
    settings: &Settings,
    before: Option<&Record>,
) -> Result<(), Failure> {
    if !place.allow_disk && !is_in_memory(&spot.parent) {
        return Err(Failure::write(
            spot.path,
            "its directory is not on ramfs or tmpfs, so the plaintext would be on a disk; let path be a link \
             (symlink = true), or, for a secret, set allowDisk = true",
        ));
    }
    match spot.entry()? {
        None => {}
        Some(FileType::Symlink) => {
            let old = spot.target()?;
            if !is_ours(&old, settings) && !before.is_some_and(|before| before.is_link_to(&old)) {
                return Err(spot.taken("a link that leads elsewhere"));
            }
        }
        Some(FileType::RegularFile) => {
            let wanted = (ownership.uid, ownership.gid, ownership.mode);
            let has = fs::statat(&spot.parent, &spot.name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| (stat.st_uid, stat.st_gid, stat.st_mode & 0o7777) == wanted);
            if has && spot.read().is_ok_and(|content| content.expose() == plaintext.expose()) {
                return Ok(());
            }
        }
        Some(_) => return Err(spot.taken("something that is not a file")),
    }
    let temporary = spot.temporary();
    replace_file(&spot.parent, &temporary, &spot.parent, &spot.name, plaintext, ownership)
        .map_err(|error| Failure::write(spot.path, error))
}

/// Returns whether a link to `target` leads into our directories.
fn is_ours(target: &Path, settings: &Settings) -> bool {
    [&settings.decrypted_dir, &settings.decrypted_dir_for_user, &settings.decrypted_mount_point]
        .iter()
        .any(|ours| target.starts_with(ours))
}
