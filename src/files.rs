//! One secret file: found, read, decrypted, encrypted, replaced.

pub mod names;
pub mod replace;
pub mod secret;
pub mod source;
pub mod tree;
pub mod values;
