//! profile → the items that cannot be decrypted or rendered on this host. Writes nothing.

use std::collections::BTreeSet;
use std::fmt;

use vaultix_generator::placeholder::{Piece, split};
use vaultix_generator::profile::{Invalid, Profile, Secret, Template};
use vaultix_generator::status::Status;
use vaultix_generator::unit::Kind;

use crate::failure::Failure;
use crate::host::{Host, decrypt_all, plaintexts};
use crate::item::describe_task;
use crate::plaintext::Plaintexts;
use crate::render::{render, unknown_placeholder};

/// What a check has found.
#[derive(Debug, Default)]
pub struct Checked {
    /// How many secrets the profile has.
    pub secrets: usize,
    /// How many templates.
    pub templates: usize,
    /// Each failure, with what was tried.
    pub failures: Vec<(String, Failure)>,
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbered = |count: usize, noun: &str| match count {
            1 => format!("1 {noun}"),
            _ => format!("{count} {noun}s"),
        };
        let (secrets, templates) =
            (numbered(self.secrets, "secret"), numbered(self.templates, "template"));
        match (self.secrets, self.templates) {
            (0, 0) => f.write_str("the profile has no secrets and no templates"),
            (_, 0) => write!(f, "{secrets} can be decrypted"),
            (0, _) => write!(f, "{templates} can be rendered"),
            _ => write!(f, "{secrets} can be decrypted, {templates} can be rendered"),
        }
    }
}

/// Decrypts every secret, renders every template in memory, and returns what fails.
///
/// Owners are not looked up: users of a future profile may not exist yet.
#[must_use]
pub fn check(profile: &Profile) -> Checked {
    let mut failures = Vec::new();
    let mut secrets: Vec<&Secret> = Vec::new();
    for (id, secret) in &profile.secrets {
        match secret {
            Ok(secret) => secrets.push(secret),
            Err(invalid) => failures.push((describe_task(Kind::Secret, id), invalid.into())),
        }
    }
    let host = Host::unsealing(&profile.settings);
    let mut missing: BTreeSet<&str> = BTreeSet::new();
    let decrypted = decrypt_all(&host, &secrets);
    for (secret, result) in secrets.iter().zip(&decrypted) {
        if let Err(failure) = result {
            missing.insert(&secret.id);
            failures.push((describe_task(Kind::Secret, &secret.id), failure.clone()));
        }
    }
    let known = plaintexts(&secrets, &decrypted);
    for (id, template) in &profile.templates {
        if let Err(failure) = check_template(profile, template.as_ref(), &missing, &known) {
            failures.push((describe_task(Kind::Template, id), failure));
        }
    }
    Checked { secrets: profile.secrets.len(), templates: profile.templates.len(), failures }
}

fn check_template(
    profile: &Profile,
    template: Result<&Template, &Invalid>,
    missing: &BTreeSet<&str>,
    known: &Plaintexts,
) -> Result<(), Failure> {
    let template = template?;
    for piece in split(template.content.as_bytes()) {
        let Piece::Placeholder { hash, .. } = piece else { continue };
        let secret = profile.placeholders.get(hash);
        let Some(id) = secret.filter(|id| profile.secrets.contains_key(*id)) else {
            return Err(unknown_placeholder(profile, hash, secret.map(String::as_str)));
        };
        if missing.contains(id.as_str()) {
            let reason = format!("it uses the secret \"{id}\", which cannot be decrypted");
            return Err(Failure::new(Status::NoInput, reason));
        }
    }
    // A secret that is invalid in the profile has been reported.
    if template.secrets(&profile.placeholders).iter().all(|id| known.contains_key(id)) {
        render(profile, template, known)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_what_is_well() {
        for (secrets, templates, line) in [
            (0, 0, "the profile has no secrets and no templates"),
            (1, 0, "1 secret can be decrypted"),
            (0, 1, "1 template can be rendered"),
            (2, 2, "2 secrets can be decrypted, 2 templates can be rendered"),
        ] {
            let checked = Checked { secrets, templates, failures: Vec::new() };
            assert_eq!(checked.to_string(), line);
        }
    }
}
