//! fuzz target: headers of age files against their model.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vaultix_model::header::check(bytes));
