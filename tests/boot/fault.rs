//! the helper + one fault, at every system call in turn → the old file or the new one, whole.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::Mutex;
use std::thread;

mod helper;
mod look;
mod memory;
mod place;
mod story;

use helper::Fault;
use look::{File, Look};
use place::{Place, Run};

/// What is injected at each system call: errors that it could really return, and the end of the process before it.
const FAULTS: [&str; 4] = ["error=EIO", "error=ENOSPC", "error=EACCES", "signal=KILL"];

/// Checks one run against what there was before and what there is after a run without a fault.
///
/// At `boot`, files come one by one, and what cannot be placed is left to its unit, which is not a failure.
fn check(run: &Run, clean: &Run, fault: &str, boot: bool) -> Result<(), String> {
    let (old, new) = (&clean.before, &clean.after);
    let fail = |why: String| Err(format!("{why}; exit status {}\n{}", run.status, run.describe()));
    if run.before != *old {
        return fail("it did not start from the same".into());
    }
    if let Err(why) = check_told(run, clean, boot) {
        return fail(why);
    }
    if run.status == 124 {
        return fail("it hangs".into());
    }
    // Each file is the old one or the new one, with its owner and mode.
    let paths: BTreeSet<&String> =
        old.seen.keys().chain(new.seen.keys()).chain(run.after.seen.keys()).collect();
    for path in paths {
        let now = run.after.seen.get(path);
        if now != old.seen.get(path) && now != new.seen.get(path) {
            return fail(format!("{path} is neither the old one nor the new one: {now:?}"));
        }
    }
    let is_left = |job: &String| job.starts_with("start vaultix-");
    if boot && run.status == 0 && run.after.told.iter().any(is_left) {
        // Its unit does it, in the next run.
    } else if run.status == 0 && run.after.seen != new.seen {
        return fail("it says that all is well, and it is not".into());
    }
    if fault == "signal=KILL" && !boot {
        for link in ["/run/vaultix/", "/run/early/"] {
            let below = |look: &Look| -> BTreeMap<String, File> {
                let files = look.seen.iter().filter(|(path, _)| path.contains(link));
                files.map(|(path, file)| (path.clone(), file.clone())).collect()
            };
            if below(&run.after) != below(old) && below(&run.after) != below(new) {
                return fail(format!("{link} is half old and half new"));
            }
        }
    }
    // Nothing that lies about can be read by more people than may read the file that it was to become.
    for line in &run.after.there {
        let known = old.there.contains(line) || new.there.contains(line);
        let words: Vec<&str> = line.split(' ').collect();
        if !known && words[1] == "f" && !matches!(words[2], "0" | "400" | "600") {
            return fail(format!("this is left, and too many can read it: {line}"));
        }
    }
    if run.second != 0 || run.again.seen != clean.again.seen || run.again.there != clean.again.there
    {
        let (found, wanted) = (&run.again.there, &clean.again.there);
        let diff: Vec<_> = found.symmetric_difference(wanted).collect();
        return fail(format!("the next run, {}, does not repair it: {diff:?}", run.second));
    }
    Ok(())
}

/// Checks that whoever has to know of a change is told, at once or by the next run, and nobody else.
fn check_told(run: &Run, clean: &Run, boot: bool) -> Result<(), String> {
    let all = |run: &Run| -> BTreeSet<String> {
        run.after.told.iter().chain(&run.again.told).cloned().collect()
    };
    let told = all(run);
    if let Some(missing) = all(clean).difference(&told).next() {
        return Err(format!("nobody says: {missing}"));
    }
    if told.iter().any(|job| job.ends_with(" keep.service")) {
        return Err("what reads nothing that has changed is told".into());
    }
    // Who is told twice has been told by a run that failed later on. What could not be looked at is made again, and of
    // that the target hears alone.
    let consumers = |told: &[String]| -> Vec<String> {
        told.iter().filter(|job| !job.ends_with(".target")).cloned().collect()
    };
    if !boot
        && run.status == 0
        && (run.after.told != clean.after.told
            || consumers(&run.again.told) != consumers(&clean.again.told))
    {
        let (first, second) = (&run.after.told, &run.again.told);
        return Err(format!("all is well, but it told {first:?}, then {second:?}"));
    }
    Ok(())
}

