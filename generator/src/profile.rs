//! text of profile.json → [`Profile`], checked.

mod fields;
mod generator;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

pub use fields::Invalid;
use fields::{Entries, Fields, join};
pub use generator::Generator;

use crate::escape;
use crate::placeholder;

/// Where the boot side looks for the profile unless told otherwise.
pub const DEFAULT_PATH: &str = "/etc/vaultix/profile.json";

/// Largest profile we read, in bytes (16 MiB): some forty thousand secrets.
pub const MAX_BYTES: u64 = 16 << 20;

/// First component that no item's `name` may have: a generation keeps its own record there.
pub const RESERVED_NAME: &str = ".vaultix";

/// The field of a profile that holds the secrets.
const SECRETS: &str = "secrets";
/// The field of a profile that holds the templates.
const TEMPLATES: &str = "templates";

/// Units that make users. Those that do not exist count for nothing in an ordering.
pub const USERS: [&str; 2] = ["systemd-sysusers.service", "userborn.service"];

/// Who reads a profile. Each side needs another ciphertext of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The host: `cipher` must be there and absolute.
    Host,
    /// The workstation: `file` must be there.
    Desk,
}

/// Everything one host needs to know about its secrets, as `nix/profile.nix` wrote it.
///
/// Holds no secret bytes. An item that is wrong is kept as what is wrong with it, so that the others live;
/// code that holds a [`Secret`] or [`Template`] need not check it again.
#[derive(Debug)]
pub struct Profile {
    /// What holds for the whole host.
    pub settings: Settings,
    /// Secrets by id. A `BTreeMap`, so that units come out in the same order every time.
    pub secrets: BTreeMap<String, Result<Secret, Invalid>>,
    /// Templates by id.
    pub templates: BTreeMap<String, Result<Template, Invalid>>,
    /// Ids of secrets by the hash in their placeholder.
    pub placeholders: BTreeMap<String, String>,
    /// Ids of the secrets and templates that are needed before users exist.
    pub early: BTreeSet<String>,
}

/// What holds for the whole host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The link under which services find their secrets, absolute; default `/run/vaultix`.
    pub decrypted_dir: PathBuf,
    /// The same for early items; default `/run/vaultix-for-user`.
    pub decrypted_dir_for_user: PathBuf,
    /// Where the ramfs is mounted that holds the generations; default `/run/vaultix.d`.
    pub decrypted_mount_point: PathBuf,
    /// The host's directory in the cache: one path component.
    pub host_identifier: String,
    /// The recipient that the cache is encrypted to: an ssh public key or a recipient of age.
    pub host_pubkey: String,
    /// Identities of the host, in the order in which they are tried.
    pub host_keys: Vec<HostKey>,
    /// How many generations are kept, the current one counted; 0 keeps all. Default 1.
    pub keep_generations: usize,
    /// The program `systemctl`; by default found through `PATH`.
    pub systemctl: PathBuf,
}

/// A file with an identity of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey {
    /// Its path, absolute.
    pub path: PathBuf,
    /// What it holds.
    pub kind: HostKeyKind,
}

/// What a host key file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKeyKind {
    /// An OpenSSH private key for ssh-ed25519.
    Ed25519,
    /// An OpenSSH private key for ssh-rsa.
    Rsa,
    /// Native age identities, one a line.
    Age,
}

/// One secret: a ciphertext, and where its plaintext goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Its name everywhere but in the file system; the instance of its unit.
    pub id: String,
    /// The ciphertext that this side reads: `cipher` on the host, `file` at the desk.
    pub ciphertext: PathBuf,
    /// How the desk makes it if it does not exist; a host has no use for it, and never one here.
    pub generator: Option<Generator>,
    /// Plain text put in for placeholders of these hashes.
    pub insert: BTreeMap<String, String>,
    /// Whether placeholders that `insert` does not name are removed.
    pub clean_placeholder: bool,
    /// Where the plaintext goes.
    pub place: Placement,
}

