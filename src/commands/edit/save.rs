//! the new text + recipients → the secret's file; or else a copy next to it, or the editor again. The text is never lost.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use age::Recipient;
use age::armor::Format;
use vaultix_generator::escape;
use vaultix_units::plaintext::Plaintext;

use super::input::Input;
use crate::error::{Error, Result, Status};
use crate::files::replace::Replacement;
use crate::files::secret::{self, Secret, cannot_encrypt};
use crate::keys::plugin;
use crate::keys::recipient::{self, ParsedRecipient};
use crate::report::{self, Report};
use crate::terminal::prompt::{self, Prompt, Question};

/// Whom a secret is encrypted to.
pub(super) struct Recipients<'a> {
    /// All of them, those of plugins last.
    all: Vec<Box<dyn Recipient + 'a>>,
    /// How many of them need no plugin.
    ours: usize,
}

impl<'a> Recipients<'a> {
    /// Takes `parsed`, for the command line `command`, and makes sure that the secret `path` can be encrypted to them, as far as that is known without
    /// asking for a device: what somebody types after this is not typed for nothing.
    pub(super) fn new(
        parsed: Vec<ParsedRecipient>,
        path: &Path,
        command: &str,
        prompt: &'a Prompt,
    ) -> Result<Self> {
        if parsed.is_empty() {
            return Err(cannot_encrypt(Status::Usage, path)
                .because("there is neither an identity nor a recipient")
                .fix(format!("{command} --identity FILE")));
        }
        let (ours, plugins): (Vec<_>, Vec<_>) =
            parsed.into_iter().partition(|one| one.plugin().is_none());
        let names: BTreeSet<&str> = plugins.iter().filter_map(ParsedRecipient::plugin).collect();
        for name in names {
            plugin::find(name)?;
        }
        let mut all = recipient::group_by_plugin(ours, prompt);
        let ours = all.len();
        if ours > 0 {
            let nothing = Plaintext::new(Vec::new());
            secret::encrypt(path, &nothing, &all, &Format::Binary)?;
        }
        all.extend(recipient::group_by_plugin(plugins, prompt));
        Ok(Self { all, ours })
    }

    fn ours(&self) -> &[Box<dyn Recipient + 'a>] {
        self.all.get(..self.ours).unwrap_or_default()
    }
}

/// Where a text is that could not be saved.
pub(super) enum Unsaved {
    /// In a file next to the secret's.
    Kept(Error),
    /// Nowhere but here.
    InMemory(Error),
}

/// All that it takes to save a text.
pub(super) struct Save<'a> {
    pub path: &'a Path,
    pub before: Option<&'a Secret>,
    pub recipients: Recipients<'a>,
    pub input: &'a Input,
    /// What to run again if the secret changes in the meantime.
    pub command: &'a str,
    pub prompt: &'a Prompt<'a>,
}

impl Save<'_> {
    /// Encrypts `new`, and puts it in the place of the secret by way of `replacement`.
    pub(super) fn save(
        &self,
        new: &Plaintext,
        mut replacement: Replacement,
    ) -> std::result::Result<(), Unsaved> {
        self.encrypt(new, &self.recipients.all, &mut replacement).map_err(Unsaved::InMemory)?;
        let before = self.before.map(|before| before.digest.as_str());
        replacement.persist_if_unchanged(before, self.command).map_err(|error| {
            let kept = (*self.input == Input::User).then(|| replacement.keep().ok()).flatten();
            match kept {
                Some(kept) => Unsaved::Kept(with_kept_path(error, &kept)),
                None => Unsaved::InMemory(error),
            }
        })
    }

    /// Writes `new` into `replacement`, encrypted to `recipients`.
    fn encrypt(
        &self,
        new: &Plaintext,
        recipients: &[Box<dyn Recipient + '_>],
        replacement: &mut Replacement,
    ) -> Result<()> {
        let format = self.before.map_or(&Format::Binary, |before| &before.format);
        let ciphertext = secret::encrypt(self.path, new, recipients, format);
        if self.prompt.interrupt.is_set() {
            return Err(self.prompt.interrupt.error());
        }
        replacement.write(&ciphertext?)
    }

    /// Returns if `new`, which is not saved, is to be edited again.
    ///
    /// # Errors
    ///
    /// Why it is not saved, where it was never typed, is kept now, nobody can be asked, or the user gives it up.
    pub(super) fn offer_another_edit(
        &self,
        unsaved: Unsaved,
        new: &Plaintext,
        report: &Report,
    ) -> Result<()> {
        let error = match unsaved {
            Unsaved::Kept(error) => return Err(error),
            Unsaved::InMemory(error) if *self.input != Input::User => return Err(error),
            Unsaved::InMemory(error) => error,
        };
        let signal = self.prompt.interrupt.signal();
        self.prompt.interrupt.forget();
        match self.keep(new) {
            Ok(Some(kept)) => return Err(with_kept_path(error, &kept)),
            Ok(None) => report.error(&error),
            Err(reason) => {
                report.error(&error);
                report.error(&reason);
            }
        }
        let lost = || error.because("the new text is lost");
        if signal.is_some_and(|signal| signal != 2) || !prompt::has_user() {
            return Err(lost());
        }
        let path = escape::line(&self.path.display().to_string());
        let what = format!("the new text of {path} is not saved");
        let question = Question { what: &what, purpose: "", complaint: None };
        if self.prompt.confirm(&question, "discard it", Some("edit it again"))? == Some(true) {
            return Err(lost());
        }
        Ok(())
    }

    /// Refuses `new` because of `error`: keeps it next to the secret if the user has typed it.
    pub(super) fn refuse(&self, error: Error, new: &Plaintext) -> Error {
        if *self.input != Input::User {
            return error;
        }
        self.prompt.interrupt.forget();
        match self.keep(new) {
            Ok(Some(kept)) => with_kept_path(error, &kept),
            Ok(None) => error.because("the new text is lost"),
            Err(reason) => error.because_of(reason).because("the new text is lost"),
        }
    }

    /// Keeps `new` next to the secret, encrypted to those recipients that need no plugin; `None` where there are none.
    fn keep(&self, new: &Plaintext) -> Result<Option<PathBuf>> {
        if self.recipients.ours().is_empty() {
            return Ok(None);
        }
        let mut replacement = Replacement::new(self.path)?;
        self.encrypt(new, self.recipients.ours(), &mut replacement)?;
        let failed =
            |error| Error::new(Status::CantCreat, "cannot keep the new text").because(error);
        replacement.keep().map(Some).map_err(failed)
    }
}

/// Says with `error` that what was typed is in `kept`.
fn with_kept_path(error: Error, kept: &Path) -> Error {
    let kept = report::relative(kept);
    error.because(format!("the new text is in {}, encrypted", kept.display()))
}
