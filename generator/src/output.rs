//! unit files → files and links in systemd's directory; the only code here that writes.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::unit::{Content, UnitFile};

/// Writes `files` below `directory`, which exists and contains none of them.
///
/// A file that cannot be written does not stop the others.
///
/// # Errors
///
/// Every failure with its path; all other files have been written.
pub fn write(directory: &Path, files: &[UnitFile]) -> Result<(), Vec<(PathBuf, io::Error)>> {
    let mut failures = Vec::new();
    let mut made: BTreeSet<&str> = BTreeSet::new();
    for file in files {
        if let Some((parent, _)) = file.path.rsplit_once('/')
            && made.insert(parent)
            && let Err(error) = fs::create_dir(directory.join(parent))
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            failures.push((directory.join(parent), error));
        }
        let path = directory.join(&file.path);
        if let Err(error) = write_one(&path, &file.content) {
            failures.push((path, error));
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

/// Writes one file, which must not exist: another generator's unit must not be overwritten.
fn write_one(path: &Path, content: &Content) -> io::Result<()> {
    match content {
        Content::Link(target) => symlink(target, path),
        Content::Text(text) => OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(path)?
            .write_all(text.as_bytes()),
    }
}
