//! Whether code whose address is taken starts with `endbr`.
//!
//! In: relocations of code and data.  Out: references to code that an indirect branch may not reach; which `endbr` are
//! used.
//! Reads like: `validate_ibt` and `check_abs_references` in `tools/objtool/check.c`.

use rustc_hash::FxHashSet;

use crate::decode::{self, Kind};
use crate::findings::Fault;
use crate::flow::{Flags, adjusted_addend};
use crate::follow::Input;
use crate::ids::{CodeLoc, InsnId, SectionId};
use crate::image::{Reloc, RelocKind, SHF_ALLOC, Section};
use crate::kernel::rules::{ModuleEntry, Rules};
use crate::ledger::{Ledger, Weight};

/// Relocations by which data holds an address.
const ABSOLUTE: [RelocKind; 3] = [RelocKind::ABS64, RelocKind::ABS32, RelocKind::ABS32S];
/// Size of an address.
const ADDRESS: u64 = 8;

struct Check<'a, 'l> {
    input: &'a Input<'a>,
    ledger: &'l mut Ledger,
    used: FxHashSet<InsnId>,
    counted: usize,
}

/// `--ibt`. How many findings objtool counts, and the `endbr` instructions that something refers to.
pub fn ibt(input: &Input<'_>, ledger: &mut Ledger) -> (usize, FxHashSet<InsnId>) {
    let mut check = Check { input, ledger, used: FxHashSet::default(), counted: 0 };
    for (id, section) in input.image.sections() {
        check.section(id, section);
    }
    for (id, section) in input.image.sections() {
        if section.is_code() || section.rela.is_none() || is_exempt(&section.name, input.rules) {
            continue;
        }
        for reloc in section.relocs.iter().filter(|reloc| !input.is_of_other_part(reloc.symbol)) {
            check.data(CodeLoc::new(id, reloc.offset), input.image.destination(&reloc));
        }
    }
    (check.counted, check.used)
}

/// Sections that refer to code, but not to branch there.
fn is_exempt(name: &str, rules: &Rules) -> bool {
    const EXEMPT: [&str; 13] = [
        ".altinstructions",
        ".ibt_endbr_seal",
        ".kcfi_traps",
        ".orc_unwind_ip",
        ".retpoline_sites",
        ".static_call_sites",
        "_error_injection_whitelist",
        "_kprobe_blacklist",
        "__bug_table",
        "__ex_table",
        "__jump_table",
        "__mcount_loc",
        "__patchable_function_entries",
    ];
    (name.starts_with(".discard") && name != ".discard.ibt_endbr_noseal")
        || name.starts_with(".debug")
        || EXEMPT.contains(&name)
        || (rules.checks.ibt_patchable_is_substring && name.contains("__patchable_function_entries"))
        || rules.checks.ibt_exempt.contains(&name)
}

impl Check<'_, '_> {
    /// What the section's instructions refer to, unless they branch there.
    fn section(&mut self, section: SectionId, header: &Section) {
        let Input { flow, insns, .. } = *self.input;
        let mut computed = flow.lea_rip(insns.between(section, 0, header.size)).iter().copied().peekable();
        for reloc in header.relocs.ascending() {
            let Some(id) = insns.containing(CodeLoc::new(section, reloc.offset)) else { continue };
            while let Some(other) = computed.next_if(|&other| other < id) {
                self.relative(other, section, header);
            }
            computed.next_if_eq(&id);
            let kind = insns.kind(id);
            if !kind.leads_away() && !matches!(kind, Kind::Return | Kind::Nop) {
                self.reloc(id, &reloc, u64::from(insns.get(id).end()));
            }
        }
        computed.for_each(|id| self.relative(id, section, header));
    }

    /// An address that the instruction computes without a relocation.
    fn relative(&mut self, id: InsnId, section: SectionId, header: &Section) {
        let Input { insns, rules, .. } = *self.input;
        let insn = insns.get(id);
        let by = decode::branch_immediate(header, insn, rules);
        match insns.at(CodeLoc::new(section, u64::from(insn.end()).wrapping_add_signed(by))) {
            Some(target) => self.code(id, target),
            None => self.report(Fault::CorruptFunctionPointer, id),
        }
    }

    fn reloc(&mut self, id: InsnId, reloc: &Reloc, insn_end: u64) {
        let Input { insns, image, symbols, rules, .. } = *self.input;
        if self.input.is_of_other_part(reloc.symbol)
            || (rules.checks.ibt_skips_static_calls && symbols.traits(reloc.symbol).static_call_tramp)
        {
            return;
        }
        let addend = if rules.branches.adjusted_addend {
            adjusted_addend(reloc, insn_end)
        } else if reloc.kind.leads_to_code() {
            (reloc.addend as u64).wrapping_add(4)
        } else {
            reloc.addend as u64
        };
        let symbol = image.symbol(reloc.symbol);
        if let Some(target) = insns.at(CodeLoc::new(symbol.section, symbol.value.wrapping_add(addend))) {
            self.code(id, target);
        }
    }

