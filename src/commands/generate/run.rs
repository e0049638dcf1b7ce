//! plan + recipients + plaintexts of what is there → new secrets, and their public keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use age::armor::Format;
use vaultix_generator::profile::Key;
use vaultix_units::plaintext::Plaintext;

use super::command::{Input, RunContext};
use super::make;
use super::plan::{self, Place, Plan, Recipe};
use super::public;
use crate::error::{Error, Result, Status};
use crate::files::replace::Replacement;
use crate::files::secret::{self, Secret};
use crate::files::values::{self, Values};
use crate::flake::workspace::Recipients;
use crate::report::Report;
use crate::structured;
use crate::system::origin;

#[derive(Default)]
pub struct Outcome {
    pub count: usize,
    pub files: BTreeSet<PathBuf>,
    pub failures: Vec<Error>,
}

/// One run of `generate`.
pub struct Run<'a> {
    pub context: RunContext<'a>,
    pub recipients: Recipients<'a>,
    /// Files that others are made from.
    pub inputs: BTreeSet<&'a Path>,
    /// Their plaintexts, and those of files that get more values, as far as they could be opened.
    pub known: BTreeMap<PathBuf, Plaintext>,
    /// Files that get more values, as they are in the repository.
    pub before: BTreeMap<PathBuf, Secret>,
    /// What is there, and is replaced.
    replaced: BTreeSet<&'a Place>,
    /// Files with new values that are not written yet.
    unwritten: BTreeMap<PathBuf, Vec<Added<'a>>>,
    /// Files that could not be written.
    lost: BTreeSet<PathBuf>,
    pub report: &'a Report,
}

/// A value that was added to the plaintext of a file.
struct Added<'a> {
    recipe: &'a Recipe,
    /// Where its public key is kept, and that.
    public_key: Option<(PathBuf, String)>,
}

/// Reads the files of `plan` that are there and are replaced, or may get more values.
pub fn before(plan: &Plan) -> BTreeMap<PathBuf, Secret> {
    let places = plan.unknown.iter().chain(&plan.replaced);
    let paths: BTreeSet<&Path> = places.map(|place| &*place.path).collect();
    // What cannot be read cannot be opened either, which is said then.
    let read = |path: &Path| Some((path.to_owned(), Secret::read(path).ok()??));
    paths.into_iter().filter_map(read).collect()
}

impl<'a> Run<'a> {
    pub fn new(
        context: RunContext<'a>,
        recipients: Recipients<'a>,
        known: BTreeMap<PathBuf, Plaintext>,
        before: BTreeMap<PathBuf, Secret>,
        report: &'a Report,
    ) -> Self {
        let (inputs, replaced, unwritten, lost) = Default::default();
        Self { context, recipients, inputs, known, before, replaced, unwritten, lost, report }
    }

    /// Makes what `plan` says.
    ///
    /// # Errors
    ///
    /// When the user interrupts. What is there then is whole.
    pub fn work(mut self, plan: &'a Plan, done: &mut Outcome) -> Result<()> {
        let inputs = plan.make.iter().flat_map(|recipe| &recipe.inputs);
        self.inputs = inputs.map(|input| &*input.place.path).collect();
        self.replaced = plan.replaced.iter().collect();
        for recipe in &plan.make {
            self.write_inputs(recipe, done);
            let outcome = match &recipe.place.key {
                Some(key) => self.add(recipe, key),
                None => self.make(recipe, done),
            };
            self.collect(recipe, outcome, done)?;
        }
        self.write_all(done)?;
        for recipe in &plan.publish {
            let outcome = self.publish(recipe, done);
            self.collect(recipe, outcome, done)?;
        }
        Ok(())
    }

    /// Keeps a failure for the end, unless the user wants to end at once.
    fn collect(&self, recipe: &Recipe, outcome: Result<()>, done: &mut Outcome) -> Result<()> {
        let Err(error) = outcome else { return Ok(()) };
        if self.context.interrupt.is_set() {
            return Err(self.context.interrupt.error());
        }
        done.failures.push(error.context(format!("cannot generate secret \"{}\"", recipe.id)));
        Ok(())
    }

