//! help as argh writes it → the same, with the notes wrapped at the terminal's width, and `-h`.

/// How argh names the option that asks for help, which is ours as well in short.
const HELP: (&str, &str) = ("  --help, help      ", "  -h, --help, help  ");

/// Wraps the notes of `help` at `width` columns: argh leaves each on one line.
#[must_use]
pub fn wrap(help: &str, width: usize) -> String {
    let mut wrapped = String::new();
    let mut is_note = false;
    for line in help.lines() {
        if !line.starts_with(' ') {
            is_note = line == "Notes:";
        }
        match line.strip_prefix("  ") {
            Some(note) if is_note => fold(note, width, &mut wrapped),
            _ => match line.strip_prefix(HELP.0) {
                Some(rest) => wrapped.extend([HELP.1, rest, "\n"]),
                None => wrapped.extend([line, "\n"]),
            },
        }
    }
    wrapped
}

/// Writes `note` in lines of at most `width` columns, indented by two; a longer word gets its own
/// line.
fn fold(note: &str, width: usize, wrapped: &mut String) {
    let mut column = 0;
    for word in note.split(' ') {
        let length = word.chars().count() + 1;
        if column > 0 && column + length > width {
            wrapped.push('\n');
            column = 0;
        }
        wrapped.push_str(if column == 0 { "  " } else { " " });
        column += if column == 0 { length + 1 } else { length };
        wrapped.push_str(word);
    }
    wrapped.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_fit_the_terminal() {
        let help = "Usage: a very long line\n\nNotes:\n  one two three\n  four\n\nError codes:\n  0 one two three\n";
        assert_eq!(
            wrap(help, 9),
            "Usage: a very long line\n\nNotes:\n  one two\n  three\n  four\n\nError codes:\n  0 one two three\n"
        );
        assert!(wrap(help, 8).contains("\n  one\n  two\n  three\n"));
        assert!(wrap(help, 1).contains("\n  one\n  two\n  three\n"));
        assert_eq!(wrap(help, 80), help);
    }
}
