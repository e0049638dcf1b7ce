//! text of profile.json → a checked [`Profile`]: the fields of secrets and templates; `profile/item.rs` reads them.

mod before;
mod check;
mod clash;
mod fields;
mod generator;
mod item;
mod key;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use crate::{escape, placeholder, private};
use clash::{refuse_clashes, refuse_late_values};
use fields::Fields;
pub use fields::Invalid;
pub use generator::{Dependency, Generator};
use item::{Context, items, placeholders, secret, template};
pub use key::Key;
pub use settings::fitting_keys;
use settings::settings;

/// The default path of the profile.
pub const DEFAULT_PATH: &str = "/etc/vaultix/profile.json";

/// Largest profile we read, in bytes (16 MiB): some forty thousand secrets.
pub const MAX_BYTES: u64 = 16 << 20;

/// First component that no item's `name` may have: a generation keeps its journal there.
pub const RESERVED_NAME: &str = ".vaultix";

/// The directory that the ramfs is mounted in. Only root can access it, so nobody else can write to plaintexts.
pub const PRIVATE_DIR: &str = "/run/vaultix.private";

/// Where the ramfs is mounted, in [`PRIVATE_DIR`]. Users see it at [`Settings::decrypted_mount_point`].
pub const RAMFS_PATH: &str = "/run/vaultix.private/ramfs";

/// Where unsealed identities of the host are, in [`PRIVATE_DIR`]: on another ramfs, since who has bound the view of that one into
/// a container has no need for them.
pub const IDENTITIES_PATH: &str = "/run/vaultix.private/identities";

/// The name of the credential that a sealed identity is: systemd seals it as well, and takes no other one.
pub const CREDENTIAL_NAME: &str = "vaultix-host";

/// The key of systemd itself, with which it seals unless there is only a TPM. Also in `nix/enroll.nix`.
pub const HOST_SECRET: &str = "/var/lib/systemd/credential.secret";

/// The two kinds of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A secret.
    Secret,
    /// A template.
    Template,
}

impl Kind {
    /// Returns its name: the helper's verb, and a part of the unit's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Template => "template",
        }
    }

    /// Returns the field of a profile with all items of this kind.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Secret => "secrets",
            Self::Template => "templates",
        }
    }

    /// Returns the name of the unit of the item `id`.
    #[must_use]
    pub fn unit(self, id: &str) -> String {
        escape::unit_name(&format!("vaultix-{}@", self.name()), id)
    }
}

/// Units that make users. In an ordering, those that do not exist are ignored.
pub const USERS: [&str; 2] = ["systemd-sysusers.service", USERBORN];

/// The unit that makes users on NixOS.
pub const USERBORN: &str = "userborn.service";

/// Who reads a profile. Each side needs a different ciphertext of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The host: `cipher` must be there and absolute.
    Host,
    /// The workstation: `file` must be there.
    Workspace,
}

/// Everything one host needs to know about its secrets, as `nix/profile.nix` wrote it.
///
/// Contains no secret bytes. An invalid item is kept as the reason why it is invalid, so that the others can be used;
/// code that has a [`Secret`] or [`Template`] need not check it again.
#[derive(Debug)]
pub struct Profile {
    /// Settings of the whole host.
    pub settings: Settings,
    /// Secrets by id. A `BTreeMap`, so that units are generated in the same order every time.
    pub secrets: BTreeMap<String, Result<Secret, Invalid>>,
    /// Templates by id.
    pub templates: BTreeMap<String, Result<Template, Invalid>>,
    /// Ids of secrets by the hash in their placeholder.
    pub placeholders: BTreeMap<String, String>,
    /// Ids of the secrets and templates that are needed before users exist.
    pub early: BTreeSet<String>,
}

/// Settings of the whole host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The link under which services find their secrets, absolute; default `/run/vaultix`.
    pub decrypted_dir: PathBuf,
    /// The same for early items; default `/run/vaultix-for-user`.
    pub decrypted_dir_for_user: PathBuf,
    /// The read-only view of the ramfs with the generations; default `/run/vaultix.d`.
    pub decrypted_mount_point: PathBuf,
    /// The host's directory in the cache: one path component.
    pub host_identifier: String,
    /// The recipient that the cache is encrypted to: an ssh public key or an age recipient; empty while the host has none.
    pub host_pubkey: String,
    /// Identities of the host, in the order in which they are tried.
    pub host_keys: Vec<HostKey>,
    /// How many generations are kept, including the current one; 0 keeps all. Default 1.
    pub keep_generations: usize,
    /// Whether the units of the boot come before `network-pre.target`. Default true.
    pub before_network: bool,
    /// Mount points that boot does not wait for, absolute: a `path` below one is made when it is mounted.
    pub late_mounts: Vec<PathBuf>,
    /// The program `systemctl`; by default found through `PATH`.
    pub systemctl: Systemctl,
    /// Who places the items; always the host in a profile that was only read.
    pub layout: Layout,
}

/// The program `systemctl`, and the manager that it talks to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Systemctl {
    /// Its path, or its name if it is found through `PATH`.
    pub program: PathBuf,
    /// Whose manager has the units.
    pub manager: Manager,
}

