//! why an item failed → one line on stderr and an exit status.

use std::fmt::Display;
use std::io::Write;
use std::sync::Mutex;

use vaultix_generator::escape;
use vaultix_generator::profile::Invalid;
use vaultix_generator::status::Status;

/// Why an item could not be placed: the text follows `cannot …: `.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The exit status if it is the only failure.
    pub status: Status,
    /// What is wrong, on which file, and what to do; one line.
    pub reason: String,
}

impl Failure {
    /// Returns the failure `reason`.
    pub fn new(status: Status, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }

    /// Returns a failure to do something with `path`: "cannot open /run/x: …".
    pub fn path(
        status: Status,
        verb: &str,
        path: impl AsRef<std::path::Path>,
        error: impl Display,
    ) -> Self {
        Self::new(status, format!("cannot {verb} {}: {error}", path.as_ref().display()))
    }

    /// Returns the failure to write `path`.
    pub fn write(path: impl AsRef<std::path::Path>, error: impl Display) -> Self {
        Self::path(Status::CantCreat, "write", path, error)
    }
}

impl From<&Invalid> for Failure {
    fn from(invalid: &Invalid) -> Self {
        Self::new(Status::Config, invalid.to_string())
    }
}

/// How important a line is, as a level of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is unusual, but was handled.
    Warning,
    /// Something worth knowing.
    Info,
}

impl Level {
    /// Returns its number in the journal.
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::Error => "3",
            Self::Warning => "4",
            Self::Info => "6",
        }
    }
}

/// The lines that this process has written, for the next run in the same switch.
static WRITTEN: Mutex<Vec<(Level, String)>> = Mutex::new(Vec::new());
/// Most lines that are kept of it.
const MAX_WRITTEN: usize = 100;

/// Returns the first lines that this process has written.
#[cfg(target_os = "linux")] // The desk does not ask.
pub(crate) fn written() -> Vec<(Level, String)> {
    WRITTEN.lock().map(|lines| lines.clone()).unwrap_or_default()
}

/// Writes `text` to stderr as one line, with its level in front when stderr is the journal.
///
/// A line that cannot be written is lost: there is nowhere else to report it.
pub fn log(level: Level, text: &str) {
    let text = escape::message(text);
    let mut line = String::new();
    if is_journal() {
        line.extend(["<", level.number(), ">"]);
    }
    line.extend(["vaultix-decrypt: ", &text, "\n"]);
    if let Ok(mut lines) = WRITTEN.lock()
        && lines.len() < MAX_WRITTEN
    {
        lines.push((level, text));
    }
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Returns whether stderr is connected to the journal.
///
/// Rule: systemd.exec(5), `JOURNAL_STREAM`: device and inode of the stream, in decimal, joined by a colon.
#[must_use]
pub fn is_journal() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    rustix::fs::fstat(std::io::stderr())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}
