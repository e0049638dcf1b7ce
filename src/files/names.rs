//! names of hosts, secrets and keys ↔ a small file in the user's cache, for shells that complete them.
//!
//! To evaluate a flake takes seconds, and nobody waits that long for a name. Of what is in a secret, nothing is there.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use vaultix_generator::escape;
use vaultix_generator::profile::Profile;
use vaultix_units::bounded;

use crate::error::Result;
use crate::files::replace::Replacement;
use crate::report;
use crate::structured::Pointer;
use crate::system::origin;

/// Largest file of names, in bytes (1 MiB).
const MAX_NAMES: u64 = 1 << 20;

/// How many files of flakes that are gone are looked for at once.
const MAX_SWEPT: usize = 500;

/// What a flake names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub hosts: BTreeSet<String>,
    pub secrets: BTreeSet<String>,
    /// Files of secrets: paths relative to the flake, or those of an input, like `secrets:wifi.age`.
    pub files: BTreeSet<String>,
    /// Files with many values, each with a key of one.
    pub keys: BTreeSet<(String, String)>,
}

impl Names {
    /// Collects what the hosts with these `profiles` of the flake at `root` declare.
    pub fn new(profiles: &[Profile], root: &Path) -> Self {
        let mut names = Self::default();
        let mut folders: BTreeMap<PathBuf, Option<PathBuf>> = BTreeMap::new();
        for profile in profiles {
            names.hosts.insert(profile.settings.host_identifier.clone());
            names.secrets.extend(profile.secrets.keys().cloned());
            for secret in profile.secrets.values().flatten() {
                let path = &secret.ciphertext;
                let file = origin::in_input(path).or_else(|| {
                    let folder = path.parent()?;
                    let found = folders.entry(folder.to_owned());
                    let below = found.or_insert_with(|| below(root, folder)).as_ref()?;
                    Some(below.join(path.file_name()?).to_str()?.to_owned())
                });
                let Some(file) = file else { continue };
                if let Some(key) = &secret.key {
                    names.keys.insert((file.clone(), as_typed(&key.pointer)));
                }
                names.files.insert(file);
            }
        }
        names
    }

    /// Writes them for the flake at `root`, if that changes anything. Names that a terminal would not show are left out.
    pub fn remember(&self, root: &Path) {
        let Some((path, text)) = file(root).zip(self.text(root)) else { return };
        let is_same = bounded::read(&path, MAX_NAMES).is_ok_and(|found| *found == *text.as_bytes());
        if is_same || text.len() as u64 > MAX_NAMES {
            return;
        }
        // Completion is a convenience: what is in the way of it is in the way of nothing else.
        match write(&path, &text) {
            Ok(()) => sweep(&path),
            Err(reason) => report::detail(format_args!("names cannot be completed: {reason:#}")),
        }
    }

    /// Returns those of the flake at `root` that were written last; none if there are none.
    pub fn recall(root: &Path) -> Self {
        let read =
            |path: PathBuf| String::from_utf8(bounded::read(&path, MAX_NAMES).ok()?.to_vec()).ok();
        let text = file(root).and_then(read).unwrap_or_default();
        let mut names = Self::default();
        for line in text.lines().filter(|line| is_plain(line)) {
            let fields: Vec<&str> = line.split('\t').collect();
            let _ = match fields[..] {
                ["host", name] => names.hosts.insert(name.to_owned()),
                ["secret", name] => names.secrets.insert(name.to_owned()),
                ["file", name] => names.files.insert(name.to_owned()),
                ["key", file, key] => names.keys.insert((file.to_owned(), key.to_owned())),
                _ => false, // The flake itself, or a line of a newer version.
            };
        }
        names
    }

    /// Returns the text of the file; `None` if the flake itself cannot be named in it.
    fn text(&self, root: &Path) -> Option<String> {
        let root = root.to_str().filter(|root| is_word(root))?;
        let mut text = format!("flake\t{root}\n");
        let kinds = [("host", &self.hosts), ("secret", &self.secrets), ("file", &self.files)];
        let names =
            kinds.into_iter().flat_map(|(kind, names)| names.iter().map(move |name| (kind, name)));
        for (kind, name) in names.filter(|(_, name)| is_word(name)) {
            let _ = writeln!(text, "{kind}\t{name}"); // Writing to a String cannot fail.
        }
        for (file, key) in self.keys.iter().filter(|(file, key)| is_word(file) && is_word(key)) {
            let _ = writeln!(text, "key\t{file}\t{key}"); // The same.
        }
        Some(text)
    }
}

