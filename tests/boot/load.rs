//! very many, very large, very fast → the same as few, small and slow.
//!
//! `cargo xtask load` runs all of it in full; in CI the numbers are smaller.

use std::env;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;
use xtask::aloud::say;
use xtask::container;
use xtask::system::System;

use crate::support::{Boot, Scenario, placeholder};

/// How much of something there is.
#[derive(Clone, Copy)]
pub struct Scale {
    /// In CI.
    pub ci: usize,
    /// In full.
    pub full: usize,
}

/// Returns how much of something there is now.
pub fn scale(scale: Scale) -> usize {
    if is_full() { scale.full } else { scale.ci }
}

/// Gives a host half an hour where all of the load was asked for.
pub fn limit(host: &mut Scenario) {
    if is_full() {
        host.limit(Duration::from_secs(1800));
    }
}

/// Tells whether all of the load was asked for.
fn is_full() -> bool {
    env::var_os(container::LOAD).is_some()
}

/// Makes `a` and `b`, profiles that differ in the ciphertext of `id`.
fn two_profiles(host: &mut Scenario, id: &str) {
    for name in ["a", "b"] {
        let mut profile = host.profile().clone();
        profile["secrets"][id]["cipher"] = host.store(&format!("{id}-{name}"), name).into();
        host.next(name, &profile);
    }
}

/// Fails if the script noted that something was wrong.
pub fn assert_right(boot: &Boot) {
    assert!(!boot.has("wrong"), "{}", boot.text("wrong"));
}

/// What scripts of this file share: `use_profile NAME`, `milliseconds`.
const SHARED: &str = r"
use_profile() { cp /next/$1/profile.json /etc/vaultix/new$$ && mv /etc/vaultix/new$$ /etc/vaultix/profile.json; }
milliseconds() { date +%s%3N; }
";

/// Every one of many secrets is there, and many switches in a row leave one generation, with nothing beside.
pub fn many_secrets_and_many_switches(system: System) {
    let (count, switches) =
        (scale(Scale { ci: 100, full: 1000 }), scale(Scale { ci: 50, full: 1000 }));
    let mut host = Scenario::new(system, "many");
    limit(&mut host);
    let one = crate::support::encrypt(host.recipient(), b"plaintext");
    for i in 0..count {
        host.ciphertext(&format!("s{i}"), Some(&one), json!({}));
    }
    two_profiles(&mut host, "s0");
    let boot = host.run(&format!(
        r"{SHARED}
        note boot-time systemd-analyze
        start=$(milliseconds)
        for i in $(seq {switches}); do
            [ $((i % 2)) = 0 ] && name=a || name=b
            use_profile $name
            vaultix-decrypt switch || echo switch $i >>/out/wrong
            [ $(plain /run/vaultix/s0) = $name ] || echo value $i >>/out/wrong
        done
        echo $(($(milliseconds) - start)) >/out/took
        note secrets sh -c 'ls /run/vaultix/ | wc -l'
        note same sh -c 'cat /run/vaultix/* | sort | uniq -c'
        note generations ls --ignore='current*' /run/vaultix.d
        note inside sh -c 'find /run/vaultix.d -type f | wc -l'
        "
    ));
    assert_right(&boot);
    assert_eq!(boot.failed("final"), [""; 0]);
    assert_eq!(boot.text("secrets"), count.to_string());
    assert_eq!(boot.text("generations").lines().count(), 1);
    // Each secret has its file and its record.
    let inside: usize = boot.text("inside").parse().unwrap();
    assert!((2 * count..2 * count + 3).contains(&inside), "{inside} files on the ramfs");
    let took: usize = boot.text("took").parse().unwrap();
    say(&format!(
        "{count} secrets: {}; {switches} switches, {} ms each",
        boot.text("boot-time").lines().next().unwrap_or_default(),
        took / switches
    ));
}

/// A secret of 100 MiB comes whole, is replaced whole, and one that cannot be written whole leaves the old one.
pub fn a_very_large_secret(system: System) {
    const SIZE: usize = 100 << 20;
    let mut host = Scenario::new(system, "large");
    host.secret("large", vec![b'a'; SIZE]);
    host.secret("small", "small");
    host.fixture("b", vec![b'b'; SIZE]);
    host.fixture("c", vec![b'c'; SIZE]);
    let boot = host.run(
        r"
        unit=vaultix-secret@large.service
        sum() { note $1 sh -c 'sha256sum </run/vaultix/large'; }
        sum first
        reencrypt large b
        note restart systemctl restart $unit
        note peak systemctl show --property=ExecMainStartTimestampMonotonic,ExecMainExitTimestampMonotonic $unit
        sum second
        reencrypt large c
        # As full as the ramfs can be made: it has no size of its own, but a process may have one for its files.
        note limited prlimit --fsize=50000000 vaultix-decrypt secret -- large
        sum third
        note restarted systemctl restart vaultix-secret@small
        note again systemctl restart $unit
        sum fourth
        note left sh -c 'du -sm /run/vaultix.d | cut -f 1'
        ",
    );
    let sums: Vec<String> =
        ["first", "second", "third", "fourth"].iter().map(|name| boot.text(name)).collect();
    assert_ne!(sums[0], sums[1], "the new one came");
    assert_eq!(sums[1], sums[2], "the old one stayed");
    assert_ne!(sums[2], sums[3], "the newest one came once it could");
    assert_eq!([boot.status("restart"), boot.status("again"), boot.status("restarted")], [0; 3]);
    assert_ne!(boot.status("limited"), 0, "{}", boot.text("limited"));
    let left: usize = boot.text("left").parse().unwrap();
    assert!((100..110).contains(&left), "{left} MiB are on the ramfs");
}

