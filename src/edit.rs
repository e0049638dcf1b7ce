//! VERB secret file → editor, standard input or another file → secret file.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use age::armor::Format;
use vaultix_units::bounded;
use vaultix_units::plaintext::Plaintext;
use zeroize::Zeroizing;

use crate::cli::{Cli, Edit};
use crate::error::{Error, Exit, Result};
use crate::interrupt::Interrupt;
use crate::master::Master;
use crate::pick::List;
use crate::prompt::Prompt;
use crate::recipient;
use crate::replace::Target;
use crate::report::{self, Report, Volume};
use crate::secret::{self, Secret};
use crate::{desk, editor, input};

/// Changes one secret.
///
/// # Errors
///
/// When it cannot be read, changed or written. The file is then as it was.
pub fn run(args: &Edit, cli: &Cli) -> Result<Exit> {
    let report = Report::new(Volume::Normal);
    let input = Input::of(args)?;
    let (identities, mut extra) = desk::of_file(&args.identities, &report)?;
    extra.extend_from_slice(&args.recipients);
    let extra = desk::extra(&extra)?;
    let file = match &args.file {
        Some(path) => Ok(path.clone()),
        None => Err(List::read(cli, &report)?),
    };
    // After what runs nix: until here, a signal ends both.
    let interrupt = Interrupt::new()?;
    let path = &file.or_else(|list| list.pick(&interrupt))?;
    let prompt = Prompt::new(&interrupt, &report);
    let mut master = Master::read(&identities, &interrupt)?;

    let before = Secret::read(path)?;
    let old = match &before {
        Some(before) if input == Input::Editor => Some(before.open(path, &mut master, &prompt)?),
        _ => None,
    };
    let recipients = master.recipients(extra, &prompt)?;
    let count = recipients.len();
    if count == 0 {
        return Err(Error::new(Exit::Usage, format!("cannot encrypt {}", path.display()))
            .because("there is neither an identity nor a recipient")
            .fix(format!("vaultix edit {} --identity FILE", path.display())));
    }
    let old = match (old, &before) {
        // Only to see what is unchanged: nobody shall type a PIN for that.
        (None, Some(before)) if !identities.is_empty() => before.open_unasked(path, &master)?,
        (old, _) => old,
    };
    // Made before the editor starts: what the user then types must not be lost because there is no place.
    let mut target = Target::new(path)?;
    let new = input.read(old.as_ref(), path, &report, &interrupt)?;
    if new.expose().is_empty() {
        return Err(Error::new(Exit::Data, format!("cannot save {}", path.display()))
            .because("the new text is empty"));
    }
    // Who names a recipient wants it to be one, whatever the text is.
    let same = old.is_some_and(|old| old.expose() == new.expose());
    if same && args.recipients.is_empty() {
        report::count(format_args!("{}: unchanged", path.display()));
        return Ok(Exit::Done);
    }

    let format = before.as_ref().map_or(&Format::Binary, |before| &before.format);
    let recipients = recipient::gather(recipients, &prompt);
    let ciphertext = secret::encrypt(&new, &recipients, format).map_err(|reason| {
        Error::new(Exit::Config, format!("cannot encrypt {}", path.display())).because(reason)
    })?;
    if interrupt.is_set() {
        return Err(interrupt.error());
    }
    target.write(&ciphertext)?;
    target.settle()?;
    tell(&report, path, before.as_ref(), count);
    Ok(Exit::Done)
}

/// Says what was done: `path` is now encrypted to `count` recipients.
fn tell(report: &Report, path: &Path, before: Option<&Secret>, count: usize) {
    let to = if count == 1 { "1 recipient".to_owned() } else { format!("{count} recipients") };
    let done = if before.is_some() { "changed" } else { "made" };
    report::count(format_args!("{}: {done}, encrypted to {to}", path.display()));
    let lost = before.map_or(0, |before| before.recipients.saturating_sub(count));
    if lost > 0 {
        report.warning(format_args!(
            "{} was encrypted to {lost} more before; --recipient adds them again",
            path.display()
        ));
    }
}

/// Where the new text comes from.
#[derive(PartialEq, Eq)]
enum Input {
    /// The user's editor, which needs the old text.
    Editor,
    /// Standard input.
    Stdin,
    /// A file, or a pipe that has a name.
    File(PathBuf),
}

impl Input {
    /// Chooses: what was asked for, or standard input where that is a pipe or a file, or the editor.
    fn of(args: &Edit) -> Result<Self> {
        match (&args.from, args.stdin) {
            (Some(_), true) => Err(Error::new(Exit::Usage, "cannot read two new texts")
                .because("both --stdin and --from are given")),
            (Some(path), false) => Ok(Self::File(path.clone())),
            (None, true) => Ok(Self::Stdin),
            (None, false) if is_fed() => Ok(Self::Stdin),
            (None, false) => Ok(Self::Editor),
        }
    }

    /// Returns the new text of the secret `path`, of which `old` is the one before.
    fn read(
        &self,
        old: Option<&Plaintext>,
        path: &Path,
        report: &Report,
        interrupt: &Interrupt,
    ) -> Result<Plaintext> {
        match self {
            Self::Editor => {
                let empty = Plaintext::new(Vec::new());
                editor::edit(old.unwrap_or(&empty), &name(path), interrupt)
            }
            Self::Stdin => {
                if io::stdin().is_terminal() {
                    report.line("Type the new text, then Ctrl-D.");
                }
                let read = input::stdin(MAX_TEXT, interrupt);
                text(read, "the new text from standard input", interrupt)
            }
            Self::File(file) => {
                text(input::file(file, MAX_TEXT, Some(interrupt)), file.display(), interrupt)
            }
        }
    }
}

/// Returns whether something was connected to standard input on purpose: not a terminal, and not `/dev/null`.
fn is_fed() -> bool {
    rustix::fs::fstat(io::stdin()).is_ok_and(|stat| {
        use rustix::fs::FileType;
        let kind = FileType::from_raw_mode(stat.st_mode);
        matches!(kind, FileType::Fifo | FileType::Socket | FileType::RegularFile)
    })
}

/// Largest new text, in bytes: encrypted and in armor, it still is a file that we read.
const MAX_TEXT: u64 = bounded::MAX_CIPHERTEXT / 2;

/// Makes a text of what was read from `source`.
fn text(
    read: io::Result<Zeroizing<Vec<u8>>>,
    source: impl Display,
    interrupt: &Interrupt,
) -> Result<Plaintext> {
    match read {
        Ok(mut bytes) => Ok(Plaintext::new(std::mem::take(&mut *bytes))),
        Err(_) if interrupt.is_set() => Err(interrupt.error()),
        Err(error) => {
            Err(Error::new(Exit::NoInput, format!("cannot read {source}")).because(error))
        }
    }
}

/// Returns the name that the text has in the editor: the file's, without `.age`, so that it is coloured by
/// what it is.
fn name(path: &Path) -> OsString {
    let whole = path.file_name().unwrap_or(OsStr::new("secret"));
    match path.extension().filter(|extension| *extension == "age").and(path.file_stem()) {
        Some(stem) => stem.to_owned(),
        None => whole.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_called_what_it_is() {
        assert_eq!(name(Path::new("secrets/a.json.age")), "a.json");
        assert_eq!(name(Path::new("secrets/wifi")), "wifi");
        assert_eq!(name(Path::new(".age")), ".age");
    }
}
