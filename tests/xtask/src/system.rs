//! systemd version → a root directory that boots it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use xshell::{Shell, cmd};

use crate::workspace::{self, Result};

/// Environment variable that names a ready root directory of Debian trixie.
pub const TRIXIE: &str = "VAULTIX_TRIXIE_ROOT";

/// The systems that boot tests run on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum System {
    /// The machine's own root; on Debian 12, systemd 252.
    Bookworm,
    /// Debian 13, systemd 257, in a separate folder.
    Trixie,
}

/// What is in the root directory of Debian trixie beside the smallest system: also a TPM, and how systemd speaks to it.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,openssh-client,util-linux,swtpm,libtss2-esys-3.0.2-0t64,libtss2-rc0t64";
/// The latest addition to them, which older root directories lack.
const LATEST: &str = "usr/bin/swtpm";

impl System {
    /// Returns the root directory, which is used under an overlay and never written to.
    ///
    /// # Errors
    ///
    /// It has not been made yet, see [`make`].
    pub fn root(self) -> Result<PathBuf> {
        match self {
            Self::Bookworm => Ok(PathBuf::from("/")),
            Self::Trixie => {
                let root = trixie()?;
                if root.join(LATEST).is_file() {
                    Ok(root)
                } else {
                    Err(format!(
                        "{0}/{LATEST} is not there; cargo xtask test makes {0}",
                        root.display()
                    )
                    .into())
                }
            }
        }
    }

    /// Returns its name in tests and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }
}

/// Creates the root directory of Debian trixie, once. It appears complete or not at all.
///
/// # Errors
///
/// Those of debootstrap or of the file system.
pub fn make(sh: &Shell) -> Result<()> {
    let root = trixie()?;
    if root.join(LATEST).is_file() {
        return Ok(());
    }
    if root.is_dir() && env::var_os(TRIXIE).is_some() {
        let reason = format!(
            "{0} has no {LATEST}; remove it, or: chroot {0} apt-get install {1}",
            root.display(),
            PACKAGES.replace(',', " ")
        );
        return Err(reason.into());
    }
    let folder = root.parent().ok_or("a root directory needs a parent")?;
    fs::create_dir_all(folder)?;
    remove_unfinished(folder)?;
    let beside = folder.join(format!(".trixie-{}", process::id()));
    eprintln!("xtask: making {} with debootstrap, once, about two minutes", root.display());
    let mirror = "http://deb.debian.org/debian";
    let _path = sh.push_env("PATH", format!("{}:/usr/sbin:/sbin", sh.var("PATH")?));
    // In its own mount namespace: it mounts /proc, and would leave that behind when interrupted.
    let made = cmd!(
        sh,
        "unshare --mount debootstrap --variant=minbase --include={PACKAGES} trixie {beside} {mirror}"
    )
    .ignore_stdout()
    .run();
    if let Err(error) = made {
        return Err(format!(
            "{error}; its log is {}/debootstrap/debootstrap.log",
            beside.display()
        )
        .into());
    }
    if root.is_dir() {
        fs::remove_dir_all(&root)?;
    }
    Ok(fs::rename(&beside, &root)?)
}

/// Returns where the root directory of Debian trixie is or will be.
fn trixie() -> Result<PathBuf> {
    match env::var_os(TRIXIE) {
        Some(root) => Ok(PathBuf::from(root)),
        None => Ok(workspace::target()?.join("roots/trixie")),
    }
}

/// Removes what interrupted runs have left in `folder`.
fn remove_unfinished(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(".trixie-") {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
