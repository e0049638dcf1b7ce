//! compiler → the target triples that it builds for.

use std::env;
use std::path::Path;

use xshell::{Shell, cmd};

use crate::aloud;
use crate::workspace::Result;

/// Returns the triple that the programs of a host are built for: the compiler's own, with musl in glibc's place where
/// the compiler has a library for that.
///
/// With musl they have not much more than half the bytes, start in half the time, and are what the Nix package ships.
///
/// # Errors
///
/// The compiler cannot be asked.
pub fn boot_side(sh: &Shell) -> Result<String> {
    let (own, musl) = both(sh)?;
    Ok(if has_library(sh, &musl)? { musl } else { own })
}

/// Has rustup fetch the library for musl, if it is not there; says so where that cannot be done, and all goes on with
/// glibc.
///
/// # Errors
///
/// The compiler cannot be asked.
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

/// Returns the triple that the compiler builds for by itself, and the same with musl for glibc.
fn both(sh: &Shell) -> Result<(String, String)> {
    let rustc = rustc();
    let version = cmd!(sh, "{rustc} --version --verbose").quiet().read()?;
    let own = version.lines().find_map(|line| line.strip_prefix("host: "));
    let own = own.ok_or("rustc does not say what it builds for")?;
    let musl = own.strip_suffix("-gnu").map_or(own.to_owned(), |stem| format!("{stem}-musl"));
    Ok((own.to_owned(), musl))
}

/// Tells whether the compiler has a standard library for `triple`.
fn has_library(sh: &Shell, triple: &str) -> Result<bool> {
    let rustc = rustc();
    let folder = cmd!(sh, "{rustc} --print target-libdir --target {triple}").quiet().read()?;
    Ok(Path::new(&folder).is_dir())
}

/// Returns the compiler that cargo uses.
fn rustc() -> String {
    env::var("RUSTC").unwrap_or_else(|_| "rustc".into())
}
