//! several files of sops → a folder for the secrets of each, so that names may be the same in all of them.
//!
//! That a value is called the same in the files of two hosts is common, and right: an id belongs to a host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::commands::import::legacy::{LegacyFile, Listing};
use crate::commands::import::name;

/// Gives each file of `listing`, all of which are below `source`, a folder of its own, where there are several.
pub fn separate(listing: &mut Listing, source: &Path) {
    if listing.len() < 2 {
        return;
    }
    let mut stems: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for legacy in listing.iter().flatten() {
        *stems.entry(below(legacy, source).with_extension("")).or_default() += 1;
    }
    for legacy in listing.iter_mut().flatten() {
        let path = below(legacy, source);
        let stem = path.with_extension("");
        // Beside a.yaml there may be an a.json.
        let folder = if stems.get(&stem) == Some(&1) { &stem } else { &path };
        let folder = if legacy.is_whole() { path.parent() } else { Some(folder.as_path()) };
        let folder = folder.unwrap_or(Path::new("")).to_string_lossy();
        let group = format!("from {}", path.display());
        for secret in &mut legacy.secrets {
            secret.stem = name::id(&format!("{folder}/{}", secret.stem));
            for declared in &mut secret.declared {
                declared.group.clone_from(&group);
            }
        }
    }
}

/// Returns the path of `legacy` from `source`.
fn below(legacy: &LegacyFile, source: &Path) -> PathBuf {
    legacy.path.strip_prefix(source).unwrap_or(&legacy.path).to_owned()
}
