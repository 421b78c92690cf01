//! Takes out of an image what objtool has added to the object, so that it is judged as it was compiled or linked.
//!
//! In: an [`ElfImage`].  Out: the same without objtool's tables and prefix symbols.
//! Holds afterwards: every id means what it meant; what was taken out is an empty section without a name, or a null symbol.
//! Reads like: the functions `create_*_sections` and `add_prefix_symbol` in `tools/objtool/check.c` (behaviour only).

use rustc_hash::FxHashMap;

use super::{ElfImage, NULL_SYMBOL, STT_FUNC};
use crate::image::Relocs;

/// Sections that only objtool makes.
const SECTIONS: [&str; 8] = [
    ".call_sites",
    ".cfi_sites",
    ".ibt_endbr_seal",
    ".orc_unwind",
    ".orc_unwind_ip",
    ".retpoline_sites",
    ".return_sites",
    ".static_call_sites",
];
/// What objtool calls the padding before a function, and what comes after it in the name.
const PREFIX: &str = "__pfx_";

impl ElfImage {
    /// Whether objtool has been at the object.
    pub fn is_processed(&self) -> bool {
        self.sections().any(|(_, section)| SECTIONS.contains(&section.name.as_str()))
    }

    /// Forgets what objtool has added. What it has changed in place looks as good to it as before.
    pub fn forget_additions(&mut self) {
        if !self.is_processed() {
            return;
        }
        for id in self.prefix_symbols() {
            if let Some(symbol) = self.symbols.get_mut(id) {
                *symbol = NULL_SYMBOL;
            }
        }
        for section in self.sections.iter_mut().skip(1) {
            let name = section.name.strip_prefix(".rela").unwrap_or(&section.name);
            if SECTIONS.contains(&name) {
                section.name.clear();
                (section.kind, section.flags, section.size) = (0, 0, 0);
                section.code = Vec::new();
                (section.rela, section.relocs) = (None, Relocs::default());
            }
        }
    }

    /// Functions that are named after the one that follows them.
    fn prefix_symbols(&self) -> Vec<usize> {
        let functions = || self.symbols().filter(|(_, symbol)| symbol.kind == STT_FUNC && !symbol.is_undefined());
        let mut by_place: FxHashMap<_, Vec<_>> = FxHashMap::default();
        let mut named = Vec::new();
        for (id, symbol) in functions() {
            match self.symbol_name(id).strip_prefix(PREFIX) {
                Some(rest) => named.push((id, rest, (symbol.section, symbol.value.wrapping_add(symbol.size)))),
                None => by_place.entry((symbol.section, symbol.value)).or_default().push(id),
            }
        }
        let follows = |rest: &str, place: &_| {
            let there = by_place.get(place).map_or(&[][..], Vec::as_slice);
            there.iter().any(|&id| self.symbol_name(id) == rest)
        };
        named.into_iter().filter(|(_, rest, place)| follows(rest, place)).map(|(id, ..)| id.index()).collect()
    }
}
