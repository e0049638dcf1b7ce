//! options + flake → the profiles, identities, recipients and cache that a command works with.

use std::path::{Path, PathBuf};

use age::Recipient;
use vaultix_generator::private;
use vaultix_generator::profile::Profile;

use crate::error::{Error, Result, Status};
use crate::flake::nix::{self, Settings};
use crate::flake::profiles;
use crate::keys::master::Master;
use crate::keys::recipient::{self, ParsedRecipient};
use crate::report::{self, Report};
use crate::system::fence::{self, Extent};
use crate::terminal::prompt::Prompt;

/// Where copies for hosts are, unless the flake or the user says otherwise; relative to the flake.
const DEFAULT_CACHE: &str = "secrets/cache";

/// Where secrets are, unless the flake or the user says otherwise; relative to the flake.
pub const DEFAULT_SECRETS: &str = "secrets";

/// What verbs about all hosts work with.
pub struct Workspace {
    /// Where the flake is; empty without one.
    pub root: PathBuf,
    pub profiles: Vec<Profile>,
    /// Files with identities.
    pub identities: Vec<PathBuf>,
    /// Recipients in addition to the identities' own.
    pub recipients: Vec<String>,
    /// Where copies for hosts are.
    pub cache: PathBuf,
    /// Where secrets are of which the flake says nothing else.
    pub secrets: Option<PathBuf>,
}

impl Workspace {
    /// Takes the profiles in the files `named`, or else all those of the flake. With the former, the flake has no
    /// say: nix may not even be there.
    ///
    /// # Errors
    ///
    /// When there are no profiles, or one of them cannot be read.
    pub fn open(
        named: &[PathBuf],
        identities: &[PathBuf],
        cache: Option<&PathBuf>,
    ) -> Result<Self> {
        let is_asked = named.is_empty();
        let root = if is_asked { nix::root()? } else { nix::root_if_ours()? };
        let (profiles, settings) = match &root {
            _ if !is_asked => (profiles::read_all(named)?, Settings::default()),
            Some(root) => {
                let profiles = nix::profiles(root)?;
                profiles::ensure_distinct(&profiles)?;
                (profiles, nix::settings(root)?)
            }
            None => {
                return Err(Error::new(Status::Config, "cannot find any profile")
                    .because("there is no flake.nix in this directory or above it")
                    .fix("pass the profiles with --profile FILE"));
            }
        };
        let cache = match cache {
            Some(cache) => cache.clone(),
            None => cache_directory(root.as_deref(), &settings)?,
        };
        let root = root.unwrap_or_default();
        let secrets = settings.secrets(&root)?;
        let identities = given_or(identities, &settings, &root)?;
        let recipients = settings.extra_recipients;
        Ok(Self { root, profiles, identities, recipients, cache, secrets })
    }
}

/// Returns where copies are, as nobody says otherwise than the flake at `root`.
fn cache_directory(root: Option<&Path>, settings: &Settings) -> Result<PathBuf> {
    let Some(root) = root else { return Ok(DEFAULT_CACHE.into()) };
    // Also where profiles were named: a link there is not the user's word.
    nix::fence_repository(root, Extent::Named)?;
    if let Some(cache) = settings.cache(root)? {
        return Ok(cache);
    }
    let cache = root.join(DEFAULT_CACHE);
    fence::mark_named(&cache);
    Ok(report::relative(&cache))
}

/// What verbs about one file work with: identities, and recipients in addition to their own.
///
/// # Errors
///
/// When no identity is given and the flake cannot be asked for one.
pub fn keys_for_file(
    identities: &[PathBuf],
    report: &Report,
) -> Result<(Vec<PathBuf>, Vec<String>)> {
    let (root, settings) = settings(!identities.is_empty(), report)?;
    Ok((given_or(identities, &settings, &root)?, settings.extra_recipients))
}

/// Returns the root of the flake, and what it says; nothing where there is none.
///
/// # Errors
///
/// When it cannot be asked, unless what it says is only `optional`.
pub fn settings(optional: bool, report: &Report) -> Result<(PathBuf, Settings)> {
    let Some(root) = nix::root()? else { return Ok((PathBuf::new(), Settings::default())) };
    match nix::settings(&root) {
        Ok(settings) => Ok((root, settings)),
        Err(error) if !optional => Err(error),
        Err(error) => {
            report.warning(format_args!("extraRecipients are unknown: {error:#}"));
            Ok((root, Settings::default()))
        }
    }
}

/// Returns the identities to open one file with; the flake is asked only where none is given.
///
/// # Errors
///
/// As [`keys_for_file`].
pub fn identities(given: &[PathBuf], report: &Report) -> Result<Vec<PathBuf>> {
    if given.is_empty() {
        keys_for_file(given, report).map(|(identities, _)| identities)
    } else {
        Ok(given.to_owned())
    }
}

/// Returns the identities that were given, or else that of the flake.
///
/// # Errors
///
/// When the flake names something else than a file: what the user has connected to standard input is not the flake's.
pub fn given_or(given: &[PathBuf], settings: &Settings, root: &Path) -> Result<Vec<PathBuf>> {
    if !given.is_empty() {
        return Ok(given.to_owned());
    }
    let Some(path) = settings.identity(root) else { return Ok(Vec::new()) };
    let path = report::relative(&path);
    // A key in the place of its path is refused where it would be read, with other words.
    let is_key = private::is_private(&path.to_string_lossy());
    if !is_key && path.metadata().is_ok_and(|found| !found.is_file()) {
        let what = format!("cannot use the identity file {}", path.display());
        return Err(Error::new(Status::NoPerm, what)
            .because("the flake names it, and it is not a regular file")
            .fix("pass an identity with --identity FILE"));
    }
    Ok(vec![path])
}

/// Reads recipients that were given in addition to those of the identities.
///
/// # Errors
///
/// What is wrong with the first that is wrong.
pub fn parse_recipients(texts: &[String]) -> Result<Vec<ParsedRecipient>> {
    let read = |text: &String| {
        recipient::parse(text).map_err(|reason| {
            let error = Error::new(Status::Config, "cannot encrypt to a given recipient");
            let error = error.because(reason);
            if private::is_private(text) {
                error.fix(format!("use the public key: {}", private::PUBLIC_KEY_HINT))
            } else {
                error
            }
        })
    };
    texts.iter().map(read).collect()
}

/// Returns the recipients that belong to the identities of `master`, and `extra`, to encrypt to.
///
/// # Errors
///
/// When there are none, or an identity stays locked whose recipient is not known.
pub fn recipients<'a>(
    master: &mut Master,
    extra: Vec<ParsedRecipient>,
    prompt: &'a Prompt,
) -> Result<Vec<Box<dyn Recipient + 'a>>> {
    let recipients = master.recipients(extra, prompt)?;
    if recipients.is_empty() {
        return Err(Error::new(Status::Usage, "cannot encrypt without a recipient")
            .fix("pass --identity FILE, or set vaultix.identity in the flake"));
    }
    Ok(recipient::group_by_plugin(recipients, prompt))
}
