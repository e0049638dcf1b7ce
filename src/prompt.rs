//! question → what the user answers, through pinentry or on the terminal.

mod pinentry;
mod terminal;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::{Error, Exit, Result};
use crate::interrupt::Interrupt;
use terminal::Terminal;

/// What the user types, wiped when dropped.
pub type Answer = Zeroizing<String>;

/// A question for something secret.
pub struct Question<'a> {
    /// What is asked for, like `passphrase of keys/me.txt`.
    pub what: &'a str,
    /// What for, like `to open 3 secrets`.
    pub purpose: &'a str,
    /// What was wrong with the answer before this one.
    pub complaint: Option<&'a str>,
}

/// The ways to a user.
pub struct Prompt<'a> {
    /// Lets Ctrl-C through.
    interrupt: &'a Interrupt,
}

impl<'a> Prompt<'a> {
    /// Prepares to ask; touches nothing yet.
    pub fn new(interrupt: &'a Interrupt) -> Self {
        Self { interrupt }
    }

    /// Asks for something secret. Returns `None` if the user does not want to say it.
    ///
    /// # Errors
    ///
    /// When there is no way to ask, or the program to ask with does not work.
    pub fn secret(&self, question: &Question) -> Result<Option<Answer>> {
        let mut reasons = Vec::new();
        if let Some(program) = program()? {
            let path = &program.path;
            match pinentry::secret(path, question, self.interrupt) {
                Ok(answer) => return Ok(answer),
                Err(_) if self.interrupt.is_set() => return Err(self.interrupt.error()),
                Err(error) if program.chosen == Chosen::ByUser => {
                    return Err(cannot_ask(question)
                        .because(format!("{} failed: {error}", path.display()))
                        .fix(
                            "set PINENTRY_PROGRAM to another one, or to nothing for the terminal",
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
        terminal.secret(question, self.interrupt).map_err(|error| {
            if self.interrupt.is_set() {
                self.interrupt.error()
            } else {
                cannot_ask(question).because(error)
            }
        })
    }
}

/// Returns the error of a question that nobody can be asked.
fn cannot_ask(question: &Question) -> Error {
    Error::new(Exit::NoPermission, format!("cannot ask for the {}", question.what))
}

/// A pinentry.
struct Program {
    /// Where it is.
    path: PathBuf,
    /// Who says so.
    chosen: Chosen,
}

/// Who chose a program.
#[derive(PartialEq, Eq)]
enum Chosen {
    /// The user, who will want to know that it does not work.
    ByUser,
    /// Its name.
    ByDefault,
}

/// Returns the pinentry to ask through, `None` for the terminal.
fn program() -> Result<Option<Program>> {
    match env::var_os("PINENTRY_PROGRAM") {
        Some(name) if name.is_empty() => Ok(None),
        Some(name) => match find(&name) {
            Some(path) => Ok(Some(Program { path, chosen: Chosen::ByUser })),
            None => Err(Error::new(
                Exit::NoPermission,
                format!("cannot find the pinentry \"{}\"", name.display()),
            )
            .because("PINENTRY_PROGRAM names it, but there is no such program")
            .fix("set PINENTRY_PROGRAM to another one, or to nothing for the terminal")),
        },
        None => {
            Ok(find(&"pinentry".into()).map(|path| Program { path, chosen: Chosen::ByDefault }))
        }
    }
}

/// Returns the path of the program `name`, searched for in `PATH` if it has no slash.
pub fn find(name: &OsString) -> Option<PathBuf> {
    let is_program = |path: &Path| {
        path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
    };
    if Path::new(name).components().count() > 1 {
        return Some(PathBuf::from(name)).filter(|path| is_program(path));
    }
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(name))
        .find(|path| is_program(path))
}
