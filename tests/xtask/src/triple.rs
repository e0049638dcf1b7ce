//! compiler → the target triples that it builds for.

use std::env;
use std::path::Path;

use xshell::{Shell, cmd};

use crate::aloud;
use crate::workspace::Result;

/// Returns the triple that the programs of a host are built for: the compiler's own, with musl
/// instead of glibc if the compiler has a standard library for it.
///
/// With musl, they are little more than half the size and start in half the time; the Nix package
/// also uses it.
///
/// # Errors
///
/// The compiler cannot be run.
pub fn boot_side(sh: &Shell) -> Result<String> {
    let (own, musl) = both(sh)?;
    Ok(if has_library(sh, &musl)? { musl } else { own })
}

/// Installs the standard library for musl with rustup, if it is missing. If that fails, prints a
/// warning and continues with glibc.
///
/// # Errors
///
/// The compiler cannot be run.
pub fn ensure_musl(sh: &Shell) -> Result<()> {
    let (own, musl) = both(sh)?;
    if own == musl || has_library(sh, &musl)? {
        return Ok(());
    }
    let added = cmd!(sh, "rustup target add {musl}").quiet().ignore_stderr().run();
    if added.is_err() || !has_library(sh, &musl)? {
        aloud::say(&format!(
            "*** NO MUSL: `rustup target add {musl}` failed; built with glibc ***"
        ));
    }
    Ok(())
}

/// Returns the compiler's default triple, and the same with musl instead of glibc.
fn both(sh: &Shell) -> Result<(String, String)> {
    let rustc = rustc();
    let version = cmd!(sh, "{rustc} --version --verbose").quiet().read()?;
    let own = version.lines().find_map(|line| line.strip_prefix("host: "));
    let own = own.ok_or("rustc does not say what it builds for")?;
    let musl = own.strip_suffix("-gnu").map_or(own.to_owned(), |stem| format!("{stem}-musl"));
    Ok((own.to_owned(), musl))
}

/// Returns whether the compiler has a standard library for `triple`.
fn has_library(sh: &Shell, triple: &str) -> Result<bool> {
    let rustc = rustc();
    let folder = cmd!(sh, "{rustc} --print target-libdir --target {triple}").quiet().read()?;
    Ok(Path::new(&folder).is_dir())
}

/// Returns the compiler that cargo uses.
fn rustc() -> String {
    env::var("RUSTC").unwrap_or_else(|_| "rustc".into())
}
