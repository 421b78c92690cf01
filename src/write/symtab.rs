//! The symbol table with symbols added to it: local ones come before all others, as ELF asks for.
//!
//! In: `.symtab` and `.symtab_shndx` as they stand, symbols to add.  Out: both as they are to be, and where each symbol went.
//! Holds afterwards: a local symbol took the place of the first that is not local, which went to the end.
//! Reads like: System V gABI, chapter 4, "Symbol Table"; the creation of symbols in `tools/objtool/elf.c`.

use object::LittleEndian as LE;
use object::{elf, pod};

use super::WriteError;
use crate::ids::{SectionId, SymbolId};
use crate::image::{ElfImage, LoadError, SHN_LORESERVE, SHN_XINDEX, SHT_SYMTAB_SHNDX, STB_LOCAL, Store};

/// Size of a symbol.
const SIZE: usize = size_of::<elf::Sym64<LE>>();

/// A symbol of the table, wherever it goes: one of the object's or one added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Handle(u32);

impl Handle {
    /// The null symbol.
    pub(super) const NULL: Handle = Handle(0);
}

impl From<SymbolId> for Handle {
    fn from(id: SymbolId) -> Handle {
        Handle(id.0)
    }
}

/// A symbol to add.
pub(super) struct NewSymbol {
    /// Where its name stands in the string table.
    pub name: u32,
    pub binding: u8,
    pub kind: u8,
    pub section: SectionId,
    pub value: u64,
    pub size: u64,
}

/// See the file's head.
pub(super) struct SymbolTable {
    /// The section of the table.
    pub section: SectionId,
    /// That of `.symtab_shndx`.
    pub wide_section: Option<SectionId>,
    /// By handle.
    entries: Vec<elf::Sym64<LE>>,
    /// By handle: the section's index, where there is a table for those that 16 bits do not hold.
    wide: Option<Vec<u32>>,
    order: Vec<Handle>,
    /// By handle: its position in `order`.
    positions: Vec<u32>,
    n_locals: u32,
    is_changed: bool,
    is_renumbered: bool,
}

impl SymbolTable {
    /// Reads the tables, if there are any.
    pub(super) fn read(image: &ElfImage, store: &dyn Store) -> Result<Option<SymbolTable>, WriteError> {
        let Some(section) = image.symtab else { return Ok(None) };
        let bytes = image.read_section(store, section)?;
        let n = bytes.len() / SIZE;
        let (entries, _) = pod::slice_from_bytes::<elf::Sym64<LE>>(&bytes, n)
            .map_err(|()| LoadError::Broken("the symbol table".to_owned()))?;
        let is_wide = |kind: u32, link: u32| kind == SHT_SYMTAB_SHNDX && link == section.0;
        let wide_section = image.sections().find(|(_, wide)| is_wide(wide.kind, wide.link)).map(|(id, _)| id);
        let wide = match wide_section {
            Some(wide) => {
                let bytes = image.read_section(store, wide)?;
                let words = bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
                Some(words.chain(std::iter::repeat(0)).take(n).collect())
            }
            None => None,
        };
        Ok(Some(SymbolTable {
            section,
            wide_section,
            entries: entries.to_vec(),
            wide,
            order: (0..n as u32).map(Handle).collect(),
            positions: (0..n as u32).collect(),
            n_locals: image.section(section).info,
            is_changed: false,
            is_renumbered: false,
        }))
    }

    /// Adds a symbol.
    pub(super) fn add(&mut self, new: &NewSymbol) -> Result<Handle, WriteError> {
        let narrow = u16::try_from(new.section.0).ok().filter(|&index| index < SHN_LORESERVE);
        let handle = Handle(self.entries.len() as u32);
        self.is_changed = true;
        match &mut self.wide {
            // objtool fills it in for every symbol that it writes.
            Some(wide) => wide.push(new.section.0),
            None if narrow.is_none() => return Err(WriteError::NoSection(".symtab_shndx")),
            None => {}
        }
        self.entries.push(elf::Sym64 {
            st_name: object::U32::new(LE, new.name),
            st_info: elf::SymbolInfo(new.binding << 4 | new.kind & 15),
            st_other: elf::SymbolOther(0),
            st_shndx: object::U16::new(LE, elf::SymbolSection(narrow.unwrap_or(SHN_XINDEX))),
            st_value: object::U64::new(LE, new.value),
            st_size: object::U64::new(LE, new.size),
        });
        let mut last = handle;
        if new.binding == STB_LOCAL {
            if let Some(place) = self.order.get_mut(self.n_locals as usize) {
                last = std::mem::replace(place, handle);
                self.is_renumbered = true;
            }
            self.positions.push(self.n_locals);
            self.n_locals = self.n_locals.saturating_add(1);
            self.rewrite(last);
        } else {
            self.positions.push(0);
        }
        if let Some(position) = self.positions.get_mut(last.0 as usize) {
            *position = self.order.len() as u32;
        }
        self.order.push(last);
        Ok(handle)
    }

    /// Gives a symbol another size.
    pub(super) fn resize(&mut self, symbol: SymbolId, size: u64) {
        if let Some(entry) = self.entries.get_mut(symbol.index()) {
            entry.st_size = object::U64::new(LE, size);
            self.is_changed = true;
        }
        self.rewrite(symbol.into());
    }

    /// A symbol written anew also has its section in the wide table, whether or not it needs it.
    fn rewrite(&mut self, symbol: Handle) {
        let at = symbol.0 as usize;
        if let (Some(entry), Some(wide)) = (self.entries.get(at), self.wide.as_mut().and_then(|wide| wide.get_mut(at)))
        {
            let shndx = entry.st_shndx.get(LE).0;
            if shndx != SHN_XINDEX {
                *wide = u32::from(shndx);
            }
        }
    }

    /// The index that the symbol has in the end. One that is not in the table keeps its own.
    pub(super) fn index(&self, symbol: Handle) -> u32 {
        self.positions.get(symbol.0 as usize).copied().unwrap_or(symbol.0)
    }

    /// Whether the table is another than it was.
    pub(super) fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Whether symbols of the object have other indexes than they had.
    pub(super) fn is_renumbered(&self) -> bool {
        self.is_renumbered
    }

    /// How many symbols are local, the null symbol counted: `sh_info`.
    pub(super) fn n_locals(&self) -> u32 {
        self.n_locals
    }

    /// The table's contents.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let entries = self.order.iter().filter_map(|handle| self.entries.get(handle.0 as usize));
        let mut bytes = Vec::with_capacity(self.order.len() * SIZE);
        entries.for_each(|entry| bytes.extend_from_slice(pod::bytes_of(entry)));
        bytes
    }

    /// The contents of the wide table, if there is one.
    pub(super) fn wide_bytes(&self) -> Option<Vec<u8>> {
        let wide = self.wide.as_ref()?;
        Some(self.order.iter().filter_map(|handle| wide.get(handle.0 as usize)).flat_map(|i| i.to_le_bytes()).collect())
    }
}
