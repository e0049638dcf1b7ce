//! A terminal's settings, restored after another program has used it.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::system::undo::Undo;

/// A terminal's settings, restored when this is dropped.
pub(super) struct SavedTerminal(#[expect(dead_code, reason = "kept until then")] Undo);

impl SavedTerminal {
    /// Saves the settings of the terminal `name`; `None` if there is no such terminal.
    pub(super) fn read(name: &str) -> Option<Self> {
        let flags = OFlags::NOCTTY.bits().cast_signed();
        let terminal =
            File::options().read(true).write(true).custom_flags(flags).open(name).ok()?;
        let before = tcgetattr(&terminal).ok()?;
        Some(Self(Undo::with(move || restore(&terminal, &before))))
    }
}

/// Restores the settings `before` of `terminal`. Does nothing if they are unchanged: a background
/// process may not set them.
fn restore(terminal: &File, before: &Termios) {
    let is_as_before = tcgetattr(terminal).is_ok_and(|now| {
        now.input_modes == before.input_modes
            && now.output_modes == before.output_modes
            && now.local_modes == before.local_modes
    });
    if !is_as_before {
        // Discards what was typed so far, so that no other program reads it. If the terminal is
        // gone, there is nothing to restore.
        let _ = tcsetattr(terminal, OptionalActions::Flush, before);
    }
}
