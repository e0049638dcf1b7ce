//! work with a secret → its result, and the stack that it used overwritten.

use std::hint::black_box;

use zeroize::Zeroize as _;

/// How much of the stack is overwritten, in bytes: more than decrypting or reading a key uses.
const SIZE: usize = 32 << 10;

/// The same for post-quantum keys, which are polynomials.
const DEEP: usize = 96 << 10;

/// Does `work`, then overwrites the stack that it used: ciphers leave blocks of a plaintext there.
pub fn wiped<T>(work: impl FnOnce() -> T) -> T {
    let outcome = below(work);
    wipe::<{ SIZE / 8 }>();
    outcome
}

/// As [`wiped`], for post-quantum keys: others do not pay for them.
pub fn deeply_wiped<T>(work: impl FnOnce() -> T) -> T {
    let outcome = below(work);
    wipe::<{ DEEP / 8 }>();
    outcome
}

/// Does `work` in a stack frame of its own, which begins where that of [`wipe`] does.
#[inline(never)]
fn below<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Overwrites the stack below the caller.
#[inline(never)]
fn wipe<const WORDS: usize>() {
    let mut space = [0_u64; WORDS];
    space.zeroize();
    black_box(&space);
}
