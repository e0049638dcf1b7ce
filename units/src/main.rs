//! argv → one item placed, or an exit status that says why not.

/// Runs nothing yet.
fn main() {}
