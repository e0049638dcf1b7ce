//! who could read the files of an older scheme → the rules of a flake that keep it that way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use vaultix_generator::private;

use crate::commands::import::destination::Destination;
use crate::files::tree;
use crate::flake::literal;
use crate::flake::rules::Rules;
use crate::keys::recipient::{self, canonical};
use crate::keys::ssh_to_age;
use crate::report::{self, Report};

/// Who can read a file of an older scheme, as far as it says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readers {
    /// Its recipients, as they are written there, comments included.
    pub recipients: Vec<String>,
    /// Whether others can as well, with keys that no recipient of age is for.
    pub has_others: bool,
}

/// A file of an older scheme that is made anew.
pub struct Moved {
    /// The new file.
    pub new: PathBuf,
    /// The old one.
    pub old: PathBuf,
    /// Who can read the old one.
    pub readers: Readers,
}

/// What is known of recipients.
pub struct Known {
    /// Those of the identities that the old files were decrypted with, or the new ones are encrypted to.
    pub own: BTreeSet<String>,
    /// Of these, those that the new files are encrypted to.
    pub new: BTreeSet<String>,
    /// The public keys of hosts, which get copies instead.
    pub hosts: Vec<String>,
}

/// Returns the rules, as Nix in comments, that keep who could read the old files: those that the flake needs besides `rules`; none where
/// it needs none. Warns where more can read a file of `moved` than before.
pub fn snippet(
    moved: &[Moved],
    known: &Known,
    rules: &Rules,
    destination: &Destination,
    report: &Report,
) -> String {
    warn_of_others(moved, report);
    let people = People::new(known, rules);
    let mut unusable = BTreeSet::new();
    let mut files: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    // What the flake has is what the user knows.
    let mut texts: BTreeMap<String, String> =
        rules.named().map(|text| (canonical(text), text.trim().to_owned())).collect();
    let present = |file: &Path| -> BTreeSet<String> {
        rules.recipients(file).iter().filter_map(|text| people.key(text)).collect()
    };
    let mut wider = BTreeSet::new();
    for Moved { new, readers, .. } in moved.iter().filter(|one| !one.readers.recipients.is_empty())
    {
        let mut set = BTreeSet::new();
        for text in &readers.recipients {
            let Some(text) = usable(text) else {
                unusable.insert(private::shown(text));
                continue;
            };
            if let Some(key) = people.key(&text) {
                if canonical(&text) == key {
                    texts.entry(key.clone()).or_insert(text);
                }
                set.insert(key);
            }
        }
        if !present(new).is_subset(&set) {
            wider.insert(new.display().to_string());
        }
        files.insert(new.clone(), set);
    }
    if !unusable.is_empty() {
        let unusable: Vec<String> = unusable.into_iter().collect();
        report.warning(format_args!(
            "rules cannot name these recipients, which are left out: {}",
            report::list(&unusable)
        ));
    }
    if !wider.is_empty() {
        report.warning(format_args!(
            "more people can decrypt these than before, because the flake names them: {}; before you commit them, add the printed rules to flake.nix, and run: vaultix rekey",
            report::list(&wider.into_iter().collect::<Vec<_>>())
        ));
    }
    // A rule for a directory is also for what was there before.
    for path in tree::secrets(&destination.directory) {
        let set = present(&path);
        files.entry(path).or_insert(set);
    }
    let from_flake = |path: &Path| {
        let below = path.strip_prefix(&destination.directory).unwrap_or(path);
        destination.from_flake.join(below)
    };
    let files: BTreeMap<PathBuf, File> = files
        .into_iter()
        .map(|(path, readers)| {
            (from_flake(&path), File { is_right: present(&path) == readers, readers })
        })
        .collect();
    let mut found = Vec::new();
    cover(&destination.from_flake, &files, &mut found);
    if found.is_empty() {
        return String::new();
    }
    if destination.from_flake.is_absolute() {
        report.warning(
            "the new files are not in the flake, so that no rule can keep who could read the old ones",
        );
        return String::new();
    }
    let line = |(path, readers): (String, &BTreeSet<String>)| {
        let text = |key: &String| literal::string(texts.get(key).unwrap_or(key));
        let all: Vec<String> = known.new.iter().map(|own| literal::string(own)).collect();
        let all = all.into_iter().chain(readers.iter().map(text)).collect::<Vec<_>>().join(" ");
        format!("#   {{ path = {}; recipients = [ {all} ]; }}\n", literal::string(&path))
    };
    let lines: String = found.into_iter().map(line).collect();
    format!(
        "\n# In flake.nix, next to vaultix.identity; then run, before you commit: vaultix rekey\n# rules = [\n{lines}# ];\n"
    )
}

/// Names the files that others can read with keys that are none of age.
fn warn_of_others(moved: &[Moved], report: &Report) {
    let others = moved.iter().filter(|one| one.readers.has_others);
    let others: BTreeSet<String> = others.map(|one| one.old.display().to_string()).collect();
    if !others.is_empty() {
        let others: Vec<String> = others.into_iter().collect();
        report.warning(format_args!(
            "rules cannot name keys that are not for age, to which these are also encrypted: {}",
            report::list(&others)
        ));
    }
}

