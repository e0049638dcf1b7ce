//! any bytes → a panic, if the product and a slow, obvious model of it disagree.
//!
//! The models share no code with the product. In `fuzz/`, a fuzzer finds the bytes; `tests/all.rs`
//! tries the seeds of `fuzz/seeds` and a fixed number of random bytes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a disagreement is a panic"
)]

pub mod command;
pub mod draw;
pub mod drawn;
pub mod escape;
pub mod header;
pub mod meaning;
pub mod plan;
pub mod profile;
pub mod structured;
pub mod template;
pub mod unit;
pub mod unit_file;

/// The body of a fuzz target, which panics if it fails.
pub type Target = fn(&[u8]);

/// All targets by name; each has a file in `fuzz/fuzz_targets`.
pub const TARGETS: [(&str, Target); 7] = [
    ("escape", escape::check),
    ("header", header::check),
    ("plan", plan::check),
    ("profile", profile::check),
    ("structured", structured::check),
    ("template", template::check),
    ("unit", unit::check),
];
