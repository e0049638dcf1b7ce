//! a host's identities and a ciphertext → its plaintext, or one line that explains why there is none.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use vaultix_generator::placeholder::Encoding;
use vaultix_generator::profile::{HostKeyKind, Secret, Settings};
use vaultix_generator::status::Status;
use vaultix_generator::unit::{Kind, unseal_unit};
use vaultix_generator::{escape, private};
use zeroize::Zeroizing;

use crate::bounded;
use crate::creds::Creds;
use crate::decrypt::{self, decrypt};
use crate::encoding::Encoded;
use crate::failure::{Failure, Level, log};
use crate::identity::{self, Content, HostIdentities, KeyFile, Reason};
use crate::parallel::{self, Limits, Outcome, Running};
use crate::path::FarFile;
use crate::plaintext::{Plaintext, Plaintexts};
use crate::record::{secret_inputs, stamp_of, stamped_inputs};
use crate::stanza::{self, Recipient};
use crate::template::{Value, fill};
use crate::wording::Wording;

/// How long decryption may take: 50 milliseconds until others no longer wait for an item, 10 seconds for each item, a minute
/// for all of them.
///
/// The largest ciphertext takes a second, and most take less than a millisecond. A thousand that never finish are all started
/// within the minute on a single processor, so that the others finish in time; the units that decrypt have 90 seconds,
/// or three minutes for twice as much.
const LIMITS: Limits = Limits {
    slow: Duration::from_millis(50),
    each: Duration::from_secs(10),
    all: Duration::from_secs(60),
};

/// How long is left for the next of several rounds, whatever those before it took (5 seconds). A switch has four: it looks at
/// all, decrypts, renders, and makes again what an owner has taken away.
const LEAST: Duration = Duration::from_secs(5);

/// Decrypts for one host. Its keys are read when they are first needed, and once.
pub struct Host(Arc<Keys>);

/// What threads that are left behind may continue to use.
struct Keys {
    settings: Settings,
    /// What unseals keys that no unit has unsealed, if anything may.
    creds: Option<Creds>,
    identities: OnceLock<HostIdentities>,
    /// How many bytes of ciphertexts may be read.
    total: u64,
    /// How many of them may still be read.
    budget: AtomicU64,
    /// When the first of them was asked for.
    since: OnceLock<Instant>,
}

/// Largest sum of all ciphertexts that one run reads, in bytes (1 GiB). Plaintexts stay in memory until they are placed,
/// and a profile may name one large file for each of a thousand secrets.
pub const MAX_TOTAL_CIPHERTEXTS: u64 = 1 << 30;

impl Host {
    /// Returns the host with these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self::with_total(settings, MAX_TOTAL_CIPHERTEXTS)
    }

    /// Returns the host with these settings, for which ciphertexts of `total` bytes are read.
    #[must_use]
    pub fn with_total(settings: &Settings, total: u64) -> Self {
        Self::with(settings, total, None)
    }

    /// Returns the host with these settings, for who runs in no unit: also with sealed keys that no unit has unsealed.
    #[must_use]
    pub fn unsealing(settings: &Settings) -> Self {
        Self::with(
            settings,
            MAX_TOTAL_CIPHERTEXTS,
            Some(Creds::beside(&settings.systemctl.program)),
        )
    }

    fn with(settings: &Settings, total: u64, creds: Option<Creds>) -> Self {
        Self(Arc::new(Keys {
            settings: settings.clone(),
            creds,
            identities: OnceLock::new(),
            total,
            budget: AtomicU64::new(total),
            since: OnceLock::new(),
        }))
    }

    /// Returns the plaintext of `secret`, with the texts of `insert` in place.
    ///
    /// # Errors
    ///
    /// [`Status::NoInput`] without a ciphertext, or when it takes too long; [`Status::DataErr`] for a damaged one,
    /// [`Status::NoPerm`] when no key of the host can decrypt it.
    pub fn decrypt(&self, secret: &Secret) -> Result<Plaintext, Failure> {
        let only = decrypt_all(self, &[secret]).pop();
        only.unwrap_or_else(|| Err(self.0.no_time_left(secret))).map(|(plaintext, _)| plaintext)
    }

    /// Returns the keys that could decrypt the host's secrets but do not exist.
    ///
    /// They may appear later: on a mount, or made by sshd's key generation.
    pub fn missing_keys(&self) -> impl Iterator<Item = &Path> {
        let failures =
            self.0.identities.get().into_iter().flat_map(|identities| &identities.failures);
        failures.filter(|failure| is_missing(&failure.reason)).map(|failure| &*failure.path)
    }
}

