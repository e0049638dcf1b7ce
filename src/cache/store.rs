//! master ciphertext + recipient → name of a file in the cache; ciphertext → that file, complete or
//! not at all.
//!
//! The directories are held open from the first check to the last use: anyone who may write there
//! can replace what is at their paths in the meantime.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::fs::{mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use vaultix_generator::escape;
use vaultix_generator::profile::Key;
use vaultix_units::decrypt;

use crate::cache::copy;
use crate::cache::plan::{Entry, Listing, Plan, is_cache_name};
use crate::error::{Error, Exit, Result, Status};
use crate::report::{self, Report};
use crate::system::fence;
use crate::system::origin;
use crate::system::sync;

/// Comes before the name of a file that is not complete yet.
const TEMPORARY_PREFIX: &str = ".new-";

/// Every file in the cache begins with this line: <https://age-encryption.org/v1>, "Header".
const FIRST_LINE: &[u8] = b"age-encryption.org/v1\n";

/// How the directory of a host is opened: without following links, because anybody's commit may
/// contain one.
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Returns the name of the file that contains the source with this digest, or the value at `key` in it, encrypted to
/// `recipient`.
///
/// `digest` is the SHA-256 of the source's bytes in lower-case hex, and `recipient` in the form of
/// [`crate::keys::recipient::canonical`]. `nix/cache-name.nix` computes the same name at evaluation;
/// `tests/vectors/cache-name.json` contains the cases both must pass.
pub fn name(digest: &str, recipient: &str, key: Option<&Key>) -> String {
    let mut hash = Sha256::new();
    let value = key.into_iter().flat_map(|key| [&key.pointer, "\n", &key.format, "\n"]);
    for part in ["vaultix-v1\n", digest, "\n", recipient, "\n"].into_iter().chain(value) {
        hash.update(part);
    }
    escape::hex(&hash.finalize())
}

/// What the cache contains, and why it is not known for some hosts.
#[derive(Default)]
pub struct Listed {
    pub files: Listing,
    pub unusable: BTreeMap<String, Error>,
}

/// Returns what `root` contains for `hosts`. A missing directory counts as empty.
///
/// # Errors
///
/// When the cache itself cannot be read.
pub fn list<'a>(root: &Path, hosts: impl Iterator<Item = &'a str>) -> Result<Listed> {
    let cache = open_existing(root)?;
    let mut listed = Listed::default();
    for host in hosts {
        let found = cache.as_ref().map(|cache| list_host(cache.as_fd(), root, host)).transpose();
        match found {
            Ok(found) => {
                let files =
                    found.flatten().map(|(directory, files)| known_files(&directory, files));
                listed.files.insert(host.to_owned(), files.unwrap_or_default());
            }
            Err(error) => drop(listed.unusable.insert(host.to_owned(), error)),
        }
    }
    Ok(listed)
}

/// Returns `files` without what a killed run has left. One that cannot be read is not listed here; sweeping reports the error.
fn known_files(directory: &OwnedFd, files: Files) -> BTreeMap<String, u64> {
    let is_ours = |name: &str| {
        is_leftover(name)
            && !has_first_line(directory, name, FirstLine::Partial).is_ok_and(|is| !is)
    };
    files.into_iter().filter(|(name, _)| !is_ours(name)).collect()
}

/// Returns what the cache `root` contains for hosts that are none of `known`: only directories with a copy in them, which no
/// other program makes. Upper and lower case count as the same, as some file systems have it.
///
/// # Errors
///
/// When the cache itself cannot be read.
pub fn list_others(root: &Path, known: &BTreeSet<String>) -> Result<Listing> {
    let Some(cache) = open_existing(root)? else { return Ok(Listing::new()) };
    let names = entries(&cache).map_err(|error| cannot_use("list", root, &error))?;
    let names = names.into_iter().filter_map(|name| name.into_string().ok());
    let is_other = |name: &String| {
        is_host_name(name) && !known.iter().any(|host| host.eq_ignore_ascii_case(name))
    };
    let mut others = Listing::new();
    for host in names.filter(is_other) {
        // A file, a link, or what cannot be read is not surely ours.
        let Ok(directory) = open_host(cache.as_fd(), &host) else { continue };
        let Ok(files) = files(&directory) else { continue };
        let is_copy = |(name, _): &(String, u64)| {
            let begins = || has_first_line(&directory, name, FirstLine::Whole);
            is_cache_name(name) && begins().unwrap_or(false)
        };
        if files.iter().any(is_copy) {
            others.insert(host, known_files(&directory, files));
        }
    }
    Ok(others)
}