/// One template: a text, and where it goes once the values of secrets are put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Its name everywhere but in the file system; the instance of its unit.
    pub id: String,
    /// The text, with a placeholder for each value.
    pub content: String,
    /// Whether white space around each value is dropped. Default true.
    pub trim: bool,
    /// Where the text goes.
    pub place: Placement,
}

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
    /// Whether a custom `path` is a link to the file on ramfs (or the plaintext itself). Default true.
    pub symlink: bool,
    /// Whether the plaintext may be put on a disk; only with `symlink` off. Default false.
    pub allow_disk: bool,
    /// Units restarted when the plaintext has changed.
    pub restart_units: Vec<String>,
    /// Units reloaded when the plaintext has changed.
    pub reload_units: Vec<String>,
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

    /// Reads three octal digits, with or without a zero before them.
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
            "has a set-user-ID, set-group-ID or sticky bit, which a secret has no use for"
        } else {
            "is not three or four octal digits"
        };
        Err(Invalid::here(format!("\"{text}\" {problem}")).fix("write it like \"0400\""))
    }
}

/// Why a profile as a whole cannot be used.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The text is empty.
    Empty,
    /// The text is not JSON; the parser's own words, with line and column.
    NotJson(String),
    /// It is of another version: the value found there.
    Version(String),
    /// Something outside the items is wrong.
    Invalid(Invalid),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the file is empty"),
            Self::NotJson(reason) => write!(f, "not JSON: {reason}"),
            Self::Version(found) => write!(
                f,
                "version: the profile is of version {found}, this program reads version {}; \
                 take both from one vaultix package",
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
    /// Fails when the text is no JSON, of another version, or wrong outside the items. A fault inside an
    /// item, or between two of them, is kept in its place in [`Profile::secrets`] or
    /// [`Profile::templates`].
    pub fn parse(text: &str, side: Side) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Err(Error::Empty);
        }
        let root: &RawValue =
            serde_json::from_str(text).map_err(|error| Error::NotJson(error.to_string()))?;
        let mut fields = Fields::read("", root)?;
        ensure_version(&fields.required("version")?)?;
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
        let mut secrets = items(fields.raw(SECRETS), SECRETS, |place, key, text| {
            secret(place, key, text, &context)
        })?;
        let mut templates = items(fields.raw(TEMPLATES), TEMPLATES, |place, key, text| {
            template(place, key, text, &context)
        })?;
        fields.finish()?;

        let unknown: Vec<_> = early
            .iter()
            .filter(|id| !secrets.contains_key(*id) && !templates.contains_key(*id))
            .cloned()
            .collect();
        for id in unknown {
            let fault =
                Invalid::new("beforeUserborn", format!("no secret or template is called \"{id}\""));
            secrets.insert(id, Err(fault));
        }
        refuse_late_values(&mut templates, &placeholders, &early);
        refuse_clashes(&mut secrets, &mut templates);
        Ok(Self { settings, secrets, templates, placeholders, early })
    }
}

/// What is needed to read an item.
struct Context<'a> {
    /// Settings of the host.
    settings: &'a Settings,
    /// Ids of early items.
    early: &'a BTreeSet<String>,
    /// Who reads.
    side: Side,
}

/// Checks the profile's version.
fn ensure_version(version: &serde_json::Number) -> Result<(), Error> {
    if version.as_u64() == Some(u64::from(Profile::VERSION)) {
        Ok(())
    } else {
        Err(Error::Version(version.to_string()))
    }
}

