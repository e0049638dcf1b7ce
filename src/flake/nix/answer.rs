//! nix → the JSON that it answers, what it warns of, or the reason why it does not.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;
use vaultix_generator::{escape, private};

use super::{COPY, is_around};
use crate::error::Error;
use crate::flake::git;
use crate::report::{self, Report, Verbosity};
use crate::system::program::{self, MAX_ANSWER};

/// Why nix gives no answer.
pub(super) enum NixFailure {
    /// Nix cannot be run.
    NotRun(String),
    /// Nix ran, and failed.
    Failed(String),
}

impl NixFailure {
    /// Makes it the reason of `what`.
    pub(super) fn into_error(self, what: Error) -> Error {
        let reason = match self {
            Self::NotRun(reason) => {
                return what.because(reason).fix("pass the profiles with --profile FILE");
            }
            Self::Failed(reason) => reason,
        };
        if let Some(path) = untracked(&reason) {
            let shown = report::relative(&path);
            let because = format!("git does not track {}, so Nix does not see it", shown.display());
            return what.because(reason).because(because).fix(track_command(&path));
        }
        let is_locked = reason.contains("--no-update-lock-file");
        let error = what.because(reason);
        if is_locked { error.fix("nix flake lock") } else { error }
    }
}

/// Runs `nix`, and reads the JSON that it answers. Prints what it warns of, each warning once in a run.
pub(super) fn run_json<T: DeserializeOwned>(
    nix: &mut Command,
) -> std::result::Result<T, NixFailure> {
    let run = program::output(nix.stdin(Stdio::null()), None, MAX_ANSWER)
        .map_err(|error| NixFailure::NotRun(format!("{}: {error}", nix.get_program().display())))?;
    let stderr = String::from_utf8_lossy(&run.stderr);
    if !run.status.success() {
        return Err(NixFailure::Failed(last_error(&stderr)));
    }
    report::detail(format_args!("evaluated it: {} bytes", run.stdout.len()));
    print_new(warnings(&stderr));
    serde_json::from_slice(&run.stdout).map_err(|error| NixFailure::Failed(private::reason(&error)))
}

/// Whether warnings are left out.
static IS_HUSHED: AtomicBool = AtomicBool::new(false);

/// Leaves out warnings of flakes: git runs us for each file of a diff, which the user may be reading in a pager.
pub fn hush() {
    IS_HUSHED.store(true, Ordering::Relaxed);
}

/// Warnings that were printed.
static PRINTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Prints those of `warnings` that were not printed before.
fn print_new(warnings: Vec<String>) {
    if IS_HUSHED.load(Ordering::Relaxed) {
        return;
    }
    let mut printed = PRINTED.lock().unwrap_or_else(PoisonError::into_inner);
    let new: Vec<String> = warnings.into_iter().filter(|one| printed.insert(one.clone())).collect();
    if !new.is_empty() {
        Report::new(Verbosity::Normal).message("nix", &new.join("\n"));
    }
}

/// How lines begin that a flake has Nix print, as opposed to what Nix says of itself.
const FROM_FLAKE: [&str; 2] = ["trace: ", "evaluation warning: "];

/// How lines begin that are not the rest of the one before.
const OWN: [&str; 5] = ["warning: ", "copying ", "fetching ", "evaluating ", "error: "];

/// Returns what a flake has Nix print, each on a line. `lib.warn` prints `trace: warning: `, in colours, and later versions of it
/// `evaluation warning: `.
fn warnings(stderr: &str) -> Vec<String> {
    let mut found: Vec<Vec<String>> = Vec::new();
    let mut is_kept = false;
    for line in stderr.lines().map(without_colours) {
        if let Some(rest) = FROM_FLAKE.iter().find_map(|start| line.strip_prefix(start)) {
            let levels = ["evaluation warning: ", "warning: "];
            let rest = levels.iter().find_map(|level| rest.strip_prefix(level)).unwrap_or(rest);
            found.push(vec![rest.to_owned()]);
            is_kept = true;
        } else if OWN.iter().any(|start| line.starts_with(start)) {
            is_kept = false;
        } else if let Some(last) = found.last_mut().filter(|_| is_kept) {
            last.push(line);
        }
    }
    found.iter().map(|lines| joined(lines.iter().map(String::as_str))).collect()
}

