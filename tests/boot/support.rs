//! what all scenarios use: systems to run on, hosts and what became of them, keys, names.

use std::env;
use std::process::Command;

use sha2::{Digest as _, Sha256};
use xtask::packages;
use xtask::system::System;

mod boot;
mod keys;
mod scenario;
mod traces;

pub use boot::Boot;
pub use keys::{encrypt, pq_key, ssh_key};
pub use scenario::Scenario;

/// Runs `scenario` on `system`, or says why it cannot.
pub fn run_on(system: System, scenario: fn(System)) {
    run_if(ready().and_then(|()| system.root().map(drop)), || scenario(system));
}

/// Runs `test`, which needs root and what boots need, but no other system; or says why it cannot.
pub fn run_as_root(test: fn()) {
    run_if(ready(), test);
}

/// Runs `test` if it is `ready`.
///
/// A skip is never silent, and a failure where all tests are to run (`VAULTIX_TESTS=all`).
fn run_if(ready: xtask::workspace::Result<()>, test: impl FnOnce()) {
    let Err(why) = ready else {
        return test();
    };
    assert!(env::var_os("VAULTIX_TESTS").is_none_or(|which| which != "all"), "cannot run: {why}");
    eprintln!("SKIPPED: {why}");
}

/// Tells whether containers can boot here, or what is missing.
fn ready() -> xtask::workspace::Result<()> {
    if !packages::is_root(&xtask::workspace::shell()?)? {
        return Err("mounting and booting take root".into());
    }
    if let Some((program, package)) = packages::missing(packages::BOOT).first() {
        return Err(format!("{program} is missing: apt-get install {package}").into());
    }
    Ok(())
}

/// Returns the unit of a secret, named by the real systemd-escape.
pub fn secret_unit(id: &str) -> String {
    item_unit("vaultix-secret@.service", id)
}

/// Returns the instance of a template unit for `id`.
fn item_unit(template: &str, id: &str) -> String {
    let output =
        Command::new("systemd-escape").args(["--template", template, "--", id]).output().unwrap();
    assert!(
        output.status.success(),
        "systemd-escape {id}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Returns the placeholder of a secret.
pub fn placeholder(id: &str) -> String {
    format!("{{{{ {:x} }}}}", Sha256::digest(id))
}

/// Returns the unit of a template, named by the real systemd-escape.
pub fn template_unit(id: &str) -> String {
    item_unit("vaultix-template@.service", id)
}
