//! a file → nobody may open it but those whom its owner, group and mode name.
//!
//! A directory may have a default access list, acl(5), which every new file in it takes over. A mode of 0600 keeps whom
//! the list names out; with the first bit for the group, they are in.

use std::os::fd::AsFd;

use rustix::fs;
use rustix::io::Errno;

/// The extended attribute that holds the list of a file, from linux/xattr.h.
const LIST: &str = "system.posix_acl_access";

/// Takes away the access list of `file`. Does nothing where there is none, or where the file system has no such lists.
pub(crate) fn take_away(file: impl AsFd) -> Result<(), Errno> {
    match fs::fremovexattr(file, LIST) {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        result => result,
    }
}

/// Returns whether `file` has an access list, as far as its file system tells.
pub(crate) fn is_there(file: impl AsFd) -> bool {
    let mut nothing: [u8; 0] = []; // It is asked for its size alone.
    fs::fgetxattr(file, LIST, &mut nothing[..]).is_ok()
}
