//! all items of a phase → files in the current generation, each as soon as it is decrypted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use vaultix_generator::profile::{Profile, Secret, Template};
use vaultix_generator::unit::Kind;

use super::{Left, fresh, notify};
use crate::aside::make_way;
use crate::disk_record::DiskRecord;
use crate::failure::Failure;
use crate::generation::Generation;
use crate::host::{Decrypting, Ended, Host};
use crate::item::Item;
use crate::owner::Accounts;
use crate::path::{Job, Outcome, OwnDirectories, is_custom, queue};
use crate::place::{Made, current_number, replaced_meanwhile, write_item};
use crate::plaintext::{Plaintext, Plaintexts};
use crate::ramfs::Ramfs;
use crate::render::{render, values};
use crate::switch::Phase;

/// How long the lock is held while nothing is decrypted (50 milliseconds).
const PATIENCE: Duration = Duration::from_millis(50);
/// Longer than anything takes, see [`crate::parallel::Limits`].
const LONG: Duration = Duration::from_secs(3600);

/// Places all items of `phase`; those of the first phase also at paths of their own. Returns how many were placed.
///
/// `stamp` returns what distinguishes versions of the profile, see [`fresh::stamp`]; it returned `begun` when `profile` was
/// read.
///
/// # Errors
///
/// When systemd cannot be told: to start the units of items that could not be placed, or that something has changed.
pub fn place_all(
    profile: &Profile,
    phase: Phase,
    begun: Option<String>,
    stamp: &dyn Fn() -> Option<String>,
) -> Result<usize, Failure> {
    let host = Host::new(&profile.settings);
    let (mut run, secrets) = Run::new(profile, phase, begun, stamp);
    let decrypting = Decrypting::start(&host, &secrets);
    let opened = Ramfs::open(&profile.settings).and_then(|ramfs| make_way(profile).map(|()| ramfs));
    let told = match opened.and_then(|ramfs| run.place(ramfs, &secrets, decrypting)) {
        Ok(at) => run.notify(&at),
        Err(failure) => {
            // Among others where there is no ramfs: each of their units says so.
            run.leave_missing(&failure);
            Ok(())
        }
    };
    let count = run.placed.len();
    run.left.start(&profile.settings)?;
    told.map(|()| count)
}

/// One run of a phase.
struct Run<'a> {
    profile: &'a Profile,
    phase: Phase,
    stamp: &'a dyn Fn() -> Option<String>,
    /// The stamp at the start.
    begun: Option<String>,
    accounts: Accounts,
    /// Templates of the phase that wait for secrets, each with those that are not decrypted.
    waiting: Vec<(&'a Template, BTreeSet<&'a str>)>,
    /// Ids of secrets that templates need.
    needed: BTreeSet<&'a str>,
    /// Their plaintexts.
    known: BTreeMap<&'a str, Plaintext>,
    /// The ciphertext of each secret, and its stamp.
    sources: BTreeMap<&'a str, (PathBuf, Vec<u8>)>,
    /// Jobs at paths, in the first phase.
    jobs: Vec<(Item<'a>, Job)>,
    placed: Vec<Item<'a>>,
    left: Left,
}

/// Where items are placed.
struct Place {
    ramfs: Ramfs,
    generation: Generation,
}

impl<'a> Run<'a> {
    /// Returns it, and the secrets to decrypt.
    fn new(
        profile: &'a Profile,
        phase: Phase,
        begun: Option<String>,
        stamp: &'a dyn Fn() -> Option<String>,
    ) -> (Self, Vec<&'a Secret>) {
        let is_ours = |id: &str| profile.early.contains(id) == (phase == Phase::Early);
        let mut left = Left::default();
        let mut secrets: BTreeMap<&str, &Secret> = BTreeMap::new();
        for (id, secret) in profile.secrets.iter().filter(|(id, _)| is_ours(id)) {
            match secret {
                Ok(secret) => drop(secrets.insert(id, secret)),
                Err(invalid) => left.add(Kind::Secret, id, &invalid.into()),
            }
        }
        let (mut waiting, mut needed) = (Vec::new(), BTreeSet::new());
        for (id, template) in profile.templates.iter().filter(|(id, _)| is_ours(id)) {
            let template = match template {
                Ok(template) => template,
                Err(invalid) => {
                    left.add(Kind::Template, id, &invalid.into());
                    continue;
                }
            };
            let used = values(profile, template);
            secrets.extend(used.iter().map(|(_, secret)| (&*secret.id, *secret)));
            let used: BTreeSet<&str> = used.iter().map(|(_, secret)| &*secret.id).collect();
            needed.extend(used.iter().copied());
            waiting.push((template, used));
        }
        let run = Self {
            profile,
            phase,
            stamp,
            begun,
            accounts: Accounts::default(),
            waiting,
            needed,
            known: BTreeMap::new(),
            sources: BTreeMap::new(),
            jobs: Vec::new(),
            placed: Vec::new(),
            left,
        };
        (run, secrets.into_values().collect())
    }

