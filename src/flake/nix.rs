//! directory of a flake → the options that it sets, and the profiles of its hosts. The only file that runs nix.

mod answer;
mod arguments;
mod declared;
mod find;
mod hosts;
mod input;
mod place;

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use vaultix_generator::escape;

use crate::error::{Error, Result, Status};
use crate::flake::git;
use crate::flake::path;
use crate::flake::rules::RuleSetting;
use crate::report;
use crate::system::fence::{self, Extent};
use crate::system::memory::Directory;
use crate::system::origin;
use crate::system::program;
pub use answer::hush;
use answer::{NixFailure, run_json};
pub use arguments::give as give_arguments;
pub use declared::{Module, declared};
pub use find::{file_of, foreign_owner, is_flake, root, root_if_ours, use_flake};
pub use hosts::{HostFailure, Hosts, host_keys, hosts, profiles};
use input::{DeclaredInputs, Lock, Metadata};
use place::in_work_tree;
pub use place::{FlakeInput, digest, digest_in_nix, key as checkout_key};

/// What a flake says in `vaultix.settings`. Twin of `settings` in `nix/flake-options.nix`.
#[derive(Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// Files with identities.
    pub identity: Texts,
    /// The recipients of these.
    pub recipient: Texts,
    /// Recipients that secrets are encrypted to besides the identity's own.
    pub extra_recipients: Vec<String>,
    /// Recipients of some files instead of these.
    pub rules: Vec<RuleSetting>,
    /// Where copies for hosts are, relative to the flake.
    pub cache: Option<String>,
    /// Where secrets are of which nothing else is said, relative to the flake.
    pub default_secret_directory: Option<String>,
    /// What nix is told when it evaluates hosts.
    pub nix_args: Vec<String>,
}

impl Settings {
    /// Returns the directory for copies, of the flake at `root`; `None` where it says nothing.
    ///
    /// # Errors
    ///
    /// When it is not below the flake.
    pub fn cache(&self, root: &Path) -> Result<Option<PathBuf>> {
        let fix = "set vaultix.cache to e.g. \"./secrets/cache\", or pass --cache DIR";
        self.cache.as_deref().map(|text| below(root, "cache", text, fix)).transpose()
    }

    /// Returns the directory for secrets, of the flake at `root`; `None` where it says nothing.
    ///
    /// # Errors
    ///
    /// When it is not below the flake.
    pub fn secrets(&self, root: &Path) -> Result<Option<PathBuf>> {
        let fix = "set vaultix.defaultSecretDirectory to e.g. \"./secrets\"";
        let text = self.default_secret_directory.as_deref();
        text.map(|text| below(root, "defaultSecretDirectory", text, fix)).transpose()
    }

    /// Returns the paths of the identities: relative to the flake at `root`, or to the home directory after `~/`.
    pub fn identities(&self, root: &Path) -> Vec<PathBuf> {
        let path = |text: &String| match (text.strip_prefix("~/"), env::var_os("HOME")) {
            (Some(rest), Some(home)) => Path::new(&home).join(rest),
            _ => root.join(text),
        };
        self.identity.0.iter().map(path).collect()
    }
}

/// No text, one, or a list of them.
#[derive(Deserialize, Default, Clone)]
#[serde(from = "Option<OneOrMore>")]
pub struct Texts(pub Vec<String>);

/// What stands for these.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl From<Option<OneOrMore>> for Texts {
    fn from(texts: Option<OneOrMore>) -> Self {
        match texts {
            None => Self::default(),
            Some(OneOrMore::One(text)) => Self(vec![text]),
            Some(OneOrMore::More(texts)) => Self(texts),
        }
    }
}

/// Returns the directory `text` of the flake at `root`, which is what `option` is set to.
fn below(root: &Path, option: &str, text: &str, fix: &str) -> Result<PathBuf> {
    let below = path::directory(text).ok_or_else(|| {
        let what = format!("cannot use vaultix.{option} of {}", file_of(root).display());
        Error::new(Status::Config, what)
            .because(format!("\"{text}\" is not inside the flake"))
            .fix(fix)
    })?;
    let path = root.join(below);
    fence::mark_named(&path);
    Ok(report::relative(&path))
}

