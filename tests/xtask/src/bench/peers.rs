//! Installs the programs to measure against in a separate folder.

use std::path::{Path, PathBuf};

use xshell::{Shell, cmd};
use xtask::rage;
use xtask::workspace::{self, Result};

/// The zram generator, below the folder of peers.
pub(super) const ZRAM_GENERATOR: &str = "zram/lib/systemd/system-generators/zram-generator";
/// rage, below the folder of peers.
pub(super) const RAGE: &str = "bin/rage";

/// Returns the folder of peers.
pub(super) fn folder() -> Result<PathBuf> {
    Ok(workspace::target()?.join("peers"))
}

/// Fetches the peers that are not part of the system, once. The zram generator is only unpacked
/// from Debian's package: if it were installed, it would run at this machine's next boot. rage is
/// built from crates.io, which takes a few minutes.
///
/// # Errors
///
/// Those of apt-get, dpkg or cargo.
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
