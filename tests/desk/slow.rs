//! inputs that somebody else made, as bad as they can be → twice as much of them takes twice the work.
//!
//! Work is counted in steps, by valgrind: a clock would tell how busy this machine is. A step is a short piece of code that runs
//! from its start to its end, some ten instructions; to count them takes a seventh of the time that counting instructions does.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use serde_json::json;
use sha2::Digest as _;
use xtask::canary::marker;

use crate::prefix::prefix;
use crate::support::{Done, Workspace, feed_as_is, run};

/// Largest input (1 MiB): the most that a header and a file with identities may have.
const LARGEST: usize = 1 << 20;

/// Steps that a run may take more or less for reasons of its own, as the time and random numbers.
const NOISE: u64 = 150_000;

/// An input, and what reads it.
struct Case {
    /// What is bad about it.
    name: &'static str,
    /// Makes the input of about so many bytes.
    make: fn(usize) -> Vec<u8>,
}

/// Runs `command` to its end, whatever it says, and returns how many steps that took.
fn steps(workspace: &Workspace, command: &Command) -> u64 {
    let mut counted = workspace.command("valgrind");
    counted
        .args(["--tool=none", "--stats=yes", "--log-file=count.log"])
        .arg(command.get_program())
        .args(command.get_args())
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("RAYON_NUM_THREADS", "1");
    let output = counted.output().unwrap();
    assert!(output.stderr.len() < 16384, "{command:?} says {} bytes", output.stderr.len());
    let log = fs::read_to_string(workspace.path("count.log")).unwrap();
    // It looks for events before each step.
    let count =
        log.lines().find_map(|line| line.split_once("scheduler: ")?.1.split_once(" event checks"));
    let count = count.unwrap_or_else(|| panic!("{command:?}: {log}")).0;
    count.replace(',', "").parse().unwrap()
}

/// Returns how many times the work for half of `size` is done for all of it, what is done for nothing left out.
fn growth(workspace: &Workspace, size: usize, case: &Case, file: &str, command: &Command) -> f64 {
    let work = |size| work(workspace, size, case, file, command);
    ratio(case.name, [work(0), work(size / 2), work(size)])
}

/// Returns how many steps `command` takes with `size` bytes of `case` in the file `file`.
fn work(workspace: &Workspace, size: usize, case: &Case, file: &str, command: &Command) -> u64 {
    workspace.write(file, (case.make)(size));
    steps(workspace, command)
}

/// Returns how many times the work for half of something is done for all of it, where none of it, half and all of it take so many
/// steps. Fails if it makes no difference: then nobody has read it.
fn ratio(name: &str, [none, half, all]: [u64; 3]) -> f64 {
    eprintln!("{name}: {none}, {half}, {all}");
    assert!(all > none + LEAST, "{name} is not read: {none}, {all}");
    let [half, all] = [half, all].map(|count| count.saturating_sub(none) + NOISE);
    #[expect(clippy::cast_precision_loss, reason = "it is a ratio")]
    let ratio = all as f64 / half as f64;
    ratio
}

/// Steps that it takes at least to read the largest input: 64 bytes in each.
const LEAST: u64 = LARGEST as u64 / 64;

/// Checks that `command` takes no more than its share for each of `cases`, in the file `file`.
#[track_caller]
fn linear(workspace: &Workspace, cases: &[Case], file: &str, command: &Command) {
    // Nothing of one is nearly the same as nothing of another.
    let mut none = None;
    for case in cases {
        let work = |size| work(workspace, size, case, file, command);
        let none = *none.get_or_insert_with(|| work(0));
        let ratio = ratio(case.name, [none, work(LARGEST / 2 - 256), work(LARGEST - 512)]);
        assert!(ratio < 3.0, "{}: twice the input takes {ratio} times the work", case.name);
    }
}

/// Returns a command line of ours.
fn vaultix(line: &str) -> Command {
    let mut command = Command::new(prefix().join("bin/vaultix"));
    command.args(line.split(' '));
    command
}

/// Repeats `text` to `size` bytes, in whole pieces.
fn fill(text: &str, size: usize) -> String {
    text.repeat(size / text.len())
}

/// Returns an age file with these stanzas, which are for nobody.
fn file(stanzas: &str) -> Vec<u8> {
    let word = "F5Qaoa2jV5uPBmcPy24w21W9GRurqsWHib6IlDplm8w";
    let one = format!("-> X25519 {word}\n{word}\n");
    let mut bytes = format!("age-encryption.org/v1\n{one}{stanzas}--- {word}\n").into_bytes();
    bytes.resize(bytes.len() + 64, b'x');
    bytes
}

/// Headers, as bad as they can be.
const HEADERS: [Case; 6] = [
    Case {
        name: "stanzas",
        make: |size| file(&fill(&format!("-> a {}\n\n", "b".repeat(260)), size)),
    },
    Case {
        name: "stanzas that any key of age is tried on",
        make: |size| {
            let word = "F5Qaoa2jV5uPBmcPy24w21W9GRurqsWHib6IlDplm8w";
            // As many as there may be.
            file(&fill(&format!("-> X25519 {word}\n{word}\n"), size * 3 / 8))
        },
    },
    Case { name: "arguments", make: |size| file(&format!("-> a{}\n\n", fill(" b", size))) },
    Case { name: "a word", make: |size| file(&format!("-> a{}\n\n", fill("b", size))) },
    Case {
        name: "a body",
        make: |size| file(&format!("-> a\n{}\n", fill(&format!("{}\n", "A".repeat(64)), size))),
    },
    Case {
        name: "no end",
        make: |size| format!("age-encryption.org/v1\n{}", fill("-> a\n\n", size)).into_bytes(),
    },
];

