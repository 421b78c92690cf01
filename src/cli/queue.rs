//! Works on many inputs at once and prints their results in the order of the inputs.
//!
//! In: inputs and what to do with one.  Out: each result's text, as soon as all before it are printed.
//! Holds afterwards: output does not depend on the number of threads.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output;

/// With fewer inputs the work is over before a bar could be read.
const ENOUGH_FOR_A_BAR: usize = 20;

/// Results that wait for those before them.
struct Waiting {
    next: usize,
    texts: BTreeMap<usize, String>,
    outcome: io::Result<()>,
}

/// Sets how many threads work.
pub(crate) fn set_jobs(jobs: Option<NonZeroUsize>) {
    if let Some(jobs) = jobs {
        // Fails only when the pool exists already, which it does not before the first command has begun.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(jobs.get()).build_global();
    }
}

/// Runs `work` on the numbers below `count` and prints what it returns.
pub(crate) fn run(count: usize, work: impl Fn(usize) -> String + Sync) -> io::Result<()> {
    if count == 1 {
        return output::print(&work(0));
    }
    let bar = progress(count);
    let taken = AtomicUsize::new(0);
    let stopped = AtomicBool::new(false);
    let waiting = Mutex::new(Waiting { next: 0, texts: BTreeMap::new(), outcome: Ok(()) });
    // Inputs are taken in order, so that few results wait: with a split of the range half of all would.
    let worker = || {
        while !stopped.load(Ordering::Relaxed) {
            let at = taken.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return;
            }
            let text = work(at);
            bar.inc(1);
            let mut waiting = waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            waiting.texts.insert(at, text);
            if let Err(error) = flush(&mut waiting, &bar) {
                waiting.outcome = Err(error);
                stopped.store(true, Ordering::Relaxed);
            }
        }
    };
    rayon::scope(|scope| {
        for _ in 0..rayon::current_num_threads().min(count) {
            scope.spawn(|_| worker());
        }
    });
    bar.finish_and_clear();
    waiting.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()).outcome
}

fn flush(waiting: &mut Waiting, bar: &ProgressBar) -> io::Result<()> {
    while let Some(text) = waiting.texts.remove(&waiting.next) {
        waiting.next += 1;
        if !text.is_empty() {
            bar.suspend(|| output::print(&text))?;
        }
    }
    Ok(())
}

fn progress(count: usize) -> ProgressBar {
    if count < ENOUGH_FOR_A_BAR || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(count as u64), ProgressDrawTarget::stderr());
    match ProgressStyle::with_template("{bar:30.cyan/dim} {pos}/{len} objects, {elapsed}, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
