//! rows → lines that fit the terminal; everywhere else, all of them whole.

use super::{POST_QUANTUM, Row};
use crate::report;

/// How many recipients of a source a table names (32): what its header says is as long as whoever made it wants.
const MAX_SHOWN: usize = 32;

/// Least room for recipients, and for hosts, in columns (16): a line that does not fit is better than one that says nothing.
const LEAST: usize = 16;

/// Writes a line for each of `rows`, as wide as `all` need it: the file and the key, its recipients, their rule and its age, and its
/// hosts by ids, with a mark on what is missing.
pub(super) fn lines<'a>(
    rows: impl IntoIterator<Item = &'a Row>,
    all: impl IntoIterator<Item = &'a Row>,
) -> Vec<String> {
    let width = all.into_iter().map(|row| name(row).chars().count()).max().unwrap_or_default();
    let columns = report::terminal_columns();
    rows.into_iter().map(|row| line(row, width, columns)).collect()
}

fn name(row: &Row) -> String {
    let file = row.source.as_ref().unwrap_or(&row.file);
    row.key.as_ref().map_or_else(|| file.clone(), |key| format!("{file} {key}"))
}

/// Writes one line, in so many `columns` if there is a limit.
fn line(row: &Row, width: usize, columns: Option<usize>) -> String {
    let rule = row.rule.as_ref().map(|path| format!(" (rule {path})")).unwrap_or_default();
    let age = row.rotation.as_ref().map(|it| format!(" ({} of {} days old)", it.age, it.allowed));
    let notes = rule + &age.unwrap_or_default();
    // What is always there: the name, the notes, and twice two spaces.
    let room = columns.map(|columns| columns.saturating_sub(width + notes.chars().count() + 4));
    let half = room.map(|room| (room / 2).saturating_sub("for ".len()).max(LEAST));
    let recipients = recipients(row, half);
    let left = room.map(|room| room.saturating_sub(recipients.chars().count()).max(LEAST));
    format!("{:width$}  {recipients}{notes}  {}", name(row), hosts(row, left))
}

fn recipients(row: &Row, room: Option<usize>) -> String {
    if !row.exists {
        return "without a file".to_owned();
    }
    if row.recipients.is_empty() {
        return "unreadable".to_owned();
    }
    let shown: Vec<String> = row.recipients.iter().take(MAX_SHOWN).cloned().collect();
    let more = row.recipients.len() - shown.len();
    let text = match (more, room) {
        (0, None) => shown.join(", "),
        (more, None) => format!("{}, {more} more", shown.join(", ")),
        (more, Some(room)) => shortened(&shown, more, room, |_| String::new(), "recipients"),
    };
    format!("for {text}")
}

/// Lists the hosts of each id: `wifi on db1, web1 (missing); psk on web2`.
fn hosts(row: &Row, room: Option<usize>) -> String {
    let mut ids: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
    for (id, host, mark) in &row.users {
        match ids.last_mut().filter(|(last, _)| last == id) {
            Some((_, hosts)) => hosts.push((host, mark)),
            None => ids.push((id, vec![(host, mark)])),
        }
    }
    let share = room.map(|room| room / ids.len().max(1));
    let of_id = |(id, mut hosts): (&str, Vec<(&str, &str)>)| {
        let text = |hosts: &[(&str, &str)]| -> Vec<String> {
            hosts.iter().map(|(host, mark)| format!("{host}{mark}")).collect()
        };
        let whole = text(&hosts).join(", ");
        let room = share.map(|share| share.saturating_sub(id.chars().count() + " on ".len()));
        let Some(room) = room.filter(|room| whole.chars().count() > *room) else {
            return format!("{id} on {whole}");
        };
        // What is wrong comes first, so that it is seen.
        let is_wrong = |mark: &str| !mark.is_empty() && mark != POST_QUANTUM;
        hosts.sort_by_key(|(_, mark)| !is_wrong(mark));
        let wrong = hosts.iter().filter(|(_, mark)| is_wrong(mark)).count();
        let hidden = |shown: usize| match wrong.saturating_sub(shown) {
            0 => String::new(),
            wrong => format!(" ({wrong} missing)"),
        };
        format!("{id} on {}", shortened(&text(&hosts), 0, room, hidden, "hosts"))
    };
    ids.into_iter().map(of_id).collect::<Vec<_>>().join("; ")
}

