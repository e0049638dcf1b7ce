//! Lines for people on standard error, answers for programs on standard output.

use std::borrow::Cow;
use std::env;
use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Serialize;
use vaultix_generator::{escape, private};
use vaultix_units::failure::is_journal;

use crate::error::{self, Error, Exit, Result, Status};

/// How much is printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// A line for each thing done.
    Normal,
    /// Only failures and the summary.
    Quiet,
}

/// Prints lines for people, to standard error. Answers for programs go to standard output.
pub struct Report {
    /// Whether to leave out the lines for things done.
    quiet: bool,
    /// Who reads them.
    reader: Reader,
}

/// Most lines that another program may say at once.
const MAX_LINES: usize = 64;

/// Who reads standard error.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// A person, at a terminal with colours.
    Colour,
    /// A person, at a plain terminal.
    Plain,
    /// The journal, which wants a level in front of each line.
    Journal,
    /// A file or another program.
    Program,
}

impl Report {
    /// Checks once who reads standard error.
    pub fn new(verbosity: Verbosity) -> Self {
        let plain = || {
            env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
                || env::var_os("TERM").is_some_and(|term| term == "dumb")
        };
        let reader = match io::stderr().is_terminal() {
            true if plain() => Reader::Plain,
            true => Reader::Colour,
            false if is_journal() => Reader::Journal,
            false => Reader::Program,
        };
        let quiet = verbosity == Verbosity::Quiet;
        if quiet {
            IS_QUIET.store(true, Ordering::Relaxed);
        }
        Self { quiet, reader }
    }

    fn is_watched(&self) -> bool {
        matches!(self.reader, Reader::Colour | Reader::Plain)
    }

    /// Prints that something was done.
    pub fn line(&self, line: impl Display) {
        if !self.quiet {
            write_line(line);
        }
    }

    /// Prints that something is odd, but was handled.
    pub fn warning(&self, line: impl Display) {
        let line = error::fact(&line.to_string());
        write_lines(format_args!("{}vaultix: {line}", self.level("<4>")));
    }

    /// Says that something failed that is not needed.
    pub fn warning_of(&self, error: &Error) {
        write_lines(format_args!("{}vaultix: {error:#}", self.level("<4>")));
    }

    /// Prints what the program `speaker` says; none of its lines looks like one of ours.
    pub fn message(&self, speaker: &str, text: &str) {
        let level = self.level("<5>");
        let text = printable(text);
        let mut left = MAX_LINES;
        for line in text.trim_end().split('\n') {
            let Some(next) = left.checked_sub(1) else {
                return write_lines(format_args!("{level}{speaker}: \u{2026}"));
            };
            left = next;
            write_lines(format_args!("{level}{speaker}: {}", escape::message(line)));
        }
    }

    /// Returns `level` where the journal wants one.
    fn level(&self, level: &'static str) -> &'static str {
        if self.reader == Reader::Journal { level } else { "" }
    }

    /// Prints an error: on a terminal each fact on its own line, elsewhere all on one.
    pub fn error(&self, error: &Error) {
        match self.reader {
            Reader::Colour => write_lines(format_args!("\x1b[1;31mvaultix:\x1b[0m {error}")),
            Reader::Plain => write_lines(format_args!("vaultix: {error}")),
            Reader::Journal => write_lines(format_args!("<3>vaultix: {error:#}")),
            Reader::Program => write_lines(format_args!("vaultix: {error:#}")),
        }
    }

    pub fn errors(&self, errors: &[Error]) {
        for error in errors {
            self.error(error);
        }
    }

    /// Prints the failures and the summary; returns how the run ends.
    pub fn finish(&self, failures: &[Error], line: &str) -> Exit {
        self.errors(failures);
        match failures.len() {
            0 => summary(line),
            failed => summary(format_args!("{line}, {failed} failed")),
        }
        error::common_exit(failures)
    }

    /// Starts to count up to `total`; only a terminal shows it.
    pub fn progress(&self, what: &'static str, total: usize) -> Progress {
        Progress {
            what,
            total,
            shown: self.is_watched() && !self.quiet,
            done: AtomicUsize::new(0),
            started: Instant::now(),
            last: AtomicU64::new(0),
        }
    }
}

/// When the program began to print each step; unset if it does not.
static SINCE: OnceLock<Instant> = OnceLock::new();

/// Turns [`detail`] on.
pub fn enable_details() {
    SINCE.get_or_init(Instant::now);
}

/// With `--verbose`, prints what was read, run, opened or made, and the seconds since the start.
///
/// # Security
///
/// Only for names: never pass a plaintext, a key or what the user typed.
pub fn detail(line: impl Display) {
    if let Some(since) = SINCE.get() {
        let line = error::fact(&line.to_string());
        write_lines(format_args!("{}{:8.3}  {line}", level(), since.elapsed().as_secs_f64()));
    }
}

/// Prints the last line of a run, even with `--quiet`.
pub fn summary(line: impl Display) {
    write_line(line);
}

/// Writes an answer to standard output. If the reader has gone away, that is not an error.
///
/// # Errors
///
/// When it cannot be written.
pub fn answer(text: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(Status::CantCreat, "cannot print").because(error))
        }
        _ => Ok(()),
    }
}

