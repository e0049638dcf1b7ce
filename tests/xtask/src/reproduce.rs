//! work tree → are the two boot programs the same bytes when they are built elsewhere?

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;

use argh::FromArgs;
use xshell::{Shell, cmd};
use xtask::product::{self, File};
use xtask::triple;
use xtask::workspace::{self, Result};

/// Build generator and helper twice, from two folders and with two homes of cargo, and compare the bytes
#[derive(FromArgs)]
#[argh(subcommand, name = "reproduce")]
pub(crate) struct Args {}

/// Builds both in copies of what git tracks, and prints their SHA-256.
///
/// # Errors
///
/// Those of a build; or a program differs.
pub(crate) fn run(_: &Args) -> Result<()> {
    let sh = workspace::shell()?;
    triple::ensure_musl(&sh)?;
    let folder = workspace::target()?.join("reproduce");
    sh.remove_path(&folder)?;
    let one = build(&sh, &folder.join("one"))?;
    let two = build(&sh, &folder.join("another/of/a longer name"))?;
    for (one, two) in one.iter().zip(&two) {
        if one.bytes != two.bytes {
            return Err(format!(
                "{} differs; both are in {}",
                one.place.display(),
                folder.display()
            )
            .into());
        }
        let sum = cmd!(sh, "sha256sum").stdin(&one.bytes).quiet().read()?;
        let sum = sum.trim_end_matches([' ', '-']);
        writeln!(io::stdout(), "{sum}  {}", one.place.display())?;
    }
    Ok(sh.remove_path(&folder)?)
}

/// Builds a copy of the work tree in `folder`, with its own cargo home there.
fn build(sh: &Shell, folder: &Path) -> Result<Vec<File>> {
    let tree = folder.join("tree");
    copy(sh, &tree)?;
    let home = folder.join("cargo");
    sh.create_dir(&home)?;
    symlink(workspace::cargo_home(sh).join("registry"), home.join("registry"))?;
    let _home = sh.push_env("CARGO_HOME", &home);
    let _here = sh.push_dir(&tree);
    product::boot_side(sh, &folder.join("target"), &[])
}

/// Copies the files that git tracks from the work tree to `tree`.
fn copy(sh: &Shell, tree: &Path) -> Result<()> {
    let files = cmd!(sh, "git ls-files -z").quiet().read()?;
    for file in files.split('\0').filter(|file| !file.is_empty()) {
        let source = workspace::root()?.join(file);
        let place = tree.join(file);
        fs::create_dir_all(place.parent().ok_or("no folder to copy to")?)?;
        // Links are copied as links. A tracked file that was removed is left out.
        if let Ok(target) = fs::read_link(&source) {
            symlink(target, &place)?;
        } else if source.exists() {
            fs::copy(&source, &place)?;
        }
    }
    Ok(())
}
