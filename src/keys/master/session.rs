//! headers of files + identities → the file keys that these unwrap. A file is *closed* as long as
//! it has none.

use std::fmt::Display;

use age::{Identity, ssh};
use age_core::format::Stanza;
use rayon::prelude::*;
use vaultix_units::stanza::{self, Recipient};

use crate::error::{Error, Result, Status};
use crate::keys::plugin;
use crate::keys::unwrapped::Unwrapped;
use crate::report;
use crate::terminal::prompt::Prompt;

/// The file keys of the files to decrypt.
pub struct Session {
    /// One for each file, in order.
    pub keys: Vec<Unwrapped>,
    /// Why some identities were not tried.
    pub skipped: Vec<Error>,
}

impl Session {
    /// Starts with `count` closed files.
    pub(super) fn new(count: usize) -> Self {
        let keys = std::iter::repeat_with(Unwrapped::default).take(count).collect();
        Self { keys, skipped: Vec::new() }
    }

    /// Prints how many files are open after `what` was tried.
    pub(super) fn report_progress(&self, what: impl Display) {
        let (open, all) =
            (self.keys.iter().filter(|key| !key.is_closed()).count(), self.keys.len());
        report::detail(format_args!("tried {what}: {open} of {all} secrets are decrypted"));
    }

    /// Tries `identities` on each file that is still closed.
    pub(super) fn try_identities(
        &mut self,
        files: &[Vec<Stanza>],
        identities: &[&(dyn Identity + Sync)],
    ) {
        if identities.is_empty() {
            return;
        }
        self.keys.par_iter_mut().zip(files).filter(|(key, _)| key.is_closed()).for_each(
            |(key, stanzas)| key.set(identities.iter().find_map(|one| one.unwrap_stanzas(stanzas))),
        );
    }

    /// Asks a plugin to open the files that are still closed.
    pub(super) fn try_plugin(
        &mut self,
        name: &str,
        identities: &[String],
        files: &[Vec<Stanza>],
        prompt: &Prompt,
    ) -> Result<()> {
        let closed: Vec<plugin::ClosedFile> = (0..)
            .zip(files)
            .zip(&self.keys)
            .filter(|((_, file), key)| {
                key.is_closed() && file.iter().any(|stanza| stanza.tag != "scrypt")
            })
            .map(|((index, file), _)| (index, file.as_slice()))
            .collect();
        if closed.is_empty() {
            return Ok(());
        }
        let opened = plugin::open(name, identities, &closed, prompt)?;
        for (index, key) in opened.keys {
            if let Some(slot) = self.keys.get_mut(index) {
                slot.set(Some(Ok(key)));
            }
        }
        let mut words: Vec<String> = opened.failures.into_iter().map(|(_, words)| words).collect();
        words.sort_unstable();
        words.dedup();
        let failures = words.into_iter().map(|words| {
            Error::new(Status::NoPerm, format!("cannot use the plugin {name}")).because(words)
        });
        self.skipped.extend(failures.chain(opened.session_failure));
        Ok(())
    }

    /// Counts the closed files that an identity could open: all but those with a passphrase.
    pub(super) fn count_closed(&self, files: &[Vec<Stanza>]) -> usize {
        self.count_matching(files, |stanza| stanza.kind != "scrypt")
    }

    /// Counts the closed files with a stanza for the ssh key `public`.
    pub(super) fn count_closed_for(&self, files: &[Vec<Stanza>], public: &ssh::Recipient) -> usize {
        let wanted = stanza::parse_ssh_key(&public.to_string());
        self.count_matching(files, |stanza| Some(stanza) == wanted.as_ref())
    }

    /// Counts the closed files with a stanza for any X25519 recipient: a stanza does not show which
    /// one.
    pub(super) fn count_closed_of_x25519(&self, files: &[Vec<Stanza>]) -> usize {
        self.count_matching(files, |stanza| stanza.kind == "X25519")
    }

    /// Counts the closed files with a stanza that matches `fit`.
    fn count_matching(&self, files: &[Vec<Stanza>], fit: impl Fn(&Recipient) -> bool) -> usize {
        let closed = self.keys.iter().zip(files).filter(|(key, _)| key.is_closed());
        closed
            .filter(|(_, file)| file.iter().filter_map(Recipient::new).any(|one| fit(&one)))
            .count()
    }
}
