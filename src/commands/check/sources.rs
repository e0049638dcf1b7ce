//! secrets + configured recipients → the secrets that some of these cannot decrypt, or that others can, as far as headers tell.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use vaultix_generator::escape;
use vaultix_units::decrypt;
use vaultix_units::stanza::{self, Recipient};

use crate::files::source;
use crate::flake::git::restore;
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
    /// How many of the identity are not known.
    unknown: usize,
    /// Whether anyone says who can decrypt what: without a flake, nobody is too many.
    is_complete: bool,
    /// What headers contain for hosts.
    hosts: Vec<Recipient>,
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
    /// How many the header may have besides, of kinds that only a plugin knows.
    of_plugins: usize,
    /// The texts of all of them.
    texts: BTreeSet<String>,
}

/// What is wrong with a secret.
pub struct Problem {
    /// What is wrong, after the name of the secret.
    pub what: String,
    pub fix: String,
}

impl<'a> ExpectedRecipients<'a> {
    /// Takes the recipients that the flake names, and those of its identity where that is here and locked by nothing. In
    /// CI it is not.
    pub fn from_workspace(workspace: &'a Workspace) -> Self {
        let files = &workspace.identities;
        let keys: Vec<_> = files.paths.iter().flat_map(|path| public_keys(path)).collect();
        let is_named = !files.recipients.is_empty();
        let knows_own = is_named || !keys.is_empty() && keys.iter().all(Option::is_some);
        // Whoever encrypts without an identity of the flake has one of their own.
        let count = keys.len().max(1);
        let own: BTreeSet<String> = if is_named {
            files.recipients.iter().map(|text| canonical(text)).collect()
        } else {
            keys.into_iter().flatten().collect()
        };
        let hosts = workspace.profiles.iter().map(|profile| &profile.settings.host_pubkey);
        Self {
            rules: &workspace.rules,
            knows_own: knows_own && !own.is_empty(),
            unknown: if is_named { 0 } else { count.saturating_sub(own.len()) },
            is_complete: workspace.knows_recipients,
            hosts: hosts.filter_map(|key| stanza::parse_ssh_key(key)).collect(),
            own,
        }
    }

