//! text of an OpenSSH private key → identity of age.

use std::io::{self, BufRead, Read};

/// Parses an OpenSSH private key, with whatever follows it in `text`.
///
/// # Errors
///
/// It is not one, or is truncated.
pub fn parse_ssh(text: &[u8]) -> io::Result<age::ssh::Identity> {
    age::ssh::Identity::from_buffer(AtOnce(text), None)
}

/// A text that is read as if it were one line: after each line, age parses everything read so far
/// again, and decodes each character of base64 separately to check it. That took an eighth of all
/// instructions of the helper.
struct AtOnce<'a>(&'a [u8]);

impl Read for AtOnce<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl BufRead for AtOnce<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }

    fn read_line(&mut self, line: &mut String) -> io::Result<usize> {
        self.0.read_to_string(line)
    }
}
