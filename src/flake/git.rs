//! new files in a work tree → files that git, and so a flake, knows; and git without the programs that a repository names.

pub mod history;

pub mod attributes;
pub mod index;
pub mod restore;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use vaultix_generator::escape;

use crate::error::{Error, Result, Status};
use crate::report::{self, Report};
use crate::system::program::{self, MAX_ANSWER, Output};

/// Whether a flake sees the files.
pub enum Tracked {
    /// It sees them, or this is no work tree of git.
    Yes,
    /// It does not see them: git ignores them.
    Ignored,
}

/// Makes git aware of those of `files` that it does not know, without staging their content.
///
/// `files` are relative to `directory`. Does nothing where that is in no work tree.
///
/// # Errors
///
/// When git fails, in its own words.
pub fn track(directory: &Path, files: &BTreeSet<PathBuf>) -> Result<Tracked> {
    let found = is_work_tree(directory).map_err(|error| cannot_determine(directory).because(error));
    if !found? {
        return Ok(Tracked::Yes);
    }
    let unknown = git(directory, &[LITERAL, "ls-files", "--others", "-z"], &[])?.stdout;
    let unknown: Vec<&Path> = unknown
        .split(|byte| *byte == 0)
        .map(|name| Path::new(OsStr::from_bytes(name)))
        .filter(|name| files.contains(*name))
        .collect();
    introduce(directory, &unknown)
}

/// Returns the error for a directory that may or may not be in a work tree.
fn cannot_determine(directory: &Path) -> Error {
    let what = format!("cannot determine whether {} is in git", directory.display());
    Error::new(Status::CantCreat, what)
}

/// Makes git aware of the files `unknown` in `directory`, without staging their content.
fn introduce(directory: &Path, unknown: &[&Path]) -> Result<Tracked> {
    let Some(first) = unknown.first() else { return Ok(Tracked::Yes) };
    let check = ["check-ignore".as_ref(), "--quiet".as_ref(), "--".as_ref(), first.as_os_str()];
    if run(directory, &check, &[]).is_ok_and(|output| output.status.success()) {
        return Ok(Tracked::Ignored);
    }
    let list: Vec<u8> = unknown
        .iter()
        .flat_map(|name| name.as_os_str().as_bytes().iter().copied().chain([0]))
        .collect();
    let add = [LITERAL, "add", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul"];
    git(directory, &add, &list).map(|_| Tracked::Yes)
}

/// Makes git aware of the new files `paths`, wherever they are; warns where it ignores them. Returns what failed.
pub fn track_all<'a>(paths: impl IntoIterator<Item = &'a PathBuf>, report: &Report) -> Vec<Error> {
    let mut folders: BTreeMap<&Path, BTreeSet<PathBuf>> = BTreeMap::new();
    for path in paths {
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let names = folders.entry(folder.unwrap_or(Path::new("."))).or_default();
        names.extend(path.file_name().map(PathBuf::from));
    }
    let tracked = folders.iter().map(|(folder, names)| match track(folder, names)? {
        Tracked::Yes => Ok(()),
        Tracked::Ignored => {
            warn_ignored(folder, report);
            Ok(())
        }
    });
    tracked.filter_map(Result::err).collect()
}

/// Returns whether git tracks the file `path`, which has no links in it; also that of a submodule.
pub fn is_tracked(path: &Path) -> bool {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
    let args = [LITERAL, "ls-files", "--error-unmatch", "--"].map(OsStr::new);
    let args: Vec<&OsStr> = args.into_iter().chain([name]).collect();
    run(folder, &args, &[]).is_ok_and(|output| output.status.success())
}

/// Returns the files that git tracks below `top`, a top of a work tree, also in submodules, relative to it; none where
/// git cannot tell.
pub fn tracked(top: &Path) -> Vec<PathBuf> {
    list(top, &["ls-files", "--recurse-submodules", "-z"])
        .map(|name| PathBuf::from(OsStr::from_bytes(&name)))
        .collect()
}

