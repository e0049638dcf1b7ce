//! profiles + when files last changed → secrets that should have been replaced by now.

use vaultix_generator::escape;
use vaultix_generator::profile::Profile;

use crate::error::{Error, Status};
use crate::flake::rotation::{self, Age};
use crate::system::origin;

/// Returns what is older than its `rotate` allows, each file or value once.
pub(super) fn due(profiles: &[Profile]) -> Vec<Error> {
    rotation::ages(profiles).values().filter(|age| age.is_over()).map(error).collect()
}

fn error(age: &Age) -> Error {
    let Age { days, allowed, secret } = age;
    let shown = origin::shown(&secret.ciphertext);
    let what = match &secret.key {
        Some(key) => format!("{} in {shown}", key.pointer),
        None => shown.clone(),
    };
    let fix = match (&secret.generator, &secret.key) {
        (Some(_), _) => {
            format!(
                "vaultix generate --renew --secret {} && vaultix renc",
                escape::shell(&secret.id)
            )
        }
        (None, Some(key)) => format!(
            "vaultix set {} {} && vaultix renc",
            escape::shell_path(&shown),
            escape::shell(&key.pointer)
        ),
        (None, None) => format!("vaultix edit {} && vaultix renc", escape::shell_path(&shown)),
    };
    Error::new(Status::SomeFailed, format!("cannot keep {what} any longer"))
        .because(format!(
            "its file was last changed or rekeyed {days} days ago, and rotate of \"{}\" is {allowed} days",
            secret.id
        ))
        .fix(fix)
}
