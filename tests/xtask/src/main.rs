//! argv → one of the repository's own commands.

mod bench;
mod demo;
mod foreign;
mod fuzz;
mod install;
mod load;
mod mutants;
mod reproduce;
mod test;
mod traces;

use std::env;
use std::process::ExitCode;

use argh::FromArgs;
use xtask::workspace::Result;

/// The repository's own commands
#[derive(FromArgs)]
struct Args {
    /// the one to run
    #[argh(subcommand)]
    command: Command,
}

/// Each command, with its arguments.
#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    /// `cargo xtask bench`.
    Bench(bench::Args),
    /// `cargo xtask demo`.
    Demo(demo::Args),
    /// `cargo xtask foreign`.
    Foreign(foreign::Args),
    /// `cargo xtask fuzz`.
    Fuzz(fuzz::Args),
    /// `cargo xtask install`.
    Install(install::Args),
    /// `cargo xtask load`.
    Load(load::Args),
    /// `cargo xtask mutants`.
    Mutants(mutants::Args),
    /// `cargo xtask reproduce`.
    Reproduce(reproduce::Args),
    /// `cargo xtask test`.
    Test(test::Args),
}

/// Runs the command; an error is one message on stderr and status 1, a usage error 64.
fn main() -> ExitCode {
    let given: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = given.iter().map(String::as_str).collect();
    let args = match Args::from_args(&["cargo xtask"], &words) {
        Ok(args) => args,
        Err(early) => {
            eprintln!("{}", early.output.trim_end());
            return if early.status.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(64) };
        }
    };
    match run(args.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Bench(args) => bench::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Foreign(args) => foreign::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Install(args) => install::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Mutants(args) => mutants::run(&args),
        Command::Reproduce(args) => reproduce::run(&args),
        Command::Test(args) => test::run(&args),
    }
}
