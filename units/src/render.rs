//! template + the secrets in a generation → its text.

use std::collections::BTreeMap;

use rustix::fs::Stat;
use vaultix_generator::profile::{Profile, Secret, Template};
use vaultix_generator::status::Status;
use vaultix_generator::unit::Kind;

use crate::failure::Failure;
use crate::generation::Generation;
use crate::plaintext::Plaintext;
use crate::template::{Value, fill};

/// Returns the ids of the templates that use the secret `secret`.
pub fn users_of<'a>(profile: &'a Profile, secret: &str) -> impl Iterator<Item = &'a str> {
    profile.templates.iter().filter_map(move |(id, template)| {
        let uses = template
            .as_ref()
            .is_ok_and(|template| template.secrets(&profile.placeholders).contains(secret));
        uses.then_some(id.as_str())
    })
}

/// Returns the values of `template`: the hash of each, and the secret it stands for.
#[must_use]
pub fn values<'a>(profile: &'a Profile, template: &Template) -> Vec<(&'a str, &'a Secret)> {
    let used = template.secrets(&profile.placeholders);
    profile
        .placeholders
        .iter()
        .filter(|(_, id)| used.contains(id.as_str()))
        .filter_map(|(hash, id)| Some((hash.as_str(), profile.secrets.get(id)?.as_ref().ok()?)))
        .collect()
}

/// The file of a value: the hash of its placeholder, and what stat(2) says of it.
pub type ValueFile<'a> = (&'a str, Option<Stat>);

/// Returns the files of the values of `template` in `generation`.
///
/// # Errors
///
/// As [`Generation::stat`].
pub fn files<'a>(
    profile: &'a Profile,
    template: &Template,
    generation: &Generation,
) -> Result<Vec<ValueFile<'a>>, Failure> {
    values(profile, template)
        .into_iter()
        .map(|(hash, secret)| Ok((hash, generation.stat(&secret.place.name)?)))
        .collect()
}

/// Renders `template` with the values in `generation`.
///
/// # Errors
///
/// [`Status::DataErr`] for a placeholder of no secret, [`Status::NoInput`] for a secret that is not in place.
pub fn render(
    profile: &Profile,
    template: &Template,
    generation: &Generation,
) -> Result<Plaintext, Failure> {
    let used = template.secrets(&profile.placeholders);
    let mut values = BTreeMap::new();
    for (hash, id) in profile.placeholders.iter().filter(|(_, id)| used.contains(id.as_str())) {
        values.insert(hash.as_str(), value(profile, hash, id, generation)?);
    }
    fill(template.content.as_bytes(), |hash| match values.get(hash) {
        Some(value) if template.trim => Ok(Value::Bytes(value.expose().trim_ascii())),
        Some(value) => Ok(Value::Bytes(value.expose())),
        None => Err(unknown_placeholder(hash, None)),
    })
}

/// Returns the failure for a placeholder of no secret of this host; `id` is what the profile says it is of.
pub(crate) fn unknown_placeholder(hash: &str, id: Option<&str>) -> Failure {
    let of = match id {
        Some(id) => format!("of \"{id}\", which is no secret of this host"),
        None => "of no secret of this host; see placeholder in the profile".to_owned(),
    };
    let reason = format!("the placeholder {{{{ {hash} }}}} in its content is {of}");
    Failure::new(Status::DataErr, reason)
}

/// Reads the value of the secret `id`, whose placeholder has the hash `hash`.
fn value(
    profile: &Profile,
    hash: &str,
    id: &str,
    generation: &Generation,
) -> Result<Plaintext, Failure> {
    let secret = profile.secrets.get(id).ok_or_else(|| unknown_placeholder(hash, Some(id)))?;
    let unit = Kind::Secret.unit(id);
    let missing = || {
        let reason = format!("the secret \"{id}\" is not in place; see: systemctl status '{unit}'");
        Failure::new(Status::NoInput, reason)
    };
    let Ok(secret) = secret else { return Err(missing()) };
    let name = &secret.place.name;
    let record = generation.record(&unit)?.filter(|record| record.name == *name);
    let (Some(record), Some(_)) = (record, generation.stat(name)?) else { return Err(missing()) };
    generation.placed(&record)?.ok_or_else(|| {
        let reason = format!(
            "the file of the secret \"{id}\" is not as it was placed, its owner has changed it; \
             to fix: systemctl restart '{unit}'"
        );
        Failure::new(Status::DataErr, reason)
    })
}
