//! secrets that do not open → those that a rule keeps for others, which are passed over.
//!
//! Nothing is left undone with them: the rule does not name our identity, so others rekey them, and hosts have their copies.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::whole;
use crate::cache::desired::Comparison;
use crate::error::{Error, Exit, Result, Status};
use crate::flake::workspace::Workspace;
use crate::keys::master::{Master, Session};
use crate::keys::recipient::canonical;
use crate::report::{self, Report};
use crate::system::origin;

pub(super) struct Others<'a> {
    workspace: &'a Workspace,
    /// The recipients of our identity.
    own: BTreeSet<String>,
    /// Whether some identity was not tried: it might open what does not.
    is_unsure: bool,
    /// Secrets that the user has asked for by their whole paths.
    asked: BTreeSet<PathBuf>,
    /// What is in the cache, once that is needed.
    comparison: Option<Comparison>,
    /// Those passed over.
    passed_over: Vec<String>,
    /// What is wrong with those that others have to rekey first.
    pub(super) failures: Vec<Error>,
}

impl<'a> Others<'a> {
    /// Begins with none, after `session` has opened what `master` opens. What the user has `asked` for is never passed
    /// over.
    pub(super) fn new(
        workspace: &'a Workspace,
        master: &Master,
        session: &Session,
        asked: &[PathBuf],
    ) -> Self {
        Self {
            workspace,
            own: master.own_recipients(),
            is_unsure: !session.skipped.is_empty(),
            asked: asked.iter().map(|path| whole(path)).collect(),
            comparison: None,
            passed_over: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Takes the secret `path`, which does not open because of `error`; returns the failure that this is, because of which
    /// nothing may be changed, or `None` where the other secrets may be.
    ///
    /// # Errors
    ///
    /// When the cache cannot be read.
    pub(super) fn pass_over(
        &mut self,
        path: &Path,
        error: Error,
        report: &Report,
    ) -> Result<Option<Error>> {
        let is_closed = error.exit == Exit::Failed(Status::NoPerm) && !self.is_unsure;
        let is_asked = self.asked.contains(&whole(path));
        let rules = &self.workspace.rules;
        let Some(rule) = rules.rule(path).filter(|_| is_closed && !is_asked) else {
            return Ok(Some(error));
        };
        if !self.has_copies(path, report)? {
            return Ok(Some(error.because("not all hosts that need it have a copy of it")));
        }
        if rule.recipients.iter().any(|text| self.own.contains(&canonical(text))) {
            let reason = format!("the rule for \"{}\" names your identity", rule.path);
            let fix = "vaultix rekey # by somebody who can decrypt it";
            self.failures.push(error.because(reason).fix(fix));
        } else {
            self.passed_over.push(origin::shown(path));
        }
        Ok(None)
    }

    /// Returns whether the hosts that need the secret `path` have copies of it.
    fn has_copies(&mut self, path: &Path, report: &Report) -> Result<bool> {
        let Workspace { profiles, cache, .. } = self.workspace;
        let comparison = match self.comparison.take() {
            Some(comparison) => comparison,
            None => Comparison::new(profiles, &[], &cache.directory, report)?,
        };
        Ok(self.comparison.insert(comparison).has_copies(profiles, path))
    }

    /// Names those passed over, and returns their number for the closing line.
    pub(super) fn report(&self, report: &Report) -> String {
        let count = self.passed_over.len();
        if count == 0 {
            return String::new();
        }
        report.line(format_args!(
            "passed over, because no rule names your identity, and hosts have their copies: {}",
            report::list(&self.passed_over)
        ));
        format!(", {count} passed over")
    }
}