/// Reads `settings`.
fn settings(text: &RawValue) -> Result<Settings, Invalid> {
    let mut fields = Fields::read("settings", text)?;
    let mut directory = |name: &str, default: &str| {
        let path = fields.optional::<PathBuf>(name)?.unwrap_or_else(|| default.into());
        fields.check(name, ensure_unit_path(&path))?;
        if path == Path::new("/") {
            return Err(Invalid::new(fields.place_of(name), "is the root directory"));
        }
        Ok(path)
    };
    let decrypted_dir = directory("decryptedDir", "/run/vaultix")?;
    let decrypted_dir_for_user = directory("decryptedDirForUser", "/run/vaultix-for-user")?;
    let decrypted_mount_point = directory("decryptedMountPoint", "/run/vaultix.d")?;
    if mount_unit(&decrypted_mount_point).len() > escape::MAX_UNIT_NAME {
        let reason = "is too long: no unit can have its name";
        return Err(Invalid::new("settings.decryptedMountPoint", reason));
    }
    for (name, link) in
        [("decryptedDir", &decrypted_dir), ("decryptedDirForUser", &decrypted_dir_for_user)]
    {
        if link.starts_with(&decrypted_mount_point) || decrypted_mount_point.starts_with(link) {
            return Err(Invalid::new(
                fields.place_of(name),
                format!("\"{}\" overlaps decryptedMountPoint", link.display()),
            ));
        }
    }
    if decrypted_dir.starts_with(&decrypted_dir_for_user)
        || decrypted_dir_for_user.starts_with(&decrypted_dir)
    {
        return Err(Invalid::new("settings.decryptedDirForUser", "overlaps decryptedDir"));
    }

    let host_identifier: String = fields.required("hostIdentifier")?;
    if matches!(host_identifier.as_str(), "" | "." | "..") || host_identifier.contains(['/', '\0'])
    {
        return Err(Invalid::new(
            fields.place_of("hostIdentifier"),
            format!("\"{host_identifier}\" cannot be the name of a directory"),
        ));
    }
    let host_pubkey: String = fields.required("hostPubkey")?;
    if host_pubkey.trim().is_empty() {
        return Err(Invalid::new(fields.place_of("hostPubkey"), "is empty"));
    }
    let host_keys = host_keys(
        &fields.place_of("hostKeys"),
        &fields.required::<Vec<Box<RawValue>>>("hostKeys")?,
    )?;
    let keep_generations = fields.optional("keepGenerations")?.unwrap_or(1);
    let systemctl = fields.optional("systemctl")?.unwrap_or_else(|| "systemctl".into());
    if systemctl == Path::new("") {
        return Err(Invalid::new(fields.place_of("systemctl"), "is empty"));
    }
    fields.finish()?;
    Ok(Settings {
        decrypted_dir,
        decrypted_dir_for_user,
        decrypted_mount_point,
        host_identifier,
        host_pubkey,
        host_keys,
        keep_generations,
        systemctl,
    })
}

/// Reads `settings.hostKeys`.
fn host_keys(place: &str, list: &[Box<RawValue>]) -> Result<Vec<HostKey>, Invalid> {
    list.iter()
        .enumerate()
        .map(|(i, text)| {
            let mut fields = Fields::read(format!("{place}.{i}"), text)?;
            let path: PathBuf = fields.required("path")?;
            fields.check("path", ensure_unit_path(&path))?;
            let kind = match fields.required::<String>("type")?.as_str() {
                "ed25519" => HostKeyKind::Ed25519,
                "rsa" => HostKeyKind::Rsa,
                "age" => HostKeyKind::Age,
                other => {
                    return Err(Invalid::new(
                        fields.place_of("type"),
                        format!("\"{other}\" is none of \"ed25519\", \"rsa\", \"age\""),
                    ));
                }
            };
            fields.finish()?;
            Ok(HostKey { path, kind })
        })
        .collect()
}

/// Reads `placeholder` and turns it round: hash → id.
fn placeholders(text: Option<&RawValue>) -> Result<BTreeMap<String, String>, Invalid> {
    let mut ids = BTreeMap::new();
    let Some(text) = text else { return Ok(ids) };
    for (id, text) in Entries::read("placeholder", text)?.0 {
        let place = join("placeholder", &id);
        let value: Option<String> = serde_json::from_str(text.get()).ok();
        let Some(hash) = value.as_deref().and_then(placeholder::hash) else {
            return Err(Invalid::new(place, "is not \"{{ <64 lower-case hex digits> }}\""));
        };
        if let Some(other) = ids.insert(hash.to_owned(), id) {
            return Err(Invalid::new(place, format!("is the placeholder of \"{other}\", too")));
        }
    }
    Ok(ids)
}

