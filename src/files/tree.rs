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
    let paths = Walk::new(directory, None, Links::Leave).files.into_iter();
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "age"))
        .filter(|path| !path.file_name().is_some_and(|name| name.as_bytes().starts_with(b".")))
        .map(|path| directory.join(path))
        .collect()
}

/// What is below a directory.
#[derive(Default)]
pub struct Files {
    /// The files, as sorted paths relative to it.
    pub paths: Vec<PathBuf>,
    /// Links to directories that were not followed.
    pub links: Vec<PathBuf>,
    /// Why what is behind some of those that were followed is not among the files.
    pub failures: Vec<Error>,
}

/// Whether directories behind links are listed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Links {
    Leave,
    /// Where they do not lead back to where they are.
    Follow,
}

/// Returns the files below `root` as sorted paths relative to it, except those in `skipped`, where
/// our own files are.
///
/// # Errors
///
/// Names the directory that cannot be listed.
pub fn files(root: &Path, skipped: &Path, links: Links) -> Result<Files> {
    let skipped = relative(root, skipped);
    let Walk { mut files, failures, mut links, .. } = Walk::new(root, skipped.as_deref(), links);
    let mut behind_links = Vec::new();
    for (directory, error) in failures {
        let path: PathBuf = root.join(&directory.path).components().collect();
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::Failed(Status::NoInput),
            _ => Exit::Failed(Status::NoPerm),
        };
        let error = fence::explain(exit, format!("cannot list {}", path.display()), &error);
        if directory.jumps.is_empty() {
            return Err(error);
        }
        behind_links.push(error);
    }
    // Only a first selection: the code that reads a file opens it through the fence, and checks
    // what it has opened.
    files.retain(|path| root.join(path).is_file());
    files.sort();
    links.sort();
    Ok(Files { paths: files, links, failures: behind_links })
}

/// Returns `path` relative to `root`, if it exists there.
fn relative(root: &Path, path: &Path) -> Option<PathBuf> {
    let (root, path) = (root.canonicalize().ok()?, path.canonicalize().ok()?);
    path.strip_prefix(root).ok().map(Path::to_owned)
}

/// Most links to directories that are followed: those that lead to each other may be endlessly many.
const MAX_FOLLOWED: usize = 1000;

/// The files below a directory, as paths relative to it.
///
/// Leaves out directories of other programs, such as `.git`.
#[derive(Default)]
struct Walk {
    /// Everything that is not a directory, unsorted.
    files: Vec<PathBuf>,
    /// Links to directories that were not followed.
    links: Vec<PathBuf>,
    /// How many more may be.
    left: usize,
    /// Directories that could not be listed.
    failures: Vec<(Directory, io::Error)>,
}

/// A directory to list.
#[derive(Default)]
struct Directory {
    /// Its path from the root.
    path: PathBuf,
    /// The directories of the links that lead to it, without links.
    jumps: Vec<PathBuf>,
}

impl Walk {
    /// Lists everything below `root` except the directory `skipped`.
    fn new(root: &Path, skipped: Option<&Path>, links: Links) -> Self {
        let left = if links == Links::Follow { MAX_FOLLOWED } else { 0 };
        let mut walk = Self { left, ..Self::default() };
        let mut directories = vec![Directory::default()];
        while let Some(directory) = directories.pop() {
            if directory.path != Path::new("") && Some(directory.path.as_path()) == skipped {
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
        directory: &Directory,
        directories: &mut Vec<Directory>,
    ) -> io::Result<()> {
        let open = fence::open_directory(&root.join(&directory.path))?;
        for entry in Dir::read_from(&open)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if matches!(name.as_bytes(), b"." | b"..") || PROGRAMS.iter().any(|own| name == *own) {
                continue;
            }
            let path = directory.path.join(name);
            // What stands there when it is read is opened below the fence, whatever it is now.
            if is_directory(&open, name) {
                directories.push(Directory { path, jumps: directory.jumps.clone() });
            } else if !root.join(&path).is_dir() {
                self.files.push(path);
            } else if let Some(jumps) = self.follow(root, directory, &path) {
                directories.push(Directory { path, jumps });
            } else {
                self.links.push(path);
            }
        }
        Ok(())
    }

    /// Returns the jumps to what is behind the link `path` in `directory`, if it is to be followed.
    fn follow(&mut self, root: &Path, directory: &Directory, path: &Path) -> Option<Vec<PathBuf>> {
        let left = self.left.checked_sub(1)?;
        let target = root.join(path).canonicalize().ok()?;
        let mut jumps = directory.jumps.clone();
        jumps.push(root.join(&directory.path).canonicalize().ok()?);
        let leads_back = jumps.iter().any(|passed| passed.starts_with(&target));
        self.left = left;
        (!leads_back).then_some(jumps)
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
        let found = files(&folder.0, &folder.0.join("new"), Links::Leave).unwrap();
        let expected = [".c.age", ".d/.e/f.age", "a.age", "b.gpg", "link.age", "sub/deep/f.age"];
        assert_eq!(found.paths, expected.map(PathBuf::from));
        assert_eq!(found.links, [PathBuf::from("folder")]);
    }

    #[test]
    fn links_to_directories_are_followed_unless_they_lead_back() {
        let folder = Folder::new("links");
        for (target, link) in [
            ("..", "sub/up"),
            (".", "here"),
            ("../new", "sub/to-new"),
            ("../sub", "new/to-sub"),
            ("missing", "sub/nowhere"),
        ] {
            symlink(target, folder.0.join(link)).unwrap();
        }
        let found = files(&folder.0, &folder.0.join("none"), Links::Follow).unwrap();
        let expected = [
            ".c.age",
            ".d/.e/f.age",
            "a.age",
            "b.gpg",
            "folder/deep/f.age",
            "folder/to-new/e.age",
            "link.age",
            "new/e.age",
            "new/to-sub/deep/f.age",
            "sub/deep/f.age",
            "sub/to-new/e.age",
        ];
        assert_eq!(found.paths, expected.map(PathBuf::from));
        let expected = [
            "folder/to-new/to-sub",
            "folder/up",
            "here",
            "new/to-sub/to-new",
            "new/to-sub/up",
            "sub/to-new/to-sub",
            "sub/up",
        ];
        assert_eq!(found.links, expected.map(PathBuf::from));
        assert!(found.failures.is_empty());
    }

    #[test]
    fn links_that_lead_to_each_other_are_not_followed_endlessly() {
        let folder = Folder::new("endless");
        for (one, other) in (0..12).flat_map(|one| (0..12).map(move |other| (one, other))) {
            fs::create_dir_all(folder.0.join(format!("d{one}"))).unwrap();
            let target = format!("../d{other}");
            symlink(target, folder.0.join(format!("d{one}/to{other}"))).unwrap();
        }
        let found = files(&folder.0, &folder.0.join("none"), Links::Follow).unwrap();
        assert!(found.links.len() > MAX_FOLLOWED, "{}", found.links.len());
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
        let error = files(path, path, Links::Follow).err().unwrap();
        assert_eq!(error.exit, Exit::Failed(Status::NoInput));
        assert!(error.to_string().starts_with("cannot list /nonexistent/secrets"), "{error}");
        assert!(secrets(path).is_empty());
    }
}
