//! Loads debug sections as a linker would have placed them.
//!
//! In: an [`ElfImage`] and its [`Store`].  Out: [`DebugSections`].
//! Holds afterwards: every code section of a relocatable object has addresses of its own, and the debug sections name
//! those. In such an object all sections start at address 0, so that without this, hundreds of functions would lie on top
//! of each other (gABI, "Sections": `sh_addr`).
//! Reads like: x86-64 psABI §4.4.1, table of relocation types; gABI, "Compression header".

use gimli::{DwarfSections, EndianSlice, LittleEndian};
use object::read::{CompressedData, CompressionFormat};
use rustc_hash::FxHashMap;

use super::NoSource;
use crate::ids::{CodeLoc, SectionId};
use crate::image::{Allowance, ET_REL, ElfImage, LoadError, Reloc, SHF_COMPRESSED, SHT_NOBITS, Store};

/// What gimli reads from.
pub(super) type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// The first made-up address. Low addresses stay free: code that the linker discarded is described as lying there.
const FIRST_BASE: u64 = 1 << 32;
/// Made-up addresses of sections start at multiples of this, and sections never touch.
const BASE_ALIGN: u64 = 4096;
/// Decompressed sections may together be this many times as large as the object, besides [`BASE_EXPANSION`].
const EXPANSION_LIMIT: u64 = 8;
/// Bytes that sections of any object may decompress to.
const BASE_EXPANSION: u64 = 16 << 20;

/// The debug sections of an object, and where they think its code is.
pub(super) struct DebugSections {
    contents: DwarfSections<Vec<u8>>,
    /// Code sections: address, address behind the end, id; ascending.
    code: Vec<(u64, u64, SectionId)>,
    /// Address by section; 0 for all that hold no code.
    base: Vec<u64>,
}

impl DebugSections {
    /// Those of an object that has none.
    pub(super) fn none() -> DebugSections {
        DebugSections { contents: DwarfSections::default(), code: Vec::new(), base: Vec::new() }
    }

    /// Reads what is needed for lines and inlined functions, and applies its relocations.
    pub(super) fn load(store: &dyn Store, image: &ElfImage) -> Result<DebugSections, NoSource> {
        let mut sections = DebugSections::none();
        sections.place_code(image);
        let mut loader = Loader {
            store,
            image,
            base: sections.base.clone(),
            stored: Allowance::of("the debug sections", store),
            relocs: Allowance::of("the relocations of debug sections", store),
            budget: store.size().saturating_mul(EXPANSION_LIMIT).saturating_add(BASE_EXPANSION),
        };
        loader.place_debug();
        sections.contents = DwarfSections::load(|id| loader.load(id.name(), is_needed(id)))?;
        Ok(sections)
    }

    /// A view for gimli.
    pub(super) fn dwarf(&self) -> gimli::Dwarf<Slice<'_>> {
        self.contents.borrow(|bytes| EndianSlice::new(bytes, LittleEndian))
    }

    /// The address that the debug sections use for `at`.
    pub(super) fn address(&self, at: CodeLoc) -> Option<u64> {
        self.base.get(at.section.index()).filter(|&&base| base != 0)?.checked_add(at.offset)
    }

    /// The byte that an address of the debug sections means.
    pub(super) fn loc(&self, address: u64) -> Option<CodeLoc> {
        let index = self.code.partition_point(|&(start, ..)| start <= address).checked_sub(1)?;
        let &(start, end, section) = self.code.get(index)?;
        (address < end).then(|| CodeLoc::new(section, address - start))
    }

    fn place_code(&mut self, image: &ElfImage) {
        self.base = vec![0; image.sections.len()];
        let mut next = FIRST_BASE;
        for (id, section) in image.sections().filter(|(_, s)| s.is_code()) {
            let base = if image.kind == ET_REL { next } else { section.addr };
            let Some(end) = base.checked_add(section.size) else { continue };
            self.code.push((base, end, id));
            if let Some(slot) = self.base.get_mut(id.index()) {
                *slot = base;
            }
            next = next.saturating_add(section.size).saturating_add(BASE_ALIGN) / BASE_ALIGN * BASE_ALIGN;
        }
        self.code.sort_unstable();
    }
}

