//! Fixes that are known to work: each one was applied to a copy of the text, compiled and analysed before it is offered.
//!
//! In: findings on a line.  Out: code actions.
//! Holds afterwards: an action removes its finding and adds none, with the compiler and the flags of the build.

mod annotate;
mod directives;
mod nops;
mod patch;
mod stack;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use tower_lsp::lsp_types::*;

use crate::build::is_rust;
use crate::cancel::{CancelToken, Cancelled};
use crate::findings::{Code, FixKind};
use crate::report::ReportedFinding;

use super::super::config::{CompileMode, Trust};
use super::super::documents::Document;
use super::super::snapshot::Snapshot;
use super::super::to_proto::Placer;
use super::super::units::Unit;
use super::super::verdict::{Basis, Freshness, Task, Trouble, Verdict};
use super::diagnostics::grouped;
use patch::{Fix, Patch};

/// More compiles than these are not spent on one finding: assembly compiles at once, C takes its time.
const MOST_TRIES: usize = 64;
const MOST_TRIES_OF_C: usize = 10;
/// When there is an action, more are not looked for as long.
const MOST_TRIES_FOR_MORE: usize = 12;
/// Nor is more time than this spent on one request, but for the compile that runs by then and the last resort.
const MOST_TIME: Duration = Duration::from_secs(10);
/// More actions than these for one finding confuse.
const MOST_ACTIONS: usize = 4;
/// The same instruction helps at many places; where it belongs is for the user to say.
const MOST_PLACES: usize = 2;

/// A finding with what a fix is made from.
struct Case<'a> {
    finding: &'a ReportedFinding,
    /// The text, by lines.
    lines: Vec<&'a str>,
    /// The finding's line in the text, from 0.
    line: usize,
    /// The lines of the finding's causes in this file, from 0, with their instruction.
    causes: Vec<Cause<'a>>,
    /// Assembly, not C.
    assembly: bool,
}

/// An operation that a finding comes from.
struct Cause<'a> {
    line: usize,
    instruction: &'a str,
}

/// The fixes for the findings in a range.
pub fn code_actions(
    snapshot: &Snapshot,
    params: &CodeActionParams,
    cancel: &CancelToken,
) -> Result<Option<CodeActionResponse>, Cancelled> {
    let wanted = params.context.only.as_ref();
    if wanted.is_some_and(|only| !only.iter().any(|kind| CodeActionKind::QUICKFIX.as_str().starts_with(kind.as_str())))
    {
        return Ok(None);
    }
    let Some((document, unit)) = snapshot.unit(&params.text_document.uri) else { return Ok(None) };
    let config = &snapshot.config;
    // A fix is offered once it was tried, and Rust is not compiled.
    if is_rust(&unit.path) {
        return Ok(None);
    }
    if config.trust == Trust::Untrusted || config.compile == CompileMode::Off {
        return Ok(None);
    }
    let Some(verdict) = unit.last.as_ref().filter(|_| unit.freshness(document.version) == Freshness::Fresh) else {
        return Ok(None);
    };
    let prover = Prover { snapshot, document, unit, verdict, deadline: Instant::now() + MOST_TIME };
    let mut actions = Vec::new();
    let mut titles = Vec::new();
    for finding in &verdict.report.findings {
        let Some(case) = case(snapshot, document, verdict, finding) else { continue };
        let line = case.line as u32;
        if line < params.range.start.line || line > params.range.end.line {
            continue;
        }
        prover.offer(&case, params, &mut actions, &mut titles, cancel)?;
    }
    Ok(Some(actions))
}

fn case<'a>(
    snapshot: &'a Snapshot,
    document: &'a Document,
    verdict: &'a Verdict,
    finding: &'a ReportedFinding,
) -> Option<Case<'a>> {
    let path = document.path.as_deref()?;
    let placer = Placer { snapshot, verdict };
    let place = placer.places(finding).into_iter().find(|place| place.file == path)?;
    let causes = finding.path.iter().filter(|step| step.file.as_deref().is_some_and(|file| placer.file(file) == path));
    let causes = causes
        .filter_map(|step| Some(Cause { line: (step.line? as usize).checked_sub(1)?, instruction: &step.instruction }));
    let ending = path.extension().and_then(|ending| ending.to_str());
    Some(Case {
        finding,
        lines: document.text.as_str().lines().collect(),
        line: (place.line as usize).checked_sub(1)?,
        causes: causes.collect(),
        assembly: matches!(ending, Some("S" | "s" | "sx" | "asm")),
    })
}

/// What may help, the most likely first.
fn fixes(case: &Case<'_>) -> Vec<Fix> {
    if let Some(fixes) = directives::fixes(case) {
        return fixes;
    }
    let mut fixes = stack::fixes(case);
    if case.finding.code.entry().fixes.contains(&FixKind::PadArms) {
        fixes.extend(nops::fixes(case));
    }
    fixes.extend(annotate::fixes(case));
    fixes
}

