//! profiles + which files are there → what to generate, in which order; pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use vaultix_generator::escape;
use vaultix_generator::profile::{Dependency, Generator, Key, Profile, Secret};

use super::public;
use crate::error::{Error, Exit, Result, Status};
use crate::system::origin;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub path: PathBuf,
    /// Which value of the file it is, if not the whole.
    pub key: Option<Key>,
}

impl Place {
    pub fn of(secret: &Secret) -> Self {
        Self { path: secret.ciphertext.clone(), key: secret.key.clone() }
    }

    /// Returns whether one of them is in the other, or is the other.
    fn overlaps(&self, other: &Self) -> bool {
        let is_below = |one: &str, other: &str| {
            one.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.path == other.path
            && match (&self.key, &other.key) {
                (Some(one), Some(other)) => {
                    let (one, other) = (&one.pointer, &other.pointer);
                    is_below(one, other) || is_below(other, one)
                }
                _ => true,
            }
    }
}

/// Names the value for people, if it is one, and the file.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.iter().try_for_each(|key| write!(f, "{} in ", key.pointer))?;
        f.write_str(&origin::shown(&self.path))
    }
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    There,
    Missing,
    /// It is a value of a file that has to be opened first.
    Unknown,
    /// It is a value of a file that cannot be opened, and that was said.
    Unreadable,
}

/// How one secret is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    pub id: String,
    pub place: Place,
    pub generator: Generator,
    pub inputs: Vec<Input>,
}

impl Recipe {
    /// Returns where its public key is kept.
    pub fn public_key(&self) -> PathBuf {
        public::path(&self.place.path, self.place.key.as_ref())
    }
}

/// A secret that another one is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its id, with its host before it if that is another one: what a command finds it under.
    pub id: String,
    pub place: Place,
}

/// Which secrets to make.
#[derive(Default)]
pub struct Selection<'a> {
    /// The ids of those that were asked for; empty for all.
    pub ids: &'a [String],
    /// The hosts that were asked for; empty for all.
    pub hosts: &'a [String],
    /// What happens to those that are there.
    pub existing: Existing,
}

/// What happens to secrets that are there.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Existing {
    #[default]
    Kept,
    /// They are made again, with all that is made from them.
    Renewed,
}

/// Whether files with values have been opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Files {
    Closed,
    /// Those that have to be.
    Opened,
}

impl Selection<'_> {
    fn has(&self, profile: &Profile, id: &String) -> bool {
        (self.ids.is_empty() || self.ids.contains(id))
            && (self.hosts.is_empty() || self.hosts.contains(&profile.settings.host_identifier))
    }

    /// Returns the places of what was asked for.
    fn places(&self, profiles: &[Profile]) -> BTreeSet<Place> {
        let secrets = profiles.iter().flat_map(|profile| {
            let own = profile.secrets.iter().filter(|(id, _)| self.has(profile, id));
            own.filter_map(|(_, secret)| secret.as_ref().ok())
        });
        secrets.filter(|secret| secret.generator.is_some()).map(Place::of).collect()
    }
}

/// What `generate` is about to do.
#[derive(Debug, Default)]
pub struct Plan {
    /// What to make; each comes after what it is made from.
    pub make: Vec<Recipe>,
    /// The places of those of them that are there, and are replaced.
    pub replaced: BTreeSet<Place>,
    /// What is there already, but without its public key.
    pub publish: Vec<Recipe>,
    /// Values whose files have to be opened to see whether they are there.
    pub unknown: BTreeSet<Place>,
    /// How many are there already.
    pub there: usize,
    pub failures: Vec<Error>,
}

impl Plan {
    /// Returns whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.make.is_empty() && self.publish.is_empty() && self.unknown.is_empty()
    }

    /// Returns the files that have to be opened.
    pub fn sources(&self) -> BTreeSet<&Path> {
        let made: BTreeSet<&Path> = self.make.iter().map(|recipe| &*recipe.place.path).collect();
        let inputs =
            self.make.iter().flat_map(|recipe| &recipe.inputs).map(|input| &*input.place.path);
        let unpublished = self.publish.iter().map(|recipe| &*recipe.place.path);
        let unknown = self.unknown.iter().map(|place| &*place.path);
        inputs.filter(|path| !made.contains(path)).chain(unpublished).chain(unknown).collect()
    }
}

