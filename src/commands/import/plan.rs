//! what an older scheme has + the directory for new secrets → what is to be made, and what cannot be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use age_core::format::Stanza;

use crate::commands::import::legacy::{LegacyFile, Listing};
use crate::commands::import::name;
use crate::commands::import::readers::Moved;
use crate::commands::import::secret::LegacySecret;
use crate::commands::import::snippet::Declaration;
use crate::error::{Error, Status};

/// What `import` is about to do.
pub struct Plan {
    /// Files from which something will be made.
    pub files: Vec<File>,
    /// Secrets that are there already, as after an earlier run.
    pub there: Vec<There>,
    /// What will not be made, and why.
    pub failures: Vec<Error>,
}

/// A secret that is not made, since there is a file of its name.
pub struct There {
    pub moved: Moved,
    pub declarations: Vec<Declaration>,
}

/// A file of the older scheme.
pub struct File {
    pub legacy: LegacyFile,
    /// Which of its secrets will be made, by their places in its list.
    pub wanted: BTreeSet<usize>,
}

impl Plan {
    /// Takes each secret of `listing` that no other one has the file of, and that is not in `directory` yet.
    pub fn new(listing: Listing, directory: &Path) -> Self {
        let (mut files, mut failures) = (Vec::new(), Vec::new());
        for outcome in listing {
            match outcome {
                Ok(legacy) => files.push(legacy),
                Err(error) => failures.push(error),
            }
        }
        let mut there = Vec::new();
        let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for legacy in &files {
            for LegacySecret { stem, .. } in &legacy.secrets {
                owners.entry(stem.clone()).or_default().push(legacy.path.display().to_string());
            }
        }
        let mut present = BTreeSet::new();
        owners.retain(|stem, owners| match Fate::of(stem, owners, directory) {
            Fate::Refused(error) => {
                failures.push(error);
                false
            }
            Fate::Present => {
                present.insert(stem.clone());
                false
            }
            Fate::Made => true,
        });
        for legacy in &files {
            let secrets = legacy.secrets.iter().filter(|secret| present.contains(&secret.stem));
            there.extend(secrets.map(|secret| There::new(secret, legacy, directory)));
        }
        let files = files.into_iter().map(|legacy| {
            let is_wanted = |secret: &LegacySecret| owners.contains_key(&secret.stem);
            let secrets = (0..).zip(&legacy.secrets);
            let wanted = secrets.filter(|(_, one)| is_wanted(one)).map(|(i, _)| i).collect();
            File { legacy, wanted }
        });
        Self { files: files.filter(|file| !file.wanted.is_empty()).collect(), there, failures }
    }

    pub fn headers(&self) -> Vec<Vec<Stanza>> {
        self.files.iter().map(|file| file.legacy.stanzas()).collect()
    }

    /// Returns how many secrets will be made.
    pub fn count(&self) -> usize {
        self.files.iter().map(|file| file.wanted.len()).sum()
    }

    /// Returns whether several can read one of the files.
    pub fn has_readers(&self) -> bool {
        let made = self.files.iter().map(|file| &file.legacy.readers);
        let there = self.there.iter().map(|there| &there.moved.readers);
        made.chain(there).any(|readers| readers.recipients.len() > 1)
    }

    /// Returns the end of a closing line: how many are there already.
    pub fn already_there(&self) -> String {
        match self.there.len() {
            0 => String::new(),
            count => format!(", {count} already there"),
        }
    }

    /// Returns the files that will be made in `directory`.
    pub fn paths(&self, directory: &Path) -> Vec<PathBuf> {
        let secrets = |file: &File| {
            let secrets = file.wanted.iter().filter_map(|i| file.legacy.secrets.get(*i));
            secrets.map(|secret| name::file(directory, &secret.stem)).collect::<Vec<_>>()
        };
        self.files.iter().flat_map(secrets).collect()
    }

    /// Returns a line for each secret that will be made in `directory`.
    pub fn show(&self, directory: &Path) -> impl Iterator<Item = String> {
        self.files.iter().flat_map(move |file| {
            let secrets = file.wanted.iter().filter_map(|i| file.legacy.secrets.get(*i));
            secrets.map(move |secret| {
                let path = name::file(directory, &secret.stem);
                format!("{}: from {}", path.display(), file.legacy.path.display())
            })
        })
    }
}

impl There {
    /// Takes `secret` of the file `legacy`, for which there is a file in `directory`.
    fn new(secret: &LegacySecret, legacy: &LegacyFile, directory: &Path) -> Self {
        let of = |declared| Declaration::new(secret, declared, &legacy.fields);
        let declarations = secret.declared.iter().map(of).collect();
        let new = name::file(directory, &secret.stem);
        let (old, readers) = (legacy.path.clone(), legacy.readers.clone());
        Self { moved: Moved { new, old, readers }, declarations }
    }
}

/// What becomes of a secret.
enum Fate {
    Made,
    /// Its file is there.
    Present,
    /// It cannot be made.
    Refused(Error),
}

