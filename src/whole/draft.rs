//! A relocatable object that is put together piece by piece.
//!
//! In: pieces of sections, symbols, relocations.  Out: the bytes of the object, and its [`Layout`].
//! Holds afterwards: pieces of one name follow each other in one section, each aligned as it asks for; local symbols come
//! before all others.
//! Reads like: System V gABI, chapter 4; what `ld -r` makes of its inputs.

use object::LittleEndian as LE;
use object::elf;
use rustc_hash::FxHashMap;

use crate::image::{RelocKind, SHF_EXECINSTR, SHT_NOBITS, SHT_RELA, SHT_SYMTAB, STB_LOCAL, STB_WEAK};

use super::layout::Layout;

const SHT_STRTAB: u32 = 3;
const HEADER: usize = size_of::<elf::FileHeader64<LE>>();
const SECTION_HEADER: usize = size_of::<elf::SectionHeader64<LE>>();
const SYMBOL: usize = size_of::<elf::Sym64<LE>>();
const RELA: usize = size_of::<elf::Rela64<LE>>();
/// What processors pass over. A linker fills code with longer ones.
const NOP: u8 = 0x90;
/// Indexes from here on have meanings of their own; an object with more sections is written in another way.
const MAX_SECTIONS: usize = 0xff00;
/// Sections are not aligned to more: 16 times a huge page.
const MAX_ALIGN: u64 = 1 << 25;

/// What a piece asks of its section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape<'a> {
    pub name: &'a str,
    /// `sh_type`.
    pub kind: u32,
    /// `sh_flags`.
    pub flags: u64,
    pub align: u64,
    pub entsize: u64,
}

/// An output section.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Output(u32);

/// A symbol of the object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Handle {
    Null,
    Section(Output),
    Local(u32),
    Global(u32),
}

/// Where a symbol is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Home {
    /// In none of the object's sections: undefined, or an index with a meaning of its own (`SHN_ABS`, `SHN_COMMON`).
    Index(u16),
    Section(Output),
}

/// An entry of the symbol table.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub name: String,
    pub kind: u8,
    pub binding: u8,
    pub home: Home,
    pub value: u64,
    pub size: u64,
}

#[derive(Debug)]
struct Reloc {
    offset: u64,
    symbol: Handle,
    kind: RelocKind,
    addend: i64,
}

#[derive(Debug)]
struct Section {
    name: String,
    kind: u32,
    flags: u64,
    align: u64,
    entsize: u64,
    size: u64,
    bytes: Vec<u8>,
    relocs: Vec<Reloc>,
}

/// The object so far.
#[derive(Debug, Default)]
pub(super) struct Draft {
    sections: Vec<Section>,
    by_name: FxHashMap<String, Output>,
    locals: Vec<Entry>,
    globals: Vec<Entry>,
    by_symbol: FxHashMap<String, u32>,
    pieces: Vec<(Output, u64, u64, u32, String)>,
    objects: Vec<String>,
}

impl Draft {
    /// What comes from now on belongs to the object of this name.
    pub(super) fn begin(&mut self, object: &str) {
        self.objects.push(object.to_owned());
    }

    /// Puts a piece behind those of its name; where it starts there. A piece without bytes is `size` bytes of nothing.
    pub(super) fn piece(&mut self, shape: &Shape<'_>, size: u64, bytes: &[u8]) -> (Output, u64) {
        let next = Output(self.sections.len() as u32);
        let output = *self.by_name.entry(shape.name.to_owned()).or_insert(next);
        if output == next {
            let Shape { name, kind, flags, entsize, .. } = *shape;
            let name = name.to_owned();
            let (bytes, relocs) = (Vec::new(), Vec::new());
            self.sections.push(Section { name, kind, flags, align: 1, entsize, size: 0, bytes, relocs });
        }
        let section = &mut self.sections[output.0 as usize];
        section.flags |= shape.flags;
        let align = shape.align.clamp(1, MAX_ALIGN).next_power_of_two();
        section.align = section.align.max(align);
        let start = section.size.next_multiple_of(align);
        if shape.kind != SHT_NOBITS && section.kind == SHT_NOBITS {
            section.kind = shape.kind;
            section.bytes.resize(section.size as usize, 0);
        }
        if section.kind != SHT_NOBITS {
            let fill = if section.flags & SHF_EXECINSTR == 0 { 0 } else { NOP };
            section.bytes.resize(start as usize, fill);
            section.bytes.extend_from_slice(bytes);
            if shape.kind == SHT_NOBITS {
                section.bytes.resize((start + size) as usize, 0);
            }
        }
        section.size = start + size;
        let object = self.objects.len().saturating_sub(1) as u32;
        self.pieces.push((output, start, size, object, shape.name.to_owned()));
        (output, start)
    }

