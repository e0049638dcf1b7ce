//! directory → the files below it that may be secrets.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, statat};

use crate::error::{Error, Exit, Result};
use crate::system::fence;

/// Returns all `*.age` below `directory`; hidden directories and links to others are passed over.
pub fn secrets(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let Ok(listed) = fence::open_directory(directory) else { return found };
    for entry in Dir::read_from(&listed).into_iter().flatten().flatten() {
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        let path = directory.join(name);
        let hidden = name.as_bytes().starts_with(b".");
        if is_directory(&listed, name) {
            if !hidden {
                found.append(&mut secrets(&path));
            }
        } else if !hidden && path.extension().is_some_and(|extension| extension == "age") {
            found.insert(path);
        }
    }
    found
}

/// Returns whether `name` in `folder` is a directory.
fn is_directory(folder: &OwnedFd, name: &OsStr) -> bool {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// Returns the files below `root` as paths relative to it, sorted.
///
/// What begins with a dot is not looked at, as it is git's or the older scheme's own; nor are directories behind
/// links, and nor is `new`, where our own files are.
///
/// # Errors
///
/// Names the directory that cannot be listed.
pub fn files(root: &Path, new: &Path) -> Result<Vec<PathBuf>> {
    let new = below(root, new);
    let mut found = Vec::new();
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        let place: PathBuf = root.join(&directory).components().collect();
        let cannot = |error: std::io::Error| {
            let exit = match error.kind() {
                std::io::ErrorKind::NotFound => Exit::NoInput,
                _ => Exit::NoPermission,
            };
            Error::new(exit, format!("cannot list {}", place.display())).because(error)
        };
        for entry in fs::read_dir(&place).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = directory.join(name);
            if entry.file_type().map_err(cannot)?.is_dir() {
                directories.extend((new.as_ref() != Some(&path)).then_some(path));
            } else if root.join(&path).is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Returns `path` as one relative to `root`, if it is there.
fn below(root: &Path, path: &Path) -> Option<PathBuf> {
    let (root, path) = (root.canonicalize().ok()?, path.canonicalize().ok()?);
    path.strip_prefix(root).ok().map(Path::to_owned)
}
