//! Reads a relocatable ELF object: sections, symbols and relocations, each by its id.
//!
//! In: a [`Store`] of bytes.  Out: [`ElfImage`].
//! Holds afterwards: every table lies within the file, every relocation names a symbol of the table and every symbol a
//! section of the table; code is in memory, other contents are read when asked for.
//! Reads like: System V gABI, chapters 4 (sections, symbols, relocations) and its x86-64 supplement §4.4.

mod additions;
mod digest;
mod reloc_kind;
mod relocs;
pub mod store;

use object::LittleEndian as LE;
use object::{elf, pod};

use crate::clean;
use crate::ids::{CodeLoc, SectionId, SymbolId};
use crate::parallel;
pub use digest::Digest;
pub use reloc_kind::RelocKind;
use relocs::Incoming;
pub use relocs::{Cursor, Reloc, Relocs};
pub use store::{FileStore, Store};

/// `SHF_WRITE` (gABI, "Section Attribute Flags").
pub const SHF_WRITE: u64 = 1;
/// `SHF_ALLOC` (gABI, "Section Attribute Flags").
pub const SHF_ALLOC: u64 = 2;
/// `SHF_EXECINSTR`.
pub const SHF_EXECINSTR: u64 = 4;
/// `SHF_COMPRESSED`.
pub const SHF_COMPRESSED: u64 = 0x800;
/// `STT_NOTYPE` (gABI, "Symbol Types").
pub const STT_NOTYPE: u8 = 0;
/// `STT_OBJECT`.
pub const STT_OBJECT: u8 = 1;
/// `STT_FUNC`.
pub const STT_FUNC: u8 = 2;
/// `STT_SECTION`.
pub const STT_SECTION: u8 = 3;
/// `STT_FILE`.
pub const STT_FILE: u8 = 4;
/// `STB_LOCAL` (gABI, "Symbol Binding").
pub const STB_LOCAL: u8 = 0;
/// `STB_GLOBAL`.
pub const STB_GLOBAL: u8 = 1;
/// `STB_WEAK`.
pub const STB_WEAK: u8 = 2;
/// `ET_REL`: what a compiler writes.
pub const ET_REL: u16 = 1;
/// `EM_X86_64`.
pub const EM_X86_64: u16 = 62;

pub(crate) const SHT_SYMTAB: u32 = 2;
pub(crate) const SHT_RELA: u32 = 4;
pub(crate) const SHT_NOBITS: u32 = 8;
pub(crate) const SHT_DYNSYM: u32 = 11;
pub(crate) const SHT_GROUP: u32 = 17;
pub(crate) const SHT_SYMTAB_SHNDX: u32 = 18;
pub(crate) const SHN_LORESERVE: u16 = 0xff00;
pub(crate) const SHN_XINDEX: u16 = 0xffff;

/// Fewer bytes of relocations are read one section after the other.
const WORTH_READING_TOGETHER: u64 = 1 << 22;
/// A name is said many times; of a longer one the beginning stands for it. The kernel's have 512 bytes at most.
const LONGEST_NAME: usize = 4096;

fn shortened(name: &str) -> &str {
    let end = (0..=name.len().min(LONGEST_NAME)).rev().find(|&at| name.is_char_boundary(at));
    name.get(..end.unwrap_or(0)).unwrap_or(name)
}

/// Why there is nothing to analyse.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum LoadError {
    #[error("cannot read: {0}")]
    Io(#[from] std::io::Error),
    #[error("not an ELF file")]
    NotElf,
    #[error("not a 64-bit little-endian ELF file")]
    WrongClass,
    #[error("{0} is outside the file (truncated, or still being written?)")]
    Truncated(String),
    #[error("unexpected ELF machine type {0}")]
    Machine(u16),
    #[error("{0} is larger than 4 GiB")]
    TooLarge(String),
    #[error("broken ELF tables: symbol `{name}` is in section {section}, which does not exist")]
    SymbolWithoutSection { name: String, section: u32 },
    #[error("broken ELF tables: {relocs} belongs to section {section}, which does not exist")]
    RelocsWithoutSection { relocs: String, section: u32 },
    #[error("broken ELF tables: a relocation in {relocs} names symbol {symbol}, which does not exist")]
    RelocWithoutSymbol { relocs: String, symbol: u32 },
    #[error("broken ELF tables: {0}")]
    Broken(String),
}

