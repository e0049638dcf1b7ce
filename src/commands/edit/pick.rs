//! profiles, flake or directory → the secret that the user picks from a list, on the terminal.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, statat};
use vaultix_generator::profile::Profile;

use crate::cli::Cli;
use crate::error::{Error, Exit, Result};
use crate::flake::{nix, profiles};
use crate::report::{self, Report};
use crate::system::fence;
use crate::system::interrupt::Interrupt;
use crate::terminal::menu::screen::Screen;
use crate::terminal::menu::{Menu, Step};

/// Where secrets are, unless the flake says otherwise; relative to the flake.
const DEFAULT_DIRECTORY: &str = "secrets";

/// Secrets by file, with the ids that profiles give them.
type Secrets = BTreeMap<PathBuf, BTreeSet<String>>;

/// Secrets to pick one from, with how they are shown.
pub struct List(Vec<(PathBuf, String)>);

impl List {
    /// Finds all secrets.
    ///
    /// # Errors
    ///
    /// When there is none, or no terminal to pick on.
    pub fn read(cli: &Cli, report: &Report) -> Result<Self> {
        let dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        if dumb || !io::stdin().is_terminal() {
            return Err(Error::new(Exit::Usage, "cannot tell which secret to edit")
                .because("no FILE is given, and there is no terminal to pick one on")
                .fix("vaultix edit FILE"));
        }
        Ok(Self(secrets(cli, report)?.into_iter().map(described).collect()))
    }

    /// Lets the user pick one.
    ///
    /// # Errors
    ///
    /// When the terminal cannot be used, or the user leaves: as if interrupted.
    pub fn pick(self, interrupt: &Interrupt) -> Result<PathBuf> {
        let lines = self.0.iter().map(|(_, text)| text.clone()).collect();
        let picked = ask(Menu::new(lines), interrupt).map_err(|error| {
            Error::new(Exit::CantCreate, "cannot use the terminal").because(error)
        })?;
        let path = picked.and_then(|at| self.0.into_iter().nth(at)).map(|(path, _)| path);
        path.ok_or_else(|| interrupt.error())
    }
}

/// Shows `menu` until something is picked; `None` if the user leaves, or a signal comes.
fn ask(mut menu: Menu, interrupt: &Interrupt) -> io::Result<Option<usize>> {
    let mut screen = Screen::open(interrupt)?;
    loop {
        screen.show(&menu.draw(screen.size()))?;
        match screen.key()?.map_or(Step::Left, |key| menu.press(key)) {
            Step::Shown => {}
            Step::Picked(at) => return Ok(Some(at)),
            Step::Left => return Ok(None),
        }
    }
}

/// Returns how a secret stands in the list: its file, and its ids where they are not the file's name.
fn described((path, ids): (PathBuf, BTreeSet<String>)) -> (PathBuf, String) {
    let stem = path.file_stem().unwrap_or_default();
    let others: Vec<&str> = ids.iter().map(String::as_str).filter(|id| stem != *id).collect();
    let text = format!("{}  {}", path.display(), others.join(", "));
    (path, text.trim_end().to_owned())
}

/// Returns the secrets of the profiles that were named, or of the flake; or else all files of its directory.
fn secrets(cli: &Cli, report: &Report) -> Result<Secrets> {
    let root = if cli.profiles.is_empty() { nix::root()? } else { None };
    let declared = match &root {
        _ if !cli.profiles.is_empty() => of_profiles(&profiles::read_all(&cli.profiles)?),
        Some(root) => nix::profiles(root).map_or_else(
            |error| {
                report.warning(format_args!("ids are not known: {error:#}"));
                Secrets::new()
            },
            |profiles| of_profiles(&profiles),
        ),
        None => Secrets::new(),
    };
    if !declared.is_empty() {
        return Ok(declared);
    }
    let root = root.unwrap_or_default();
    let settings = if root == Path::new("") { None } else { nix::settings(&root).ok() };
    let directory = settings.unwrap_or_default().secrets(&root)?;
    let directory = directory.unwrap_or_else(|| report::shown(&root.join(DEFAULT_DIRECTORY)));
    let found = below(&directory);
    if found.is_empty() {
        return Err(Error::new(Exit::NoInput, "cannot find any secret")
            .because(format!("there is no *.age below {}", directory.display()))
            .fix("vaultix edit FILE"));
    }
    Ok(found)
}

/// Returns the secrets of `profiles`.
fn of_profiles(profiles: &[Profile]) -> Secrets {
    let mut found = Secrets::new();
    for (id, secret) in profiles.iter().flat_map(|profile| &profile.secrets) {
        if let Ok(secret) = secret {
            found.entry(secret.ciphertext.clone()).or_default().insert(id.clone());
        }
    }
    found
}

/// Returns all `*.age` below `directory`; hidden directories and links to others are passed over.
pub fn below(directory: &Path) -> Secrets {
    let mut found = Secrets::new();
    let Ok(listed) = fence::look_into(directory) else { return found };
    for entry in Dir::read_from(&listed).into_iter().flatten().flatten() {
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        let path = directory.join(name);
        let hidden = name.as_bytes().starts_with(b".");
        if is_directory(&listed, name) {
            if !hidden {
                found.append(&mut below(&path));
            }
        } else if !hidden && path.extension().is_some_and(|extension| extension == "age") {
            found.insert(path, BTreeSet::new());
        }
    }
    found
}

/// Returns whether `name` in `folder` is a directory.
fn is_directory(folder: &OwnedFd, name: &OsStr) -> bool {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}
