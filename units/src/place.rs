//! profile + id → one placed file: what a unit does when it starts, and when it is reloaded.

use std::collections::BTreeSet;
use std::path::Path;

use vaultix_generator::profile::{Profile, Secret, Settings, Template};
use vaultix_generator::status::Status;
use vaultix_generator::unit::{Kind, late_key_unit};

use crate::aside::make_way;
use crate::disk_record::{Changes, DiskRecord};
use crate::failure::Failure;
use crate::generation::{Generation, List};
use crate::host::{Host, decrypt_all};
use crate::item::Item;
use crate::owner::{Accounts, Ownership};
use crate::path::{self, OwnDirectories, queue};
use crate::plaintext::Plaintext;
use crate::ramfs::Ramfs;
use crate::record::Record;
use crate::render::{decrypt_and_render, templates_using};
use crate::systemctl::{self, Job, USERBORN};
use crate::users;

/// Decrypts the secret or renders the template `id`, places it, and notifies its consumers if it has changed.
///
/// `is_current` returns whether `profile` is still the host's; it is called when nothing else can switch.
///
/// # Errors
///
/// An existing file is still there, unchanged.
pub fn place_item(
    profile: &Profile,
    kind: Kind,
    id: &str,
    is_current: impl Fn() -> bool,
) -> Result<(), Failure> {
    let item = Item::find(profile, kind, id)?;
    match item {
        Item::Secret(secret) => decrypt_and_place(profile, secret, is_current),
        Item::Template(template) => render_and_place(profile, template, is_current),
    }
}

fn decrypt_and_place(
    profile: &Profile,
    secret: &Secret,
    is_current: impl Fn() -> bool,
) -> Result<(), Failure> {
    let settings = &profile.settings;
    let host = Host::new(settings);
    // Before the lock: a ciphertext may be on a file system that does not respond.
    let made = decrypt_all(&host, &[secret]).pop();
    let none = || Err(Failure::new(Status::Software, "nothing was decrypted"));
    let made = made.unwrap_or_else(none);
    let result = place_in_current_generation(profile, Item::Secret(secret), is_current, made);
    if result.as_ref().is_err_and(|failure| failure.status == Status::NoPerm) {
        wait_for_keys(&host, settings);
    }
    result?.map_or(Ok(()), |notification| notification.notify(profile, Item::Secret(secret)))
}

/// Places a template. Its values are decrypted again: files that belong to others are never opened.
fn render_and_place(
    profile: &Profile,
    template: &Template,
    is_current: impl Fn() -> bool,
) -> Result<(), Failure> {
    let item = Item::Template(template);
    let host = Host::new(&profile.settings);
    let made = decrypt_and_render(profile, template, &host);
    let notification = place_in_current_generation(profile, item, is_current, made)?;
    notification.map_or(Ok(()), |notification| notification.notify(profile, item))
}

/// Makes systemd try again once the missing keys of `host` exist.
pub(crate) fn wait_for_keys(host: &Host, settings: &Settings) {
    let units: Vec<String> =
        host.missing_keys().filter_map(|key| late_key_unit(settings, key)).collect();
    // Why the item failed matters more than a failure to wait for its key.
    let _ = systemctl::queue(&settings.systemctl, Job::Start, &units);
}

/// A plaintext with its inputs, or why there is none.
pub(crate) type Made = Result<(Plaintext, [u8; 32]), Failure>;

/// A pending notification: a plaintext is in place, and its consumers do not know.
struct Notification {
    /// The generation with the journal that says so.
    generation: Generation,
    key: String,
}

impl Notification {
    /// Notifies them, and clears the entry.
    fn notify(self, profile: &Profile, item: Item) -> Result<(), Failure> {
        notify_readers(profile, item).map_err(|failure| Failure {
            reason: format!(
                "it is in place, but its consumers could not be notified: {}",
                failure.reason
            ),
            ..failure
        })?;
        self.generation.clear(List::NotifyConsumers, &self.key)?;
        if item.placement().early {
            self.generation.clear(List::NotifyUnit, USERBORN)?;
        }
        Ok(())
    }
}

