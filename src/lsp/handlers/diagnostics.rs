//! Findings, by the file in which they are shown.
//!
//! In: [`Snapshot`].  Out: the list of a file, and the reports of clients that ask.
//! Holds afterwards: a list is in the order of its lines; what several open files bring into one header stands there
//! once.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use rustc_hash::{FxHashMap, FxHasher};
use tower_lsp::lsp_types::*;

use crate::report::findings::{PathKind, ReportedFinding};

use super::super::snapshot::Snapshot;
use super::super::to_proto::Placer;
use super::super::units::Unit;
use super::super::verdict::{Freshness, Verdict};
use super::super::whole::by_cause;
use super::complaints;

/// The files in which findings of the verdict may be shown, the source file among them.
pub fn files(verdict: &Verdict) -> BTreeSet<PathBuf> {
    let elsewhere = verdict.elsewhere.iter().map(|elsewhere| &elsewhere.finding);
    let names = verdict.report.findings.iter().chain(elsewhere).filter_map(|finding| finding.file.as_ref());
    let named = names.filter_map(|name| verdict.files.get(name).cloned());
    named.chain([verdict.source.clone()]).collect()
}

/// The files in which something of the unit may be shown: findings of its last verdict, errors of its text.
pub fn files_of(unit: &Unit) -> BTreeSet<PathBuf> {
    let verdict = unit.last.as_deref().map(files).unwrap_or_default();
    verdict.into_iter().chain(complaints::files(unit)).collect()
}

/// The findings that are shown in the file at `path`.
pub fn of_file(snapshot: &Snapshot, path: &Path) -> Vec<Diagnostic> {
    let mut list = Vec::new();
    let concerned = |unit: &&Unit| snapshot.is_user(unit, path) || brings_about(unit, path);
    for unit in snapshot.units.iter().filter(concerned) {
        let document = snapshot.documents.of_path(&unit.path);
        if let Some(verdict) = &unit.last {
            let freshness = document.map_or_else(|| unit.freshness(0), |document| unit.freshness_of(document));
            of_verdict(snapshot, verdict, freshness, path, &mut list);
        }
    }
    snapshot.units.iter().for_each(|unit| complaints::of_file(snapshot, unit, path, &mut list));
    for verdict in snapshot.closed(path) {
        of_verdict(snapshot, verdict, Freshness::Fresh, path, &mut list);
    }
    list.sort_by(|a, b| (a.range.start, slug(a), &a.message).cmp(&(b.range.start, slug(b), &b.message)));
    // Copies of an inlined function say the same in a header. Where they are called, objtool's line of each is of use.
    let is_source = snapshot.units.get(path).is_some();
    let same_line = |a: &Diagnostic, b: &Diagnostic| !is_source || objtool(b).is_none() || objtool(a) == objtool(b);
    let same_words = |a: &Diagnostic, b: &Diagnostic| match is_source {
        true => a.message == b.message,
        // In a header it does not matter where a copy was put.
        false => without_copies(&a.message) == without_copies(&b.message),
    };
    list.dedup_by(|b, a| a.range == b.range && a.code == b.code && same_words(a, b) && same_line(a, b));
    list
}

/// Whether the unit's code is to blame for findings in another object, in the file at `path`.
fn brings_about(unit: &Unit, path: &Path) -> bool {
    let Some(verdict) = &unit.last else { return false };
    let mut names = verdict.elsewhere.iter().filter_map(|elsewhere| elsewhere.finding.file.as_deref());
    names.any(|name| verdict.file(name) == path)
}

fn objtool(diagnostic: &Diagnostic) -> Option<&str> {
    diagnostic.data.as_ref()?.get("objtool")?.as_str()
}

/// A message without the places that an inlined function was put into.
fn without_copies(message: &str) -> String {
    let mut pieces = message.split(" (inlined at ");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |kept, piece| kept + piece.split_once(')').map_or("", |(_, rest)| rest))
}

fn slug(diagnostic: &Diagnostic) -> Option<&str> {
    match diagnostic.code.as_ref()? {
        NumberOrString::String(slug) => Some(slug),
        NumberOrString::Number(_) => None,
    }
}

fn of_verdict(snapshot: &Snapshot, verdict: &Verdict, freshness: Freshness, path: &Path, list: &mut Vec<Diagnostic>) {
    let placer = Placer { snapshot, verdict };
    for (finding, same_cause) in grouped(&verdict.report.findings) {
        for place in placer.places(finding).iter().filter(|place| place.file == path) {
            list.extend(placer.diagnostic(finding, &same_cause, place, freshness));
        }
    }
    for elsewhere in verdict.elsewhere.iter().filter(|elsewhere| elsewhere.finding.line.is_some()) {
        for place in placer.places(&elsewhere.finding).iter().filter(|place| place.file == path) {
            list.extend(placer.diagnostic(&elsewhere.finding, &[], place, freshness));
        }
    }
    let causes = by_cause(verdict);
    let here = causes.iter().filter(|cause| verdict.file(cause.file) == path);
    list.extend(here.filter_map(|cause| placer.cause(cause, path, freshness)));
}

