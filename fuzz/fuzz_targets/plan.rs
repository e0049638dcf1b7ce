//! fuzz target: plans of `renc` against their model.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vaultix_model::plan::check(bytes));