    /// Returns the link under which the consumers of this phase find their items.
    fn link(&self) -> &'a Path {
        let settings = &self.profile.settings;
        match self.phase {
            Phase::Early => &settings.decrypted_dir_for_user,
            Phase::Normal => &settings.decrypted_dir,
        }
    }

    /// Places everything as it comes.
    fn place(
        &mut self,
        ramfs: Ramfs,
        secrets: &[&'a Secret],
        mut decrypting: Decrypting,
    ) -> Result<Place, Failure> {
        let number = current_number(&ramfs, self.link(), &self.profile.settings)?;
        let generation = ramfs.generation(number)?;
        let mut at = Place { ramfs, generation };
        self.make_links(&at)?;
        self.render_ready(&at);
        loop {
            let ended = match decrypting.next(PATIENCE) {
                Some(none) if none.is_empty() => {
                    // Others may place their items while this one waits.
                    let ended = at.ramfs.unlocked(|| decrypting.next(LONG))?;
                    self.look_again(&mut at)?;
                    ended
                }
                ended => ended,
            };
            let Some(ended) = ended else { break };
            for ended in ended {
                if let Some(secret) = secrets.get(ended.at) {
                    self.take(secret, ended, &at);
                    self.render_ready(&at);
                }
            }
        }
        if !self.jobs.is_empty() {
            self.put_at_paths(&mut at)?;
        }
        Ok(at)
    }

    /// Makes the links, before the first file is there: whoever looks into the directory finds each as it comes.
    fn make_links(&self, at: &Place) -> Result<(), Failure> {
        let settings = &self.profile.settings;
        let links: &[&Path] = match self.phase {
            Phase::Early => &[&settings.decrypted_dir_for_user, &settings.decrypted_dir],
            Phase::Normal => &[&settings.decrypted_dir],
        };
        for link in links {
            if at.ramfs.linked_generation(link)?.is_none() {
                at.ramfs.set_link(link, at.generation.number)?;
            }
        }
        Ok(())
    }

    /// Makes sure that the profile is still the host's, and determines the current generation again.
    fn look_again(&self, at: &mut Place) -> Result<(), Failure> {
        if (self.stamp)() != self.begun {
            return Err(replaced_meanwhile(&self.profile.settings, "vaultix.target"));
        }
        let number = current_number(&at.ramfs, self.link(), &self.profile.settings)?;
        if number != at.generation.number {
            at.generation = at.ramfs.generation(number)?;
        }
        Ok(())
    }

    /// Places a secret that has been decrypted, if it is one of this phase, and remembers it for templates.
    fn take(&mut self, secret: &'a Secret, ended: Ended, at: &Place) {
        self.sources.insert(&secret.id, (secret.ciphertext.clone(), ended.stamp));
        for (_, missing) in &mut self.waiting {
            missing.remove(&*secret.id);
        }
        if self.needed.contains(&*secret.id)
            && let Ok((plaintext, _)) = &ended.result
        {
            self.known.insert(&secret.id, Plaintext::new(plaintext.expose().to_vec()));
        }
        if secret.placement.early == (self.phase == Phase::Early) {
            self.write(Item::Secret(secret), ended.result, at);
        }
    }

    /// Renders the templates whose secrets have all been tried.
    fn render_ready(&mut self, at: &Place) {
        let waiting = std::mem::take(&mut self.waiting);
        let (ready, waiting) = waiting.into_iter().partition(|(_, missing)| missing.is_empty());
        self.waiting = waiting;
        let ready: Vec<(&Template, BTreeSet<&str>)> = ready;
        for (template, _) in ready {
            let known: Plaintexts = self.known.iter().map(|(id, text)| (*id, text)).collect();
            let made = render(self.profile, template, &known);
            self.write(Item::Template(template), made, at);
        }
    }

    /// Writes an item into the generation, or leaves it to its own unit.
    fn write(&mut self, item: Item<'a>, made: Made, at: &Place) {
        let settings = &self.profile.settings;
        let written =
            write_item(&at.ramfs, &at.generation, settings, &mut self.accounts, item, made);
        match written {
            Ok(job) => {
                self.placed.push(item);
                if self.phase == Phase::Early {
                    self.jobs.extend(job.map(|job| (item, job)));
                }
                // Without the note, the unit has to do more.
                let _ = self.note(item, at);
            }
            Err(failure) => self.left.add(item.kind(), item.id(), &failure),
        }
    }

    /// Notes for the unit of `item` that it is in place.
    fn note(&self, item: Item<'a>, at: &Place) -> Result<(), Failure> {
        let place = item.placement();
        let settings = &self.profile.settings;
        let elsewhere = is_custom(place, settings)
            && (!place.symlink || settings.late_mount_of(&place.path).is_some());
        let Some(profile) = self.begun.as_deref().filter(|_| !elsewhere) else { return Ok(()) };
        let used: Vec<&str> = match item {
            Item::Secret(secret) => vec![&secret.id],
            Item::Template(template) => {
                let used = values(self.profile, template).into_iter();
                used.map(|(_, secret)| &*secret.id).collect()
            }
        };
        let mut sources = Vec::new();
        for id in used {
            let Some((path, stamp)) = self.sources.get(id) else { return Ok(()) };
            sources.push((path.as_path(), stamp.as_slice()));
        }
        fresh::note(&at.generation, item, profile, &sources)
    }

    /// Puts early items at paths of their own, without the lock.
    fn put_at_paths(&mut self, at: &mut Place) -> Result<(), Failure> {
        let (items, mut jobs): (Vec<Item>, Vec<Job>) =
            std::mem::take(&mut self.jobs).into_iter().unzip();
        // Only read: its file system may not be writable yet. What is put there is written down by vaultix-paths.service.
        DiskRecord::read(&self.profile.settings).allow(&mut jobs);
        let ours = OwnDirectories::new(&self.profile.settings);
        let done = match at.ramfs.unlocked(|| queue::run(jobs, &ours)) {
            Ok(done) => done,
            Err(failure) => {
                for item in items {
                    self.left.add(item.kind(), item.id(), &failure);
                }
                return Err(failure);
            }
        };
        for (item, done) in items.into_iter().zip(done) {
            let failure = match done {
                Ok(Outcome::Done | Outcome::OnDisk(_)) => continue,
                Ok(_) => Failure::write(&item.placement().path, "its plaintext is needed again"),
                Err(failure) => failure,
            };
            self.left.add(item.kind(), item.id(), &failure);
        }
        self.look_again(at)
    }

    /// Notifies the readers of what has changed, but for what is put at a path of its own later.
    fn notify(&self, at: &Place) -> Result<(), Failure> {
        let settings = &self.profile.settings;
        let is_done = |item: &&Item| {
            !self.left.0.contains(&item.key())
                && (self.phase == Phase::Early || !is_custom(item.placement(), settings))
        };
        let done: Vec<Item> = self.placed.iter().filter(is_done).copied().collect();
        let rendered = self.placed.iter().map(|item| item.key()).collect();
        notify(self.profile, &at.generation, &done, &rendered)
    }

    /// Leaves all items of the phase that are not placed, or not at their own paths, to their own units.
    fn leave_missing(&mut self, failure: &Failure) {
        for (item, _) in std::mem::take(&mut self.jobs) {
            self.left.add(item.kind(), item.id(), failure);
        }
        let placed: BTreeSet<String> = self.placed.iter().map(|item| item.key()).collect();
        let items = super::valid_items(self.profile);
        for item in items.filter(|it| it.placement().early == (self.phase == Phase::Early)) {
            let key = item.key();
            if !placed.contains(&key) && !self.left.0.contains(&key) {
                self.left.add(item.kind(), item.id(), failure);
            }
        }
    }
}
