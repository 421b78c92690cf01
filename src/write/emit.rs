//! Lays the sections out and writes them.
//!
//! In: [`Draft`].  Out: the bytes of the object.
//! Holds afterwards: sections lie in the order of their headers, none over another; contents that did not change were
//! copied piece by piece, so that memory holds little of a large object.

use std::collections::BTreeSet;

use object::LittleEndian as LE;
use object::{elf, pod};

use super::WriteError;
use super::draft::{Added, Content, Draft, NewReloc, Patch};
use super::out::{self, CHUNK, Out};
use super::symtab::{Handle, SymbolTable};
use crate::ids::{SectionId, SymbolId};
use crate::image::{LoadError, RelocKind, SHN_LORESERVE, SHT_NOBITS, SHT_RELA, Section, Store};

/// `SHT_REL` (gABI, "Sections").
const SHT_REL: u32 = 9;
/// `SHT_GROUP`
const SHT_GROUP: u32 = 17;
/// Size of the ELF header.
const HEADER: u64 = size_of::<elf::FileHeader64<LE>>() as u64;
/// Largest alignment of a section that is believed: 16 times a huge page.
const MAX_ALIGN: u64 = 1 << 25;

/// What a section holds.
enum Source<'a> {
    Bytes(Vec<u8>),
    /// As it stands in the object, but for some bytes.
    Patched(Vec<Patch>),
    /// As it stands in the object, with more behind it.
    Copy {
        tail: Vec<u8>,
    },
    /// Relocations of the object.
    Relocs {
        unrelocated: BTreeSet<usize>,
    },
    Added(Content<'a>),
    /// No bytes in the file.
    Nothing,
}

/// A section with its place in the file.
struct Placed<'a> {
    header: elf::SectionHeader64<LE>,
    offset: u64,
    /// Where it stands in the object, if it does.
    original: Option<SectionId>,
    source: Source<'a>,
}

/// Writes the object. One that was not changed is copied byte by byte.
pub(super) fn emit(mut draft: Draft<'_>, store: &dyn Store, out: &mut dyn Out) -> Result<(), WriteError> {
    if draft.is_unchanged() {
        return copy(store, 0, store.size(), out);
    }
    let mut sections = Vec::with_capacity(draft.analysis.image.sections.len() + draft.added.len());
    for (index, section) in draft.analysis.image.sections.iter().enumerate() {
        sections.push(original(&mut draft, SectionId::from_index(index), section));
    }
    sections.extend(std::mem::take(&mut draft.added).into_iter().map(added));
    let end = place(&mut sections, store.size())?;
    write_all(&draft, &mut sections, end, store, out)
}

fn original<'a>(draft: &mut Draft<'a>, id: SectionId, section: &Section) -> Placed<'a> {
    let symbols = draft.symbols.as_ref();
    let is_symtab = symbols.is_some_and(|symbols| symbols.section == id);
    let is_wide = symbols.is_some_and(|symbols| symbols.wide_section == Some(id));
    let (mut size, mut info) = (section.size, section.info);
    let source = if let Some(patches) = draft.patches.remove(&id) {
        Source::Patched(patches)
    } else if let Some(symbols) = symbols.filter(|symbols| is_symtab && symbols.is_changed()) {
        info = symbols.n_locals();
        Source::Bytes(symbols.bytes())
    } else if let Some(wide) =
        symbols.filter(|symbols| is_wide && symbols.is_changed()).and_then(SymbolTable::wide_bytes)
    {
        Source::Bytes(wide)
    } else if section.kind == SHT_NOBITS || id.0 == 0 {
        Source::Nothing
    } else {
        let links_symtab = symbols.is_some_and(|symbols| symbols.section.0 == section.link);
        let is_renumbered = links_symtab && symbols.is_some_and(SymbolTable::is_renumbered);
        let unrelocated = draft.unrelocated.remove(&id);
        let tail = draft.tails.remove(&id).unwrap_or_default();
        size += tail.len() as u64;
        if is_renumbered && section.kind == SHT_GROUP && draft.analysis.rules.write.group_follows_its_symbol {
            info = symbols.map_or(info, |symbols| symbols.index(SymbolId(info).into()));
        }
        match section.kind {
            SHT_RELA | SHT_REL if is_renumbered || unrelocated.is_some() => {
                Source::Relocs { unrelocated: unrelocated.unwrap_or_default() }
            }
            _ => Source::Copy { tail },
        }
    };
    if let Source::Bytes(bytes) = &source {
        size = bytes.len() as u64;
    }
    let header = elf::SectionHeader64 {
        sh_name: object::U32::new(LE, section.name_offset),
        sh_type: object::U32::new(LE, elf::SectionType(section.kind)),
        sh_flags: object::U64::new(LE, elf::SectionFlags(section.flags)),
        sh_addr: object::U64::new(LE, section.addr),
        sh_offset: object::U64::new(LE, section.file_offset),
        sh_size: object::U64::new(LE, size),
        sh_link: object::U32::new(LE, section.link),
        sh_info: object::U32::new(LE, info),
        sh_addralign: object::U64::new(LE, section.align),
        sh_entsize: object::U64::new(LE, section.entsize),
    };
    Placed { header, offset: 0, original: Some(id), source }
}

