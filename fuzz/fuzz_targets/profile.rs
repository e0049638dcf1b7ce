//! fuzz target: profiles against their model.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vaultix_model::profile::check(bytes));
