//! agenix, agenix-rekey, sops, pass or gopass: a directory or a file → the files of secrets in it, still encrypted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cli::Scheme;
use crate::commands::import::declared_names::DeclaredNames;
use crate::commands::import::folders::separate;
use crate::commands::import::legacy::{LegacyFile, Listing};
use crate::commands::import::{agenix, name};
use crate::error::{Error, Result, Status};
use crate::files::tree::{self, Files, Links};
use crate::flake::nix;
use crate::report::{self, Report};
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
            let all = files_with_ids((source, new), &[".age"], Links::Leave, report)?.0.into_iter();
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
        Scheme::Pass | Scheme::Gopass => {
            let endings = [".gpg", ".age"];
            let (files, failures) = files_with_ids((source, new), &endings, Links::Follow, report)?;
            let read = |(path, id): (PathBuf, String)| match path.extension() {
                Some(ending) if ending == "age" => LegacyFile::age(&source.join(path), id),
                _ => Ok(LegacyFile::gpg(source.join(path), id)),
            };
            let outside = |error: Error| {
                Err(error.fix("import the directory that the link leads to by itself"))
            };
            Ok(files.into_iter().map(read).chain(failures.into_iter().map(outside)).collect())
        }
        Scheme::Sops if source.is_dir() => {
            let Files { paths, links, .. } = tree::files(source, new, Links::Leave)?;
            let mut others = Vec::new();
            let mut listing = Vec::new();
            for path in paths {
                match LegacyFile::sops(&source.join(&path), is_kept, names).transpose() {
                    Some(legacy) => listing.push(legacy),
                    None => others.push(path),
                }
            }
            left_out("sops has not encrypted them", others, report);
            left_out(BEHIND_LINKS, links, report);
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
            if let Ok(legacy) = &mut legacy {
                legacy.declare_values(names, report);
            }
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
fn without_hidden(files: WithIds) -> WithIds {
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

/// Files, and their ids.
type WithIds = Vec<(PathBuf, String)>;

/// Why links are not followed.
const BEHIND_LINKS: &str = "they are links to directories";

/// Names the files `paths` that are left out because of `reason`.
fn left_out(reason: &str, paths: Vec<PathBuf>, report: &Report) {
    let names: Vec<String> = paths.into_iter().map(|path| path.display().to_string()).collect();
    if !names.is_empty() {
        report.line(format_args!("left out, since {reason}: {}", report::list(&names)));
    }
}

/// Returns the files below `root`, but not in `new`, with one of `endings`, and their ids; and which directories behind links
/// cannot be listed. Names all others but hidden ones, which are those of programs.
fn files_with_ids(
    (root, new): (&Path, &Path),
    endings: &[&str],
    follow: Links,
    report: &Report,
) -> Result<(WithIds, Vec<Error>)> {
    let Files { paths, links, failures } = tree::files(root, new, follow)?;
    let (mut files, mut others) = (Vec::new(), Vec::new());
    for path in paths {
        let fits =
            |ending: &&&str| path.as_os_str().as_encoded_bytes().ends_with(ending.as_bytes());
        match endings.iter().find(fits) {
            Some(ending) => {
                let id = name::id_from_path(&path, ending);
                files.push((path, id));
            }
            None if is_hidden(&path) => {}
            None => others.push(path),
        }
    }
    left_out(&format!("their names do not end in {}", endings.join(" or ")), others, report);
    let reason =
        if follow == Links::Follow { "they lead back to where they are" } else { BEHIND_LINKS };
    left_out(reason, links, report);
    Ok((files, failures))
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
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
