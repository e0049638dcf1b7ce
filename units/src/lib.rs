//! the helper as a library: ciphertext → one file in the ramfs.

mod acl;
pub mod args;
pub mod bounded;
pub mod check;
pub mod decrypt;
pub mod failure;
pub mod generation;
pub mod harden;
pub mod host;
pub mod identity;
pub mod item;
pub mod mounts;
pub mod owner;
pub mod parallel;
pub mod path;
pub mod place;
pub mod plaintext;
pub mod ramfs;
pub mod record;
pub mod render;
pub mod replace;
pub mod retry;
pub mod stack;
pub mod stanza;
pub mod switch;
pub mod systemctl;
pub mod template;
