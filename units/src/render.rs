//! template + plaintexts of secrets → its text.

use std::collections::BTreeMap;

use vaultix_generator::placeholder::Encoding;
use vaultix_generator::profile::{Profile, Secret, Template};
use vaultix_generator::status::Status;
use vaultix_generator::unit::Kind;

use crate::encoding::Encoded;
use crate::failure::Failure;
use crate::host::{Host, decrypt_all, plaintexts};
use crate::plaintext::{Plaintext, Plaintexts};
use crate::record::template_inputs;
use crate::template::{Value, fill};
use crate::wording::Wording;

/// Returns the ids of the templates that use the secret `secret`.
pub fn templates_using<'a>(profile: &'a Profile, secret: &str) -> impl Iterator<Item = &'a str> {
    profile.templates.iter().filter_map(move |(id, template)| {
        let uses = template
            .as_ref()
            .is_ok_and(|template| template.secrets(&profile.placeholders).contains(secret));
        uses.then_some(id.as_str())
    })
}

/// Returns the values that `template` uses: the hash of each placeholder, and its secret.
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

/// Renders `template` with the plaintexts of secrets, by id. Also returns its inputs.
///
/// # Errors
///
/// [`Status::DataErr`] for a placeholder of no secret, and for a value that cannot be written in the encoding that a
/// placeholder asks for; [`Status::NoInput`] for a secret without a plaintext.
pub fn render(
    profile: &Profile,
    template: &Template,
    plaintexts: &Plaintexts,
) -> Result<(Plaintext, [u8; 32]), Failure> {
    let used = template.secrets(&profile.placeholders);
    let mut values = BTreeMap::new();
    for (hash, id) in profile.placeholders.iter().filter(|(_, id)| used.contains(id.as_str())) {
        if !profile.secrets.contains_key(id) {
            return Err(unknown_placeholder(profile, hash, Some(id)));
        }
        let plaintext = *plaintexts.get(id.as_str()).ok_or_else(|| missing(profile, id))?;
        // Once for each value, however many placeholders it has.
        let bytes = plaintext.expose();
        let bytes = if template.trim { bytes.trim_ascii() } else { bytes };
        values.insert(hash.as_str(), (id, plaintext, bytes));
    }
    let rendered = fill(template.content.as_bytes(), |hash, encoding| match values.get(hash) {
        Some((id, _, bytes)) => encoded(bytes, encoding, id),
        None => Err(unknown_placeholder(profile, hash, None)),
    })?;
    let digests = values.iter().map(|(hash, (_, plaintext, _))| (*hash, Some(plaintext.digest())));
    Ok((rendered, template_inputs(template, digests)))
}

/// Returns `bytes`, the value of the secret `id`, in the encoding that a placeholder of a template asks for.
fn encoded<'a>(bytes: &'a [u8], encoding: Option<&str>, id: &str) -> Result<Value<'a>, Failure> {
    let Some(name) = encoding else { return Ok(Value::Bytes(bytes)) };
    let refused = |reason: String| Failure::new(Status::DataErr, reason);
    let encoding = Encoding::parse(name).map_err(|unknown| refused(unknown.to_string()))?;
    let encoded = Encoded::new(bytes, encoding).map_err(|why| {
        refused(format!("the value of the secret \"{id}\" cannot be written as {name}: {why}"))
    })?;
    Ok(Value::Encoded(encoded))
}

/// Decrypts the secrets that `template` uses, and renders it with them.
///
/// # Errors
///
/// As [`render`].
pub fn decrypt_and_render(
    profile: &Profile,
    template: &Template,
    host: &Host,
) -> Result<(Plaintext, [u8; 32]), Failure> {
    let secrets: Vec<&Secret> =
        values(profile, template).into_iter().map(|(_, secret)| secret).collect();
    let decrypted = decrypt_all(host, &secrets);
    render(profile, template, &plaintexts(&secrets, &decrypted))
}

/// Returns the failure for a placeholder of no secret of this host, or home; `id` is its secret according to the profile.
pub(crate) fn unknown_placeholder(profile: &Profile, hash: &str, id: Option<&str>) -> Failure {
    let [not_one, none] = Wording(profile.settings.layout).no_secret();
    let of = match id {
        Some(id) => format!("belongs to \"{id}\", {not_one}"),
        None => format!("{none}; see placeholder in the profile"),
    };
    let reason = format!("the placeholder {{{{ {hash} }}}} in its content {of}");
    Failure::new(Status::DataErr, reason)
}

/// Returns the failure for a secret without a plaintext.
fn missing(profile: &Profile, id: &str) -> Failure {
    let (unit, systemctl) = (Kind::Secret.unit(id), profile.settings.systemctl.words());
    let reason =
        format!("the secret \"{id}\" cannot be decrypted; see: {systemctl} status '{unit}'");
    Failure::new(Status::NoInput, reason)
}