    fn make(&mut self, recipe: &Recipe, done: &mut Outcome) -> Result<()> {
        let plaintext = self.plaintext(recipe)?;
        let path = &recipe.place.path;
        let recipients = self.recipients.of(path);
        let before = self.before.get(path).filter(|_| self.replaced.contains(&recipe.place));
        let format = before.map_or(&Format::Binary, |before| &before.format);
        let ciphertext = secret::encrypt(path, &plaintext, recipients, format)?;
        let public_key = recipe.generator.has_public_key().then(|| public_key(recipe, &plaintext));
        let public_key = public_key.transpose()?;

        let private = stage(path, &ciphertext)?;
        let public = public_key.map(|(path, text)| Ok((stage(&path, text.as_bytes())?, path)));
        let public = public.transpose()?;
        // The private key first: if that is all that ever happens, the next run finds the other from it. A
        // public key alone would belong to nothing.
        match before {
            None => self.persist(private, path, "generated", done)?,
            Some(before) => {
                Self::put(&private, before, public.iter().map(|(public, _)| public))?;
                self.report.line(format_args!("{}: generated again", path.display()));
                self.warn_of_lost(path, before);
                done.files.insert(path.clone());
            }
        }
        done.count += 1;
        if let Some((replacement, path)) = public {
            self.persist(replacement, &path, "written", done)?;
        }
        if self.inputs.contains(&**path) {
            self.known.insert(path.clone(), plaintext);
        }
        Ok(())
    }

    /// Adds the value of `recipe` at `key` to the plaintext of its file, which is written later: with all its values at once.
    fn add(&mut self, recipe: &'a Recipe, key: &Key) -> Result<()> {
        let path = &recipe.place.path;
        if self.lost.contains(path) {
            let what = format!("{} could not be written", origin::shown(path));
            return Err(Error::new(Status::SomeFailed, what));
        }
        let plaintext = self.plaintext(recipe)?;
        let public_key = recipe.generator.has_public_key().then(|| public_key(recipe, &plaintext));
        let public_key = public_key.transpose()?;
        let pointer = values::pointer(&key.pointer)?;
        let format = values::format(path, Some(&key.format))?;
        let old = self.known.get(path).map_or(format.empty(), Plaintext::expose);
        let mut new =
            structured::set(old, format, &pointer, plaintext.expose()).map_err(|reason| {
                let what = format!("cannot set {pointer} in {}", origin::shown(path));
                Error::new(Status::DataErr, what).because(reason)
            })?;
        self.known.insert(path.clone(), Plaintext::new(std::mem::take(&mut *new)));
        self.unwritten.entry(path.clone()).or_default().push(Added { recipe, public_key });
        Ok(())
    }

    /// Writes the other files that `recipe` is made from: what is made from a value may be there only if the value is.
    fn write_inputs(&mut self, recipe: &Recipe, done: &mut Outcome) {
        for input in recipe.inputs.iter().filter(|input| input.place.path != recipe.place.path) {
            self.write(&input.place.path, done);
        }
    }

    fn write_all(&mut self, done: &mut Outcome) -> Result<()> {
        while let Some(path) = self.unwritten.keys().next().cloned() {
            if self.context.interrupt.is_set() {
                return Err(self.context.interrupt.error());
            }
            self.write(&path, done);
        }
        Ok(())
    }

    /// Writes the file `path`, if it has new values that are not written yet. Nobody sees a part of them.
    fn write(&mut self, path: &Path, done: &mut Outcome) {
        let Some(added) = self.unwritten.remove(path) else { return };
        let Err(error) = self.replace(path, &added, done) else { return };
        self.known.remove(path);
        self.lost.insert(path.to_owned());
        for Added { recipe, .. } in added {
            let what = format!("cannot generate secret \"{}\"", recipe.id);
            done.failures.push(error.clone().context(what));
        }
    }

    /// Puts the plaintext of `path`, which has new values, in the place of the file, or where there is none yet.
    fn replace(&mut self, path: &Path, added: &[Added], done: &mut Outcome) -> Result<()> {
        let Some(plaintext) = self.known.get(path) else { return Ok(()) };
        let before = self.before.get(path);
        let format = before.map_or(&Format::Binary, |before| &before.format);
        let recipients = self.recipients.of(path);
        let replacement = stage(path, &secret::encrypt(path, plaintext, recipients, format)?)?;
        let public_keys = added.iter().filter_map(|added| added.public_key.as_ref());
        let public_keys: Vec<(Replacement, &Path)> = public_keys
            .map(|(path, text)| Ok((stage(path, text.as_bytes())?, &**path)))
            .collect::<Result<_>>()?;
        match before {
            None => replacement.persist_noclobber()?,
            Some(before) => {
                let replaced = added.iter().filter(|one| self.replaced.contains(&one.recipe.place));
                let old: BTreeSet<&Path> = replaced
                    .filter_map(|one| one.public_key.as_ref().map(|(path, _)| path.as_path()))
                    .collect();
                let old = public_keys.iter().filter(|(_, path)| old.contains(path));
                Self::put(&replacement, before, old.map(|(public, _)| public))?;
                self.warn_of_lost(path, before);
            }
        }
        for Added { recipe, .. } in added {
            let pointer = recipe.place.key.as_ref().map(|key| key.pointer.as_str());
            let pointer = pointer.unwrap_or_default();
            let again = if self.replaced.contains(&recipe.place) { " again" } else { "" };
            self.report.line(format_args!("{}: generated {pointer}{again}", path.display()));
        }
        done.count += added.len();
        done.files.insert(path.to_owned());
        for (replacement, path) in public_keys {
            self.persist(replacement, path, "written", done)?;
        }
        // It may get more: those that are made from what is made from these.
        match Secret::read(path)? {
            Some(now) => drop(self.before.insert(path.to_owned(), now)),
            None => drop(self.before.remove(path)),
        }
        Ok(())
    }

