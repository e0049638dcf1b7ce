//! a directory in the place of a link of ours → moved aside, if all that is in it has names of ours.
//!
//! A secret that the initrd reads is written to its path before the system starts, and makes a directory of `/run/vaultix`.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, RenameFlags};
use rustix::io::Errno;
use vaultix_generator::profile::{Layout, Profile};

use crate::failure::{Failure, Level, log};
use crate::item::Item;
use crate::path::{Missing, open_trusted_parent};
use crate::replace::DIRECTORY;

/// Most files that are looked at: more are no leftover of an initrd.
const MAX_FILES: usize = 1000;
/// Most directories that were moved aside before.
const MAX_ASIDE: u32 = 100;

/// Moves directories in the place of our links aside. One that may contain anything else is left alone: making the link fails,
/// with the reason.
///
/// # Errors
///
/// [`Status::CantCreat`](vaultix_generator::status::Status::CantCreat): it cannot be looked at, or moved.
pub(crate) fn make_way(profile: &Profile) -> Result<(), Failure> {
    let settings = &profile.settings;
    for link in [&settings.decrypted_dir, &settings.decrypted_dir_for_user] {
        // The usual case takes one system call.
        let is_directory = std::fs::symlink_metadata(link).is_ok_and(|it| it.is_dir());
        if is_directory && let Some(aside) = move_aside(link, settings.layout, &names(profile))? {
            let (link, aside) = (link.display(), aside.display());
            log(
                Level::Warning,
                &format!(
                    "{link} was a directory with files at names of secrets, probably from the initrd: it is now \
                     {aside}; use another path in the initrd, and remove it: rm -r '{aside}'"
                ),
            );
        }
    }
    Ok(())
}

/// Returns the names of all valid items.
fn names(profile: &Profile) -> BTreeSet<&str> {
    let secrets = profile.secrets.values().flatten().map(Item::Secret);
    let templates = profile.templates.values().flatten().map(Item::Template);
    secrets.chain(templates).map(|item| &*item.placement().name).collect()
}

/// Moves the directory `link` aside; `None` if it may contain something else than files with these `names`.
fn move_aside(
    link: &Path,
    layout: Layout,
    names: &BTreeSet<&str>,
) -> Result<Option<PathBuf>, Failure> {
    // Held open; only root can write to it or to a directory on the way, so that its names cannot be exchanged.
    let (parent, name) = open_trusted_parent(link, layout, Missing::Fail)?;
    let failed = |error: Errno| Failure::write(link, error);
    let directory = fs::openat(&parent, &name, DIRECTORY, Mode::empty()).map_err(failed)?;
    let stat = fs::fstat(&directory).map_err(failed)?;
    let mut left = MAX_FILES;
    if stat.st_uid != 0 || !has_only(&directory, "", names, &mut left).map_err(failed)? {
        return Ok(None);
    }
    // What is in it stays as it is, and nobody but root can read it.
    fs::fchmod(&directory, Mode::from_raw_mode(0o700)).map_err(failed)?;
    for number in 1..=MAX_ASIDE {
        let aside = aside(&name, number);
        match fs::renameat_with(&parent, &name, &parent, &aside, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(Some(link.with_file_name(aside))),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(None)
}

/// Returns the name that `name` is moved to: one with a number if others were moved before.
fn aside(name: &OsStr, number: u32) -> OsString {
    let mut aside = name.to_owned();
    aside.push(".aside");
    if number > 1 {
        aside.push(format!("-{number}"));
    }
    aside
}

/// Returns whether `directory`, which is `prefix` of a name, contains only regular files of root with these `names`.
fn has_only(
    directory: &OwnedFd,
    prefix: &str,
    names: &BTreeSet<&str>,
    left: &mut usize,
) -> Result<bool, Errno> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { return Ok(false) };
        if matches!(name, "." | "..") {
            continue;
        }
        let Some(less) = left.checked_sub(1) else { return Ok(false) };
        *left = less;
        let stat = fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let full = format!("{prefix}{name}");
        let is_ours = match FileType::from_raw_mode(stat.st_mode) {
            _ if stat.st_uid != 0 => false,
            FileType::RegularFile => names.contains(&*full),
            FileType::Directory => {
                let inside = format!("{full}/");
                let below = fs::openat(directory, name, DIRECTORY, Mode::empty())?;
                names.iter().any(|name| name.starts_with(&inside))
                    && has_only(&below, &inside, names, left)?
            }
            _ => false,
        };
        if !is_ours {
            return Ok(false);
        }
    }
    Ok(true)
}
