//! agenix, agenix-rekey, sops, pass or gopass: a directory or a file → the files of secrets in it, still encrypted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cli::Scheme;
use crate::commands::import::declared_names::DeclaredNames;
use crate::commands::import::folders::separate;
use crate::commands::import::legacy::{LegacyFile, Listing};
use crate::commands::import::{agenix, name};
use crate::error::{Error, Result, Status};
use crate::files::tree;
use crate::flake::nix;
use crate::report::Report;
use crate::system::fence::Extent;

/// Lists what `scheme` has in `source`, but not in `new`; a file of several values stays one if it `is_kept`. Asks for nothing, and opens nothing.
///
/// # Errors
///
/// When it cannot be listed at all, or nothing is there.
pub fn list(
    (scheme, is_kept): (Scheme, bool),
    source: &Path,
    new: &Path,
    names: &DeclaredNames,
    report: &Report,
) -> Result<Listing> {
    if source.is_dir() {
        // Links in it may be anybody's.
        nix::fence_repository(source, Extent::Whole)?;
    }
    let listing = files((scheme, is_kept), source, new, names, report)?;
    if listing.is_empty() { Err(nothing(scheme, source, new)) } else { Ok(listing) }
}

/// Returns the error of a `source` in which `scheme` has nothing.
fn nothing(scheme: Scheme, source: &Path, new: &Path) -> Error {
    let what = match scheme {
        Scheme::Agenix => "no rule of agenix",
        Scheme::AgenixRekey => "no file of agenix-rekey",
        Scheme::Sops => "no file that sops encrypted",
        Scheme::Pass | Scheme::Gopass => "no entry of a password store",
    };
    let error = Error::new(Status::NoInput, format!("cannot import {}", source.display()))
        .because(format!("there is {what}"));
    let is_new = |new: &Path, source: &Path| {
        source.canonicalize().is_ok_and(|source| new.starts_with(&source) && new != source)
    };
    if new.canonicalize().is_ok_and(|new| is_new(&new, source)) {
        let reason = format!("{} is not looked into, since new secrets go there", new.display());
        return error.because(reason).fix("have them go elsewhere with --into DIR");
    }
    error
}

/// Returns the files of `scheme` in `source`.
fn files(
    (scheme, is_kept): (Scheme, bool),
    source: &Path,
    new: &Path,
    names: &DeclaredNames,
    report: &Report,
) -> Result<Listing> {
    match scheme {
        Scheme::Agenix => agenix::list(source, new, names),
        Scheme::AgenixRekey => {
            let all = files_with_ids(source, new, &[".age"])?.into_iter();
            let all = all.map(|(path, id)| (source.join(path), id)).filter(|(path, _)| {
                names.has(path) || !(agenix::is_for_a_host(path) || is_nix(path, report))
            });
            let all = without_hidden(all.collect()).into_iter();
            let read = |(path, id): (PathBuf, String)| {
                let mut legacy = LegacyFile::age(&path, id)?;
                legacy.declare(names);
                Ok(legacy)
            };
            Ok(all.map(read).collect())
        }
        Scheme::Pass | Scheme::Gopass => Ok(files_with_ids(source, new, &[".gpg", ".age"])?
            .into_iter()
            .map(|(path, id)| match path.extension() {
                Some(ending) if ending == "age" => LegacyFile::age(&source.join(path), id),
                _ => Ok(LegacyFile::gpg(source.join(path), id)),
            })
            .collect()),
        Scheme::Sops if source.is_dir() => {
            let paths = tree::files(source, new)?.into_iter().map(|path| source.join(path));
            let mut listing = paths
                .filter_map(|path| LegacyFile::sops(&path, is_kept, names).transpose())
                .collect();
            separate(&mut listing, source);
            listing.iter_mut().flatten().for_each(|legacy| legacy.declare_values(names, report));
            Ok(listing)
        }
        Scheme::Sops => {
            let none = || {
                Error::new(Status::DataErr, format!("cannot import {}", source.display()))
                    .because("it is not a file that sops encrypted")
            };
            let mut legacy = LegacyFile::sops(source, is_kept, names)?.ok_or_else(none);
            legacy.iter_mut().for_each(|legacy| legacy.declare_values(names, report));
            Ok(vec![legacy])
        }
    }
}

/// Returns whether the file `path` holds Nix, for evaluation at a desk; that is no secret of a host. Reports it if so.
fn is_nix(path: &Path, report: &Report) -> bool {
    let is_nix = path.as_os_str().as_encoded_bytes().ends_with(b".nix.age");
    if is_nix {
        report.line(format_args!("{}: left out, since it is Nix and no secret", path.display()));
    }
    is_nix
}

/// Leaves out the hidden directory that an id begins with, `.secrets` as a rule, unless another one is called the same then:
/// it says where secrets are, and not what they are.
fn without_hidden(files: Vec<(PathBuf, String)>) -> Vec<(PathBuf, String)> {
    let shorter = |id: &str| match id.split_once('/') {
        Some((first, rest)) if first.starts_with('.') => rest.to_owned(),
        _ => id.to_owned(),
    };
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for (_, id) in &files {
        *uses.entry(shorter(id)).or_default() += 1;
    }
    let rename = |(path, id): (PathBuf, String)| {
        let short = name::id(&shorter(&id));
        let is_unique = uses.get(&short) == Some(&1);
        (path, if is_unique { short } else { id })
    };
    files.into_iter().map(rename).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_directory_is_no_part_of_an_id_that_is_unique_without_it() {
        let ids =
            [".secrets/mail", ".secrets/hosts/ace", ".other/mail", ".other/.x/y", "mail.d/a", ".b"];
        let files = ids.map(|id| (PathBuf::new(), id.to_owned())).to_vec();
        let found: Vec<String> = without_hidden(files).into_iter().map(|(_, id)| id).collect();
        assert_eq!(found, [".secrets/mail", "hosts/ace", ".other/mail", ".x/y", "mail.d/a", ".b"]);
    }
}
