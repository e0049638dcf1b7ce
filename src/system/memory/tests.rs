//! Directories in memory, and what somebody else puts there.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::place::ensure_in_memory;
use super::*;

/// Makes a parent for the test `name`, on a tmpfs.
fn parent(name: &str) -> Parent {
    let path = PathBuf::from(format!("/dev/shm/vaultix-test-{}-{name}", std::process::id()));
    fs::create_dir(&path).unwrap();
    Parent::open(&path).unwrap()
}

/// Makes a directory there, with the secret `wifi` in it.
pub(super) fn directory(name: &str) -> Directory {
    let directory = Directory::from_open(OpenDirectory::make(parent(name)).unwrap());
    directory.write(Path::new("wifi"), &Plaintext::new(b"text".to_vec())).unwrap();
    directory
}

#[test]
fn directories_of_other_programs_are_not_swept() {
    assert!(is_our_name("vaultix-12-0"));
    for name in ["vaultix", "vaultix-12", "vaultix-for-user", "vaultix-1-", "vaultix-1-2-3"] {
        assert!(!is_our_name(name), "{name}");
    }
}

#[test]
fn a_directory_that_others_can_replace_is_refused() {
    let found = parent("safe");
    let path = found.path;
    let below = path.join("below");
    fs::create_dir(&below).unwrap();
    assert!(Parent::open(&below).is_ok());
    for (mode, is_safe) in [(0o700, true), (0o770, false), (0o702, false), (0o1777, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(Parent::open(&path).is_ok(), is_safe, "{mode:o}");
        assert_eq!(Parent::open(&below).is_ok(), is_safe, "below {mode:o}");
    }
    let link = path.join("link");
    symlink("below", &link).unwrap();
    assert_eq!(Parent::open(&link).ok().unwrap().path, below, "links are followed once");
    let disk = Parent::open(Path::new("/usr")).ok().unwrap();
    assert!(ensure_in_memory(&disk).err().unwrap().ends_with("is not in memory"));
    assert!(ensure_in_memory(&Parent::open(&below).ok().unwrap()).is_ok());
    assert!(Parent::open(Path::new("run")).is_err());
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn a_replaced_directory_is_left_alone() {
    let directory = directory("exchanged");
    let path = directory.path.clone();
    let parent = path.parent().unwrap();
    let text = fs::File::open(path.join("wifi")).unwrap();
    fs::rename(&path, parent.join("aside")).unwrap();
    fs::create_dir(&path).unwrap();
    fs::write(path.join("wifi"), "theirs").unwrap();
    assert_eq!(&**directory.read(Path::new("wifi"), 9).unwrap(), b"text", "by its descriptor");
    drop(directory);
    assert_eq!(fs::read_to_string(path.join("wifi")).unwrap(), "theirs");
    assert_eq!(&**bounded::read_file(text, 9).unwrap(), [0; 4], "and ours is wiped");
    assert!(fs::read_dir(parent.join("aside")).unwrap().next().is_none());
    fs::remove_dir_all(parent).unwrap();
}

#[test]
fn links_are_not_followed_when_wiping() {
    let directory = directory("links");
    let parent = directory.path.parent().unwrap().to_owned();
    let theirs = parent.join("theirs");
    let outside = parent.join("outside");
    fs::write(&theirs, "theirs").unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "theirs").unwrap();
    symlink(&theirs, directory.path.join("soft")).unwrap();
    symlink(&outside, directory.path.join("folder")).unwrap();
    fs::hard_link(&theirs, directory.path.join("hard")).unwrap();
    // An editor that saves to a new file: the old one is wiped as well, although it no longer has a
    // name.
    let old = fs::File::open(directory.path.join("wifi")).unwrap();
    let new = directory.path.join("new");
    fs::write(&new, "new").unwrap();
    let saved = fs::File::open(&new).unwrap();
    fs::rename(&new, directory.path.join("wifi")).unwrap();
    drop(directory);
    for path in [&theirs, &outside.join("file")] {
        assert_eq!(fs::read_to_string(path).unwrap(), "theirs");
    }
    assert_eq!(&**bounded::read_file(old, 9).unwrap(), [0; 4]);
    assert_eq!(&**bounded::read_file(saved, 9).unwrap(), [0; 3]);
    assert_eq!(fs::read_dir(&parent).unwrap().count(), 2);
    fs::remove_dir_all(parent).unwrap();
}

#[test]
fn a_file_is_written_below_the_directory_and_not_through_links() {
    let directory = directory("write");
    let text = || Plaintext::new(b"x".to_vec());
    let path = directory.write(Path::new("a/b"), &text()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert!(directory.write(Path::new("a/b"), &text()).is_err(), "it is there");
    assert!(directory.write(Path::new("../b"), &text()).is_err());
    symlink("/dev/shm", directory.path.join("link")).unwrap();
    assert!(directory.write(Path::new("link/b"), &text()).is_err());
    let parent = directory.path.parent().unwrap().to_owned();
    drop(directory);
    fs::remove_dir(parent).unwrap();
}
