//! `vaultix deploy`: one profile → its secrets in place on this machine, without systemd.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::{run, serve};

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
pub use macos::{run, serve};
