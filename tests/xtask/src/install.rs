//! work tree → the product, built and installed below a prefix.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{env, process};

use argh::FromArgs;
use xshell::{Shell, cmd};
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

/// One file to install.
pub(crate) struct File {
    /// Where it goes, relative to the prefix.
    pub(crate) place: PathBuf,
    /// What it holds.
    pub(crate) bytes: Vec<u8>,
    /// Its permission bits.
    mode: u32,
}

/// Builds everything, then puts each file in its place; nothing is written if the build fails.
///
/// Each file appears whole under its name or not at all. An older one is replaced, even while it
/// runs.
///
/// # Errors
///
/// The build's, a unit text with a placeholder that is not known here, or those of the file system,
/// with the file's name.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !args.prefix.is_absolute() {
        return Err(format!("--prefix must be absolute: {}", args.prefix.display()).into());
    }
    let sh = workspace::shell()?;
    let mut files = build(&sh)?;
    files.extend(units(&args.prefix)?);
    files.extend(documentation()?);
    let below = below(args);
    for file in &files {
        write(&below.join(&file.place), file)
            .map_err(|error| format!("cannot install {}: {error}", file.place.display()))?;
    }
    eprintln!("xtask: {} files installed in {}", files.len(), below.display());
    Ok(())
}

/// Installs into `prefix`, to be run from there by a test; with musl, if it can be had.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn into(prefix: &Path) -> Result<()> {
    triple::ensure_musl(&workspace::shell()?)?;
    run(&Args { prefix: prefix.to_owned(), destdir: None })
}

/// Returns the folder to write to: the prefix, below the staging folder if there is one.
fn below(args: &Args) -> PathBuf {
    match &args.destdir {
        Some(destdir) => destdir.join(args.prefix.strip_prefix("/").unwrap_or(&args.prefix)),
        None => args.prefix.clone(),
    }
}

/// Builds the three programs.
fn build(sh: &Shell) -> Result<Vec<File>> {
    let built = workspace::target()?;
    let mut files = boot_side(sh, &built)?;
    let cargo = cargo();
    cmd!(sh, "{cargo} build --quiet --release --locked -p vaultix").run()?;
    files.push(program_file(&built.join("release"), "vaultix", "bin")?);
    Ok(files)
}

/// Builds the generator and the helper of the work tree that `sh` is in, into the folder `built`.
///
/// Each alone, since one call for several packages unites their features and would pull the desk's into the helper.
/// They are static: no dynamic loader to wait for at boot, and they run on a host whose libraries are not there yet.
/// With `--target`, the flags for that leave build scripts and proc macros alone, which must be dynamic.
///
/// The same sources give the same bytes wherever they lie: where crates were unpacked, which panics would tell, is
/// left out.
///
/// # Errors
///
/// The build's.
pub(crate) fn boot_side(sh: &Shell, built: &Path) -> Result<Vec<File>> {
    let cargo = cargo();
    let triple = triple::boot_side(sh)?;
    let crates = workspace::cargo_home(sh).join("registry/src");
    let mut flags: Vec<String> =
        sh.var("RUSTFLAGS").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    flags.extend(["-Ctarget-feature=+crt-static", "-Crelocation-model=static"].map(str::to_owned));
    flags.push(format!("--remap-path-prefix={}=crates", crates.display()));
    // Unlike RUSTFLAGS, it may have spaces in a flag.
    let flags = flags.join("\u{1f}");
    let mut files = Vec::new();
    for (package, program, place) in [
        ("vaultix-generator", "vaultix-generator", "lib/systemd/system-generators"),
        ("vaultix-units", "vaultix-decrypt", "bin"),
    ] {
        cmd!(
            sh,
            "{cargo} build --quiet --release --locked -p {package} --target {triple} --target-dir {built}"
        )
        .env("CARGO_ENCODED_RUSTFLAGS", &flags)
        .run()?;
        files.push(program_file(&built.join(&triple).join("release"), program, place)?);
    }
    Ok(files)
}

/// Returns the cargo that runs this program, or else the one in `PATH`.
fn cargo() -> String {
    env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// Returns the built `program` as a file to install in `place`.
fn program_file(built: &Path, program: &str, place: &str) -> Result<File> {
    Ok(File {
        place: Path::new(place).join(program),
        bytes: read(&built.join(program))?,
        mode: 0o755,
    })
}

/// Returns the static units; all other units are made by the generator.
fn units(prefix: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for name in ["vaultix-switch-early.service", "vaultix-switch.service"] {
        let source = workspace::root()?.join("units").join(format!("{name}.in"));
        if !source.exists() {
            continue;
        }
        let text = String::from_utf8(read(&source)?)?
            .replace("@BINDIR@", &prefix.join("bin").display().to_string());
        if let Some(line) = text.lines().find(|line| !line.starts_with('#') && line.contains('@')) {
            return Err(format!("{} has a line nobody fills in: {line}", source.display()).into());
        }
        let place = Path::new("lib/systemd/system").join(name);
        files.push(File { place, bytes: text.into_bytes(), mode: 0o644 });
    }
    Ok(files)
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
    Ok(File { place, bytes: read(source)?, mode: 0o644 })
}

/// Returns what lies in `folder`, sorted; nothing if there is no such folder.
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

/// Reads a file; the error has its name.
fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()).into())
}

/// Puts `file` at `path`, in one step: beside it first, then renamed.
fn write(path: &Path, file: &File) -> Result<()> {
    let folder = path.parent().ok_or("no folder to put it in")?;
    fs::create_dir_all(folder)?;
    let beside = folder.join(format!(".vaultix-install-{}", process::id()));
    let done = fs::write(&beside, &file.bytes)
        .and_then(|()| fs::set_permissions(&beside, fs::Permissions::from_mode(file.mode)))
        .and_then(|()| fs::rename(&beside, path));
    if done.is_err() {
        // The first error is the one to tell; what is left beside has a name that says what it is.
        let _ = fs::remove_file(&beside);
    }
    Ok(done?)
}
