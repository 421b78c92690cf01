//! Threads for everything that takes time, so that the loop and the transport never wait.
//!
//! In: jobs, each with a key.  Out: each job's own answer.
//! Holds afterwards: of one key at most one job is wanted. A queued job is replaced by a newer one of its key, a running
//! one is told to stop, and the newer one starts when it has. A job that panics ends alone. Jobs that take long keep no
//! other one waiting: the system shares the processors among them.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::cancel::CancelToken;

/// Why a job gave no result of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lost {
    /// It panicked, with this message.
    Panicked(String),
    /// It was replaced or cancelled before it started.
    Dropped,
}

type Run = Box<dyn FnOnce(Result<&CancelToken, Lost>) + Send>;

struct Job<K> {
    key: K,
    token: CancelToken,
    run: Run,
}

/// A job that takes longer no longer counts as one of those that run side by side.
const SHORT: Duration = Duration::from_secs(2);
/// So many times as many threads as run side by side may be busy with long jobs. They are started when they are needed.
const SPARE: usize = 8;

struct Queue<K> {
    /// By the order in which they came.
    waiting: BTreeMap<u64, Job<K>>,
    /// By key: which one waits.
    places: FxHashMap<K, u64>,
    count: u64,
    /// Each with when it started.
    running: FxHashMap<K, (CancelToken, Instant)>,
    /// How many run side by side.
    width: usize,
    /// How many threads have nothing to do.
    n_idle: usize,
    closed: bool,
}

impl<K: Clone + Eq + Hash> Queue<K> {
    /// Puts a job in line, or in the place of one that waits under its key.
    fn push(&mut self, job: Job<K>) -> Option<Job<K>> {
        if let Some(place) = self.places.get(&job.key) {
            return self.waiting.insert(*place, job);
        }
        self.count += 1;
        self.places.insert(job.key.clone(), self.count);
        self.waiting.insert(self.count, job)
    }

    fn remove(&mut self, key: &K) -> Option<Job<K>> {
        self.places.remove(key).and_then(|place| self.waiting.remove(&place))
    }

    /// The job that comes next; until when to wait at most where there is one that may not run yet.
    fn next(&mut self) -> Result<Job<K>, Option<Instant>> {
        let now = Instant::now();
        let short = self.running.values().map(|(_, since)| *since + SHORT).filter(|long| *long > now);
        let (n_short, first_long) = short
            .fold((0, None::<Instant>), |(n, first), long| (n + 1, Some(first.map_or(long, |first| first.min(long)))));
        if n_short >= self.width {
            return Err(first_long.filter(|_| !self.waiting.is_empty()));
        }
        // Few run, so that few are passed over.
        let ready = self.waiting.values().find(|job| !self.running.contains_key(&job.key)).map(|job| job.key.clone());
        ready.and_then(|key| self.remove(&key)).ok_or(None)
    }
}

struct Shared<K> {
    queue: Mutex<Queue<K>>,
    changed: Condvar,
}