impl Keys {
    /// Returns how long decrypting may take from now on.
    fn limits(&self) -> Limits {
        let gone = self.since.get_or_init(Instant::now).elapsed();
        Limits { all: LIMITS.all.saturating_sub(gone).max(LEAST), ..LIMITS }
    }

    /// Reads the ciphertext `path`, if all that are read stay within the total.
    fn read(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let failed = |error| unreadable(path, &error);
        let file = FarFile::new(path);
        let size = file.look().map_err(failed)?.size;
        let mut limit = bounded::MAX_CIPHERTEXT;
        if size <= limit {
            // A file that has grown since is refused.
            limit = size;
            let left = |left: u64| left.checked_sub(size);
            if self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_err() {
                let reason = format!(
                    "with the {size} bytes of {1}, the ciphertexts of {2} are larger than {0} MiB together; keep \
                     large data elsewhere, and only its key here",
                    self.total >> 20,
                    path.display(),
                    self.words().owner()
                );
                return Err(Failure::new(Status::DataErr, reason));
            }
        }
        file.read(limit).map_err(failed)
    }

    /// Returns the plaintext of `secret`, with the texts of `insert` in place.
    fn decrypt(&self, secret: &Secret) -> Result<Plaintext, Failure> {
        let path = &secret.ciphertext;
        let ciphertext = self.read(path)?;
        let identities = self.identities();
        let plaintext = match decrypt(&ciphertext, identities.iter()) {
            Ok(plaintext) => plaintext,
            Err(decrypt::Error::NoMatch(recipients)) => {
                return Err(self.no_match(secret, identities, &recipients));
            }
            Err(decrypt::Error::Damaged(reason)) => {
                let path = path.display();
                return Err(Failure::new(
                    Status::DataErr,
                    format!("{path}: {reason}; make it again: vaultix renc"),
                ));
            }
        };
        if secret.insert.is_empty() && !secret.clean_placeholder {
            return Ok(plaintext);
        }
        let value = |hash: &str, encoding: Option<&str>| match secret.insert.get(hash) {
            Some(text) => inserted(text, encoding),
            None if secret.clean_placeholder => Ok(Value::Bytes(b"")),
            None => Ok(Value::Itself),
        };
        fill(plaintext.expose(), value)
    }

    /// Returns the host's identities, and warns about those that could not be read if others could.
    fn identities(&self) -> &HostIdentities {
        self.identities.get_or_init(|| {
            let identities = HostIdentities::read(&self.settings, self.creds.as_ref());
            if !identities.tried.is_empty() {
                for failure in &identities.failures {
                    let words = self.words();
                    log(Level::Warning, &words.one_unreadable(&words.explain(failure)));
                }
            }
            identities
        })
    }