/// Memory that is used up at any point of a run, on the ramfs or before, leaves the old secret; once there is more, the new
/// one comes.
///
/// A ramfs has no size of its own: it is full when the memory is. Here that of a cgroup, so that the machine goes on.
pub fn a_ramfs_that_fills_the_memory(system: System) {
    const SIZE: usize = 4 << 20;
    let mut host = Scenario::new(system, "full");
    // A template that is much larger than its value takes more memory to be written than to be made.
    host.secret("part", vec![b'a'; SIZE]);
    host.fixture("b", vec![b'b'; SIZE]);
    host.profile()["placeholder"] = json!({ "part": placeholder("part") });
    host.profile()["templates"] = json!({ "large": { "content": placeholder("part").repeat(6) } });
    let boot = host.run(
        r#"
        # within MIB COMMAND...: with no more memory than that, its share of the ramfs included
        if mkdir /run/memory && mount -t cgroup -o memory memory /run/memory; then
            box=/run/memory/vaultix-full-$RANDOM$RANDOM
            mkdir $box
            within() {
                echo "$1M" >$box/memory.limit_in_bytes
                sh -c 'echo $$ >"$0/cgroup.procs"; shift; exec "$@"' $box "$@"
            }
        else
            within() { systemd-run --quiet --scope --property MemoryMax="$1M" --property MemorySwapMax=0 "${@:2}"; }
        fi
        last() { tail -c 1 /run/vaultix/large; }
        size() { stat -L -c %s /run/vaultix/large; }
        size=$(size)
        reencrypt part b
        for mib in $(seq 2 2 96); do
            within $mib vaultix-decrypt template -- large 2>>/out/said
            echo "$mib $? $(last) $(($(size) - size)) $(du -sm /run/vaultix.d | cut -f 1)" >>/out/tried
            [ "$(last)" = b ] && break
        done
        note after systemctl restart vaultix-secret@part
        settle
        note left sh -c 'du -sm /run/vaultix.d | cut -f 1'
        [ -z "$box" ] || rmdir $box
        "#,
    );
    let tried = boot.text("tried");
    let rows: Vec<Vec<&str>> =
        tried.lines().map(|line| line.split_whitespace().collect()).collect();
    let (last, before) = rows.split_last().unwrap();
    assert_eq!(last[1..4], ["0", "b", "0"], "with enough, it comes whole:\n{tried}");
    assert!(before.len() > 3, "the memory was never used up:\n{tried}");
    for row in before {
        assert!(row[1] != "0" && row[2] == "a" && row[3] == "0", "{row:?}:\n{tried}");
    }
    // Some were killed while they wrote: what they had of it lay beside the old one.
    assert!(before.iter().any(|row| row[4].parse::<usize>().unwrap() > 29), "{tried}");
    assert_eq!(boot.status("after"), 0);
    let left: usize = boot.text("left").parse().unwrap();
    assert!((28..30).contains(&left), "{left} MiB are on the ramfs");
}

/// Restarts by dozens, at once and in a row, are neither refused nor lost.
pub fn restarts_in_a_row_and_at_once(system: System) {
    let count = scale(Scale { ci: 50, full: 500 });
    let mut host = Scenario::new(system, "restarts");
    limit(&mut host);
    host.secret("token", "v1");
    host.fixture("v2", "v2");
    let boot = host.run(&format!(
        r"{SHARED}
        start=$(milliseconds)
        for i in $(seq {count}); do systemctl restart vaultix-secret@token || echo $i >>/out/wrong; done
        echo $(($(milliseconds) - start)) >/out/took
        reencrypt token v2
        seq {count} | xargs -P 20 -n 1 sh -c 'vaultix-decrypt secret -- token || echo by hand $0 >>/out/wrong' &
        seq {count} | xargs -P 5 -n 1 sh -c 'systemctl restart --no-block vaultix-secret@token || echo $0 >>/out/wrong'
        wait
        settle
        note value cat /run/vaultix/token
        note left find /run/vaultix.d/ -type f
        "
    ));
    assert_right(&boot);
    assert_eq!(boot.text("value"), "v2");
    assert_eq!(boot.unit("vaultix-secret@token.service")["ActiveState"], "active");
    assert_eq!(boot.text("left").lines().count(), 2, "{}", boot.text("left"));
    let took: usize = boot.text("took").parse().unwrap();
    say(&format!("{count} restarts in a row: {} a second", count * 1000 / took.max(1)));
}

