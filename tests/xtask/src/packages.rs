//! needed programs → their Debian packages, installed.

use std::env;
use std::path::PathBuf;

use xshell::{Shell, cmd};

use crate::workspace::{self, Result};

/// A program, and the Debian package that contains it.
pub type Program = (&'static str, &'static str);

/// What a boot in a container needs.
pub const BOOT: &[Program] = &[
    ("systemd-nspawn", "systemd-container"),
    ("dbus-daemon", "dbus"),
    ("debootstrap", "debootstrap"),
    ("age", "age"),
    ("ssh-keygen", "openssh-client"),
    ("unshare", "util-linux"),
    ("systemd-creds", "systemd"),
    ("swtpm", "swtpm"),
    // This brings what systemd speaks to a TPM with.
    ("tpm2", "tpm2-tools"),
    ("strace", "strace"),
    ("bindfs", "bindfs"),
    ("fusermount3", "fuse3"),
];

/// What measurements need in addition.
pub const BENCH: &[Program] = &[("time", "time"), ("perf", "linux-perf"), ("dpkg", "dpkg")];

/// What the desk tests need.
pub const DESK: &[Program] = &[
    ("age", "age"),
    ("ssh-keygen", "openssh-client"),
    ("git", "git"),
    ("less", "less"),
    ("fish", "fish"),
    ("zsh", "zsh"),
    ("vim", "vim"),
    ("nvim", "neovim"),
    ("nano", "nano"),
    ("emacs", "emacs-nox"),
    ("micro", "micro"),
    ("kak", "kakoune"),
    ("joe", "joe"),
    ("mg", "mg"),
    ("jed", "jed"),
    ("busybox", "busybox"),
    ("setpriv", "util-linux"),
    ("gpg", "gnupg"),
    ("pass", "pass"),
    ("nix", "nix-bin"),
    ("nix-instantiate", "nix-bin"),
    ("systemd-escape", "systemd"),
    ("time", "time"),
    ("strace", "strace"),
    ("wg", "wireguard-tools"),
    ("htpasswd", "apache2-utils"),
    ("valgrind", "valgrind"),
    // Python reads what `get` reads; this brings its YAML.
    ("python3", "python3"),
    ("yamllint", "yamllint"),
    // This brings Python's JSON Schema.
    ("jsonschema", "python3-jsonschema"),
];

/// What tests of the boot side on another processor need.
pub const FOREIGN: &[Program] = &[
    ("qemu-aarch64", "qemu-user"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("ssh-keygen", "openssh-client"),
    ("python3", "python3"),
];

/// What fetching age's test vectors needs.
pub const VECTORS: &[Program] = &[("npm", "npm"), ("node", "nodejs")];

/// Installs the packages of those `programs` that are missing.
///
/// # Errors
///
/// Some are missing, and we are not root or not on Debian: the message contains the command to run,
/// if there is one. Or apt-get failed.
pub fn ensure(sh: &Shell, programs: &[Program]) -> Result<()> {
    let mut wanted: Vec<&str> = missing(programs).iter().map(|(_, package)| *package).collect();
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.is_empty() {
        return Ok(());
    }
    let wish = format!("apt-get install {}", wanted.join(" "));
    if !is_there("apt-get") {
        return Err(format!("these are missing, and there is no apt-get: {wanted:?}").into());
    }
    if !is_root(sh)? {
        return Err(format!("some programs are missing; as root: {wish}").into());
    }
    eprintln!("xtask: {wish}");
    let _env = sh.push_env("DEBIAN_FRONTEND", "noninteractive");
    // Two commands of ours may run at the same time; apt-get would not wait.
    let lock = workspace::target()?.join("packages.lock");
    cmd!(sh, "flock {lock} apt-get -qq update").run()?;
    cmd!(sh, "flock {lock} apt-get -qq install --no-install-recommends --yes {wanted...}")
        .ignore_stdout()
        .run()?;
    match missing(programs).first() {
        Some((name, package)) => {
            Err(format!("{package} is installed, but {name} is not in PATH").into())
        }
        None => Ok(()),
    }
}

/// Returns those `programs` that are missing.
#[must_use]
pub fn missing(programs: &[Program]) -> Vec<Program> {
    programs.iter().filter(|(name, _)| !is_there(name)).copied().collect()
}

/// Returns whether this process may mount and boot: user id 0.
///
/// # Errors
///
/// `id` cannot be run.
pub fn is_root(sh: &Shell) -> Result<bool> {
    Ok(cmd!(sh, "id --user").quiet().read()? == "0")
}

/// Returns whether `program` is in `PATH`, or in the `sbin` folders, which may not be in a user's
/// `PATH`.
#[must_use]
pub fn is_there(program: &str) -> bool {
    find(program).is_some()
}

/// Returns where `program` is, as [`is_there`] looks for it.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}
