//! Runs the product with very many secrets, large ones and fast changes, in containers.

use std::env;

use argh::FromArgs;
use xshell::cmd;
use xtask::workspace::{self, Result};
use xtask::{container, packages, system};

use crate::install;

/// Run the load and isolation tests in full, about ten minutes; as root
#[derive(FromArgs)]
#[argh(subcommand, name = "load")]
pub(crate) struct Args {
    /// run only tests whose name contains this
    #[argh(positional)]
    filter: Option<String>,
}

/// The tests that can run with more load than in CI.
const TESTS: [&str; 5] = [
    "other_users_never_see_a_secret",
    "many_secrets_and_many_switches",
    "restarts_in_a_row_and_at_once",
    "two_switches_at_once",
    "accounts_are_being_written",
];

/// Runs them one after the other, so that each has the machine to itself.
///
/// # Errors
///
/// Something that is needed is missing, or a test failed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let sh = workspace::shell()?;
    packages::ensure(&sh, packages::BOOT)?;
    if !packages::is_root(&sh)? {
        return Err("booting a container takes root".into());
    }
    system::make(&sh)?;
    let prefix = workspace::target()?.join("stage");
    install::into(&prefix)?;
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let tests = args.filter.as_deref().map_or(TESTS.to_vec(), |filter| vec![filter]);
    cmd!(sh, "{cargo} test --locked --test boot --no-fail-fast -- --test-threads 1 {tests...}")
        .env("VAULTIX_PREFIX", prefix)
        .env("VAULTIX_TESTS", "all")
        .env(container::LOAD, "full")
        .run()?;
    Ok(())
}
