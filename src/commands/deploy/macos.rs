//! The same on macOS, which is no host.

use std::ffi::OsString;

use crate::cli::{Cli, Deploy};
use crate::error::{Error, Exit, Result, Status};

/// Does nothing.
///
/// # Errors
///
/// Always.
pub fn run(_: &Deploy, _: &Cli) -> Result<Exit> {
    Err(Error::new(Status::Usage, "cannot deploy on macOS")
        .because("hosts run Linux")
        .fix("run it on the host: vaultix -p /etc/vaultix/profile.json deploy"))
}

/// Returns `None`: there are no such jobs.
pub fn serve(_: &[OsString]) -> Option<Result<Exit>> {
    None
}
