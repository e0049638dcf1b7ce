//! the installed product + a temporary repository → what its commands do there.
//!
//! Needs what `cargo xtask test` installs (age, git, strace, editors and others), and no root.

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

/// age's own test vectors.
mod conformance;

/// Those of YAML and TOML.
mod suites;

/// What the parts agree on: names of files, dependencies, arguments of units.
mod contract;

/// Manual page and completions, generated from the command line.
mod docs;

/// Attacks by what somebody else has committed.
mod branch;

/// File names that are not UTF-8.
mod bytes;

/// `edit`.
mod edit;

/// `explain`.
mod explain;

/// Places where no plaintext may be found.
mod canary;

/// `check`.
mod check;

/// `deploy`.
mod deploy;

/// Shells that complete names.
mod complete;

/// `generate`.
mod generate;

/// Hosts without a key.
mod keyless;

/// Flakes of which a part does not evaluate, and what Nix says.
mod evaluation;

/// A fault at every system call.
mod fault;

/// Many secrets, many hosts.
mod fleet;

/// Settings of a flake.
mod flake;

/// Commands run by git hooks.
mod git;

/// Identities of every kind, and how they are unlocked.
mod identity;

/// `init`.
mod init;

/// Secrets in flake inputs and submodules.
mod inputs;

/// `import`.
mod import;

/// age, rage and other programs on the same files.
mod interop;

/// Which secret is meant by what is typed.
mod lookup;

/// Which folder of `src` may import which.
mod layers;

/// What `docs/json.md` says of answers for programs.
mod json;

/// Layouts of public repositories, and moving them to Vaultix.
mod layout;

/// Every message, word by word.
mod messages;

/// The list of `edit`.
mod pick;

/// Post-quantum identities.
mod pq;

/// age plugins, such as those of hardware keys.
mod plugin;

/// Private keys in the place of public keys.
mod private;

/// All recipients that are named, or a refusal.
mod recipients;

/// `rekey`.
mod rekey;

/// `renc`.
mod renc;

/// `vaultix.rules`: recipients for some files.
mod rules;

/// Two programs that change the same secret.
mod replace;

/// Inputs that are slow to parse.
mod slow;

/// `status`.
mod status;

/// `get`, `set` and `unset`: files with many values.
mod structured;

/// `textconv`, for `git diff`.
mod textconv;

/// Files with many values.
mod value;

/// `view`.
mod view;

/// A flake that belongs to another user.
mod flake_owner;

/// Names that look like messages of Vaultix.
mod forged;

/// `--verbose`.
mod verbose;
