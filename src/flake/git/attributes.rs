//! ciphertexts in work trees → whether git keeps their bytes; and the lines of `.gitattributes` that have it keep them, and
//! merge none.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use vaultix_generator::escape;
use vaultix_units::bounded;

use super::index::Trees;
use super::{QUICK, configuration, list_alone, list_within};
use crate::error::{Error, Status};
use crate::report::{self, Report};
use crate::system::fence;

/// The name of the file with such lines.
pub const FILE: &str = ".gitattributes";

/// What has git keep secrets as they are, never merge two of them, and show them as text to whoever can open them.
pub const SECRETS: &str = "*.age -text -merge diff=vaultix";

/// What it is told of copies: the same, and that people do not read them.
const OF_COPIES: &str = "-text -merge -diff linguist-generated";

/// Returns the line for the copies in the directory `cache`, which is relative to the file with the line.
pub fn of_cache(cache: &Path) -> String {
    format!("{} {OF_COPIES}", pattern(&cache.join("**")))
}

/// Returns what of `line` has to be added to the lines `text`: what those for the same files do not decide. That these are no
/// text is added in any case.
pub fn missing(text: &str, line: &str) -> Option<String> {
    /// What stands for several attributes, see gitattributes(5).
    const BINARY: [&str; 3] = ["-diff", "-merge", "-text"];
    let (pattern, words) = split(line)?;
    let mut decided: BTreeMap<&str, &str> = BTreeMap::new();
    for (_, words) in text.lines().filter_map(split).filter(|(other, _)| is_same(other, pattern)) {
        for word in words.split_ascii_whitespace() {
            let all = if word == "binary" { &BINARY[..] } else { &[word] };
            decided.extend(all.iter().map(|word| (name(word), *word)));
        }
    }
    let is_missing = |word: &&str| match decided.get(name(word)) {
        None => true,
        Some(found) => *word == "-text" && found != word,
    };
    let words: Vec<&str> = words.split_ascii_whitespace().filter(is_missing).collect();
    (!words.is_empty()).then(|| format!("{pattern} {}", words.join(" ")))
}

/// Returns the pattern and the attributes of a line; `None` for a comment, or an empty line.
fn split(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_ascii();
    let end = match line.strip_prefix('"') {
        None => line.find(|c: char| c.is_ascii_whitespace()),
        Some(quoted) => {
            let mut is_escaped = false;
            let is_end = |c: char| {
                let is_end = c == '"' && !is_escaped;
                is_escaped = c == '\\' && !is_escaped;
                is_end
            };
            quoted.find(is_end).map(|at| at + 2)
        }
    };
    let (pattern, words) = line.split_at_checked(end?)?;
    (!pattern.starts_with('#')).then_some((pattern, words))
}

/// Returns whether two patterns are for the same files: a slash at the begin means nothing where there is another one.
fn is_same(one: &str, other: &str) -> bool {
    let short = |pattern: &str| {
        let rest = pattern.strip_prefix('/').filter(|rest| rest.contains('/'));
        rest.unwrap_or(pattern).to_owned()
    };
    short(one) == short(other)
}

/// Returns the name of the attribute that `word` sets.
fn name(word: &str) -> &str {
    let word = word.trim_start_matches(['-', '!']);
    word.split('=').next().unwrap_or(word)
}

/// Returns what stands for `path` in a line, which is relative to the file with the line; stars in it are as git takes them.
fn pattern(path: &Path) -> String {
    let text = path.to_string_lossy();
    let mut plain = String::from("/");
    for character in text.chars() {
        if matches!(character, '\\' | '?' | '[') {
            plain.push('\\');
        }
        plain.push(character);
    }
    if !plain.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"') {
        return plain;
    }
    // As in C.
    let mut quoted = String::from("\"");
    for character in plain.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if character.is_ascii_control() => {
                let _ = write!(quoted, "\\{:03o}", u32::from(character)); // Writing to a String cannot fail.
            }
            _ => quoted.push(character),
        }
    }
    quoted + "\""
}

/// Attributes that have git change bytes on their way from the work tree or into it.
const CHANGING: [&str; 6] = ["text", "crlf", "eol", "filter", "ident", "working-tree-encoding"];

/// A file in a work tree.
struct Item<'a> {
    /// What people call it.
    shown: &'a Path,
    /// Its path in the work tree.
    name: PathBuf,
    /// Whether it stands for all copies of a host.
    is_copy: bool,
}

