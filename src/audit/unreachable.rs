//! Code that no path reaches.
//!
//! In: what the walk visited.  Out: unreachable instructions, and callees that seem never to return.
//! Reads like: `validate_reachable_instructions` and `ignore_unreachable_insn` in `tools/objtool/check.c`.

use std::ops::Range;

use rustc_hash::FxHashSet;

use crate::decode::Kind;
use crate::findings::Fault;
use crate::flow::Flags;
use crate::follow::{CfiMap, Input};
use crate::ids::{InsnId, SectionId, SymbolId};
use crate::kernel::rules::UnreachableReport;
use crate::ledger::{Ledger, Weight};
use crate::parallel;

struct Search<'a> {
    input: &'a Input<'a>,
    reached: &'a CfiMap,
    /// Cold parts that only dropped code jumps to.
    ignored: FxHashSet<SymbolId>,
    /// What was found of code between symbols, and for which code it holds.
    settled: Option<(SectionId, Range<u64>, bool)>,
}

/// Reports code that no path reached. How many findings objtool counts.
pub fn unreachable(input: &Input<'_>, reached: &CfiMap, ledger: &mut Ledger) -> usize {
    if input.flow.unreachables_ignored {
        return 0;
    }
    let mut search = Search { input, reached, ignored: FxHashSet::default(), settled: None };
    let mut counted = 0;
    let suspects = parallel::numbers(input.insns.n_real(), |index| {
        let id = InsnId::from_index(index);
        reached.id(id).is_none() && !is_filler(input, id)
    });
    for id in suspects.into_iter().map(InsnId::from_index) {
        if search.exempt(id) {
            continue;
        }
        let before = input.insns.prev_in_section(id).filter(|&before| input.flow.has(before, Flags::DEAD_END));
        let fault = match before.and_then(|before| input.flow.direct_callee(input.insns, before)) {
            Some(callee) if input.rules.checks.unreachable == UnreachableReport::All => {
                Fault::MissingNoreturn { callee }
            }
            _ => Fault::Unreachable,
        };
        ledger.at_insn(Weight::Warning, fault, input.placed(id), input.flow.owner(id), None);
        counted += 1;
        if input.rules.checks.unreachable == UnreachableReport::First {
            break;
        }
    }
    counted
}

/// Whether the instruction fills room, or was dropped, as most that no path reaches.
fn is_filler(input: &Input<'_>, id: InsnId) -> bool {
    let dropped = Flags::IGNORE.with(Flags::HOLE);
    matches!(input.insns.kind(id), Kind::Nop | Kind::Trap) || input.flow.has(id, dropped)
}

impl Search<'_> {
    fn exempt(&mut self, id: InsnId) -> bool {
        let Input { flow, insns, symbols, rules, options, image, .. } = *self.input;
        let function = flow.function(symbols, id);
        if function.is_some_and(|function| symbols.traits(function).ignore || self.ignored.contains(&function)) {
            return true;
        }
        let at = insns.loc(id);
        let section = image.section(at.section).name.as_str();
        if matches!(section, ".altinstr_replacement" | ".altinstr_aux")
            || (section == ".fixup" && rules.checks.fixup_exempt)
        {
            return true;
        }
        let Some(function) = function else {
            return options.link && rules.checks.holes_known && !rules.checks.holes_marked_first && self.in_hole(id);
        };
        if rules.checks.trampolines_exempt && symbols.traits(function).static_call_tramp {
            return true;
        }
        let before = insns.prev_in_section(id);
        let dead_end = before.is_some_and(|before| flow.has(before, Flags::DEAD_END));
        let jumps_to_bug = insns.kind(id) == Kind::JumpUnconditional
            && flow.jump_target(id).is_some_and(|target| insns.kind(target) == Kind::Bug);
        if dead_end && (insns.kind(id) == Kind::Bug || jumps_to_bug) {
            return true;
        }
        self.leads_to_sanitizer(id, function)
    }

    /// Whether one of the next five instructions is a sanitizer's call for code that should not be reached.
    fn leads_to_sanitizer(&self, id: InsnId, function: SymbolId) -> bool {
        const HANDLERS: [&str; 2] = ["__asan_handle_no_return", "__ubsan_handle_builtin_unreachable"];
        let Input { flow, insns, symbols, image, .. } = *self.input;
        let end = image.symbol(function).value.saturating_add(symbols.size(function));
        let mut at = id;
        for _ in 0..5 {
            let callee = (insns.kind(at) == Kind::Call).then(|| flow.callee(at)).flatten();
            if callee.is_some_and(|callee| HANDLERS.contains(&image.symbol_name(callee))) {
                return true;
            }
            let next = if insns.kind(at) == Kind::JumpUnconditional {
                flow.jump_target(at).filter(|&target| flow.function(symbols, target) == Some(function))
            } else if u64::from(insns.get(at).end()) >= end {
                None
            } else {
                insns.next_in_section(at)
            };
            match next {
                Some(next) => at = next,
                None => break,
            }
        }
        false
    }

    /// Whether the code lies between symbols, up to code that a path reaches. All code up to where the search ends has
    /// the same answer, so none is searched twice.
    fn in_hole(&mut self, id: InsnId) -> bool {
        let Input { insns, symbols, rules, .. } = *self.input;
        let at = insns.loc(id);
        if let Some((section, range, leads_on)) = &self.settled
            && *section == at.section
            && range.contains(&at.offset)
        {
            return *leads_on;
        }
        let size = match symbols.hole(at.section, at.offset, rules) {
            Some(0) => return false,
            None => return true,
            Some(size) => size,
        };
        let (until, leads_on) = self.search_hole(id, at.offset.saturating_add(size));
        self.settled = Some((at.section, at.offset..until, leads_on));
        leads_on
    }

    /// Where the search from `id` to the hole's end stops, and whether at code that a path reaches.
    fn search_hole(&mut self, id: InsnId, end: u64) -> (u64, bool) {
        let Input { flow, insns, symbols, image, .. } = *self.input;
        let mut next = insns.next_in_section(id);
        while let Some(insn) = next {
            let offset = u64::from(insns.get(insn).offset);
            if self.reached.id(insn).is_some() {
                return (offset.min(end), true);
            }
            if offset >= end {
                return (end, false);
            }
            let target = flow.jump_target(insn).and_then(|target| flow.function(symbols, target));
            if let Some(function) = target
                && image.symbol_name(function).contains(".cold")
            {
                self.ignored.insert(function);
            }
            next = insns.next_in_section(insn);
        }
        (end, false)
    }
}
