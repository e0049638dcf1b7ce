//! profile + id → one file in place: what a unit does when it starts, and when it is reloaded.

use std::path::Path;

use vaultix_generator::profile::{Profile, Secret, Settings, Template};
use vaultix_generator::status::Status;
use vaultix_generator::unit::{Kind, late_key_unit};

use crate::failure::Failure;
use crate::generation::{Generation, Note};
use crate::host::{Host, decrypt_all};
use crate::owner::{Accounts, Ownership};
use crate::path::{self, Ours, queue};
use crate::plaintext::Plaintext;
use crate::ramfs::Ramfs;
use crate::record::Record;
use crate::render::{render_afresh, users_of};
use crate::subject::Subject;
use crate::systemctl::{self, Job, USERBORN};

/// Decrypts the secret or renders the template `id`, places it, and tells its consumers if it has changed.
///
/// `is_current` tells whether `profile` is still the host's, once nobody can switch to another one.
///
/// # Errors
///
/// The file that was there before still is.
pub fn place(
    profile: &Profile,
    kind: Kind,
    id: &str,
    is_current: impl Fn() -> bool,
) -> Result<(), Failure> {
    let subject = Subject::find(profile, kind, id)?;
    match subject {
        Subject::Secret(secret) => place_secret(profile, secret, is_current),
        Subject::Template(template) => place_template(profile, template, is_current),
    }
}

/// Places a secret.
fn place_secret(
    profile: &Profile,
    secret: &Secret,
    is_current: impl Fn() -> bool,
) -> Result<(), Failure> {
    let settings = &profile.settings;
    let host = Host::new(settings);
    // Before the lock: a ciphertext may be where nobody answers.
    let made = decrypt_all(&host, &[secret]).pop();
    let none = || Err(Failure::new(Status::Software, "nothing was decrypted"));
    let made = made.unwrap_or_else(none);
    let result = place_subject(settings, Subject::Secret(secret), is_current, made);
    if result.as_ref().is_err_and(|failure| failure.status == Status::NoPerm) {
        wait_for_keys(&host, settings);
    }
    result?.map_or(Ok(()), |untold| untold.tell(profile, Subject::Secret(secret)))
}

/// Places a template. Its values are decrypted again: nothing opens the files of others.
fn place_template(
    profile: &Profile,
    template: &Template,
    is_current: impl Fn() -> bool,
) -> Result<(), Failure> {
    let settings = &profile.settings;
    let subject = Subject::Template(template);
    let host = Host::new(settings);
    let made = render_afresh(profile, template, &host);
    let untold = place_subject(settings, subject, is_current, made)?;
    untold.map_or(Ok(()), |untold| untold.tell(profile, subject))
}

/// Has systemd try again once the keys that `host` missed are there.
pub(crate) fn wait_for_keys(host: &Host, settings: &Settings) {
    let units: Vec<String> =
        host.missing_keys().filter_map(|key| late_key_unit(settings, key)).collect();
    // Why the item failed matters more than that nobody waits for its key.
    let _ = systemctl::queue(&settings.systemctl, Job::Start, &units);
}

/// A plaintext with its inputs, or why there is none.
type Made = Result<(Plaintext, [u8; 32]), Failure>;

/// Consumers that have not been told of a plaintext that is in place.
struct Untold {
    /// Where that is noted.
    generation: Generation,
    /// The key of the note.
    key: String,
}

impl Untold {
    /// Tells them.
    fn tell(self, profile: &Profile, subject: Subject) -> Result<(), Failure> {
        queue_all(profile, subject).map_err(|failure| Failure {
            reason: format!("it is in place, but nobody could be told: {}", failure.reason),
            ..failure
        })?;
        self.generation.strike_note(Note::Untold, &self.key)?;
        if subject.place().early {
            self.generation.strike_note(Note::Due, USERBORN)?;
        }
        Ok(())
    }
}

/// Queues the jobs for all who read an item.
fn queue_all(profile: &Profile, subject: Subject) -> Result<(), Failure> {
    let settings = &profile.settings;
    if let Subject::Secret(secret) = subject {
        let templates: Vec<String> =
            users_of(profile, &secret.id).map(|id| Kind::Template.unit(id)).collect();
        // Not only those that run: one that failed for want of this secret can be rendered now.
        systemctl::queue(&settings.systemctl, Job::Restart, &templates)?;
    }
    if subject.place().early {
        systemctl::make_users(settings)?;
    }
    systemctl::tell(settings, [subject.place()])
}

/// Notes that whoever reads an item has to be told of it.
pub(crate) fn note_untold(generation: &Generation, subject: Subject) -> Result<(), Failure> {
    if subject.place().early {
        // Apart, since the first phase of a switch tells userborn, and the second all others.
        generation.mark(Note::Due, USERBORN)?;
    }
    generation.mark(Note::Untold, &subject.key())
}

