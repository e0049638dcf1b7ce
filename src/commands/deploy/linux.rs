//! The same on a host.

use std::ffi::OsString;

use vaultix_generator::profile::Side;
use vaultix_units::failure::Failure;
use vaultix_units::mounts;
use vaultix_units::path::queue;
use vaultix_units::switch::{Jobs, Phase, switch};

use crate::cli::{Cli, Deploy};
use crate::error::{self, Error, Exit, Result, Status};
use crate::flake::profiles;
use crate::report::{self, Report, Verbosity};

/// Does what the units would do.
///
/// # Errors
///
/// When nothing could be done at all. Failures of single items are printed, and count in the exit status.
pub fn run(args: &Deploy, cli: &Cli) -> Result<Exit> {
    let [path] = &cli.profiles[..] else {
        return Err(Error::new(Status::Usage, "cannot deploy without exactly one profile")
            .fix("vaultix -p /etc/vaultix/profile.json deploy"));
    };
    let report = Report::new(Verbosity::Normal);
    let profile = profiles::read(path, Side::Host)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022)); // Whatever the user's is.
    mounts::mount(&profile.settings)
        .map_err(|failure| as_error("cannot deploy".to_owned(), &failure).fix("run it as root"))?;
    report::detail(format_args!(
        "the ramfs is shown at {}",
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
    report::summary(format_args!("{made} placed, {kept} up to date, {removed} removed"));
    Ok(error::common_exit(&failures))
}

/// Does the jobs at custom paths for another process of this program, which passes `args`; `None` if they
/// are those of a user.
pub fn serve(args: &[OsString]) -> Option<Result<Exit>> {
    let [verb] = args else { return None };
    (verb == queue::VERB).then(|| {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022)); // The same as above.
        queue::serve(std::io::stdin(), std::io::stdout())
            .map(|()| Exit::Done)
            .map_err(|error| Error::new(Status::CantCreat, "cannot serve paths").because(error))
    })
}

/// failure of the boot side → error with the same exit status.
fn as_error(what: String, failure: &Failure) -> Error {
    Error::new(failure.status, what).because(&failure.reason)
}
