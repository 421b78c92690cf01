//! Alternatives as flattened tables: a row per byte offset, a column per arm.
//!
//! In: the alternative groups of an analysis.  Out: [`Alternatives`], the object of `alternatives --format json`, and the
//! same as text, in the look of the figures in the kernel's commit c9c324dc22 ("objtool: Support stack layout changes in
//! alternatives", v5.12).

mod drawing;

use std::sync::Arc;

use serde::Serialize;

use crate::analysis::Analysis;
use crate::cfi::CfiState;
use crate::flow::AltGroup;
use crate::ids::{CfiId, GroupId};
use crate::kernel::Kernel;
use crate::report::arms::Boundary;
use crate::report::features::feature;
use crate::report::select::Select;
use crate::report::view::{SourceLine, View};
use crate::report::words;
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
pub fn alternatives(object: &str, analysis: &Analysis, lines: &Lines, select: &Select) -> Alternatives {
    let view = View::new(analysis, lines);
    let groups = select.insns(&view).into_iter().filter_map(|insn| analysis.flow.group_of(insn));
    let originals = groups.map(|id| analysis.flow.group(id).original.unwrap_or(id));
    let mut chosen: Vec<(GroupId, &AltGroup)> = originals.map(|id| (id, analysis.flow.group(id))).collect();
    chosen.sort_by_key(|&(id, group)| (group.start, id));
    chosen.dedup_by_key(|&mut (id, _)| id);
    let groups = chosen.into_iter().map(|(id, group)| describe(&view, id, group)).collect();
    Alternatives { object: object.to_owned(), groups }
}

fn describe(view: &View<'_>, id: GroupId, original: &AltGroup) -> AlternativeGroup {
    let arms: Vec<&AltGroup> = view.arms(id).into_iter().map(|arm| view.analysis.flow.group(arm)).collect();
    let names: Vec<String> = arms.iter().map(|arm| arm_name(view, arm)).collect();
    let at = view.analysis.insns.loc(original.first);
    let line = view.source_line(original.first);
    AlternativeGroup {
        section: view.section_name(at.section).to_owned(),
        offset: at.offset,
        length: original.length,
        feature: names.get(1..).unwrap_or_default().join(", "),
        function: view.function(original.first),
        file: line.file,
        line: line.line,
        rows: rows(view, original, &arms),
        arms: arms.iter().zip(names).map(|(arm, name)| describe_arm(view, arm, name)).collect(),
    }
}

fn arm_name(view: &View<'_>, arm: &AltGroup) -> String {
    match arm.original {
        None => "original".to_owned(),
        Some(_) => feature(arm.feature, view.analysis.kernel),
    }
}

fn describe_arm(view: &View<'_>, arm: &AltGroup, name: String) -> Arm {
    let end = view.boundaries(arm).into_iter().rfind(|boundary| !boundary.padding);
    let length = end.map_or(0, |last| last.offset.saturating_add(u32::from(view.analysis.insns.get(last.insn).len)));
    let section = arm.start.map(|at| view.section_name(at.section).to_owned());
    Arm { name, section, offset: arm.start.map(|at| at.offset), length }
}

/// Whatever arm the kernel patches in, an interrupt can find it at each of its boundaries, and nowhere else.
fn rows(view: &View<'_>, original: &AltGroup, arms: &[&AltGroup]) -> Vec<Row> {
    let boundaries: Vec<Vec<Boundary>> = arms.iter().map(|arm| view.boundaries(arm)).collect();
    let mut offsets: Vec<u32> = boundaries.iter().flatten().map(|boundary| boundary.offset).collect();
    offsets.sort_unstable();
    offsets.dedup();
    let flat = view.analysis.states.flat.table(original.slots);
    let row = |offset: u32| {
        let here: Vec<Option<Boundary>> = boundaries.iter().map(|arm| boundary_at(arm, offset)).collect();
        let flattened = flat.get(offset as usize).copied().flatten().map(|(state, _)| state);
        describe_row(view, offset, &here, flattened)
    };
    offsets.into_iter().map(row).collect()
}

/// The first boundary at an offset; boundaries ascend.
fn boundary_at(arm: &[Boundary], offset: u32) -> Option<Boundary> {
    arm.iter().find(|boundary| boundary.offset == offset).copied()
}

fn describe_row(view: &View<'_>, offset: u32, here: &[Option<Boundary>], flattened: Option<CfiId>) -> Row {
    let analysis = view.analysis;
    let words = |state: &CfiState| words::state(state, analysis.kernel);
    let state_of = |boundary: Boundary| analysis.states.id(boundary.insn);
    let known: Vec<CfiId> = here.iter().flatten().filter_map(|&boundary| state_of(boundary)).collect();
    let reported = here.iter().flatten().any(|boundary| view.conflict_at(boundary.insn).is_some());
    let conflict = reported || known.windows(2).any(|pair| pair[0] != pair[1]);
    let state = flattened.or(known.first().copied()).and_then(|id| analysis.states.by_id(id));
    let text = |boundary: Boundary| match (boundary.padding, analysis.insns.get(boundary.insn).len) {
        (false, _) => view.text(boundary.insn),
        (true, 1) => "nop (padding)".to_owned(),
        (true, length) => format!("nop{length} (padding)"),
    };
    let place = |boundary: Boundary| view.source_line(boundary.insn);
    let in_arms: Vec<Option<&CfiState>> =
        here.iter().map(|cell| cell.and_then(|boundary| view.state_in_arm(boundary.insn))).collect();
    Row {
        offset,
        cells: here.iter().map(|cell| cell.map(text)).collect(),
        places: here.iter().map(|cell| cell.map(place)).collect(),
        state: state.map(words),
        conflict,
        states: if conflict { contrast(&in_arms, analysis.kernel) } else { Vec::new() },
    }
}

/// What sets the states apart, for each that is known.
fn contrast(states: &[Option<&CfiState>], kernel: Kernel) -> Vec<Option<String>> {
    let mut known = states.iter().flatten();
    let first = known.next();
    let found =
        first.and_then(|first| known.find_map(|other| words::differences(first, other, kernel).into_iter().next()));
    let (Some(first), Some(found)) = (first, found) else {
        return states.iter().map(|state| state.map(|state| words::state(state, kernel))).collect();
    };
    let value = |state: &CfiState| {
        let differences = words::differences(first, state, kernel).into_iter();
        differences.filter(|difference| difference.subject == found.subject).map(|difference| difference.second).next()
    };
    let told = |state: &&CfiState| format!("{} {}", found.subject, value(state).unwrap_or_else(|| found.first.clone()));
    states.iter().map(|state| state.as_ref().map(told)).collect()
}
