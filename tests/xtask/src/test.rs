//! Runs all tests of the work tree.

use std::env;
use std::error::Error;
use std::io::{self, IsTerminal as _};
use std::thread;

use argh::FromArgs;
use xshell::cmd;
use xtask::workspace::{self, Result};
use xtask::{packages, rage, system, typage, vectors};

use crate::install;
use crate::traces::Search;

/// How many tests of one program run at the same time.
const THREADS: &str = "RUST_TEST_THREADS";

/// Run all unit, desk and boot tests; needs root
#[derive(FromArgs)]
#[argh(subcommand, name = "test")]
pub(crate) struct Args {
    /// run only tests whose name contains this
    #[argh(positional)]
    filter: Option<String>,
}

/// Installs what the tests need, builds the product once, and runs all tests with it.
///
/// During the run and afterwards, it searches for plaintexts.
///
/// Nothing is skipped: a test that cannot run here fails. One exception is printed: the NixOS
/// module is evaluated only if `NIXPKGS_LIB` names the library of nixpkgs.
///
/// # Errors
///
/// Something that is needed is missing, a test failed, or a plaintext was found.
pub(crate) fn run(args: &Args) -> Result<()> {
    let sh = workspace::shell()?;
    packages::ensure(&sh, packages::BOOT)?;
    packages::ensure(&sh, packages::DESK)?;
    packages::ensure(&sh, packages::VECTORS)?;
    if !packages::is_root(&sh)? {
        return Err("booting a container takes root; without it: cargo test".into());
    }
    let prefix = workspace::target()?.join("stage");
    let cargo = &env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    thread::scope(|scope| {
        // This mostly waits, for the network and for dpkg's disk, and building does not.
        let other = scope.spawn(|| {
            let made = workspace::shell().and_then(|sh| system::make(&sh));
            made.map_err(|error| error.to_string())
        });
        vectors::make(&sh)?;
        typage::make(&sh)?;
        // What is built for users is optimized as a whole, which keeps one processor busy.
        let tests = scope.spawn(|| {
            let compile = || -> Result<()> {
                let sh = workspace::shell()?;
                Ok(cmd!(sh, "{cargo} test --quiet --workspace --locked --no-run").run()?)
            };
            compile().map_err(|error| error.to_string())
        });
        rage::ensure(&sh)?;
        install::into(&prefix)?;
        tests.join().map_err(|_| "building the tests has panicked")??;
        Ok::<_, Box<dyn Error>>(other.join().map_err(|_| "making a system has panicked")??)
    })?;
    let filter = args.filter.as_slice();
    let color = if io::stdout().is_terminal() { "always" } else { "auto" };
    let options = ["--color", color];
    let tests = cmd!(
        sh,
        "{cargo} test --workspace --locked --no-fail-fast {options...} -- {options...} {filter...}"
    );
    // Boots and other tests wait for most of their time: with two at work for each processor, it is not idle.
    let threads = env::var(THREADS).unwrap_or_else(|_| {
        (2 * thread::available_parallelism().map_or(1, usize::from)).to_string()
    });
    let mut search = Search::start();
    let tests = tests.env("VAULTIX_PREFIX", prefix).env("VAULTIX_TESTS", "all");
    let tested = search.run(tests.env(THREADS, threads).into());
    let searched = search.end();
    if let (Err(tested), Err(searched)) = (&tested, &searched) {
        return Err(format!("{tested}\n{searched}").into());
    }
    tested.and(searched)?;
    if args.filter.is_none() {
        cmd!(sh, "tests/nix/run").run()?;
    }
    Ok(())
}
