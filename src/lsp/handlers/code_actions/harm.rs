//! What changed code does that no author means: how a fix that only pleases objtool is told from one that mends.
//!
//! In: the analysis of a text.  Out: how many oddities its functions have.
//! Holds afterwards: code that is right may have some; a fix is judged by how many it brings or leaves, beside others.

use rustc_hash::FxHashMap;

use crate::analysis::Analysis;
use crate::causes::deed::{self, Deed};
use crate::cfi::Base;
use crate::ids::{CodeLoc, InsnId};

/// More instructions than these are not looked at.
const MOST: usize = 1 << 16;

/// How often the functions of an object write over their return address or into their caller's frame, take the slot of one register
/// into another, or undo at once what they have just done. A macro that is changed may be used in any of them.
pub(super) fn oddities(analysis: &Analysis) -> usize {
    let functions = analysis.image.symbols().filter(|(_, symbol)| symbol.is_function() && !symbol.is_undefined());
    let mut left = MOST;
    let counts = functions.map(|(id, symbol)| {
        let end = symbol.value.saturating_add(analysis.symbols.size(id));
        let first = analysis.insns.at(CodeLoc::new(symbol.section, symbol.value));
        let body = std::iter::successors(first, |&insn| analysis.insns.next_in_section(insn));
        let body: Vec<InsnId> = body.take_while(|&insn| analysis.insns.loc(insn).offset < end).take(left).collect();
        left -= body.len();
        of_function(analysis, &body)
    });
    counts.sum()
}

fn of_function(analysis: &Analysis, body: &[InsnId]) -> usize {
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
    let undone = body.windows(2).filter(|pair| {
        let both = (Deed::of(analysis.insns.ops(pair[0])), Deed::of(analysis.insns.ops(pair[1])));
        matches!(both, (Some(first), Some(next)) if first.puts() && next == first.other())
    });
    let beyond = body.iter().filter(|&&insn| deed::writes_beyond(analysis, insn));
    deeds().filter(|&step| other_slot(step)).count() + undone.count() + beyond.count()
}