/// One section header with what belongs to it.
#[derive(Clone, Debug)]
pub struct Section {
    /// The name; bytes that are no UTF-8 are replaced by `?`.
    pub name: String,
    /// `sh_name`: where the name stands in the section name table.
    pub name_offset: u32,
    /// `sh_type`.
    pub kind: u32,
    /// `sh_flags`.
    pub flags: u64,
    /// `sh_addr`.
    pub addr: u64,
    /// Offset of the contents in the file.
    pub file_offset: u64,
    /// Size in bytes.
    pub size: u64,
    /// `sh_link`.
    pub link: u32,
    /// `sh_info`.
    pub info: u32,
    /// `sh_addralign`.
    pub align: u64,
    /// `sh_entsize`.
    pub entsize: u64,
    /// The contents of an executable section; empty for all others.
    pub code: Vec<u8>,
    /// The relocation section whose `sh_info` names this section. The last one wins.
    pub rela: Option<SectionId>,
    /// The relocations, in file order.
    pub relocs: Relocs,
    /// The section symbol, if there is one.
    pub symbol: Option<SymbolId>,
}

impl Section {
    /// Whether the section holds instructions.
    pub fn is_code(&self) -> bool {
        self.flags & SHF_EXECINSTR != 0
    }
}

/// One entry of `.symtab`.
#[derive(Clone, Copy, Debug)]
pub struct Symbol {
    /// Offset of the name in the string table; see [`ElfImage::symbol_name`].
    name: u32,
    /// Its length in bytes, which costs a search to find.
    name_len: u32,
    /// `st_type`.
    pub kind: u8,
    /// `st_bind`.
    pub binding: u8,
    /// The section; section 0 for undefined symbols and those with a reserved index (`SHN_ABS`, `SHN_COMMON`).
    pub section: SectionId,
    /// `st_shndx` as it stands in the table.
    pub shndx: u16,
    /// `st_value`.
    pub value: u64,
    /// `st_size`.
    pub size: u64,
}

impl Symbol {
    /// `STT_FUNC`.
    pub fn is_function(&self) -> bool {
        self.kind == STT_FUNC
    }

    /// `STT_SECTION`.
    pub fn is_section(&self) -> bool {
        self.kind == STT_SECTION
    }

    /// Whether no section of the object defines it.
    pub fn is_undefined(&self) -> bool {
        self.section.0 == 0
    }

    /// How many bytes the name has in the string table.
    pub fn name_len(&self) -> usize {
        self.name_len as usize
    }

    /// Where it is; `None` where no section of the object defines it.
    pub fn place(&self) -> Option<CodeLoc> {
        (!self.is_undefined()).then(|| CodeLoc::new(self.section, self.value))
    }
}

/// The null symbol (gABI, "Symbol Table").
static NULL_SYMBOL: Symbol =
    Symbol { name: 0, name_len: 0, kind: 0, binding: 0, section: SectionId(0), shndx: 0, value: 0, size: 0 };

/// An ELF object, read.
#[derive(Clone, Debug)]
pub struct ElfImage {
    /// The section headers; the first is the null section.
    pub sections: Vec<Section>,
    /// The symbols; the first is the null symbol. Empty when there is no symbol table.
    pub symbols: Vec<Symbol>,
    /// The section that holds the symbols.
    pub symtab: Option<SectionId>,
    /// `e_type`.
    pub kind: u16,
    names: String,
}

