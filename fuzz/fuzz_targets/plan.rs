//! bytes of the fuzzer → the model's verdict.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vaultix_model::plan::check(bytes));
