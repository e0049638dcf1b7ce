//! git's history → the boot side of an older commit, built and installed below its own prefix.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Mutex;

use xshell::{Shell, cmd};

use crate::workspace::{self, Result};
use crate::{product, triple};

/// The commit that hosts may still run when they switch to this work tree's product.
pub const PREVIOUS: &str = "378d4062ce69ca29befc9c3c8e151a22fa5c2417";

/// Returns the prefix where generator, helper and static units of `commit` are installed, as
/// [`product`] does for the work tree. The first call builds them; then they are in
/// `target/previous/COMMIT`.
///
/// # Errors
///
/// The commit is not in the history, as in a shallow clone; or those of the build.
pub fn prefix(commit: &str) -> Result<PathBuf> {
    /// While one test builds, the others wait.
    static BUILDING: Mutex<()> = Mutex::new(());
    // A failed build leaves nothing that the next one could mistake for a complete one.
    let _one = BUILDING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = workspace::target()?.join("previous");
    let prefix = folder.join(commit);
    if !prefix.is_dir() {
        let work = folder.join(format!(".{}", process::id()));
        let built = build(&workspace::shell()?, commit, &work, &prefix);
        // The result has been moved out of it.
        let _ = fs::remove_dir_all(&work);
        built.map_err(|error| format!("cannot build {commit}: {error}"))?;
    }
    Ok(prefix)
}

/// Builds `commit` in the folder `work`, and moves the result to `prefix`.
fn build(sh: &Shell, commit: &str, work: &Path, prefix: &Path) -> Result<()> {
    let object = format!("{commit}^{{commit}}");
    if cmd!(sh, "git rev-parse --quiet --verify {object}").quiet().ignore_stdout().run().is_err() {
        return Err(
            "git does not have it; in a clone without the whole history: git fetch --unshallow"
                .into(),
        );
    }
    eprintln!("xtask: building the boot side of {commit}, once, about a minute");
    let (tree, archive, done) = (work.join("tree"), work.join("tree.tar"), work.join("prefix"));
    fs::create_dir_all(&tree)?;
    cmd!(sh, "git archive --output={archive} {commit}").quiet().run()?;
    cmd!(sh, "tar --extract --file={archive} --directory={tree}").quiet().run()?;
    let inside = sh.push_dir(&tree);
    let built = work.join("target");
    reuse_crates(sh, &built)?;
    let mut files = product::boot_side(sh, &built, &[])?;
    drop(inside);
    files.extend(product::units(&tree, prefix)?);
    product::write(&done, &files)?;
    match fs::rename(&done, prefix) {
        // Another process was faster, with the same result.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        moved => Ok(moved?),
    }
}

/// Copies what the work tree's boot side was built from to `built`: most crates are the same.
fn reuse_crates(sh: &Shell, built: &Path) -> Result<()> {
    fs::create_dir_all(built)?;
    for name in [triple::boot_side(sh)?, "release".to_owned()] {
        let own = workspace::target()?.join(name);
        if own.is_dir() {
            cmd!(sh, "cp --archive {own} {built}").quiet().run()?;
        }
    }
    Ok(())
}
