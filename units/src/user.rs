//! a profile of a user + who runs this program → the same profile with that user's places, and the directory that its
//! generations are in.
//!
//! A user has no ramfs, since only root may mount one. Their runtime directory is a tmpfs that nobody else can access, and it is
//! gone when they have logged out. Nothing is placed anywhere else.

use std::path::{Path, PathBuf};

use rustix::fs::{self, Mode, Stat};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid, getgid, getuid};
use vaultix_generator::profile::{HostKey, Layout, Manager, Placement, Profile};
use vaultix_generator::status::Status;

use crate::failure::Failure;
use crate::mounts::{Mounts, is_tmpfs};
use crate::path::{Missing, open_trusted_parent};
use crate::replace::{DIRECTORY, make_directory};

/// The variable with the runtime directory.
const RUNTIME: &str = "XDG_RUNTIME_DIR";
/// The directory of the generations in it.
const GENERATIONS: &str = "vaultix.d";
/// What is a link to early items on a host. A user has none.
const EARLY: &str = "vaultix-for-user";
/// Mode of both directories.
const PRIVATE: u32 = 0o700;

/// Returns the user who runs this program for themselves.
///
/// # Errors
///
/// [`Status::Usage`]: it is root, or the program has been given the rights of somebody else.
pub fn runner() -> Result<u32, Failure> {
    let (user, group) = (getuid(), getgid());
    let reason = if (user, group) != (geteuid(), getegid()) {
        "this program has the rights of another user or group (setuid), and places nothing for anybody then"
    } else if user.is_root() {
        "root has the secrets of the host; leave out --user, or run this as the user: systemctl --user start \
         vaultix-switch.service"
    } else {
        return Ok(user.as_raw());
    };
    Err(Failure::new(Status::Usage, reason))
}

/// Returns where the profile of the user is.
#[must_use]
pub fn default_profile() -> PathBuf {
    configuration().join("vaultix/profile.json")
}

/// Returns where an identity of the user is made: not where `vaultix init` puts the master identity.
#[must_use]
pub fn default_identity() -> PathBuf {
    configuration().join("vaultix/home.age")
}

/// Returns the user's directory for configurations, as in the XDG base directory specification.
fn configuration() -> PathBuf {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|it| it.is_absolute());
    // Never below the directory where somebody else has led this program.
    let home = || absolute("HOME").unwrap_or_else(|| "/".into()).join(".config");
    absolute("XDG_CONFIG_HOME").unwrap_or_else(home)
}

/// Makes `profile` that of the user `uid`, who runs this program: with their places, their manager, and their number on every
/// file.
///
/// # Errors
///
/// [`Status::Config`]: it has items that only a host can place.
pub fn adopt(profile: &mut Profile, uid: u32) -> Result<(), Failure> {
    if !profile.early.is_empty() {
        let reason =
            "beforeUserborn is not empty, and a user has nothing that is needed before users exist";
        return Err(Failure::new(Status::Config, reason));
    }
    if profile.settings.host_keys.iter().any(HostKey::is_sealed) {
        let reason = "settings.hostKeys: a user cannot have a key that is sealed to the machine";
        return Err(Failure::new(Status::Config, reason));
    }
    let runtime = std::env::var_os(RUNTIME).map(PathBuf::from).unwrap_or_default();
    let settings = &mut profile.settings;
    settings.layout = Layout::User(uid);
    settings.systemctl.manager = Manager::User;
    settings.decrypted_mount_point = runtime.join(GENERATIONS);
    settings.decrypted_dir_for_user = runtime.join(EARLY);
    let (owner, group) = (uid.to_string(), getgid().as_raw().to_string());
    let adopt = |place: &mut Placement| {
        place.owner.clone_from(&owner);
        place.group.clone_from(&group);
        // Other users are notified by root alone.
        place.restart_user_units.clear();
        place.reload_user_units.clear();
    };
    profile.secrets.values_mut().flatten().for_each(|it| adopt(&mut it.placement));
    profile.templates.values_mut().flatten().for_each(|it| adopt(&mut it.placement));
    Ok(())
}

/// Opens `path`, the directory of the generations of the user `uid`, and makes it if it is missing.
///
/// The checks are made on the descriptors: nobody but the user and root can exchange a directory on the way.
///
/// # Errors
///
/// [`Status::CantCreat`]: the runtime directory is not known, not on a tmpfs, or somebody else could access it.
pub(crate) fn open(path: &Path, uid: u32) -> Result<Mounts, Failure> {
    if !path.is_absolute() {
        let reason = format!(
            "{RUNTIME} is not the absolute path of your runtime directory; run this where you have logged in, or: \
             systemctl --user start vaultix-switch.service"
        );
        return Err(Failure::new(Status::CantCreat, reason));
    }
    let (runtime, name) = open_trusted_parent(path, Layout::User(uid), Missing::Fail)?;
    let above = path.parent().unwrap_or(path);
    let stat = |held, path: &Path| {
        fs::fstat(held).map_err(|error| Failure::path(Status::CantCreat, "look at", path, error))
    };
    let refused = |why: String| {
        let what = format!("{} {why}, so that nothing is decrypted to it", above.display());
        Failure::new(Status::CantCreat, format!("{what}; {RUNTIME} has to be what systemd has set"))
    };
    let around = stat(&runtime, above)?;
    if around.st_uid != uid {
        return Err(refused(format!("belongs to user {}", around.st_uid)));
    }
    if bits(&around) != PRIVATE {
        return Err(refused(format!("has mode {:04o} and not 0700", bits(&around))));
    }
    if !is_tmpfs(&runtime) {
        return Err(refused("is not a tmpfs".to_owned()));
    }
    let failed = |error: Errno| Failure::write(path, error);
    let name = name.to_str().unwrap_or(GENERATIONS);
    let root = make_directory(&runtime, name, Mode::from_raw_mode(PRIVATE)).map_err(failed)?;
    let inside = stat(&root, path)?;
    if (inside.st_uid, inside.st_dev) != (uid, around.st_dev) {
        let reason = "it belongs to somebody else, or something is mounted there";
        return Err(Failure::write(path, reason));
    }
    if bits(&inside) != PRIVATE {
        fs::fchmod(&root, Mode::from_raw_mode(PRIVATE)).map_err(failed)?;
    }
    let private = fs::openat(&root, ".", DIRECTORY, Mode::empty()).map_err(failed)?;
    Ok(Mounts { private, root })
}

/// Returns the permission bits.
fn bits(stat: &Stat) -> u32 {
    stat.st_mode & 0o7777
}
