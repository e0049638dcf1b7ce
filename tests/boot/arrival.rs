//! profile → files: what arrives at boot, with which owner and mode, where, and when.

use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};
use xtask::system::System;

use crate::support::{Boot, Scenario, secret_unit};

/// A plaintext that is found wherever it leaks to.
const MARKER: &str = "correct-horse-battery-staple";

/// Every secret is there, whole, with its owner and mode, on a ramfs with the promised flags.
pub fn every_secret_arrives(system: System) {
    let big: Vec<u8> = (0..300_000_u32).map(|i| (i.wrapping_mul(i) % 251) as u8).collect();
    let mut host = Scenario::new(system, "arrive");
    for (id, plaintext, fields) in [
        ("plain", MARKER.as_bytes(), json!({})),
        ("empty", b"", json!({})),
        ("big", &big, json!({ "mode": "0440" })),
        ("named", b"1", json!({ "owner": "daemon", "group": "mail", "mode": "0640" })),
        ("numbered", b"2", json!({ "owner": "12345", "group": "54321", "mode": "444" })),
        ("deep", b"3", json!({ "name": "a/b/c" })),
        ("other-id", b"4", json!({ "id": "its-own", "name": "its name" })),
    ] {
        host.secret_with(id, plaintext, fields);
        host.file(&format!("/fixtures/{id}"), plaintext);
    }
    let boot = host.run(
        r#"
        note state systemctl is-system-running
        note files find /run/vaultix/ -name .vaultix -prune -o -printf '%P %y %m %U %G\n'
        note records stat --format=%a /run/vaultix/.vaultix
        for it in plain empty big named numbered; do plain "/run/vaultix/$it" | cmp - "/fixtures/$it"; done
        plain /run/vaultix/a/b/c | cmp - /fixtures/deep
        plain '/run/vaultix/its name' | cmp - /fixtures/other-id
        note fstype stat --file-system --format=%T /run/vaultix.d
        note mount sh -c 'for it in /run/vaultix.d /run/vaultix.private/ramfs; do
            findmnt --noheadings --output=SOURCE,FSTYPE,OPTIONS $it; done'
        note mountpoint stat --format='%a %u %g' /run/vaultix.d /run/vaultix.d/1 \
            /run/vaultix.private /run/vaultix.private/ramfs
        note current readlink --canonicalize /run/vaultix
        note order systemctl show --property=ActiveEnterTimestampMonotonic --value \
            vaultix-boot.service vaultix.target sysinit.target
        note verify systemd-analyze verify --generators=yes --man=no default.target
        note static find /etc/systemd/system '(' -name 'vaultix*' -o -name '*-vaultix.conf' ')' -printf '%f\n'
        # Wherever a careless program could have left it; the ramfs is another file system.
        note leaks find /etc /run /tmp /var/tmp /var/lib/systemd /root -xdev -type f -newer /proc/1 \
            -exec grep --files-with-matches --fixed-strings correct-horse {} +
        "#,
    );
    assert_eq!(boot.text("script.errors"), "", "every file is what was encrypted");
    assert_eq!(boot.text("state"), "running");
    let files = boot.text("files");
    let mut files: Vec<_> = files.lines().collect();
    files.sort_unstable();
    let expected = [
        " d 711 0 0",
        "a d 711 0 0",
        "a/b d 711 0 0",
        "a/b/c f 400 0 0",
        "big f 440 0 0",
        "empty f 400 0 0",
        "its name f 400 0 0",
        "named f 640 1 8",
        "numbered f 444 12345 54321",
        "plain f 400 0 0",
    ];
    pretty_assertions::assert_eq!(files, expected);
    assert_eq!(boot.text("fstype"), "ramfs");
    let mount = boot.text("mount");
    let (view, hidden) = mount.split_once('\n').unwrap();
    for flag in ["ramfs", "nosuid", "nodev", "noexec"] {
        assert!(view.contains(flag) && hidden.contains(flag), "{flag} in {mount}");
    }
    assert!(
        view.contains(" ro,") && hidden.contains(" rw,"),
        "only one can be written to: {mount}"
    );
    assert_eq!(boot.text("mountpoint"), "711 0 0\n711 0 0\n700 0 0\n711 0 0");
    assert_eq!(boot.text("records"), "700", "what is kept about a generation is root's business");
    assert_eq!(boot.text("current"), "/run/vaultix.d/1");

    for id in ["plain", "empty", "big", "named", "numbered", "deep", "its-own"] {
        let unit = boot.unit(&secret_unit(id));
        assert_eq!(unit["ActiveState"], "active", "{id}");
        assert_eq!(unit["SubState"], "exited", "{id}");
    }
    let times: Vec<u64> =
        boot.text("order").split_whitespace().map(|time| time.parse().unwrap()).collect();
    assert_eq!(times.len(), 3);
    assert!(times[0] > 0 && times[0] <= times[1] && times[1] <= times[2], "in order: {times:?}");
    assert!(!boot.text("verify").to_lowercase().contains("cycle"), "{}", boot.text("verify"));
    assert!(!boot.text("verify").contains("vaultix"), "{}", boot.text("verify"));
    let units = boot.text("static");
    let mut units: Vec<_> = units.lines().collect();
    units.sort_unstable();
    let expected =
        ["vaultix-enroll.service", "vaultix-switch-early.service", "vaultix-switch.service"];
    assert_eq!(units, expected, "all others would be restarted when the package's path changes");
    boot.assert_no_cycle();
    assert_eq!(boot.text("leaks"), "", "the plaintext is in the ramfs and nowhere else");
    assert!(boot.journal().iter().all(|line| !line.message.contains(MARKER)), "nor in the journal");
}