/// Lists as many of `names`, and of `more` that have none, as there is `room` for; `hidden` is said of those after so many.
fn shortened(
    names: &[String],
    more: usize,
    room: usize,
    hidden: impl Fn(usize) -> String,
    what: &str,
) -> String {
    let all = names.len() + more;
    let first = |count: usize| {
        let listed: Vec<&str> = names.iter().take(count).map(String::as_str).collect();
        match all - count {
            0 => listed.join(", "),
            left => format!("{} and {left} more{}", listed.join(", "), hidden(count)),
        }
    };
    // Each has a letter at least, and a comma.
    let most = names.len().min(room / 3 + 1);
    let fitting = (1..=most).rev().map(first).find(|text| text.chars().count() <= room);
    fitting.unwrap_or_else(|| match all {
        1 => first(1),
        _ => format!("{all} {what}{}", hidden(0)),
    })
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    /// Returns a row for hosts `h0`, `h1`, … that use the secret, of which the last is missing its copy.
    fn row(hosts: usize, recipients: usize) -> Row {
        let user = |i| {
            let mark = if i + 1 == hosts { " (missing)" } else { "" };
            ("wifi".to_owned(), format!("h{i}"), mark)
        };
        Row {
            file: "wifi.age".to_owned(),
            exists: true,
            recipients: (0..recipients).map(|i| format!("ssh-ed25519 (tag aaaa{i:02})")).collect(),
            users: (0..hosts).map(user).collect(),
            ..Row::default()
        }
    }

    #[test]
    fn a_line_fits_its_terminal_and_names_what_is_missing() {
        for (hosts, recipients, columns, expected) in [
            (2, 1, None, "wifi.age  for ssh-ed25519 (tag aaaa00)  wifi on h0, h1 (missing)"),
            (2, 1, Some(80), "wifi.age  for ssh-ed25519 (tag aaaa00)  wifi on h0, h1 (missing)"),
            (
                40,
                1,
                Some(80),
                "wifi.age  for ssh-ed25519 (tag aaaa00)  wifi on h39 (missing), h0 and 38 more",
            ),
            (40, 9, Some(62), "wifi.age  for 9 recipients  wifi on h39 (missing) and 39 more"),
            (40, 9, Some(40), "wifi.age  for 9 recipients  wifi on 40 hosts (1 missing)"),
            (40, 2, Some(1), "wifi.age  for 2 recipients  wifi on 40 hosts (1 missing)"),
            (1, 1, Some(1), "wifi.age  for ssh-ed25519 (tag aaaa00)  wifi on h0 (missing)"),
        ] {
            let text = line(&row(hosts, recipients), 8, columns);
            assert_eq!(text, expected, "{hosts} {recipients} {columns:?}");
        }
        let whole = line(&row(40, 40), 8, None);
        assert!(whole.contains("(tag aaaa31), 8 more  wifi on h0, h1, h2"), "{whole}");
    }

    #[test]
    fn an_id_is_written_once_for_all_its_hosts() {
        let mut row = row(2, 1);
        row.users.push(("psk".to_owned(), "h9".to_owned(), " (no key)"));
        row.users.sort();
        assert_eq!(hosts(&row, None), "psk on h9 (no key); wifi on h0, h1 (missing)");
        row.exists = false;
        assert_eq!(recipients(&row, None), "without a file");
        row.exists = true;
        row.recipients.clear();
        assert_eq!(recipients(&row, None), "unreadable");
    }
}
