//! What the assembler has against a text, on its lines.
//!
//! In: the trouble of a unit.  Out: diagnostics of it.
//! Holds afterwards: nothing is said of C, of which a server for C tells; what stands in a file that is not open is told at the
//! top of the one that is, with the way there.

use std::path::{Path, PathBuf};

use tower_lsp::lsp_types::*;

use super::super::snapshot::Snapshot;
use super::super::units::Unit;
use super::super::verdict::Trouble;
use crate::assembly::is_assembly_name;
use crate::compile::complaints::Complaint;

/// What the assembler does not take, and the version of the unit's document that it was given.
fn complaints(unit: &Unit) -> Option<(&[Complaint], i32)> {
    match &unit.trouble {
        Some(Trouble::NotCompiled { complaints, version, .. }) if is_assembly_name(&unit.path) => {
            Some((complaints, *version))
        }
        _ => None,
    }
}

/// The files of the unit's errors.
pub(super) fn files(unit: &Unit) -> impl Iterator<Item = PathBuf> {
    complaints(unit).into_iter().flat_map(|(list, _)| list).map(|complaint| complaint.file.clone())
}

/// The unit's errors that are shown in the file at `path`.
pub fn of_file(snapshot: &Snapshot, unit: &Unit, path: &Path, list: &mut Vec<Diagnostic>) {
    let Some((all, version)) = complaints(unit) else { return };
    let is_open = |file: &Path| file == unit.path || snapshot.documents.of_path(file).is_some();
    let version = (path == unit.path).then_some(version);
    for complaint in all {
        match is_open(&complaint.file) {
            true if complaint.file == path => {
                list.push(diagnostic(here(snapshot, complaint, version), &complaint.words));
            }
            false if unit.path == path => list.push(elsewhere(snapshot, unit, complaint)),
            _ => {}
        }
    }
}

/// Where it is in the text at hand. Of a text that is open beside the unit's it is not known which version was read.
fn here(snapshot: &Snapshot, complaint: &Complaint, version: Option<i32>) -> Range {
    let start = Position::new(complaint.line.saturating_sub(1), 0);
    let Some(document) = snapshot.documents.of_path(&complaint.file) else { return Range::new(start, start) };
    let moved = version.and_then(|version| document.forward(version, start.line));
    let is_same = version.is_some_and(|version| version == document.version);
    let column = Some(complaint.column).filter(|column| *column > 0 && is_same);
    document.text.visible(moved.unwrap_or(start.line) + 1, column, snapshot.session.encoding)
}

fn elsewhere(snapshot: &Snapshot, unit: &Unit, complaint: &Complaint) -> Diagnostic {
    let Complaint { file, line, words, .. } = complaint;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let top = snapshot
        .documents
        .of_path(&unit.path)
        .map(|document| document.text.visible(1, None, snapshot.session.encoding));
    let place = Position::new(line.saturating_sub(1), 0);
    let way = Url::from_file_path(file).ok().map(|uri| DiagnosticRelatedInformation {
        location: Location::new(uri, Range::new(place, place)),
        message: words.clone(),
    });
    let way = way.filter(|_| snapshot.session.related_information);
    Diagnostic {
        related_information: way.map(|way| vec![way]),
        ..diagnostic(top.unwrap_or_default(), &format!("{words} ({}:{line})", crate::clean::line(&name)))
    }
}

fn diagnostic(range: Range, words: &str) -> Diagnostic {
    Diagnostic {
        range,
        severity: Some(DiagnosticSeverity::ERROR),
        source: Some("assembler".to_owned()),
        message: words.to_owned(),
        ..Diagnostic::default()
    }
}
