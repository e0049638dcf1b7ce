//! bytes of a fuzzer → choices, names and texts, with odd ones more often than in practice.

/// Bytes that are used up one by one, followed by zeros.
pub struct Draw<'a>(&'a [u8]);

/// What texts are made from: anything with a meaning in systemd, in JSON, in paths or to us.
const PIECES: [&str; 40] = [
    "a",
    "b",
    "Z9",
    "wifi",
    "-",
    "--",
    "_",
    ".",
    "..",
    ":",
    "@",
    "%",
    "%%",
    "%i",
    "$",
    "$$",
    "$HOME",
    "${X}",
    "\\",
    "\\\\",
    "\\x2d",
    "\\n",
    "\"",
    "'",
    " ",
    "\t",
    "\n",
    "\r",
    "\0",
    ";",
    "#",
    "=",
    "[Service]",
    "\nExecStart=/bin/id\n",
    "@ID@",
    "@ORDER@",
    "{{",
    "}}",
    "\u{85}",
    "\u{ffff}",
];

impl<'a> Draw<'a> {
    /// Starts with all of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Returns the next byte.
    pub fn byte(&mut self) -> u8 {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                *first
            }
            [] => 0,
        }
    }

    /// Returns all bytes that are left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Returns a number below `limit`, which is at most 256.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit
    }

    /// Returns true once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        // Not at 0: after the end of the bytes, the usual case is drawn.
        self.below(times) == times - 1
    }

    /// Returns one of `choices`.
    pub fn pick<'b, T>(&mut self, choices: &'b [T]) -> &'b T {
        &choices[self.below(choices.len())]
    }

    /// Returns a text of up to seven pieces.
    pub fn text(&mut self) -> String {
        (0..self.below(8)).map(|_| self.piece()).collect()
    }

    /// Returns one piece of a text: a known one, or any character.
    fn piece(&mut self) -> String {
        if self.one_in(4) {
            let code = u32::from_le_bytes([self.byte(), self.byte(), self.byte() % 0x11, 0]);
            char::from_u32(code).unwrap_or('\u{fffd}').to_string()
        } else {
            (*self.pick(&PIECES)).to_owned()
        }
    }

    /// Returns a name: one component of a path, most of the time.
    pub fn name(&mut self) -> String {
        let text = self.text();
        if self.one_in(16) {
            return text;
        }
        let name: String = text.chars().filter(|one| !matches!(one, '/' | '\0')).collect();
        if matches!(name.as_str(), "" | "." | "..") { "x".to_owned() } else { name }
    }

    /// Returns an absolute path, most of the time.
    pub fn path(&mut self) -> String {
        let root = if self.one_in(32) { "" } else { "/" };
        let names: Vec<String> = (0..=self.below(3)).map(|_| self.name()).collect();
        format!("{root}{}", names.join("/"))
    }
}