/// Writes `lines` as an answer, escaped so that each stays on its own line.
///
/// # Errors
///
/// When they cannot be written.
pub fn answer_lines(lines: impl Iterator<Item = String>) -> Result<()> {
    let mut text = String::new();
    for line in lines {
        let line = error::without_fix(&escape::line(&line));
        let _ = writeln!(text, "{}", begun(&line)); // Writing to a String cannot fail.
    }
    answer(text.as_bytes())
}

/// Writes `value` as JSON, as an answer. Characters that a terminal does not show themselves are escaped: it means the same.
///
/// # Errors
///
/// When it cannot be written.
pub fn answer_json(value: &impl Serialize) -> Result<()> {
    let mut text = String::new();
    for character in serde_json::to_string(value).unwrap_or_default().chars() {
        if escape::is_hidden(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}"); // Writing to a String cannot fail.
            }
        } else {
            text.push(character);
        }
    }
    answer((text + "\n").as_bytes())
}

/// Returns `text` without private keys, and without characters that would move the cursor, or
/// change colours or the direction of text.
pub fn printable(text: &str) -> String {
    private::hide(text)
        .chars()
        .filter(|character| !escape::is_hidden(*character) || *character == '\n')
        .collect()
}

/// How many names a line lists (10).
const MAX_LISTED: usize = 10;

/// Lists `names` for a line, the first few of many: `a, b and 3 more`.
pub fn list(names: &[String]) -> String {
    let listed = names.iter().take(MAX_LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_LISTED) {
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}

/// Returns how wide an answer may be: the width of its terminal, or 80 columns elsewhere.
pub fn columns() -> usize {
    terminal_columns().unwrap_or(DEFAULT_COLUMNS)
}

/// How wide a terminal is that does not say it.
const DEFAULT_COLUMNS: usize = 80;

/// Returns the width of the terminal that answers go to; `None` where they go elsewhere.
pub fn terminal_columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(if size.ws_col > 0 { size.ws_col.into() } else { DEFAULT_COLUMNS })
}

/// Writes `line` to standard error, escaped so that it stays on one line.
fn write_line(line: impl Display) {
    write_lines(format_args!("{}{}", level(), begun(&error::fact(&line.to_string()))));
}

/// Returns the level of what is no trouble, where the journal wants one.
fn level() -> &'static str {
    if is_journal() { "<6>" } else { "" }
}

/// Returns `line` so that it does not begin as a message of ours, one of its further lines, or a level of the journal does: a
/// name may stand there that somebody else chose.
fn begun(line: &str) -> Cow<'_, str> {
    let is_forged = line.starts_with("vaultix:")
        || line.starts_with(|first: char| first == '<' || first.is_whitespace());
    let mut rest = line.chars();
    match rest.next().filter(|_| is_forged) {
        Some(first) => format!("{}{}", first.escape_unicode(), rest.as_str()).into(),
        None => line.into(),
    }
}

