//! root directory + files + script → what a real systemd did with them, in the folder `out`.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::workspace::Result;

/// Default limit for one boot, including its scenario and its shutdown.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Environment variable that asks for the full load, which takes longer.
pub const LOAD: &str = "VAULTIX_LOAD";

/// Where the product's prefix is inside a container, read-only.
///
/// Not at its path outside: that may be in `/tmp`, and systemd 257 gives generators their own
/// `/tmp`.
pub const PREFIX: &str = "/opt/vaultix";

/// Where the prefix of an older release is, if there is one.
pub const PREVIOUS: &str = "/opt/previous";

/// A system that can boot: a root directory that is never written to, and an overlay.
///
/// Dropping it kills what is still running and removes everything. This also happens when our
/// process is interrupted or killed.
pub struct Container {
    /// Name of the machine, unique while it exists.
    name: String,
    /// The root directory, shared and never written.
    lower: PathBuf,
    /// All files of this container: `layer`, `out` and the mount points.
    work: PathBuf,
    /// Additional arguments of systemd-nspawn.
    nspawn: Vec<String>,
    /// Arguments of PID 1, which are a container's kernel command line.
    init: Vec<String>,
    /// How long a boot may take.
    limit: Duration,
    /// Cleans up once its standard input closes.
    janitor: Child,
}

impl Container {
    /// Prepares a container on the root directory `lower`. `name` is part of its name.
    ///
    /// It has a machine id, so it is not a first boot, and an empty fstab.
    ///
    /// # Errors
    ///
    /// Those of the file system, mostly that this is not root.
    pub fn new(lower: &Path, name: &str) -> Result<Self> {
        /// Distinguishes the containers of one process.
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vaultix-{name}-{}-{count}", process::id());
        let work = std::env::temp_dir().join(&name);
        let cgroup = cgroup_root().join(&name);
        fs::create_dir(&work).map_err(|error| format!("{}: {error}", work.display()))?;
        fs::set_permissions(&work, fs::Permissions::from_mode(0o700))?;
        fs::create_dir(&cgroup).map_err(|error| format!("{}: {error}", cgroup.display()))?;
        let janitor = janitor(&work, &cgroup)?;
        for folder in ["layer", "out/journal", "root", "scratch"] {
            fs::create_dir_all(work.join(folder))?;
        }
        symlink(&cgroup, work.join("cgroup"))?;
        let (nspawn, init) = (Vec::new(), Vec::new());
        let limit = LIMIT;
        let container = Self { name, lower: lower.to_owned(), work, nspawn, init, limit, janitor };
        container.put("/etc/machine-id", "5d1219c7c4c5404aaa1f6d2a48adfda4\n")?;
        container.put("/etc/fstab", "")?;
        container.link("/var/log/journal", "/out/journal")?;
        // Without these, a soft reboot would unmount the product and the folder for results.
        for mount in ["opt-vaultix", "opt-previous", "out"] {
            let place = format!("/etc/systemd/system/{mount}.mount.d/stay.conf");
            container.put(&place, "[Unit]\nDefaultDependencies=no\n")?;
        }
        Ok(container)
    }

    /// Returns the folder that is `/out` inside. It also has the journal, in `journal`.
    #[must_use]
    pub fn out(&self) -> PathBuf {
        self.work.join("out")
    }

    /// Returns the path outside of the file that will be at the absolute `path` inside.
    ///
    /// Only files that were put there are visible here, not those that the container writes.
    #[must_use]
    pub fn layer(&self, path: &str) -> PathBuf {
        self.work.join("layer").join(path.trim_start_matches('/'))
    }

