//! command line + flake → the directory for new secrets, and whether a declaration has to name it.

use std::path::{Path, PathBuf};

use crate::cli::Import;
use crate::flake::workspace::DEFAULT_SECRETS;
use crate::report;

/// Where new secrets go.
pub struct Destination {
    pub directory: PathBuf,
    /// The directory as seen from the flake, if a declaration has to name it.
    pub declared: Option<PathBuf>,
}

impl Destination {
    /// Chooses: what was asked for, or what the flake at `root` says, or the default.
    pub fn new(args: &Import, root: &Path, default: Option<PathBuf>) -> Self {
        let default = default.unwrap_or_else(|| root.join(DEFAULT_SECRETS));
        let Some(directory) = &args.into else {
            return Self { directory: report::relative(&default), declared: None };
        };
        let whole = |path: &Path| {
            std::path::absolute(Path::new(".").join(path)).unwrap_or_else(|_| path.to_owned())
        };
        let (into, default, root) = (whole(directory), whole(&default), whole(root));
        let declared = (into != default)
            .then(|| into.strip_prefix(&root).map_or(into.clone(), Path::to_owned));
        Self { directory: directory.clone(), declared }
    }
}
