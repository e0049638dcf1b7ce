//! options → the new text of a file, or of one value in it: from the user, standard input or another file.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use vaultix_units::bounded;
use vaultix_units::plaintext::Plaintext;
use zeroize::Zeroizing;

use crate::error::{Error, Result, Status};
use crate::report::Report;
use crate::system::input;
use crate::system::interrupt::Interrupt;
use crate::terminal::editor;
use crate::terminal::prompt::{Prompt, Question};

#[derive(PartialEq, Eq)]
pub(super) enum Input {
    /// The user, who types it: in an editor, which needs the old text, or at a prompt.
    User,
    Stdin,
    /// A file, or a pipe that has a name.
    File(PathBuf),
}

impl Input {
    /// Chooses: what was asked for, or standard input where that is a pipe or a file, or the editor.
    ///
    /// A file that somebody has begun to read may be one that a loop reads names of secrets from: what is left of it is no
    /// new text unless asked for.
    pub(super) fn choose(
        stdin: bool,
        from: Option<&PathBuf>,
        what: impl FnOnce() -> String,
    ) -> Result<Self> {
        match (from, stdin) {
            (Some(_), true) => Err(Error::new(Status::Usage, "cannot read two new texts")
                .because("both --stdin and --from are given")),
            (Some(path), false) => Ok(Self::File(path.clone())),
            (None, true) => Ok(Self::Stdin),
            (None, false) => match kind_of_stdin() {
                FileType::Fifo | FileType::Socket => Ok(Self::Stdin),
                FileType::RegularFile if rustix::fs::tell(io::stdin()) == Ok(0) => Ok(Self::Stdin),
                FileType::RegularFile => Err(Error::new(Status::Usage, what())
                    .because("standard input is a file that was already read in part")
                    .fix("pass --stdin to save the rest of it, or add </dev/tty to type it")),
                _ => Ok(Self::User),
            },
        }
    }

    /// Returns the new text of the secret `path`, which is not empty, of which `old` is the one before.
    pub(super) fn read(
        &self,
        old: Option<&Plaintext>,
        path: &Path,
        report: &Report,
        interrupt: &Interrupt,
    ) -> Result<Plaintext> {
        let new = match self {
            Self::User => {
                let empty = Plaintext::new(Vec::new());
                editor::edit(old.unwrap_or(&empty), &name(path), report, interrupt)
            }
            Self::Stdin => from_stdin("text", report, interrupt),
            Self::File(file) => from_file(file, interrupt),
        }?;
        if new.expose().is_empty() {
            let from = if *self == Self::Stdin { ", from standard input," } else { "" };
            return Err(Error::new(Status::DataErr, format!("cannot save {}", path.display()))
                .because(format!("the new text{from} is empty")));
        }
        Ok(new)
    }

    /// Returns a new value, which is not empty; the user is asked for `what`.
    ///
    /// What a pipe or a file has is taken byte for byte, except for a line break after a single line: `echo` and most programs
    /// write one, and hardly any value ends with one.
    pub(super) fn value(&self, what: &str, report: &Report, prompt: &Prompt) -> Result<Plaintext> {
        let value = match self {
            Self::User => return ask(what, prompt),
            Self::Stdin => from_stdin("value", report, prompt.interrupt),
            Self::File(file) => from_file(file, prompt.interrupt),
        }?;
        let value = Plaintext::new(without_line_break(value.expose()).to_vec());
        if value.expose().is_empty() {
            let from = if *self == Self::Stdin { " from standard input" } else { "" };
            return Err(Error::new(Status::DataErr, format!("cannot save the {what}"))
                .because(format!("what was read{from} is empty")));
        }
        Ok(value)
    }
}

/// How often two values may differ.
const ATTEMPTS: usize = 3;

/// Asks for `what`, twice: nobody sees what is typed.
fn ask(what: &str, prompt: &Prompt) -> Result<Plaintext> {
    let none = |reason: &str| {
        Error::new(Status::DataErr, format!("cannot save the {what}"))
            .because(reason)
            .fix("pass it with --stdin, or --from FILE")
    };
    let mut complaint = None;
    for _ in 0..ATTEMPTS {
        let question = Question { what, purpose: "to save it", complaint };
        let once = prompt.secret(&question)?.ok_or_else(|| none("none was given"))?;
        let question = Question { what: "the value again", purpose: "to be sure", complaint: None };
        if prompt.secret(&question)?.is_some_and(|again| again == once) {
            return Ok(Plaintext::new(once.as_bytes().to_vec()));
        }
        complaint = Some("The values differ, try again.");
    }
    Err(none("they differ"))
}

/// Returns `value` without the line break after its only line.
fn without_line_break(value: &[u8]) -> &[u8] {
    let line = value.strip_suffix(b"\n").unwrap_or(value);
    if line.contains(&b'\n') { value } else { line.strip_suffix(b"\r").unwrap_or(line) }
}

fn from_stdin(what: &str, report: &Report, interrupt: &Interrupt) -> Result<Plaintext> {
    if io::stdin().is_terminal() {
        report.line(format_args!("Type the new {what}, then Ctrl-D."));
    }
    let read = input::stdin(bounded::MAX_PLAINTEXT, interrupt);
    text(read, format_args!("the new {what} from standard input"), interrupt)
}

fn from_file(file: &Path, interrupt: &Interrupt) -> Result<Plaintext> {
    text(input::file(file, bounded::MAX_PLAINTEXT, Some(interrupt)), file.display(), interrupt)
}

/// Returns what standard input is. Something was connected to it on purpose if it is neither a terminal nor
/// `/dev/null`.
fn kind_of_stdin() -> FileType {
    rustix::fs::fstat(io::stdin())
        .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode))
}

/// bytes that were read from `source` → plaintext.
fn text(
    read: io::Result<Zeroizing<Vec<u8>>>,
    source: impl Display,
    interrupt: &Interrupt,
) -> Result<Plaintext> {
    match read {
        Ok(mut bytes) => Ok(Plaintext::new(std::mem::take(&mut *bytes))),
        Err(_) if interrupt.is_set() => Err(interrupt.error()),
        Err(error) => {
            Err(Error::new(Status::NoInput, format!("cannot read {source}")).because(error))
        }
    }
}

/// Returns the name that the text has in the editor: the file's, without `.age`, so that it is coloured by
/// what it is.
fn name(path: &Path) -> OsString {
    let whole = path.file_name().unwrap_or(OsStr::new("secret"));
    match path.extension().filter(|extension| *extension == "age").and(path.file_stem()) {
        Some(stem) => stem.to_owned(),
        None => whole.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_line_has_no_line_break_after_it() {
        for (value, expected) in [
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a", "a"),
            ("a\n\n", "a\n\n"),
            ("a\nb\n", "a\nb\n"),
            ("\n", ""),
        ] {
            assert_eq!(without_line_break(value.as_bytes()), expected.as_bytes(), "{value:?}");
        }
    }

    #[test]
    fn a_text_is_called_what_it_is() {
        assert_eq!(name(Path::new("secrets/a.json.age")), "a.json");
        assert_eq!(name(Path::new("secrets/wifi")), "wifi");
        assert_eq!(name(Path::new(".age")), ".age");
    }
}
