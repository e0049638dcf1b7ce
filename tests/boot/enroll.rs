//! a host without a key → an identity of its own, and secrets for it; later on, for another one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use pretty_assertions::assert_eq;
use serde_json::json;
use vaultix_units::identity::{AgeIdentity, native};
use xtask::system::System;

use crate::prefix::prefix;
use crate::support::{Scenario, secret_unit};

/// Where the identity comes.
const PATH: &str = "/var/lib/vaultix/host.age";

/// Where a sealed one comes, below a directory.
const SEALED: &str = "var/lib/vaultix/host.cred";

/// System calls that faults are not about: of memory, and the beginning and the end of a process.
const NOT_MEANT: &str = "execve exit exit_group brk mmap munmap madvise";

/// System calls that change nothing which is still there when the process is gone. A kill before one of them leaves what a
/// kill before the next other call does.
const LOOKS: &str = "fcntl fgetxattr flistxattr fstat fstatfs getdents64 geteuid getpid getrandom gettid ioctl lseek lstat \
    mprotect newfstatat poll prlimit64 read readlink rt_sigaction rt_sigprocmask sched_getaffinity sigaltstack stat statx";

/// Calls of the C library for its own threads and signals, with arguments that the kernel never refuses.
const NEVER_FAIL: &str = "arch_prctl geteuid getpid gettid mprotect rt_sigaction rt_sigprocmask sched_getaffinity \
    set_tid_address sigaltstack";

