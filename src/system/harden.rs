//! Keeps core dumps away from this process, and debuggers where the system can.

#[cfg(target_os = "linux")]
pub use vaultix_units::harden::harden;

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
pub use macos::harden;
