//! Keeps one copy of each list of stack operations.
//!
//! In: the operations of one instruction after another.  Out: [`Interner`], their positions in the list of lists.
//! Holds afterwards: equal lists have the same position; the empty list has position 0.

use rustc_hash::FxHashMap;

use crate::cfi::{Base, Dest, Source, StackOp};

/// The operations of an instruction. None has more than two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ops {
    /// All of `list` in one number; 0 for an empty one.
    key: u64,
    pub(super) list: [Option<StackOp>; 2],
}

impl Ops {
    pub(super) const NONE: Ops = Ops { key: 0, list: [None; 2] };

    #[inline(always)]
    pub(super) fn of(list: [Option<StackOp>; 2]) -> Ops {
        let [Some(first), second] = list else { return Ops::NONE };
        let offset = u64::from(offset(first) as u32);
        let key = offset << 32 | u64::from(registers(first)) << 16 | u64::from(second.map_or(0, registers));
        Ops { key, list }
    }
}

/// The operations of an instruction, kept where the list of lists is.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpList {
    ops: [StackOp; 2],
    n: u8,
}

impl OpList {
    /// An instruction's; none has more than two.
    pub(super) fn of(list: &[StackOp]) -> OpList {
        debug_assert!(list.len() <= 2, "{list:?}");
        let at = |index: usize| list.get(index).copied().unwrap_or(StackOp { dest: Dest::Mem, src: Source::Const });
        OpList { ops: [at(0), at(1)], n: list.len().min(2) as u8 }
    }
}

impl std::ops::Deref for OpList {
    type Target = [StackOp];

    fn deref(&self) -> &[StackOp] {
        self.ops.get(..usize::from(self.n)).unwrap_or(&[])
    }
}

impl From<Ops> for OpList {
    fn from(ops: Ops) -> OpList {
        match ops.list {
            [None, _] => OpList::of(&[]),
            [Some(one), None] => OpList::of(&[one]),
            [Some(one), Some(other)] => OpList::of(&[one, other]),
        }
    }
}

/// The distinct lists seen so far.
pub(super) struct Interner {
    pub(super) lists: Vec<OpList>,
    positions: FxHashMap<u64, u32>,
    /// Lists met lately, each in the one place where it may stand: most instructions do what one shortly before did.
    recent: Vec<(u64, u32)>,
}

/// How many lists are kept at hand.
const RECENT: usize = 1 << 10;

impl Interner {
    pub(super) fn new() -> Self {
        // No list has key 0.
        Interner { lists: vec![Ops::NONE.into()], positions: FxHashMap::default(), recent: vec![(0, 0); RECENT] }
    }

    /// The position of a list that another one of its kind made.
    pub(super) fn adopt(&mut self, list: &[StackOp]) -> u32 {
        self.position(Ops::of([list.first().copied(), list.get(1).copied()]))
    }

    /// The position of `ops`.
    pub(super) fn position(&mut self, ops: Ops) -> u32 {
        let key = ops.key;
        if key == 0 {
            return 0;
        }
        let slot = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize % RECENT;
        if self.recent[slot].0 != key {
            let position = *self.positions.entry(key).or_insert_with(|| {
                self.lists.push(ops.into());
                self.lists.len() as u32 - 1
            });
            self.recent[slot] = (key, position);
        }
        self.recent[slot].1
    }
}

/// The one offset that an operation has: no instruction moves from memory to memory, and none that has two operations
/// has an offset in the second.
#[inline(always)]
fn offset(op: StackOp) -> i32 {
    match op {
        StackOp { dest: Dest::Indirect(_, offset), .. }
        | StackOp { src: Source::Indirect(_, offset) | Source::Add(_, offset), .. } => offset,
        _ => 0,
    }
}

/// What an operation is about besides the offset; never 0.
#[inline(always)]
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
