//! line → standard error, even when the output of tests is captured.

use std::io::Write;

/// Prints `line`. Unlike with `eprintln`, it is shown even if the test passes.
pub fn say(line: &str) {
    let mut stderr = std::io::stderr();
    // There is nowhere else to report it.
    let _ = writeln!(stderr, "{line}");
}