/// Returns `line` without the sequences that change colours.
fn without_colours(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let first = parts.next().unwrap_or_default();
    let rest = parts.map(|part| {
        let code = part.find(|c: char| c.is_ascii_alphabetic()).map_or(part.len(), |at| at + 1);
        part.get(code..).unwrap_or_default()
    });
    std::iter::once(first).chain(rest).collect()
}

/// What Nix says behind every reason: an option that we do not have.
const HINT: &str = "(use '--show-trace' to show detailed location information)";

/// Returns what Nix says last: its traces begin with the outermost place, and end with the reason.
fn last_error(text: &str) -> String {
    let is_reason = |line: &&str| !line.trim().is_empty() && line.trim() != HINT;
    let lines: Vec<&str> = text.lines().filter(is_reason).collect();
    let last = lines.iter().rposition(|line| line.trim_start().starts_with("error:"));
    let lines = lines.get(last.unwrap_or(0)..).unwrap_or_default();
    let start = |line: &&str| line.trim().trim_start_matches("error:").trim().to_owned();
    let first = lines.first().map(start).unwrap_or_default();
    let rest = lines.iter().skip(1).copied();
    joined(std::iter::once(first.as_str()).filter(|line| !line.is_empty()).chain(rest))
}

/// Joins `lines`, which may be messages of `nix/message.nix`, to one.
///
/// Any flake can throw such a text, so what it says to do is not our word.
fn joined<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for line in lines.map(str::trim).filter(|line| !line.is_empty()) {
        let (between, line) = if let Some(what) = line.strip_prefix("vaultix: ") {
            ("; ", what)
        } else if let Some(reason) = line.strip_prefix("because: ") {
            (": ", reason)
        } else if let Some(fix) = line.strip_prefix("to fix: ") {
            ("; the flake suggests: ", fix)
        } else {
            (" ", line)
        };
        if !text.is_empty() {
            text.push_str(between);
        }
        text.push_str(line.trim());
    }
    text
}

/// Returns the file that Nix misses, as `reason` says, if it is in the work tree: git does not track it.
fn untracked(reason: &str) -> Option<PathBuf> {
    let copy = COPY.get()?;
    let end = |text: &str| text.split(['\'', '"']).next().unwrap_or_default().to_owned();
    let (_, name) = reason.split_once(copy.path.to_str()?)?;
    let name = end(name.strip_prefix('/')?);
    let path = Path::new(&name);
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let path = copy.top.join(path);
    let is_here = is_plain && !name.is_empty() && path.symlink_metadata().is_ok();
    let is_in_repository = || git::top_around(&path).is_some_and(|top| top == copy.top);
    let is_missing = reason.contains("No such file") || reason.contains("does not exist");
    (is_here && is_missing && is_in_repository()).then_some(path)
}

/// Returns the command that has git track `path`.
fn track_command(path: &Path) -> String {
    let top = COPY.get().map_or(Path::new(""), |copy| &copy.top);
    if is_around(top) {
        return format!("git add --intent-to-add {}", escape::shell_path(report::relative(path)));
    }
    // From elsewhere, git does not find the repository by itself.
    let (top, path) = (escape::shell_path(top), escape::shell_path(path));
    format!("git -C {top} add --intent-to-add {path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_what_nix_says_last() {
        let text = "warning: Git tree is dirty\nerror:\n … while calling\n\n  error: file 'x' was not found\n  in y\n";
        assert_eq!(last_error(text), "file 'x' was not found in y");
        assert_eq!(last_error("nix: killed"), "nix: killed");
        assert_eq!(last_error(&format!("error: boo\n{HINT}\n")), "boo");
    }

    #[test]
    fn what_a_flake_suggests_is_not_our_word() {
        let text = "error: vaultix: a is b\n         because: c\n         to fix:  d\nvaultix: e\n";
        assert_eq!(last_error(text), "a is b: c; the flake suggests: d; e");
        assert_eq!(last_error("error: x; to fix: y"), "x; to fix: y");
    }

    #[test]
    fn only_what_a_flake_says_is_a_warning() {
        let stderr = "warning: Git tree '/x' is dirty\ntrace: \x1b[1;31mwarning: vaultix: a is b\n  because: c\n  to fix:  \
                      d\x1b[0m\nwarning: unknown setting 'y'\nrest of that\nevaluation warning: f\ntrace: evaluation warning: g\n\
                      trace: h\n";
        let found = warnings(stderr);
        assert_eq!(found, ["a is b: c; the flake suggests: d", "f", "g", "h"]);
        assert!(warnings("warning: Git tree '/x' is dirty\n").is_empty());
    }
}
