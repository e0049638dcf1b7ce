//! git's history → the boot side of an older commit, built and installed below a prefix of its own.

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

/// What makes the build quick; how large or fast the programs are is no matter here.
const QUICK: [&str; 4] =
    ["--config", "profile.release.lto=false", "--config", "profile.release.codegen-units=16"];

/// Returns the prefix where generator, helper and static units of `commit` are installed, as [`product`] does it with
/// those of the work tree. Builds them first, once: from then on they lie in `target/previous/COMMIT`.
///
/// # Errors
///
/// The commit is not in the history, as in a clone without all of it; or the build's.
pub fn prefix(commit: &str) -> Result<PathBuf> {
    /// Lets one of several tests build while the others wait.
    static BUILDING: Mutex<()> = Mutex::new(());
    // A build that failed leaves nothing behind that the next could take for done.
    let _one = BUILDING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = workspace::target()?.join("previous");
    let prefix = folder.join(commit);
    if !prefix.is_dir() {
        let work = folder.join(format!(".{}", process::id()));
        let built = build(&workspace::shell()?, commit, &work, &prefix);
        // Only what is built in there matters, and that is out of it by now.
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
        // Another process was faster, with the same.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        moved => Ok(moved?),
    }
}
