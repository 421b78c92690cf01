//! One number per distinct state.
//!
//! In: [`CfiState`]s.  Out: [`CfiId`]s; equal states have equal ids, counted from where the caller says.

use std::hash::{Hash, Hasher};

use hashbrown::HashTable;
use rustc_hash::FxHasher;

use super::{CfiState, Facts};
use crate::ids::CfiId;

/// The distinct states met so far.
#[derive(Clone, Debug, Default)]
pub struct Interner {
    states: Vec<CfiState>,
    /// By state: its hash, and what is known of it.
    known: Vec<(StateHash, Facts)>,
    /// The positions of all states.
    positions: HashTable<u32>,
    first: u32,
}

/// Half of a hash, which is enough: states are far fewer than its values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct StateHash(u32);

impl StateHash {
    fn of(state: &CfiState) -> StateHash {
        let mut hasher = FxHasher::default();
        state.hash(&mut hasher);
        StateHash(hasher.finish() as u32)
    }

    /// Spread over as many bits as a table wants: it looks at both ends.
    fn whole(self) -> u64 {
        u64::from(self.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
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
        let hash = StateHash::of(&state);
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

    fn place(&mut self, state: CfiState, hash: StateHash, facts: Option<Facts>) -> CfiId {
        let is_same =
            |&position: &u32| self.known[position as usize].0 == hash && self.states[position as usize] == state;
        if let Some(position) = self.positions.find(hash.whole(), is_same) {
            return CfiId(self.first + position);
        }
        let position = self.states.len() as u32;
        self.known.push((hash, facts.unwrap_or_else(|| Facts::of(&state))));
        self.states.push(state);
        let known = &self.known;
        self.positions.insert_unique(hash.whole(), position, |&position| known[position as usize].0.whole());
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
