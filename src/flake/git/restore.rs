//! path of a damaged file → the command that brings back what git has of it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::index::{Trees, git_command};
use super::list;

/// What git says of a file that is not as it has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is changed here.
    Changed,
    /// It is as it is staged, but not as it was committed.
    Staged,
    /// A merge of it is not finished.
    Unmerged,
}

/// What git says of the files of a work tree, by their names there.
type States = BTreeMap<PathBuf, State>;

/// What it said in this run, by the top of the work tree: after a merge, many files may be damaged.
static KNOWN: Mutex<BTreeMap<PathBuf, Arc<States>>> = Mutex::new(BTreeMap::new());

/// Returns the command that replaces the file `path` by what git has of it; `None` where that is nothing else, or where it
/// does not track it.
pub fn command(path: &Path) -> Option<String> {
    let (top, name) = Trees::default().find(path)?;
    // Git takes a link for what it is.
    if path.symlink_metadata().ok()?.is_symlink() {
        return None;
    }
    let words = match states(&top).get(&name)? {
        State::Changed => "checkout --",
        State::Staged => "checkout HEAD --",
        State::Unmerged => {
            let command = git_command(&top, "checkout --theirs", [name.as_path()]);
            return Some(format!("{command} && vaultix renc # or --ours"));
        }
    };
    Some(git_command(&top, words, [name.as_path()]))
}

fn states(top: &Path) -> Arc<States> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let ask = || {
        let args = ["--no-optional-locks", "status", "--porcelain", "-z"];
        let which = ["--untracked-files=no", "--no-renames", "--ignore-submodules=all"];
        Arc::new(list(top, &[&args[..], &which].concat()).filter_map(|line| parse(&line)).collect())
    };
    Arc::clone(known.entry(top.to_owned()).or_insert_with(ask))
}

/// Reads a line of `git status --porcelain`.
fn parse(line: &[u8]) -> Option<(PathBuf, State)> {
    let [staged, here, b' ', name @ ..] = line else { return None };
    let state = match (staged, here) {
        (b'U', _) | (_, b'U') | (b'A', b'A') => State::Unmerged,
        (_, b'M' | b'T') => State::Changed,
        (b'M' | b'T', b' ') => State::Staged,
        // New, or gone.
        _ => return None,
    };
    Some((OsStr::from_bytes(name).into(), state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_brought_back_is_what_git_has_another_version_of() {
        for (line, expected) in [
            (" M a b", Some(State::Changed)),
            ("AM a b", Some(State::Changed)),
            ("MM a b", Some(State::Changed)),
            ("M  a b", Some(State::Staged)),
            ("UU a b", Some(State::Unmerged)),
            ("AA a b", Some(State::Unmerged)),
            ("UD a b", Some(State::Unmerged)),
            // Only named to git, so that it has nothing in it; new; removed.
            (" A a b", None),
            ("A  a b", None),
            (" D a b", None),
            ("", None),
        ] {
            let found = parse(line.as_bytes());
            assert_eq!(found, expected.map(|state| ("a b".into(), state)), "{line}");
        }
    }
}
