//! Findings with their message, their lines, the way that led there and the states that disagree.
//!
//! In: the findings of an analysis.  Out: [`Report`], the object of `check --format json`.
//! Holds afterwards: without findings no line was looked up.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::analysis::Analysis;
pub use crate::findings::Severity;
use crate::findings::{Code, Finding, Level, Origin, StateAt};
use crate::ids::FindingId;
use crate::kernel::Kernel;
use crate::report::cause::Cause;
use crate::report::message::message;
use crate::report::noreturn::Entry;
use crate::report::path::path;
pub use crate::report::path::{PathKind, PathStep};
use crate::report::standing::ForModule;
use crate::report::view::View;
use crate::report::words::{self, Cfa};
use crate::source_map::{InlineFrame, Lines};

/// What was found in one object.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The object, as the caller names it.
    pub object: String,
    /// The release whose rules were applied; `None` where no release has any, in user space.
    pub kernel: Option<Kernel>,
    /// The findings: those that objtool prints first, in its order.
    pub findings: Vec<ReportedFinding>,
    /// What could not be judged.
    pub unjudged: Vec<ReportedGap>,
    /// Why places have no lines, where lines were wanted and there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_source: Option<String>,
}

/// One finding.
#[derive(Clone, Debug, Serialize)]
pub struct ReportedFinding {
    /// The finding of the report's own analysis that this is about; `None` where it was made of another one.
    #[serde(skip)]
    pub id: Option<FindingId>,
    /// Its stable name.
    pub code: Code,
    /// How serious it is.
    pub severity: Severity,
    /// What is wrong, in words.
    pub message: String,
    /// What objtool prints, without `OBJECT: warning: objtool: `; `None` where it prints nothing.
    pub objtool: Option<String>,
    /// Whether objtool prints it as a warning or as an error.
    pub objtool_level: Option<Level>,
    /// The function or other symbol, as the symbol table spells it.
    pub function: Option<String>,
    /// The section.
    pub section: Option<String>,
    /// The offset in the section.
    pub offset: Option<u64>,
    /// The file, as the debug info names it.
    pub file: Option<Arc<str>>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column, from 1.
    pub column: Option<u32>,
    /// The disassembly of the instruction there; empty where there is none.
    pub instruction: String,
    /// Functions inlined there, innermost first.
    pub inlined: Vec<InlineFrame>,
    /// How the finding is reached: branches, both states of a mismatch, every arm of a conflict, and the cause.
    pub path: Vec<PathStep>,
    /// The states that the finding is about.
    pub states: Vec<ReportedState>,
    /// What is at fault, as a kind.
    pub cause: Cause,
    /// The function as a person reads it: the path of a Rust function, in a shorter form where it is long.
    pub function_name: Option<String>,
    /// The function that the finding is due to, because it never returns and objtool does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub never_returns: Option<NeverReturns>,
    /// What it means for the module that it is in; `None` where it is in none, or where that cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<ForModule>,
}

/// A function that never returns, which objtool does not know.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct NeverReturns {
    /// As the symbol table spells it.
    pub symbol: String,
    /// As a person reads it.
    pub path: String,
    /// What declares it so; `None` where only the code shows it.
    pub said_by: Option<String>,
    /// What makes it known to objtool.
    pub entry: Option<Entry>,
}

/// A state that a finding is about.
#[derive(Clone, Debug, Serialize)]
pub struct ReportedState {
    /// The section.
    pub section: String,
    /// The offset of the instruction before which the state holds.
    pub offset: u64,
    /// The file, as the debug info names it.
    pub file: Option<Arc<str>>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// How the CFA is computed; `None` where it is not known.
    pub cfa: Option<Cfa>,
    /// Where registers are saved, as offsets from the CFA.
    pub saved: BTreeMap<&'static str, i32>,
    /// The state in words.
    pub text: String,
}

/// Something that was not judged.
#[derive(Clone, Debug, Serialize)]
pub struct ReportedGap {
    /// The part of the object.
    pub what: String,
    /// The reason.
    pub why: String,
}

