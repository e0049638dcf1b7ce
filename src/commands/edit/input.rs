//! options + the old text → the new text, from an editor, standard input or another file.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use vaultix_units::bounded;
use vaultix_units::plaintext::Plaintext;
use zeroize::Zeroizing;

use crate::cli::Edit;
use crate::error::{Error, Result, Status};
use crate::report::Report;
use crate::system::input;
use crate::system::interrupt::Interrupt;
use crate::terminal::editor;

#[derive(PartialEq, Eq)]
pub(super) enum Input {
    /// The user's editor, which needs the old text.
    Editor,
    Stdin,
    /// A file, or a pipe that has a name.
    File(PathBuf),
}

impl Input {
    /// Chooses: what was asked for, or standard input where that is a pipe or a file, or the editor.
    ///
    /// A file that somebody has begun to read may be one that a loop reads names of secrets from: what is left of it is no
    /// new text unless asked for.
    pub(super) fn choose(args: &Edit) -> Result<Self> {
        match (&args.from, args.stdin) {
            (Some(_), true) => Err(Error::new(Status::Usage, "cannot read two new texts")
                .because("both --stdin and --from are given")),
            (Some(path), false) => Ok(Self::File(path.clone())),
            (None, true) => Ok(Self::Stdin),
            (None, false) => match stdin() {
                FileType::Fifo | FileType::Socket => Ok(Self::Stdin),
                FileType::RegularFile if rustix::fs::tell(io::stdin()) == Ok(0) => Ok(Self::Stdin),
                FileType::RegularFile => Err(Error::new(Status::Usage, cannot_edit(args))
                    .because("standard input is a file that was already read in part")
                    .fix("pass --stdin to save the rest of it, or add </dev/tty for the editor")),
                _ => Ok(Self::Editor),
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
            Self::Editor => {
                let empty = Plaintext::new(Vec::new());
                editor::edit(old.unwrap_or(&empty), &name(path), report, interrupt)
            }
            Self::Stdin => {
                if io::stdin().is_terminal() {
                    report.line("Type the new text, then Ctrl-D.");
                }
                let read = input::stdin(MAX_TEXT, interrupt);
                text(read, "the new text from standard input", interrupt)
            }
            Self::File(file) => {
                text(input::file(file, MAX_TEXT, Some(interrupt)), file.display(), interrupt)
            }
        }?;
        if new.expose().is_empty() {
            let from = if *self == Self::Stdin { ", from standard input," } else { "" };
            return Err(Error::new(Status::DataErr, format!("cannot save {}", path.display()))
                .because(format!("the new text{from} is empty")));
        }
        Ok(new)
    }
}

/// Returns what standard input is. Something was connected to it on purpose if it is neither a terminal nor
/// `/dev/null`.
fn stdin() -> FileType {
    rustix::fs::fstat(io::stdin())
        .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode))
}

/// Returns what fails where it is not clear what is wanted.
fn cannot_edit(args: &Edit) -> String {
    match &args.file {
        Some(path) => format!("cannot edit {}", path.display()),
        None => "cannot edit a secret".to_owned(),
    }
}

/// Largest new text, in bytes: encrypted and in armor, it still is a file that we read.
const MAX_TEXT: u64 = bounded::MAX_CIPHERTEXT / 2;

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
    fn a_text_is_called_what_it_is() {
        assert_eq!(name(Path::new("secrets/a.json.age")), "a.json");
        assert_eq!(name(Path::new("secrets/wifi")), "wifi");
        assert_eq!(name(Path::new(".age")), ".age");
    }
}
