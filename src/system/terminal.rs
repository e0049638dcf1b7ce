//! → where the terminal of the session is, even if standard input and output are redirected.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::{NO_KEY, path};

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
pub use macos::{NO_KEY, path};
