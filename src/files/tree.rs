//! directory → the files below it that may hold secrets.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Exit, Result};

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
