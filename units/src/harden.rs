//! Keeps core dumps and debuggers away from this process.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Keeps the memory of this process, and of the programs that it runs, out of core dumps, and
/// prevents debuggers from attaching to it.
///
/// The limit is 1 byte: a limit of 0 does not apply to core dumps that go to a pipe, such as
/// systemd-coredump's, see core(5).
///
/// # Errors
///
/// The system's own.
pub fn harden() -> Result<(), Errno> {
    let limit = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    // If the limit is already 0, it cannot be raised to 1.
    setrlimit(Resource::Core, limit(1)).or_else(|_| setrlimit(Resource::Core, limit(0)))?;
    // With this, a core dump contains no memory, whatever the limit is. Child processes inherit it.
    // The file exists unless the kernel was built without core dumps.
    let _ = std::fs::write("/proc/self/coredump_filter", "0");
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}
