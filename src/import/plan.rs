//! what an older scheme has + the directory for new secrets → what is to be made, and what cannot be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use age_core::format::Stanza;

use crate::error::{Error, Exit};
use crate::import::name;
use crate::import::old::{Listing, Old};

/// What is about to be done.
pub struct Plan {
    /// Files from which something will be made.
    pub files: Vec<File>,
    /// What will not be made, and why.
    pub failures: Vec<Error>,
}

/// A file of the older scheme.
pub struct File {
    /// The file.
    pub old: Old,
    /// Which of its secrets will be made, by their places in its list.
    pub wanted: BTreeSet<usize>,
}

impl Plan {
    /// Takes each secret of `listing` that no other one has the id of, and that is not in `directory` yet.
    pub fn new(listing: Listing, directory: &Path) -> Self {
        let (mut olds, mut failures) = (Vec::new(), Vec::new());
        for outcome in listing {
            match outcome {
                Ok(old) => olds.push(old),
                Err(error) => failures.push(error),
            }
        }
        let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for old in &olds {
            for id in &old.ids {
                owners.entry(id.clone()).or_default().push(old.path.display().to_string());
            }
        }
        owners.retain(|id, owners| match refuse(id, owners, directory) {
            Some(error) => {
                failures.push(error);
                false
            }
            None => true,
        });
        let files = olds.into_iter().map(|old| {
            let is_wanted = |id: &String| owners.contains_key(id);
            let wanted =
                (0..).zip(&old.ids).filter(|(_, id)| is_wanted(id)).map(|(i, _)| i).collect();
            File { old, wanted }
        });
        Self { files: files.filter(|file| !file.wanted.is_empty()).collect(), failures }
    }

    /// Returns the headers of all files, in order.
    pub fn headers(&self) -> Vec<Vec<Stanza>> {
        self.files.iter().map(|file| file.old.stanzas()).collect()
    }

    /// Returns how many secrets will be made.
    pub fn count(&self) -> usize {
        self.files.iter().map(|file| file.wanted.len()).sum()
    }

    /// Returns a line for each secret that will be made in `directory`.
    pub fn show(&self, directory: &Path) -> String {
        let mut text = String::new();
        for file in &self.files {
            for id in file.wanted.iter().filter_map(|i| file.old.ids.get(*i)) {
                let path = name::file(directory, id);
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{}: from {}", path.display(), file.old.path.display());
            }
        }
        text
    }
}

/// Returns why the secret `id`, which `owners` hold, cannot be made in `directory`.
fn refuse(id: &str, owners: &[String], directory: &Path) -> Option<Error> {
    let [first, others @ ..] = owners else { return None };
    let what = |exit| Error::new(exit, format!("cannot import \"{id}\" from {first}"));
    if let Some(other) = others.first() {
        let other = if other == first { "the same file" } else { other };
        return Some(
            what(Exit::SomeFailed)
                .because(format!("{other} holds another secret of this name"))
                .fix("import one of them by itself, or rename it"),
        );
    }
    let path = name::file(directory, id);
    path.symlink_metadata().is_ok().then(|| {
        what(Exit::SomeFailed)
            .because(format!("{} is there already", path.display()))
            .fix("choose another place with --into DIR")
    })
}