/// Returns whether a host may be called `name`: as `hostIdentifier` in `nix/options.nix`.
fn is_host_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    name.bytes().all(is_plain) && !name.starts_with('.') && !name.is_empty()
}

/// Bytes of a copy that are read at first (4096): any header for one host is shorter, and so is most of what is secret.
const HEAD: u64 = 4096;

/// Bytes of a copy that are read at most to find the end of its header.
const LONGEST_HEAD: u64 = decrypt::MAX_HEADER as u64 + HEAD;

/// Opens the directories of `hosts` in the cache `root`, as far as that can be done.
///
/// # Errors
///
/// As [`list`].
pub fn directories<'a>(
    root: &Path,
    hosts: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, OwnedFd>> {
    let Some(cache) = open_existing(root)? else { return Ok(BTreeMap::new()) };
    let mut opened = BTreeMap::new();
    for host in hosts {
        if !opened.contains_key(host)
            && let Ok(directory) = open_host(cache.as_fd(), host)
        {
            opened.insert(host.to_owned(), directory);
        }
    }
    Ok(opened)
}

/// Returns the beginning of the file `name` of `size` bytes in `directory`: all that [`copy::problem`] needs.
pub fn head(directory: &OwnedFd, name: &str, size: u64) -> io::Result<Vec<u8>> {
    let file = File::from(openat(directory, name, FILE, Mode::empty())?);
    // All at once: without room for it, the vector would grow in steps, with a call to the system for each.
    let mut head = Vec::with_capacity(usize::try_from(size.min(HEAD)).unwrap_or_default());
    (&file).take(size.min(HEAD)).read_to_end(&mut head)?;
    if size > HEAD && !copy::is_enough(&head) {
        (&file).take(size.min(LONGEST_HEAD) - HEAD).read_to_end(&mut head)?;
    }
    Ok(head)
}

/// Opens the cache `root`; `None` if it does not exist.
fn open_existing(root: &Path) -> Result<Option<OwnedFd>> {
    match fence::open_directory(root) {
        Ok(cache) => Ok(Some(cache)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot_use("list", root, &error)),
    }
}

/// Returns the error of a cache that we cannot `verb`.
fn cannot_use(verb: &str, root: &Path, error: &io::Error) -> Error {
    let error = fence::explain(
        Status::CantCreat,
        format!("cannot {verb} the cache {}", origin::shown(root)),
        error,
    );
    if error.exit == Exit::Failed(Status::Config) {
        return error.fix("set vaultix.cache to a directory of the flake, or pass --cache DIR");
    }
    error
}

/// Moves every file in `plan.stale` that is not an age file to `plan.foreign`: other programs also
/// use 64 hex digits as names of files. Returns an error for each file that cannot be read; it
/// stays as well.
///
/// # Errors
///
/// As [`list`].
pub fn keep_foreign(root: &Path, plan: &mut Plan) -> Result<Vec<Error>> {
    let mut failures = Vec::new();
    if plan.stale.is_empty() {
        return Ok(failures);
    }
    let Some(cache) = open_existing(root)? else { return Ok(failures) };
    let (mut hosts, stale) = (BTreeMap::new(), std::mem::take(&mut plan.stale));
    for entry in stale {
        let host = hosts
            .entry(entry.host.clone())
            .or_insert_with(|| open_host(cache.as_fd(), &entry.host).map_err(io::Error::from));
        let is_age = match host {
            Ok(host) => has_first_line(host, &entry.name, FirstLine::Whole),
            Err(error) => Err(io::Error::from(error.kind())),
        };
        match is_age {
            Ok(true) => plan.stale.push(entry),
            Ok(false) => plan.foreign.push(entry),
            Err(error) => {
                let path = entry.path(root);
                let what = format!(
                    "cannot determine whether {} is part of the cache",
                    origin::shown(&path)
                );
                failures.push(Error::new(Status::CantCreat, what).because(error));
            }
        }
    }
    Ok(failures)
}

