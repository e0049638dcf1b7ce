//! what an earlier run in the same NixOS switch has written → written again by the next one.
//!
//! `switch-to-configuration` runs our units twice, and shows the lines of the last run of a unit that is failed at the end:
//! the second, which often has nothing to do and nothing to say.

use rustix::fs::{self, Mode};
use vaultix_generator::profile::PRIVATE_DIR;

use crate::failure::{Level, log, written};
use crate::nixos;
use crate::owner::Ownership;
use crate::plaintext::Plaintext;
use crate::replace::{DIRECTORY, read_file, replace_file};
use crate::switch::Phase;

/// What the lines of the other run begin with.
const MARK: &str = "earlier in this switch: ";

/// The lines of earlier runs of a phase.
pub struct Earlier {
    /// Their file, in the directory that only root can access.
    name: &'static str,
    /// The switch of NixOS that this run is a part of.
    switch: String,
    lines: Vec<(Level, String)>,
}

impl Earlier {
    /// Reads what earlier runs of `phase` have written in the switch of NixOS that is running; `None` if none is.
    #[must_use]
    pub fn read(phase: Phase) -> Option<Self> {
        let name = match phase {
            Phase::Early => "written-early",
            Phase::Normal => "written",
        };
        let switch = nixos::running()?;
        let directory = fs::open(PRIVATE_DIR, DIRECTORY, Mode::empty()).ok()?;
        let text = read_file(&directory, name).ok();
        let text = text.as_ref().and_then(|text| str::from_utf8(text.expose()).ok());
        let lines = lines_of(text.unwrap_or_default(), &switch);
        Some(Self { name, switch, lines })
    }

    /// Writes those lines again that this run has not written itself, and keeps all for the next run.
    ///
    /// What cannot be kept is lost: it is in the journal.
    pub fn repeat(mut self) {
        let own = written();
        self.lines.retain(|(_, line)| own.iter().all(|(_, other)| line != other));
        for (level, line) in &self.lines {
            log(*level, &format!("{MARK}{line}"));
        }
        self.lines.extend(own);
        let Ok(directory) = fs::open(PRIVATE_DIR, DIRECTORY, Mode::empty()) else { return };
        let ownership = Ownership { uid: 0, gid: 0, mode: 0o600 };
        let text = Plaintext::new(text_of(&self.switch, &self.lines).into_bytes());
        let _ = replace_file(&directory, ".written", &directory, self.name, &text, ownership);
    }
}

/// Returns the text of the file: the switch, then a line for each line, after the number of its level.
fn text_of(switch: &str, lines: &[(Level, String)]) -> String {
    let mut text = format!("{switch}\n");
    for (level, line) in lines {
        text.extend([level.number(), " ", line, "\n"]);
    }
    text
}

/// Reads the lines from the text of the file; none if it is of another switch.
fn lines_of(text: &str, switch: &str) -> Vec<(Level, String)> {
    let mut lines = text.lines();
    if lines.next() != Some(switch) {
        return Vec::new();
    }
    let read = |line: &str| {
        let (number, line) = line.split_once(' ')?;
        let level = [Level::Error, Level::Warning, Level::Info];
        let level = level.into_iter().find(|level| level.number() == number)?;
        Some((level, line.to_owned()))
    };
    lines.filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    #[test]
    fn lines_are_read_as_they_were_written_and_only_in_the_same_switch() {
        let lines =
            vec![(Level::Error, "cannot a: b".to_owned()), (Level::Info, "1 made".to_owned())];
        let text = text_of("16 22", &lines);
        assert_eq!(lines_of(&text, "16 22"), lines);
        assert_eq!(lines_of(&text, "16 23"), []);
        assert_eq!(lines_of("", "16 22"), []);
        assert_eq!(lines_of("16 22\nnoise\n9 x\n", "16 22"), []);
    }
}