    /// How many pieces' bytes there are.
    pub(super) fn size(&self) -> u64 {
        self.sections.iter().map(|section| section.size + (RELA * section.relocs.len()) as u64).sum()
    }

    pub(super) fn reloc(&mut self, output: Output, offset: u64, symbol: Handle, kind: RelocKind, addend: i64) {
        if let Some(section) = self.sections.get_mut(output.0 as usize) {
            section.relocs.push(Reloc { offset, symbol, kind, addend });
        }
    }

    pub(super) fn local(&mut self, entry: Entry) -> Handle {
        self.locals.push(entry);
        Handle::Local(self.locals.len() as u32 - 1)
    }

    /// The symbol that others see under this name, whatever it is so far.
    pub(super) fn global(&mut self, name: &str) -> (Handle, &mut Entry) {
        let index = match self.by_symbol.get(name) {
            Some(&index) => index,
            None => {
                let index = self.globals.len() as u32;
                self.by_symbol.insert(name.to_owned(), index);
                let home = Home::Index(0);
                self.globals.push(Entry { name: name.to_owned(), kind: 0, binding: 0, home, value: 0, size: 0 });
                index
            }
        };
        (Handle::Global(index), &mut self.globals[index as usize])
    }

    /// The names that another object may define: those that are undefined, and those that are weak, which are marked.
    pub(super) fn open(&self) -> impl Iterator<Item = (&str, bool)> {
        let open = self.globals.iter().filter(|entry| entry.home == Home::Index(0) || entry.binding == STB_WEAK);
        open.map(|entry| (entry.name.as_str(), entry.home != Home::Index(0)))
    }

    /// Whether the object defines the name.
    pub(super) fn defines(&self, name: &str) -> bool {
        self.entry(name).is_some_and(|entry| entry.home != Home::Index(0))
    }

    /// Forgets a weak definition, whose place another one takes.
    pub(super) fn undefine(&mut self, name: &str) {
        if let Some(&index) = self.by_symbol.get(name)
            && let Some(entry) = self.globals.get_mut(index as usize)
        {
            (entry.home, entry.value, entry.size) = (Home::Index(0), 0, 0);
        }
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.globals.get(*self.by_symbol.get(name)? as usize)
    }

    /// What the object was put together from.
    pub(super) fn layout(&self) -> Layout {
        let pieces = self.pieces.iter().map(|(output, start, size, object, name)| {
            let section = self.sections[output.0 as usize].name.as_str();
            let object = self.objects.get(*object as usize).map_or("", String::as_str);
            (section, *start, *size, object, name.as_str())
        });
        Layout::of(pieces)
    }

