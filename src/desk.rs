//! command line + flake → profiles, identities, recipients and the cache to work with.

use std::path::{Path, PathBuf};

use vaultix_generator::private;
use vaultix_generator::profile::Profile;

use crate::cli::Cli;
use crate::error::{Error, Exit, Result};
use crate::flake::{self, Settings};
use crate::profiles;
use crate::recipient::{self, Parsed};
use crate::report::Report;

/// Where copies for hosts are, unless the flake or the user says otherwise; relative to the flake.
const DEFAULT_CACHE: &str = "secrets/cache";

/// What verbs about all hosts work with.
pub struct Desk {
    /// Where the flake is; empty without one.
    pub root: PathBuf,
    /// The hosts.
    pub profiles: Vec<Profile>,
    /// Files with identities.
    pub identities: Vec<PathBuf>,
    /// Recipients beside the identities' own.
    pub recipients: Vec<String>,
    /// Where copies for hosts are.
    pub cache: PathBuf,
    /// Where secrets are of which the flake says nothing else.
    pub secrets: Option<PathBuf>,
}

impl Desk {
    /// Takes the profiles that were named, or else all those of the flake. With the former, the flake has no
    /// say: nix may not even be there.
    ///
    /// # Errors
    ///
    /// When there are no profiles, or one of them cannot be read.
    pub fn open(cli: &Cli, identities: &[PathBuf], cache: Option<&PathBuf>) -> Result<Self> {
        let root = flake::root();
        let (profiles, settings) = match &root {
            _ if !cli.profiles.is_empty() => {
                (profiles::read_all(&cli.profiles)?, Settings::default())
            }
            Some(root) => {
                let profiles = flake::profiles(root)?;
                profiles::ensure_distinct(&profiles)?;
                (profiles, flake::settings(root)?)
            }
            None => {
                return Err(Error::new(Exit::Config, "cannot find any profile")
                    .because("there is no flake.nix in this directory or above it")
                    .fix("pass the profiles with --profile FILE"));
            }
        };
        let root = root.unwrap_or_default();
        let below = |place: &str| flake::shown(&root.join(place.trim_start_matches("./")));
        let cache = cache.cloned();
        let cache =
            cache.unwrap_or_else(|| below(settings.cache.as_deref().unwrap_or(DEFAULT_CACHE)));
        let secrets = settings.default_secret_directory.as_deref().map(below);
        let identities = given_or(identities, &settings, &root);
        let recipients = settings.extra_recipients;
        Ok(Self { root, profiles, identities, recipients, cache, secrets })
    }
}

/// What verbs about one file work with: identities, and recipients beside their own.
///
/// # Errors
///
/// When no identity is given and the flake cannot be asked for one.
pub fn of_file(identities: &[PathBuf], report: &Report) -> Result<(Vec<PathBuf>, Vec<String>)> {
    let (root, settings) = settings(!identities.is_empty(), report)?;
    Ok((given_or(identities, &settings, &root), settings.extra_recipients))
}

/// Returns the root of the flake, and what it says; nothing where there is none.
///
/// # Errors
///
/// When it cannot be asked, unless what it says is only `optional`.
pub fn settings(optional: bool, report: &Report) -> Result<(PathBuf, Settings)> {
    let Some(root) = flake::root() else { return Ok((PathBuf::new(), Settings::default())) };
    match flake::settings(&root) {
        Ok(settings) => Ok((root, settings)),
        Err(error) if !optional => Err(error),
        Err(error) => {
            report.warning(format_args!("extraRecipients are not known: {error:#}"));
            Ok((root, Settings::default()))
        }
    }
}

/// Returns the identities to open one file with; the flake is asked only where none is given.
///
/// # Errors
///
/// As [`of_file`].
pub fn identities(given: &[PathBuf], report: &Report) -> Result<Vec<PathBuf>> {
    if given.is_empty() {
        of_file(given, report).map(|(identities, _)| identities)
    } else {
        Ok(given.to_owned())
    }
}

/// Returns the identities that were given, or else that of the flake.
pub fn given_or(given: &[PathBuf], settings: &Settings, root: &Path) -> Vec<PathBuf> {
    if given.is_empty() {
        settings.identity(root).map(|path| flake::shown(&path)).into_iter().collect()
    } else {
        given.to_owned()
    }
}

/// Reads recipients that were given beside those of the identities.
///
/// # Errors
///
/// What is wrong with the first that is wrong.
pub fn extra(texts: &[String]) -> Result<Vec<Parsed>> {
    let read = |text: &String| {
        recipient::of_desk(text).map_err(|reason| {
            let error = Error::new(Exit::Config, "cannot encrypt to a recipient that was given");
            let error = error.because(reason);
            if private::is_private(text) {
                error.fix(format!("give the public half: {}", private::HALVES))
            } else {
                error
            }
        })
    };
    texts.iter().map(read).collect()
}