/// What a desk does, in the same container: encrypts the secret once to its own post-quantum identity, and for each host of
/// /next/NAME to the host's key. The only thing that has been carried over is the recipient.
const DESK: &str = r#"
export PATH=$PATH:/opt/vaultix/bin
desk() { (cd /desk && PINENTRY_PROGRAM= HOME=/desk vaultix "$@"); }
secret() { printf %s "$1" | desk edit token.age --stdin -i master.txt; }
# host NAME RECIPIENT...: fills the recipients into /next/NAME/profile.json, and makes the copy.
host() {
    sed "s|RECIPIENT|$2|" /next/template/profile.json >/desk/host.json
    desk -p host.json renc -i master.txt --cache cache
    local copy=$(echo /desk/cache/tester/*)
    mkdir -p "/next/$1" && cp "$copy" "/next/$1/token"
    sed "s|RECIPIENT|$2|; s|\"file\": .*|\"cipher\": \"/next/$1/token\"|; s|\"hostKeys\": .*|\"hostKeys\": $3,|" \
        /next/template/profile.json >"/next/$1/profile.json"
}
key() { echo "{\"path\":\"$1\",\"type\":\"${2-age}\"}"; }
"#;

/// Prepares a host, and a desk in it.
fn prepare(system: System, name: &str) -> Scenario {
    let host = Scenario::new(system, name);
    host.nixos();
    host.file("/etc/users", "");
    let master = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys/me-pq.txt");
    host.file("/desk/master.txt", fs::read(master).unwrap());
    // Line by line, for sed.
    host.file(
        "/next/template/profile.json",
        "{\"version\": 1, \"settings\": { \"hostIdentifier\": \"tester\",\n\"hostPubkey\": \"RECIPIENT\",\n\
         \"hostKeys\": [],\n\"keepGenerations\": 1 }, \"secrets\": { \"token\": {\n\
         \"file\": \"/desk/token.age\"\n} } }\n",
    );
    host
}

/// The unit makes an identity, fails, and says what to do. Once that is done, the host has its secrets, and nothing that was
/// committed can be read by who breaks keys of ssh and X25519.
pub fn a_fresh_host(system: System) {
    let mut host = prepare(system, "fresh");
    host.profile()["settings"]["hostPubkey"] = "".into();
    host.profile()["settings"]["hostKeys"] = json!([{ "path": PATH, "type": "age" }]);
    let boot = host.run(&format!(
        r#"{DESK}
        note started systemctl start vaultix-enroll.service
        snapshot first
        note file stat --format='%a %U %F' {PATH}
        note directory stat --format='%a %U' /var/lib/vaultix
        cp {PATH} /run/first
        recipient=$(vaultix-decrypt enroll 2>/out/said)
        echo "$recipient" >/out/recipient
        note again systemctl start vaultix-enroll.service
        note same cmp {PATH} /run/first
        note one ls -A /var/lib/vaultix
        secret hunter2
        host enrolled "$recipient" "[$(key {PATH})]"
        switch enrolled
        note token cat /run/vaultix/token
        note old grep -raE -e '-> (X25519|ssh-)' /desk/token.age /desk/cache /next
        note quantum grep -racE -e '-> mlkem768x25519' /desk/token.age /next/enrolled/token
        # All goes, and comes again as at the next boot. The ramfs is the last to go, so this waits for all of it.
        systemctl stop run-vaultix.private-ramfs.mount
        note gone ls /run/vaultix/
        rm /etc/ssh/ssh_host_*
        systemctl start vaultix.target
        note booted cat /run/vaultix/token
        "#
    ));
    let unit = boot.unit_at("first", "vaultix-enroll.service");
    assert_eq!((&*unit["ActiveState"], &*unit["ExecMainStatus"]), ("failed", "78"), "{unit:?}");
    assert_eq!(boot.failed("first"), ["vaultix-enroll.service"], "and nothing else");
    let recipient = boot.text("recipient");
    assert!(recipient.starts_with("age1pq1") && recipient.len() == 1959, "{recipient}");
    let line = format!("vaultix.settings.hostPubkey = \"{recipient}\";");
    boot.assert_error("vaultix-enroll.service", &[PATH, &line, "vaultix renc"]);
    let keys =
        format!("  vaultix.settings.hostKeys = [ {{ path = \"{PATH}\"; type = \"age\"; }} ];");
    let said = boot.text("said");
    assert!(said.lines().any(|said| said == format!("  {line}")), "{said}");
    assert!(said.lines().any(|said| said == keys) && said.contains("was there already"), "{said}");
    assert_eq!(
        (boot.text("file"), boot.text("directory")),
        ("400 root regular file".into(), "700 root".into())
    );
    assert_eq!((boot.status("again"), boot.status("same")), (1, 0));
    assert_eq!(boot.text("one"), "host.age");
    assert_eq!(boot.status("enrolled.switch"), 0, "{}", boot.text("enrolled.switch"));
    assert_eq!(boot.text("token"), "hunter2");
    assert_eq!((boot.text("old"), boot.status("old")), (String::new(), 1));
    assert_eq!(boot.text("quantum"), "/desk/token.age:1\n/next/enrolled/token:1");
    assert_ne!(boot.status("gone"), 0);
    assert_eq!(boot.text("booted"), "hunter2", "with no ssh key anywhere");
}

/// From an ssh key to a post-quantum one, from that to another, and back: at no moment does the host lack its secrets, or
/// could not decrypt what the profile before has.
pub fn a_key_is_replaced(system: System) {
    const SSH: &str = "/etc/ssh/ssh_host_ed25519_key";
    let mut host = prepare(system, "replaced");
    host.secret("token", "v0");
    let ssh = host.recipient().to_owned();
    // It does much, at the desk as well.
    host.limit(Duration::from_secs(180));
    let boot = host.run(&format!(
        r#"{DESK}
        mkdir -p /next/before && cp /etc/vaultix/profile.json /next/before
        ssh=$(key {SSH} ed25519) first=$(key {PATH}) second=$(key /var/lib/vaultix/second.age)
        # each NAME OLD: what can be decrypted by the host as it is now.
        each() {{
            note "$1.token" cat /run/vaultix/token
            note "$1.check" vaultix-decrypt check
            note "$1.old" vaultix-decrypt check --profile "/next/$2/profile.json"
        }}
        secret v1
        one=$(vaultix-decrypt enroll)
        host both "$one" "[$ssh,$first]"
        switch both
        each both before
        # A host that lists a key that it does not need any more is warned of nothing.
        secret v2
        host only "$one" "[$first]"
        switch only
        each only both
        two=$(vaultix-decrypt enroll --path /var/lib/vaultix/second.age)
        secret v3
        host next "$two" "[$first,$second]"
        switch next
        each next only
        rm {PATH}
        secret v4
        host alone "$two" "[$second]"
        switch alone
        each alone next
        secret v5
        host back "{ssh}" "[$ssh,$second]"
        switch back
        each back alone
        echo "$one $two" >/out/recipients
        "#
    ));
    for (name, text) in
        [("both", "v1"), ("only", "v2"), ("next", "v3"), ("alone", "v4"), ("back", "v5")]
    {
        let said = boot.text(&format!("{name}.switch"));
        assert_eq!(boot.status(&format!("{name}.switch")), 0, "{name}: {said}");
        assert_eq!(boot.text(&format!("{name}.token")), text, "{name}");
        assert_eq!(
            (boot.text(&format!("{name}.check")), boot.status(&format!("{name}.check"))),
            ("1 secret can be decrypted".to_owned(), 0),
            "{name}"
        );
        assert_eq!(boot.status(&format!("{name}.old")), 0, "{name}: the way back");
    }
    // The first identity has been removed, and the profile that lists both goes on without it; with a warning.
    assert!(boot.text("alone.old").contains(PATH), "{}", boot.text("alone.old"));
    let recipients = boot.text("recipients");
    assert_eq!(recipients.split(' ').collect::<BTreeSet<_>>().len(), 2);
}

/// A host whose only key is sealed, from its boot on: each secret is there, early ones too, and the identity nowhere but in memory.
/// What cannot be unsealed is named, with its unit and the way back in; other keys are tried, and the way back works.
pub fn a_sealed_host(system: System) {
    const CRED: &str = "/var/lib/vaultix/host.cred";
    const UNIT: &str = "vaultix-unseal@var-lib-vaultix-host.cred.service";
    // With what a unit file would take for something else.
    const ODD: &str = "/var/lib/vaultix/a%n:$c.cred";
    /// An emulated TPM, as systemd and systemd-creds find it.
    const TPM: &str = "swtpm:host=127.0.0.1,port=2321";
    const CHIP: &str = "/var/lib/vaultix/chip.cred";
    const BOUND: &str = "/var/lib/vaultix/bound.cred";
    let mut host = prepare(system, "sealed");
    host.nspawn(&format!("--setenv=SYSTEMD_TPM2_DEVICE={TPM}"));
    host.sealed_key(CRED);
    host.secret("token", "hunter2");
    host.secret("password", "early");
    host.profile()["beforeUserborn"] = json!(["password"]);
    let base = host.profile().clone();
    let with = |paths: &[&str]| {
        let mut profile = base.clone();
        let keys = paths.iter().map(|path| json!({ "path": path, "type": "credential" }));
        profile["settings"]["hostKeys"] = keys.collect();
        profile["beforeUserborn"] = json!([]);
        profile
    };
    let identity = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys/other-pq.txt");
    let identity = fs::read(identity).unwrap();
    host.foreign_credential("/bad/machine", "vaultix-host", &identity);
    host.credential(ODD, "vaultix-host", &identity);
    host.credential("/bad/name", "another", &identity);
    host.credential("/bad/text", "vaultix-host", b"hunter2\n");
    host.credential("/bad/cut", "vaultix-host", &identity);
    let bad = ["machine", "name", "cut", "text", "missing"];
    for name in bad {
        host.next(name, &with(&[&format!("/bad/{name}")]));
    }
    host.next("others", &with(&["/bad/machine", ODD]));
    host.next("again", &with(&[CRED]));
    host.limit(Duration::from_secs(180));
    let boot = host.run(&format!(
        r#"{DESK}
        note ssh find /etc/ssh -name 'ssh_host_*_key'
        note token cat /run/vaultix/token
        note password cat /run/vaultix-for-user/password
        copy=/run/vaultix.private/identities/{UNIT}
        note copy stat --format='%a %U %F' $copy
        note kind stat --file-system --format=%T $copy
        note theirs setpriv --reuid=nobody --clear-groups cat $copy
        note seen find /run/vaultix.d -name '*unseal*'
        grep -c ^AGE-SECRET-KEY-PQ-1 $copy >/out/control
        note leaked find /etc /desk /fixtures /next /run /tmp /dev/shm /var/lib/vaultix /var/lib/systemd /var/tmp -xdev \
            -type f -exec grep -la ^AGE-SECRET-KEY-PQ-1 {{}} +
        note check vaultix-decrypt check
        note began systemctl show --property=ExecMainStartTimestampMonotonic {UNIT}
        systemctl restart vaultix-secret@token.service
        note once systemctl show --property=ExecMainStartTimestampMonotonic {UNIT}
        note outside vaultix-decrypt unseal -- {CRED}

        truncate --size=-100 /bad/cut
        for it in {bad}; do
            note $it.check vaultix-decrypt check --profile /next/$it/profile.json
            cp /next/$it/profile.json /etc/vaultix/profile.json
            systemctl daemon-reload
            note $it systemctl restart vaultix-secret@token.service
            note $it.code systemctl show --property=ExecMainStatus --value vaultix-secret@token.service
            note $it.unit systemctl show --property=ExecMainStatus --value vaultix-unseal@bad-$it.service
            note $it.waits systemctl is-active vaultix-late-key.path
            systemctl stop 'vaultix-late-key*'
        done
        note kept cat /run/vaultix/token
        switch others
        note others.odd systemctl list-units --no-legend --plain --state=active 'vaultix-unseal@*c.cred.service'

        # The machine has lost its key, and is enrolled anew.
        switch again
        rm /var/lib/systemd/credential.secret
        systemctl stop run-vaultix.private-identities.mount
        note lost.left ls /run/vaultix.private/identities
        note lost systemctl restart vaultix-secret@token.service
        note lost.path systemctl is-active vaultix-late-key.path
        mv '{CRED}' '{CRED}.old'
        chmod 400 {CRED}.old
        recipient=$(vaultix-decrypt enroll --seal --path '{CRED}' 2>/out/said)
        echo "$recipient" >/out/recipient
        note file stat --format='%a %U' {CRED}
        note second vaultix-decrypt enroll --seal
        note plain.age vaultix-decrypt enroll --path {CRED}
        note small vaultix-decrypt enroll --seal --x25519
        note stays vaultix-decrypt enroll --seal --path {CRED}.old
        note root vaultix-decrypt enroll --seal --root /fixtures
        note program env PATH=/nowhere /opt/vaultix/bin/vaultix-decrypt enroll --seal --path /var/lib/vaultix/tpm.cred
        note tpm vaultix-decrypt enroll --seal-with tpm2 --path /var/lib/vaultix/tpm.cred
        secret back
        host back "$recipient" "[$(key {CRED} credential)]"
        switch back
        note back.token cat /run/vaultix/token

        # What was unsealed stays for this boot, so another file there is not looked at until its unit is restarted.
        rm {CRED}
        third=$(vaultix-decrypt enroll --seal-with host)
        secret third
        host third "$third" "[$(key {CRED} credential)]"
        note stale vaultix-decrypt check --profile /next/third/profile.json
        systemctl restart {UNIT}
        switch third
        note third.token cat /run/vaultix/token

        note chosen vaultix-decrypt enroll --seal-with host

        # A TPM, which is emulated; then the same after it has measured something, and another one.
        export SYSTEMD_TPM2_DEVICE={TPM}
        tpm() {{
            mkdir -p /run/tpm/$1
            systemctl stop 'tpm-*'
            systemd-run --quiet --unit=tpm-$1 --property=Type=forking \
                swtpm socket --daemon --tpm2 --tpmstate dir=/run/tpm/$1 --server type=tcp,port=2321 \
                --ctrl type=tcp,port=2322 --flags not-need-init,startup-clear
        }}
        # TPM2_FlushContext of the three sessions that there can be, of either kind, and of the three objects: systemd 252
        # leaves them to the kernel, which is not in between here.
        flush() {{
            exec 3<>/dev/tcp/127.0.0.1/2321
            for it in '\2\0\0'{{'\0','\1','\2'}} '\3\0\0'{{'\0','\1','\2'}} '\200\0\0'{{'\0','\1','\2'}}; do
                printf '\200\1\0\0\0\16\0\0\1\145'$it >&3
                head --bytes=10 <&3 >/dev/null
            done
            exec 3>&-
        }}
        # TPM2_PCR_Extend of register 16 in the bank of SHA-256, with a digest of 32 letters.
        extend() {{
            exec 3<>/dev/tcp/127.0.0.1/2321
            local it='\200\2\0\0\0\101\0\0\1\202\0\0\0\20\0\0\0\11\100\0\0\11\0\0\0\0\0\0\0\0\1\0\13'
            # At once: the TPM reads only once.
            printf "$it%s" aaaabbbbccccddddeeeeffffgggghhhh >&3
            head --bytes=10 <&3 | od -A n -t x1
            exec 3>&-
        }}
        note tpm.one tpm one
        chip=$(vaultix-decrypt enroll --seal-with tpm2 --path {CHIP} 2>/out/chip.said)
        flush
        extend >/dev/null
        bound=$(vaultix-decrypt enroll --seal-with tpm2 --pcrs 16 --path {BOUND} 2>/out/bound.said)
        flush
        secret chip
        host chip "$chip" "[$(key {CHIP} credential)]"
        host bound "$bound" "[$(key {BOUND} credential)]"
        switch chip
        note chip.token cat /run/vaultix/token
        flush
        note bound vaultix-decrypt check --profile /next/bound/profile.json
        flush
        note extended extend
        note changed vaultix-decrypt check --profile /next/bound/profile.json
        flush
        systemctl stop run-vaultix.private-identities.mount
        note chip.again systemctl restart vaultix-secret@token.service
        note tpm.two tpm two
        systemctl stop run-vaultix.private-identities.mount
        note chip.other systemctl restart vaultix-secret@token.service
        systemctl stop 'tpm-*'
        unset SYSTEMD_TPM2_DEVICE

        mount -t tmpfs none /var/lib/systemd
        note volatile vaultix-decrypt enroll --seal --path /var/lib/vaultix/memory.cred
        note made ls -A /var/lib/systemd /var/lib/vaultix
        umount /var/lib/systemd
        # By the unit, with its few rights.
        rm /var/lib/vaultix/host.cred
        cp /next/third/profile.json /etc/vaultix/profile.json
        sed -i 's/"hostPubkey": .*/"hostPubkey": "",/' /etc/vaultix/profile.json
        note by.unit systemctl start vaultix-enroll.service
        note by.hand vaultix-decrypt enroll --seal
        "#,
        bad = bad.join(" "),
    ));
    let state = |name: &str| boot.unit_at("boot", name)["ActiveState"].clone();
    assert_eq!((boot.text("ssh"), boot.failed("boot")), (String::new(), Vec::new()));
    assert_eq!(
        (boot.text("token"), boot.text("password")),
        ("hunter2".to_owned(), "early".to_owned()),
        "with no ssh key anywhere"
    );
    assert_eq!(state(UNIT), "active");
    boot.assert_no_cycle();
    assert_eq!(
        (boot.text("copy"), boot.text("kind"), boot.text("control")),
        ("400 root regular file".into(), "ramfs".into(), "1".into())
    );
    assert!(boot.text("theirs").contains("Permission denied"), "{}", boot.text("theirs"));
    assert_eq!(boot.text("seen"), "");
    assert_eq!(boot.text("leaked"), "/desk/master.txt", "the desk's own alone");
    assert_eq!(boot.text("check"), "2 secrets can be decrypted");
    assert_eq!(boot.text("began"), boot.text("once"), "it is unsealed once");
    assert!(boot.text("outside").contains(&format!("systemctl restart '{UNIT}'")));

    let token = secret_unit("token");
    for name in bad {
        assert_eq!((boot.status(name), &*boot.text(&format!("{name}.code"))), (1, "77"), "{name}");
        let path = format!("/bad/{name}");
        let unit = format!("vaultix-unseal@bad-{name}.service");
        let way = format!("vaultix-decrypt enroll --seal --path '{path}'");
        let (words, waits, code) = match name {
            // It may come.
            "missing" => (vec![format!("{path}: No such file")], "active", "243"),
            "text" => (vec![path, unit.clone(), way], "inactive", "65"),
            _ => (vec![path, unit.clone(), way, "vaultix renc".into()], "inactive", "243"),
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        boot.assert_error(&token, &words);
        assert_eq!(boot.text(&format!("{name}.waits")), waits, "{name}");
        assert_eq!(boot.text(&format!("{name}.unit")), code, "{name}");
        assert_eq!(boot.status(&format!("{name}.check")), 1, "{name}");
        if name == "text" {
            boot.assert_error(&unit, &["line 1 is not an age identity"]);
        }
    }
    assert_eq!(boot.text("kept"), "hunter2", "whatever fails, the old one stays");
    // The switch is well, and says that a unit of the system has failed.
    assert_eq!(boot.status("others.check"), 0, "{}", boot.text("others.check"));
    assert!(boot.text("others.check").contains("cannot use the host key /bad/machine: sealed"));
    assert!(boot.text("others.odd").contains("vaultix-unseal@"), "{}", boot.text("others.odd"));
    assert_eq!(boot.unit_at("others", "vaultix-switch.service")["Result"], "success");

    assert_eq!(boot.status("again.switch"), 0, "{}", boot.text("again.switch"));
    assert_eq!((boot.text("lost.left"), boot.status("lost")), (String::new(), 1));
    boot.assert_error(&token, &[CRED, UNIT, "mv '/var/lib/vaultix/host.cred'", "vaultix renc"]);
    assert_eq!(boot.text("lost.path"), "inactive");
    let recipient = boot.text("recipient");
    assert!(recipient.starts_with("age1pq1"), "{recipient} {}", boot.text("said"));
    let line = format!("hostKeys = [ {{ path = \"{CRED}\"; type = \"credential\"; }} ];");
    assert!(boot.text("said").contains(&line), "{}", boot.text("said"));
    assert_eq!(boot.text("file"), "400 root");
    let second = boot.text("second");
    assert!(second.contains("was there already") && second.contains(&recipient), "{second}");
    for (name, words) in [
        ("plain.age", "is not a file with identities"),
        ("small", "has a post-quantum identity already"),
        ("stays", "is there, and stays, but cannot be unsealed"),
        ("root", "not the one in /fixtures"),
        ("tpm", "cannot seal it"),
        ("program", "cannot seal it: cannot run systemd-creds: No such file"),
        ("volatile", "credential.secret, which systemd seals with, is in memory"),
    ] {
        assert!(boot.text(name).contains(words), "{name}: {}", boot.text(name));
        assert_eq!(boot.status(name), 73, "{name}");
    }
    let made = boot.text("made");
    assert!(
        !made.contains("memory") && !made.contains("secret") && !made.contains("tpm"),
        "{made}"
    );
    assert_eq!(
        (boot.status("back.check"), boot.status("back.switch"), &*boot.text("back.token")),
        (0, 0, "back"),
        "{}",
        boot.text("back.switch")
    );
    let older = boot.text("stale");
    assert!(older.contains(&format!("systemctl restart '{UNIT}'")), "{older}");
    assert_eq!((boot.status("third.switch"), &*boot.text("third.token")), (0, "third"));
    let chosen = boot.text("chosen");
    assert!(chosen.contains("is sealed as before") && chosen.contains("age1pq1"), "{chosen}");

    let said = |name: &str| boot.text(&format!("{name}.said"));
    for name in ["tpm.one", "tpm.two", "chip.switch", "bound", "chip.again"] {
        let said = [&*boot.text(name), &*said("chip"), &*said("bound")].join("\n");
        assert_eq!(boot.status(name), 0, "{name}: {said}");
    }
    assert_eq!(boot.text("chip.token"), "chip", "{}", said("chip"));
    assert_eq!(boot.text("extended").split_whitespace().collect::<String>()[12..], *"00000000");
    let changed = boot.text("changed");
    assert_eq!(boot.status("changed"), 1, "{changed}");
    assert!(changed.contains(&format!("{BOUND}: sealed, and cannot be unsealed")), "{changed}");
    assert_eq!(boot.status("chip.other"), 1, "another TPM");
    let way = format!("vaultix-decrypt enroll --seal --path '{CHIP}'");
    let unit = "vaultix-unseal@var-lib-vaultix-chip.cred.service";
    boot.assert_error(&token, &[CHIP, unit, &way, "vaultix renc"]);
    assert_eq!(boot.status("by.unit"), 1);
    let by_hand = boot.text("by.hand");
    let made = by_hand.lines().find(|line| line.starts_with("age1pq1")).unwrap();
    boot.assert_error("vaultix-enroll.service", &[made, CRED]);
    assert!(by_hand.contains("was there already"), "{by_hand}");
}

