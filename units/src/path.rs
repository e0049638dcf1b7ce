//! an item with a path of its own → a link there, or the plaintext itself.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use vaultix_generator::profile::{Placement, Settings};
use vaultix_generator::status::Status;

use crate::failure::Failure;
use crate::generation::{self, is_in_memory, link_of, read_all, replace_file, temporary};
use crate::owner::Ownership;
use crate::plaintext::Plaintext;
use crate::record::Record;

/// Links followed on the way to one path, as in the kernel.
const MAX_LINKS: u32 = 40;

/// Mode of directories made on the way.
const PARENT: Mode = Mode::from_raw_mode(0o755);

/// How a directory on the way is opened.
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

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

/// Puts an item where its path says, once its plaintext is in the generation. Does nothing when it is there.
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
) -> Result<(), Failure> {
    if !is_custom(place, settings) {
        return Ok(());
    }
    let (parent, name) = open_parent(&place.path, ownership.uid, Missing::Make)?;
    if place.symlink {
        put_link(&parent, &name, place, settings)
    } else {
        put_file(&parent, &name, place, plaintext, ownership, settings)
    }
}

/// Takes away what an earlier profile put at the path of `record`, if it is still ours.
///
/// A link is ours as long as it leads into our directories; a plaintext, as long as it is the one in
/// `generation`.
///
/// # Errors
///
/// [`Status::CantCreat`], with the path.
pub fn take_away(
    record: &Record,
    generation: &generation::Generation,
    settings: &Settings,
) -> Result<(), Failure> {
    if !is_custom_path(&record.path, &record.name, settings) {
        return Ok(());
    }
    let uid = generation.stat(&record.name).map_or(0, |stat| stat.st_uid);
    let Ok((parent, name)) = open_parent(&record.path, uid, Missing::Fail) else {
        return Ok(()); // The way there is gone or no longer ours.
    };
    let ours = match entry(&parent, &name) {
        Some(FileType::Symlink) => leads_to_us(&parent, &name, settings),
        Some(FileType::RegularFile) if !record.symlink => {
            let same = read_entry(&parent, &name).zip(generation.read(&record.name)?);
            same.is_some_and(|(there, here)| there.expose() == here.expose())
        }
        _ => false,
    };
    if ours {
        fs::unlinkat(&parent, &name, AtFlags::empty())
            .map_err(|error| Failure::path(Status::CantCreat, "remove", &record.path, error))?;
    }
    Ok(())
}

/// Makes a link at the path.
fn put_link(
    parent: &OwnedFd,
    name: &OsStr,
    place: &Placement,
    settings: &Settings,
) -> Result<(), Failure> {
    let target = link_of(place, settings).join(&place.name);
    match entry(parent, name) {
        None => {}
        Some(FileType::Symlink) => {
            if fs::readlinkat(parent, name, Vec::new())
                .is_ok_and(|old| old.to_bytes() == target.as_os_str().as_bytes())
            {
                return Ok(());
            }
            if !leads_to_us(parent, name, settings) {
                return Err(in_the_way(place, "a link that leads elsewhere"));
            }
        }
        Some(_) => return Err(in_the_way(place, "something that is not a link of ours")),
    }
    let fresh = temporary("vaultix-link");
    let make = || {
        match fs::unlinkat(parent, &fresh, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
        fs::symlinkat(&target, parent, &fresh)?;
        fs::renameat(parent, &fresh, parent, name)
    };
    make().map_err(|error| {
        let _ = fs::unlinkat(parent, &fresh, AtFlags::empty()); // A link holds no secret.
        Failure::write(&place.path, error)
    })
}

/// Puts the plaintext itself at the path.
fn put_file(
    parent: &OwnedFd,
    name: &OsStr,
    place: &Placement,
    plaintext: &Plaintext,
    ownership: Ownership,
    settings: &Settings,
) -> Result<(), Failure> {
    if !place.allow_disk && !is_in_memory(parent) {
        return Err(Failure::write(
            &place.path,
            "its directory is not on ramfs or tmpfs, so the plaintext would be on a disk; let path be a link \
             (symlink = true), or, for a secret, set allowDisk = true",
        ));
    }
    match entry(parent, name) {
        None => {}
        Some(FileType::Symlink) if leads_to_us(parent, name, settings) => {}
        Some(FileType::RegularFile) => {
            let wanted = (ownership.uid, ownership.gid, ownership.mode);
            let stat = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
            let same = read_entry(parent, name)
                .is_some_and(|there| there.expose() == plaintext.expose())
                && stat
                    .is_ok_and(|stat| (stat.st_uid, stat.st_gid, stat.st_mode & 0o7777) == wanted);
            if same {
                return Ok(());
            }
        }
        Some(_) => return Err(in_the_way(place, "something that is not a file")),
    }
    let name = name.to_string_lossy();
    replace_file(parent, &format!(".{name}.vaultix"), parent, &name, plaintext, ownership)
        .map_err(|error| Failure::write(&place.path, error))
}

/// Returns the failure for what stands at the path.
fn in_the_way(place: &Placement, what: &str) -> Failure {
    Failure::write(&place.path, format!("{what} stands there; move it away, or set another path"))
}

/// Returns what kind of thing `name` is, `None` if there is nothing.
fn entry(parent: &OwnedFd, name: &OsStr) -> Option<FileType> {
    let stat = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(FileType::from_raw_mode(stat.st_mode))
}

/// Returns the content of the file `name`.
fn read_entry(parent: &OwnedFd, name: &OsStr) -> Option<Plaintext> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    read_all(File::from(fs::openat(parent, name, flags, Mode::empty()).ok()?)).ok()
}