#[test]
fn headers_are_read_once() {
    let workspace = Workspace::new("slow-headers");
    linear(&workspace, &HEADERS, "x.age", &vaultix("view x.age -i keys/me.txt"));
    linear(&workspace, &HEADERS[..1], "x.age", &vaultix("view x.age -i x.age"));
}

/// A header of many lines in little space.
const SMALL: Case = Case { name: "small stanzas", make: |size| file(&fill("-> a b\n\n", size)) };

/// The control: the library that we use, by its own client, takes its size squared.
#[test]
fn headers_are_read_again_and_again_by_age() {
    let workspace = Workspace::new("slow-control");
    let rage = prefix().parent().unwrap().join("rage/bin/rage");
    let mut command = Command::new(rage);
    command.args(["-d", "-i", "keys/me.txt", "x.age"]);
    let ratio = growth(&workspace, 4 << 10, &SMALL, "x.age", &command);
    assert!(ratio > 3.0, "twice the input takes only {ratio} times the work");
}

/// A native identity.
const KEY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33\n";

#[test]
fn files_with_identities_are_read_once() {
    let workspace = Workspace::new("slow-identities");
    workspace.secret("x.age", "x");
    let cases = [
        Case { name: "comments", make: |size| fill("#\n", size).into() },
        Case {
            name: "recipients in comments",
            make: |size| fill("# public key: age1a\n", size).into(),
        },
        Case { name: "keys", make: |size| (KEY.to_owned() + &fill(KEY, size / 8)).into() },
        Case {
            name: "a key that does not end",
            make: |size| fill("-----BEGIN A-----\n", size).into(),
        },
        Case { name: "a long line", make: |size| format!("age1{}", fill("q", size)).into() },
        Case {
            name: "a long identity",
            make: |size| format!("AGE-PLUGIN-A-1{}", fill("Q", size)).into(),
        },
    ];
    linear(&workspace, &cases, "id.txt", &vaultix("view x.age -i id.txt"));
    let key = workspace.key("ssh-ed25519");
    // A thousand whole keys, which no function can hold that captures nothing.
    for (count, name) in [(0, "none"), (500, "half"), (1000, "all")] {
        workspace.write(name, KEY.to_owned() + &key.repeat(count));
    }
    let work = |name: &str| steps(&workspace, &vaultix(&format!("view x.age -i {name}")));
    let (none, half, all) = (work("none"), work("half"), work("all"));
    assert!(all - none < (half - none) * 3, "ssh keys: {none}, {half}, {all}");
}

#[test]
fn armor_is_taken_off_once() {
    let workspace = Workspace::new("slow-armor");
    let cases = [
        Case { name: "white space", make: |size| fill(" ", size).into() },
        Case {
            name: "empty lines",
            make: |size| format!("-----BEGIN AGE ENCRYPTED FILE-----\n{}", fill("\n", size)).into(),
        },
        Case {
            name: "lines",
            make: |size| {
                let line = format!("{}\n", "A".repeat(64));
                format!("-----BEGIN AGE ENCRYPTED FILE-----\n{}", fill(&line, size)).into()
            },
        },
        Case {
            name: "a line",
            make: |size| format!("-----BEGIN AGE ENCRYPTED FILE-----\n{}", fill("A", size)).into(),
        },
    ];
    linear(&workspace, &cases, "x.age", &vaultix("view x.age -i keys/me.txt"));
}

/// sops' metadata in an INI file, with a key that is whole.
const NOTES: &str = "\n[sops]\nage__list_0__map_recipient = age1a\nage__list_0__map_enc = \
    -----BEGIN AGE ENCRYPTED FILE-----\\nAAAA\\n-----END AGE ENCRYPTED FILE-----\\n\nlastmodified = 2\nmac = \
    ENC[AES256_GCM,data:AAAA,iv:AAAA,tag:AAAA,type:str]\n";

/// The same in a dotenv file.
const DOTENV: &str = "\nsops_age__list_0__map_recipient=age1a\nsops_age__list_0__map_enc=\
    -----BEGIN AGE ENCRYPTED FILE-----\\nAAAA\\n-----END AGE ENCRYPTED FILE-----\\n\nsops_lastmodified=2\nsops_mac=\
    ENC[AES256_GCM,data:AAAA,iv:AAAA,tag:AAAA,type:str]\n";

/// The same in YAML.
const YAML: &str = "\nsops:\n  age:\n    - recipient: age1a\n      enc: |\n        \
    -----BEGIN AGE ENCRYPTED FILE-----\n        AAAA\n        -----END AGE ENCRYPTED FILE-----\n  \
    lastmodified: 2\n  mac: ENC[AES256_GCM,data:AAAA,iv:AAAA,tag:AAAA,type:str]\n";