/// A directory on a disk.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("enroll-{name}"));
        let _ = fs::remove_dir_all(&path); // It may not be there.
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Runs `enroll` with `options`, with this directory as the root, under strace if there are options for it.
    fn enroll(&self, strace: &[&str], options: &[&str]) -> Output {
        let helper = prefix().join("bin/vaultix-decrypt");
        let mut command = if strace.is_empty() {
            Command::new(helper)
        } else {
            let mut command = Command::new("strace");
            command.args(["-f", "-qq"]).args(strace).arg(helper);
            command
        };
        command.args(["enroll", "--root"]).arg(&self.0).args(options).output().unwrap()
    }

    /// Returns the names in the directory of the identity.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.join("var/lib/vaultix")).into_iter().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Returns the recipient of the identity, if there is one, and makes sure that it is complete and private.
    fn recipient(&self) -> Option<String> {
        let path = self.0.join("var/lib/vaultix/host.age");
        let text = fs::read(&path).ok()?;
        let of = fs::metadata(&path).unwrap();
        assert_eq!((of.permissions().mode() & 0o7777, of.uid()), (0o400, 0));
        let identities = native(&text).unwrap();
        assert_eq!(identities.len(), 1);
        let recipient = identities.first().map(AgeIdentity::recipient).unwrap();
        let comment = String::from_utf8(text).unwrap();
        assert!(comment.starts_with(&format!("# public key: {recipient}\n")));
        Some(recipient)
    }
}