/// Tries fixes.
struct Prover<'a> {
    snapshot: &'a Snapshot,
    document: &'a Arc<Document>,
    unit: &'a Unit,
    verdict: &'a Verdict,
    deadline: Instant,
}

impl Prover<'_> {
    fn offer(
        &self,
        case: &Case<'_>,
        params: &CodeActionParams,
        actions: &mut CodeActionResponse,
        titles: &mut Vec<String>,
        cancel: &CancelToken,
    ) -> Result<(), Cancelled> {
        let slug = case.finding.code.slug();
        let on_line = |diagnostic: &&Diagnostic| {
            diagnostic.range.start.line == case.line as u32
                && diagnostic.code == Some(NumberOrString::String(slug.to_owned()))
        };
        let diagnostics: Vec<Diagnostic> = params.context.diagnostics.iter().filter(on_line).cloned().collect();
        let mut offered = 0;
        let mut tries = if case.assembly { MOST_TRIES } else { MOST_TRIES_OF_C };
        let mut done: Vec<String> = Vec::new();
        for fix in fixes(case) {
            cancel.check()?;
            let late = Instant::now() >= self.deadline;
            if offered == MOST_ACTIONS || (late && offered > 0) {
                break;
            }
            let what = fix.title.split(" before ").next().unwrap_or_default();
            let again = done.iter().filter(|title| title.split(" before ").next() == Some(what)).count();
            let known = titles.iter().any(|title| title.eq_ignore_ascii_case(&fix.title));
            // Of many ways to do the same only the first one that works is of use. What is always possible is tried
            // although the search was long.
            if known || again >= MOST_PLACES || ((tries == 0 || late) && !fix.last_resort) {
                continue;
            }
            tries = tries.saturating_sub(1);
            if !self.works(case, &fix, cancel)? {
                continue;
            }
            tries = tries.min(MOST_TRIES_FOR_MORE);
            titles.push(fix.title.clone());
            done.push(fix.title.clone());
            let edits = fix.patches.iter().map(|patch| self.text_edit(patch)).collect();
            actions.push(CodeActionOrCommand::CodeAction(CodeAction {
                title: fix.title,
                kind: Some(CodeActionKind::QUICKFIX),
                diagnostics: (!diagnostics.is_empty()).then(|| diagnostics.clone()),
                edit: Some(WorkspaceEdit::new([(self.document.uri.clone(), edits)].into())),
                is_preferred: Some(offered == 0 && !fix.last_resort),
                ..CodeAction::default()
            }));
            offered += 1;
        }
        Ok(())
    }

    fn text_edit(&self, patch: &Patch) -> TextEdit {
        let start = Position::new(patch.line as u32, 0);
        let end = Position::new(patch.line as u32 + u32::from(patch.replaces), 0);
        TextEdit { range: Range::new(start, end), new_text: patch.inserted() }
    }

    /// Whether the text with the fix compiles to code without the finding and without any other that was not there.
    fn works(&self, case: &Case<'_>, fix: &Fix, cancel: &CancelToken) -> Result<bool, Cancelled> {
        let text = patch::apply(self.document.text.as_str(), &fix.patches);
        let document = Arc::new(self.document.with_text(text));
        let snapshot = self.snapshot;
        let task = Task {
            source: self.unit.path.clone(),
            others: snapshot.documents.iter().filter(|other| other.uri != document.uri).cloned().collect(),
            document,
            config: Arc::clone(&snapshot.config),
            search: snapshot.search(),
            previous: None,
        };
        match snapshot.engine.judge(&task, cancel) {
            Ok(after) => Ok(after.basis == Basis::Buffer && improved(self.verdict, &after, case.finding)),
            Err(Trouble::Cancelled) => Err(Cancelled),
            Err(_) => Ok(false),
        }
    }
}

/// Whether `after` shows the finding no more, with all that has its cause, and has nothing that `before` had not.
fn improved(before: &Verdict, after: &Verdict, finding: &ReportedFinding) -> bool {
    let key = |finding: &ReportedFinding| (finding.code, finding.function.clone());
    let shown = |verdict: &Verdict| {
        let leaders = grouped(&verdict.report.findings).into_iter().map(|(leader, _)| leader);
        let places = leaders.filter(|leader| key(leader) == key(finding)).map(|leader| (&leader.file, leader.line));
        places.collect::<BTreeSet<_>>().len()
    };
    let count = |verdict: &Verdict| {
        let mut counts: FxHashMap<(Code, Option<String>), usize> = FxHashMap::default();
        verdict.report.findings.iter().for_each(|finding| *counts.entry(key(finding)).or_default() += 1);
        counts
    };
    let (earlier, later) = (count(before), count(after));
    shown(after) < shown(before) && later.iter().all(|(key, n)| earlier.get(key).is_some_and(|before| n <= before))
}
