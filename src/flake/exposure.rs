//! identity files + flake → what is wrong with their places, and with what the flake says of them.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::flake::{git, nix};
use crate::keys::identity_files::{Content, IdentityFiles, exposed};
use crate::system::origin::STORE;

/// Returns which of `files` anyone can use who has the repository or an account on this machine: identities that are not
/// encrypted, and that git tracks, or Nix copies. Needs no key. `root` is that of the flake, empty without one.
pub fn exposed_identities(files: &IdentityFiles, root: &Path) -> Vec<Error> {
    if root == Path::new("") {
        return Vec::new();
    }
    let found = files.paths.iter().filter_map(|path| {
        let (place, who) = exposure(path, root)?;
        Content::read(path)?.is_open.then(|| exposed(&place, who))
    });
    found.collect()
}

/// Returns the same, and where the flake names another recipient than that of an identity.
pub fn faults(files: &IdentityFiles, root: &Path) -> Vec<Error> {
    let mut faults = exposed_identities(files, root);
    if !files.is_given && !files.recipients.is_empty() {
        faults.extend(files.paths.iter().filter_map(|path| {
            let known: Vec<String> =
                Content::read(path)?.recipients.into_iter().flatten().collect();
            files.mismatch(path, &known)
        }));
    }
    faults
}

/// Returns who can read the file `path`, and what the user calls it; `None` where that is the user alone.
fn exposure(path: &Path, root: &Path) -> Option<(PathBuf, &'static str)> {
    if path.starts_with(STORE) {
        let file = nix::in_flake(path).unwrap_or_else(|| path.to_owned());
        return Some((file, "it is in the Nix store, which everyone on the machine can read"));
    }
    let real = path.canonicalize().ok()?;
    // A link that git tracks is no key; what it leads to may be.
    if let Some(top) = git::top(root).ok()? {
        let is_tracked = real.starts_with(top) && git::is_tracked(&real);
        return is_tracked.then(|| (path.to_owned(), "git tracks it"));
    }
    let who = "Nix copies it to its store with the flake, since there is no git";
    real.starts_with(root.canonicalize().ok()?).then(|| (path.to_owned(), who))
}
