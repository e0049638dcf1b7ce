//! one secret file ↔ its text: found, read, encrypted, replaced.

pub mod replace;
pub mod secret;
pub mod source;
pub mod tree;