impl ElfImage {
    /// Reads headers, symbols, relocations and code of the object in `store`.
    pub fn read(store: &dyn Store) -> Result<ElfImage, LoadError> {
        let header_bytes = store.read(0, store.size().min(64))?;
        if header_bytes.len() < 64 || !header_bytes.starts_with(b"\x7fELF") {
            return Err(LoadError::NotElf);
        }
        if header_bytes[4] != 2 || header_bytes[5] != 1 {
            return Err(LoadError::WrongClass);
        }
        let (header, _) = pod::from_bytes::<elf::FileHeader64<LE>>(&header_bytes).map_err(|()| LoadError::NotElf)?;
        let machine = header.e_machine.get(LE).0;
        if machine != EM_X86_64 {
            return Err(LoadError::Machine(machine));
        }
        let headers = read_section_headers(store, header)?;
        let mut image = ElfImage {
            sections: Vec::new(),
            symbols: Vec::new(),
            symtab: None,
            kind: header.e_type.get(LE).0,
            names: String::new(),
        };
        image.take_sections(store, header, &headers)?;
        let this = &image;
        let (code, symbols) = parallel::both(this.code_size(), || this.read_code(store), || this.read_symbols(store));
        for (id, code) in code? {
            image.sections[id.index()].code = code;
        }
        image.take_symbols(symbols?);
        image.read_relocs(store)?;
        Ok(image)
    }

    /// The names of an object's sections, without reading anything else of it.
    pub fn section_names(store: &dyn Store) -> Result<Vec<String>, LoadError> {
        let header_bytes = store.read(0, store.size().min(64))?;
        if header_bytes.len() < 64 || !header_bytes.starts_with(b"\x7fELF") {
            return Err(LoadError::NotElf);
        }
        if header_bytes[4] != 2 || header_bytes[5] != 1 {
            return Err(LoadError::WrongClass);
        }
        let (header, _) = pod::from_bytes::<elf::FileHeader64<LE>>(&header_bytes).map_err(|()| LoadError::NotElf)?;
        let headers = read_section_headers(store, header)?;
        let mut index = u32::from(header.e_shstrndx.get(LE).0);
        if index == u32::from(SHN_XINDEX) {
            index = headers.first().map_or(0, |h| h.sh_link.get(LE));
        }
        let names = match headers.get(index as usize) {
            Some(h) if index != 0 => read_strings(store, h)?,
            _ => String::new(),
        };
        let mut left = Allowance::of("the section names", store);
        headers
            .iter()
            .map(|h| {
                let name = string_at(&names, h.sh_name.get(LE));
                left.take(name.len() as u64).map(|()| name.to_owned())
            })
            .collect()
    }

    /// The section with this id; the null section for an id of another object.
    pub fn section(&self, id: SectionId) -> &Section {
        self.sections.get(id.index()).unwrap_or(&self.sections[0])
    }

    /// All sections with their ids, the null section left out.
    pub fn sections(&self) -> impl DoubleEndedIterator<Item = (SectionId, &Section)> {
        self.sections.iter().enumerate().skip(1).map(|(i, s)| (SectionId::from_index(i), s))
    }

    /// The section of this name, the last one if there are several.
    pub fn section_by_name(&self, name: &str) -> Option<SectionId> {
        self.sections().rev().find(|(_, s)| s.name == name).map(|(id, _)| id)
    }

    /// Whether the object was linked from several ones, as objtool sees it: it names several source files.
    pub fn is_linked(&self) -> bool {
        self.symbols().filter(|(_, symbol)| symbol.kind == STT_FILE).nth(1).is_some()
    }

    /// Whether the object is a module as it is installed: linked, its annotations discarded (`scripts/module.lds.S`).
    pub fn is_finished_module(&self) -> bool {
        self.section_by_name(".gnu.linkonce.this_module").is_some()
            && self.section_by_name(".modinfo").is_some()
            && !self.sections().any(|(_, section)| section.name.starts_with(".discard."))
    }

