//! What the rest of a program needs to know of one of its objects.
//!
//! In: an analysed object.  Out: [`Facts`]: what it defines for others, and what it makes of what others define.
//! Holds afterwards: objtool's checks of `vmlinux.o` look no deeper into an object from another one, but for the walk of
//! `--unret`, the slots of paravirt operations and places inside of functions: objects that have to do with those say so.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::analysis::Analysis;
use crate::decode::Kind;
use crate::flow::{Flags, adjusted_addend, body_never_returns};
use crate::ids::{CodeLoc, SectionId, SymbolId};
use crate::image::{Reloc, STB_WEAK, STT_SECTION, Section};

use super::draft::is_seen;
use super::join::is_open;

/// The keys of static calls, which are looked for by their names.
pub(super) const STATIC_CALL_KEY: &str = "__SCK__";
/// What static calls call.
pub(super) const STATIC_CALL: &str = "__SCT__";
/// Code that is patched into other code, and is checked where that is.
const REPLACEMENTS: &str = ".altinstr_replacement";

/// Code that runs at boot.
const BOOT: &str = ".init.text";
/// From the field of a store that says where to the one that says what.
const FIELD: u64 = 4;

/// How an object uses a symbol of another one: bits.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Uses(pub u8);

impl Uses {
    /// It calls it, or jumps there.
    pub(super) const CALL: Uses = Uses(1);
    /// Code that may not be instrumented calls it.
    pub(super) const NOINSTR: Uses = Uses(2);
    /// Code takes its address.
    pub(super) const ADDRESS: Uses = Uses(4);
    /// Data holds its address.
    pub(super) const DATA: Uses = Uses(8);
    /// A place behind its start.
    pub(super) const INSIDE: Uses = Uses(16);
    /// Code that runs at boot stores something there.
    pub(super) const AT_BOOT: Uses = Uses(32);

    pub(super) fn has(self, other: Uses) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn with(self, other: Uses) -> Uses {
        Uses(self.0 | other.0)
    }
}

/// What a function looks like from outside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Defined {
    pub name: String,
    /// The section.
    pub section: String,
    /// `st_type`.
    pub kind: u8,
    pub weak: bool,
    /// Its section's code may not be instrumented.
    pub noinstr: bool,
    /// It may be reached by an indirect branch: it starts with `endbr`, or is said to need none.
    pub endbr: bool,
    /// Nothing in it returns.
    pub never: bool,
    /// Whether it has a size; objtool looks into no function without.
    pub sized: bool,
    /// Symbols of one place have the same number.
    pub place: u32,
}

/// See the top of the file.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub(super) struct Facts {
    /// The code that it defines for others, in the order of its symbols.
    pub defined: Vec<Defined>,
    /// Data that it defines for others and that is looked for by its name.
    pub data: Vec<String>,
    /// What it uses of others.
    pub used: Vec<(String, Uses)>,
    /// The untraining check starts here, or ends.
    pub unret: bool,
    /// It defines slots of paravirt operations, or fills some.
    pub fills_slots: bool,
    /// It has the table of slots that all others are put into.
    pub has_slots: bool,
    /// What it fills them with.
    pub slots: Vec<String>,
    /// Code that may not be instrumented calls through such slots.
    pub calls_slots: bool,
}

impl Facts {
    /// What it defines under a name.
    pub(super) fn defines(&self, name: &str) -> Option<&Defined> {
        self.defined.iter().find(|one| one.name == name)
    }
}

