//! a terminal that another program is given → as it was, once this is dropped.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// A terminal, and how it was.
pub(super) struct Restore {
    /// The terminal.
    terminal: File,
    /// How it was.
    before: Termios,
}

impl Restore {
    /// Looks at the terminal `name`; `None` where there is none of this name.
    pub(super) fn of(name: &str) -> Option<Self> {
        let flags = OFlags::NOCTTY.bits().cast_signed();
        let terminal =
            File::options().read(true).write(true).custom_flags(flags).open(name).ok()?;
        let before = tcgetattr(&terminal).ok()?;
        Some(Self { terminal, before })
    }

    /// Returns whether the terminal is as it was. Then it is left alone: one in the background has no say in it.
    fn is_as_before(&self) -> bool {
        tcgetattr(&self.terminal).is_ok_and(|now| {
            now.input_modes == self.before.input_modes
                && now.output_modes == self.before.output_modes
                && now.local_modes == self.before.local_modes
        })
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        if !self.is_as_before() {
            // Nobody else should read what was typed so far. A terminal that is gone has no modes.
            let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
        }
    }
}
