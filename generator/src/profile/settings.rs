//! `settings` of profile.json → checked [`Settings`].

use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::check::{ensure_program, ensure_unit_path, mount_unit};
use super::fields::{Fields, Invalid};
use super::{HostKey, HostKeyKind, Layout, Manager, PRIVATE_DIR, Settings, Systemctl};
use crate::escape;

const SETTINGS: [&str; 10] = [
    "beforeNetwork",
    "decryptedDir",
    "decryptedDirForUser",
    "decryptedMountPoint",
    "hostIdentifier",
    "hostKeys",
    "hostPubkey",
    "keepGenerations",
    "lateMounts",
    "systemctl",
];

/// Reads `settings`.
pub(super) fn settings(text: &RawValue) -> Result<Settings, Invalid> {
    let mut fields = Fields::read("settings", text)?;
    fields.ensure_known(&[&SETTINGS])?;
    let mut directory = |name: &str, default: &str| {
        let path = fields.optional::<PathBuf>(name)?.unwrap_or_else(|| default.into());
        fields.check(name, ensure_unit_path(&path))?;
        if path == Path::new("/") {
            return Err(Invalid::new(fields.location_of(name), "is the root directory"));
        }
        Ok(path)
    };
    let decrypted_dir = directory("decryptedDir", "/run/vaultix")?;
    let decrypted_dir_for_user = directory("decryptedDirForUser", "/run/vaultix-for-user")?;
    let decrypted_mount_point = directory("decryptedMountPoint", "/run/vaultix.d")?;
    if mount_unit(&decrypted_mount_point).len() > escape::MAX_UNIT_NAME {
        let reason = "is too long for the name of a mount unit";
        return Err(Invalid::new("settings.decryptedMountPoint", reason));
    }
    for (name, link) in
        [("decryptedDir", &decrypted_dir), ("decryptedDirForUser", &decrypted_dir_for_user)]
    {
        if link.starts_with(&decrypted_mount_point) || decrypted_mount_point.starts_with(link) {
            return Err(Invalid::new(
                fields.location_of(name),
                format!("\"{}\" overlaps decryptedMountPoint", link.display()),
            ));
        }
    }
    if decrypted_dir.starts_with(&decrypted_dir_for_user)
        || decrypted_dir_for_user.starts_with(&decrypted_dir)
    {
        return Err(Invalid::new("settings.decryptedDirForUser", "overlaps decryptedDir"));
    }
    for (name, path) in [
        ("decryptedDir", &decrypted_dir),
        ("decryptedDirForUser", &decrypted_dir_for_user),
        ("decryptedMountPoint", &decrypted_mount_point),
    ] {
        if path.starts_with(PRIVATE_DIR) || Path::new(PRIVATE_DIR).starts_with(path) {
            return Err(Invalid::new(
                fields.location_of(name),
                format!(
                    "\"{}\" overlaps {PRIVATE_DIR}, where the ramfs is mounted",
                    path.display()
                ),
            ));
        }
    }

    let host_identifier: String = fields.required("hostIdentifier")?;
    if matches!(host_identifier.as_str(), "" | "." | "..") || host_identifier.contains(['/', '\0'])
    {
        return Err(Invalid::new(
            fields.location_of("hostIdentifier"),
            format!("\"{host_identifier}\" cannot be the name of a directory"),
        ));
    }
    let host_pubkey: String = fields.required("hostPubkey")?;
    let host_keys = host_keys(
        &fields.location_of("hostKeys"),
        &fields.required::<Vec<Box<RawValue>>>("hostKeys")?,
    )?;
    let keep_generations = fields.optional("keepGenerations")?.unwrap_or(1);
    let before_network = fields.optional("beforeNetwork")?.unwrap_or(true);
    let late_mounts: Vec<PathBuf> = fields.optional("lateMounts")?.unwrap_or_default();
    for mount in &late_mounts {
        fields.check("lateMounts", ensure_late_mount(mount))?;
    }
    let systemctl: PathBuf = fields.optional("systemctl")?.unwrap_or_else(|| "systemctl".into());
    fields.check("systemctl", ensure_program(&systemctl))?;
    fields.finish()?;
    Ok(Settings {
        decrypted_dir,
        decrypted_dir_for_user,
        decrypted_mount_point,
        host_identifier,
        host_pubkey,
        host_keys,
        keep_generations,
        before_network,
        late_mounts,
        systemctl: Systemctl { program: systemctl, manager: Manager::System },
        layout: Layout::Host,
    })
}

/// Makes sure that `mount` can be the mount point of a file system that boot does not wait for.
fn ensure_late_mount(mount: &Path) -> Result<(), Invalid> {
    ensure_unit_path(mount)?;
    let shown = mount.display();
    if mount == Path::new("/") {
        return Err(Invalid::here("is the root directory"));
    }
    if mount_unit(mount).len() > escape::MAX_UNIT_NAME {
        return Err(Invalid::here(format!("\"{shown}\" is too long for the name of a mount unit")));
    }
    Ok(())
}

/// Makes sure that systemd can load a credential from `path`: 257 divides what it passes to its executor into words.
fn ensure_credential_path(path: &Path) -> Result<(), Invalid> {
    let shown = path.to_string_lossy();
    if shown.contains([' ', '\t', '"', '\'', '\\']) {
        let reason = format!(
            "\"{shown}\" contains a space, a quote or a backslash, and systemd loads no credential from there"
        );
        return Err(Invalid::here(reason).fix("move the file"));
    }
    Ok(())
}

fn host_keys(location: &str, list: &[Box<RawValue>]) -> Result<Vec<HostKey>, Invalid> {
    list.iter()
        .enumerate()
        .map(|(i, text)| {
            let mut fields = Fields::read(format!("{location}.{i}"), text)?;
            fields.ensure_known(&[&["path", "type"]])?;
            let path: PathBuf = fields.required("path")?;
            fields.check("path", ensure_unit_path(&path))?;
            let kind = match fields.required::<String>("type")?.as_str() {
                "ed25519" => HostKeyKind::Ed25519,
                "rsa" => HostKeyKind::Rsa,
                "age" => HostKeyKind::Age,
                "credential" => HostKeyKind::Credential,
                other => {
                    return Err(Invalid::new(
                        fields.location_of("type"),
                        format!(
                            "\"{other}\" is not one of \"ed25519\", \"rsa\", \"age\", \"credential\""
                        ),
                    ));
                }
            };
            if kind == HostKeyKind::Credential {
                fields.check("path", ensure_credential_path(&path))?;
            }
            fields.finish()?;
            Ok(HostKey { path, kind })
        })
        .collect()
}

/// Returns the host keys whose type matches the host's recipient.
pub fn fitting_keys(settings: &Settings) -> impl Iterator<Item = &HostKey> {
    let word = settings.host_pubkey.split_ascii_whitespace().next().unwrap_or_default();
    let kinds: &[HostKeyKind] = match word {
        "ssh-ed25519" => &[HostKeyKind::Ed25519],
        "ssh-rsa" => &[HostKeyKind::Rsa],
        age if age.starts_with("age1") => &[HostKeyKind::Age, HostKeyKind::Credential],
        _ => &[],
    };
    settings.host_keys.iter().filter(move |key| kinds.contains(&key.kind))
}