/// Takes down what others need to know of an object.
pub(super) fn of(analysis: &Analysis) -> Facts {
    let Analysis { image, insns, flow, rules, .. } = analysis;
    let mut facts = Facts::default();
    let mut places: FxHashMap<CodeLoc, u32> = FxHashMap::default();
    let tables = &rules.walk.pv_ops_tables;
    for (id, symbol) in image.symbols() {
        let Some(at) = symbol.place().filter(|_| symbol.kind != STT_SECTION) else { continue };
        let (name, section) = (image.symbol_name(id), image.section(at.section));
        // objtool looks for tables by their names, whoever else may see them.
        if tables.contains(&name) {
            facts.fills_slots = true;
            facts.has_slots |= tables.first() == Some(&name);
            facts.slots.extend(filled(analysis, name, at, symbol.size));
        }
        if !is_seen(symbol.binding) {
            continue;
        }
        if !section.is_code() {
            if name.starts_with(STATIC_CALL_KEY) {
                facts.data.push(name.to_owned());
            }
            continue;
        }
        let next = places.len() as u32;
        let first = analysis.insns.at(at);
        facts.defined.push(Defined {
            name: name.to_owned(),
            section: section.name.clone(),
            kind: symbol.kind,
            weak: symbol.binding == STB_WEAK,
            noinstr: flow.section(at.section).noinstr,
            endbr: first.is_some_and(|id| insns.kind(id) == Kind::Endbr || flow.has(id, Flags::NOENDBR)),
            never: body_never_returns(flow, &analysis.symbols, &analysis.insns, image, rules, id),
            sized: analysis.symbols.size(id) != 0,
            place: *places.entry(at).or_insert(next),
        });
    }
    facts.unret = flow.declared(Flags::UNRET).next().is_some()
        || flow.declared(Flags::SAFE).any(|id| insns.kind(id) == Kind::Nop);
    let mut used: FxHashMap<u32, Uses> = FxHashMap::default();
    for (section, header) in image.sections() {
        let of_interest = header.is_code() || !is_passed_over(&header.name);
        for reloc in header.relocs.iter().filter(|_| of_interest) {
            let is_table = header.is_code() && tables.contains(&image.symbol_name(reloc.symbol));
            if is_table && header.name.starts_with(BOOT) {
                facts.slots.extend(stored(analysis, header, &reloc));
            }
            if is_open(image, reloc.symbol) {
                let uses = used.entry(reloc.symbol.0).or_default();
                *uses = uses.with(use_of(analysis, section, &reloc));
            } else if is_table {
                // Who defines the slots uses them as well.
                let uses = use_of(analysis, section, &reloc);
                facts.calls_slots |= uses.has(Uses::NOINSTR);
            }
        }
    }
    let mut used: Vec<(u32, Uses)> = used.into_iter().collect();
    used.sort_unstable_by_key(|(symbol, _)| *symbol);
    for (symbol, uses) in used {
        let name = image.symbol_name(SymbolId(symbol));
        if tables.contains(&name) {
            facts.calls_slots |= uses.has(Uses::NOINSTR);
            facts.fills_slots |= uses.has(Uses::AT_BOOT);
        }
        facts.used.push((name.to_owned(), uses));
    }
    facts
}

/// What a table of slots holds from the start.
fn filled(analysis: &Analysis, table: &str, at: CodeLoc, size: u64) -> Vec<String> {
    let relocs = analysis.image.section(at.section).relocs.iter();
    let own = relocs.filter(|reloc| reloc.offset.wrapping_sub(at.offset) < size);
    own.map(|reloc| format!("{table}+{}: {}", reloc.offset - at.offset, target(analysis, &reloc))).collect()
}

/// What code stores into a slot.
fn stored(analysis: &Analysis, header: &Section, place: &Reloc) -> Option<String> {
    let value = header.relocs.at(place.offset.checked_add(FIELD)?)?;
    let table = analysis.image.symbol_name(place.symbol);
    Some(format!("{table}{:+}: {}", place.addend, target(analysis, &value)))
}

/// What a slot is filled with, and whether it may not be instrumented, as far as the object itself says that.
fn target(analysis: &Analysis, reloc: &Reloc) -> String {
    let Analysis { image, symbols, flow, .. } = analysis;
    let at = image.destination(reloc);
    let symbol = if image.symbol(reloc.symbol).kind == STT_SECTION {
        symbols.symbol_at(at.section, at.offset)
    } else {
        Some(reloc.symbol)
    };
    let name = symbol.map_or("", |symbol| image.symbol_name(symbol));
    format!("{name} {}", flow.section(image.symbol(reloc.symbol).section).noinstr)
}

/// Data that says something about code without leading there.
fn is_passed_over(name: &str) -> bool {
    name.starts_with(".discard") || name.starts_with(".debug") || name.starts_with(".orc_unwind")
}

fn use_of(analysis: &Analysis, section: SectionId, reloc: &Reloc) -> Uses {
    let Analysis { image, flow, insns, .. } = analysis;
    let header = image.section(section);
    if !header.is_code() {
        return if reloc.addend == 0 { Uses::DATA } else { Uses::DATA.with(Uses::INSIDE) };
    }
    let noinstr = flow.section(section).noinstr || header.name == REPLACEMENTS;
    let Some(id) = insns.containing(CodeLoc::new(section, reloc.offset)) else { return Uses::ADDRESS };
    let kind = insns.kind(id);
    if matches!(kind, Kind::Return | Kind::Nop) {
        return Uses::CALL;
    }
    let uses = match kind.leads_away() {
        true if noinstr => Uses::CALL.with(Uses::NOINSTR),
        true => Uses::CALL,
        false if header.name.starts_with(BOOT) => Uses::ADDRESS.with(Uses::AT_BOOT),
        false => Uses::ADDRESS,
    };
    let is_inside = adjusted_addend(reloc, u64::from(insns.get(id).end())) != 0;
    if is_inside { uses.with(Uses::INSIDE) } else { uses }
}
