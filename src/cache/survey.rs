//! profiles + cache → what the hosts need, what is to be done for it, and what cannot be told. Needs no key.

use std::path::Path;

use vaultix_generator::profile::Profile;

use crate::cache::need::{Faults, Need};
use crate::cache::plan::{Plan, plan};
use crate::cache::store;
use crate::cli::Renc;
use crate::error::Result;
use crate::report;

/// How things are.
pub struct Survey {
    /// What the hosts need.
    pub need: Need,
    /// What is to be done.
    pub plan: Plan,
    /// What cannot be told.
    pub faults: Faults,
}

impl Survey {
    /// Looks at the hosts of `profiles`, as far as `args` ask for them, and at their copies in the directory `cache`.
    ///
    /// # Errors
    ///
    /// When the cache cannot be read. What is wrong with single secrets or hosts stands in [`Survey::faults`].
    pub fn of(profiles: &[Profile], args: &Renc, cache: &Path) -> Result<Self> {
        let mut faults = Faults::default();
        let need = Need::of(profiles, args, &mut faults);
        let listing = store::list(cache, need.hosts.keys().map(String::as_str))?;
        let mut plan = plan(&need.wanted, &listing, &need.settled);
        faults.errors.extend(store::spare(cache, &mut plan)?);
        report::detail(format_args!(
            "read {} sources for {} hosts, and listed {}: {} copies up to date, {} missing, {} stale",
            need.digests.len(),
            need.hosts.len(),
            cache.display(),
            plan.up_to_date,
            plan.encrypt.values().map(Vec::len).sum::<usize>(),
            plan.stale.len()
        ));
        Ok(Self { need, plan, faults })
    }
}