/// A machine id, and a key of systemd for the machine that has it.
struct Machine(Folder);

impl Machine {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        fs::write(folder.0.join("machine-id"), "5d1219c7c4c5404aaa1f6d2a48adfda4\n").unwrap();
        Self(folder)
    }

    /// Runs `command` on this machine.
    fn run(&self, command: &[&str]) -> Output {
        const SCRIPT: &str = r#"mount --bind "$1/machine-id" /etc/machine-id; shift; exec "$@""#;
        let mut run = Command::new("unshare");
        run.args(["--mount", "sh", "-ec", SCRIPT, "sh"]).arg(&self.0.0).args(command);
        run.env("SYSTEMD_CREDENTIAL_SECRET", self.0.0.join("credential.secret"));
        run.output().unwrap()
    }

    /// Makes a sealed identity in `folder`, under strace if there are options for it, which follows no other program.
    fn enroll(&self, folder: &Folder, strace: &[&str]) -> Output {
        let (helper, path) = (prefix().join("bin/vaultix-decrypt"), folder.0.join(SEALED));
        let mut command = Vec::new();
        if !strace.is_empty() {
            command.extend(["timeout", "--signal=KILL", "60"]);
            command.extend(["strace", "--detach-on=execve", "-f", "-qq"].iter().chain(strace));
        }
        let options = ["enroll", "--seal-with", "host", "--path"];
        command.push(helper.to_str().unwrap());
        command.extend(options.iter().chain(&[path.to_str().unwrap()]));
        self.run(&command)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }
}