/// Queues the jobs for everything that reads an item.
fn notify_readers(profile: &Profile, item: Item) -> Result<(), Failure> {
    let settings = &profile.settings;
    if let Item::Secret(secret) = item {
        let templates: Vec<String> =
            templates_using(profile, &secret.id).map(|id| Kind::Template.unit(id)).collect();
        // Not only active ones: a template that failed because of this secret can be rendered now.
        systemctl::queue(&settings.systemctl, Job::Restart, &templates)?;
    }
    if item.placement().early {
        systemctl::restart_userborn(settings)?;
    }
    let place = item.placement();
    systemctl::notify_consumers(settings, [place], |_| BTreeSet::new())?;
    if place.restart_user_units.is_empty() && place.reload_user_units.is_empty() {
        return Ok(());
    }
    users::notify(&Ramfs::open(settings)?, settings, [place])
}

/// Writes down that the readers of an item have to be notified.
pub(crate) fn schedule_notification(generation: &Generation, item: Item) -> Result<(), Failure> {
    if item.placement().early {
        // Apart, since the first phase of a switch notifies userborn, and the second all others.
        generation.mark(List::NotifyUnit, USERBORN)?;
    }
    generation.mark(List::NotifyConsumers, &item.key())
}

/// Places what was `made`, in the generation that is current under the lock; returns the pending notification, if any.
///
/// Consumers are notified when the plaintext is different, and when there was none because the item had failed. At boot
/// there was none before, and nothing to notify.
fn place_in_current_generation(
    profile: &Profile,
    item: Item,
    is_current: impl Fn() -> bool,
    made: Made,
) -> Result<Option<Notification>, Failure> {
    let settings = &profile.settings;
    let key = item.key();
    let place = item.placement();
    let ramfs = Ramfs::open(settings)?;
    if !is_current() {
        return Err(replaced_meanwhile(settings, &key));
    }
    make_way(profile)?;
    let generation =
        ramfs.generation(current_number(&ramfs, settings.link_of(place), settings)?)?;
    let result = write_item(&ramfs, &generation, settings, &mut Accounts::default(), item, made)
        .and_then(|job| put_at_path(&ramfs, &generation, settings, item, job));
    if let Err(failure) = result {
        // It is not in place: its consumers run without it.
        if generation.stat(&place.name)?.is_none() || !generation.has_entry(List::Placed, &key)? {
            generation.mark(List::NotifyConsumers, &key)?;
        }
        return Err(failure);
    }
    let is_pending = generation.has_entry(List::NotifyConsumers, &key)?;
    Ok(is_pending.then_some(Notification { generation, key }))
}

/// Returns the failure that another run has placed the item `key`, or switched, in the meantime.
pub(crate) fn replaced_meanwhile(settings: &Settings, key: &str) -> Failure {
    let systemctl = settings.systemctl.words();
    let reason =
        format!("the profile was replaced in the meantime; try again: {systemctl} restart '{key}'");
    Failure::new(Status::Config, reason)
}

/// Does `job` at the path of an item that is in `generation`, without the lock.
fn put_at_path(
    ramfs: &Ramfs,
    generation: &Generation,
    settings: &Settings,
    item: Item,
    job: Option<path::Job>,
) -> Result<(), Failure> {
    let Some(mut job) = job else { return Ok(()) };
    let key = item.key();
    let placed = generation.record(&key)?;
    DiskRecord::read(settings).allow([&mut job]);
    let done = ramfs.unlocked(|| queue::run(vec![job], &OwnDirectories::new(settings)).pop())?;
    // A newer plaintext may have been put at the path before this one.
    let number = current_number(ramfs, settings.link_of(item.placement()), settings)?;
    if number != generation.number || generation.record(&key)? != placed {
        return Err(replaced_meanwhile(settings, &key));
    }
    match done {
        Some(Err(failure)) => {
            // Its readers run without it, or with an older one.
            generation.mark(List::NotifyConsumers, &key)?;
            return Err(failure);
        }
        Some(Ok(outcome)) => {
            let mut changes = Changes::default();
            changes.put(item, settings, &outcome);
            changes.write(settings);
        }
        None => {}
    }
    generation.clear(List::PutAtPath, &key)
}