fn added(section: Added<'_>) -> Placed<'_> {
    let size = match &section.content {
        &Content::Zeros(n) => n,
        Content::Orc(table) => table.rows.len() as u64 * section.entsize,
        Content::Relocs(relocs) => relocs.len() as u64 * section.entsize,
        Content::Places(places) => places.len() as u64 * section.entsize,
    };
    let header = elf::SectionHeader64 {
        sh_name: object::U32::new(LE, section.name),
        sh_type: object::U32::new(LE, elf::SectionType(section.kind)),
        sh_flags: object::U64::new(LE, elf::SectionFlags(section.flags)),
        sh_addr: object::U64::new(LE, 0),
        sh_offset: object::U64::new(LE, 0),
        sh_size: object::U64::new(LE, size),
        sh_link: object::U32::new(LE, section.link),
        sh_info: object::U32::new(LE, section.info),
        sh_addralign: object::U64::new(LE, section.align),
        sh_entsize: object::U64::new(LE, section.entsize),
    };
    Placed { header, offset: 0, original: None, source: Source::Added(section.content) }
}

/// Gives every section its place behind the one before. Where the section headers go is returned.
fn place(sections: &mut [Placed<'_>], object_size: u64) -> Result<u64, WriteError> {
    let (mut end, mut copied) = (HEADER, 0u64);
    for section in sections.iter_mut().skip(1) {
        let align = section.header.sh_addralign.get(LE).max(1);
        if !align.is_power_of_two() || align > MAX_ALIGN {
            return Err(WriteError::Broken("a section's alignment"));
        }
        section.header.sh_addralign.set(LE, align);
        let size = match section.source {
            Source::Nothing => 0,
            _ => section.header.sh_size.get(LE),
        };
        section.offset = end.next_multiple_of(align);
        section.header.sh_offset.set(LE, section.offset);
        if section.original.is_some() {
            copied = copied.saturating_add(size);
        }
        end = section.offset.saturating_add(size);
        // Sections that overlap, or alignments without need, would make much of little.
        if copied > object_size.saturating_mul(2) || end > object_size.saturating_mul(4).saturating_add(MAX_ALIGN * 4) {
            return Err(WriteError::Broken("the sections lie over each other"));
        }
    }
    Ok(end.next_multiple_of(8))
}

fn write_all(
    draft: &Draft<'_>,
    sections: &mut [Placed<'_>],
    end: u64,
    store: &dyn Store,
    out: &mut dyn Out,
) -> Result<(), WriteError> {
    write_header(sections, end, store, out)?;
    let mut at = HEADER;
    for section in sections.iter() {
        let size = section.header.sh_size.get(LE);
        if matches!(section.source, Source::Nothing) {
            continue;
        }
        pad(section.offset - at, out)?;
        at = section.offset + size;
        let original = section.original.map(|id| draft.analysis.image.section(id));
        match (&section.source, original) {
            (Source::Bytes(bytes), _) => put(out, bytes)?,
            (Source::Copy { tail }, Some(original)) => {
                copy(store, original.file_offset, original.size, out)?;
                put(out, tail)?;
            }
            (Source::Relocs { unrelocated }, Some(original)) => {
                copy_relocs(original, unrelocated, draft.symbols.as_ref(), store, out)?;
            }
            (Source::Patched(patches), Some(original)) => copy_patched(original, patches, store, out)?,
            (Source::Added(content), _) => add(content, draft, out)?,
            (Source::Patched(_) | Source::Copy { .. } | Source::Relocs { .. }, None) | (Source::Nothing, _) => {}
        }
    }
    pad(end - at, out)?;
    sections.iter().try_for_each(|section| put(out, pod::bytes_of(&section.header)))
}

/// The object's own header. More sections than 16 bits count are counted in the first section header.
fn write_header(sections: &mut [Placed<'_>], end: u64, store: &dyn Store, out: &mut dyn Out) -> Result<(), WriteError> {
    let bytes = store.read(0, HEADER).map_err(LoadError::Io)?;
    let (header, _) = pod::from_bytes::<elf::FileHeader64<LE>>(&bytes).map_err(|()| LoadError::NotElf)?;
    let mut header = *header;
    header.e_shoff.set(LE, end);
    let n = sections.len() as u64;
    let narrow = u16::try_from(n).ok().filter(|&n| n < SHN_LORESERVE);
    header.e_shnum.set(LE, narrow.unwrap_or(0));
    if let (None, Some(first)) = (narrow, sections.first_mut()) {
        first.header.sh_size.set(LE, n);
    }
    put(out, pod::bytes_of(&header))
}

/// Copies relocations with the indexes that their symbols have in the end.
fn copy_relocs(
    section: &Section,
    unrelocated: &BTreeSet<usize>,
    symbols: Option<&SymbolTable>,
    store: &dyn Store,
    out: &mut dyn Out,
) -> Result<(), WriteError> {
    // `r_info` is the second field of both `Elf64_Rel` and `Elf64_Rela`: the type, then the symbol.
    let size = if section.kind == SHT_RELA { 24 } else { 16 };
    let mut position = 0;
    each_chunk(store, section.file_offset, section.size, |mut bytes| {
        for entry in bytes.chunks_exact_mut(size) {
            if let (Some(symbols), Some(symbol)) = (symbols, entry.get_mut(12..16)) {
                let old = symbol.iter().rev().fold(0u32, |n, &byte| n << 8 | u32::from(byte));
                symbol.copy_from_slice(&symbols.index(Handle::from(SymbolId(old))).to_le_bytes());
            }
            if let (true, Some(kind)) = (unrelocated.contains(&position), entry.get_mut(8..12)) {
                kind.copy_from_slice(&RelocKind::NONE.0.to_le_bytes());
            }
            position += 1;
        }
        put_owned(out, bytes)
    })
}

/// Copies a section with other bytes in the places of the patches, which are in order.
fn copy_patched(section: &Section, patches: &[Patch], store: &dyn Store, out: &mut dyn Out) -> Result<(), WriteError> {
    let (mut start, mut left) = (0, patches);
    each_chunk(store, section.file_offset, section.size, |mut bytes| {
        let end = start + bytes.len() as u64;
        let here = left.iter().take_while(|patch| patch.at() < end).count();
        left.iter().take(here).for_each(|patch| patch.apply(&mut bytes, start));
        // One may go on in the next part.
        let done = left.iter().take(here).take_while(|patch| patch.end() <= end).count();
        left = left.get(done..).unwrap_or(&[]);
        start = end;
        put_owned(out, bytes)
    })
}

/// Writes what was added, some of it at a time.
fn add(content: &Content<'_>, draft: &Draft<'_>, out: &mut dyn Out) -> Result<(), WriteError> {
    let symbols = draft.symbols.as_ref();
    match content {
        &Content::Zeros(n) => pad(n, out),
        Content::Orc(table) => {
            let rules = &draft.analysis.rules;
            put_all(table.rows.iter().map(|(_, entry)| entry.encode(rules)), out)
        }
        Content::Relocs(relocs) => put_all(relocs.iter().map(|&reloc| rela(reloc, symbols)), out),
        Content::Places(places) => put_all(places.relocs().map(|reloc| rela(reloc, symbols)), out),
    }
}

/// The entry of a relocation.
fn rela(reloc: NewReloc, symbols: Option<&SymbolTable>) -> [u8; size_of::<elf::Rela64<LE>>()] {
    let symbol = symbols.map_or(0, |symbols| symbols.index(reloc.symbol));
    let entry = elf::Rela64 {
        r_offset: object::U64::new(LE, reloc.offset),
        r_info: object::U64::new(LE, u64::from(symbol) << 32 | u64::from(reloc.kind.0)),
        r_addend: object::I64::new(LE, reloc.addend),
    };
    let mut bytes = [0; size_of::<elf::Rela64<LE>>()];
    bytes.copy_from_slice(pod::bytes_of(&entry));
    bytes
}

fn put_all<const N: usize>(entries: impl Iterator<Item = [u8; N]>, out: &mut dyn Out) -> Result<(), WriteError> {
    // Most lists are short: only behind a whole chunk another one is expected.
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend_from_slice(&entry);
        if bytes.len() >= CHUNK as usize {
            put_owned(out, std::mem::replace(&mut bytes, Vec::with_capacity(CHUNK as usize + N)))?;
        }
    }
    put_owned(out, bytes)
}

fn copy(store: &dyn Store, offset: u64, size: u64, out: &mut dyn Out) -> Result<(), WriteError> {
    out.copy(store, offset, size).map_err(WriteError::Io)
}

fn each_chunk(
    store: &dyn Store,
    offset: u64,
    size: u64,
    mut take: impl FnMut(Vec<u8>) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    for (at, n) in out::parts(offset, size) {
        take(store.read(at, n).map_err(LoadError::Io)?)?;
    }
    Ok(())
}

fn pad(mut n: u64, out: &mut dyn Out) -> Result<(), WriteError> {
    const ZEROS: [u8; 4096] = [0; 4096];
    while n > 0 {
        let part = ZEROS.get(..n as usize).unwrap_or(&ZEROS);
        put(out, part)?;
        n -= part.len() as u64;
    }
    Ok(())
}

fn put(out: &mut dyn Out, bytes: &[u8]) -> Result<(), WriteError> {
    out.put(bytes).map_err(WriteError::Io)
}

fn put_owned(out: &mut dyn Out, bytes: Vec<u8>) -> Result<(), WriteError> {
    out.put_owned(bytes).map_err(WriteError::Io)
}
