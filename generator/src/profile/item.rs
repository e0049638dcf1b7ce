//! one secret or template of profile.json → a [`Secret`] or [`Template`], checked by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::before::ensure_before;
use super::check::{
    ensure_absolute, ensure_account, ensure_consumer, ensure_encodings, ensure_id, ensure_name,
    ensure_path, ensure_user_unit,
};
use super::fields::{Entries, Fields, Invalid, join, without_position};
use super::{Generator, Key, Kind, Mode, Placement, Secret, Settings, Side, Template, UserUnits};
use crate::placeholder;

/// What reading an item depends on.
pub(super) struct Context<'a> {
    /// Settings of the host.
    pub(super) settings: &'a Settings,
    /// Ids of early items.
    pub(super) early: &'a BTreeSet<String>,
    /// Who reads.
    pub(super) side: Side,
}

/// The fields of a secret, for either side, besides those of [`PLACEMENT`].
const SECRET: [&str; 11] = [
    "allowDisk",
    "cipher",
    "cleanPlaceholder",
    "file",
    "format",
    "generator",
    "id",
    "insert",
    "intermediary",
    "key",
    "rotate",
];

/// The fields of a template, besides those of [`PLACEMENT`].
const TEMPLATE: [&str; 2] = ["content", "trim"];

/// The fields that secrets and templates have in common.
const PLACEMENT: [&str; 11] = [
    "before",
    "group",
    "mode",
    "name",
    "owner",
    "path",
    "reloadUnits",
    "reloadUserUnits",
    "restartUnits",
    "restartUserUnits",
    "symlink",
];

/// Reads `placeholder`, as a map from hash to id.
pub(super) fn placeholders(text: Option<&RawValue>) -> Result<BTreeMap<String, String>, Invalid> {
    let mut ids = BTreeMap::new();
    let Some(text) = text else { return Ok(ids) };
    for (id, text) in Entries::read("placeholder", text)?.0 {
        let location = join("placeholder", &id);
        let value: Option<String> = serde_json::from_str(text.get()).ok();
        let Some(hash) = value.as_deref().and_then(placeholder::hash) else {
            return Err(Invalid::new(location, "is not \"{{ <64 lower-case hex digits> }}\""));
        };
        if let Some(other) = ids.insert(hash.to_owned(), id) {
            return Err(Invalid::new(location, format!("is also the placeholder of \"{other}\"")));
        }
    }
    Ok(ids)
}

/// Reads a map of items with `item`, each on its own.
pub(super) fn items<T: Identified>(
    fields: &mut Fields,
    kind: Kind,
    item: impl Fn(String, &str, &RawValue) -> Result<T, Invalid>,
) -> Result<BTreeMap<String, Result<T, Invalid>>, Invalid> {
    let kind = kind.field();
    let mut items = BTreeMap::new();
    let Some(text) = fields.raw(kind) else { return Ok(items) };
    for (key, text) in Entries::read(kind, text)?.0 {
        let item = item(join(kind, &key), &key, text);
        let id = match &item {
            Ok(item) => item.id().to_owned(),
            // An item that is invalid elsewhere still has its id, so that its unit has the name that others wait for.
            Err(_) => stated_id(text).unwrap_or_else(|| key.clone()),
        };
        let invalid = items.contains_key(&id).then(|| {
            Invalid::new(join(kind, &key), format!("another one also has the id \"{id}\""))
        });
        items.insert(id, invalid.map_or(item, Err));
    }
    Ok(items)
}

/// Returns the `id` field of an item, if it is there and valid.
fn stated_id(text: &RawValue) -> Option<String> {
    let id: String = Fields::read("", text).ok()?.optional("id").ok()??;
    ensure_id(&id).ok().map(|()| id)
}

/// A secret or a template.
pub(super) trait Identified {
    fn id(&self) -> &str;
    /// Returns where its plaintext is placed; `None` if no host gets it.
    fn placement(&self) -> Option<&Placement>;
}

impl Identified for Secret {
    fn id(&self) -> &str {
        &self.id
    }

    fn placement(&self) -> Option<&Placement> {
        (!self.intermediary).then_some(&self.placement)
    }
}

impl Identified for Template {
    fn id(&self) -> &str {
        &self.id
    }

