//! What is at fault, as a maintainer would name it.
//!
//! In: a [`Report`], its analysis, the sources and the compile command.  Out: the same report, with causes.
//! Holds afterwards: where a cause was found, the finding's message and path are about it and about nothing else; where none
//! was found, they are as they were.

mod data;
pub mod deed;
mod encodings;
mod ends;
mod frames;
mod hints;
mod labels;
mod objects;
mod options;
mod realign;
mod restores;
mod returns;
mod scene;
mod source;
mod syscalls;
mod tables;
mod toplevel;
mod unreached;
mod useraccess;

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::analysis::Analysis;
use crate::decode::Kind;
use crate::findings::{Code, Fault};
use crate::ids::CodeLoc;
use crate::report::findings::{PathKind, PathStep, Report, ReportedFinding};
use crate::report::{Cause, CauseKind};
use crate::source_map::Lines;
use scene::{Scene, Shown, Suspect};

/// The sources of an object, and how it was compiled.
pub struct Sources<'a> {
    /// The text of a file, as it was compiled.
    pub text_of: &'a dyn Fn(&str) -> Option<Arc<str>>,
    /// The source file.
    pub main: Option<&'a str>,
    /// The compile command; empty where it is not known.
    pub command: &'a [String],
}

/// What a finder says about a finding.
#[derive(Clone, Debug)]
struct Told {
    kind: CauseKind,
    /// Whom it is about.
    subject: Option<String>,
    /// The line to change.
    line: Option<(Arc<str>, u32)>,
    /// Where the finding is shown, if not where it is.
    at: Option<(Arc<str>, u32)>,
    /// What is wrong; empty for the sentence that the finding has.
    message: String,
    /// What is told of the lines that are at fault.
    steps: Vec<PathStep>,
    /// The branches and states of the path are told as well.
    with_path: bool,
}

impl Told {
    fn new(kind: CauseKind, message: String) -> Told {
        Told { kind, subject: None, line: None, at: None, message, steps: Vec::new(), with_path: false }
    }

    fn about(self, subject: impl Into<String>) -> Told {
        Told { subject: Some(subject.into()), ..self }
    }

    fn on(self, line: Option<(Arc<str>, u32)>) -> Told {
        Told { line, ..self }
    }

    fn shown_at(self, at: Option<(Arc<str>, u32)>) -> Told {
        Told { at, ..self }
    }

    fn with(self, steps: impl IntoIterator<Item = PathStep>) -> Told {
        Told { steps: self.steps.into_iter().chain(steps).collect(), ..self }
    }

    fn along_the_path(self) -> Told {
        Told { with_path: true, ..self }
    }

    fn apply(self, reported: &mut ReportedFinding) {
        let (file, line) = self.line.map_or((None, None), |(file, line)| (Some(file), Some(line)));
        reported.cause = Cause { kind: self.kind, subject: self.subject, file, line };
        if let Some((file, line)) = self.at {
            if reported.file.as_ref() != Some(&file) {
                reported.inlined.clear();
            }
            (reported.file, reported.line, reported.column) = (Some(file), Some(line), None);
        }
        if !self.message.is_empty() {
            reported.message = self.message;
            let told = |step: &PathStep| matches!(step.kind, PathKind::Branch | PathKind::State);
            reported.path.retain(|step| self.with_path && told(step));
        }
        reported.path.extend(self.steps);
    }
}

