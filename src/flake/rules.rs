//! rules of a flake + a file → the recipients that the file has besides those of the identity.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use vaultix_generator::private;

use crate::error::{Error, Result, Status};
use crate::flake::nix::Settings;
use crate::flake::path;
use crate::keys::recipient;
use crate::system::fence;

/// A rule as a flake has it. Twin of `setting` in `nix/rules.nix`.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub struct RuleSetting {
    pub path: String,
    pub recipients: Vec<String>,
}

/// A rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its path, from the root of the flake; with a slash at the end where it is for all below a directory.
    pub path: String,
    /// Recipients besides those of the identity.
    pub recipients: Vec<String>,
}

/// Which recipients files have besides those of the identity.
#[derive(Default)]
pub struct Rules {
    /// The root of the flake, without links; empty without one.
    root: PathBuf,
    /// Recipients of files that no rule is for.
    default: Vec<String>,
    /// The rule for a file, by its path from the root.
    files: BTreeMap<PathBuf, Rule>,
    /// The rule for all below a directory, by its path from the root.
    directories: BTreeMap<PathBuf, Rule>,
}

impl Rules {
    /// Takes what the flake at `root` says.
    ///
    /// # Errors
    ///
    /// When a path is not one inside the flake, two rules have the same, or one contains a private key.
    pub fn new(settings: &Settings, root: &Path) -> Result<Self> {
        let mut rules = Self {
            root: root.canonicalize().unwrap_or_else(|_| root.to_owned()),
            default: recipients_in(&settings.extra_recipients),
            ..Self::default()
        };
        for RuleSetting { path, recipients } in &settings.rules {
            if [path].into_iter().chain(recipients).any(|text| private::is_private(text)) {
                return Err(cannot_use(path)
                    .because("it is a private key, or contains one; it is not shown")
                    .fix(format!("use the public key: {}", private::PUBLIC_KEY_HINT)));
            }
            let plain = path::plain(path).ok_or_else(|| {
                cannot_use(path).because("its path is not one inside the flake").fix(FIX)
            })?;
            let map = if plain.ends_with('/') { &mut rules.directories } else { &mut rules.files };
            let rule = Rule { path: plain.to_owned(), recipients: recipients_in(recipients) };
            if map.insert(PathBuf::from(plain), rule).is_some() {
                return Err(cannot_use(plain)
                    .because("there is another rule for the same path")
                    .fix("make one of them, with the recipients of both"));
            }
        }
        Ok(rules)
    }

    /// Returns the rule for `file`, as it is seen from the working directory, whether it exists or not.
    ///
    /// Where a link leads to the file, the rule for the place where it is comes first, and then that for the link.
    pub fn rule(&self, file: &Path) -> Option<&Rule> {
        self.places(file).find_map(|file| self.longest(&file))
    }

    /// Returns the rule with the longest path for `file`, which is seen from the root.
    fn longest(&self, file: &Path) -> Option<&Rule> {
        let above = || file.ancestors().skip(1).find_map(|one| self.directories.get(one));
        self.files.get(file).or_else(above)
    }

    /// Returns whether `rule` is for `file`, be there one with a longer path or not.
    pub fn covers(&self, rule: &Rule, file: &Path) -> bool {
        self.places(file).any(|file| match rule.path.strip_suffix('/') {
            Some(directory) => file != Path::new(directory) && file.starts_with(directory),
            None => file == Path::new(&rule.path),
        })
    }

    /// Returns `file` as it is seen from the root: where it is, and where the user or the flake says that it is.
    fn places(&self, file: &Path) -> impl Iterator<Item = PathBuf> {
        let written = || std::path::absolute(file).map(|path| fence::without_parents(&path)).ok();
        let has_rules = !(self.files.is_empty() && self.directories.is_empty());
        let whole = if has_rules && self.root != Path::new("") {
            [fence::resolve(file).ok(), written()]
        } else {
            [None, None]
        };
        let below = |path: PathBuf| path.strip_prefix(&self.root).map(Path::to_owned).ok();
        whole.into_iter().flatten().filter_map(below)
    }

    /// Returns the recipients of `file` besides those of the identity.
    pub fn recipients(&self, file: &Path) -> &[String] {
        self.rule(file).map_or(&self.default, |rule| &rule.recipients)
    }