    /// Puts a file at the absolute `path`, mode 0644, with parents.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn put(&self, path: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
        let place = self.layer(path);
        make_parent(&place)?;
        fs::write(&place, bytes).map_err(|error| format!("{}: {error}", place.display()).into())
    }

    /// Puts a symbolic link to `target` at the absolute `path`, with parents.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn link(&self, path: &str, target: &str) -> Result<()> {
        let place = self.layer(path);
        make_parent(&place)?;
        symlink(target, &place).map_err(|error| format!("{}: {error}", place.display()).into())
    }

    /// Installs the product of `prefix`, which is at [`PREFIX`] inside, read-only. The generator is
    /// found by a link in `/etc`, the helper by one in `PATH`.
    ///
    /// The static units are copied, with the path that the helper has inside.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn install(&mut self, prefix: &Path) -> Result<()> {
        self.bind(prefix, PREFIX, "/etc/systemd/system")?;
        self.run_from(PREFIX)
    }

    /// Installs the product of `previous`, which is at [`PREVIOUS`] inside, as [`Self::install`]
    /// does. The product of `prefix` is ready for a script to upgrade to: at [`PREFIX`], with its
    /// static units in `/upgrade`.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn install_previous(&mut self, previous: &Path, prefix: &Path) -> Result<()> {
        self.bind(previous, PREVIOUS, "/etc/systemd/system")?;
        self.bind(prefix, PREFIX, "/upgrade")?;
        self.run_from(PREVIOUS)
    }

    /// Makes `prefix` visible at `place` inside, read-only, and copies its static units to the
    /// folder `units`.
    fn bind(&mut self, prefix: &Path, place: &str, units: &str) -> Result<()> {
        let shown = prefix.display().to_string();
        self.nspawn(&format!("--bind-ro={shown}:{place}"));
        let source = prefix.join("lib/systemd/system");
        if source.exists() {
            for entry in fs::read_dir(source)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let text = fs::read_to_string(entry.path())?.replace(&shown, place);
                self.put(&format!("{units}/{name}"), text)?;
            }
        }
        Ok(())
    }

    /// Links the programs at `place` into `PATH` and systemd's directory for generators.
    fn run_from(&self, place: &str) -> Result<()> {
        let generator = "systemd/system-generators/vaultix-generator";
        self.link(&format!("/etc/{generator}"), &format!("{place}/lib/{generator}"))?;
        self.link("/usr/local/bin/vaultix-decrypt", &format!("{place}/bin/vaultix-decrypt"))
    }

    /// Searches everything that the container leaves on its disk for `text`, once the machine is
    /// off. The paths of files that contain it, or have it in their name, are in `out/disk`.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn search(&self, text: &str) -> Result<()> {
        Ok(fs::write(self.work.join("search"), format!("{text}\n"))?)
    }

    /// Adds an argument of systemd-nspawn.
    pub fn nspawn(&mut self, argument: &str) {
        self.nspawn.push(argument.to_owned());
    }

    /// Adds an argument of PID 1, as a boot loader would to the kernel command line.
    pub fn init(&mut self, argument: &str) {
        self.init.push(argument.to_owned());
    }

    /// Sets how long it may take.
    pub fn limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Boots and waits until the machine is off again. What PID 1 printed is in `out/console`.
    ///
    /// # Errors
    ///
    /// It did not power off within its limit, and was killed; or it could not be started.
    pub fn boot(&self) -> Result<ExitStatus> {
        let console = fs::File::create(self.out().join("console"))?;
        let mut child = Command::new("sh")
            .args(["-c", include_str!("boot.sh"), "boot.sh"])
            .args([&self.work, &self.lower])
            .arg(&self.name)
            .args(&self.nspawn)
            .args(&self.init)
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console)
            .process_group(0)
            .spawn()?;
        let (ended, end) = mpsc::channel();
        // It ends by itself or because the janitor kills it, so it need not be joined.
        thread::spawn(move || ended.send(child.wait()));
        if let Ok(status) = end.recv_timeout(self.limit) {
            return Ok(status?);
        }
        fs::write(self.work.join("cgroup/cgroup.kill"), "1")?;
        Err(format!("{} did not power off within {} s", self.name, self.limit.as_secs()).into())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        // An error makes no difference here, and cannot be reported.
        let _ = self.janitor.wait();
    }
}

/// Starts the janitor of the container in `work` and `cgroup`, in its own process group, so that
/// Ctrl-C does not reach it.
fn janitor(work: &Path, cgroup: &Path) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", include_str!("janitor.sh"), "janitor.sh"])
        .args([work, cgroup])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

/// Returns the root of the cgroup v2 tree, which is elsewhere if v1 is mounted as well.
fn cgroup_root() -> PathBuf {
    let beside_v1 = Path::new("/sys/fs/cgroup/unified");
    if beside_v1.is_dir() { beside_v1.to_owned() } else { PathBuf::from("/sys/fs/cgroup") }
}

/// Creates the parent folder of `place`.
fn make_parent(place: &Path) -> Result<()> {
    let folder = place.parent().ok_or("a file needs a folder")?;
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()).into())
}
