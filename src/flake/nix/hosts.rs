//! flake → the public keys of its hosts.

use std::collections::BTreeMap;
use std::path::Path;

use super::eval_with;
use crate::report::Report;

/// Takes the keys alone, as profiles have them; none of a host that does not evaluate.
const KEYS: &str = "profiles: builtins.mapAttrs (_: profile: let
    key = builtins.tryEval (toString profile.settings.hostPubkey);
  in if key.success then key.value else \"\") profiles";

/// Asks the flake at `root` for the public keys of its hosts, as far as they have some. Warns where it cannot be asked.
pub fn host_keys(root: &Path, report: &Report) -> Vec<String> {
    match eval_with::<BTreeMap<String, String>>(root, "vaultix.profiles", Some(KEYS)) {
        Ok(keys) => keys.into_values().filter(|key| !key.trim().is_empty()).collect(),
        Err(error) => {
            report.warning(format_args!("the keys of hosts are unknown: {error:#}"));
            Vec::new()
        }
    }
}
