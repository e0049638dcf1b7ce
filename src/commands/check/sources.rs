//! secrets + configured recipients → the secrets that some of these cannot decrypt, as far as headers tell.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use vaultix_generator::escape;
use vaultix_units::decrypt;
use vaultix_units::stanza::{self, Recipient};

use crate::files::source;
use crate::flake::rules::Rules;
use crate::flake::workspace::Workspace;
use crate::keys::armor;
use crate::keys::identity_files::Content;
use crate::keys::recipient::canonical;
use crate::system::origin;

/// The recipients that the header of each secret has to hold.
pub struct ExpectedRecipients<'a> {
    rules: &'a Rules,
    /// Those of the identity.
    own: BTreeSet<String>,
    /// Whether these are all.
    knows_own: bool,
}

/// The recipients that the header of one secret has to hold.
pub struct Expected<'a> {
    /// The path of the rule that names them, if there is one.
    rule: Option<&'a str>,
    /// Those that the flake names.
    named: Vec<Recipient>,
    /// Those of the identity that are not among them.
    own: Vec<Recipient>,
    /// Whether the identity is among them.
    names_own: bool,
    /// Whether the header may have more, of kinds that only a plugin knows.
    is_open: bool,
    /// The texts of all of them.
    texts: BTreeSet<String>,
}

/// What the header of a secret with a rule has besides what its rule names.
pub enum Deviation {
    /// Not the recipient of the identity, which the rule does not name either.
    OfOthers,
    /// So many more.
    More(usize),
}

impl<'a> ExpectedRecipients<'a> {
    /// Takes the recipients that the flake names, and those of its identity where that is here and locked by nothing. In
    /// CI it is not.
    pub fn from_workspace(workspace: &'a Workspace) -> Self {
        let files = &workspace.identities;
        let keys: Vec<_> = files.paths.iter().map(|path| public_keys(path)).collect();
        let is_named = !files.recipients.is_empty();
        let knows_own = is_named || !keys.is_empty() && keys.iter().flatten().all(Option::is_some);
        let own: BTreeSet<String> = if is_named {
            files.recipients.iter().map(|text| canonical(text)).collect()
        } else {
            keys.into_iter().flatten().flatten().collect()
        };
        Self { rules: &workspace.rules, knows_own: knows_own && !own.is_empty(), own }
    }

    /// Returns those of the secret `file`.
    pub fn of(&self, file: &Path) -> Expected<'a> {
        let texts = self.rules.recipients(file).iter().map(|text| canonical(text));
        let named: BTreeSet<String> = texts.collect();
        let stanzas =
            |texts: &BTreeSet<String>| texts.iter().filter_map(|text| stanza(text)).collect();
        let stanzas_of_named: Vec<Recipient> = stanzas(&named);
        Expected {
            rule: self.rules.rule(file).map(|rule| rule.path.as_str()),
            names_own: self.own.iter().any(|own| named.contains(own)),
            is_open: stanzas_of_named.len() < named.len(),
            named: stanzas_of_named,
            own: stanzas(&self.own.difference(&named).cloned().collect()),
            texts: self.own.union(&named).cloned().collect(),
        }
    }

    /// Returns what is wrong with the secret `file`, and how to fix it.
    pub fn problem(&self, file: &Path) -> Option<(String, String)> {
        let shown = origin::shown(file);
        let damaged = |reason| {
            let problem = format!("{shown} cannot be decrypted by anyone: {reason}");
            let word = escape::shell_path(&shown);
            if origin::in_input(file).is_some() {
                return Some((problem, format!("vaultix edit {word}")));
            }
            Some((
                problem,
                format!("git checkout -- {word} # or: rm {word} && vaultix edit {word}"),
            ))
        };
        // What cannot be read is reported elsewhere.
        let found = match recipients(file) {
            Ok(found) => found?,
            Err(reason) => return damaged(reason),
        };
        let expected = self.of(file);
        let missing = without(&expected.required(), &found);
        if missing.is_empty() {
            return None;
        }
        let missing = expected.describe(&missing, &found);
        let problem = match expected.rule {
            Some(rule) => {
                format!(
                    "{shown} is not encrypted to {missing}, which the rule for \"{rule}\" names"
                )
            }
            None => format!("{shown} is not encrypted to {missing}"),
        };
        if self.own.is_empty()
            || self.own.iter().filter_map(|own| stanza(own)).any(|own| found.contains(&own))
        {
            return Some((problem, "vaultix rekey".to_owned()));
        }
        // The identity does not open it, so nothing is done without another one.
        let problem = format!("{problem}, but to {}", stanza::describe(&found));
        Some((problem, "vaultix rekey --old IDENTITY_THAT_OPENS_IT".to_owned()))
    }

    /// Returns how the secret `file` deviates from its rule in a way that may be meant; `None` also where the identity is
    /// not known, or the file has no rule.
    pub fn deviation(&self, file: &Path, hosts: &[Recipient]) -> Option<Deviation> {
        let expected = self.of(file);
        expected.rule.filter(|_| self.knows_own)?;
        let mut found = recipients(file).ok().flatten()?;
        // That a host can decrypt it is reported elsewhere.
        found.retain(|one| expected.contains(one) || !hosts.contains(one));
        if !without(&expected.named, &found).is_empty() {
            return None;
        }
        let others = without(&found, &expected.named);
        let is_own = |one: &Recipient| expected.own.contains(one);
        if !expected.names_own && !others.iter().any(is_own) {
            return Some(Deviation::OfOthers);
        }
        let more = without(&others, &expected.own).len();
        (more > 0 && !expected.is_open).then_some(Deviation::More(more))
    }
}

