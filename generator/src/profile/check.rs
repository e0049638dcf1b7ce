//! a value of a profile → nothing, or why it is invalid.

use std::path::Path;

use super::fields::Invalid;
use super::{PRIVATE_DIR, RAMFS_PATH, RESERVED_NAME, Settings, USERS};
use crate::escape;
use crate::placeholder::{Encoding, Piece, split};

/// Longest name of a file, in bytes: Linux's `NAME_MAX`.
const MAX_NAME: usize = 255;

/// Longest path, in bytes: Linux's `PATH_MAX` less the byte that ends it.
const MAX_PATH: usize = 4095;

/// Longest name of a consumer, in bytes: its drop-in is in a folder that has ".d" after it.
const MAX_CONSUMER: usize = MAX_NAME - ".d".len();

/// Checks that `id` can be the instance of a unit and the argument of a program.
pub(super) fn ensure_id(id: &str) -> Result<(), Invalid> {
    if id.is_empty() {
        Err(Invalid::here("is empty"))
    } else if id.contains('\0') {
        Err(Invalid::here("contains a NUL character"))
    } else {
        Ok(())
    }
}

/// Checks that the placeholders in `content` ask only for encodings that exist, and that none which brings its own quotes is
/// between others: these would end where the value's begin, and the value would be read as a part of the text.
pub(super) fn ensure_encodings(content: &str) -> Result<(), Invalid> {
    let pieces = split(content.as_bytes());
    for (at, piece) in pieces.iter().enumerate() {
        let Piece::Placeholder { encoding: Some(name), .. } = piece else { continue };
        let encoding =
            Encoding::parse(name).map_err(|unknown| Invalid::here(unknown.to_string()))?;
        let text = |piece: Option<&Piece>| match piece {
            Some(Piece::Text(text)) => text.to_vec(),
            _ => Vec::new(),
        };
        let before = text(at.checked_sub(1).and_then(|at| pieces.get(at))).last().copied();
        let after = text(pieces.get(at + 1)).first().copied();
        let has_quotes = matches!(encoding, Encoding::Shell | Encoding::Environment);
        if has_quotes && before == after && matches!(before, Some(b'"' | b'\'')) {
            let reason =
                format!("the encoding \"{name}\" brings its own quotes, and stands in others");
            return Err(Invalid::here(reason).fix("remove the quotes around the placeholder"));
        }
    }
    Ok(())
}

/// Checks that `name` can be the name of an account; for an early item it has to be known before accounts exist.
pub(super) fn ensure_account(name: &str, early: bool) -> Result<(), Invalid> {
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

/// Checks that `unit` names a unit that can wait for an item.
pub(super) fn ensure_consumer(unit: &str, early: bool, settings: &Settings) -> Result<(), Invalid> {
    ensure_user_unit(unit)?;
    if is_before(unit, early, settings) {
        return Err(Invalid::here(format!(
            "\"{unit}\" is ordered before this item and cannot wait for it; systemd would drop one of the two"
        )));
    }
    Ok(())
}

/// Checks that `unit` names a unit that can be restarted, as one of a user's manager can.
pub(super) fn ensure_user_unit(unit: &str) -> Result<(), Invalid> {
    if unit.len() > MAX_CONSUMER {
        return Err(Invalid::here(format!("\"{unit}\" is longer than {MAX_CONSUMER} bytes")));
    }
    if !is_unit_name(unit) {
        return Err(Invalid::here(format!("\"{unit}\" is not the name of a unit"))
            .fix("write it in full, like \"nginx.service\""));
    }
    Ok(())
}

/// Returns whether items are ordered after `unit`, so that ordering it after an item would be a cycle.
fn is_before(unit: &str, early: bool, settings: &Settings) -> bool {
    unit == mount_unit(&settings.decrypted_mount_point)
        || unit == mount_unit(Path::new(RAMFS_PATH))
        || unit.starts_with("vaultix")
        || unit == "sysinit.target"
        || (!early && USERS.contains(&unit))
}

/// Returns whether systemd accepts `name`, which is not too long, and can queue jobs for it.
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
    SUFFIXES.contains(&suffix)
        && !stem.is_empty()
        && !stem.starts_with(['@', '.', '-'])
        && !stem.ends_with('@')
        && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte))
}

