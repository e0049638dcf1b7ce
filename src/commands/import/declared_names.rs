//! flake + a file of an older scheme → the names that hosts have for it in `age.secrets`.
//!
//! Two of five declarations have another name than their file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::cli::Scheme;
use crate::commands::import::name;
use crate::commands::import::secret::Declared;
use crate::flake::nix;
use crate::report::Report;

/// What hosts call files.
#[derive(Default)]
pub struct DeclaredNames(BTreeMap<PathBuf, BTreeMap<String, BTreeSet<String>>>);

impl DeclaredNames {
    /// Asks the hosts of the flake at `root`, where `scheme` is one that has a file for each secret. Without a flake there
    /// is nobody to ask.
    pub fn new(scheme: Scheme, root: &Path, report: &Report) -> Self {
        let mut names = Self::default();
        if root == Path::new("") || !matches!(scheme, Scheme::Agenix | Scheme::AgenixRekey) {
            return names;
        }
        for secret in nix::declared(root, report) {
            if let Ok(file) = secret.file.canonicalize() {
                let ids = names.0.entry(file).or_default();
                ids.entry(name::id(&secret.id)).or_default().insert(secret.host);
            }
        }
        names
    }

    /// Returns what declares `file`: the ids that hosts have for it, or else `id`.
    pub fn of(&self, file: &Path, id: &str) -> Vec<Declared> {
        let ids = file.canonicalize().ok().and_then(|file| self.0.get(&file));
        match ids {
            Some(ids) => ids.iter().map(|(id, hosts)| declared(id, hosts)).collect(),
            None if self.0.is_empty() => {
                vec![Declared { id: id.to_owned(), group: String::new(), key: None }]
            }
            None => vec![declared(id, &BTreeSet::new())],
        }
    }

    /// Returns whether a host declares `file`.
    pub fn has(&self, file: &Path) -> bool {
        file.canonicalize().is_ok_and(|file| self.0.contains_key(&file))
    }
}

/// Returns the declaration of `id` on `hosts`.
fn declared(id: &str, hosts: &BTreeSet<String>) -> Declared {
    let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let hosts = match names.as_slice() {
        [] => "no host".to_owned(),
        [host] => (*host).to_owned(),
        [start @ .., last] => format!("{} and {last}", start.join(", ")),
    };
    Declared { id: id.to_owned(), group: format!("declared on {hosts}"), key: None }
}