    /// Explains why no identity can decrypt the ciphertext of `secret`, which is encrypted to `recipients`.
    fn no_match(
        &self,
        secret: &Secret,
        identities: &HostIdentities,
        recipients: &[Recipient],
    ) -> Failure {
        let refused = |reason: String| Failure::new(Status::NoPerm, reason);
        if identities.tried.is_empty() {
            let is_missing = identities.failures.iter().any(|failure| is_missing(&failure.reason));
            let early = if secret.placement.early && is_missing {
                "; items that are needed before users exist require the key on a file system with neededForBoot = true"
            } else {
                ""
            };
            return refused(format!("{}{early}", self.no_key(identities)));
        }
        let public = &self.settings.host_pubkey;
        // Stanzas of age's own kinds name no key.
        let ours = stanza::parse_ssh_key(public).filter(|host| recipients.contains(host));
        let word = public.split_ascii_whitespace().next().unwrap_or_default();
        let has_ours = |file: &&KeyFile| match &file.content {
            Content::Ssh(..) => false,
            Content::Age(identities) => identities.iter().any(|one| one.recipient() == word),
        };
        let right = identities.tried.iter().find(has_ours);
        let tried = identities.tried.iter().map(describe);
        let keys: Vec<String> =
            tried.chain(identities.failures.iter().map(ToString::to_string)).collect();
        let keys = keys.join(", ");
        let (path, recipients) = (secret.ciphertext.display(), stanza::describe(recipients));
        let words = self.words();
        if let Some(file) = right {
            return refused(words.another_copy(&path, &recipients, &file.path.display()));
        }
        let reason = match ours {
            Some(_) => words.other_keys(&path, &recipients, &keys),
            None => words.another_key(&path, &recipients, &keys),
        };
        refused(reason + &self.unsealed_before(identities))
    }

    /// Returns the failure of a secret for which no time was left.
    fn no_time_left(&self, secret: &Secret) -> Failure {
        let (limit, systemctl) = (LIMITS.all.as_secs(), self.settings.systemctl.words());
        let reason = format!(
            "no time was left for it: others took all of the {limit} seconds for decryption; try again: {systemctl} \
             restart '{}'",
            Kind::Secret.unit(&secret.id)
        );
        Failure::new(Status::NoInput, reason)
    }

    /// Returns what its keys are called.
    fn words(&self) -> Wording {
        Wording(self.settings.layout)
    }

    /// Explains that a sealed file may have been replaced since.
    fn unsealed_before(&self, identities: &HostIdentities) -> String {
        let sealed = self.settings.host_keys.iter().find(|key| {
            key.kind == HostKeyKind::Credential
                && identities.tried.iter().any(|file| file.path == key.path)
        });
        sealed.map_or_else(String::new, |key| {
            let (path, unit) = (key.path.display(), unseal_unit(&key.path));
            format!("; or if {path} is a new one: systemctl restart '{unit}'")
        })
    }

    /// Lists all host keys of the profile.
    fn key_paths(&self) -> String {
        let keys = &self.settings.host_keys;
        let paths: Vec<String> = keys.iter().map(|key| key.path.display().to_string()).collect();
        if paths.is_empty() { "there are none".to_owned() } else { paths.join(", ") }
    }

    /// Explains why there is no identity at all.
    fn no_key(&self, identities: &HostIdentities) -> String {
        let (public, words) = (&self.settings.host_pubkey, self.words());
        if private::is_private(public) {
            return words.private_public_key();
        }
        let kind = public.split_ascii_whitespace().next().unwrap_or_default();
        if kind.is_empty() {
            return words.no_public_key();
        }
        if identities.failures.is_empty() {
            return words.no_such_type(&self.key_paths(), &private::shown(kind));
        }
        let explain = |failure: &identity::Failure| explain(failure, words);
        let reasons: Vec<String> = identities.failures.iter().map(explain).collect();
        let sealed = identities
            .failures
            .iter()
            .find(|failure| matches!(failure.reason, Reason::Sealed | Reason::Unseal(_)));
        let again = sealed.map_or_else(String::new, |failure| way_back(&failure.path));
        words.all_unreadable(&(reasons.join(", ") + &again))
    }
}

/// Describes a file with identities: for whom they decrypt.
fn describe(file: &KeyFile) -> String {
    let path = file.path.display();
    match &file.content {
        Content::Ssh(_, stanza) => {
            format!("{path} is {}", stanza::describe(std::slice::from_ref(stanza)))
        }
        Content::Age(identities) => {
            let recipients: Vec<String> =
                identities.iter().map(|one| private::shown(&one.recipient())).collect();
            format!("{path} contains the key of {}", recipients.join(" and "))
        }
    }
}

