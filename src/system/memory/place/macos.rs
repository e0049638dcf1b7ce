//! The same on macOS: a RAM disk, in a directory on the disk that only the user may enter.
//!
//! Disk images ignore who owns a file. So it is that directory which keeps others away.

use std::env;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, fstat, fstatfs, openat};

use crate::system::memory::ram_disk::{self, Mounted, RamDisk, TOOLS};
use crate::system::memory::{DIRECTORY, Directory, OpenDirectory, Parent, wipe};

/// What to do if there is nowhere to put it.
pub const FIX: &str = "see what hdiutil says, as for: hdiutil attach -nomount ram://524288";

/// How a directory on the way is opened. There is no `O_PATH`.
pub(in crate::system::memory) const HELD: OFlags = DIRECTORY;

/// What has to go after a directory: the RAM disk that it is on.
pub(in crate::system::memory) type Hold = RamDisk;

/// Creates a directory in memory.
///
/// # Errors
///
/// Why there is nowhere to put it.
pub(in crate::system::memory) fn make() -> Result<Directory, String> {
    let below = Directory::in_one_of(vec![env::temp_dir()], |_| Ok(()))
        .map_err(|refusal| format!("others can change what is in this directory: {refusal}"))?;
    let disk = RamDisk::make(below, &TOOLS)?;
    let parent = Parent::open(&disk.mount_point)?;
    let found = mounted(&parent.directory).ok_or("it is unknown what is mounted there")?;
    disk.ensure_mounted(&found)?;
    let open = OpenDirectory::make(parent)
        .map_err(|error| format!("{}: {error}", disk.mount_point.display()))?;
    Ok(Directory { _under: Some(disk), ..Directory::from_open(open) })
}

/// Returns where plaintexts may be put without preparation: nowhere.
pub(in crate::system::memory) fn parents() -> Vec<PathBuf> {
    Vec::new()
}

/// Opens the directory `name` in `parent`, if it is on the same file system.
pub(in crate::system::memory) fn open_beneath(parent: &OwnedFd, name: &str) -> Option<OwnedFd> {
    let directory = openat(parent, name, DIRECTORY, Mode::empty()).ok()?;
    let is_same = fstat(parent).ok()?.st_dev == fstat(&directory).ok()?.st_dev;
    is_same.then_some(directory)
}

/// Takes away the RAM disk that a killed run has left in its `directory`, at `path`.
pub(in crate::system::memory) fn release(path: &Path, directory: &OwnedFd) {
    let Ok(disk) = openat(directory, ram_disk::NAME, DIRECTORY, Mode::empty()) else { return };
    if let Some(found) = mounted(&disk)
        && let Some(device) = ram_disk::left(&found, path)
    {
        wipe::clear(&disk);
        drop(disk);
        ram_disk::detach(&TOOLS, device);
    }
}

/// Returns what is mounted where `directory` is.
fn mounted(directory: impl AsFd) -> Option<Mounted> {
    let found = fstatfs(directory).ok()?;
    let text = |characters: &[i8]| {
        let bytes = characters.iter().map(|one| one.cast_unsigned());
        String::from_utf8(bytes.take_while(|byte| *byte != 0).collect()).ok()
    };
    Some(Mounted {
        kind: text(&found.f_fstypename)?,
        device: text(&found.f_mntfromname)?,
        point: text(&found.f_mntonname)?.into(),
    })
}
