//! Puts reports into the protocol's words.
//!
//! In: a [`Verdict`]'s findings, the documents as they are.  Out: [`Diagnostic`]s with ranges in the current text.
//! Holds afterwards: a finding of an older text stands where its line has moved to, and says that it is older.

use std::path::{Path, PathBuf};

use serde_json::json;
use tower_lsp::lsp_types::{
    CodeDescription, Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, Location, NumberOrString, Position,
    Range, Url,
};

use crate::findings::Code;
use crate::report::findings::{PathKind, PathStep, ReportedFinding, Severity};

use super::config::Show;
use super::snapshot::Snapshot;
use super::verdict::{Freshness, Verdict};
use super::whole::Cause;

/// Behind the message of a finding that need not hold for the text at hand.
const STALE: &str = " (found in an older text)";
/// More steps than this tell nobody more.
const MAX_RELATED: usize = 48;

/// Where a finding is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: Option<u32>,
    /// The inlined function that holds the finding, when this is the place of its call.
    pub call_of: Option<String>,
    /// This is where the code is written in a macro that a header uses: objtool's line is the header's.
    pub is_written: bool,
}

/// Everything needed to say where something of a verdict is in the texts at hand.
pub struct Placer<'a> {
    /// The state of the server.
    pub snapshot: &'a Snapshot,
    /// The verdict.
    pub verdict: &'a Verdict,
}

