//! environment → the prefix that holds the product under test.
//!
//! Both test binaries include this file. They never run what Cargo happens to have built for the
//! tests: boot binaries are static and built alone, and only an installed tree shows that.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Returns the prefix where the product is installed, with `bin/vaultix` and the rest below it.
///
/// `VAULTIX_PREFIX` names it; `cargo xtask test` and Nix set that. Without it the product is
/// installed into `target/stage` first, once per test binary, which costs a release build the first
/// time and a second later on.
pub fn prefix() -> &'static Path {
    // A failure is also kept: otherwise each test would try again, and build again.
    static PREFIX: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = PREFIX.get_or_init(|| match env::var_os("VAULTIX_PREFIX") {
        Some(prefix) if Path::new(&prefix).is_absolute() => Ok(prefix.into()),
        Some(prefix) => Err(format!("VAULTIX_PREFIX is not absolute: {}", prefix.display())),
        None => install(),
    });
    found.as_deref().unwrap_or_else(|why| panic!("{why}"))
}

/// Installs the work tree's product into `target/stage` and returns that path.
fn install() -> Result<PathBuf, String> {
    let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("stage");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["run", "--quiet", "--package", "xtask", "--", "install", "--prefix"])
        .arg(&prefix)
        .status()
        .map_err(|error| error.to_string())?;
    if status.success() {
        Ok(prefix)
    } else {
        Err(format!("cargo xtask install --prefix {}: {status}", prefix.display()))
    }
}
