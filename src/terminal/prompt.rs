//! question → the user's answer, through pinentry or on the terminal.

mod pinentry;
mod saved;
mod tty;

use std::env;
use std::fmt::Display;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::error::{Error, Exit, Result, Status};
use crate::report::{self, Report};
use crate::system::interrupt::Interrupt;
use crate::system::program;
use tty::Terminal;

/// What the user types, wiped when dropped.
pub type Answer = Zeroizing<String>;

#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// What is asked for, such as `passphrase for keys/me.txt`.
    pub what: &'a str,
    /// What for, such as `to decrypt 3 secrets`.
    pub purpose: &'a str,
    /// What was wrong with the previous answer.
    pub complaint: Option<&'a str>,
}

#[derive(Clone, Copy)]
enum Kind<'a> {
    /// Typed without echo.
    Secret,
    /// Typed with echo.
    Public,
    /// A choice between these two words; without the second, the user only confirms having read the
    /// message.
    Choice(&'a str, Option<&'a str>),
}

pub struct Prompt<'a> {
    pub interrupt: &'a Interrupt,
    /// Where messages go.
    report: &'a Report,
}

impl<'a> Prompt<'a> {
    /// Prepares to ask; touches nothing yet.
    pub fn new(interrupt: &'a Interrupt, report: &'a Report) -> Self {
        Self { interrupt, report }
    }

    /// Shows the user a message of the program `speaker`.
    pub fn say(&self, speaker: &str, message: &str) {
        self.report.message(speaker, message);
    }

    /// Says why something is passed over.
    pub fn warn(&self, reason: &Error) {
        self.report.warning_of(reason);
    }

    /// Says what is done.
    pub fn note(&self, line: impl Display) {
        self.report.line(line);
    }

    /// Asks for something secret. Returns `None` if the user does not answer.
    ///
    /// # Errors
    ///
    /// When there is no way to ask, or the pinentry does not work.
    pub fn secret(&self, question: &Question) -> Result<Option<Answer>> {
        self.ask(question, Kind::Secret)
    }

    /// Asks for something that may be shown while it is typed.
    ///
    /// # Errors
    ///
    /// As [`Prompt::secret`].
    pub fn public(&self, question: &Question) -> Result<Option<Answer>> {
        self.ask(question, Kind::Public)
    }

    /// Asks to choose between `yes` and `no`; `None` if nobody can be asked. That must count as no: a plugin that
    /// waits for a device would otherwise ask forever.
    ///
    /// # Errors
    ///
    /// When the user interrupts.
    pub fn confirm(
        &self,
        question: &Question,
        yes: &str,
        no: Option<&str>,
    ) -> Result<Option<bool>> {
        match self.ask(question, Kind::Choice(yes, no)) {
            Ok(answer) => Ok(Some(answer.is_some())),
            Err(error) if matches!(error.exit, Exit::Signal(_)) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Asks through pinentry, or else on the terminal.
    fn ask(&self, question: &Question, kind: Kind) -> Result<Option<Answer>> {
        let mut reasons = Vec::new();
        if let Some(pinentry) = pinentry()? {
            let path = &pinentry.path;
            report::detail(format_args!(
                "asking for the {} through {}",
                question.what,
                path.display()
            ));
            match pinentry::ask(path, question, kind, self.interrupt) {
                Ok(answer) => return Ok(answer),
                Err(_) if self.interrupt.is_set() => return Err(self.interrupt.error()),
                Err(error) if pinentry.chosen == Chosen::ByUser => {
                    return Err(cannot_ask(question)
                        .because(format!("{} failed: {error}", path.display()))
                        .fix(
                            "set PINENTRY_PROGRAM to another one, or leave it empty for the terminal",
                        ));
                }
                Err(error) => reasons.push(format!("{} failed: {error}", path.display())),
            }
        }
        let Ok(terminal) = Terminal::open() else {
            let error = cannot_ask(question).because("there is no terminal and no pinentry");
            let error = reasons.into_iter().fold(error, Error::because);
            return Err(error.fix("run it in a terminal, or set PINENTRY_PROGRAM"));
        };
        terminal.ask(question, kind, self.interrupt).map_err(|error| {
            if self.interrupt.is_set() {
                self.interrupt.error()
            } else {
                cannot_ask(question).because(error)
            }
        })
    }
}

/// Returns whether there is a user who can be asked.
pub fn has_user() -> bool {
    matches!(pinentry(), Ok(Some(_))) || Terminal::open().is_ok()
}

fn cannot_ask(question: &Question) -> Error {
    Error::new(Status::NoPerm, format!("cannot ask for the {}", question.what))
}

struct Pinentry {
    path: PathBuf,
    chosen: Chosen,
}

/// Who chose a program.
#[derive(PartialEq, Eq)]
enum Chosen {
    /// The user, who will want to know if it does not work.
    ByUser,
    ByDefault,
}

/// Returns the pinentry to ask through, `None` for the terminal.
fn pinentry() -> Result<Option<Pinentry>> {
    let Some(name) = env::var_os("PINENTRY_PROGRAM") else {
        let path = program::find("pinentry");
        return Ok(path.map(|path| Pinentry { path, chosen: Chosen::ByDefault }));
    };
    if name.is_empty() {
        return Ok(None);
    }
    match program::find(&name) {
        Some(path) => Ok(Some(Pinentry { path, chosen: Chosen::ByUser })),
        None => Err(Error::new(
            Status::NoPerm,
            format!("cannot find the pinentry \"{}\"", name.display()),
        )
        .because("PINENTRY_PROGRAM names it, but there is no such program")
        .fix("set PINENTRY_PROGRAM to another one, or leave it empty for the terminal")),
    }
}
