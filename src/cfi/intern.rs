//! One number per distinct state.
//!
//! In: [`CfiState`]s.  Out: [`CfiId`]s; equal states have equal ids.

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
}

fn hash_of(state: &CfiState) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = rustc_hash::FxHasher::default();
    state.hash(&mut hasher);
    hasher.finish()
}

impl Interner {
    /// The id of a state.
    pub fn intern(&mut self, state: CfiState) -> CfiId {
        let mut hash = hash_of(&state);
        while let Some(&id) = self.ids.get(&hash) {
            if self.states[id.index()] == state {
                return id;
            }
            hash = hash.wrapping_add(1);
        }
        let id = CfiId::from_index(self.states.len());
        self.facts.push(Facts::of(&state));
        self.states.push(state);
        self.ids.insert(hash, id);
        id
    }

    /// The state.
    pub fn get(&self, id: CfiId) -> &CfiState {
        &self.states[id.index()]
    }

    /// What is known of the state.
    pub fn facts(&self, id: CfiId) -> Facts {
        self.facts[id.index()]
    }

    /// All states, by id.
    pub fn into_states(self) -> Vec<CfiState> {
        self.states
    }
}
