//! profiles, flake or directory → the secret that the user picks from a list, on the terminal.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use vaultix_generator::profile::Profile;

use crate::error::{Error, Result, Status};
use crate::files::tree;
use crate::flake::workspace::DEFAULT_SECRETS;
use crate::flake::{nix, profiles};
use crate::report::{self, Report};
use crate::system::interrupt::Interrupt;
use crate::system::origin;
use crate::terminal::menu::{self, Labels};

const LABELS: Labels = Labels { filter: "Edit: ", help: "type to filter, Enter edits, Esc quits" };

/// Secrets by file, with the ids that profiles give them, and the key of each that is one value of its file.
type Secrets = BTreeMap<PathBuf, BTreeSet<(String, Option<String>)>>;

/// Secrets to pick one from, with how they are shown.
pub struct List(Vec<(PathBuf, String)>);

impl List {
    /// Finds all secrets: those of `profiles`, or of the flake where there are none.
    ///
    /// # Errors
    ///
    /// When there is none, or no terminal to pick on.
    pub fn read(profiles: &[PathBuf], report: &Report) -> Result<Self> {
        let dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        if dumb || !io::stdin().is_terminal() {
            return Err(Error::new(Status::Usage, "cannot choose a secret to edit")
                .because("no FILE is given, and there is no terminal to choose one on")
                .fix("vaultix edit FILE"));
        }
        Ok(Self(secrets(profiles, report)?.into_iter().map(described).collect()))
    }

    /// Lets the user pick one.
    ///
    /// # Errors
    ///
    /// When the terminal cannot be used, or the user leaves: as if interrupted.
    pub fn pick(self, interrupt: &Interrupt) -> Result<PathBuf> {
        let lines = self.0.iter().map(|(_, text)| text.clone()).collect();
        let picked = menu::ask(lines, LABELS, interrupt).map_err(|error| {
            Error::new(Status::CantCreat, "cannot use the terminal").because(error)
        })?;
        let path = picked.and_then(|at| self.0.into_iter().nth(at)).map(|(path, _)| path);
        path.ok_or_else(|| interrupt.error())
    }
}

/// Returns how a secret is shown in the list: its file, and its ids and keys where the id is not the file's name.
fn described((path, ids): (PathBuf, BTreeSet<(String, Option<String>)>)) -> (PathBuf, String) {
    let stem = path.file_stem().unwrap_or_default();
    let others: Vec<String> = ids
        .into_iter()
        .filter(|(id, key)| key.is_some() || stem != id.as_str())
        .map(|(id, key)| key.map_or_else(|| id.clone(), |key| format!("{id} ({key})")))
        .collect();
    let text = format!("{}  {}", origin::shown(&path), others.join(", "));
    (path, text.trim_end().to_owned())
}

/// Returns the secrets of the profiles that were named, or of the flake; or else all files of its directory.
fn secrets(named: &[PathBuf], report: &Report) -> Result<Secrets> {
    let root = if named.is_empty() { nix::root()? } else { None };
    let declared = match &root {
        _ if !named.is_empty() => from_profiles(&profiles::read_all(named)?),
        Some(root) => nix::profiles(root).map_or_else(
            |error| {
                report.warning_of(&error.context("ids are unknown"));
                Secrets::new()
            },
            |profiles| from_profiles(&profiles),
        ),
        None => Secrets::new(),
    };
    if !declared.is_empty() {
        return Ok(declared);
    }
    let root = root.unwrap_or_default();
    let settings = if root == Path::new("") { None } else { nix::settings(&root).ok() };
    let directory = settings.unwrap_or_default().secrets(&root)?;
    let directory = directory.unwrap_or_else(|| report::relative(&root.join(DEFAULT_SECRETS)));
    let found = tree::secrets(&directory);
    if found.is_empty() {
        return Err(Error::new(Status::NoInput, "cannot find any secret")
            .because(format!("there is no *.age file below {}", directory.display()))
            .fix("vaultix edit FILE"));
    }
    Ok(found.into_iter().map(|path| (path, BTreeSet::new())).collect())
}

fn from_profiles(profiles: &[Profile]) -> Secrets {
    let mut found = Secrets::new();
    for (id, secret) in profiles.iter().flat_map(|profile| &profile.secrets) {
        if let Ok(secret) = secret {
            let key = secret.key.as_ref().map(|key| key.pointer.clone());
            found.entry(secret.ciphertext.clone()).or_default().insert((id.clone(), key));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_shown_where_the_file_does_not_say_them_and_keys_always() {
        let shown = |file: &str, ids: &[(&str, Option<&str>)]| {
            let own = |(id, key): &(&str, Option<&str>)| ((*id).to_owned(), key.map(str::to_owned));
            described((file.into(), ids.iter().map(own).collect())).1
        };
        assert_eq!(shown("secrets/wifi.age", &[("wifi", None)]), "secrets/wifi.age");
        assert_eq!(
            shown("secrets/wifi.age", &[("psk", None), ("wifi", None)]),
            "secrets/wifi.age  psk"
        );
        assert_eq!(
            shown("mail.yaml.age", &[("dkim", Some("/dkim/0")), ("mail.yaml", Some("/smtp"))]),
            "mail.yaml.age  dkim (/dkim/0), mail.yaml (/smtp)"
        );
    }
}
