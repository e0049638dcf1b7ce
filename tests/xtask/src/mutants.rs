//! files that decide → changes to them that no test notices.

use std::path::Path;
use std::process::Command;

use argh::FromArgs;
use xshell::{Shell, cmd};
use xtask::workspace::{self, Result};

/// Change the deciding files bit by bit, and say which change no test notices; takes three quarters of an hour
#[derive(FromArgs)]
#[argh(subcommand, name = "mutants")]
pub(crate) struct Args {
    /// only this package: vaultix-generator, vaultix-units or vaultix
    #[argh(positional)]
    package: Option<String>,
}

/// The version of cargo-mutants that this was tried with.
const VERSION: &str = "27.1";

/// The deciding files of each package. Only fast tests are run: the package's own and the models,
/// with no container and no release build.
const FILES: [(&str, &[&str]); 3] = [
    ("vaultix-generator", &["escape", "placeholder", "profile", "profile/*", "unit"]),
    ("vaultix-units", &["args", "decrypt", "owner", "record", "stanza", "template"]),
    (
        "vaultix",
        &[
            "commands/generate/plan",
            "keys/armor",
            "keys/identity",
            "commands/import/agenix",
            "commands/import/name",
            "commands/import/plan",
            "commands/import/snippet",
            "commands/import/sops/lines",
            "commands/import/sops/tree",
            "commands/import/sops/value",
            "cache/desired",
            "terminal/menu/key",
            "terminal/menu",
            "cache/plan",
            "keys/recipient",
            "files/source",
        ],
    ),
];

/// Runs cargo-mutants over one package after the other. Its results are in `target/mutants`.
///
/// # Errors
///
/// There is no such package, cargo-mutants cannot be installed, or a change was not noticed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let sh = workspace::shell()?;
    if cmd!(sh, "cargo mutants --version").quiet().ignore_stderr().read().is_err() {
        cmd!(sh, "cargo install --quiet --locked cargo-mutants@{VERSION}").run()?;
    }
    let chosen = |package: &str| args.package.as_deref().is_none_or(|name| name == package);
    let notes = workspace::target()?.join("mutants");
    let mut missed = Vec::new();
    let mut tried = 0;
    for (package, files) in FILES.into_iter().filter(|(package, _)| chosen(package)) {
        tried += 1;
        if let Err(error) = mutate(&sh, &notes, package, files) {
            missed.push(error.to_string());
        }
    }
    sh.remove_path(notes.join(BUILT))?;
    match (tried, missed.as_slice()) {
        (0, _) => Err("there is no such package".into()),
        (_, []) => Ok(()),
        (_, missed) => Err(missed.join("\n").into()),
    }
}

/// The exit status of cargo-mutants if no test noticed a change.
const MISSED: i32 = 2;

/// The exit status if a change made a test run forever.
const TIMEOUT: i32 = 3;

/// The folder for builds, shared by all packages: each run has a copy of the work tree without
/// `target`.
const BUILT: &str = "build";

/// Changes the `files` of `package`, and leaves the results in `notes`.
fn mutate(sh: &Shell, notes: &Path, package: &str, files: &[&str]) -> Result<()> {
    let folder = match package.strip_prefix("vaultix-") {
        Some(folder) => format!("{folder}/src"),
        None => "src".to_owned(),
    };
    let output = notes.join(package);
    sh.create_dir(&output)?;
    let try_with = |tests: &str, which: Option<&str>| -> Result<Option<i32>> {
        let files =
            files.iter().flat_map(|file| ["--file".to_owned(), format!("{folder}/{file}.rs")]);
        // Only tests that need no installed product: not the desk and boot tests, which are in the
        // root package.
        let only = if tests == "vaultix" { &["--lib"][..] } else { &["--lib", "--tests"] };
        let only = only.iter().flat_map(|which| ["--cargo-arg", which]);
        let command = cmd!(
            sh,
            "cargo mutants --jobs 1 --timeout 60 --package {package} {files...} --test-package {tests} {only...} --output {output} {which...}"
        );
        eprintln!("$ {command}");
        let command = command.env("CARGO_TARGET_DIR", notes.join(BUILT));
        Ok(Command::from(command).status()?.code())
    };
    let mut code = try_with(package, None)?;
    // The models notice more, but building them takes longer: they only get the changes that are
    // left.
    if package != "vaultix" && matches!(code, Some(MISSED | TIMEOUT)) {
        code = try_with("vaultix-model", Some("--iterate"))?;
    }
    let reason = match code {
        Some(0) => return Ok(()),
        Some(MISSED) => "no test notices some changes",
        Some(TIMEOUT) => "some changes make a test run forever",
        _ => "cargo-mutants fails",
    };
    Err(format!("{package}: {reason}; see {}/mutants.out", output.display()).into())
}
