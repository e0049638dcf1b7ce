//! some work with a secret → its outcome, with nothing of the secret left on the stack.

use std::hint::black_box;

use zeroize::Zeroize as _;

/// How much of the stack is overwritten, in bytes: more than decrypting and reading a key take.
const SIZE: usize = 32 << 10;

/// Does `work`, then overwrites what it used of the stack: ciphers leave some blocks of a plaintext there.
pub fn wiped<T>(work: impl FnOnce() -> T) -> T {
    let outcome = below(work);
    wipe();
    outcome
}

/// Does `work` in a place of its own, which begins where that of [`wipe`] does.
#[inline(never)]
fn below<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Overwrites what lies below the caller.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "it is the stack that is wiped")]
fn wipe() {
    let mut space = [0_u64; SIZE / 8];
    space.zeroize();
    black_box(&space);
}
