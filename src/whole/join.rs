//! Joins objects to one, as `ld -r` does, without a linker.
//!
//! In: some members of a program, each with its bytes.  Out: a [`Draft`] of what they are together.
//! Holds afterwards: each symbol that several define, or refer to, is one; a weak definition has given way to another one.
//! Debug information is left out, like what objtool has added.
//! Reads like: System V gABI, chapter 4 ("Symbol Table", "Relocation").

use crate::ids::{SectionId, SymbolId};
use crate::image::{
    ElfImage, LoadError, SHF_ALLOC, SHT_GROUP, SHT_RELA, SHT_SYMTAB, SHT_SYMTAB_SHNDX, STB_GLOBAL, STB_WEAK,
    STT_SECTION, Section, Store,
};

use super::draft::{Draft, Entry, Handle, Home, Output, Shape, is_seen};

const SHT_STRTAB: u32 = 3;
const SHT_REL: u32 = 9;
/// A few objects together are at most so large.
const MAX_JOINED: u64 = 256 << 20;

/// Why objects are not joined.
#[derive(Debug, thiserror::Error)]
pub(super) enum JoinError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("{0} is defined twice")]
    DefinedTwice(String),
    #[error("the objects are too large together")]
    TooLarge,
}

/// Adds an object.
pub(super) fn add(draft: &mut Draft, name: &str, image: &ElfImage, store: &dyn Store) -> Result<(), JoinError> {
    draft.begin(name);
    let size: u64 = image.sections().filter(|(_, section)| is_taken(section)).map(|(_, section)| section.size).sum();
    if size.saturating_add(draft.size()) > MAX_JOINED {
        return Err(JoinError::TooLarge);
    }
    let mut places: Vec<Option<(Output, u64)>> = vec![None; image.sections.len()];
    for (id, section) in image.sections().filter(|(_, section)| is_taken(section)) {
        let bytes = image.read_section(store, id)?;
        let Section { name, kind, flags, align, entsize, .. } = section;
        let shape = Shape { name, kind: *kind, flags: *flags, align: *align, entsize: *entsize };
        places[id.index()] = Some(draft.piece(&shape, section.size, &bytes));
    }
    let handles = symbols(draft, image, &places)?;
    for (id, section) in image.sections() {
        let Some((output, start)) = places[id.index()] else { continue };
        for reloc in section.relocs.iter() {
            let symbol = image.symbol(reloc.symbol);
            // A section's symbol counts from where the piece now starts.
            let moved =
                if symbol.kind == STT_SECTION { place_of(&places, symbol.section).map(|at| at.1) } else { None };
            let addend = reloc.addend.wrapping_add_unsigned(moved.unwrap_or(0));
            let handle = handles.get(reloc.symbol.index()).copied().unwrap_or(Handle::Null);
            draft.reloc(output, start.wrapping_add(reloc.offset), handle, reloc.kind, addend);
        }
    }
    Ok(())
}

fn place_of(places: &[Option<(Output, u64)>], section: SectionId) -> Option<(Output, u64)> {
    places.get(section.index()).copied().flatten()
}

/// Whether the section comes along: tables of the object itself are made anew, debug information is left out.
fn is_taken(section: &Section) -> bool {
    let is_table =
        matches!(section.kind, 0 | SHT_SYMTAB | SHT_STRTAB | SHT_RELA | SHT_REL | SHT_GROUP | SHT_SYMTAB_SHNDX);
    let is_debug = section.flags & SHF_ALLOC == 0 && section.name.starts_with(".debug");
    !is_table && !is_debug && !section.name.is_empty()
}

/// Adds the object's symbols; what each has become.
fn symbols(draft: &mut Draft, image: &ElfImage, places: &[Option<(Output, u64)>]) -> Result<Vec<Handle>, JoinError> {
    let mut handles = vec![Handle::Null; image.symbols.len()];
    for (id, symbol) in image.symbols() {
        let place = place_of(places, symbol.section);
        if symbol.kind == STT_SECTION {
            handles[id.index()] = place.map_or(Handle::Null, |(output, _)| Handle::Section(output));
            continue;
        }
        let (home, value) = match place {
            Some((output, start)) => (Home::Section(output), symbol.value.wrapping_add(start)),
            None if symbol.is_undefined() => (Home::Index(symbol.shndx), symbol.value),
            // Of debug information.
            None => continue,
        };
        let name = image.symbol_name(id);
        if name.is_empty() && is_seen(symbol.binding) {
            continue;
        }
        let entry = |name: &str| Entry {
            name: name.to_owned(),
            kind: symbol.kind,
            binding: symbol.binding,
            home,
            value,
            size: symbol.size,
        };
        handles[id.index()] =
            if is_seen(symbol.binding) { global(draft, entry(name))? } else { draft.local(entry(name)) };
    }
    Ok(handles)
}

/// What the objects call by one name is one symbol.
pub(super) fn global(draft: &mut Draft, new: Entry) -> Result<Handle, JoinError> {
    const UNDEFINED: Home = Home::Index(0);
    let name = new.name.clone();
    let (handle, known) = draft.global(&name);
    let is_first = known.binding == 0;
    match (known.home, new.home) {
        _ if is_first => *known = new,
        (UNDEFINED, UNDEFINED) if new.binding == STB_GLOBAL => known.binding = STB_GLOBAL,
        (_, UNDEFINED) => {}
        (UNDEFINED, _) => *known = new,
        _ if new.binding == STB_WEAK => {}
        _ if known.binding == STB_WEAK => *known = new,
        // Common symbols may be several.
        (Home::Index(_), _) => *known = new,
        (_, Home::Index(_)) => {}
        _ => return Err(JoinError::DefinedTwice(name)),
    }
    Ok(handle)
}

/// The symbols of an object that it only refers to, or that others may define in its place.
pub(super) fn is_open(image: &ElfImage, id: SymbolId) -> bool {
    let symbol = image.symbol(id);
    is_seen(symbol.binding) && ((symbol.is_undefined() && symbol.shndx == 0) || symbol.binding == STB_WEAK)
}
