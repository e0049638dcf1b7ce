//! another user, in a loop, during switches → what they could read.

use serde_json::json;
use xtask::aloud::say;
use xtask::system::System;

use crate::load::{Scale, assert_right, limit, scale};
use crate::support::Scenario;

/// Bytes of each secret: more than one write, more than one page.
const SIZE: usize = 200_000;

/// Tries every name that could lead to a secret, of generations, records, temporary files and processes, and notes what
/// it got. Argument: the file that tells it to end.
const ATTACK: &str = include_str!("isolation.pl");

/// Nobody but its owner sees a secret at any time, and its owner sees the old one or the new one, whole.
pub fn other_users_never_see_a_secret(system: System) {
    let mut host = Scenario::new(system, "isolation");
    host.file("/etc/attack.pl", ATTACK);
    let text = |name: &str, letter: char| format!("{name} {}", letter.to_string().repeat(SIZE));
    host.secret_with("own", text("own", 'a'), json!({ "owner": "4242", "group": "4242" }));
    host.secret("foreign", text("foreign", 'a'));
    host.secret_with("team", text("foreign", 'a'), json!({ "group": "5353", "mode": "0440" }));
    let elsewhere = json!({ "path": "/run/elsewhere/x", "symlink": false });
    host.secret_with("elsewhere", text("foreign", 'a'), elsewhere);
    host.keeps(&["/run/elsewhere/x"]);
    host.profile()["settings"]["keepGenerations"] = json!(2);
    host.profile()["beforeUserborn"] = json!(["foreign"]);
    for letter in ['a', 'b'] {
        let mut profile = host.profile().clone();
        for id in ["own", "foreign", "team", "elsewhere"] {
            let name = if id == "own" { "own" } else { "foreign" };
            let cipher = host.store(&format!("{id}-{letter}"), text(name, letter));
            profile["secrets"][id]["cipher"] = cipher.into();
        }
        host.next(&letter.to_string(), &profile);
    }
    let switches = scale(Scale { ci: 60, full: 1000 });
    limit(&mut host);
    let boot = host.run(&format!(
        r"
        as() {{ setpriv --reuid=$1 --regid=$1 --clear-groups -- perl /etc/attack.pl /out/over; }}
        chmod 644 /etc/attack.pl
        echo foreign >/run/bait
        as 4242 >/out/attack 2>&1 &
        as 4242 >/out/attack2 2>&1 &
        for i in $(seq {switches}); do
            [ $((i % 2)) = 0 ] && name=a || name=b
            cp /next/$name/profile.json /etc/vaultix/new && mv /etc/vaultix/new /etc/vaultix/profile.json
            vaultix-decrypt switch --early || echo early $i >>/out/wrong
            vaultix-decrypt switch || echo switch $i >>/out/wrong
            vaultix-decrypt secret -- foreign || echo secret $i >>/out/wrong
        done
        touch /out/over
        wait
        "
    ));
    assert_right(&boot);
    for attack in ["attack", "attack2"] {
        let said = boot.text(attack);
        let count = |what: &str| -> u64 {
            // The last one: lines that name what was found stand before it.
            let line = said.lines().rev().find_map(|line| line.strip_prefix(what));
            line.unwrap_or_else(|| panic!("no {what} in {said}")).trim().parse().unwrap()
        };
        assert_eq!((count("bait"), count("foreign")), (1, 0), "{said}");
        assert_eq!(count("listed"), 0, "{said}");
        assert_eq!(count("torn"), 0, "{said}");
        assert_eq!(count("gone"), 0, "the own secret is always there: {said}");
        assert!(count("own") > 0 && count("tries") > 1000, "{said}");
        assert!(count("changes") > 1, "the attack went on during switches: {said}");
        let (own, tries) = (count("own"), count("tries"));
        say(&format!("{switches} switches: the own secret read {own} times, {tries} other tries"));
    }
}
