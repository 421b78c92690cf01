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
    /// By state: its hash, and what is known of it.
    known: Vec<(u64, Facts)>,
    /// Positions by hash; of states that have the same, the later ones are behind it.
    positions: FxHashMap<u64, u32>,
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
        let hash = hash_of(&state);
        self.place(state, hash, None)
    }

    /// Takes in the states of another one. Their ids here, in the order of those there.
    pub fn adopt(&mut self, other: Interner) -> Vec<CfiId> {
        if self.states.is_empty() {
            *self = Interner { first: self.first, ..other };
            return (self.first..).take(self.states.len()).map(CfiId).collect();
        }
        let states = other.states.into_iter().zip(other.known);
        states.map(|(state, (hash, facts))| self.place(state, hash, Some(facts))).collect()
    }

    fn place(&mut self, state: CfiState, first_hash: u64, facts: Option<Facts>) -> CfiId {
        let mut hash = first_hash;
        while let Some(&position) = self.positions.get(&hash) {
            if self.states[position as usize] == state {
                return CfiId(self.first + position);
            }
            hash = hash.wrapping_add(1);
        }
        let position = self.states.len() as u32;
        self.known.push((first_hash, facts.unwrap_or_else(|| Facts::of(&state))));
        self.states.push(state);
        self.positions.insert(hash, position);
        CfiId(self.first + position)
    }

    /// How many states there are.
    pub fn n_states(&self) -> usize {
        self.states.len()
    }

    /// The state.
    pub fn get(&self, id: CfiId) -> &CfiState {
        &self.states[self.index(id)]
    }

    /// What is known of the state.
    pub fn facts(&self, id: CfiId) -> Facts {
        self.known[self.index(id)].1
    }

    /// All states, in the order of their ids.
    pub fn into_states(self) -> Vec<CfiState> {
        self.states
    }
}
