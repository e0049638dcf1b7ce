//! paths in `src/` → does each folder import only from those below it?

use std::fs;
use std::path::Path;
use std::process::Command;

use pretty_assertions::assert_eq;

use crate::support::run;

/// The folders and files of `src`, from the top down. Those in the same row do not import each
/// other.
const LAYERS: [&[&str]; 9] = [
    &["main", "lib"],
    &["commands"],
    &["cache"],
    &["files"],
    &["flake"],
    &["keys"],
    &["terminal", "structured"],
    &["report", "system"],
    &["error", "cli"],
];

/// Returns the row of `room`, counted from the top; `None` if it is in none.
fn depth(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

/// Returns the forbidden imports of `text`, the file `path` of `src`.
fn violations(path: &str, text: &str) -> Vec<String> {
    let modules: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    let Some(own) = depth(modules[0]) else { return vec![format!("{path} is in no layer")] };
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap()).collect();
    let code = code.join(
        "
",
    );
    let mut found = Vec::new();
    // This many `super` lead out of the folder, or to other commands; tests inside the file may
    // have one more.
    let climb = if modules[0] == "commands" { modules.len() - 1 } else { modules.len() };
    let product = code.split("#[cfg(test)]").next().unwrap();
    if product.contains(&"super::".repeat(climb.max(1))) {
        found.push(format!("{path} leaves its folder by super"));
    }
    for (at, _) in code.match_indices("crate::") {
        for named in expand(&code[at + "crate::".len()..]) {
            let allowed = match depth(&named[0]) {
                _ if named[0] == modules[0] => {
                    // Inside the same folder everything is allowed, except from one command to
                    // another.
                    named[0] != "commands"
                        || modules.len() < 2
                        || named.get(1).is_some_and(|verb| verb == modules[1])
                }
                Some(other) => other > own,
                None => false,
            };
            if !allowed {
                found.push(format!("{path} imports {}", named.join("::")));
            }
        }
    }
    found
}

/// Returns the first two names of each path in `tree`: `a::b`, or `{a, b::{c, d}}`.
fn expand(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim_start();
    let Some(group) = tree.strip_prefix('{') else {
        let is_part = |character: char| character.is_alphanumeric() || character == '_';
        let (name, rest) = tree.split_at(tree.find(|c| !is_part(c)).unwrap_or(tree.len()));
        let below = rest.strip_prefix("::").map(expand).unwrap_or_default();
        if below.is_empty() {
            return vec![vec![name.to_owned()]];
        }
        let of = |names: Vec<String>| [name.to_owned()].into_iter().chain(names).take(2).collect();
        return below.into_iter().map(of).collect();
    };
    let (mut open, mut start, mut found) = (0, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            ',' | '}' if open == 0 => {
                if !group[start..at].trim().is_empty() {
                    found.extend(expand(&group[start..at]));
                }
                if character == '}' {
                    break;
                }
                start = at + 1;
            }
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
    }
    found
}

#[test]
fn a_folder_imports_only_from_those_below_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = run(Command::new("find").current_dir(&src).args([".", "-name", "*.rs"])).exits(0);
    let files: Vec<&str> = files.stdout.lines().map(|path| &path["./".len()..]).collect();
    for room in LAYERS.concat() {
        let has = |path: &&str| path.split('/').next().unwrap().trim_end_matches(".rs") == room;
        assert!(files.iter().any(has), "{room} is gone");
    }
    let found: Vec<String> = files
        .iter()
        .flat_map(|path| violations(path, &fs::read_to_string(src.join(path)).unwrap()))
        .collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn an_import_from_above_is_found() {
    let none: [&str; 0] = [];
    let check = |path: &str, text: &str, expected: &[&str]| {
        assert_eq!(violations(path, text), expected, "{text}");
    };
    check("keys/pq/identity.rs", "use crate::terminal::prompt;\nuse super::xwing;\n", &none);
    check("keys/pq.rs", "use crate::keys::armor; /// [`crate::cache`]\n", &none);
    check("keys/pq.rs", "use crate::files::source;", &["keys/pq.rs imports files::source"]);
    check("flake/nix.rs", "crate::files::tree::find()", &["flake/nix.rs imports files::tree"]);
    check(
        "report.rs",
        "use crate::{error, cache::{\n    plan::Plan, store},\n};",
        &["report.rs imports cache::plan", "report.rs imports cache::store"],
    );
    check("keys.rs", "pub use crate::plan;", &["keys.rs imports plan"]);
    check("desk.rs", "", &["desk.rs is in no layer"]);
    check("lib.rs", "use crate::commands::{edit, renc};", &none);
    check("commands/edit/pick.rs", "use crate::commands::edit::input;", &none);
    let other = "commands/edit/pick.rs imports commands::rekey";
    check("commands/edit/pick.rs", "use crate::commands::{edit, rekey::left};", &[other]);
    let climbs = "keys/armor.rs leaves its folder by super";
    check("keys/armor.rs", "use super::super::files;", &[climbs]);
    let climbs = "commands/edit.rs leaves its folder by super";
    check("commands/edit.rs", "use super::rekey;", &[climbs]);
    check("report.rs", "#[cfg(test)]\nmod tests {\n    use super::*;\n}\n", &none);
}
