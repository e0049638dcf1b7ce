//! Every way a profile can be wrong, with the words for it.

use std::path::Path;

use pretty_assertions::assert_eq;

use super::*;

mod edges;

/// Settings that are right.
const SETTINGS: &str = r#"{"hostIdentifier":"web","hostPubkey":"ssh-ed25519 AAAA","hostKeys":[]}"#;

/// Returns a profile with these secrets.
fn with_secrets(secrets: &str) -> String {
    format!(r#"{{"version":1,"settings":{SETTINGS},"secrets":{secrets}}}"#)
}

/// Returns a profile whose settings also have these fields.
fn with_setting(field: &str) -> String {
    let settings = SETTINGS.replacen('{', &format!("{{{field},"), 1);
    format!(r#"{{"version":1,"settings":{settings}}}"#)
}

/// Returns why the profile cannot be used at all.
fn refusal(text: &str) -> String {
    Profile::parse(text, Side::Host).err().map(|error| error.to_string()).unwrap_or_default()
}

/// Returns what is wrong with each item of the profile.
fn failures(text: &str) -> Vec<String> {
    let profile = Profile::parse(text, Side::Host).unwrap();
    let secrets = profile.secrets.values().filter_map(|secret| secret.as_ref().err());
    let templates = profile.templates.values().filter_map(|template| template.as_ref().err());
    secrets.chain(templates).map(ToString::to_string).collect()
}

/// Returns what is wrong with the only secret `x`, which has a cipher and these fields.
fn invalid(fields: &str) -> String {
    let text = with_secrets(&format!(r#"{{"x":{{"cipher":"/c",{fields}}}}}"#));
    failures(&text).join(" | ")
}

#[test]
fn a_path_that_no_unit_can_name_is_refused() {
    for path in ["/run/x ", "/run/x\\n", "/run/\\u0085x", "/run/\\uffff"] {
        let reason = refusal(&with_setting(&format!(r#""decryptedMountPoint":"{path}""#)));
        assert!(reason.starts_with("settings.decryptedMountPoint: "), "{path}: {reason}");
        assert!(reason.ends_with("that cannot be written in a unit file"), "{path}: {reason}");
    }
    for path in ["/run/x y", "/run/100%", "/run/a\\\\", "/run/\u{fc}"] {
        let text = with_setting(&format!(r#""decryptedMountPoint":"{path}""#));
        assert_eq!(refusal(&text), "", "{path}");
    }
}

#[test]
fn text_that_is_no_profile_is_refused() {
    for (text, reason) in [
        ("", "the file is empty"),
        (" \n", "the file is empty"),
        ("{", "not JSON: EOF while parsing an object at line 1 column 1"),
        ("{} {}", "not JSON: trailing characters at line 1 column 4"),
        ("[]", "invalid type: sequence, expected an object"),
        ("{}", "version: is missing"),
        (
            r#"{"version":2,"new":1}"#,
            "version: the profile has version 2, but this program reads version 1; use both from the same vaultix package",
        ),
        (r#"{"version":"1"}"#, "version: invalid type: string, expected a JSON number"),
        (r#"{"version":1}"#, "settings: is missing"),
        (r#"{"version":1,"setings":{}}"#, "setings: unknown field"),
    ] {
        assert_eq!(refusal(text), reason, "{text}");
    }
}

#[test]
fn errors_outside_the_items_refuse_the_profile() {
    for (text, reason) in [
        (
            with_setting(r#""keepGeneration":2"#),
            "settings.keepGeneration: unknown field",
        ),
        (
            with_setting(r#""keepGenerations":-1"#),
            "settings.keepGenerations: invalid value: integer `-1`, expected usize",
        ),
        (
            with_setting(r#""decryptedDir":"run/x""#),
            "settings.decryptedDir: \"run/x\" is not an absolute path",
        ),
        (
            with_setting(r#""decryptedDir":"/run/../x""#),
            "settings.decryptedDir: \"/run/../x\" has a component \".\", \"..\" or an empty one",
        ),
        (
            with_setting(r#""decryptedDir":"/run/vaultix.d/x""#),
            "settings.decryptedDir: \"/run/vaultix.d/x\" overlaps decryptedMountPoint",
        ),
        (with_setting(r#""decryptedMountPoint":"/""#), "settings.decryptedMountPoint: is the root directory"),
        (with_setting(r#""hostIdentifier":"a""#), "settings.hostIdentifier: appears twice"),
        (
            format!(r#"{{"version":1,"settings":{SETTINGS},"secretz":{{}}}}"#),
            "secretz: unknown field",
        ),
        (
            format!(r#"{{"version":1,"settings":{SETTINGS},"placeholder":{{"a":"{{{{ x }}}}"}}}}"#),
            "placeholder.a: is not \"{{ <64 lower-case hex digits> }}\"",
        ),
        (
            r#"{"version":1,"settings":{"hostIdentifier":"a/b","hostPubkey":"k","hostKeys":[]}}"#.to_owned(),
            "settings.hostIdentifier: \"a/b\" cannot be the name of a directory",
        ),
        (
            r#"{"version":1,"settings":{"hostIdentifier":"a","hostPubkey":"k","hostKeys":[{"path":"/k","type":"dsa"}]}}"#
                .to_owned(),
            "settings.hostKeys.0.type: \"dsa\" is not one of \"ed25519\", \"rsa\", \"age\", \"credential\"",
        ),
        (
            r#"{"version":1,"settings":{"hostIdentifier":"a","hostPubkey":"k","hostKeys":[{"path":"/a b","type":"credential"}]}}"#
                .to_owned(),
            "settings.hostKeys.0.path: \"/a b\" contains a space, a quote or a backslash, and systemd loads no credential from there; \
             move the file",
        ),
        (
            r#"{"version":1,"settings":{"hostIdentifier":"a","hostPubkey":"k","hostKeys":[{"path":"/k","type":"age","mode":1}]}}"#
                .to_owned(),
            "settings.hostKeys.0.mode: unknown field",
        ),
        (r#"{"version":1,"settings":{"hostPubkey":"k","hostKeys":[]}}"#.to_owned(), "settings.hostIdentifier: is missing"),
        (r#"{"version":1,"settings":{"hostIdentifer":"a","hostPubkey":"k","hostKeys":[]}}"#.to_owned(), "settings.hostIdentifer: unknown field"),
        (
            r#"{"version":1,"settings":{"hostIdentifier":"a","hostPubkey":"k","hostKeys":[{"paht":"/k","type":"age"}]}}"#.to_owned(),
            "settings.hostKeys.0.paht: unknown field",
        ),
        (r#"{"version":1,"settings":{"hostIdentifier":"a","hostKeys":[]}}"#.to_owned(), "settings.hostPubkey: is missing"),
        (r#"{"version":1,"settings":{"hostIdentifier":"a","hostPubkey":"k"}}"#.to_owned(), "settings.hostKeys: is missing"),
    ] {
        assert_eq!(refusal(&text), reason, "{text}");
    }
}

#[test]
fn errors_in_a_secret_are_named() {
    for (fields, reason) in [
        (r#""mdoe":"0400""#, "secrets.x.mdoe: unknown field"),
        (
            r#""mode":"0400zzz""#,
            "secrets.x.mode: \"0400zzz\" is not three or four octal digits; write it like \"0400\"",
        ),
        (
            r#""mode":"999""#,
            "secrets.x.mode: \"999\" is not three or four octal digits; write it like \"0400\"",
        ),
        (
            r#""mode":"+40""#,
            "secrets.x.mode: \"+40\" is not three or four octal digits; write it like \"0400\"",
        ),
        (
            r#""mode":"4755""#,
            "secrets.x.mode: \"4755\" has a set-user-ID, set-group-ID or sticky bit, which makes no sense for \
             a secret; write it like \"0400\"",
        ),
        (r#""mode":256"#, "secrets.x.mode: invalid type: integer `256`, expected a string"),
        (r#""name":"../x""#, "secrets.x.name: \"../x\" has a component \".\" or \"..\""),
        (r#""name":"a/../x""#, "secrets.x.name: \"a/../x\" has a component \".\" or \"..\""),
        (r#""name":"a//x""#, "secrets.x.name: \"a//x\" has an empty component"),
        (r#""name":"a/""#, "secrets.x.name: \"a/\" has an empty component"),
        (r#""name":"""#, "secrets.x.name: is empty"),
        (
            r#""name":"/etc/x""#,
            "secrets.x.name: \"/etc/x\" is absolute; set path to place the file elsewhere",
        ),
        (
            r#""name":".vaultix/x""#,
            "secrets.x.name: \".vaultix/x\" is reserved for the generation's journal",
        ),
        (
            &format!(r#""name":"a/{}""#, "x".repeat(256)),
            &format!(
                "secrets.x.name: \"a/{}\" has a component longer than 255 bytes",
                "x".repeat(256)
            ),
        ),
        (r#""name":"a\u0000b""#, "secrets.x.name: \"a\0b\" contains a NUL character"),
        (r#""path":"etc/x""#, "secrets.x.path: \"etc/x\" is not an absolute path"),
        (
            r#""path":"/run/vaultix/y""#,
            "secrets.x.path: \"/run/vaultix/y\" overlaps \"/run/vaultix\"; set name to choose a file there, or \
             path to one elsewhere",
        ),
        (
            r#""path":"/run/vaultix.d/1/x""#,
            "secrets.x.path: \"/run/vaultix.d/1/x\" overlaps \"/run/vaultix.d\"; set name to choose a file there, \
             or path to one elsewhere",
        ),
        (
            r#""path":"/run/vaultix-for-user/x""#,
            "secrets.x.path: \"/run/vaultix-for-user/x\" is for items that are needed before users exist \
             (beforeUserborn); leave path out, or add the item to beforeUserborn",
        ),
        (r#""path":"/a\u0000b""#, "secrets.x.path: contains a NUL character"),
        (
            r#""restartUnits":["userborn.service"]"#,
            "secrets.x.restartUnits: \"userborn.service\" is ordered before this item and cannot wait for it; \
             systemd would drop one of the two",
        ),
        (
            r#""reloadUnits":["run-vaultix.d.mount"]"#,
            "secrets.x.reloadUnits: \"run-vaultix.d.mount\" is ordered before this item and cannot wait for it; \
             systemd would drop one of the two",
        ),
        (r#""owner":"""#, "secrets.x.owner: \"\" cannot be the name of an account"),
        (
            r#""restartUnits":["nginx"]"#,
            "secrets.x.restartUnits: \"nginx\" is not the name of a unit; write it in full, like \"nginx.service\"",
        ),
        (
            r#""reloadUnits":["../a.service"]"#,
            "secrets.x.reloadUnits: \"../a.service\" is not the name of a unit; write it in full, like \
             \"nginx.service\"",
        ),
        (
            r#""insert":{"aa":{"content":"x"}}"#,
            "secrets.x.insert.aa: is not 64 lower-case hex digits",
        ),
        (
            &format!(r#""insert":{{"{}":{{"text":"x"}}}}"#, "a".repeat(64)),
            &format!("secrets.x.insert.{}.text: unknown field", "a".repeat(64)),
        ),
        (
            &format!(r#""insert":{{"{}":{{"order":1}}}}"#, "a".repeat(64)),
            &format!("secrets.x.insert.{}.content: is missing", "a".repeat(64)),
        ),
        (
            &format!(r#""insert":{{"{}":{{"content":"x","odrer":1}}}}"#, "a".repeat(64)),
            &format!("secrets.x.insert.{}.odrer: unknown field", "a".repeat(64)),
        ),
        (r#""id":"""#, "secrets.x.id: is empty"),
    ] {
        assert_eq!(invalid(fields), reason, "{fields}");
    }
}

#[test]
fn a_misspelt_field_is_named_before_what_is_missing() {
    assert_eq!(failures(&with_secrets(r#"{"x":{}}"#)), ["secrets.x.cipher: is missing"]);
    assert_eq!(
        failures(&with_secrets(r#"{"x":{"cihper":"/c"}}"#)),
        ["secrets.x.cihper: unknown field"]
    );
    assert_eq!(
        failures(&with_secrets(r#"{"x":[]}"#)),
        ["secrets.x: invalid type: sequence, expected an object"]
    );
}

#[test]
fn errors_in_a_template_are_named() {
    for (fields, reason) in [
        ("", "templates.t.content: is missing"),
        (r#""content":"x","mdoe":"0400""#, "templates.t.mdoe: unknown field"),
        (r#""contents":"x""#, "templates.t.contents: unknown field"),
        (
            r#""content":"x","trim":"no""#,
            "templates.t.trim: invalid type: string, expected a boolean",
        ),
        (r#""content":"x","allowDisk":true"#, "templates.t.allowDisk: unknown field"),
        (
            &format!(r#""content":"{{{{ {0} url }}}} {{{{ {0} Json }}}}""#, "0".repeat(64)),
            "templates.t.content: a placeholder asks for the encoding \"Json\"; the encodings are json, url, shell, \
             base64, hex, environment, xml",
        ),
        (
            &format!(
                r#""content":"A={{{{ {0} shell }}}} B=\"{{{{ {0} shell }}}}\"""#,
                "0".repeat(64)
            ),
            "templates.t.content: the encoding \"shell\" brings its own quotes, and stands in others; remove the quotes around the placeholder",
        ),
    ] {
        let text =
            format!(r#"{{"version":1,"settings":{SETTINGS},"templates":{{"t":{{{fields}}}}}}}"#);
        assert_eq!(failures(&text), [reason], "{fields}");
    }
}

#[test]
fn a_mode_may_have_a_leading_zero() {
    for mode in ["440", "0440"] {
        let text = with_secrets(&format!(r#"{{"x":{{"cipher":"/c","mode":"{mode}"}}}}"#));
        let profile = Profile::parse(&text, Side::Host).unwrap();
        assert_eq!(profile.secrets["x"].as_ref().unwrap().placement.mode.bits(), 0o440, "{mode}");
    }
}

#[test]
fn an_invalid_item_keeps_its_id() {
    let text = with_secrets(r#"{"k":{"cipher":"/c","id":"real","mode":"9"}}"#);
    let profile = Profile::parse(&text, Side::Host).unwrap();
    assert_eq!(profile.secrets.keys().collect::<Vec<_>>(), ["real"]);
}

#[test]
fn a_bad_item_leaves_the_others_alone() {
    let text =
        with_secrets(r#"{"a":{"cipher":"/a"},"b":{"cipher":"/b","mode":"9"},"c":{"cipher":"/c"}}"#);
    let profile = Profile::parse(&text, Side::Host).unwrap();
    let good: Vec<&str> = profile
        .secrets
        .iter()
        .filter_map(|(id, secret)| secret.is_ok().then_some(id.as_str()))
        .collect();
    assert_eq!(good, ["a", "c"]);
}

#[test]
fn two_items_with_one_place_are_both_refused() {
    for (secrets, reasons) in [
        (
            r#"{"a":{"cipher":"/a","path":"/etc/x"},"b":{"cipher":"/b","path":"/etc/x"},"c":{"cipher":"/c"}}"#,
            [
                "secrets.a.path: \"/etc/x\" is also used by secrets.b",
                "secrets.b.path: \"/etc/x\" is also used by secrets.a",
            ],
        ),
        (
            r#"{"a":{"cipher":"/a","name":"b"},"b":{"cipher":"/b"}}"#,
            [
                "secrets.a.name: \"b\" is also used by secrets.b",
                "secrets.b.name: \"b\" is also used by secrets.a",
            ],
        ),
        (
            r#"{"a":{"cipher":"/a"},"a/b/c":{"cipher":"/b"}}"#,
            [
                "secrets.a.name: \"a\" is also used by secrets.a/b/c",
                "secrets.a/b/c.name: \"a\" is also used by secrets.a",
            ],
        ),
    ] {
        assert_eq!(failures(&with_secrets(secrets)), reasons, "{secrets}");
    }
    assert_eq!(
        failures(&with_secrets(r#"{"a":{"cipher":"/a","id":"b"},"b":{"cipher":"/b"}}"#)),
        ["secrets.b: another one also has the id \"b\""]
    );
}

#[test]
fn early_items_can_use_only_what_is_there_so_early() {
    let hash = "a".repeat(64);
    let text = format!(
        r#"{{"version":1,"settings":{SETTINGS},
        "secrets":{{"e":{{"cipher":"/e","owner":"web"}},"g":{{"cipher":"/e","owner":"0","group":"web"}},"late":{{"cipher":"/l","owner":"web"}}}},
        "templates":{{"t":{{"content":"{{{{ {hash} }}}}"}}}},
        "placeholder":{{"late":"{{{{ {hash} }}}}"}},
        "beforeUserborn":["e","g","t","gone"]}}"#
    );
    assert_eq!(
        failures(&text),
        [
            "secrets.e.owner: \"web\" is a name, but the item is needed before users exist (beforeUserborn); write \
             a number or \"root\"",
            "secrets.g.group: \"web\" is a name, but the item is needed before users exist (beforeUserborn); write \
             a number or \"root\"",
            "beforeUserborn: no secret or template is called \"gone\"",
            "templates.t: is needed before users exist, but uses the secret \"late\", which is not; add \"late\" to \
             beforeUserborn",
        ]
    );
}

#[test]
fn missing_fields_take_their_defaults() {
    let text = format!(
        r#"{{"version":1,"settings":{SETTINGS},"secrets":{{"a/b":{{"cipher":"/c"}},"e":{{"cipher":"/e"}}}},
        "templates":{{"t":{{"content":"x"}}}},"beforeUserborn":["e"]}}"#
    );
    let profile = Profile::parse(&text, Side::Host).unwrap();
    let expected = Secret {
        id: "a/b".to_owned(),
        ciphertext: "/c".into(),
        key: None,
        generator: None,
        rotate_days: None,
        intermediary: false,
        insert: BTreeMap::new(),
        clean_placeholder: false,
        placement: Placement {
            name: "a/b".to_owned(),
            path: "/run/vaultix/a/b".into(),
            mode: Mode(0o400),
            owner: "root".to_owned(),
            group: "root".to_owned(),
            symlink: true,
            allow_disk: false,
            restart_units: Vec::new(),
            reload_units: Vec::new(),
            restart_user_units: BTreeMap::new(),
            reload_user_units: BTreeMap::new(),
            before: Vec::new(),
            early: false,
        },
    };
    let placement =
        Placement { name: "t".into(), path: "/run/vaultix/t".into(), ..expected.placement.clone() };
    assert_eq!(profile.secrets["a/b"], Ok(expected));
    let expected = Template { id: "t".into(), content: "x".into(), trim: true, placement };
    assert_eq!(profile.templates["t"], Ok(expected));
    assert_eq!(
        profile.secrets["e"].as_ref().unwrap().placement.path,
        Path::new("/run/vaultix-for-user/e")
    );
    let settings = &profile.settings;
    assert_eq!(settings.decrypted_dir, Path::new("/run/vaultix"));
    assert_eq!(settings.decrypted_dir_for_user, Path::new("/run/vaultix-for-user"));
    assert_eq!(settings.decrypted_mount_point, Path::new("/run/vaultix.d"));
    assert_eq!(settings.keep_generations, 1);
    assert_eq!(settings.systemctl.program, Path::new("systemctl"));
}

#[test]
fn what_only_others_are_generated_from_is_the_desks_alone() {
    // In the way of `a`, if it were placed.
    let text = with_secrets(
        r#"{"a":{"file":"a.age","cipher":"/a"},"root":{"file":"r.age","name":"a","intermediary":true}}"#,
    );
    let desk = Profile::parse(&text, Side::Workspace).unwrap();
    assert!(desk.secrets["a"].is_ok() && desk.secrets["root"].as_ref().unwrap().intermediary);
    let host = Profile::parse(&text, Side::Host).unwrap();
    assert_eq!(host.secrets.keys().collect::<Vec<_>>(), ["a"]);
    assert!(host.secrets["a"].is_ok());
    let text = with_secrets(r#"{"x":{"cipher":"/x","intermediary":1}}"#);
    let host = Profile::parse(&text, Side::Host).unwrap();
    assert_eq!(
        host.secrets["x"].as_ref().unwrap_err().to_string(),
        "secrets.x.intermediary: invalid type: integer `1`, expected a boolean"
    );
    let text = with_secrets(r#"{"x":{"file":"x.age","intermediary":true}}"#)
        .replace("\"secrets\"", "\"beforeUserborn\":[\"x\"],\"secrets\"");
    for side in [Side::Host, Side::Workspace] {
        let profile = Profile::parse(&text, side).unwrap();
        assert_eq!(
            profile.secrets["x"].as_ref().unwrap_err().to_string(),
            "beforeUserborn: only other secrets are generated from \"x\""
        );
    }
}

#[test]
fn how_long_a_secret_may_stay_is_the_desks_alone() {
    let read = |rotate: &str, side| {
        let text =
            with_secrets(&format!(r#"{{"x":{{"file":"x","cipher":"/x","rotate":{rotate}}}}}"#));
        let secret = Profile::parse(&text, side).unwrap().secrets.remove("x").unwrap();
        secret.map(|secret| secret.rotate_days).map_err(|invalid| invalid.to_string())
    };
    for (rotate, days) in
        [("\"90d\"", 90), ("\"12w\"", 84), ("\"1y\"", 365), ("\"9999y\"", 3_649_635)]
    {
        assert_eq!(read(rotate, Side::Workspace), Ok(Some(days)), "{rotate}");
        assert_eq!(read(rotate, Side::Host), Ok(None), "{rotate}");
    }
    for rotate in
        ["\"\"", "\"d\"", "\"0d\"", "\"090d\"", "\"10000d\"", "\"+1d\"", "\"90\"", "\"3m\"", "90"]
    {
        let reason = read(rotate, Side::Workspace).unwrap_err();
        assert!(reason.starts_with("secrets.x.rotate: "), "{reason}");
    }
}

#[test]
fn each_side_needs_its_own_ciphertext() {
    let text = with_secrets(r#"{"a":{"file":"secrets/a.age"},"b":{"cipher":"/b"}}"#);
    let desk = Profile::parse(&text, Side::Workspace).unwrap();
    assert_eq!(desk.secrets["a"].as_ref().unwrap().ciphertext, Path::new("secrets/a.age"));
    assert_eq!(desk.secrets["b"].as_ref().unwrap_err().to_string(), "secrets.b.file: is missing");
    assert_eq!(failures(&text), ["secrets.a.cipher: is missing"]);
}

#[test]
fn a_key_is_for_the_desk_alone() {
    let read = |fields: &str| {
        let text = with_secrets(&format!(r#"{{"a":{{"cipher":"/c",{fields}}}}}"#));
        assert_eq!(failures(&text), [""; 0], "{fields}: a host looks at none of it");
        let profile = Profile::parse(&text, Side::Workspace).unwrap();
        profile.secrets["a"].clone().map(|secret| secret.key).map_err(|error| error.to_string())
    };
    let key = |pointer: &str, format: &str| {
        Ok(Some(Key { pointer: pointer.to_owned(), format: format.to_owned() }))
    };
    for (fields, expected) in [
        (r#""file":"mail.yaml.age""#, Ok(None)),
        (r#""file":"mail.yaml.age","format":"json""#, Ok(None)),
        (r#""file":"mail.yml.age","key":"/a~1b/~0/0""#, key("/a~1b/~0/0", "yaml")),
        (r#""file":"s/mail.age","key":"/","format":"ini""#, key("/", "ini")),
        (r#""file":"mail.yaml.age","key":"/a","format":"json""#, key("/a", "json")),
    ] {
        assert_eq!(read(fields), expected, "{fields}");
    }
    for (fields, reason) in [
        (r#""file":"mail.yaml.age","key":"""#, "key: \"\" does not begin with a slash"),
        (r#""file":"mail.yaml.age","key":"a""#, "key: \"a\" does not begin with a slash"),
        (r#""file":"mail.yaml.age","key":"/a~2""#, "key: \"/a~2\" has a ~ that is not written ~0"),
        (r#""file":"mail.yaml.age","key":"/a~""#, "key: \"/a~\" has a ~ that is not written ~0"),
        (
            r#""file":"s/yaml.age","key":"/a""#,
            "key: the name of \"s/yaml.age\" has no format before .age; set format to \"json\", \"yaml\", \"toml\", \
             \"env\", \"ini\"",
        ),
        (
            r#""file":"a.json.age","format":"yml""#,
            "format: \"yml\" is not one of \"json\", \"yaml\", \"toml\", \"env\", \"ini\"",
        ),
    ] {
        assert_eq!(read(fields), Err(format!("secrets.a.{reason}")), "{fields}");
    }
}

#[test]
fn the_example_of_the_contract_is_read() {
    let hash = "0".repeat(64);
    let text = format!(
        r#"{{"version":1,
        "settings":{{"decryptedDir":"/run/vaultix","decryptedDirForUser":"/run/vaultix-for-user",
        "decryptedMountPoint":"/run/vaultix.d","hostIdentifier":"myhost","hostPubkey":"ssh-ed25519 AAAA",
        "hostKeys":[{{"path":"/etc/ssh/ssh_host_ed25519_key","type":"ed25519"}}],"keepGenerations":1,
        "systemctl":"/run/current-system/systemd/bin/systemctl"}},
        "secrets":{{"example":{{"id":"example","name":"example","file":"/nix/store/x/secrets/example.age",
        "cipher":"/nix/store/x-vaultix-cache-myhost/9f","path":"/run/vaultix/example","mode":"0400","owner":"root",
        "group":"root","symlink":true,"insert":{{"{hash}":{{"order":0,"content":"text"}}}},
        "cleanPlaceholder":false,"restartUnits":[],"reloadUnits":[],"before":[],
        "restartUserUnits":{{"alice":["mail.service"]}}}}}},
        "templates":{{"app.conf":{{"name":"app.conf","content":"password = {{{{ {hash} }}}}","trim":true,
        "path":"/run/vaultix/app.conf","mode":"0400","owner":"root","group":"root","symlink":true,
        "restartUnits":[],"reloadUnits":[],"before":[],"restartUserUnits":{{}}}}}},
        "placeholder":{{"example":"{{{{ {hash} }}}}"}},"beforeUserborn":["example"]}}"#
    );
    assert_eq!(failures(&text), [""; 0]);
}

#[test]
fn a_thousand_items_are_read() {
    let secrets: Vec<String> =
        (0..1000).map(|i| format!(r#""s{i}":{{"cipher":"/{i}"}}"#)).collect();
    let profile =
        Profile::parse(&with_secrets(&format!("{{{}}}", secrets.join(","))), Side::Host).unwrap();
    assert_eq!(profile.secrets.values().filter(|secret| secret.is_ok()).count(), 1000);
}

#[test]
fn a_host_key_may_be_missing_for_now() {
    let text = r#"{"version":1,"settings":{"hostIdentifier":"a","hostPubkey":"","hostKeys":[]}}"#;
    assert_eq!(Profile::parse(text, Side::Host).unwrap().settings.host_pubkey, "");
}