/// Variables, call frames, macros and the like are of no use here, and large.
fn is_needed(id: gimli::SectionId) -> bool {
    use gimli::SectionId as Id;
    matches!(
        id,
        Id::DebugInfo
            | Id::DebugAbbrev
            | Id::DebugLine
            | Id::DebugLineStr
            | Id::DebugStr
            | Id::DebugStrOffsets
            | Id::DebugAddr
            | Id::DebugRanges
            | Id::DebugRngLists
    )
}

struct Loader<'a> {
    store: &'a dyn Store,
    image: &'a ElfImage,
    base: Vec<u64>,
    /// What sections may have in the file.
    stored: Allowance,
    /// What their relocations may.
    relocs: Allowance,
    /// How many bytes decompression may still produce.
    budget: u64,
}

impl Loader<'_> {
    /// Sections of one name are read one behind the other; type units come in sections of their own.
    fn place_debug(&mut self) {
        let mut ends: FxHashMap<&str, u64> = FxHashMap::default();
        for (id, section) in self.image.sections().filter(|(_, s)| s.name.starts_with(".debug_")) {
            let size = self.decompressed_size(id).unwrap_or(0);
            let end = ends.entry(&section.name).or_insert(0);
            let start = std::mem::replace(end, end.saturating_add(size));
            if let Some(slot) = self.base.get_mut(id.index()) {
                *slot = start;
            }
        }
    }

    fn load(&mut self, name: &str, needed: bool) -> Result<Vec<u8>, NoSource> {
        let mut all = Vec::new();
        for (id, section) in self.image.sections().filter(|(_, s)| needed && s.name == name) {
            let mut bytes = self.contents(id)?;
            if let (Some(rela), ET_REL) = (section.rela, self.image.kind) {
                let base = self.base.get(id.index()).copied().unwrap_or(0);
                self.relocs.take(self.image.section(rela).size)?;
                self.image.each_reloc(self.store, rela, |_, reloc| self.apply(&mut bytes, base, reloc))?;
            }
            if all.is_empty() {
                all = bytes;
            } else {
                all.append(&mut bytes);
            }
        }
        Ok(all)
    }

    fn decompressed_size(&self, id: SectionId) -> Result<u64, LoadError> {
        let section = self.image.section(id);
        if section.flags & SHF_COMPRESSED == 0 || section.kind == SHT_NOBITS {
            return Ok(section.size);
        }
        let header = self.store.read(section.file_offset, section.size.min(24))?;
        Ok(field(&header, 8).map_or(0, u64::from_le_bytes))
    }

    fn contents(&mut self, id: SectionId) -> Result<Vec<u8>, NoSource> {
        let section = self.image.section(id);
        if section.kind == SHT_NOBITS {
            return Ok(Vec::new());
        }
        self.stored.take(section.size)?;
        let stored = self.image.read_section(self.store, id)?;
        if section.flags & SHF_COMPRESSED == 0 {
            return Ok(stored);
        }
        let refuse = || NoSource::Compression(section.name.clone());
        let format = match field(&stored, 0).map(u32::from_le_bytes) {
            Some(1) => CompressionFormat::Zlib,
            Some(2) => CompressionFormat::Zstandard,
            _ => return Err(refuse()),
        };
        let uncompressed_size = field(&stored, 8).map(u64::from_le_bytes).ok_or_else(refuse)?;
        self.budget = self.budget.checked_sub(uncompressed_size).ok_or_else(refuse)?;
        let data = stored.get(24..).unwrap_or(&[]);
        let contents = CompressedData { format, data, uncompressed_size }.decompress().map_err(|_| refuse())?;
        Ok(contents.into_owned())
    }

    /// What is no address or offset (`R_X86_64_DTPOFF64`, ...) is of no use for lines and stays as it is.
    fn apply(&self, bytes: &mut [u8], base: u64, reloc: Reloc) {
        let symbol = self.image.symbol(reloc.symbol);
        let target = self.base.get(symbol.section.index()).copied().unwrap_or(0);
        let value = target.wrapping_add(symbol.value).wrapping_add_signed(reloc.addend);
        reloc.kind.apply(bytes, reloc.offset, value, base.wrapping_add(reloc.offset));
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}
