//! What changed code does that no author means: how a fix that only pleases objtool is told from one that mends.
//!
//! In: the analysis of a text.  Out: how many oddities its functions have.
//! Holds afterwards: code that is right may have some; a fix is judged by how many it brings or leaves, beside others.

use rustc_hash::FxHashMap;

use crate::analysis::Analysis;
use crate::causes::deed::{self, Deed};
use crate::cfi::Base;
use crate::ids::{CodeLoc, InsnId};
use crate::image::Symbol;

/// More instructions than these are not looked at.
const MOST: usize = 1 << 16;

/// How often a function writes over its return address or into its caller's frame, or takes the slot of one register into
/// another, and how often any function undoes at once what it has just done: a macro that is changed may be used in any of
/// them, but how deep the stack is elsewhere depends on how far the walk got.
pub(super) fn oddities(analysis: &Analysis, function: Option<&str>) -> usize {
    // What is no function in the kernel's eyes is code all the same.
    let is_code = |symbol: &Symbol| {
        !symbol.is_undefined()
            && !symbol.is_section()
            && symbol.size > 0
            && analysis.image.section(symbol.section).is_code()
    };
    let functions = analysis.image.symbols().filter(|(_, symbol)| is_code(symbol));
    let mut left = MOST;
    let counts = functions.map(|(id, symbol)| {
        let end = symbol.value.saturating_add(analysis.symbols.size(id));
        let first = analysis.insns.at(CodeLoc::new(symbol.section, symbol.value));
        let body = std::iter::successors(first, |&insn| analysis.insns.next_in_section(insn));
        let body: Vec<InsnId> = body.take_while(|&insn| analysis.insns.loc(insn).offset < end).take(left).collect();
        left -= body.len();
        // Entry code is reached with whatever the processor has pushed.
        let is_own = symbol.is_function() && function == Some(analysis.image.symbol_name(id));
        undone(analysis, &body) + if is_own { misplaced(analysis, &body) } else { 0 }
    });
    counts.sum()
}

/// How often an instruction undoes the one before it.
fn undone(analysis: &Analysis, body: &[InsnId]) -> usize {
    let undoes = |pair: &&[InsnId]| {
        let both = (Deed::of(analysis.insns.ops(pair[0])), Deed::of(analysis.insns.ops(pair[1])));
        matches!(both, (Some(first), Some(next)) if first.puts() && next == first.other())
    };
    body.windows(2).filter(undoes).count()
}

/// How often a function takes from the stack, or writes to it, where others have put something.
fn misplaced(analysis: &Analysis, body: &[InsnId]) -> usize {
    let mut slots: FxHashMap<i64, Vec<Base>> = FxHashMap::default();
    let depth = |insn: InsnId| deed::depth(analysis, insn);
    let deeds = || body.iter().filter_map(|&insn| Some((insn, Deed::of(analysis.insns.ops(insn))?)));
    for (insn, deed) in deeds() {
        if let (Deed::Push(Some(register)), Some(depth)) = (deed, depth(insn)) {
            slots.entry(-(depth + 8)).or_default().push(register);
        }
    }
    let other_slot = |(insn, deed): (InsnId, Deed)| {
        let (Deed::Pop(Some(register)), Some(depth)) = (deed, depth(insn)) else { return false };
        slots.get(&-depth).is_some_and(|made| !made.contains(&register))
    };
    let beyond = body.iter().filter(|&&insn| deed::writes_beyond(analysis, insn));
    deeds().filter(|&step| other_slot(step)).count() + beyond.count()
}
