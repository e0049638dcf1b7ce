//! the new text of a structured file → whether to save it, or to edit it again: what does not parse, no host gets a value of.

use std::path::Path;

use vaultix_generator::escape;
use vaultix_units::plaintext::Plaintext;

use super::input::Input;
use super::save::Save;
use crate::error::{Error, Result, Status};
use crate::structured::{Document, Format};
use crate::system::origin;
use crate::terminal::prompt::Question;

/// What a text is checked for.
pub(super) struct Check(Option<Format>);

/// What to do with a text.
pub(super) enum Next {
    Save,
    EditAgain,
}

impl Check {
    /// Checks for what the name of the file `path` says; for nothing if the user wants the text `as_is`, or the `old` one was
    /// not that either.
    pub(super) fn new(path: &Path, old: Option<&Plaintext>, as_is: bool) -> Self {
        let is_wanted = |format: &Format| {
            !as_is && old.is_none_or(|old| Document::parse(old.expose(), *format).is_ok())
        };
        Self(Format::of_file(path).filter(is_wanted))
    }

    /// Decides on `new`; asks the user if it is not what it should be.
    ///
    /// # Errors
    ///
    /// When it is not, and nobody can be asked, or the user does not want it saved. What was typed is kept.
    pub(super) fn decide(&self, new: &Plaintext, save: &Save) -> Result<Next> {
        let Some(format) = self.0 else { return Ok(Next::Save) };
        let Err(malformed) = Document::parse(new.expose(), format) else { return Ok(Next::Save) };
        let shown = escape::line(&origin::shown(save.path));
        let is_typed = *save.input == Input::User;
        let what = format!("the new text of {shown} is not {format}: {malformed}");
        let question = Question { what: &what, purpose: "", complaint: None };
        let other = if is_typed { "edit it again" } else { "leave the file as it was" };
        let refuse = |error: Error| save.refuse(error, new);
        match save.prompt.confirm(&question, "save it as it is", Some(other)).map_err(refuse)? {
            Some(true) => Ok(Next::Save),
            Some(false) if is_typed => Ok(Next::EditAgain),
            _ => {
                let what = format!("cannot save {}", save.path.display());
                let error = Error::new(Status::DataErr, what)
                    .because(format!("the new text is not {format}"))
                    .because(malformed)
                    .fix(format!("{} --as-is", save.command));
                Err(refuse(error))
            }
        }
    }
}
