//! A finding with what a fix is made from: its text, its cause, and what the object knows.
//!
//! In: a finding of a verdict.  Out: [`Case`].

use crate::analysis::Analysis;
use crate::assembly::text::{AsmText, Statement};
use crate::findings::{Finding, StepKind};
use crate::ids::{CodeLoc, InsnId};
use crate::report::findings::{PathKind, ReportedFinding};
use crate::report::view::View;
use crate::report::{Cause, path};

use super::super::super::documents::Document;
use super::super::super::offers::Whose;
use super::super::super::snapshot::Snapshot;
use super::super::super::to_proto::Placer;
use super::super::super::verdict::Verdict;
use super::patch::{Fix, Patch};

/// A finding with what a fix is made from.
#[derive(Clone)]
pub(super) struct Case<'a> {
    /// Which one it is.
    pub whose: Whose,
    pub finding: &'a ReportedFinding,
    pub cause: &'a Cause,
    /// The text, by lines.
    pub lines: Vec<&'a str>,
    /// Its assembly.
    pub text: AsmText,
    /// The finding's line in the text, from 0.
    pub line: usize,
    /// The line of the cause, if it is in this file.
    pub at: Option<usize>,
    /// The lines of the finding's causes in this file, from 0, with their instruction.
    pub causes: Vec<Blamed<'a>>,
    /// The operations on the way to the finding, with their lines in this file.
    pub way: Vec<(InsnId, usize)>,
    /// What is known of the object.
    pub analysis: Option<&'a Analysis>,
    /// Assembly, not C.
    pub assembly: bool,
}

/// An operation that a finding comes from.
#[derive(Clone)]
pub(super) struct Blamed<'a> {
    pub line: usize,
    pub instruction: &'a str,
    pub insn: Option<InsnId>,
    /// It is right itself: beside it something is missing.
    pub beside: bool,
}

impl<'a> Case<'a> {
    /// The same finding in another spelling of its text, line by line.
    pub(super) fn respelled<'b>(&'b self, lines: Vec<&'b str>) -> Case<'b> {
        Case { lines, ..self.clone() }
    }

    /// `None` for a finding of another file.
    pub(super) fn new(
        snapshot: &'a Snapshot,
        document: &'a Document,
        verdict: &'a Verdict,
        whose: Whose,
        finding: &'a ReportedFinding,
    ) -> Option<Case<'a>> {
        let own = document.path.as_deref()?;
        let placer = Placer { snapshot, verdict };
        let place = placer.places(finding).into_iter().find(|place| place.file == own)?;
        let text = AsmText::of_file(own.to_str()?, document.text.as_str());
        let here = |file: Option<&str>, line: Option<u32>| {
            let is_own = file.is_some_and(|file| placer.file(file) == own);
            (line? as usize).checked_sub(1).filter(|_| is_own)
        };
        let analysis = verdict.anatomy.as_ref().map(|anatomy| &anatomy.analysis);
        let insn = |section: &str, offset: u64| {
            let analysis = analysis?;
            analysis.insns.at(CodeLoc::new(analysis.image.section_by_name(section)?, offset))
        };
        let blamed = finding.path.iter().filter(|step| step.kind == PathKind::Cause).filter_map(|step| {
            // A remark on a line is about no instruction.
            let line = here(step.file.as_deref(), step.line).filter(|_| !step.instruction.is_empty())?;
            Some(Blamed { line, instruction: &step.instruction, insn: insn(&step.section, step.offset), beside: false })
        });
        let own_finding = verdict.anatomy.as_ref().and_then(|anatomy| {
            let found = anatomy.analysis.finding(finding.id?)?;
            Some((View::new(&anatomy.analysis, &anatomy.lines), found))
        });
        let mut blamed: Vec<Blamed<'_>> = blamed.collect();
        if let Some((_, found)) = &own_finding {
            let is_beside = |insn| {
                let mut own = found.cause.iter().filter(|step| Some(step.insn) == insn).peekable();
                own.peek().is_some() && own.all(|step| step.kind == StepKind::Missing && step.to.is_some())
            };
            blamed.iter_mut().for_each(|blamed| blamed.beside = is_beside(blamed.insn));
        }
        let way = own_finding.map(|(view, found)| way(&view, found, &here)).unwrap_or_default();
        Some(Case {
            whose,
            finding,
            cause: &finding.cause,
            lines: document.text.as_str().lines().collect(),
            line: (place.line as usize).checked_sub(1)?,
            at: here(finding.cause.file.as_deref(), finding.cause.line),
            causes: blamed,
            way,
            analysis,
            assembly: text.assembly,
            text,
        })
    }

    /// Whether an operation at fault is that of a macro of the file.
    pub(super) fn is_in_macro(&self) -> bool {
        let uses = |line: usize| {
            self.text.on_line(line).any(|one| {
                one.in_macro.is_some()
                    || self.text.statements.iter().any(|other| other.in_macro.as_deref() == Some(one.word()))
            })
        };
        self.causes.iter().any(|cause| uses(cause.line))
    }

    /// The text of a line without the space around it.
    pub(super) fn trimmed(&self, line: usize) -> &'a str {
        self.lines.get(line).map_or("", |text| text.trim())
    }

    /// The space at the start of a line; that of an instruction where it has none.
    pub(super) fn indent(&self, line: usize) -> String {
        let text = self.lines.get(line).copied().unwrap_or("\t");
        let indent: String = text.chars().take_while(|c| c.is_whitespace()).collect();
        if indent.is_empty() { "\t".to_owned() } else { indent }
    }

    /// A header, behind the last one that the file includes.
    pub(super) fn include(&self, header: &str) -> Option<Patch> {
        let line = format!("#include <{header}>");
        if self.lines.iter().any(|text| text.trim() == line) {
            return None;
        }
        let last = self.lines.iter().rposition(|text| text.trim_start().starts_with("#include")).map_or(0, |at| at + 1);
        Some(Patch::insert(last, vec![line]))
    }

    /// The fix as it is, and with a header: which of them compiles is found by trying.
    pub(super) fn with_header(&self, title: &str, patches: Vec<Patch>, header: &str) -> Vec<Fix> {
        let plain = Fix::new(title, patches.clone());
        let more = self.include(header).map(|include| Fix::new(title, patches.into_iter().chain([include]).collect()));
        std::iter::once(plain).chain(more).collect()
    }

    /// The instructions of a line, as they are written.
    pub(super) fn instructions(&self, line: usize) -> Vec<&Statement> {
        self.text.on_line(line).filter(|statement| statement.is_instruction()).collect()
    }

    /// Where the code of the finding's function begins and ends, from its start macro or label to its end macro.
    pub(super) fn extent(&self) -> Option<(usize, usize)> {
        let name = self.finding.function.as_deref()?;
        let start = self.text.label(name)?.line;
        let closes = |line: &str| {
            let text = line.trim_start();
            text.contains(name) && (text.contains("_END(") || text.starts_with(".size"))
        };
        let length = self.lines.get(start + 1..)?.iter().position(|line| closes(line))?;
        Some((start, start + 1 + length))
    }
}

/// The instructions on the way that the finding's last state has come, those of other files left out.
fn way(
    view: &View<'_>,
    finding: &Finding,
    here: &impl Fn(Option<&str>, Option<u32>) -> Option<usize>,
) -> Vec<(InsnId, usize)> {
    let Some(state) = finding.states.last() else { return Vec::new() };
    let passed = path::passed(view, state).into_iter();
    let with_line = passed.filter_map(|insn| {
        let line = view.source_line(insn);
        Some((insn, here(line.file.as_deref(), line.line)?))
    });
    with_line.collect()
}