    /// Whether a symbol's name is outside of the string table; that of the null symbol counts, too.
    pub fn has_name_outside(&self) -> bool {
        self.symbols.iter().any(|symbol| symbol.name as usize > self.names.len().saturating_sub(1))
    }

    /// The first section group whose signature is a symbol that does not exist.
    pub fn group_without_symbol(&self) -> Option<&Section> {
        let is_group = |section: &Section| section.kind == SHT_GROUP && Some(SectionId(section.link)) == self.symtab;
        let found = self.sections().find(|(_, s)| is_group(s) && s.info as usize >= self.symbols.len());
        found.map(|(_, section)| section)
    }

    /// The symbol with this id; the null symbol for an id of another object.
    pub fn symbol(&self, id: SymbolId) -> &Symbol {
        self.symbols.get(id.index()).unwrap_or(&NULL_SYMBOL)
    }

    /// All symbols with their ids, the null symbol left out.
    pub fn symbols(&self) -> impl DoubleEndedIterator<Item = (SymbolId, &Symbol)> {
        self.symbols.iter().enumerate().skip(1).map(|(i, s)| (SymbolId::from_index(i), s))
    }

    /// The symbol's name. A section symbol has the name of its section.
    pub fn symbol_name(&self, id: SymbolId) -> &str {
        let symbol = self.symbol(id);
        if symbol.is_section() && !symbol.is_undefined() {
            return &self.section(symbol.section).name;
        }
        let start = symbol.name as usize;
        let name = self.names.get(start..start + symbol.name_len as usize).unwrap_or("");
        shortened(name)
    }

    /// Where a relocation leads: its addend counts from its symbol.
    pub fn destination(&self, reloc: &Reloc) -> CodeLoc {
        let symbol = self.symbol(reloc.symbol);
        CodeLoc::new(symbol.section, symbol.value.wrapping_add_signed(reloc.addend))
    }

    /// Reads the contents of a section. `SHT_NOBITS` sections have none. Compressed sections come as they are stored.
    pub fn read_section(&self, store: &dyn Store, id: SectionId) -> Result<Vec<u8>, LoadError> {
        let section = self.section(id);
        if section.kind == SHT_NOBITS {
            return Ok(Vec::new());
        }
        if section.is_code() {
            return Ok(section.code.clone());
        }
        read_range(store, section.file_offset, section.size, || format!("section {}", section.name))
    }

    fn take_sections(
        &mut self,
        store: &dyn Store,
        header: &elf::FileHeader64<LE>,
        headers: &[elf::SectionHeader64<LE>],
    ) -> Result<(), LoadError> {
        let mut names_index = u32::from(header.e_shstrndx.get(LE).0);
        if names_index == u32::from(SHN_XINDEX) {
            names_index = headers.first().map_or(0, |h| h.sh_link.get(LE));
        }
        let names = match headers.get(names_index as usize) {
            Some(h) if names_index != 0 => read_strings(store, h)?,
            _ => String::new(),
        };
        let mut names_left = Allowance::of("the section names", store);
        for h in headers {
            let name = string_at(&names, h.sh_name.get(LE));
            names_left.take(name.len() as u64)?;
            self.sections.push(Section {
                name: shortened(name).to_owned(),
                name_offset: h.sh_name.get(LE),
                kind: h.sh_type.get(LE).0,
                flags: h.sh_flags.get(LE).0,
                addr: h.sh_addr.get(LE),
                file_offset: h.sh_offset.get(LE),
                size: h.sh_size.get(LE),
                link: h.sh_link.get(LE),
                info: h.sh_info.get(LE),
                align: h.sh_addralign.get(LE),
                entsize: h.sh_entsize.get(LE),
                code: Vec::new(),
                rela: None,
                relocs: Relocs::default(),
                symbol: None,
            });
        }
        if self.sections.is_empty() {
            return Err(LoadError::Broken("no section headers".to_owned()));
        }
        Ok(())
    }

