//! `-p` files → profiles of hosts, each once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use vaultix_generator::profile::{self, Profile, Side};

use crate::error::{Error, Result, Status};
use crate::report;
use crate::system::input;

/// Reads the profile in the file `path`, for one side.
///
/// # Errors
///
/// When it is missing, or no profile of this version.
pub fn read(path: &Path, side: Side) -> Result<Profile> {
    let what = || Error::new(Status::Config, format!("cannot read the profile {}", path.display()));
    let bytes =
        input::file(path, profile::MAX_BYTES, None).map_err(|error| what().because(error))?;
    let text = str::from_utf8(&bytes).map_err(|error| what().because(error))?;
    let profile = Profile::parse(text, side).map_err(|error| what().because(error))?;
    report::detail(format_args!(
        "read the profile {}: host {}, {} secrets",
        path.display(),
        profile.settings.host_identifier,
        profile.secrets.len()
    ));
    Ok(profile)
}

/// Reads all of `paths`.
///
/// # Errors
///
/// As [`read`]; and when two of them are of one host but do not agree on its key: which of its copies is
/// stale would be unknown.
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Profile>> {
    let profiles =
        paths.iter().map(|path| read(path, Side::Workspace)).collect::<Result<Vec<_>>>()?;
    ensure_distinct(&profiles)?;
    Ok(profiles)
}

/// Checks that no two of `profiles` are of one host with two keys.
pub fn ensure_distinct(profiles: &[Profile]) -> Result<()> {
    let mut keys = BTreeMap::new();
    for profile in profiles {
        let host = &profile.settings.host_identifier;
        let key = crate::keys::recipient::canonical(&profile.settings.host_pubkey);
        if keys.insert(host, key.clone()).is_some_and(|other| other != key) {
            return Err(Error::new(
                Status::Config,
                format!("cannot tell two hosts called \"{host}\" apart"),
            )
            .because("two profiles have this hostIdentifier, but not the same hostPubkey")
            .fix("set vaultix.settings.hostIdentifier of one of them to another name"));
        }
    }
    Ok(())
}
