//! The CFI state at each instruction, with its bytes, its text, its line and its ORC entry.
//!
//! In: instructions of an analysis.  Out: [`CfiRows`], one by one, for `cfi`; [`CfiListing`], a bounded number, for an editor.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::analysis::Analysis;
use crate::cfi::CfiState;
use crate::decode::Kind;
use crate::flow::Flags;
use crate::ids::{CodeLoc, InsnId};
use crate::report::frame;
use crate::report::select::Select;
use crate::report::view::View;
use crate::report::words::{self, Cfa};
use crate::source_map::Lines;

/// The states of an object.
#[derive(Clone, Debug, Serialize)]
pub struct CfiListing {
    /// The object, as the caller names it.
    pub object: String,
    /// In address order per section.
    pub instructions: Vec<CfiRow>,
    /// How many more there are, where not all are listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub omitted: usize,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
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
    /// How the CFA is computed behind the instruction; `None` where it does not go on, or with an unknown state.
    pub cfa_after: Option<Cfa>,
    /// Where registers are saved behind the instruction.
    pub saved_after: BTreeMap<&'static str, i32>,
    /// The frame before the instruction; only where a single line is asked about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frame: Vec<frame::Slot>,
}

/// The states of the instructions that `select` names, in address order per section. Each row is made when it is asked
/// for: all of them together take far more room than the object.
pub struct CfiRows<'a> {
    view: View<'a>,
    chosen: std::vec::IntoIter<InsnId>,
    with_frames: bool,
}

impl<'a> CfiRows<'a> {
    /// Rows of the part of the object that `select` names.
    pub fn new(analysis: &'a Analysis, lines: &'a Lines, select: &Select) -> CfiRows<'a> {
        let view = View::new(analysis, lines);
        let chosen = select.insns(&view).into_iter();
        CfiRows { view, chosen, with_frames: select.at.is_some() }
    }
}

impl Iterator for CfiRows<'_> {
    type Item = CfiRow;

    fn next(&mut self) -> Option<CfiRow> {
        let insn = self.chosen.next()?;
        let mut row = row(&self.view, insn);
        if self.with_frames {
            row.frame = self.view.analysis.states.state(insn).map(frame::slots).unwrap_or_default();
        }
        Some(row)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.chosen.size_hint()
    }
}

impl ExactSizeIterator for CfiRows<'_> {}

/// The first `most` rows.
pub fn first_rows(object: &str, analysis: &Analysis, lines: &Lines, select: &Select, most: usize) -> CfiListing {
    let rows = CfiRows::new(analysis, lines, select);
    let omitted = rows.len().saturating_sub(most);
    CfiListing { object: object.to_owned(), instructions: rows.take(most).collect(), omitted }
}

/// The states of these instructions.
pub fn cfi_rows(analysis: &Analysis, lines: &Lines, insns: &[InsnId]) -> Vec<CfiRow> {
    rows(&View::new(analysis, lines), insns)
}

fn rows(view: &View<'_>, insns: &[InsnId]) -> Vec<CfiRow> {
    insns.iter().map(|&insn| row(view, insn)).collect()
}

fn row(view: &View<'_>, insn: InsnId) -> CfiRow {
    let at = view.analysis.insns.loc(insn);
    let line = view.source_line(insn);
    let state = view.analysis.states.state(insn);
    let after = state_after(view, insn);
    CfiRow {
        section: view.section_name(at.section).to_owned(),
        offset: at.offset,
        length: view.analysis.insns.get(insn).len,
        bytes: view.hex(insn),
        text: view.text(insn),
        function: view.function(insn),
        file: line.file,
        line: line.line,
        cfa: state.and_then(words::cfa),
        saved: state.map(words::saved).unwrap_or_default(),
        orc: orc(view, at),
        cfa_after: after.and_then(words::cfa),
        saved_after: after.map(words::saved).unwrap_or_default(),
        frame: Vec::new(),
    }
}

/// The ORC entry at a place, as objtool words it.
fn orc(view: &View<'_>, at: CodeLoc) -> Option<String> {
    let mut text = String::new();
    view.analysis.orc()?.at(at)?.write_text(&mut text, &view.analysis.rules);
    Some(text.trim_start().to_owned())
}

/// The state before the instruction that runs next, when nothing branches.
fn state_after<'a>(view: &View<'a>, insn: InsnId) -> Option<&'a CfiState> {
    let analysis = view.analysis;
    let ends = matches!(
        analysis.insns.kind(insn),
        Kind::Return | Kind::JumpUnconditional | Kind::JumpDynamic | Kind::Bug | Kind::Sysret
    );
    if ends || analysis.flow.has(insn, Flags::DEAD_END) {
        return None;
    }
    analysis.states.state(analysis.flow.next(&analysis.insns, insn)?)
}