    /// A reference from code. What refers to its own function is a `_THIS_IP_`, not a pointer to call.
    fn code(&mut self, id: InsnId, target: InsnId) {
        let Input { flow, symbols, insns, rules, .. } = *self.input;
        if insns.kind(target) == Kind::Endbr {
            self.used.insert(target);
            return;
        }
        let function = |id: InsnId| {
            let function = flow.function(symbols, id)?;
            if rules.checks.ibt_compares_parents { symbols.parent(function) } else { Some(function) }
        };
        let own = function(target).is_some() && function(target) == function(id);
        if own || flow.has(target, Flags::NOENDBR) || (rules.checks.ibt_range_ends && self.ends_range(target)) {
            return;
        }
        self.report(Fault::RelocationToNonEndbr { target: insns.loc(target) }, id);
    }

    /// The end of a range of code that itself starts with `endbr` or needs none.
    fn ends_range(&self, target: InsnId) -> bool {
        let Input { flow, symbols, insns, image, .. } = *self.input;
        let at = insns.loc(target);
        let Some(before) = at.offset.checked_sub(1) else { return false };
        let Some(symbol) = symbols.symbol_containing(at.section, before) else { return false };
        let start = image.symbol(symbol).value;
        let Some(first) = insns.at(CodeLoc::new(at.section, start)) else { return false };
        (insns.kind(first) == Kind::Endbr || flow.has(first, Flags::NOENDBR))
            && at.offset == start.wrapping_add(symbols.size(symbol))
    }

    fn data(&mut self, from: CodeLoc, target: CodeLoc) {
        let Input { flow, insns, .. } = *self.input;
        let Some(id) = insns.at(target) else { return };
        if insns.kind(id) == Kind::Endbr {
            self.used.insert(id);
        } else if !flow.has(id, Flags::NOENDBR) {
            let fault = Fault::DataRelocationToNonEndbr { target };
            self.ledger.at_place(Weight::Warning, fault, from);
            self.counted += 1;
        }
    }

    fn report(&mut self, fault: Fault, id: InsnId) {
        let owner = self.input.flow.owner(id);
        self.ledger.at_insn(Weight::Warning, fault, self.input.placed(id), owner, None);
        self.counted += 1;
    }
}

/// `--ibt --module`: what the kernel calls by its address, though nothing in the module refers to its `endbr`.
pub fn module_entries(input: &Input<'_>, used: &FxHashSet<InsnId>, ledger: &mut Ledger) {
    for (section, _) in input.image.sections() {
        for &symbol in input.symbols.of_section(section) {
            let name = input.image.symbol_name(symbol);
            let start = input.insns.at(CodeLoc::new(section, input.image.symbol(symbol).value));
            let sealed = |id: &InsnId| input.insns.kind(*id) == Kind::Endbr && !used.contains(id);
            let Some(id) = start.filter(sealed) else { continue };
            if !matches!(name, "init_module" | "cleanup_module") || !input.symbols.is_function(symbol) {
                continue;
            }
            let name = name.to_owned();
            let (weight, fault) = match input.rules.checks.module_entry {
                ModuleEntry::Unsaid => return,
                ModuleEntry::NotCallable => (Weight::Warning, Fault::NotIndirectCallTarget { name }),
                ModuleEntry::MagicName => (Weight::Fatal, Fault::MagicModuleName { name }),
            };
            ledger.plain(weight, fault, Some(input.insns.loc(id)), Some(id), Some(symbol));
            if ledger.stopped() {
                return;
            }
        }
    }
}

/// `--noabs`: absolute relocations of what is loaded. How many findings objtool counts.
pub fn absolute_relocations(input: &Input<'_>, ledger: &mut Ledger) -> usize {
    let mut counted = 0;
    for (id, section) in input.image.sections() {
        if section.flags & SHF_ALLOC == 0 || section.rela.is_none() || section.name == "__patchable_function_entries" {
            continue;
        }
        for reloc in section.relocs.iter().filter(|reloc| ABSOLUTE.contains(&reloc.kind)) {
            let fault = Fault::AbsoluteRelocation { section: id, offset: reloc.offset };
            ledger.plain(Weight::Warning, fault, None, None, None);
            counted += 1;
        }
    }
    // By then objtool has added its lists, of which this one holds addresses.
    const LIST: &str = "__mcount_loc";
    if input.options.mcount && input.image.section_by_name(LIST).is_none() {
        for (&id, i) in input.flow.sites.mcount.iter().zip(0u64..) {
            let fault = Fault::AbsoluteAddressInList { list: LIST, offset: i * ADDRESS };
            ledger.plain(Weight::Warning, fault, Some(input.insns.loc(id)), Some(id), input.flow.owner(id));
            counted += 1;
        }
    }
    counted
}
