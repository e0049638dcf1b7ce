//! Runs all tests of the work tree.

use std::env;
use std::error::Error;
use std::io::{self, IsTerminal as _};
use std::thread;

use argh::FromArgs;
use xshell::cmd;
use xtask::product::{self, File};
use xtask::workspace::{self, Result};
use xtask::{packages, rage, system, triple, typage, vectors};

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
    let cargo = &product::cargo();
    thread::scope(|scope| {
        // This mostly waits, for the network and for dpkg's disk, and building does not.
        let other = scope.spawn(|| {
            let made = workspace::shell().and_then(|sh| system::make(&sh));
            made.map_err(|error| error.to_string())
        });
        // Two builds at a time: one processor alone optimizes a whole program.
        let tests = scope.spawn(|| build_tests().map_err(|error| error.to_string()));
        vectors::make(&sh)?;
        typage::make(&sh)?;
        triple::ensure_musl(&sh)?;
        let boot_side = product::boot_side(&sh, &workspace::target()?, &[])?;
        rage::ensure(&sh)?;
        let desk = tests.join().map_err(|_| "building the tests has panicked")??;
        install::with(desk, boot_side, &prefix)?;
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

/// Builds all tests, the plugin that some of them need, and the desk's program, which is returned.
///
/// The boot side is tested as it is shipped. The desk is tested with what the tests link, which saves a third of
/// all building, and with all checks of overflow; its own code is optimized, since some tests count steps.
fn build_tests() -> Result<File> {
    let sh = workspace::shell()?;
    let cargo = product::cargo();
    cmd!(sh, "{cargo} test --quiet --workspace --locked --no-run").run()?;
    let own = ["vaultix", "vaultix-generator", "vaultix-units"];
    let optimized = own.map(|name| format!("profile.dev.package.{name}.opt-level=2"));
    let options = optimized.iter().flat_map(|setting| ["--config", setting]);
    cmd!(sh, "{cargo} build --quiet --workspace --bins --locked {options...}").run()?;
    product::program(&workspace::target()?.join("debug"), "vaultix", "bin")
}
