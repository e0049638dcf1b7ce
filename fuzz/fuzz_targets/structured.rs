//! fuzz target: values of structured files, read and changed, against what is to stay.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vaultix_model::structured::check(bytes));
