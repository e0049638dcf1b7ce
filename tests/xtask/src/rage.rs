//! nothing → rage, the age client in Rust, built once into the target folder.

use std::env;

use xshell::{Shell, cmd};

use crate::workspace::{self, Result};

/// The release that the desk's tests speak to. Debian has none.
const VERSION: &str = "0.12.1";

/// Builds it, unless it is there; that takes one to two minutes.
///
/// # Errors
///
/// Cargo's own.
pub fn ensure(sh: &Shell) -> Result<()> {
    let root = workspace::target()?.join("rage");
    let there = cmd!(sh, "{root}/bin/rage --version").quiet().ignore_stderr().read();
    if there.is_ok_and(|version| version.ends_with(VERSION)) {
        return Ok(());
    }
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    // It is to be right, not fast.
    let _level = sh.push_env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    let _lto = sh.push_env("CARGO_PROFILE_RELEASE_LTO", "off");
    cmd!(sh, "{cargo} install --quiet --locked --force --root {root} rage@{VERSION}").run()?;
    Ok(())
}
