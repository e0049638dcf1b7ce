//! a path of another tool → a link to our directory, for texts that have that path written out.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{self, AtFlags};
use rustix::io::Errno;
use vaultix_generator::profile::Settings;

use crate::failure::{Failure, Level, log};
use crate::path::{Missing, open_trusted_parent};
use crate::replace::replace_link;

/// Makes `path` a link to `decryptedDir`. Any other link is replaced, as the other tool has left one. Something else stays,
/// with a warning: secrets are where they should be all the same, so this is no failure.
///
/// # Errors
///
/// [`Status::CantCreat`](vaultix_generator::status::Status::CantCreat), with the path.
pub fn make(settings: &Settings, path: &Path) -> Result<(), Failure> {
    let (parent, name) = open_trusted_parent(path, settings.layout, Missing::Make)?;
    let target = &settings.decrypted_dir;
    match fs::readlinkat(&parent, &name, Vec::new()) {
        Ok(old) if leads_to(&old, target) => return Ok(()),
        Ok(_) | Err(Errno::NOENT) => {}
        Err(Errno::INVAL) => {
            let (path, target) = (path.display(), target.display());
            log(
                Level::Warning,
                &format!(
                    "cannot make {path} a link to {target}: something that is not a link is there; texts with that path \
                     will not find secrets until it is moved away: mv '{path}' '{path}.old' && systemctl restart \
                     vaultix-agenix-link"
                ),
            );
            return Ok(());
        }
        Err(error) => return Err(Failure::write(path, error)),
    }
    replace_link(&parent, &name, target).map_err(|error| Failure::write(path, error))
}

/// Removes `path` if it is a link to `decryptedDir`.
///
/// # Errors
///
/// As [`make`].
pub fn remove(settings: &Settings, path: &Path) -> Result<(), Failure> {
    let Ok((parent, name)) = open_trusted_parent(path, settings.layout, Missing::Fail) else {
        return Ok(());
    };
    let is_ours = fs::readlinkat(&parent, &name, Vec::new())
        .is_ok_and(|target| leads_to(&target, &settings.decrypted_dir));
    if !is_ours {
        return Ok(());
    }
    fs::unlinkat(&parent, &name, AtFlags::empty()).map_err(|error| Failure::write(path, error))
}

/// Returns whether the text of a link is `target`.
fn leads_to(text: &std::ffi::CStr, target: &Path) -> bool {
    Path::new(OsStr::from_bytes(text.to_bytes())) == target
}
