//! What the kernel offers: signals, descriptors, memory, programs, random bytes.

pub mod fence;
pub mod input;
pub mod interrupt;
pub mod memory;
pub mod origin;
pub mod program;
pub mod random;
pub mod undo;