/// Reads a map of items with `item`, each on its own.
fn items<T: Identified>(
    text: Option<&RawValue>,
    kind: &str,
    item: impl Fn(String, &str, &RawValue) -> Result<T, Invalid>,
) -> Result<BTreeMap<String, Result<T, Invalid>>, Invalid> {
    let mut items = BTreeMap::new();
    let Some(text) = text else { return Ok(items) };
    for (key, text) in Entries::read(kind, text)?.0 {
        let item = item(join(kind, &key), &key, text);
        let id = match &item {
            Ok(item) => item.id().to_owned(),
            // What is wrong elsewhere has its id all the same, and its unit the name that others wait for.
            Err(_) => stated_id(text).unwrap_or_else(|| key.clone()),
        };
        let fault = items.contains_key(&id).then(|| {
            Invalid::new(join(kind, &key), format!("another one has the id \"{id}\", too"))
        });
        items.insert(id, fault.map_or(item, Err));
    }
    Ok(items)
}

/// Returns the `id` that an item states, if it states one that can be used.
fn stated_id(text: &RawValue) -> Option<String> {
    let id: String = Fields::read("", text).ok()?.optional("id").ok()??;
    ensure_id(&id).ok().map(|()| id)
}

/// An item that bears its id.
trait Identified {
    /// Returns the item's id.
    fn id(&self) -> &str;
    /// Returns where its plaintext goes.
    fn place(&self) -> &Placement;
}

impl Identified for Secret {
    fn id(&self) -> &str {
        &self.id
    }

    fn place(&self) -> &Placement {
        &self.place
    }
}

impl Identified for Template {
    fn id(&self) -> &str {
        &self.id
    }

    fn place(&self) -> &Placement {
        &self.place
    }
}

/// Reads one secret.
fn secret(place: String, key: &str, text: &RawValue, context: &Context) -> Result<Secret, Invalid> {
    let mut fields = Fields::read(place, text)?;
    let id = id(&mut fields, key)?;
    let cipher: Option<PathBuf> = fields.optional("cipher")?;
    let file: Option<PathBuf> = fields.optional("file")?;
    let (name, ciphertext) = match context.side {
        Side::Host => ("cipher", cipher),
        Side::Desk => ("file", file),
    };
    let ciphertext = ciphertext.ok_or_else(|| Invalid::new(fields.place_of(name), "is missing"))?;
    if context.side == Side::Host {
        fields.check(name, ensure_absolute(&ciphertext))?;
    } else if ciphertext == Path::new("") {
        return Err(Invalid::new(fields.place_of(name), "is empty"));
    }
    let generator = fields.raw("generator").filter(|_| context.side == Side::Desk);
    let generator =
        generator.map(|text| Generator::parse(fields.place_of("generator"), text)).transpose()?;
    let insert = insert(&fields.place_of("insert"), fields.raw("insert"))?;
    let clean_placeholder = fields.optional("cleanPlaceholder")?.unwrap_or(false);
    let allow_disk = fields.optional("allowDisk")?.unwrap_or(false);
    let place = placement(fields, &id, allow_disk, context)?;
    Ok(Secret { id, ciphertext, generator, insert, clean_placeholder, place })
}

/// Reads one template.
fn template(
    place: String,
    key: &str,
    object: &RawValue,
    context: &Context,
) -> Result<Template, Invalid> {
    let mut fields = Fields::read(place, object)?;
    fields.check("id", ensure_id(key))?;
    let text = fields.required("content")?;
    let trim = fields.optional("trim")?.unwrap_or(true);
    let place = placement(fields, key, false, context)?;
    Ok(Template { id: key.to_owned(), content: text, trim, place })
}

/// Reads a secret's `id`.
fn id(fields: &mut Fields, key: &str) -> Result<String, Invalid> {
    let id: String = fields.optional("id")?.unwrap_or_else(|| key.to_owned());
    fields.check("id", ensure_id(&id))?;
    Ok(id)
}

/// Checks that `id` can be the instance of a unit and the argument of a program.
fn ensure_id(id: &str) -> Result<(), Invalid> {
    if id.is_empty() {
        Err(Invalid::here("is empty"))
    } else if id.contains('\0') {
        Err(Invalid::here("holds a NUL character"))
    } else {
        Ok(())
    }
}

