//! path → the file there, if nobody but root and the user who runs this program has laid the way to it, or could exchange it.
//!
//! A profile names a program that is run. With a `HOME` or `XDG_CONFIG_HOME` that somebody else has left in the environment, it
//! would be theirs; and a file of root's with their text is quickly made, since everybody can put one into a Nix store.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Most links that are followed, as in the kernel.
const MAX_LINKS: u32 = 40;
/// Permission bits that let others than the owner write.
const SHARED: u32 = 0o022;
/// In a directory with this bit, only the owner of a file can exchange it.
const STICKY: u32 = 0o1000;

/// How a component is held while it is looked at.
const HOLD: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// How the file is opened: never waits.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Opens the regular file `path` for the user `uid`.
///
/// # Errors
///
/// The system's own; or which part of the way is not safe.
pub fn open(path: &Path, uid: u32) -> io::Result<File> {
    let path = std::path::absolute(path)?;
    let (mut here, mut shown, mut links) = (root()?, PathBuf::from("/"), 0);
    ensure_safe(&fs::fstat(&here)?, &shown, uid)?;
    let mut rest = components(&path);
    while let Some(component) = rest.pop() {
        if component == ".." {
            here = fs::openat(&here, "..", HOLD | OFlags::DIRECTORY, Mode::empty())?;
            shown.pop();
            ensure_safe(&fs::fstat(&here)?, &shown, uid)?;
            continue;
        }
        let at = shown.join(&component);
        let node = fs::openat(&here, &component, HOLD, Mode::empty())?;
        let stat = fs::fstat(&node)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                ensure_owner(&stat, &at, uid)?;
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP.into());
                }
                let target = fs::readlinkat(&node, "", Vec::new())?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                if target.is_absolute() {
                    (here, shown) = (root()?, PathBuf::from("/"));
                }
                rest.extend(components(&target));
            }
            FileType::Directory if !rest.is_empty() => {
                ensure_safe(&stat, &at, uid)?;
                (here, shown) = (node, at);
            }
            FileType::RegularFile if rest.is_empty() => {
                let file = fs::openat(&here, &component, READ, Mode::empty())?;
                // By its descriptor: it may be another one by now.
                let stat = fs::fstat(&file)?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                    return Err(no_file());
                }
                return ensure_safe(&stat, &at, uid).map(|()| file.into());
            }
            _ if rest.is_empty() => return Err(no_file()),
            _ => return Err(Errno::NOTDIR.into()),
        }
    }
    Err(no_file())
}

/// Opens the root directory.
fn root() -> io::Result<OwnedFd> {
    Ok(fs::open("/", HOLD | OFlags::DIRECTORY, Mode::empty())?)
}

/// Returns the components of `path`, the last one first.
fn components(path: &Path) -> Vec<OsString> {
    let part = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().rev().filter_map(part).collect()
}

/// Makes sure that what is `at` this path belongs to root or to `uid`.
fn ensure_owner(stat: &Stat, at: &Path, uid: u32) -> io::Result<()> {
    if stat.st_uid == 0 || stat.st_uid == uid {
        return Ok(());
    }
    let (at, user) = (at.display(), stat.st_uid);
    Err(refused(format!(
        "{at} belongs to user {user}, who could have you run anything; check HOME and XDG_CONFIG_HOME"
    )))
}

/// The same, and that nobody else can change it, or exchange what is in it.
fn ensure_safe(stat: &Stat, at: &Path, uid: u32) -> io::Result<()> {
    ensure_owner(stat, at, uid)?;
    let is_sticky =
        FileType::from_raw_mode(stat.st_mode) == FileType::Directory && stat.st_mode & STICKY != 0;
    if stat.st_mode & SHARED == 0 || is_sticky {
        return Ok(());
    }
    let at = at.display();
    Err(refused(format!(
        "others can write to {at}, and could have you run anything; to forbid that: chmod go-w '{at}'"
    )))
}

fn refused(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}

fn no_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")
}
