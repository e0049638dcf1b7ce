//! The program `vaultix`: its allocator, around the library of the same name.

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// Memory that is wiped when it is given back: what `age` and the standard library copy is out of our hands.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    vaultix::main()
}
