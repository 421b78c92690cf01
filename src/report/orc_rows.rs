//! The computed ORC table, with the function and the line at which each entry begins to hold.
//!
//! In: an analysis.  Out: [`OrcListing`], the object of `orc show --format json`.

use std::sync::Arc;

use serde::Serialize;

use crate::analysis::Analysis;
use crate::ids::CodeLoc;
use crate::image::ElfImage;
use crate::kernel::Kernel;
use crate::orc::OrcEntry;
use crate::report::select::Select;
use crate::report::view::View;
use crate::source_map::Lines;

/// A table of an object.
#[derive(Clone, Debug, Serialize)]
pub struct OrcListing {
    /// The object, as the caller names it.
    pub object: String,
    /// The release whose rules were applied.
    pub kernel: Kernel,
    /// The entries; `None` where the object has no table.
    pub rows: Option<Vec<OrcRow>>,
}

/// An entry.
#[derive(Clone, Debug, Serialize)]
pub struct OrcRow {
    /// The place as objtool names it.
    pub place: String,
    /// The section; `None` where the place is a symbol with an offset, or an address.
    pub section: Option<String>,
    /// The offset in the section.
    pub offset: Option<u64>,
    /// The function or other symbol; `None` for stored tables.
    pub function: Option<String>,
    /// The file, as the debug info names it; `None` for stored tables.
    pub file: Option<Arc<str>>,
    /// The line, from 1; `None` for stored tables.
    pub line: Option<u32>,
    /// The entry as objtool prints it.
    pub text: String,
    /// What the CFA is computed from, in the release's own numbers.
    pub sp_reg: u8,
    /// Bytes from there to the CFA.
    pub sp_offset: i16,
    /// What the saved frame pointer is found from.
    pub bp_reg: u8,
    /// Bytes.
    pub bp_offset: i16,
    /// The kind of frame.
    #[serde(rename = "type")]
    pub kind: u8,
    /// A signal frame; in 6.1 the outermost frame.
    pub signal: bool,
}

impl OrcRow {
    /// An entry at a place that objtool names so.
    pub fn new(image: &ElfImage, kernel: Kernel, place: String, at: Option<CodeLoc>, entry: &OrcEntry) -> OrcRow {
        OrcRow {
            place,
            section: at.map(|at| image.section(at.section).name.clone()),
            offset: at.map(|at| at.offset),
            function: None,
            file: None,
            line: None,
            text: entry.text(kernel.rules()),
            sp_reg: entry.sp_reg.0,
            sp_offset: entry.sp_offset,
            bp_reg: entry.bp_reg.0,
            bp_offset: entry.bp_offset,
            kind: entry.kind.0,
            signal: entry.flag,
        }
    }
}

/// The part of the computed table that begins at the code that `select` names. An entry that begins elsewhere and holds
/// there too is not in it.
pub fn orc_listing(object: &str, analysis: &Analysis, lines: &Lines, select: &Select) -> OrcListing {
    let view = View::new(analysis, lines);
    let chosen = select.insns(&view);
    let row = |&(at, ref entry): &(CodeLoc, OrcEntry)| {
        let place = format!("{}+{:x}", view.section_name(at.section), at.offset);
        let row = OrcRow::new(&analysis.image, analysis.kernel, place, Some(at), entry);
        // The end of a section has an entry and no instruction; in an alternative an entry may begin within one.
        let Some(insn) = analysis.insns.containing(at) else { return select.is_everything().then_some(row) };
        chosen.binary_search(&insn).ok()?;
        let line = view.source_line(insn);
        Some(OrcRow { function: view.function(insn), file: line.file, line: line.line, ..row })
    };
    let rows = analysis.orc().map(|table| table.rows.iter().filter_map(row).collect());
    OrcListing { object: object.to_owned(), kernel: analysis.kernel, rows }
}
