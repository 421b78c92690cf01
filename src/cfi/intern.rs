//! One number per distinct state.
//!
//! In: [`CfiState`]s.  Out: [`CfiId`]s; equal states have equal ids.

use rustc_hash::FxHashMap;

use super::CfiState;
use crate::ids::CfiId;

/// The distinct states met so far.
#[derive(Clone, Debug, Default)]
pub struct Interner {
    states: Vec<CfiState>,
    /// By hash: the states that have it.
    ids: FxHashMap<u64, Vec<CfiId>>,
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
        let ids = self.ids.entry(hash_of(&state)).or_default();
        if let Some(&id) = ids.iter().find(|id| self.states[id.index()] == state) {
            return id;
        }
        let id = CfiId::from_index(self.states.len());
        self.states.push(state);
        ids.push(id);
        id
    }

    /// The state.
    pub fn get(&self, id: CfiId) -> &CfiState {
        &self.states[id.index()]
    }

    /// All states, by id.
    pub fn into_states(self) -> Vec<CfiState> {
        self.states
    }
}
