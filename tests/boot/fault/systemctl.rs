//! Stands where systemctl stands, and notes what it is asked for. While the file `deaf` is there, it does as systemctl
//! does where it cannot reach systemd.
//!
//! A program and not a script: a shell takes several times as long to start, and this is started tens of thousands of times.

use std::env;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().collect();
    let work = Path::new(&words[0]).parent().unwrap();
    if work.join("deaf").exists() {
        eprintln!("Failed to connect to bus: Connection refused");
        return ExitCode::FAILURE;
    }
    let line = format!("{}\n", words[1..].join(" "));
    let mut told = File::options().create(true).append(true).open(work.join("run/told")).unwrap();
    told.write_all(line.as_bytes()).unwrap();
    ExitCode::SUCCESS
}
