//! The object while things are added to it.
//!
//! In: the object, what to add.  Out: [`Draft`], which keeps what is added apart from what was there.
//! Holds afterwards: sections are added behind all others, names behind all other names, without a look at names that are
//! there already.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::WriteError;
use super::symtab::{Handle, NewSymbol, SymbolTable};
use crate::analysis::Analysis;
use crate::decode::MAX_LEN;
use crate::ids::{CodeLoc, SectionId, SymbolId};
use crate::image::{RelocKind, SHF_ALLOC, SHT_RELA, STB_LOCAL, STT_SECTION, Store};
use crate::orc::OrcTable;

/// `SHT_PROGBITS` (gABI, "Sections").
const SHT_PROGBITS: u32 = 1;
/// `SHF_INFO_LINK`.
const SHF_INFO_LINK: u64 = 0x40;
/// Clang keeps all names in one table.
const NAMES_OF_SECTIONS: [&str; 2] = [".shstrtab", ".strtab"];
/// Size of a relocation with its addend.
const RELA_SIZE: u64 = 24;

/// A relocation of a section that is added.
#[derive(Clone, Copy)]
pub(super) struct NewReloc {
    pub offset: u64,
    pub symbol: Handle,
    pub kind: RelocKind,
    pub addend: i64,
}

impl NewReloc {
    /// Room for one.
    pub(super) const EMPTY: NewReloc = NewReloc { offset: 0, symbol: Handle::NULL, kind: RelocKind::NONE, addend: 0 };
}

/// A table of places in code: a relocation in each entry leads to one. They are made when they are written: of a whole kernel
/// there are a million.
pub(super) struct Places<'a> {
    at: PlacesOf<'a>,
    /// Size of an entry.
    entsize: u64,
    kind: RelocKind,
    /// What the places in a section count from.
    symbols: FxHashMap<SectionId, Handle>,
}

/// Whose places they are.
pub(super) enum PlacesOf<'a> {
    Listed(Vec<CodeLoc>),
    Rows(&'a OrcTable),
}

impl PlacesOf<'_> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        match self {
            PlacesOf::Listed(places) => places.len(),
            PlacesOf::Rows(table) => table.rows.len(),
        }
    }

    fn each(&self) -> impl Iterator<Item = CodeLoc> {
        let (places, rows) = match self {
            PlacesOf::Listed(places) => (places.as_slice(), &[][..]),
            PlacesOf::Rows(table) => (&[][..], table.rows.as_slice()),
        };
        places.iter().copied().chain(rows.iter().map(|&(at, _)| at))
    }
}

impl Places<'_> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.at.len()
    }

    /// The relocations, in order.
    pub(super) fn relocs(&self) -> impl Iterator<Item = NewReloc> {
        // Places of a section follow each other, mostly.
        let mut last = (SectionId(0), Handle::NULL);
        self.at.each().zip(0..).map(move |(at, index)| {
            if last.0 != at.section {
                last = (at.section, self.symbols.get(&at.section).copied().unwrap_or(Handle::NULL));
            }
            NewReloc { offset: index * self.entsize, symbol: last.1, kind: self.kind, addend: at.offset as i64 }
        })
    }
}

/// Bytes of an instruction, in the place of those that a section has.
#[derive(Clone, Copy)]
pub(super) struct Patch {
    at: u64,
    bytes: [u8; MAX_LEN],
    len: u8,
}

impl Patch {
    /// These bytes from `at` on; none where they are too many.
    pub(super) fn new(at: u64, with: &[u8]) -> Option<Patch> {
        let mut bytes = [0; MAX_LEN];
        bytes.get_mut(..with.len())?.copy_from_slice(with);
        Some(Patch { at, bytes, len: with.len() as u8 })
    }

    /// Puts its bytes where they belong in a part of the section that starts at `start`.
    pub(super) fn apply(&self, part: &mut [u8], start: u64) {
        for (at, &byte) in (self.at..).zip(self.bytes.iter().take(usize::from(self.len))) {
            let place = at.checked_sub(start).and_then(|at| part.get_mut(usize::try_from(at).ok()?));
            place.into_iter().for_each(|place| *place = byte);
        }
    }

    /// Where it ends.
    pub(super) fn end(&self) -> u64 {
        self.at + u64::from(self.len)
    }

    /// Where it begins.
    pub(super) fn at(&self) -> u64 {
        self.at
    }
}

/// What a table added to the object looks like.
pub(super) struct Shape {
    pub name: &'static str,
    pub entsize: u64,
    pub align: u64,
    /// Flags besides `SHF_ALLOC`.
    pub flags: u64,
}

impl Shape {
    /// Entries of `entsize` bytes that nothing aligns.
    pub(super) fn new(name: &'static str, entsize: u64) -> Shape {
        Shape { name, entsize, align: 1, flags: 0 }
    }
}

/// A section added to the object.
pub(super) struct Added<'a> {
    pub name: u32,
    pub kind: u32,
    pub flags: u64,
    pub link: u32,
    pub info: u32,
    pub align: u64,
    pub entsize: u64,
    pub content: Content<'a>,
}

/// What a section added to the object holds.
pub(super) enum Content<'a> {
    /// So many zeros.
    Zeros(u64),
    /// The entries of the ORC table.
    Orc(&'a OrcTable),
    Relocs(Vec<NewReloc>),
    Places(Places<'a>),
}

/// See the file's head.
pub(super) struct Draft<'a> {
    pub analysis: &'a Analysis,
    /// The symbols, where there is a table of them.
    pub symbols: Option<SymbolTable>,
    section_symbols: FxHashMap<SectionId, Handle>,
    /// What goes behind the contents of a section: names.
    pub tails: BTreeMap<SectionId, Vec<u8>>,
    pub added: Vec<Added<'a>>,
    /// What is overwritten in a section, in the order of the places.
    pub patches: BTreeMap<SectionId, Vec<Patch>>,
    /// Positions of relocations that become [`RelocKind::NONE`], by the section that they stand in.
    pub unrelocated: BTreeMap<SectionId, BTreeSet<usize>>,
}

