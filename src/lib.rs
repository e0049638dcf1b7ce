//! argv → one verb of the `vaultix` command.

/// The command line. The manual pages and completions are made from it.
pub mod cli;

mod cache;
mod commands;
mod error;
mod files;
mod flake;
mod keys;
mod report;
/// Files with many values, decrypted.
pub mod structured;
mod system;
mod terminal;

pub use cache::plan;

use std::ffi::OsString;
use std::process::ExitCode;

use vaultix_generator::private;

use crate::cli::{Cli, Stop, Verb};
use crate::commands::{
    check, complete, deploy, edit, explain, generate, import, init, recipient, rekey, renc, status,
    view,
};
use crate::error::{Error, Exit, Result, Status};
use crate::flake::nix;
use crate::report::{Report, Verbosity};
use crate::system::harden::harden;
use crate::system::memory;

/// Runs the program, and prints what failed.
#[must_use]
pub fn main() -> ExitCode {
    // The message of a panic may quote any text, even a secret.
    std::panic::set_hook(Box::new(|_| {
        let error = Error::new(Status::Software, "internal error: this is a bug in vaultix");
        Report::new(Verbosity::Normal).error(&error);
        std::process::exit(u8::from(Exit::Failed(Status::Software)).into());
    }));
    let outcome = harden()
        .map_err(|error| Error::new(Status::CantCreat, "cannot turn core dumps off").because(error))
        .and_then(|()| run());
    let exit = outcome.unwrap_or_else(|error| {
        Report::new(Verbosity::Normal).error(&error);
        error.exit
    });
    exit.into()
}

/// Reads the command line and runs its verb.
fn run() -> Result<Exit> {
    let usage = |reason: &str, help: String| {
        Error::new(Status::Usage, format!("usage error: {reason}")).fix(help)
    };
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    // Internal: `deploy` runs this program again to serve custom paths.
    if let Some(done) = deploy::serve(&args) {
        return done;
    }
    // Internal: shells ask for names.
    if let Some(done) = complete::serve(&args) {
        return done;
    }
    ensure_public(&args)?;
    let (args, for_nix) = cli::split_nix(&args);
    nix::give_arguments(for_nix.to_vec());
    let cli = match Cli::parse(args) {
        Ok(cli) => cli,
        Err(Stop::Help(text)) => return print(&cli::wrap(text.trim_end(), report::columns())),
        Err(Stop::Usage { reason, help }) => return Err(usage(&reason, help)),
    };
    if cli.version {
        return print(concat!("vaultix ", env!("CARGO_PKG_VERSION"), "\n"));
    }
    if let Some(directory) = &cli.flake {
        nix::use_flake(directory);
    }
    if cli.verbose {
        report::enable_details();
    }
    memory::sweep();
    match &cli.verb {
        Some(Verb::Renc(args)) => renc::run(args, &cli),
        Some(Verb::Edit(args)) => edit::run(args, &cli),
        Some(Verb::Init(args)) => init::run(args),
        Some(Verb::Generate(args)) => generate::run(args, &cli),
        Some(Verb::Check(args)) => check::run(args, &cli),
        Some(Verb::Recipient(args)) => recipient::run(args),
        Some(Verb::Rekey(args)) => rekey::run(args, &cli),
        Some(Verb::Deploy(args)) => deploy::run(args, &cli),
        Some(Verb::Status(args)) => status::run(args, &cli),
        Some(Verb::Explain(args)) => explain::run(args, &cli),
        Some(Verb::View(args)) => view::run(args, &cli),
        Some(Verb::Get(args)) => view::get(args, &cli),
        Some(Verb::Set(args)) => edit::set(args, &cli),
        Some(Verb::Unset(args)) => edit::unset(args, &cli),
        Some(Verb::Textconv(args)) => view::textconv(args),
        Some(Verb::Import(args)) => import::run(args),
        None => Err(usage("missing command", "vaultix --help".to_owned())),
    }
}

/// Checks that no argument is a private key: anyone who lists processes can see arguments.
fn ensure_public(args: &[OsString]) -> Result<()> {
    match args.iter().position(|arg| private::is_private(&arg.to_string_lossy())) {
        None => Ok(()),
        Some(at) => Err(Error::new(Status::Usage, "cannot take a private key as an argument")
            .because(format!(
                "argument {} is one; it is not shown here, but the shell may remember it",
                at + 1
            ))
            .fix(format!(
                "pass the file that contains it with --identity FILE; a recipient is the public key: {}",
                private::PUBLIC_KEY_HINT
            ))),
    }
}

fn print(text: &str) -> Result<Exit> {
    report::answer(text.as_bytes()).map(|()| Exit::Done)
}