/// Returns the submodules that are checked out below `top`, each with those of `commits` that it has.
pub fn submodules_with(top: &Path, commits: &[&str]) -> Vec<(PathBuf, Vec<String>)> {
    /// Mode of a submodule in the index, with the space behind it.
    const SUBMODULE: &[u8] = b"160000 ";
    // Only whether it is worth asking git, which looks for itself.
    if commits.is_empty() || !top.join(".gitmodules").exists() {
        return Vec::new();
    }
    let name = |entry: Vec<u8>| {
        let at = entry.iter().position(|byte| *byte == b'\t')?;
        let name = entry.starts_with(SUBMODULE).then(|| entry.get(at + 1..))??;
        Some(top.join(OsStr::from_bytes(name)))
    };
    let found = list(top, &["ls-files", "--stage", "-z"]).filter_map(name);
    // Those that are checked out: elsewhere, git would answer for the repository around it.
    let found = found.filter(|directory| directory.join(".git").exists());
    found.map(|directory| (directory.clone(), present(&directory, commits))).collect()
}

/// Returns those of `commits` that the repository of `directory` has.
fn present(directory: &Path, commits: &[&str]) -> Vec<String> {
    let is_commit = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let names: Vec<&str> = commits.iter().copied().filter(|name| is_commit(name)).collect();
    let names = names.join("\n") + "\n";
    let args = ["cat-file".as_ref(), "--batch-check".as_ref()];
    let Ok(output) = run(directory, &args, names.as_bytes()) else { return Vec::new() };
    let name = |line: &str| line.split_once(" commit ").map(|(name, _)| name.to_owned());
    String::from_utf8_lossy(&output.stdout).lines().filter_map(name).collect()
}

/// Returns what git in `directory` answers, in pieces that end with a zero byte; nothing where it fails.
fn list(directory: &Path, args: &[&str]) -> impl Iterator<Item = Vec<u8>> {
    let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
    let output = run(directory, &args, &[]).ok().filter(|output| output.status.success());
    let answer = output.map(|output| output.stdout).unwrap_or_default();
    let pieces: Vec<Vec<u8>> = answer.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    pieces.into_iter().filter(|piece| !piece.is_empty())
}

/// Says that git ignores files in `directory`.
pub fn warn_ignored(directory: &Path, report: &Report) {
    let directory = directory.display();
    report.warning(format_args!("git ignores files in {directory}, so a flake will not find them"));
}

fn is_work_tree(directory: &Path) -> io::Result<bool> {
    Ok(directory.try_exists()? && top(directory)?.is_some())
}

/// Returns the top of the work tree of git that `directory` is in, without links; git does not reach over the border of a
/// file system.
///
/// # Errors
///
/// The system's own.
pub fn top(directory: &Path) -> io::Result<Option<PathBuf>> {
    let path = directory.canonicalize()?;
    let device = path.metadata()?.dev();
    for parent in path.ancestors() {
        if parent.metadata()?.dev() != device {
            break;
        }
        if parent.join(".git").try_exists()? {
            return Ok(Some(parent.to_owned()));
        }
    }
    Ok(None)
}

/// Returns the top of the work tree that `path`, which has no links, is in or would be in; `None` outside
/// of one.
///
/// The name is only for commands that are shown: what is written is opened through the fence.
pub fn top_around(path: &Path) -> Option<PathBuf> {
    let directory = path.ancestors().find(|parent| parent.is_dir())?;
    top(directory).ok().flatten()
}

/// Settings that would have git run what a repository names, or take a directory of its files for another repository.
///
/// They are in files that are not committed, but come along in an archive.
const HARMLESS: [(&str, &str); 3] = [
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("safe.bareRepository", "explicit"),
];

/// How long git may take to tell settings: a file that is included may never end, or be a pipe that nobody writes to.
const QUICK: Duration = Duration::from_secs(10);

/// How long it may take to look through a work tree.
const LONG: Duration = Duration::from_secs(300);

