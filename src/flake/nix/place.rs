//! path that Nix names → the file of the work tree that it is a copy of, if there is one.
//!
//! The user knows it by that name, and it is the one that can be changed. What hosts get is the copy.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};
use vaultix_generator::escape;
use vaultix_units::bounded;

use super::FlakeCopy;
use super::input::{self, LockedInput};
use crate::flake::git;
use crate::report;
use crate::system::origin::{self, STORE};

/// An input of the flake.
pub struct FlakeInput {
    /// Its name, as `nix flake update` takes it.
    pub name: String,
    /// Where it is in the store.
    pub store: PathBuf,
    /// The directory of the flake that it is taken from, or a submodule that has its commit.
    pub directory: Option<PathBuf>,
    /// Where it is taken from on this machine, inside of the flake or not.
    pub local: Option<PathBuf>,
    /// Whether Nix takes files as they are there, committed or not.
    pub is_directory: bool,
    /// What git clones.
    url: Option<String>,
}

impl FlakeInput {
    /// Returns all of `inputs`, of the flake at `root` in the repository at `top`.
    pub(super) fn all(inputs: Vec<LockedInput>, root: &Path, top: &Path) -> Vec<Self> {
        let commits: Vec<&str> = inputs.iter().filter_map(|input| input.rev.as_deref()).collect();
        let submodules = git::submodules_with(top, &commits);
        let new = |input: LockedInput| {
            let local = input.local.and_then(|path| input::resolve(root, path).canonicalize().ok());
            let submodule = || {
                let has = |(_, commits): &&(PathBuf, Vec<String>)| {
                    input.rev.as_ref().is_some_and(|rev| commits.contains(rev))
                };
                submodules.iter().find(has).map(|(directory, _)| directory.clone())
            };
            Self {
                directory: local.clone().filter(|path| path.starts_with(top)).or_else(submodule),
                local,
                name: input.name,
                store: input.store,
                is_directory: input.is_directory,
                url: input.url,
            }
        };
        inputs.into_iter().map(new).collect()
    }

    /// Returns it as what people know of it.
    pub(super) fn origin(&self) -> origin::Input {
        let (name, store) = (self.name.clone(), self.store.clone());
        origin::Input { name, store, map: self.how_to_map() }
    }

    /// Returns a command that tells us of a checkout, and makes it where there may be none.
    fn how_to_map(&self) -> String {
        let key = escape::shell(key(&self.name));
        let map = |directory: &str| format!("git config --global {key} {directory}");
        let is_checkout = |path: &&PathBuf| self.is_directory || path.join(".git").exists();
        if let Some(local) = self.local.as_ref().filter(is_checkout) {
            return map(&escape::shell_path(local));
        }
        let last = self.name.rsplit('/').next().unwrap_or_default();
        let is_plain =
            last.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        // A tilde, which only a shell takes for the home directory.
        let place = format!("~/{}", if is_plain { last } else { "checkout" });
        match &self.url {
            Some(url) => format!("git clone -- {} {place} && {}", escape::shell(url), map(&place)),
            None => map("DIRECTORY"),
        }
    }
}

/// Returns the setting of git in which the user names the directory of a checkout of the input `name`.
pub fn key(name: &str) -> String {
    format!("vaultix.{name}.checkout")
}

/// Files of the work tree, with their copies that Nix sees.
static COPIES: RwLock<BTreeMap<PathBuf, PathBuf>> = RwLock::new(BTreeMap::new());

/// Returns the copy of the file `path` that Nix sees, if it is known; it need not be there.
fn copy_of(path: &Path) -> Option<PathBuf> {
    COPIES.read().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
}

/// Returns the file that `path` is a copy of, or would be if it existed; `None` where that is no file of the work tree.
///
/// A file of an input is one of the work tree if the input is taken from there.
pub(super) fn in_work_tree(copy: &FlakeCopy, path: &Path) -> Option<PathBuf> {
    let in_flake = || Some(copy.top.join(path.strip_prefix(&copy.path).ok()?));
    let in_input = || {
        let found = |input: &FlakeInput| {
            let below = path.strip_prefix(&input.store).ok()?;
            Some(input.directory.as_ref()?.join(below))
        };
        let found = copy.inputs.iter().find_map(found)?;
        // What Nix sees, and is not here, is to be had from there: of a submodule that nobody has checked out.
        (found.exists() || !path.exists()).then_some(found)
    };
    let found = in_flake().or_else(in_input)?;
    Some(remember(&found, path))
}

