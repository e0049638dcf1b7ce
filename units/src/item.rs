//! profile + id → one file in place: what a unit does when it starts, and when it is reloaded.

use std::collections::BTreeMap;

use vaultix_generator::profile::{Invalid, Placement, Profile, Secret, Settings, Template};
use vaultix_generator::status::Status;
use vaultix_generator::unit::{Kind, late_key_unit};

use crate::failure::Failure;
use crate::generation::{Generation, Lock, Ramfs, link_of};
use crate::host::Host;
use crate::owner::{Accounts, Ownership};
use crate::path;
use crate::plaintext::Plaintext;
use crate::record::{self, Record};
use crate::systemctl::{Job, queue};
use crate::template::{Value, fill};

/// Decrypts the secret or renders the template `id`, places it, and tells its consumers if it has changed.
///
/// # Errors
///
/// The file that was there before still is.
pub fn place(profile: &Profile, kind: Kind, id: &str) -> Result<(), Failure> {
    match kind {
        Kind::Secret => secret(profile, find(&profile.secrets, kind, id)?),
        Kind::Template => template(profile, find(&profile.templates, kind, id)?),
    }
}

/// Finds the item `id`.
fn find<'a, T>(
    items: &'a BTreeMap<String, Result<T, Invalid>>,
    kind: Kind,
    id: &str,
) -> Result<&'a T, Failure> {
    let kind = kind.name();
    match items.get(id) {
        Some(item) => Ok(item.as_ref()?),
        None => Err(Failure::new(
            Status::Config,
            format!(
                "the profile has no {kind} of this id; see which there are: systemctl list-units \"vaultix-{kind}@*\""
            ),
        )),
    }
}

/// Places a secret.
fn secret(profile: &Profile, secret: &Secret) -> Result<(), Failure> {
    let settings = &profile.settings;
    let host = Host::new(settings);
    let item = Item { kind: Kind::Secret, id: &secret.id, place: &secret.place };
    let result = item.place(settings, |_| {
        // Before the decryption: what is written to meanwhile is taken for changed.
        let inputs = record::secret_inputs(secret);
        Ok((inputs, host.decrypt(secret)?))
    });
    if result.is_err() {
        let units: Vec<String> =
            host.missing_keys().filter_map(|key| late_key_unit(settings, key)).collect();
        queue(&settings.systemctl, Job::Start, &units);
    }
    if result? {
        let templates: Vec<String> =
            users_of(profile, &secret.id).map(|id| Kind::Template.unit(id)).collect();
        // Not only those that run: one that failed for want of this secret can be rendered now.
        queue(&settings.systemctl, Job::Restart, &templates);
        tell(settings, &secret.place);
    }
    Ok(())
}

/// Places a template.
fn template(profile: &Profile, template: &Template) -> Result<(), Failure> {
    let settings = &profile.settings;
    let item = Item { kind: Kind::Template, id: &template.id, place: &template.place };
    let changed = item.place(settings, |generation| {
        let values = values(profile, template);
        let files =
            values.iter().map(|(hash, secret)| (*hash, generation.stat(&secret.place.name)));
        let inputs = record::template_inputs(template, files);
        Ok((inputs, render(profile, template, generation)?))
    })?;
    if changed {
        tell(settings, &template.place);
    }
    Ok(())
}

/// Returns the ids of the templates that use the secret `secret`.
pub(crate) fn users_of<'a>(profile: &'a Profile, secret: &str) -> impl Iterator<Item = &'a str> {
    profile.templates.iter().filter_map(move |(id, template)| {
        let uses = template
            .as_ref()
            .is_ok_and(|template| template.secrets(&profile.placeholders).contains(secret));
        uses.then_some(id.as_str())
    })
}

/// Returns the values of `template`: the hash of each, and the secret it stands for.
pub(crate) fn values<'a>(profile: &'a Profile, template: &Template) -> Vec<(&'a str, &'a Secret)> {
    let used = template.secrets(&profile.placeholders);
    profile
        .placeholders
        .iter()
        .filter(|(_, id)| used.contains(id.as_str()))
        .filter_map(|(hash, id)| Some((hash.as_str(), profile.secrets.get(id)?.as_ref().ok()?)))
        .collect()
}

/// Renders `template` with the values in `generation`.
///
/// # Errors
///
/// [`Status::DataErr`] for a placeholder of no secret, [`Status::NoInput`] for a secret that is not in place.
pub(crate) fn render(
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
    Failure::new(
        Status::DataErr,
        format!("the placeholder {{{{ {hash} }}}} in its content is {of}"),
    )
}

