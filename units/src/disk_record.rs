//! what stands at paths of items on a disk ↔ a record there, for the boots after this one.
//!
//! The ramfs and its journal are gone when the power is; a link or a file at a path on a disk is not. By this record, the next
//! boot knows what is surely ours: it may replace it at the path of an item, and removes it where no item has this path any
//! more. The record contains no digest of a plaintext: whoever gets the disk could try guesses with it.
//!
//! It is an aid. A host without a place for it, or with a damaged one, has its items all the same: what stands in the way of one
//! is then refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;
use vaultix_generator::profile::{Layout, Profile, Settings};
use vaultix_generator::status::Status;
use vaultix_generator::unit::Kind;
use zeroize::Zeroizing;

use crate::acl;
use crate::bounded;
use crate::failure::{Failure, Level, log};
use crate::item::Item;
use crate::mounts::is_mounted;
use crate::path::{Earlier, Job, Missing, Outcome, PathContent, Stamp, Task, open_private_parent};

/// The directory of the record.
const FOLDER: &str = "/var/lib/vaultix";
/// What follows the name of the link to a user's items in the name of the directory of their record.
const USER_FOLDER: &str = ".record";
/// The record.
const RECORD: &str = "placed";
/// A new one on its way.
const NEW: &str = ".placed";
/// What it begins with.
const FORMAT: &str = "vaultix-placed-1";
/// Largest record, in bytes (4 MiB).
const MAX: u64 = 4 << 20;
/// How many fields an entry has.
const FIELDS: usize = 6;

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskRecord(BTreeMap<PathBuf, Entry>);

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whether it was put there for a secret or a template.
    pub kind: Kind,
    /// The item's id.
    pub id: String,
    /// A link or a file, and which one.
    pub content: Earlier,
}

impl Entry {
    /// Describes what is done when nothing has this path any more, for an error.
    #[must_use]
    pub fn description(&self) -> String {
        format!("remove what {} \"{}\" left at an earlier boot", self.kind.name(), self.id)
    }
}

/// What has changed at paths.
#[derive(Default)]
pub struct Changes {
    placed: BTreeMap<PathBuf, Entry>,
    gone: BTreeSet<PathBuf>,
}

impl Changes {
    /// Notes the `outcome` of putting `item` at its path.
    pub fn put(&mut self, item: Item, settings: &Settings, outcome: &Outcome) {
        let place = item.placement();
        match outcome {
            Outcome::OnDisk(stamp) => {
                let target = settings.link_of(place).join(&place.name);
                let target = place.symlink.then_some(target);
                let content = Earlier { target, stamp: stamp.clone() };
                let entry = Entry { kind: item.kind(), id: item.id().to_owned(), content };
                self.placed.insert(place.path.clone(), entry);
            }
            Outcome::Done => self.remove(&place.path),
            _ => {}
        }
    }

    /// Notes that nothing of ours stands at `path` any more.
    pub fn remove(&mut self, path: &Path) {
        self.gone.insert(path.to_owned());
    }

    /// Writes them into the record. Called with the lock held. What cannot be written is only a warning: the items are in
    /// place.
    pub fn write(self, settings: &Settings) {
        if (self.placed.is_empty() && self.gone.is_empty()) || !is_there(settings) {
            return;
        }
        if let Err(failure) = self.write_into_record(settings) {
            let what = "what stands at paths of items is not written down, so that a later boot may not know it";
            log(Level::Warning, &format!("{what}: {}", failure.reason));
        }
    }

    fn write_into_record(self, settings: &Settings) -> Result<(), Failure> {
        // One that is damaged is replaced. One that cannot be read stays, since it may say more than this run knows.
        let old = read_text(settings)?.and_then(|text| DiskRecord::parse(&text));
        let mut new = old.clone().unwrap_or_default();
        new.0.retain(|path, _| !self.gone.contains(path));
        new.0.extend(self.placed);
        if new == old.unwrap_or_default() { Ok(()) } else { replace(&new, settings) }
    }
}

impl DiskRecord {
    /// Reads it. One that cannot be used is as good as none.
    #[must_use]
    pub fn read(settings: &Settings) -> Self {
        let text = if is_there(settings) { read_text(settings) } else { Ok(None) };
        let record = text.and_then(|text| match text {
            None => Ok(Self::default()),
            Some(text) => {
                Self::parse(&text).ok_or_else(|| unusable(&path_of(settings), "it is damaged"))
            }
        });
        record.unwrap_or_else(|failure| {
            let what = "what an earlier boot has put at paths of items is not known";
            log(Level::Warning, &format!("{what}: {}", failure.reason));
            Self::default()
        })
    }

