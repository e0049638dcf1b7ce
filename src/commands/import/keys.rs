//! command line + flake → who opens the old files, and to whom the new ones are encrypted.

use std::path::Path;

use crate::cli::Import;
use crate::error::{Error, Exit, Result};
use crate::flake::nix::Settings;
use crate::flake::workspace;
use crate::keys::master::Master;
use crate::keys::recipient::Parsed;
use crate::system::interrupt::Interrupt;
use crate::terminal::prompt::Prompt;

/// Who opens the old files, and who shall be able to open the new ones.
pub struct Keys {
    /// Identities that open.
    pub opening: Master,
    /// Identities whose recipients are encrypted to, if they are other ones.
    sealing: Option<Master>,
    /// Recipients beside theirs.
    extra: Vec<Parsed>,
}

impl Keys {
    /// Reads the identities to open with, and those of the flake: what only served to open the old files has no
    /// part in the new ones. Where the flake has none, it is the former.
    ///
    /// # Errors
    ///
    /// When an identity or a recipient cannot be used, or there is none at all.
    pub fn read(
        args: &Import,
        settings: &Settings,
        root: &Path,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let opening = workspace::given_or(&args.identities, settings, root)?;
        let sealing = workspace::given_or(&[], settings, root)?;
        let extra = [&settings.extra_recipients[..], &args.recipients[..]].concat();
        if opening.is_empty() && extra.is_empty() {
            return Err(Error::new(Exit::Usage, "cannot encrypt to nobody").fix(
                "pass --identity FILE or --recipient RECIPIENT, or set vaultix.identity in the flake",
            ));
        }
        let is_other = !sealing.is_empty() && sealing != opening;
        let sealing = is_other.then(|| Master::read(&sealing, interrupt)).transpose()?;
        Ok(Self {
            opening: Master::read(&opening, interrupt)?,
            sealing,
            extra: workspace::extra(&extra)?,
        })
    }

    /// Returns the recipients to encrypt to.
    ///
    /// # Errors
    ///
    /// When an identity stays locked, and its recipient unknown.
    pub fn recipients(&mut self, prompt: &Prompt) -> Result<Vec<Parsed>> {
        let extra = std::mem::take(&mut self.extra);
        self.sealing.as_mut().unwrap_or(&mut self.opening).recipients(extra, prompt)
    }
}
