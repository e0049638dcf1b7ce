//! text of a file with many values, before and after → a warning of those that hosts need and that are gone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use vaultix_generator::profile::{Key, Profile};
use vaultix_units::plaintext::Plaintext;

use crate::files::values::Values;
use crate::flake::{nix, profiles};
use crate::report::{self, Report};
use crate::structured::{Document, Format, Pointer};
use crate::system::origin;

/// Warns of the keys that profiles name and that `new`, the text of the file `path`, does not have: the profiles that were
/// `named`, or else those of the flake. It is asked only if a key of `old` is gone, or `old` is not known.
pub(super) fn warn_lost(
    path: &Path,
    old: Option<&Plaintext>,
    new: &Plaintext,
    named: &[PathBuf],
    report: &Report,
) {
    let format = Format::of_file(path);
    let is_whole = match (format, old) {
        (Some(format), Some(old)) => keys(old, format).is_subset(&keys(new, format)),
        (Some(_), None) => false,
        (None, _) => named.is_empty(),
    };
    if is_whole {
        return;
    }
    // What cannot be read of a flake is an error where it is used. The text is saved.
    let profiles = if named.is_empty() {
        nix::root().ok().flatten().and_then(|root| nix::profiles(&root).ok())
    } else {
        profiles::read_all(named).ok()
    };
    let lost = lost(path, new, &profiles.unwrap_or_default());
    if !lost.is_empty() {
        report.warning(format_args!(
            "{} does not have what hosts need: {}",
            origin::shown(path),
            report::list(&lost)
        ));
    }
}

/// Returns the pointers to all values of `text`; none if it cannot be read.
fn keys(text: &Plaintext, format: Format) -> BTreeSet<Pointer> {
    let document = Document::parse(text.expose(), format);
    document.map(|document| document.keys().into_iter().collect()).unwrap_or_default()
}

/// Names the keys that `new`, the text of the file `path`, does not have: `/smtp/password (secret "smtp" for host web1)`.
fn lost(path: &Path, new: &Plaintext, profiles: &[Profile]) -> Vec<String> {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let own = real(path);
    let uses = profiles.iter().flat_map(|profile| {
        let secrets = profile.secrets.values().flatten();
        secrets.filter_map(move |secret| {
            let key = secret.key.as_ref()?;
            Some((key, secret, &profile.settings.host_identifier))
        })
    });
    let uses: Vec<_> = uses.filter(|(_, secret, _)| real(&secret.ciphertext) == own).collect();
    let values = Values::read(path, new, uses.iter().map(|(key, ..)| *key));
    let mut lost: BTreeSet<(&Key, String)> = BTreeSet::new();
    for (key, secret, host) in uses {
        if values.get(Some(key)).is_err() {
            lost.insert((key, format!("secret \"{}\" for host {host}", secret.id)));
        }
    }
    lost.into_iter().map(|(key, user)| format!("{} ({user})", key.pointer)).collect()
}