/// Returns `text` of `insert` in the encoding that a placeholder of a secret asks for.
///
/// What it asks for is not shown if it is unknown: it is a part of the secret.
fn inserted<'a>(text: &'a str, encoding: Option<&str>) -> Result<Value<'a>, Failure> {
    let Some(name) = encoding else { return Ok(Value::Bytes(text.as_bytes())) };
    let refused = |reason: String| Failure::new(Status::DataErr, reason);
    let encoding = Encoding::parse(name).map_err(|_| {
        let known = Encoding::ALL.map(Encoding::name).join(", ");
        refused(format!(
            "a placeholder in it asks for an unknown encoding; the encodings are {known}"
        ))
    })?;
    let encoded = Encoded::new(text.as_bytes(), encoding).map_err(|why| {
        refused(format!("a text of its insert cannot be written as {name}: {why}"))
    })?;
    Ok(Value::Encoded(encoded))
}

/// Explains why a host key cannot be read, and where to look.
fn explain(failure: &identity::Failure, words: Wording) -> String {
    match unmounted(&failure.path) {
        Some((directory, unit)) if is_missing(&failure.reason) => format!(
            "{failure} ({} is not mounted, see: systemctl status '{unit}')",
            directory.display()
        ),
        _ => words.explain(failure),
    }
}

/// Explains what to do if the sealed file `path` can never be unsealed again: another machine, a new TPM, a lost key of systemd.
fn way_back(path: &Path) -> String {
    let path = path.display();
    format!(
        "; if it never can be again, enroll this host anew: mv '{path}' '{path}.old'; vaultix-decrypt enroll --seal --path \
         '{path}'; then set hostPubkey to what this prints, and run: vaultix renc"
    )
}

/// Returns whether the file does not exist.
fn is_missing(reason: &Reason) -> bool {
    matches!(reason, Reason::Read(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
}

/// Most of the table of mounts that is looked at for the words of a message, in bytes (64 MiB).
const MAX_TABLE: u64 = 64 << 20;

/// Returns `path`, or the directory above it, that should be a mount point but is not one, with its unit.
///
/// Mount points are those in fstab(5) and in the units in systemd's directories.
fn unmounted(path: &Path) -> Option<(PathBuf, String)> {
    let mounted = bounded::read(Path::new("/proc/self/mountinfo"), MAX_TABLE).unwrap_or_default();
    // A user may have mounted something at a path that is not UTF-8.
    let mounted = String::from_utf8_lossy(&mounted);
    let points: Vec<&str> = mounted.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    path.ancestors().find_map(|directory| {
        let text = directory.to_str()?;
        if text == "/" || points.contains(&text) {
            return None;
        }
        let unit = escape::path_unit(text, "mount");
        let known = ["/run/systemd/generator", "/etc/systemd/system", "/run/systemd/system"]
            .iter()
            .any(|units| Path::new(units).join(&unit).exists());
        known.then(|| (directory.to_owned(), unit))
    })
}

/// Explains why the ciphertext `path` cannot be read.
fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => Failure::new(
            Status::NoInput,
            format!("the ciphertext {shown} does not exist; make it: vaultix renc"),
        ),
        io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory => {
            Failure::new(Status::DataErr, format!("cannot use the ciphertext {shown}: {error}"))
        }
        _ => Failure::path(Status::NoInput, "read", path, error),
    }
}

/// A plaintext, and what it was made from.
pub type Decrypted = Result<(Plaintext, [u8; 32]), Failure>;

/// Returns the plaintexts of those of `secrets` that were `decrypted`, by id.
#[must_use]
pub fn plaintexts<'a>(secrets: &[&'a Secret], decrypted: &'a [Decrypted]) -> Plaintexts<'a> {
    let pairs = secrets.iter().zip(decrypted);
    pairs.filter_map(|(secret, made)| Some((&*secret.id, &made.as_ref().ok()?.0))).collect()
}

