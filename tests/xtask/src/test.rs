//! work tree → everything that proves the product, run.

use std::env;

use argh::FromArgs;
use xshell::cmd;
use xtask::workspace::{self, Result};
use xtask::{packages, rage, system, vectors};

use crate::install;

/// Run everything that proves the product: unit, desk and boot tests; as root
#[derive(FromArgs)]
#[argh(subcommand, name = "test")]
pub(crate) struct Args {
    /// run only tests whose name holds this
    #[argh(positional)]
    filter: Option<String>,
}

/// Installs what the tests need, builds the product once, and runs all tests against that.
///
/// Nothing is skipped: what cannot run here is a failure. One thing is left out aloud: the NixOS module is evaluated only
/// where `NIXPKGS_LIB` names the library of nixpkgs.
///
/// # Errors
///
/// Something that is needed is not there, or a test failed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let sh = workspace::shell()?;
    packages::ensure(&sh, packages::BOOT)?;
    packages::ensure(&sh, packages::DESK)?;
    packages::ensure(&sh, packages::VECTORS)?;
    if !packages::is_root(&sh)? {
        return Err("booting a container takes root; without it: cargo test".into());
    }
    system::make(&sh)?;
    vectors::make(&sh)?;
    rage::ensure(&sh)?;
    let prefix = workspace::target()?.join("stage");
    install::into(&prefix)?;
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let filter = args.filter.as_slice();
    cmd!(sh, "{cargo} test --workspace --locked --no-fail-fast -- {filter...}")
        .env("VAULTIX_PREFIX", prefix)
        .env("VAULTIX_TESTS", "all")
        .run()?;
    if args.filter.is_none() {
        cmd!(sh, "tests/nix/run").run()?;
    }
    Ok(())
}
