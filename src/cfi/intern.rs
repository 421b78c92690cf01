//! One number per distinct state.
//!
//! In: [`CfiState`]s.  Out: [`CfiId`]s; equal states have equal ids, counted from where the caller says.

use rustc_hash::FxHashMap;

use super::{CfiState, Facts};
use crate::ids::CfiId;

/// The distinct states met so far.
#[derive(Clone, Debug, Default)]
pub struct Interner {
    states: Vec<CfiState>,
    /// By state.
    facts: Vec<Facts>,
    /// By hash; of states that have the same, the later ones are behind it.
    ids: FxHashMap<u64, CfiId>,
    first: u32,
}

fn hash_of(state: &CfiState) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = rustc_hash::FxHasher::default();
    state.hash(&mut hasher);
    hasher.finish()
}

impl Interner {
    /// Without states; the first will have the id `first`.
    pub fn starting_at(first: CfiId) -> Interner {
        Interner { first: first.0, ..Interner::default() }
    }

    fn index(&self, id: CfiId) -> usize {
        id.0.wrapping_sub(self.first) as usize
    }

    /// The id of a state.
    pub fn intern(&mut self, state: CfiState) -> CfiId {
        let mut hash = hash_of(&state);
        while let Some(&id) = self.ids.get(&hash) {
            if self.states[self.index(id)] == state {
                return id;
            }
            hash = hash.wrapping_add(1);
        }
        let id = CfiId(self.first + self.states.len() as u32);
        self.facts.push(Facts::of(&state));
        self.states.push(state);
        self.ids.insert(hash, id);
        id
    }

    /// The state.
    pub fn get(&self, id: CfiId) -> &CfiState {
        &self.states[self.index(id)]
    }

    /// What is known of the state.
    pub fn facts(&self, id: CfiId) -> Facts {
        self.facts[self.index(id)]
    }

    /// All states, in the order of their ids.
    pub fn into_states(self) -> Vec<CfiState> {
        self.states
    }
}
