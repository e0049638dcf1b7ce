//! rules of agenix → the files that they name.

mod rules;

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use crate::commands::import::declared_names::DeclaredNames;
use crate::commands::import::legacy::{LegacyFile, Listing};
use crate::commands::import::name;
use crate::error::Result;

/// Lists the files that the rules in `source` name, a file or a directory, but not those in `new`. Hosts have `names` for
/// them.
///
/// # Errors
///
/// That there are no rules, or Nix's own.
pub fn list(source: &Path, new: &Path, names: &DeclaredNames) -> Result<Listing> {
    let rules = rules::read(source, new)?;
    let paths: Vec<&Path> = rules.iter().flatten().map(|rule| rule.file.as_path()).collect();
    let common = common(&paths);
    let read = |rule: Result<rules::Rule>| {
        let rules::Rule { file, recipients, fields } = rule?;
        let stem = name::id_from_path(file.strip_prefix(&common).unwrap_or(&file), ".age");
        let mut legacy = LegacyFile::age(&file, stem)?;
        legacy.declare(names);
        legacy.fields = fields;
        legacy.readers.recipients = recipients;
        Ok(legacy)
    };
    Ok(rules.into_iter().map(read).collect())
}

/// Returns the directory that all of `paths` are in: it is where they are, and no part of their names.
fn common(paths: &[&Path]) -> PathBuf {
    let mut common: Option<Vec<Component>> = None;
    for path in paths {
        let directory: Vec<Component> =
            path.parent().into_iter().flat_map(Path::components).collect();
        common = Some(match common {
            None => directory,
            Some(so_far) => {
                let same = so_far.iter().zip(&directory).take_while(|(one, other)| one == other);
                same.map(|(one, _)| *one).collect()
            }
        });
    }
    common.into_iter().flatten().collect()
}

/// Returns whether `path` is what agenix-rekey made for one host: 32 digits, a dash, and the secret's name.
pub fn is_for_a_host(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let digest = name.split('-').next().unwrap_or_default();
    digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_all_is_no_part_of_a_name() {
        for (paths, expected) in [
            (vec!["a.age", "b.age"], ""),
            (vec!["secrets/a.age", "secrets/web/b.age"], "secrets"),
            (vec!["secrets/a.age"], "secrets"),
            (vec!["../a/x.age", "../b/x.age"], ".."),
            (vec!["ab/x.age", "a/x.age"], ""),
            (vec!["/x/a.age", "/x/y/b.age"], "/x"),
            (vec![], ""),
        ] {
            let paths: Vec<&Path> = paths.into_iter().map(Path::new).collect();
            assert_eq!(common(&paths), Path::new(expected));
        }
    }

    #[test]
    fn a_file_for_a_host_is_told_by_its_name() {
        assert!(is_for_a_host(Path::new("rekeyed/web/0123456789abcdef0123456789abcdef-wifi.age")));
        assert!(!is_for_a_host(Path::new("wifi.age")));
        assert!(!is_for_a_host(Path::new("0123456789abcdef-wifi.age")));
    }
}