impl Systemctl {
    /// Returns what to type to talk to that manager.
    #[must_use]
    pub fn words(&self) -> &'static str {
        match self.manager {
            Manager::System => "systemctl",
            Manager::User => "systemctl --user",
        }
    }
}

/// Whose manager has the units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// That of the system.
    System,
    /// That of the user who runs the program.
    User,
}

/// Who places the items, and so where they are. A profile does not say it: the command line of a program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Root, on a ramfs, for all users.
    Host,
    /// The user with this number, below their runtime directory, for themselves.
    User(u32),
}

impl Layout {
    /// Returns the number of the user who alone controls where the items are.
    #[must_use]
    pub fn owner(self) -> u32 {
        match self {
            Self::Host => 0,
            Self::User(uid) => uid,
        }
    }
}

impl Settings {
    /// Returns the late mount that `path` is below, the innermost one.
    #[must_use]
    pub fn late_mount_of(&self, path: &Path) -> Option<&Path> {
        let above = self.late_mounts.iter().filter(|mount| path.starts_with(mount));
        above.max_by_key(|mount| mount.components().count()).map(PathBuf::as_path)
    }

    /// Returns whether `placement` has a path outside our own directories.
    #[must_use]
    pub fn is_custom(&self, placement: &Placement) -> bool {
        self.is_custom_path(&placement.path, &placement.name)
    }

    /// Returns whether `path` is not where a generation shows the file `name`.
    #[must_use]
    pub fn is_custom_path(&self, path: &Path, name: &str) -> bool {
        [&self.decrypted_dir, &self.decrypted_dir_for_user]
            .iter()
            .all(|link| link.join(name) != path)
    }

    /// Returns the link under which the consumers of `placement` find it.
    #[must_use]
    pub fn link_of(&self, placement: &Placement) -> &Path {
        if placement.early { &self.decrypted_dir_for_user } else { &self.decrypted_dir }
    }
}

/// A file with an identity of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey {
    /// Its path, absolute.
    pub path: PathBuf,
    /// What it contains.
    pub kind: HostKeyKind,
}

impl HostKey {
    /// Returns whether it is sealed to the machine, and only the system's manager can unseal it.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.kind == HostKeyKind::Credential
    }
}

/// What a host key file contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKeyKind {
    /// An OpenSSH private key for ssh-ed25519.
    Ed25519,
    /// An OpenSSH private key for ssh-rsa.
    Rsa,
    /// Native age identities, one per line.
    Age,
    /// The same, sealed by `systemd-creds`.
    Credential,
}

/// One secret: a ciphertext, and where its plaintext goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Its name everywhere except in the file system; the instance of its unit.
    pub id: String,
    /// The ciphertext that this side reads: `cipher` on the host, `file` on a workstation.
    pub ciphertext: PathBuf,
    /// Which of the values in its `file` it is, if that is a file with many; always `None` on a host.
    pub key: Option<Key>,
    /// How `vaultix generate` makes it if it does not exist; always `None` on a host.
    pub generator: Option<Generator>,
    /// After how many days it should be replaced, if at all; always `None` on a host.
    pub rotate_days: Option<u32>,
    /// Whether only other secrets are generated from it, and no host gets it; always `false` on a host.
    pub intermediary: bool,
    /// Plain text that replaces placeholders with these hashes.
    pub insert: BTreeMap<String, String>,
    /// Whether placeholders that `insert` does not name are removed.
    pub clean_placeholder: bool,
    /// Where the plaintext goes.
    pub placement: Placement,
}

/// One template: a text with placeholders for secrets, and where the result goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Its name everywhere except in the file system; the instance of its unit.
    pub id: String,
    /// The text, with a placeholder for each value.
    pub content: String,
    /// Whether white space around each value is removed. Default true.
    pub trim: bool,
    /// Where the text goes.
    pub placement: Placement,
}

/// Units of users' managers, by the user's name or number.
pub type UserUnits = BTreeMap<String, Vec<String>>;

/// Where a plaintext goes, and who may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Its file inside a generation: a relative path of normal components.
    pub name: String,
    /// Where consumers find it, absolute.
    pub path: PathBuf,
    /// Permission bits of the file.
    pub mode: Mode,
    /// The file's owner: a user's name or number.
    pub owner: String,
    /// The file's group: a group's name or number.
    pub group: String,
    /// Whether a custom `path` is a link to the file on the ramfs, and not the plaintext itself. Default true.
    pub symlink: bool,
    /// Whether the plaintext may be put on a disk; only without `symlink`. Default false.
    pub allow_disk: bool,
    /// Units restarted when the plaintext has changed.
    pub restart_units: Vec<String>,
    /// Units reloaded when the plaintext has changed.
    pub reload_units: Vec<String>,
    /// Units of users' managers that are restarted when the plaintext has changed, by user.
    pub restart_user_units: UserUnits,
    /// Units of users' managers that are reloaded when the plaintext has changed, by user.
    pub reload_user_units: UserUnits,
    /// Units that start after it, without being restarted for it: also those that start before `sysinit.target`.
    pub before: Vec<String>,
    /// Whether it is needed before users exist.
    pub early: bool,
}

