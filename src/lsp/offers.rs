//! The quick fixes that were found for the findings of a verdict.
//!
//! In: fixes that were tried.  Out: the same, to whoever asks for them again.
//! Holds afterwards: a finding's fixes are looked for once, whoever needs them first.

use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;

use crate::ids::FindingId;

use super::handlers::code_actions::patch::Fix;

/// A fix that works.
#[derive(Debug)]
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
pub struct Offers(Mutex<FxHashMap<Whose, Slot>>);

/// The offers for one finding. Who looks for them holds the lock, so that nobody looks for them twice.
pub type Slot = Arc<Mutex<Option<Arc<Vec<Offer>>>>>;

impl Clone for Offers {
    /// A copy of a verdict is made to be changed: its findings are those of another text.
    fn clone(&self) -> Offers {
        Offers::default()
    }
}

impl Offers {
    /// The place for the offers of a finding.
    pub fn slot(&self, whose: Whose) -> Slot {
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(whose).or_default())
    }

    /// Without waiting for who looks for them.
    pub fn known(&self, whose: Whose) -> Option<Arc<Vec<Offer>>> {
        self.slot(whose).try_lock().ok().and_then(|known| known.clone())
    }
}
