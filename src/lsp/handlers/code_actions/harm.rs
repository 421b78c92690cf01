//! What a changed function does that no author means: how a fix that only pleases objtool is told from one that mends.
//!
//! In: the analysis of a text, a function's name.  Out: how many oddities its code has.
//! Holds afterwards: code that is right may have some; a fix is judged by how many it brings or leaves, beside others.

use rustc_hash::FxHashMap;

use crate::analysis::Analysis;
use crate::cfi::{Base, Dest, Source, StackOp};
use crate::decode::Usage;
use crate::ids::{CodeLoc, InsnId};

/// What is put on the stack, or taken from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Move {
    Put(Option<Base>),
    Take(Option<Base>),
    Grow(i32),
    Shrink(i32),
}

impl Move {
    fn of(ops: &[StackOp]) -> Option<Move> {
        ops.iter().find_map(|op| match (op.dest, op.src) {
            (Dest::Push, Source::Reg(register)) => Some(Move::Put(Some(register))),
            (Dest::Push | Dest::Pushf, _) => Some(Move::Put(None)),
            (Dest::Reg(register), Source::Pop) => Some(Move::Take(Some(register))),
            (_, Source::Pop | Source::Popf) => Some(Move::Take(None)),
            (Dest::Reg(Base::SP), Source::Add(Base::SP, n)) if n < 0 => Some(Move::Grow(n.saturating_neg())),
            (Dest::Reg(Base::SP), Source::Add(Base::SP, n)) => Some(Move::Shrink(n)),
            _ => None,
        })
    }

    /// Whether the next one undoes it, with nothing in between.
    fn is_undone_by(self, next: Move) -> bool {
        match (self, next) {
            (Move::Put(put), Move::Take(taken)) => put == taken,
            (Move::Grow(grown), Move::Shrink(shrunk)) => grown == shrunk,
            _ => false,
        }
    }
}

/// More instructions than these are not looked at.
const MOST: usize = 1 << 14;

/// How often a function writes over its return address or into its caller's frame, takes the slot of one register into another,
/// or undoes at once what it has just done.
pub(super) fn oddities(analysis: &Analysis, function: &str) -> usize {
    let own = analysis.image.symbols().find(|(id, symbol)| {
        symbol.is_function() && !symbol.is_undefined() && analysis.image.symbol_name(*id) == function
    });
    let Some((id, symbol)) = own else { return 0 };
    let end = symbol.value.saturating_add(analysis.symbols.size(id));
    let first = analysis.insns.at(CodeLoc::new(symbol.section, symbol.value));
    let body = std::iter::successors(first, |&insn| analysis.insns.next_in_section(insn));
    let body: Vec<InsnId> = body.take_while(|&insn| analysis.insns.loc(insn).offset < end).take(MOST).collect();
    let mut slots: FxHashMap<i64, Vec<Base>> = FxHashMap::default();
    let depth = |insn: InsnId| {
        let state = analysis.states.state(insn)?;
        (state.cfa.base == Base::SP).then_some(i64::from(state.cfa.offset))
    };
    let moves = || body.iter().filter_map(|&insn| Some((insn, Move::of(analysis.insns.ops(insn))?)));
    for (insn, change) in moves() {
        if let (Move::Put(Some(register)), Some(depth)) = (change, depth(insn)) {
            slots.entry(-(depth + 8)).or_default().push(register);
        }
    }
    let other_slot = |(insn, change): (InsnId, Move)| {
        let (Move::Take(Some(register)), Some(depth)) = (change, depth(insn)) else { return false };
        slots.get(&-depth).is_some_and(|made| !made.contains(&register))
    };
    let undone = body.windows(2).filter(|pair| {
        let both = (Move::of(analysis.insns.ops(pair[0])), Move::of(analysis.insns.ops(pair[1])));
        matches!(both, (Some(first), Some(next)) if first.is_undone_by(next))
    });
    let beyond = body.iter().filter(|&&insn| {
        let Some(depth) = depth(insn).filter(|_| Move::of(analysis.insns.ops(insn)).is_none()) else { return false };
        let used = Usage::of(&analysis.image, &analysis.insns, insn);
        used.memory.iter().any(|access| {
            let at = access.displacement - depth;
            access.written && !access.indexed && access.base == Some(Base::SP) && at + 8 > -8
        })
    });
    moves().filter(|&step| other_slot(step)).count() + undone.count() + beyond.count()
}
