//! the command line of an editor → options that keep it from leaving copies of the text elsewhere.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// A family of editors that understand the same options.
struct Family {
    /// The names of their programs, and how a name has to match.
    names: &'static [(&'static str, Match)],
    /// Put before the file name. `DIR` stands for the directory in memory.
    options: &'static [&'static str],
    /// Whether it was tried, or its manual read.
    evidence: Evidence,
}

/// How it is known what an editor keeps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Evidence {
    Tried,
    Manual,
}

/// What the editor on a line is given.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Known {
    /// Put before the file.
    pub(super) options: Vec<String>,
    /// Whether that editor was tried with them, and kept nothing.
    pub(super) is_tried: bool,
}

/// How a name has to match.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    /// The whole name.
    Whole,
    /// The beginning of the name: a version or variant may follow.
    Beginning,
}

use Evidence::{Manual, Tried};
use Match::{Beginning, Whole};

/// Turns off the copies that Emacs and its common packages keep. savehist can save the kill ring,
/// which contains text that was cut.
const EMACS: &str = "(progn (setq make-backup-files nil auto-save-default nil create-lockfiles nil \
    auto-save-list-file-prefix nil undo-tree-auto-save-history nil) \
    (dolist (mode '(savehist-mode desktop-save-mode save-place-mode recentf-mode global-undo-tree-mode \
    undohist-mode persistent-scratch-autosave-mode session-mode super-save-mode)) \
    (when (and (boundp mode) (symbol-value mode) (fboundp mode)) (funcall mode -1))) \
    (dolist (save '(savehist-autosave desktop-kill recentf-save-list save-place-kill-emacs-hook \
    session-save-session)) (remove-hook 'kill-emacs-hook save)))";

/// The editors that are known; see "Editors" in vaultix(1).
const FAMILIES: &[Family] = &[
    Family {
        names: &[("vim", Beginning), ("nvim", Beginning), ("gvim", Beginning)],
        options: &["-n", "-i", "NONE", "-c", "set nobackup nowritebackup noundofile"],
        evidence: Tried,
    },
    Family { names: &[("emacs", Beginning)], options: &["--eval", EMACS], evidence: Tried },
    Family {
        names: &[("nano", Whole), ("rnano", Whole)],
        options: &["--restricted"],
        evidence: Tried,
    },
    Family {
        names: &[("micro", Whole)],
        options: &[
            "-backup",
            "false",
            "-permbackup",
            "false",
            "-saveundo",
            "false",
            "-savehistory",
            "false",
            "-savecursor",
            "false",
        ],
        evidence: Tried,
    },
    Family {
        names: &[
            ("joe", Whole),
            ("jmacs", Whole),
            ("jpico", Whole),
            ("jstar", Whole),
            ("rjoe", Whole),
        ],
        options: &["-nobackups", "-nodeadjoe", "--joe_state"],
        evidence: Tried,
    },
    Family { names: &[("mg", Whole)], options: &["-n"], evidence: Tried },
    Family {
        names: &[("code", Whole), ("code-insiders", Whole), ("codium", Whole), ("code-oss", Whole)],
        options: &[
            "--wait",
            "--new-window",
            "--disable-extensions",
            "--user-data-dir",
            "DIR/.code",
        ],
        evidence: Manual,
    },
    // These put their copies next to the file, which is in memory.
    Family {
        names: &[
            ("kak", Whole),
            ("jed", Whole),
            ("vile", Whole),
            ("zile", Whole),
            ("busybox", Whole),
        ],
        options: &[],
        evidence: Tried,
    },
    Family { names: &[("hx", Whole), ("helix", Whole)], options: &[], evidence: Manual },
];

/// Programs that only pass a file to an editor that may already be running with any settings. The
/// words after one of them do not name the editor.
const CLIENTS: &[&str] = &["emacsclient"];

/// Returns the options for the editor that `line` starts, with the file in `directory`; none for
/// an unknown editor.
///
/// Any word may be the editor, as in `env X=1 vim`. `find` resolves a word to a program, following
/// links: `vi` links to one of several editors with different options.
pub(super) fn options(
    line: &OsStr,
    directory: &Path,
    find: impl Fn(&str) -> Option<PathBuf>,
) -> Known {
    let found = family(line, find).zip(directory.to_str());
    found.map_or_else(Known::default, |(family, directory)| Known {
        options: family.options.iter().map(|one| one.replace("DIR", directory)).collect(),
        is_tried: family.evidence == Tried,
    })
}

/// Returns the family of the editor that `line` starts.
fn family(line: &OsStr, find: impl Fn(&str) -> Option<PathBuf>) -> Option<&'static Family> {
    let line = line.to_str()?;
    for word in line.split_ascii_whitespace() {
        let Some(program) = find(word) else { continue };
        let name = program.file_name()?.to_str()?;
        if CLIENTS.iter().any(|client| name.starts_with(client)) {
            return None;
        }
        if let Some(family) = FAMILIES.iter().find(|family| family.has(name)) {
            return Some(family);
        }
    }
    None
}

impl Family {
    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|(one, fit)| match fit {
            Whole => name == *one,
            Beginning => name.starts_with(one),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the options for `line`, with a program in `/bin` for each word.
    fn found(line: &str) -> Known {
        let find = |word: &str| (!word.contains('=')).then(|| PathBuf::from("/bin").join(word));
        options(OsStr::new(line), Path::new("/run/v"), find)
    }

    #[test]
    fn every_word_may_be_the_editor() {
        let vim = found("vim");
        assert!(vim.is_tried && !vim.options.is_empty());
        for line in ["env X=1 vim", "sudo -u me /usr/bin/vim.basic -y", "  nvim", "nice nvim -u x"]
        {
            assert_eq!(found(line), vim, "{line}");
        }
        for line in
            ["", "ed", "my-vim", "emacsclient -t -a emacs", "env emacsclient.emacs vim", "nanox"]
        {
            assert_eq!(found(line), Known::default(), "{line}");
        }
        assert_eq!(found("kak"), Known { options: Vec::new(), is_tried: true });
        assert_eq!(found("hx"), Known::default(), "its manual says that it keeps nothing");
    }

    #[test]
    fn an_editor_keeps_its_own_files_in_memory() {
        let code = found("code");
        assert_eq!(code.options.last().unwrap(), "/run/v/.code");
        assert!(!code.is_tried);
    }
}