fn write_lines(line: std::fmt::Arguments) {
    let mut text = String::new();
    let _ = writeln!(text, "{line}"); // Writing to a String cannot fail.
    // In one write, so that lines of other programs do not get in between. If standard error is
    // closed, nothing can be done about it.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Milliseconds between two updates of a progress line.
const INTERVAL_MILLIS: u64 = 100;

/// A line that counts while work goes on, in any number of threads.
pub struct Progress {
    what: &'static str,
    /// How many steps there are.
    total: usize,
    /// Whether the line is shown at all.
    shown: bool,
    /// How many steps are done.
    done: AtomicUsize,
    started: Instant,
    /// When the line was last written, in milliseconds since `started`.
    last: AtomicU64,
}

impl Progress {
    pub fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if !self.shown {
            return;
        }
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let last = self.last.load(Ordering::Relaxed);
        // Nothing is shown during the first interval, so that short work shows no progress.
        let due = now.saturating_sub(last) >= INTERVAL_MILLIS;
        let mine =
            || self.last.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if due && mine() {
            let rate = (done as u64).saturating_mul(1000) / now.max(1);
            let text = format!("\r\x1b[K{}: {done} of {} ({rate}/s)", self.what, self.total);
            let _ = io::stderr().write_all(text.as_bytes()); // Nobody watches then.
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown && self.last.load(Ordering::Relaxed) > 0 {
            let _ = io::stderr().write_all(b"\r\x1b[K"); // Nobody watches then.
        }
    }
}

/// A line that shows how long something takes that says nothing itself.
pub struct Waiting {
    /// Dropped to end it.
    end: Option<Sender<()>>,
    shown: Option<JoinHandle<()>>,
}

/// Whether such a line is shown already: there is one terminal.
static IS_WAITING: AtomicBool = AtomicBool::new(false);

/// Set when a [`Report`] is made that leaves out what is done.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// Shows `what` with the seconds that it takes, from the first on, until the result is dropped; only on a terminal.
pub fn waiting(what: String) -> Waiting {
    let is_shown = SINCE.get().is_none()
        && !IS_QUIET.load(Ordering::Relaxed)
        && Report::new(Verbosity::Normal).is_watched()
        && !IS_WAITING.swap(true, Ordering::Relaxed);
    if !is_shown {
        return Waiting { end: None, shown: None };
    }
    let (end, ended) = mpsc::channel();
    let show = move || {
        let started = Instant::now();
        let mut is_written = false;
        while ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
            is_written = true;
            let what = error::fact(&what);
            let text = format!("\r\x1b[K{what}: {} s", started.elapsed().as_secs());
            let _ = io::stderr().write_all(text.as_bytes()); // Nobody watches then.
        }
        if is_written {
            let _ = io::stderr().write_all(b"\r\x1b[K"); // Nobody watches then.
        }
    };
    Waiting { end: Some(end), shown: Some(thread::spawn(show)) }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.end = None;
        if let Some(shown) = self.shown.take() {
            let _ = shown.join(); // It does not panic.
            IS_WAITING.store(false, Ordering::Relaxed);
        }
    }
}

/// Returns `path` relative to the working directory, if it is below it.
pub fn relative(path: &Path) -> PathBuf {
    let here = env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_begins_a_line_but_no_message() {
        for (line, expected) in [
            ("secrets/wifi.age: rekeyed", "secrets/wifi.age: rekeyed"),
            ("- nix flake lock", "- nix flake lock"),
            ("vaultix.age: rekeyed", "vaultix.age: rekeyed"),
            ("", ""),
            ("vaultix: cannot", r"\u{76}aultix: cannot"),
            ("<3>x", r"\u{3c}3>x"),
            ("  because: x", r"\u{20} because: x"),
            ("\u{3000}x", r"\u{3000}x"),
        ] {
            assert_eq!(begun(line), expected, "{line:?}");
        }
    }
}
