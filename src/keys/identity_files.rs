//! what the user and the flake say of the identities → files, and the recipients that the flake says they have.

use std::path::{Path, PathBuf};

use vaultix_generator::escape;
use vaultix_units::bounded;

use crate::error::{Error, Status};
use crate::keys::identity;
use crate::keys::recipient::{self, canonical};
use crate::report;
use crate::system::input;

/// Files with identities, and what the flake says of them.
#[derive(Default, Clone)]
pub struct IdentityFiles {
    pub paths: Vec<PathBuf>,
    /// The recipients that the flake says its identities have, a text for each; none where it does not say.
    pub recipients: Vec<String>,
    /// Whether the user has passed the files, so that the flake need not speak of these.
    pub is_given: bool,
}

impl IdentityFiles {
    /// Takes files that the user has passed, of which the flake says nothing.
    pub fn given(paths: Vec<PathBuf>) -> Self {
        Self { paths, recipients: Vec::new(), is_given: true }
    }

    /// Returns whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Returns whether one of `known`, the recipients of one identity file as far as they are known, is what the flake says.
    pub fn names_one_of(&self, known: impl IntoIterator<Item = String>) -> bool {
        let named: Vec<String> = self.recipients.iter().map(|text| canonical(text)).collect();
        known.into_iter().any(|one| named.contains(&one))
    }

    /// Returns why the flake cannot be right about the recipient of the identity file `path`, whose recipients are `known`.
    pub fn mismatch(&self, path: &Path, known: &[String]) -> Option<Error> {
        let is_checked = !self.is_given && !self.recipients.is_empty() && !known.is_empty();
        if !is_checked || self.names_one_of(known.iter().cloned()) {
            return None;
        }
        let path = path.display();
        let error = Error::new(Status::Config, "cannot use vaultix.recipient")
            .because(format!("it does not name the recipient of the identity file {path}"))
            .because("what is encrypted to another one, nobody may be able to decrypt");
        Some(error.fix(format!("set it to \"{}\", or a list with that", known.join("\" or \""))))
    }
}

/// What is in an identity file, as far as it is known without asking.
#[derive(Default)]
pub struct Content {
    /// The recipients of its identities, `None` for each that is not known.
    pub recipients: Vec<Option<String>>,
    /// Whether an identity in it can be used by everyone who has the file.
    pub is_open: bool,
}

impl Content {
    /// Reads the file `path`; `None` where it is no regular file, since a pipe is read once, or no identity file.
    pub fn read(path: &Path) -> Option<Self> {
        // To open a pipe would let its writer go on. What takes the file's place in between is refused by its descriptor.
        path.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let text = input::regular_file(path, bounded::MAX_IDENTITY).ok()?;
        let found = vaultix_units::stack::wiped(|| identity::parse(&text)).ok()?;
        let comments = found.recipients.iter().filter_map(|text| recipient::parse(text).ok());
        let comments: Vec<_> = comments.collect();
        let of_key = |key: &identity::Key| match key {
            identity::Key::Plugin(identity) => {
                let mut fitting =
                    comments.iter().filter(|one| one.plugin() == Some(identity.plugin()));
                fitting.next().map(recipient::ParsedRecipient::text)
            }
            key => key.recipient().map(|one| one.text()),
        };
        Some(Self {
            recipients: found.keys.iter().map(of_key).collect(),
            is_open: found.keys.iter().any(|key| key.as_unlocked().is_some()),
        })
    }
}

/// Says that the identity file `path` is not protected, and `who` can read it.
pub fn exposed(path: &Path, who: &str) -> Error {
    let path = report::relative(path);
    let word = escape::shell_path(&path);
    let what = format!("the identity file {} is not encrypted", path.display());
    Error::new(Status::Config, what)
        .because(who)
        .because("everyone who can read that can decrypt every secret, also after it is removed there")
        .fix(format!(
            "age-keygen -o ~/identity.txt && vaultix rekey --old {word} -i ~/identity.txt # then set vaultix.identity to it, and change all secrets"
        ))
}
