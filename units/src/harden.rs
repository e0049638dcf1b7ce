//! this process → no core dumps, and no debugger.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Keeps the memory of this process, and of the programs that it runs, out of core dumps, and debuggers away from it.
///
/// The limit is 1 byte: a limit of 0 does not apply to core dumps that go through a pipe, as to systemd-coredump, see
/// core(5).
///
/// # Errors
///
/// The system's own.
pub fn harden() -> Result<(), Errno> {
    let limit = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    // A limit of 0 cannot be raised.
    setrlimit(Resource::Core, limit(1)).or_else(|_| setrlimit(Resource::Core, limit(0)))?;
    // No memory is written to a core dump then, whatever the limit; child processes inherit this. The file exists unless the
    // kernel was built without core dumps.
    let _ = std::fs::write("/proc/self/coredump_filter", "0");
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}
