//! Numbers about each function: how deep its stack gets, how many ORC entries it needs.
//!
//! In: an analysis.  Out: [`FunctionSummary`] for each function with code.

use std::sync::Arc;

use serde::Serialize;

use crate::analysis::Analysis;
use crate::ids::SymbolId;
use crate::source_map::Lines;

/// A function in numbers.
#[derive(Clone, Debug, Serialize)]
pub struct FunctionSummary {
    /// The symbol.
    #[serde(skip)]
    pub symbol: SymbolId,
    /// Its name, as the symbol table spells it.
    pub function: String,
    /// The section.
    pub section: String,
    /// The offset of its first instruction.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// The file of its first instruction.
    pub file: Option<Arc<str>>,
    /// The line of its first instruction, from 1.
    pub line: Option<u32>,
    /// The most bytes on the stack, the return address counted; `None` where it is not known.
    pub max_depth: Option<i32>,
    /// How many ORC entries begin in it.
    pub orc_rows: u32,
}

/// The functions of the object, in address order per section.
pub fn function_summaries(_analysis: &Analysis, _lines: &Lines) -> Vec<FunctionSummary> {
    Vec::new()
}