    /// Puts `private` in the place of the file that is as it was `before`, and removes the files that `public_keys` are for.
    ///
    /// These go first: the next run makes what is missing, but it would not notice a public key that belongs to the old private
    /// one.
    fn put<'b>(
        private: &Replacement,
        before: &Secret,
        public_keys: impl Iterator<Item = &'b Replacement>,
    ) -> Result<()> {
        private.ensure_same(Some(&before.digest), "vaultix generate")?;
        for public_key in public_keys {
            public_key.remove_old()?;
        }
        private.persist_if_unchanged(Some(&before.digest), "vaultix generate")
    }

    /// Warns where fewer can read the file `path` than `before`.
    fn warn_of_lost(&self, path: &Path, before: &Secret) {
        let now = Secret::read(path).ok().flatten().map_or(0, |now| now.recipients);
        if let lost @ 1.. = before.recipients.saturating_sub(now) {
            self.report.warning(format_args!(
                "{} was encrypted to {lost} more before; --recipient adds them again",
                path.display()
            ));
        }
    }

    fn plaintext(&self, recipe: &Recipe) -> Result<Plaintext> {
        if self.context.interrupt.is_set() {
            return Err(self.context.interrupt.error());
        }
        let input = |input: &plan::Input| {
            let what = || {
                format!("it is made from \"{}\", which could not be created or decrypted", input.id)
            };
            self.known.get(&input.place.path).ok_or_else(|| Error::new(Status::SomeFailed, what()))
        };
        let wholes = recipe.inputs.iter().map(input).collect::<Result<Vec<_>>>()?;
        let values: Vec<Values> = recipe
            .inputs
            .iter()
            .zip(wholes)
            .map(|(input, whole)| Values::read(&input.place.path, whole, &input.place.key))
            .collect();
        let plaintexts = recipe.inputs.iter().zip(&values);
        let plaintexts = plaintexts
            .map(|(input, values)| values.get(input.place.key.as_ref()))
            .collect::<Result<Vec<_>>>()?;
        let ids = recipe.inputs.iter().map(|input| input.id.as_str());
        let inputs: Vec<Input> = ids.zip(plaintexts).collect();
        make::make(&recipe.generator, &recipe.id, &inputs, &self.context)
    }

    /// Writes the public key of a secret that is there.
    fn publish(&self, recipe: &Recipe, done: &mut Outcome) -> Result<()> {
        let Place { path, key } = &recipe.place;
        // Why it could not be opened was said.
        let Some(whole) = self.known.get(path) else { return Ok(()) };
        let values = Values::read(path, whole, key);
        let (path, text) = public_key(recipe, values.get(key.as_ref())?)?;
        let replacement = stage(&path, text.as_bytes())?;
        self.persist(replacement, &path, "written", done)
    }

    fn persist(
        &self,
        replacement: Replacement,
        path: &Path,
        verb: &str,
        done: &mut Outcome,
    ) -> Result<()> {
        replacement.persist_noclobber()?;
        self.report.line(format_args!("{}: {verb}", path.display()));
        done.files.insert(path.to_owned());
        Ok(())
    }
}

/// Returns the public key of a secret with the plaintext `private`, and where it is kept.
fn public_key(recipe: &Recipe, private: &Plaintext) -> Result<(PathBuf, String)> {
    let path = recipe.public_key();
    match public::key(&recipe.generator, &recipe.id, private) {
        Ok(text) => Ok((path, text)),
        Err(reason) => {
            let what = format!("cannot write {}", path.display());
            Err(Error::new(Status::DataErr, what)
                .because(format!("secret \"{}\": {reason}", recipe.id)))
        }
    }
}

/// Writes `bytes` next to the place of the new file `path`.
fn stage(path: &Path, bytes: &[u8]) -> Result<Replacement> {
    let mut replacement = Replacement::new(path)?;
    replacement.write(bytes)?;
    Ok(replacement)
}