/// Plans to make the secrets of `selection`, and what they are made from, as far as it is not there.
///
/// What is unknown counts as missing: once it is known, the plan has to be made again.
///
/// # Errors
///
/// When some are made from each other: which.
pub fn plan(
    profiles: &[Profile],
    selection: &Selection,
    files: Files,
    presence: &dyn Fn(&Place) -> Presence,
) -> Result<Plan> {
    let mut plan = Plan::default();
    let asked = selection.places(profiles);
    let recipes = recipes(profiles, selection, &asked, &mut plan.failures);
    ensure_no_circle(&recipes)?;
    let renewed = match selection.existing {
        Existing::Kept => BTreeSet::new(),
        Existing::Renewed => renewed(&recipes, &asked),
    };
    let outcomes = BTreeMap::new();
    let mut planner = Planner { recipes: &recipes, renewed, files, presence, outcomes, plan };
    for recipe in recipes.values() {
        if !asked.contains(&recipe.place) && !planner.renewed.contains(&recipe.place) {
            continue;
        }
        match planner.presence(&recipe.place) {
            Presence::Missing | Presence::Unknown => drop(planner.add_missing(&recipe.place)),
            Presence::There
                if recipe.generator.has_public_key()
                    && !recipe.place.path.starts_with(origin::STORE)
                    && !planner.has_public_key(recipe) =>
            {
                planner.plan.publish.push(recipe.clone());
            }
            Presence::There => planner.plan.there += 1,
            Presence::Unreadable => {}
        }
    }
    Ok(planner.plan)
}

/// Returns the places of `asked`, and of all that is made from what is there.
fn renewed(recipes: &BTreeMap<Place, Recipe>, asked: &BTreeSet<Place>) -> BTreeSet<Place> {
    let mut users: BTreeMap<&Place, Vec<&Place>> = BTreeMap::new();
    for recipe in recipes.values() {
        for maker in recipe.inputs.iter().flat_map(|input| makers(recipes, &input.place)) {
            users.entry(&maker.place).or_default().push(&recipe.place);
        }
    }
    let mut found = BTreeSet::new();
    let mut next: Vec<&Place> = recipes.keys().filter(|place| asked.contains(place)).collect();
    while let Some(place) = next.pop() {
        if found.insert(place.clone()) {
            next.extend(users.get(place).into_iter().flatten());
        }
    }
    found
}

pub fn cannot_generate(exit: impl Into<Exit>, id: &str) -> Error {
    Error::new(exit, format!("cannot generate secret \"{id}\""))
}

/// Returns how secrets are made, by place: hosts may share one. Adds to `failures` what is wrong with single secrets.
fn recipes(
    profiles: &[Profile],
    selection: &Selection,
    asked: &BTreeSet<Place>,
    failures: &mut Vec<Error>,
) -> BTreeMap<Place, Recipe> {
    let mut recipes: BTreeMap<Place, Recipe> = BTreeMap::new();
    let mut conflicting = BTreeSet::new();
    for profile in profiles {
        for (id, secret) in &profile.secrets {
            let recipe = match secret {
                Ok(secret) => recipe(profiles, profile, secret),
                Err(failure) => Err(cannot_generate(Status::Config, id).because(failure)),
            };
            let new = match recipe {
                Ok(Some(recipe)) => recipe,
                Ok(None) => continue,
                Err(error) => {
                    failures.extend(selection.has(profile, id).then_some(error));
                    continue;
                }
            };
            match recipes.get(&new.place) {
                Some(old) if (&old.generator, &old.inputs) != (&new.generator, &new.inputs) => {
                    conflicting.insert(new.place);
                }
                Some(_) => {}
                None => drop(recipes.insert(new.place.clone(), new)),
            }
        }
    }
    for place in conflicting {
        let is_asked = asked.contains(&place);
        let id = recipes.remove(&place).map(|recipe| recipe.id).unwrap_or_default();
        let error = cannot_generate(Status::Config, &id)
            .because(format!("{place} has two different generators"))
            .fix(format!("set the same vaultix.secrets.{id}.generator on all hosts"));
        failures.extend(is_asked.then_some(error));
    }
    for (place, (of, what)) in in_the_way(&recipes) {
        let Some(Recipe { id, .. }) = recipes.remove(&place) else { continue };
        let error = cannot_generate(Status::Config, &id)
            .because(format!("{what} is also generated for \"{of}\""))
            .fix(format!("remove vaultix.secrets.{id}.generator"));
        failures.extend(asked.contains(&place).then_some(error));
    }
    recipes
}

