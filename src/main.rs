//! The program `vaultix`: the library of the same name, with an allocator that wipes memory.

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// Wipes memory when it is freed: we have no control over the copies that `age` and std make.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    vaultix::main()
}