/// Has each git that `command` runs in its directory do without programs that the repository there names.
///
/// # Errors
///
/// When git cannot tell the settings of the repository. Whoever runs git there would wait as well.
pub fn without_repository_programs(command: &mut Command) -> io::Result<&mut Command> {
    let directory = command.get_current_dir().unwrap_or(Path::new(".")).to_owned();
    let settings = safe_settings(&directory)?;
    Ok(configure(command, &settings))
}

fn harmless() -> Vec<(String, &'static str)> {
    HARMLESS.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect()
}

/// Returns the settings that have git in `directory` run nothing that the repository names.
fn safe_settings(directory: &Path) -> io::Result<Vec<(String, &'static str)>> {
    let mut settings = harmless();
    settings.extend(overridden(configuration(directory)?.own_keys));
    Ok(settings)
}

/// Has `command` run git with `settings`, after those that are there, which stay.
fn configure<'a>(command: &'a mut Command, settings: &[(String, &str)]) -> &'a mut Command {
    let count = |text: std::ffi::OsString| text.to_str()?.parse::<usize>().ok();
    let count = env::var_os("GIT_CONFIG_COUNT").and_then(count).unwrap_or(0);
    for (i, (key, value)) in (count..).zip(settings) {
        command.env(format!("GIT_CONFIG_KEY_{i}"), key);
        command.env(format!("GIT_CONFIG_VALUE_{i}"), value);
    }
    // What is missing in a partial clone would be fetched, by a program that the repository may name. Since git 2.45.
    command.env("GIT_NO_LAZY_FETCH", "1");
    command.env("GIT_CONFIG_COUNT", (count + settings.len()).to_string())
}

/// Returns the settings that take away what a repository says in these `keys`: filters, which run programs; and where objects
/// may be fetched on the way (gitglossary(7), "promisor") by a program or a helper of its own, all fetching.
fn overridden(keys: Vec<String>) -> Vec<(String, &'static str)> {
    const RISKY: [&str; 7] = [
        "core.sshcommand",
        "core.gitproxy",
        "core.askpass",
        "credential.",
        "protocol.",
        "url.",
        "http.",
    ];
    let is_promisor =
        |key: &String| key.starts_with("extensions.partialclone") || key.ends_with(".promisor");
    let is_risky = |key: &String| {
        RISKY.iter().any(|risky| key.starts_with(risky)) || key.ends_with(".uploadpack")
    };
    let fetches = keys.iter().any(is_promisor) && keys.iter().any(is_risky);
    let mut settings = Vec::new();
    for key in keys {
        if key.starts_with("filter.") {
            let value = if key.ends_with(".required") { "false" } else { "" };
            settings.push((key, value));
        } else if fetches && key.starts_with("protocol.") {
            settings.push((key, "never"));
        }
    }
    settings.extend(fetches.then(|| ("protocol.allow".to_owned(), "never")));
    settings
}

/// What git is told in a repository.
#[derive(Clone, Default)]
struct Configuration {
    /// The keys that the repository sets itself, in small letters but for the names in their middle.
    own_keys: Vec<String>,
    /// What `core.autocrlf` is set to, by anybody; empty for a key without a value, which means that it is true.
    autocrlf: Option<String>,
}

/// What git said of that in this run, or why it did not, by the work tree: each command asks it several times.
static CONFIGURATIONS: Mutex<BTreeMap<PathBuf, Answer>> = Mutex::new(BTreeMap::new());

/// What git said, or the kind and the words of the error.
type Answer = std::result::Result<Configuration, (io::ErrorKind, String)>;

/// Returns what git is told in the repository of `directory`; nothing where there is no repository, or no git.
fn configuration(directory: &Path) -> io::Result<Configuration> {
    let place = top(directory).ok().flatten().unwrap_or_else(|| directory.to_owned());
    let mut known = CONFIGURATIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let ask = || read_configuration(directory).map_err(|error| (error.kind(), error.to_string()));
    let answer = known.entry(place).or_insert_with(ask);
    answer.clone().map_err(|(kind, reason)| io::Error::new(kind, reason))
}

