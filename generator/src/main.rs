//! argv → unit files in the directories that systemd names.

/// Runs nothing yet.
fn main() {}
