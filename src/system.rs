//! What the kernel offers: signals, descriptors, memory, programs, random bytes.
//!
//! Where systems differ, each has a file of its own, `linux` or `macos`, with the same functions.

pub mod fence;
pub mod harden;
pub mod input;
pub mod interrupt;
pub mod memory;
pub mod origin;
pub mod process;
pub mod program;
pub mod random;
pub mod sync;
pub mod terminal;
pub mod undo;
