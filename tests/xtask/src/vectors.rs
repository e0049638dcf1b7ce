//! npm package → the test vectors that all implementations of age share, one file each.

use std::fs;
use std::path::PathBuf;
use std::process;

use xshell::{Shell, cmd};

use crate::workspace::{self, Result};

/// The package, kept by the author of the format.
const PACKAGE: &str = "cctv-age";
/// Its version.
const VERSION: &str = "0.2.0";
/// SHA-512 of that version's archive. npm only checks the hash that the registry gives.
const SHA512: &str = "d5f88601a5abfac9ea82ef3eb820bba8f780a40bae78e112113da7a4a7b41552\
                      d8f87b9ff8a9226bcf51c9bc7fba818d0a6977d528008e2408785398e0adcd7b";

/// Returns the folder that [`make`] puts the vectors into.
///
/// # Errors
///
/// As [`workspace::target`].
pub fn folder() -> Result<PathBuf> {
    Ok(workspace::target()?.join(format!("vectors/{PACKAGE}-{VERSION}")))
}

/// Fetches the vectors, once. Their folder appears complete or not at all.
///
/// # Errors
///
/// Those of npm; or the archive has changed.
pub fn make(sh: &Shell) -> Result<()> {
    let folder = folder()?;
    if folder.is_dir() {
        return Ok(());
    }
    let beside = folder.with_extension(format!("unfinished-{}", process::id()));
    sh.create_dir(&beside)?;
    let made = fetch(sh, &beside).and_then(|unpacked| Ok(fs::rename(unpacked, &folder)?));
    sh.remove_path(&beside)?;
    made
}

/// Fetches the vectors into the empty folder `beside`, and returns where they are.
fn fetch(sh: &Shell, beside: &PathBuf) -> Result<PathBuf> {
    eprintln!("xtask: fetching age's test vectors: npm pack {PACKAGE}@{VERSION}");
    cmd!(sh, "npm pack --silent --pack-destination {beside} {PACKAGE}@{VERSION}")
        .quiet()
        .ignore_stdout()
        .run()?;
    let archive = beside.join(format!("{PACKAGE}-{VERSION}.tgz"));
    let sum = cmd!(sh, "sha512sum {archive}").quiet().read()?;
    if sum.split(' ').next() != Some(SHA512) {
        return Err(format!("{PACKAGE} {VERSION} is not what it was: {sum}").into());
    }
    cmd!(sh, "tar --extract --gzip --file {archive} --directory {beside}").quiet().run()?;
    let vectors = beside.join("vectors");
    sh.create_dir(&vectors)?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/vectors.mjs");
    let module = beside.join("package/index.js");
    cmd!(sh, "node {script} {module} {vectors}").quiet().run()?;
    Ok(vectors)
}
