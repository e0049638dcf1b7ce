//! The tests of the boot side, on another processor: built for it, and run by qemu.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use argh::FromArgs;
use xshell::cmd;
use xtask::workspace::{self, Result};
use xtask::{packages, product};

/// What is built: for the processor of most single-board computers, and with the libc of the packages.
const TRIPLE: &str = "aarch64-unknown-linux-musl";

/// How the kernel knows programs for it, and what it starts them with: binfmt-misc of the kernel's documentation. `F` opens qemu
/// now and not in a container, `P` passes argv[0] on, `C` heeds the set-user-ID bit.
const RULE: &str = r":vaultix:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:";
/// The flags.
const FLAGS: &str = "PCF";

/// qemu 7.2 leaves a field out, so that all files seem to be on one mount, whose number is 0.
const MOUNTS: &str = "qemu does not pass on which mount statx(2) says that a file is on";

/// What cannot be tried so, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("path::mount::tests::the_root_directory_is_mounted", MOUNTS),
    ("a_silent_file_system_delays_only_its_owner", MOUNTS),
    ("a_mount_of_a_user_is_not_queried", MOUNTS),
    ("a_mount_of_a_user_can_claim_to_be_roots", MOUNTS),
    (
        "a_lease_on_what_is_there_holds_nobody_up",
        "in a user namespace, nobody may take a lease on a file of somebody else",
    ),
    ("twice_as_much_takes_twice_the_work", "valgrind does not run programs of another processor"),
];

/// Run the tests of generator and helper for aarch64 with qemu; needs root
#[derive(FromArgs)]
#[argh(subcommand, name = "foreign")]
pub(crate) struct Args {
    /// run only tests whose name contains this
    #[argh(positional)]
    filter: Option<String>,
}

/// Builds the tests for the other processor, and runs them where the kernel starts such programs with qemu.
///
/// What is left out is printed. Nothing else is skipped: a test that cannot run here fails.
///
/// # Errors
///
/// Something that is needed is missing, or a test failed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let sh = workspace::shell()?;
    if !packages::is_root(&sh)? {
        return Err("having the kernel start programs of another processor takes root".into());
    }
    packages::ensure(&sh, packages::FOREIGN)?;
    cmd!(sh, "rustup --quiet target add {TRIPLE}").quiet().ignore_stderr().run()?;
    let variable =
        |what: &str| format!("CARGO_TARGET_{}_{what}", TRIPLE.to_uppercase().replace('-', "_"));
    // All of it is Rust, so that the linker that comes with the compiler is enough.
    let _linker = sh.push_env(variable("LINKER"), "rust-lld");
    let _flags = sh.push_env(variable("RUSTFLAGS"), "-Clink-self-contained=yes");
    let _all = sh.push_env("VAULTIX_TESTS", "all");
    let cargo = product::cargo();
    let target = workspace::target()?.join("elsewhere");
    let what = ["--target", TRIPLE, "-p", "vaultix-generator", "-p", "vaultix-units", "--tests"];
    let build = cmd!(sh, "{cargo} test --quiet --locked --no-run --target-dir {target} {what...}");
    build.run()?;
    for (name, why) in LEFT_OUT {
        eprintln!("xtask: left out: {name}: {why}");
    }
    let skipped = LEFT_OUT.iter().flat_map(|(name, _)| ["--skip", name]);
    let filter = args.filter.as_slice();
    let namespace = Namespace::new()?;
    let enter = namespace.enter();
    let options = ["--quiet", "--locked", "--no-fail-fast"];
    let tests = cmd!(
        sh,
        "nsenter {enter...} {cargo} test {options...} --target-dir {target} {what...} -- {skipped...} {filter...}"
    );
    Ok(tests.run()?)
}

/// A user namespace, with rules of its own for programs of other processors: those of the machine stay as they are. With a
/// process that keeps it, which ends with this.
struct Namespace(Child);

impl Namespace {
    /// Makes it.
    fn new() -> Result<Self> {
        let mut held = Command::new("unshare")
            .args(["--user", "--mount", "--propagation", "private", "sh", "-c", "echo; read -r _"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = [0];
        let output = held.stdout.as_mut().ok_or("unshare has no output")?;
        output.read_exact(&mut line)?;
        let namespace = Self(held);
        for map in ["uid_map", "gid_map"] {
            let id = namespace.0.id();
            let file = format!("/proc/{id}/{map}");
            // All users are in it, and are who they are.
            fs::write(&file, "0 0 4294967295\n").map_err(|error| format!("{file}: {error}"))?;
        }
        let qemu = packages::find("qemu-aarch64").ok_or("there is no qemu-aarch64")?;
        let rule = format!("{RULE}{}:{FLAGS}", qemu.display());
        // And a folder in memory of its own, where other tests that run now have theirs.
        let script = "mount -t tmpfs -o mode=1777 tmpfs /dev/shm && \
            mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc && \
            cat >/proc/sys/fs/binfmt_misc/register";
        let mut register = Command::new("nsenter")
            .args(namespace.enter())
            .args(["sh", "-c", script])
            .stdin(Stdio::piped())
            .spawn()?;
        register.stdin.take().ok_or("sh has no input")?.write_all(rule.as_bytes())?;
        if register.wait()?.success() {
            return Ok(namespace);
        }
        Err("this kernel has no rules for programs in a user namespace: Linux 6.7 or newer has"
            .into())
    }

    /// Returns the words between `nsenter` and a command that is to run in it.
    fn enter(&self) -> Vec<String> {
        let id = self.0.id().to_string();
        ["--user", "--mount", "--wd=.", "--target", &id, "--"].map(str::to_owned).to_vec()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // It ends when its input does.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
