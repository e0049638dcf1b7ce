//! fuzz target: escapes of units, paths and shells against their models.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vaultix_model::escape::check(bytes));
