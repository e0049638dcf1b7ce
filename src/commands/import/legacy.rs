//! file of an older scheme → the secrets in it, decrypted.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use age_core::format::Stanza;
use vaultix_units::decrypt;
use vaultix_units::plaintext::Plaintext;

use crate::commands::import::declared_names::DeclaredNames;
use crate::commands::import::gpg;
use crate::commands::import::readers::Readers;
use crate::commands::import::secret::LegacySecret;
use crate::commands::import::snippet::Fields;
use crate::commands::import::sops::Document;
use crate::error::{Error, Result};
use crate::files::secret::Secret;
use crate::files::source;
use crate::keys::unwrapped::Unwrapped;
use crate::report::{self, Report};
use crate::structured::Format;

/// A file of an older scheme.
pub struct LegacyFile {
    pub path: PathBuf,
    pub secrets: Vec<LegacySecret>,
    /// What the older scheme says of owner, mode and path.
    pub fields: Fields,
    /// Who can read it.
    pub readers: Readers,
    /// Its ciphertext.
    sealed: Sealed,
}

/// Ciphertext of a legacy file, and what decrypts it.
enum Sealed {
    /// A binary age file.
    Age(Vec<u8>),
    Sops(Document),
    Gpg,
}

/// What a scheme has: its files, or why one cannot be used.
pub type Listing = Vec<Result<LegacyFile>>;

impl LegacyFile {
    /// Takes the file `path`, of which nothing else is known.
    fn new(path: PathBuf, ids: Vec<String>, sealed: Sealed) -> Self {
        let secrets = ids.into_iter().map(LegacySecret::new).collect();
        Self { path, secrets, fields: Fields::new(), readers: Readers::default(), sealed }
    }

    /// Reads the age file `path`, which will be the secret `id`.
    ///
    /// # Errors
    ///
    /// Names the file, and why it cannot be read.
    pub fn age(path: &Path, id: String) -> Result<Self> {
        let path = report::relative(path);
        let ciphertext = Secret::read_existing(&path)?.ciphertext;
        Ok(Self::new(path, vec![id], Sealed::Age(ciphertext)))
    }

    /// Takes the file `path` of gpg, which will be the secret `id`.
    pub fn gpg(path: PathBuf, id: String) -> Self {
        Self::new(path, vec![id], Sealed::Gpg)
    }

    /// Reads the file `path` of sops, `None` if it is none. If it `is_kept`, its values become one file. Hosts have `names` for
    /// its values.
    ///
    /// # Errors
    ///
    /// Names the file, and why it cannot be read.
    pub fn sops(path: &Path, is_kept: bool, names: &DeclaredNames) -> Result<Option<Self>> {
        let format = names.format(path);
        let Some(document) = Document::read(path, is_kept, format)? else { return Ok(None) };
        let readers = document.readers();
        let (ids, keys) = (document.ids(path), document.keys());
        let format = document.format();
        let mut legacy = Self::new(path.to_owned(), ids, Sealed::Sops(document));
        if let Some(keys) = keys {
            let whole = std::mem::take(&mut legacy.secrets).into_iter();
            let with_keys = |one: LegacySecret| LegacySecret::with_keys(one.stem, keys.clone());
            legacy.secrets = whole.map(with_keys).collect();
        }
        // Where the name does not say it, the declaration has to.
        if let Some(format) = format.filter(|format| Format::of_name(path) != Some(*format)) {
            legacy.fields.insert("format".to_owned(), format.name().to_owned());
        }
        Ok(Some(Self { readers, ..legacy }))
    }

    /// Has its only secret be declared as hosts do by their `names`.
    pub fn declare(&mut self, names: &DeclaredNames) {
        if let [secret] = self.secrets.as_mut_slice() {
            secret.declared = names.of(&self.path, &secret.stem);
        }
    }

    /// Has its values be declared as hosts do by their `names`, and warns of what they declare that it does not have.
    pub fn declare_values(&mut self, names: &DeclaredNames, report: &Report) {
        let Sealed::Sops(document) = &self.sealed else { return };
        if names.is_empty() {
            return;
        }
        let Some(values) = document.value_names() else { return self.declare(names) };
        let mut found: BTreeSet<&str> = values.iter().map(|(id, _)| *id).collect();
        let is_kept = document.keys().is_some();
        if is_kept {
            found.insert("");
        }
        for (id, key) in names.without_value(&self.path, &found) {
            let path = self.path.display();
            if key.is_empty() {
                report.warning(format_args!(
                    "\"{id}\" of hosts is all of {path}; --keep imports that as one file"
                ));
            } else {
                report.warning(format_args!(
                    "\"{id}\" of hosts has the key \"{key}\", and {path} has no such value"
                ));
            }
        }
        let declared = values.into_iter().map(|(id, key)| {
            let mut declared = names.of_value(&self.path, id);
            for one in &mut declared {
                one.key.clone_from(&key);
            }
            declared
        });
        if is_kept {
            let declared = declared.flatten().chain(names.of_key(&self.path, "")).collect();
            self.secrets
                .iter_mut()
                .take(1)
                .for_each(|secret| secret.declared.clone_from(&declared));
        } else {
            self.secrets
                .iter_mut()
                .zip(declared)
                .for_each(|(one, declared)| one.declared = declared);
        }
    }

    /// Returns whether it is one secret that is called as the file is, because a service reads it whole.
    pub fn is_whole(&self) -> bool {
        match &self.sealed {
            Sealed::Age(_) | Sealed::Gpg => true,
            Sealed::Sops(document) => document.is_whole(),
        }
    }

    /// Returns what an identity needs to open it; nothing where none would help.
    pub fn stanzas(&self) -> Vec<Stanza> {
        match &self.sealed {
            Sealed::Age(ciphertext) => decrypt::stanzas(ciphertext).unwrap_or_default(),
            Sealed::Sops(document) => document.stanzas(),
            Sealed::Gpg => Vec::new(),
        }
    }

    /// Opens its secrets, in their order. `skipped` say why some identities were not tried.
    ///
    /// # Errors
    ///
    /// Names the file, and why it does not open.
    pub fn open(&self, key: &Unwrapped, skipped: &[Error]) -> Result<Vec<Plaintext>> {
        match &self.sealed {
            Sealed::Age(ciphertext) => {
                decrypt::decrypt(ciphertext, std::iter::once(key as &dyn age::Identity))
                    .map(|text| vec![text])
                    .map_err(|error| source::cannot_open(&self.path, &error, skipped))
            }
            Sealed::Sops(document) => document.open(key, &self.path, skipped),
            Sealed::Gpg => gpg::open(&self.path).map(|text| vec![text]),
        }
    }
}