/// Looks for one kind of causes.
type Finder = fn(&Suspect<'_>) -> Option<Told>;

/// In the order in which a maintainer would look: first what makes objtool read the code wrong, then what ends it, then what
/// it does.
const FINDERS: &[Finder] = &[
    objects::nothing_defined,
    encodings::foreign,
    data::in_code,
    toplevel::missing_size,
    labels::called,
    labels::address_taken,
    labels::unnamed,
    options::missing,
    returns::plain,
    syscalls::runs_on,
    hints::wrong,
    ends::of_function,
    ends::return_missing,
    ends::callee_undeclared,
    tables::writable,
    unreached::ended,
    realign::remembered,
    realign::computed,
    restores::arms,
    restores::unfollowed,
    restores::above_the_frame,
    frames::popped_in_asm,
    frames::used_in_asm,
    frames::not_set_up,
    frames::as_data,
    restores::depths,
    useraccess::not_inlined,
    useraccess::opened,
    toplevel::placed,
];

/// Adds what is at fault to the findings of `report`, which are those of `analysis`.
pub fn explain(report: &mut Report, analysis: &Analysis, lines: &Lines, sources: &Sources<'_>) {
    if report.findings.is_empty() {
        return;
    }
    let scene = Scene::new(analysis, lines, sources);
    for reported in report.findings.iter_mut().take(MOST) {
        let Some(finding) = reported.id.and_then(|id| analysis.finding(id)) else { continue };
        // Rust has its own words (`report::rust`).
        if reported.file.as_deref().is_some_and(|file| file.ends_with(".rs")) {
            continue;
        }
        let told = {
            let suspect = Suspect { scene: &scene, finding, reported: Shown::of(reported) };
            let told = FINDERS.iter().find_map(|finder| finder(&suspect));
            told.map(|told| match told.at {
                None if suspect.reported.line.is_none() => Told { at: toplevel::line_of(&suspect), ..told },
                _ => told,
            })
        };
        let is_plain = told.as_ref().is_none_or(|told| told.message.is_empty());
        if let Some(told) = told {
            told.apply(reported);
        }
        let suspect = Suspect { scene: &scene, finding, reported: Shown::of(reported) };
        reported.path.extend(restores::used_before_taken(&suspect).filter(|_| is_plain));
        name_lines_of_statements(&suspect, reported);
    }
    follow_ups(report, analysis);
}

/// The lines of asm statements on which what is at fault is written, instead of the statement's first.
fn name_lines_of_statements(suspect: &Suspect<'_>, reported: &mut ReportedFinding) {
    let analysis = suspect.view().analysis;
    let is_c = |file: &Arc<str>| file.ends_with(".c") || file.ends_with(".h");
    if !suspect.scene.main.as_ref().is_some_and(is_c) {
        return;
    }
    for step in reported.path.iter_mut().filter(|step| step.kind == PathKind::Cause) {
        let section = analysis.image.section_by_name(&step.section);
        let insn = section.and_then(|section| analysis.insns.at(CodeLoc::new(section, step.offset)));
        let Some(insn) = insn.filter(|&insn| suspect.line(insn) == step.file.clone().zip(step.line)) else { continue };
        let Some((file, line)) = suspect.written_line(insn) else { continue };
        let is_cause = reported.cause.file.as_ref() == Some(&file) && reported.cause.line == step.line;
        if is_cause && suspect.finding.insn == Some(insn) {
            reported.cause.line = Some(line);
        }
        step.line = Some(line);
    }
    let Some(insn) = suspect.finding.insn else { return };
    let own = reported.cause.file.clone().zip(reported.cause.line);
    let written = suspect.written_line(insn).filter(|_| own == suspect.line(insn));
    if let Some(written) = written {
        reported.cause.line = Some(written.1);
        reported.path.push(suspect.remark(&written, format!("`{}` is written here", suspect.words(insn))));
    }
}

/// Causes of more findings than these are not looked for: nobody reads so many.
const MOST: usize = 4096;

/// Findings that come from what another one has told.
fn follow_ups(report: &mut Report, analysis: &Analysis) {
    let mut spoiled: FxHashMap<String, Cause> = FxHashMap::default();
    let mut calls: FxHashMap<(String, u64), Cause> = FxHashMap::default();
    let mut branches: FxHashMap<(String, u64), Cause> = FxHashMap::default();
    // Behind data that is read as code, instructions do not begin where functions do.
    let mut misread: FxHashMap<String, Cause> = FxHashMap::default();
    for finding in report.findings.iter() {
        let section = || match finding.id.and_then(|id| analysis.finding(id)).map(|own| &own.fault) {
            Some(Fault::Undecodable { section, .. }) => Some(analysis.image.section(*section).name.clone()),
            _ => finding.section.clone(),
        };
        if finding.cause.kind == CauseKind::DataInCode
            && let Some(section) = section()
        {
            misread.entry(section).or_insert_with(|| finding.cause.clone());
        }
        // A branch through a thunk needs no `int3` behind it.
        if let (Code::IndirectBranch, Some(section), Some(offset)) = (finding.code, &finding.section, finding.offset) {
            branches.insert((section.clone(), offset), finding.cause.clone());
        }
        let Some(function) = &finding.function else { continue };
        if finding.cause.kind.spoils() {
            spoiled.entry(function.clone()).or_insert_with(|| finding.cause.clone());
        }
        if matches!(finding.code, Code::BadBranchTarget | Code::BadAnnotation)
            && let (Some(section), Some(offset)) = (&finding.section, finding.offset)
        {
            calls.insert((section.clone(), offset), finding.cause.clone());
        }
    }
    for finding in &mut report.findings {
        if finding.objtool.is_some() {
            continue;
        }
        let own = finding.id.and_then(|id| analysis.finding(id));
        let pushed = own.into_iter().flat_map(|own| &own.cause);
        let by_call = pushed.into_iter().find_map(|step| {
            let is_call = matches!(analysis.insns.kind(step.insn), Kind::Call | Kind::CallDynamic);
            let at = analysis.insns.loc(step.insn);
            let section = analysis.image.section(at.section).name.clone();
            calls.get(&(section, at.offset)).filter(|_| is_call)
        });
        let unread = matches!(finding.code, Code::BadSymbol | Code::UndecodableInstruction);
        let by_section = match &finding.section {
            Some(section) => misread.get(section),
            // A symbol's own finding has no place.
            None => misread.values().next().filter(|_| misread.len() == 1),
        };
        let by_section = by_section.filter(|_| unread);
        let by_function = finding.function.as_ref().and_then(|function| spoiled.get(function));
        let by_branch = match (finding.code, &finding.section, finding.offset) {
            (Code::MissingInt3, Some(section), Some(offset)) => branches.get(&(section.clone(), offset)),
            _ => None,
        };
        if let Some(cause) = by_call.or(by_function).or(by_section).or(by_branch) {
            finding.cause = cause.clone();
        }
    }
}
