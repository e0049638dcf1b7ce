//! folder → rage, the age client in Rust, built into it once.

use std::env;
use std::path::Path;

use xshell::{Shell, cmd};

use crate::workspace::{self, Result};

/// The release that we test and measure against, the same as that of our library. Debian has no
/// package.
const VERSION: &str = "0.12.1";

/// Builds the one for tests, in `rage` in the target folder, unless it exists. This takes one to
/// two minutes.
///
/// # Errors
///
/// Cargo's own.
pub fn ensure(sh: &Shell) -> Result<()> {
    // It needs to be correct, not fast.
    let _level = sh.push_env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    let _lto = sh.push_env("CARGO_PROFILE_RELEASE_LTO", "off");
    build(sh, &workspace::target()?.join("rage"))
}

/// Builds it in `folder`, as `bin/rage`, unless it exists. This takes a few minutes.
///
/// # Errors
///
/// Cargo's own.
pub fn build(sh: &Shell, folder: &Path) -> Result<()> {
    let there = cmd!(sh, "{folder}/bin/rage --version").quiet().ignore_stderr().read();
    if there.is_ok_and(|version| version.ends_with(VERSION)) {
        return Ok(());
    }
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    cmd!(sh, "{cargo} install --quiet --locked --force --root {folder} rage@{VERSION}").run()?;
    Ok(())
}
