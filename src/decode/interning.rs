//! Keeps one copy of each list of stack operations.
//!
//! In: the operations of one instruction after another.  Out: [`Interner`], their positions in the list of lists.
//! Holds afterwards: equal lists have the same position; the empty list has position 0.

use rustc_hash::FxHashMap;

use super::effect::Ops;
use crate::cfi::{Base, Dest, Source, StackOp};

/// The distinct lists seen so far.
pub(super) struct Interner {
    pub(super) lists: Vec<Box<[StackOp]>>,
    positions: FxHashMap<u64, u32>,
}

impl Interner {
    pub(super) fn new() -> Self {
        Interner { lists: vec![Box::default()], positions: FxHashMap::default() }
    }

    /// The position of a list that another one of its kind made.
    pub(super) fn adopt(&mut self, list: &[StackOp]) -> u32 {
        self.position([list.first().copied(), list.get(1).copied()])
    }

    /// The position of `ops`.
    pub(super) fn position(&mut self, ops: Ops) -> u32 {
        let [Some(first), second] = ops else { return 0 };
        let offset = u64::from(offset(first) as u32);
        let key = offset << 32 | u64::from(registers(first)) << 16 | u64::from(second.map_or(0, registers));
        if let Some(&position) = self.positions.get(&key) {
            return position;
        }
        let position = self.lists.len() as u32;
        self.lists.push(ops.into_iter().flatten().collect());
        self.positions.insert(key, position);
        position
    }
}

/// The one offset that an operation has: no instruction moves from memory to memory, and none that has two operations
/// has an offset in the second.
fn offset(op: StackOp) -> i32 {
    match op {
        StackOp { dest: Dest::Indirect(_, offset), .. }
        | StackOp { src: Source::Indirect(_, offset) | Source::Add(_, offset), .. } => offset,
        _ => 0,
    }
}

/// What an operation is about besides the offset; never 0.
fn registers(op: StackOp) -> u16 {
    let pair = |kind: u16, base: Base| kind << 5 | u16::from(base.0 as u8 & 31);
    let dest = match op.dest {
        Dest::Reg(base) => pair(1, base),
        Dest::Indirect(base, _) => pair(2, base),
        Dest::Mem => pair(3, Base::AX),
        Dest::Push => pair(4, Base::AX),
        Dest::Pushf => pair(5, Base::AX),
    };
    let src = match op.src {
        Source::Reg(base) => pair(0, base),
        Source::Indirect(base, _) => pair(1, base),
        Source::Const => pair(2, Base::AX),
        Source::Pop => pair(3, Base::AX),
        Source::Popf => pair(4, Base::AX),
        Source::Add(base, _) => pair(5, base),
        Source::And(base) => pair(6, base),
    };
    dest << 8 | src
}