/// Checks that `name` stays inside the directory it is joined to.
pub(super) fn ensure_name(name: &str) -> Result<(), Invalid> {
    let invalid = |problem: &str| Err(Invalid::here(format!("\"{name}\" {problem}")));
    if name.is_empty() {
        return Err(Invalid::here("is empty"));
    }
    if name.contains('\0') {
        return invalid("contains a NUL character");
    }
    if name.starts_with('/') {
        return invalid("is absolute; set path to place the file elsewhere");
    }
    for component in name.split('/') {
        match component {
            "" => return invalid("has an empty component"),
            "." | ".." => return invalid("has a component \".\" or \"..\""),
            long if long.len() > MAX_NAME => {
                return invalid("has a component longer than 255 bytes");
            }
            _ => {}
        }
    }
    if name.split('/').next() == Some(RESERVED_NAME) {
        return invalid("is reserved for the generation's journal");
    }
    Ok(())
}

/// Checks that `path` is absolute, and normalized so that it can be compared.
pub(super) fn ensure_absolute(path: &Path) -> Result<(), Invalid> {
    let text = path.to_string_lossy();
    let Some(inside) = text.strip_prefix('/') else {
        return Err(Invalid::here(format!("\"{text}\" is not an absolute path")));
    };
    if text.contains('\0') {
        return Err(Invalid::here("contains a NUL character"));
    }
    if !inside.is_empty() && inside.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Invalid::here(format!(
            "\"{text}\" has a component \".\", \"..\" or an empty one"
        )));
    }
    ensure_length(&text)
}

/// Checks that the kernel can open `path`.
fn ensure_length(path: &str) -> Result<(), Invalid> {
    if path.len() > MAX_PATH {
        return Err(Invalid::here(format!("is longer than {MAX_PATH} bytes")));
    }
    if path.split('/').any(|part| part.len() > MAX_NAME) {
        let reason = format!("\"{path}\" has a component longer than {MAX_NAME} bytes");
        return Err(Invalid::here(reason));
    }
    Ok(())
}

/// Checks that a unit can run `program`, an absolute path or the bare name of what is in `PATH`.
///
/// Rule: systemd.service(5), "Command lines", for prefixes of a program; systemd's own check for the characters, which
/// quoting does not change.
pub(super) fn ensure_program(program: &Path) -> Result<(), Invalid> {
    let text = program.to_string_lossy();
    if text.is_empty() {
        return Err(Invalid::here("is empty"));
    }
    if text.contains(|one: char| one.is_ascii_control() || "\"'\\".contains(one)) {
        let reason =
            "contains a quote, a backslash or a control character, which a unit cannot run";
        return Err(Invalid::here(format!("{text:?} {reason}")));
    }
    let is_absolute = text.starts_with('/') && !text.ends_with('/');
    let is_bare = !text.contains('/')
        && !text.starts_with(['-', '@', ':', '+', '!', '|'])
        && !matches!(&*text, "." | "..");
    if !is_absolute && !is_bare {
        return Err(Invalid::here(format!(
            "\"{text}\" is neither an absolute path nor a bare name"
        )));
    }
    ensure_length(&text)
}

/// Returns the name of the unit that mounts `path`.
pub(super) fn mount_unit(path: &Path) -> String {
    escape::path_unit(&path.to_string_lossy(), "mount")
}

/// Checks that a unit can contain the absolute `path`: systemd strips white space at the end of a value, and has
/// no escape for control characters in one.
pub(super) fn ensure_unit_path(path: &Path) -> Result<(), Invalid> {
    ensure_absolute(path)?;
    let text = path.to_string_lossy();
    if text.ends_with(' ') || escape::value(&text).trim_end() != text.replace('%', "%%") {
        let reason =
            "ends in a space or contains a character that cannot be written in a unit file";
        return Err(Invalid::here(format!("{text:?} {reason}")));
    }
    Ok(())
}

/// Checks a `path` that was set: files in the directories of Vaultix are chosen by `name`.
pub(super) fn ensure_path(
    path: &Path,
    name: &str,
    early: bool,
    settings: &Settings,
) -> Result<(), Invalid> {
    ensure_absolute(path)?;
    if path == settings.decrypted_dir.join(name) {
        return Ok(());
    }
    if path == settings.decrypted_dir_for_user.join(name) {
        let shown = path.display();
        let reason =
            format!("\"{shown}\" is for items that are needed before users exist (beforeUserborn)");
        let fix = "leave path out, or add the item to beforeUserborn";
        return if early { Ok(()) } else { Err(Invalid::here(reason).fix(fix)) };
    }
    let ours = [
        &*settings.decrypted_dir,
        &settings.decrypted_dir_for_user,
        &settings.decrypted_mount_point,
        Path::new(PRIVATE_DIR),
    ];
    match ours.into_iter().find(|ours| path.starts_with(ours) || ours.starts_with(path)) {
        Some(ours) => {
            Err(Invalid::here(format!("\"{}\" overlaps \"{}\"", path.display(), ours.display()))
                .fix("set name to choose a file there, or path to one elsewhere"))
        }
        None => Ok(()),
    }
}
