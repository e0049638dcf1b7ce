//! directories → what is in them, and what readers see.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use vaultix_generator::escape::hex;
use xtask::canary::{holds, marker};

/// The directory of the record of what is on a disk.
pub const FOLDER: &str = "/var/lib/vaultix";

/// The record.
pub const RECORD: &str = "/var/lib/vaultix/placed";

/// What one file is: mode and owner, size, digest.
pub type File = (String, String, String);

/// What was found at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// Jobs that were queued since the last time, in order: verb and unit.
    pub told: Vec<String>,
    /// All files and links, temporary ones too, with mode and owner; without numbers of generations.
    pub there: BTreeSet<String>,
    /// What readers see, by path.
    pub seen: BTreeMap<String, File>,
    /// Files beside the ramfs that hold a plaintext.
    pub leaks: Vec<PathBuf>,
}

impl Look {
    /// Looks at the ramfs, at `run` and at `disk`, all in `work`, and at the record in /var/lib; and empties the list of what systemd was told.
    ///
    /// Only early items are looked for behind the early link: the rest of that generation may still be in the making.
    pub fn at(work: &Path) -> Self {
        let (ramfs, run) = (work.join("ramfs"), work.join("run"));
        let told = run.join("told");
        let lines = fs::read_to_string(&told).unwrap();
        fs::write(&told, "").unwrap();
        let mut look = Self { told: lines.lines().flat_map(jobs).collect(), ..Self::default() };
        let (disk, lib) = (work.join("disk"), PathBuf::from("/var/lib"));
        for top in [&ramfs, &run, &disk, &lib] {
            for (path, metadata) in below(top, &|path| path.ends_with(".vaultix/placed")) {
                if path == Path::new(RECORD) {
                    look.there.extend(recorded(&fs::read(&path).unwrap()));
                }
                if path != told {
                    look.there.insert(line(&ramfs, &path, &metadata));
                }
            }
        }
        let is_ours = |path: &Path| path.ends_with(".vaultix");
        let early = run.join("early/early");
        for (path, metadata) in below(&run.join("vaultix"), &is_ours).into_iter().chain(one(&early))
        {
            if metadata.is_file() {
                let digest = hex(&Sha256::digest(fs::read(&path).unwrap()));
                let mode = format!("{:o} {}", metadata.mode() & 0o7777, owner(&metadata));
                let file = (mode, metadata.len().to_string(), digest);
                look.seen.insert(path.display().to_string(), file);
            }
        }
        let beside = [&run, &disk, &lib].into_iter().flat_map(|top| below(top, &|_| false));
        for (path, metadata) in beside {
            if metadata.is_file() && holds(&fs::read(&path).unwrap(), &marker()) {
                look.leaks.push(path);
            }
        }
        look
    }

    /// Returns all of it as text.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for job in &self.told {
            writeln!(text, "told {job}").unwrap();
        }
        for line in &self.there {
            writeln!(text, "there {line}").unwrap();
        }
        for (path, (mode, size, digest)) in &self.seen {
            writeln!(text, "seen {path} {mode} {size} {digest}").unwrap();
        }
        for path in &self.leaks {
            writeln!(text, "leak {}", path.display()).unwrap();
        }
        text
    }
}

/// Returns what the record says of each path, and whether it is so.
fn recorded(record: &[u8]) -> Vec<String> {
    let text = str::from_utf8(record).unwrap();
    let fields: Vec<&str> = text.split_terminator('\0').skip(1).collect();
    let entry = |fields: &[&str]| {
        let [kind, id, path, shape, target, stamp] = fields.try_into().unwrap();
        let is = metadata(Path::new(path))
            .map(|is| format!("{} {} {} {}", is.dev(), is.ino(), is.ctime(), is.ctime_nsec()));
        let noted = stamp.split_once(' ').map(|(_, rest)| rest.to_owned());
        let is = if is.is_some() && is == noted { "right" } else { "wrong" };
        format!("record:{path} r {kind} {id} {shape} {target} {is}")
    };
    fields.chunks(6).map(entry).collect()
}

/// Returns the jobs that one call of systemctl has queued, which may be none.
fn jobs(arguments: &str) -> Vec<String> {
    let words: Vec<&str> = arguments.split(' ').collect();
    match words.as_slice() {
        ["--no-block", "--no-ask-password", verb, "--", units @ ..] => {
            units.iter().map(|unit| format!("{verb} {unit}")).collect()
        }
        _ => Vec::new(),
    }
}

/// Returns everything below the directory `top` that is no directory, nothing if there is no such directory; without those paths
/// that are `left_out`, and what is below them.
fn below(top: &Path, left_out: &dyn Fn(&Path) -> bool) -> Vec<(PathBuf, Metadata)> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(top) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return found;
        }
        Err(error) => panic!("{}: {error}", top.display()),
    };
    for entry in entries {
        let path = entry.unwrap().path();
        match metadata(&path) {
            _ if left_out(&path) => {}
            Some(metadata) if metadata.is_dir() => found.extend(below(&path, left_out)),
            Some(metadata) => found.push((path, metadata)),
            None => {}
        }
    }
    found
}

/// Returns what is at `path`, or below it if that is a directory.
fn one(path: &Path) -> Vec<(PathBuf, Metadata)> {
    match metadata(path) {
        Some(metadata) if metadata.is_dir() => below(path, &|path| path.ends_with(".vaultix")),
        Some(metadata) => vec![(path.to_owned(), metadata)],
        None => Vec::new(),
    }
}

/// Returns what is at `path`, without following a link there. There may be nothing.
fn metadata(path: &Path) -> Option<Metadata> {
    let none = [ErrorKind::NotFound, ErrorKind::NotADirectory];
    match fs::symlink_metadata(path) {
        Err(error) if none.contains(&error.kind()) => None,
        found => {
            Some(found.unwrap_or_else(|error: io::Error| panic!("{}: {error}", path.display())))
        }
    }
}

/// Returns user and group.
fn owner(metadata: &Metadata) -> String {
    format!("{}:{}", metadata.uid(), metadata.gid())
}

/// Returns path, kind, mode, owner and the target of a link.
///
/// /ramfs/7/name is /ramfs/*/name here, and a link that leads to 7 leads to *.
fn line(ramfs: &Path, path: &Path, metadata: &Metadata) -> String {
    let ramfs = format!("{}/", ramfs.display());
    let plain = |word: &str| match word.strip_prefix(&ramfs) {
        Some(rest) => format!("*{}", rest.trim_start_matches(|it: char| it.is_ascii_digit())),
        None => word.to_owned(),
    };
    let kind = metadata.file_type();
    let letter = match () {
        () if kind.is_file() => 'f',
        () if kind.is_symlink() => 'l',
        () if kind.is_fifo() => 'p',
        () if kind.is_socket() => 's',
        () => '?',
    };
    let mut text = format!(
        "{} {letter} {:o} {}",
        plain(path.to_str().unwrap()),
        metadata.mode() & 0o7777,
        owner(metadata)
    );
    if kind.is_symlink() {
        let target = fs::read_link(path).unwrap();
        let target = target.to_str().unwrap();
        let is_number = target.bytes().all(|it| it.is_ascii_digit());
        write!(text, " {}", if is_number { "*".to_owned() } else { plain(target) }).unwrap();
    }
    text
}