/// Why git would change a file.
struct Change {
    reason: String,
    /// What takes that back, beside what is said of all secrets.
    attribute: Option<&'static str>,
}

/// Warns of what [`changed`] finds.
pub fn warn_changed<'a>(
    secrets: impl IntoIterator<Item = &'a PathBuf>,
    cache: &Path,
    copies: &'a BTreeSet<PathBuf>,
    report: &Report,
) {
    for warning in &changed(secrets, cache, copies) {
        report.warning_of(warning);
    }
}

/// Returns where git would not keep the bytes of `secrets`, or of the `copies` in the directory `cache`, relative to it: once
/// for each work tree, with the lines that have it keep them.
pub fn changed<'a>(
    secrets: impl IntoIterator<Item = &'a PathBuf>,
    cache: &Path,
    copies: &'a BTreeSet<PathBuf>,
) -> Vec<Error> {
    let mut trees = Trees::default();
    let mut items: BTreeMap<PathBuf, Vec<Item>> = BTreeMap::new();
    for shown in secrets {
        if let Some((top, name)) = trees.find(shown) {
            items.entry(top).or_default().push(Item { shown, name, is_copy: false });
        }
    }
    if let Some((top, below)) = trees.folder(cache) {
        // Those of one host are in one directory, and their names say nothing.
        let hosts: BTreeMap<Option<&Path>, &PathBuf> =
            copies.iter().map(|copy| (copy.parent(), copy)).collect();
        let copies = hosts.into_values().map(|copy| Item {
            shown: copy,
            name: below.join(copy),
            is_copy: true,
        });
        items.entry(top).or_default().extend(copies);
    }
    items.into_iter().filter_map(|(top, items)| warning(&top, &items, cache)).collect()
}

/// Returns the warning for the `items` in the work tree `top`.
fn warning(top: &Path, items: &[Item], cache: &Path) -> Option<Error> {
    let found = changes(top, items)?;
    let changed: Vec<(&Item, &Change)> =
        items.iter().filter_map(|item| Some((item, found.get(&item.name)?))).collect();
    let (_, first) = changed.first()?;
    let own = OwnLines::find(top, changed.iter().map(|(item, _)| item.name.as_path()));
    let mut names: BTreeSet<String> = BTreeSet::new();
    // By the file that they belong into.
    let mut lines: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for (item, change) in &changed {
        let below = if item.is_copy { cache_in(&item.name) } else { item.name.clone() };
        let own = own.as_ref().filter(|own| own.names.contains(&item.name));
        // What is not in the work tree is for all of it.
        let (file, base) = if let Some(own) = own {
            (own.file.clone(), PathBuf::new())
        } else {
            let file = attributes_of(top, &below, item.is_copy);
            let base = file.parent().map(Path::to_owned).unwrap_or_default();
            (file, base)
        };
        let place = below.strip_prefix(base).unwrap_or(&below);
        let line = match item.name.extension() {
            _ if item.is_copy => of_cache(place),
            Some(suffix) if suffix == "age" => SECRETS.to_owned(),
            _ => format!("{} -text -merge", pattern(place)),
        };
        let more = change.attribute.map(|attribute| format!(" {attribute}"));
        lines.entry(file).or_default().insert(line + &more.unwrap_or_default());
        let shown = if item.is_copy { cache } else { item.shown };
        names.insert(shown.display().to_string());
    }
    let names: Vec<String> = names.into_iter().collect();
    let commands: Vec<String> =
        lines.iter().map(|(file, lines)| append(top, file, lines)).collect();
    let what = format!("git would not keep the bytes of {}", report::list(&names));
    let warning = Error::new(Status::DataErr, what).because(&first.reason);
    let said = own.map(|own| {
        let file = report::relative(&top.join(own.file));
        format!("{} says so, and counts more than any {FILE}", file.display())
    });
    Some(said.into_iter().fold(warning, Error::because).fix(commands.join(" && ")))
}

/// The file with the user's own lines for a repository, which count most, where these change files.
struct OwnLines {
    /// Its path, perhaps relative to the top of the work tree.
    file: PathBuf,
    /// The files that they change, whatever is said elsewhere.
    names: BTreeSet<PathBuf>,
}