#[test]
fn files_of_lines_are_read_once() {
    let workspace = Workspace::new("slow-lines");
    let ini = [
        Case { name: "comments", make: |size| (fill(";\n", size) + NOTES).into() },
        Case { name: "empty lines", make: |size| (fill("\n", size) + NOTES).into() },
        Case { name: "values", make: |size| (fill("a=b\n", size) + NOTES).into() },
        Case { name: "sections", make: |size| (fill("[a]\n;\n", size) + NOTES).into() },
        Case {
            name: "values of a section with a long name",
            make: |size| {
                format!("[{}]\n{}{NOTES}", fill("a", size / 2), fill("a=b\n", size / 2)).into()
            },
        },
        Case {
            name: "comments of a section with a long name",
            make: |size| {
                format!("{}[{}]\n{NOTES}", fill(";\n", size / 2), fill("a", size / 2)).into()
            },
        },
        Case { name: "quotes", make: |size| (fill("`a`=`b`\n", size) + NOTES).into() },
    ];
    linear(&workspace, &ini, "x.ini", &vaultix("import sops x.ini -i keys/me.txt --dry-run"));
    let dotenv = [
        Case { name: "comments", make: |size| (fill("#\n", size) + DOTENV).into() },
        Case { name: "values", make: |size| (fill("A=b\n", size) + DOTENV).into() },
        Case {
            name: "line feeds",
            make: |size| ("A=".to_owned() + &fill("\\n", size) + DOTENV).into(),
        },
        Case {
            name: "keys",
            make: |size| {
                let key = |at: usize| {
                    format!(
                        "sops_age__list_{at}__map_recipient=a\nsops_age__list_{at}__map_enc=\
                         -----BEGIN AGE ENCRYPTED FILE-----\\nAAAA\\n-----END AGE ENCRYPTED FILE-----\n"
                    )
                };
                let keys = (1..size / 128).map(key).collect::<Vec<_>>().concat();
                (keys + DOTENV).into()
            },
        },
    ];
    linear(&workspace, &dotenv, "x.env", &vaultix("import sops x.env -i keys/me.txt --dry-run"));
}

#[test]
fn trees_are_read_once() {
    let workspace = Workspace::new("slow-trees");
    let trees = [
        Case { name: "entries", make: |size| (fill("a: b\n", size) + YAML).into() },
        Case {
            name: "a list below a long name",
            make: |size| {
                let (name, list) = (fill("k", size / 2), fill("- 1\n", size / 2));
                format!("? {name}\n:\n{list}{YAML}").into()
            },
        },
        Case {
            name: "a list",
            make: |size| format!("a: [{}1]\n{YAML}", fill("1234567,", size)).into(),
        },
        Case { name: "depth", make: |size| format!("a: {}{YAML}", fill("[", size)).into() },
        Case {
            name: "depth in lines",
            make: |size| format!("a:\n  {}1{YAML}", fill("- ", size)).into(),
        },
        Case { name: "comments", make: |size| (fill("#\n", size) + YAML).into() },
        Case { name: "empty lines", make: |size| (fill("\n", size) + YAML).into() },
        Case { name: "documents", make: |size| (fill("---\na: b\n", size) + YAML).into() },
        Case { name: "a text", make: |size| format!("a: {}{YAML}", fill("b ", size)).into() },
        Case {
            name: "a text of lines",
            make: |size| format!("a: b\n{}{YAML}", fill("  b\n", size)).into(),
        },
        Case {
            name: "a text in quotes",
            make: |size| format!("a: \"{}\"{YAML}", fill("\\n", size)).into(),
        },
        Case {
            name: "a quote that does not end",
            make: |size| format!("a: \"{}{YAML}", fill("b\n  ", size)).into(),
        },
        Case { name: "anchors", make: |size| (fill("a: &a b\n", size) + YAML).into() },
        Case { name: "tags", make: |size| (fill("a: !a b\n", size) + YAML).into() },
        Case { name: "colons", make: |size| format!("a: {}{YAML}", fill("b:", size)).into() },
        Case { name: "question marks", make: |size| format!("{}a{YAML}", fill("? ", size)).into() },
        Case {
            name: "notes below a long name",
            make: |size| {
                let (name, list) = (fill("k", size / 2), fill("  - 1\n", size / 2));
                format!("{YAML}  ? {name}\n  :\n{list}").into()
            },
        },
    ];
    linear(&workspace, &trees, "x.yaml", &vaultix("import sops x.yaml -i keys/me.txt --dry-run"));
    let json = [
        Case {
            name: "a value",
            make: |size| {
                let value = fill("A", size);
                let sealed = format!("ENC[AES256_GCM,data:{value},iv:AAAA,tag:AAAA,type:str]");
                json!({ "data": sealed }).to_string().into()
            },
        },
        Case {
            name: "braces",
            make: |size| format!("ENC[AES256_GCM,data:{}", fill("{", size)).into(),
        },
    ];
    linear(&workspace, &json, "x.json", &vaultix("import sops x.json -i keys/me.txt --dry-run"));
}

/// Returns how many times the work for half of `count` is done for all of it, where `make` makes so many of something and
/// returns the command that reads them.
fn growth_by_count(
    workspace: &Workspace,
    count: usize,
    mut make: impl FnMut(usize) -> Command,
) -> f64 {
    let work = [1, count / 2, count].map(|count| {
        let command = make(count);
        steps(workspace, &command)
    });
    ratio("so many", work)
}

#[test]
fn directories_are_listed_once() {
    let workspace = Workspace::new("slow-directories");
    let old = workspace.path("old");
    // In one directory, and in as many as there are.
    let flat = |at: usize| format!("{at}");
    let deep = |at: usize| format!("{}/{}", at % 64, at);
    let names: [fn(usize) -> String; 2] = [flat, deep];
    for name in names {
        let ratio = growth_by_count(&workspace, 4000, |count| {
            let _ = fs::remove_dir_all(&old);
            for at in 0..count {
                fs::create_dir_all(old.join(name(at))).unwrap();
            }
            vaultix("import pass old --dry-run")
        });
        assert!(ratio < 3.0, "twice the directories take {ratio} times the work");
    }
}

/// Runs an idle `renc` for the hosts whose profiles are named. Returns how often the system was called about files, and how many
/// programs were run.
fn calls(workspace: &Workspace, profiles: &str) -> (usize, usize) {
    let names = "openat,open,read,close,fstat,newfstatat,statx,lseek,execve";
    let line = format!(
        "strace -f -qq -o calls -e signal=none -e trace={names} vaultix {profiles} renc -i keys/me.txt"
    );
    let done = workspace.sh(&line).exits(0);
    assert!(done.stderr.starts_with("0 re-encrypted"), "{}", done.stderr);
    let text = String::from_utf8(workspace.read("calls")).unwrap();
    // A call that another thread interrupts has two lines.
    let calls = text.lines().filter(|line| !line.contains(" resumed>"));
    let is_run = |line: &&str| line.contains("execve") && line.ends_with(" = 0");
    (calls.count(), text.lines().filter(is_run).count())
}

