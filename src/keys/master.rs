//! the user's identity files + headers of many files → their file keys, in one session.
//!
//! Each key is unlocked at most once in a run, and only if it is needed: a passphrase costs a
//! prompt and a second of computing.

mod session;
mod unlock;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use age::Identity;
use age_core::format::Stanza;
use vaultix_generator::{escape, private};
use vaultix_units::stanza::{self, Recipient};
use vaultix_units::{bounded, stack};

use crate::error::{Error, Exit, Result, Status};
use crate::keys::identity::{self, Key};
use crate::keys::identity_files::IdentityFiles;
use crate::keys::recipient::{self, ParsedRecipient};
use crate::report;
use crate::system::input;
use crate::system::interrupt::Interrupt;
use crate::terminal::prompt::Prompt;
pub use session::Session;
use unlock::unlock;

pub struct Master {
    /// The keys, in the order in which they were given.
    entries: Vec<LoadedKey>,
    /// Recipients named in comments, each with its file.
    comments: Vec<(PathBuf, String)>,
    /// Identity files that only decrypt: nothing is encrypted to them any more.
    old: BTreeSet<PathBuf>,
    /// The identities that `ssh-to-age` makes from the ssh keys.
    converted: Vec<age::x25519::Identity>,
    /// Whether to use these.
    converts_ssh: bool,
    /// What was asked for.
    files: IdentityFiles,
    /// Why some of the files cannot be used.
    missing: Vec<Error>,
    /// Those of these reasons that the user is still to be told.
    warnings: Vec<Error>,
    /// Whether the user was told that there is no identity to compare recipients with.
    has_told: bool,
}

struct LoadedKey {
    path: PathBuf,
    key: Key,
}

impl Master {
    /// Reads the identity `files`, which may be pipes. Does not prompt.
    ///
    /// One that cannot be used is passed over if there is another. If the flake says the recipients of its identities, there
    /// need not be any: new secrets can be made.
    ///
    /// # Errors
    ///
    /// Names the first file that cannot be read, or is not an identity file.
    pub fn read(files: &IdentityFiles, interrupt: &Interrupt) -> Result<Self> {
        let mut master = Self {
            entries: Vec::new(),
            comments: Vec::new(),
            old: BTreeSet::new(),
            converted: Vec::new(),
            converts_ssh: false,
            files: files.clone(),
            missing: Vec::new(),
            warnings: Vec::new(),
            has_told: false,
        };
        for path in &files.paths {
            let Err(error) = master.read_one(path, interrupt) else { continue };
            if error.exit != Exit::Failed(Status::NoPerm) {
                return Err(error);
            }
            // Those of others, and of other machines, are not here.
            if files.is_given || path.symlink_metadata().is_ok() {
                master.warnings.push(error.clone());
            } else {
                report::detail(format_args!("{} is not on this machine", path.display()));
            }
            master.missing.push(error);
        }
        let needs_one = files.is_given || files.recipients.is_empty();
        match master.missing.first() {
            Some(error) if master.entries.is_empty() && needs_one => Err(error.clone()),
            _ => Ok(master),
        }
    }

    /// Also decrypts files for the recipients that `ssh-to-age` makes from the ssh keys. Encrypting
    /// still uses the ssh keys themselves.
    pub fn convert_ssh(&mut self) {
        self.converts_ssh = true;
    }

    /// Also reads the identity files `paths`, which decrypt secrets but are no longer recipients.
    ///
    /// # Errors
    ///
    /// As [`Master::read`].
    pub fn read_old(&mut self, paths: &[PathBuf], interrupt: &Interrupt) -> Result<()> {
        self.old.extend(paths.iter().cloned());
        paths.iter().try_for_each(|path| self.read_one(path, interrupt))
    }

    fn read_one(&mut self, path: &Path, interrupt: &Interrupt) -> Result<()> {
        ensure_path(path)?;
        let what = || {
            let what = format!("cannot use the identity file {}", path.display());
            Error::new(Status::NoPerm, what)
        };
        let read = input::file(path, bounded::MAX_IDENTITY, Some(interrupt));
        let text = read.map_err(|error| match error.kind() {
            _ if interrupt.is_set() => interrupt.error(),
            io::ErrorKind::NotFound if self.files.is_given || self.old.contains(path) => {
                what().because("it does not exist")
            }
            io::ErrorKind::NotFound => {
                let word = escape::shell_path(path);
                what().because("it does not exist").fix(format!(
                    "pass the file where yours is with --identity FILE; or, if you have none: vaultix init --identity {word}"
                ))
            }
            _ => what().because(error),
        })?;
        let found = stack::wiped(|| identity::parse(&text));
        let found = found.map_err(|why| match why.fix(path) {
            Some(convert) => what().because(why).fix(convert),
            None => what().because(why),
        })?;
        let count = found.keys.len();
        report::detail(format_args!("read {} for identities: {count}", path.display()));
        self.add(path, found, self.entries.len());
        Ok(())
    }