/// Findings whose cause is that of an earlier one stand with it: those that objtool does not print, and all where one fault
/// makes objtool print many.
pub fn grouped(findings: &[ReportedFinding]) -> Vec<(&ReportedFinding, Vec<&ReportedFinding>)> {
    let mut groups: Vec<(&ReportedFinding, Vec<&ReportedFinding>)> = Vec::new();
    let (mut by_step, mut by_cause) = (FxHashMap::default(), FxHashMap::default());
    for finding in findings {
        let step = finding.path.iter().find(|step| step.kind == PathKind::Cause);
        let step = step.map(|step| (finding.function.as_deref(), step.section.as_str(), step.offset, step.line));
        let cause = &finding.cause;
        let is_known = cause.subject.is_some() || cause.line.is_some();
        let cause = is_known.then_some((cause.kind, &cause.subject, &cause.file, cause.line));
        let leader: Option<usize> = cause.and_then(|key| by_cause.get(&key).copied());
        let leader = leader.or_else(|| step.and_then(|key| by_step.get(&key).copied()));
        let joins = finding.objtool.is_none() || (cause.is_some() && finding.cause.kind.is_of_the_whole());
        match leader.filter(|_| joins).and_then(|leader| groups.get_mut(leader)) {
            Some((_, others)) => others.push(finding),
            None => {
                if let Some(key) = step {
                    by_step.entry(key).or_insert(groups.len());
                }
                if let Some(key) = cause {
                    by_cause.entry(key).or_insert(groups.len());
                }
                groups.push((finding, Vec::new()));
            }
        }
    }
    groups
}

fn result_id(list: &[Diagnostic]) -> String {
    let mut hasher = FxHasher::default();
    serde_json::to_string(list).unwrap_or_default().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn full(items: Vec<Diagnostic>) -> FullDocumentDiagnosticReport {
    FullDocumentDiagnosticReport { result_id: Some(result_id(&items)), items }
}

fn unchanged(result_id: String) -> RelatedUnchangedDocumentDiagnosticReport {
    RelatedUnchangedDocumentDiagnosticReport {
        related_documents: None,
        unchanged_document_diagnostic_report: UnchangedDocumentDiagnosticReport { result_id },
    }
}

/// `textDocument/diagnostic`. What the file's code brings into headers comes along as related documents.
pub fn document(snapshot: &Snapshot, params: &DocumentDiagnosticParams) -> DocumentDiagnosticReportResult {
    let uri = &params.text_document.uri;
    let path = snapshot.documents.get(uri).and_then(|document| document.path.clone());
    let path = path.or_else(|| uri.to_file_path().ok()).unwrap_or_default();
    let unit = snapshot.units.get(&path);
    if let Some(id) = &params.previous_result_id
        && unit.is_some_and(Unit::is_busy)
    {
        // The client moves what it shows along with the edits, until the next verdict is there and it is told to ask.
        return DocumentDiagnosticReportResult::Report(DocumentDiagnosticReport::Unchanged(unchanged(id.clone())));
    }
    let items = of_file(snapshot, &path);
    let verdict = unit.and_then(|unit| unit.last.as_ref());
    let others = verdict.map(|verdict| files(verdict)).unwrap_or_default();
    let related = others.into_iter().filter(|file| *file != path && snapshot.documents.of_path(file).is_none());
    let related: std::collections::HashMap<_, _> = related
        .filter_map(|file| {
            let report = DocumentDiagnosticReportKind::Full(full(of_file(snapshot, &file)));
            Some((Url::from_file_path(&file).ok()?, report))
        })
        .collect();
    let related_documents = (!related.is_empty()).then_some(related);
    let known = params.previous_result_id.as_ref().filter(|id| **id == result_id(&items));
    let report = match known {
        Some(id) => DocumentDiagnosticReport::Unchanged(RelatedUnchangedDocumentDiagnosticReport {
            related_documents,
            ..unchanged(id.clone())
        }),
        None => DocumentDiagnosticReport::Full(RelatedFullDocumentDiagnosticReport {
            related_documents,
            full_document_diagnostic_report: full(items),
        }),
    };
    DocumentDiagnosticReportResult::Report(report)
}

/// `workspace/diagnostic`: every file that has findings, open or not, and every file that had some.
pub fn workspace(snapshot: &Snapshot, params: &WorkspaceDiagnosticParams) -> WorkspaceDiagnosticReportResult {
    let open = snapshot.units.iter().filter_map(|unit| unit.last.as_deref());
    let mut paths: BTreeSet<PathBuf> = open.chain(snapshot.workspace.iter()).flat_map(files).collect();
    paths.extend(params.previous_result_ids.iter().filter_map(|previous| previous.uri.to_file_path().ok()));
    let items = paths
        .iter()
        .filter_map(|path| {
            let document = snapshot.documents.of_path(path);
            let uri = document.map(|d| d.uri.clone()).or_else(|| Url::from_file_path(path).ok())?;
            let version = document.map(|document| i64::from(document.version));
            let report = full(of_file(snapshot, path));
            let known =
                params.previous_result_ids.iter().any(|p| p.uri == uri && Some(&p.value) == report.result_id.as_ref());
            Some(match report.result_id.clone().filter(|_| known) {
                Some(result_id) => {
                    WorkspaceDocumentDiagnosticReport::Unchanged(WorkspaceUnchangedDocumentDiagnosticReport {
                        uri,
                        version,
                        unchanged_document_diagnostic_report: UnchangedDocumentDiagnosticReport { result_id },
                    })
                }
                None => WorkspaceDocumentDiagnosticReport::Full(WorkspaceFullDocumentDiagnosticReport {
                    uri,
                    version,
                    full_document_diagnostic_report: report,
                }),
            })
        })
        .collect();
    WorkspaceDiagnosticReportResult::Report(WorkspaceDiagnosticReport { items })
}
