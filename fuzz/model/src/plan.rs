//! what hosts need + what the cache contains → the plan, worked out for each file alone.

use std::collections::{BTreeMap, BTreeSet};

use vaultix::plan::{self as product, Entry, Listing, Plan, Target, Wanted};

use crate::draw::Draw;

/// What the plan is made from.
struct Cache {
    /// What hosts need.
    wanted: BTreeMap<Entry, Wanted>,
    /// What the cache contains.
    present: Listing,
    /// Hosts of which everything is known.
    complete: BTreeSet<String>,
}

/// What happens to a file.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// It is made.
    Made,
    /// It is needed, and exists.
    Kept,
    /// It is removed.
    Removed,
    /// It is not a cache file, and stays.
    Foreign,
    /// We do not know whether its host needs it: it stays.
    Unknown,
}

/// Plans, and checks each file alone; then carries out the plan, and plans again.
pub fn check(bytes: &[u8]) {
    let cache = cache(&mut Draw::new(bytes));
    let plan = product::plan(&cache.wanted, &cache.present, &cache.complete);
    let files = files(&cache);
    for file in &files {
        assert_eq!(found(&plan, file), expected(fate(&cache, file)), "{file:?}");
    }
    let count = |one| files.iter().filter(|file| fate(&cache, file) == one).count();
    assert_eq!(plan.up_to_date, count(Fate::Kept));
    // The plan contains no other files.
    let made: Vec<&Target> = plan.encrypt.values().flatten().collect();
    assert_eq!(made.len(), count(Fate::Made));
    assert_eq!(plan.stale.len(), count(Fate::Removed));
    assert_eq!(plan.foreign.len(), count(Fate::Foreign));
    for (source, targets) in &plan.encrypt {
        assert!(!targets.is_empty(), "nothing is made of {}", source.display());
        for target in targets {
            let file = &cache.wanted[&target.entry];
            assert_eq!((source, &target.secret), (&file.source, &file.secret));
        }
    }
    // The same cache always gives the same output.
    assert!(plan.encrypt.values().all(|targets| targets.is_sorted_by_key(|one| &one.entry)));
    assert!(plan.stale.is_sorted() && plan.foreign.is_sorted());
    carry_out(cache, plan);
}

/// Carries out `plan`. Afterwards nothing is left to do, and everything that must stay is still
/// there.
fn carry_out(mut cache: Cache, plan: Plan) {
    let before = cache.present.clone();
    for target in plan.encrypt.into_values().flatten() {
        cache.present.entry(target.entry.host).or_default().insert(target.entry.name, 200);
    }
    for file in plan.stale {
        cache.present.get_mut(&file.host).unwrap().remove(&file.name).unwrap();
    }
    for (host, files) in &before {
        for (name, size) in files {
            let after = cache.present[host].get(name);
            assert!(is_cache_name(name) || after == Some(size), "{name} is not the cache's");
            assert!(cache.complete.contains(host) || after.is_some(), "{host} may need {name}");
        }
    }
    let again = product::plan(&cache.wanted, &cache.present, &cache.complete);
    let up_to_date = cache.wanted.len();
    assert_eq!(again, Plan { up_to_date, foreign: plan.foreign, ..Plan::default() });
}

/// Returns all files that exist or are wanted.
fn files(cache: &Cache) -> BTreeSet<Entry> {
    let mut files: BTreeSet<Entry> = cache.wanted.keys().cloned().collect();
    for (host, names) in &cache.present {
        files.extend(names.keys().map(|name| Entry { host: host.clone(), name: name.clone() }));
    }
    files
}

/// Returns what should happen to `file`.
fn fate(cache: &Cache, file: &Entry) -> Fate {
    let size = cache.present.get(&file.host).and_then(|files| files.get(&file.name)).copied();
    if !is_cache_name(&file.name) {
        return Fate::Foreign;
    }
    match (cache.wanted.contains_key(file), cache.complete.contains(&file.host)) {
        (true, _) if size.unwrap_or(0) == 0 => Fate::Made,
        (true, _) => Fate::Kept,
        (false, true) => Fate::Removed,
        (false, false) => Fate::Unknown,
    }
}

/// Returns how often a file with this `fate` should be made, removed, and listed as foreign.
fn expected(fate: Fate) -> [usize; 3] {
    match fate {
        Fate::Made => [1, 0, 0],
        Fate::Removed => [0, 1, 0],
        Fate::Foreign => [0, 0, 1],
        Fate::Kept | Fate::Unknown => [0, 0, 0],
    }
}

/// Returns how often `file` is made, removed, and listed as foreign in `plan`.
fn found(plan: &Plan, file: &Entry) -> [usize; 3] {
    let made = plan.encrypt.values().flatten().filter(|target| target.entry == *file);
    let of = |files: &[Entry]| files.iter().filter(|one| *one == file).count();
    [made.count(), of(&plan.stale), of(&plan.foreign)]
}

/// Returns whether `name` is a SHA-256 in lower-case hex.
fn is_cache_name(name: &str) -> bool {
    name.chars().count() == 64 && name.chars().all(|one| "0123456789abcdef".contains(one))
}

/// Draws what is wanted and what exists, from few enough names that they overlap.
fn cache(draw: &mut Draw) -> Cache {
    let hosts = ["web".to_owned(), "db".to_owned(), draw.name()];
    let mut cache =
        Cache { wanted: BTreeMap::new(), present: Listing::new(), complete: BTreeSet::new() };
    cache.complete.extend(hosts.iter().filter(|_| !draw.one_in(3)).cloned());
    for _ in 0..draw.below(48) {
        let host = draw.pick(&hosts).clone();
        let name = name(draw);
        let is_wanted = draw.one_in(2) && is_cache_name(&name);
        let is_there = !draw.one_in(3);
        let size = [0, 1, 200, u64::MAX][draw.below(4)];
        if is_there {
            cache.present.entry(host.clone()).or_default().insert(name.clone(), size);
        }
        if is_wanted {
            let source = (*draw.pick(&["wifi.age", "mail.age", "sub/wifi.age"])).into();
            let secret = (*draw.pick(&["wifi", "mail"])).to_owned();
            cache.wanted.insert(Entry { host, name }, Wanted { source, key: None, secret });
        }
    }
    cache
}

/// Draws a valid name in the cache, or nearly one, or any name.
fn name(draw: &mut Draw) -> String {
    let mut name = char::from(*draw.pick(b"0a9f")).to_string().repeat(64);
    match draw.below(12) {
        0..8 => {}
        8 => drop(name.pop()),
        9 => name.push('a'),
        10 => {
            let at = *draw.pick(&[0, 31, 63]);
            // The characters next to the hex digits, and one of two bytes.
            let odd = *draw.pick(&["/", ":", "`", "g", "A", "é"]);
            name.replace_range(at..=at, odd);
        }
        _ => name = draw.name(),
    }
    name
}
