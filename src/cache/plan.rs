//! what hosts need + what the cache contains → what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use vaultix_generator::profile::Key;

/// What a file in the cache is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The encrypted file in the repository.
    pub source: PathBuf,
    /// Which value of it, if not the whole file.
    pub key: Option<Key>,
    /// The id of the secret on this host.
    pub secret: String,
}

/// A file in the cache: the host's directory, and the name in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The host.
    pub host: String,
    /// The file's name.
    pub name: String,
}

impl Entry {
    /// Returns the file's path in the cache `root`.
    #[must_use]
    pub fn path(&self, root: &Path) -> PathBuf {
        root.join(&self.host).join(&self.name)
    }
}

/// What the cache contains: for each host, the sizes in bytes by name.
pub type Listing = BTreeMap<String, BTreeMap<String, u64>>;

/// What `renc` is about to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to make, by source: each source is decrypted once, no matter how many hosts use it.
    pub encrypt: BTreeMap<PathBuf, Vec<Target>>,
    /// How many files exist and stay.
    pub up_to_date: usize,
    /// Cache files that no host needs.
    pub stale: Vec<Entry>,
    /// Files that are not cache files. They stay.
    pub foreign: Vec<Entry>,
}

/// A file to make in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where.
    pub entry: Entry,
    /// Which value of the source it contains, if not all of it.
    pub key: Option<Key>,
    /// The id of the secret on this host.
    pub secret: String,
}

/// Compares what is wanted with what is there.
///
/// An empty file counts as missing: no age file is empty. Files are stale only in the directories
/// of `complete` hosts. We do not know everything that the other hosts need: their profile has an
/// error, a secret could not be read, or only some secrets were asked for.
#[must_use]
pub fn plan(
    wanted: &BTreeMap<Entry, Wanted>,
    present: &Listing,
    complete: &BTreeSet<String>,
) -> Plan {
    let mut plan = Plan::default();
    for (entry, file) in wanted {
        let size = present.get(&entry.host).and_then(|files| files.get(&entry.name));
        if size.is_some_and(|size| *size > 0) {
            plan.up_to_date += 1;
        } else {
            plan.encrypt.entry(file.source.clone()).or_default().push(Target {
                entry: entry.clone(),
                key: file.key.clone(),
                secret: file.secret.clone(),
            });
        }
    }
    for (host, files) in present {
        for name in files.keys() {
            let entry = Entry { host: host.clone(), name: name.clone() };
            if !is_cache_name(name) {
                plan.foreign.push(entry);
            } else if complete.contains(host) && !wanted.contains_key(&entry) {
                plan.stale.push(entry);
            }
        }
    }
    plan
}

/// Returns whether `name` has the form of a name in the cache.
#[must_use]
pub fn is_cache_name(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a name of that form.
    fn name(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    /// A file of the host `web`.
    fn entry(name: String) -> Entry {
        Entry { host: "web".to_owned(), name }
    }

    /// The one file that `web` needs.
    fn wanted() -> BTreeMap<Entry, Wanted> {
        let file = Wanted { source: "wifi.age".into(), key: None, secret: "wifi".to_owned() };
        BTreeMap::from([(entry(name('a')), file)])
    }

    /// A listing of `web`.
    fn present(files: &[(String, u64)]) -> Listing {
        Listing::from([("web".to_owned(), files.iter().cloned().collect())])
    }

    /// Hosts of which everything is known.
    fn complete() -> BTreeSet<String> {
        BTreeSet::from(["web".to_owned()])
    }

    #[test]
    fn a_missing_copy_is_made_from_its_source_once() {
        let mut wanted = wanted();
        let other = Entry { host: "db".to_owned(), name: name('b') };
        wanted.insert(other, wanted.values().next().unwrap().clone());
        let plan = plan(&wanted, &Listing::new(), &complete());
        assert_eq!(plan.encrypt.len(), 1);
        assert_eq!(plan.encrypt.values().next().unwrap().len(), 2);
    }

    #[test]
    fn an_empty_file_counts_as_missing() {
        let plan = plan(&wanted(), &present(&[(name('a'), 0)]), &complete());
        assert_eq!((plan.encrypt.len(), plan.up_to_date), (1, 0));
        assert!(plan.stale.is_empty());
    }

    #[test]
    fn a_present_copy_stays() {
        let plan = plan(&wanted(), &present(&[(name('a'), 1)]), &complete());
        assert_eq!(plan, Plan { up_to_date: 1, ..Plan::default() });
    }

    #[test]
    fn a_stale_copy_is_removed_unless_its_host_is_incomplete() {
        let present = present(&[(name('a'), 1), (name('b'), 1)]);
        let wanted = wanted();
        assert_eq!(plan(&wanted, &present, &complete()).stale, [entry(name('b'))]);
        assert!(plan(&wanted, &present, &BTreeSet::new()).stale.is_empty());
    }

    #[test]
    fn a_foreign_file_is_listed_and_stays() {
        for odd in ["README".to_owned(), name('A'), name('a') + ".age", "a".repeat(63)] {
            let plan = plan(&BTreeMap::new(), &present(&[(odd.clone(), 1)]), &complete());
            assert_eq!(plan.foreign, [entry(odd)]);
            assert!(plan.stale.is_empty());
        }
    }
}
