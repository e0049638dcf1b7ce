//! folder → rage, the age client in Rust, built into it once.

use std::env;
use std::path::Path;

use xshell::{Shell, cmd};

use crate::workspace::{self, Result};

/// The release that we test and measure against, the same as that of our library. Debian has no
/// package.
const VERSION: &str = "0.12.1";

/// What takes long when it is not optimized.
const CIPHERS: [&str; 14] = [
    "blowfish",
    "chacha20",
    "chacha20poly1305",
    "curve25519-dalek",
    "generic-array",
    "hmac",
    "num-bigint-dig",
    "pbkdf2",
    "poly1305",
    "rsa",
    "salsa20",
    "scrypt",
    "sha2",
    "subtle",
];

/// Builds the one for tests, in `rage` in the target folder, unless it exists. This takes a minute.
///
/// # Errors
///
/// Cargo's own.
pub fn ensure(sh: &Shell) -> Result<()> {
    // It needs to be correct, not fast.
    let mut settings = ["opt-level=0", "lto=false", "codegen-units=16"].map(str::to_owned).to_vec();
    settings.extend(CIPHERS.map(|name| format!("package.{name}.opt-level=2")));
    let options: Vec<String> = settings
        .into_iter()
        .flat_map(|setting| ["--config".to_owned(), format!("profile.release.{setting}")])
        .collect();
    install(sh, &workspace::target()?.join("rage"), &options)
}

/// Builds it in `folder`, as `bin/rage`, unless it exists. This takes a few minutes.
///
/// # Errors
///
/// Cargo's own.
pub fn build(sh: &Shell, folder: &Path) -> Result<()> {
    install(sh, folder, &[])
}

/// Builds it with these options of cargo.
fn install(sh: &Shell, folder: &Path, options: &[String]) -> Result<()> {
    let there = cmd!(sh, "{folder}/bin/rage --version").quiet().ignore_stderr().read();
    if there.is_ok_and(|version| version.ends_with(VERSION)) {
        return Ok(());
    }
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    cmd!(
        sh,
        "{cargo} install --quiet --locked --force --root {folder} {options...} rage@{VERSION}"
    )
    .run()?;
    Ok(())
}