/// Permission bits of a file, without set-user-ID, set-group-ID and sticky.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(u32);

impl Mode {
    /// Returns the bits as chmod(2) takes them, `0` to `0o777`.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Reads three octal digits, with or without a leading zero.
    fn parse(text: &str) -> Result<Self, Invalid> {
        let octal = |digits: &str| {
            digits.bytes().all(|byte| matches!(byte, b'0'..=b'7')).then_some(())?;
            u32::from_str_radix(digits, 8).ok()
        };
        let digits = if text.len() == 4 { text.strip_prefix('0') } else { Some(text) };
        if let Some(bits) = digits.filter(|digits| digits.len() == 3).and_then(octal) {
            return Ok(Self(bits));
        }
        let problem = if text.len() == 4 && octal(text).is_some() {
            "has a set-user-ID, set-group-ID or sticky bit, which makes no sense for a secret"
        } else {
            "is not three or four octal digits"
        };
        Err(Invalid::here(format!("\"{text}\" {problem}")).fix("write it like \"0400\""))
    }
}

/// Why a profile as a whole is invalid.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The text is empty.
    Empty,
    /// The text is not JSON; the parser's message, with line and column.
    NotJson(String),
    /// It has another version: the value found there.
    Version(String),
    /// Something outside the items is invalid.
    Invalid(Invalid),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the file is empty"),
            Self::NotJson(reason) => write!(f, "not JSON: {reason}"),
            Self::Version(found) => write!(
                f,
                "version: the profile has version {found}, but this program reads version {}; \
                 use both from the same vaultix package",
                Profile::VERSION
            ),
            Self::Invalid(invalid) => invalid.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl Profile {
    /// The version of the format that this program reads.
    pub const VERSION: u32 = 1;

    /// Reads a profile from the text of profile.json, for one side.
    ///
    /// # Errors
    ///
    /// The text is not JSON, has another version, or is invalid outside the items. What is invalid in an
    /// item, or between two of them, is kept instead of the item in [`Profile::secrets`] or
    /// [`Profile::templates`].
    pub fn parse(text: &str, side: Side) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Err(Error::Empty);
        }
        let root: &RawValue =
            serde_json::from_str(text).map_err(|error| Error::NotJson(private::reason(&error)))?;
        let mut fields = Fields::read("", root)?;
        ensure_version(&fields.required("version")?)?;
        fields.ensure_known(&[&[
            "beforeUserborn",
            "placeholder",
            "secrets",
            "settings",
            "templates",
        ]])?;
        let settings = settings(
            fields.raw("settings").ok_or_else(|| Invalid::new("settings", "is missing"))?,
        )?;
        let early: BTreeSet<String> = fields
            .optional::<Vec<String>>("beforeUserborn")?
            .unwrap_or_default()
            .into_iter()
            .collect();
        let placeholders = placeholders(fields.raw("placeholder"))?;
        let context = Context { settings: &settings, early: &early, side };
        let mut secrets = items(&mut fields, Kind::Secret, |location, key, text| {
            secret(location, key, text, &context)
        })?;
        let mut templates = items(&mut fields, Kind::Template, |location, key, text| {
            template(location, key, text, &context)
        })?;
        fields.finish()?;

        for id in early.iter().filter(|id| !templates.contains_key(*id)) {
            let problem = match secrets.get(id) {
                None => format!("no secret or template is called \"{id}\""),
                Some(secret) if is_intermediary(secret) => {
                    format!("only other secrets are generated from \"{id}\"")
                }
                Some(_) => continue,
            };
            secrets.insert(id.clone(), Err(Invalid::new("beforeUserborn", problem)));
        }
        if side == Side::Host {
            secrets.retain(|_, secret| !is_intermediary(secret));
        }
        refuse_late_values(&mut templates, &placeholders, &early);
        refuse_clashes(&mut secrets, &mut templates);
        Ok(Self { settings, secrets, templates, placeholders, early })
    }
}

fn is_intermediary(secret: &Result<Secret, Invalid>) -> bool {
    secret.as_ref().is_ok_and(|secret| secret.intermediary)
}

fn ensure_version(version: &serde_json::Number) -> Result<(), Error> {
    if version.as_u64() == Some(u64::from(Profile::VERSION)) {
        Ok(())
    } else {
        Err(Error::Version(version.to_string()))
    }
}

impl Template {
    /// Returns the ids of the secrets whose placeholders are in the text, sorted, each once.
    ///
    /// Placeholders of unknown secrets are ignored here: rendering reports them.
    #[must_use]
    pub fn secrets<'a>(&self, placeholders: &'a BTreeMap<String, String>) -> BTreeSet<&'a str> {
        placeholder::split(self.content.as_bytes())
            .into_iter()
            .filter_map(|piece| match piece {
                placeholder::Piece::Placeholder { hash, .. } => {
                    placeholders.get(hash).map(String::as_str)
                }
                placeholder::Piece::Text(_) => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
