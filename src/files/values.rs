//! structured file + what the user says of it → its format and key; and the errors that name them.

use std::fmt::Display;
use std::path::Path;

use vaultix_generator::escape;

use crate::error::{Error, Result, Status};
use crate::structured::{Format, Pointer};
use crate::system::origin;

/// Returns the format of the file `path`: the one called `named`, or else that of its name.
///
/// # Errors
///
/// When there is no such format, or its name has none.
pub fn format(path: &Path, named: Option<&str>) -> Result<Format> {
    let all = || Format::NAMES.map(|(name, _)| name).join(", ");
    let what =
        || Error::new(Status::Usage, format!("cannot find values in {}", origin::shown(path)));
    match named {
        Some(name) => Format::parse(name)
            .ok_or_else(|| what().because(format!("the format \"{name}\" is none of {}", all()))),
        None => Format::of_file(path).ok_or_else(|| {
            what()
                .because("its name does not end with a format and .age, such as .yaml.age")
                .fix(format!("pass --format, one of {}", all()))
        }),
    }
}

/// Returns the pointer that the user has written as `key`.
///
/// # Errors
///
/// When it is none.
pub fn pointer(key: &str) -> Result<Pointer> {
    Pointer::from_user(key).map_err(|reason| {
        Error::new(Status::Usage, format!("cannot use the key \"{key}\"")).because(reason)
    })
}

/// Returns the error for the file `path`, which cannot be read as `format`, for this reason.
pub fn cannot_parse(path: &Path, format: Format, reason: impl Display) -> Error {
    let shown = origin::shown(path);
    Error::new(Status::DataErr, format!("cannot read {shown} as {format}"))
        .because(reason)
        .fix(format!("vaultix edit {}", escape::shell_path(shown)))
}
