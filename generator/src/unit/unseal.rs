//! host keys that are sealed → the units that unseal them, each once for a boot, and the file system for what they find.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Programs, UnitFile, helper, mounts_of, unit_file};
use crate::escape;
use crate::profile::{
    CREDENTIAL_NAME, HOST_SECRET, HostKeyKind, IDENTITIES_PATH, Profile, Settings, fitting_keys,
};

/// Text of the unit that unseals one.
const UNSEAL: &str = include_str!("../../../units/vaultix-unseal@.service.in");
/// Text of the mount for all of them.
const IDENTITIES: &str = include_str!("../../../units/vaultix-identities.mount.in");

/// The sealed host keys of a profile.
pub(super) struct Sealed<'a> {
    /// Each with its unit: a key that is listed twice has only one.
    keys: BTreeMap<String, &'a Path>,
    settings: &'a Settings,
    /// Whether an item needs them before users exist.
    is_early: bool,
}

/// Returns the name of the unit that unseals the host key `path`, which is also that of the unsealed file.
///
/// By its path and not by its place in the list: after a switch, the unit that has unsealed another one would count as active.
#[must_use]
pub fn unseal_unit(path: &Path) -> String {
    escape::unit_name("vaultix-unseal@", path.to_string_lossy().trim_matches('/'))
}

/// Returns the sealed keys of `profile` that could decrypt something.
pub(super) fn sealed(profile: &Profile) -> Sealed<'_> {
    let settings = &profile.settings;
    let keys = fitting_keys(settings)
        .filter(|key| key.kind == HostKeyKind::Credential)
        .map(|key| (unseal_unit(&key.path), &*key.path))
        .collect();
    Sealed { keys, settings, is_early: !profile.early.is_empty() }
}

impl Sealed<'_> {
    /// Returns the names of their units.
    pub(super) fn units(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Renders their units, and the mount.
    pub(super) fn render(&self, source: &str, programs: &Programs) -> Vec<UnitFile> {
        if self.keys.is_empty() {
            return Vec::new();
        }
        let mount = escape::path_unit(IDENTITIES_PATH, "mount");
        let fields = [("PROFILE", source), ("WHERE", IDENTITIES_PATH)];
        let mut files = vec![unit_file(&*mount, IDENTITIES, &fields)];
        for (unit, path) in &self.keys {
            let shown = path.to_string_lossy();
            let wants = self.wants(&mount, path);
            // Where it comes before users, and with them before udev, waiting for the device of a TPM would never end.
            let device = if self.is_early { "" } else { " tpm2.target" };
            let fields = [
                ("PATH", &*escape::value(&shown)),
                ("PROFILE", source),
                ("MOUNT", &mount),
                ("WANTS", &wants),
                ("AFTER", &format!("{wants}{device}")),
                ("NAME", CREDENTIAL_NAME),
                ("EXEC", &format!("{} unseal -- {}", helper(programs), escape::argument(&shown))),
            ];
            files.push(unit_file(unit, UNSEAL, &fields));
        }
        files
    }

    /// Returns the mounts that the unit of `path` wants. Where an item is early, only `mount`: as for the item, any other one
    /// would be a cycle.
    fn wants(&self, mount: &str, path: &Path) -> String {
        if self.is_early {
            return mount.to_owned();
        }
        let files = [path, Path::new(HOST_SECRET)].into_iter();
        format!("{mount} {}", mounts_of(self.settings, files)).trim_end().to_owned()
    }
}
