//! The same on macOS.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::termios::ttyname;

/// Disables a special key: `_POSIX_VDISABLE` in `unistd.h`.
pub const NO_KEY: u8 = 0xff;

/// Returns the path of the terminal, which need not be there.
///
/// By its own name where that is known: poll(2) does not support `/dev/tty`, see its "BUGS".
pub fn path() -> PathBuf {
    let name = ttyname(io::stdin(), Vec::new())
        .or_else(|_| ttyname(io::stderr(), Vec::new()))
        .or_else(|_| ttyname(io::stdout(), Vec::new()));
    let name = name.map_or_else(|_| b"/dev/tty".to_vec(), CString::into_bytes);
    PathBuf::from(std::ffi::OsString::from_vec(name))
}