fn read_configuration(directory: &Path) -> io::Result<Configuration> {
    let mut git = pinned(directory);
    git.args(["config", "--null", "--show-scope", "--list"]);
    let output = match program::output_within(QUICK, &mut git, None, MAX_ANSWER) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Configuration::default());
        }
        output => output?,
    };
    let mut parts = output.stdout.split(|byte| *byte == 0);
    let mut found = Configuration::default();
    while let (Some(scope), Some(setting)) = (parts.next(), parts.next()) {
        let setting = String::from_utf8_lossy(setting);
        let (key, value) = setting.split_once('\n').unwrap_or((&setting, ""));
        if matches!(scope, b"local" | b"worktree") {
            found.own_keys.push(key.to_owned());
        }
        // The last one counts.
        if key == "core.autocrlf" {
            found.autocrlf = Some(value.to_owned());
        }
    }
    Ok(found)
}

/// Prepares to run git in `directory`, on the repository whose work tree that is in, by its `.git` at the top: a directory of
/// files that look like a repository is none, whatever has been committed there.
fn pinned(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory);
    if let Ok(Some(top)) = top(directory) {
        command.arg("--git-dir").arg(top.join(".git")).arg("--work-tree").arg(top);
    }
    for name in LOCAL {
        command.env_remove(name);
    }
    command
}

/// Returns all values of `key` in the user's own settings, or in the system's, as paths: none of what a repository says.
///
/// # Errors
///
/// When git fails, in its own words.
pub fn own_paths(key: &str) -> io::Result<Vec<PathBuf>> {
    own_values(key, &["--type=path"]).map(|texts| texts.into_iter().map(PathBuf::from).collect())
}

/// The same, as they are.
///
/// # Errors
///
/// When git fails, in its own words.
pub fn own_texts(key: &str) -> io::Result<Vec<OsString>> {
    own_values(key, &[])
}

fn own_values(key: &str, options: &[&str]) -> io::Result<Vec<OsString>> {
    let mut git = Command::new("git");
    git.args(["config", "--null", "--show-scope"]).args(options).args(["--get-all", key]);
    // Outside of any repository.
    let output = program::output_within(QUICK, git.current_dir("/"), None, MAX_ANSWER)?;
    let mut parts = output.stdout.split(|byte| *byte == 0);
    let mut values = Vec::new();
    while let (Some(scope), Some(value)) = (parts.next(), parts.next()) {
        if matches!(scope, b"global" | b"system" | b"command") {
            values.push(OsStr::from_bytes(value).to_owned());
        }
    }
    Ok(values)
}

/// Returns what git says here of programs that show files as text, and of whether it keeps what they show: keys and values, as
/// `--null` prints them. Without git, nothing.
///
/// # Errors
///
/// When it cannot be asked.
pub fn texts_kept() -> io::Result<Vec<u8>> {
    let mut git = Command::new("git");
    git.args(["config", "--null", "--get-regexp", r"^diff\..*\.(cache)?textconv$"]);
    match program::output_within(QUICK, &mut git, None, MAX_ANSWER) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        output => Ok(output?.stdout),
    }
}

/// Variables that name another repository than that of the directory where git runs; in hooks, that of the commit.
///
/// The list of `git rev-parse --local-env-vars` without settings, which git also hands on to submodules.
const LOCAL: [&str; 12] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    INDEX,
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// The index that a commit is made from.
const INDEX: &str = "GIT_INDEX_FILE";

/// Prepares to run git in `directory`, on the repository there.
fn command(directory: &Path) -> io::Result<Command> {
    let settings = safe_settings(directory)?;
    let mut command = plain(directory, &settings);
    let index = env::var_os(INDEX)
        .and_then(|index| commit_index(plain(directory, &settings), Path::new(&index)));
    if let Some(index) = index {
        command.env(INDEX, index);
    }
    Ok(command)
}

/// Prepares the same with `settings`, where no commit is made.
fn plain(directory: &Path, settings: &[(String, &str)]) -> Command {
    let mut command = pinned(directory);
    configure(&mut command, settings);
    // Nothing that is done here needs another machine.
    command.env("GIT_ALLOW_PROTOCOL", "");
    command
}

