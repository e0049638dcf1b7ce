//! directory of a flake → its settings, and the profiles of its hosts. The only file that runs nix.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use vaultix_generator::private;
use vaultix_generator::profile::{Profile, Side};

use crate::error::{Error, Exit, Result};
use crate::report;

/// Where Nix keeps what it evaluates.
pub const STORE: &str = "/nix/store";

/// What a flake says in `vaultix.settings`. Twin of `settings` in `nix/desk.nix`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// The file with the master identity.
    pub identity: Option<String>,
    /// Recipients that secrets are encrypted to besides the identity's own.
    pub extra_recipients: Vec<String>,
    /// Where copies for hosts are, relative to the flake.
    pub cache: Option<String>,
    /// Where secrets are of which nothing else is said, relative to the flake.
    pub default_secret_directory: Option<String>,
}

impl Settings {
    /// Returns the path of the identity: relative to the flake at `root`, or to the home directory after `~/`.
    pub fn identity(&self, root: &Path) -> Option<PathBuf> {
        let text = self.identity.as_deref()?;
        Some(match (text.strip_prefix("~/"), env::var_os("HOME")) {
            (Some(rest), Some(home)) => Path::new(&home).join(rest),
            _ => root.join(text),
        })
    }
}

/// Set for what Nix runs on our behalf. It asks git whether the flake is dirty, and git may be set up to run us on every
/// secret that changed: each evaluation would start another one.
const EVALUATING: &str = "VAULTIX_EVALUATING";

/// Returns the directory of the flake around the working directory.
pub fn root() -> Option<PathBuf> {
    let here = env::current_dir().ok()?;
    here.ancestors().find(|directory| directory.join("flake.nix").is_file()).map(Path::to_owned)
}

/// Asks the flake at `root` for its settings; evaluates no host.
///
/// # Errors
///
/// Nix's own.
pub fn settings(root: &Path) -> Result<Settings> {
    eval(root, "vaultix.settings")
}

/// Asks the flake at `root` for the profiles of all its hosts.
///
/// # Errors
///
/// Nix's own; or names the host whose profile cannot be used.
pub fn profiles(root: &Path) -> Result<Vec<Profile>> {
    let texts: BTreeMap<String, Box<RawValue>> = eval(root, "vaultix.profiles")?;
    let read = |(host, text): (String, Box<RawValue>)| {
        let mut profile = Profile::parse(text.get(), Side::Desk).map_err(|error| {
            Error::new(Exit::Config, format!("cannot use the profile of host {host}"))
                .because(error)
        })?;
        for secret in profile.secrets.values_mut().flatten() {
            if let Some(path) = in_work_tree(root, &secret.ciphertext) {
                secret.ciphertext = path;
            }
        }
        Ok(profile)
    };
    texts.into_iter().map(read).collect()
}

/// Returns the file of the work tree that `path`, in the copy that Nix evaluates, is a copy of, or would be if it
/// existed.
///
/// The user knows it by this name, and it is the one that can be changed.
fn in_work_tree(root: &Path, path: &Path) -> Option<PathBuf> {
    let mut inside = path.strip_prefix(STORE).ok()?.components();
    inside.next()?;
    let ours = root.join(inside.as_path());
    if is_same(&ours, path) {
        return Some(shown(&ours));
    }
    // It may not exist, and the flake may not be at the top of what Nix copies.
    let mut folders = path.ancestors().skip(1).take_while(|folder| *folder != Path::new(STORE));
    let flake = root.join("flake.nix");
    let copy = folders.find(|folder| is_same(&flake, &folder.join("flake.nix")))?;
    let ours = root.join(path.strip_prefix(copy).ok()?);
    (is_same(&ours, path) || !path.exists()).then(|| shown(&ours))
}

/// Returns whether both files are there, with the same bytes.
fn is_same(one: &Path, other: &Path) -> bool {
    fs::read(one).is_ok_and(|bytes| fs::read(other).is_ok_and(|others| bytes == others))
}

/// Returns `path` relative to the working directory, if it is below it.
pub fn shown(path: &Path) -> PathBuf {
    let here = env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).to_owned()
}

