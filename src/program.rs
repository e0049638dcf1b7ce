//! name of a program → its path.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

/// Returns the path of the program `name`, searched for in `PATH` if it has no slash.
pub fn find(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let name = Path::new(name.as_ref());
    let is_program =
        |path: &Path| path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok();
    if name.components().count() > 1 {
        return Some(name.to_owned()).filter(|path| is_program(path));
    }
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(name))
        .find(|path| is_program(path))
}