/// Describes what `analysis` found in `object`.
pub fn report(object: &str, analysis: &Analysis, lines: &Lines) -> Report {
    let view = View::outside_library(analysis, lines);
    let (findings, n_left) = within(room(analysis.size), &view, &analysis.findings);
    let placed = analysis.findings.iter().any(|finding| finding.at.is_some());
    let mut unjudged: Vec<ReportedGap> =
        analysis.unjudged.iter().map(|u| ReportedGap { what: u.what.clone(), why: u.why.clone() }).collect();
    if n_left > 0 {
        let why = "with their places they take far more room than the object".to_owned();
        unjudged.push(ReportedGap { what: format!("{n_left} more findings"), why });
    }
    Report {
        object: object.to_owned(),
        kernel: Some(analysis.kernel),
        findings,
        unjudged,
        no_source: if placed { view.no_source() } else { None },
    }
}

/// How many bytes a report may take: names may be as long as the object, and ways lead through all of it.
fn room(size: u64) -> usize {
    usize::try_from(size.saturating_mul(6)).unwrap_or(usize::MAX).saturating_add(8 << 20)
}

/// Describes findings until there is no room left, and says how many are left out.
fn within<'a>(mut room: usize, view: &'a View<'a>, findings: &'a [Finding]) -> (Vec<ReportedFinding>, usize) {
    let mut told = Vec::new();
    for (id, finding) in (0..).map(FindingId).zip(findings) {
        let reported = reported(view, Some(id), finding);
        let Some(left) = room.checked_sub(reported.room()) else { break };
        room = left;
        told.push(reported);
    }
    let n_left = findings.len() - told.len();
    (told, n_left)
}

impl ReportedFinding {
    /// About how many bytes it takes.
    fn room(&self) -> usize {
        let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let step =
            |step: &PathStep| size_of::<PathStep>() + step.section.len() + step.instruction.len() + step.text.len();
        // A map of a few registers takes a node.
        let state = |state: &ReportedState| 4 * size_of::<ReportedState>() + state.section.len() + state.text.len();
        size_of::<ReportedFinding>()
            + self.message.len()
            + self.instruction.len()
            + [&self.objtool, &self.function, &self.function_name, &self.section]
                .into_iter()
                .map(optional)
                .sum::<usize>()
            + self.inlined.len() * size_of::<InlineFrame>()
            + self.path.iter().map(step).sum::<usize>()
            + self.states.iter().map(state).sum::<usize>()
    }
}

/// Describes one finding, which has this id in the analysis of the report that it is for.
pub fn reported<'a>(view: &'a View<'a>, id: Option<FindingId>, finding: &'a Finding) -> ReportedFinding {
    // Data has no lines: what it points to has.
    let pointed_to = || match finding.fault.told().origin {
        Origin::PointsTo(target) => view.nearest_place(target),
        Origin::Here
        | Origin::LeftOver
        | Origin::Meeting(_)
        | Origin::Moves
        | Origin::LostBase
        | Origin::EndOfCode
        | Origin::RunsOn
        | Origin::Nowhere(_)
        | Origin::OpenedAccess
        | Origin::ClosedAccess
        | Origin::SetDirection
        | Origin::ClearedDirection => None,
    };
    let place = finding.at.and_then(|at| view.nearest_place(at)).or_else(pointed_to);
    let (file, line, column, inlined) = match place {
        Some(place) => (Some(place.file), place.line, place.column, place.inlined),
        None => (None, None, None, Vec::new()),
    };
    ReportedFinding {
        id,
        code: finding.fault.code(),
        severity: finding.fault.code().entry().severity,
        message: message(view, finding),
        objtool: finding.objtool.as_ref().map(|line| line.text.clone()),
        objtool_level: finding.objtool.as_ref().map(|line| line.level),
        function: finding.function.map(|function| view.analysis.image.symbol_name(function).to_owned()),
        section: finding.at.map(|at| view.section_name(at.section).to_owned()),
        offset: finding.at.map(|at| at.offset),
        file,
        line,
        column,
        instruction: finding.insn.map_or_else(String::new, |insn| view.text(insn).to_owned()),
        inlined,
        path: path(view, finding),
        states: finding.states.iter().map(|state| describe_state(view, state)).collect(),
        function_name: finding.function.map(|function| view.name(function)),
        never_returns: None,
        module: None,
        cause: Cause::of(finding.fault.code()),
    }
}

fn describe_state(view: &View<'_>, state: &StateAt) -> ReportedState {
    let at = view.analysis.insns.loc(state.insn);
    let line = view.source_line(state.insn);
    ReportedState {
        section: view.section_name(at.section).to_owned(),
        offset: at.offset,
        file: line.file,
        line: line.line,
        cfa: words::cfa(&state.state),
        saved: words::saved(&state.state),
        text: words::state(&state.state, view.analysis.kernel),
    }
}