/// Returns the path of `index`, if it is one of the repository in which `git` runs: while a commit is made, what goes
/// into the ordinary index may be refused.
fn commit_index(mut git: Command, index: &Path) -> Option<PathBuf> {
    git.args(["rev-parse", "--absolute-git-dir"]).stdin(Stdio::null());
    let output = program::output_within(QUICK, &mut git, None, MAX_ANSWER).ok()?;
    let repository = Path::new(OsStr::from_bytes(output.stdout.trim_ascii_end()));
    // A relative one is that of the top of the work tree; from elsewhere, the ordinary one will do.
    let index = index.canonicalize().ok()?;
    (index.parent() == Some(&repository.canonicalize().ok()?)).then_some(index)
}

/// Has git take names of files as they are. `check-ignore` does so without it, and fails with it.
const LITERAL: &str = "--literal-pathspecs";

/// How long it may take to list what it knows of some folders.
const LISTING: Duration = Duration::from_secs(30);

/// Runs a command of git in `directory` that lists something and runs no filter: so what the repository says of those need not
/// be asked before.
fn list_within(
    time: Duration,
    directory: &Path,
    args: &[&OsStr],
    input: &[u8],
) -> io::Result<Output> {
    if env::var_os(INDEX).is_some() {
        return run_within(time, directory, args, input);
    }
    let mut git = plain(directory, &harmless());
    program::output_within(time, git.args(args), Some(input), MAX_ANSWER)
}

/// The same, where git sees neither files of the work tree nor what is staged.
fn list_alone(
    time: Duration,
    directory: &Path,
    args: &[&OsStr],
    input: &[u8],
) -> io::Result<Output> {
    /// A directory where nobody can make a file.
    const EMPTY: &str = "/dev/fd";
    let mut git = Command::new("git");
    git.arg("-C").arg(directory).arg("--git-dir").arg(directory.join(".git"));
    git.args(["--work-tree", EMPTY]);
    for name in LOCAL {
        git.env_remove(name);
    }
    git.env(INDEX, Path::new(EMPTY).join("none"));
    configure(&mut git, &harmless());
    git.env("GIT_ALLOW_PROTOCOL", "");
    program::output_within(time, git.args(args), Some(input), MAX_ANSWER)
}

/// Runs git in `directory` with `input`, whatever comes of it.
fn run(directory: &Path, args: &[&OsStr], input: &[u8]) -> io::Result<Output> {
    run_within(LONG, directory, args, input)
}

/// The same, where it may take as long as `time`.
fn run_within(
    time: Duration,
    directory: &Path,
    args: &[&OsStr],
    input: &[u8],
) -> io::Result<Output> {
    let mut git = command(directory)?;
    git.args(args);
    program::output_within(time, &mut git, Some(input), MAX_ANSWER)
}

fn git(directory: &Path, args: &[&str], input: &[u8]) -> Result<Output> {
    let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
    git_for(directory, directory, &args, input)
}

/// Runs git in `directory` with `input`, to add the new files in `shown`.
fn git_for(shown: &Path, directory: &Path, args: &[&OsStr], input: &[u8]) -> Result<Output> {
    answered(shown, directory, args, || run(directory, args, input))
}

/// Does what `run` does, which is to run git with `args` in `directory`, to add the new files in `shown`.
fn answered(
    shown: &Path,
    directory: &Path,
    args: &[&OsStr],
    run: impl FnOnce() -> io::Result<Output>,
) -> Result<Output> {
    let what = || {
        Error::new(
            Status::CantCreat,
            format!("cannot add the new files in {} to git", shown.display()),
        )
        .fix(format!("git add --intent-to-add {}", escape::shell_path(shown)))
    };
    let words: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    report::detail(format_args!("running git {} in {}", words.join(" "), directory.display()));
    let output = run().map_err(|error| what().because(format!("git: {error}")))?;
    if output.status.success() {
        Ok(output)
    } else {
        let words = String::from_utf8_lossy(&output.stderr);
        Err(what().because(words.lines().next().unwrap_or("git failed")))
    }
}
