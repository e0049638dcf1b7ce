//! The same on Linux.

use std::path::PathBuf;

/// Disables a special key: `_POSIX_VDISABLE` in glibc's `bits/posix_opt.h`.
pub const NO_KEY: u8 = 0;

/// Returns the path of the terminal, which need not be there.
pub fn path() -> PathBuf {
    "/dev/tty".into()
}