/// Returns `text` if something can be encrypted to it, without a comment that may not be shown.
fn usable(text: &str) -> Option<String> {
    let text = text.trim();
    let text = if private::is_private(text) { canonical(text) } else { text.to_owned() };
    (!text.contains('\n') && recipient::parse(&text).is_ok()).then_some(text)
}

/// Who is who.
struct People {
    /// Recipients that are no people's but the user's own, or hosts'.
    left_out: BTreeSet<String>,
    /// Recipients of age that `ssh-to-age` makes, with the keys that the flake names.
    converted: BTreeMap<String, String>,
}

impl People {
    fn new(known: &Known, rules: &Rules) -> Self {
        let left_out = known.own.iter().chain(&known.new).chain(&known.hosts);
        let both = |text: &String| [Some(canonical(text)), ssh_to_age::recipient(text)];
        let convert = |text: &String| Some((ssh_to_age::recipient(text)?, canonical(text)));
        Self {
            left_out: left_out.flat_map(both).flatten().collect(),
            converted: rules.named().filter_map(convert).collect(),
        }
    }

    /// Returns what distinguishes the recipient `text` from others, `None` where it is left out.
    fn key(&self, text: &str) -> Option<String> {
        let key = canonical(text);
        let key = self.converted.get(&key).cloned().unwrap_or(key);
        (!self.left_out.contains(&key)).then_some(key)
    }
}

/// A new file.
struct File {
    /// Who is to read it.
    readers: BTreeSet<String>,
    /// Whether the flake says so already.
    is_right: bool,
}

/// Adds to `found` the rules for all below `directory`: one where all of `files` there agree, or else one for each directory
/// in it whose files agree, and one for each other file.
fn cover<'a>(
    directory: &Path,
    files: &'a BTreeMap<PathBuf, File>,
    found: &mut Vec<(String, &'a BTreeSet<String>)>,
) {
    let below: Vec<(&PathBuf, &File)> =
        files.iter().filter(|(path, _)| path.starts_with(directory)).collect();
    let Some((_, first)) = below.first() else { return };
    if below.iter().all(|(_, file)| file.is_right) {
        return;
    }
    let agree = below.iter().all(|(_, file)| file.readers == first.readers);
    if agree && directory != Path::new("") {
        found.push((format!("{}/", directory.display()), &first.readers));
        return;
    }
    let mut seen = BTreeSet::new();
    for (path, file) in below {
        let Ok(rest) = path.strip_prefix(directory) else { continue };
        let Some(name) = rest.components().next() else { continue };
        let child = directory.join(name);
        if child != *path {
            if seen.insert(child.clone()) {
                cover(&child, files, found);
            }
        } else if !file.is_right {
            found.push((path.display().to_string(), &file.readers));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the paths of the rules for `files`, each with the letters of those who are to read it, below `directory`; the
    /// flake lets `present` read all of them.
    fn rules(directory: &str, files: &[(&str, &str)], present: &str) -> Vec<String> {
        let set = |text: &str| text.chars().map(String::from).collect::<BTreeSet<String>>();
        let file = |(path, readers): &(&str, &str)| {
            let readers = set(readers);
            (PathBuf::from(path), File { is_right: readers == set(present), readers })
        };
        let files = files.iter().map(file).collect();
        let mut found = Vec::new();
        cover(Path::new(directory), &files, &mut found);
        let shown = |(path, readers): (String, &BTreeSet<String>)| {
            format!("{path} {}", readers.iter().cloned().collect::<String>())
        };
        found.into_iter().map(shown).collect()
    }

    #[test]
    fn there_are_as_few_rules_as_directories_agree() {
        let all = [("s/a.age", "ab"), ("s/x/b.age", "ab"), ("s/x/c.age", "ab")];
        assert_eq!(rules("s", &all, "ab"), [""; 0]);
        assert_eq!(rules("s", &all, ""), ["s/ ab"]);
        assert_eq!(rules("", &all, "")[..], ["s/ ab"]);
        let some = [("s/a.age", "a"), ("s/x/b.age", "ab"), ("s/x/y/c.age", "ab"), ("s/z.age", "b")];
        assert_eq!(rules("s", &some, "a"), ["s/x/ ab", "s/z.age b"]);
        assert_eq!(rules("s", &some, ""), ["s/a.age a", "s/x/ ab", "s/z.age b"]);
        let mixed = [("s/x/b.age", "a"), ("s/x/y/c.age", "b"), ("s/x/y/d.age", "b")];
        assert_eq!(rules("s", &mixed, "ab"), ["s/x/b.age a", "s/x/y/ b"]);
        assert_eq!(rules("", &[("a.age", "a"), ("b.age", "a")], ""), ["a.age a", "b.age a"]);
    }

    #[test]
    fn a_recipient_that_nothing_can_be_encrypted_to_is_left_out() {
        let key = "age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq";
        assert_eq!(usable(&format!(" {key}\n")).unwrap(), key);
        assert_eq!(usable("ssh-ed25519 AAAA me"), None);
        let private = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
        assert_eq!(usable(private), None);
        let ssh =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJKFAtszmoMMh2IBHZkmST/rxao9WDWCaShoXWZTOnKT";
        assert_eq!(usable(&format!("{ssh} {private}")).unwrap(), ssh);
        assert_eq!(usable(&format!("{ssh} me@desk")).unwrap(), format!("{ssh} me@desk"));
    }
}
