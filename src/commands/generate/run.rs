//! plan + recipients + plaintexts of what is there → new secrets, and their public keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use age::armor::Format;
use vaultix_units::plaintext::Plaintext;

use super::command::{Input, RunContext};
use super::make;
use super::plan::{self, Plan, Recipe};
use super::public;
use crate::error::{Error, Result, Status};
use crate::files::replace::Replacement;
use crate::files::secret;
use crate::files::values::Values;
use crate::flake::workspace::Recipients;
use crate::report::Report;

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
    /// Their plaintexts, as far as they could be opened.
    pub known: BTreeMap<PathBuf, Plaintext>,
    pub report: &'a Report,
}

impl Run<'_> {
    /// Makes what `plan` says.
    ///
    /// # Errors
    ///
    /// When the user interrupts. What is there then is whole.
    pub fn work(mut self, plan: &Plan, done: &mut Outcome) -> Result<()> {
        for recipe in &plan.make {
            let outcome = self.make(recipe, done);
            self.collect(recipe, outcome, done)?;
        }
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
        let ciphertext = secret::encrypt(
            &recipe.path,
            &plaintext,
            self.recipients.of(&recipe.path),
            &Format::Binary,
        )?;
        let public_key = recipe.generator.has_public_key().then(|| public_key(recipe, &plaintext));
        let public_key = public_key.transpose()?;

        let private = stage(&recipe.path, &ciphertext)?;
        let public = public_key.map(|(path, text)| Ok((stage(&path, text.as_bytes())?, path)));
        let public = public.transpose()?;
        // The private key first: if that is all that ever happens, the next run finds the other from it. A
        // public key alone would belong to nothing.
        self.persist(private, &recipe.path, "generated", done)?;
        done.count += 1;
        if let Some((replacement, path)) = public {
            self.persist(replacement, &path, "written", done)?;
        }
        if self.inputs.contains(&*recipe.path) {
            self.known.insert(recipe.path.clone(), plaintext);
        }
        Ok(())
    }

    fn plaintext(&self, recipe: &Recipe) -> Result<Plaintext> {
        if self.context.interrupt.is_set() {
            return Err(self.context.interrupt.error());
        }
        let input = |input: &plan::Input| {
            let what = || {
                format!("it is made from \"{}\", which could not be created or decrypted", input.id)
            };
            self.known.get(&input.path).ok_or_else(|| Error::new(Status::SomeFailed, what()))
        };
        let wholes = recipe.inputs.iter().map(input).collect::<Result<Vec<_>>>()?;
        let values: Vec<Values> = recipe
            .inputs
            .iter()
            .zip(wholes)
            .map(|(input, whole)| Values::read(&input.path, whole, &input.key))
            .collect();
        let plaintexts = recipe.inputs.iter().zip(&values);
        let plaintexts = plaintexts
            .map(|(input, values)| values.get(input.key.as_ref()))
            .collect::<Result<Vec<_>>>()?;
        let ids = recipe.inputs.iter().map(|input| input.id.as_str());
        let inputs: Vec<Input> = ids.zip(plaintexts).collect();
        make::make(&recipe.generator, &recipe.id, &inputs, &self.context)
    }

    /// Writes the public key of a secret that is there.
    fn publish(&self, recipe: &Recipe, done: &mut Outcome) -> Result<()> {
        // Why it could not be opened was said.
        let Some(private) = self.known.get(&recipe.path) else { return Ok(()) };
        let (path, text) = public_key(recipe, private)?;
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
    let path = public::path(&recipe.path);
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
