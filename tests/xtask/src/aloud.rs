//! line → standard error, also where a test's output is kept back.

use std::io::Write;

/// Prints `line`. Unlike what `eprintln` prints, it is also shown if the test passes.
pub fn say(line: &str) {
    let mut stderr = std::io::stderr();
    // There is nobody else to tell.
    let _ = writeln!(stderr, "{line}");
}
