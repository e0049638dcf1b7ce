//! an identity → the same, sealed by systemd-creds, and back. Only in memory: through pipes.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};
use vaultix_generator::profile::CREDENTIAL_NAME;
use zeroize::Zeroizing;

use crate::bounded;

/// How much of what the program says is shown, in bytes (4 KiB).
const MAX_SAID: u64 = 4 << 10;

/// What seals an identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Key {
    /// What systemd-creds chooses: the TPM and the key of the host, or what there is of them.
    #[default]
    Auto,
    /// The key of the host, a file that belongs to systemd.
    Host,
    /// The TPM.
    Tpm2,
    /// Both: one alone unseals nothing.
    Both,
}

impl Key {
    /// Returns it by the name that systemd-creds gives it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Auto, Self::Host, Self::Tpm2, Self::Both].into_iter().find(|key| key.name() == name)
    }

    /// Returns the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Host => "host",
            Self::Tpm2 => "tpm2",
            Self::Both => "host+tpm2",
        }
    }

    /// Returns whether the TPM takes part in any case.
    #[must_use]
    pub fn has_tpm(self) -> bool {
        matches!(self, Self::Tpm2 | Self::Both)
    }
}

/// The program `systemd-creds`.
#[derive(Clone, Debug)]
pub struct Creds(PathBuf);

impl Creds {
    /// Returns the one that belongs to `systemctl`.
    #[must_use]
    pub fn beside(systemctl: &Path) -> Self {
        Self(systemctl.with_file_name("systemd-creds"))
    }

    /// Seals `text` with `key`, and with the TPM only as long as it measures the same in the registers `pcrs`.
    ///
    /// # Errors
    ///
    /// What the program says.
    pub fn seal(&self, text: &[u8], key: Key, pcrs: Option<&str>) -> Result<Vec<u8>, String> {
        let key = format!("--with-key={}", key.name());
        let pcrs = pcrs.map(|pcrs| format!("--tpm2-pcrs={pcrs}"));
        let args = [Some(&*key), pcrs.as_deref()];
        self.run("encrypt", args.into_iter().flatten(), text).map(|mut it| std::mem::take(&mut *it))
    }

    /// Unseals what [`Creds::seal`] has sealed.
    ///
    /// # Errors
    ///
    /// What the program says.
    pub fn unseal(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
        self.run("decrypt", std::iter::empty(), sealed)
    }

    fn run<'a>(
        &self,
        verb: &str,
        args: impl Iterator<Item = &'a str>,
        input: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, String> {
        let program = self.0.display();
        let cannot = |error: io::Error| format!("cannot run {program}: {error}");
        let mut said = memory().map_err(cannot)?;
        let mut child = Command::new(&self.0)
            .arg(verb)
            .arg(format!("--name={CREDENTIAL_NAME}"))
            .args(args)
            .args(["-", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(said.try_clone().map_err(cannot)?)
            .spawn()
            .map_err(cannot)?;
        // It reads everything before it answers. If it ends before that, its status says so.
        let _ = child.stdin.take().map(|mut pipe| pipe.write_all(input));
        // What is unsealed is shorter than what was sealed: the vector never grows, which would leave copies behind.
        let mut answer = Zeroizing::new(Vec::with_capacity(input.len().saturating_add(1)));
        let read = child.stdout.take().map_or(Ok(0), |pipe| {
            // The pipe is closed at the limit, and it cannot write the rest.
            pipe.take(bounded::MAX_IDENTITY + 1).read_to_end(&mut answer)
        });
        let status = child.wait().map_err(cannot)?;
        read.map_err(cannot)?;
        if status.success() && answer.len() as u64 <= bounded::MAX_IDENTITY {
            return Ok(answer);
        }
        let mut text = Vec::new();
        // Without it, the status has to do.
        let _ = said.rewind().and_then(|()| said.take(MAX_SAID).read_to_end(&mut text));
        let said = String::from_utf8_lossy(&text);
        let said = said.trim().replace('\n', "; ");
        Err(format!("{program} {verb} failed ({status}): {said}"))
    }
}

/// Returns a file in memory. A pipe that nobody reads yet could be full, and the program would wait.
fn memory() -> io::Result<File> {
    Ok(memfd_create("said", MemfdFlags::CLOEXEC)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_an_end_is_refused() {
        let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/endless/systemctl");
        let why = Creds::beside(Path::new(beside)).unseal(b"sealed").unwrap_err();
        assert!(why.contains("decrypt failed (signal: 13 (SIGPIPE)): says; says"), "{why}");
        assert!(why.len() < 10_000, "{} bytes", why.len());
    }
}