/// Decrypts `secrets` on all processors; the results are in the same order.
///
/// One that takes too long, by itself or because the file system of its ciphertext does not respond, fails alone.
#[must_use]
pub fn decrypt_all(host: &Host, secrets: &[&Secret]) -> Vec<Decrypted> {
    let mut decrypting = Decrypting::start(host, secrets);
    let mut results: Vec<Option<Decrypted>> = secrets.iter().map(|_| None).collect();
    while let Some(ended) = decrypting.next(LIMITS.all) {
        for Ended { at, result, .. } in ended {
            if let Some(place) = results.get_mut(at) {
                *place = Some(result);
            }
        }
    }
    let result = |(secret, result): (&&Secret, Option<_>)| {
        result.unwrap_or_else(|| Err(host.0.no_time_left(secret)))
    };
    secrets.iter().zip(results).map(result).collect()
}

/// Secrets that are being decrypted on all processors.
pub struct Decrypting<'a> {
    secrets: Vec<&'a Secret>,
    keys: Arc<Keys>,
    running: Running<Option<Stamped>>,
}

/// A result, and what distinguished versions of its ciphertext.
type Stamped = (Decrypted, Vec<u8>);

/// A secret whose decryption has ended.
pub struct Ended {
    /// Its place in the list.
    pub at: usize,
    /// Its plaintext.
    pub result: Decrypted,
    /// What distinguished versions of its ciphertext when it was read; empty where that is not known.
    pub stamp: Vec<u8>,
}

impl<'a> Decrypting<'a> {
    /// Starts to decrypt `secrets`.
    #[must_use]
    pub fn start(host: &Host, secrets: &[&'a Secret]) -> Self {
        if !secrets.is_empty() {
            // First: a key on a file system that does not respond must not count as the failure of an item.
            host.0.identities();
        }
        let keys = Arc::clone(&host.0);
        let owned: Vec<Secret> = secrets.iter().map(|&secret| secret.clone()).collect();
        let one = move |at: usize| {
            let secret: &Secret = owned.get(at)?;
            let stamp = stamp_of(&secret.ciphertext);
            let inputs = stamped_inputs(secret, &stamp);
            Some((keys.decrypt(secret).map(|plaintext| (plaintext, inputs)), stamp))
        };
        let running = Running::start(secrets.len(), host.0.limits(), one);
        Self { secrets: secrets.to_vec(), keys: Arc::clone(&host.0), running }
    }

    /// Waits for results, for `patience` at most, and returns those that have come since; `None` once all have been returned.
    pub fn next(&mut self, patience: Duration) -> Option<Vec<Ended>> {
        let ended = self.running.next(patience)?;
        let result = |(at, outcome): (usize, Outcome<Option<Stamped>>)| {
            let secret = self.secrets.get(at)?;
            let (result, stamp) = match outcome {
                Outcome::Done(Some(done)) => done,
                Outcome::Slow => (Err(too_slow(secret)), Vec::new()),
                Outcome::Done(None) | Outcome::Late => {
                    (Err(self.keys.no_time_left(secret)), Vec::new())
                }
            };
            Some(Ended { at, result, stamp })
        };
        Some(ended.into_iter().filter_map(result).collect())
    }
}

/// Returns the inputs of `secrets`, in the same order: stat(2) of a ciphertext may take as long as reading it.
#[must_use]
pub fn inputs_of_secrets(host: &Host, secrets: &[&Secret]) -> Vec<Result<[u8; 32], Failure>> {
    let owned: Vec<Secret> = secrets.iter().map(|&secret| secret.clone()).collect();
    let outcomes =
        parallel::each(secrets.len(), host.0.limits(), move |at| owned.get(at).map(secret_inputs));
    let result = |(secret, outcome): (&&Secret, Outcome<Option<[u8; 32]>>)| match outcome {
        Outcome::Done(Some(inputs)) => Ok(inputs),
        Outcome::Slow => Err(too_slow(secret)),
        Outcome::Done(None) | Outcome::Late => Err(host.0.no_time_left(secret)),
    };
    secrets.iter().zip(outcomes).map(result).collect()
}

/// Returns the failure of a secret that takes too long.
fn too_slow(secret: &Secret) -> Failure {
    let (path, limit) = (secret.ciphertext.display(), LIMITS.each.as_secs());
    let reason = format!(
        "{path} was not read and decrypted within {limit} seconds; check that its file system responds: stat '{path}'"
    );
    Failure::new(Status::NoInput, reason)
}