    /// Returns all recipients that the flake names, some more than once.
    pub fn named(&self) -> impl Iterator<Item = &String> {
        self.default.iter().chain(self.all().flat_map(|rule| &rule.recipients))
    }

    /// Returns all rules, sorted by their paths.
    pub fn all(&self) -> impl Iterator<Item = &Rule> {
        let mut all: Vec<&Rule> = self.files.values().chain(self.directories.values()).collect();
        all.sort_by_key(|rule| &rule.path);
        all.into_iter()
    }
}

/// Returns all recipients in `texts`, which may be those of files.
fn recipients_in(texts: &[String]) -> Vec<String> {
    texts.iter().flat_map(|text| recipient::lines(text)).collect()
}

/// What to do about a path that no rule may have.
const FIX: &str = "write it relative to flake.nix, without . and .., and with / at the end of a directory: path = \"secrets/ops/\"";

fn cannot_use(path: &str) -> Error {
    let what = if private::is_private(path) {
        "cannot use a rule in vaultix.rules".to_owned()
    } else {
        format!("cannot use the rule for \"{path}\" in vaultix.rules")
    };
    Error::new(Status::Config, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the rules with these paths, each of which names itself as recipient; of the flake at `/flake`.
    fn rules(paths: &[&str]) -> Result<Rules> {
        let rule = |path: &&str| {
            let path = (*path).to_owned();
            RuleSetting { recipients: vec![path.clone()], path }
        };
        let rules = paths.iter().map(rule).collect();
        let extra_recipients = vec!["default".to_owned()];
        let settings = Settings { extra_recipients, rules, ..Settings::default() };
        Rules::new(&settings, Path::new("/nonexistent/flake"))
    }

    #[test]
    fn the_longest_path_counts() {
        let rules = rules(&["./a/", "a/b/", "a/b", "a/b/c.age", "a/b/c.age/"]).unwrap();
        for (file, expected) in [
            ("x.age", "default"),
            ("a", "default"),
            ("ab/x.age", "default"),
            ("a/x.age", "./a/"),
            ("a/bc", "./a/"),
            ("a/b", "a/b"),
            ("a/b/x/y.age", "a/b/"),
            ("a/b/c.age", "a/b/c.age"),
            ("a/b/c.age/d", "a/b/c.age/"),
            ("y/../a/b/c.age", "a/b/c.age"),
            ("../a/x.age", "default"),
        ] {
            let file = Path::new("/nonexistent/flake").join(file);
            assert_eq!(rules.recipients(&file), [expected], "{}", file.display());
        }
        assert_eq!(rules.recipients(Path::new("/elsewhere/a/x.age")), ["default"]);
        let paths: Vec<&str> = rules.all().map(|rule| rule.path.as_str()).collect();
        assert_eq!(paths, ["a/", "a/b", "a/b/", "a/b/c.age", "a/b/c.age/"]);
    }

    #[test]
    fn a_text_may_name_several_recipients() {
        let text = || "# ours\nalice\n\nbob me@desk\n".to_owned();
        let rule = RuleSetting { path: "a/".to_owned(), recipients: vec![text(), "carol".into()] };
        let settings =
            Settings { extra_recipients: vec![text()], rules: vec![rule], ..Settings::default() };
        let rules = Rules::new(&settings, Path::new("/nonexistent/flake")).unwrap();
        assert_eq!(rules.recipients(Path::new("/x.age")), ["alice", "bob me@desk"]);
        let file = Path::new("/nonexistent/flake/a/x.age");
        assert_eq!(rules.recipients(file), ["alice", "bob me@desk", "carol"]);
    }

    #[test]
    fn a_rule_that_cannot_be_used_is_named() {
        let refused = |paths: &[&str]| format!("{:#}", rules(paths).err().unwrap());
        let key = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
        assert!(refused(&["/a/"]).contains("for \"/a/\" in vaultix.rules: its path is not one"));
        assert!(refused(&["a/", "./a/"]).contains("rule for \"a/\" in vaultix.rules: there is"));
        assert!(refused(&[key]).starts_with("cannot use a rule in vaultix.rules: it is a private"));
        assert!(!refused(&[key]).contains("GQ9778"));
    }

    #[test]
    fn without_a_flake_there_is_no_rule() {
        let rules = Rules::new(&Settings::default(), Path::new("")).unwrap();
        assert_eq!(rules.rule(Path::new("secrets/x.age")), None);
    }
}
