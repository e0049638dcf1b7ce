//! text of a unit file → its settings, by the rules of systemd.syntax(7).

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its section, without brackets.
    pub section: String,
    /// Its name.
    pub key: String,
    /// Its value as it is in the file.
    pub value: String,
}

/// What systemd treats as white space.
const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// Reads a unit file. Panics at anything that systemd would warn about, skip or refuse.
#[must_use]
pub fn parse(text: &str) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut section = None;
    for line in lines(text) {
        let line = line.trim_matches(BLANKS);
        assert!(!line.chars().any(is_no_character), "systemd takes this for no UTF-8: {line:?}");
        assert!(line.len() < 1 << 20, "systemd reads no line of {} bytes", line.len());
        if line.is_empty() {
        } else if let Some(name) = line.strip_prefix('[') {
            let name = name.strip_suffix(']').unwrap_or_else(|| panic!("no section: {line:?}"));
            section = Some(name.to_owned());
        } else {
            let (key, value) =
                line.split_once('=').unwrap_or_else(|| panic!("no setting: {line:?}"));
            settings.push(Setting {
                section: section.clone().unwrap_or_else(|| panic!("in no section: {line:?}")),
                key: key.trim_matches(BLANKS).to_owned(),
                value: value.trim_matches(BLANKS).to_owned(),
            });
        }
    }
    settings
}

/// Splits a text into lines, joins those that a backslash continues, and drops comments.
fn lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut joined = String::new();
    // A carriage return or a NUL ends a line as well.
    for line in text.split(['\n', '\r', '\0']) {
        if line.trim_start_matches(BLANKS).starts_with(['#', ';']) {
            continue;
        }
        joined.push_str(line);
        let escapes = joined.chars().fold(false, |escaped, one| !escaped && one == '\\');
        if escapes {
            joined.pop();
            joined.push(' ');
        } else {
            lines.push(std::mem::take(&mut joined));
        }
    }
    lines.push(joined);
    lines
}

/// Returns whether this is one of Unicode's noncharacters, for which systemd refuses a line.
fn is_no_character(one: char) -> bool {
    let code = u32::from(one);
    (0xfdd0..=0xfdef).contains(&code) || code % 0x1_0000 >= 0xfffe
}

/// Expands the specifiers of a value. The only one allowed is `%%`.
#[must_use]
pub fn expand(value: &str) -> String {
    let mut expanded = String::new();
    let mut characters = value.chars();
    while let Some(one) = characters.next() {
        if one == '%' {
            assert_eq!(characters.next(), Some('%'), "a specifier in {value:?}");
        }
        expanded.push(one);
    }
    expanded
}

/// Splits a value into names of units, by the white space between them.
#[must_use]
pub fn names(value: &str) -> Vec<String> {
    assert!(!value.contains(['"', '\'']), "a quoted name in {value:?}");
    value.split(BLANKS).filter(|name| !name.is_empty()).map(expand).collect()
}
