//! VERB secret file → its text on standard output.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use vaultix_units::plaintext::Plaintext;

use crate::cli::{Textconv, View};
use crate::error::{Error, Exit, Result};
use crate::interrupt::Interrupt;
use crate::master::Master;
use crate::prompt::Prompt;
use crate::report::{self, Report, Volume};
use crate::secret::Secret;
use crate::{desk, pager, source};

/// Prints one secret; on a terminal through a pager.
///
/// # Errors
///
/// When it cannot be opened or printed.
pub fn run(args: &View) -> Result<Exit> {
    let report = Report::new(Volume::Normal);
    let identities = desk::identities(&args.identities, &report)?;
    let interrupt = Interrupt::new()?;
    let text = open(&args.file, &identities, &Prompt::new(&interrupt, &report))?;
    match pager::chosen().filter(|_| io::stdout().is_terminal()) {
        Some(line) => pager::show(&text, &line, &interrupt).map(|()| Exit::Done),
        None => report::answer(text.expose()).map(|()| Exit::Done),
    }
}

/// Prints one secret for `git diff`, or its ciphertext's digest where it cannot be opened: a diff must not
/// fail because of one file.
///
/// # Errors
///
/// When the file cannot be read.
pub fn textconv(args: &Textconv) -> Result<Exit> {
    let report = Report::new(Volume::Quiet);
    let opened = desk::identities(&args.identities, &report).and_then(|identities| {
        let interrupt = Interrupt::new()?;
        open(&args.file, &identities, &Prompt::new(&interrupt, &report))
    });
    let printed = match opened {
        Ok(text) => report::answer(text.expose()),
        Err(error) => {
            report.warning(format_args!("{error:#}"));
            let digest = source::digest(&args.file)?;
            report::answer(format!("encrypted, sha256 {digest}\n").as_bytes())
        }
    };
    printed.map(|()| Exit::Done)
}

/// Decrypts the file `path`.
fn open(path: &Path, identities: &[PathBuf], prompt: &Prompt) -> Result<Plaintext> {
    let Some(secret) = Secret::read(path)? else {
        return Err(Error::new(Exit::NoInput, format!("cannot open {}", path.display()))
            .because("it does not exist"));
    };
    if identities.is_empty() {
        return Err(Error::new(Exit::Usage, format!("cannot open {}", path.display()))
            .because("there is no identity")
            .fix(format!("vaultix view {} --identity FILE", path.display())));
    }
    secret.open(path, &mut Master::read(identities, prompt.interrupt)?, prompt)
}
