//! The same on macOS.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Keeps the memory of this process, and of the programs that it runs, out of core dumps.
///
/// Debuggers are not kept away: `PT_DENY_ATTACH` of ptrace(2) cannot be had without unsafe code. A
/// binary that is signed with the hardened runtime keeps them away by itself.
///
/// # Errors
///
/// The system's own.
pub fn harden() -> Result<(), Errno> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
}
