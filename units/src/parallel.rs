//! jobs → their outcomes, on all processors; one that is slow or never ends is left behind and does not delay the others.
//!
//! A thread that waits for a file system that does not respond cannot be stopped. It is left behind, another one takes
//! its place, and it ends with the process. That is why jobs own their data.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long jobs may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// After this time, another thread continues with the next jobs.
    pub slow: Duration,
    /// After this time, a job is abandoned.
    pub each: Duration,
    /// After this time, all jobs that are left are abandoned.
    pub all: Duration,
}

/// How many slow jobs may run besides the others (256).
const MAX_SLOW: usize = 256;

/// What became of a job.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It is done.
    Done(T),
    /// It took too long by itself.
    Slow,
    /// All of them together took too long, and it was not done by then.
    Late,
}

/// Does `work` for each number below `count`, and returns the outcomes in order.
///
/// Returns in time whatever `work` does, unless not even one thread can be started: then the caller does the work.
pub fn each<T: Send + 'static>(
    count: usize,
    limits: Limits,
    work: impl Fn(usize) -> T + Send + Sync + 'static,
) -> Vec<Outcome<T>> {
    let mut running = Running::start(count, limits, work);
    let mut outcomes: Vec<Option<Outcome<T>>> = (0..count).map(|_| None).collect();
    while let Some(ended) = running.next(limits.all) {
        for (at, outcome) in ended {
            if let Some(place) = outcomes.get_mut(at) {
                *place = Some(outcome);
            }
        }
    }
    outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Late)).collect()
}

/// Jobs at work, whose outcomes are taken as they come.
pub struct Running<T> {
    pool: Arc<Pool<T>>,
    limits: Limits,
    /// When those that are left are abandoned.
    end: Instant,
    /// When it was last looked for slow ones.
    looked: Instant,
}

impl<T: Send + 'static> Running<T> {
    /// Starts `work` for each number below `count`.
    pub fn start(
        count: usize,
        limits: Limits,
        work: impl Fn(usize) -> T + Send + Sync + 'static,
    ) -> Self {
        let jobs = (0..count).map(|_| Job { since: None, replaced: false, over: false }).collect();
        let state = Mutex::new(State { jobs, next: 0, left: count, ended: Vec::new() });
        let pool = Arc::new(Pool { state, news: Condvar::new(), work: Box::new(work) });
        let workers = thread::available_parallelism().map_or(1, usize::from).min(count);
        let now = Instant::now();
        // If one cannot be started, the others do its share.
        if (0..workers).filter(|_| pool.add_worker()).count() == 0 {
            pool.work();
        }
        Self { pool, limits, end: now + limits.all, looked: now }
    }

    /// Waits for outcomes, for `patience` at most, and returns those that have come since, which may be none; `None` once all
    /// have been returned.
    pub fn next(&mut self, patience: Duration) -> Option<Vec<(usize, Outcome<T>)>> {
        let until = Instant::now() + patience;
        let mut state = self.pool.state();
        loop {
            let now = Instant::now();
            if now >= self.looked + self.limits.slow {
                self.looked = now;
                self.pool.supervise(&mut state, self.limits);
            }
            if now >= self.end {
                state.abandon(now, self.limits);
            }
            if !state.ended.is_empty() || state.left == 0 {
                break;
            }
            if now >= until {
                return Some(Vec::new());
            }
            let wait = self.limits.slow.min(until - now).min(self.end - now);
            let waited = self.pool.news.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let ended = std::mem::take(&mut state.ended);
        if ended.is_empty() { None } else { Some(ended) }
    }
}

impl<T> Drop for Running<T> {
    /// Begins no more jobs.
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.next = state.jobs.len();
    }
}

struct Job {
    since: Option<Instant>,
    /// Whether another thread has taken the place of the one that does it.
    replaced: bool,
    /// Whether it has an outcome.
    over: bool,
}

/// The progress of all jobs.
struct State<T> {
    jobs: Vec<Job>,
    /// The first that is not begun.
    next: usize,
    /// How many have no outcome.
    left: usize,
    /// Outcomes that nobody has taken.
    ended: Vec<(usize, Outcome<T>)>,
}

/// Threads at work on the same jobs.
struct Pool<T> {
    state: Mutex<State<T>>,
    /// Notified of each outcome.
    news: Condvar,
    work: Box<dyn Fn(usize) -> T + Send + Sync>,
}

impl<T> Pool<T> {
    /// Does jobs until there are none, or until another thread does them instead.
    fn work(&self) {
        while let Some(at) = self.begin() {
            let result = (self.work)(at);
            if self.end(at, result) {
                return;
            }
        }
    }

    fn begin(&self) -> Option<usize> {
        let mut state = self.state();
        let at = state.next;
        state.jobs.get_mut(at)?.since = Some(Instant::now());
        state.next += 1;
        Some(at)
    }

    /// Ends a job, and returns whether the thread that did it was replaced in the meantime.
    fn end(&self, at: usize, result: T) -> bool {
        let mut state = self.state();
        state.end(at, Outcome::Done(result));
        self.news.notify_all();
        state.jobs.get(at).is_none_or(|job| job.replaced)
    }

    /// Returns how far the jobs are.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        // No thread panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> Pool<T> {
    /// Starts one more thread; returns whether that is possible.
    fn add_worker(self: &Arc<Self>) -> bool {
        let pool = Arc::clone(self);
        thread::Builder::new().spawn(move || pool.work()).is_ok()
    }

