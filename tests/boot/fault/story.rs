//! name → what is run before the fault, with it and after it.

use std::path::Path;

/// One run of the helper.
#[derive(Clone, Copy)]
pub struct Step {
    /// The verb and its options.
    verb: &'static [&'static str],
    /// Name of the profile.
    profile: &'static str,
    /// The item, if the verb takes one.
    id: Option<&'static str>,
}

impl Step {
    /// Returns the helper's arguments. The profiles are in `work`.
    pub fn arguments(self, work: &Path) -> Vec<String> {
        let profile = work.join(self.profile).with_extension("json").display().to_string();
        let words = self.verb.iter().copied().chain(["--profile", &profile]);
        let id = self.id.into_iter().flat_map(|id| ["--", id]);
        words.chain(id).map(str::to_owned).collect()
    }
}

/// What happens in one run.
pub struct Story {
    /// Makes what is there before the fault.
    pub before: Vec<Step>,
    /// Meets the fault.
    pub under: Step,
    /// What systemd runs next: the first that fails is the last.
    pub again: Vec<Step>,
}

/// Places a secret.
const fn secret(profile: &'static str, id: &'static str) -> Step {
    Step { verb: &["secret"], profile, id: Some(id) }
}

/// The first phase of a switch.
const fn early(profile: &'static str) -> Step {
    Step { verb: &["switch", "--early"], profile, id: None }
}

/// The second phase of a switch.
const fn normal(profile: &'static str) -> Step {
    Step { verb: &["switch"], profile, id: None }
}

/// Places all early items at boot.
const BOOT_EARLY: Step = Step { verb: &["boot", "--early"], profile: "new", id: None };

/// Places all other items at boot.
const BOOT: Step = Step { verb: &["boot"], profile: "new", id: None };

/// Puts items at their paths at boot.
const PATHS: Step = Step { verb: &["paths"], profile: "new", id: None };

/// Places the template.
const TEMPLATE: Step = Step { verb: &["template"], profile: "new", id: Some("outer") };

/// Returns the story called `what`.
pub fn story(what: &str) -> Story {
    let told = |before: &[Step], under: Step, again: &[Step]| Story {
        before: before.to_vec(),
        under,
        again: again.to_vec(),
    };
    let old = [early("old"), normal("old")];
    // systemd goes on with the second phase, whatever becomes of the first.
    let both = [normal("new"), early("new"), normal("new")];
    match what {
        "boot" => {
            let units = ["added", "keep", "moved", "token"].map(|id| secret("new", id));
            told(&[BOOT_EARLY], BOOT, &[&units[..], &[TEMPLATE]].concat())
        }
        // What stands at paths is written down once their file systems are there, by the last step.
        "boot-early" => {
            let units = ["early", "soon"].map(|id| secret("new", id));
            told(&[], BOOT_EARLY, &[&units[..], &[BOOT, PATHS]].concat())
        }
        "first" => told(&[], secret("new", "token"), &[secret("new", "token")]),
        "secret" => {
            told(&[secret("old", "token")], secret("new", "token"), &[secret("new", "token")])
        }
        "first-early" => told(&[], early("new"), &both),
        "first-switch" => told(&[early("new")], normal("new"), &[early("new"), normal("new")]),
        "early" => told(&old, early("new"), &both),
        "switch" => {
            let before = [&old[..], &[early("new")]].concat();
            told(&before, normal("new"), &[early("new"), normal("new")])
        }
        _ => panic!("there is no story called {what}"),
    }
}