    /// Tells the user, once, which files are passed over.
    fn warn(&mut self, prompt: &Prompt) {
        self.warnings.drain(..).for_each(|error| prompt.warn(&error));
    }

    /// Inserts the keys from the file `path` before entry `at`.
    fn add(&mut self, path: &Path, found: identity::Identities, at: usize) {
        let entries = found.keys.into_iter().map(|key| LoadedKey { path: path.to_owned(), key });
        self.entries.splice(at..at, entries);
        self.converted.extend(found.converted);
        self.comments.extend(found.recipients.into_iter().map(|text| (path.to_owned(), text)));
    }

    /// Returns the file keys for these headers, as far as the identities can decrypt them.
    ///
    /// Asks for a passphrase only if it may decrypt a file that is still closed.
    ///
    /// # Errors
    ///
    /// When the user interrupts. Identities that could not be unlocked are in [`Session::skipped`].
    pub fn open(&mut self, files: &[Vec<Stanza>], prompt: &Prompt) -> Result<Session> {
        self.warn(prompt);
        let mut session = self.try_unlocked(files);
        if self.entries.is_empty() {
            session.skipped.extend(self.missing.iter().cloned());
        }
        let mut asked = BTreeSet::new();
        let mut at = 0;
        while let Some(entry) = self.entries.get(at) {
            let left = match &entry.key {
                Key::LockedSsh(_, public) => session.count_closed_for(files, public),
                Key::LockedFile(_) => session.count_closed(files),
                Key::Plugin(identity) if asked.insert(identity.plugin().to_owned()) => {
                    let name = identity.plugin();
                    session.try_plugin(name, &self.plugin_identities(name), files, prompt)?;
                    session.report_progress(format_args!("the plugin {name}"));
                    0
                }
                Key::Native(_) | Key::PostQuantum(_) | Key::Ssh(_) | Key::Plugin(_) => 0,
            };
            if left == 0 {
                at += 1;
                continue;
            }
            let secrets = if left == 1 { "secret" } else { "secrets" };
            match unlock(entry, &format!("to decrypt {left} {secrets}"), prompt) {
                Ok(found) => {
                    self.try_keys(found.keys.iter(), &found.converted, files, &mut session);
                    session.report_progress(entry.path.display());
                    let LoadedKey { path, .. } = self.entries.remove(at);
                    self.add(&path, found, at);
                }
                Err(error) if matches!(error.exit, Exit::Signal(_)) => return Err(error),
                Err(error) => {
                    session.skipped.push(error);
                    at += 1;
                }
            }
        }
        session.skipped.extend(self.unconverted(files, &session));
        Ok(session)
    }

    /// Returns why ssh keys that might decrypt what is still closed were not converted.
    fn unconverted(&self, files: &[Vec<Stanza>], session: &Session) -> Vec<Error> {
        let is_needed = self.converts_ssh && session.count_closed_of_x25519(files) > 0;
        let locked = self.entries.iter().filter(|entry| {
            matches!(&entry.key, Key::LockedSsh(_, public) if matches!(**public, age::ssh::Recipient::SshEd25519(..)))
        });
        let cannot = |entry: &LoadedKey| {
            let path = entry.path.display();
            Error::new(Status::NoPerm, format!("cannot make an age key of {path}"))
                .because("it has a passphrase")
                .fix(format!(
                    "ssh-to-age -private-key -i {} -o KEY, and pass --identity KEY",
                    escape::shell_path(&entry.path)
                ))
        };
        locked.filter(|_| is_needed).map(cannot).collect()
    }

    /// Returns the file keys for these headers; `None` if a file stays closed that an identity with
    /// a prompt might decrypt.
    pub fn open_without_prompt(&self, files: &[Vec<Stanza>]) -> Option<Session> {
        let session = self.try_unlocked(files);
        let is_open = session.keys.iter().all(|key| !key.is_closed());
        let has_asked = self.entries.iter().all(|entry| entry.key.as_unlocked().is_some());
        (is_open || has_asked).then_some(session)
    }

