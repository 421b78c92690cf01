//! Threads for everything that takes time, so that the loop and the transport never wait.
//!
//! In: jobs, each with a key.  Out: each job's own answer.
//! Holds afterwards: of one key at most one job is wanted. A queued job is replaced by a newer one of its key, a running
//! one is told to stop, and the newer one starts when it has. A job that panics ends alone.

use std::collections::VecDeque;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

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

struct Queue<K> {
    waiting: VecDeque<Job<K>>,
    running: FxHashMap<K, CancelToken>,
    closed: bool,
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
    threads: Vec<thread::JoinHandle<()>>,
}

impl<K: Clone + Eq + Hash + Send + 'static> Workers<K> {
    /// Starts `n_threads` threads named `name`. Fewer run when the system refuses; none is an error.
    pub fn start(name: &str, n_threads: usize) -> std::io::Result<Workers<K>> {
        let queue = Queue { waiting: VecDeque::new(), running: FxHashMap::default(), closed: false };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), changed: Condvar::new() });
        let mut threads = Vec::new();
        for i in 0..n_threads.max(1) {
            let shared = Arc::clone(&shared);
            match thread::Builder::new().name(format!("{name}-{i}")).spawn(move || work(&shared)) {
                Ok(thread) => threads.push(thread),
                Err(error) if threads.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(Workers { shared, threads })
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
        let replaced = {
            let mut queue = self.shared.lock();
            if let Some(running) = queue.running.get(&key) {
                running.cancel();
            }
            let job = Job { key, token, run };
            match queue.waiting.iter_mut().find(|waiting| waiting.key == job.key) {
                Some(slot) => Some(std::mem::replace(slot, job)),
                None => {
                    queue.waiting.push_back(job);
                    None
                }
            }
        };
        if let Some(job) = replaced {
            (job.run)(Err(Lost::Dropped));
        }
        self.shared.changed.notify_one();
    }

    /// Stops what runs or waits under `key`.
    pub fn cancel(&self, key: &K) {
        let dropped = {
            let mut queue = self.shared.lock();
            if let Some(running) = queue.running.get(key) {
                running.cancel();
            }
            let at = queue.waiting.iter().position(|job| job.key == *key);
            at.and_then(|at| queue.waiting.remove(at))
        };
        if let Some(job) = dropped {
            (job.run)(Err(Lost::Dropped));
        }
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
            queue.running.values().for_each(CancelToken::cancel);
            std::mem::take(&mut queue.waiting)
        };
        self.shared.changed.notify_all();
        for job in dropped {
            (job.run)(Err(Lost::Dropped));
        }
        for thread in self.threads.drain(..) {
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
        let ready = queue.waiting.iter().position(|job| !queue.running.contains_key(&job.key));
        let Some(job) = ready.and_then(|at| queue.waiting.remove(at)) else {
            queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        queue.running.insert(job.key.clone(), job.token.clone());
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
