//! an item that the boot has placed → a note for its unit, which then has nothing to do when it is first started.
//!
//! The unit of each item is started once the boot is over, so that it is active while the file is in place. To read the
//! profile and to decrypt again would take most of the time of that. So the boot notes what it made each item from, and the unit
//! compares. It takes the note away: any later start, as by `systemctl restart`, decrypts again.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, open, openat, stat, statat, unlinkat};
use vaultix_generator::escape::hex;
use vaultix_generator::profile::{RAMFS_PATH, RESERVED_NAME};

use crate::failure::Failure;
use crate::generation::{Generation, List};
use crate::item::Item;
use crate::path::FarFile;
use crate::plaintext::Plaintext;
use crate::ramfs::parse_number;
use crate::record::stamp_of;
use crate::replace::{DIRECTORY, read_file};

/// Returns what distinguishes versions of the profile `path`; `None` if it cannot be read.
#[must_use]
pub fn stamp(path: &Path) -> Option<String> {
    let file = fs::metadata(path).ok()?;
    let (ino, seconds, part) = (file.ino(), file.ctime(), file.ctime_nsec());
    Some(format!("{}:{ino}:{seconds}.{part}", file.dev()))
}

/// What an item was made from: the path of each ciphertext, and its [`stamp_of`].
pub(super) type Sources<'a> = Vec<(&'a Path, &'a [u8])>;

/// Notes that `item` was placed in `generation`, with the profile that has this [`stamp`], from these `sources`.
pub(super) fn note(
    generation: &Generation,
    item: Item,
    profile: &str,
    sources: &Sources,
) -> Result<(), Failure> {
    let place = item.placement();
    let mut text = Vec::new();
    let mut add = |field: &[u8]| {
        text.extend_from_slice(field);
        text.push(0);
    };
    add(profile.as_bytes());
    add(place.name.as_bytes());
    add(place.path.as_os_str().as_encoded_bytes());
    for (path, stamp) in sources {
        add(path.as_os_str().as_encoded_bytes());
        add(hex(stamp).as_bytes());
    }
    generation.write_entry(List::Fresh, &item.key(), &Plaintext::new(text))
}

/// Returns whether the boot has placed the item `key` as `profile` says, and this is the first time that anyone asks.
///
/// Any doubt is a no: the item is then placed again.
#[must_use]
pub fn take(profile: &Path, key: &str) -> bool {
    is_in_place(profile, key).unwrap_or(false)
}

fn is_in_place(profile: &Path, key: &str) -> Option<bool> {
    let root = open(RAMFS_PATH, DIRECTORY, Mode::empty()).ok()?;
    let newest = newest(&root)?;
    let folder = format!("{newest}/{RESERVED_NAME}/fresh");
    let folder = openat(&root, folder, DIRECTORY, Mode::empty()).ok()?;
    let text = read_file(&folder, key).ok()?;
    // Only one can take it.
    unlinkat(&folder, key, AtFlags::empty()).ok()?;
    let text = str::from_utf8(text.expose().strip_suffix(b"\0")?).ok()?;
    let mut fields = text.split('\0');
    if fields.next()? != stamp(profile)? {
        return Some(false);
    }
    let (name, path) = (fields.next()?, Path::new(fields.next()?));
    let file = statat(&root, format!("{newest}/{name}"), AtFlags::SYMLINK_NOFOLLOW).ok()?;
    if !FarFile::new(path).is_near() {
        return Some(false);
    }
    let shown = stat(path).ok()?;
    if (shown.st_dev, shown.st_ino) != (file.st_dev, file.st_ino) {
        return Some(false);
    }
    while let Some(source) = fields.next() {
        if fields.next()? != hex(&stamp_of(Path::new(source))) {
            return Some(false);
        }
    }
    Some(true)
}

/// Returns the number of the newest generation in `root`.
fn newest(root: &OwnedFd) -> Option<u32> {
    let entries = Dir::read_from(root).ok()?.filter_map(Result::ok);
    entries.filter_map(|entry| parse_number(entry.file_name().to_str().ok()?)).max()
}
