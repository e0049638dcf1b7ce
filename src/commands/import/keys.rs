//! command line + flake → identities that decrypt the legacy files, and recipients of the new secrets.

use std::path::Path;

use crate::cli::{Import, Scheme};
use crate::commands::import::readers::Known;
use crate::error::{Error, Result, Status};
use crate::flake::nix::Settings;
use crate::flake::workspace::{self, ParsedRecipients, Recipients};
use crate::keys::master::Master;
use crate::system::interrupt::Interrupt;
use crate::terminal::prompt::Prompt;

/// Identities that decrypt the legacy files, and recipients of the new secrets.
pub struct Keys {
    /// Identities that decrypt the legacy files.
    pub decrypting: Master,
    /// Identities whose recipients are encrypted to, if they are other ones.
    encrypting: Option<Master>,
    /// Recipients in addition to theirs.
    extra: ParsedRecipients,
}

impl Keys {
    /// Reads the identities to open with, and those of the flake: what was only needed for the legacy files has no
    /// part in the new ones. Where the flake has none, it is the former. The new files also have the recipients `extra`.
    ///
    /// # Errors
    ///
    /// When an identity or a recipient cannot be used, or there is none at all.
    pub fn read(
        args: &Import,
        settings: &Settings,
        root: &Path,
        extra: ParsedRecipients,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let decrypting = workspace::given_or(&args.identities, settings, root)?;
        let encrypting = workspace::given_or(&[], settings, root)?;
        if decrypting.is_empty() && encrypting.recipients.is_empty() && extra.has_none() {
            return Err(Error::new(Status::Usage, "cannot encrypt without a recipient").fix(
                "pass --identity FILE or --recipient RECIPIENT, or set vaultix.identity in the flake",
            ));
        }
        let has_other = !encrypting.is_empty() || !encrypting.recipients.is_empty();
        let is_other = has_other && encrypting.paths != decrypting.paths;
        let encrypting = is_other.then(|| Master::read(&encrypting, interrupt)).transpose()?;
        let mut decrypting = Master::read(&decrypting, interrupt)?;
        if args.scheme == Scheme::Sops {
            decrypting.convert_ssh();
        }
        Ok(Self { decrypting, encrypting, extra })
    }

    /// Returns what is known of recipients, with the keys of `hosts`. Asks for nothing.
    pub fn known(&self, hosts: Vec<String>) -> Known {
        let encrypting = self.encrypting.as_ref().unwrap_or(&self.decrypting);
        Known { own: self.decrypting.own_recipients(), new: encrypting.own_recipients(), hosts }
    }

    /// Returns the recipients to encrypt to.
    ///
    /// # Errors
    ///
    /// When an identity stays locked, and its recipient unknown.
    pub fn recipients<'a>(&mut self, prompt: &'a Prompt) -> Result<Recipients<'a>> {
        let extra = std::mem::take(&mut self.extra);
        extra.with(self.encrypting.as_mut().unwrap_or(&mut self.decrypting), prompt)
    }
}
