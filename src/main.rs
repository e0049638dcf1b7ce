//! argv → one verb of the `vaultix` command.

/// Runs nothing yet.
fn main() {}