/// Returns those of `recipes` that make what another one makes, with the id of that, and what it is: values of a file that is
/// generated as a whole, values below others, and what has the same public key.
fn in_the_way(recipes: &BTreeMap<Place, Recipe>) -> BTreeMap<Place, (String, String)> {
    let mut found = BTreeMap::new();
    let mut public_keys: BTreeMap<PathBuf, &Recipe> = BTreeMap::new();
    // A whole file comes before its values, and a value before those below it.
    let mut before: Vec<&Recipe> = Vec::new();
    for (place, recipe) in recipes {
        before.retain(|other| other.place.path == place.path);
        if let Some(other) = before.iter().find(|other| other.place.overlaps(place)) {
            found.insert(place.clone(), (other.id.clone(), other.place.to_string()));
            continue;
        }
        before.push(recipe);
        if !recipe.generator.has_public_key() {
            continue;
        }
        let path = recipe.public_key();
        match public_keys.get(&path) {
            Some(other) => {
                drop(found.insert(place.clone(), (other.id.clone(), origin::shown(&path))));
            }
            None => drop(public_keys.insert(path, recipe)),
        }
    }
    found
}

/// Returns how `secret` of `profile` is made, `None` if it has no generator. It may be made from secrets of all `profiles`.
fn recipe(profiles: &[Profile], profile: &Profile, secret: &Secret) -> Result<Option<Recipe>> {
    let Some(generator) = &secret.generator else { return Ok(None) };
    let input = |dependency| input(profiles, profile, secret, dependency);
    let inputs = generator.dependencies().iter().map(input).collect::<Result<_>>()?;
    let (id, place) = (secret.id.clone(), Place::of(secret));
    Ok(Some(Recipe { id, place, generator: generator.clone(), inputs }))
}

/// Returns where `dependency` of `secret`, which is of `profile`, is.
fn input(
    profiles: &[Profile],
    profile: &Profile,
    secret: &Secret,
    dependency: &Dependency,
) -> Result<Input> {
    let error = || cannot_generate(Status::Config, &secret.id);
    let fix = || format!("correct vaultix.secrets.{}.generator.dependencies", secret.id);
    let Dependency { host, id } = dependency;
    let name = host.as_ref().unwrap_or(&profile.settings.host_identifier);
    let is_it = |one: &&Profile| one.settings.host_identifier == *name;
    let of = if host.is_none() { Some(profile) } else { profiles.iter().find(is_it) };
    let Some(of) = of else {
        let reason = format!("it depends on \"{id}\" of host {name}, of which nothing is known");
        return Err(error().because(reason).fix(fix()));
    };
    match of.secrets.get(id) {
        Some(Ok(input)) => Ok(Input { id: dependency.to_string(), place: Place::of(input) }),
        Some(Err(failure)) => Err(error().because(failure)),
        None => {
            let reason = format!("it depends on \"{id}\", and host {name} has no such secret");
            Err(error().because(reason).fix(fix()))
        }
    }
}

/// Returns those of `recipes` that make `place`, or a part of it.
fn makers<'a>(
    recipes: &'a BTreeMap<Place, Recipe>,
    place: &Place,
) -> impl Iterator<Item = &'a Recipe> {
    let file = Place { path: place.path.clone(), key: None };
    let of_file = recipes.range(file..).take_while(|(other, _)| other.path == place.path);
    of_file.filter(|(other, _)| other.overlaps(place)).map(|(_, recipe)| recipe)
}

/// Checks that no secret is made from itself, on whatever way round.
fn ensure_no_circle(recipes: &BTreeMap<Place, Recipe>) -> Result<()> {
    /// Follows `recipe` to all it is made from. `trail` leads to it; `checked` is known to be right.
    fn follow<'a>(
        recipe: &'a Recipe,
        recipes: &'a BTreeMap<Place, Recipe>,
        trail: &mut Vec<&'a Recipe>,
        checked: &mut BTreeSet<&'a Place>,
    ) -> Result<()> {
        if checked.contains(&recipe.place) {
            return Ok(());
        }
        if let Some(start) = trail.iter().position(|before| before.place == recipe.place) {
            let circle = trail.iter().skip(start).copied().chain([recipe]);
            let circle: Vec<String> = circle.map(|one| format!("\"{}\"", one.id)).collect();
            return Err(cannot_generate(Status::Config, &recipe.id)
                .because(format!("it is made from itself: {}", circle.join(" from ")))
                .fix("remove one of them from the other's generator.dependencies"));
        }
        trail.push(recipe);
        for maker in recipe.inputs.iter().flat_map(|input| makers(recipes, &input.place)) {
            follow(maker, recipes, trail, checked)?;
        }
        trail.pop();
        checked.insert(&recipe.place);
        Ok(())
    }
    let mut checked = BTreeSet::new();
    recipes.values().try_for_each(|recipe| follow(recipe, recipes, &mut Vec::new(), &mut checked))
}

