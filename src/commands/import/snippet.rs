//! ids of imported secrets → a module that declares them, or one for each of several groups of hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use vaultix_generator::escape;

use crate::commands::import::name;
use crate::commands::import::secret::{Declared, LegacySecret};
use crate::flake::literal::string;

/// Words that cannot stand for themselves as the name of an attribute.
const KEYWORDS: [&str; 10] =
    ["assert", "else", "if", "in", "inherit", "let", "or", "rec", "then", "with"];

/// What a declaration says, by the names of options.
pub type Fields = BTreeMap<String, String>;

/// A secret that is made, as a host declares it.
pub struct Declaration {
    /// Which declarations it stands with, in words.
    group: String,
    /// The secret's id.
    id: String,
    /// Its file, from the directory for new secrets, without the ending.
    stem: String,
    /// Which value of the file it is, if not the whole.
    key: Option<String>,
    /// What else is known of it.
    fields: Fields,
}

impl Declaration {
    /// Takes what is known of `secret`, which is `declared` like this.
    pub fn new(secret: &LegacySecret, declared: &Declared, fields: &Fields) -> Self {
        let Declared { id, group, key } = declared.clone();
        Self { group, id, stem: secret.stem.clone(), key, fields: fields.clone() }
    }
}

/// Returns a module with a binding for each of `declarations`, one a line, in groups with a comment above each; if an id is in
/// several groups, a module for each group.
///
/// Their files are in `directory`, seen from the flake; where that is the one `is_default` for a host's secrets, an id can
/// be enough to find them.
pub fn snippet(declarations: &mut [Declaration], directory: &Path, is_default: bool) -> String {
    declarations.sort_by(|one, other| (&one.group, &one.id).cmp(&(&other.group, &other.id)));
    let ids: BTreeSet<&str> = declarations.iter().map(|one| one.id.as_str()).collect();
    let groups: Vec<&[Declaration]> =
        declarations.chunk_by(|one, other| one.group == other.group).collect();
    let heading = |group: &[Declaration]| match group.first() {
        Some(Declaration { group, .. }) if groups.len() > 1 => {
            format!("# {}\n", escape::line(group))
        }
        _ => String::new(),
    };
    let bindings = |group: &[Declaration]| -> String {
        group.iter().map(|one| one.binding(&ids, directory, is_default)).collect()
    };
    if groups.is_empty() {
        return String::new();
    }
    if ids.len() < declarations.len() {
        let modules =
            groups.iter().map(|group| format!("\n{}{{\n{}}}\n", heading(group), bindings(group)));
        return REPEATED.to_owned() + &modules.collect::<String>();
    }
    let all = groups.iter().map(|group| {
        let heading = heading(group);
        if heading.is_empty() { bindings(group) } else { format!("  {heading}{}", bindings(group)) }
    });
    format!("{{\n{}}}\n", all.collect::<Vec<_>>().join("\n"))
}

impl Declaration {
    /// Returns the line that declares it in a module, where all of `ids` are declared; for the rest, see [`snippet`].
    fn binding(&self, ids: &BTreeSet<&str>, directory: &Path, is_default: bool) -> String {
        let mut fields = String::new();
        // Writing to a String cannot fail.
        if !is_default || self.key.is_some() || self.id != self.stem {
            let _ = write!(fields, " file = {};", path(&name::file(directory, &self.stem)));
        }
        if let Some(key) = &self.key {
            let _ = write!(fields, " key = {};", string(key));
        }
        if let Some(name) = free_name(&self.id, ids) {
            let _ = write!(fields, " name = {};", string(&name));
        }
        for (field, value) in &self.fields {
            let _ = write!(fields, " {field} = {};", string(value));
        }
        format!("  vaultix.secrets.{} = {{{fields} }};\n", attribute(&self.id))
    }
}

/// What stands above groups that have ids in common.
const REPEATED: &str = "# Some ids are in several groups: save each group as a module of its own, for its own hosts.\n";

/// Returns a name for the file of `id`, if it would be the directory of another of `ids`.
fn free_name(id: &str, ids: &BTreeSet<&str>) -> Option<String> {
    let is_directory = |name: &str| {
        let below = format!("{name}/");
        ids.range(below.as_str()..).next().is_some_and(|next| next.starts_with(&below))
    };
    if !is_directory(id) {
        return None;
    }
    let mut name = format!("{id}_");
    while ids.contains(name.as_str()) || is_directory(&name) {
        name.push('_');
    }
    Some(name)
}

fn attribute(text: &str) -> String {
    let starts = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-'".contains(letter);
    if starts && text.chars().all(is_plain) && !KEYWORDS.contains(&text) {
        text.to_owned()
    } else {
        string(text)
    }
}