/// How much of the first line of an age file a file has to contain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FirstLine {
    Whole,
    /// As far as the file goes: a killed run may have written only part of it.
    Partial,
}

/// Returns whether `name` in `directory` is a file that begins like an age file.
fn has_first_line(directory: &OwnedFd, name: &str, how: FirstLine) -> io::Result<bool> {
    let file = match openat(directory, name, FILE, Mode::empty()) {
        // A link, or a socket.
        Err(Errno::LOOP | Errno::NXIO) => return Ok(false),
        opened => File::from(opened?),
    };
    if !file.metadata()?.is_file() {
        return Ok(false);
    }
    let mut start = Vec::with_capacity(FIRST_LINE.len());
    file.take(FIRST_LINE.len() as u64).read_to_end(&mut start)?;
    Ok(match how {
        FirstLine::Whole => start == FIRST_LINE,
        FirstLine::Partial => FIRST_LINE.starts_with(&start),
    })
}

/// Opens the directory of `host` in `cache`. Refuses a host named `.git`: if the cache is at the
/// top of the repository, this would be git's own directory.
fn open_host(cache: BorrowedFd, host: &str) -> rustix::io::Result<OwnedFd> {
    if host.eq_ignore_ascii_case(".git") {
        return Err(Errno::PERM);
    }
    openat(cache, host, DIRECTORY, Mode::empty())
}

/// The files in a directory: names, and sizes in bytes.
type Files = Vec<(String, u64)>;

/// Returns the directory of `host`, and what is in it; `None` if it does not exist.
fn list_host(cache: BorrowedFd, root: &Path, host: &str) -> Result<Option<(OwnedFd, Files)>> {
    let path = root.join(host);
    let shown = origin::shown(&path);
    let what = || Error::new(Status::CantCreat, format!("cannot list the cache {shown}"));
    match open_host(cache, host) {
        Ok(directory) => {
            let files = files(&directory).map_err(|error| what().because(error))?;
            Ok(Some((directory, files)))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(Errno::NOTDIR | Errno::LOOP) => Err(what()
            .because("it is not a directory")
            .fix(format!("rm {}", escape::shell_path(&path)))),
        Err(error) => Err(what().because(io::Error::from(error))),
    }
}

/// Returns the names in `directory`.
fn entries(directory: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            found.push(name.to_owned());
        }
    }
    Ok(found)
}

/// Returns names and sizes of the files in `directory`.
fn files(directory: &OwnedFd) -> io::Result<Files> {
    let mut found = Vec::new();
    for name in entries(directory)? {
        let stat = statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        // Anything other than a regular file counts as empty, and so as missing.
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let size = if is_file { u64::try_from(stat.st_size).unwrap_or_default() } else { 0 };
        found.push((name.to_string_lossy().into_owned(), size));
    }
    Ok(found)
}

/// Returns whether `name` is the name of a file that a killed run did not finish.
fn is_leftover(name: &str) -> bool {
    name.strip_prefix(TEMPORARY_PREFIX).is_some_and(is_cache_name)
}

/// What to do while another run is using the cache.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    Yes,
    No,
}

/// A cache that is being changed, locked against other runs.
pub struct Cache {
    root: PathBuf,
    /// The cache's directory, open and locked.
    directory: OwnedFd,
    /// The directories of hosts, open.
    hosts: Mutex<BTreeMap<String, Arc<OwnedFd>>>,
    /// Whether another run has used it until just now: what was known of it before is out of date.
    pub has_waited: bool,
}

