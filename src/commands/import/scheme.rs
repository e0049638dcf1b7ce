//! agenix, agenix-rekey, sops, pass or gopass: a directory or a file → the files of secrets in it, still encrypted.

use std::path::{Path, PathBuf};

use crate::cli::Scheme;
use crate::commands::import::legacy::{LegacyFile, Listing};
use crate::commands::import::{agenix, name};
use crate::error::{Error, Result, Status};
use crate::files::tree;
use crate::flake::nix;
use crate::system::fence::Extent;

/// Lists what `scheme` has in `source`, but not in `new`. Asks for nothing, and opens nothing.
///
/// # Errors
///
/// When it cannot be listed at all.
pub fn list(scheme: Scheme, source: &Path, new: &Path) -> Result<Listing> {
    if source.is_dir() {
        // Links in it may be anybody's.
        nix::fence_repository(source, Extent::Whole)?;
    }
    match scheme {
        Scheme::Agenix => agenix::list(source),
        Scheme::AgenixRekey => Ok(files_with_ids(source, new, &[".age"])?
            .into_iter()
            .filter(|(path, _)| !agenix::is_for_a_host(path))
            .map(|(path, id)| LegacyFile::age(&source.join(path), id))
            .collect()),
        Scheme::Pass | Scheme::Gopass => Ok(files_with_ids(source, new, &[".gpg", ".age"])?
            .into_iter()
            .map(|(path, id)| match path.extension() {
                Some(ending) if ending == "age" => LegacyFile::age(&source.join(path), id),
                _ => Ok(LegacyFile::gpg(source.join(path), id)),
            })
            .collect()),
        Scheme::Sops if source.is_dir() => {
            let paths = tree::files(source, new)?.into_iter().map(|path| source.join(path));
            Ok(paths.filter_map(|path| LegacyFile::sops(&path).transpose()).collect())
        }
        Scheme::Sops => {
            let none = || {
                Error::new(Status::DataErr, format!("cannot import {}", source.display()))
                    .because("it is not a file that sops encrypted")
            };
            LegacyFile::sops(source).map(|legacy| vec![legacy.ok_or_else(none)])
        }
    }
}

/// Returns the files below `root`, but not in `new`, with one of `endings`, and their ids.
fn files_with_ids(root: &Path, new: &Path, endings: &[&str]) -> Result<Vec<(PathBuf, String)>> {
    let with_id = |path: PathBuf| {
        let fits =
            |ending: &&&str| path.as_os_str().as_encoded_bytes().ends_with(ending.as_bytes());
        let ending = endings.iter().find(fits)?;
        let id = name::id_from_path(&path, ending);
        Some((path, id))
    };
    Ok(tree::files(root, new)?.into_iter().filter_map(with_id).collect())
}
