//! lines + what the user types → the line that is picked.

mod key;
mod screen;

use std::fmt::Write;
use std::io;

use vaultix_generator::escape;

use crate::system::interrupt::Interrupt;
use key::Key;
use screen::Screen;

/// The texts around a list.
#[derive(Clone, Copy)]
pub struct Labels {
    /// Shown before the filter.
    pub filter: &'static str,
    /// Shown below the list.
    pub help: &'static str,
}

/// Shows `lines` until one is picked, and returns its index; `None` if the user leaves or a signal
/// comes.
///
/// # Errors
///
/// When the terminal cannot be used.
pub fn ask(lines: Vec<String>, labels: Labels, interrupt: &Interrupt) -> io::Result<Option<usize>> {
    let mut menu = Menu::new(lines, labels);
    let mut screen = Screen::open(interrupt)?;
    loop {
        screen.show(&menu.draw(screen.size()))?;
        match screen.key()?.map_or(Step::Cancelled, |key| menu.press(key)) {
            Step::Shown => {}
            Step::Picked(at) => return Ok(Some(at)),
            Step::Cancelled => return Ok(None),
        }
    }
}

/// What the screen shows, and how keys change it; does no I/O.
struct Menu {
    labels: Labels,
    lines: Vec<String>,
    filter: String,
    /// Indexes of the lines that match the filter, the best match first.
    fitting: Vec<usize>,
    /// Which of them is selected.
    at: usize,
    /// How many fit on the screen.
    page: usize,
}

/// What to do after a key.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Show the menu again.
    Shown,
    /// The line with this index was picked.
    Picked(usize),
    /// The user left without picking.
    Cancelled,
}

impl Menu {
    /// Starts with all `lines` and no filter.
    fn new(lines: Vec<String>, labels: Labels) -> Self {
        let fitting = (0..lines.len()).collect();
        Self { labels, lines, filter: String::new(), fitting, at: 0, page: 1 }
    }

    fn press(&mut self, key: Key) -> Step {
        let last = self.fitting.len().saturating_sub(1);
        match key {
            Key::Leave => return Step::Cancelled,
            Key::Enter => {
                return self.fitting.get(self.at).map_or(Step::Shown, |line| Step::Picked(*line));
            }
            Key::Up => self.at = self.at.saturating_sub(1),
            Key::Down => self.at = (self.at + 1).min(last),
            Key::PageUp => self.at = self.at.saturating_sub(self.page),
            Key::PageDown => self.at = (self.at + self.page).min(last),
            Key::Char(character) => self.set_filter(|filter| filter.push(character)),
            Key::Erase => self.set_filter(|filter| {
                filter.pop();
            }),
            Key::EraseAll => self.set_filter(String::clear),
            Key::EraseWord => self.set_filter(|filter| {
                let end = filter.trim_end().rfind(' ').map_or(0, |space| space + 1);
                filter.truncate(end);
            }),
            Key::Other => {}
        }
        Step::Shown
    }

    fn set_filter(&mut self, change: impl FnOnce(&mut String)) {
        change(&mut self.filter);
        let ranked = self.lines.iter().enumerate();
        let mut ranked: Vec<(usize, usize)> =
            ranked.filter_map(|(i, line)| Some((distance(line, &self.filter)?, i))).collect();
        ranked.sort_unstable();
        self.fitting = ranked.into_iter().map(|(_, i)| i).collect();
        self.at = 0;
    }

    /// Draws the whole screen of `rows` lines, and leaves the cursor after the filter.
    ///
    /// Lines may be wider than the screen, which then cuts them off.
    fn draw(&mut self, rows: usize) -> String {
        let helps = rows >= 4;
        self.page = rows.saturating_sub(if helps { 2 } else { 1 }).max(1);
        let mut text =
            format!("\x1b[H{}{}\x1b7\x1b[K", self.labels.filter, escape::line(&self.filter));
        let first = self.at / self.page * self.page;
        let shown = self.fitting.iter().enumerate().skip(first).take(self.page);
        for (i, line) in shown.take(rows.saturating_sub(1)) {
            let mark = if i == self.at { "> " } else { "  " };
            let line = self.lines.get(*line).map_or("", String::as_str);
            let _ = write!(text, "\r\n{mark}{}\x1b[K", escape::line(line)); // Writing to a String cannot fail.
        }
        if helps {
            let (fitting, all) = (self.fitting.len(), self.lines.len());
            let _ = write!(text, "\r\n{fitting} of {all}: {}\x1b[K", self.labels.help); // The same.
        }
        text + "\x1b[J\x1b8"
    }
}

