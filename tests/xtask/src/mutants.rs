//! files that decide → changes to them that no test notices.

use std::path::Path;

use argh::FromArgs;
use xshell::{Shell, cmd};
use xtask::workspace::{self, Result};

/// Change the deciding files bit by bit, and say which change no test notices; takes an hour
#[derive(FromArgs)]
#[argh(subcommand, name = "mutants")]
pub(crate) struct Args {
    /// only this package: vaultix-generator, vaultix-units or vaultix
    #[argh(positional)]
    package: Option<String>,
}

/// The version of cargo-mutants that this was tried with.
const VERSION: &str = "27.1";

/// The deciding files of each package, and the packages whose tests are to notice. Those tests are the fast ones: no
/// container, no release build.
const FILES: [(&str, &[&str], &[&str]); 3] = [
    (
        "vaultix-generator",
        &["escape", "placeholder", "profile", "profile/*", "unit"],
        &["vaultix-generator", "vaultix-model"],
    ),
    (
        "vaultix-units",
        &["args", "decrypt", "header", "owner", "record", "template"],
        &["vaultix-units", "vaultix-model"],
    ),
    (
        "vaultix",
        &[
            "generate/plan",
            "identity",
            "import/agenix",
            "import/name",
            "import/plan",
            "import/snippet",
            "import/sops/lines",
            "import/sops/tree",
            "import/sops/value",
            "need",
            "pick/key",
            "pick/menu",
            "plan",
            "recipient",
            "source",
        ],
        &["vaultix"],
    ),
];

/// Runs cargo-mutants over one package after the other. Its notes are in `target/mutants`.
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
    for (package, files, tests) in FILES.into_iter().filter(|(package, ..)| chosen(package)) {
        tried += 1;
        if let Err(error) = mutate(&sh, &notes, package, files, tests) {
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

/// What is built meanwhile, in one place for all packages: each run has a copy of the work tree without `target`.
const BUILT: &str = "build";

/// Changes the `files` of `package`, and runs the `tests` of packages. Leaves its `notes`.
fn mutate(sh: &Shell, notes: &Path, package: &str, files: &[&str], tests: &[&str]) -> Result<()> {
    let folder = match package.strip_prefix("vaultix-") {
        Some(folder) => format!("{folder}/src"),
        None => "src".to_owned(),
    };
    let files = files.iter().flat_map(|file| ["--file".to_owned(), format!("{folder}/{file}.rs")]);
    let tests = tests.iter().flat_map(|test| ["--test-package", test]);
    let output = notes.join(package);
    sh.create_dir(&output)?;
    // Only what needs no installed product: not the desk's and the boots' binaries, which are at the root.
    let only =
        if package == "vaultix" { &["--", "--bins"][..] } else { &["--", "--lib", "--tests"] };
    cmd!(
        sh,
        "cargo mutants --jobs 1 --timeout 60 --package {package} {files...} {tests...} --output {output} {only...}"
    )
    .env("CARGO_TARGET_DIR", notes.join(BUILT))
    .run()
    .map_err(|error| format!("{error}; see {}/mutants.out", output.display()).into())
}
