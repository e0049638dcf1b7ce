//! npm package → an implementation of age that shares no code with ours, and knows post-quantum keys.

use std::fs;
use std::path::PathBuf;
use std::process;

use xshell::{Shell, cmd};

use crate::workspace::{self, Result};

/// Its version, in `typage/package.json` as well. `typage/package-lock.json` has the SHA-512 of it and of all that it needs.
const VERSION: &str = "0.3.1";

/// Returns the folder that [`make`] puts it into.
///
/// # Errors
///
/// As [`workspace::target`].
pub fn folder() -> Result<PathBuf> {
    Ok(workspace::target()?.join(format!("typage-{VERSION}")))
}

/// Returns the script that runs it.
#[must_use]
pub fn script() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/src/typage/client.mjs")
}

/// Fetches it, once. Its folder appears complete or not at all.
///
/// # Errors
///
/// Those of npm, also where something is not what it was.
pub fn make(sh: &Shell) -> Result<()> {
    let folder = folder()?;
    if folder.is_dir() {
        return Ok(());
    }
    let beside = folder.with_extension(format!("unfinished-{}", process::id()));
    sh.create_dir(&beside)?;
    for name in ["package.json", "package-lock.json"] {
        sh.copy_file(format!("{}/src/typage/{name}", env!("CARGO_MANIFEST_DIR")), &beside)?;
    }
    eprintln!("xtask: fetching age-encryption {VERSION}: npm ci");
    let made = cmd!(sh, "npm ci --silent --ignore-scripts --no-audit --no-fund --prefix {beside}")
        .quiet()
        .ignore_stdout()
        .run()
        .map_err(Into::into)
        .and_then(|()| Ok(fs::rename(&beside, &folder)?));
    sh.remove_path(&beside)?;
    made
}
