//! the helper as a library: ciphertext → one file in the ramfs.
//!
//! The first modules are also the desk's, on every system that it runs on. All others are a host's, which is Linux.

pub mod bounded;
pub mod decrypt;
pub mod failure;
pub mod plaintext;
pub mod pq;
pub mod ssh;
pub mod stack;
pub mod stanza;

#[cfg(target_os = "linux")]
mod acl;
#[cfg(target_os = "linux")]
pub mod args;
#[cfg(target_os = "linux")]
mod aside;
#[cfg(target_os = "linux")]
pub mod boot;
#[cfg(target_os = "linux")]
pub mod check;
#[cfg(target_os = "linux")]
pub mod creds;
#[cfg(target_os = "linux")]
pub mod disk_record;
#[cfg(target_os = "linux")]
pub mod earlier;
#[cfg(target_os = "linux")]
pub mod encoding;
#[cfg(target_os = "linux")]
pub mod enroll;
#[cfg(target_os = "linux")]
pub mod generation;
#[cfg(target_os = "linux")]
pub mod harden;
#[cfg(target_os = "linux")]
pub mod host;
#[cfg(target_os = "linux")]
pub mod identity;
#[cfg(target_os = "linux")]
pub mod item;
#[cfg(target_os = "linux")]
pub mod mounts;
#[cfg(target_os = "linux")]
pub mod nixos;
#[cfg(target_os = "linux")]
pub mod other_link;
#[cfg(target_os = "linux")]
pub mod owner;
#[cfg(target_os = "linux")]
pub mod parallel;
#[cfg(target_os = "linux")]
pub mod path;
#[cfg(target_os = "linux")]
pub mod place;
#[cfg(target_os = "linux")]
pub mod ramfs;
#[cfg(target_os = "linux")]
pub mod record;
#[cfg(target_os = "linux")]
pub mod render;
#[cfg(target_os = "linux")]
pub mod replace;
#[cfg(target_os = "linux")]
pub mod retry;
#[cfg(target_os = "linux")]
pub mod switch;
#[cfg(target_os = "linux")]
pub mod systemctl;
#[cfg(target_os = "linux")]
pub mod template;
#[cfg(target_os = "linux")]
pub mod trusted;
#[cfg(target_os = "linux")]
pub mod unseal;
#[cfg(target_os = "linux")]
pub mod user;
#[cfg(target_os = "linux")]
pub mod users;
#[cfg(target_os = "linux")]
mod wording;
