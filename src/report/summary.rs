//! Numbers about each function: how deep its stack gets, how many ORC entries it needs.
//!
//! In: an analysis.  Out: [`FunctionSummary`] for each function with code.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::analysis::Analysis;
use crate::cfi::Base;
use crate::ids::{InsnId, SymbolId};
use crate::orc::OrcEntry;
use crate::report::view::View;
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
    /// The most bytes on the stack, the return address counted; `None` where no state is known.
    pub max_depth: Option<i32>,
    /// How many ORC entries hold somewhere in it: those that begin in it, and the one that already holds where it begins.
    pub orc_rows: u32,
}

/// Code that is put before functions for others to patch, which nobody writes or calls.
pub fn is_padding(name: &str) -> bool {
    name.starts_with("__pfx_") || name.starts_with("__cfi_")
}

/// `24 bytes of stack, 3 ORC rows`
pub fn words_of(summary: &FunctionSummary) -> String {
    let counted = |n: i64, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    let rows = counted(i64::from(summary.orc_rows), "ORC row");
    match summary.max_depth {
        Some(depth) if depth > 0 => format!("{} of stack, {rows}", counted(i64::from(depth), "byte")),
        _ => rows,
    }
}

/// The functions of the object, in address order per section.
pub fn function_summaries(analysis: &Analysis, lines: &Lines) -> Vec<FunctionSummary> {
    let view = View::new(analysis, lines);
    let mut found: Vec<FunctionSummary> = Vec::new();
    let mut positions: FxHashMap<SymbolId, usize> = FxHashMap::default();
    for (section, header) in analysis.image.sections().filter(|(_, section)| section.is_code()) {
        for insn in analysis.insns.of_section(section) {
            let Some(symbol) = analysis.flow.owner(insn) else { continue };
            // Replacements belong to the function that they are patched into.
            if analysis.image.symbol(symbol).section != section || !analysis.image.symbol(symbol).is_function() {
                continue;
            }
            let position = *positions.entry(symbol).or_insert_with(|| {
                found.push(start(&view, symbol, insn, &header.name));
                found.len() - 1
            });
            let Some(summary) = found.get_mut(position) else { continue };
            summary.max_depth = summary.max_depth.max(depth(analysis, insn));
        }
    }
    let Some(table) = analysis.orc() else { return found };
    for (at, _) in &table.rows {
        let owner = analysis.insns.containing(*at).and_then(|insn| analysis.flow.owner(insn));
        let summary = owner.and_then(|owner| positions.get(&owner)).and_then(|&position| found.get_mut(position));
        summary.into_iter().for_each(|summary| summary.orc_rows += 1);
    }
    // Where the code in front, or padding, has the same state, the entry of a function's first instruction begins there.
    for summary in &mut found {
        let Some(first) = analysis.image.symbol(summary.symbol).place() else { continue };
        let holds = table.row_at(first).is_some_and(|&(at, entry)| at != first && entry != OrcEntry::default());
        summary.orc_rows += u32::from(holds);
    }
    found
}

fn start(view: &View<'_>, symbol: SymbolId, insn: InsnId, section: &str) -> FunctionSummary {
    let line = view.source_line(insn);
    FunctionSummary {
        symbol,
        function: view.analysis.image.symbol_name(symbol).to_owned(),
        section: section.to_owned(),
        offset: u64::from(view.analysis.insns.get(insn).offset),
        size: view.analysis.image.symbol(symbol).size,
        file: line.file,
        line: line.line,
        max_depth: None,
        orc_rows: 0,
    }
}

/// Bytes on the stack before and behind the instruction, whichever is more.
fn depth(analysis: &Analysis, insn: InsnId) -> Option<i32> {
    let state = analysis.states.state(insn).filter(|state| state.cfa.base != Base::UNDEFINED)?;
    Some(state.stack_size)
}