/// Reads a secret's `insert`: hash → text.
///
/// `order` is checked and then of no further use: each placeholder has one text, and a text that is put in is
/// not searched for placeholders again, so that every order gives the same bytes.
fn insert(place: &str, text: Option<&RawValue>) -> Result<BTreeMap<String, String>, Invalid> {
    let mut texts = BTreeMap::new();
    let Some(text) = text else { return Ok(texts) };
    for (hash, text) in Entries::read(place, text)?.0 {
        let mut fields = Fields::read(join(place, &hash), text)?;
        if !placeholder::is_hash(&hash) {
            return Err(Invalid::new(join(place, &hash), "is not 64 lower-case hex digits"));
        }
        fields.optional::<i64>("order")?;
        texts.insert(hash, fields.required("content")?);
        fields.finish()?;
    }
    Ok(texts)
}

/// Reads what secrets and templates have in common, and ends the reading.
fn placement(
    mut fields: Fields,
    id: &str,
    allow_disk: bool,
    context: &Context,
) -> Result<Placement, Invalid> {
    let early = context.early.contains(id);
    let name: String = fields.optional("name")?.unwrap_or_else(|| id.to_owned());
    fields.check("name", ensure_name(&name))?;
    let path = match fields.optional::<PathBuf>("path")? {
        Some(path) => {
            fields.check("path", ensure_path(&path, &name, early, context.settings))?;
            path
        }
        None if early => context.settings.decrypted_dir_for_user.join(&name),
        None => context.settings.decrypted_dir.join(&name),
    };
    let mode: Option<String> = fields.optional("mode")?;
    let mode = fields.check("mode", Mode::parse(mode.as_deref().unwrap_or("0400")))?;
    let owner = account(&mut fields, "owner", early)?;
    let group = account(&mut fields, "group", early)?;
    let symlink = fields.optional("symlink")?.unwrap_or(true);
    let restart_units = units(&mut fields, "restartUnits", early, context.settings)?;
    let reload_units = units(&mut fields, "reloadUnits", early, context.settings)?;
    fields.finish()?;
    Ok(Placement {
        name,
        path,
        mode,
        owner,
        group,
        symlink,
        allow_disk,
        restart_units,
        reload_units,
        early,
    })
}

/// Reads `owner` or `group`.
fn account(fields: &mut Fields, field: &str, early: bool) -> Result<String, Invalid> {
    let name: String = fields.optional(field)?.unwrap_or_else(|| "root".to_owned());
    fields.check(field, ensure_account(&name, early))?;
    Ok(name)
}

/// Checks that `name` can be an account's, which for an early item has to be known before accounts are.
fn ensure_account(name: &str, early: bool) -> Result<(), Invalid> {
    if name.is_empty() || name.contains([':', '\n', '\0']) {
        return Err(Invalid::here(format!("\"{name}\" cannot be the name of an account")));
    }
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit()) && name.parse::<u32>().is_ok();
    if early && name != "root" && !is_number {
        return Err(Invalid::here(format!(
            "\"{name}\" is a name, but the item is needed before users exist (beforeUserborn)"
        ))
        .fix("write a number or \"root\""));
    }
    Ok(())
}

/// Reads a list of unit names.
fn units(
    fields: &mut Fields,
    field: &str,
    early: bool,
    settings: &Settings,
) -> Result<Vec<String>, Invalid> {
    let units: Vec<String> = fields.optional(field)?.unwrap_or_default();
    units
        .iter()
        .try_for_each(|unit| fields.check(field, ensure_consumer(unit, early, settings)))?;
    Ok(units)
}

/// Checks that `unit` names a unit that can wait for an item.
fn ensure_consumer(unit: &str, early: bool, settings: &Settings) -> Result<(), Invalid> {
    if !is_unit_name(unit) {
        return Err(Invalid::here(format!("\"{unit}\" is not the name of a unit"))
            .fix("write it in full, like \"nginx.service\""));
    }
    if is_before(unit, early, settings) {
        return Err(Invalid::here(format!(
            "\"{unit}\" comes before this item, so that it cannot wait for it; systemd would drop one of the two"
        )));
    }
    Ok(())
}

/// Returns whether items are ordered after `unit`, which would make a cycle of a consumer's ordering.
fn is_before(unit: &str, early: bool, settings: &Settings) -> bool {
    unit == mount_unit(&settings.decrypted_mount_point)
        || unit.starts_with("vaultix")
        || unit == "sysinit.target"
        || (!early && USERS.contains(&unit))
}

