//! `vaultix __complete`, for shells: words of a command line → names that its next word may be, one a line.
//!
//! Nothing is evaluated or run: the names are those that `renc` has seen.

use std::env;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use crate::cli::{self, Role};
use crate::error::{Exit, Result};
use crate::files::names::Names;
use crate::flake::nix;
use crate::report;

/// What shells call it.
const VERB: &str = "__complete";

/// Answers a shell that passes `args`: kinds of names, `--`, and the words before the cursor; `None` if they are a user's.
pub fn serve(args: &[OsString]) -> Option<Result<Exit>> {
    let (verb, rest) = args.split_first()?;
    if verb != VERB {
        return None;
    }
    let rest: Vec<String> = rest.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let at = rest.iter().position(|arg| arg == "--").unwrap_or(rest.len());
    let (kinds, words) = rest.split_at(at);
    let words = whole(words.get(1..).unwrap_or_default());
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Some(report::answer(names(kinds, &words).as_bytes()).map(|()| Exit::Done))
}

/// Joins what bash has split at `:` and `=`.
fn whole(words: &[String]) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    for word in words {
        match joined.last_mut() {
            Some(last) if word == "=" && last.starts_with("--") => {}
            Some(last) if word.starts_with(':') || last.ends_with(':') => last.push_str(word),
            _ => joined.push(word.clone()),
        }
    }
    joined
}

/// Returns the names of these `kinds`, for a command line that begins with `words`.
fn names(kinds: &[String], words: &[&str]) -> String {
    let roles = cli::roles(words);
    let mut given = words.iter().zip(&roles);
    let flake = given.clone().rfind(|(_, role)| **role == Role::Value("--flake"));
    if let Some((directory, _)) = flake {
        nix::use_flake(Path::new(directory));
    }
    let Ok(Some(root)) = nix::root() else { return String::new() };
    let file = given.find(|(_, role)| **role == Role::Argument(0)).map(|(file, _)| *file);
    let names = Names::recall(&root);
    let mut lines = Vec::new();
    for kind in kinds {
        match kind.as_str() {
            "hosts" => lines.extend(names.hosts.iter().cloned()),
            "secrets" => lines.extend(names.secrets.iter().cloned()),
            "files" => lines.extend(names.files.iter().filter_map(|file| from_here(&root, file))),
            "keys" => lines.extend(
                names
                    .keys
                    .iter()
                    .filter(|(of, _)| file.is_some_and(|file| is_same(&root, of, file)))
                    .map(|(_, key)| key.clone()),
            ),
            _ => {}
        }
    }
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// Returns the file that the flake at `root` calls `name` as one types it in the working directory.
fn from_here(root: &Path, name: &str) -> Option<String> {
    if is_in_input(root, name) {
        return Some(name.to_owned());
    }
    let (here, whole) = (env::current_dir().ok()?, root.join(name));
    let shared = here.components().zip(whole.components()).take_while(|(a, b)| a == b).count();
    let up = here.components().skip(shared).map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(whole.components().skip(shared)).collect();
    path.to_str().map(str::to_owned)
}

/// Returns whether `name` is that of a file in an input, like `secrets:wifi.age`.
fn is_in_input(root: &Path, name: &str) -> bool {
    name.contains(':') && root.join(name).symlink_metadata().is_err()
}

/// Returns whether `typed` is the file that the flake at `root` calls `name`.
fn is_same(root: &Path, name: &str, typed: &str) -> bool {
    if is_in_input(root, name) {
        return name == typed;
    }
    let whole = |path: &Path| path.canonicalize().ok();
    whole(&root.join(name)).is_some_and(|path| whole(Path::new(typed)) == Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_bash_splits_are_one() {
        let split = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            whole(&split("--flake = dir get secrets : a.age")).join(" "),
            "--flake dir get secrets:a.age"
        );
        assert_eq!(whole(&split("set a.env.age X = y")).join(" "), "set a.env.age X = y");
    }
}