impl<'a> Draft<'a> {
    /// The object as it is.
    pub(super) fn new(analysis: &'a Analysis, store: &dyn Store) -> Result<Draft<'a>, WriteError> {
        let symbols = SymbolTable::read(&analysis.image, store)?;
        Ok(Draft {
            analysis,
            symbols,
            section_symbols: FxHashMap::default(),
            tails: BTreeMap::new(),
            added: Vec::new(),
            patches: BTreeMap::new(),
            unrelocated: BTreeMap::new(),
        })
    }

    /// Whether nothing was changed.
    pub(super) fn is_unchanged(&self) -> bool {
        let same_symbols = self.symbols.as_ref().is_none_or(|symbols| !symbols.is_changed());
        self.added.is_empty() && self.patches.is_empty() && same_symbols
    }

    /// Whether the object has a section of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.analysis.image.section_by_name(name).is_some()
    }

    /// Adds a symbol, with its name where it has one.
    pub(super) fn add_symbol(&mut self, name: Option<&str>, mut symbol: NewSymbol) -> Result<Handle, WriteError> {
        if let Some(name) = name {
            symbol.name = self.add_name(&[".strtab"], name)?;
        }
        self.symbols.as_mut().ok_or(WriteError::NoSection(".symtab"))?.add(&symbol)
    }

    /// The symbol of a section of code. A weak function may be dropped for another one, so that a place in it can only be
    /// told from its section; assemblers leave out the symbol of a section when nothing of their own needs it.
    pub(super) fn section_symbol(&mut self, section: SectionId) -> Result<Handle, WriteError> {
        if let Some(symbol) = self.analysis.image.section(section).symbol {
            return Ok(symbol.into());
        }
        if let Some(&symbol) = self.section_symbols.get(&section) {
            return Ok(symbol);
        }
        let new = NewSymbol { name: 0, binding: STB_LOCAL, kind: STT_SECTION, section, value: 0, size: 0 };
        let symbol = self.add_symbol(None, new)?;
        self.section_symbols.insert(section, symbol);
        Ok(symbol)
    }

    /// A relocation at `offset` that leads to a place in code.
    pub(super) fn reloc_to(&mut self, at: CodeLoc, offset: u64, kind: RelocKind) -> Result<NewReloc, WriteError> {
        Ok(NewReloc { offset, symbol: self.section_symbol(at.section)?, kind, addend: at.offset as i64 })
    }

    /// The table of these places. Their sections get the symbols that they need, in the order of the places.
    pub(super) fn places(&mut self, at: PlacesOf<'a>, entsize: u64, kind: RelocKind) -> Result<Places<'a>, WriteError> {
        let mut symbols = FxHashMap::default();
        let mut last = None;
        for CodeLoc { section, .. } in at.each() {
            if last.replace(section) != Some(section) && !symbols.contains_key(&section) {
                symbols.insert(section, self.section_symbol(section)?);
            }
        }
        Ok(Places { at, entsize, kind, symbols })
    }

    /// Gives a symbol of the object another size.
    pub(super) fn resize(&mut self, symbol: SymbolId, size: u64) {
        if let Some(symbols) = &mut self.symbols {
            symbols.resize(symbol, size);
        }
    }

    /// Adds a section with this content.
    pub(super) fn add_section(&mut self, shape: &Shape, content: Content<'a>) -> Result<SectionId, WriteError> {
        let name = self.add_name(&NAMES_OF_SECTIONS, shape.name)?;
        Ok(self.push(Added {
            name,
            kind: SHT_PROGBITS,
            flags: SHF_ALLOC | shape.flags,
            link: 0,
            info: 0,
            align: shape.align,
            entsize: shape.entsize,
            content,
        }))
    }

    /// Adds a section of `n` zeroed entries, and one with its relocations.
    pub(super) fn add_table(&mut self, shape: &Shape, n: usize, relocs: Content<'a>) -> Result<(), WriteError> {
        let base = self.add_section(shape, Content::Zeros(n as u64 * shape.entsize))?;
        let name = self.add_name(&NAMES_OF_SECTIONS, &format!(".rela{}", shape.name))?;
        let symtab = self.symbols.as_ref().ok_or(WriteError::NoSection(".symtab"))?.section;
        self.push(Added {
            name,
            kind: SHT_RELA,
            flags: SHF_INFO_LINK,
            link: symtab.0,
            info: base.0,
            align: 8,
            entsize: RELA_SIZE,
            content: relocs,
        });
        Ok(())
    }

    fn push(&mut self, added: Added<'a>) -> SectionId {
        let id = SectionId::from_index(self.analysis.image.sections.len() + self.added.len());
        self.added.push(added);
        id
    }

    /// Puts a name behind the names of the first table that there is, and says where it stands.
    fn add_name(&mut self, tables: &[&'static str], name: &str) -> Result<u32, WriteError> {
        let image = &self.analysis.image;
        let table = tables.iter().find_map(|table| image.section_by_name(table));
        let table = table.ok_or(WriteError::NoSection(tables.first().copied().unwrap_or_default()))?;
        let tail = self.tails.entry(table).or_default();
        let at = image.section(table).size + tail.len() as u64;
        tail.extend_from_slice(name.as_bytes());
        tail.push(0);
        u32::try_from(at).map_err(|_| WriteError::Broken("a table of names is too large"))
    }
}