/// Keeps that `path` is a copy of `file`, and returns the latter as the user calls it.
fn remember(file: &Path, path: &Path) -> PathBuf {
    let file = report::relative(file);
    let mut copies = COPIES.write().unwrap_or_else(PoisonError::into_inner);
    copies.insert(file.clone(), path.to_owned());
    file
}

/// Files that git tracks, by their sizes: they are looked for by what is in them.
pub(super) struct Tracked {
    top: PathBuf,
    by_size: BTreeMap<u64, Vec<PathBuf>>,
}

impl Tracked {
    /// Lists those of the flake, and of its submodules.
    pub(super) fn new(copy: &FlakeCopy) -> Self {
        let mut by_size: BTreeMap<u64, Vec<PathBuf>> = BTreeMap::new();
        for name in git::tracked(&copy.top) {
            if let Ok(found) = copy.top.join(&name).symlink_metadata()
                && found.is_file()
            {
                by_size.entry(found.len()).or_default().push(name);
            }
        }
        Self { top: copy.top.clone(), by_size }
    }

    /// Returns the file that `path` is a copy of: `"${./secrets}/wifi.age"` is one of `secrets/wifi.age`, in a directory of
    /// its own in the store. If none has the same bytes, returns the one at the same place.
    pub(super) fn find(&self, path: &Path) -> Option<PathBuf> {
        if !path.starts_with(STORE) || origin::find(path).is_some() {
            return None;
        }
        let bytes = read(path).ok()?;
        let of_size = self.by_size.get(&u64::try_from(bytes.len()).ok()?).into_iter().flatten();
        let is_same =
            |name: &&PathBuf| read(&self.top.join(name)).is_ok_and(|other| other == bytes);
        let same = of_size.filter(is_same).max_by_key(|name| common(name, path));
        let at_place = || {
            // A name alone says little: there is one like that in many places.
            let wanted = path.components().skip(STORE_PARTS).count().max(2);
            self.by_size.values().flatten().filter(|name| common(name, path) >= wanted).min()
        };
        same.or_else(at_place).map(|name| remember(&self.top.join(name), path))
    }
}

/// How many parts of a path in the store lead to what was copied: the root, `nix`, `store` and a name with a hash.
const STORE_PARTS: usize = 4;

/// Letters of a hash in a store path, with the dash behind it.
const HASH: usize = 33;

/// Returns how many parts `name` and `path`, in the store, have in common from their ends. The name of what was copied, behind
/// its hash, is one.
fn common(name: &Path, path: &Path) -> usize {
    let plain = |(at, part): (usize, std::path::Component)| {
        let text = part.as_os_str().to_string_lossy();
        let text = if at + 1 == STORE_PARTS {
            text.get(HASH..).map(str::to_owned)
        } else {
            Some(text.into_owned())
        };
        text.unwrap_or_default()
    };
    let parts: Vec<String> =
        path.components().enumerate().skip(STORE_PARTS - 1).map(plain).collect();
    let names = name.components().rev().map(|part| part.as_os_str().to_string_lossy());
    names.zip(parts.iter().rev()).take_while(|(one, other)| one == *other).count()
}

/// Reads a file to compare it. What is behind a link is not looked at.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    bounded::read_file(file, bounded::MAX_CIPHERTEXT).map(|mut bytes| std::mem::take(&mut *bytes))
}

/// Returns the SHA-256 of the copy of `path` that Nix sees, if there is one that can be read.
pub fn digest_in_nix(path: &Path) -> Option<String> {
    digest(&copy_of(path)?)
}

/// Returns the SHA-256 of the file `path`, if it can be read.
pub fn digest(path: &Path) -> Option<String> {
    read(path).ok().map(|bytes| escape::hex(&Sha256::digest(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_compared_from_their_ends() {
        let hash = "0".repeat(32);
        for (name, path, parts) in [
            ("secrets/wifi.age", "secrets/wifi.age", 2),
            ("hosts/secrets/wifi.age", "secrets/wifi.age", 2),
            ("hosts/secrets/wifi.age", "source/secrets/wifi.age", 2),
            ("a/wifi.age", "b/wifi.age", 1),
            ("wifi.age", "wifi.age", 1),
            ("a/wifi.age", "a/mail.age", 0),
        ] {
            let path = format!("{STORE}/{hash}-{path}");
            assert_eq!(common(Path::new(name), Path::new(&path)), parts, "{name} {path}");
        }
    }
}