/// Whatever fails, and wherever it is killed: there is no identity, or a whole one, and the next run completes it. Who was
/// told a recipient can rely on it.
pub fn never_two_nor_half_an_identity() {
    let folder = Folder::new("faults");
    let trace = folder.0.join("trace");
    let clean = folder.enroll(&["-o", trace.to_str().unwrap()], &[]);
    assert!(clean.status.success(), "{}", String::from_utf8_lossy(&clean.stderr));
    let counts = counts(&trace);
    assert!(
        ["linkat", "fsync", "flock", "openat2"].iter().all(|name| counts.contains_key(*name)),
        "{counts:?}"
    );
    drop(folder);
    let (mut tried, mut killed) = (0, 0);
    for (name, count) in counts {
        if is_in(NOT_MEANT, &name) {
            continue;
        }
        for when in 1..=count {
            for fault in ["error=EIO", "error=ENOSPC", "signal=KILL"] {
                if name == "close" && fault != "signal=KILL" {
                    continue; // One that fails has closed all the same.
                }
                let folder = Folder::new("faults");
                let (only, inject) =
                    (format!("trace={name}"), format!("inject={name}:{fault}:when={when}"));
                let done = folder.enroll(&["-o", "/dev/null", "-e", &only, "-e", &inject], &[]);
                let what = format!("{inject}: {}", String::from_utf8_lossy(&done.stderr));
                tried += 1;
                killed += usize::from(done.status.code().is_none());
                let told = String::from_utf8(done.stdout).unwrap();
                let there = folder.recipient();
                if !told.is_empty() {
                    assert_eq!(Some(told.trim()), there.as_deref(), "{what}");
                }
                assert!(!done.status.success() || there.is_some(), "{what}");
                let again = folder.enroll(&[], &[]);
                let found = folder.recipient();
                assert!(again.status.success() && found.is_some(), "{what}");
                assert!(there.is_none() || there == found, "{what}: another one");
                assert_eq!(folder.names(), ["host.age"], "{what}");
            }
        }
    }
    assert!(tried > 60 && killed > 20, "{tried} faults, {killed} kills");
}

