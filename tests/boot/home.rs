//! users with secrets of their own, placed by their own managers with their own identities, as home-manager alone has it.
//!
//! A part of a scenario that has users and their managers anyway. carol, 1502, has everything; dave, 1503, has a secret of the
//! same name, and gets the identity late.

use serde_json::{Value, json};

use crate::support::{Boot, Scenario, placeholder};

/// What a user's manager starts, without any order of its own.
const READER: &str = "\
[Service]
Type=exec
ExecStartPre=/bin/bash -c 'echo \"start $$(plain %h/.local/state/vaultix/token 2>&1)\" >>/out/users/reader.%U'
ExecStart=/bin/sleep infinity
";

/// As user@.service starts a manager, in a home of its own.
const SESSION: &str = "\
[Service]
Type=notify
User=%i
Delegate=yes
Environment=XDG_RUNTIME_DIR=/run/user/%i HOME=/home/%i
ExecStartPre=+/bin/mkdir -p /run/user
ExecStartPre=+/bin/mkdir -m 0700 /run/user/%i
ExecStartPre=+/bin/chown %i:%i /run/user/%i
ExecStart=/lib/systemd/systemd --user
ExecStopPost=+/bin/rm -rf /run/user/%i
";

/// Returns the profile of the user `uid`, with these secrets.
fn profile(uid: u32, recipient: &str, secrets: &[(&str, &str)]) -> Value {
    let home = format!("/home/{uid}");
    let mut profile = json!({
        "version": 1,
        "settings": {
            "decryptedDir": format!("{home}/.local/state/vaultix"),
            "hostIdentifier": format!("{uid}@tester"), "hostPubkey": recipient,
            "hostKeys": [{ "path": format!("{home}/.config/vaultix/identity.txt"), "type": "age" }],
        },
        "placeholder": { "token": placeholder("token") },
        "templates": { "conf": { "content": format!("<{}>", placeholder("token")) } },
    });
    for (id, cipher) in secrets {
        profile["secrets"][id]["cipher"] = format!("/store/{uid}-{cipher}").into();
    }
    profile["secrets"]["token"]["restartUnits"] = json!(["reader.service"]);
    profile
}

/// Adds the two users, whom the script makes.
pub fn add(host: &Scenario) {
    for uid in [1502, 1503] {
        let recipient = host.identity(&format!("/fixtures/{uid}.txt"));
        for (name, plaintext) in
            [("v1", format!("{uid}-v1")), ("v2", format!("{uid}-v2")), ("link", "link".into())]
        {
            host.encrypted_to(&recipient, &format!("/store/{uid}-{name}"), plaintext);
        }
        host.file(&format!("/store/{uid}-broken"), "not an age file");
        let next = |name: &str, secrets: &[(&str, &str)]| {
            let mut profile = profile(uid, &recipient, secrets);
            if secrets.iter().any(|(id, _)| *id == "link") {
                let path = format!("/home/{uid}/.config/app/link");
                profile["secrets"]["link"]["path"] = path.into();
            }
            host.file(&format!("/next/{uid}-{name}.json"), profile.to_string());
        };
        next("one", &[("token", "v1"), ("link", "link")]);
        next("two", &[("token", "v2"), ("link", "link"), ("added", "v1")]);
        next("three", &[("token", "v2"), ("added", "v1")]);
        next("broken", &[("token", "broken"), ("added", "v2")]);
        let units = format!("/home/{uid}/.local/share/systemd/user");
        host.file(&format!("{units}/reader.service"), READER);
        let wanted = format!("{units}/default.target.wants/reader.service");
        host.link(&wanted, "../reader.service");
    }
    host.file("/etc/systemd/system/session@.service", SESSION);
}

/// What is done with them.
pub const SCRIPT: &str = r#"
as() { setpriv --reuid=$1 --regid=$1 --clear-groups env HOME=/home/$1 XDG_RUNTIME_DIR=/run/user/$1 "${@:2}"; }
manager() { as $1 systemctl --user "${@:2}"; }
# What home-manager links.
build() {
    local config=/home/$1/.config
    rm -rf $config/systemd
    mkdir -p $config/systemd/user $config/vaultix
    /opt/vaultix/lib/systemd/system-generators/vaultix-generator --user --profile /next/$1-$2.json $config/systemd/user
    ln -sfn /next/$1-$2.json $config/vaultix/profile.json
    chown -R -h $1:$1 $config
}
# What its activation does: ours, and then sd-switch, which stops what is gone and still active, has the manager read all units
# again, reloads, and starts what is new. What has changed says that it is to be left alone.
activate() {
    local units=/home/$1/.config/systemd/user gone new
    (cd $units && ls -d vaultix-*) | sort >/run/units.old
    build $1 $2
    (cd $units && ls -d vaultix-*) | sort >/run/units.new
    manager $1 daemon-reload
    note $1.$2 manager $1 start vaultix-switch.service
    for gone in $(comm -23 /run/units.old /run/units.new | grep -v wants); do
        ! manager $1 --quiet is-active $gone || manager $1 stop $gone
    done
    manager $1 daemon-reload
    new=$(comm -13 /run/units.old /run/units.new | grep -v wants) && manager $1 start $new
    # Ends when all that is queued before it has been done.
    manager $1 start default.target vaultix-items.target
    note $1.$2.units manager $1 list-units --all --plain --full --no-legend 'vaultix-secret@*' 'vaultix-template@*'
    note $1.$2.texts grep -r --exclude-dir=.vaultix '' /home/$1/.local/state/vaultix/
    cp /out/users/reader.$1 /out/$1.$2.reader
}
for it in 1502 1503; do
    build $it one
    chown -R $it:$it /home/$it
    chmod 0755 /home/$it
