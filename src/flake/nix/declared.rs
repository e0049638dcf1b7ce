//! flake → which host declares which file as which secret, with whatever module.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{arguments, eval_with, flake_copy, in_work_tree, is_flake, profiles, settings};
use crate::error::Result;
use crate::report::Report;

/// A secret as a host declares it.
pub struct HostSecret {
    /// The host.
    pub host: String,
    /// The secret's id there.
    pub id: String,
    /// Its file in the work tree.
    pub file: PathBuf,
    /// Which value of the file it is, with slashes between names; empty for all of it. Only sops-nix has keys.
    pub key: Option<String>,
    /// How the file is written, as sops calls it.
    pub format: Option<String>,
}

/// The module that hosts declare secrets with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Module {
    /// agenix, agenix-rekey, or ours.
    Agenix,
    /// sops-nix.
    Sops,
}

impl Module {
    /// Returns a function of Nix from `config` to what is declared there.
    fn function(self) -> &'static str {
        match self {
            // agenix-rekey has the file for the host in `file`, and the one for people in `rekeyFile`.
            Self::Agenix => {
                "config: let
                  file = secret: let rekeyFile = secret.rekeyFile or null; in
                    toString (if rekeyFile == null then secret.file or \"\" else rekeyFile);
                in builtins.mapAttrs (_: secret: { file = file secret; })
                  ((config.vaultix.secrets or { }) // (config.age.secrets or { }))"
            }
            // What is taken from a default, such as sops.defaultSopsFile, is there as well.
            Self::Sops => {
                "config: builtins.mapAttrs (name: secret: {
                  file = toString (secret.sopsFile or \"\");
                  key = secret.key or name;
                  format = secret.format or null;
                }) (config.sops.secrets or { })"
            }
        }
    }
}

/// What a host says of one secret.
#[derive(Deserialize)]
struct Answer {
    file: PathBuf,
    key: Option<String>,
    format: Option<String>,
}

/// Where a flake has its hosts.
const HOSTS: &str = "nixosConfigurations";

/// Asks all hosts of the flake at `root` what they declare with `module`, each by itself: one that does not evaluate says nothing of the
/// others. Warns of those.
pub fn declared(root: &Path, module: Module, report: &Report) -> Vec<HostSecret> {
    // It need not have our output yet.
    if let Ok(settings) = settings(root)
        && let Err(error) = arguments::adopt(root, &settings)
    {
        report.warning_of(&error);
    }
    let from_profiles = || if module == Module::Agenix { from_profiles(root) } else { Vec::new() };
    if !is_flake(root) {
        return from_profiles();
    }
    let hosts: Vec<String> = match eval_with(root, HOSTS, Some("builtins.attrNames")) {
        Ok(hosts) => hosts,
        Err(error) => {
            if !error.to_string().contains("does not provide attribute") {
                report.warning_of(&error.context("it is not known what hosts declare"));
            }
            return from_profiles();
        }
    };
    let progress = report.progress("hosts asked", hosts.len());
    let mut found = Vec::new();
    for host in hosts {
        match read_host(root, module, &host) {
            Ok(secrets) => found.extend(secrets),
            Err(error) => {
                let what = format!("it is not known what host {host} declares");
                report.warning_of(&error.context(what));
            }
        }
        progress.step();
    }
    found
}

/// Asks one host.
fn read_host(root: &Path, module: Module, host: &str) -> Result<Vec<HostSecret>> {
    let name = serde_json::Value::from(host).to_string().replace("${", "\\${");
    let function = format!("hosts: ({}) hosts.{name}.config", module.function());
    let answers: BTreeMap<String, Answer> = eval_with(root, HOSTS, Some(&function))?;
    let copy = flake_copy(root)?;
    let secrets = answers.into_iter().filter_map(|(id, Answer { file, key, format })| {
        let file = in_work_tree(copy, &file)?;
        Some(HostSecret { host: host.to_owned(), id, file, key, format })
    });
    Ok(secrets.collect())
}

/// Takes what the profiles say, where hosts are not in the place where they usually are.
fn from_profiles(root: &Path) -> Vec<HostSecret> {
    let mut found = Vec::new();
    for profile in profiles(root).unwrap_or_default() {
        let host = profile.settings.host_identifier;
        found.extend(profile.secrets.into_values().flatten().map(|secret| HostSecret {
            host: host.clone(),
            id: secret.id,
            file: secret.ciphertext,
            key: None,
            format: None,
        }));
    }
    found
}
