//! the units of two releases → how much each may do, as systemd counts it: less than before, and no more than is written here.

use std::collections::BTreeMap;
use std::fs;

use serde_json::json;
use xtask::previous::PREVIOUS;
use xtask::system::System;

use crate::support::{Scenario, placeholder};

/// The most that each unit may be exposed, from 0 to 10, on the systemd that counts more. A new unit gets its line here.
const MOST: [(&str, f32); 17] = [
    ("vaultix-boot", 6.0),
    ("vaultix-boot-early", 6.0),
    ("vaultix-boot-failed", 2.8),
    ("vaultix-boot-early-failed", 2.8),
    ("vaultix-paths", 6.0),
    ("vaultix-paths@", 6.0),
    ("vaultix-rest", 2.8),
    ("vaultix-secret@", 6.0),
    ("vaultix-template@", 6.0),
    ("vaultix-switch-early", 3.1),
    ("vaultix-switch", 3.1),
    ("vaultix-convert", 3.7),
    ("vaultix-enroll", 3.2),
    ("vaultix-late-key", 2.8),
    ("vaultix-unseal@", 5.0),
    ("vaultix-profile", 2.8),
    ("vaultix-notify@", 2.4),
];

/// `measure`: what systemd says of each service of ours, with a profile that is right and with one that is wrong.
const MEASURE: &str = r#"
each() {
    systemctl daemon-reload
    find /run/systemd/generator /etc/systemd/system -maxdepth 1 -name 'vaultix-*.service' -printf '%f\n' | while read -r it; do
        it=${it/@.service/@1.service}
        echo "$it $(systemd-analyze security --no-pager "$it" | grep 'Overall exposure' | grep -o '[0-9]*[.][0-9]')"
    done
}
measure() {
    each
    mv /etc/vaultix/profile.json /etc/vaultix/right
    echo wrong >/etc/vaultix/profile.json
    each
    mv /etc/vaultix/right /etc/vaultix/profile.json
}
"#;

/// Returns the name of a unit without its instance and its suffix.
fn kind(unit: &str) -> &str {
    let end = unit.find('@').map(|at| at + 1);
    &unit[..end.or_else(|| unit.find(".service")).unwrap()]
}

/// Each unit may do less than that of the previous release, and no more than it has to.
pub fn each_unit_may_do_less_than_before(system: System) {
    let mut host = Scenario::previous(system, "exposure", PREVIOUS);
    host.secret("one", "one-v1");
    let units = json!({ "alice": ["mail.service"] });
    host.secret("early", "early-v1");
    host.secret_with("elsewhere", "1", json!({ "path": "/var/lib/elsewhere" }));
    host.profile()["beforeUserborn"] = json!(["early"]);
    host.profile()["placeholder"] = json!({ "one": placeholder("one") });
    host.profile()["templates"] = json!({ "conf": { "content": placeholder("one") } });
    let mut profile = host.profile().clone();
    profile["secrets"]["one"]["restartUserUnits"] = units;
    profile["secrets"]["one"]["before"] = json!(["systemd-cryptsetup@data.service"]);
    profile["secrets"]["home"] = json!({ "cipher": "/none", "path": "/home/alice/token" });
    profile["settings"]["lateMounts"] = json!(["/home"]);
    profile["settings"]["hostPubkey"] = "age1x".into();
    profile["settings"]["hostKeys"] =
        json!([{ "path": "/var/lib/vaultix/host.cred", "type": "credential" }]);
    host.file("/etc/systemd/system/home.mount", "[Mount]\nWhat=tmpfs\nWhere=/home\nType=tmpfs\n");
    host.next("users", &profile);
    let boot = host.run(&format!(
        "{MEASURE}
        note before measure
        upgrade
        cp /next/users/profile.json /etc/vaultix/profile.json
        systemctl daemon-reload
        find /run/systemd/generator /etc/systemd/system -maxdepth 1 -type f -name 'vaultix*.*' >/run/units
        note units wc --lines /run/units
        note verify xargs --delimiter='\\n' --arg-file=/run/units systemd-analyze verify --man=no
        note after measure
        "
    ));
    let count: usize = boot.text("units").split(' ').next().unwrap().parse().unwrap();
    assert!(count > 20, "there are all kinds of units: {count}");
    assert!(!boot.text("verify").contains("vaultix"), "{}", boot.text("verify"));
    let measured = |name: &str| -> BTreeMap<String, f32> {
        let text = boot.text(name);
        let lines = text.lines().map(|line| line.split_once(' ').unwrap());
        lines.map(|(unit, much)| (unit.to_owned(), much.parse().unwrap())).collect()
    };
    let (before, after) = (measured("before"), measured("after"));
    for (unit, much) in &before {
        let now = after.get(unit).unwrap_or_else(|| panic!("{unit} is not there: {after:?}"));
        assert!(now < much, "{unit}: {much} before, {now} now");
    }
    let most: BTreeMap<&str, f32> = MOST.into();
    for (unit, much) in &after {
        let most = most.get(kind(unit));
        let most = most.unwrap_or_else(|| panic!("{unit} has {much}, and no line in MOST"));
        assert!(much <= most, "{unit}: {much}, and at most {most} is wanted; all: {after:?}");
    }
    for kind_of in most.keys() {
        let is_there = after.keys().any(|unit| kind(unit) == *kind_of);
        assert!(is_there, "nobody has looked at {kind_of}: {after:?}");
    }
    // What this profile does not make is not forgotten, either.
    for entry in fs::read_dir(xtask::workspace::root().unwrap().join("units")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(unit) = name.strip_suffix(".in").filter(|unit| unit.ends_with(".service")) {
            let unit = unit.replace("vaultix-item@", "vaultix-secret@");
            assert!(most.contains_key(kind(&unit)), "{name} has no line in MOST");
        }
    }
}