/// Tries each of `faults` at every system call of `what`, and says how many that were.
fn every_call(what: &str, faults: &[&'static str]) {
    let place = Place::new(what);
    let clean = place.run(what, Fault::None);
    assert_eq!((clean.status, clean.second), (0, 0), "{}", clean.describe());
    assert_ne!(clean.before.seen, clean.after.seen, "something changes: {}", clean.describe());
    // Threads do not call for memory in the same way each time, and on a busy machine a boot looks for its results more
    // often. What is met in each of three runs is met.
    let traces = [(); 3].map(|()| place.calls(what));
    let calls: BTreeSet<&(String, usize)> = traces.iter().flatten().collect();
    let is_sure = |call: &(String, usize)| traces.iter().all(|calls| calls.contains(call));
    // A close that fails has still closed; strace would skip it, and a pipe would never end. And a futex has none of these
    // errors: skipped, it leaves a thread asleep for good.
    let is_real =
        |name: &str, fault: &str| !["close", "futex"].contains(&name) || fault == "signal=KILL";
    let faults = |call: &(String, usize)| {
        let (name, count) = call;
        let faults = faults.iter().copied().filter(|fault| is_real(name, fault));
        let is_sure = is_sure(call);
        let injected = |fault| (fault, is_sure, format!("{name}:{fault}:when={count}"));
        faults.map(injected).collect::<Vec<_>>()
    };
    let mut todo: Vec<(&str, bool, String)> = calls.iter().copied().flat_map(faults).collect();
    // One of them alone, to look into it.
    let only = std::env::var("VAULTIX_FAULT").ok();
    todo.retain(|(.., fault)| only.as_ref().is_none_or(|only| only == fault));
    let (count, todo) = (todo.len(), Mutex::new(todo));
    let (failures, missed) = (Mutex::new(Vec::new()), Mutex::new(0));
    let work = || {
        loop {
            let Some((fault, is_sure, injected)) = todo.lock().unwrap().pop() else { return };
            let run = place.run(what, Fault::Inject(&injected));
            if is_sure && fault == "signal=KILL" && run.status != 137 {
                *missed.lock().unwrap() += 1;
            }
            let boot = what.starts_with("boot");
            let forgotten =
                if boot && run.status == 0 { place.forgotten(&run, &clean) } else { Vec::new() };
            if let Err(why) = check(&run, &clean, fault, boot) {
                failures.lock().unwrap().push(format!("{injected}: {why}"));
            } else if !forgotten.is_empty() {
                let said = run.describe();
                failures
                    .lock()
                    .unwrap()
                    .push(format!("{injected}: {forgotten:?} are forgotten\n{said}"));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let missed = missed.into_inner().unwrap();
    // Not eprintln, which is only shown of a test that failed.
    let mut stderr = std::io::stderr();
    let line =
        format!("{what}: {count} faults at {} system calls, {missed} never met", calls.len());
    writeln!(stderr, "{line}").unwrap();
    // Nearly: a fourth run may differ from three.
    assert!(missed * 10 <= calls.len(), "{missed} of {} kills did not kill", calls.len());
    let failures = failures.into_inner().unwrap();
    place.remove();
    assert!(
        failures.is_empty(),
        "{} of {count}:\n{}\n{}",
        failures.len(),
        failures[0],
        failures.iter().map(|text| text.lines().next().unwrap()).collect::<Vec<_>>().join("\n")
    );
}

/// The first secret of a boot, where there is nothing yet.
pub fn first_secret() {
    every_call("first", &FAULTS);
}

/// All items of a boot in one process, where there is nothing yet. What is not there afterwards, the units of items place.
pub fn whole_boot() {
    every_call("boot", &["signal=KILL", "error=ENOSPC"]);
}

/// The early items of a boot, one of which has a path of its own.
pub fn whole_early_boot() {
    every_call("boot-early", &["signal=KILL", "error=EACCES"]);
}

/// A secret that is decrypted again, with another plaintext, owner and mode.
pub fn changed_secret() {
    every_call("secret", &FAULTS);
}

/// The first phase of a switch.
pub fn early_switch() {
    every_call("early", &FAULTS);
}

/// The second phase of a switch.
pub fn whole_switch() {
    every_call("switch", &FAULTS);
}

/// Both phases of a first switch, where there is nothing yet, killed. The other faults take the same ways as above.
pub fn first_activation() {
    every_call("first-early", &["signal=KILL"]);
    every_call("first-switch", &["signal=KILL"]);
}

/// Where systemd cannot be reached, that is an error, and the next run tells it.
pub fn systemd_cannot_be_reached() {
    let place = Place::new("deaf");
    for what in ["secret", "early", "switch"] {
        let (clean, run) = (place.run(what, Fault::None), place.run(what, Fault::Deaf));
        assert_ne!(run.status, 0, "{what}: {}", run.describe());
        assert_eq!(run.after.seen, clean.after.seen, "{what}: all is in place nevertheless");
        assert_eq!(run.second, 0, "{what}: {}", run.describe());
        check_told(&run, &clean, false)
            .unwrap_or_else(|why| panic!("{what}: {why}\n{}", run.describe()));
        for job in &clean.after.told {
            assert!(run.again.told.contains(job), "{what}: {job}\n{}", run.describe());
        }
    }
    place.remove();
}

/// When the helper ends, nothing of a plaintext or a key is left in its memory, freed or not.
pub fn memory_is_wiped_at_the_end() {
    let place = Place::new("memory");
    let remembered = |what| -> Vec<String> {
        let run = place.run(what, Fault::Memory);
        run.remembered.iter().map(|name| format!("{what}: {name}")).collect()
    };
    let found = ["secret", "switch"].map(remembered).concat();
    assert_eq!(found, ["secret: profile", "switch: profile"], "and not only their arguments");
    place.remove();
}

/// The same with a post-quantum key, which is expanded to much more than a seed, on a deeper stack.
pub fn memory_is_wiped_of_post_quantum_keys() {
    let place = Place::new("memory-pq");
    let run = place.run("secret", Fault::Memory);
    assert_eq!(run.remembered, ["profile"], "and not only their arguments");
    place.remove();
}
