//! The CFI state at each instruction, with its bytes, its text, its line and its ORC entry.
//!
//! In: instructions of an analysis.  Out: [`CfiListing`], the object of `cfi --format json`, and its rows for a hover.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::analysis::Analysis;
use crate::ids::InsnId;
use crate::report::findings::Cfa;
use crate::source_map::Lines;

/// Which part of an object to show.
#[derive(Clone, Debug, Default)]
pub struct Select {
    /// Only this function.
    pub function: Option<String>,
    /// Only the code of this line; the file may be given by the end of its path.
    pub at: Option<(String, u32)>,
}

/// The states of an object.
#[derive(Clone, Debug, Serialize)]
pub struct CfiListing {
    /// The object, as the caller names it.
    pub object: String,
    /// In address order per section.
    pub instructions: Vec<CfiRow>,
}

/// One instruction.
#[derive(Clone, Debug, Serialize)]
pub struct CfiRow {
    /// The section.
    pub section: String,
    /// The offset in the section.
    pub offset: u64,
    /// Bytes.
    pub length: u8,
    /// The bytes, in hexadecimal.
    pub bytes: String,
    /// The disassembly.
    pub text: String,
    /// The function or other symbol.
    pub function: Option<String>,
    /// The file, as the debug info names it.
    pub file: Option<Arc<str>>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// How the CFA is computed before the instruction; `None` where it is not known.
    pub cfa: Option<Cfa>,
    /// Where registers are saved, as offsets from the CFA.
    pub saved: BTreeMap<&'static str, i32>,
    /// The ORC entry that holds here.
    pub orc: Option<String>,
    /// How the CFA is computed behind the instruction, where that is one state.
    pub cfa_after: Option<Cfa>,
}

/// The states of the instructions that `select` names.
pub fn cfi_listing(object: &str, _analysis: &Analysis, _lines: &Lines, _select: &Select) -> CfiListing {
    CfiListing { object: object.to_owned(), instructions: Vec::new() }
}

/// The states of these instructions.
pub fn cfi_rows(_analysis: &Analysis, _lines: &Lines, _insns: &[InsnId]) -> Vec<CfiRow> {
    Vec::new()
}