#[test]
fn an_idle_renc_reads_each_copy_once_and_waits_for_git_twice() {
    const COUNT: usize = 40;
    let workspace = Workspace::new("slow-idle");
    let ids: Vec<String> = (0..COUNT).map(|i| format!("s{i}")).collect();
    for id in &ids {
        workspace.secret(&format!("secrets/{id}.age"), id);
    }
    let pairs: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), id.as_str())).collect();
    for host in ["web1", "db1", "old1"] {
        workspace.profile(host, &format!("host-{host}.pub"), &pairs);
    }
    let (one, all) = ("-p web1.json", "-p web1.json -p db1.json -p old1.json");
    workspace.sh("git init -q && printf '* -text\n' >.gitattributes").exits(0);
    workspace.vaultix(&format!("{all} renc -i keys/me.txt")).exits(0);
    workspace.sh("git add secrets .gitattributes").exits(0);

    let [(few, _), (many, programs)] = [one, all].map(|profiles| calls(&workspace, profiles));
    // Its size, and it is opened, read and closed; beside that, there is what each host takes.
    let (more, copies) = (many - few, 2 * COUNT);
    assert!(more < 5 * copies, "{more} calls for {copies} copies");
    // Besides ours, git for what it knows, and for what it would change.
    assert_eq!(programs, 3);
    // The control: without attributes, it has to say what else it is told.
    workspace.write(".gitattributes", "");
    assert_eq!(calls(&workspace, all).1, 4);
}

#[test]
fn attributes_of_git_are_read_once() {
    let workspace = Workspace::new("slow-attributes");
    let cases = [
        Case { name: "lines", make: |size| fill("*.age -diff\n", size).into() },
        Case { name: "empty lines", make: |size| fill("\n", size).into() },
        Case { name: "a line", make: |size| fill("a ", size).into() },
        Case { name: "no text", make: |size| vec![0xff; size] },
    ];
    // All else is there, and so nothing but the attributes is looked at.
    workspace.sh("mkdir -p new/secrets && touch new/flake.nix new/secrets/example.age").exits(0);
    linear(&workspace, &cases, "new/.gitattributes", &vaultix("init new -i keys/me.txt"));
}