    /// Returns those of the secret `file`.
    pub fn of(&self, file: &Path) -> Expected<'a> {
        let texts = self.rules.recipients(file).iter().map(|text| canonical(text));
        let named: BTreeSet<String> = texts.collect();
        let stanzas =
            |texts: &BTreeSet<String>| texts.iter().filter_map(|text| stanza::of(text)).collect();
        let texts: BTreeSet<String> = self.own.union(&named).cloned().collect();
        Expected {
            rule: self.rules.rule(file).map(|rule| rule.path.as_str()),
            names_own: self.own.iter().any(|own| named.contains(own)),
            of_plugins: texts.iter().filter(|text| stanza::of(text).is_none()).count(),
            named: stanzas(&named),
            own: stanzas(&self.own.difference(&named).cloned().collect()),
            texts,
        }
    }

    /// Returns what is wrong with the secret `file`.
    pub fn problems(&self, file: &Path) -> Vec<Problem> {
        // What cannot be read is reported elsewhere.
        let found = match recipients(file) {
            Ok(Some(found)) => found,
            Ok(None) => return Vec::new(),
            Err(reason) => return vec![damaged(file, &reason)],
        };
        let expected = self.of(file);
        let missing = without(&expected.required(), &found);
        let is_closed = !missing.is_empty() && !self.may_open(&found);
        let lacking = (!missing.is_empty()).then(|| {
            let missing = expected.describe(&missing, &found);
            let mut what = format!("is not encrypted to {missing}");
            if let Some(rule) = expected.rule {
                let _ = write!(what, ", which the rule for \"{rule}\" names"); // To a String.
            }
            if !is_closed {
                return Problem { what, fix: "vaultix rekey".to_owned() };
            }
            // The identity does not open it, so nothing is done without another one.
            let _ = write!(what, ", but to {}", stanza::describe(&found)); // To a String.
            Problem { what, fix: "vaultix rekey --old IDENTITY_THAT_OPENS_IT".to_owned() }
        });
        let excess = if is_closed { None } else { self.excess(&expected, &found) };
        lacking.into_iter().chain(excess).collect()
    }

    /// Returns whether an identity may decrypt a file with a header that contains `found`.
    fn may_open(&self, found: &[Recipient]) -> bool {
        let mut own = self.own.iter().filter_map(|own| stanza::of(own));
        self.own.is_empty() || own.any(|own| found.contains(&own))
    }

    /// Returns the problem that a header contains more of `found` than is `expected`.
    fn excess(&self, expected: &Expected, found: &[Recipient]) -> Option<Problem> {
        if !self.is_complete || self.is_of_others(expected, found) {
            return None;
        }
        let more = self.more(expected, found);
        let allowed = self.allowed(expected);
        if more.len() <= allowed {
            return None;
        }
        let by = match expected.rule {
            Some(rule) => format!("the rule for \"{rule}\" does not name"),
            None => "the flake does not name".to_owned(),
        };
        let mut what = format!("is also encrypted to {}, which {by}", describe_more(&more, found));
        if allowed > 0 {
            let _ = write!(what, " (at most {allowed} of them: an identity's, or a plugin's)"); // To a String.
        }
        let fix = if self.unknown == 0 {
            "vaultix rekey"
        } else {
            "vaultix rekey # or name the recipients of the identity in vaultix.recipient"
        };
        Some(Problem { what, fix: fix.to_owned() })
    }

    /// Returns how many recipients a header may contain of which only others know what they look like there.
    fn allowed(&self, expected: &Expected) -> usize {
        self.unknown + expected.of_plugins
    }

    /// Returns those of `found` that are not `expected`. That hosts can decrypt it is reported elsewhere.
    fn more(&self, expected: &Expected, found: &[Recipient]) -> Vec<Recipient> {
        let all = [expected.named.as_slice(), &expected.own].concat();
        let mut more = without(found, &all);
        more.retain(|one| !self.hosts.contains(one));
        more
    }

    /// Returns whether a file with a header that contains `found` is for others than the identity, as its rule says.
    fn is_of_others(&self, expected: &Expected, found: &[Recipient]) -> bool {
        let is_own = |one: &Recipient| expected.own.contains(one);
        expected.rule.is_some()
            && self.knows_own
            && !expected.names_own
            && !without(found, &expected.named).iter().any(is_own)
    }

    /// Returns whether the secret `file` is for others than the identity, as its rule says, and has all that this names.
    pub fn leaves_to_others(&self, file: &Path) -> bool {
        let expected = self.of(file);
        let Ok(Some(found)) = recipients(file) else { return false };
        without(&expected.named, &found).is_empty() && self.is_of_others(&expected, &found)
    }

    /// Returns whether the secret `file` has recipients besides those that the flake names, which may be those of an
    /// identity that is not known here.
    pub fn may_have_more(&self, file: &Path) -> bool {
        let expected = self.of(file);
        let Ok(Some(found)) = recipients(file) else { return false };
        let count = self.more(&expected, &found).len();
        self.is_complete && count > expected.of_plugins && count <= self.allowed(&expected)
    }
}

/// Says that nobody can decrypt the secret `file`.
fn damaged(file: &Path, reason: &str) -> Problem {
    let word = escape::shell_path(origin::shown(file));
    let fix = if origin::in_input(file).is_some() {
        format!("vaultix edit {word}")
    } else {
        let new = format!("rm {word} && vaultix edit {word}");
        match restore::command(file) {
            Some(command) if command.contains(" # ") => command,
            Some(command) => format!("{command} # or: {new}"),
            None => new,
        }
    };
    Problem { what: format!("cannot be decrypted by anyone: {reason}"), fix }
}

/// Says which of `found`, what a header contains, are `more` than there should be.
fn describe_more(more: &[Recipient], found: &[Recipient]) -> String {
    let kinds: BTreeSet<&Recipient> = more.iter().filter(|one| one.tag.is_none()).collect();
    let of_kind = |kind: &Recipient| {
        let count = |all: &[Recipient]| all.iter().filter(|one| *one == kind).count();
        let name = stanza::describe(std::slice::from_ref(kind));
        match (count(more), count(found)) {
            (1, 1) => name,
            (more, found) if more == found => format!("{found} {name} recipients"),
            (more, found) => format!("{more} of {found} {name} recipients"),
        }
    };
    let tagged: Vec<Recipient> = more.iter().filter(|one| one.tag.is_some()).cloned().collect();
    let tagged = Some(stanza::describe(&tagged)).filter(|text| !text.is_empty());
    // Whoever made the header chose how many kinds there are.
    let kinds = kinds.into_iter().take(MAX_KINDS).map(of_kind);
    tagged.into_iter().chain(kinds).collect::<Vec<_>>().join(" and ")
}

/// How many kinds of recipients a problem names (5).
const MAX_KINDS: usize = 5;

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
            let named = self.texts.iter().filter(|text| stanza::of(text).as_ref() == Some(kind));
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
