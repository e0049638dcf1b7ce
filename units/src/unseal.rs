//! the credential of this unit → the identity where only root can read it, in memory.

use std::path::{Path, PathBuf};

use rustix::fs::{self, FlockOperation, Mode};
use rustix::io::Errno;
use vaultix_generator::escape;
use vaultix_generator::profile::{CREDENTIAL_NAME, IDENTITIES_PATH};
use vaultix_generator::status::Status;
use vaultix_generator::unit::unseal_unit;

use crate::bounded;
use crate::failure::Failure;
use crate::identity::{self, native};
use crate::mounts::{RAMFS_MAGIC, is_magic};
use crate::owner::Ownership;
use crate::plaintext::Plaintext;
use crate::replace::{DIRECTORY, replace_file};
use crate::stack;

/// Who may read the copy.
const OWNERSHIP: Ownership = Ownership { uid: 0, gid: 0, mode: 0o400 };
/// Its name until it is complete.
const NEW: &str = ".new";

/// Returns where the identity is that was sealed in the file `path`.
#[must_use]
pub fn copy_of(path: &Path) -> PathBuf {
    Path::new(IDENTITIES_PATH).join(unseal_unit(path))
}

/// Copies the identity that systemd has unsealed from the file `path`, for this unit and as long as it is active.
///
/// # Errors
///
/// [`Status::NoPerm`] outside of the unit, [`Status::DataErr`] if it is not an identity, [`Status::CantCreat`] if there is no
/// ramfs. A copy from before stays.
pub fn unseal(path: &Path) -> Result<(), Failure> {
    let unit = unseal_unit(path);
    let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") else {
        let reason = format!("only its unit has the credential; run: systemctl restart '{unit}'");
        return Err(Failure::new(Status::NoPerm, reason));
    };
    let source = Path::new(&folder).join(CREDENTIAL_NAME);
    let mut text = bounded::read(&source, bounded::MAX_IDENTITY)
        .map_err(|error| Failure::path(Status::NoInput, "read", &source, error))?;
    if let Err(reason) = stack::wiped(|| native(&text)) {
        let failure = identity::Failure { path: path.to_owned(), reason };
        return Err(Failure::new(Status::DataErr, format!("unsealed, but {failure}")));
    }
    let text = Plaintext::new(std::mem::take(&mut *text));
    let mount = escape::path_unit(IDENTITIES_PATH, "mount");
    let no_ramfs = |why: &str| {
        let reason = format!("{IDENTITIES_PATH} {why}; see: systemctl status '{mount}'");
        Failure::new(Status::CantCreat, reason)
    };
    let ramfs = match fs::open(IDENTITIES_PATH, DIRECTORY, Mode::empty()) {
        Ok(ramfs) => ramfs,
        Err(Errno::NOENT) => return Err(no_ramfs("does not exist")),
        Err(error) => return Err(no_ramfs(&error.to_string())),
    };
    if !is_magic(&ramfs, &[RAMFS_MAGIC]) {
        return Err(no_ramfs("is not a ramfs, and nothing else is safe to unseal to"));
    }
    let failed = |error: Errno| Failure::write(copy_of(path), error);
    // The units of several keys run at once.
    fs::flock(&ramfs, FlockOperation::LockExclusive).map_err(failed)?;
    replace_file(&ramfs, NEW, &ramfs, &*unit, &text, OWNERSHIP).map_err(failed)
}