/// The same for one that is sealed; and nothing that is left, wherever it was killed, contains it in clear.
pub fn never_two_nor_half_a_sealed_identity() {
    let machine = Machine::new("machine");
    let folder = Folder::new("sealed-faults");
    let trace = machine.0.0.join("trace");
    let clean = machine.enroll(&folder, &["-o", trace.to_str().unwrap()]);
    assert!(clean.status.success(), "{}", String::from_utf8_lossy(&clean.stderr));
    let recipient = String::from_utf8(clean.stdout).unwrap();
    let path = folder.0.join(SEALED);
    let command = ["systemd-creds", "decrypt", "--name=vaultix-host", path.to_str().unwrap(), "-"];
    let unsealed = machine.run(&command).stdout;
    let identities = native(&unsealed).unwrap();
    let recipients: Vec<String> = identities.iter().map(AgeIdentity::recipient).collect();
    assert_eq!(recipients, [recipient.trim()]);
    drop(folder);
    let counts = counts(&trace);
    assert!(
        ["linkat", "fsync", "pipe2", "wait4"].iter().all(|name| counts.contains_key(*name)),
        "{counts:?}"
    );
    let (mut tried, mut killed) = (0, 0);
    let calls = counts.iter().flat_map(|(name, count)| (1..=*count).map(move |when| (name, when)));
    for (i, (name, when)) in calls.filter(|(name, _)| !is_in(NOT_MEANT, name)).enumerate() {
        let can_fail = name != "close" && !is_in(NEVER_FAIL, name);
        let error = can_fail.then_some(["error=EIO", "error=ENOSPC"][i % 2]);
        let kill = (!is_in(LOOKS, name)).then_some("signal=KILL");
        for fault in error.into_iter().chain(kill) {
            let folder = Folder::new("sealed-faults");
            let inject = format!("{name}:{fault}:when={when}");
            let (only, inject) = (format!("trace={name}"), format!("inject={inject}"));
            let done = machine.enroll(&folder, &["-o", "/dev/null", "-e", &only, "-e", &inject]);
            let what = format!("{inject}: {}", String::from_utf8_lossy(&done.stderr));
            tried += 1;
            killed += usize::from(done.status.code().is_none());
            let path = folder.0.join(SEALED);
            let there = fs::read(&path).ok();
            if there.is_some() {
                let of = fs::metadata(&path).unwrap();
                assert_eq!((of.permissions().mode() & 0o7777, of.uid()), (0o400, 0), "{what}");
            }
            for name in folder.names() {
                let left = fs::read(path.with_file_name(name)).unwrap();
                assert!(!left.windows(14).any(|it| it == b"AGE-SECRET-KEY"), "{what}: in clear");
            }
            assert!(there.is_some() || done.stdout.is_empty(), "{what}: told of nothing");
            assert!(there.is_some() || !done.status.success(), "{what}");
            // It unseals what is there, so that is whole.
            let again = machine.enroll(&folder, &[]);
            let said = String::from_utf8_lossy(&again.stderr);
            assert!(again.status.success(), "{what}: then {said}");
            let told = done.stdout.trim_ascii_end();
            assert!(
                told.is_empty() || told == again.stdout.trim_ascii_end(),
                "{what}: another one"
            );
            let found = fs::read(&path).unwrap();
            assert!(there.is_none_or(|there| there == found), "{what}: another one");
            assert_eq!(folder.names(), ["host.cred"], "{what}");
        }
    }
    assert!(tried > 60 && killed > 20, "{tried} faults, {killed} kills");
}

