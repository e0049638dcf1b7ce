//! A terminal's settings, restored once another program has had it.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::system::undo::Undo;

/// A terminal's settings, restored when this is dropped.
pub(super) struct SavedTerminal(#[expect(dead_code, reason = "kept until then")] Undo);

impl SavedTerminal {
    /// Looks at the terminal `name`; `None` where there is none of this name.
    pub(super) fn read(name: &str) -> Option<Self> {
        let flags = OFlags::NOCTTY.bits().cast_signed();
        let terminal =
            File::options().read(true).write(true).custom_flags(flags).open(name).ok()?;
        let before = tcgetattr(&terminal).ok()?;
        Some(Self(Undo::with(move || restore(&terminal, &before))))
    }
}

/// Puts `terminal` back as it was `before`. If it is like that, it is left alone: one in the background has no say in it.
fn restore(terminal: &File, before: &Termios) {
    let is_as_before = tcgetattr(terminal).is_ok_and(|now| {
        now.input_modes == before.input_modes
            && now.output_modes == before.output_modes
            && now.local_modes == before.local_modes
    });
    if !is_as_before {
        // Nobody else should read what was typed so far. A terminal that is gone has no modes.
        let _ = tcsetattr(terminal, OptionalActions::Flush, before);
    }
}
