//! Where static jumps lead.
//!
//! In: relocations, encoded displacements, owners.  Out: jump targets, sibling calls, thunks resolved.
//! Reads like: `add_jump_destinations` of the releases.

use crate::decode::Kind;
use crate::findings::Fault;
use crate::ids::{CodeLoc, InsnId, SectionId, SymbolId};
use crate::image::{Reloc, STT_NOTYPE};
use crate::kernel::rules::JumpRules;
use crate::ledger::Weight;

use super::Flags;
use super::builder::{Branch, Builder};
use super::calls::CALL;

/// What a jump turns out to be.
enum Found {
    Retpoline,
    Return,
    Sibling(SymbolId),
    Place(SectionId, u64, Option<SymbolId>),
    Nothing,
}

/// What a jump is, as far as that can be told by itself.
enum Verdict {
    Inner(InsnId),
    Return,
    Sibling(SymbolId),
    /// More changes than the jump, or what other jumps changed before makes a difference.
    Ordered,
}

/// What is left of a part's jumps when those are done that need no order.
#[derive(Default)]
struct Left {
    returns: Vec<InsnId>,
    others: Vec<Branch>,
}

impl Builder<'_> {
    pub(super) fn add_jumps(&mut self) {
        let is_static = |kind| matches!(kind, Kind::JumpConditional | Kind::JumpUnconditional);
        let parts = self.in_parts(is_static, |builder, branch, target, flags, left: &mut Left| {
            // Of jumps in replacements some are known from the tables.
            if *target != 0 {
                return;
            }
            match builder.judge_jump(branch) {
                Verdict::Inner(inner) => *target = inner.0 + 1,
                Verdict::Sibling(symbol) => (*target, *flags) = (symbol.0, flags.with(CALL)),
                Verdict::Return => left.returns.push(branch.id),
                Verdict::Ordered => left.others.push(*branch),
            }
        });
        let listed = self.graph.sites.ret.len();
        for part in parts {
            part.returns.iter().for_each(|&id| self.make_return(id, true));
            part.others.iter().for_each(|branch| self.add_jump(branch));
        }
        self.graph.sites.ret[listed..].sort();
    }

    fn judge_jump(&self, branch: &Branch) -> Verdict {
        match self.look_up(branch) {
            Found::Return => Verdict::Return,
            Found::Sibling(symbol) => self.plain_sibling(branch, symbol),
            Found::Place(section, offset, symbol) => match self.find(section, offset) {
                Some(target) => self.judge_place(branch, target, symbol),
                None => Verdict::Ordered,
            },
            Found::Retpoline | Found::Nothing => Verdict::Ordered,
        }
    }

    fn judge_place(&self, branch: &Branch, target: InsnId, symbol: Option<SymbolId>) -> Verdict {
        let run = self.graph.owners.run(branch.id);
        let owner = (run.owner != 0).then_some(SymbolId(run.owner));
        // Most jumps have no relocation, stay in their function and do not lead to its start.
        let inside = owner.filter(|_| branch.reloc.is_none() && (run.has(target) || self.graph.owner(target) == owner));
        if inside.is_some_and(|owner| u64::from(self.insns.get(target).offset) != self.image.symbol(owner).value) {
            return Verdict::Inner(target);
        }
        if self.rules.branches.jumps != JumpRules::StartIsSibling {
            return Verdict::Ordered;
        }
        match self.by_start(branch.id, target, symbol) {
            Found::Return => Verdict::Return,
            Found::Sibling(symbol) => self.plain_sibling(branch, symbol),
            Found::Nothing => Verdict::Inner(target),
            _ => Verdict::Ordered,
        }
    }

    /// A jump to a function that is nothing special changes only itself.
    fn plain_sibling(&self, branch: &Branch, symbol: SymbolId) -> Verdict {
        let special = self.is_special(branch, symbol) || self.symbols.traits(symbol).static_call_tramp;
        if special { Verdict::Ordered } else { Verdict::Sibling(symbol) }
    }

    fn look_up(&self, branch: &Branch) -> Found {
        let &Branch { id, section, reloc } = branch;
        match (reloc, self.rules.branches.jumps) {
            (None, _) => Found::Place(section, self.encoded_target(section, id), self.image.section(section).symbol),
            (Some(reloc), JumpRules::StartIsSibling) => self.by_definition(id, &reloc),
            (Some(reloc), _) => self.by_symbol(id, &reloc),
        }
    }

    fn add_jump(&mut self, branch: &Branch) {
        match self.look_up(branch) {
            Found::Retpoline => self.make_retpoline(branch),
            Found::Return => self.make_return(branch.id, true),
            Found::Sibling(symbol) => self.set_callee(branch, symbol, true),
            Found::Place(section, offset, symbol) => self.jump_to(branch, CodeLoc::new(section, offset), symbol),
            Found::Nothing => {}
        }
    }

    /// Up to 6.12: a relocation against a symbol makes a function's jump a sibling call.
    fn by_symbol(&self, id: InsnId, reloc: &Reloc) -> Found {
        let symbol = self.image.symbol(reloc.symbol);
        let addend = self.branch_addend(id, reloc);
        if self.is_section_symbol(reloc.symbol) {
            return Found::Place(symbol.section, addend, None);
        }
        let traits = self.symbols.traits(reloc.symbol);
        if traits.retpoline_thunk {
            Found::Retpoline
        } else if traits.return_thunk {
            Found::Return
        } else if self.function(id).is_some() {
            Found::Sibling(reloc.symbol)
        } else if !symbol.is_undefined() {
            Found::Place(symbol.section, symbol.value.wrapping_add(addend), None)
        } else {
            Found::Nothing
        }
    }

    /// 7.3: only an undefined symbol decides by itself.
    fn by_definition(&self, id: InsnId, reloc: &Reloc) -> Found {
        let symbol = self.image.symbol(reloc.symbol);
        if !symbol.is_undefined() {
            let offset = symbol.value.wrapping_add(self.branch_addend(id, reloc));
            return Found::Place(symbol.section, offset, Some(reloc.symbol));
        }
        let traits = self.symbols.traits(reloc.symbol);
        if traits.retpoline_thunk {
            Found::Retpoline
        } else if traits.return_thunk {
            Found::Return
        } else if self.function(id).is_some() {
            Found::Sibling(reloc.symbol)
        } else {
            Found::Nothing
        }
    }

    fn jump_to(&mut self, branch: &Branch, at: CodeLoc, symbol: Option<SymbolId>) {
        match self.insns.at(at) {
            None => self.jump_nowhere(branch, at),
            Some(target) if self.rules.branches.jumps == JumpRules::StartIsSibling => {
                match self.by_start(branch.id, target, symbol) {
                    Found::Retpoline => self.make_retpoline(branch),
                    Found::Return => self.make_return(branch.id, true),
                    Found::Sibling(symbol) => self.set_callee(branch, symbol, true),
                    _ => self.graph.branches.set(branch.id, target.0 + 1),
                }
            }
            Some(target) => self.jump_by_owner(branch, target),
        }
    }

    fn jump_nowhere(&mut self, branch: &Branch, at: CodeLoc) {
        let id = branch.id;
        let CodeLoc { section, offset } = at;
        // What leaves its replacement is looked at with the table.
        if self.rules.branches.jumps_before_tables && self.image.section(branch.section).name == ".altinstr_replacement"
        {
            return;
        }
        let symbol = self.symbols.symbol_at(section, offset);
        if symbol.is_some_and(|symbol| self.symbols.traits(symbol).embedded_insn) {
            self.make_return(id, false);
            return;
        }
        // Dead code of coverage builds may jump to the end of its function.
        if self.rules.branches.jump_to_end_ignored
            && self.graph.unreachables_ignored
            && section == branch.section
            && let Some(function) = self.function(id)
            && offset == self.image.symbol(function).value.wrapping_add(self.symbols.size(function))
        {
            return;
        }
        self.insn_fault(Weight::Fatal, Fault::JumpWithoutDest { target: at }, id);
    }

    fn jump_by_owner(&mut self, branch: &Branch, target: InsnId) {
        let id = branch.id;
        if let Some(owner) = self.graph.owner(target)
            && self.rules.branches.local_thunk_jumps
            && u64::from(self.insns.get(target).offset) == self.image.symbol(owner).value
        {
            let traits = self.symbols.traits(owner);
            if traits.retpoline_thunk {
                self.make_retpoline(branch);
                return;
            }
            if traits.return_thunk {
                self.make_return(id, true);
                return;
            }
        }
        let mut relinked = false;
        if let (Some(from), Some(to)) = (self.function(id), self.function(target))
            && from != to
        {
            if !self.image.symbol_name(from).contains(".cold") && self.image.symbol_name(to).contains(".cold") {
                self.symbols.link(from, to);
                relinked = true;
            }
            if self.rules.branches.jumps == JumpRules::SymbolIsSiblingLenient
                && !relinked
                && self.symbols.parent(from) != self.symbols.parent(to)
                && self.is_first_insn(target, to)
            {
                self.set_callee(branch, to, true);
                return;
            }
        }
        if self.rules.branches.jumps == JumpRules::SymbolIsSibling
            && let (Some(from), Some(to)) = (self.graph.owner(id), self.graph.owner(target))
            && self.is_first_insn(target, to)
            && self.symbols.kind(to) != STT_NOTYPE
            && self.symbols.parent(from) != self.symbols.parent(to)
        {
            self.set_callee(branch, to, true);
            return;
        }
        self.graph.branches.set(id, target.0 + 1);
    }

    /// 7.3: where the symbol starts that a jump names, or that owns its target, decides. `Nothing` is a jump inside.
    fn by_start(&self, id: InsnId, target: InsnId, symbol: Option<SymbolId>) -> Found {
        let symbol = symbol.filter(|&symbol| !self.is_section_symbol(symbol)).or_else(|| self.graph.owner(target));
        let Some(symbol) = symbol else { return Found::Nothing };
        if u64::from(self.insns.get(target).offset) == self.image.symbol(symbol).value {
            let traits = self.symbols.traits(symbol);
            if traits.retpoline_thunk {
                return Found::Retpoline;
            }
            if traits.return_thunk {
                return Found::Return;
            }
        }
        let leaves = |owner| self.symbols.parent(owner) != self.symbols.parent(symbol);
        if self.graph.owner(id).is_some_and(leaves)
            && self.function(target).is_some_and(|function| self.is_first_insn(target, function))
        {
            return Found::Sibling(symbol);
        }
        Found::Nothing
    }

    /// Whether an instruction is where calls of a symbol may enter it: its start, or with `--ibt` the one behind an
    /// `endbr` there.
    pub(super) fn is_first_insn(&self, id: InsnId, symbol: SymbolId) -> bool {
        let start = self.image.symbol(symbol).value;
        let offset = u64::from(self.insns.get(id).offset);
        if offset == start {
            return true;
        }
        if !self.ibt {
            return false;
        }
        self.insns.prev_in_section(id).is_some_and(|prev| {
            self.insns.kind(prev) == Kind::Endbr
                && u64::from(self.insns.get(prev).offset) == start
                && self.function(prev) == self.function(id)
        })
    }

    /// A jump or call of a retpoline thunk is an indirect branch.
    pub(super) fn make_retpoline(&mut self, branch: &Branch) {
        let id = branch.id;
        let kind = match self.insns.kind(id) {
            Kind::Call => Kind::CallDynamic,
            Kind::JumpUnconditional => Kind::JumpDynamic,
            Kind::JumpConditional => Kind::JumpDynamicConditional,
            _ => return,
        };
        self.set_kind(id, kind);
        self.graph.set(id, Flags::SAFE);
        self.graph.set(id, Flags::NO_OPS);
        if let Some(reloc) = branch.reloc {
            self.annotate_call(branch, reloc.symbol, false);
        }
    }

    /// A jump to the return thunk is a return.
    fn make_return(&mut self, id: InsnId, listed: bool) {
        self.set_kind(id, Kind::Return);
        self.graph.set(id, Flags::SAFE);
        if listed {
            self.graph.sites.ret.push(id);
        }
    }
}
