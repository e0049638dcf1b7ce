//! work tree → the product, built and installed below a prefix.

use std::fs;
use std::path::{Path, PathBuf};

use argh::FromArgs;
use xshell::{Shell, cmd};
use xtask::product::{self, File};
use xtask::triple;
use xtask::workspace::{self, Result};

/// Build the product and install it below a prefix
#[derive(FromArgs)]
#[argh(subcommand, name = "install")]
pub(crate) struct Args {
    /// where the product will run from, absolute, such as /usr/local
    #[argh(option)]
    prefix: PathBuf,
    /// write below this folder instead of /, for those who make packages
    #[argh(option)]
    destdir: Option<PathBuf>,
}

/// Builds everything, then installs each file. If the build fails, nothing is written.
///
/// Each file appears complete under its name or not at all. An older one is replaced, even while it
/// is running.
///
/// # Errors
///
/// Those of the build; a unit with an unknown placeholder; or those of the file system, with the
/// file's name.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !args.prefix.is_absolute() {
        return Err(format!("--prefix must be absolute: {}", args.prefix.display()).into());
    }
    let sh = workspace::shell()?;
    let mut files = product::boot_side(&sh, &workspace::target()?, &[])?;
    files.push(desk(&sh)?);
    write(files, &args.prefix, &below(args))
}

/// Installs into `prefix`, where the programs are measured; with musl, if it is available.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn into(prefix: &Path) -> Result<()> {
    triple::ensure_musl(&workspace::shell()?)?;
    run(&Args { prefix: prefix.to_owned(), destdir: None })
}

/// Installs into `prefix`, where tests run the programs: the boot side as [`into`] does, and `desk`.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn with(desk: File, boot_side: Vec<File>, prefix: &Path) -> Result<()> {
    let mut files = boot_side;
    files.push(desk);
    write(files, prefix, prefix)
}

/// Installs `files`, the static units and the documentation of a product that will run from `prefix`
/// below the folder `below`.
fn write(mut files: Vec<File>, prefix: &Path, below: &Path) -> Result<()> {
    files.extend(product::units(&workspace::root()?, prefix)?);
    files.extend(documentation()?);
    product::write(below, &files)?;
    eprintln!("xtask: {} files installed in {}", files.len(), below.display());
    Ok(())
}

/// Returns the folder to write to: the prefix, below the staging folder if there is one.
fn below(args: &Args) -> PathBuf {
    match &args.destdir {
        Some(destdir) => destdir.join(args.prefix.strip_prefix("/").unwrap_or(&args.prefix)),
        None => args.prefix.clone(),
    }
}

/// Builds the desk's program.
fn desk(sh: &Shell) -> Result<File> {
    let cargo = product::cargo();
    cmd!(sh, "{cargo} build --quiet --release --locked -p vaultix").run()?;
    product::program(&workspace::target()?.join("release"), "vaultix", "bin")
}

/// Returns the manual pages of `docs/man` and the completions of `completions`.
fn documentation() -> Result<Vec<File>> {
    let root = workspace::root()?;
    let mut files = Vec::new();
    for source in list(&root.join("docs/man"))? {
        let section = source.extension().unwrap_or_default().to_string_lossy().into_owned();
        if ["1", "5", "8"].contains(&section.as_str()) {
            files.push(text_file(&source, &format!("share/man/man{section}"), None)?);
        }
    }
    for source in list(&root.join("completions"))? {
        let kind = source.extension().unwrap_or_default().to_string_lossy().into_owned();
        files.push(match kind.as_str() {
            "bash" => text_file(&source, "share/bash-completion/completions", Some("vaultix"))?,
            "zsh" => text_file(&source, "share/zsh/site-functions", Some("_vaultix"))?,
            "fish" => text_file(&source, "share/fish/vendor_completions.d", None)?,
            _ => return Err(format!("no shell is known for {}", source.display()).into()),
        });
    }
    Ok(files)
}

/// Returns `source` as a file to install in `place`, under its own name or under `name`.
fn text_file(source: &Path, place: &str, name: Option<&str>) -> Result<File> {
    let own = source.file_name().unwrap_or_default();
    let place = Path::new(place).join(name.map_or(own, std::ffi::OsStr::new));
    Ok(File { place, bytes: product::read(source)?, mode: 0o644 })
}

/// Returns what is in `folder`, sorted; nothing if there is no such folder.
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}
