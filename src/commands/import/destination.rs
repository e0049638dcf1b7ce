//! command line + flake → the directory for new secrets, and whether a declaration has to name it.

use std::path::{Path, PathBuf};

use crate::cli::Import;
use crate::flake::workspace::DEFAULT_SECRETS;
use crate::report;

/// Where new secrets go.
pub struct Destination {
    pub directory: PathBuf,
    /// The same, relative to the flake.
    pub from_flake: PathBuf,
    /// Whether a host finds a secret there by its id alone.
    pub is_default: bool,
}

impl Destination {
    /// Chooses: what was asked for, or what the flake at `root` says, or the default.
    pub fn new(args: &Import, root: &Path, default: Option<PathBuf>) -> Self {
        let default = default.unwrap_or_else(|| root.join(DEFAULT_SECRETS));
        let whole = |path: &Path| {
            std::path::absolute(Path::new(".").join(path)).unwrap_or_else(|_| path.to_owned())
        };
        let directory = args.into.clone().unwrap_or_else(|| report::relative(&default));
        let (into, default, root) = (whole(&directory), whole(&default), whole(root));
        let from_flake = into.strip_prefix(&root).map_or(into.clone(), Path::to_owned);
        Self { directory, from_flake, is_default: into == default }
    }
}
