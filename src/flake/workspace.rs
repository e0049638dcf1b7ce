//! options + flake → the profiles, identities, recipients and cache that a command works with.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};

use age::Recipient;
use vaultix_generator::private;
use vaultix_generator::profile::Profile;
use vaultix_units::bounded;

use crate::cli::{did_you_mean, near};
use crate::error::{Error, Result, Status};
use crate::flake::cache::CachePlace;
use crate::flake::exposure;
use crate::flake::nix::{self, HostFailure, Hosts, Settings};
use crate::flake::profiles;
use crate::flake::repository::Checkouts;
use crate::flake::rules::Rules;
use crate::keys::identity_files::IdentityFiles;
use crate::keys::master::Master;
use crate::keys::recipient::{self, ParsedRecipient};
use crate::report::{self, Report};
use crate::system::fence::{self, Extent};
use crate::system::input;
use crate::system::origin;
use crate::terminal::prompt::Prompt;

/// Where copies for hosts are, unless the flake or the user says otherwise; relative to the flake.
pub const DEFAULT_CACHE: &str = "secrets/cache";

/// Where secrets are, unless the flake or the user says otherwise; relative to the flake.
pub const DEFAULT_SECRETS: &str = "secrets";

/// What verbs about all hosts work with.
pub struct Workspace {
    /// Where the flake is; empty without one.
    pub root: PathBuf,
    pub profiles: Vec<Profile>,
    /// Hosts of which nothing is known, since they do not evaluate.
    pub failures: Vec<HostFailure>,
    /// Files with identities.
    pub identities: IdentityFiles,
    /// Recipients in addition to the identities' own, by files.
    pub rules: Rules,
    /// Whether the flake was asked for these: where profiles were named, nobody says who can decrypt what.
    pub knows_recipients: bool,
    /// Where copies for hosts are.
    pub cache: CachePlace,
    /// Where secrets are of which the flake says nothing else.
    pub secrets: Option<PathBuf>,
    /// Whether all hosts that can have copies in the cache are those of `profiles`.
    is_whole: bool,
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
        let Hosts { profiles, caches, settings, failures } = match &root {
            _ if !is_asked => Hosts { profiles: profiles::read_all(named)?, ..Hosts::default() },
            Some(root) => {
                let hosts = nix::hosts(root)?;
                profiles::ensure_distinct(&hosts.profiles)?;
                hosts
            }
            None => {
                return Err(Error::new(Status::Config, "cannot find any profile")
                    .because(
                        "there is no flake.nix in this directory or above it, and no vaultix.nix",
                    )
                    .fix("pass the profiles with --profile FILE"));
            }
        };
        let is_named = !is_asked || cache.is_some();
        let cache = match cache {
            Some(cache) => CachePlace::named(cache.clone(), &profiles, &caches),
            None => match CachePlace::find(&profiles, &caches)? {
                Some(cache) => cache,
                None => CachePlace::in_flake(cache_directory(root.as_deref(), &settings)?),
            },
        };
        let root = root.unwrap_or_default();
        let is_whole = !is_named && failures.is_empty() && cache.is_own(&root);
        let secrets = settings.secrets(&root)?;
        let identities = given_or(identities, &settings, &root)?;
        let rules = Rules::new(&settings, &root)?;
        Ok(Self {
            root,
            profiles,
            failures,
            identities,
            rules,
            knows_recipients: is_asked,
            cache,
            secrets,
            is_whole,
        })
    }

    /// Returns the names of all hosts that can have copies in the cache; `None` where there may be others: only some profiles
    /// were named, a host does not evaluate, or the cache is not the flake's own.
    pub fn all_hosts(&self) -> Option<BTreeSet<String>> {
        let names = self.profiles.iter().map(|profile| profile.settings.host_identifier.clone());
        self.is_whole.then(|| names.collect())
    }

    /// Returns why nothing is known of some of `hosts`, or of all hosts if there are no names.
    pub fn host_errors(&self, hosts: &[String]) -> Vec<Error> {
        let is_asked = |failure: &&HostFailure| {
            hosts.is_empty() || failure.names.iter().any(|name| hosts.contains(name))
        };
        self.failures.iter().filter(is_asked).map(|failure| failure.error.clone()).collect()
    }

    /// Makes sure that there are the `hosts` and, among their secrets, those with these `ids`; none means all.
    ///
    /// # Errors
    ///
    /// Names the first that there is not.
    pub fn ensure_known(&self, hosts: &[String], ids: &[String]) -> Result<()> {
        let names: BTreeSet<&str> =
            self.profiles.iter().map(|one| one.settings.host_identifier.as_str()).collect();
        let is_known = |host: &&String| {
            let failed = self.failures.iter().any(|failure| failure.names.contains(host));
            failed || names.contains(host.as_str())
        };
        if let Some(unknown) = hosts.iter().find(|host| !is_known(host)) {
            let hint = did_you_mean(&near(unknown, names.iter().copied()));
            let names: Vec<&str> = names.into_iter().collect();
            let error = Error::new(Status::Usage, format!("cannot find host \"{unknown}\""))
                .because(format!("the profiles are for {}", names.join(", ")));
            return Err(hint.into_iter().fold(error, Error::because));
        }
        let is_chosen = |profile: &&Profile| {
            hosts.is_empty() || hosts.contains(&profile.settings.host_identifier)
        };
        let chosen = self.profiles.iter().filter(is_chosen);
        let all: BTreeSet<&str> =
            chosen.flat_map(|one| one.secrets.keys().map(String::as_str)).collect();
        let Some(unknown) = ids.iter().find(|id| !all.contains(id.as_str())) else { return Ok(()) };
        let hint = did_you_mean(&near(unknown, all));
        let error = Error::new(Status::Usage, format!("cannot find secret \"{unknown}\""))
            .because("no chosen host has a secret of this name");
        Err(hint.into_iter().fold(error, Error::because))
    }

    /// Makes sure that it is known what all hosts declare.
    ///
    /// # Errors
    ///
    /// `what`, if one of them does not evaluate.
    pub fn ensure_all_known(&self, what: &str) -> Result<()> {
        let Some(failure) = self.failures.first() else { return Ok(()) };
        let mut error = failure.error.clone().context(what);
        error.exit = Status::Config.into();
        Err(error)
    }

    /// Uses the files in the user's checkouts in place of those in inputs, where `which` asks for
    /// it. Returns what cannot be changed, one error for each input.
    pub fn use_checkouts(
        &mut self,
        checkouts: &mut Checkouts,
        which: impl Fn(&Path) -> bool,
    ) -> Vec<Error> {
        let mut failures = Vec::new();
        let mut failed = BTreeSet::new();
        for secret in self.profiles.iter_mut().flat_map(|profile| profile.secrets.values_mut()) {
            let Ok(secret) = secret else { continue };
            let Some((input, _)) = origin::find(&secret.ciphertext) else { continue };
            if !which(&secret.ciphertext) || failed.contains(&input.name) {
                continue;
            }
            match checkouts.writable(&secret.ciphertext) {
                Ok(path) => secret.ciphertext = path,
                Err(error) => {
                    failed.insert(input.name);
                    failures.push(error);
                }
            }
        }
        failures
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
/// When no identity is given and the flake cannot be asked for one, or its rules cannot be used.
pub fn keys_for_file(identities: &[PathBuf], report: &Report) -> Result<(IdentityFiles, Rules)> {
    let (root, settings) = settings(!identities.is_empty(), report)?;
    let files = given_or(identities, &settings, &root)?;
    for error in exposure::exposed_identities(&files, &root) {
        report.warning_of(&error);
    }
    Ok((files, Rules::new(&settings, &root)?))
}

/// Returns the path of the file that the user calls `typed`: that of one in an input for `secrets:wifi.age`, unless there is a
/// file of this name.
///
/// # Errors
///
/// When the flake cannot be asked for its inputs.
pub fn file(typed: &Path) -> Result<PathBuf> {
    if !origin::may_be_name(typed) || typed.symlink_metadata().is_ok() {
        return Ok(typed.to_owned());
    }
    if let Some(root) = nix::root()? {
        nix::know_inputs(&root)?;
    }
    Ok(origin::parse(typed).unwrap_or_else(|| typed.to_owned()))
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
        // Who names an identity needs no nix.
        Err(error) if !optional && !nix::is_installed() => {
            Err(error.fix("install nix, or pass an identity with --identity FILE"))
        }
        Err(error) if !optional => Err(error),
        Err(error) => {
            report.warning_of(&error.context("extraRecipients and rules are unknown"));
            Ok((root, Settings::default()))
        }
    }
}

