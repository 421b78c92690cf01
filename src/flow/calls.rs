//! What calls and sibling calls lead to, and which callees never return.
//!
//! In: relocations, symbols.  Out: callees, dead ends, the lists of annotated sites.
//! Reads like: `add_call_destinations`, `annotate_call_site`, `dead_end_function` of the releases.

use crate::decode::{InsnTable, Kind};
use crate::findings::Fault;
use crate::ids::{CodeLoc, InsnId, SectionId, SymbolId};
use crate::image::{ElfImage, STB_WEAK};
use crate::kernel::rules::Rules;
use crate::ledger::Weight;
use crate::parallel;
use crate::symbols::Symbols;

use super::Flags;
use super::builder::{Branch, Builder};

/// What is left of a part's calls when those are done that need no order.
#[derive(Default)]
struct Left {
    /// For `.call_sites`.
    listed: Vec<InsnId>,
    /// For `.static_call_sites`.
    static_calls: Vec<InsnId>,
    others: Vec<Branch>,
}

/// What makes a call of a branch. Whatever it does to the stack, the callee's return undoes.
pub(super) const CALL: Flags = Flags(Flags::CALLS.0 | Flags::NO_OPS.0);

/// In an object with fewer symbols each function is judged when it is called.
const WORTH_JUDGING_AHEAD: usize = 1 << 12;