impl OwnLines {
    /// Looks for it in the repository of the work tree `top`, for the files `names`.
    fn find<'a>(top: &Path, names: impl Iterator<Item = &'a Path>) -> Option<Self> {
        /// What [`warning`] would have said elsewhere, for all files.
        const BEST: &[u8] = b"* -text -filter -ident !working-tree-encoding\n";
        /// More than that are not passed.
        const MANY: usize = 1000;
        // In place of the file of the user, which counts least.
        let args = ["-c", "core.attributesFile=/dev/stdin", "check-attr", "-z"];
        let args = args.into_iter().chain(CHANGING).chain(["--"]).map(OsStr::new);
        let args: Vec<&OsStr> = args.chain(names.map(Path::as_os_str).take(MANY)).collect();
        let output = list_alone(QUICK, top, &args, BEST).ok()?;
        let names: BTreeSet<PathBuf> = read_changes(top, &output.stdout)?.into_keys().collect();
        if names.is_empty() {
            return None;
        }
        let args = ["rev-parse", "--git-path", "info/attributes"].map(OsStr::new);
        let output = list_within(QUICK, top, &args, &[]).ok()?;
        let file = Path::new(OsStr::from_bytes(output.stdout.trim_ascii_end())).to_owned();
        output.status.success().then_some(Self { file, names })
    }
}

/// Returns the directory of the cache, of the path of a copy in it.
fn cache_in(copy: &Path) -> PathBuf {
    copy.ancestors().nth(2).unwrap_or(copy).to_owned()
}

/// Returns the path of the file in the work tree `top` whose lines count most for the file or directory `below`: the nearest
/// one above it.
fn attributes_of(top: &Path, below: &Path, is_directory: bool) -> PathBuf {
    let folders = below.ancestors().skip(usize::from(!is_directory));
    let mut files = folders.map(|folder| folder.join(FILE));
    let found = files.find(|file| top.join(file).symlink_metadata().is_ok());
    found.unwrap_or_else(|| FILE.into())
}

/// Returns the command that appends `lines` to `file` in the work tree `top`.
fn append(top: &Path, file: &Path, lines: &BTreeSet<String>) -> String {
    let path = top.join(file);
    let is_open = fence::read(&path, bounded::MAX_IDENTITY)
        .is_ok_and(|text| !text.is_empty() && !text.ends_with(b"\n"));
    // An empty one ends the line that is there.
    let end = is_open.then_some("");
    let words = end.into_iter().chain(lines.iter().map(String::as_str)).map(escape::shell);
    let words: Vec<String> = words.collect();
    let path = escape::shell_path(report::relative(&path));
    format!("printf '%s\\n' {} >>{path}", words.join(" "))
}

/// Returns why git would change those of `items` in the work tree `top` that it would; `None` where it cannot say.
fn changes(top: &Path, items: &[Item]) -> Option<BTreeMap<PathBuf, Change>> {
    let names = items.iter().flat_map(|item| item.name.as_os_str().as_bytes().iter().chain(&[0]));
    let names: Vec<u8> = names.copied().collect();
    let args = ["check-attr", "--stdin", "-z"].into_iter().chain(CHANGING);
    let args: Vec<&OsStr> = args.map(OsStr::new).collect();
    read_changes(top, &list_within(QUICK, top, &args, &names).ok()?.stdout)
}

/// Reads what git says of attributes of files in the work tree `top`.
fn read_changes(top: &Path, answer: &[u8]) -> Option<BTreeMap<PathBuf, Change>> {
    let mut found: BTreeMap<PathBuf, BTreeMap<String, String>> = BTreeMap::new();
    let mut fields = answer.split(|byte| *byte == 0);
    while let (Some(path), Some(name), Some(value)) = (fields.next(), fields.next(), fields.next())
    {
        let values = found.entry(Path::new(OsStr::from_bytes(path)).to_owned()).or_default();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        values.insert(text(name), text(value));
    }
    // Most often, attributes decide alone.
    let is_open = |values| change(values, None).is_none() && change(values, Some("")).is_some();
    let autocrlf = if found.values().any(is_open) {
        configuration(top).ok()?.autocrlf.filter(|value| is_on(value))
    } else {
        None
    };
    let change = |(path, values)| Some((path, change(&values, autocrlf.as_deref())?));
    Some(found.into_iter().filter_map(change).collect())
}

/// Returns whether `value`, which `core.autocrlf` is set to, has git convert line endings.
fn is_on(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    !matches!(value.as_str(), "false" | "no" | "off" | "0")
}