impl<K> Shared<K> {
    fn lock(&self) -> MutexGuard<'_, Queue<K>> {
        // No code that may panic runs under the lock, so a poisoned one still holds a sound queue.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pool of threads with a keyed queue.
pub struct Workers<K> {
    shared: Arc<Shared<K>>,
    name: &'static str,
    most: usize,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl<K: Clone + Eq + Hash + Send + 'static> Workers<K> {
    /// Starts threads named `name`, of which `n_threads` work side by side. Fewer run when the system refuses; none is an
    /// error.
    pub fn start(name: &'static str, n_threads: usize) -> std::io::Result<Workers<K>> {
        let width = n_threads.max(1);
        let queue = Queue {
            waiting: BTreeMap::new(),
            places: FxHashMap::default(),
            count: 0,
            running: FxHashMap::default(),
            width,
            n_idle: 0,
            closed: false,
        };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), changed: Condvar::new() });
        let workers = Workers { shared, name, most: width * SPARE, threads: Mutex::default() };
        for i in 0..width {
            match workers.start_one() {
                Err(error) if i == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => {}
            }
        }
        Ok(workers)
    }

    /// Starts a thread more, unless there are enough.
    fn start_one(&self) -> std::io::Result<()> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if threads.len() < self.most {
            let shared = Arc::clone(&self.shared);
            let name = format!("{}-{}", self.name, threads.len());
            threads.push(thread::Builder::new().name(name).spawn(move || work(&shared))?);
        }
        Ok(())
    }

    /// Queues `work`; `done` gets its result, on the worker's thread, or the reason why there is none. Exactly one call
    /// of `done` follows.
    pub fn submit<T: 'static>(
        &self,
        key: K,
        token: CancelToken,
        work: impl FnOnce(&CancelToken) -> T + Send + 'static,
        done: impl FnOnce(Result<T, Lost>) + Send + 'static,
    ) {
        let run: Run = Box::new(move |start| {
            let result = start.and_then(|token| {
                catch_unwind(AssertUnwindSafe(|| work(token))).map_err(|payload| Lost::Panicked(message(&*payload)))
            });
            done(result);
        });
        let (replaced, is_short_of_threads) = {
            let mut queue = self.shared.lock();
            if let Some((running, _)) = queue.running.get(&key) {
                running.cancel();
            }
            (queue.push(Job { key, token, run }), queue.waiting.len() > queue.n_idle)
        };
        if let Some(job) = replaced {
            (job.run)(Err(Lost::Dropped));
        }
        if is_short_of_threads {
            // Where the system refuses more, those that are there have to do.
            drop(self.start_one());
        }
        self.shared.changed.notify_one();
    }

    /// Stops what runs or waits under `key`.
    pub fn cancel(&self, key: &K) {
        let dropped = {
            let mut queue = self.shared.lock();
            if let Some((running, _)) = queue.running.get(key) {
                running.cancel();
            }
            queue.remove(key)
        };
        if let Some(job) = dropped {
            (job.run)(Err(Lost::Dropped));
        }
    }

    /// Since when the job under `key` runs.
    pub fn running_since(&self, key: &K) -> Option<Instant> {
        self.shared.lock().running.get(key).map(|(_, since)| *since)
    }

    /// How many jobs run or wait.
    pub fn n_jobs(&self) -> usize {
        let queue = self.shared.lock();
        queue.waiting.len() + queue.running.len()
    }
}

impl<K> Drop for Workers<K> {
    /// Cancels everything and waits for the threads: what a job started, a compiler say, ends with the pool.
    fn drop(&mut self) {
        let dropped = {
            let mut queue = self.shared.lock();
            queue.closed = true;
            queue.running.values().for_each(|(token, _)| token.cancel());
            std::mem::take(&mut queue.waiting)
        };
        self.shared.changed.notify_all();
        for job in dropped.into_values() {
            (job.run)(Err(Lost::Dropped));
        }
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // A worker catches the panics of its jobs; there is nobody to tell about one of `done`.
            drop(thread.join());
        }
    }
}

fn work<K: Clone + Eq + Hash>(shared: &Shared<K>) {
    let mut queue = shared.lock();
    loop {
        if queue.closed {
            return;
        }
        let job = match queue.next() {
            Ok(job) => job,
            Err(until) => {
                queue.n_idle += 1;
                queue = match until {
                    None => shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
                    Some(until) => {
                        let time = until.saturating_duration_since(Instant::now());
                        shared.changed.wait_timeout(queue, time).unwrap_or_else(PoisonError::into_inner).0
                    }
                };
                queue.n_idle -= 1;
                continue;
            }
        };
        queue.running.insert(job.key.clone(), (job.token.clone(), Instant::now()));
        drop(queue);
        let start = if job.token.is_cancelled() { Err(Lost::Dropped) } else { Ok(&job.token) };
        let run = job.run;
        // `done` belongs to the caller and may panic as well.
        drop(catch_unwind(AssertUnwindSafe(|| run(start))));
        queue = shared.lock();
        queue.running.remove(&job.key);
        // A job of the same key may have been passed over by every other thread.
        shared.changed.notify_all();
    }
}

