//! an identity → the same, sealed by systemd-creds, and back. Only in memory: through pipes.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vaultix_generator::profile::CREDENTIAL_NAME;
use zeroize::Zeroizing;

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
        let cannot = |error| format!("cannot run {program}: {error}");
        let mut child = Command::new(&self.0)
            .arg(verb)
            .arg(format!("--name={CREDENTIAL_NAME}"))
            .args(args)
            .args(["-", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(cannot)?;
        // It reads everything before it answers. If it ends before that, its status says so.
        let _ = child.stdin.take().map(|mut pipe| pipe.write_all(input));
        let output = child.wait_with_output().map_err(cannot)?;
        let answer = Zeroizing::new(output.stdout);
        if output.status.success() {
            return Ok(answer);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().replace('\n', "; ");
        Err(format!("{program} {verb} failed ({}): {said}", output.status))
    }
}
