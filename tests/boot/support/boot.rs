//! one boot → what is known about it afterwards.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use serde_json::Value;
use xtask::canary::plain;
use xtask::container::Container;

/// A boot that is over. Prints all that is known about it when a test fails.
pub struct Boot {
    /// Still holds the results.
    container: Container,
}

/// What systemd said about one unit, by property name.
pub type Unit = BTreeMap<String, String>;

/// One line of the journal.
#[derive(Debug)]
pub struct Line {
    /// The unit that wrote it or that it is about; empty for PID 1's other lines.
    pub unit: String,
    /// syslog's: 3 is an error.
    pub priority: u8,
    /// The text.
    pub message: String,
}

impl Boot {
    /// Takes over what `container` has left.
    pub fn new(container: Container) -> Self {
        Self { container }
    }

    /// Returns the folder that was `/out`.
    pub fn out(&self) -> PathBuf {
        self.container.out()
    }

    /// Tells whether the script left a file of this name in `/out`.
    pub fn has(&self, name: &str) -> bool {
        self.container.out().join(name).exists()
    }

    /// Returns what the script left in `/out/NAME`, without white space at its end and without the marker.
    pub fn text(&self, name: &str) -> String {
        let path = self.container.out().join(name);
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("/out/{name}: {error}"));
        String::from_utf8_lossy(&plain(&bytes)).trim_end().to_owned()
    }

    /// Returns the exit status of the command that was noted as `name`.
    pub fn status(&self, name: &str) -> i32 {
        self.text(&format!("{name}.status")).parse().unwrap()
    }

    /// Returns all units of a snapshot, by name.
    pub fn units(&self, snapshot: &str) -> BTreeMap<String, Unit> {
        let parse = |block: &str| -> Unit {
            block
                .lines()
                .filter_map(|line| line.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect()
        };
        let text = self.text(&format!("{snapshot}.units"));
        text.split("\n\n").map(parse).map(|unit| (unit["Id"].clone(), unit)).collect()
    }

    /// Returns one unit as it was at the end; fails if systemd did not know it.
    pub fn unit(&self, name: &str) -> Unit {
        self.unit_at("final", name)
    }

    /// Returns one unit of a snapshot; fails if systemd did not know it.
    pub fn unit_at(&self, snapshot: &str, name: &str) -> Unit {
        let mut units = self.units(snapshot);
        units.remove(name).unwrap_or_else(|| panic!("no unit {name} in {:?}", units.keys()))
    }

    /// Returns the names of the units that were failed in a snapshot.
    pub fn failed(&self, snapshot: &str) -> Vec<String> {
        let units = self.units(snapshot).into_iter();
        units.filter(|(_, unit)| unit["ActiveState"] == "failed").map(|(name, _)| name).collect()
    }

    /// Returns the whole journal in order, from the first message to the last before the power went off.
    pub fn journal(&self) -> Vec<Line> {
        let output = Command::new("journalctl")
            .args(["--quiet", "--no-pager", "--output=json", "--all", "--directory"])
            .arg(self.container.out().join("journal"))
            .output()
            .unwrap();
        assert!(output.status.success(), "journalctl: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(line).collect()
    }

    /// Returns the messages of one unit, its own and systemd's about it.
    pub fn journal_of(&self, unit: &str) -> Vec<Line> {
        self.journal().into_iter().filter(|line| line.unit == unit).collect()
    }

    /// Fails unless the unit's journal has a line of priority 3 (error) with all these `words` in it.
    pub fn assert_error(&self, unit: &str, words: &[&str]) {
        let lines = self.journal_of(unit);
        let fits = |line: &Line| {
            line.priority == 3 && words.iter().all(|word| line.message.contains(word))
        };
        assert!(lines.iter().any(fits), "{unit} has no error line with {words:?}: {lines:#?}");
    }

    /// Fails if systemd met an ordering cycle at any time, from its first line to poweroff.
    pub fn assert_no_cycle(&self) {
        let journal = self.journal();
        assert!(
            journal.iter().any(|line| line.message.contains("Shutting down")),
            "the journal goes on until the power is off"
        );
        let console = self.text("console");
        let lines = journal.iter().map(|line| line.message.as_str()).chain(console.lines());
        let cycles: Vec<_> = lines.filter(|line| line.to_lowercase().contains("cycle")).collect();
        assert!(cycles.is_empty(), "{cycles:#?}");
    }
}

impl Drop for Boot {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.describe());
        }
    }
}

impl Boot {
    /// Returns everything that helps to find out why a test failed.
    fn describe(&self) -> String {
        let mut text = String::new();
        let mut add =
            |title: &str, body: &str| write!(text, "---- {title}\n{}\n", body.trim_end()).unwrap();
        let out = self.container.out();
        let mut names: Vec<PathBuf> =
            fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        for path in names
            .iter()
            .filter(|path| path.is_file() && path.extension().is_none_or(|it| it != "units"))
        {
            let body = fs::read(path).unwrap();
            let body = String::from_utf8_lossy(&plain(&body)).into_owned();
            add(&format!("/out/{}", path.file_name().unwrap().display()), &cut(&body));
        }
        if let Ok(units) = fs::read_to_string(out.join("final.units")) {
            let ours = units
                .split("\n\n")
                .filter(|unit| unit.contains("Id=vaultix") || unit.contains("=failed"));
            add("units", &ours.collect::<Vec<_>>().join("\n\n"));
        }
        for line in
            self.journal().iter().filter(|line| line.unit.contains("vaultix") || line.priority < 5)
        {
            writeln!(text, "<{}> {}: {}", line.priority, line.unit, line.message).unwrap();
        }
        text
    }
}

/// Returns the head of a long text.
fn cut(text: &str) -> String {
    text.lines().take(200).collect::<Vec<_>>().join("\n")
}

/// Reads one line of `journalctl --output=json`.
fn line(json: &str) -> Line {
    let fields: Value = serde_json::from_str(json).unwrap();
    let text = |name: &str| match &fields[name] {
        Value::String(text) => text.clone(),
        // A message that is not UTF-8 or has control characters comes as an array of bytes.
        Value::Array(bytes) => {
            let bytes: Vec<u8> =
                bytes.iter().map(|byte| byte.as_u64().unwrap().try_into().unwrap()).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        _ => String::new(),
    };
    // PID 1 says in UNIT which one a line is about.
    let unit = if fields["UNIT"].is_string() { text("UNIT") } else { text("_SYSTEMD_UNIT") };
    Line { unit, priority: text("PRIORITY").parse().unwrap_or(6), message: text("MESSAGE") }
}
