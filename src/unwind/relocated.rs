//! The bytes of tables with their relocations applied, as if a linker had given every section an address of its own.
//!
//! In: [`ElfImage`], [`Store`].  Out: [`Addresses`].
//! Holds afterwards: an address means one byte of one section, or none.
//! Reads like: x86-64 psABI §4.4.1, table of relocation types.

use crate::ids::{CodeLoc, SectionId};
use crate::image::{ET_REL, ElfImage, LoadError, Reloc, SHF_ALLOC, Store, Symbol};

/// Low addresses stay free: tables describe code that is nowhere as lying there.
const FIRST: u64 = 1 << 20;
/// Sections never touch.
const GAP: u64 = 64;

/// Where a symbol is defined: in a linked file its value is an address, in an object an offset.
pub(super) fn place_of(image: &ElfImage, symbol: &Symbol) -> Option<CodeLoc> {
    let place = symbol.place()?;
    let start = if image.kind == ET_REL { 0 } else { image.section(place.section).addr };
    Some(CodeLoc::new(place.section, place.offset.checked_sub(start)?))
}

/// Where every section would lie.
pub(super) struct Addresses {
    /// By section; 0 for those that are not loaded and need no address.
    start: Vec<u64>,
    /// Start, end, section; ascending.
    order: Vec<(u64, u64, SectionId)>,
    relocatable: bool,
}

impl Addresses {
    /// Gives each section of `image` an address: its own if it has one.
    pub(super) fn of(image: &ElfImage) -> Addresses {
        let relocatable = image.kind == ET_REL;
        let mut addresses = Addresses { start: vec![0; image.sections.len()], order: Vec::new(), relocatable };
        let mut next = FIRST;
        for (id, section) in image.sections() {
            let start = if relocatable { next } else { section.addr };
            let Some(end) = start.checked_add(section.size) else { continue };
            // Offsets within tables that are not loaded count from their start.
            if !relocatable && start == 0 || relocatable && section.flags & SHF_ALLOC == 0 {
                continue;
            }
            addresses.start[id.index()] = start;
            addresses.order.push((start, end, id));
            next = end.saturating_add(GAP).next_multiple_of(GAP);
        }
        addresses.order.sort_unstable();
        addresses
    }

    /// The address of a section's first byte.
    pub(super) fn start(&self, section: SectionId) -> u64 {
        self.start.get(section.index()).copied().unwrap_or(0)
    }

    /// The byte that an address means.
    pub(super) fn loc(&self, address: u64) -> Option<CodeLoc> {
        let at = self.order.partition_point(|&(start, ..)| start <= address).checked_sub(1)?;
        let &(start, end, section) = self.order.get(at)?;
        (address < end).then(|| CodeLoc::new(section, address - start))
    }

    /// A section's bytes, relocated.
    pub(super) fn contents(&self, store: &dyn Store, image: &ElfImage, id: SectionId) -> Result<Vec<u8>, LoadError> {
        let mut bytes = image.read_section(store, id)?;
        if !self.relocatable {
            return Ok(bytes);
        }
        let section = image.section(id);
        let base = self.start(id);
        if section.relocs.is_empty() {
            if let Some(rela) = section.rela {
                image.each_reloc(store, rela, |_, reloc| self.apply(image, &mut bytes, base, &reloc))?;
            }
        } else {
            section.relocs.iter().for_each(|reloc| self.apply(image, &mut bytes, base, &reloc));
        }
        Ok(bytes)
    }

    fn apply(&self, image: &ElfImage, bytes: &mut [u8], base: u64, reloc: &Reloc) {
        let symbol = image.symbol(reloc.symbol);
        let home = if symbol.is_undefined() { 0 } else { self.start(symbol.section) };
        let value = home.wrapping_add(symbol.value).wrapping_add_signed(reloc.addend);
        reloc.kind.apply(bytes, reloc.offset, value, base.wrapping_add(reloc.offset));
    }
}
