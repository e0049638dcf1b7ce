//! a host + a series of profiles → one switch to each, and what is expected of each.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{Boot, Scenario};

/// One switch of a host: what the profile becomes, and what is expected then.
struct Step {
    name: &'static str,
    /// Names of the consumers that are restarted, sorted.
    restarted: &'static [&'static str],
    /// What else is true then.
    pub files: BTreeMap<String, String>,
    /// Exit status of the stand-in for switch-to-configuration.
    status: i32,
}

/// Walks a host through a series of profiles.
pub struct Walk {
    /// The host.
    pub host: Scenario,
    /// The profile of the last step.
    pub profile: Value,
    /// What the last step's files hold.
    pub files: BTreeMap<String, String>,
    steps: Vec<Step>,
}

impl Walk {
    /// Starts at `host` as it boots, with these texts in its files.
    pub fn new(mut host: Scenario, files: BTreeMap<String, String>) -> Self {
        let profile = host.profile().clone();
        Self { host, profile, files, steps: Vec::new() }
    }

    /// Adds a step from the profile and files as they are now.
    pub fn step(&mut self, name: &'static str, restarted: &'static [&'static str], status: i32) {
        self.host.next(name, &self.profile);
        self.steps.push(Step { name, restarted, files: self.files.clone(), status });
    }

    /// Gives a secret a new ciphertext, of this plaintext.
    pub fn cipher(&mut self, id: &str, version: &str, plaintext: &str) {
        self.profile["secrets"][id]["cipher"] =
            self.host.store(&format!("{id}-{version}"), plaintext).into();
    }

    /// Expects this text in a file.
    pub fn expect(&mut self, name: &str, text: &str) {
        self.files.insert(name.to_owned(), text.to_owned());
    }

    /// Returns the script that switches to all of them in turn, each after a preview, which must not touch anything.
    pub fn script(&self) -> String {
        let step = |step: &Step| {
            let name = step.name;
            format!(
                "tree >/out/{name}.before
                note {name}.preview vaultix-decrypt switch --dry-run --profile /next/{name}/profile.json
                tree >/out/{name}.after
                switch {name}\n"
            )
        };
        let tree = "tree() { find /run/vaultix* /run/vaultix.private/ramfs /var/lib/vaultix /etc \\
                    -printf '%p %y %m %U %G %i %C@ %l\\n' 2>&1; }\n";
        std::iter::once(tree.to_owned()).chain(self.steps.iter().map(step)).collect()
    }

    /// Checks every step: files, restarts, exit status, one generation left.
    pub fn check(&self, boot: &Boot) {
        let mut before = "boot";
        for step in &self.steps {
            let name = step.name;
            let said = boot.text(&format!("{name}.switch"));
            assert_eq!(boot.status(&format!("{name}.switch")), step.status, "{name}: {said}");
            let found = boot.text(&format!("{name}.texts"));
            let found: BTreeMap<String, String> = found
                .lines()
                .map(|line| line.trim_start_matches("/run/vaultix/").split_once(':').unwrap())
                .map(|(file, text)| (file.to_owned(), text.to_owned()))
                .collect();
            pretty_assertions::assert_eq!(found, step.files, "{name}");
            assert_eq!(restarted(boot, before, name), step.restarted, "{name}");
            let (tree, same) = (format!("{name}.before"), format!("{name}.after"));
            pretty_assertions::assert_eq!(boot.text(&tree), boot.text(&same), "{name}");
            let fails = i32::from(step.status != 0);
            let preview = boot.text(&format!("{name}.preview"));
            assert_eq!(boot.status(&format!("{name}.preview")), fails, "{name}: {preview}");
            // Units that do not run are named as well; here it is one.
            let mut told = told(&preview);
            told.retain(|name| name != "stopped");
            assert_eq!(told, step.restarted, "{name}: {preview}");
            let generations = boot.text(&format!("{name}.generations"));
            assert_eq!(generations.lines().count(), 1, "{name}: {generations}");
            before = name;
        }
    }
}

/// Returns the names of the consumers that another run has taken over between two snapshots.
pub fn restarted(boot: &Boot, from: &str, to: &str) -> Vec<String> {
    let (before, after) = (boot.units(from), boot.units(to));
    let name = |unit: &String| unit.strip_prefix("c-").unwrap().replace(".service", "");
    before
        .iter()
        .filter(|(unit, _)| unit.starts_with("c-"))
        .filter(|(unit, was)| was["InvocationID"] != after[*unit]["InvocationID"])
        .map(|(unit, _)| name(unit))
        .collect()
}

/// Returns the names of the consumers that would be restarted according to `preview`, sorted.
fn told(preview: &str) -> Vec<String> {
    let line = preview.lines().find_map(|line| line.strip_prefix("would restart, if running: "));
    let name = |unit: &str| Some(unit.strip_prefix("c-")?.replace(".service", ""));
    line.unwrap_or_default().split(", ").filter_map(name).collect()
}
