//! a file → the same file without an access list, so that only its owner, group and mode decide who can open it.
//!
//! A directory may have a default access list, acl(5), which every new file in it inherits. While
//! the mode is 0600, users in the list have no access; as soon as the mode gives the group a
//! permission, they do.

use std::os::fd::AsFd;

use rustix::fs;
use rustix::io::Errno;

/// The extended attribute with the list of a file, from linux/xattr.h.
const LIST: &str = "system.posix_acl_access";

/// Removes the access list of `file`. Does nothing if there is none, or if the file system does not support them.
pub(crate) fn take_away(file: impl AsFd) -> Result<(), Errno> {
    match fs::fremovexattr(file, LIST) {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        result => result,
    }
}

/// Returns whether `file` has an access list, according to its file system.
pub(crate) fn is_there(file: impl AsFd) -> bool {
    let mut nothing: [u8; 0] = []; // Only its size is read.
    fs::fgetxattr(file, LIST, &mut nothing[..]).is_ok()
}