impl Placer<'_> {
    /// The file that a name in the report or in the debug information means.
    pub fn file(&self, name: &str) -> PathBuf {
        self.verdict.file(name)
    }

    /// Where a finding is shown: at its line, and where that is not in the source file itself, also at the call in the
    /// source file that brought it in. A finding without a line stands at the top of the source file.
    pub fn places(&self, finding: &ReportedFinding) -> Vec<Place> {
        let source = &self.verdict.source;
        let (Some(name), Some(line)) = (&finding.file, finding.line) else {
            return vec![Place { file: source.clone(), line: 1, column: None, call_of: None, is_written: false }];
        };
        let direct =
            Place { file: self.verdict.file(name), line, column: finding.column, call_of: None, is_written: false };
        let call = finding.inlined.iter().find_map(|frame| {
            let file = self.verdict.file(frame.file.as_deref()?);
            let line = frame.line.filter(|_| file == *source && direct.file != *source)?;
            Some(Place { file, line, column: None, call_of: Some(frame.function.to_string()), is_written: false })
        });
        let written = || {
            let step = finding.path.iter().find(|step| {
                step.kind == PathKind::Cause
                    && step.file.as_deref().is_some_and(|file| self.verdict.file(file) == *source)
            });
            let line = step.and_then(|step| step.line).filter(|_| direct.file != *source)?;
            Some(Place { file: source.clone(), line, column: None, call_of: None, is_written: true })
        };
        let more = call.or_else(written);
        [direct].into_iter().chain(more).collect()
    }

    /// The name of a file for the client: that of its document, if it is open.
    pub fn uri(&self, file: &Path) -> Option<Url> {
        match self.snapshot.documents.of_path(file) {
            Some(document) => Some(document.uri.clone()),
            None => Url::from_file_path(file).ok(),
        }
    }

    /// The range of a line (from 1) in the text that the user sees.
    pub fn range(&self, file: &Path, line: u32, column: Option<u32>) -> Range {
        let encoding = self.snapshot.session.encoding;
        if let Some(document) = self.snapshot.documents.of_path(file) {
            let version = self.verdict.versions.get(file).copied();
            let column = column.and_then(|column| match version {
                Some(version) if version == document.version => Some(column),
                Some(version) => {
                    let column =
                        document.moves(version)?.column(line.saturating_sub(1), (column as usize).checked_sub(1)?)?;
                    u32::try_from(column + 1).ok()
                }
                None => None,
            });
            let moved = version.and_then(|version| document.forward(version, line.saturating_sub(1)));
            return document.text.visible(moved.map_or(line, |moved| moved + 1), column, encoding);
        }
        match self.verdict.texts.get(file) {
            Some(text) => text.visible(line, column, encoding),
            None => {
                let start = Position::new(line.saturating_sub(1), 0);
                Range::new(start, start)
            }
        }
    }

    /// A sentence about a place in `file`, with the numbers that lines have in the texts at hand.
    fn reworded(&self, mut text: String, file: &Path) -> String {
        for (path, version) in &self.verdict.versions {
            let Some(document) = self.snapshot.documents.of_path(path) else { continue };
            if let (Some(moves), Some(name)) = (document.moves(*version), path.file_name()) {
                text = moves.reworded(&text, &name.to_string_lossy(), path == file);
            }
        }
        text
    }

    fn related(&self, step: &PathStep) -> Option<DiagnosticRelatedInformation> {
        self.remark(step.file.as_deref()?, step.line?, step.text.clone())
    }

    fn remark(&self, name: &str, line: u32, message: String) -> Option<DiagnosticRelatedInformation> {
        let file = self.verdict.file(name);
        let location = Location { uri: self.uri(&file)?, range: self.range(&file, line, None) };
        Some(DiagnosticRelatedInformation { location, message: self.reworded(message, file.as_path()) })
    }

    /// As the user wants to see findings of this code; `None` where not at all.
    fn severity(&self, finding: &ReportedFinding) -> Option<DiagnosticSeverity> {
        match self.snapshot.config.checks.get(&finding.code) {
            Some(Show::Off) => None,
            Some(Show::As(severity)) => Some(*severity),
            None => Some(severity(finding.severity)),
        }
    }

    /// What brings about findings in other objects, as the client gets it in `file`. objtool prints those, not this.
    pub fn cause(&self, cause: &Cause<'_>, file: &Path, freshness: Freshness) -> Option<Diagnostic> {
        let session = &self.snapshot.session;
        let severity = self.severity(&cause.findings.first()?.finding)?;
        let mut remarks: Vec<_> = (cause.findings.iter())
            .filter_map(|elsewhere| {
                let finding = &elsewhere.finding;
                let message = finding.objtool.as_ref().unwrap_or(&finding.message);
                self.remark(finding.file.as_deref()?, finding.line?, message.clone())
            })
            .collect();
        remarks.truncate(MAX_RELATED);
        let mut message = self.reworded(cause.message(), file);
        if freshness != Freshness::Fresh {
            message.push_str(STALE);
        }
        let elsewhere = cause.findings.iter().map(|elsewhere| {
            let finding = &elsewhere.finding;
            json!({ "objtool": finding.objtool, "object": elsewhere.object, "function": finding.function })
        });
        let data = json!({
            "objtool": null,
            "function": cause.symbol,
            "elsewhere": elsewhere.collect::<Vec<_>>(),
            "stale": freshness != Freshness::Fresh,
        });
        Some(Diagnostic {
            range: self.range(file, cause.line, None),
            severity: Some(severity),
            code: Some(NumberOrString::String(cause.code.slug().to_owned())),
            code_description: self.page(cause.code),
            source: Some("orcls".to_owned()),
            message,
            related_information: (session.related_information && !remarks.is_empty()).then_some(remarks),
            data: session.diagnostic_data.then_some(data),
            ..Diagnostic::default()
        })
    }

    fn page(&self, code: Code) -> Option<CodeDescription> {
        let session = &self.snapshot.session;
        if let Some(pages) = self.snapshot.config.pages.as_ref().filter(|_| session.code_description) {
            let href = Url::parse(&pages.replace("CODE", code.slug())).ok()?;
            return Some(CodeDescription { href });
        }
        let page = self.verdict.pages.get(&code).filter(|_| self.snapshot.session.code_description).cloned();
        page.map(|href| CodeDescription { href })
    }

    /// The finding as the client gets it at `place`, with the findings that have the same cause as remarks; `None` when
    /// the user does not want it.
    pub fn diagnostic(
        &self,
        finding: &ReportedFinding,
        same_cause: &[&ReportedFinding],
        place: &Place,
        freshness: Freshness,
    ) -> Option<Diagnostic> {
        let session = &self.snapshot.session;
        let severity = self.severity(finding)?;
        // Of several copies of an inlined function each says where it was put.
        let copy_in =
            finding.function.as_ref().filter(|_| place.file == self.verdict.source && !finding.inlined.is_empty());
        let mut message = match (&place.call_of, copy_in) {
            (Some(function), _) => format!("in inlined {function}: {}", finding.message),
            (None, Some(function)) => format!("in {function}(): {}", finding.message),
            (None, None) => finding.message.clone(),
        };
        if let (true, Some(file), Some(line)) = (place.is_written, &finding.file, finding.line) {
            let name = Path::new(&**file).file_name().and_then(|name| name.to_str()).unwrap_or(file);
            message = format!("in the macro that {name}:{line} uses: {message}");
        }
        let (again, other_words): (Vec<&ReportedFinding>, Vec<&ReportedFinding>) =
            same_cause.iter().partition(|other| other.message == finding.message && other.function == finding.function);
        let lines = again.iter().filter(|other| other.objtool.is_some()).count();
        if lines > 0 {
            let s = if lines == 1 { "" } else { "s" };
            message.push_str(&format!(" (objtool prints {lines} more line{s} for it)"));
        }
        let said_of =
            finding.file.as_deref().map_or_else(|| self.verdict.source.clone(), |name| self.verdict.file(name));
        message = self.reworded(message, &said_of);
        if freshness != Freshness::Fresh {
            message.push_str(STALE);
        }
        let mut remarks: Vec<_> = told(&finding.path).filter_map(|step| self.related(step)).collect();
        remarks.extend(finding.inlined.iter().filter_map(|frame| {
            self.remark(frame.file.as_deref()?, frame.line?, format!("{} is inlined here", frame.function))
        }));
        // The places of what is said again are not at fault, and there may be many. So it is with what only follows, where the
        // cause spoils all that is behind it.
        let of_the_whole = finding.cause.kind.is_of_the_whole();
        let other_words = other_words.iter().filter(|other| !of_the_whole || other.objtool.is_some());
        remarks.extend(other_words.filter_map(|other| {
            self.remark(other.file.as_deref()?, other.line?, format!("from the same cause: {}", other.message))
        }));
        // A loop or a repetition says the same many times.
        remarks.dedup();
        remarks.truncate(MAX_RELATED);
        let mut data = json!({
            "objtool": finding.objtool.as_ref().filter(|_| !place.is_written),
            "function": finding.function,
            "section": finding.section,
            "offset": finding.offset,
            "stale": freshness != Freshness::Fresh,
        });
        if place.is_written {
            data["elsewhere"] = json!([{ "objtool": finding.objtool, "function": finding.function }]);
        }
        Some(Diagnostic {
            range: self.range(&place.file, place.line, place.column),
            severity: Some(severity),
            code: Some(NumberOrString::String(finding.code.slug().to_owned())),
            code_description: self.page(finding.code),
            source: Some("orcls".to_owned()),
            message,
            related_information: (session.related_information && !remarks.is_empty()).then_some(remarks),
            data: session.diagnostic_data.then_some(data),
            ..Diagnostic::default()
        })
    }
}

/// The steps that are shown: of a long way the last branches, and all else.
fn told(path: &[PathStep]) -> impl Iterator<Item = &PathStep> {
    let is_branch = |step: &&PathStep| step.kind == PathKind::Branch;
    let n_branches = path.iter().filter(is_branch).count();
    let n_shown = MAX_RELATED.saturating_sub(path.len() - n_branches);
    let mut n_left_out = n_branches.saturating_sub(n_shown);
    path.iter().filter(move |step| {
        let leave_out = is_branch(step) && n_left_out > 0;
        n_left_out -= usize::from(leave_out);
        !leave_out
    })
}

fn severity(severity: Severity) -> DiagnosticSeverity {
    match severity {
        Severity::Error => DiagnosticSeverity::ERROR,
        Severity::Warning => DiagnosticSeverity::WARNING,
        Severity::Information => DiagnosticSeverity::INFORMATION,
    }
}
