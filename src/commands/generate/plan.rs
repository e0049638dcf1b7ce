//! profiles + which files are there → what to generate, in which order; pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use vaultix_generator::escape;
use vaultix_generator::profile::{Generator, Key, Profile, Secret};

use super::public;
use crate::error::{Error, Exit, Result, Status};
use crate::system::origin;

/// How one secret is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    pub id: String,
    pub path: PathBuf,
    pub generator: Generator,
    pub inputs: Vec<Input>,
}

/// A secret that another one is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    pub id: String,
    pub path: PathBuf,
    /// Which value of the file it is, if not the whole.
    pub key: Option<Key>,
}

/// What `generate` is about to do.
#[derive(Debug, Default)]
pub struct Plan {
    /// What to make; each comes after what it is made from.
    pub make: Vec<Recipe>,
    /// What is there already, but without its public key.
    pub publish: Vec<Recipe>,
    /// How many are there already.
    pub there: usize,
    pub failures: Vec<Error>,
}

impl Plan {
    /// Returns the files that have to be opened.
    pub fn sources(&self) -> BTreeSet<&Path> {
        let made: BTreeSet<&Path> = self.make.iter().map(|recipe| &*recipe.path).collect();
        let inputs = self.make.iter().flat_map(|recipe| &recipe.inputs).map(|input| &*input.path);
        let unpublished = self.publish.iter().map(|recipe| &*recipe.path);
        inputs.filter(|path| !made.contains(path)).chain(unpublished).collect()
    }
}

/// Plans to make the secrets with ids in `asked`, or all, and what they are made from, as far as it is not there.
///
/// # Errors
///
/// When some are made from each other: which.
pub fn plan(
    profiles: &[Profile],
    asked: &[String],
    is_there: &dyn Fn(&Path) -> bool,
) -> Result<Plan> {
    let mut plan = Plan::default();
    let is_asked = |id: &String| asked.is_empty() || asked.contains(id);
    let recipes = recipes(profiles, &is_asked, &mut plan.failures);
    ensure_no_circle(&recipes)?;
    let mut planner = Planner { recipes: &recipes, is_there, outcomes: BTreeMap::new(), plan };
    for recipe in recipes.values().filter(|recipe| is_asked(&recipe.id)) {
        if !is_there(&recipe.path) {
            planner.add_missing(&recipe.path);
        } else if recipe.generator.has_public_key()
            && !recipe.path.starts_with(origin::STORE)
            && !is_there(&public::path(&recipe.path))
        {
            planner.plan.publish.push(recipe.clone());
        } else {
            planner.plan.there += 1;
        }
    }
    Ok(planner.plan)
}

pub fn cannot_generate(exit: impl Into<Exit>, id: &str) -> Error {
    Error::new(exit, format!("cannot generate secret \"{id}\""))
}

/// Returns how files are made, by file: hosts may share one. Adds to `failures` what is wrong with single secrets.
fn recipes(
    profiles: &[Profile],
    is_asked: &dyn Fn(&String) -> bool,
    failures: &mut Vec<Error>,
) -> BTreeMap<PathBuf, Recipe> {
    let mut recipes: BTreeMap<PathBuf, Recipe> = BTreeMap::new();
    let mut conflicting = BTreeSet::new();
    for profile in profiles {
        for (id, secret) in &profile.secrets {
            let recipe = match secret {
                Ok(secret) => recipe(profile, secret),
                Err(failure) => Err(cannot_generate(Status::Config, id).because(failure)),
            };
            let new = match recipe {
                Ok(Some(recipe)) => recipe,
                Ok(None) => continue,
                Err(error) => {
                    failures.extend(is_asked(id).then_some(error));
                    continue;
                }
            };
            match recipes.get(&new.path) {
                Some(old) if (&old.generator, &old.inputs) != (&new.generator, &new.inputs) => {
                    conflicting.insert(new.path);
                }
                Some(_) => {}
                None => drop(recipes.insert(new.path.clone(), new)),
            }
        }
    }
    for path in conflicting {
        let id = recipes.remove(&path).map(|recipe| recipe.id).unwrap_or_default();
        let error = cannot_generate(Status::Config, &id)
            .because(format!("{} has two different generators", origin::shown(&path)))
            .fix(format!("set the same vaultix.secrets.{id}.generator on all hosts"));
        failures.extend(is_asked(&id).then_some(error));
    }
    recipes
}

