//! Answers which spans contain an address.
//!
//! In: [`Span`]s in any order, overlapping in any way.  Out: [`Stab`], [`Cover`].
//! Holds afterwards: finding a span takes a few steps, however many others begin before the address and end before it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Addresses with something that is known about them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    /// The first address.
    pub begin: u64,
    /// The address behind the last.
    pub end: u64,
    /// Whatever it is.
    pub value: usize,
}

/// How many entries of a level have one entry in the level above.
const FANOUT: usize = 16;

/// The spans by their starts.
#[derive(Debug, Default)]
pub(super) struct Stab {
    spans: Vec<Span>,
    /// Level by level the greatest end of every [`FANOUT`] entries of the one below, which first are the spans.
    reach: Vec<Vec<u64>>,
}

impl Stab {
    /// Takes the spans in any order. Empty ones are dropped.
    pub(super) fn new(mut spans: Vec<Span>) -> Stab {
        spans.retain(|span| span.begin < span.end);
        if !spans.is_sorted_by_key(|span| span.begin) {
            spans.sort_by_key(|span| span.begin);
        }
        spans.shrink_to_fit();
        let mut reach: Vec<Vec<u64>> = Vec::new();
        let mut level: Vec<u64> = spans.chunks(FANOUT).map(|of| of.iter().map(|s| s.end).max().unwrap_or(0)).collect();
        while level.len() > 1 {
            let above = level.chunks(FANOUT).map(|of| of.iter().copied().max().unwrap_or(0)).collect();
            reach.push(std::mem::replace(&mut level, above));
        }
        reach.push(level);
        Stab { spans, reach }
    }

    /// The spans that contain `address`, those that start last first.
    pub(super) fn at(&self, address: u64) -> impl Iterator<Item = Span> {
        let behind = self.spans.partition_point(|span| span.begin <= address);
        let mut next = Some(behind);
        std::iter::from_fn(move || {
            next = self.ending_behind(next?, address);
            self.spans.get(next?).copied()
        })
    }

    /// The last span before number `before` that ends behind `address`.
    fn ending_behind(&self, before: usize, address: u64) -> Option<usize> {
        let within = |level: usize, range: std::ops::Range<usize>| -> Option<usize> {
            let mut range = range.rev();
            match level {
                0 => range.find(|&at| self.spans.get(at).is_some_and(|span| span.end > address)),
                _ => range.find(|&at| self.reach[level - 1].get(at).is_some_and(|&reach| reach > address)),
            }
        };
        // Up, until something to the left of what was looked at reaches far enough.
        let (mut level, mut end) = (0, before);
        let mut found = loop {
            let start = end / FANOUT * FANOUT;
            if let Some(found) = within(level, start..end) {
                break found;
            }
            if level == self.reach.len() {
                return None;
            }
            (level, end) = (level + 1, end / FANOUT);
        };
        // Down again, to the last one there.
        while level > 0 {
            level -= 1;
            found = within(level, found * FANOUT..(found + 1) * FANOUT)?;
        }
        Some(found)
    }

    /// The span that starts last before `address`, or at it.
    pub(super) fn before(&self, address: u64) -> Option<Span> {
        let behind = self.spans.partition_point(|span| span.begin <= address);
        self.spans.get(behind.checked_sub(1)?).copied()
    }

    /// All spans, by start.
    pub(super) fn iter(&self) -> impl Iterator<Item = Span> {
        self.spans.iter().copied()
    }
}

/// Of the spans at each address the one with the least value.
#[derive(Debug, Default)]
pub(super) struct Cover {
    /// Where the answer changes, and to what.
    changes: Vec<(u64, Option<usize>)>,
}

impl Cover {
    /// Takes the spans in any order.
    pub(super) fn new(mut spans: Vec<Span>) -> Cover {
        spans.retain(|span| span.begin < span.end);
        spans.sort_unstable_by_key(|span| span.begin);
        let mut spans = spans.into_iter().peekable();
        let mut open = BinaryHeap::new();
        let mut changes: Vec<(u64, Option<usize>)> = Vec::new();
        let mut at = 0;
        loop {
            while let Some(span) = spans.next_if(|span| span.begin <= at) {
                open.push(Reverse((span.value, span.end)));
            }
            while open.peek().is_some_and(|Reverse((_, end))| *end <= at) {
                open.pop();
            }
            let best = open.peek().map(|&Reverse(best)| best);
            let value = best.map(|(value, _)| value);
            if changes.last().is_none_or(|&(_, before)| before != value) {
                changes.push((at, value));
            }
            let next = spans.peek().map(|span| span.begin);
            at = match (best, next) {
                (Some((_, end)), next) => next.map_or(end, |next| next.min(end)),
                (None, Some(next)) => next,
                (None, None) => return Cover { changes },
            };
        }
    }

    /// The least value at an address.
    pub(super) fn at(&self, address: u64) -> Option<usize> {
        let behind = self.changes.partition_point(|&(start, _)| start <= address);
        self.changes.get(behind.checked_sub(1)?)?.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spans that begin and end all over the place.
    fn spans(n: usize, step: u64) -> Vec<Span> {
        let mut state = 7u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let span = |value| {
            let begin = next(step * 50);
            Span { begin, end: begin + next(step), value }
        };
        (0..n).map(span).collect()
    }

    #[test]
    fn the_spans_at_an_address_come_from_the_last_start_on() {
        for n in [0, 1, 15, 16, 17, 300, 5000] {
            let all = spans(n, 40);
            let mut sorted = all.clone();
            sorted.sort_by_key(|span| span.begin);
            let stab = Stab::new(all);
            for address in 0..2100 {
                let contains = |span: &&Span| span.begin <= address && address < span.end;
                let expected: Vec<Span> = sorted.iter().rev().filter(contains).copied().collect();
                assert_eq!(stab.at(address).collect::<Vec<_>>(), expected, "{n} {address}");
            }
        }
    }

    #[test]
    fn the_least_value_covers_the_others() {
        for n in [0, 1, 40, 500] {
            let all = spans(n, 40);
            let cover = Cover::new(all.clone());
            for address in 0..2100 {
                let here = all.iter().filter(|span| span.begin <= address && address < span.end);
                assert_eq!(cover.at(address), here.map(|span| span.value).min(), "{n} {address}");
            }
        }
    }
}
