//! seeds of the fuzzer, and random bytes → each target, a fixed number of times.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use vaultix_model::{TARGETS, Target};

/// How often each target is tried with random bytes; each seed is tried a quarter as often, with
/// random changes.
const ROUNDS: u64 = 1000;

/// Random numbers: xorshift64, the same ones every time.
struct Random(u64);

impl Random {
    /// Returns the next number.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns a number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % limit
    }

    /// Returns up to `most` bytes.
    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.next().to_be_bytes()[0]).collect()
    }

    /// Returns `seed` with up to seven changes.
    fn changed(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..self.below(8) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(5)).min(bytes.len());
            let put = self.bytes(5);
            bytes.splice(at..end, put);
        }
        bytes
    }
}

/// Runs `target`. If it fails, prints the bytes, which can be added to the seeds.
fn run(name: &str, target: Target, bytes: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(bytes))) {
        eprintln!("{name} fails with these bytes: {:?}", bytes.escape_ascii().to_string());
        std::panic::resume_unwind(panic);
    }
}

/// Tries one target.
fn try_target(name: &str) {
    let (_, target) = TARGETS.into_iter().find(|(known, _)| *known == name).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds").join(name);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut seeds: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{name} has no seeds");
    for seed in seeds.iter().map(|path| fs::read(path).unwrap()) {
        run(name, target, &seed);
        for _ in 0..ROUNDS / 4 {
            run(name, target, &random.changed(&seed));
        }
    }
    for _ in 0..ROUNDS {
        run(name, target, &random.bytes(600));
    }
}

#[test]
fn escape() {
    try_target("escape");
}

#[test]
fn header() {
    try_target("header");
}

#[test]
fn plan() {
    try_target("plan");
}

#[test]
fn profile() {
    try_target("profile");
}

#[test]
fn structured() {
    try_target("structured");
}

#[test]
fn template() {
    try_target("template");
}

#[test]
fn unit() {
    try_target("unit");
}

#[test]
fn every_target_has_a_file_for_the_fuzzer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz_targets");
    for (name, _) in TARGETS {
        let text = fs::read_to_string(folder.join(format!("{name}.rs"))).unwrap();
        assert!(text.contains(&format!("vaultix_model::{name}::check")), "{name}");
    }
}
