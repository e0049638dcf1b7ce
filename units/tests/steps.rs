//! what the boot side reads, as bad as it can be → twice as much of it takes twice the work.
//!
//! Work is counted in steps, by valgrind, of this same program, which is started again for each input: a step is a short piece of
//! code that runs from its start to its end, some ten instructions. Headers of ciphertexts and profiles are counted in
//! `tests/desk/slow.rs`, with the programs as they are installed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::env;
use std::process::Command;

use vaultix_generator::placeholder::Encoding;
use vaultix_generator::profile::{Profile, Side};
use vaultix_units::encoding::Encoded;
use vaultix_units::owner::Accounts;
use vaultix_units::plaintext::Plaintext;
use vaultix_units::record::Record;
use vaultix_units::ssh::parse_ssh;
use vaultix_units::template::{TooLarge, Value, fill};

/// Largest input (1 MiB).
const LARGEST: usize = 1 << 20;
/// Steps that a run may take more or less for reasons of its own.
const NOISE: u64 = 200_000;
/// The variable that names the input to read, and its size.
const CASE: &str = "VAULTIX_STEPS";

/// What is read: its name, and what reads about so many bytes of it.
type Case = (&'static str, fn(usize));

/// Returns `text` over and over, up to so many bytes.
fn many(text: &str, size: usize) -> Vec<u8> {
    text.repeat(size / text.len()).into_bytes()
}

/// Looks up an owner and a group in these accounts, who are not there.
fn look_up(users: Vec<u8>, groups: Vec<u8>) {
    let text = r#"{"version":1,"settings":{"hostIdentifier":"h","hostPubkey":"k","hostKeys":[]},
        "secrets":{"x":{"cipher":"/c","owner":"nobody-here","group":"none-here"}}}"#;
    let profile = Profile::parse(text, Side::Host).unwrap();
    let place = &profile.secrets.get("x").unwrap().as_ref().unwrap().placement;
    assert!(Accounts::of(users, groups).resolve(place).is_err());
}

/// Fills in a template.
fn render(content: &[u8], value: &[u8]) {
    let _ = fill(content, |_, _| Ok::<_, vaultix_units::failure::Failure>(Value::Bytes(value)));
}

/// Fills in a template with a value as an XML text.
fn render_encoded(content: &[u8], value: &[u8]) {
    let _ = fill(content, |_, _| {
        Ok::<_, TooLarge>(Value::Encoded(Encoded::new(value, Encoding::Xml).unwrap()))
    });
}

/// A placeholder.
const PLACEHOLDER: &str = "{{ 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef }}";

/// Reads a note of what was placed, which is none.
fn note(text: Vec<u8>) {
    assert!(Record::parse(&Plaintext::new(text)).is_none());
}

/// All of them.
const CASES: [Case; 17] = [
    ("fields of a note", |size| note(many("a\0", size))),
    ("a long field of a note", |size| note([many("a", size), b"\0".to_vec()].concat())),
    ("digits of a note", |size| note([many("5a", size), many("\0x", 18), b"\0".to_vec()].concat())),
    ("accounts", |size| look_up(many("a:x:1:1::/:/bin/sh\n", size), Vec::new())),
    ("empty lines of accounts", |size| look_up(many("\n", size), Vec::new())),
    ("one long line of accounts", |size| look_up(many(":", size), Vec::new())),
    ("names almost the same", |size| look_up(many("nobody-her\n", size), Vec::new())),
    ("groups", |size| look_up(b"nobody-here:x:1:1::/:\n".to_vec(), many("g:x:1:a,b\n", size))),
    ("placeholders", |size| render(&many(PLACEHOLDER, size), b"v")),
    ("braces", |size| render(&many("{", size), b"v")),
    ("placeholders that do not end", |size| render(&many("{{ 01", size), b"v")),
    ("white space in a placeholder", |size| {
        render(&[b"{{".to_vec(), many(" ", size)].concat(), b"v");
    }),
    ("encodings that do not end", |size| {
        render(&many(PLACEHOLDER.trim_end_matches('}'), size), b"v");
    }),
    // Less of it, since each byte of it is one of its own.
    ("an encoded value", |size| render_encoded(PLACEHOLDER.as_bytes(), &many("<\n", size / 16))),
    ("placeholders of an encoded value", |size| {
        render_encoded(&many(PLACEHOLDER, size), b"<<<<<<");
    }),
    ("values with placeholders", |size| render(PLACEHOLDER.as_bytes(), &many(PLACEHOLDER, size))),
    ("lines of an ssh key", |size| {
        let text =
            [b"-----BEGIN OPENSSH PRIVATE KEY-----\n".to_vec(), many("AAAA\n", size)].concat();
        assert!(parse_ssh(&text).is_err());
    }),
];

/// Returns how many steps the case `name` takes with so many bytes.
fn steps(name: &str, size: usize) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=none", "--stats=yes"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "twice_as_much_takes_twice_the_work", "--test-threads=1"])
        .env(CASE, format!("{size} {name}"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
    // It looks for events before each step.
    let count =
        said.lines().find_map(|line| line.split_once("scheduler: ")?.1.split_once(" event checks"));
    count.unwrap_or_else(|| panic!("{name}: {said}")).0.replace(',', "").parse().unwrap()
}

#[test]
fn twice_as_much_takes_twice_the_work() {
    if let Ok(case) = env::var(CASE) {
        let (size, name) = case.split_once(' ').unwrap();
        let (_, read) = CASES.iter().find(|(other, _)| *other == name).unwrap();
        return read(size.parse().unwrap());
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        assert!(env::var_os("VAULTIX_TESTS").is_none_or(|which| which != "all"), "no valgrind");
        eprintln!("SKIPPED: counting steps takes valgrind");
        return;
    }
    let none = steps("accounts", 0);
    for (name, _) in CASES {
        let (half, all) = (steps(name, LARGEST / 2), steps(name, LARGEST));
        eprintln!("{name}: {none}, {half}, {all}");
        let [half, all] = [half, all].map(|count| count.saturating_sub(none) + NOISE);
        assert!(all < half * 3, "{name}: {half} for half, {all} for all");
    }
}
