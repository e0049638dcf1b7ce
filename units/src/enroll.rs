//! a path → an identity of this host there, which nothing replaces, and its recipient.
//!
//! It has to be there at every boot from now on: so what does not survive one is refused, and it is on the disk before anybody
//! hears of its recipient.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use age_core::secrecy::ExposeSecret;
use rustix::fs::{
    self, AtFlags, FileType, FlockOperation, Mode, OFlags, ResolveFlags, Stat, StatxFlags,
};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use vaultix_generator::profile::HOST_SECRET;
use vaultix_generator::profile::Layout;
use vaultix_generator::status::Status;
use zeroize::Zeroizing;

use crate::acl;
use crate::bounded;
use crate::creds::{Creds, Key};
use crate::failure::{Failure, Level, log};
use crate::identity::{AgeIdentity, Reason, native};
use crate::mounts::{self, RAMFS_MAGIC, TMPFS_MAGIC};
use crate::pq;
use crate::stack;

/// Where the identity is unless another place is named. Also in `nix/enroll.nix`.
pub const DEFAULT_PATH: &str = "/var/lib/vaultix/host.age";
/// The same for a sealed one.
pub const DEFAULT_SEALED_PATH: &str = "/var/lib/vaultix/host.cred";

/// Mode of its directory, if that is made.
const PRIVATE: Mode = Mode::from_raw_mode(0o700);
/// Mode of directories above it, if they are made.
const PARENT: Mode = Mode::from_raw_mode(0o755);
/// Mode of the file.
const SECRET: Mode = Mode::from_raw_mode(0o400);

/// Permission bits that let others than the owner write.
const SHARED: u32 = 0o022;

/// `OVERLAYFS_SUPER_MAGIC` of linux/magic.h.
const OVERLAY_MAGIC: u64 = 0x794c_7630;
/// Most overlays on top of each other, as in the kernel.
const MAX_LAYERS: usize = 2;
/// Most of the table of mounts that is read, in bytes (64 MiB).
const MAX_TABLE: u64 = 64 << 20;

/// Where the identity comes, and of which kind it is.
pub struct Place<'a> {
    /// Its path on the host.
    pub path: &'a Path,
    /// The root directory of that host.
    pub root: &'a Path,
    /// Who alone can read it: root, or the user who runs this program.
    pub owner: u32,
    /// Whether it is an X25519 identity, and not a post-quantum one.
    pub is_small: bool,
    /// How it is sealed, if it is.
    pub seal: Option<Seal>,
}

/// How an identity is sealed.
pub struct Seal {
    /// The program that does it.
    pub creds: Creds,
    /// With what.
    pub key: Key,
    /// The registers of the TPM that it is bound to as well.
    pub pcrs: Option<String>,
}

/// The identity of the host.
pub struct Enrolled {
    /// What is encrypted to it.
    pub recipient: String,
    /// Whether it was made now.
    pub is_new: bool,
}

