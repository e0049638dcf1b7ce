//! a program + plaintexts that it may read → what it prints.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use rustix::process::{Pid, Signal};
use vaultix_units::bounded;
use vaultix_units::plaintext::Plaintext;

use crate::error::{Error, Result, Status};
use crate::report;
use crate::system::interrupt::Interrupt;
use crate::system::memory::{self, Directory};
use crate::system::{input, program};

/// Names the directory with the plaintexts of dependencies, to the program.
const VARIABLE: &str = "VAULTIX_DEPENDENCIES";

/// Most bytes that a program may print: what a secret may have.
const LIMIT: u64 = bounded::MAX_PLAINTEXT;

/// How much is kept of what a program says, in bytes (4 KiB): its last line is shown.
const TAIL: usize = 4096;

/// A dependency: its id, and its plaintext.
pub type Input<'a> = (&'a str, &'a Plaintext);

/// What a program is run with.
pub struct RunContext<'a> {
    /// Their working directory; empty for that of this process.
    pub root: &'a Path,
    pub interrupt: &'a Interrupt,
}

/// Runs `argv`, without a shell, and returns what it prints.
///
/// The plaintexts are in files of their ids, in a directory in memory that is gone when this returns.
///
/// # Errors
///
/// When the program cannot be run, fails, or prints nothing or too much.
pub fn run(argv: &[String], inputs: &[Input], context: &RunContext) -> Result<Plaintext> {
    let directory = Directory::new().map_err(|reason| {
        Error::new(Status::CantCreat, "cannot pass secrets to a command in memory")
            .because(reason)
            .fix(memory::FIX)
    })?;
    for (id, plaintext) in inputs {
        directory.write(Path::new(id), plaintext).map_err(|error| {
            let what = format!("cannot pass secret \"{id}\" to a command");
            Error::new(Status::CantCreat, what).because(error)
        })?;
    }
    let name = argv.first().map(String::as_str).unwrap_or_default();
    let failed = |why: &str| Error::new(Status::SomeFailed, format!("\"{name}\" {why}"));
    report::detail(format_args!("running {name}"));
    let child = spawn(argv, &directory.path, context.root).map_err(|error| {
        let error = failed("cannot be run").because(error);
        error.fix("install the program, or add its package to vaultix.extraPackages")
    })?;
    let done = watch(child, context.interrupt);
    if context.interrupt.is_set() {
        return Err(context.interrupt.error());
    }
    let done = done.map_err(|error| {
        let what = format!("the output of \"{name}\" cannot be used");
        Error::new(Status::SomeFailed, what).because(error)
    })?;
    if !done.status.success() {
        let error = failed(&format!("failed: {}", done.status));
        let secrets = inputs.iter().map(|(_, plaintext)| *plaintext).chain([&done.printed]);
        let words = done.last_words.map(|words| without(words, secrets));
        return Err(words.into_iter().fold(error, Error::because));
    }
    // Of white space alone, userborn makes a password that is empty.
    if done.printed.expose().trim_ascii().is_empty() {
        let printed = if done.printed.expose().is_empty() { "nothing" } else { "only white space" };
        return Err(failed(&format!("printed {printed}")));
    }
    Ok(done.printed)
}

fn spawn(argv: &[String], dependencies: &Path, root: &Path) -> io::Result<Child> {
    let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(arguments).env(VARIABLE, dependencies);
    if root != Path::new("") {
        command.current_dir(root);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

struct Finished {
    status: ExitStatus,
    printed: Plaintext,
    /// The last line of what it said.
    last_words: Option<String>,
}

/// Waits for a program, which is stopped when it prints too much, or on Ctrl-C.
fn watch(mut child: Child, interrupt: &Interrupt) -> io::Result<Finished> {
    let killed = program::kill_at_end(&child)?;
    // What it says is taken at the same time, or a full pipe would hold it up.
    let stderr = child.stderr.take();
    let listener = thread::spawn(move || stderr.and_then(last_words));
    let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let read = input::pipe(stdout.into(), LIMIT, interrupt);
    if read.is_err() {
        // It may have ended just now.
        let _ = rustix::process::kill_process(Pid::from_child(&child), Signal::TERM);
    }
    let status = child.wait()?;
    killed.forget();
    let last_words = listener.join().ok().flatten();
    let printed = Plaintext::new(std::mem::take(&mut *read?));
    Ok(Finished { status, printed, last_words })
}

/// Returns `words` without the lines of `secrets`, which programs like to quote when one of them is wrong.
fn without<'a>(words: String, secrets: impl Iterator<Item = &'a Plaintext>) -> String {
    /// What is shorter is part of many words, and says little.
    const SHORT: usize = 4;
    let lines = secrets.flat_map(|secret| secret.expose().split(|byte| *byte == b'\n'));
    let lines = lines.filter_map(|line| str::from_utf8(line.trim_ascii()).ok());
    lines
        .filter(|line| line.len() >= SHORT)
        .fold(words, |words, line| words.replace(line, "[a secret, not shown]"))
}

/// Reads all of `from`, and returns the last line that is not empty, if it can be shown.
fn last_words(from: impl Read) -> Option<String> {
    let text = String::from_utf8_lossy(&program::tail(from, TAIL)).into_owned();
    let line = text.lines().rfind(|line| !line.trim().is_empty())?;
    Some(report::printable(line))
}
