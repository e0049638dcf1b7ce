//! the helper as a library: ciphertext → one file in the ramfs.

pub mod bounded;
pub mod decrypt;
pub mod header;
pub mod identity;
pub mod plaintext;
