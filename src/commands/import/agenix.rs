//! rules of agenix → the files that they name.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::commands::import::legacy::{LegacyFile, Listing};
use crate::commands::import::name;
use crate::commands::import::snippet::Fields;
use crate::error::{Error, Result, Status};
use crate::flake::nix::{self, Attributes};
use crate::system::fence::{self, Extent};

/// The file with the rules, where only its directory is given.
const RULES: &str = "secrets.nix";

/// What rules may say of a secret that agenix does not look at, but modules that declare secrets from them do.
const FIELDS: [&str; 4] = ["owner", "group", "mode", "path"];

/// Lists the files that the rules `source` name.
///
/// # Errors
///
/// That they do not exist, or Nix's own.
pub fn list(source: &Path) -> Result<Listing> {
    let rules = if source.is_dir() { source.join(RULES) } else { source.to_owned() };
    rules.metadata().map_err(|error| {
        Error::new(Status::NoInput, format!("cannot read {}", rules.display())).because(error)
    })?;
    // They are as little the user's word as what a flake says.
    let directory = rules.parent().unwrap_or(Path::new(""));
    let top = nix::fence_repository(directory, Extent::Whole)?;
    let (paths, fields): (Vec<PathBuf>, Vec<Fields>) = nix::attributes(&rules, &top, &FIELDS)?
        .into_iter()
        .map(|(name, rule)| (plain(&name), texts(rule)))
        .unzip();
    let common = common(&paths);
    let read = |(path, fields): (&PathBuf, Fields)| {
        let short = path.strip_prefix(&common).unwrap_or(path);
        let file = directory.join(path);
        fence::mark_named(&file);
        let mut legacy = LegacyFile::age(&file, name::id_from_path(short, ".age"))?;
        legacy.fields = fields;
        Ok(legacy)
    };
    Ok(paths.iter().zip(fields).map(read).collect())
}

fn texts(rule: Attributes) -> Fields {
    let text = |(name, value): (String, Value)| Some((name, value.as_str()?.to_owned()));
    rule.into_iter().filter_map(text).collect()
}

/// Returns the path `name` without the dots that lead nowhere.
fn plain(name: &str) -> PathBuf {
    Path::new(name).components().filter(|part| *part != Component::CurDir).collect()
}

/// Returns the directory that all of `paths` are in: it is where they are, and no part of their names.
fn common(paths: &[PathBuf]) -> PathBuf {
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
    use crate::error::Exit;

    #[test]
    fn a_directory_of_all_is_no_part_of_a_name() {
        for (paths, expected) in [
            (vec!["a.age", "b.age"], ""),
            (vec!["secrets/a.age", "secrets/web/b.age"], "secrets"),
            (vec!["secrets/a.age"], "secrets"),
            (vec!["../a/x.age", "../b/x.age"], ".."),
            (vec!["ab/x.age", "a/x.age"], ""),
            (vec!["./a.age", "b.age"], ""),
            (vec![], ""),
        ] {
            let paths: Vec<PathBuf> = paths.into_iter().map(plain).collect();
            assert_eq!(common(&paths), Path::new(expected));
        }
    }

    #[test]
    fn texts_of_a_rule_are_taken_over() {
        let rule = [("owner", "web".into()), ("mode", 400.into()), ("path", Value::Null)];
        let rule = rule.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(texts(rule.into()), Fields::from([("owner".to_owned(), "web".to_owned())]));
    }

    #[test]
    fn missing_rules_are_named() {
        let Err(error) = list(Path::new("/nonexistent/secrets.nix")) else { panic!("listed") };
        assert_eq!(error.exit, Exit::Failed(Status::NoInput));
    }

    #[test]
    fn a_file_for_a_host_is_told_by_its_name() {
        assert!(is_for_a_host(Path::new("rekeyed/web/0123456789abcdef0123456789abcdef-wifi.age")));
        assert!(!is_for_a_host(Path::new("wifi.age")));
        assert!(!is_for_a_host(Path::new("0123456789abcdef-wifi.age")));
    }
}
