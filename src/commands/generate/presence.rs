//! profiles + copies for hosts, or else opened files → which values of structured files are there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use vaultix_generator::profile::Profile;
use vaultix_units::plaintext::Plaintext;

use super::plan::{Place, Presence};
use crate::cache::store;
use crate::error::Error;
use crate::files::{source, values};
use crate::keys::recipient;
use crate::structured::{Document, Format, Pointer};

/// What is known of values without a key.
pub struct Copies {
    /// Values of which a host has a copy, made from the file as it is.
    copied: BTreeSet<Place>,
}

impl Copies {
    /// Looks for copies of values that have a generator, for the hosts of `profiles`, in the directory `cache`.
    pub fn new(profiles: &[Profile], cache: &Path) -> Self {
        let mut digests: BTreeMap<&Path, Option<String>> = BTreeMap::new();
        let mut copied = BTreeSet::new();
        for profile in profiles {
            let settings = &profile.settings;
            let recipient = recipient::canonical(&settings.host_pubkey);
            for secret in profile.secrets.values().flatten() {
                if secret.generator.is_none() || secret.key.is_none() {
                    continue;
                }
                let path = secret.ciphertext.as_path();
                let digest = digests.entry(path).or_insert_with(|| source::digest(path).ok());
                let Some(digest) = digest else { continue };
                let name = store::name(digest, &recipient, secret.key.as_ref());
                if cache.join(&settings.host_identifier).join(name).symlink_metadata().is_ok() {
                    copied.insert(Place::of(secret));
                }
            }
        }
        Self { copied }
    }

    /// Returns whether there is something at `place`.
    pub fn presence(&self, place: &Place) -> Presence {
        if place.path.symlink_metadata().is_err() {
            Presence::Missing
        } else if place.key.is_none() || self.copied.contains(place) {
            Presence::There
        } else {
            Presence::Unknown
        }
    }
}

/// Looks for the values `places` in the plaintexts of their files, as far as these are `known`. Adds to `failures` which of
/// these are not in their formats.
pub fn look<'a>(
    places: &'a BTreeSet<Place>,
    known: &BTreeMap<PathBuf, Plaintext>,
    failures: &mut Vec<Error>,
) -> BTreeMap<Place, Presence> {
    let mut documents: BTreeMap<(&Path, Format), Option<Document>> = BTreeMap::new();
    let mut look = |place: &'a Place| {
        let (key, plaintext) = (place.key.as_ref()?, known.get(&place.path)?);
        let (format, pointer) =
            (Format::parse(&key.format)?, Pointer::from_user(&key.pointer).ok()?);
        let parse = || match Document::parse(plaintext.expose(), format) {
            Ok(document) => Some(document),
            Err(malformed) => {
                failures.push(values::cannot_parse(&place.path, format, malformed));
                None
            }
        };
        let at = (place.path.as_path(), format);
        let document = documents.entry(at).or_insert_with(parse).as_ref()?;
        let is_there = document.get(&pointer).is_ok();
        Some(if is_there { Presence::There } else { Presence::Missing })
    };
    let of = |place: &'a Place| (place.clone(), look(place).unwrap_or(Presence::Unreadable));
    places.iter().map(of).collect()
}