/// Returns whether the link `name` leads into our directories.
fn leads_to_us(parent: &OwnedFd, name: &OsStr, settings: &Settings) -> bool {
    let Ok(target) = fs::readlinkat(parent, name, Vec::new()) else { return false };
    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
    [&settings.decrypted_dir, &settings.decrypted_dir_for_user, &settings.decrypted_mount_point]
        .iter()
        .any(|ours| target.starts_with(ours))
}

/// What to do when a directory on the way does not exist.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
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
fn open_parent(path: &Path, owner: u32, missing: Missing) -> Result<(OwnedFd, OsString), Failure> {
    let fail = |error: &dyn std::fmt::Display| Failure::write(path, error);
    let name = path.file_name().ok_or_else(|| fail(&"it is the root directory"))?.to_owned();
    let mut rest: Vec<OsString> = components(path.parent().unwrap_or(Path::new("/")));
    let open_root = || fs::open("/", DIRECTORY, Mode::empty());
    let mut directory = open_root().map_err(|error| fail(&error))?;
    let mut shown = PathBuf::from("/");
    let mut confined = false;
    let mut links = 0;
    while let Some(component) = rest.pop() {
        if component == ".." {
            directory = fs::openat(&directory, "..", DIRECTORY, Mode::empty())
                .map_err(|error| fail(&error))?;
            shown.pop();
            continue;
        }
        shown.push(&component);
        let made = matches!(
            fs::statat(&directory, &component, AtFlags::SYMLINK_NOFOLLOW),
            Err(Errno::NOENT)
        ) && missing == Missing::Make
            && !confined;
        if made {
            match fs::mkdirat(&directory, &component, PARENT) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => {
                    return Err(Failure::path(Status::CantCreat, "create", &shown, error));
                }
            }
        }
        let stat = fs::statat(&directory, &component, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| Failure::path(Status::CantCreat, "open", &shown, error))?;
        if stat.st_uid != owner && (stat.st_uid != 0 || confined) {
            return Err(fail(&format!(
                "unsafe path transition: {} belongs to user {}, who could lead the secret elsewhere; it must \
                 belong to {}",
                shown.display(),
                stat.st_uid,
                if confined { "the secret's owner" } else { "root or the secret's owner" },
            )));
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            links += 1;
            if links > MAX_LINKS {
                return Err(fail(&Errno::LOOP));
            }
            confined |= stat.st_uid != 0;
            let target = fs::readlinkat(&directory, &component, Vec::new())
                .map_err(|error| Failure::path(Status::CantCreat, "read", &shown, error))?;
            let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
            shown.pop();
            if target.is_absolute() {
                directory = open_root().map_err(|error| fail(&error))?;
                shown = PathBuf::from("/");
            }
            rest.extend(components(&target));
        } else {
            directory = fs::openat(&directory, &component, DIRECTORY, Mode::empty())
                .map_err(|error| Failure::path(Status::CantCreat, "open", &shown, error))?;
        }
    }
    // `..` and `/` at the end of a link lead somewhere that was not looked at above.
    if confined && !fs::fstat(&directory).is_ok_and(|stat| stat.st_uid == owner) {
        return Err(fail(&format!(
            "unsafe path transition: a link on the way leads to {}, which does not belong to the secret's owner",
            shown.display()
        )));
    }
    Ok((directory, name))
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