    /// Allows each of `jobs` to replace what was put at its path at an earlier boot.
    pub fn allow<'j>(&self, jobs: impl IntoIterator<Item = &'j mut Job>) {
        for job in jobs {
            if let Some(entry) = self.0.get(&job.path) {
                job.allow(entry.content.clone());
            }
        }
    }

    /// Returns what stands at paths that no item of `profile` has, except below late mounts that are not mounted.
    #[must_use]
    pub fn leftovers(&self, profile: &Profile) -> Vec<(PathBuf, Entry)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let secrets = profile.secrets.values().flatten().map(Item::Secret);
        let templates = profile.templates.values().flatten().map(Item::Template);
        let claimed: BTreeSet<&Path> =
            secrets.chain(templates).map(|item| &*item.placement().path).collect();
        // The path of an invalid item is not known.
        let is_invalid = |entry: &Entry| match entry.kind {
            Kind::Secret => profile.secrets.get(&entry.id).is_some_and(Result::is_err),
            Kind::Template => profile.templates.get(&entry.id).is_some_and(Result::is_err),
        };
        let is_in_reach = |path: &Path| profile.settings.late_mount_of(path).is_none_or(is_mounted);
        let is_left = |(path, entry): &(&PathBuf, &Entry)| {
            !claimed.contains(&***path) && !is_invalid(entry) && is_in_reach(path)
        };
        let left = self.0.iter().filter(is_left);
        left.map(|(path, entry)| (path.clone(), entry.clone())).collect()
    }

    /// Returns the text of the record: its fields, none of which can contain a NUL, each followed by one.
    fn to_text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut add = |field: &[u8]| {
            text.extend_from_slice(field);
            text.push(0);
        };
        add(FORMAT.as_bytes());
        for (path, Entry { kind, id, content }) in &self.0 {
            add(kind.name().as_bytes());
            add(id.as_bytes());
            add(path.as_os_str().as_encoded_bytes());
            add(if content.target.is_some() { b"link" } else { b"file" });
            let target = content.target.as_deref().unwrap_or(Path::new(""));
            add(target.as_os_str().as_encoded_bytes());
            add(content.stamp.to_text().as_bytes());
        }
        text
    }

    /// Reads the text of a record; `None` if it is damaged, or has another format.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = str::from_utf8(text.strip_suffix(b"\0")?).ok()?;
        let fields: Vec<&str> = text.split('\0').collect();
        let (first, fields) = fields.split_first()?;
        let mut entries = BTreeMap::new();
        let chunks = fields.chunks_exact(FIELDS);
        if *first != FORMAT || !chunks.remainder().is_empty() {
            return None;
        }
        for entry in chunks {
            let [kind, id, path, shape, target, stamp] = entry.try_into().ok()?;
            let kind = [Kind::Secret, Kind::Template].into_iter().find(|it| it.name() == kind)?;
            let target = match (shape, target) {
                ("file", "") => None,
                ("link", target) if is_plain(Path::new(target)) => Some(PathBuf::from(target)),
                _ => return None,
            };
            if !is_plain(Path::new(path)) {
                return None;
            }
            let content = Earlier { target, stamp: Stamp::parse(stamp)? };
            entries.insert(path.into(), Entry { kind, id: id.to_owned(), content });
        }
        Some(Self(entries))
    }
}

/// Returns the job to remove what stands at `path`, if it is still what `entry` says.
#[must_use]
pub fn removal(path: &Path, entry: &Entry) -> Job {
    let content = PathContent::Earlier(entry.content.clone());
    Job { path: path.to_owned(), task: Task::Remove(content) }
}

/// Takes note of the `outcome` of a [`removal`] of `entry`.
///
/// # Errors
///
/// The outcome, if it is a failure.
pub fn note_removal(
    changes: &mut Changes,
    path: &Path,
    entry: &Entry,
    outcome: Result<Outcome, Failure>,
) -> Result<(), Failure> {
    let what = entry.description();
    match outcome? {
        Outcome::Abandoned(reason) => {
            log(Level::Warning, &format!("cannot {what}: {reason}"));
            changes.remove(path);
        }
        Outcome::Remains(reason) => {
            let left = "the secret may still be there; remove it";
            log(Level::Warning, &format!("cannot {what}: {reason}; {left}"));
        }
        Outcome::Absent => {}
        Outcome::Done | Outcome::OnDisk(_) | Outcome::NeedsPlaintext => changes.remove(path),
    }
    Ok(())
}

/// Returns the directory of the record.
fn folder(settings: &Settings) -> PathBuf {
    match settings.layout {
        Layout::Host => FOLDER.into(),
        Layout::User(_) => {
            let mut path = settings.decrypted_dir.clone().into_os_string();
            path.push(USER_FOLDER);
            path.into()
        }
    }
}

/// Returns the path of the record.
fn path_of(settings: &Settings) -> PathBuf {
    folder(settings).join(RECORD)
}

/// Returns whether the file system of the record is mounted.
fn is_there(settings: &Settings) -> bool {
    settings.late_mount_of(&path_of(settings)).is_none_or(is_mounted)
}