/// Returns how `secret` is made, `None` if it has no generator.
fn recipe(profile: &Profile, secret: &Secret) -> Result<Option<Recipe>> {
    let Some(generator) = &secret.generator else { return Ok(None) };
    if let Some(key) = &secret.key {
        let file = origin::shown(&secret.ciphertext);
        return Err(cannot_generate(Status::Config, &secret.id)
            .because(format!("it is {} in {file}, and only whole files are generated", key.pointer))
            .fix(format!(
                "set vaultix.secrets.{}.file to a file of its own, without key",
                secret.id
            )));
    }
    let input = |id: &String| match profile.secrets.get(id) {
        Some(Ok(input)) => {
            let (path, key) = (input.ciphertext.clone(), input.key.clone());
            Ok(Input { id: id.clone(), path, key })
        }
        Some(Err(failure)) => Err(cannot_generate(Status::Config, &secret.id).because(failure)),
        None => {
            let host = &profile.settings.host_identifier;
            let reason = format!("it depends on \"{id}\", and host {host} has no such secret");
            let fix = format!("correct vaultix.secrets.{}.generator.dependencies", secret.id);
            Err(cannot_generate(Status::Config, &secret.id).because(reason).fix(fix))
        }
    };
    let inputs = generator.dependencies().iter().map(input).collect::<Result<_>>()?;
    let (id, path) = (secret.id.clone(), secret.ciphertext.clone());
    Ok(Some(Recipe { id, path, generator: generator.clone(), inputs }))
}

/// Checks that no secret is made from itself, on whatever way round.
fn ensure_no_circle(recipes: &BTreeMap<PathBuf, Recipe>) -> Result<()> {
    /// Follows `path` to all it is made from. `trail` leads to it; `checked` is known to be right.
    fn follow<'a>(
        path: &'a Path,
        recipes: &'a BTreeMap<PathBuf, Recipe>,
        trail: &mut Vec<&'a Recipe>,
        checked: &mut BTreeSet<&'a Path>,
    ) -> Result<()> {
        let Some(recipe) = recipes.get(path).filter(|_| !checked.contains(path)) else {
            return Ok(());
        };
        if let Some(start) = trail.iter().position(|before| before.path == path) {
            let circle = trail.iter().skip(start).copied().chain([recipe]);
            let circle: Vec<String> = circle.map(|one| format!("\"{}\"", one.id)).collect();
            return Err(cannot_generate(Status::Config, &recipe.id)
                .because(format!("it is made from itself: {}", circle.join(" from ")))
                .fix("remove one of them from the other's generator.dependencies"));
        }
        trail.push(recipe);
        for input in &recipe.inputs {
            follow(&input.path, recipes, trail, checked)?;
        }
        trail.pop();
        checked.insert(path);
        Ok(())
    }
    let mut checked = BTreeSet::new();
    recipes.keys().try_for_each(|path| follow(path, recipes, &mut Vec::new(), &mut checked))
}

/// Puts what is missing into an order.
struct Planner<'a> {
    /// How files are made; none of them from itself.
    recipes: &'a BTreeMap<PathBuf, Recipe>,
    is_there: &'a dyn Fn(&Path) -> bool,
    /// Whether a file that is missing can be made, for those that were looked at.
    outcomes: BTreeMap<&'a Path, bool>,
    plan: Plan,
}

impl<'a> Planner<'a> {
    /// Adds the missing file `path` and what it is made from; returns whether it will be there.
    fn add_missing(&mut self, path: &'a Path) -> bool {
        if let Some(outcome) = self.outcomes.get(path) {
            return *outcome;
        }
        let Some(recipe) = self.recipes.get(path) else { return false };
        let failure = self.obstacle(recipe);
        let outcome = failure.is_none();
        match failure {
            Some(error) => self.plan.failures.push(error),
            None => self.plan.make.push(recipe.clone()),
        }
        self.outcomes.insert(path, outcome);
        outcome
    }

    /// Returns why `recipe` cannot be followed; plans to make what it needs.
    fn obstacle(&mut self, recipe: &'a Recipe) -> Option<Error> {
        let error = |reason: String| cannot_generate(Status::NoInput, &recipe.id).because(reason);
        if recipe.path.starts_with(origin::STORE) {
            let error = error(format!("{} is in the Nix store", origin::shown(&recipe.path)));
            return Some(match origin::find(&recipe.path) {
                Some((input, _)) => error.because(input.unmapped()).fix(input.map),
                None => error
                    .fix(format!("set vaultix.secrets.{}.file to a path of this flake", recipe.id)),
            });
        }
        let public_key = public::path(&recipe.path);
        if recipe.generator.has_public_key() && (self.is_there)(&public_key) {
            return Some(
                error(format!(
                    "{} is the public key of another secret",
                    origin::shown(&public_key)
                ))
                .fix(format!("rm {}", escape::shell_path(&public_key))),
            );
        }
        for input in &recipe.inputs {
            if (self.is_there)(&input.path) || self.add_missing(&input.path) {
                continue;
            }
            let (id, path) = (&input.id, origin::shown(&input.path));
            return Some(if self.recipes.contains_key(&input.path) {
                error(format!("it is made from \"{id}\", which cannot be generated"))
            } else {
                error(format!("it is made from \"{id}\", and {path} does not exist"))
                    .fix(format!("vaultix edit {}", escape::shell_path(&input.path)))
            });
        }
        None
    }
}

#[cfg(test)]
mod tests;