/// Returns the identities to open one file with; the flake is asked only where none is given.
///
/// # Errors
///
/// As [`keys_for_file`].
pub fn identities(given: &[PathBuf], report: &Report) -> Result<IdentityFiles> {
    if !given.is_empty() {
        return Ok(IdentityFiles::given(given.to_owned()));
    }
    let (root, settings) = settings(false, report)?;
    let files = given_or(given, &settings, &root)?;
    for error in exposure::exposed_identities(&files, &root) {
        report.warning_of(&error);
    }
    Ok(files)
}

/// Returns the identities that were given, or else those of the flake.
///
/// # Errors
///
/// When the flake names something else than a file: what the user has connected to standard input is not the flake's.
pub fn given_or(given: &[PathBuf], settings: &Settings, root: &Path) -> Result<IdentityFiles> {
    let recipients = settings.recipient.0.iter().flat_map(|text| recipient::lines(text)).collect();
    if !given.is_empty() {
        return Ok(IdentityFiles { recipients, ..IdentityFiles::given(given.to_owned()) });
    }
    let paths: Vec<PathBuf> =
        settings.identities(root).iter().map(|path| report::relative(path)).collect();
    for path in &paths {
        // A key in the place of its path is refused where it would be read, with other words. What takes the place of a file
        // afterwards is read as what it then is, up to a limit, and a signal ends the wait for it.
        let is_key = private::is_private(&path.to_string_lossy());
        if !is_key && path.metadata().is_ok_and(|found| !found.is_file()) {
            let what = format!("cannot use the identity file {}", path.display());
            return Err(Error::new(Status::NoPerm, what)
                .because("the flake names it, and it is not a regular file")
                .fix("pass an identity with --identity FILE"));
        }
    }
    Ok(IdentityFiles { paths, recipients, is_given: false })
}

