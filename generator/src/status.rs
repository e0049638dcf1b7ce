//! exit statuses of all three programs, which `systemctl status` shows by name.

/// Exit status of a boot-side program.
///
/// The numbers are those of sysexits.h, which systemd.exec(5), "Process Exit Codes", names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Status {
    /// Some of several items failed; each is named.
    SomeFailed = 1,
    /// The command line is wrong.
    Usage = 64,
    /// A ciphertext is damaged, or a placeholder belongs to no known secret.
    DataErr = 65,
    /// A ciphertext does not exist.
    NoInput = 66,
    /// An owner or group is unknown.
    NoUser = 67,
    /// Internal error: a bug in the program.
    Software = 70,
    /// Something cannot be written.
    CantCreat = 73,
    /// No identity decrypts it, or none can be read.
    NoPerm = 77,
    /// The profile is missing or invalid.
    Config = 78,
}

impl From<Status> for std::process::ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}
