//! fuzz target: placeholders in templates against their model.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vaultix_model::template::check(bytes));
