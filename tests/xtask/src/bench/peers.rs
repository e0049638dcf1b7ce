//! names of programs to measure against → these programs, in a folder of their own.

use std::path::{Path, PathBuf};

use xshell::{Shell, cmd};
use xtask::rage;
use xtask::workspace::{self, Result};

/// The generator of zram devices, below the folder of peers.
pub(super) const ZRAM_GENERATOR: &str = "zram/lib/systemd/system-generators/zram-generator";
/// rage, below the folder of peers.
pub(super) const RAGE: &str = "bin/rage";

/// Returns the folder of peers.
pub(super) fn folder() -> Result<PathBuf> {
    Ok(workspace::target()?.join("peers"))
}

/// Gets the peers that are not part of the system: one unpacked from Debian's package and not installed, as it would
/// run at this machine's next boot, one built from crates.io. Once; the build takes a few minutes.
///
/// # Errors
///
/// apt-get's, dpkg's or cargo's.
pub(super) fn make(sh: &Shell) -> Result<()> {
    let folder = folder()?;
    sh.create_dir(&folder)?;
    if !folder.join(ZRAM_GENERATOR).exists() {
        let here = sh.push_dir(&folder);
        cmd!(sh, "apt-get -qq download systemd-zram-generator").ignore_stderr().run()?;
        let package = sh.read_dir(&folder)?;
        let package = package.iter().find(|path| path.extension().is_some_and(|end| end == "deb"));
        let package: &Path = package.ok_or("apt-get downloaded nothing")?;
        cmd!(sh, "dpkg --extract {package} zram").run()?;
        drop(here);
    }
    rage::build(sh, &folder)
}