/// Returns the recipients that the user names: in `texts`, of which each may have several lines, and in `files`.
///
/// # Errors
///
/// When a file cannot be read, or there is something else in it.
pub fn given_recipients(
    texts: &[String],
    files: &[PathBuf],
    report: &Report,
) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for text in texts {
        let lines = recipient::lines(text);
        if lines.len() > 1 {
            report.line(format_args!("{} recipients in what --recipient names", lines.len()));
        }
        all.extend(lines);
    }
    for path in files {
        let lines = recipients_in(path)?;
        let recipients = if lines.len() == 1 { "recipient" } else { "recipients" };
        report.line(format_args!("{}: {} {recipients}", path.display(), lines.len()));
        all.extend(lines);
    }
    Ok(all)
}

/// Returns the recipients in the file `path`.
fn recipients_in(path: &Path) -> Result<Vec<String>> {
    let failed = |reason: &dyn Display| {
        let what = format!("cannot use the recipients in {}", path.display());
        Error::new(Status::Config, what).because(reason)
    };
    let bytes = input::file(path, bounded::MAX_IDENTITY, None).map_err(|error| failed(&error))?;
    let text = str::from_utf8(&bytes).map_err(|_| failed(&"it is not a text file"))?;
    if private::is_private(text) {
        return Err(failed(&"it contains a private key; it is not shown")
            .fix(format!("use the public key: {}", private::PUBLIC_KEY_HINT)));
    }
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !recipient::is_comment(line));
    let read = |(i, line): (usize, &str)| match recipient::parse(line) {
        Ok(_) => Ok(line.to_owned()),
        Err(reason) => Err(failed(&format!("line {}: {reason}", i + 1))),
    };
    let found = lines.map(read).collect::<Result<Vec<_>>>()?;
    if found.is_empty() { Err(failed(&"there is no recipient in it")) } else { Ok(found) }
}