    /// The sections whose contents are instructions.
    fn code_sections(&self) -> impl Iterator<Item = (SectionId, &Section)> {
        self.sections().filter(|(_, section)| section.is_code() && section.kind != SHT_NOBITS)
    }

    fn code_size(&self) -> usize {
        self.code_sections().fold(0, |sum, (_, section)| sum.saturating_add(section.size as usize))
    }

    fn read_code(&self, store: &dyn Store) -> Result<Vec<(SectionId, Vec<u8>)>, LoadError> {
        let mut left = Allowance::of("the code sections", store);
        let read = |(id, section): (SectionId, &Section)| {
            let name = || format!("section {}", section.name);
            if section.size > u64::from(u32::MAX) {
                return Err(LoadError::TooLarge(name()));
            }
            left.take(section.size)?;
            Ok((id, read_range(store, section.file_offset, section.size, name)?))
        };
        self.code_sections().map(read).collect()
    }

    fn read_symbols(&self, store: &dyn Store) -> Result<SymbolTable, LoadError> {
        let table = |kind: u32| self.sections().find(move |(_, s)| s.kind == kind);
        // A linked file that was stripped has only the names that others may use.
        let run_time = || table(SHT_DYNSYM).filter(|_| self.kind != ET_REL);
        let Some((id, symtab)) = table(SHT_SYMTAB).or_else(run_time) else {
            return Ok(SymbolTable::default());
        };
        let strings = self
            .sections
            .get(symtab.link as usize)
            .ok_or_else(|| LoadError::Broken("the symbol table has no string table".to_owned()))?;
        let name_bytes = read_range(store, strings.file_offset, strings.size, || "the string table".to_owned())?;
        let wide = match self.sections().find(|(_, s)| s.kind == SHT_SYMTAB_SHNDX && s.link == id.0) {
            Some((_, s)) => read_range(store, s.file_offset, s.size, || "the section index table".to_owned())?,
            None => Vec::new(),
        };
        let names = into_text(name_bytes);
        let mut names_left = Allowance::of("the symbol names", store);
        let mut symbols = Vec::new();
        each_entry(store, symtab, "the symbol table", |left, entry: &elf::Sym64<LE>| {
            let i = symbols.len();
            if i == 0 {
                symbols.reserve_exact(left);
            }
            let shndx = entry.st_shndx.get(LE).0;
            let section = match shndx {
                SHN_XINDEX => wide.get(4 * i..4 * i + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes),
                SHN_LORESERVE.. => 0,
                index => u32::from(index),
            };
            let name = string_at(&names, entry.st_name.get(LE));
            let Some(header) = self.sections.get(section as usize) else {
                return Err(LoadError::SymbolWithoutSection { name: name.to_owned(), section });
            };
            names_left.take(name.len() as u64)?;
            // A section's symbol has its name, which others share only where somebody wants a long one read often.
            if entry.st_info.0 & 15 == STT_SECTION {
                names_left.take(header.name.len() as u64)?;
            }
            symbols.push(Symbol {
                name: entry.st_name.get(LE),
                name_len: name.len() as u32,
                kind: entry.st_info.0 & 15,
                binding: entry.st_info.0 >> 4,
                section: SectionId(section),
                shndx,
                value: entry.st_value.get(LE),
                size: entry.st_size.get(LE),
            });
            Ok(())
        })?;
        Ok(SymbolTable { section: Some(id), symbols, names })
    }

    fn take_symbols(&mut self, table: SymbolTable) {
        (self.symtab, self.symbols, self.names) = (table.section, table.symbols, table.names);
        for (i, symbol) in self.symbols.iter().enumerate().skip(1) {
            if symbol.is_section() && !symbol.is_undefined() {
                self.sections[symbol.section.index()].symbol = Some(SymbolId::from_index(i));
            }
        }
    }

