//! flake + a file of an older scheme → what hosts declare it as, in `age.secrets` or `sops.secrets`.
//!
//! Two of five declarations have another name than their file, or than the value in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::cli::Scheme;
use crate::commands::import::name;
use crate::commands::import::secret::Declared;
use crate::flake::nix::{self, Module};
use crate::report::Report;

/// What hosts declare files as.
#[derive(Default)]
pub struct DeclaredNames(BTreeMap<PathBuf, Uses>);

/// Hosts by the ids that they have.
type Ids = BTreeMap<String, BTreeSet<String>>;

/// What hosts declare one file as.
#[derive(Default)]
pub struct Uses {
    /// For each key of sops, or for the whole file, the ids that hosts have, and these hosts.
    by_key: BTreeMap<Option<String>, Ids>,
    /// How the file is written, as they say.
    formats: BTreeSet<String>,
}

impl DeclaredNames {
    /// Asks the hosts of the flake at `root`, where they may declare what is in `scheme`. Without a flake there is nobody to
    /// ask.
    pub fn new(scheme: Scheme, root: &Path, report: &Report) -> Self {
        let mut names = Self::default();
        let module = match scheme {
            Scheme::Agenix | Scheme::AgenixRekey => Module::Agenix,
            Scheme::Sops => Module::Sops,
            Scheme::Pass | Scheme::Gopass => return names,
        };
        if root == Path::new("") {
            return names;
        }
        for secret in nix::declared(root, module, report) {
            if let Ok(file) = secret.file.canonicalize() {
                let uses = names.0.entry(file).or_default();
                let ids = uses.by_key.entry(secret.key).or_default();
                ids.entry(name::id(&secret.id)).or_default().insert(secret.host);
                uses.formats.extend(secret.format);
            }
        }
        names
    }

    /// Returns what declares `file`: the ids that hosts have for it, or else `id`.
    pub fn of(&self, file: &Path, id: &str) -> Vec<Declared> {
        match self.uses(file) {
            Some(uses) => uses.by_key.values().flatten().map(declared).collect(),
            None if self.0.is_empty() => {
                vec![Declared { id: id.to_owned(), group: String::new(), key: None }]
            }
            None => vec![undeclared(id)],
        }
    }

    /// Returns whether a host declares `file`.
    pub fn has(&self, file: &Path) -> bool {
        self.uses(file).is_some()
    }

    /// Returns whether nothing is declared.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how `file` is written, as sops calls it, where hosts agree on that.
    pub fn format(&self, file: &Path) -> Option<&str> {
        let formats = &self.uses(file)?.formats;
        formats.first().filter(|_| formats.len() == 1).map(String::as_str)
    }

    /// Returns what declares the value of `file` at `key`, which sops writes with slashes: the ids that hosts have for it, or
    /// else one that follows from it.
    pub fn of_value(&self, file: &Path, key: &str) -> Vec<Declared> {
        let own = self.of_key(file, key);
        if own.is_empty() { vec![undeclared(&name::id(key))] } else { own }
    }

    /// Returns what declares the value of `file` at `key`; empty stands for all of the file.
    pub fn of_key(&self, file: &Path, key: &str) -> Vec<Declared> {
        let ids = self.uses(file).and_then(|uses| uses.by_key.get(&Some(key.to_owned())));
        ids.into_iter().flatten().map(declared).collect()
    }

    /// Returns the ids and keys of what hosts declare as a value of `file`, and is none of its values `keys`.
    pub fn without_value(&self, file: &Path, keys: &BTreeSet<&str>) -> Vec<(&str, &str)> {
        let all = self.uses(file).into_iter().flat_map(|uses| &uses.by_key);
        let unknown = all.filter_map(|(key, ids)| Some((key.as_deref()?, ids)));
        let unknown = unknown.filter(|(key, _)| !keys.contains(key));
        unknown.flat_map(|(key, ids)| ids.keys().map(move |id| (id.as_str(), key))).collect()
    }

    fn uses(&self, file: &Path) -> Option<&Uses> {
        file.canonicalize().ok().and_then(|file| self.0.get(&file))
    }
}

/// Returns the declaration of an id on some hosts.
fn declared((id, hosts): (&String, &BTreeSet<String>)) -> Declared {
    let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let hosts = match names.as_slice() {
        [start @ .., last] if !start.is_empty() => format!("{} and {last}", start.join(", ")),
        names => names.concat(),
    };
    Declared { id: id.to_owned(), group: format!("declared on {hosts}"), key: None }
}

/// Returns the declaration of `id`, which no host has.
fn undeclared(id: &str) -> Declared {
    Declared { id: id.to_owned(), group: "declared on no host".to_owned(), key: None }
}
