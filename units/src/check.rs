//! profile → the items that cannot be decrypted or rendered on this host. Writes nothing.

use std::collections::BTreeSet;

use vaultix_generator::placeholder::{Piece, split};
use vaultix_generator::profile::{Invalid, Profile, Secret, Template};
use vaultix_generator::status::Status;
use vaultix_generator::unit::Kind;

use crate::failure::Failure;
use crate::host::{Host, decrypt_all, plaintexts};
use crate::item::describe_task;
use crate::plaintext::Plaintexts;
use crate::render::{render, unknown_placeholder};

/// Decrypts every secret, renders every template in memory, and returns each failure with what was tried.
///
/// Owners are not looked up: users of a future profile may not exist yet.
#[must_use]
pub fn check(profile: &Profile) -> Vec<(String, Failure)> {
    let mut failures = Vec::new();
    let mut secrets: Vec<&Secret> = Vec::new();
    for (id, secret) in &profile.secrets {
        match secret {
            Ok(secret) => secrets.push(secret),
            Err(invalid) => failures.push((describe_task(Kind::Secret, id), invalid.into())),
        }
    }
    let host = Host::new(&profile.settings);
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
    failures
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
            return Err(unknown_placeholder(hash, secret.map(String::as_str)));
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
