//! Where this work tree keeps its sources and builds.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

use xshell::Shell;

/// The result of a command; the error is a message for the terminal.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Returns the root of the work tree: the folder of the workspace's `Cargo.toml`.
///
/// # Errors
///
/// This package is not in `tests/xtask`.
pub fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2).ok_or("tests/xtask has no grandparent")?;
    Ok(root.to_owned())
}

/// Returns the folder that Cargo builds into: `CARGO_TARGET_DIR`, or `target` in the work tree.
///
/// # Errors
///
/// As [`root`].
pub fn target() -> Result<PathBuf> {
    let root = root()?;
    Ok(match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root.join(dir),
        None => root.join("target"),
    })
}

/// Returns a shell whose working directory is the root of the work tree.
///
/// # Errors
///
/// The shell's own, and those of [`root`].
pub fn shell() -> Result<Shell> {
    let sh = Shell::new()?;
    sh.change_dir(root()?);
    Ok(sh)
}

/// Returns the folder that Cargo keeps crates in: `CARGO_HOME`, or `.cargo` in the home directory.
#[must_use]
pub fn cargo_home(sh: &Shell) -> PathBuf {
    let home = || Path::new(&env::var_os("HOME").unwrap_or_default()).join(".cargo");
    sh.var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}