/// Places what was `made`; returns whether its consumers must be told.
///
/// They must when the plaintext is another than before, and when there was none because the item had failed. At boot
/// there is none before, and nobody to tell.
fn place_subject(
    settings: &Settings,
    subject: Subject,
    is_current: impl Fn() -> bool,
    made: Made,
) -> Result<Option<Untold>, Failure> {
    let key = subject.key();
    let place = subject.place();
    let ramfs = Ramfs::open(settings)?;
    if !is_current() {
        return Err(replaced(&key));
    }
    let generation = ramfs.generation(current(&ramfs, settings.link_of(place), settings)?)?;
    let result = place_in(&ramfs, &generation, settings, subject, made)
        .and_then(|job| put(&ramfs, &generation, settings, subject, job));
    if let Err(failure) = result {
        // It was never in place, or is not: its consumers run without it.
        if generation.stat(&place.name)?.is_none() || !generation.has_note(Note::Placed, &key)? {
            generation.mark(Note::Untold, &key)?;
        }
        return Err(failure);
    }
    let untold = generation.has_note(Note::Untold, &key)?;
    Ok(untold.then_some(Untold { generation, key }))
}

/// Returns the failure that somebody else has placed the item `key`, or switched, meanwhile.
fn replaced(key: &str) -> Failure {
    let reason = "the profile was replaced meanwhile; try again: systemctl restart";
    Failure::new(Status::Config, format!("{reason} '{key}'"))
}

/// Does `job` at the path of an item that is in `generation`, without the lock.
fn put(
    ramfs: &Ramfs,
    generation: &Generation,
    settings: &Settings,
    subject: Subject,
    job: Option<path::Job>,
) -> Result<(), Failure> {
    let Some(job) = job else { return Ok(()) };
    let key = subject.key();
    let placed = generation.record(&key)?;
    let done = ramfs.unlocked(|| queue::run(vec![job], &Ours::new(settings)).pop())?;
    // What was placed after this may have come to the path before it.
    let number = current(ramfs, settings.link_of(subject.place()), settings)?;
    if number != generation.number || generation.record(&key)? != placed {
        return Err(replaced(&key));
    }
    if let Some(Err(failure)) = done {
        // Those who read it there run without it, or with an older one.
        generation.mark(Note::Untold, &key)?;
        return Err(failure);
    }
    generation.strike_note(Note::Unplaced, &key)
}

/// Places an item in `generation`; returns what is to be done at its path, if it has one of its own.
fn place_in(
    ramfs: &Ramfs,
    generation: &Generation,
    settings: &Settings,
    subject: Subject,
    made: Made,
) -> Result<Option<path::Job>, Failure> {
    let (key, place) = (subject.key(), subject.place());
    let name = &place.name;
    let ownership = Accounts::default().resolve(place)?;
    let (plaintext, inputs) = made?;
    let digest = plaintext.digest();
    let old = generation.record(&key)?;
    let is_there = generation.stat(name)?.is_some();
    let same =
        is_there && old.as_ref().is_some_and(|old| old.name == *name && old.digest == digest);
    if !same && (is_there || generation.has_note(Note::Untold, &key)?) {
        // Before the plaintext is there, so that no death in between hides that it has changed or come.
        note_untold(generation, subject)?;
    }
    if !same || !has_ownership(generation, name, ownership)? {
        generation.write(name, &plaintext, ownership)?;
    }
    for link in links(subject, settings) {
        if ramfs.behind(link)?.is_none() {
            ramfs.point(link, generation.number)?;
        }
    }
    let record = Record::new(inputs, digest, subject.kind(), subject.id(), place, settings);
    if old.as_ref() != Some(&record) {
        if let Some(moved) = old.as_ref().filter(|old| old.path != record.path) {
            generation.write_note(Note::Gone, &key, &moved.to_note())?;
        }
        generation.write_note(Note::Placed, &key, &record.to_note())?;
    }
    Ok(path::Job::put(place, settings, ownership, digest, Some(plaintext), old.as_ref()))
}

/// Returns the number of the generation that an item belongs to: the one behind its own link, or the other's, or the
/// newest, or the first at boot.
///
/// A link that leads nowhere, as after a soft reboot, counts for nothing.
fn current(ramfs: &Ramfs, own: &Path, settings: &Settings) -> Result<u32, Failure> {
    let links = [own, &settings.decrypted_dir, &settings.decrypted_dir_for_user];
    for link in links {
        if let Some(number) = ramfs.behind(link)? {
            return Ok(number);
        }
    }
    Ok(ramfs.numbers()?.last().copied().unwrap_or(1))
}

/// Returns the links that consumers may find the item under.
fn links<'a>(subject: Subject, settings: &'a Settings) -> Vec<&'a Path> {
    if subject.place().early {
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