/// Two switches at once, to one profile or to two: the profile that is there in the end is the one that holds.
pub fn two_switches_at_once(system: System) {
    let rounds = scale(Scale { ci: 30, full: 500 });
    let mut host = Scenario::new(system, "twice");
    limit(&mut host);
    host.secret("token", "a");
    host.secret("other", "other");
    two_profiles(&mut host, "token");
    let boot = host.run(&format!(
        r"{SHARED}
        for i in $(seq {rounds}); do
            [ $((i % 2)) = 0 ] && name=a || name=b
            use_profile $name
            vaultix-decrypt switch & one=$!
            vaultix-decrypt switch & two=$!
            vaultix-decrypt secret -- other & three=$!
            wait $one || echo one $i >>/out/wrong
            wait $two || echo two $i >>/out/wrong
            wait $three || echo three $i >>/out/wrong
            [ $(plain /run/vaultix/token) = $name ] || echo value $i >>/out/wrong
            [ $(ls --ignore='current*' /run/vaultix.d | wc -l) = 1 ] || echo generations $i >>/out/wrong
        done
        "
    ));
    assert_right(&boot);
}

/// Who writes /etc/passwd while helpers read it makes none of them take another user for the owner.
pub fn accounts_are_being_written(system: System) {
    let count = scale(Scale { ci: 60, full: 1000 });
    let mut host = Scenario::new(system, "accounts");
    limit(&mut host);
    host.secret_with("token", "v1", json!({ "owner": "web", "group": "web" }));
    let mut users = String::from("root:x:0:0:root:/root:/bin/sh\n");
    for i in 0..2000 {
        writeln!(users, "user{i}:x:{}:{}::/:/bin/sh", 20000 + i, 20000 + i).unwrap();
    }
    users += "web:x:10420:10420::/:/bin/sh\n";
    host.file("/etc/passwd", &users);
    host.file("/etc/group", users.replace("::/:/bin/sh", ":").replace("root:/root:/bin/sh", ""));
    host.file("/fixtures/passwd", &users);
    let boot = host.run(&format!(
        r"
        renamed() {{ while [ -e /out/busy ]; do cp /fixtures/passwd /etc/passwd.new; mv /etc/passwd.new /etc/passwd; done; }}
        in_place() {{ while [ -e /out/busy ]; do cat /fixtures/passwd >/etc/passwd; done; }}
        try() {{
            vaultix-decrypt secret -- token 2>>/out/said || echo $? >>/out/$1
            [ $(stat -c %u /run/vaultix/token) = 10420 ] || echo another owner >>/out/wrong
        }}
        for way in renamed in_place; do
            touch /out/busy /out/$way
            $way & writer=$!
            for i in $(seq {count}); do chown 10420 /run/vaultix/token; try $way; done
            rm /out/busy
            wait $writer
        done
        try after
        touch /out/after
        "
    ));
    assert_right(&boot);
    // A file that is replaced is whole at any time; one that is written in place may be found empty.
    assert_eq!(boot.text("renamed"), "");
    let in_place = boot.text("in_place");
    assert!(in_place.lines().all(|status| status == "67"), "{in_place}\n{}", boot.text("said"));
    assert_eq!(boot.text("after"), "");
}

/// Times count for nothing: a ciphertext that is older than the one before it is another one all the same, and so is
/// one of the future.
pub fn a_clock_that_went_back(system: System) {
    let mut host = Scenario::new(system, "clock");
    host.secret("token", "v1");
    for name in ["v2", "v3"] {
        host.fixture(name, name);
    }
    let boot = host.run(
        r"
        put() { # put NAME DATE: a ciphertext with a time of its own, where the old one was
            cp /fixtures/$1 /etc/vaultix/cache/token.new
            touch -d $2 /etc/vaultix/cache/token.new
            mv /etc/vaultix/cache/token.new /etc/vaultix/cache/token
            note $1.switch vaultix-decrypt switch
            note $1 cat /run/vaultix/token
        }
        put v2 1970-01-02
        put v3 2100-01-01
        ",
    );
    for name in ["v2", "v3"] {
        assert_eq!(boot.text(name), name, "{}", boot.text(&format!("{name}.switch")));
    }
}