/// Evaluates one output of the flake at `root`.
fn eval<T: DeserializeOwned>(root: &Path, output: &str) -> Result<T> {
    let what = || {
        Error::new(
            Exit::Config,
            format!("cannot evaluate {output} of {}/flake.nix", root.display()),
        )
    };
    if env::var_os(EVALUATING).is_some() {
        return Err(what().because("it is being evaluated already, and asks for this file"));
    }
    report::detail(format_args!("evaluating {output} of {}/flake.nix", root.display()));
    let mut nix = Command::new("nix");
    nix.env(EVALUATING, "1")
        .args(["--extra-experimental-features", "nix-command flakes", "eval", "--json"])
        .arg(format!(".#{output}"))
        .current_dir(root);
    answer(&mut nix).map_err(|error| match error {
        Failure::Absent(error) => {
            what().because(format!("nix: {error}")).fix("pass the profiles with --profile FILE")
        }
        Failure::Nix(reason) => what().because(reason),
    })
}

/// Returns the attributes in the Nix file `path` that are attribute sets, and what is in them of `fields`.
///
/// # Errors
///
/// Nix's own.
pub fn attributes(path: &Path, fields: &[&str]) -> Result<BTreeMap<String, Attributes>> {
    let what = || Error::new(Exit::Config, format!("cannot evaluate {}", path.display()));
    let whole = std::path::absolute(path).map_err(|error| what().because(error))?;
    let mut nix = Command::new("nix-instantiate");
    nix.args(["--eval", "--strict", "--json", "--argstr", "path"]).arg(whole).arg("--expr").arg(
        format!(
            "{{ path }}: builtins.mapAttrs (_: builtins.intersectAttrs {{ {} = null; }}) (import path)",
            fields.join(" = null; ")
        ),
    );
    answer(&mut nix).map_err(|error| match error {
        Failure::Absent(error) => what().because(format!("nix-instantiate: {error}")),
        Failure::Nix(reason) => what().because(reason),
    })
}

/// What an attribute set holds, by name.
pub type Attributes = BTreeMap<String, Value>;

/// Why nix gives no answer.
enum Failure {
    /// It cannot be run.
    Absent(std::io::Error),
    /// It says so.
    Nix(String),
}

/// Runs `nix`, and reads the JSON that it answers.
fn answer<T: DeserializeOwned>(nix: &mut Command) -> std::result::Result<T, Failure> {
    let run = nix.stdin(Stdio::null()).output().map_err(Failure::Absent)?;
    if !run.status.success() {
        return Err(Failure::Nix(last_error(&String::from_utf8_lossy(&run.stderr))));
    }
    report::detail(format_args!("evaluated it: {} bytes", run.stdout.len()));
    serde_json::from_slice(&run.stdout).map_err(|error| Failure::Nix(private::reason(&error)))
}

/// Returns what Nix says last: its traces begin with the outermost place, and end with the reason.
fn last_error(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.iter().rposition(|line| line.starts_with("error:"));
    let reason = lines.get(last.unwrap_or(0)..).unwrap_or_default().join(" ");
    reason.trim_start_matches("error:").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_what_nix_says_last() {
        let text = "warning: Git tree is dirty\nerror:\n … while calling\n\n  error: file 'x' was not found\n  in y\n";
        assert_eq!(last_error(text), "file 'x' was not found in y");
        assert_eq!(last_error("nix: killed"), "nix: killed");
    }

    #[test]
    fn an_identity_is_found_from_the_flake_or_from_home() {
        let at = |text: &str| {
            let settings = Settings { identity: Some(text.to_owned()), ..Settings::default() };
            settings.identity(Path::new("/flake")).unwrap()
        };
        assert_eq!(at("/home/me/id.txt"), Path::new("/home/me/id.txt"));
        assert_eq!(at("keys/id.txt"), Path::new("/flake/keys/id.txt"));
        assert_eq!(at("~/id.txt"), Path::new(&env::var_os("HOME").unwrap()).join("id.txt"));
    }
}
