//! Transitions that were met lately.
//!
//! In: a state, a list of operations.  Out: the state that they led to, if it is still remembered.

use crate::ids::CfiId;

/// Transitions met lately: from a state by a list of operations to a state.
///
/// The same few come again and again. Each has one slot where it may stand; what stood there before is worked out again
/// when it is needed.
pub(super) struct Transitions {
    /// State, operations with their context, state behind them. No operations are all zeros.
    slots: Vec<[u32; 3]>,
}

impl Transitions {
    /// For an object of `n_insns` instructions.
    pub(super) fn new(n_insns: usize) -> Self {
        Transitions { slots: vec![[0; 3]; (n_insns / 16).clamp(1 << 6, 1 << 15).next_power_of_two()] }
    }

    /// The one place where this transition may stand.
    pub(super) fn slot(&mut self, state: CfiId, ops: u32) -> &mut [u32; 3] {
        let key = u64::from(state.0) << 32 | u64::from(ops);
        let mixed = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let last = self.slots.len() - 1;
        &mut self.slots[mixed as usize & last]
    }
}