/// Set for what Nix runs on our behalf. It asks git whether the flake is dirty, and git may be set up to run us on every
/// secret that changed: each evaluation would start another one.
const EVALUATING: &str = "VAULTIX_EVALUATING";

/// The settings of the flake of this run, once they are known.
static SETTINGS: OnceLock<Settings> = OnceLock::new();

/// Returns whether there is a nix to ask.
pub fn is_installed() -> bool {
    ["nix", "nix-instantiate"].iter().all(|name| program::find(name).is_some())
}

/// Asks the flake at `root` for its settings; evaluates no host.
///
/// # Errors
///
/// Nix's own.
pub fn settings(root: &Path) -> Result<Settings> {
    if let Some(settings) = SETTINGS.get() {
        return Ok(settings.clone());
    }
    let settings: Settings = eval(root, "vaultix.settings")?;
    Ok(SETTINGS.get_or_init(|| settings).clone())
}

/// Evaluates one output of the flake at `root`.
fn eval<T: DeserializeOwned>(root: &Path, output: &str) -> Result<T> {
    eval_with(root, output, None)
}

/// Evaluates one output of the flake at `root`, or what a `function` in Nix makes of it.
fn eval_with<T: DeserializeOwned>(root: &Path, output: &str, function: Option<&str>) -> Result<T> {
    eval_as(output, root, output, function)
}

/// The same, for what messages call `shown`.
fn eval_as<T: DeserializeOwned>(
    shown: &str,
    root: &Path,
    output: &str,
    function: Option<&str>,
) -> Result<T> {
    let what = || {
        Error::new(
            Status::Config,
            format!("cannot evaluate {shown} of {}", file_of(root).display()),
        )
    };
    if env::var_os(EVALUATING).is_some() {
        return Err(what().because("it is already being evaluated, which needs this file"));
    }
    flake_copy(root)?;
    report::detail(format_args!("evaluating {shown} of {}", file_of(root).display()));
    let waiting = report::waiting(format!("evaluating {shown}"));
    let evaluate = || {
        let mut nix = nix(root, &["eval", "--json"])?;
        if is_flake(root) {
            let mut installable = find::reference();
            installable.push("#");
            installable.push(output);
            nix.arg(installable);
        } else {
            // The file itself is that output.
            let attribute =
                output.strip_prefix("vaultix").unwrap_or(output).trim_start_matches('.');
            let whole = if attribute.is_empty() { "." } else { attribute };
            nix.args(["--impure", "--file"]).arg(file_of(root)).arg(whole);
        }
        if let Some(function) = function {
            nix.args(["--apply", function]);
        }
        run_json(&mut nix)
    };
    let answer = evaluate();
    drop(waiting);
    answer.map_err(|failure| match failure {
        NixFailure::Failed(reason) if !is_flake(root) && reason.contains(NO_PATH) => {
            let example = "let it be vaultix.configure { nodes = { … }; }";
            what().because(reason).fix(example)
        }
        // The names of outputs that Nix tried say nothing to people.
        NixFailure::Failed(reason) if is_ours(output) && reason.contains(NO_ATTRIBUTE) => {
            let reason = format!("the flake {NO_ATTRIBUTE} \"{output}\"");
            what().because(reason).fix("vaultix init")
        }
        failure => failure.into_error(what()),
    })
}

/// What Nix says where a flake has no such output.
const NO_ATTRIBUTE: &str = "does not provide attribute";

/// The same, where it is a file.
const NO_PATH: &str = "in selection path";

/// Returns whether `output` is one that Vaultix brings.
fn is_ours(output: &str) -> bool {
    output.split('.').next() == Some("vaultix")
}

