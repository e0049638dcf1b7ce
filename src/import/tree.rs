//! directory → the files below it that may hold secrets.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Exit, Result};

/// Returns the files below `root` as paths relative to it, sorted.
///
/// What begins with a dot is not looked at, as it is git's or the older scheme's own; nor are directories behind
/// links.
///
/// # Errors
///
/// Names the directory that cannot be listed.
pub fn files(root: &Path) -> Result<Vec<PathBuf>> {
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
                directories.push(path);
            } else if root.join(&path).is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