/// An ordinary service without any ordering of its own finds its secret, however long that takes.
pub fn a_plain_service_waits(system: System) {
    let mut host = Scenario::new(system, "wait");
    host.secret("slow", "late but there");
    host.file(
        "/etc/systemd/system/vaultix-boot.service.d/slow.conf",
        "[Service]\nExecStartPre=/bin/sleep 2\n",
    );
    host.consumer("plain", "/run/vaultix/slow");
    let boot = host.run(
        "note began systemctl show --property=InactiveExitTimestampMonotonic --value \
            vaultix-boot.service plain.service",
    );
    assert_eq!(boot.text("plain.log").lines().next(), Some("start late but there"));
    let times: Vec<u64> =
        boot.text("began").split_whitespace().map(|time| time.parse().unwrap()).collect();
    assert!(times[1] - times[0] >= 2_000_000, "it was slow, and waited for: {times:?}");
    boot.assert_no_cycle();
}

/// Any id reaches its file, and its unit has the name that systemd-escape gives it.
pub fn unusual_names_are_placed(system: System) {
    let long = "x".repeat(200);
    let dashes = "-".repeat(120);
    let umlauts = "ü".repeat(100);
    let path = ["y".repeat(150).as_str(); 3].join("/");
    let ids = [
        "deep/er/still",
        "with-dash",
        "-leading",
        "--help",
        "--",
        ".hidden",
        "two words",
        " edges ",
        "100%",
        "%n %I %% %i",
        "$HOME ${PATH} $$",
        "\"double\" and 'single'",
        r"back\slash \x2d",
        "semi;colon & more | $(reboot) `reboot`",
        "at@sign:colon_under",
        "#comment",
        "star*[a-z]?",
        "grüße-日本-🔑",
        "tab\tnewline\nend",
        &long,
        &dashes,
        &umlauts,
        &path,
    ];
    let mut host = Scenario::new(system, "names");
    for id in ids {
        host.secret_with(
            id,
            format!("plaintext of {id}"),
            json!({ "restartUnits": ["user.service"] }),
        );
        host.file(&format!("/fixtures/{id}"), format!("plaintext of {id}"));
    }
    host.consumer("user", "/run/vaultix/two words");
    let boot = host.run(
        r"
        cp --recursive /run/vaultix/. /run/vaultix.private/ramfs/copy
        find /run/vaultix.private/ramfs/copy -type f -exec sed -i -f /canary/plain.sed {} +
        note diff diff --recursive --exclude=.vaultix /fixtures /run/vaultix.d/copy
        note state systemctl is-system-running
        note after systemctl show --property=After --value user.service
        note wants systemctl show --property=Wants --value user.service
        ",
    );
    assert_eq!(boot.text("diff"), "");
    assert_eq!(boot.text("state"), "running", "{:?}", boot.failed("final"));
    // systemctl quotes names that have a backslash.
    let plain = |list: &str| list.replace('"', "").replace(r"\\", r"\");
    let (after, wants) = (plain(&boot.text("after")), plain(&boot.text("wants")));
    let after: Vec<_> = after.split(' ').collect();
    let wants: Vec<_> = wants.split(' ').collect();
    for id in ids {
        let is_long = [&dashes, &umlauts, &path].contains(&&id.to_owned());
        let unit = if is_long { hashed_unit(id) } else { secret_unit(id) };
        assert_eq!(boot.unit(&unit)["ActiveState"], "active", "{id}");
        assert!(after.contains(&unit.as_str()), "{unit} in {after:?}");
        assert!(!wants.contains(&unit.as_str()), "{unit} in {wants:?}: it would run at boot");
    }
    for id in ["100%", "%n %I %% %i", "$HOME ${PATH} $$", &long] {
        let description = boot.unit(&secret_unit(id))["Description"].clone();
        assert!(description.contains(id), "{id} in {description}");
    }
    let description = boot.unit(&hashed_unit(&dashes))["Description"].clone();
    assert!(description.contains(&dashes), "a hash tells nobody anything: {description}");
    assert!(boot.text("user.log").contains("start plaintext of two words"));
    boot.assert_no_cycle();
}

/// Returns the unit of a secret whose escaped id is too long.
fn hashed_unit(id: &str) -> String {
    let hash = format!("{:x}", Sha256::digest(id));
    format!("vaultix-secret@sha256-{}.service", &hash[..32])
}

/// All three kinds of host keys open what was made for them, and a second key is tried.
pub fn every_kind_of_host_key(system: System) {
    for kind in ["ed25519", "rsa", "age", "age-pq"] {
        let mut host = Scenario::new(system, kind);
        let path = format!("/etc/keys/{kind}");
        host.key(&path, kind);
        host.secret("token", "opened");
        host.consumer("reader", "/run/vaultix/token");
        let boot = host.run("note state systemctl is-system-running");
        assert_eq!(boot.text("state"), "running", "{kind}");
        assert_eq!(boot.text("reader.log").lines().next(), Some("start opened"), "{kind}");
    }
}

/// A thousand secrets, one of 64 MiB among them, all arrive, and making their units takes no time to speak of.
pub fn a_thousand_secrets(system: System) {
    let mut host = Scenario::new(system, "many");
    // It takes ten seconds; where several boot at once, a minute may not do.
    host.limit(Duration::from_secs(180));
    host.secret("secret0", "hunter2");
    let cipher = host.profile()["secrets"]["secret0"]["cipher"].clone();
    for i in 1..999 {
        host.profile()["secrets"][format!("secret{i}")] = json!({ "cipher": cipher });
    }
    let huge = b"0123456789abcdef".repeat(4 << 20);
    host.secret("huge", &huge);
    let boot = host.run(
        r"
        note state systemctl is-system-running
        systemctl list-units --state=active --plain --no-legend 'vaultix-secret@*' | wc --lines >/out/active
        plain /run/vaultix/secret* | wc --bytes >/out/bytes
        plain /run/vaultix/huge | sha256sum >/out/huge
        cd /tmp
        mkdir units
        TIMEFORMAT=%R
        { time /etc/systemd/system-generators/vaultix-generator units; } 2>/out/seconds
        ls units | grep --count '^vaultix-secret@' >/out/units
        ",
    );
    assert_eq!(boot.text("state"), "running", "{:?}", boot.failed("final"));
    assert_eq!(boot.text("active"), "1000");
    assert_eq!(boot.text("bytes"), (999 * "hunter2".len()).to_string());
    assert_eq!(boot.text("huge"), format!("{:x}  -", Sha256::digest(&huge)));
    assert_eq!(boot.text("units"), "1000");
    // It takes 20 ms; a busy machine may take longer, but what grows with the square of the items would not pass.
    let seconds: f64 = boot.text("seconds").parse().unwrap();
    assert!(seconds < 0.5, "{seconds} s");
}

/// Secrets can be read until the last service that might want one has stopped, and who does not stop holds up nothing.
pub fn readable_until_services_stop(system: System) {
    let mut host = Scenario::new(system, "shutdown");
    host.secret("token", "hunter2");
    host.secret_with("told", "hunter3", json!({ "restartUnits": ["told.service"] }));
    host.consumer("plain", "/run/vaultix/token");
    host.consumer("told", "/run/vaultix/told");
    // Slow, so that it would lose the race if there were one.
    host.file(
        "/etc/systemd/system/plain.service.d/slow.conf",
        "[Service]\nExecStop=\nExecStop=/bin/sleep 1\n\
         ExecStop=/bin/sh -c 'echo stop $$(cat /run/vaultix/token 2>&1) >>/out/plain.log'\n",
    );
    // Has its file open and its directory below it until all processes are killed at the end.
    host.unit(
        "holder.service",
        "[Unit]\nDefaultDependencies=no\nAfter=vaultix.target\n[Service]\nType=exec\n\
         ExecStart=/bin/bash -c 'cd /run/vaultix && exec 3<token && exec sleep infinity'\n",
    );
    let boot: Boot = host.run("note holder systemctl is-active holder.service");
    assert_eq!(boot.text("holder"), "active");
    assert!(!boot.text("console").contains("Failed unmounting"), "{}", boot.text("console"));
    assert_eq!(boot.text("plain.log"), "start hunter2\nstop hunter2");
    assert_eq!(boot.text("told.log"), "start hunter3\nstop hunter3");
    let journal = boot.journal();
    assert!(
        journal
            .iter()
            .any(|line| line.unit == "run-vaultix.d.mount" && line.message.contains("Unmounted")),
        "and then they go"
    );
    let failed = journal.iter().any(|line| line.message.contains("Failed unmounting"));
    assert!(!failed, "whoever still reads: {journal:#?}");
    boot.assert_no_cycle();
}

/// What the units take away from the helper is in force, and a helper that waits has no core dump to leave.
pub fn the_helper_has_few_rights(system: System) {
    let mut host = Scenario::new(system, "rights");
    host.secret("token", "hunter2");
    let unit = secret_unit("token");
    let boot = host.run(&format!(
        r"
        note unit systemctl show '{unit}' --property=NoNewPrivileges,CapabilityBoundingSet,UMask,LimitCORE \
            --property=MemoryDenyWriteExecute,TimeoutStartUSec,RemainAfterExit
        # The lock makes a helper wait where it can be looked at.
        exec 9</run/vaultix.private
        flock --exclusive 9
        vaultix-decrypt secret -- token 9<&- &
        until grep --quiet 'core file size  *1  *1 ' /proc/$!/limits || [ ! -d /proc/$! ]; do :; done
        note limits grep 'core file' /proc/$!/limits
        exec 9<&-
        wait $!
        note helper echo $?
    "
    ));
    let shown = boot.text("unit");
    for line in [
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=cap_chown cap_dac_override cap_fowner",
        "UMask=0077",
        "LimitCORE=1",
        "MemoryDenyWriteExecute=yes",
        "TimeoutStartUSec=1min 30s",
        "RemainAfterExit=yes",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
    }
    let limits = boot.text("limits");
    assert_eq!(limits.split_whitespace().collect::<Vec<_>>()[4..6], ["1", "1"], "{limits}");
    assert_eq!(boot.text("helper"), "0");
}
