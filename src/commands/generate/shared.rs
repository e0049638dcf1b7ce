//! plan + profiles → a warning for each new secret that several hosts share.
//!
//! With agenix-rekey, each host gets a value of its own from the same declaration. Here, one file is one value.

use std::collections::BTreeSet;

use vaultix_generator::profile::Profile;

use super::plan::{Place, Plan};
use crate::report::Report;

/// How many hosts are named.
const MAX_NAMED: usize = 4;

/// Warns once for each secret of `plan` that is new, and declared by several hosts.
pub(super) fn warn(plan: &Plan, profiles: &[Profile], report: &Report) {
    for recipe in plan.make.iter().filter(|recipe| !plan.replaced.contains(&recipe.place)) {
        let hosts = hosts(&recipe.place, profiles);
        if hosts.len() > 1 {
            report.warning(format_args!(
                "{} is one value for {}; for a value for each host, set on all of them: \
                 vaultix.settings.defaultSecretDirectory = \
                 \"./secrets/generated/${{config.networking.hostName}}\";",
                recipe.place,
                listed(&hosts)
            ));
        }
    }
}

/// Says which other hosts than `asked` get new values.
pub(super) fn tell_of_others(plan: &Plan, profiles: &[Profile], asked: &[String], report: &Report) {
    if asked.is_empty() {
        return;
    }
    for place in &plan.replaced {
        let mut others = hosts(place, profiles);
        others.retain(|host| !asked.iter().any(|one| one == host));
        if !others.is_empty() {
            report.warning(format_args!("{place} is also for {}", listed(&others)));
        }
    }
}

/// Returns the hosts that declare the secret at `place`.
fn hosts<'a>(place: &Place, profiles: &'a [Profile]) -> BTreeSet<&'a str> {
    let declares = |profile: &&Profile| {
        profile.secrets.values().flatten().any(|secret| Place::of(secret) == *place)
    };
    let names = profiles.iter().filter(declares);
    names.map(|profile| profile.settings.host_identifier.as_str()).collect()
}

/// Names the first few of `hosts`.
fn listed(hosts: &BTreeSet<&str>) -> String {
    let mut names: Vec<String> = hosts.iter().take(MAX_NAMED).map(ToString::to_string).collect();
    if let more @ 1.. = hosts.len() - names.len() {
        names.push(format!("{more} more"));
    }
    match names.as_slice() {
        [start @ .., last] if !start.is_empty() => {
            format!("the hosts {} and {last}", start.join(", "))
        }
        [host] => format!("the host {host}"),
        names => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_hosts_are_named() {
        assert_eq!(listed(&["a", "b"].into()), "the hosts a and b");
        let many = ["a", "b", "c", "d", "e", "f"].into();
        assert_eq!(listed(&many), "the hosts a, b, c, d and 2 more");
    }
}
