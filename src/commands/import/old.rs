//! place of an older scheme's secrets → its files, still closed, and what each of them will be.

use std::path::{Path, PathBuf};

use age_core::format::Stanza;
use vaultix_units::decrypt;
use vaultix_units::header;
use vaultix_units::plaintext::Plaintext;

use crate::cli::Scheme;
use crate::commands::import::snippet::Fields;
use crate::commands::import::sops::Document;
use crate::commands::import::{agenix, name, pass};
use crate::error::{Error, Exit, Result};
use crate::files::secret::Secret;
use crate::files::{source, tree};
use crate::flake::nix;
use crate::keys::master::Unwrapped;
use crate::report;
use crate::system::fence::Extent;

/// A file of an older scheme.
pub struct Old {
    /// Where it is.
    pub path: PathBuf,
    /// The secrets in it.
    pub ids: Vec<String>,
    /// What is known of how they are placed on a host.
    pub fields: Fields,
    /// How it is closed.
    sealed: Sealed,
}

/// How a file is closed.
enum Sealed {
    /// As a binary age file.
    Age(Vec<u8>),
    /// By sops.
    Sops(Document),
    /// By `gpg`.
    Gpg,
}

/// What a scheme has: its files, or why one cannot be used.
pub type Listing = Vec<Result<Old>>;

/// Lists what `scheme` has in `source`, but not in `new`. Asks for nothing, and opens nothing.
///
/// # Errors
///
/// When it cannot be listed at all.
pub fn list(scheme: Scheme, source: &Path, new: &Path) -> Result<Listing> {
    if source.is_dir() {
        // Links in it may be anybody's.
        nix::enclose(source, Extent::Whole)?;
    }
    match scheme {
        Scheme::Agenix => agenix::list(source),
        Scheme::AgenixRekey => Ok(of_tree(source, new, &[".age"])?
            .into_iter()
            .filter(|(path, _)| !agenix::is_for_a_host(path))
            .map(|(path, id)| Old::age(&source.join(path), id))
            .collect()),
        Scheme::Pass | Scheme::Gopass => Ok(of_tree(source, new, &[".gpg", ".age"])?
            .into_iter()
            .map(|(path, id)| match path.extension() {
                Some(ending) if ending == "age" => Old::age(&source.join(path), id),
                _ => Ok(Old::new(source.join(path), vec![id], Sealed::Gpg)),
            })
            .collect()),
        Scheme::Sops if source.is_dir() => {
            let paths = tree::files(source, new)?.into_iter().map(|path| source.join(path));
            Ok(paths.filter_map(|path| Old::sops(&path).transpose()).collect())
        }
        Scheme::Sops => {
            let none = || {
                Error::new(Exit::Data, format!("cannot import {}", source.display()))
                    .because("it is no file that sops encrypted")
            };
            Old::sops(source).map(|old| vec![old.ok_or_else(none)])
        }
    }
}

/// Returns the files below `root`, but not in `new`, with one of `endings`, and their ids.
fn of_tree(root: &Path, new: &Path, endings: &[&str]) -> Result<Vec<(PathBuf, String)>> {
    let with_id = |path: PathBuf| {
        let fits =
            |ending: &&&str| path.as_os_str().as_encoded_bytes().ends_with(ending.as_bytes());
        let ending = endings.iter().find(fits)?;
        let id = name::of_path(&path, ending);
        Some((path, id))
    };
    Ok(tree::files(root, new)?.into_iter().filter_map(with_id).collect())
}

impl Old {
    /// Takes the file `path`, of which nothing else is known.
    fn new(path: PathBuf, ids: Vec<String>, sealed: Sealed) -> Self {
        Self { path, ids, fields: Fields::new(), sealed }
    }

    /// Reads the age file `path`, which will be the secret `id`.
    ///
    /// # Errors
    ///
    /// Names the file, and why it cannot be read.
    pub fn age(path: &Path, id: String) -> Result<Self> {
        let path = report::shown(path);
        let missing = || {
            Error::new(Exit::NoInput, format!("cannot open {}", path.display()))
                .because("it does not exist")
        };
        let ciphertext = Secret::read(&path)?.ok_or_else(missing)?.ciphertext;
        Ok(Self::new(path, vec![id], Sealed::Age(ciphertext)))
    }

    /// Reads the file `path` of sops, `None` if it is none.
    fn sops(path: &Path) -> Result<Option<Self>> {
        let document = Document::read(path)?;
        Ok(document
            .map(|document| Self::new(path.to_owned(), document.ids(path), Sealed::Sops(document))))
    }

    /// Returns what an identity needs to open it; nothing where none would help.
    pub fn stanzas(&self) -> Vec<Stanza> {
        match &self.sealed {
            Sealed::Age(ciphertext) => header::stanzas(ciphertext).unwrap_or_default(),
            Sealed::Sops(document) => document.stanzas(),
            Sealed::Gpg => Vec::new(),
        }
    }

    /// Opens its secrets, in the order of their ids. `notes` say why some identities were not tried.
    ///
    /// # Errors
    ///
    /// Names the file, and why it does not open.
    pub fn open(&self, key: &Unwrapped, notes: &[Error]) -> Result<Vec<Plaintext>> {
        match &self.sealed {
            Sealed::Age(ciphertext) => {
                decrypt::decrypt(ciphertext, std::iter::once(key as &dyn age::Identity))
                    .map(|text| vec![text])
                    .map_err(|error| source::cannot_open(&self.path, &error, notes))
            }
            Sealed::Sops(document) => document.open(key, &self.path, notes),
            Sealed::Gpg => pass::open(&self.path).map(|text| vec![text]),
        }
    }
}