/// Returns why git would change a file with the attributes `values`, where `core.autocrlf` is set to something, or not.
///
/// As in git's own `convert_attrs` in `convert.c`.
fn change(values: &BTreeMap<String, String>, autocrlf: Option<&str>) -> Option<Change> {
    let value = |name: &str| values.get(name).map_or("unspecified", String::as_str);
    let is_set = |name: &str| !matches!(value(name), "unspecified" | "unset");
    let new = |reason, attribute| Some(Change { reason, attribute });
    let lines = |reason: &str| new(format!("it converts line endings there: {reason}"), None);
    if is_set("filter") && value("filter") != "set" {
        return new(format!("it has the filter {} for it", value("filter")), Some("-filter"));
    }
    if is_set("working-tree-encoding") {
        let reason = format!("it converts the encoding {}", value("working-tree-encoding"));
        return new(reason, Some("!working-tree-encoding"));
    }
    if value("ident") == "set" {
        return new("it expands $Id$ there".to_owned(), Some("-ident"));
    }
    // The older name counts where the other one says nothing that git knows.
    let known = |name: &&str| matches!(value(name), "set" | "unset" | "auto" | "input");
    if let Some(name) = ["text", "crlf"].into_iter().find(known) {
        let value = value(name);
        return (value != "unset").then(|| lines(&format!("the attribute {name} is {value}")))?;
    }
    if matches!(value("eol"), "lf" | "crlf") {
        return lines(&format!("the attribute eol is {}", value("eol")));
    }
    let value = autocrlf.map(|value| if value.is_empty() { "true" } else { value })?;
    lines(&format!("core.autocrlf is {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_only_what_others_do_not_say() {
        let copies = of_cache(Path::new("secrets/cache"));
        assert_eq!(copies, format!("/secrets/cache/** {OF_COPIES}"));
        for (text, line, expected) in [
            ("", SECRETS, Some(SECRETS)),
            (SECRETS, SECRETS, None),
            ("*.age diff=vaultix\r\n", SECRETS, Some("*.age -text -merge")),
            ("*.age -diff -text\n*.age merge=ours", SECRETS, None),
            ("*.age binary", SECRETS, None),
            ("*.age binary text=auto", SECRETS, Some("*.age -text")),
            ("*.age -text\n*.age text", SECRETS, Some(SECRETS)),
            ("# *.age -text -merge diff=vaultix\nx.age -text\n", SECRETS, Some(SECRETS)),
            ("secrets/cache/** binary", &copies, Some("/secrets/cache/** linguist-generated")),
            ("\"*.age\" -text \"", SECRETS, Some(SECRETS)),
            ("\"", SECRETS, Some(SECRETS)),
        ] {
            assert_eq!(missing(text, line).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_pattern_is_quoted_where_git_would_take_it_apart() {
        for (path, expected) in [
            ("secrets/wifi", "/secrets/wifi"),
            ("a b/c", "\"/a b/c\""),
            ("a[1]?", "/a\\[1]\\?"),
            ("a\"b\\c", "\"/a\\\"b\\\\\\\\c\""),
            ("a\nb", "\"/a\\012b\""),
        ] {
            assert_eq!(pattern(Path::new(path)), expected, "{path:?}");
        }
    }

    #[test]
    fn what_changes_bytes_is_known() {
        let of = |words: &str, autocrlf: Option<&str>| {
            let pairs = words.split_ascii_whitespace().filter_map(|word| word.split_once('='));
            let values = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            change(&values, autocrlf).map(|change| change.reason)
        };
        for words in
            ["text=set", "text=auto", "text=input", "crlf=set", "eol=lf", "text=x eol=crlf"]
        {
            assert!(of(words, None).is_some_and(|reason| reason.contains("line endings")));
        }
        for words in ["", "text=unset", "text=unset eol=lf", "crlf=unset", "filter=unset", "eol=x"]
        {
            assert_eq!(of(words, None), None, "{words}");
        }
        assert_eq!(of("text=unset", Some("true")), None);
        let reason = "it converts line endings there: core.autocrlf is true";
        assert_eq!(of("text=unspecified", Some("")).as_deref(), Some(reason));
        for words in ["filter=lfs", "ident=set", "working-tree-encoding=UTF-16"] {
            assert!(of(&format!("text=unset {words}"), None).is_some(), "{words}");
        }
        assert!(["true", "input", "", "1"].iter().all(|value| is_on(value)));
        assert!(["false", "No", "off", "0"].iter().all(|value| !is_on(value)));
    }
}
