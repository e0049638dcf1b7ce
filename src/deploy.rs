//! VERB one profile → its secrets in place on this machine, without systemd.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::mount::{MountFlags, mount};
use vaultix_generator::profile::{Profile, Side};
use vaultix_units::failure::Failure;
use vaultix_units::switch::{Jobs, Phase, switch};

use crate::cli::{Cli, Deploy};
use crate::error::{self, Error, Exit, Result};
use crate::profiles;
use crate::report::{self, Report, Volume};

/// Type of a ramfs, from linux/magic.h.
const RAMFS: u64 = 0x8584_58f6;

/// Does what the units would do.
///
/// # Errors
///
/// When nothing could be done at all. What failed of single items is said, and counts in the outcome.
pub fn run(args: &Deploy, cli: &Cli) -> Result<Exit> {
    let [path] = &cli.profiles[..] else {
        return Err(Error::new(Exit::Usage, "cannot deploy without exactly one profile")
            .fix("vaultix -p /etc/vaultix/profile.json deploy"));
    };
    let report = Report::new(Volume::Normal);
    let profile = profiles::read(path, Side::Host)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022)); // Whatever the user's is.
    ensure_mounted(&profile)?;
    report::detail(format_args!(
        "a ramfs is on {}",
        profile.settings.decrypted_mount_point.display()
    ));
    let phases: &[Phase] =
        if args.early { &[Phase::Early] } else { &[Phase::Early, Phase::Normal] };
    let mut failures = Vec::new();
    let (mut made, mut kept, mut removed) = (0, 0, 0);
    for phase in phases {
        let outcome = switch(&profile, *phase, Jobs::Skip)
            .map_err(|failure| as_error("cannot deploy".to_owned(), &failure))?;
        made += outcome.made;
        kept += outcome.kept;
        removed += outcome.removed;
        let failed = outcome.failures.iter();
        failures.extend(failed.map(|(item, failure)| as_error(format!("cannot {item}"), failure)));
    }
    report.errors(&failures);
    report::count(format_args!("{made} placed, {kept} up to date, {removed} removed"));
    Ok(error::exit(&failures))
}

/// Says a failure of the boot side in our words.
fn as_error(what: String, failure: &Failure) -> Error {
    let exit = match failure.status as u8 {
        65 => Exit::Data,
        66 => Exit::NoInput,
        67 => Exit::NoUser,
        73 => Exit::CantCreate,
        77 => Exit::NoPermission,
        78 => Exit::Config,
        _ => Exit::SomeFailed,
    };
    Error::new(exit, what).because(&failure.reason)
}

/// Mounts the ramfs, as the mount unit would, unless it is there.
fn ensure_mounted(profile: &Profile) -> Result<()> {
    let point = &profile.settings.decrypted_mount_point;
    if is_ramfs(point) {
        return Ok(());
    }
    let make = || -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o755).create(point)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        Ok(mount("ramfs", point, "ramfs", flags, c"mode=0751")?)
    };
    make().map_err(|error| {
        Error::new(Exit::CantCreate, format!("cannot mount a ramfs on {}", point.display()))
            .because(error)
            .fix("run it as root")
    })
}

/// Returns whether `path` is on a ramfs.
fn is_ramfs(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(RAMFS))
}
