//! stanzas ↔ the lines that a plugin and its client exchange.
//!
//! Format: <https://c2sp.org/age-plugin>, which takes its stanzas from <https://c2sp.org/age>.

use std::io::{self, BufRead, Write};

use age_core::format::Stanza;
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use zeroize::Zeroizing;

/// Columns of a full line in a body. A shorter line, which may be empty, ends the body.
const COLUMNS: usize = 64;

/// Longest line that a plugin may send, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// Longest body that a plugin may send, in bytes of base64.
const MAX_BODY: usize = 1 << 20;

/// The pipes to and from a plugin.
pub(super) struct Connection<R, W> {
    pub(super) input: R,
    pub(super) output: W,
}

impl<R: BufRead, W: Write> Connection<R, W> {
    /// Sends one command, at the latest with the next [`Connection::flush`].
    ///
    /// # Errors
    ///
    /// The system's own.
    pub(super) fn send(&mut self, command: &str, args: &[&str], body: &[u8]) -> io::Result<()> {
        write!(self.output, "-> {command}")?;
        args.iter().try_for_each(|arg| write!(self.output, " {arg}"))?;
        let text = Zeroizing::new(BASE64_STANDARD_NO_PAD.encode(body));
        let mut lines = text.as_bytes().chunks(COLUMNS);
        let mut last = COLUMNS;
        self.output.write_all(b"\n")?;
        for line in &mut lines {
            self.output.write_all(line)?;
            self.output.write_all(b"\n")?;
            last = line.len();
        }
        if text.is_empty() || last == COLUMNS {
            self.output.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Sends what was not sent yet.
    ///
    /// # Errors
    ///
    /// The system's own.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    /// Receives one command, or the reply to one.
    ///
    /// # Errors
    ///
    /// When the plugin ends, or sends something that is not a stanza.
    pub(super) fn receive(&mut self) -> io::Result<Stanza> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "its message is malformed");
        let line = self.line()?;
        let mut words = line.strip_prefix("-> ").ok_or_else(malformed)?.split(' ');
        let tag = words.next().filter(|tag| !tag.is_empty()).ok_or_else(malformed)?.to_owned();
        let args = words.map(str::to_owned).collect();
        let mut text = Zeroizing::new(String::new());
        loop {
            let line = self.line()?;
            *text += &line;
            if text.len() > MAX_BODY {
                return Err(malformed());
            }
            if line.len() < COLUMNS {
                break;
            }
        }
        let body = BASE64_STANDARD_NO_PAD.decode(text.as_bytes()).map_err(|_| malformed())?;
        Ok(Stanza { tag, args, body })
    }

    /// Receives one line, without its newline.
    fn line(&mut self) -> io::Result<Zeroizing<String>> {
        let mut line = Zeroizing::new(String::new());
        let read = io::Read::take(&mut self.input, MAX_LINE).read_line(&mut line)?;
        if read == 0 || line.pop() != Some('\n') {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended too early"));
        }
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a command with `length` bytes, and receives it again.
    fn there_and_back(length: usize) -> Stanza {
        let mut connection = Connection { input: io::empty(), output: Vec::new() };
        connection.send("file-key", &["0", "x"], &vec![7; length]).unwrap();
        Connection { input: &connection.output[..], output: io::sink() }.receive().unwrap()
    }

    #[test]
    fn bodies_of_every_length_arrive() {
        for length in [0, 1, 47, 48, 49, 96, 1000] {
            let stanza = there_and_back(length);
            assert_eq!(stanza.tag, "file-key");
            assert_eq!(stanza.args, ["0", "x"]);
            assert_eq!(stanza.body, vec![7; length]);
        }
    }

    #[test]
    fn the_lines_are_as_specified() {
        let mut connection = Connection { input: io::empty(), output: Vec::new() };
        connection.send("done", &[], &[]).unwrap();
        connection.send("msg", &["a"], &[0; 48]).unwrap();
        let text = String::from_utf8(connection.output).unwrap();
        assert_eq!(text, format!("-> done\n\n-> msg a\n{}\n\n", "A".repeat(64)));
    }

    #[test]
    fn malformed_messages_are_refused() {
        for text in ["", "-> done", "hello\n\n", "-> \n\n", "-> done\n???\n", "-> done\nAA=\n"] {
            let mut connection = Connection { input: text.as_bytes(), output: io::sink() };
            assert!(connection.receive().is_err(), "{text:?}");
        }
    }
}
