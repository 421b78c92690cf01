//! Who owns an instruction, and what is said of whole functions and sections.
//!
//! In: symbols in list order.  Out: owners, ignored functions, uaccess-safe functions.

use std::collections::BinaryHeap;
use std::ops::Range;

use rustc_hash::FxHashSet;

use crate::decode::{DecodeNote, Kind};
use crate::findings::Fault;
use crate::ids::{InsnId, SectionId, SymbolId};
use crate::image::{ElfImage, STT_FUNC, STT_NOTYPE, STT_SECTION};
use crate::kernel::rules::Rules;
use crate::ledger::Weight;
use crate::options::Options;
use crate::parallel;

use super::builder::Builder;
use super::noinstr::PvTables;
use super::runs::Runs;
use super::{Flags, SectionTraits};

/// What the sections' names say.
pub(super) fn section_traits(image: &ElfImage, options: &Options, rules: &Rules) -> Vec<SectionTraits> {
    image
        .sections
        .iter()
        .map(|section| {
            let name = section.name.as_str();
            if !section.is_code() {
                return SectionTraits::default();
            }
            SectionTraits {
                text: !matches!(name, ".altinstr_replacement" | ".altinstr_aux") && !name.starts_with(".discard."),
                noinstr: matches!(name, ".noinstr.text" | ".entry.text")
                    || (rules.walk.cpuidle_is_noinstr && name == ".cpuidle.text")
                    || name.starts_with(".text..__x86."),
                init: name == ".init.text" && !options.module,
            }
        })
        .collect()
}

/// A symbol's wish to own instructions.
struct Claim {
    /// The index of the first instruction.
    first: usize,
    /// Later symbols overwrite earlier ones.
    rank: usize,
    /// The index of the one behind the last.
    end: usize,
    symbol: SymbolId,
}