/// Returns the name of the unit that mounts `path`.
fn mount_unit(path: &Path) -> String {
    escape::path_unit(&path.to_string_lossy(), "mount")
}

/// Returns whether `name` is one that systemd accepts, and one that a job can be queued for.
///
/// Rule: systemd.unit(5), "Unit File Load Path" and "String Escaping for Inclusion in Unit Names".
fn is_unit_name(name: &str) -> bool {
    /// Kinds of units, from systemd.unit(5).
    const SUFFIXES: [&str; 11] = [
        "service",
        "socket",
        "device",
        "mount",
        "automount",
        "swap",
        "target",
        "path",
        "timer",
        "slice",
        "scope",
    ];
    let Some((stem, suffix)) = name.rsplit_once('.') else { return false };
    name.len() <= 255
        && SUFFIXES.contains(&suffix)
        && !stem.is_empty()
        && !stem.starts_with(['@', '.', '-'])
        && !stem.ends_with('@')
        && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte))
}

/// Checks that `name` stays inside the directory it is joined to.
fn ensure_name(name: &str) -> Result<(), Invalid> {
    let fault = |problem: &str| Err(Invalid::here(format!("\"{name}\" {problem}")));
    if name.is_empty() {
        return Err(Invalid::here("is empty"));
    }
    if name.contains('\0') {
        return fault("holds a NUL character");
    }
    if name.starts_with('/') {
        return fault("is absolute; set path to place the file elsewhere");
    }
    for component in name.split('/') {
        match component {
            "" => return fault("has an empty component"),
            "." | ".." => return fault("has a component \".\" or \"..\""),
            long if long.len() > 255 => return fault("has a component longer than 255 bytes"),
            _ => {}
        }
    }
    if name.split('/').next() == Some(RESERVED_NAME) {
        return fault("is reserved for the generation's own record");
    }
    Ok(())
}

/// Checks that `path` is absolute, and written in the one way that can be compared.
fn ensure_absolute(path: &Path) -> Result<(), Invalid> {
    let text = path.to_string_lossy();
    let Some(inside) = text.strip_prefix('/') else {
        return Err(Invalid::here(format!("\"{text}\" is not an absolute path")));
    };
    if text.contains('\0') {
        return Err(Invalid::here("holds a NUL character"));
    }
    if !inside.is_empty() && inside.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Invalid::here(format!(
            "\"{text}\" has a component \".\", \"..\" or an empty one"
        )));
    }
    Ok(())
}

/// Checks that a unit can name the absolute `path`: systemd takes white space at the end of a value away, and has
/// no spelling for control characters in one.
fn ensure_unit_path(path: &Path) -> Result<(), Invalid> {
    ensure_absolute(path)?;
    let text = path.to_string_lossy();
    if text.ends_with(' ') || escape::value(&text).trim_end() != text.replace('%', "%%") {
        let reason = "ends in a space, or holds a character, that no unit file can name";
        return Err(Invalid::here(format!("{text:?} {reason}")));
    }
    Ok(())
}

/// Checks a `path` that was given: what lies in our directories is made by us and found by `name`.
fn ensure_path(path: &Path, name: &str, early: bool, settings: &Settings) -> Result<(), Invalid> {
    ensure_absolute(path)?;
    if path == settings.decrypted_dir.join(name) {
        return Ok(());
    }
    if path == settings.decrypted_dir_for_user.join(name) {
        let shown = path.display();
        let reason =
            format!("\"{shown}\" is for what is needed before users exist (beforeUserborn)");
        let fix = "leave path out, or add the item to beforeUserborn";
        return if early { Ok(()) } else { Err(Invalid::here(reason).fix(fix)) };
    }
    let ours = [
        &settings.decrypted_dir,
        &settings.decrypted_dir_for_user,
        &settings.decrypted_mount_point,
    ];
    match ours.into_iter().find(|ours| path.starts_with(ours) || ours.starts_with(path)) {
        Some(ours) => {
            Err(Invalid::here(format!("\"{}\" overlaps \"{}\"", path.display(), ours.display()))
                .fix("set name to choose a file in there, or a path elsewhere"))
        }
        None => Ok(()),
    }
}

