//! flake → which host declares which file as which secret, with whatever module.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
}

/// Where a flake has its hosts.
const HOSTS: &str = "nixosConfigurations";

/// Asks all hosts of the flake at `root` what they declare, each by itself: one that does not evaluate says nothing of the
/// others. Warns of those.
pub fn declared(root: &Path, report: &Report) -> Vec<HostSecret> {
    // It need not have our output yet.
    if let Ok(settings) = settings(root)
        && let Err(error) = arguments::adopt(root, &settings)
    {
        report.warning_of(&error);
    }
    if !is_flake(root) {
        return from_profiles(root);
    }
    let hosts: Vec<String> = match eval_with(root, HOSTS, Some("builtins.attrNames")) {
        Ok(hosts) => hosts,
        Err(error) => {
            if !error.to_string().contains("does not provide attribute") {
                report.warning_of(&error.context("it is not known what hosts declare"));
            }
            return from_profiles(root);
        }
    };
    let progress = report.progress("hosts asked", hosts.len());
    let mut found = Vec::new();
    for host in hosts {
        match read_host(root, &host) {
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
fn read_host(root: &Path, host: &str) -> Result<Vec<HostSecret>> {
    // agenix-rekey has the file for the host in `file`, and the one for people in `rekeyFile`.
    let function = format!(
        "hosts: let
          inherit (hosts.{}) config;
          file = secret: let rekeyFile = secret.rekeyFile or null; in
            toString (if rekeyFile == null then secret.file or \"\" else rekeyFile);
        in builtins.mapAttrs (_: file) ((config.vaultix.secrets or {{ }}) // (config.age.secrets or {{ }}))",
        serde_json::Value::from(host).to_string().replace("${", "\\${")
    );
    let files: BTreeMap<String, PathBuf> = eval_with(root, HOSTS, Some(&function))?;
    let copy = flake_copy(root)?;
    let secrets = files.into_iter().filter_map(|(id, file)| {
        let file = in_work_tree(copy, &file)?;
        Some(HostSecret { host: host.to_owned(), id, file })
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
        }));
    }
    found
}
