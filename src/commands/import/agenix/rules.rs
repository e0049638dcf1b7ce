//! directory → the files with rules of agenix below it, and what they say.

use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::commands::import::snippet::Fields;
use crate::error::{Error, Result, Status};
use crate::files::source;
use crate::files::tree::{self, Links};
use crate::flake::nix::{self, Attributes};
use crate::system::fence::{self, Extent};

/// The file with the rules, by agenix's default.
const NAME: &str = "secrets.nix";

/// What every rule has.
const MARK: &[u8] = b"publicKeys";

/// What rules may say of a secret that agenix does not look at, but modules that declare secrets from them do.
const FIELDS: [&str; 4] = ["owner", "group", "mode", "path"];

/// A rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// The file that it is about.
    pub file: PathBuf,
    /// Whom it is encrypted to.
    pub recipients: Vec<String>,
    /// What else it says.
    pub fields: Fields,
}

/// Reads the rules in `source`, or in all files below it that have some, but not in `new`. What fails for one file stands
/// in its place.
///
/// # Errors
///
/// That `source` does not exist, or holds no rules.
pub fn read(source: &Path, new: &Path) -> Result<Vec<Result<Rule>>> {
    let found = source.metadata().map_err(|error| {
        Error::new(Status::NoInput, format!("cannot read {}", source.display())).because(error)
    })?;
    // The user has named it, and either is opened anew: a file by Nix, a directory through the fence.
    if !found.is_dir() {
        let rules = rules(source, source.parent().unwrap_or(Path::new("")))?;
        let none = || {
            Error::new(Status::DataErr, format!("cannot import {}", source.display()))
                .because("it is no attribute set, so it holds no rules of agenix")
        };
        return Ok(rules.ok_or_else(none)?.into_iter().map(Ok).collect());
    }
    let mut all: Vec<Result<Rule>> = Vec::new();
    for path in
        tree::files(source, new, Links::Leave)?.paths.into_iter().filter(|path| is_nix(path))
    {
        let path = source.join(path);
        match has_rules(&path).and_then(|has| if has { rules(&path, source) } else { Ok(None) }) {
            Ok(rules) => all.extend(rules.into_iter().flatten().map(Ok)),
            Err(error) => all.push(Err(error)),
        }
    }
    // One file may take over the rules of others.
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|rule| rule.as_ref().map_or(true, |rule| seen.insert(rule.file.clone())));
    Ok(all)
}

/// Returns whether `path` may hold Nix.
fn is_nix(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "nix")
}

/// Returns whether the file `path` may hold rules, so that it is worth asking Nix.
fn has_rules(path: &Path) -> Result<bool> {
    if path.file_name().is_some_and(|name| name == NAME) {
        return Ok(true);
    }
    Ok(source::read(path)?.windows(MARK.len()).any(|part| part == MARK))
}

/// Evaluates the file `path`; `None` where it is no attribute set, such as a module of NixOS.
///
/// What rules name is looked for beside them, and then in `source`, where they may be taken over from.
fn rules(path: &Path, source: &Path) -> Result<Option<Vec<Rule>>> {
    // They are as little the user's word as what a flake says.
    let directory = path.parent().unwrap_or(Path::new(""));
    let top = nix::fence_repository(directory, Extent::Whole)?;
    let Some(rules) = nix::rules(path, &top, &FIELDS)? else { return Ok(None) };
    let rule = |(name, fields): (String, Attributes)| {
        let places = [directory, source, &top].map(|place| plain(&place.join(&name)));
        let is_there = |place: &&PathBuf| place.symlink_metadata().is_ok();
        let [first, ..] = &places;
        let file = places.iter().find(is_there).unwrap_or(first).clone();
        fence::mark_named(&file);
        Rule { file, recipients: recipients(&fields), fields: texts(fields) }
    };
    Ok(Some(rules.into_iter().map(rule).collect()))
}

/// Returns whom the rule with `fields` encrypts to.
fn recipients(fields: &Attributes) -> Vec<String> {
    let keys = fields.get("publicKeys").and_then(Value::as_array);
    keys.into_iter().flatten().filter_map(|key| Some(key.as_str()?.to_owned())).collect()
}

/// Returns the texts in `fields`.
fn texts(fields: Attributes) -> Fields {
    let text = |(name, value): (String, Value)| Some((name, value.as_str()?.to_owned()));
    fields.into_iter().filter_map(text).collect()
}

/// Returns `path` without the dots that lead nowhere, and without each directory that is left again.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(plain.components().next_back(), Some(Component::Normal(_))) =>
            {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_a_rule_are_taken_over() {
        let rule = [("owner", "web".into()), ("mode", 400.into()), ("path", Value::Null)];
        let rule = rule.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(texts(rule.into()), Fields::from([("owner".to_owned(), "web".to_owned())]));
    }

    #[test]
    fn a_path_goes_straight_to_its_end() {
        for (path, expected) in
            [("./a/../b.age", "b.age"), ("../a/../../b.age", "../../b.age"), ("/a/./b", "/a/b")]
        {
            assert_eq!(plain(Path::new(path)), Path::new(expected));
        }
    }

    #[test]
    fn missing_rules_are_named() {
        let error = read(Path::new("/nonexistent/secrets.nix"), Path::new("new")).unwrap_err();
        assert_eq!(error.exit, Status::NoInput.into());
    }
}
