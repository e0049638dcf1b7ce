//! choices → the text of a profile.

use serde_json::{Value, json};

use crate::draw::Draw;

/// Draws a profile: valid in most places, so that units are made from it.
#[must_use]
pub fn profile(draw: &mut Draw) -> Value {
    let ids: Vec<String> = (0..=draw.below(4))
        .map(|i| format!("{}{}", draw.text(), ["", "2", "", "b"][i % 4]))
        .collect();
    let hash = |i: usize| ["a", "b", "c", "d"][i % 4].repeat(64);
    let mut secrets = json!({});
    let mut placeholder = json!({});
    for (i, id) in ids.iter().enumerate() {
        let mut secret = place(draw);
        secret["cipher"] = json!(draw.path());
        secret["file"] = json!("f.yml.age");
        if i % 2 == 1 {
            secret["key"] = json!(["/a/~0", "a", "/~", ""][id.len() % 4]);
            secret["format"] = json!(["json", "yaml", "toml", "yml", "env"][id.len() % 5]);
        }
        if draw.one_in(8) {
            secret["intermediary"] = json!(true);
        }
        if draw.one_in(4) {
            secret["insert"] = json!({ hash(i): { "order": 0, "content": draw.text() } });
        }
        secrets[id] = secret;
        placeholder[id] = json!(format!("{{{{ {} }}}}", hash(i)));
    }
    let mut templates = json!({});
    for _ in 0..draw.below(3) {
        let mut template = place(draw);
        let used: Vec<String> = (0..draw.below(3))
            .map(|i| {
                let encoding = ["", " json", "\txml "][i % 3];
                format!("{}{{{{ {}{encoding} }}}}", draw.text(), hash(draw.below(4)))
            })
            .collect();
        template["content"] = json!(used.concat());
        templates[draw.text()] = template;
    }
    let early: Vec<&String> = ids.iter().filter(|_| draw.one_in(4)).collect();
    json!({
        "version": 1,
        "settings": settings(draw),
        "secrets": secrets, "templates": templates,
        "placeholder": placeholder, "beforeUserborn": early,
    })
}

/// Draws the settings of a host.
fn settings(draw: &mut Draw) -> Value {
    let kinds = ["ed25519", "ed25519", "rsa", "age", "credential"];
    let keys: Vec<Value> = (0..draw.below(4))
        .map(|_| {
            let (mut path, kind) = (draw.path(), *draw.pick(&kinds));
            if kind == "credential" {
                // systemd loads no credential from such a path, so the profile would be invalid.
                path.retain(|one| !" \t\"'\\".contains(one));
            }
            json!({ "path": path, "type": kind })
        })
        .collect();
    let pubkey = *draw.pick(&["ssh-ed25519 AAAA", "ssh-rsa AAAA me", "age1x"]);
    let mut settings = json!({ "hostIdentifier": "h", "hostPubkey": pubkey, "hostKeys": keys });
    if draw.one_in(3) {
        settings["decryptedMountPoint"] = json!(draw.path());
    }
    if draw.one_in(4) {
        settings["decryptedDir"] = json!(draw.path());
    }
    if draw.one_in(4) {
        // A program that no unit can run would make the whole profile invalid.
        let refused = |one: char| one.is_ascii_control() || "\"'\\".contains(one);
        settings["systemctl"] = json!(format!("/{}/it", draw.path()).replace(refused, ""));
    }
    if draw.one_in(4) {
        settings["lateMounts"] = json!(["/home", draw.path()]);
        settings["beforeNetwork"] = json!(draw.one_in(2));
    }
    settings
}

/// Draws what secrets and templates have in common.
fn place(draw: &mut Draw) -> Value {
    let mut place = json!({});
    let units = ["nginx.service", "a@b.service", "x.socket", "-.mount", "a\\x2db.service"];
    for field in ["restartUnits", "reloadUnits"] {
        let count = draw.below(3);
        let unit = |draw: &mut Draw| {
            if draw.one_in(8) { draw.text() } else { (*draw.pick(&units)).to_owned() }
        };
        place[field] = (0..count).map(|_| unit(draw)).collect();
    }
    // Some come before some items.
    let later = [
        "systemd-cryptsetup@data.service",
        "cryptsetup-pre.target",
        "network-pre.target",
        "local-fs-pre.target",
        "userborn.service",
        "home.mount",
        "vaultix.target",
    ];
    if draw.one_in(4) {
        place["before"] = (0..draw.below(3)).map(|_| *draw.pick(&later)).collect();
    }
    for field in ["restartUserUnits", "reloadUserUnits"] {
        if draw.one_in(8) {
            place[field] = json!({ draw.name(): [*draw.pick(&units)] });
        }
    }
    for field in ["id", "name", "owner", "mode"] {
        if draw.one_in(8) {
            place[field] = json!(draw.name());
        }
    }
    if draw.one_in(4) {
        let below = if draw.one_in(3) { "/home" } else { "" };
        place["path"] = json!(format!("{below}{}", draw.path()));
    }
    place
}