impl Builder<'_> {
    pub(super) fn add_calls(&mut self) {
        self.judge_functions();
        let parts = self.in_parts(
            |kind| kind == Kind::Call,
            |builder, branch, target, flags, left: &mut Left| {
                let Some((callee, returns)) = builder.plain_callee(branch) else {
                    left.others.push(*branch);
                    return;
                };
                (*target, *flags) = (callee.0, flags.with(CALL));
                if !builder.is_annotated(branch) {
                    return;
                }
                if builder.symbols.traits(callee).static_call_tramp {
                    left.static_calls.push(branch.id);
                } else {
                    let dead_end = !returns && !builder.rules.branches.dead_ends_in_walk;
                    *flags = if dead_end { flags.with(Flags::DEAD_END) } else { *flags };
                    left.listed.extend(builder.lists_call(branch, callee).then_some(branch.id));
                }
            },
        );
        let (calls, static_calls) = (self.graph.sites.call.len(), self.graph.sites.static_call.len());
        for part in parts {
            part.others.iter().for_each(|branch| self.add_call(branch));
            self.graph.sites.call.extend(part.listed);
            self.graph.sites.static_call.extend(part.static_calls);
        }
        self.graph.sites.call[calls..].sort();
        self.graph.sites.static_call[static_calls..].sort();
    }

    /// The callee of a call that is nothing special, and whether it returns. Such calls need no order.
    fn plain_callee(&self, branch: &Branch) -> Option<(SymbolId, bool)> {
        let &Branch { id, section, reloc } = branch;
        let local =
            |section, offset| self.symbols.function_at(section, offset).filter(|&f| self.symbols.is_function(f));
        let callee = match reloc {
            None => local(section, self.encoded_target(section, id)),
            Some(reloc) if self.is_section_symbol(reloc.symbol) => {
                local(self.image.symbol(reloc.symbol).section, self.branch_addend(id, &reloc))
            }
            Some(reloc) => Some(reloc.symbol),
        };
        let callee = callee.filter(|&callee| !self.is_special(branch, callee))?;
        let never_returns = self.dead_end_functions.get(callee.index()).copied().flatten()?;
        Some((callee, !never_returns))
    }

    /// Whether a call or sibling call of the symbol makes something else of the instruction, or is worth a finding.
    pub(super) fn is_special(&self, branch: &Branch, callee: SymbolId) -> bool {
        let traits = self.symbols.traits(callee);
        traits.retpoline_thunk
            || (traits.fentry && self.options.mcount)
            || (traits.profiling && self.hacks.noinstr && self.graph.section(branch.section).noinstr)
    }

    /// Whether what the callee is makes a difference to the call.
    fn is_annotated(&self, branch: &Branch) -> bool {
        self.rules.branches.calls_in_replacements || self.image.section(branch.section).name != ".altinstr_replacement"
    }

    fn lists_call(&self, branch: &Branch, callee: SymbolId) -> bool {
        let embedded = self.rules.branches.embedded_not_listed && self.symbols.traits(callee).embedded_insn;
        self.insns.kind(branch.id) == Kind::Call && !self.graph.section(branch.section).init && !embedded
    }

    fn add_call(&mut self, branch: &Branch) {
        let Some(reloc) = branch.reloc else {
            self.add_local_call(branch);
            return;
        };
        if self.is_section_symbol(reloc.symbol) {
            let section = self.image.symbol(reloc.symbol).section;
            let offset = self.branch_addend(branch.id, &reloc);
            match self.callee_at(section, offset) {
                Some(callee) => self.set_callee(branch, callee, false),
                None => {
                    let section = self.image.section(section).name.clone();
                    self.insn_fault(Weight::Fatal, Fault::CallWithoutDest { section, offset }, branch.id);
                }
            }
        } else if self.symbols.traits(reloc.symbol).retpoline_thunk {
            self.make_retpoline(branch);
        } else {
            self.set_callee(branch, reloc.symbol, false);
        }
    }

    fn add_local_call(&mut self, branch: &Branch) {
        let &Branch { id, section, .. } = branch;
        let offset = self.encoded_target(section, id);
        let callee = self.callee_at(section, offset);
        if self.finished_module
            && callee.is_none()
            && let Some(target) = self.find(section, offset)
        {
            self.recover_intra_call(id, target);
            return;
        }
        if let Some(callee) = callee {
            self.set_callee(branch, callee, false);
        }
        let function = self.function(id);
        let ignored = self.graph.has(id, Flags::IGNORE)
            || (self.rules.walk.ignore_is_per_symbol && function.is_some_and(|f| self.symbols.traits(f).ignore));
        if ignored {
            return;
        }
        match callee {
            None => self.insn_fault(Weight::Fatal, Fault::UnannotatedIntraCall, id),
            Some(callee) if function.is_some() && !self.symbols.is_function(callee) => {
                self.insn_fault(Weight::Fatal, Fault::CallToNonFunction, id);
            }
            Some(_) => {}
        }
    }

    fn callee_at(&self, section: SectionId, offset: u64) -> Option<SymbolId> {
        self.symbols.function_at(section, offset).or_else(|| self.symbols.symbol_at(section, offset))
    }

    pub(super) fn set_callee(&mut self, branch: &Branch, callee: SymbolId, sibling: bool) {
        self.graph.branches.set(branch.id, callee.0);
        self.graph.set(branch.id, CALL);
        self.annotate_call(branch, callee, sibling);
    }

    pub(super) fn annotate_call(&mut self, branch: &Branch, callee: SymbolId, sibling: bool) {
        let &Branch { id, section, .. } = branch;
        if !self.is_annotated(branch) {
            return;
        }
        let traits = self.symbols.traits(callee);
        let section = self.graph.section(section);
        if traits.static_call_tramp {
            self.graph.sites.static_call.push(id);
            return;
        }
        if traits.retpoline_thunk {
            self.graph.sites.retpoline.push(id);
            return;
        }
        if self.hacks.noinstr && section.noinstr && traits.profiling {
            self.patch(id, if sibling { Kind::Return } else { Kind::Nop });
            if sibling {
                self.graph.set(id, Flags::SAFE);
            }
            return;
        }
        if self.options.mcount && traits.fentry {
            if sibling {
                self.insn_fault(Weight::Warning, Fault::FentryTailCall, id);
            }
            if self.options.mnop || self.rules.branches.fentry_always_nop {
                self.patch(id, Kind::Nop);
            }
            self.graph.sites.mcount.push(id);
            return;
        }
        if self.lists_call(branch, callee) {
            self.graph.sites.call.push(id);
        }
        if !sibling && !self.rules.branches.dead_ends_in_walk && self.never_returns(callee) {
            self.graph.set(id, Flags::DEAD_END);
        }
    }

    /// objtool overwrites the instruction, and sees it as what it then is.
    pub(super) fn patch(&mut self, id: InsnId, kind: Kind) {
        self.set_kind(id, kind);
        if !self.ledger.stopped() {
            self.graph.sites.patched.push(id);
        }
    }

    /// Finds out for all functions at once whether they return. By then all jumps are known, and calls make no difference.
    fn judge_functions(&mut self) {
        let known = &self.dead_end_functions;
        let judge = |index: usize| {
            let (id, known) = (SymbolId::from_index(index), known[index]);
            let asked = known.is_none() && (self.symbols.is_function(id) || self.image.symbol(id).is_undefined());
            if asked { Some(self.judge_noreturn(id)) } else { known }
        };
        if known.len() >= WORTH_JUDGING_AHEAD {
            self.dead_end_functions = parallel::filled(known.len(), 0, judge);
        }
    }

    /// Whether a call of the function is where a path ends.
    fn never_returns(&mut self, function: SymbolId) -> bool {
        if let Some(&Some(known)) = self.dead_end_functions.get(function.index()) {
            return known;
        }
        let verdict = self.judge_noreturn(function);
        if let Some(known) = self.dead_end_functions.get_mut(function.index()) {
            *known = Some(verdict);
        }
        verdict
    }

    /// Makes dead ends of calls that do not return, in a release that finds out when a path reaches them.
    pub(super) fn mark_dead_calls(&mut self) {
        self.dead_end_functions.fill(None);
        let calls: Vec<InsnId> = self.graph.branches(&[Kind::Call, Kind::JumpUnconditional]).collect();
        for id in calls {
            if let Some(callee) = self.graph.callee(id).filter(|_| self.graph.has(id, Flags::CALLS))
                && self.never_returns_here(callee)
            {
                self.graph.set(id, Flags::DEAD_END);
            }
        }
    }

    fn never_returns_here(&mut self, function: SymbolId) -> bool {
        if let Some(&Some(known)) = self.dead_end_functions.get(function.index()) {
            return known;
        }
        let verdict = self.judge_noreturn_by_siblings(function);
        if let Some(known) = self.dead_end_functions.get_mut(function.index()) {
            *known = Some(verdict);
        }
        verdict
    }

    /// The same as [`Builder::judge_noreturn`] in a release that looks where the first sibling call leads, up to five deep.
    fn judge_noreturn_by_siblings(&self, function: SymbolId) -> bool {
        let mut function = function;
        for _ in 0..=5 {
            let symbol = self.image.symbol(function);
            let name = self.image.symbol_name(function);
            if self.noreturn.knows(symbol.binding) && self.noreturn.lists(name, symbol.binding) {
                return true;
            }
            if symbol.binding == STB_WEAK || self.symbols.size(function) == 0 {
                return false;
            }
            let insns = self.insns_of(function);
            if insns.first().is_none_or(|&first| self.function(first).is_none())
                || insns.iter().any(|&id| self.insns.kind(id) == Kind::Return)
            {
                return false;
            }
            let Some(&sibling) = insns.iter().find(|&&id| self.is_sibling_call(id)) else { return true };
            match self.local_callee(sibling) {
                Some(callee) => function = callee,
                None => return false,
            }
        }
        false
    }

    /// The callee of a sibling call, where the destination is known too: it was found by its address.
    fn local_callee(&self, id: InsnId) -> Option<SymbolId> {
        let by_address = self.reloc(id).is_none_or(|reloc| self.is_section_symbol(reloc.symbol));
        self.graph.callee(id).filter(|_| by_address && self.graph.has(id, Flags::CALLS))
    }

    fn judge_noreturn(&self, function: SymbolId) -> bool {
        let symbol = self.image.symbol(function);
        let weak = symbol.binding == STB_WEAK;
        if self.noreturn.knows(symbol.binding) && self.noreturn.lists(self.image.symbol_name(function), symbol.binding)
        {
            return true;
        }
        if weak || self.symbols.size(function) == 0 {
            return false;
        }
        let Some(first) = self.find(symbol.section, symbol.value) else { return false };
        let Some(owner) = self.function(first) else { return false };
        let child = self.symbols.child(owner).filter(|&child| child != owner);
        let cold = child.and_then(|child| self.find(self.image.symbol(child).section, self.image.symbol(child).value));
        !self.leaves(first) && cold.is_none_or(|cold| !self.leaves(cold))
    }

    /// Whether an instruction leaves the function, from `start` to the last one of the same owner. While no jump table is
    /// known, an indirect jump counts as leaving.
    fn leaves(&self, start: InsnId) -> bool {
        let owned = match self.function(start) {
            Some(_) => start.0..self.graph.owners.run(start).end,
            None => start.0..start.0 + 1,
        };
        let mut branches = self.graph.branches.kinds_within(owned.start as usize..owned.end as usize);
        branches.any(|(id, kind)| match kind {
            Kind::Return => true,
            Kind::JumpDynamic | Kind::JumpConditional | Kind::JumpUnconditional => self.is_sibling_call(id),
            _ => false,
        })
    }

    fn is_sibling_call(&self, id: InsnId) -> bool {
        is_sibling_call(&self.graph, &self.insns, &self.symbols, self.rules.branches.sibling_needs_function, id)
    }
}