/// Returns `path` as a path that Nix resolves from the file that it is in.
fn path(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+".contains(letter);
    let start = if path.is_absolute() { "" } else { "./" };
    if text.chars().all(is_plain) {
        return format!("{start}{text}");
    }
    match text.strip_prefix('/') {
        Some(rest) => format!("/. + {}", string(rest)),
        None => format!("./. + {}", string(&format!("/{text}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the declaration of `id` in `group`, whose file is `stem`.
    fn declaration(group: &str, id: &str, stem: &str) -> Declaration {
        let [group, id, stem] = [group, id, stem].map(str::to_owned);
        Declaration { group, id, stem, key: None, fields: Fields::new() }
    }

    /// Returns the snippet of `ids`, in another directory than the default one if any.
    fn of(ids: &[&str], directory: Option<&str>) -> String {
        let mut all: Vec<Declaration> = ids.iter().map(|id| declaration("", id, id)).collect();
        let place = Path::new(directory.unwrap_or("secrets"));
        bindings(&snippet(&mut all, place, directory.is_none()))
    }

    /// Returns the bindings of `module`, as they would stand alone.
    fn bindings(module: &str) -> String {
        let inner = module.strip_prefix("{\n").unwrap().strip_suffix("}\n").unwrap();
        let lines: Vec<&str> =
            inner.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
        lines.join("\n") + "\n"
    }

    #[test]
    fn a_plain_id_is_a_plain_attribute() {
        assert_eq!(of(&["wifi"], None), "vaultix.secrets.wifi = { };\n");
        assert_eq!(of(&["a-b'c_1"], None), "vaultix.secrets.a-b'c_1 = { };\n");
    }

    #[test]
    fn an_odd_id_is_a_string() {
        for (id, expected) in [
            ("db/password", r#""db/password""#),
            ("in", r#""in""#),
            ("1", r#""1""#),
            (r#"a"b\${c}$d"#, r#""a\"b\\\${c}$d""#),
        ] {
            assert_eq!(of(&[id], None), format!("vaultix.secrets.{expected} = {{ }};\n"));
        }
    }

    #[test]
    fn a_directory_other_than_the_default_is_written() {
        assert_eq!(
            of(&["wifi"], Some("old")),
            "vaultix.secrets.wifi = { file = ./old/wifi.age; };\n"
        );
        assert_eq!(
            of(&["a b"], Some("old")),
            "vaultix.secrets.\"a b\" = { file = ./. + \"/old/a b.age\"; };\n"
        );
    }

    #[test]
    fn known_fields_are_written() {
        let fields = Fields::from([("owner".to_owned(), "${x}".to_owned())]);
        let mut all = [Declaration { fields, ..declaration("", "wifi", "wifi") }];
        let expected = "vaultix.secrets.wifi = { owner = \"\\${x}\"; };\n";
        assert_eq!(bindings(&snippet(&mut all, Path::new("secrets"), true)), expected);
    }

    #[test]
    fn a_file_that_is_not_called_as_the_id_is_said() {
        let mut all = [declaration("", "wifi", "home/wifi")];
        let expected = "vaultix.secrets.wifi = { file = ./secrets/home/wifi.age; };\n";
        assert_eq!(bindings(&snippet(&mut all, Path::new("secrets"), true)), expected);
    }

    #[test]
    fn nothing_is_no_module() {
        assert_eq!(snippet(&mut [], Path::new("s"), true), "");
    }

    #[test]
    fn groups_stand_below_comments() {
        let mut all = [("b\n}", "y", "y"), ("a", "x", "a/x"), ("b\n}", "x", "x")]
            .map(|(group, id, stem)| declaration(group, id, stem));
        let expected = "{\n  # a\n  vaultix.secrets.x = { file = ./s/a/x.age; };\n\n  \
                        # b\\n}\n  vaultix.secrets.y = { };\n}\n";
        assert_eq!(snippet(&mut all[..2], Path::new("s"), true), expected);
        let expected = format!(
            "{REPEATED}\n# a\n{{\n  vaultix.secrets.x = {{ file = ./s/a/x.age; }};\n}}\n\n\
             # b\\n}}\n{{\n  vaultix.secrets.x = {{ }};\n  vaultix.secrets.y = {{ }};\n}}\n"
        );
        assert_eq!(snippet(&mut all, Path::new("s"), true), expected);
    }

    #[test]
    fn a_file_does_not_stand_in_the_way_of_a_directory() {
        assert_eq!(
            of(&["mail", "mail-2", "mail/work", "mail_"], None),
            "vaultix.secrets.mail = { name = \"mail__\"; };\nvaultix.secrets.mail-2 = { };\n\
             vaultix.secrets.\"mail/work\" = { };\nvaultix.secrets.mail_ = { };\n"
        );
    }
}