/// Returns how many other characters are between the letters of the words of `filter` in `line`: 0
/// if it contains each word as it is, `None` if the letters of a word are not there in this order.
/// Ignores case.
fn distance(line: &str, filter: &str) -> Option<usize> {
    let line: Vec<char> = line.to_lowercase().chars().collect();
    let words = filter.split_whitespace().map(|word| {
        let word: Vec<char> = word.to_lowercase().chars().collect();
        let spans = (0..line.len()).filter_map(|start| span(line.get(start..)?, &word));
        spans.min().map(|span| span - word.len())
    });
    words.sum()
}

/// Returns how many characters of `line`, counted from its first, are needed to contain those of
/// `word` in order.
fn span(line: &[char], word: &[char]) -> Option<usize> {
    if line.first() != word.first() {
        return None;
    }
    let mut at = 0;
    for wanted in word {
        at += line.get(at..)?.iter().position(|one| one == wanted)? + 1;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: Labels = Labels { filter: "Edit: ", help: "Enter edits" };

    fn menu() -> Menu {
        Menu::new(
            ["secrets/wifi.age", "secrets/web/mail.age", "secrets/WebFile.age"]
                .map(str::to_owned)
                .into(),
            LABELS,
        )
    }

    fn typed(text: &str) -> Menu {
        let mut menu = menu();
        for character in text.chars() {
            assert_eq!(menu.press(Key::Char(character)), Step::Shown);
        }
        menu
    }

    #[test]
    fn typed_letters_choose_the_closest_line_first() {
        assert_eq!(typed("").fitting, [0, 1, 2]);
        assert_eq!(typed("wfi").fitting, [0, 2]);
        assert_eq!(typed("web").fitting, [1, 2]);
        assert_eq!(typed("ma we").fitting, [1]);
        assert_eq!(typed("wifix").fitting, [0; 0]);
        assert_eq!(typed("wifix").press(Key::Enter), Step::Shown);
        assert_eq!(typed("webf").press(Key::Enter), Step::Picked(2));
    }

    #[test]
    fn the_filter_can_be_erased() {
        let mut menu = typed("mail wifi");
        menu.press(Key::EraseWord);
        assert_eq!((menu.filter.as_str(), &menu.fitting[..]), ("mail ", &[1][..]));
        menu.press(Key::Erase);
        assert_eq!(menu.filter, "mail");
        menu.press(Key::EraseAll);
        assert_eq!(menu.fitting, [0, 1, 2]);
    }

    #[test]
    fn moving_stops_at_both_ends() {
        let mut menu = menu();
        let _ = menu.draw(3);
        for (key, at) in
            [(Key::Up, 0), (Key::Down, 1), (Key::PageDown, 2), (Key::Down, 2), (Key::PageUp, 0)]
        {
            menu.press(key);
            assert_eq!(menu.at, at);
        }
    }

    #[test]
    fn a_page_is_what_fits_on_the_screen() {
        let mut menu = Menu::new((0..9).map(|i| format!("line {i}")).collect(), LABELS);
        let _ = menu.draw(3);
        for (key, at, first) in [
            (Key::PageDown, 2, 2),
            (Key::Down, 3, 2),
            (Key::PageDown, 5, 4),
            (Key::PageDown, 7, 6),
            (Key::PageDown, 8, 8),
            (Key::PageUp, 6, 6),
        ] {
            menu.press(key);
            let shown = menu.draw(3);
            assert_eq!(menu.at, at);
            assert!(shown.contains(&format!("\r\n> line {at}\x1b[K")), "{shown:?}");
            assert_eq!(shown.find(&format!("line {first}")), shown.find("line"), "{shown:?}");
        }
    }

    #[test]
    fn distance_counts_what_is_between_the_letters() {
        assert_eq!(distance("secrets/WiFi.age", "wifi"), Some(0));
        assert_eq!(distance("wi-f-i w i f i", "wifi"), Some(2));
        assert_eq!(distance("wi-fi m.ail", "MAIL wifi"), Some(2));
        assert_eq!(distance("wifi", "wifi fiw"), None);
    }

    #[test]
    fn a_screen_of_any_height_is_never_overfull() {
        for rows in 0..6 {
            let mut menu = menu();
            menu.press(Key::Down);
            let shown = menu.draw(rows);
            assert!(shown.matches("\r\n").count() < rows.max(1), "{rows}: {shown:?}");
            assert_eq!(shown.contains("> secrets/web/mail.age"), rows >= 2, "{rows}");
            assert_eq!(shown.contains(LABELS.help), rows >= 4);
        }
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        let shown = Menu::new(vec!["a\x1b[2Jb\r\n".to_owned()], LABELS).draw(24);
        assert!(shown.contains("> a\\u{1b}[2Jb\\r\\n\x1b[K"), "{shown:?}");
    }
}