/// Reads the recipients of `file` in addition to those of the identities: those of `rules`, and those that were `given`.
///
/// # Errors
///
/// What is wrong with the first that is wrong.
pub fn parse_recipients(
    rules: &Rules,
    file: &Path,
    given: &[String],
) -> Result<Vec<ParsedRecipient>> {
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
    let of_rule = |error: Error| match rules.rule(file) {
        Some(rule) => error.because(format!("the rule for \"{}\" names it", rule.path)),
        None => error,
    };
    let named = rules.recipients(file).iter().map(|text| read(text).map_err(of_rule));
    named.chain(given.iter().map(read)).collect()
}

/// Recipients of some files in addition to those of the identities, before these are known.
#[derive(Default)]
pub struct ParsedRecipients {
    /// What there is, each once, by the texts.
    sets: Vec<Vec<ParsedRecipient>>,
    /// Which of them a file has.
    files: BTreeMap<PathBuf, usize>,
}

impl ParsedRecipients {
    /// Reads those of `files`: those of `rules`, and those that were `given`.
    ///
    /// # Errors
    ///
    /// What is wrong with the first that is wrong.
    pub fn new<'a>(
        files: impl IntoIterator<Item = &'a Path>,
        rules: &Rules,
        given: &[String],
    ) -> Result<Self> {
        let mut parsed = Self::default();
        let mut known: BTreeMap<&[String], usize> = BTreeMap::new();
        for file in files {
            let texts = rules.recipients(file);
            let next = parsed.sets.len();
            let at = *known.entry(texts).or_insert(next);
            if at == next {
                parsed.sets.push(parse_recipients(rules, file, given)?);
            }
            parsed.files.insert(file.to_owned(), at);
        }
        Ok(parsed)
    }

    /// Returns whether a file has none.
    pub fn has_none(&self) -> bool {
        self.sets.iter().any(Vec::is_empty)
    }

    /// Adds those that belong to the identities of `master`, to encrypt to.
    ///
    /// # Errors
    ///
    /// When a file has none at all, or an identity stays locked whose recipient is not known.
    pub fn with<'a>(self, master: &mut Master, prompt: &'a Prompt) -> Result<Recipients<'a>> {
        let add = |extra| {
            let recipients = master.recipients(extra, prompt)?;
            if recipients.is_empty() {
                return Err(Error::new(Status::Usage, "cannot encrypt without a recipient")
                    .fix("pass --identity FILE, or set vaultix.identity in the flake"));
            }
            Ok(recipient::group_by_plugin(recipients, prompt))
        };
        let sets = self.sets.into_iter().map(add).collect::<Result<_>>()?;
        Ok(Recipients { sets, files: self.files })
    }
}

/// Whom some files are encrypted to.
pub struct Recipients<'a> {
    /// What there is, each once.
    sets: Vec<Vec<Box<dyn Recipient + 'a>>>,
    /// Which of them a file has.
    files: BTreeMap<PathBuf, usize>,
}

impl<'a> Recipients<'a> {
    /// Returns those of `file`; none of one that is not among the files.
    pub fn of(&self, file: &Path) -> &[Box<dyn Recipient + 'a>] {
        let set = self.files.get(file).and_then(|at| self.sets.get(*at));
        set.map_or(&[], Vec::as_slice)
    }
}