impl Cache {
    /// Creates the directory `root` if it is missing, and locks it against other runs. Waits for one of these if `wait` says
    /// so, and says that it does.
    ///
    /// A signal ends the wait, and the program: so this comes before anything takes signals over.
    ///
    /// # Errors
    ///
    /// When it cannot be created, or another run is using it and is not waited for.
    pub fn open(root: &Path, wait: Wait, report: &Report) -> Result<Self> {
        let directory =
            fence::make_directory(root).map_err(|error| cannot_use("write", root, &error))?;
        let shown = origin::shown(root);
        let what = || Error::new(Status::CantCreat, format!("cannot write the cache {shown}"));
        let lock = |how| loop {
            match rustix::fs::flock(&directory, how) {
                Err(Errno::INTR) => {}
                done => break done,
            }
        };
        let mut locked = lock(FlockOperation::NonBlockingLockExclusive);
        let is_other = locked == Err(Errno::WOULDBLOCK);
        if is_other && wait == Wait::No {
            return Err(what().because("another vaultix is using it"));
        }
        if is_other {
            // One that was stopped would hold it for ever.
            report.warning(format_args!(
                "waiting for another vaultix, which is using the cache {shown}; to see which: fuser -v {}",
                escape::shell_path(root)
            ));
            locked = lock(FlockOperation::LockExclusive);
        }
        locked.map_err(|error| what().because(io::Error::from(error)))?;
        let has_waited = is_other;
        Ok(Self { root: root.to_owned(), directory, hosts: Mutex::default(), has_waited })
    }

    /// Opens the directory of `host`, and creates it if it is missing.
    fn host(&self, host: &str) -> io::Result<Arc<OwnedFd>> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = hosts.get(host) {
            return Ok(directory.clone());
        }
        match mkdirat(&self.directory, host, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let directory = Arc::new(open_host(self.directory.as_fd(), host)?);
        hosts.insert(host.to_owned(), directory.clone());
        Ok(directory)
    }

    /// Removes what killed runs left behind for `host`, and returns the paths.
    ///
    /// # Errors
    ///
    /// Names the file that cannot be removed, or the directory that cannot be read.
    pub fn sweep(&self, host: &str) -> Result<Vec<PathBuf>> {
        let mut swept = Vec::new();
        let listed = list_host(self.directory.as_fd(), &self.root, host)?;
        let names = listed.into_iter().flat_map(|(_, files)| files).map(|(name, _)| name);
        for name in names.filter(|name| is_leftover(name)) {
            let entry = Entry { host: host.to_owned(), name };
            swept.extend(self.remove_if(&entry, FirstLine::Partial)?);
        }
        Ok(swept)
    }

    /// Removes the directory of `host` if it is empty, and returns its path then.
    ///
    /// # Errors
    ///
    /// Names it. That there is something in it is no error.
    pub fn remove_directory(&self, host: &str) -> Result<Option<PathBuf>> {
        let path = self.root.join(host);
        match unlinkat(&self.directory, host, AtFlags::REMOVEDIR) {
            Ok(()) => Ok(Some(path)),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => Ok(None),
            Err(error) => Err(cannot_remove(&path).because(io::Error::from(error))),
        }
    }

    /// Writes `ciphertext` to a temporary file next to `entry`.
    ///
    /// # Errors
    ///
    /// Names the file. Nothing of it remains.
    pub fn stage(&self, entry: &Entry, ciphertext: &[u8]) -> Result<Staged> {
        let path = self.path(entry);
        let temporary_name = OsString::from(format!("{TEMPORARY_PREFIX}{}", entry.name));
        let shown = path.with_file_name(&temporary_name);
        let write = || {
            let directory = self.host(&entry.host)?;
            // Always a new file: an existing one may be a link.
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let file = openat(&directory, &temporary_name, flags, Mode::from_raw_mode(0o666))?;
            // From here on, the file is ours, and removed when dropped.
            let name = OsString::from(&entry.name);
            let staged = Staged { directory, temporary_name, name, path: path.clone() };
            File::from(file).write_all(ciphertext)?;
            Ok(staged)
        };
        write().map_err(|error: io::Error| cannot_write(&shown, error))
    }

