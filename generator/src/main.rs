//! argv → unit files in systemd's directory, and an exit status; it never dies of a signal.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dlmalloc::GlobalDlmalloc;
use vaultix_generator::profile::{DEFAULT_PATH, Manager};
use vaultix_generator::status::Status;

/// What is printed for a wrong command line.
const USAGE: &str = "usage: vaultix-generator [--profile FILE] NORMAL_DIR [EARLY_DIR LATE_DIR]
       vaultix-generator --user --profile FILE DIR";

/// Makes fewer system calls than musl's own allocator.
#[global_allocator]
static ALLOCATOR: GlobalDlmalloc = GlobalDlmalloc;

fn main() -> ExitCode {
    // If a generator dies from a signal, systemd stops the other generators, including fstab's. So even what
    // should never happen ends in an exit status.
    std::panic::set_hook(Box::new(|_| std::process::exit(Status::Software as i32)));

    let result = run(std::env::args_os().skip(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, message)) => {
            // There may be no reader.
            let _ = writeln!(std::io::stderr(), "vaultix-generator: {message}");
            status.into()
        }
    }
}

/// Runs the generator for this command line.
fn run(args: impl Iterator<Item = OsString>) -> Result<(), (Status, String)> {
    let (manager, profile, directory) = parse(args).ok_or((Status::Usage, USAGE.to_owned()))?;
    let is_system = manager == Manager::System;
    if is_system && (is_initrd() || is_off(&kernel_command_line())) {
        return Ok(());
    }
    let helper = helper().ok_or((Status::Software, "cannot find its own path".to_owned()))?;
    let work = if is_system {
        vaultix_generator::generate
    } else {
        // Run when a configuration is built: what this machine was started with does not matter.
        vaultix_generator::generate_user
    };
    work(&profile, &helper, &directory)
}

/// Reads the command line: whose units they are, the profile and the normal directory.
fn parse(mut args: impl Iterator<Item = OsString>) -> Option<(Manager, PathBuf, PathBuf)> {
    let mut profile = None;
    let mut manager = Manager::System;
    let mut directories = Vec::new();
    while let Some(arg) = args.next() {
        if arg == "--profile" {
            // It is written to units, which have another working directory.
            profile = Some(std::path::absolute(args.next()?).ok()?);
        } else if arg == "--user" {
            manager = Manager::User;
        } else if arg.as_encoded_bytes().starts_with(b"-") {
            return None;
        } else {
            directories.push(PathBuf::from(arg));
        }
    }
    let profile = match (manager, directories.len()) {
        (Manager::System, 1 | 3) => profile.unwrap_or_else(|| DEFAULT_PATH.into()),
        // Which one is not known by default: it is not where it will be yet.
        (Manager::User, 1) => profile?,
        _ => return None,
    };
    directories.into_iter().next().map(|normal| (manager, profile, normal))
}

/// Returns the helper that was installed with this program: `../../../bin/vaultix-decrypt` relative to its own
/// real path, so that a link to it from `/etc/systemd/system-generators` works.
fn helper() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    Some(own.ancestors().nth(4)?.join("bin/vaultix-decrypt"))
}

/// Returns whether it runs in the initrd: no secret is decrypted there.
fn is_initrd() -> bool {
    std::env::var_os("SYSTEMD_IN_INITRD").is_some_and(|value| value == "1")
}

/// Returns whether `vaultix=off` is on the kernel's command line; the last `vaultix=` counts.
fn is_off(command_line: &str) -> bool {
    command_line
        .split([' ', '\t', '\n', '\0'])
        .filter_map(|word| word.strip_prefix("vaultix="))
        .next_back()
        .is_some_and(|value| matches!(value, "off" | "no" | "false" | "0"))
}

/// Returns the kernel's command line; in a container, that of its PID 1, as systemd does.
fn kernel_command_line() -> String {
    let container =
        std::env::var("SYSTEMD_VIRTUALIZATION").is_ok_and(|value| value.starts_with("container:"));
    let path = if container { "/proc/1/cmdline" } else { "/proc/cmdline" };
    let bytes = fs::read(Path::new(path)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_word_of_ours_turns_it_off() {
        assert!(is_off("quiet vaultix=off ro\n"));
        assert!(is_off("/sbin/init\0vaultix=0\0"));
        assert!(!is_off("quiet"));
        assert!(!is_off("xvaultix=off"));
        assert!(!is_off("vaultix=off vaultix=on"));
    }

    #[test]
    fn one_or_three_directories_are_taken() {
        let parse = |args: &[&str]| parse(args.iter().map(OsString::from));
        let (host, user) = (Manager::System, Manager::User);
        assert_eq!(parse(&["/n"]), Some((host, DEFAULT_PATH.into(), "/n".into())));
        assert_eq!(parse(&["/n", "/e", "/l"]), Some((host, DEFAULT_PATH.into(), "/n".into())));
        assert_eq!(parse(&["--profile", "/p", "/n"]), Some((host, "/p".into(), "/n".into())));
        let of_user = Some((user, "/p".into(), "/n".into()));
        assert_eq!(parse(&["--user", "--profile", "/p", "/n"]), of_user);
        assert_eq!(parse(&["--user", "/n"]), None, "no profile is the default");
        assert_eq!(parse(&["--user", "--profile", "/p", "/n", "/e", "/l"]), None);
        assert_eq!(parse(&["/n", "/e"]), None);
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&["--help"]), None);
        assert_eq!(parse(&["--profile"]), None);
    }
}