/// Whether nothing in a function returns, whatever the release knows of its name: what [`Builder::judge_noreturn`] sees of
/// it. Jump tables are known by now; an indirect jump still counts as leaving.
pub(crate) fn body_never_returns(
    graph: &super::FlowGraph,
    symbols: &Symbols,
    insns: &InsnTable,
    image: &ElfImage,
    rules: &Rules,
    function: SymbolId,
) -> bool {
    let symbol = image.symbol(function);
    if symbol.binding == STB_WEAK || symbols.size(function) == 0 {
        return false;
    }
    let at = |function: SymbolId| insns.at(CodeLoc::new(image.symbol(function).section, image.symbol(function).value));
    let Some(first) = at(function) else { return false };
    let Some(owner) = graph.function(symbols, first) else { return false };
    let leaves = |id: InsnId| match insns.kind(id) {
        Kind::Return | Kind::JumpDynamic => true,
        Kind::JumpConditional | Kind::JumpUnconditional => {
            is_sibling_call(graph, insns, symbols, rules.branches.sibling_needs_function, id)
        }
        _ => false,
    };
    let body_leaves = |start: InsnId| match graph.function(symbols, start) {
        Some(_) => (start.0..graph.owners.run(start).end).map(InsnId).any(leaves),
        None => leaves(start),
    };
    let cold = symbols.child(owner).filter(|&child| child != owner).and_then(at);
    !body_leaves(first) && cold.is_none_or(|cold| !body_leaves(cold))
}

/// Whether a jump leaves its function for another one.
pub(crate) fn is_sibling_call(
    graph: &super::FlowGraph,
    insns: &InsnTable,
    symbols: &crate::symbols::Symbols,
    needs_function: bool,
    id: InsnId,
) -> bool {
    let in_function = || graph.function(symbols, id).is_some();
    match insns.kind(id) {
        Kind::JumpDynamic => in_function() && !graph.is_table_jump(id),
        Kind::JumpConditional | Kind::JumpUnconditional => {
            graph.has(id, Flags::CALLS) && (!needs_function || in_function())
        }
        _ => false,
    }
}
