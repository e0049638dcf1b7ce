//! `docs/json.md` → every field of every answer of `--json`, with its type, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use crate::support::Workspace;

/// What the page says of a field.
struct Field {
    types: Vec<String>,
    meaning: String,
}

/// Returns the fields of the answer of `verb`, by their paths.
fn documented(verb: &str) -> BTreeMap<String, Field> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md");
    let page = fs::read_to_string(page).unwrap();
    let heading = format!("\n## vaultix {verb} --json\n");
    let (_, rest) = page.split_once(&heading).unwrap_or_else(|| panic!("no chapter on {verb}"));
    let chapter = rest.split("\n## ").next().unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix("| `")?.split(" | ").collect();
        let [path, types, meaning] = cells[..] else { panic!("not a row: {line}") };
        let types = types.split(" or ").map(str::to_owned).collect();
        let meaning = meaning.trim_end_matches(" |").to_owned();
        Some((path.trim_end_matches('`').to_owned(), Field { types, meaning }))
    };
    chapter.lines().filter_map(row).collect()
}

/// Returns the type of `value`, as the page calls it.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// Checks `value`, which is at `path`; adds the fields that are there to `seen`.
#[track_caller]
fn walk(value: &Value, path: &str, fields: &BTreeMap<String, Field>, seen: &mut BTreeSet<String>) {
    // The items of a list have no row of their own if they are objects, whose fields have.
    let is_plain = !(path.is_empty() || path.ends_with("[]") && value.is_object());
    if is_plain {
        let field = fields.get(path).unwrap_or_else(|| panic!("not in docs/json.md: {path}"));
        let found = kind(value);
        assert!(field.types.iter().any(|one| one == found), "{path} is {found}");
        // A word of ours is one of those that are listed.
        if path == "findings[].kind" {
            let word = format!("`{}`:", value.as_str().unwrap());
            assert!(field.meaning.contains(&word), "not in docs/json.md: {word}");
        }
        seen.insert(path.to_owned());
    }
    match value {
        Value::Array(all) => {
            for one in all {
                walk(one, &format!("{path}[]"), fields, seen);
            }
        }
        Value::Object(all) => {
            let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
            let is_any = |name: &str| name.bytes().all(|byte| byte.is_ascii_uppercase());
            let below = fields.keys().filter_map(|field| field.strip_prefix(&prefix));
            let mut below = below.map(|rest| rest.split(['.', '[']).next().unwrap());
            let any = below.find(|name| !name.is_empty() && is_any(name));
            for (name, one) in all {
                walk(one, &format!("{prefix}{}", any.unwrap_or(name)), fields, seen);
            }
        }
        _ => {}
    }
}

/// Checks that `answer`, which `vaultix VERB --json` has printed, is what the page says, and returns the fields in it.
#[track_caller]
pub fn ensure_documented(verb: &str, answer: &str) -> BTreeSet<String> {
    assert_eq!(answer.matches('\n').count(), 1, "{answer}");
    let answer: Value = serde_json::from_str(answer).unwrap();
    let mut seen = BTreeSet::new();
    walk(&answer, "", &documented(verb), &mut seen);
    seen
}

#[test]
fn every_field_of_every_answer_is_documented_and_there() {
    let workspace = Workspace::with_secrets("json");
    workspace.sh("git init -q").exits(0);
    let hash = "5".repeat(64);
    let units = |value: &mut Value| {
        for field in ["before", "restartUnits", "reloadUnits"] {
            value[field] = json!([format!("{field}.service").to_lowercase()]);
        }
        for field in ["restartUserUnits", "reloadUserUnits"] {
            value[field] = json!({ "alice": ["mail.service"] });
        }
    };
    // Nobody looks into it.
    workspace.secret("secrets/post.yaml.age", "a: b");
    workspace.secret_with("secrets/ssh.age", "x", &["-R", "keys/ssh-ed25519.pub"]);
    let web1 = workspace.key("host-web1.pub");
    workspace.profile_with("web1", web1.trim(), &[("wifi", "wifi"), ("ssh", "ssh")], |profile| {
        profile["secrets"]["post"] = json!({ "file": "secrets/post.yaml.age", "key": "/a" });
        let wifi = &mut profile["secrets"]["wifi"];
        units(wifi);
        wifi["rotate"] = json!("90d");
        wifi["generator"] = json!({ "kind": "htpasswd", "user": "me", "dependencies": ["ssh"] });
        profile["placeholder"] = json!({ "wifi": format!("{{{{ {hash} }}}}") });
        let mut template = json!({ "content": format!("{{{{ {hash} }}}}") });
        units(&mut template);
        profile["templates"] = json!({ "app.conf": template });
    });
    workspace.profile("db1", "host-db1.pub", &[("later", "later"), ("mail", "mail")]);
    let line = "-p web1.json -p db1.json";
    workspace.vaultix(&format!("{line} renc -i keys/me.txt -i keys/ssh-ed25519 --secret wifi"));
    workspace.write("secrets/mail.age", "damaged");
    workspace.write("secrets/cache/web1/README", "foreign");
    let names = |verb: &str| {
        let mut all: BTreeSet<String> = documented(verb).into_keys().collect();
        // Those that only a flake has; they are checked where there is one.
        for field in ["source", "rule"] {
            all.remove(&format!("[].{field}"));
            all.remove(&format!("findings[].{field}"));
        }
        all
    };
    for (verb, args) in [("check", ""), ("status", ""), ("explain", "wifi post later")] {
        let mut seen = BTreeSet::new();
        let args: Vec<&str> = if args.is_empty() { vec![""] } else { args.split(' ').collect() };
        for arg in args {
            let done = workspace.vaultix(&format!("{line} {verb} {arg} --json"));
            seen.extend(ensure_documented(verb, &done.stdout));
        }
        assert_eq!(seen, names(verb), "{verb}");
    }
}

#[test]
fn a_field_that_is_not_documented_is_found() {
    let fails = |answer: &str| {
        std::panic::catch_unwind(|| ensure_documented("check", &format!("{answer}\n"))).is_err()
    };
    assert!(!fails("{\"ok\":true,\"upToDate\":5,\"findings\":[]}"));
    for answer in [
        "{\"okay\":true}",
        "{\"ok\":1}",
        "{\"findings\":[{\"kind\":\"odd\"}]}",
        "{\"findings\":[{\"kind\":\"stale\",\"more\":null}]}",
        "{\"findings\":[[]]}",
    ] {
        assert!(fails(answer), "{answer}");
    }
}