fn message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A pool, and a job that blocks its only thread until the sender is dropped.
    fn blocked() -> (Workers<u32>, mpsc::Sender<()>, CancelToken) {
        let workers = Workers::start("test", 1).expect("a thread starts");
        let (release, wait) = mpsc::channel::<()>();
        let (started, is_started) = mpsc::channel();
        let token = CancelToken::default();
        workers.submit(
            0,
            token.clone(),
            move |_| {
                started.send(()).ok();
                wait.recv().ok();
            },
            drop,
        );
        is_started.recv().expect("the job starts");
        (workers, release, token)
    }

    #[test]
    fn a_queued_job_is_replaced_by_the_next_of_its_key() {
        let (workers, release, _) = blocked();
        let (tx, rx) = mpsc::channel();
        for i in 0..3 {
            let tx = tx.clone();
            workers.submit(7, CancelToken::default(), move |_| i, move |result| drop(tx.send(result)));
        }
        assert_eq!(workers.n_jobs(), 2);
        drop(release);
        let answers: Vec<_> = rx.iter().take(3).collect();
        assert_eq!(answers, [Err(Lost::Dropped), Err(Lost::Dropped), Ok(2)]);
    }

    #[test]
    fn a_running_job_is_told_to_stop_when_its_key_comes_again() {
        let (workers, release, token) = blocked();
        let (tx, rx) = mpsc::channel();
        workers.submit(0, CancelToken::default(), |_| 1, move |result| drop(tx.send(result)));
        assert!(token.is_cancelled());
        drop(release);
        assert_eq!(rx.recv(), Ok(Ok(1)));
    }

    #[test]
    fn a_cancelled_job_never_starts() {
        let (workers, release, _) = blocked();
        let (tx, rx) = mpsc::channel();
        let other = tx.clone();
        workers.submit(1, CancelToken::default(), |_| 1, move |result| drop(tx.send(result)));
        workers.cancel(&1);
        assert_eq!(rx.recv(), Ok(Err(Lost::Dropped)));
        let token = CancelToken::default();
        workers.submit(2, token.clone(), |_| 2, move |result| drop(other.send(result)));
        token.cancel();
        drop(release);
        assert_eq!(rx.recv(), Ok(Err(Lost::Dropped)));
    }

    #[test]
    fn a_panic_ends_one_job_and_no_thread() {
        let workers = Workers::start("test", 1).expect("a thread starts");
        let (tx, rx) = mpsc::channel();
        let second = tx.clone();
        workers.submit(
            1,
            CancelToken::default(),
            |_| panic!("broken"),
            move |result: Result<u8, _>| {
                drop(tx.send(result));
            },
        );
        assert_eq!(rx.recv(), Ok(Err(Lost::Panicked("broken".to_owned()))));
        workers.submit(1, CancelToken::default(), |_| 2, move |result| drop(second.send(result)));
        assert_eq!(rx.recv(), Ok(Ok(2)));
    }

    #[test]
    fn long_jobs_keep_no_other_waiting() {
        let workers = Workers::start("test", 1).expect("threads start");
        let (tx, rx) = mpsc::channel();
        let (release, wait) = mpsc::channel::<()>();
        workers.submit(1, CancelToken::default(), move |_| wait.recv(), |_| {});
        workers.submit(2, CancelToken::default(), |_| 2, move |result| drop(tx.send(result)));
        // Waits for as long as a job may be short, and would wait for ever.
        assert_eq!(rx.recv(), Ok(Ok(2)));
        drop(release);
    }

    #[test]
    fn jobs_start_in_the_order_in_which_their_keys_came() {
        let (workers, release, _) = blocked();
        let (tx, rx) = mpsc::channel();
        for key in [3, 1, 2, 1] {
            let tx = tx.clone();
            workers.submit(key, CancelToken::default(), move |_| key, move |result| drop(tx.send(result)));
        }
        drop(release);
        let answers: Vec<_> = rx.iter().take(4).collect();
        assert_eq!(answers, [Err(Lost::Dropped), Ok(3), Ok(1), Ok(2)]);
    }

    #[test]
    fn dropping_the_pool_answers_what_waits() {
        let (workers, release, token) = blocked();
        let (tx, rx) = mpsc::channel();
        workers.submit(1, CancelToken::default(), |_| 1, move |result| drop(tx.send(result)));
        let dropping = thread::spawn(move || drop(workers));
        assert_eq!(rx.recv(), Ok(Err(Lost::Dropped)));
        assert!(token.is_cancelled());
        drop(release);
        assert!(dropping.join().is_ok());
    }
}
