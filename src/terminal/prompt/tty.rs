//! question → a line typed on the terminal, without echo.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::{Answer, Kind, Question};
use crate::report::printable;
use crate::system::interrupt::Interrupt;
use crate::system::terminal;
use crate::system::undo::Undo;

/// Longest answer, in bytes: a terminal returns no longer line, see `termios(3)`.
const MAX_LINE: usize = 4096;

/// The terminal of the session, even if standard input and output are redirected.
pub(super) struct Terminal(File);

impl Terminal {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub(super) fn open() -> io::Result<Self> {
        File::options().read(true).write(true).open(terminal::path()).map(Self)
    }

    /// Asks; `None` if the terminal hung up, the line is empty, or the choice is no.
    ///
    /// # Errors
    ///
    /// The system's own, and any when `interrupt` is set.
    pub(super) fn ask(
        &self,
        question: &Question,
        kind: Kind,
        interrupt: &Interrupt,
    ) -> io::Result<Option<Answer>> {
        let what = printable(&capitalised(question.what));
        let purpose = printable(question.purpose);
        if let Some(complaint) = question.complaint {
            writeln!(&self.0, "{}", printable(complaint))?;
        }
        match kind {
            Kind::Secret => {
                let echo_off = EchoOff::new(&self.0)?;
                write!(&self.0, "{what} ({purpose}): ")?;
                let line = self.line(interrupt);
                drop(echo_off);
                writeln!(&self.0)?;
                line
            }
            Kind::Public => {
                write!(&self.0, "{what} ({purpose}): ")?;
                self.line(interrupt)
            }
            Kind::Choice(yes, None) => {
                write!(&self.0, "{what} [Enter: {}] ", printable(yes))?;
                self.line(interrupt).map(|_| Some(Answer::default()))
            }
            Kind::Choice(yes, Some(no)) => {
                write!(&self.0, "{what} [y: {}, n: {}] ", printable(yes), printable(no))?;
                Ok(self.line(interrupt)?.filter(|line| line.starts_with(['y', 'Y'])))
            }
        }
    }

    /// Reads one line, without its newline.
    fn line(&self, interrupt: &Interrupt) -> io::Result<Option<Answer>> {
        let mut bytes = Zeroizing::new([0; MAX_LINE]);
        if !interrupt.wait(self.0.as_fd())? {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = rustix::io::read(&self.0, &mut bytes[..])?;
        let line = bytes.get(..length).unwrap_or_default();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let text = str::from_utf8(line)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the answer is not UTF-8"))?;
        Ok((!text.is_empty()).then(|| Zeroizing::new(text.to_owned())))
    }
}

/// Returns `text` with a capital letter at its start.
fn capitalised(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

/// A terminal that does not show what is typed, until this is dropped.
struct EchoOff(#[expect(dead_code, reason = "kept until then")] Undo);

impl EchoOff {
    /// Turns echo off, and discards what was typed before the question.
    fn new(terminal: &File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
        silent.local_modes.insert(LocalModes::ICANON | LocalModes::ISIG);
        // If the user suspends us, the shell turns echo on, and it would still be on when we
        // continue.
        for key in [SpecialCodeIndex::VSUSP, SpecialCodeIndex::VQUIT] {
            silent.special_codes[key] = terminal::NO_KEY;
        }
        let restored = terminal.try_clone()?;
        let echo_off = Self(Undo::with(move || {
            // If the terminal is gone, there is nothing to restore.
            let _ = tcsetattr(&restored, OptionalActions::Drain, &before);
        }));
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(echo_off)
    }
}
