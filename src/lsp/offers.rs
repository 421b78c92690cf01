//! The quick fixes that were found for the findings of a verdict.
//!
//! In: fixes that were tried.  Out: the same, to whoever asks for them again.
//! Holds afterwards: a finding's fixes are looked for once, whoever needs them first; what is known while the search goes on
//! is what its end will have, too.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::ids::FindingId;

use super::handlers::code_actions::patch::Fix;

/// A fix that works.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The changes and their title.
    pub fix: Fix,
    /// It is the one to take.
    pub preferred: bool,
}

/// Which finding of a verdict: one of its analysis, else by its position in the report.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Whose {
    /// One of the analysis.
    Finding(FindingId),
    /// One that was made of something else: a row of an unwind table.
    Reported(usize),
}

/// What was found out for the findings of a verdict.
#[derive(Debug, Default)]
pub struct Offers(Mutex<FxHashMap<Whose, Arc<Slot>>>);

/// The offers for one finding.
#[derive(Debug, Default)]
pub struct Slot {
    /// Who looks for them holds it, so that nobody looks for them twice.
    search: Mutex<()>,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    offers: Arc<Vec<Offer>>,
    since: Option<Instant>,
    ended: bool,
}

/// A search that has begun.
#[derive(Debug)]
pub struct Search<'a> {
    slot: &'a Slot,
    _held: MutexGuard<'a, ()>,
}

impl Clone for Offers {
    /// A copy of a verdict is made to be changed: its findings are those of another text.
    fn clone(&self) -> Offers {
        Offers::default()
    }
}

impl Offers {
    /// The place for the offers of a finding.
    pub fn slot(&self, whose: Whose) -> Arc<Slot> {
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(whose).or_default())
    }

    /// Without waiting for who looks for them.
    pub fn known(&self, whose: Whose) -> Option<Arc<Vec<Offer>>> {
        let slot = self.slot(whose);
        let found = slot.found();
        found.told(true)
    }
}

impl Found {
    /// What the search found; `enough` if what is known of one that goes on will do.
    fn told(&self, enough: bool) -> Option<Arc<Vec<Offer>>> {
        (self.ended || (enough && !self.offers.is_empty())).then(|| Arc::clone(&self.offers))
    }
}

impl Slot {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the search found, or what is known of one that has taken as long as `patience`.
    pub fn answer(&self, patience: Duration) -> Option<Arc<Vec<Offer>>> {
        let found = self.found();
        found.told(found.since.is_some_and(|since| since.elapsed() >= patience))
    }

    /// Begins to look; `None` while somebody else does, and when somebody else has.
    pub fn search(&self) -> Option<Search<'_>> {
        let held = match self.search.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(held)) => held.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let mut found = self.found();
        if found.ended {
            return None;
        }
        found.since = Some(Instant::now());
        drop(found);
        Some(Search { slot: self, _held: held })
    }
}

impl Search<'_> {
    /// What is certain already.
    pub fn so_far(&self, offers: Vec<Offer>) {
        self.slot.found().offers = Arc::new(offers);
    }

    /// All there is.
    pub fn end(self, offers: Vec<Offer>) -> Arc<Vec<Offer>> {
        let mut found = self.slot.found();
        (found.offers, found.ended) = (Arc::new(offers), true);
        Arc::clone(&found.offers)
    }
}

impl Drop for Search<'_> {
    /// A search that was cancelled has not been long: the next who asks looks on.
    fn drop(&mut self) {
        self.slot.found().since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(title: &str) -> Offer {
        Offer { fix: Fix::new(title, Vec::new()), preferred: false }
    }

    #[test]
    fn what_is_known_is_answered_while_somebody_looks_on() {
        let slot = Slot::default();
        let search = slot.search().expect("nobody looks");
        assert!(slot.search().is_none() && slot.answer(Duration::ZERO).is_none());
        search.so_far(vec![offer("a")]);
        assert!(slot.answer(Duration::MAX).is_none());
        assert_eq!(slot.answer(Duration::ZERO).map(|offers| offers.len()), Some(1));
        search.end(vec![offer("a"), offer("b")]);
        assert_eq!(slot.answer(Duration::MAX).map(|offers| offers.len()), Some(2));
    }

    #[test]
    fn a_cancelled_search_is_no_answer() {
        let slot = Slot::default();
        let search = slot.search().expect("nobody looks");
        search.so_far(vec![offer("a")]);
        drop(search);
        assert!(slot.answer(Duration::ZERO).is_none());
        assert!(slot.search().is_some());
    }
}