/// Prepares to run nix in `root`, for a command that takes a flake.
///
/// # Errors
///
/// When git, which Nix runs, would not do.
fn nix(root: &Path, args: &[&str]) -> std::result::Result<Command, NixFailure> {
    let mut nix = Command::new("nix");
    git::without_repository_programs(nix.current_dir(root))
        .map_err(|error| NixFailure::Failed(format!("git: {error}")))?
        .env(EVALUATING, "1")
        .args(["--extra-experimental-features", "nix-command flakes"])
        // What is not in flake.lock is fetched by nobody: neither from a registry that the flake may name.
        .args(["--option", "use-registries", "false"])
        .args(args)
        .arg("--no-update-lock-file")
        .args(arguments::all());
    Ok(nix)
}

/// A flake, and its copy that Nix evaluates.
struct FlakeCopy {
    /// The top of what is copied.
    top: PathBuf,
    /// Where the copy is in the store.
    path: PathBuf,
    /// The directory of the flake.
    root: PathBuf,
    inputs: Vec<FlakeInput>,
}

/// The flake of this run, once it was asked: there is one.
static COPY: OnceLock<FlakeCopy> = OnceLock::new();

/// Returns the top of what Nix copies of the flake, if that was asked.
pub fn top() -> Option<&'static Path> {
    COPY.get().map(|copy| copy.top.as_path())
}

/// Returns the file of the flake, or of one of its inputs that is here, which `path` in the store is a copy of.
pub fn in_flake(path: &Path) -> Option<PathBuf> {
    COPY.get().and_then(|copy| in_work_tree(copy, path))
}

/// Returns the inputs of the flake, if that was asked.
pub fn inputs() -> &'static [FlakeInput] {
    COPY.get().map_or(&[], |copy| copy.inputs.as_slice())
}

/// Returns the command that has the flake use the newest state of the input `name`.
pub fn update_command(name: &str) -> String {
    let name = escape::shell(name);
    match COPY.get().map(|copy| report::relative(&copy.root)) {
        Some(root) if root != Path::new("") && !is_around(&root) => {
            format!("nix flake update {name} --flake {}", escape::shell_path(root))
        }
        _ => format!("nix flake update {name}"),
    }
}

/// Returns whether the working directory is below `directory`, where Nix finds a flake by itself.
fn is_around(directory: &Path) -> bool {
    env::current_dir().is_ok_and(|here| here.starts_with(directory))
}

/// Asks what Nix copies of the flake at `root`: from then on, names of files in its inputs are known.
///
/// # Errors
///
/// Nix's own; and where an input must not be read.
pub fn know_inputs(root: &Path) -> Result<()> {
    flake_copy(root).map(drop)
}

/// Returns the copy of the flake at `root` that Nix evaluates. From then on, what the flake names is fenced.
///
/// # Errors
///
/// Nix's own; and where an input is outside of the flake, on this machine, and the user has not allowed it. Nothing is
/// evaluated then.
fn flake_copy(root: &Path) -> Result<&'static FlakeCopy> {
    if let Some(copy) = COPY.get() {
        return Ok(copy);
    }
    let what = |verb: &str| {
        Error::new(Status::Config, format!("cannot {verb} {}", file_of(root).display()))
    };
    let top = fence_repository(root, Extent::Whole)?;
    if !is_flake(root) {
        // Nix reads what is there, and nothing is copied.
        let (path, root, inputs) = (top.clone(), root.to_owned(), Vec::new());
        return Ok(COPY.get_or_init(|| FlakeCopy { top, path, root, inputs }));
    }
    // Before anything is copied: as it is written, without what only flakes know.
    let declared: DeclaredInputs =
        run_json(&mut declared_inputs(root)).map_err(|failure| failure.into_error(what("read")))?;
    let local = |paths: &mut dyn Iterator<Item = PathBuf>| -> Vec<PathBuf> {
        paths.map(|path| input::resolve(root, path)).collect()
    };
    let named = local(&mut declared.references.iter().filter_map(input::local_path));
    ensure_allowed(&top, named.into_iter(), || what("evaluate"))?;
    let lock = fence::read(&root.join("flake.lock"), MAX_LOCK);
    let lock = match lock.map(|text| serde_json::from_slice(&text)) {
        Ok(Ok(lock)) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Lock::default(),
        Ok(Err(error)) => return Err(cannot_lock(root).because(error)),
        Err(error) => return Err(cannot_lock(root).because(error)),
    };
    ensure_allowed(&top, local(&mut lock.local_paths()).into_iter(), || what("evaluate"))?;
    // Nix would fetch it, and say afterwards that it may not.
    if let Some(name) = declared.names.iter().find(|name| !lock.has(name)) {
        return Err(what("evaluate")
            .because(format!("flake.lock does not have its input {name}"))
            .fix("nix flake lock"));
    }
    // And as Nix has it, to whom git gives what is committed, which need not be what is here. If flake.lock does not fit
    // flake.nix, Nix fetches what changed before it refuses, and also what a flake in there names as an input. So it uses
    // a store that nobody else can read, and that is removed. If it fits, only the flake itself is copied.
    let store = Directory::on_disk().map_err(|reason| {
        what("evaluate").because(reason).fix("set TMPDIR to a directory of your own")
    })?;
    let waiting = report::waiting("reading the flake".to_owned());
    let metadata: Metadata = nix(root, &["flake", "metadata", "--json"])
        .and_then(|mut nix| run_json(nix.arg(find::reference()).arg("--store").arg(&store.path)))
        .map_err(|failure| failure.into_error(what("evaluate")))?;
    drop((store, waiting));
    let locked = local(&mut metadata.locks.local_paths());
    ensure_allowed(&top, locked.into_iter(), || what("evaluate"))?;
    let inputs = FlakeInput::all(metadata.locks.inputs(), root, &top);
    origin::add_inputs(inputs.iter().map(FlakeInput::origin));
    let (root, path) = (root.to_owned(), metadata.path);
    Ok(COPY.get_or_init(|| FlakeCopy { top, path, root, inputs }))
}