    /// Relocations of debug sections stay in the file: the source map reads them when a line is asked for. Of several
    /// errors the first one in the file is returned.
    fn read_relocs(&mut self, store: &dyn Store) -> Result<(), LoadError> {
        let mut left = Allowance::of("the relocation sections", store);
        let mut wanted = Vec::new();
        let mut missing = None;
        for i in 1..self.sections.len() {
            let (kind, base) = (self.sections[i].kind, self.sections[i].info as usize);
            let of_run_time = self.sections.get(self.sections[i].link as usize).is_some_and(|s| s.kind == SHT_DYNSYM);
            // What a linked file tells the run-time linker is about addresses, not about a section.
            if kind != SHT_RELA || base == 0 || of_run_time {
                continue;
            }
            let Some(is_debug) = self.sections.get(base).map(|s| s.name.starts_with(".debug_")) else {
                let Section { name, info, .. } = &self.sections[i];
                missing = Some(LoadError::RelocsWithoutSection { relocs: name.clone(), section: *info });
                break;
            };
            self.sections[base].rela = Some(SectionId::from_index(i));
            if !is_debug {
                left.take(self.sections[i].size)?;
                wanted.push((i, base));
            }
        }
        let read =
            |(i, base): (usize, usize)| self.relocs_of(store, SectionId::from_index(i)).map(|relocs| (base, relocs));
        let total: u64 = wanted.iter().map(|&(i, _)| self.sections[i].size).sum();
        for relocs in parallel::each(total >= WORTH_READING_TOGETHER, wanted, read) {
            let (base, relocs) = relocs?;
            self.sections[base].relocs = relocs;
        }
        missing.map_or(Ok(()), Err)
    }

    /// Reads the relocation section `id`.
    pub fn relocs_of(&self, store: &dyn Store, id: SectionId) -> Result<Relocs, LoadError> {
        let mut incoming = Incoming::default();
        self.each_reloc(store, id, |left, reloc| incoming.take(left, reloc))?;
        Ok(incoming.finish())
    }

    /// Hands out the relocations of section `id` in file order, each with the number of those left, itself counted.
    pub fn each_reloc(
        &self,
        store: &dyn Store,
        id: SectionId,
        mut take: impl FnMut(usize, Reloc),
    ) -> Result<(), LoadError> {
        let section = self.section(id);
        let name = format!("section {}", section.name);
        each_entry(store, section, &name, |left, entry: &elf::Rela64<LE>| {
            let info = entry.r_info.get(LE);
            let symbol = (info >> 32) as u32;
            if symbol as usize >= self.symbols.len().max(1) {
                return Err(LoadError::RelocWithoutSymbol { relocs: section.name.clone(), symbol });
            }
            let reloc = Reloc {
                offset: entry.r_offset.get(LE),
                addend: entry.r_addend.get(LE),
                symbol: SymbolId(symbol),
                kind: RelocKind(info as u32),
            };
            take(left, reloc);
            Ok(())
        })
    }
}

/// Hands out the entries of a table in file order, each with the number of those left, itself counted. Only a few are in
/// memory at a time: the relocations of debug info may outweigh the rest of the object, and what is large for a moment
/// leaves holes in memory.
fn each_entry<T: pod::Pod>(
    store: &dyn Store,
    section: &Section,
    what: &str,
    mut take: impl FnMut(usize, &T) -> Result<(), LoadError>,
) -> Result<(), LoadError> {
    const AT_ONCE: u64 = 4096;
    let size = size_of::<T>() as u64;
    let mut left = section.size / size;
    if section.file_offset.checked_add(left * size).is_none_or(|end| end > store.size()) {
        return Err(LoadError::Truncated(what.to_owned()));
    }
    while left > 0 {
        let n = left.min(AT_ONCE);
        let offset = section.file_offset + (section.size / size - left) * size;
        let bytes = store.read(offset, n * size)?;
        let (entries, _) =
            pod::slice_from_bytes::<T>(&bytes, n as usize).map_err(|()| LoadError::Broken(what.to_owned()))?;
        for (i, entry) in entries.iter().enumerate() {
            take(left as usize - i, entry)?;
        }
        left -= n;
    }
    Ok(())
}

