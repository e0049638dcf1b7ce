//! findings → a line for each cause and secret, or host, with their number.

use std::collections::{BTreeMap, BTreeSet};

use vaultix_generator::private;

use super::{Finding, Kind, as_error};
use crate::error::Error;
use crate::report;

/// How a finding is said together with others that have the same words.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone)]
pub(super) struct Group {
    /// What stands before their number.
    pub(super) begin: String,
    /// What stands after it.
    pub(super) end: String,
    /// What the finding is called in their list; empty if there is to be none.
    pub(super) name: String,
}

impl Group {
    pub(super) fn new(
        begin: impl Into<String>,
        end: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self { begin: begin.into(), end: end.into(), name: name.into() }
    }
}

/// What the findings of one line have in common.
type Cause<'a> = (Kind, &'a str, &'a str, Option<&'a str>);

/// Says all of `findings`: those with one cause together, by secret or by host, whatever takes fewer lines. Returns as well
/// whether some are not said alone.
pub(super) fn lines(findings: &[&Finding]) -> (Vec<Error>, bool) {
    let mut causes: BTreeMap<(Kind, usize), BTreeSet<Cause>> = BTreeMap::new();
    for one in findings {
        for (at, group) in one.groups.iter().enumerate() {
            causes.entry((one.kind, at)).or_default().insert(cause(one, group));
        }
    }
    let count = |kind: Kind, at: usize| causes.get(&(kind, at)).map_or(usize::MAX, BTreeSet::len);
    let chosen = |one: &Finding| {
        let best = (0..one.groups.len()).min_by_key(|at| count(one.kind, *at))?;
        one.groups.get(best).cloned()
    };
    let chosen: Vec<Option<Group>> = findings.iter().map(|one| chosen(one)).collect();
    let mut places: BTreeMap<Cause, usize> = BTreeMap::new();
    let mut lines: Vec<Vec<(&Finding, Option<&Group>)>> = Vec::new();
    for (one, group) in findings.iter().zip(&chosen) {
        let known =
            group.as_ref().map(|group| *places.entry(cause(one, group)).or_insert(lines.len()));
        match known.and_then(|at| lines.get_mut(at)) {
            Some(line) => line.push((one, group.as_ref())),
            None => lines.push(vec![(one, group.as_ref())]),
        }
    }
    let is_shortened = lines.iter().any(|line| line.len() > 1);
    (lines.iter().filter_map(|line| said(line)).collect(), is_shortened)
}

fn cause<'a>(finding: &'a Finding, group: &'a Group) -> Cause<'a> {
    (finding.kind, &group.begin, &group.end, finding.fix.as_deref())
}

/// Says what is in one line.
fn said(line: &[(&Finding, Option<&Group>)]) -> Option<Error> {
    let (first, group) = line.first()?;
    let Some(group) = group.filter(|_| line.len() > 1) else { return Some(as_error(first)) };
    let names: Vec<String> = line
        .iter()
        .filter_map(|(_, group)| Some(group.as_ref()?.name.clone()))
        .filter(|name| !name.is_empty())
        .collect();
    let list = if names.is_empty() { String::new() } else { format!(": {}", report::list(&names)) };
    let text = format!("{}{}{}{list}", group.begin, line.len(), group.end);
    let error = Error::new(first.kind.exit(), private::hide(&text));
    Some(match &first.fix {
        Some(fix) => error.fix(fix),
        None => error,
    })
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    /// Returns a finding about the copy of `secret` that `host` lacks.
    fn missing(host: &str, secret: &str) -> Finding {
        Finding {
            kind: Kind::Missing,
            problem: format!("{host} lacks {secret}"),
            fix: Some("renc".to_owned()),
            groups: vec![
                Group::new("", format!(" hosts lack {secret}"), host),
                Group::new(format!("{host} lacks "), " secrets", secret),
            ],
            ..Finding::default()
        }
    }

    /// Returns the lines for these hosts and secrets.
    fn said_of(pairs: &[(&str, &str)]) -> Vec<String> {
        let findings: Vec<Finding> =
            pairs.iter().map(|(host, secret)| missing(host, secret)).collect();
        let (lines, is_shortened) = lines(&findings.iter().collect::<Vec<_>>());
        assert_eq!(is_shortened, lines.len() < pairs.len());
        lines.iter().map(|line| format!("{line:#}")).collect()
    }

    #[test]
    fn the_fewest_lines_say_all() {
        assert_eq!(said_of(&[("a", "x")]), ["a lacks x; to fix: renc"]);
        assert_eq!(said_of(&[("a", "x"), ("b", "x")]), ["2 hosts lack x: a, b; to fix: renc"]);
        assert_eq!(said_of(&[("a", "x"), ("a", "y")]), ["a lacks 2 secrets: x, y; to fix: renc"]);
        assert_eq!(
            said_of(&[("a", "x"), ("a", "y"), ("a", "z"), ("b", "x")]),
            ["a lacks 3 secrets: x, y, z; to fix: renc", "b lacks x; to fix: renc"]
        );
        let many: Vec<String> = (0..30).map(|i| format!("h{i}")).collect();
        let pairs: Vec<(&str, &str)> =
            many.iter().flat_map(|host| [(host.as_str(), "x"), (host.as_str(), "y")]).collect();
        let lines = said_of(&pairs);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines.iter().all(|line| line.contains("h9 and 20 more; to fix")), "{lines:?}");
    }

    #[test]
    fn what_is_fixed_in_another_way_is_said_alone() {
        let mut findings = [missing("a", "x"), missing("b", "x")];
        findings[1].fix = Some("other".to_owned());
        let (lines, is_shortened) = lines(&findings.iter().collect::<Vec<_>>());
        assert!(lines.len() == 2 && !is_shortened);
    }
}
