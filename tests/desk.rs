//! installed product + a throw-away desk → what its commands do there.
//!
//! Needs no root, but what `cargo xtask test` installs: age, git, strace and editors among others.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "prefix.rs"]
mod prefix;
#[path = "desk/pty.rs"]
mod pty;
#[path = "desk/support.rs"]
mod support;

/// What age itself expects of all who read its files.
#[path = "desk/conformance.rs"]
mod conformance;

/// What holds between the parts, and is easily broken by one of them.
#[path = "desk/contract.rs"]
mod contract;

/// Manual page and completions, made from the command line's own description.
#[path = "desk/docs.rs"]
mod docs;

/// What somebody else has committed.
#[path = "desk/branch.rs"]
mod branch;

/// Changing a secret.
#[path = "desk/edit.rs"]
mod edit;

/// Where plaintexts must not be.
#[path = "desk/canary.rs"]
mod traces;

/// Telling what is there, and changing all of it.
#[path = "desk/check.rs"]
mod check;

/// Secrets that programs make.
#[path = "desk/generate.rs"]
mod generate;

/// One fault at every step.
#[path = "desk/fault.rs"]
mod fault;

/// Many secrets, many hosts.
#[path = "desk/fleet.rs"]
mod fleet;

/// Within git's hooks.
#[path = "desk/git.rs"]
mod git;

/// Identities of every kind, and how they are unlocked.
#[path = "desk/identity.rs"]
mod identity;

/// A beginning.
#[path = "desk/init.rs"]
mod init;

/// Coming from an older scheme.
#[path = "desk/import.rs"]
mod import;

/// Other programs for the same files.
#[path = "desk/interop.rs"]
mod interop;

/// Which folder of the sources may know of which.
#[path = "desk/layers.rs"]
mod layers;

/// What is said when something is wrong, word by word.
#[path = "desk/messages.rs"]
mod messages;

/// Choosing a secret from a list.
#[path = "desk/pick.rs"]
mod pick;

/// Keys for the time of quantum computers.
#[path = "desk/pq.rs"]
mod pq;

/// Hardware keys and the like.
#[path = "desk/plugin.rs"]
mod plugin;

/// Private keys where public ones belong.
#[path = "desk/private.rs"]
mod private;

/// Other recipients, and what is left.
#[path = "desk/rekey.rs"]
mod rekey;

/// Re-encrypting.
#[path = "desk/renc.rs"]
mod renc;

/// Two hands at one secret.
#[path = "desk/replace.rs"]
mod replace;

/// Inputs that are bad on purpose.
#[path = "desk/slow.rs"]
mod slow;

/// Somebody else's flake.
#[path = "desk/whose.rs"]
mod whose;

/// Telling each step.
#[path = "desk/verbose.rs"]
mod verbose;
