//! → where a directory in memory can be, on this system.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::FIX;
#[cfg(all(target_os = "linux", test))]
pub(super) use linux::ensure_in_memory;
#[cfg(target_os = "linux")]
pub(super) use linux::{HELD, Hold, make, open_beneath, parents, release};

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
pub use macos::FIX;
#[cfg(target_os = "macos")]
pub(super) use macos::{HELD, Hold, make, open_beneath, parents, release};