impl Builder<'_> {
    /// Section by section: what decoding had to say of it, then the owners of its instructions.
    pub(super) fn assign_owners(&mut self, notes: &[DecodeNote], mut pv_ops: Option<PvTables>) {
        let mut notes = notes.iter().peekable();
        let mut owned = Vec::new();
        for index in 1..self.image.sections.len() {
            let section = SectionId::from_index(index);
            pv_ops.iter_mut().for_each(|pv_ops| self.read_pv_stores(section, pv_ops));
            while let Some(note) = notes.next_if(|note| note.at.section <= section) {
                let weight = if note.fatal { Weight::Fatal } else { Weight::Warning };
                let insn = self.insns.at(note.at);
                self.ledger.plain(weight, note.fault.clone(), insn.map(|_| note.at), insn, None);
            }
            if self.image.section(section).is_code() {
                settle(self.claims(section), &mut owned);
            }
        }
        let sections = self.image.sections().filter_map(|(section, _)| self.insns.of_section(section).next());
        self.graph.owners = Runs::new(self.insns.len(), owned.into_iter(), sections.map(|first| first.0).collect());
    }

    /// What symbols claim of a section.
    fn claims(&mut self, section: SectionId) -> Vec<Claim> {
        let size = self.image.section(section).size;
        let mut claims = Vec::new();
        let symbols = self.symbols.of_section(section).to_vec();
        // Where they start, whether with `endbr`, and what they cover: far apart in memory, so that all processors look.
        let extents = parallel::filled(symbols.len(), 0, |at| {
            let start = self.image.symbol(symbols[at]).value;
            let first = self.find(section, start)?;
            let owned = self.insns.between(section, start, start.saturating_add(self.symbols.size(symbols[at])));
            Some((first, self.insns.kind(first) == Kind::Endbr, owned))
        });
        for (symbol, extent) in symbols.into_iter().zip(extents) {
            let kind = self.symbols.kind(symbol);
            if kind != STT_FUNC && !(kind == STT_NOTYPE && self.rules.symbols.notype_owns) {
                continue;
            }
            let start = self.image.symbol(symbol).value;
            if start == size && self.rules.symbols.end_of_section_is_told {
                if kind == STT_FUNC {
                    self.plain_fault(Weight::Fatal, Fault::FunctionAtSectionEnd { symbol }, Some(symbol));
                }
                continue;
            }
            if self.symbols.is_alias(symbol)
                || (self.rules.symbols.notype_owns && self.symbols.traits(symbol).embedded_insn)
            {
                continue;
            }
            let Some((first, is_endbr, owned)) = extent else {
                self.plain_fault(Weight::Fatal, Fault::NoStartingInsn { symbol }, Some(symbol));
                continue;
            };
            if kind == STT_FUNC && !owned.is_empty() && is_endbr {
                self.graph.sites.endbr.push(first);
            }
            claims.push(Claim { first: owned.start, rank: claims.len(), end: owned.end, symbol });
        }
        claims
    }

    /// `STACK_FRAME_NON_STANDARD`.
    pub(super) fn mark_ignored(&mut self) {
        const NAME: &str = ".rela.discard.func_stack_frame_non_standard";
        let mut met = FxHashSet::default();
        for reloc in self.relocs_named(NAME) {
            let symbol = self.image.symbol(reloc.symbol);
            let function = match self.symbols.kind(reloc.symbol) {
                STT_FUNC => Some(reloc.symbol),
                STT_SECTION => self.symbols.function_at(symbol.section, reloc.addend as u64),
                kind => {
                    let fatal = self.rules.tables.ignored_symbol_type_is_fatal;
                    let weight = if fatal { Weight::Fatal } else { Weight::Warning };
                    let fault = Fault::IgnoredListAtWrongSymbol { section: NAME, kind };
                    self.plain_fault(weight, fault, None);
                    None
                }
            };
            let Some(function) = function else { continue };
            if self.rules.walk.ignore_is_per_symbol {
                self.symbols.mark(function, |traits| traits.ignore = true);
                if let Some(child) = self.symbols.child(function) {
                    self.symbols.mark(child, |traits| traits.ignore = true);
                }
            } else {
                for id in self.insns_of_until(function, |id| met.contains(&id)) {
                    met.insert(id);
                    self.graph.set(id, Flags::IGNORE);
                }
            }
        }
    }

    pub(super) fn mark_uaccess_safe(&mut self) {
        if !self.options.uaccess {
            return;
        }
        for name in self.rules.lists.uaccess_safe.iter() {
            if let Some(symbol) = self.symbols.by_name(self.image, name) {
                self.symbols.mark(symbol, |traits| traits.uaccess_safe = true);
            }
        }
    }

    /// With `--link`, code between symbols is what the linker left of a dropped weak function. A cold part that only
    /// such code jumps to is not validated either.
    pub(super) fn mark_holes(&mut self) {
        if !self.options.link || !self.rules.checks.holes_marked_first {
            return;
        }
        let mut in_hole = false;
        let mut before = None;
        // Nearly all of it is padding between functions.
        let runs: Vec<Range<u32>> = self.graph.owners.unowned().collect();
        let is_nop = |id: u32| self.insns.kind(InsnId(id)) == Kind::Nop;
        let goes_on = |at: usize| at.checked_sub(1).is_some_and(|before| runs[before].end == runs[at].start);
        let with_code = parallel::numbers(runs.len(), |at| goes_on(at) || !runs[at].clone().all(is_nop));
        for id in with_code.into_iter().flat_map(|at| runs[at].clone()).map(InsnId) {
            in_hole &= before == id.0.checked_sub(1);
            before = Some(id.0);
            if !in_hole && self.insns.kind(id) == Kind::Nop {
                continue;
            }
            let at = self.insns.loc(id);
            if self.symbols.hole(at.section, at.offset, self.rules) == Some(0) {
                in_hole = false;
                continue;
            }
            in_hole = true;
            self.graph.set(id, Flags::HOLE);
            let target = self.graph.jump_target(id).and_then(|target| self.function(target));
            if let Some(function) = target
                && self.image.symbol_name(function).contains(".cold")
            {
                self.symbols.mark(function, |traits| traits.ignore = true);
            }
        }
    }
}

/// Gives each instruction to the last of those that claim it, in one pass however many there are.
fn settle(mut claims: Vec<Claim>, owned: &mut Vec<(Range<usize>, u32)>) {
    claims.sort_by_key(|claim| claim.first);
    let mut claims = claims.into_iter().peekable();
    let mut open = BinaryHeap::new();
    let mut at = 0;
    loop {
        while let Some(claim) = claims.next_if(|claim| claim.first <= at) {
            open.push((claim.rank, claim.end, claim.symbol));
        }
        while open.peek().is_some_and(|&(_, end, _)| end <= at) {
            open.pop();
        }
        let next = claims.peek().map(|claim| claim.first);
        at = match (open.peek(), next) {
            (Some(&(_, end, symbol)), next) => {
                let until = next.map_or(end, |next| next.min(end));
                owned.push((at..until, symbol.0));
                until
            }
            (None, Some(next)) => next,
            (None, None) => break,
        };
    }
}