impl Place<'_> {
    /// Makes the identity, if there is none yet.
    ///
    /// # Errors
    ///
    /// The place does not survive a reboot, others can write there, or something else is there; then nothing has changed.
    pub fn enroll(&self) -> Result<Enrolled, Failure> {
        if rustix::process::geteuid().as_raw() != self.owner {
            let reason = "only root can make it; run: sudo vaultix-decrypt enroll";
            return Err(Failure::new(Status::NoPerm, reason));
        }
        let mut parts = self.path.components();
        let is_plain = parts.next() == Some(Component::RootDir)
            && parts.all(|part| matches!(part, Component::Normal(_)));
        let (Some(above), Some(name), true) = (self.path.parent(), self.path.file_name(), is_plain)
        else {
            return Err(self.failed("is not an absolute path of a file, without \"..\""));
        };
        if self.seal.is_some() && self.root != Path::new("/") {
            return Err(self.failed(format!(
                "systemd seals for the system that runs, which is not the one in {}; run it there, without --root: at its \
                 first boot, or in nixos-enter",
                self.root.display()
            )));
        }
        let root = fs::open(self.root, directory_flags(), Mode::empty())
            .map_err(|error| Failure::path(Status::CantCreat, "open", self.root, error))?;
        let directory = self.directory(&root, above, PRIVATE)?;
        let mode = fs::fstat(&directory).map_err(|error| self.failed(error))?.st_mode;
        if mode & SHARED != 0 {
            return Err(self.failed("others can make files in its directory"));
        }
        // Two at once: the second one finds what the first has made.
        fs::flock(&directory, FlockOperation::LockExclusive).map_err(|error| self.failed(error))?;
        let mut new = OsString::from(".");
        new.push(name);
        new.push(".new");
        match fs::unlinkat(&directory, &*new, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(self.failed(error)),
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match fs::openat(&directory, name, flags, Mode::empty()) {
            Ok(file) => self.existing(file.into()),
            Err(Errno::NOENT) => self.make(&directory, &new, name),
            Err(Errno::LOOP) => Err(self.failed("is a link, which is not followed")),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Opens the directory `path` below `root`, links in it included, and makes what is missing of it.
    fn directory(&self, root: &OwnedFd, path: &Path, mode: Mode) -> Result<OwnedFd, Failure> {
        let below = path.strip_prefix("/").unwrap_or(path);
        let below = if below == Path::new("") { Path::new(".") } else { below };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let open = || {
            if self.root == Path::new("/") {
                // The same, without a call that systemd's filters know nothing of, and refuse.
                return fs::openat(root, below, directory_flags(), Mode::empty());
            }
            fs::openat2(root, below, directory_flags(), Mode::empty(), resolve)
        };
        let failed = |error| Failure::path(Status::CantCreat, "open", path, error);
        match (open(), path.parent(), path.file_name()) {
            (Ok(found), ..) => {
                self.ensure_lasting(&found)?;
                self.ensure_safe(&found).map(|()| found)
            }
            (Err(Errno::NOENT), Some(parent), Some(name)) => {
                let above = self.directory(root, parent, PARENT)?;
                match fs::mkdirat(&above, name, mode) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => {
                        return Err(Failure::path(Status::CantCreat, "create", path, error));
                    }
                }
                // The directory has to be there after a power failure as well.
                fs::fsync(&above).map_err(failed)?;
                open().map_err(failed)
            }
            (Err(error), ..) => Err(failed(error)),
        }
    }

    /// Makes sure that what is in `directory` is still there after a reboot, as far as that can be told.
    fn ensure_lasting(&self, directory: &OwnedFd) -> Result<(), Failure> {
        let table = || bounded::read(Path::new("/proc/self/mountinfo"), MAX_TABLE);
        match is_lasting(directory, 0, &table) {
            Ok(Some(true)) => Ok(()),
            Ok(Some(false)) => Err(self.failed(
                "is in memory, and would not survive a reboot; name a place on a disk with --path",
            )),
            Ok(None) => {
                unsure(self.path);
                Ok(())
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Makes sure that the key of systemd is still there after a reboot, or its directory if there is none yet.
    fn ensure_unsealable(&self) -> Result<(), Failure> {
        let secret = Path::new(HOST_SECRET);
        let table = || bounded::read(Path::new("/proc/self/mountinfo"), MAX_TABLE);
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let held = secret.ancestors().find_map(|path| fs::open(path, flags, Mode::empty()).ok());
        let Some(held) = held else { return Err(self.failed("cannot open /")) };
        match is_lasting(held, 0, &table) {
            Ok(Some(true)) => Ok(()),
            Ok(Some(false)) => Err(self.failed(format!(
                "cannot seal it: {HOST_SECRET}, which systemd seals with, is in memory, and would not survive a reboot; \
                 keep /var/lib/systemd on a disk, or seal with the TPM alone: --seal-with tpm2"
            ))),
            Ok(None) => {
                unsure(secret);
                Ok(())
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Makes sure that only root and the owner can exchange `directory`, or what they have in it.
    fn ensure_safe(&self, directory: &OwnedFd) -> Result<(), Failure> {
        let stat = |held: &OwnedFd| fs::fstat(held).map_err(|error| self.failed(error));
        let mut held = directory.try_clone().map_err(|error| self.failed(error))?;
        let mut here = stat(&held)?;
        loop {
            let is_of_others = here.st_uid != 0 && here.st_uid != self.owner;
            if is_of_others || here.st_mode & SHARED != 0 && here.st_mode & 0o1000 == 0 {
                let who = if self.owner == 0 { "root" } else { "you" };
                return Err(
                    self.failed(format!("others than {who} can exchange a directory above it"))
                );
            }
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            held = fs::openat(&held, "..", flags, Mode::empty())
                .map_err(|error| self.failed(error))?;
            let above = stat(&held)?;
            if (above.st_dev, above.st_ino) == (here.st_dev, here.st_ino) {
                return Ok(());
            }
            here = above;
        }
    }

    /// Takes the identity that is there already.
    fn existing(&self, file: File) -> Result<Enrolled, Failure> {
        let stat = fs::fstat(&file).map_err(|error| self.failed(error))?;
        if !is_private(&stat, self.owner) {
            let whose = if self.owner == 0 { "root's" } else { "yours" };
            return Err(self.failed(format!(
                "is there, but not a file of {whose} that nobody else can read; if it is an identity that others may have \
                 read, make a new one with --path"
            )));
        }
        let mut text =
            bounded::read_file(file, bounded::MAX_IDENTITY).map_err(|error| self.failed(error))?;
        if let Some(seal) = &self.seal {
            text = seal.creds.unseal(&text).map_err(|why| {
                self.failed(format!(
                    "is there, and stays, but cannot be unsealed: {why}; to make another one, move it away or name another \
                     place with --path"
                ))
            })?;
        }
        let identities = stack::wiped(|| native(&text));
        let identity = identities.map(|all| all.into_iter().next());
        match (identity, self.is_small) {
            (Ok(Some(AgeIdentity::X25519(_))), false) => Err(self.failed(
                "has an X25519 identity already, which stays; to use it, add --x25519; for a post-quantum one, name another \
                 place with --path",
            )),
            (Ok(Some(AgeIdentity::PostQuantum(_))), true) => Err(self.failed(
                "has a post-quantum identity already, which stays; to use it, leave out --x25519",
            )),
            (Ok(Some(identity)), _) => {
                Ok(Enrolled { recipient: identity.recipient(), is_new: false })
            }
            (Ok(None) | Err(Reason::Empty), _) => {
                Err(self.failed("is there, but contains no identity; name another place with --path"))
            }
            (Err(_), _) => Err(self.failed(
                "is there, but is not a file with identities of age; name another place with --path",
            )),
        }
    }

    /// Makes a new identity: the file `new`, and then its name, unless something else has it by then.
    fn make(&self, directory: &OwnedFd, new: &OsStr, name: &OsStr) -> Result<Enrolled, Failure> {
        let (text, recipient) = generate(self.is_small).map_err(|error| self.failed(error))?;
        let sealed =
            self.seal.as_ref().map(|seal| self.sealed(seal, text.as_bytes())).transpose()?;
        let text = sealed.as_deref().unwrap_or(text.as_bytes());
        let write = || -> io::Result<()> {
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(fs::openat(directory, new, flags, SECRET)?);
            acl::take_away(&file)?;
            fs::fchmod(&file, SECRET)?;
            file.write_all(text)?;
            file.sync_all()?;
            // Not a rename, which could replace something.
            fs::linkat(directory, new, directory, name, AtFlags::empty())?;
            Ok(())
        };
        let written = write();
        let removed = fs::unlinkat(directory, new, AtFlags::empty());
        written.and(removed.map_err(io::Error::from)).map_err(|error| self.failed(error))?;
        fs::fsync(directory).map_err(|error| self.failed(error))?;
        Ok(Enrolled { recipient, is_new: true })
    }

    /// Returns `text` sealed, which can be unsealed on this system.
    fn sealed(&self, seal: &Seal, text: &[u8]) -> Result<Vec<u8>, Failure> {
        if seal.key != Key::Tpm2 {
            self.ensure_unsealable()?;
        }
        let cannot = |why| self.failed(format!("cannot seal it: {why}"));
        let sealed = seal.creds.seal(text, seal.key, seal.pcrs.as_deref()).map_err(cannot)?;
        let unsealed = seal.creds.unseal(&sealed).map_err(cannot)?;
        if *unsealed != text {
            return Err(cannot("what systemd-creds unseals is not what it has sealed".to_owned()));
        }
        Ok(sealed)
    }

    fn failed(&self, why: impl std::fmt::Display) -> Failure {
        Failure::new(Status::CantCreat, format!("{}: {why}", self.path.display()))
    }
}

/// Warns that `path` may not survive a reboot.
fn unsure(path: &Path) {
    let path = path.display();
    log(
        Level::Warning,
        &format!("cannot tell whether {path} survives a reboot: it is on an overlay"),
    );
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

/// Returns whether nobody but `owner` can read or change it.
fn is_private(stat: &Stat, owner: u32) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_uid == owner
        && !Mode::from_raw_mode(stat.st_mode).intersects(Mode::RWXG | Mode::RWXO)
}

/// Returns the text of a new identity, as age-keygen writes it, and its recipient.
fn generate(is_small: bool) -> Result<(Zeroizing<String>, String), Errno> {
    let (secret, recipient) = if is_small {
        let identity = age::x25519::Identity::generate();
        let text = Zeroizing::new(identity.to_string().expose_secret().to_owned());
        (text, identity.to_public().to_string())
    } else {
        let mut seed = Zeroizing::new([0_u8; 32]);
        // Never less than asked for, up to 256 bytes; see getrandom(2).
        getrandom(&mut *seed, GetRandomFlags::empty())?;
        let identity = pq::Identity::from_seed(&seed);
        (identity.to_text(), identity.to_public().to_string())
    };
    // Allocated at its final size: a text that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(recipient.len() + secret.len() + 32));
    for part in ["# public key: ", &recipient, "\n", &secret, "\n"] {
        text.push_str(part);
    }
    Ok((text, recipient))
}

/// Returns whether what is in `directory` outlives a reboot; `None` if that cannot be told: of an overlay, the writable layer
/// counts, which need not be visible.
fn is_lasting(
    directory: impl AsFd,
    layer: usize,
    table: &dyn Fn() -> io::Result<Zeroizing<Vec<u8>>>,
) -> io::Result<Option<bool>> {
    let directory = directory.as_fd();
    let magic = u64::try_from(fs::fstatfs(directory)?.f_type).unwrap_or_default() & 0xffff_ffff;
    if magic == TMPFS_MAGIC || magic == RAMFS_MAGIC {
        return Ok(Some(false));
    }
    if magic != OVERLAY_MAGIC {
        return Ok(Some(true));
    }
    if layer >= MAX_LAYERS {
        return Ok(None);
    }
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let mount = fs::statx(directory, "", flags, StatxFlags::MNT_ID)?.stx_mnt_id;
    let Some(upper) = upper_layer(&table()?, mount) else { return Ok(None) };
    match fs::open(&upper, directory_flags(), Mode::empty()) {
        Ok(upper) => is_lasting(upper, layer + 1, table),
        Err(_) => Ok(None),
    }
}

/// Returns the writable layer of the overlay `mount`, by the table of mounts.
fn upper_layer(table: &[u8], mount: u64) -> Option<PathBuf> {
    let start = format!("{mount} ");
    let mut lines = table.split(|byte| *byte == b'\n');
    let line = lines.find(|line| line.starts_with(start.as_bytes()))?;
    let options = line.rsplit(|byte| *byte == b' ').next()?;
    let mut options = options.split(|byte| *byte == b',');
    let upper = options.find_map(|option| option.strip_prefix(b"upperdir="))?;
    let path = mounts::unescaped(upper);
    Some(PathBuf::from(String::from_utf8(path).ok()?))
}

/// Returns the lines of a configuration that make this identity the host's, or a user's.
#[must_use]
pub fn configuration(recipient: &str, path: &Path, layout: Layout, is_sealed: bool) -> [String; 2] {
    let kind = if is_sealed { "credential" } else { "age" };
    let path = path.display().to_string();
    let path = path.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "\\${");
    if let Layout::User(_) = layout {
        return [
            format!("vaultix.settings.recipient = \"{recipient}\";"),
            format!("vaultix.settings.identities = [ \"{path}\" ];"),
        ];
    }
    [
        format!("vaultix.settings.hostPubkey = \"{recipient}\";"),
        format!("vaultix.settings.hostKeys = [ {{ path = \"{path}\"; type = \"{kind}\"; }} ];"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    #[test]
    fn a_new_identity_is_what_its_recipient_says() {
        for is_small in [false, true] {
            let (text, recipient) = generate(is_small).unwrap();
            let found = native(text.as_bytes()).unwrap();
            assert_eq!(found.iter().map(AgeIdentity::recipient).collect::<Vec<_>>(), [recipient]);
            assert_ne!(*generate(is_small).unwrap().0, *text);
        }
    }

    #[test]
    fn the_writable_layer_is_that_of_the_mount() {
        let table = b"31 1 0:27 / / rw,relatime - overlay overlay rw,lowerdir=/a,upperdir=/run/b\\040c,workdir=/w\n\
            131 1 0:28 / /x ro,relatime - overlay overlay ro,lowerdir=/a:/b\n";
        assert_eq!(upper_layer(table, 31), Some("/run/b c".into()));
        assert_eq!(upper_layer(table, 131), None);
        assert_eq!(upper_layer(table, 1), None);
    }

    #[test]
    fn a_path_stays_one_text_of_nix() {
        let [_, line] = configuration("age1x", Path::new("/a\"${b}\\c"), Layout::Host, false);
        assert!(line.contains(r#"path = "/a\"\${b}\\c";"#), "{line}");
    }
}