    /// Gives all of `staged` their final names, once they are safely on disk.
    ///
    /// Returns a result for each, in order. If one fails, its old file is still there, if there was
    /// one.
    ///
    /// # Errors
    ///
    /// When syncing fails. If it fails before the files are renamed, none has its final name.
    pub fn commit(&self, staged: Vec<Staged>) -> Result<Vec<Result<()>>> {
        let what = |error: Errno| cannot_write(&self.root, error.into());
        let open =
            |file: &Staged| openat(&file.directory, &file.temporary_name, FILE, Mode::empty());
        sync::all(self.directory.as_fd(), staged.iter().map(open)).map_err(what)?;
        let mut directories: Vec<Arc<OwnedFd>> =
            staged.iter().map(|file| file.directory.clone()).collect();
        let count = staged.len();
        let outcomes = staged.into_iter().map(Staged::persist).collect();
        directories.dedup_by(|one, other| Arc::ptr_eq(one, other));
        let mut directories: Vec<BorrowedFd> =
            directories.iter().map(|directory| directory.as_fd()).collect();
        directories.push(self.directory.as_fd());
        sync::all(self.directory.as_fd(), directories.into_iter().map(Ok)).map_err(what)?;
        report::detail(format_args!("wrote {count} copies to {}, and synced", self.root.display()));
        Ok(outcomes)
    }

    /// Removes the file of `entry`.
    ///
    /// # Errors
    ///
    /// Names the file; also if it is not an age file.
    pub fn remove(&self, entry: &Entry) -> Result<()> {
        match self.remove_if(entry, FirstLine::Whole)? {
            Some(_) => Ok(()),
            None => Err(cannot_remove(&self.path(entry)).because("it is no longer an age file")),
        }
    }

    /// Removes the file of `entry` and returns its path, if it begins like an age file.
    ///
    /// Only somebody who may write to this directory could put another file there between check and
    /// removal, and they could also remove it themselves.
    fn remove_if(&self, entry: &Entry, how: FirstLine) -> Result<Option<PathBuf>> {
        let path = self.path(entry);
        let failed = |error: io::Error| cannot_remove(&path).because(error);
        let directory = self.host(&entry.host).map_err(failed)?;
        if !has_first_line(&directory, &entry.name, how).map_err(failed)? {
            return Ok(None);
        }
        report::detail(format_args!("removing {}", path.display()));
        unlinkat(&directory, &*entry.name, AtFlags::empty())
            .map_err(|error| failed(error.into()))?;
        Ok(Some(path))
    }

    pub fn path(&self, entry: &Entry) -> PathBuf {
        entry.path(&self.root)
    }
}

fn cannot_remove(path: &Path) -> Error {
    Error::new(Status::CantCreat, format!("cannot remove {}", path.display()))
}

fn cannot_write(path: &Path, error: io::Error) -> Error {
    Error::new(Status::CantCreat, format!("cannot write {}", path.display())).because(error)
}

/// A file that is written, but does not have its final name yet. Removed when dropped.
pub struct Staged {
    directory: Arc<OwnedFd>,
    temporary_name: OsString,
    name: OsString,
    /// Its final path, for messages.
    path: PathBuf,
}

impl Staged {
    fn persist(self) -> Result<()> {
        renameat(&self.directory, &self.temporary_name, &self.directory, &self.name)
            .map_err(|error| cannot_write(&self.path, error.into()))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = unlinkat(&self.directory, &self.temporary_name, AtFlags::empty()); // It no longer exists once it has its final name.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_sha256sum_prints() {
        // printf 'vaultix-v1\n%s\n%s\n' "$(printf secret | sha256sum | cut -d' ' -f1)" age1xyz | sha256sum
        let digest = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        assert_eq!(name(digest, "age1xyz", None), NAME);
        // printf 'vaultix-v1\n%s\n%s\n/a/0\nyaml\n' "$(printf secret | sha256sum | cut -d' ' -f1)" age1xyz | sha256sum
        let key = Key { pointer: "/a/0".to_owned(), format: "yaml".to_owned() };
        assert_eq!(name(digest, "age1xyz", Some(&key)), NAME_OF_VALUE);
    }

    const NAME_OF_VALUE: &str = "95f94cd372d31c4c16785f0f0d2c00c95d7913996466f97a7fca997c7e30d7cc";

    const NAME: &str = "ac041395a2eb47115f23239676b2e82f24d7e34038de642277a5359568c8491a";

    #[test]
    fn leftovers_are_recognized_by_their_name() {
        assert!(is_leftover(&format!(".new-{}", "a".repeat(64))));
        assert!(!is_leftover(".new-thing"));
        assert!(!is_leftover(&"a".repeat(64)));
    }
}