    /// Returns whether it is certain, without asking, that no identity opens a file with the header `file`.
    pub fn is_closed_to(&self, file: &[Stanza]) -> bool {
        let recipients: Vec<Recipient> = file.iter().filter_map(Recipient::new).collect();
        let may_open = |entry: &LoadedKey| match &entry.key {
            Key::Native(_) | Key::PostQuantum(_) | Key::Ssh(_) => false,
            Key::LockedSsh(_, public) => stanza::parse_ssh_key(&public.to_string())
                .is_none_or(|wanted| recipients.contains(&wanted)),
            Key::LockedFile(_) | Key::Plugin(_) => true,
        };
        let opens = |key: &(dyn Identity + Sync)| key.unwrap_stanzas(file).is_some();
        let mut unlocked = self.entries.iter().filter_map(|entry| entry.key.as_unlocked());
        !self.entries.iter().any(may_open) && !unlocked.any(opens)
    }

    /// Returns the recipients of the identities as texts, as far as they are known without asking: none that a plugin
    /// makes of an identity.
    pub fn own_recipients(&self) -> BTreeSet<String> {
        let entries = self.entries.iter().filter(|entry| !self.old.contains(&entry.path));
        let own = entries.clone().filter_map(|entry| Some(entry.key.recipient()?.text()));
        let files: BTreeSet<&Path> = entries.map(|entry| entry.path.as_path()).collect();
        let commented = self.comments.iter().filter(|(path, _)| files.contains(path.as_path()));
        own.chain(commented.map(|(_, text)| recipient::canonical(text))).collect()
    }

    /// Returns the files with old identities, each with their recipients as far as they are known without asking.
    pub fn old_recipients(&self) -> Vec<(&Path, BTreeSet<String>)> {
        self.old.iter().map(|path| (path.as_path(), self.known_of(path))).collect()
    }

    /// Returns whether an old identity opens a file with the header `file`; `None` where that is not known without asking.
    pub fn is_open_to_old(&self, file: &[Stanza]) -> Option<bool> {
        let recipients: Vec<Recipient> = file.iter().filter_map(Recipient::new).collect();
        let opens = |entry: &LoadedKey| match &entry.key {
            Key::LockedSsh(_, public) => stanza::parse_ssh_key(&public.to_string())
                .map(|wanted| recipients.contains(&wanted)),
            key => key.as_unlocked().map(|key| key.unwrap_stanzas(file).is_some()),
        };
        let old = self.entries.iter().filter(|entry| self.old.contains(&entry.path));
        let answers: Vec<Option<bool>> = old.map(opens).collect();
        if answers.contains(&Some(true)) {
            return Some(true);
        }
        answers.iter().all(Option::is_some).then_some(false)
    }

    /// Tries the identities that need no prompt.
    fn try_unlocked(&self, files: &[Vec<Stanza>]) -> Session {
        let mut session = Session::new(files.len());
        let keys = self.entries.iter().map(|entry| &entry.key);
        self.try_keys(keys, &self.converted, files, &mut session);
        session.report_progress("identities that need no passphrase");
        session
    }

