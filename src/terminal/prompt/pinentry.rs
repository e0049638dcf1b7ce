//! question → what is typed into a pinentry.
//!
//! Protocol: <https://www.gnupg.org/documentation/manuals/assuan/>; commands: the manual of pinentry.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use zeroize::Zeroizing;

use super::saved::SavedTerminal;
use super::{Answer, Kind, Question};
use crate::system::interrupt::Interrupt;
use crate::system::process::Process;

/// The error code if the user cancels, from gpg-error.h: the low 16 bits.
const CANCELED: u32 = 99;

/// The error code if the user says no, also from gpg-error.h.
const NOT_CONFIRMED: u32 = 114;

/// Longest line, and longest answer, that a pinentry may send, in bytes.
const MAX_REPLY: u64 = 1 << 16;

/// How long a pinentry may take to restore the terminal after it was asked to end, in nanoseconds
/// (0.3 s).
const LEAVE_NANOS: i64 = 300_000_000;

/// Asks through the program `path`; `None` if the user does not answer, or chooses no.
///
/// # Errors
///
/// When the program does not start, or does not follow the protocol.
pub(super) fn ask(
    path: &Path,
    question: &Question,
    kind: Kind,
    interrupt: &Interrupt,
) -> io::Result<Option<Answer>> {
    let mut session = Session::start(path, interrupt)?;
    session.set("SETTITLE", "vaultix")?;
    if let Kind::Choice(yes, no) = kind {
        session.set("SETDESC", question.what)?;
        session.set("SETOK", yes)?;
        if let Some(no) = no {
            session.set("SETCANCEL", no)?;
            return session.ask("CONFIRM");
        }
        return session.ask("MESSAGE");
    }
    session.set("SETDESC", &format!("{} ({})", question.what, question.purpose))?;
    session.set("SETPROMPT", "Answer:")?;
    if let Some(complaint) = question.complaint {
        session.set("SETERROR", complaint)?;
    }
    Ok(session.ask("GETPIN")?.filter(|answer| !answer.is_empty()))
}

struct Session<'a> {
    child: Child,
    /// Where commands go.
    commands: ChildStdin,
    /// Where replies come from. Its buffer contains what was typed; the allocator wipes it.
    replies: BufReader<ChildStdout>,
    interrupt: &'a Interrupt,
    /// The terminal that it may draw on, restored once the program has ended.
    _terminal: Option<SavedTerminal>,
}

