//! git's history → the boot side of an older commit, built and installed below its own prefix.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Mutex;

use xshell::{Shell, cmd};

use crate::product;
use crate::workspace::{self, Result};

/// The commit that hosts may still run when they switch to this work tree's product.
pub const PREVIOUS: &str = "378d4062ce69ca29befc9c3c8e151a22fa5c2417";

/// Makes the build faster; the size and speed of these programs do not matter.
const QUICK: [&str; 4] =
    ["--config", "profile.release.lto=false", "--config", "profile.release.codegen-units=16"];

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
    eprintln!("xtask: building the boot side of {commit}, once, about two minutes");
    let (tree, archive, done) = (work.join("tree"), work.join("tree.tar"), work.join("prefix"));
    fs::create_dir_all(&tree)?;
    cmd!(sh, "git archive --output={archive} {commit}").quiet().run()?;
    cmd!(sh, "tar --extract --file={archive} --directory={tree}").quiet().run()?;
    let inside = sh.push_dir(&tree);
    let mut files = product::boot_side(sh, &work.join("target"), &QUICK)?;
    drop(inside);
    files.extend(product::units(&tree, prefix)?);
    product::write(&done, &files)?;
    match fs::rename(&done, prefix) {
        // Another process was faster, with the same result.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        moved => Ok(moved?),
    }
}