    fn placement(&self) -> Option<&Placement> {
        Some(&self.placement)
    }
}

/// Reads one secret.
pub(super) fn secret(
    location: String,
    key: &str,
    text: &RawValue,
    context: &Context,
) -> Result<Secret, Invalid> {
    let mut fields = Fields::read(location, text)?;
    fields.ensure_known(&[&SECRET, &PLACEMENT])?;
    let id = id(&mut fields, key)?;
    let cipher: Option<PathBuf> = fields.optional("cipher")?;
    let file: Option<PathBuf> = fields.optional("file")?;
    let rotate = fields.raw("rotate").filter(|_| context.side == Side::Workspace);
    let rotate_days = rotate.map(rotation).transpose();
    let rotate_days = fields.check("rotate", rotate_days)?;
    let intermediary = fields.optional("intermediary")?.unwrap_or(false);
    let (name, ciphertext) = match context.side {
        // It has none, and is left out in the end.
        Side::Host if intermediary => ("cipher", Some(PathBuf::from("/"))),
        Side::Host => ("cipher", cipher),
        Side::Workspace => ("file", file),
    };
    let ciphertext =
        ciphertext.ok_or_else(|| Invalid::new(fields.location_of(name), "is missing"))?;
    if context.side == Side::Host {
        fields.check(name, ensure_absolute(&ciphertext))?;
    } else if ciphertext == Path::new("") {
        return Err(Invalid::new(fields.location_of(name), "is empty"));
    }
    let key = match context.side {
        Side::Host => {
            let _ = (fields.raw("key"), fields.raw("format")); // The desk's alone.
            None
        }
        Side::Workspace => Key::take(&mut fields, &ciphertext)?,
    };
    let generator = fields.raw("generator").filter(|_| context.side == Side::Workspace);
    let generator = generator
        .map(|text| Generator::parse(fields.location_of("generator"), text))
        .transpose()?;
    let insert = insert(&fields.location_of("insert"), fields.raw("insert"))?;
    let clean_placeholder = fields.optional("cleanPlaceholder")?.unwrap_or(false);
    let allow_disk = fields.optional("allowDisk")?.unwrap_or(false);
    let placement = placement(fields, &id, allow_disk, context)?;
    Ok(Secret {
        id,
        ciphertext,
        key,
        generator,
        rotate_days,
        intermediary,
        insert,
        clean_placeholder,
        placement,
    })
}

/// Reads how long a secret may stay as it is, in days: a number, and `d`, `w` or `y`.
fn rotation(text: &RawValue) -> Result<u32, Invalid> {
    let text: String = serde_json::from_str(text.get())
        .map_err(|error| Invalid::here(without_position(&error)))?;
    let units = [("d", 1), ("w", 7), ("y", 365)];
    let days = units.into_iter().find_map(|(unit, days)| {
        let digits = text.strip_suffix(unit)?;
        let is_number = (1..=4).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        digits.parse().ok().filter(|_| is_number).map(|count: u32| count * days)
    });
    days.ok_or_else(|| {
        Invalid::here(format!("\"{text}\" is not a number of days, weeks or years"))
            .fix("write it like \"90d\", \"12w\" or \"1y\"")
    })
}

/// Reads one template.
pub(super) fn template(
    location: String,
    key: &str,
    object: &RawValue,
    context: &Context,
) -> Result<Template, Invalid> {
    let mut fields = Fields::read(location, object)?;
    fields.ensure_known(&[&TEMPLATE, &PLACEMENT])?;
    fields.check("id", ensure_id(key))?;
    let text: String = fields.required("content")?;
    fields.check("content", ensure_encodings(&text))?;
    let trim = fields.optional("trim")?.unwrap_or(true);
    let placement = placement(fields, key, false, context)?;
    Ok(Template { id: key.to_owned(), content: text, trim, placement })
}

fn id(fields: &mut Fields, key: &str) -> Result<String, Invalid> {
    let id: String = fields.optional("id")?.unwrap_or_else(|| key.to_owned());
    fields.check("id", ensure_id(&id))?;
    Ok(id)
}

