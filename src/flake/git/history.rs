//! a file → its last change, as git has it.

use std::ffi::OsStr;
use std::path::Path;

use super::{LITERAL, run, top};

/// The last commit that changed a file.
pub struct Change {
    /// When that was, as in RFC 3339.
    pub time: String,
    /// Who has made the change, as the commit says.
    pub author: String,
    pub commit: String,
}

/// What git knows of a file.
pub struct History {
    /// The last commit that changed it; `None` where none has it.
    pub last: Option<Change>,
    /// Whether it has changed since then, or is in no commit yet.
    pub is_uncommitted: bool,
}

/// Returns what git knows of the file `path`; `None` where there is no git, or history does not reach back to its last change.
pub fn of(path: &Path) -> Option<History> {
    let path = path.canonicalize().ok()?;
    let (folder, name) = (path.parent()?, path.file_name()?);
    top(folder).ok()??;
    let ask = |args: &[&str]| {
        let args = args.iter().map(OsStr::new).chain([OsStr::new("--"), name]);
        let args: Vec<&OsStr> = [OsStr::new(LITERAL)].into_iter().chain(args).collect();
        let output = run(folder, &args, &[]).ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let status = ["status", "--porcelain", "-z", "--ignore-submodules=all", "--ignored"];
    let is_uncommitted = !ask(&status)?.is_empty();
    // A signature would be checked by a program that the repository may name.
    let log = ["log", "--no-show-signature", "--max-count=1", "--format=%H%x00%an%x00%cI%x00%P"];
    // It fails where there is no commit at all.
    let answer = ask(&log).unwrap_or_default();
    let mut parts = answer.trim_end_matches('\n').split('\0').map(str::to_owned);
    let (commit, author, time) = (parts.next(), parts.next(), parts.next());
    let last = commit.zip(author).zip(time).map(|((commit, author), time)| Change {
        time,
        author,
        commit,
    });
    // Where a clone ends, everything seems to have changed.
    let is_first = parts.next().is_some_and(|parents| parents.is_empty());
    if is_first && is_shallow(folder) {
        return None;
    }
    Some(History { last, is_uncommitted })
}

/// Returns whether the repository of `directory` has only the newest part of its history.
fn is_shallow(directory: &Path) -> bool {
    let args = ["rev-parse", "--is-shallow-repository"].map(OsStr::new);
    run(directory, &args, &[]).is_ok_and(|output| output.stdout.trim_ascii_end() == b"true")
}
