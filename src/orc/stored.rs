//! Reads the table that an object already has.
//!
//! In: `.orc_unwind`, `.orc_unwind_ip` and its relocations.  Out: [`StoredTable`].
//! Reads like: `orc_dump` in `tools/objtool/orc_dump.c`.

use std::fmt::Write as _;

use super::{OrcEntry, SIZE};
use crate::ids::CodeLoc;
use crate::image::{ElfImage, LoadError, Store};
use crate::kernel::rules::Rules;

/// Why a stored table can not be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum StoredError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("bad .orc_unwind section size")]
    Size,
}

/// A row, with the place as objtool names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredRow {
    /// The name of a section or symbol with an offset, or an address.
    pub place: String,
    /// The place, where a relocation against a section symbol gives it.
    pub at: Option<CodeLoc>,
    /// The entry.
    pub entry: OrcEntry,
}

/// The rows in file order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StoredTable {
    /// In file order.
    pub rows: Vec<StoredRow>,
}

/// Reads the table; an empty one when the object has none.
pub fn stored(store: &dyn Store, image: &ElfImage, rules: &Rules) -> Result<StoredTable, StoredError> {
    let mut table = StoredTable::default();
    let (Some(orc), Some(ip)) = (image.section_by_name(".orc_unwind"), image.section_by_name(".orc_unwind_ip")) else {
        return Ok(table);
    };
    let entries = image.read_section(store, orc)?;
    if entries.len() % SIZE != 0 {
        return Err(StoredError::Size);
    }
    let ips = image.read_section(store, ip)?;
    let section = image.section(ip);
    let relocs = &section.relocs;
    for (i, raw) in entries.chunks_exact(SIZE).enumerate() {
        let Ok(bytes) = raw.try_into() else { continue };
        let entry = OrcEntry::decode(bytes, rules);
        let (place, at) = match relocs.get(i) {
            Some(reloc) => {
                let symbol = image.symbol(reloc.symbol);
                let at = symbol.is_section().then(|| CodeLoc::new(symbol.section, reloc.addend as u64));
                (format!("{}+{:x}", image.symbol_name(reloc.symbol), reloc.addend), at)
            }
            None => {
                let raw = ips.get(4 * i..4 * i + 4).and_then(|b| b.try_into().ok()).map_or(0, i32::from_le_bytes);
                let address = section.addr.wrapping_add(4 * i as u64).wrapping_add_signed(i64::from(raw));
                (format!("{address:x}"), None)
            }
        };
        table.rows.push(StoredRow { place, at, entry });
    }
    Ok(table)
}

impl StoredTable {
    /// The text of `objtool --dump=orc`, a line per row.
    pub fn text(&self, rules: &Rules) -> String {
        let mut out = String::new();
        for row in &self.rows {
            let _ = write!(out, "{}:", row.place);
            row.entry.write_text(&mut out, rules);
            out.push('\n');
        }
        out
    }
}