/// Reads a secret's `insert`: hash → text.
///
/// `order` is checked but not used: each placeholder has one text, and an inserted text is not searched for
/// placeholders again, so every order gives the same bytes.
fn insert(location: &str, text: Option<&RawValue>) -> Result<BTreeMap<String, String>, Invalid> {
    let mut texts = BTreeMap::new();
    let Some(text) = text else { return Ok(texts) };
    for (hash, text) in Entries::read(location, text)?.0 {
        let mut fields = Fields::read(join(location, &hash), text)?;
        if !placeholder::is_hash(&hash) {
            return Err(Invalid::new(join(location, &hash), "is not 64 lower-case hex digits"));
        }
        fields.ensure_known(&[&["order", "content"]])?;
        fields.optional::<i64>("order")?;
        texts.insert(hash, fields.required("content")?);
        fields.finish()?;
    }
    Ok(texts)
}

/// Reads the fields that secrets and templates have in common, and finishes reading.
fn placement(
    mut fields: Fields,
    id: &str,
    allow_disk: bool,
    context: &Context,
) -> Result<Placement, Invalid> {
    let early = context.early.contains(id);
    let name: String = fields.optional("name")?.unwrap_or_else(|| id.to_owned());
    fields.check("name", ensure_name(&name))?;
    let path = path(&mut fields, &name, early, context.settings)?;
    let mode: Option<String> = fields.optional("mode")?;
    let mode = fields.check("mode", Mode::parse(mode.as_deref().unwrap_or("0400")))?;
    let owner = account(&mut fields, "owner", early)?;
    let group = account(&mut fields, "group", early)?;
    let symlink = fields.optional("symlink")?.unwrap_or(true);
    let consumer = |unit: &str| ensure_consumer(unit, early, context.settings);
    let restart_units = units(&mut fields, "restartUnits", consumer)?;
    let reload_units = units(&mut fields, "reloadUnits", consumer)?;
    let before = units(&mut fields, "before", |unit| ensure_before(unit, early, context.settings))?;
    let restart_user_units = user_units(&mut fields, "restartUserUnits")?;
    let reload_user_units = user_units(&mut fields, "reloadUserUnits")?;
    fields.finish()?;
    Ok(Placement {
        name,
        path,
        mode,
        owner,
        group,
        symlink,
        allow_disk,
        restart_units,
        reload_units,
        restart_user_units,
        reload_user_units,
        before,
        early,
    })
}

/// Reads `path`, or derives it from `name`.
fn path(
    fields: &mut Fields,
    name: &str,
    early: bool,
    settings: &Settings,
) -> Result<PathBuf, Invalid> {
    let ours = if early { &settings.decrypted_dir_for_user } else { &settings.decrypted_dir };
    let default = ours.join(name);
    // The item decides only on the name in it, and a link at a custom path leads to it.
    fields.check("name", ensure_absolute(&default))?;
    let Some(path) = fields.optional::<PathBuf>("path")? else { return Ok(default) };
    fields.check("path", ensure_path(&path, name, early, settings))?;
    Ok(path)
}

fn account(fields: &mut Fields, field: &str, early: bool) -> Result<String, Invalid> {
    let name: String = fields.optional(field)?.unwrap_or_else(|| "root".to_owned());
    fields.check(field, ensure_account(&name, early))?;
    Ok(name)
}

/// Reads a list of unit names, each checked with `ensure`.
fn units(
    fields: &mut Fields,
    field: &str,
    ensure: impl Fn(&str) -> Result<(), Invalid>,
) -> Result<Vec<String>, Invalid> {
    let units: Vec<String> = fields.optional(field)?.unwrap_or_default();
    units.iter().try_for_each(|unit| fields.check(field, ensure(unit)))?;
    Ok(units)
}

/// Reads lists of names of units, by user.
fn user_units(fields: &mut Fields, field: &str) -> Result<UserUnits, Invalid> {
    let location = fields.location_of(field);
    let mut all = UserUnits::new();
    let Some(text) = fields.raw(field) else { return Ok(all) };
    let mut lists = Fields::read(&*location, text)?;
    for (user, _) in Entries::read(&location, text)?.0 {
        lists.check(&user, ensure_account(&user, false))?;
        let units: Vec<String> = lists.required(&user)?;
        units.iter().try_for_each(|unit| lists.check(&user, ensure_user_unit(unit)))?;
        all.insert(user, units);
    }
    Ok(all)
}