/// Returns how often each system call is in the `trace` of strace, of whichever thread has it most often: that is how strace
/// counts them.
fn counts(trace: &Path) -> BTreeMap<String, usize> {
    let trace = fs::read_to_string(trace).unwrap();
    let mut threads = BTreeMap::<(&str, &str), usize>::new();
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        let name = call.trim_start().split('(').next().unwrap();
        if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            *threads.entry((thread, name)).or_default() += 1;
        }
    }
    let mut counts = BTreeMap::new();
    for ((_, name), count) in threads {
        let most: &mut usize = counts.entry(name.to_owned()).or_default();
        *most = count.max(*most);
    }
    counts
}

/// Returns whether `name` is one of the words of `list`.
fn is_in(list: &str, name: &str) -> bool {
    list.split_ascii_whitespace().any(|one| one == name)
}

/// What does not survive a reboot is refused, and so is a place where others could exchange it; what is there stays.
pub fn places_that_are_refused() {
    let folder = Folder::new("places");
    let refused = |options: &[&str], words: &str| {
        let before = folder.names();
        let done = folder.enroll(&[], options);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(73), "{options:?}: {said}");
        assert!(said.contains(words), "{options:?}: {said}");
        assert!(done.stdout.is_empty());
        assert_eq!(folder.names(), before);
    };
    // The same once more, and of another kind.
    let first = folder.enroll(&[], &[]);
    assert!(first.status.success(), "{first:?}");
    let recipient = folder.recipient().unwrap();
    assert_eq!(String::from_utf8(folder.enroll(&[], &[]).stdout).unwrap().trim(), recipient);
    refused(&["--x25519"], "has a post-quantum identity already, which stays");
    assert_eq!(folder.recipient().unwrap(), recipient);
    let small = folder.enroll(&[], &["--x25519", "--path", "/var/lib/vaultix/small.age"]);
    let small = String::from_utf8(small.stdout).unwrap();
    assert!(small.starts_with("age1") && small.trim().len() == 62, "{small}");
    refused(&["--path", "/var/lib/vaultix/small.age"], "has an X25519 identity already");

    let inside = |path: &str| folder.0.join(path);
    let write = |path: &str, text: &str, mode: u32| {
        fs::write(inside(path), text).unwrap();
        fs::set_permissions(inside(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    write("var/lib/vaultix/open.age", "AGE-SECRET-KEY-PQ-1", 0o644);
    refused(&["--path", "/var/lib/vaultix/open.age"], "nobody else can read");
    write("var/lib/vaultix/empty.age", "# nothing\n", 0o400);
    refused(&["--path", "/var/lib/vaultix/empty.age"], "contains no identity");
    write("var/lib/vaultix/other.age", "hunter2\n", 0o400);
    refused(&["--path", "/var/lib/vaultix/other.age"], "is not a file with identities");
    symlink("host.age", inside("var/lib/vaultix/link.age")).unwrap();
    refused(&["--path", "/var/lib/vaultix/link.age"], "is a link");
    for path in ["host.age", "/", "/var/../host.age"] {
        refused(&["--path", path], "is not an absolute path");
    }
    fs::create_dir(inside("shared")).unwrap();
    fs::set_permissions(inside("shared"), fs::Permissions::from_mode(0o1777)).unwrap();
    refused(&["--path", "/shared/host.age"], "others can make files in its directory");
    fs::create_dir(inside("theirs")).unwrap();
    std::os::unix::fs::chown(inside("theirs"), Some(65534), None).unwrap();
    refused(
        &["--path", "/theirs/sub/host.age"],
        "others than root can exchange a directory above it",
    );
    assert!(!inside("theirs/sub").exists());
    // An absolute link leads to where it does on that host.
    fs::create_dir(inside("persist")).unwrap();
    symlink("/persist", inside("kept")).unwrap();
    assert!(folder.enroll(&[], &["--path", "/kept/host.age"]).status.success());
    assert!(inside("persist/host.age").exists() && !Path::new("/persist/host.age").exists());
    drop(folder);

    // In a mount namespace of its own, with what is in memory, or on it, or full, or read-only.
    let folder = Folder::new("mounts");
    let script = r#"
        set -eu
        cd "$1"; helper=$2
        mkdir memory over lower upper work only
        mount -t tmpfs memory memory; mkdir memory/upper memory/work
        mount -t overlay over -o "lowerdir=lower,upperdir=$1/memory/upper,workdir=$1/memory/work" over
        mount --bind -o ro lower only; mount -o remount,bind,ro only
        mkdir good; mount -t overlay over -o "lowerdir=lower,upperdir=$1/upper,workdir=$1/work" good
        for place in memory over only good; do
            "$helper" enroll --path "$1/$place/d/host.age" >"$1/$place.out" 2>"$1/$place.err" || true
            ls -A "$place/d" >>"$1/$place.out" 2>&1 || true
        done
        "$helper" enroll --root "$1/memory" >"$1/root.out" 2>"$1/root.err" || true
        [ "$(ls "$1/memory")" = "$(printf 'upper\nwork')" ]
    "#;
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(&folder.0)
        .arg(prefix().join("bin/vaultix-decrypt"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = |name: &str| fs::read_to_string(folder.0.join(name)).unwrap();
    for place in ["memory", "over", "root"] {
        let said = text(&format!("{place}.err"));
        assert!(said.contains("is in memory, and would not survive a reboot"), "{place}: {said}");
        assert!(!text(&format!("{place}.out")).contains("host.age\n"), "{place}");
    }
    assert!(text("only.err").contains("Read-only file system"), "{}", text("only.err"));
    assert!(text("good.out").ends_with("\nhost.age\n"), "{}", text("good.err"));
}