    /// Replaces the threads of slow jobs, and abandons jobs that are too slow.
    fn supervise(self: &Arc<Self>, state: &mut State<T>, limits: Limits) {
        let now = Instant::now();
        let begun = state.next.min(state.jobs.len());
        let has_more = begun < state.jobs.len();
        let mut slow = state.jobs.iter().filter(|job| job.replaced && !job.over).count();
        let mut late = Vec::new();
        for (at, job) in state.jobs.iter_mut().enumerate().take(begun) {
            let Some(time) = job.takes(now) else { continue };
            if time >= limits.slow && has_more && !job.replaced && slow < MAX_SLOW {
                job.replaced = self.add_worker();
                slow += usize::from(job.replaced);
            }
            if time >= limits.each {
                late.push(at);
            }
        }
        for at in late {
            state.end(at, Outcome::Slow);
        }
    }
}

impl<T> State<T> {
    /// Gives a job its outcome, unless it has one.
    fn end(&mut self, at: usize, outcome: Outcome<T>) {
        let Some(job) = self.jobs.get_mut(at).filter(|job| !job.over) else { return };
        job.over = true;
        self.left -= 1;
        self.ended.push((at, outcome));
    }

    /// Gives up all jobs that have no outcome.
    fn abandon(&mut self, now: Instant, limits: Limits) {
        self.next = self.jobs.len();
        for at in 0..self.jobs.len() {
            let is_slow = self
                .jobs
                .get(at)
                .and_then(|job| job.takes(now))
                .is_some_and(|time| time >= limits.each);
            self.end(at, if is_slow { Outcome::Slow } else { Outcome::Late });
        }
    }
}

impl Job {
    /// Returns how long the job has been running, if it still is.
    fn takes(&self, now: Instant) -> Option<Duration> {
        let since = self.since.filter(|_| !self.over)?;
        Some(now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;
    use pretty_assertions::assert_eq;

    /// Limits that nothing here comes near, but for the time after which a job is on its own.
    const GENEROUS: Limits = Limits {
        slow: Duration::from_millis(1),
        each: Duration::from_secs(3600),
        all: Duration::from_secs(3600),
    };

    /// Returns work that never ends for the numbers below `count`, and twice the number for others; and what keeps it so.
    fn blocked(
        count: usize,
    ) -> (impl Fn(usize) -> usize + Send + Sync + 'static, mpsc::Sender<()>) {
        let (keep, wait) = mpsc::channel();
        let wait = Mutex::new(wait);
        let work = move |at: usize| {
            if at < count {
                // The first has the lock, and waits for the sender to be dropped; the others for the lock.
                let _ = wait.lock().map(|wait| wait.recv());
            }
            at * 2
        };
        (work, keep)
    }

    #[test]
    fn results_come_in_order() {
        assert_eq!(each(0, GENEROUS, |at| at), []);
        let expected: Vec<_> = (0..1000).map(|at| Outcome::Done(at * 2)).collect();
        assert_eq!(each(1000, GENEROUS, |at| at * 2), expected);
    }

    #[test]
    fn outcomes_come_as_soon_as_they_are_there() {
        let (work, keep) = blocked(1);
        let mut running = Running::start(10, GENEROUS, work);
        let mut come = Vec::new();
        while come.len() < 9 {
            come.extend(running.next(GENEROUS.all).unwrap());
        }
        come.sort_unstable_by_key(|(at, _)| *at);
        let expected: Vec<_> = (1..10).map(|at| (at, Outcome::Done(at * 2))).collect();
        assert_eq!(come, expected, "all but the first");
        assert_eq!(running.next(Duration::from_millis(1)), Some(Vec::new()), "nothing new");
        drop(keep);
        assert_eq!(running.next(GENEROUS.all), Some(vec![(0, Outcome::Done(0))]));
        assert_eq!(running.next(GENEROUS.all), None, "all have come");
    }

    #[test]
    fn endless_jobs_are_abandoned_alone() {
        // More than there are processors on most machines, and they come first.
        let (work, _keep) = blocked(200);
        let limits = Limits { each: Duration::from_millis(500), ..GENEROUS };
        for (at, outcome) in each(300, limits, work).into_iter().enumerate() {
            let expected = if at < 200 { Outcome::Slow } else { Outcome::Done(at * 2) };
            assert_eq!(outcome, expected, "{at}");
        }
    }

    #[test]
    fn too_many_endless_jobs_end_at_the_total_limit() {
        let (work, _keep) = blocked(MAX_SLOW * 2);
        let limits = Limits { all: Duration::from_secs(2), ..GENEROUS };
        let outcomes = each(MAX_SLOW * 2 + 1, limits, work);
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Late));
    }

    #[test]
    fn a_late_worker_changes_nothing() {
        let (work, keep) = blocked(1);
        let begun = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&begun);
        let limits = Limits { each: Duration::from_millis(50), ..GENEROUS };
        let outcomes = each(10, limits, move |at| {
            count.fetch_add(1, Ordering::SeqCst);
            work(at)
        });
        assert_eq!(outcomes[0], Outcome::Slow);
        drop(keep);
        assert_eq!(begun.load(Ordering::SeqCst), 10, "each is begun once");
    }

    /// The way without limits, in which each thread has a share: the control for the tests above.
    #[test]
    fn an_endless_job_blocks_all_without_limits() {
        let (work, keep) = blocked(1);
        let (done, outcome) = mpsc::channel();
        let all = thread::spawn(move || {
            thread::scope(|scope| {
                scope.spawn(|| work(0));
                work(1)
            });
            let _ = done.send(());
        });
        let waited = outcome.recv_timeout(Duration::from_millis(200));
        assert_eq!(waited, Err(mpsc::RecvTimeoutError::Timeout), "held up");
        drop(keep);
        all.join().unwrap();
        assert_eq!(outcome.recv(), Ok(()));
    }
}