/// Reads the value of the secret `id`, whose placeholder has the hash `hash`.
fn value(
    profile: &Profile,
    hash: &str,
    id: &str,
    generation: &Generation,
) -> Result<Plaintext, Failure> {
    let secret = profile.secrets.get(id).ok_or_else(|| unknown_placeholder(hash, Some(id)))?;
    let read = match secret {
        Ok(secret) => generation.read(&secret.place.name)?,
        Err(_) => None,
    };
    read.ok_or_else(|| {
        let unit = Kind::Secret.unit(id);
        let reason = format!("the secret \"{id}\" is not in place; see: systemctl status '{unit}'");
        Failure::new(Status::NoInput, reason)
    })
}

/// Tells the consumers of an item that its plaintext has changed.
fn tell(settings: &Settings, place: &Placement) {
    queue(&settings.systemctl, Job::TryRestart, &place.restart_units);
    let reload: Vec<String> = place
        .reload_units
        .iter()
        .filter(|unit| !place.restart_units.contains(unit))
        .cloned()
        .collect();
    queue(&settings.systemctl, Job::TryReload, &reload);
}

/// A secret or template, as far as its place is concerned.
struct Item<'a> {
    /// Which of the two.
    kind: Kind,
    /// Its id.
    id: &'a str,
    /// Where it goes.
    place: &'a Placement,
}

impl Item<'_> {
    /// Makes the plaintext with `make` and places it; returns whether consumers must be told.
    ///
    /// They must when the plaintext is another than before, and when there was none because the item had failed.
    /// At boot there is none before, and nobody to tell.
    fn place(
        &self,
        settings: &Settings,
        make: impl FnOnce(&Generation) -> Result<([u8; 32], Plaintext), Failure>,
    ) -> Result<bool, Failure> {
        let key = Record::key(self.kind, self.id);
        let ramfs = Ramfs::open(settings, Lock::Shared)?;
        let generation = ramfs.generation(self.current(&ramfs, settings)?)?;
        let result = self.place_in(&ramfs, &generation, settings, &key, make);
        if result.is_err() && generation.stat(&self.place.name).is_none() {
            generation.mark_failed(&key);
        }
        result
    }

    /// Places the item in `generation`.
    fn place_in(
        &self,
        ramfs: &Ramfs,
        generation: &Generation,
        settings: &Settings,
        key: &str,
        make: impl FnOnce(&Generation) -> Result<([u8; 32], Plaintext), Failure>,
    ) -> Result<bool, Failure> {
        let name = &self.place.name;
        let ownership = Accounts::default().resolve(self.place)?;
        let (inputs, plaintext) = make(generation)?;
        let before = generation.read(name)?;
        let same = before.as_ref().is_some_and(|before| before.expose() == plaintext.expose());
        if !same || !has_ownership(generation, name, ownership) {
            generation.write(name, &plaintext, ownership)?;
        }
        let record = Record::new(inputs, self.kind, self.id, self.place).to_bytes();
        if generation.record(key).as_ref() != Some(&record) {
            generation.write_record(key, &record)?;
        }
        for link in self.links(settings) {
            if ramfs.behind(link).is_none() {
                ramfs.point(link, generation.number)?;
            }
        }
        path::put(self.place, &plaintext, ownership, settings)?;
        let came_late = generation.clear_failed(key);
        Ok(if before.is_some() { !same } else { came_late })
    }

    /// Returns the number of the generation that the item belongs to: the current one, or the first at boot.
    ///
    /// A link that leads nowhere, as after a soft reboot, counts for nothing.
    fn current(&self, ramfs: &Ramfs, settings: &Settings) -> Result<u32, Failure> {
        let own = link_of(self.place, settings);
        let links = [own, &settings.decrypted_dir, &settings.decrypted_dir_for_user];
        if let Some(number) = links.iter().find_map(|link| ramfs.behind(link)) {
            return Ok(number);
        }
        Ok(ramfs.numbers()?.last().copied().unwrap_or(1))
    }

    /// Returns the links that consumers may find the item under.
    fn links<'a>(&self, settings: &'a Settings) -> Vec<&'a std::path::Path> {
        if self.place.early {
            vec![&settings.decrypted_dir_for_user, &settings.decrypted_dir]
        } else {
            vec![&settings.decrypted_dir]
        }
    }
}

/// Returns whether the file `name` has its owner, group and mode.
pub(crate) fn has_ownership(generation: &Generation, name: &str, ownership: Ownership) -> bool {
    generation.stat(name).is_some_and(|stat| {
        (stat.st_uid, stat.st_gid, stat.st_mode & 0o7777)
            == (ownership.uid, ownership.gid, ownership.mode)
    })
}