    /// Writes the object; `None` for one that has too many sections.
    pub(super) fn finish(&self) -> Option<Vec<u8>> {
        let n_sections = self.sections.len();
        let n_tables = self.sections.iter().filter(|section| !section.relocs.is_empty()).count();
        // The null section, the sections, their relocations; the symbols, two tables of names.
        let symtab = 1 + n_sections + n_tables;
        let (strtab, shstrtab, count) = (symtab + 1, symtab + 2, symtab + 3);
        if count >= MAX_SECTIONS {
            return None;
        }
        let mut out = vec![0; HEADER];
        let mut headers = vec![[0u64; 10]];
        let mut names = Names::default();
        let n_locals = 1 + n_sections + self.locals.len();
        let index = |handle: Handle| match handle {
            Handle::Null => 0,
            Handle::Section(output) => 1 + u64::from(output.0),
            Handle::Local(index) => (1 + n_sections) as u64 + u64::from(index),
            Handle::Global(index) => n_locals as u64 + u64::from(index),
        };
        for section in &self.sections {
            pad(&mut out, section.align.min(64) as usize);
            let name = names.add(&section.name);
            let (kind, offset) = (u64::from(section.kind), out.len() as u64);
            let tail = [0, 0, section.align, section.entsize];
            headers.push([name, kind, section.flags, 0, offset, section.size, tail[0], tail[1], tail[2], tail[3]]);
            out.extend_from_slice(&section.bytes);
        }
        for (number, section) in self.sections.iter().enumerate().filter(|(_, section)| !section.relocs.is_empty()) {
            pad(&mut out, 8);
            let kind = SHT_RELA;
            let name = names.add(&format!(".rela{}", section.name));
            let size = (RELA * section.relocs.len()) as u64;
            let info = 1 + number as u64;
            headers.push([name, u64::from(kind), 0, 0, out.len() as u64, size, symtab as u64, info, 8, RELA as u64]);
            for reloc in &section.relocs {
                out.extend_from_slice(&reloc.offset.to_le_bytes());
                out.extend_from_slice(&(index(reloc.symbol) << 32 | u64::from(reloc.kind.0)).to_le_bytes());
                out.extend_from_slice(&reloc.addend.to_le_bytes());
            }
        }
        pad(&mut out, 8);
        let mut strings = Names::default();
        strings.add("");
        let start = out.len() as u64;
        out.resize(out.len() + SYMBOL, 0);
        for number in 0..n_sections {
            put_symbol(&mut out, 0, 3, 1 + number as u16, 0, 0);
        }
        for entry in self.locals.iter().chain(&self.globals) {
            let name = strings.add(&entry.name);
            let (shndx, info) = match entry.home {
                Home::Index(index) => (index, entry.binding << 4 | entry.kind),
                Home::Section(output) => (1 + output.0 as u16, entry.binding << 4 | entry.kind),
            };
            put_symbol(&mut out, name as u32, info, shndx, entry.value, entry.size);
        }
        let size = out.len() as u64 - start;
        let name = names.add(".symtab");
        let kind = u64::from(SHT_SYMTAB);
        headers.push([name, kind, 0, 0, start, size, strtab as u64, n_locals as u64, 8, SYMBOL as u64]);
        let name = names.add(".strtab");
        headers.push([name, u64::from(SHT_STRTAB), 0, 0, out.len() as u64, strings.bytes.len() as u64, 0, 0, 1, 0]);
        out.extend_from_slice(&strings.bytes);
        let name = names.add(".shstrtab");
        headers.push([name, u64::from(SHT_STRTAB), 0, 0, out.len() as u64, names.bytes.len() as u64, 0, 0, 1, 0]);
        out.extend_from_slice(&names.bytes);
        pad(&mut out, 8);
        let table = out.len() as u64;
        for header in &headers {
            for (field, value) in header.iter().enumerate() {
                match field {
                    // `sh_name`, `sh_type`, `sh_link`, `sh_info`
                    0 | 1 | 6 | 7 => out.extend_from_slice(&(*value as u32).to_le_bytes()),
                    _ => out.extend_from_slice(&value.to_le_bytes()),
                }
            }
        }
        // Little-endian, 64 bits, version 1; ET_REL, EM_X86_64, version 1.
        out[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        out[16..24].copy_from_slice(&[1, 0, 62, 0, 1, 0, 0, 0]);
        out[40..48].copy_from_slice(&table.to_le_bytes());
        out[52..54].copy_from_slice(&(HEADER as u16).to_le_bytes());
        out[58..60].copy_from_slice(&(SECTION_HEADER as u16).to_le_bytes());
        out[60..62].copy_from_slice(&(count as u16).to_le_bytes());
        out[62..64].copy_from_slice(&(shstrtab as u16).to_le_bytes());
        Some(out)
    }
}

/// Whether others see a symbol of this binding.
pub(super) fn is_seen(binding: u8) -> bool {
    binding != STB_LOCAL
}

fn pad(out: &mut Vec<u8>, align: usize) {
    out.resize(out.len().next_multiple_of(align.max(1)), 0);
}

fn put_symbol(out: &mut Vec<u8>, name: u32, info: u8, shndx: u16, value: u64, size: u64) {
    out.extend_from_slice(&name.to_le_bytes());
    out.extend_from_slice(&[info, 0]);
    out.extend_from_slice(&shndx.to_le_bytes());
    out.extend_from_slice(&value.to_le_bytes());
    out.extend_from_slice(&size.to_le_bytes());
}

/// A table of names.
#[derive(Default)]
struct Names {
    bytes: Vec<u8>,
}

impl Names {
    fn add(&mut self, name: &str) -> u64 {
        if self.bytes.is_empty() {
            self.bytes.push(0);
        }
        if name.is_empty() {
            return 0;
        }
        let at = self.bytes.len() as u64;
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        at
    }
}
