//! argv → one of the repository's own commands.

/// Runs nothing yet.
fn main() {}