/// Returns whether `path` is absolute, and leads where it says.
fn is_plain(path: &Path) -> bool {
    let mut parts = path.components();
    parts.next() == Some(Component::RootDir) && parts.all(|it| matches!(it, Component::Normal(_)))
}

/// Reads the text of the record, `None` if there is none.
fn read_text(settings: &Settings) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    let (path, layout) = (&path_of(settings), settings.layout);
    let unusable = |error: Errno| unusable(path, error);
    let Some((parent, name)) = open_private_parent(path, layout, Missing::Fail)? else {
        return Ok(None);
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match fs::openat(&parent, &name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(unusable(error)),
    };
    let stat = fs::fstat(&file).map_err(unusable)?;
    if (stat.st_uid, stat.st_nlink, stat.st_mode & 0o022) != (layout.owner(), 1, 0) {
        let who = if layout == Layout::Host { "root" } else { "you" };
        let why = format!("others than {who} can write to it, or it has another name");
        return Err(self::unusable(path, format!("{why}; remove it: rm {}", path.display())));
    }
    bounded::read_file(file, MAX).map(Some).map_err(|error| self::unusable(path, error))
}

/// Returns the failure that the record cannot be used.
fn unusable(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::path(Status::CantCreat, "use", path, why)
}

/// Replaces the record, in one step.
fn replace(record: &DiskRecord, settings: &Settings) -> Result<(), Failure> {
    let (folder, path, layout) = (&folder(settings), &path_of(settings), settings.layout);
    let text = record.to_text();
    if text.len() as u64 > MAX {
        return Err(Failure::write(
            path,
            format!("it would have {} bytes, limit {MAX}", text.len()),
        ));
    }
    let missing = || Failure::write(path, Errno::NOENT);
    let (above, name) = open_private_parent(folder, layout, Missing::Make)?.ok_or_else(missing)?;
    match fs::mkdirat(&above, &name, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(Failure::write(folder, error)),
    }
    let (parent, name) = open_private_parent(path, layout, Missing::Fail)?.ok_or_else(missing)?;
    let write = || -> io::Result<()> {
        match fs::unlinkat(&parent, NEW, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let mut file = File::from(fs::openat(&parent, NEW, flags, mode)?);
        acl::take_away(&file)?;
        file.write_all(&text)?;
        // Otherwise, a power failure could leave an empty one.
        file.sync_data()?;
        Ok(fs::renameat(&parent, NEW, &parent, &name)?)
    };
    write().map_err(|error| {
        remove_new(&parent);
        Failure::write(path, error)
    })
}

/// Removes what was not finished. What cannot be removed is replaced the next time.
fn remove_new(parent: &OwnedFd) {
    let _ = fs::unlinkat(parent, NEW, AtFlags::empty());
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    fn entry(id: &str, target: Option<&str>) -> Entry {
        let stamp = Stamp::parse("1 2 3 4 5").expect("five numbers");
        let content = Earlier { target: target.map(PathBuf::from), stamp };
        Entry { kind: Kind::Template, id: id.to_owned(), content }
    }

    fn record() -> DiskRecord {
        let pairs = [
            ("/etc/a b", entry("a \n\u{fc}", Some("/run/vaultix/a"))),
            ("/srv/file", entry("", None)),
        ];
        DiskRecord(pairs.into_iter().map(|(path, entry)| (path.into(), entry)).collect())
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for record in [record(), DiskRecord::default()] {
            assert_eq!(DiskRecord::parse(&record.to_text()), Some(record));
        }
    }

    #[test]
    fn a_damaged_record_is_none() {
        let text = record().to_text();
        for end in 0..text.len() {
            // Whole entries at the beginning are a record as well.
            if let Some(less) = DiskRecord::parse(&text[..end]) {
                assert!(
                    less.0.len() < 2 && less.0.iter().all(|it| record().0.get(it.0) == Some(it.1))
                );
            }
        }
        let text = String::from_utf8(text).expect("UTF-8");
        for (from, to) in [
            ("vaultix-placed-1", "vaultix-placed-2"),
            ("template", "user"),
            ("link", "directory"),
            ("link", "file"),
            ("file\0\0", "file\0/etc/shadow\0"),
            ("/run/vaultix/a", "run/vaultix/a"),
            ("/run/vaultix/a", "/run/../etc/shadow"),
            ("/srv/file", "/srv/../etc/shadow"),
            ("/srv/file", "srv/file"),
            ("/srv/file", ""),
            ("1 2 3 4 5", "1 2 3 4"),
            ("/srv/file\0", "/srv/file\0\0"),
        ] {
            let damaged = text.replacen(from, to, 1);
            assert_ne!(damaged, text, "{from}");
            assert_eq!(DiskRecord::parse(damaged.as_bytes()), None, "{from} {to}");
        }
        assert_eq!(DiskRecord::parse(&[text.as_bytes(), b"\xff\0"].concat()), None);
    }
}
