//! `docs/json.md` → every field of every answer of `--json`, with its type, and no other; and the JSON Schema that is made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use crate::support::{Workspace, feed_as_is};

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
    assert_eq!(schema_errors(&schema(), verb, &answer), "", "{answer}");
    seen
}

/// The verbs that answer programs.
const VERBS: [&str; 3] = ["check", "status", "explain"];

/// Returns the JSON Schema of the answers of all verbs, as the page says it.
fn schema() -> Value {
    let answers = VERBS.map(|verb| {
        let fields = documented(verb);
        let mut answer = answer_at("", &fields);
        answer["title"] = json!(format!("vaultix {verb} --json"));
        (verb.to_owned(), answer)
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Answers for programs",
        "description": "What vaultix prints with --json. Made from json.md, which says the same to people. It allows \
            no other fields than those of this version; later ones may add some.",
        "anyOf": VERBS.map(|verb| json!({ "$ref": format!("#/$defs/{verb}") })),
        "$defs": Value::Object(answers.into_iter().collect()),
    })
}

/// Returns the schema of what is at `path`, of which the page may have a row.
fn answer_at(path: &str, fields: &BTreeMap<String, Field>) -> Value {
    let mut found = json!({});
    let row = fields.get(path);
    let below = |begin: &str| fields.keys().any(|field| field.starts_with(begin));
    let of_json = |name: &String| match name.as_str() {
        "text" => "string",
        "number" => "integer",
        "list" => "array",
        "boolean" | "object" | "null" => name.clone().leak(),
        other => panic!("{path} is of no type of JSON: {other}"),
    };
    let of_item = if below(&format!("{path}[]")) { "array" } else { "object" };
    let types = row.map_or_else(|| vec![of_item], |row| row.types.iter().map(of_json).collect());
    if types.contains(&"integer") {
        found["minimum"] = json!(0);
    }
    if types.contains(&"array") {
        found["items"] = answer_at(&format!("{path}[]"), fields);
    }
    if types.contains(&"object") {
        describe_members(&mut found, path, fields);
    }
    found["type"] = if types.len() == 1 { json!(types[0]) } else { json!(types) };
    if let Some(row) = row {
        found["description"] = json!(row.meaning.trim_start_matches("optional: "));
        let words = words(&row.meaning);
        if !words.is_empty() {
            found["enum"] = json!(words);
        }
    }
    found
}

/// Adds to `found`, the schema of the object at `path`, what it says of the members.
fn describe_members(found: &mut Value, path: &str, fields: &BTreeMap<String, Field>) {
    let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
    let names: BTreeSet<&str> = fields
        .keys()
        .filter_map(|field| field.strip_prefix(&prefix))
        .map(|rest| rest.split(['.', '[']).next().unwrap())
        .collect();
    assert!(!names.is_empty(), "{path} has no members");
    let member = |name: &str| answer_at(&format!("{prefix}{name}"), fields);
    // A word in capitals is any key.
    if names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_uppercase())) {
        let [any] = names.into_iter().collect::<Vec<_>>()[..] else { panic!("{path}") };
        found["additionalProperties"] = member(any);
        return;
    }
    let is_optional = |name: &&&str| {
        fields
            .get(&format!("{prefix}{name}"))
            .is_some_and(|one| one.meaning.starts_with("optional: "))
    };
    found["required"] = json!(names.iter().filter(|name| !is_optional(name)).collect::<Vec<_>>());
    let members = names.iter().map(|name| ((*name).to_owned(), member(name)));
    found["properties"] = Value::Object(members.collect());
    found["additionalProperties"] = json!(false);
}

/// Returns the words of ours that a field has, which `meaning` lists.
fn words(meaning: &str) -> Vec<&str> {
    if !meaning.starts_with('`') {
        return Vec::new();
    }
    let word = |part| Some(str::strip_prefix(part, '`')?.split_once("`: ")?.0);
    meaning.split("; ").filter_map(word).collect()
}

/// Returns what a real validator has against `answer` of `verb`, by `schema`; nothing where it has nothing.
fn schema_errors(schema: &Value, verb: &str, answer: &Value) -> String {
    /// The root says what any of them is: an empty list is of two.
    const VALIDATE: &str = "import json, sys
from jsonschema import Draft202012Validator as Validator
schema, verb, answer = json.load(sys.stdin)
Validator.check_schema(schema)
for one in schema, {**schema, 'anyOf': [{'$ref': '#/$defs/' + verb}]}:
    for error in Validator(one).iter_errors(answer):
        print(error.json_path, error.message)
";
    let mut python = Command::new("python3");
    let input = json!([schema, verb, answer]).to_string();
    feed_as_is(python.args(["-c", VALIDATE]), input.as_bytes()).exits(0).stdout
}

#[test]
fn the_schema_is_made_from_the_page() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json-schema.json");
    let made = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, made, "{}; BLESS=1 writes it", path.display());
    // Each field, and each answer, says what it is.
    let kinds =
        &schema()["$defs"]["check"]["properties"]["findings"]["items"]["properties"]["kind"];
    assert_eq!(kinds["enum"], json!(["fault", "foreign", "missing", "secret", "stale", "unfit"]));
    assert_eq!(found.matches("\"additionalProperties\": false").count(), 9, "{found}");
}

#[test]
fn an_answer_that_the_schema_does_not_allow_is_found() {
    let finding = json!({ "kind": "stale", "host": "web1", "secret": null, "file": null, "problem": "x", "fix": null });
    let of = |change: fn(&mut Value)| {
        let mut answer = json!({ "ok": false, "upToDate": 5, "findings": [finding] });
        change(&mut answer);
        schema_errors(&schema(), "check", &answer)
    };
    assert_eq!(of(|_| {}), "");
    let changes: [fn(&mut Value); 7] = [
        |answer| answer["more"] = json!(1),
        |answer| answer["findings"][0]["more"] = json!(1),
        |answer| answer["findings"][0]["kind"] = json!("odd"),
        |answer| answer["findings"][0]["problem"] = Value::Null,
        |answer| drop(answer["findings"][0].as_object_mut().unwrap().remove("fix")),
        |answer| answer["upToDate"] = json!(-1),
        |answer| answer["ok"] = json!("yes"),
    ];
    for change in changes {
        assert_ne!(of(change), "");
    }
    assert_ne!(schema_errors(&schema(), "check", &json!([])), "");
    assert_eq!(schema_errors(&schema(), "status", &json!([])), "");
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