/// Puts what is missing into an order.
struct Planner<'a> {
    /// How secrets are made; none of them from itself.
    recipes: &'a BTreeMap<Place, Recipe>,
    /// What is made also if it is there.
    renewed: BTreeSet<Place>,
    files: Files,
    presence: &'a dyn Fn(&Place) -> Presence,
    /// Whether what is missing can be made, for those that were looked at.
    outcomes: BTreeMap<&'a Place, bool>,
    plan: Plan,
}

impl<'a> Planner<'a> {
    /// Returns whether something is at `place` that can stay.
    fn presence(&self, place: &Place) -> Presence {
        match (self.presence)(place) {
            Presence::There if self.renewed.contains(place) => {
                // The other values of the file stay.
                let is_closed = place.key.is_some() && self.files == Files::Closed;
                if is_closed { Presence::Unknown } else { Presence::Missing }
            }
            presence => presence,
        }
    }

    /// Returns whether something at `place` will be replaced.
    fn is_replaced(&self, place: &Place) -> bool {
        self.renewed.contains(place) && (self.presence)(place) != Presence::Missing
    }

    /// Adds what is missing at `place`, and what it is made from; returns whether it will be there.
    fn add_missing(&mut self, place: &Place) -> bool {
        let Some(recipe) = self.recipes.get(place) else { return false };
        if let Some(outcome) = self.outcomes.get(place) {
            return *outcome;
        }
        let failure = self.obstacle(recipe);
        let outcome = failure.is_none();
        if self.presence(place) == Presence::Unknown {
            self.plan.unknown.insert(place.clone());
        }
        if let Some(error) = failure {
            self.plan.failures.push(error);
        } else {
            if self.is_replaced(place) {
                self.plan.replaced.insert(place.clone());
            }
            self.plan.make.push(recipe.clone());
        }
        self.outcomes.insert(&recipe.place, outcome);
        outcome
    }

    /// Returns why `recipe` cannot be followed; plans to make what it needs.
    fn obstacle(&mut self, recipe: &'a Recipe) -> Option<Error> {
        let error = |reason: String| cannot_generate(Status::NoInput, &recipe.id).because(reason);
        let is_unknown = self.presence(&recipe.place) == Presence::Unknown;
        if recipe.place.path.starts_with(origin::STORE) && !is_unknown {
            let error = error(format!("{} is in the Nix store", recipe.place));
            return Some(match origin::find(&recipe.place.path) {
                Some((input, _)) => error.because(input.unmapped()).fix(input.map),
                None => error
                    .fix(format!("set vaultix.secrets.{}.file to a path of this flake", recipe.id)),
            });
        }
        let is_free = is_unknown || self.is_replaced(&recipe.place);
        if recipe.generator.has_public_key() && self.has_public_key(recipe) && !is_free {
            let public_key = recipe.public_key();
            return Some(
                error(format!(
                    "{} is the public key of another secret",
                    origin::shown(&public_key)
                ))
                .fix(format!("rm {}", escape::shell_path(&public_key))),
            );
        }
        recipe.inputs.iter().find_map(|input| {
            let reason = self.missing(input)?;
            Some(match reason {
                Missing::NotMade => {
                    error(format!("it is made from \"{}\", which cannot be generated", input.id))
                }
                Missing::NoFile => {
                    let path = &input.place.path;
                    let shown = origin::shown(path);
                    error(format!("it is made from \"{}\", and {shown} does not exist", input.id))
                        .fix(format!("vaultix edit {}", escape::shell_path(path)))
                }
            })
        })
    }

    /// Returns why `input` will not be there; plans to make what is missing of it.
    fn missing(&mut self, input: &Input) -> Option<Missing> {
        let recipes = self.recipes;
        let (mut is_made, mut is_complete) = (false, true);
        for maker in makers(recipes, &input.place) {
            is_made = true;
            is_complete &= match self.presence(&maker.place) {
                Presence::There | Presence::Unreadable => true,
                Presence::Missing | Presence::Unknown => self.add_missing(&maker.place),
            };
        }
        if is_made {
            return (!is_complete).then_some(Missing::NotMade);
        }
        let file = Place { path: input.place.path.clone(), key: None };
        (self.presence(&file) == Presence::Missing).then_some(Missing::NoFile)
    }

    /// Returns whether there is a file for the public key of `recipe`.
    fn has_public_key(&self, recipe: &Recipe) -> bool {
        (self.presence)(&Place { path: recipe.public_key(), key: None }) == Presence::There
    }
}

/// Why a secret will not be there.
enum Missing {
    /// It has a generator, which cannot be used.
    NotMade,
    /// It has none, and there is no file.
    NoFile,
}

#[cfg(test)]
mod tests;
