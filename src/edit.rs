//! VERB secret file → editor, standard input or another file → secret file.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use age::armor::Format;
use rustix::fs::{Mode, OFlags};
use vaultix_units::bounded;
use vaultix_units::plaintext::Plaintext;

use crate::cli::Edit;
use crate::error::{Error, Exit, Result};
use crate::interrupt::{Interrupt, Reader};
use crate::master::Master;
use crate::prompt::Prompt;
use crate::recipient;
use crate::replace::Target;
use crate::report::{self, Report, Volume};
use crate::secret::{self, Secret};
use crate::{desk, editor};

/// Changes one secret.
///
/// # Errors
///
/// When it cannot be read, changed or written. The file is then as it was.
pub fn run(args: &Edit) -> Result<Exit> {
    let report = Report::new(Volume::Normal);
    let path = &args.file;
    let (identities, mut extra) = desk::of_file(&args.identities, &report)?;
    extra.extend_from_slice(&args.recipients);
    let extra = desk::extra(&extra)?;
    let interrupt = Interrupt::new()?;
    let prompt = Prompt::new(&interrupt, &report);
    let mut master = Master::read(&identities)?;

    let input = Input::of(args)?;
    let before = Secret::read(path)?;
    let old = match &before {
        Some(before) if input.is_editor() || !identities.is_empty() => {
            Some(before.open(path, &mut master, &prompt)?)
        }
        _ => None,
    };
    let mut recipients = master.recipients(&prompt)?;
    recipients.extend(extra);
    let count = recipients.len();
    let recipients = recipient::gather(recipients, &prompt);
    if recipients.is_empty() {
        return Err(Error::new(Exit::Usage, format!("cannot encrypt {}", path.display()))
            .because("there is neither an identity nor a recipient")
            .fix(format!("vaultix edit {} --identity FILE", path.display())));
    }
    // Made before the editor starts: what the user then types must not be lost because there is no place.
    let mut target = Target::new(path)?;
    let new = match &input {
        Input::Editor => {
            let empty = Plaintext::new(Vec::new());
            editor::edit(old.as_ref().unwrap_or(&empty), &name(path), &interrupt)?
        }
        Input::Stdin => {
            if io::stdin().is_terminal() {
                report.line("Type the new text, then Ctrl-D.");
            }
            read_stdin(&interrupt)?
        }
        Input::File(path) => read_file(path)?,
    };
    if new.expose().is_empty() {
        return Err(Error::new(Exit::Data, format!("cannot save {}", path.display()))
            .because("the new text is empty"));
    }
    if old.is_some_and(|old| old.expose() == new.expose()) {
        report::count(format_args!("{}: unchanged", path.display()));
        return Ok(Exit::Done);
    }

    let format = before.as_ref().map_or(&Format::Binary, |before| &before.format);
    let ciphertext = secret::encrypt(&new, &recipients, format).map_err(|reason| {
        Error::new(Exit::Config, format!("cannot encrypt {}", path.display())).because(reason)
    })?;
    if interrupt.is_set() {
        return Err(interrupt.error());
    }
    target.write(&ciphertext)?;
    target.settle()?;
    let to = if count == 1 { "1 recipient".to_owned() } else { format!("{count} recipients") };
    let done = if before.is_some() { "changed" } else { "made" };
    report::count(format_args!("{}: {done}, encrypted to {to}", path.display()));
    if let Some(lost) =
        before.map(|before| before.recipients.saturating_sub(count)).filter(|n| *n > 0)
    {
        report.warning(format_args!(
            "{} was encrypted to {lost} more before; --recipient adds them again",
            path.display()
        ));
    }
    Ok(Exit::Done)
}

/// Where the new text comes from.
enum Input {
    /// The user's editor.
    Editor,
    /// Standard input.
    Stdin,
    /// A file.
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

    /// Returns whether it is the editor, which needs the old text.
    fn is_editor(&self) -> bool {
        matches!(self, Self::Editor)
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

/// Reads standard input to its end.
fn read_stdin(interrupt: &Interrupt) -> Result<Plaintext> {
    let read = open_stdin(interrupt).and_then(|mut stdin| read_all(&mut stdin));
    read.map_err(|error| {
        if interrupt.is_set() {
            return interrupt.error();
        }
        Error::new(Exit::NoInput, "cannot read the new text from standard input").because(error)
    })
}

/// Opens standard input. A terminal is opened anew, so that reading it never blocks: Ctrl-C drops a line that was
/// there a moment before, when somebody waited for it, and whoever reads then would wait for another one.
fn open_stdin(interrupt: &Interrupt) -> io::Result<Reader<'_>> {
    let stdin = io::stdin();
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = stdin
        .is_terminal()
        .then(|| rustix::fs::open("/dev/tty", flags, Mode::empty()).ok())
        .flatten();
    let file = match terminal {
        Some(terminal) => terminal,
        None => stdin.as_fd().try_clone_to_owned()?,
    };
    Ok(Reader { file, interrupt })
}

/// Reads the file `path` to its end; it may be a pipe, as shells make them for `<(command)`.
fn read_file(path: &Path) -> Result<Plaintext> {
    File::open(path).and_then(|mut file| read_all(&mut file)).map_err(|error| {
        Error::new(Exit::NoInput, format!("cannot read {}", path.display())).because(error)
    })
}

/// Reads all of `reader`, which may not be more than a secret may be.
fn read_all(reader: &mut impl Read) -> io::Result<Plaintext> {
    let mut bytes = Vec::new();
    let limit = bounded::MAX_CIPHERTEXT / 2;
    let read = reader.take(limit + 1).read_to_end(&mut bytes);
    let text = Plaintext::new(bytes);
    if read? as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {limit} bytes"),
        ));
    }
    Ok(text)
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