impl Expected<'_> {
    /// Returns whether the secret is meant to be encrypted to `recipient`.
    pub fn contains(&self, recipient: &Recipient) -> bool {
        self.named.contains(recipient) || self.own.contains(recipient)
    }

    /// Says which of the recipients are `missing`, of a header with `found`: it does not tell apart those of some kinds, of
    /// which only the number is known.
    fn describe(&self, missing: &[Recipient], found: &[Recipient]) -> String {
        let kinds: BTreeSet<&Recipient> = missing.iter().filter(|one| one.tag.is_none()).collect();
        let of_kind = |kind: &Recipient| {
            let count = |all: &[Recipient]| all.iter().filter(|one| *one == kind).count();
            let (wanted, missing, found) = (count(&self.required()), count(missing), count(found));
            let named = self.texts.iter().filter(|text| stanza(text).as_ref() == Some(kind));
            // A post-quantum one has two thousand letters.
            let short = |text: &String| match text.get(..64) {
                Some(begin) if text.len() > 80 => format!("{begin}\u{2026}"),
                _ => text.clone(),
            };
            let shown = named.map(short).collect::<Vec<_>>().join(" or ");
            match (wanted, found) {
                (1, 0) => format!("{} ({shown})", kind.kind),
                (_, 0) => format!("any {} ({shown})", kind.kind),
                _ => format!("{missing} of {wanted} {} recipients ({shown})", kind.kind),
            }
        };
        let tagged: Vec<Recipient> =
            missing.iter().filter(|one| one.tag.is_some()).cloned().collect();
        let tagged = Some(stanza::describe(&tagged)).filter(|text| !text.is_empty());
        tagged.into_iter().chain(kinds.into_iter().map(of_kind)).collect::<Vec<_>>().join(" and ")
    }

    /// Returns what the header has to hold: where a rule does not name the identity, it may be for others alone.
    fn required(&self) -> Vec<Recipient> {
        let own = if self.rule.is_none() { self.own.as_slice() } else { &[] };
        let mut all = [&self.named, own].concat();
        all.sort();
        all
    }
}

/// Returns whom the secret `file` is encrypted to, `None` where it cannot be read.
///
/// # Errors
///
/// Why it is damaged.
pub fn recipients(file: &Path) -> Result<Option<Vec<Recipient>>, String> {
    let Ok(bytes) = source::read(file) else { return Ok(None) };
    let bytes = armor::dearmor(bytes)?;
    decrypt::recipients(&bytes).map(Some).map_err(|error| error.to_string())
}

/// Returns those of `wanted` that are not in `found`. Where a header does not tell keys apart, it has to hold as many.
fn without(wanted: &[Recipient], found: &[Recipient]) -> Vec<Recipient> {
    let mut left: BTreeMap<&Recipient, usize> = BTreeMap::new();
    for one in found {
        *left.entry(one).or_default() += 1;
    }
    let mut missing = wanted.to_vec();
    missing.retain(|one| match left.get_mut(one) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    });
    missing
}

/// Returns the public keys of an identity file, `None` for each that is not known without asking.
fn public_keys(path: &Path) -> Vec<Option<String>> {
    Content::read(path).map_or_else(|| vec![None], |content| content.recipients)
}

/// Returns what a header contains of `recipient`; `None` for one of a plugin, whose stanzas only it knows.
fn stanza(recipient: &str) -> Option<Recipient> {
    let of_age = || {
        let kind = if recipient.parse::<age::x25519::Recipient>().is_ok() {
            "X25519"
        } else if recipient.starts_with("age1pq1") {
            "mlkem768x25519"
        } else {
            return None;
        };
        Some(Recipient { kind: kind.to_owned(), tag: None })
    };
    stanza::parse_ssh_key(recipient).or_else(of_age)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, tag: Option<&str>) -> Recipient {
        Recipient { kind: kind.to_owned(), tag: tag.map(str::to_owned) }
    }

    #[test]
    fn keys_that_cannot_be_told_apart_are_counted() {
        let [age, one, other] =
            [of("X25519", None), of("ssh-rsa", Some("a")), of("ssh-rsa", Some("b"))];
        let missing = |found: &[&Recipient]| {
            let wanted = [age.clone(), age.clone(), one.clone()];
            let found: Vec<Recipient> = found.iter().copied().cloned().collect();
            stanza::describe(&without(&wanted, &found))
        };
        assert_eq!(missing(&[&one, &age, &other]), "X25519");
        assert_eq!(missing(&[&age, &age, &other]), "ssh-rsa (tag a)");
        assert_eq!(missing(&[&age, &one, &age]), "");
    }
}
