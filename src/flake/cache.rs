//! where hosts look for their copies → the directory where these are changed, and what has Nix see it.
//!
//! With `vaultix.settings.flake = inputs.secrets`, the cache is in that input.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use vaultix_generator::profile::Profile;

use crate::error::{Error, Result, Status};
use crate::flake::git;
use crate::flake::nix;
use crate::flake::repository::Checkouts;
use crate::report;
use crate::system::fence;
use crate::system::origin;

/// The command that brings copies up to date.
const RENC: &str = "vaultix renc";

/// The directory of each host's copies in the copy of the flake or input that Nix sees.
pub type Caches = BTreeMap<String, Option<PathBuf>>;

/// The cache.
#[derive(Default)]
pub struct CachePlace {
    /// Where copies are read and written. In an input of which the user has no checkout, they are
    /// only read.
    pub directory: PathBuf,
    /// What Nix sees, if that is in an input, and not the directory.
    pub seen: Option<PathBuf>,
    checkouts: Checkouts,
}

impl CachePlace {
    /// Takes a directory of the flake.
    pub fn in_flake(directory: PathBuf) -> Self {
        Self { directory, ..Self::default() }
    }

    /// Takes the `directory` that the user has named, which is in a checkout of an input if `caches`
    /// of the hosts of `profiles` are in one.
    pub fn named(directory: PathBuf, profiles: &[Profile], caches: &Caches) -> Self {
        let mut cache = Self::in_flake(directory);
        let Ok(Some(place)) = in_input(profiles, caches) else { return cache };
        let top = fence::resolve(&cache.directory).ok().and_then(|real| git::top_around(&real));
        if let Some(((input, _), top)) = origin::find(&place).zip(top)
            && nix::top() != Some(&top)
        {
            cache.checkouts.assume(input.name, top);
        }
        cache.seen = Some(place).filter(|place| *place != cache.directory);
        cache
    }

    /// Finds the one of the hosts of `profiles` in an input; `None` if it is in the flake.
    ///
    /// # Errors
    ///
    /// When it is not the same for all, or the checkout of the input cannot be used.
    pub fn find(profiles: &[Profile], caches: &Caches) -> Result<Option<Self>> {
        let Some(place) = in_input(profiles, caches)? else { return Ok(None) };
        let Some((input, below)) = origin::find(&place) else { return Ok(None) };
        let mut checkouts = Checkouts::default();
        let checkout = checkouts.directory(&input.name)?;
        let of_flake =
            || nix::inputs().iter().find(|one| one.name == input.name)?.directory.clone();
        let directory = checkout.or_else(of_flake).map(|directory| directory.join(&below));
        let seen = directory.is_some().then(|| place.clone());
        let directory = report::relative(&directory.unwrap_or(place));
        fence::mark_named(&directory);
        Ok(Some(Self { directory, seen, checkouts }))
    }

    /// Returns whether only the flake at `root` can have it: it is in no input, and neither a link nor another repository, such
    /// as a submodule, is on the way there. Another flake may have its hosts' copies in those.
    pub fn is_own(&self, root: &Path) -> bool {
        let Ok(real) = fence::resolve(&self.directory) else { return false };
        let written = std::path::absolute(&self.directory).unwrap_or_default();
        let is_below =
            |root: &Path| Some(root.canonicalize().ok()?.join(written.strip_prefix(root).ok()?));
        let root = std::path::absolute(root).unwrap_or_default();
        let is_other = || git::top_around(&real).is_some_and(|top| nix::top() != Some(&top));
        self.seen.is_none()
            && origin::find(&self.directory).is_none()
            && is_below(&root) == Some(real.clone())
            && !is_other()
    }

    /// Returns the commands that have Nix see what was changed in it; `None` if that takes no more than
    /// `git add`.
    pub fn steps(&self) -> Option<String> {
        self.checkouts.steps([self.directory.as_path()])
    }

    /// Returns the commands that bring copies up to date.
    pub fn renc(&self) -> String {
        if let Some((input, _)) = origin::find(&self.directory) {
            return format!("{} && {RENC}", input.map);
        }
        self.steps().map_or(RENC.to_owned(), |steps| format!("{RENC} && {steps}"))
    }

    /// Returns the path of the copy `name` of `host` where Nix looks for it, if it is not there.
    pub fn unseen(&self, host: &str, name: &str) -> Option<PathBuf> {
        let path = self.seen.as_ref()?.join(host).join(name);
        // In the store, whose names nobody can exchange.
        (!path.exists()).then_some(path)
    }
}

/// Returns where the hosts of `profiles` have their `caches`, if that is in an input.
fn in_input(profiles: &[Profile], caches: &Caches) -> Result<Option<PathBuf>> {
    let hosts = profiles.iter().map(|profile| profile.settings.host_identifier.as_str());
    let places: BTreeMap<PathBuf, &str> =
        hosts.filter_map(|host| Some((caches.get(host)?.clone()?, host))).collect();
    let is_input = |place: &&PathBuf| origin::find(place).is_some();
    let Some(found) = places.keys().find(is_input) else { return Ok(None) };
    if places.len() == 1 {
        return Ok(Some(found.clone()));
    }
    let shown: BTreeSet<String> = places
        .iter()
        .map(|(place, host)| format!("that of host {host} in {}", shown(place)))
        .collect();
    let shown: Vec<String> = shown.into_iter().collect();
    Err(Error::new(Status::Config, "cannot find one cache for all hosts")
        .because(report::list(&shown))
        .fix("set vaultix.settings.flake of all hosts to the same, or pass --cache DIR and --host NAME"))
}

/// Returns what people call the directory `place`.
fn shown(place: &Path) -> String {
    if origin::find(place).is_some() { origin::shown(place) } else { "the flake".to_owned() }
}
