//! items that are valid by themselves → failures of those that conflict with each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;

use super::fields::{Invalid, join};
use super::item::Identified;
use super::{Kind, Placement, Secret, Template};

/// Refuses early templates that use a secret which is not early.
pub(super) fn refuse_late_values(
    templates: &mut BTreeMap<String, Result<Template, Invalid>>,
    placeholders: &BTreeMap<String, String>,
    early: &BTreeSet<String>,
) {
    for (id, entry) in templates {
        let Ok(template) = entry else { continue };
        if !template.placement.early {
            continue;
        }
        let late =
            template.secrets(placeholders).into_iter().find(|secret| !early.contains(*secret));
        if let Some(secret) = late {
            *entry = Err(Invalid::new(
                join(Kind::Template.field(), id),
                format!(
                    "is needed before users exist, but uses the secret \"{secret}\", which is not"
                ),
            )
            .fix(format!("add \"{secret}\" to beforeUserborn")));
        }
    }
}

/// Refuses items that would be written to the same file, or one to a directory with another's name.
///
/// Both are refused: it is unknown which one was meant, and a reader of the file would get either.
pub(super) fn refuse_clashes(
    secrets: &mut BTreeMap<String, Result<Secret, Invalid>>,
    templates: &mut BTreeMap<String, Result<Template, Invalid>>,
) {
    let failures = clashes(
        &placed(Kind::Secret, secrets).chain(placed(Kind::Template, templates)).collect::<Vec<_>>(),
    );
    for ((kind, id), failure) in failures {
        match kind {
            Kind::Secret => drop(secrets.insert(id, Err(failure))),
            Kind::Template => drop(templates.insert(id, Err(failure))),
        }
    }
}

/// An item, by its kind and id.
type ItemKey<'a> = (Kind, &'a str);

/// Returns the placements of the valid items.
fn placed<T: Identified>(
    kind: Kind,
    items: &BTreeMap<String, Result<T, Invalid>>,
) -> impl Iterator<Item = (ItemKey<'_>, &Placement)> {
    items
        .iter()
        .filter_map(move |(id, item)| Some(((kind, id.as_str()), item.as_ref().ok()?.placement()?)))
}

/// Finds the items that conflict with each other.
fn clashes(places: &[(ItemKey, &Placement)]) -> BTreeMap<(Kind, String), Invalid> {
    // By hash: paths have long beginnings in common.
    let mut names: HashMap<&str, ItemKey> = HashMap::new();
    let mut paths: HashMap<&OsStr, ItemKey> = HashMap::new();
    let mut failures = BTreeMap::new();
    let mut clash = |field: &str, value: &str, one: ItemKey, other: ItemKey| {
        for ((kind, id), rival) in [(one, other), (other, one)] {
            failures.entry((kind, id.to_owned())).or_insert_with(|| {
                let rival = join(rival.0.field(), rival.1);
                Invalid::new(
                    join(&join(kind.field(), id), field),
                    format!("\"{value}\" is also used by {rival}"),
                )
            });
        }
    };
    for (item, place) in places {
        // As text: `ensure_absolute` accepts only one spelling of each path.
        let path = place.path.as_os_str();
        if let Some(other) = names.insert(&place.name, *item) {
            clash("name", &place.name, *item, other);
        } else if let Some(other) = paths.insert(path, *item) {
            clash("path", &path.to_string_lossy(), *item, other);
        }
    }
    // Sorted so that a directory comes right before everything in it: names are long, and each has many directories.
    let mut sorted: Vec<(&str, ItemKey)> =
        places.iter().map(|(item, place)| (place.name.as_str(), *item)).collect();
    sorted.sort_by(|(one, _), (other, _)| sort_key(one).cmp(sort_key(other)));
    let mut above: Option<(&str, ItemKey)> = None;
    for (name, item) in sorted {
        match above {
            Some((parent, other)) if is_inside(name, parent) => clash("name", parent, item, other),
            _ => above = Some((name, item)),
        }
    }
    failures
}

/// Returns whether the file `name` is in a directory `parent`.
fn is_inside(name: &str, parent: &str) -> bool {
    name.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/'))
}

/// Returns a key that sorts names of files by their components: no name contains a NUL.
fn sort_key(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().map(|byte| if byte == b'/' { 0 } else { byte })
}
