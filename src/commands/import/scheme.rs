//! place of an older scheme's secrets → its files, still closed.

use std::path::{Path, PathBuf};

use crate::cli::Scheme;
use crate::commands::import::old::{Listing, Old};
use crate::commands::import::{agenix, name};
use crate::error::{Error, Exit, Result};
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
        nix::enclose(source, Extent::Whole)?;
    }
    match scheme {
        Scheme::Agenix => agenix::list(source),
        Scheme::AgenixRekey => Ok(of_tree(source, new, &[".age"])?
            .into_iter()
            .filter(|(path, _)| !agenix::is_for_a_host(path))
            .map(|(path, id)| Old::age(&source.join(path), id))
            .collect()),
        Scheme::Pass | Scheme::Gopass => Ok(of_tree(source, new, &[".gpg", ".age"])?
            .into_iter()
            .map(|(path, id)| match path.extension() {
                Some(ending) if ending == "age" => Old::age(&source.join(path), id),
                _ => Ok(Old::gpg(source.join(path), id)),
            })
            .collect()),
        Scheme::Sops if source.is_dir() => {
            let paths = tree::files(source, new)?.into_iter().map(|path| source.join(path));
            Ok(paths.filter_map(|path| Old::sops(&path).transpose()).collect())
        }
        Scheme::Sops => {
            let none = || {
                Error::new(Exit::Data, format!("cannot import {}", source.display()))
                    .because("it is no file that sops encrypted")
            };
            Old::sops(source).map(|old| vec![old.ok_or_else(none)])
        }
    }
}

/// Returns the files below `root`, but not in `new`, with one of `endings`, and their ids.
fn of_tree(root: &Path, new: &Path, endings: &[&str]) -> Result<Vec<(PathBuf, String)>> {
    let with_id = |path: PathBuf| {
        let fits =
            |ending: &&&str| path.as_os_str().as_encoded_bytes().ends_with(ending.as_bytes());
        let ending = endings.iter().find(fits)?;
        let id = name::of_path(&path, ending);
        Some((path, id))
    };
    Ok(tree::files(root, new)?.into_iter().filter_map(with_id).collect())
}