/// Makes a flake in the workspace, and programs that answer as Nix does: with what is in `inputs.json` and `metadata.json`.
fn flake_with_answers(workspace: &Workspace) -> Command {
    workspace.write("flake.nix", "{ outputs = _: { }; }");
    workspace.write("inputs.json", "{\"names\":[],\"references\":[]}");
    workspace.write("metadata.json", METADATA);
    let at = workspace.root.display();
    let answer = |file: &str| format!("#!/bin/sh\nexec cat {at}/{file}\n");
    workspace.write("bin/nix-instantiate", answer("inputs.json"));
    let profile =
        r#"{"version":1,"settings":{"hostIdentifier":"h","hostPubkey":"","hostKeys":[]}}"#;
    let hosts = format!(r#"{{"profiles":{{"h":{profile}}},"caches":{{}},"settings":{{}}}}"#);
    workspace.write(
        "bin/nix",
        format!(
            "#!/bin/sh\ncase $* in *caches*) echo '{hosts}' ;; *eval*) echo '{{}}' ;; *) exec cat {at}/metadata.json ;; esac\n"
        ),
    );
    workspace.sh("chmod +x bin/*").exits(0);
    let mut command = vaultix("-f . status");
    command.env("PATH", format!("{at}/bin:/usr/bin:/bin"));
    command
}

/// What Nix says of a flake without inputs.
const METADATA: &str = r#"{"path":"/nix/store/x","locks":{"nodes":{},"root":"root"}}"#;

/// What is parsed, the file that it is in, and what is bad of the size that is asked for.
type AnswerCase = (&'static str, &'static str, fn(usize) -> String);

/// Processor time, in seconds, that reading something may take whose work is not its size squared, on the slowest of machines:
/// what is given here takes a second or two. Squared, it would be hours.
const PATIENCE: u32 = 20;

/// Runs `command` until it ends or has taken too much of the processor. Other programs run in it, which the valgrind of Debian 12
/// cannot follow.
fn run_within(workspace: &Workspace, command: &Command) -> Done {
    let mut limited = workspace.command("prlimit");
    limited
        .arg(format!("--cpu={PATIENCE}"))
        .arg(command.get_program())
        .args(command.get_args())
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let done = run(&mut limited);
    assert!(done.exit < 128, "{command:?} was ended: {}: {}", done.exit, done.stderr);
    assert!(!done.stderr.contains("nix-instantiate: "), "{}", done.stderr);
    done
}

#[test]
fn answers_of_nix_and_flake_lock_are_read_once() {
    /// A quarter of the largest `flake.lock` (4 MiB).
    const SIZE: usize = 4 << 20;
    let workspace = Workspace::new("slow-lock");
    let command = flake_with_answers(&workspace);
    let cases: [AnswerCase; 8] = [
        ("nodes", "flake.lock", |size| lock(&entries(size, |at| format!(r#""n{at}":{{}}"#)))),
        ("places", "flake.lock", |size| {
            let node = |at| format!(r#""n{at}":{{"locked":{{"type":"path","path":"./bin"}}}}"#);
            lock(&entries(size / 4, node))
        }),
        ("one long place", "flake.lock", |size| {
            lock(&format!(
                r#""n":{{"locked":{{"type":"path","url":"path:{}"}}}}"#,
                fill("%2e/", size)
            ))
        }),
        ("depth", "flake.lock", |size| lock(&format!(r#""n":{}"#, fill("[", size)))),
        ("parents", "flake.lock", |size| {
            lock(&format!(r#""n":{{"parent":[{}]}}"#, entries(size, |_| "\"a\"".to_owned())))
        }),
        ("names", "inputs.json", |size| {
            let names = entries(size, |_| "\"n\"".to_owned());
            format!(r#"{{"names":[{names}],"references":[]}}"#)
        }),
        ("hashes", "metadata.json", |size| {
            let hash = "sha256-j8kb4pmwWFy57Ycqg2FqxCzaRXc+v+nzCQvy4ZORdeE=";
            let node = |at| format!(r#""n{at}":{{"locked":{{"narHash":"{hash}"}}}}"#);
            let nodes = entries(size, node);
            format!(r#"{{"path":"/nix/store/x","locks":{{"nodes":{{{nodes}}},"root":"root"}}}}"#)
        }),
        ("nothing", "flake.lock", |_| lock(r#""root":{"inputs":{"n":"n"}}"#)),
    ];
    for (name, file, make) in cases {
        workspace.write("flake.lock", lock(r#""root":{"inputs":{"n":"n"}}"#));
        workspace.write("inputs.json", "{\"names\":[],\"references\":[]}");
        workspace.write("metadata.json", METADATA);
        let text = make(SIZE - 512);
        workspace.write(file, &text);
        let done = run_within(&workspace, &command);
        // With something behind its end, it is refused: it was read to there.
        workspace.write(file, text + "x");
        let refused = run_within(&workspace, &command);
        assert_eq!(refused.exit, 78, "{name}: {}", refused.stderr);
        assert_eq!(done.exit, if name == "depth" { 78 } else { 0 }, "{name}: {}", done.stderr);
    }
}

/// Writes a structured file with so many values, of which a host uses the first few, and something of `filler` bytes.
fn values(workspace: &Workspace, count: usize, used: usize, filler: usize) {
    let mut text = format!("filler: {}\n", fill("x", filler));
    for at in 0..count {
        writeln!(text, "v{at}: MARKER{at}").unwrap();
    }
    encrypt(workspace, "x.yaml.age", &text);
    let secret = |at| format!(r#""v{at}":{{"file":"x.yaml.age","key":"/v{at}"}}"#);
    let secrets: Vec<String> = (0..used).map(secret).collect();
    let profile = json!({
        "version": 1,
        "settings": { "hostIdentifier": "h", "hostPubkey": SSH, "hostKeys": [] },
        "secrets": {},
    });
    let profile = profile.to_string();
    let secrets = format!("\"secrets\":{{{}}}", secrets.join(","));
    workspace.write("h.json", profile.replace("\"secrets\":{}", &secrets));
}

/// Encrypts `text` as `name`, with the marker where it says so.
fn encrypt(workspace: &Workspace, name: &str, text: &str) {
    let mut age = workspace.command("age");
    age.args(["--encrypt", "--output", name, "-r", ME]);
    feed_as_is(&mut age, text.replace("MARKER", &marker()).as_bytes()).exits(0);
}

#[test]
fn a_file_with_many_values_is_opened_and_read_once() {
    let workspace = Workspace::new("slow-values");
    let renc = vaultix("-p h.json renc -q -i keys/me.txt --cache cache");
    let work = |(count, used, filler): (usize, usize, usize)| {
        values(&workspace, count, used, filler);
        let _ = fs::remove_dir_all(workspace.path("cache"));
        let work = steps(&workspace, &renc);
        assert_eq!(workspace.tree("cache").len(), used);
        work
    };
    // A copy costs what it costs in a small file: the large one is not opened or read for it.
    let [few, many] = [(20, 1, 0), (20, 9, 0)].map(work);
    let [large, all] = [(20, 1, LARGEST), (20, 9, LARGEST)].map(work);
    eprintln!("values: {few}, {many}; {large}, {all}");
    let reading = large - few;
    assert!(reading > LEAST, "the file is not read: {few}, {large}");
    let more = (all - large).saturating_sub(many - few);
    assert!(more < reading + NOISE, "8 more values take {more} steps more, reading {reading}");

    // All keys of one, and each value by its key.
    let get = vaultix("get x.yaml.age -i keys/me.txt");
    let sizes = [64, 5000, 10_000];
    let read = |count| {
        values(&workspace, count, 0, 0);
        steps(&workspace, &get)
    };
    let ratio_of_keys = ratio("keys", sizes.map(read));
    assert!(ratio_of_keys < 3.0, "twice as many keys take {ratio_of_keys} times the work");
}

/// Returns a file as sops makes it, with so many values, and a comment before each.
fn sops_file(count: usize) -> String {
    use aes_gcm::aead::{Aead, Payload, consts::U32};
    use aes_gcm::{AesGcm, KeyInit, Nonce, aes::Aes256};
    let cipher = AesGcm::<Aes256, U32>::new(&[7; 32].into());
    let base64 = |bytes: &[u8]| base64::prelude::BASE64_STANDARD.encode(bytes);
    let seal = |text: &str, aad: &str, kind: &str| {
        let payload = Payload { msg: text.as_bytes(), aad: aad.as_bytes() };
        let sealed = cipher.encrypt(Nonce::<U32>::from_slice(&[1; 32]), payload).unwrap();
        let (data, tag) = sealed.split_at(text.len());
        let [data, nonce, tag] = [data, &[1; 32], tag].map(base64);
        format!("ENC[AES256_GCM,data:{data},iv:{nonce},tag:{tag},type:{kind}]")
    };
    let (mut text, mut hash) = (String::new(), sha2::Sha512::new());
    for at in 0..count {
        let value = format!("{} value {at}", marker());
        hash.update(&value);
        let comment = seal(" a comment", ":", "comment");
        writeln!(text, "#{comment}\nk{at}: {}", seal(&value, &format!("k{at}:"), "str")).unwrap();
    }
    let time = "2026-11-24T11:40:12Z";
    let mac = seal(&format!("{:X}", hash.finalize()), time, "str");
    let me: age::x25519::Recipient = ME.parse().unwrap();
    let key = age::encrypt_and_armor(&me, &[7; 32]).unwrap();
    let key = key.trim_end().replace('\n', "\n            ");
    format!(
        "{text}sops:\n    age:\n        - recipient: {ME}\n          enc: |\n            {key}\n    lastmodified: \"{time}\"\n    \
         mac: {mac}\n    version: 3.11.0\n"
    )
}

#[test]
fn a_file_of_sops_that_is_kept_is_read_a_few_times() {
    let workspace = Workspace::new("slow-keep");
    let command = vaultix("import sops x.yaml -i keys/me.txt --into new --keep -q");
    let work = |count| {
        workspace.write("x.yaml", sops_file(count));
        let _ = fs::remove_dir_all(workspace.path("new"));
        let work = steps(&workspace, &command);
        let text = workspace.open("new/x.yaml.age", "me.txt");
        assert_eq!(text.matches("# a comment\n").count(), count);
        assert!(text.contains(&format!("\nk{}: ", count - 1)) && !text.contains("ENC["), "{text}");
        work
    };
    let ratio = ratio("values", [16, 200, 400].map(work));
    assert!(ratio < 3.0, "twice as many values take {ratio} times the work");
}

#[test]
fn rules_of_agenix_are_read_once() {
    let workspace = Workspace::new("slow-rules");
    let at = workspace.root.display();
    workspace.write("bin/nix-instantiate", format!("#!/bin/sh\nexec cat {at}/rules.json\n"));
    workspace.sh("chmod +x bin/* && mkdir old && echo '{ }' >old/secrets.nix").exits(0);
    workspace.secret("old/x.age", "x");
    let mut command = vaultix("import agenix old -i keys/me.txt --dry-run");
    command.env("PATH", format!("{at}/bin:/usr/bin:/bin"));
    let cases: [(&str, String); 4] = [
        // A file is looked for in three places for each.
        ("one file", entries(2 << 20, |at| format!(r#""{at}/../x.age":{{}}"#))),
        ("a name that goes nowhere", format!(r#""{}x.age":{{}}"#, fill("a/../", 4 << 20))),
        ("fields", format!(r#""x.age":{{{}}}"#, entries(4 << 20, |at| format!(r#""{at}":"""#)))),
        ("escapes", format!(r#""x.age":{{"owner":"{}"}}"#, fill("\\u0001", 4 << 20))),
    ];
    for (name, rules) in cases {
        workspace.write("rules.json", format!("{{{rules}}}"));
        let done = run_within(&workspace, &command);
        assert!(done.stderr.contains("to import"), "{name}: {}", done.stderr);
    }
}

#[test]
fn recipients_are_read_once() {
    let workspace = Workspace::new("slow-recipients");
    workspace.sh("echo new >text").exits(0);
    let command = |size: usize, recipient: &dyn Fn(usize) -> String| {
        let mut command = vaultix("edit new.age --from text");
        let mut left = size;
        for at in 0.. {
            let recipient = recipient(at);
            let Some(rest) = left.checked_sub(recipient.len()) else { break };
            left = rest;
            command.args(["-r", &recipient]);
        }
        command
    };
    // As many as fit on a line, once with other comments.
    let kinds: [(&str, &dyn Fn(usize) -> String); 2] =
        [("again and again", &|_| ME.to_owned()), ("other comments", &|at| format!("{SSH} {at}"))];
    for (name, recipient) in kinds {
        let work = [64, LARGEST / 2, LARGEST].map(|size| {
            let _ = fs::remove_file(workspace.path("new.age"));
            steps(&workspace, &command(size.max(256), recipient))
        });
        let ratio = ratio(name, work);
        assert!(ratio < 3.0, "{name}: twice as many take {ratio} times the work");
        assert!(workspace.path("new.age").exists(), "{name}");
    }
    // The flake's.
    let mut flake = flake_with_answers(&workspace);
    let at = workspace.root.display();
    let answers = "case $* in *eval*vaultix.settings*) exec cat";
    workspace.write(
        "bin/nix",
        format!(
            "#!/bin/sh\n{answers} {at}/settings.json ;; *) exec cat {at}/metadata.json ;; esac\n"
        ),
    );
    let path = flake.get_envs().find_map(|(name, value)| (name == "PATH").then_some(value?));
    let path = path.unwrap().to_owned();
    flake = vaultix("-f . edit secrets/new.age --from text");
    flake.env("PATH", path);
    for (exit, recipients) in [
        (0, entries(LARGEST, |_| format!("\"{ME}\""))),
        (0, entries(LARGEST, |at| format!("\"{SSH} {at}\""))),
        (78, format!("\"age1{}\"", fill("q", 4 << 20))),
        (78, entries(4 << 20, |_| "1".to_owned())),
    ] {
        let _ = fs::remove_file(workspace.path("secrets/new.age"));
        workspace.write("settings.json", format!("{{\"extraRecipients\":[{recipients}]}}"));
        run_within(&workspace, &flake).exits(exit);
    }
}

/// Public keys.
const ME: &str = "age1pdl2sdxshcxxus82xq28kf8netg772gpu5ca78tl2hz9vrqmd4qqq8tkz5";
const SSH: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFI8vqUjXDtZlOzwiWKnBWti/YA2nf6XAivCopnBG0sy";

/// Returns a `flake.lock` with these nodes.
fn lock(nodes: &str) -> String {
    format!(r#"{{"version":7,"root":"root","nodes":{{{nodes}}}}}"#)
}

/// Returns a profile with these members beside its settings.
fn profile(members: &str) -> Vec<u8> {
    let settings = r#"{"hostIdentifier":"h","hostPubkey":"age1h","hostKeys":[]}"#;
    format!(r#"{{"version":1,"settings":{settings},{members}}}"#).into()
}

/// Returns `size` bytes of entries that `entry` makes of numbers.
fn entries(size: usize, entry: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for at in 0.. {
        let one = entry(at);
        if text.len() + one.len() > size {
            break;
        }
        if at > 0 {
            text.push(',');
        }
        text += &one;
    }
    text
}

/// Profiles, as bad as they can be.
const PROFILES: [Case; 10] = [
    Case {
        name: "secrets",
        make: |size| {
            let secret = |at| format!(r#""{at}":{{"cipher":"/c"}}"#);
            profile(&format!(r#""secrets":{{{}}}"#, entries(size, secret)))
        },
    },
    Case {
        name: "secrets of one name",
        make: |size| {
            let secret = |at| format!(r#""{at}":{{"cipher":"/c","name":"n"}}"#);
            profile(&format!(r#""secrets":{{{}}}"#, entries(size, secret)))
        },
    },
    Case {
        name: "secrets of one id",
        make: |size| {
            let secret = |at| format!(r#""{at}":{{"cipher":"/c","id":"n"}}"#);
            profile(&format!(r#""secrets":{{{}}}"#, entries(size, secret)))
        },
    },
    Case {
        name: "deep names",
        make: |size| {
            let deep = "a/".repeat(1900);
            let secret = |at| format!(r#""{at}":{{"cipher":"/c","name":"{deep}{at}"}}"#);
            profile(&format!(r#""secrets":{{{}}}"#, entries(size, secret)))
        },
    },
    Case {
        name: "braces",
        make: |size| {
            profile(&format!(r#""templates":{{"t":{{"content":"{}"}}}}"#, fill("{", size)))
        },
    },
    Case {
        name: "placeholders",
        make: |size| {
            let (mark, hash) = (format!("{{{{{}}}}}", "a".repeat(64)), "a".repeat(64));
            profile(&format!(
                r#""secrets":{{"s":{{"cipher":"/c"}}}},"placeholder":{{"s":"{{{{{hash}}}}}"}},"templates":{{"t":{{"content":"{}"}}}}"#,
                fill(&mark, size)
            ))
        },
    },
    Case {
        name: "templates and placeholders",
        make: |size| {
            let placeholder = |at| format!(r#""s{at}":"{{{{{at:064x}}}}}""#);
            let template = |at| format!(r#""t{at}":{{"content":"{{{{{at:064x}}}}}"}}"#);
            profile(&format!(
                r#""placeholder":{{{}}},"templates":{{{}}}"#,
                entries(size / 2, placeholder),
                entries(size / 2, template)
            ))
        },
    },
    Case {
        name: "early ids",
        make: |size| {
            let id = |at| format!(r#""s{at}""#);
            profile(&format!(r#""beforeUserborn":[{}]"#, entries(size, id)))
        },
    },
    Case { name: "depth", make: |size| profile(&format!(r#""secrets":{}"#, fill("[", size))) },
    Case {
        name: "characters to be escaped",
        make: |size| {
            profile(&format!(r#""secrets":{{"{}":{{"cipher":"/c"}}}}"#, fill("\\u0001", size)))
        },
    },
];

#[test]
fn profiles_are_read_once() {
    let workspace = Workspace::new("slow-profiles");
    let generator = prefix().join("lib/systemd/system-generators/vaultix-generator");
    for case in &PROFILES {
        let work = |size: usize| {
            let _ = fs::remove_dir_all(workspace.path("units"));
            fs::create_dir(workspace.path("units")).unwrap();
            workspace.write("profile.json", (case.make)(size));
            let mut command = Command::new(&generator);
            command.args(["--profile", "profile.json", "units"]);
            steps(&workspace, &command)
        };
        // Most of the work is for the unit of each item: a part of the largest will do.
        let size = if MANY_UNITS.contains(&case.name) { LARGEST / 8 } else { LARGEST / 2 };
        let all = work(size);
        let ratio = ratio(case.name, [work(0), work(size / 2), all]);
        assert!(ratio < 3.0, "{}: twice the input takes {ratio} times the work", case.name);
        // A second of a slow machine for half of the largest.
        let limit = 200_000_000 / (LARGEST / 2 / size) as u64;
        assert!(all < limit, "{}: {all} steps", case.name);
    }
}

/// Profiles of which units are made, one for each item.
const MANY_UNITS: [&str; 5] =
    ["secrets", "secrets of one name", "deep names", "templates and placeholders", "early ids"];

/// Writes a profile of a host with secrets whose ciphertexts are `files`, and returns what checks it.
fn check_of_host(workspace: &Workspace, files: &[&str]) -> Command {
    let mut settings =
        json!({ "hostIdentifier": "h", "hostPubkey": workspace.key("host-web1.pub").trim() });
    settings["hostKeys"] = json!([{ "path": workspace.path("keys/host-web1"), "type": "ed25519" }]);
    let secrets: BTreeMap<_, _> =
        files.iter().map(|file| (*file, json!({ "cipher": workspace.path(file) }))).collect();
    let profile = json!({ "version": 1, "settings": settings, "secrets": secrets });
    workspace.write("profile.json", profile.to_string());
    let mut command = workspace.command(prefix().join("bin/vaultix-decrypt"));
    command.args(["check", "--profile", "profile.json"]);
    command
}

#[test]
fn a_host_reads_what_is_bad_once() {
    let workspace = Workspace::new("slow-host");
    let command = check_of_host(&workspace, &["c"]);
    linear(&workspace, &HEADERS, "c", &command);
}

#[test]
fn a_host_reads_its_keys_once() {
    let workspace = Workspace::new("slow-host-keys");
    workspace.secret_with("c", "c", &["-R", "keys/host-web1.pub"]);
    let command = check_of_host(&workspace, &["c"]);
    // A file of its own: those in `keys` are the repository's.
    let text = fs::read_to_string(workspace.path("profile.json")).unwrap();
    let text = text.replace("keys/host-web1\"", "host-key\"");
    workspace.write("profile.json", &text);
    let key = [
        Case { name: "a key and lines after it", make: |size| fill("AAAA\n", size).into() },
        Case {
            name: "a key that does not end",
            make: |size| {
                let line = format!("{}\n", "A".repeat(70));
                format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}", fill(&line, size)).into()
            },
        },
        Case {
            name: "a key of one line",
            make: |size| format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}", fill("A", size)).into(),
        },
    ];
    linear(&workspace, &key, "host-key", &command);
    workspace
        .write("profile.json", text.replace("ed25519\"", "age\"").replace("ssh-ed25519", "age1"));
    let identities = [
        Case { name: "comments", make: |size| fill("#\n", size).into() },
        Case { name: "empty lines", make: |size| fill("\n", size).into() },
        Case { name: "a long line", make: |size| fill(" ", size).into() },
        Case {
            name: "an identity that does not end",
            make: |size| format!("AGE-SECRET-KEY-1{}", fill("Q", size)).into(),
        },
    ];
    linear(&workspace, &identities, "host-key", &command);
}

/// Returns what runs `command`, while opening `path` takes so many `seconds`, as on a file system that does not answer.
fn stalled(workspace: &Workspace, path: &Path, seconds: u32, command: &Command) -> Command {
    let mut strace = workspace.command("timeout");
    strace
        .args(["120", "strace", "-f", "-qq", "-o", "/dev/null", "-P"])
        .arg(path)
        .args(["-e", &format!("inject=open,openat:delay_enter={seconds}s")])
        .arg(command.get_program())
        .args(command.get_args());
    strace
}

#[test]
fn a_file_system_that_does_not_answer_costs_one_secret() {
    let workspace = Workspace::new("slow-silent");
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "silent"];
    for name in names {
        workspace.secret_with(name, name, &["-R", "keys/host-web1.pub"]);
    }
    workspace.write("b", "damaged");
    let command = check_of_host(&workspace, &names);
    let (silent, key) = (workspace.path("silent"), workspace.path("keys/host-web1"));
    // Both longer than the limit, and at the same time: all that this does is wait.
    let [mut silent, mut key] =
        [(silent, 15), (key, 10)].map(|(path, time)| stalled(&workspace, &path, time, &command));
    let (done, of_key) = std::thread::scope(|scope| {
        let of_key = scope.spawn(move || run(&mut key));
        (run(&mut silent).exits(1), of_key.join().unwrap().exits(1))
    });
    let done =
        done.says(&["\"silent\": ", "was not read and decrypted within 10 seconds", "\"b\": "]);
    let failed = done.stderr.lines().filter(|line| line.starts_with("vaultix-decrypt: "));
    assert_eq!(failed.count(), 2, "and nothing else: {}", done.stderr);

    of_key.says(&["keys/host-web1: not read within 5 seconds"]);
}

/// The control: whoever opens it without a limit waits until it answers.
#[test]
fn a_file_system_that_does_not_answer_holds_up_others() {
    let workspace = Workspace::new("slow-silent-control");
    workspace.write("silent", "x");
    let path = workspace.path("silent");
    let mut shell = workspace.command("sh");
    // What is still not read after a while that does for everything else.
    shell.args(["-c", "timeout -s KILL 2 cat \"$0\""]).arg(&path);
    let mut strace = stalled(&workspace, &path, 4, &shell);
    run(&mut strace).exits(137);
}

#[test]
fn a_recipient_of_a_megabyte_is_not_repeated() {
    let workspace = Workspace::new("slow-message");
    workspace.secret_with("host", "x", &["-R", "keys/host-web1.pub"]);
    let word = "F5Qaoa2jV5uPBmcPy24w21W9GRurqsWHib6IlDplm8w";
    for stanza in [format!("-> {}\n\n", "k".repeat(1 << 19)), "-> ssh-rsa AAAA\n\n".repeat(4000)] {
        let file = format!("age-encryption.org/v1\n{stanza}--- {word}\n{}", "x".repeat(64));
        workspace.write("secrets/wifi.age", &file);
        workspace.write("host", &file);
        workspace.profile("web1", "host-web1.pub", &[("wifi", "wifi")]);
        for line in [
            "view secrets/wifi.age -i keys/me.txt",
            "-p web1.json renc -i keys/me.txt",
            "-p web1.json check",
            "-p web1.json status",
            "edit secrets/wifi.age -i keys/me.txt",
            "import agenix-rekey secrets -i keys/me.txt --into new",
        ] {
            let done = workspace.vaultix(line);
            let said = done.stdout.len() + done.stderr.len();
            assert!(said < 5000 && said > 0, "{line}: {said} bytes");
        }
        let done = run(&mut check_of_host(&workspace, &["host"])).exits(1);
        assert!(done.stderr.len() < 5000, "{} bytes", done.stderr.len());
    }
}
