//! directory → the files below it that may be secrets.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, statat};

use crate::error::{Error, Exit, Result, Status};
use crate::system::fence;

/// Directories of programs. Other hidden directories may contain secrets, such as `.secrets`.
const PROGRAMS: [&str; 7] = [".git", ".hg", ".jj", ".svn", ".direnv", ".devenv", ".extensions"];

/// Returns all `*.age` below `directory` whose own names are not hidden. A directory that cannot be
/// listed counts as empty.
pub fn secrets(directory: &Path) -> BTreeSet<PathBuf> {
    let paths = Walk::new(directory, None).files.into_iter();
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "age"))
        .filter(|path| !path.file_name().is_some_and(|name| name.as_bytes().starts_with(b".")))
        .map(|path| directory.join(path))
        .collect()
}

/// Returns the files below `root` as sorted paths relative to it, except those in `skipped`, where
/// our own files are.
///
/// # Errors
///
/// Names the directory that cannot be listed.
pub fn files(root: &Path, skipped: &Path) -> Result<Vec<PathBuf>> {
    let Walk { mut files, failures } = Walk::new(root, relative(root, skipped).as_deref());
    if let Some((directory, error)) = failures.into_iter().next() {
        let directory: PathBuf = root.join(directory).components().collect();
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::Failed(Status::NoInput),
            _ => Exit::Failed(Status::NoPerm),
        };
        let what = format!("cannot list {}", directory.display());
        return Err(Error::new(exit, what).because(error));
    }
    // Only a first selection: the code that reads a file opens it through the fence, and checks
    // what it has opened.
    files.retain(|path| root.join(path).is_file());
    files.sort();
    Ok(files)
}

/// Returns `path` relative to `root`, if it exists there.
fn relative(root: &Path, path: &Path) -> Option<PathBuf> {
    let (root, path) = (root.canonicalize().ok()?, path.canonicalize().ok()?);
    path.strip_prefix(root).ok().map(Path::to_owned)
}

/// The files below a directory, as paths relative to it.
///
/// Leaves out directories of other programs, such as `.git`, and directories behind links.
#[derive(Default)]
struct Walk {
    /// Everything that is not a directory, unsorted.
    files: Vec<PathBuf>,
    /// Directories that could not be listed.
    failures: Vec<(PathBuf, io::Error)>,
}

impl Walk {
    /// Lists everything below `root` except the directory `skipped`.
    fn new(root: &Path, skipped: Option<&Path>) -> Self {
        let mut walk = Self::default();
        let mut directories = vec![PathBuf::new()];
        while let Some(directory) = directories.pop() {
            if directory != Path::new("") && Some(directory.as_path()) == skipped {
                continue;
            }
            if let Err(error) = walk.list(root, &directory, &mut directories) {
                walk.failures.push((directory, error));
            }
        }
        walk
    }

    /// Adds the files in `directory`, and adds its subdirectories to `directories`.
    fn list(
        &mut self,
        root: &Path,
        directory: &Path,
        directories: &mut Vec<PathBuf>,
    ) -> io::Result<()> {
        let open = fence::open_directory(&root.join(directory))?;
        for entry in Dir::read_from(&open)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if matches!(name.as_bytes(), b"." | b"..") || PROGRAMS.iter().any(|own| name == *own) {
                continue;
            }
            let found = if is_directory(&open, name) { &mut *directories } else { &mut self.files };
            found.push(directory.join(name));
        }
        Ok(())
    }
}

/// Returns whether `name` in `folder` is a directory. If it is replaced by a link after this, the
/// fence still applies: it is opened through it.
fn is_directory(folder: &OwnedFd, name: &OsStr) -> bool {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory with files and links for a test; removed when dropped.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let root =
                std::env::temp_dir().join(format!("vaultix-tree-{name}-{}", std::process::id()));
            for file in [
                "a.age",
                "b.gpg",
                ".c.age",
                ".d/.e/f.age",
                ".git/g.age",
                "new/e.age",
                "sub/deep/f.age",
            ] {
                fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
                fs::write(root.join(file), "").unwrap();
            }
            symlink("a.age", root.join("link.age")).unwrap();
            symlink("nowhere", root.join("dead.age")).unwrap();
            symlink("sub", root.join("folder")).unwrap();
            Self(root)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn files_are_found_in_hidden_directories_but_not_in_those_of_programs() {
        let folder = Folder::new("files");
        let found = files(&folder.0, &folder.0.join("new")).unwrap();
        let expected = [".c.age", ".d/.e/f.age", "a.age", "b.gpg", "link.age", "sub/deep/f.age"];
        assert_eq!(found, expected.map(PathBuf::from));
    }

    #[test]
    fn secrets_are_recognized_by_their_extension() {
        let folder = Folder::new("secrets");
        let found = secrets(&folder.0);
        let expected =
            [".d/.e/f.age", "a.age", "dead.age", "link.age", "new/e.age", "sub/deep/f.age"];
        assert_eq!(found, expected.map(|name| folder.0.join(name)).into());
    }

    #[test]
    fn a_missing_directory_is_an_error_or_counts_as_empty() {
        let path = Path::new("/nonexistent/secrets");
        let error = files(path, path).unwrap_err();
        assert_eq!(error.exit, Exit::Failed(Status::NoInput));
        assert!(error.to_string().starts_with("cannot list /nonexistent/secrets"), "{error}");
        assert!(secrets(path).is_empty());
    }
}
