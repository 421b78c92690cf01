//! Work on all processors, where there is enough of it.
//!
//! In: work, and how much there is.  Out: what it comes to one after the other; how many processors there are changes nothing.

use std::ops::Range;

use rayon::prelude::*;

/// With fewer instructions, symbols or bytes of code the work is done sooner than another thread starts. Nearly all objects
/// have fewer.
pub(crate) const WORTH: usize = 1 << 15;

/// How many are worked on in one go; a multiple of 64.
const PART: usize = 1 << 13;

/// Does something large on one of the threads that share the work, so that it need not wait for them to wake up each time.
pub(crate) fn among<T: Send>(large: bool, work: impl FnOnce() -> T + Send) -> T {
    if large { rayon::scope(|_| work()) } else { work() }
}

/// Does two things on `n` items, side by side.
pub(crate) fn both<A: Send, B: Send>(n: usize, a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    if n < WORTH { (a(), b()) } else { rayon::join(a, b) }
}

/// Works on each of a few things, which may be large. What each comes to, in order.
pub(crate) fn each<T: Send, R: Send>(large: bool, things: Vec<T>, work: impl Fn(T) -> R + Send + Sync) -> Vec<R> {
    if large { things.into_par_iter().map(work).collect() } else { things.into_iter().map(work).collect() }
}

/// Works on the numbers below `n` part by part. What each part comes to, in order.
pub(crate) fn parts<T: Send>(n: usize, work: impl Fn(Range<usize>) -> T + Send + Sync) -> Vec<T> {
    if n < WORTH {
        return vec![work(0..n)];
    }
    (0..n.div_ceil(PART)).into_par_iter().map(|part| work(part * PART..n.min((part + 1) * PART))).collect()
}

/// The numbers below `n` that are wanted, in order.
pub(crate) fn numbers(n: usize, wanted: impl Fn(usize) -> bool + Send + Sync) -> Vec<usize> {
    parts(n, |part| part.filter(|&number| wanted(number)).collect::<Vec<_>>()).concat()
}

/// A value for each number below `n`, with room for `room` more.
///
/// All are written here, by all threads: a page of memory that is read before it is written costs a second fault, for which
/// every other thread is interrupted.
pub(crate) fn filled<T: Send>(n: usize, room: usize, value: impl Fn(usize) -> T + Send + Sync) -> Vec<T> {
    let mut values = Vec::with_capacity(n + room);
    if n < WORTH {
        values.extend((0..n).map(value));
    } else {
        values.par_extend((0..n).into_par_iter().with_min_len(PART).map(value));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 3 * WORTH + 7;

    #[test]
    fn large_work_comes_to_the_same_as_small_work() {
        for n in [0, 1, WORTH - 1, WORTH, LARGE] {
            let third = |number: &usize| number.is_multiple_of(3);
            assert_eq!(numbers(n, |number| third(&number)), (0..n).filter(third).collect::<Vec<_>>());
            assert_eq!(filled(n, 5, |number| 2 * number), (0..n).map(|number| 2 * number).collect::<Vec<_>>());
            assert_eq!(parts(n, |part| part).into_iter().flatten().collect::<Vec<_>>(), (0..n).collect::<Vec<_>>());
            assert_eq!(both(n, || n, || n + 1), (n, n + 1));
        }
    }

    #[test]
    fn parts_start_at_multiples_of_64() {
        assert!(parts(LARGE, |part| part.start).into_iter().all(|start| start.is_multiple_of(64)));
    }

    #[test]
    fn things_keep_their_order() {
        for large in [false, true] {
            assert_eq!(
                each(large, (0..100).collect(), |thing| thing * thing),
                (0..100).map(|n| n * n).collect::<Vec<_>>()
            );
            assert_eq!(among(large, || 1), 1);
        }
    }
}