/// Largest `flake.lock` that is read, in bytes (16 MiB).
const MAX_LOCK: u64 = 16 << 20;

fn cannot_lock(root: &Path) -> Error {
    Error::new(Status::Config, format!("cannot read {}/flake.lock", root.display()))
}

/// Fences what the flake at `root` names, or all that it holds, and returns the top of what Nix copies of it.
///
/// # Errors
///
/// The system's own.
pub fn fence_repository(root: &Path, extent: Extent) -> Result<PathBuf> {
    let fence_repository = || {
        let root = if root == Path::new("") { Path::new(".") } else { root };
        let top = git::top(root)?;
        let top = top.map_or_else(|| root.canonicalize(), Ok)?;
        fence::add_root(&top, extent).map(|()| top)
    };
    fence_repository().map_err(|error: io::Error| {
        let what = format!("cannot look into {}", root.display());
        Error::new(Status::NoPerm, what).because(error)
    })
}

/// Prepares to read the inputs of the flake at `root` as they are written, with nothing fetched or copied.
fn declared_inputs(root: &Path) -> Command {
    /// All inputs, and those of inputs, as a list.
    const EXPRESSION: &str = "{ file }: let
        text = name: input: toString (input.${name} or \"\");
        of = input: if !builtins.isAttrs input then [ ] else
          [ { type = text \"type\" input; url = text \"url\" input; path = text \"path\" input; } ]
          ++ builtins.concatMap of (builtins.attrValues (input.inputs or { }));
        inputs = (import file).inputs or { };
      in { names = builtins.attrNames inputs; references = builtins.concatMap of (builtins.attrValues inputs); }";
    let mut nix = Command::new("nix-instantiate");
    restrict(&mut nix, root);
    nix.args(["--eval", "--strict", "--json", "--expr", EXPRESSION, "--argstr", "file"])
        .arg(root.join("flake.nix"));
    nix
}

/// Lets `nix` read nothing but what is below `root`, and fetch nothing.
fn restrict<'a>(nix: &'a mut Command, root: &Path) -> &'a mut Command {
    let mut place = std::ffi::OsString::from("vaultix=");
    place.push(root);
    nix.args(["--option", "restrict-eval", "true", "--option", "allowed-uris", ""])
        // Nor by what is not restricted: fetchTree and getFlake copy any directory, and a derivation runs a program.
        .args(["--option", "experimental-features", ""])
        .args(["--option", "allow-import-from-derivation", "false", "-I"])
        .arg(place)
}

/// Says which inputs on this machine are allowed though they are outside of the flake.
const ALLOW: &str = "vaultix.allowInput";

/// Makes sure that all of `inputs` are below `top`, or that the user has allowed them.
fn ensure_allowed(
    top: &Path,
    inputs: impl Iterator<Item = PathBuf>,
    what: impl Fn() -> Error,
) -> Result<()> {
    let real = |path: &Path| path.canonicalize().ok();
    // The kernel follows a link before the `..` behind it, and Nix takes both out of the text: both readings count.
    let is_below = |path: &Path, top: &Path| {
        [path, &fence::without_parents(path)]
            .iter()
            .all(|path| real(path).is_some_and(|path| path.starts_with(top)))
    };
    let mut outside = inputs.filter(|path| !is_below(path, top)).peekable();
    if outside.peek().is_none() {
        return Ok(());
    }
    let allowed = git::own_paths(ALLOW).unwrap_or_default();
    let allowed: Vec<PathBuf> = allowed.iter().filter_map(|path| real(path)).collect();
    match outside.find(|path| !allowed.iter().any(|one| is_below(path, one))) {
        None => Ok(()),
        Some(path) => {
            let shown = path.display();
            let path = escape::shell_path(&path);
            Err(what()
                .because(format!("it has {shown} as an input, which is outside {}", top.display()))
                .because("you have not allowed that")
                .fix(format!("git config --global --add {ALLOW} {path}")))
        }
    }
}

/// Returns the rules of agenix in the Nix file `path`, by the names of files, with `publicKeys` and what is in them of
/// `fields`; `None` where it is no attribute set. It may read what is below `top`, and fetch nothing.
///
/// # Errors
///
/// Nix's own.
pub fn rules(
    path: &Path,
    top: &Path,
    fields: &[&str],
) -> Result<Option<BTreeMap<String, Attributes>>> {
    let what = || Error::new(Status::Config, format!("cannot evaluate {}", path.display()));
    let whole = std::path::absolute(path).map_err(|error| what().because(error))?;
    let mut nix = Command::new("nix-instantiate");
    restrict(&mut nix, top);
    nix.args(["--eval", "--strict", "--json", "--argstr", "path"]).arg(whole).arg("--expr").arg(
        format!(
            "{{ path }}: let
              it = import path;
              names = builtins.filter (name: builtins.isAttrs it.${{name}}
                && (it.${{name}} ? publicKeys || builtins.match \".*\\.age\" name != null)) (builtins.attrNames it);
              texts = keys: let all = builtins.tryEval (builtins.deepSeq keys keys); in
                if all.success && builtins.isList all.value then builtins.filter builtins.isString all.value else [ ];
              rule = name: {{ inherit name; value = builtins.intersectAttrs {{ {} = null; }} it.${{name}}
                // {{ publicKeys = texts (it.${{name}}.publicKeys or [ ]); }}; }};
            in if builtins.isAttrs it then builtins.listToAttrs (map rule names) else null",
            fields.join(" = null; ")
        ),
    );
    run_json(&mut nix).map_err(|failure| failure.into_error(what()))
}

/// What an attribute set contains, by name.
pub type Attributes = BTreeMap<String, Value>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_found_from_the_flake_or_from_home() {
        let at = |text: &str| {
            let json = serde_json::json!({ "identity": [text, text] });
            let settings: Settings = serde_json::from_value(json).unwrap();
            let json = serde_json::json!({ "identity": text, "recipient": null });
            let one: Settings = serde_json::from_value(json).unwrap();
            let [first, second] = settings.identities(Path::new("/flake")).try_into().unwrap();
            assert!(first == second && one.identities(Path::new("/flake")) == [first.clone()]);
            first
        };
        assert_eq!(at("/home/me/id.txt"), Path::new("/home/me/id.txt"));
        assert_eq!(at("keys/id.txt"), Path::new("/flake/keys/id.txt"));
        assert_eq!(at("~/id.txt"), Path::new(&env::var_os("HOME").unwrap()).join("id.txt"));
    }
}
