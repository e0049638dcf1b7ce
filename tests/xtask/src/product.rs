//! sources → the files that are installed below a prefix.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{env, process};

use xshell::{Shell, cmd};

use crate::triple;
use crate::workspace::{self, Result};

/// One file to install.
pub struct File {
    /// Where it goes, relative to the prefix.
    pub place: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
}

/// Builds the generator and the helper of the work tree that `sh` is in, into the folder `built`.
///
/// Each is built alone: building several packages at once unites their features, and would pull the
/// desk's into the helper. Both are static: they need no dynamic loader at boot, and run before a
/// host's libraries are available. With `--target`, the flags for this do not apply to build
/// scripts and proc macros, which must be dynamic.
///
/// Cargo gets `options` in addition to those for a release. The same sources give the same bytes in
/// any directory: the paths of unpacked crates, which panics would print, are left out.
///
/// # Errors
///
/// Those of the build.
pub fn boot_side(sh: &Shell, built: &Path, options: &[&str]) -> Result<Vec<File>> {
    let cargo = cargo();
    let triple = triple::boot_side(sh)?;
    let crates = workspace::cargo_home(sh).join("registry/src");
    let mut flags: Vec<String> =
        sh.var("RUSTFLAGS").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    flags.extend(["-Ctarget-feature=+crt-static", "-Crelocation-model=static"].map(str::to_owned));
    flags.push(format!("--remap-path-prefix={}=crates", crates.display()));
    // Unlike RUSTFLAGS, this variable can have spaces in a flag.
    let flags = flags.join("\u{1f}");
    let mut files = Vec::new();
    for (package, name, place) in [
        ("vaultix-generator", "vaultix-generator", "lib/systemd/system-generators"),
        ("vaultix-units", "vaultix-decrypt", "bin"),
    ] {
        cmd!(
            sh,
            "{cargo} build --quiet --release --locked -p {package} --target {triple} --target-dir {built}
                {options...}"
        )
        .env("CARGO_ENCODED_RUSTFLAGS", &flags)
        .run()?;
        files.push(program(&built.join(&triple).join("release"), name, place)?);
    }
    Ok(files)
}

/// Returns the cargo that runs this program, or else the one in `PATH`.
#[must_use]
pub fn cargo() -> String {
    env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// Returns the built program `name` as a file to install in `place`.
///
/// # Errors
///
/// It cannot be read.
pub fn program(built: &Path, name: &str, place: &str) -> Result<File> {
    Ok(File { place: Path::new(place).join(name), bytes: read(&built.join(name))?, mode: 0o755 })
}

/// Returns the static units of the sources in `root`, with the programs in `prefix`. The generator
/// makes all other units.
///
/// # Errors
///
/// An unknown placeholder.
pub fn units(root: &Path, prefix: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let names = ["vaultix-enroll", "vaultix-switch-early", "vaultix-switch"];
    for name in names.map(|name| format!("{name}.service")) {
        let source = root.join("units").join(format!("{name}.in"));
        if !source.exists() {
            continue;
        }
        let text = String::from_utf8(read(&source)?)?
            .replace("@BINDIR@", &prefix.join("bin").display().to_string());
        let is_open = |line: &&str| !line.starts_with('#') && line.split('@').skip(1).any(is_field);
        if let Some(line) = text.lines().find(is_open) {
            return Err(format!("{} has a line nobody fills in: {line}", source.display()).into());
        }
        let place = Path::new("lib/systemd/system").join(&name);
        files.push(File { place, bytes: text.into_bytes(), mode: 0o644 });
    }
    Ok(files)
}

/// Returns whether `word`, which follows an `@`, is the name of a field. systemd's sets of system
/// calls are in lower case.
fn is_field(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_uppercase())
}

/// Reads a file; the error contains its name.
///
/// # Errors
///
/// Those of the file system.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()).into())
}

/// Writes each of `files` to its place below `folder`.
///
/// # Errors
///
/// Those of the file system, with the file's name.
pub fn write(folder: &Path, files: &[File]) -> Result<()> {
    for file in files {
        put(&folder.join(&file.place), file)
            .map_err(|error| format!("cannot install {}: {error}", file.place.display()))?;
    }
    Ok(())
}

/// Writes `file` next to `path`, then renames it.
fn put(path: &Path, file: &File) -> Result<()> {
    let folder = path.parent().ok_or("no folder to put it in")?;
    fs::create_dir_all(folder)?;
    let beside = folder.join(format!(".vaultix-install-{}", process::id()));
    let done = fs::write(&beside, &file.bytes)
        .and_then(|()| fs::set_permissions(&beside, fs::Permissions::from_mode(file.mode)))
        .and_then(|()| fs::rename(&beside, path));
    if done.is_err() {
        // The first error is reported. If the temporary file stays, its name says what it is.
        let _ = fs::remove_file(&beside);
    }
    Ok(done?)
}