impl Fate {
    /// Returns that of the secret `stem`, which `owners` hold, in `directory`.
    fn of(stem: &str, owners: &[String], directory: &Path) -> Self {
        let [first, others @ ..] = owners else { return Self::Made };
        let what = |exit| Error::new(exit, format!("cannot import \"{stem}\" from {first}"));
        if !others.is_empty() {
            return Self::Refused(
                what(Status::SomeFailed)
                    .because(twins(first, others))
                    .fix("import one of them separately, or rename it"),
            );
        }
        let path = name::file(directory, stem);
        if path.symlink_metadata().is_err() {
            return Self::Made;
        }
        // Not the old file itself, where new ones are to go among the old.
        let is_old = path.canonicalize().ok() == Path::new(first).canonicalize().ok();
        // Only to say so: what is there is neither read nor replaced.
        if path.is_file() && !is_old {
            return Self::Present;
        }
        Self::Refused(
            what(Status::SomeFailed)
                .because(format!("{} already exists", path.display()))
                .fix("choose another directory with --into DIR"),
        )
    }
}

/// Returns that `others` contain secrets of the same name as one in `first`; it names all of them.
fn twins(first: &str, others: &[String]) -> String {
    let (same, others): (Vec<&String>, Vec<&String>) =
        others.iter().partition(|other| *other == first);
    let mut names: Vec<&str> = others.into_iter().map(String::as_str).collect();
    names.dedup();
    if !same.is_empty() {
        names.insert(0, "the same file");
    }
    match names.as_slice() {
        [] | [_] => format!("{} contains another secret of this name", names.concat()),
        [start @ .., last] => {
            format!("{} and {last} contain other secrets of this name", start.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A directory with an age file `name` for each of the names given, removed when dropped.
    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str, names: &[&str]) -> Self {
            let folder = format!("vaultix-import-{test}-{}", std::process::id());
            let folder = Self(std::env::temp_dir().join(folder));
            fs::create_dir(&folder.0).unwrap();
            let word = "F5Qaoa2jV5uPBmcPy24w21W9GRurqsWHib6IlDplm8w";
            let header = format!("age-encryption.org/v1\n-> X25519 {word}\n{word}\n--- {word}\n");
            for name in names {
                fs::write(folder.0.join(name), format!("{header}{}", "x".repeat(32))).unwrap();
            }
            folder
        }

        /// Takes the file `name` for one that contains the secrets `ids`.
        fn legacy(&self, name: &str, ids: &[&str]) -> LegacyFile {
            let mut legacy = LegacyFile::age(&self.0.join(name), String::new()).unwrap();
            legacy.secrets = ids.iter().map(|&id| LegacySecret::new(id.to_owned())).collect();
            legacy
        }

        /// Returns what cannot be made, the directory left out.
        fn failures(&self, plan: &Plan) -> Vec<String> {
            let directory = format!("{}/", self.0.display());
            plan.failures.iter().map(|error| format!("{error:#}").replace(&directory, "")).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_secret_that_is_new_is_made() {
        let folder = Folder::new("made", &["a", "b"]);
        let listing = vec![
            Ok(folder.legacy("a", &["wifi", "mail"])),
            Ok(folder.legacy("b", &["db/password"])),
        ];
        let plan = Plan::new(listing, Path::new("secrets"));
        assert_eq!((plan.count(), folder.failures(&plan).len()), (3, 0));
        let headers: Vec<Vec<String>> = plan
            .headers()
            .into_iter()
            .map(|stanzas| stanzas.into_iter().map(|stanza| stanza.tag).collect())
            .collect();
        assert_eq!(headers, [["X25519"], ["X25519"]]);
        let shown: Vec<String> = plan.show(Path::new("secrets")).collect();
        let shown = shown.join("\n").replace(&*folder.0.to_string_lossy(), "old");
        assert_eq!(
            shown,
            "secrets/wifi.age: from old/a\n\
             secrets/mail.age: from old/a\n\
             secrets/db/password.age: from old/b"
        );
    }

    #[test]
    fn a_secret_that_is_there_is_not_made_and_an_ambiguous_one_is_refused() {
        let folder = Folder::new("refused", &["a", "b", "c", "d", "old.age", "there.age"]);
        let listing = vec![
            Ok(folder.legacy("a", &["wifi", "mail", "twice", "twice"])),
            Err(Error::new(Status::NoInput, "cannot decrypt c")),
            Ok(folder.legacy("b", &["there", "mail", "all"])),
            Ok(folder.legacy("c", &["all", "all"])),
            Ok(folder.legacy("d", &["all"])),
            Ok(folder.legacy("old.age", &["old"])),
        ];
        let plan = Plan::new(listing, &folder.0);
        assert_eq!(plan.files.len(), 1);
        assert_eq!(plan.files[0].wanted, BTreeSet::from([0]));
        let fix = "import one of them separately, or rename it";
        assert_eq!(
            folder.failures(&plan),
            [
                "cannot decrypt c".to_owned(),
                format!(
                    "cannot import \"all\" from b: c and d contain other secrets of this name; to fix: {fix}"
                ),
                format!(
                    "cannot import \"mail\" from a: b contains another secret of this name; to fix: {fix}"
                ),
                "cannot import \"old\" from old.age: old.age already exists; to fix: choose another directory with --into DIR"
                    .to_owned(),
                format!(
                    "cannot import \"twice\" from a: the same file contains another secret of this name; to \
                     fix: {fix}"
                ),
            ]
        );
        let there: Vec<&Path> = plan.there.iter().map(|there| there.moved.new.as_path()).collect();
        assert_eq!(there, [folder.0.join("there.age")]);
        assert_eq!(plan.already_there(), ", 1 already there");
    }
}
