//! a file → its last change, as git has it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{LITERAL, run, top};
use crate::system::input;
use crate::system::program::MAX_ANSWER;

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

/// Returns when a commit last changed each of `paths`, which are below `top` and relative to it, in seconds since 1970; `None`
/// where only the oldest commit of a clone without the rest of its history has it. Those that no commit has, or that differ from
/// the last one, are left out.
pub fn last_changes(top: &Path, paths: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, Option<u64>> {
    /// How many are asked for at once: a command line has an end.
    const AT_ONCE: usize = 500;
    const HEADER: &[u8] = b"commit:";
    let name = |piece: &[u8]| PathBuf::from(OsStr::from_bytes(piece));
    let mut found = BTreeMap::new();
    let oldest: BTreeSet<Vec<u8>> = shallow(top);
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    for some in paths.chunks(AT_ONCE) {
        let ask = |words: &[&str]| {
            let mut args = vec![OsStr::new(LITERAL)];
            args.extend(words.iter().map(OsStr::new));
            args.push(OsStr::new("--"));
            args.extend(some.iter().map(|path| path.as_os_str()));
            let output = run(top, &args, &[]).ok().filter(|output| output.status.success());
            output.map(|output| output.stdout).unwrap_or_default()
        };
        let log = ask(&[
            "log",
            "--no-show-signature",
            "--no-renames",
            "--name-only",
            "-z",
            "--format=commit:%ct:%H",
        ]);
        let mut time = None;
        for piece in log.split(|byte| *byte == 0) {
            let piece = piece.strip_prefix(b"\n").unwrap_or(piece);
            if let Some(header) = piece.strip_prefix(HEADER) {
                let header = String::from_utf8_lossy(header);
                let (seconds, commit) = header.split_once(':').unwrap_or_default();
                time = seconds.parse().ok().filter(|_| !oldest.contains(commit.as_bytes()));
            } else if !piece.is_empty() {
                found.entry(name(piece)).or_insert(time);
            }
        }
        let changed = ask(&["diff", "--name-only", "--no-ext-diff", "--no-textconv", "-z", "HEAD"]);
        for piece in changed.split(|byte| *byte == 0) {
            found.remove(&name(piece));
        }
    }
    found
}

/// Returns the commits of `top` whose parents are not there.
fn shallow(top: &Path) -> BTreeSet<Vec<u8>> {
    let args = ["rev-parse", "--path-format=absolute", "--git-path", "shallow"].map(OsStr::new);
    let output = run(top, &args, &[]).map(|output| output.stdout).unwrap_or_default();
    let path = Path::new(OsStr::from_bytes(output.trim_ascii_end()));
    let text = input::file(path, MAX_ANSWER, None).unwrap_or_default();
    text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}
