//! scheme → where its password store is, if nobody says otherwise.

use std::env;
use std::path::PathBuf;

use crate::cli::Scheme;

/// Returns where the store of `scheme` is, if nobody says otherwise; `None` for one that has no such place.
pub fn store(scheme: Scheme) -> Option<PathBuf> {
    let below = |variable: &str, rest: &str| Some(PathBuf::from(env::var_os(variable)?).join(rest));
    match scheme {
        Scheme::Pass => {
            below("PASSWORD_STORE_DIR", "").or_else(|| below("HOME", ".password-store"))
        }
        Scheme::Gopass => {
            let rest = "gopass/stores/root";
            below("XDG_DATA_HOME", rest).or_else(|| below("HOME", &format!(".local/share/{rest}")))
        }
        Scheme::Agenix | Scheme::AgenixRekey | Scheme::Sops => None,
    }
}
