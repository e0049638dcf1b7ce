//! fuzz target: generated units against the model of how systemd reads them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vaultix_model::unit::check(bytes));