/// What is read of the symbol table.
#[derive(Default)]
struct SymbolTable {
    section: Option<SectionId>,
    symbols: Vec<Symbol>,
    names: String,
}

fn read_section_headers(
    store: &dyn Store,
    header: &elf::FileHeader64<LE>,
) -> Result<Vec<elf::SectionHeader64<LE>>, LoadError> {
    let start = header.e_shoff.get(LE);
    let size = size_of::<elf::SectionHeader64<LE>>() as u64;
    if start == 0 || u64::from(header.e_shentsize.get(LE)) != size {
        return Err(LoadError::Broken("no section headers".to_owned()));
    }
    let what = || "the section header table".to_owned();
    let parse = |bytes: &[u8], count: u64| {
        pod::slice_from_bytes::<elf::SectionHeader64<LE>>(bytes, count as usize)
            .map(|(headers, _)| headers.to_vec())
            .map_err(|()| LoadError::Broken(what()))
    };
    let mut count = u64::from(header.e_shnum.get(LE));
    if count == 0 {
        let first = parse(&read_range(store, start, size, what)?, 1)?;
        count = first[0].sh_size.get(LE);
    }
    if count > u64::from(u32::MAX) {
        return Err(LoadError::Truncated(what()));
    }
    parse(&read_range(store, start, count * size, what)?, count)
}

fn read_range(store: &dyn Store, offset: u64, size: u64, what: impl FnOnce() -> String) -> Result<Vec<u8>, LoadError> {
    if offset.checked_add(size).is_none_or(|end| end > store.size()) {
        return Err(LoadError::Truncated(what()));
    }
    Ok(store.read(offset, size)?)
}

fn read_strings(store: &dyn Store, header: &elf::SectionHeader64<LE>) -> Result<String, LoadError> {
    let what = || "the section name table".to_owned();
    Ok(into_text(read_range(store, header.sh_offset.get(LE), header.sh_size.get(LE), what)?))
}

/// What the parts of one kind may take together: as many bytes as the file has. Parts of a whole object do not overlap;
/// a small one whose parts do could ask for any amount of memory.
pub(crate) struct Allowance {
    what: &'static str,
    left: u64,
}

impl Allowance {
    /// For the parts that are named so.
    pub(crate) fn of(what: &'static str, store: &dyn Store) -> Self {
        Allowance { what, left: store.size() }
    }

    /// Takes the bytes of one part.
    pub(crate) fn take(&mut self, size: u64) -> Result<(), LoadError> {
        let left = self.left.checked_sub(size);
        self.left = left.ok_or_else(|| LoadError::Broken(format!("{} overlap", self.what)))?;
        Ok(())
    }
}

/// Replaces what is no UTF-8, and what would act where it is shown, by `?`, byte by byte, so that offsets stay.
fn into_text(bytes: Vec<u8>) -> String {
    clean::names(String::from_utf8(bytes).unwrap_or_else(|error| {
        let mut text = String::with_capacity(error.as_bytes().len());
        for chunk in error.as_bytes().utf8_chunks() {
            text.push_str(chunk.valid());
            text.extend(chunk.invalid().iter().map(|_| '?'));
        }
        text
    }))
}

fn string_at(strings: &str, offset: u32) -> &str {
    let rest = strings.get(offset as usize..).unwrap_or("");
    // Names are short: a search by words would cost more to start.
    let end = rest.bytes().position(|byte| byte == 0).unwrap_or(rest.len());
    rest.get(..end).unwrap_or("")
}