impl<'a> Session<'a> {
    /// Starts the program, and tells it which terminal to use if it has no display.
    fn start(path: &Path, interrupt: &'a Interrupt) -> io::Result<Self> {
        let terminal = terminal_name();
        let before = terminal.as_deref().and_then(SavedTerminal::read);
        let mut child = Command::new(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        let commands = child.stdin.take().ok_or_else(missing)?;
        let replies = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        let mut session = Self { child, commands, replies, interrupt, _terminal: before };
        session.reply()?; // Its greeting.
        for (option, value) in [
            ("ttyname", terminal),
            ("ttytype", env::var("TERM").ok()),
            ("lc-ctype", env::var("LC_CTYPE").or_else(|_| env::var("LANG")).ok()),
        ] {
            if let Some(value) = value {
                // A pinentry that does not know an option works without it.
                let _ = session.command(&format!("OPTION {option}={value}"));
            }
        }
        Ok(session)
    }

    /// Sends a command with a text, which may contain any characters.
    fn set(&mut self, command: &str, text: &str) -> io::Result<()> {
        self.command(&format!("{command} {}", escape(text))).map(drop)
    }

    /// Sends a command that the user answers; `None` if they do not want to.
    fn ask(&mut self, command: &str) -> io::Result<Option<Answer>> {
        match self.command(command)? {
            Reply::Ok(answer) => Ok(Some(answer)),
            Reply::No => Ok(None),
        }
    }

    /// Sends a command, and waits for the reply.
    fn command(&mut self, command: &str) -> io::Result<Reply> {
        writeln!(self.commands, "{command}")?;
        self.commands.flush()?;
        self.reply()
    }

    /// Waits a moment for the program to end by itself; returns whether it did.
    fn leaves(&self) -> bool {
        let Ok(process) = Process::of(&self.child) else { return false };
        let moment = Timespec { tv_sec: 0, tv_nsec: LEAVE_NANOS };
        loop {
            match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&moment)) {
                Err(Errno::INTR) => {}
                ready => return ready.is_ok_and(|ready| ready > 0),
            }
        }
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let mut answer = Answer::default();
        loop {
            if self.replies.buffer().is_empty() {
                let readable = self.interrupt.wait(self.replies.get_ref().as_fd())?;
                if !readable {
                    return Err(io::ErrorKind::Interrupted.into());
                }
            }
            let mut line = Zeroizing::new(Vec::with_capacity(1024));
            let mut replies = (&mut self.replies).take(MAX_REPLY);
            if replies.read_until(b'\n', &mut line)? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it ended without a reply",
                ));
            }
            let text = str::from_utf8(line.trim_ascii_end()).map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidData, "its reply is not UTF-8")
            })?;
            let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
            match word {
                "OK" => return Ok(Reply::Ok(answer)),
                "D" if answer.len() as u64 > MAX_REPLY => {
                    return Err(io::Error::new(
                        io::ErrorKind::FileTooLarge,
                        "its reply is too long",
                    ));
                }
                "D" => *answer += &unescape(rest)?,
                "ERR" => return refusal(rest),
                _ => {} // Status and comment lines.
            }
        }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // It may have ended before any of these steps.
        let _ = writeln!(self.commands, "BYE");
        if !self.leaves() {
            let _ = rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM);
            if !self.leaves() {
                let _ = self.child.kill(); // One that hangs must not block us.
            }
        }
        let _ = self.child.wait();
    }
}

/// A reply from pinentry.
enum Reply {
    /// What the user typed; empty for a command without an answer.
    Ok(Answer),
    /// The user cancelled.
    No,
}

/// Reads what comes after `ERR`: a number and a text.
fn refusal(text: &str) -> io::Result<Reply> {
    let (number, words) = text.split_once(' ').unwrap_or((text, "no reason given"));
    match number.parse::<u32>().map(|number| number & 0xffff) {
        Ok(CANCELED | NOT_CONFIRMED) => Ok(Reply::No),
        _ => Err(io::Error::other(words.to_owned())),
    }
}

/// Returns the path of the terminal, so that a pinentry without a display knows where the user is.
fn terminal_name() -> Option<String> {
    let given = env::var("GPG_TTY").ok().filter(|name| !name.is_empty());
    given.or_else(|| {
        let name = rustix::termios::ttyname(io::stdin(), Vec::new())
            .or_else(|_| rustix::termios::ttyname(io::stderr(), Vec::new()));
        name.ok()?.into_string().ok()
    })
}

/// Writes `text` so that it stays on one line.
fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\n', "%0A").replace('\r', "%0D")
}

/// Replaces each `%XX` with the byte that it stands for.
fn unescape(text: &str) -> io::Result<Answer> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "its reply is malformed");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                let value = digit().zip(digit()).map(|(high, low)| high * 16 + low);
                value.and_then(|value| u8::try_from(value).ok()).ok_or_else(broken)?
            }
            byte => byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).map(Zeroizing::new).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(escape("100 %\nsure"), "100 %25%0Asure");
    }

    #[test]
    fn bytes_come_back() {
        assert_eq!(*unescape("a%25b%0a%C3%A9").unwrap(), "a%b\né");
        assert!(unescape("%2").is_err());
        assert!(unescape("%zz").is_err());
    }

    #[test]
    fn the_source_of_an_error_does_not_matter() {
        assert!(matches!(refusal("83886179 Operation cancelled <Pinentry>"), Ok(Reply::No)));
        assert!(matches!(refusal("99"), Ok(Reply::No)));
        assert!(refusal("83918950 Inappropriate ioctl").is_err());
    }
}