/// Returns the host keys whose type can open what is encrypted to the host's recipient.
pub fn fitting_keys(settings: &Settings) -> impl Iterator<Item = &HostKey> {
    let word = settings.host_pubkey.split_ascii_whitespace().next().unwrap_or_default();
    let kind = match word {
        "ssh-ed25519" => Some(HostKeyKind::Ed25519),
        "ssh-rsa" => Some(HostKeyKind::Rsa),
        age if age.starts_with("age1") => Some(HostKeyKind::Age),
        _ => None,
    };
    settings.host_keys.iter().filter(move |key| Some(key.kind) == kind)
}

/// Turns early templates that use a value which is not there so early into faults.
fn refuse_late_values(
    templates: &mut BTreeMap<String, Result<Template, Invalid>>,
    placeholders: &BTreeMap<String, String>,
    early: &BTreeSet<String>,
) {
    for (id, entry) in templates {
        let Ok(template) = entry else { continue };
        if !template.place.early {
            continue;
        }
        let late =
            template.secrets(placeholders).into_iter().find(|secret| !early.contains(*secret));
        if let Some(secret) = late {
            *entry = Err(Invalid::new(
                join(TEMPLATES, id),
                format!(
                    "is needed before users exist, but uses the secret \"{secret}\", which is not"
                ),
            )
            .fix(format!("add \"{secret}\" to beforeUserborn")));
        }
    }
}

impl Template {
    /// Returns the ids of the secrets whose placeholders stand in the text, sorted, each once.
    ///
    /// A placeholder of no known secret is not among them: rendering reports it.
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

/// Turns items into faults that would be written to one file, or one into a directory of another's name.
///
/// Both of the two are refused: which one was meant cannot be known, and a reader of the file would get
/// either.
fn refuse_clashes(
    secrets: &mut BTreeMap<String, Result<Secret, Invalid>>,
    templates: &mut BTreeMap<String, Result<Template, Invalid>>,
) {
    let faults =
        clashes(&placed(SECRETS, secrets).chain(placed(TEMPLATES, templates)).collect::<Vec<_>>());
    for ((kind, id), fault) in faults {
        if kind == SECRETS {
            secrets.insert(id, Err(fault));
        } else {
            templates.insert(id, Err(fault));
        }
    }
}

/// An item, by its field of the profile and its id.
type Item<'a> = (&'static str, &'a str);

/// Returns where the items that are right go.
fn placed<'a, T: Identified>(
    kind: &'static str,
    items: &'a BTreeMap<String, Result<T, Invalid>>,
) -> impl Iterator<Item = (Item<'a>, &'a Placement)> {
    items
        .iter()
        .filter_map(move |(id, item)| Some(((kind, id.as_str()), item.as_ref().ok()?.place())))
}

/// Finds the items that are in each other's way.
fn clashes(places: &[(Item, &Placement)]) -> BTreeMap<(&'static str, String), Invalid> {
    let mut names: BTreeMap<&str, Item> = BTreeMap::new();
    let mut paths: BTreeMap<&OsStr, Item> = BTreeMap::new();
    let mut faults = BTreeMap::new();
    let mut clash = |field: &str, value: &str, one: Item, other: Item| {
        for ((kind, id), rival) in [(one, other), (other, one)] {
            faults.entry((kind, id.to_owned())).or_insert_with(|| {
                let rival = join(rival.0, rival.1);
                Invalid::new(
                    join(&join(kind, id), field),
                    format!("\"{value}\" is taken by {rival}, too"),
                )
            });
        }
    };
    for (item, place) in places {
        // As text, which is written in one way only.
        let path = place.path.as_os_str();
        if let Some(other) = names.insert(&place.name, *item) {
            clash("name", &place.name, *item, other);
        } else if let Some(other) = paths.insert(path, *item) {
            clash("path", &path.to_string_lossy(), *item, other);
        }
    }
    for (item, place) in places {
        for (end, _) in place.name.match_indices('/') {
            let parent = place.name.get(..end).unwrap_or_default();
            if let Some(other) = names.get(parent) {
                clash("name", parent, *item, *other);
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests;
