//! installed product + a throw-away desk → what its commands do there.
//!
//! Needs no root, but what `cargo xtask test` installs: age, git, strace and editors among others.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../prefix.rs"]
mod prefix;
mod pty;
mod support;

/// What age itself expects of all who read its files.
mod conformance;

/// What holds between the parts, and is easily broken by one of them.
mod contract;

/// Manual page and completions, made from the command line's own description.
mod docs;

/// What somebody else has committed.
mod branch;

/// File names that are not UTF-8.
mod bytes;

/// Changing a secret.
mod edit;

/// Where plaintexts must not be.
mod canary;

/// Whether every copy is there and fits.
mod check;

/// What units do, without systemd.
mod deploy;

/// Secrets that programs make.
mod generate;

/// Hosts that have no key yet.
mod keyless;

/// One fault at every step.
mod fault;

/// Many secrets, many hosts.
mod fleet;

/// What a flake sets.
mod flake;

/// Within git's hooks.
mod git;

/// Identities of every kind, and how they are unlocked.
mod identity;

/// A beginning.
mod init;

/// Secrets in other repositories.
mod inputs;

/// Coming from an older scheme.
mod import;

/// Other programs for the same files.
mod interop;

/// Which folder of the sources may know of which.
mod layers;

/// Layouts of public repositories, and what becomes of them.
mod layout;

/// What is said when something is wrong, word by word.
mod messages;

/// Choosing a secret from a list.
mod pick;

/// Keys for the time of quantum computers.
mod pq;

/// Hardware keys and the like.
mod plugin;

/// Private keys where public ones belong.
mod private;

/// Other recipients, and what is left.
mod rekey;

/// Re-encrypting.
mod renc;

/// Recipients for some files, by rules of a flake, in a team.
mod rules;

/// Two hands at one secret.
mod replace;

/// Inputs that are bad on purpose.
mod slow;

/// A table of what is where.
mod status;

/// Secrets in `git diff`.
mod textconv;

/// Looking at one secret.
mod view;

/// Somebody else's flake.
mod flake_owner;

/// Names that look like what we say.
mod forged;

/// Telling each step.
mod verbose;