done
identity() { install -o $1 -g $1 -m 0400 /fixtures/$1.txt /home/$1/.config/vaultix/identity.txt; }
identity 1502

# The first login: it has ended when basic.target is reached.
systemctl start session@1502.service
note 1502.login find /run/user/1502/vaultix.d/ -maxdepth 2 -printf '%P %U %G %m\n'
manager 1502 start default.target
note 1502.failed manager 1502 --failed --plain --no-legend
note 1502.link as 1502 readlink /home/1502/.config/app/link /home/1502/.local/state/vaultix
activate 1502 one
activate 1502 two
activate 1502 three
note 1502.gone ls -d /home/1502/.config/app/link /run/user/1502/vaultix.d/1
activate 1502 broken
activate 1502 two

# One who has the identity later, as if it were on a stick.
systemctl start session@1503.service
manager 1503 start default.target
note 1503.keyless manager 1503 show --property=ActiveState,ExecMainStatus vaultix-secret@token.service vaultix-late-key.path
identity 1503
await /run/user/1503/vaultix.d/1/token
manager 1503 start vaultix-secret@token.service vaultix-template@conf.service
note 1503.late cat /home/1503/.local/state/vaultix/token /home/1503/.local/state/vaultix/conf
for it in 1502 1503; do
    for path in /run/user/1502/vaultix.d/current/token /home/1502/.local/state/vaultix/conf; do
        note $it.reads.${path##*/} sh -c "setpriv --reuid=$it --regid=$it --clear-groups cat $path"
    done
done
# By hand: with the other's directory, and as root.
note 1503.foreign sh -c "setpriv --reuid=1503 --regid=1503 --clear-groups env XDG_RUNTIME_DIR=/run/user/1502 \
    vaultix-decrypt switch --user --profile /home/1503/.config/vaultix/profile.json"
note root.foreign sh -c "XDG_RUNTIME_DIR=/run/user/1502 vaultix-decrypt switch --user --profile /home/1502/.config/vaultix/profile.json"

# Logged out, and in again.
systemctl stop session@1502.service session@1503.service
note 1502.logout ls /run/user /home/1502/.local/state/vaultix/
systemctl start session@1502.service
manager 1502 start default.target
note 1502.again cat /home/1502/.local/state/vaultix/token
systemctl stop session@1502.service
"#;

/// Looks at what has become of them.
pub fn check(boot: &Boot) {
    let login = boot.text("1502.login");
    for line in [" 1502 1502 700", "1 1502 1502 711", "1/token 1502 1502 400"] {
        assert!(login.lines().any(|it| it == line), "{line}: {login}");
    }
    assert_eq!(boot.text("1502.failed"), "");
    assert_eq!(
        boot.text("1502.link"),
        "/home/1502/.local/state/vaultix/link\n/run/user/1502/vaultix.d/current"
    );
    // Texts, and how often the unit that reads one has been started by then.
    let after = |step: &str, status: i32, texts: &[&str], reads: &str| {
        assert_eq!(boot.status(&format!("1502.{step}")), status, "{step}");
        let found = boot.text(&format!("1502.{step}.texts"));
        let mut found: Vec<&str> =
            found.lines().filter_map(|line| line.rsplit_once('/').map(|it| it.1)).collect();
        found.sort_unstable();
        assert_eq!(found, texts, "{step}");
        assert_eq!(boot.text(&format!("1502.{step}.reader")), reads, "{step}");
    };
    let one = ["conf:<1502-v1>", "link:link", "token:1502-v1"];
    after("one", 0, &one, "start 1502-v1");
    // The same step has been noted twice: what counts is the last, with the same profile again after one that is broken.
    let two = ["added:1502-v1", "conf:<1502-v2>", "link:link", "token:1502-v2"];
    after("two", 0, &two, "start 1502-v1\nstart 1502-v2");
    let three = ["added:1502-v1", "conf:<1502-v2>", "token:1502-v2"];
    after("three", 0, &three, "start 1502-v1\nstart 1502-v2");
    assert_eq!(boot.text("1502.gone").matches("No such file").count(), 2);
    let units = boot.text("1502.three.units");
    assert!(!units.contains("link") && units.matches(" active ").count() == 3, "{units}");
    let broken = ["added:1502-v2", "conf:<1502-v2>", "token:1502-v2"];
    after("broken", 1, &broken, "start 1502-v1\nstart 1502-v2");

    let keyless = boot.text("1503.keyless");
    assert!(keyless.contains("ActiveState=failed") && keyless.contains("=77"), "{keyless}");
    assert!(keyless.contains("ActiveState=active"), "the identity is waited for: {keyless}");
    assert_eq!(boot.text("1503.late"), "1503-v1<1503-v1>");
    assert_eq!(boot.text("1502.reads.token"), "1502-v2");
    assert_eq!(boot.text("1502.reads.conf"), "<1502-v2>");
    for name in ["token", "conf"] {
        let read = boot.text(&format!("1503.reads.{name}"));
        assert!(read.contains("Permission denied"), "{read}");
    }
    assert_eq!((boot.status("1503.foreign"), boot.status("root.foreign")), (73, 64));
    let logout = boot.text("1502.logout");
    assert!(!logout.contains("150") || logout.contains("No such file"), "{logout}");
    assert_eq!(boot.text("1502.again"), "1502-v2");
}
