//! profiles + when files last changed → how old the secrets are that should be replaced from time to time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vaultix_generator::profile::{Profile, Secret};

use crate::flake::git::{self, history};
use crate::system::origin;

const DAY: u64 = 24 * 60 * 60;

/// A file, and the pointer to the value in it, if it has many.
pub type Place<'a> = (&'a Path, Option<&'a str>);

/// How old a secret is.
pub struct Age<'a> {
    /// Days since its file changed: `rekey` changes it as well.
    pub days: u64,
    /// Days that it may have: the fewest that a host says.
    pub allowed: u32,
    pub secret: &'a Secret,
}

impl Age<'_> {
    pub fn is_over(&self) -> bool {
        self.days > u64::from(self.allowed)
    }
}

/// Returns the place of `secret`.
pub fn place(secret: &Secret) -> Place<'_> {
    (&secret.ciphertext, secret.key.as_ref().map(|key| key.pointer.as_str()))
}

/// Returns the ages of the secrets of `profiles` that have a `rotate`. Those of which nobody knows are left out.
pub fn ages(profiles: &[Profile]) -> BTreeMap<Place<'_>, Age<'_>> {
    let secrets = profiles.iter().flat_map(|profile| profile.secrets.values().flatten());
    let rotated = secrets.filter_map(|secret| Some((secret, secret.rotate_days?)));
    // What is in an input is replaced there, and its file has no time.
    let rotated = rotated.filter(|(secret, _)| !secret.ciphertext.starts_with(origin::STORE));
    let mut strictest: BTreeMap<Place, (&Secret, u32)> = BTreeMap::new();
    for (secret, days) in rotated {
        let entry = strictest.entry(place(secret)).or_insert((secret, days));
        if days < entry.1 {
            *entry = (secret, days);
        }
    }
    let changes = changes(strictest.keys().map(|(path, _)| *path));
    let now = SystemTime::now();
    let mut ages = BTreeMap::new();
    for (place, (secret, allowed)) in strictest {
        let age = changes.get(place.0).and_then(|changed| now.duration_since(*changed).ok());
        if let Some(age) = age {
            ages.insert(place, Age { days: age.as_secs() / DAY, allowed, secret });
        }
    }
    ages
}

/// Returns when `paths` last changed: as git says, or else as the files do. What a clone without its history does not know is
/// left out.
fn changes<'a>(paths: impl Iterator<Item = &'a Path>) -> BTreeMap<&'a Path, SystemTime> {
    let mut found = BTreeMap::new();
    let mut in_git: BTreeMap<PathBuf, BTreeMap<PathBuf, &Path>> = BTreeMap::new();
    for path in paths {
        let Ok(whole) = path.canonicalize() else { continue };
        if let Some(time) = fs::metadata(&whole).ok().and_then(|found| found.modified().ok()) {
            found.insert(path, time);
        }
        let Some(top) = git::top_around(&whole) else { continue };
        let Ok(below) = whole.strip_prefix(&top).map(Path::to_owned) else { continue };
        in_git.entry(top).or_default().insert(below, path);
    }
    for (top, files) in in_git {
        let names: BTreeSet<PathBuf> = files.keys().cloned().collect();
        for (name, seconds) in history::last_changes(&top, &names) {
            let Some(path) = files.get(&name).copied() else { continue };
            match seconds {
                Some(seconds) => found.insert(path, UNIX_EPOCH + Duration::from_secs(seconds)),
                None => found.remove(path),
            };
        }
    }
    found
}