/// Writes an item into `generation`; returns the job for its path, if it has a custom one.
pub(crate) fn write_item(
    ramfs: &Ramfs,
    generation: &Generation,
    settings: &Settings,
    accounts: &mut Accounts,
    item: Item,
    made: Made,
) -> Result<Option<path::Job>, Failure> {
    let (key, place) = (item.key(), item.placement());
    let name = &place.name;
    let ownership = accounts.resolve(place)?;
    let (plaintext, inputs) = made?;
    let digest = plaintext.digest();
    let old = generation.record(&key)?;
    let is_there = generation.stat(name)?.is_some();
    // Another owner, group or mode is a change as well: the file that a consumer has opened is another one by then.
    let same = is_there
        && old.as_ref().is_some_and(|old| old.name == *name && old.digest == digest)
        && has_ownership(generation, name, ownership)?;
    if !same && (is_there || generation.has_entry(List::NotifyConsumers, &key)?) {
        // Before the plaintext is there, so that a crash in between does not hide that it is new or has changed.
        schedule_notification(generation, item)?;
    }
    for link in links_of(item, settings) {
        if ramfs.linked_generation(link)?.is_none() {
            ramfs.set_link(link, generation.number)?;
        }
    }
    let record = Record::new(inputs, digest, item.kind(), item.id(), place, settings);
    let note = || {
        if old.as_ref() == Some(&record) {
            return Ok(());
        }
        if let Some(moved) = old.as_ref().filter(|old| old.path != record.path) {
            generation.write_entry(List::Remove, &key, &moved.to_text())?;
        }
        generation.write_entry(List::Placed, &key, &record.to_text())
    };
    // A file without a record would look like one that has changed, and its consumers would be notified; so where there is
    // no file, the record is first. One of a file that is to be replaced is last, or that would never happen.
    if !is_there {
        note()?;
    }
    if !same {
        generation.write(name, &plaintext, ownership)?;
    }
    if is_there {
        note()?;
    }
    Ok(path::Job::put(place, settings, ownership, digest, Some(plaintext), old.as_ref()))
}

/// Returns the number of the generation that an item belongs to: the one that its own link leads to, or the other link, or the
/// newest, or the first at boot.
///
/// A dangling link, as after a soft reboot, is ignored.
pub(crate) fn current_number(
    ramfs: &Ramfs,
    own: &Path,
    settings: &Settings,
) -> Result<u32, Failure> {
    let links = [own, &settings.decrypted_dir, &settings.decrypted_dir_for_user];
    for link in links {
        if let Some(number) = ramfs.linked_generation(link)? {
            return Ok(number);
        }
    }
    Ok(ramfs.generation_numbers()?.last().copied().unwrap_or(1))
}

/// Returns the links through which consumers may find the item.
fn links_of<'a>(item: Item, settings: &'a Settings) -> Vec<&'a Path> {
    if item.placement().early {
        vec![&settings.decrypted_dir_for_user, &settings.decrypted_dir]
    } else {
        vec![&settings.decrypted_dir]
    }
}

/// Returns whether the file `name` has its owner, group and mode.
pub(crate) fn has_ownership(
    generation: &Generation,
    name: &str,
    ownership: Ownership,
) -> Result<bool, Failure> {
    Ok(generation.stat(name)?.is_some_and(|stat| {
        (stat.st_uid, stat.st_gid, stat.st_mode & 0o7777)
            == (ownership.uid, ownership.gid, ownership.mode)
    }))
}