/// Returns the path of `folder` from the flake at `root`, if it is in there.
fn below(root: &Path, folder: &Path) -> Option<PathBuf> {
    let folder = if folder == Path::new("") { Path::new(".") } else { folder };
    // One that is still to be made has no links.
    let whole = folder.canonicalize().or_else(|_| std::path::absolute(folder)).ok()?;
    Some(whole.strip_prefix(root).ok()?.to_owned())
}

/// Returns the key with this `pointer` as it is usually typed, without the first slash.
fn as_typed(pointer: &str) -> String {
    let short = pointer.strip_prefix('/').unwrap_or(pointer);
    let is_same = Pointer::from_user(short).is_ok_and(|same| same.to_string() == pointer);
    if is_same { short.to_owned() } else { pointer.to_owned() }
}

/// Returns whether a shell and a terminal can show `name` as it is.
fn is_word(name: &str) -> bool {
    !name.is_empty() && is_plain(name) && !name.contains('\t')
}

fn is_plain(line: &str) -> bool {
    escape::line(&line.replace('\t', " ")) == line.replace('\t', " ")
}

/// Returns where the names of the flake at `root` are: named by the digest of its path.
fn file(root: &Path) -> Option<PathBuf> {
    let folder =
        |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
    let digest = escape::hex(&Sha256::digest(root.as_os_str().as_encoded_bytes()));
    Some(cache.join("vaultix/names").join(digest))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    // With sudo, HOME may be that of the user, who could then write nothing there any more.
    let nearest = folder.ancestors().find_map(|folder| folder.metadata().ok());
    if nearest.is_none_or(|found| found.uid() != rustix::process::geteuid().as_raw()) {
        report::detail(format_args!("{} is another user's", folder.display()));
        return Ok(());
    }
    // What is wrong with it, the next step says.
    let _ = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    let mut replacement = Replacement::private(path)?;
    replacement.write(text.as_bytes())?;
    replacement.persist()
}

/// Removes files like `path` of flakes that are gone.
fn sweep(path: &Path) {
    let entries = path.parent().and_then(|folder| fs::read_dir(folder).ok());
    for entry in entries.into_iter().flatten().take(MAX_SWEPT).flatten() {
        let names = bounded::read(&entry.path(), MAX_NAMES).ok();
        let first = names.as_ref().and_then(|text| {
            let line = text.split(|byte| *byte == b'\n').next()?;
            std::str::from_utf8(line).ok()?.strip_prefix("flake\t")
        });
        let is_gone = first.is_some_and(|root| {
            let error = Path::new(root).symlink_metadata().err();
            error.is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
        });
        if is_gone {
            let _ = fs::remove_file(entry.path()); // Another run may have done so.
        }
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    #[test]
    fn keys_are_as_they_are_typed() {
        for (pointer, typed) in
            [("/smtp/password", "smtp/password"), ("/a~1b", "/a~1b"), ("//x", "//x"), ("/", "/")]
        {
            assert_eq!(as_typed(pointer), typed);
        }
    }

    #[test]
    fn a_name_that_would_be_another_line_is_left_out() {
        let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect();
        let names = Names {
            hosts: words(&["web1", "db\n1", "a\u{202e}b", ""]),
            secrets: words(&["$(touch x)", "a\tb"]),
            files: words(&["secrets/wifi.age"]),
            keys: [
                ("a.age".to_owned(), "x".to_owned()),
                ("a.age".to_owned(), "\x1b[2J".to_owned()),
            ]
            .into(),
        };
        let text =
            "flake\t/r\nhost\tweb1\nsecret\t$(touch x)\nfile\tsecrets/wifi.age\nkey\ta.age\tx\n";
        assert_eq!(names.text(Path::new("/r")).unwrap(), text);
        assert_eq!(names.text(Path::new("/r\n")), None);
    }
}
