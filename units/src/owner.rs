//! names of users and groups → their numbers, from /etc/passwd and /etc/group.
//!
//! The helper is linked statically, so it cannot use the name service switch. Accounts of a directory service
//! do not exist yet when secrets are placed anyway.

use std::path::Path;

use rustix::process::{getegid, geteuid};
use vaultix_generator::profile::{Placement, USERS};
use vaultix_generator::status::Status;

use crate::bounded;
use crate::failure::Failure;

/// Owner, group and mode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

impl Ownership {
    /// Returns that of the user who runs this program: root, on a host.
    #[must_use]
    pub fn own(mode: u32) -> Self {
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        Self { uid, gid, mode }
    }
}

/// The accounts of this host; each file is read once, when it is first needed.
#[derive(Default)]
pub struct Accounts {
    /// Text of /etc/passwd.
    users: Option<Vec<u8>>,
    /// Text of /etc/group.
    groups: Option<Vec<u8>>,
}

/// Largest size of either file, in bytes (64 MiB): enough for half a million accounts.
const MAX_ACCOUNTS: u64 = 64 << 20;

impl Accounts {
    /// Uses these texts of passwd(5) and group(5) instead.
    #[must_use]
    pub fn of(users: Vec<u8>, groups: Vec<u8>) -> Self {
        Self { users: Some(users), groups: Some(groups) }
    }

    /// Returns the number of the user `name`.
    ///
    /// # Errors
    ///
    /// [`Status::NoUser`] when there is no such user.
    pub fn user(&mut self, name: &str) -> Result<u32, Failure> {
        number("user", name, "/etc/passwd", &mut self.users)
    }

    /// Returns the numbers of the owner and group of `place`, with its mode.
    ///
    /// # Errors
    ///
    /// [`Status::NoUser`] when there is no such user or group.
    pub fn resolve(&mut self, place: &Placement) -> Result<Ownership, Failure> {
        Ok(Ownership {
            uid: self.user(&place.owner)?,
            gid: number("group", &place.group, "/etc/group", &mut self.groups)?,
            mode: place.mode.bits(),
        })
    }
}

/// Returns the number of the account `name`. `kind` is `user` or `group`, `database` the file that
/// lists them.
fn number(
    kind: &str,
    name: &str,
    database: &str,
    text: &mut Option<Vec<u8>>,
) -> Result<u32, Failure> {
    if name == "root" {
        return Ok(0);
    }
    if name.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(number) = name.parse()
    {
        // chown(2) reads this number as "do not change it".
        return if number == u32::MAX { Err(unknown(kind, name, database)) } else { Ok(number) };
    }
    if text.is_none() {
        let mut read = bounded::read(Path::new(database), MAX_ACCOUNTS)
            .map_err(|error| Failure::path(Status::NoUser, "read", database, error))?;
        *text = Some(std::mem::take(&mut *read));
    }
    find(text.as_deref().unwrap_or_default(), name).ok_or_else(|| unknown(kind, name, database))
}

/// Finds the number of `name` in the text of passwd(5) or group(5): in both, the third field.
///
/// The number must be followed by another field, as in both formats: a number at the end of the text may be the
/// start of a longer one that is just being written.
fn find(text: &[u8], name: &str) -> Option<u32> {
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        (fields.next()? == name.as_bytes()).then_some(())?;
        let number = fields.nth(1)?;
        fields.next()?;
        // chown(2) reads the largest number as "do not change it".
        str::from_utf8(number).ok()?.parse().ok().filter(|number| *number != u32::MAX)
    })
}

/// Returns the failure for an account that does not exist.
fn unknown(kind: &str, name: &str, database: &str) -> Failure {
    Failure::new(
        Status::NoUser,
        format!(
            "there is no {kind} \"{name}\" in {database}; declare it, or check that the service that creates \
             users has run: systemctl status {}",
            USERS.join(" ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn the_third_field_of_the_line_with_the_name_counts() {
        let text =
            b"root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:oops:1::\nweb2:x:12:13::/:/bin/sh";
        assert_eq!(find(text, "root"), Some(0));
        assert_eq!(find(text, "web2"), Some(12));
        assert_eq!(find(text, "web"), None, "a number that is none");
        assert_eq!(find(b"all:x:4294967295:0::/:\n", "all"), None, "nobody's number");
        assert_eq!(find(text, "broken"), None, "a line that is too short");
        assert_eq!(find(text, "we"), None, "a part of a name");
        assert_eq!(find(b"", "root"), None);
    }

    #[test]
    fn a_number_that_may_be_cut_off_does_not_count() {
        let whole = b"root:x:0:0::/:\nweb:x:1042:100::/:";
        for end in 0..whole.len() {
            assert!(matches!(find(&whole[..end], "web"), None | Some(1042)), "{end}");
        }
        assert_eq!(find(whole, "web"), Some(1042));
    }

    #[test]
    fn a_later_line_counts_when_the_first_is_broken() {
        assert_eq!(find(b"web:x\nweb:x:7:\n", "web"), Some(7));
    }

    #[test]
    fn the_first_of_two_equal_names_counts_and_a_number_is_itself() {
        assert_eq!(find(b"web:x:7:1::/:\nweb:x:0:0::/:\n", "web"), Some(7));
        let mut users = Some(b"1000:x:0:0::/:\n".to_vec());
        let number = super::number("user", "1000", "/etc/passwd", &mut users);
        assert_eq!(number.ok(), Some(1000));
    }
}