    /// Tries those of `keys` that are not locked, and the `converted` ones if they are used.
    fn try_keys<'a>(
        &self,
        keys: impl Iterator<Item = &'a Key>,
        converted: &'a [age::x25519::Identity],
        files: &[Vec<Stanza>],
        session: &mut Session,
    ) {
        let converted = if self.converts_ssh { converted } else { &[] };
        let converted = converted.iter().map(|key| key as &(dyn Identity + Sync));
        let unlocked: Vec<_> = keys.filter_map(Key::as_unlocked).chain(converted).collect();
        session.try_identities(files, &unlocked);
    }

    /// Returns the identities of the plugin `name`, as text.
    fn plugin_identities(&self, name: &str) -> Vec<String> {
        let identities = self.entries.iter().filter_map(|entry| match &entry.key {
            Key::Plugin(identity) if identity.plugin() == name => Some(identity.to_string()),
            _ => None,
        });
        identities.collect()
    }

    /// Returns the recipients that belong to the identities, and `extra`, without duplicates.
    ///
    /// Those of the flake's identities are what it says, if it does: then nothing is asked for, and they need not be here.
    /// Otherwise, they are found as by [`Master::own`].
    ///
    /// # Errors
    ///
    /// When an identity file stays locked or cannot be read whose recipient is not known, or when the flake names others.
    pub fn recipients(
        &mut self,
        extra: Vec<ParsedRecipient>,
        prompt: &Prompt,
    ) -> Result<Vec<ParsedRecipient>> {
        self.warn(prompt);
        let asks = self.files.is_given || self.files.recipients.is_empty();
        if let Some(error) = self.missing.first().filter(|_| asks) {
            return Err(error.clone().because("it would not be encrypted to its recipient"));
        }
        let mut all = if asks { self.own(prompt)? } else { Vec::new() };
        all.extend(self.named(prompt)?);
        let mut seen = BTreeSet::new();
        let all: Vec<ParsedRecipient> =
            all.into_iter().chain(extra).filter(|one| seen.insert(one.text())).collect();
        for one in &all {
            report::detail(format_args!("encrypting to {}", one.shown()));
        }
        Ok(all)
    }

    /// Returns what the flake says are the recipients of its identities, after it was compared with those that are here;
    /// nothing where the user has passed other identities.
    fn named(&mut self, prompt: &Prompt) -> Result<Vec<ParsedRecipient>> {
        let files = self.files.paths.iter().filter(|path| !self.old.contains(*path));
        let known: Vec<(&PathBuf, Vec<String>)> =
            files.map(|path| (path, self.known_of(path).into_iter().collect())).collect();
        let is_here = |known: &[String]| self.files.names_one_of(known.iter().cloned());
        if self.files.is_given && !known.iter().any(|(_, known)| is_here(known)) {
            return Ok(Vec::new());
        }
        if let Some(error) = known.iter().find_map(|(path, known)| self.files.mismatch(path, known))
        {
            return Err(error);
        }
        let is_compared = known.iter().any(|(_, known)| !known.is_empty());
        let read = |text: &String| {
            recipient::parse(text).map_err(|reason| {
                Error::new(Status::Config, "cannot use vaultix.recipient").because(reason)
            })
        };
        let named = self.files.recipients.iter().map(read).collect::<Result<Vec<_>>>()?;
        // Without an identity, nobody knows that these are right but the user.
        if !is_compared && !named.is_empty() && !self.has_told {
            self.has_told = true;
            let all: Vec<String> = named.iter().map(ParsedRecipient::shown).collect();
            let all = report::list(&all);
            prompt.note(format_args!("encrypting to what vaultix.recipient names: {all}"));
        }
        Ok(named)
    }

    /// Returns the recipients of the identities in the file `path`, as far as they are known without asking.
    fn known_of(&self, path: &Path) -> BTreeSet<String> {
        let entries = self.entries.iter().filter(|entry| entry.path == path);
        let own = entries.filter_map(|entry| Some(entry.key.recipient()?.text()));
        let comments = self.comments.iter().filter(|(file, _)| file == path);
        own.chain(comments.map(|(_, text)| recipient::canonical(text))).collect()
    }

    /// Returns the recipients that belong to the identities.
    ///
    /// The recipient of a plugin's identity comes from a comment; otherwise the plugin finds it
    /// from the identity.
    ///
    /// Asks for the passphrase of an identity file if it is still locked, but not for that of an
    /// ssh key, whose public key is not encrypted.
    ///
    /// # Errors
    ///
    /// When an identity file stays locked.
    pub fn own(&mut self, prompt: &Prompt) -> Result<Vec<ParsedRecipient>> {
        self.warn(prompt);
        let mut at = 0;
        while let Some(entry) = self.entries.get(at) {
            if matches!(entry.key, Key::LockedFile(_)) && !self.old.contains(&entry.path) {
                let found = unlock(entry, "to find its recipient", prompt)?;
                let LoadedKey { path, .. } = self.entries.remove(at);
                self.add(&path, found, at);
            } else {
                at += 1;
            }
        }
        let commented_recipients = |path: &Path, name: &str| {
            let texts = self.comments.iter().filter(|(file, _)| file == path);
            let parsed = texts.filter_map(|(_, text)| recipient::parse(text).ok());
            let mut fitting = parsed.filter(|one| one.plugin() == Some(name)).peekable();
            fitting.peek().is_some().then(|| fitting.collect::<Vec<_>>())
        };
        let entries = self.entries.iter().filter(|entry| !self.old.contains(&entry.path));
        let recipients = entries.flat_map(|entry| match &entry.key {
            Key::Plugin(identity) => commented_recipients(&entry.path, identity.plugin())
                .unwrap_or_else(|| vec![ParsedRecipient::PluginIdentity(identity.clone())]),
            key => key.recipient().into_iter().collect(),
        });
        let mut seen = BTreeSet::new();
        Ok(recipients.filter(|one| seen.insert(one.text())).collect())
    }
}

/// Makes sure that `path` is not itself a private key.
fn ensure_path(path: &Path) -> Result<()> {
    if !private::is_private(&path.to_string_lossy()) {
        return Ok(());
    }
    Err(Error::new(Status::Config, "cannot use a private key as the path of an identity file")
        .because("the key itself was given; it is not shown")
        .fix("put it into a file that only you can read, and set vaultix.identity to its path"))
}
