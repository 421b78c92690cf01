//! Fixes that are known to work: each one was applied to a copy of the text, compiled and analysed before it is offered.
//!
//! In: findings on a line.  Out: code actions.
//! Holds afterwards: an action removes its finding and adds none, with the compiler and the flags of the build.

mod calls;
mod case;
mod data;
mod declarations;
mod directives;
mod flags;
mod functions;
mod harm;
mod hints;
mod labels;
mod nops;
pub mod patch;
mod realign;
mod remedies;
mod rewrite;
mod stack;
mod strings;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use tower_lsp::lsp_types::*;

use crate::build::is_rust;
use crate::cancel::{CancelToken, Cancelled};
use crate::findings::Code;
use crate::report::ReportedFinding;

use super::super::config::{CompileMode, Trust};
use super::super::documents::Document;
use super::super::offers::{Offer, Search, Whose};
use super::super::snapshot::Snapshot;
use super::super::units::Unit;
use super::super::verdict::{Freshness, Task, Trouble, Verdict};
use super::diagnostics::grouped;
use super::unwind;
use case::Case;
use patch::{Fix, Patch};

/// More compiles than these are not spent on one finding: assembly compiles at once, C takes its time.
const MOST_TRIES: usize = 64;
const MOST_TRIES_OF_C: usize = 10;
/// When there is an action, more are not looked for as long.
const MOST_TRIES_FOR_MORE: usize = 12;
/// Nor is more time than this spent on one finding, but for the compile that runs by then and the last resort.
const MOST_TIME: Duration = Duration::from_secs(10);
/// How often a request looks whether the search of another one has ended.
const NAP: Duration = Duration::from_millis(5);
/// More actions than these for one finding confuse.
const MOST_ACTIONS: usize = 4;
/// The same instruction helps at many places; where it belongs is for the user to say.
const MOST_PLACES: usize = 2;

/// The fixes for the findings in a range. What was found out before is answered at once; an automatic request, as clients
/// send when the cursor rests, is answered with that alone.
pub fn code_actions(
    snapshot: &Snapshot,
    params: &CodeActionParams,
    cancel: &CancelToken,
) -> Result<Option<CodeActionResponse>, Cancelled> {
    let wanted = params.context.only.as_ref();
    let rewrites = CodeActionKind::REFACTOR_REWRITE;
    let written = match wanted.is_none_or(|only| only.iter().any(|kind| rewrites.as_str().starts_with(kind.as_str()))) {
        true => unwind::write_directives(snapshot, params, cancel)?,
        false => Vec::new(),
    };
    if wanted.is_some_and(|only| !only.iter().any(|kind| CodeActionKind::QUICKFIX.as_str().starts_with(kind.as_str())))
    {
        return Ok(Some(written).filter(|written| !written.is_empty()));
    }
    let Some(prover) = Prover::new(snapshot, &params.text_document.uri) else {
        return Ok(Some(written).filter(|written| !written.is_empty()));
    };
    let automatic = params.context.trigger_kind == Some(CodeActionTriggerKind::AUTOMATIC);
    let mut actions = Vec::new();
    let mut titles: Vec<String> = Vec::new();
    for case in prover.cases() {
        let line = case.line as u32;
        if line < params.range.start.line || line > params.range.end.line {
            continue;
        }
        let offers =
            if automatic { prover.verdict.offers.known(case.whose) } else { Some(prover.offers(&case, cancel)?) };
        for offer in offers.iter().flat_map(|offers| offers.iter()) {
            if !titles.iter().any(|title| title.eq_ignore_ascii_case(&offer.fix.title)) {
                titles.push(offer.fix.title.clone());
                actions.push(prover.action(&case, offer, params));
            }
        }
    }
    actions.extend(written);
    Ok(Some(actions))
}

/// Finds the fixes for all findings of the text at `uri`, so that requests need not wait for them.
pub fn prepare(snapshot: &Snapshot, uri: &Url, cancel: &CancelToken) -> Result<(), Cancelled> {
    let Some(prover) = Prover::new(snapshot, uri) else { return Ok(()) };
    for case in prover.cases() {
        prover.offers(&case, cancel)?;
    }
    Ok(())
}

/// Tries fixes.
struct Prover<'a> {
    snapshot: &'a Snapshot,
    document: &'a Arc<Document>,
    unit: &'a Unit,
    verdict: &'a Verdict,
}

impl<'a> Prover<'a> {
    /// `None` where nothing may be compiled, or the text has no verdict.
    fn new(snapshot: &'a Snapshot, uri: &Url) -> Option<Prover<'a>> {
        let (document, unit) = snapshot.unit(uri)?;
        let config = &snapshot.config;
        // A fix is offered once it was tried, and Rust is not compiled.
        if is_rust(&unit.path) {
            return None;
        }
        if config.trust == Trust::Untrusted || config.compile == CompileMode::Off {
            return None;
        }
        let verdict = unit.last.as_ref().filter(|_| unit.freshness(document.version) == Freshness::Fresh)?;
        Some(Prover { snapshot, document, unit, verdict })
    }

    /// The findings that are shown, one for each cause.
    fn cases(&self) -> impl Iterator<Item = Case<'a>> {
        let (snapshot, document, verdict) = (self.snapshot, self.document, self.verdict);
        let findings = &verdict.report.findings;
        let leaders = grouped(findings).into_iter().map(|(leader, _)| leader);
        leaders.filter_map(move |leader| {
            let position = || findings.iter().position(|finding| std::ptr::eq(finding, leader)).map(Whose::Reported);
            Case::new(snapshot, document, verdict, leader.id.map(Whose::Finding).or_else(position)?, leader)
        })
    }

    /// The fixes for a finding that work.
    fn offers(&self, case: &Case<'_>, cancel: &CancelToken) -> Result<Arc<Vec<Offer>>, Cancelled> {
        let slot = self.verdict.offers.slot(case.whose);
        let patience = self.snapshot.engine.patience(self.verdict.timing.compile);
        loop {
            if let Some(known) = slot.answer(patience) {
                return Ok(known);
            }
            let Some(search) = slot.search() else {
                // Somebody looks for them, or has just found them.
                cancel.check()?;
                std::thread::sleep(NAP);
                continue;
            };
            let found = self.find(case, &search, cancel)?;
            return Ok(search.end(found));
        }
    }

    fn find(&self, case: &Case<'_>, search: &Search<'_>, cancel: &CancelToken) -> Result<Vec<Offer>, Cancelled> {
        let deadline = Instant::now() + MOST_TIME;
        let mut tried: Vec<(Offer, Left)> = Vec::new();
        let mut tries = if case.assembly { MOST_TRIES } else { MOST_TRIES_OF_C };
        let before = oddities(self.verdict, case);
        for fix in remedies::fixes(case) {
            cancel.check()?;
            let late = Instant::now() >= deadline;
            if tried.len() == MOST_ACTIONS || (late && !tried.is_empty()) {
                break;
            }
            let what = |title: &str| title.split(" before ").next().unwrap_or_default().to_owned();
            let again = tried.iter().filter(|(offer, _)| what(&offer.fix.title) == what(&fix.title)).count();
            let known = tried.iter().any(|(offer, _)| offer.fix.title.eq_ignore_ascii_case(&fix.title));
            // Of many ways to do the same only the first one that works is of use. What is always possible is tried
            // although the search was long.
            if known || again >= MOST_PLACES || ((tries == 0 || late) && !fix.last_resort) {
                continue;
            }
            tries = tries.saturating_sub(1);
            let Some(left) = self.left_by(case, &fix, before, cancel)? else { continue };
            tries = tries.min(MOST_TRIES_FOR_MORE);
            tried.push((Offer { fix, preferred: false }, left));
            // Nothing that comes later is better than these.
            let certain = tried.iter().filter(|(_, left)| *left == Left::NOTHING).cloned().collect();
            search.so_far(self.ranked(case, certain));
        }
        let mut offers = self.ranked(case, tried);
        if offers.len() < MOST_ACTIONS
            && let Some(fix) = self.rewritten(case, cancel)?
            && self.left_by(case, &fix, before, cancel)?.is_some()
        {
            offers.push(Offer { fix, preferred: false });
        }
        Ok(offers)
    }

    /// The best of what was tried, with the one to take.
    fn ranked(&self, case: &Case<'_>, tried: Vec<(Offer, Left)>) -> Vec<Offer> {
        let mut offers = best(tried, case.is_in_macro());
        if let Some(first) = offers.first_mut() {
            first.preferred = !first.fix.last_resort && case.finding.objtool.is_some();
        }
        offers
    }

    /// All directives of the function, written anew.
    fn rewritten(&self, case: &Case<'_>, cancel: &CancelToken) -> Result<Option<Fix>, Cancelled> {
        let Some(stripped) = rewrite::stripped(case) else { return Ok(None) };
        match self.snapshot.engine.annotate(&self.task(stripped.text.clone()), cancel) {
            Ok(done) => Ok(stripped.fix(&done)),
            Err(Trouble::Cancelled) => Err(Cancelled),
            Err(_) => Ok(None),
        }
    }

    /// The question what another text would come to.
    fn task(&self, text: String) -> Task {
        Task {
            source: self.unit.path.clone(),
            open: self.snapshot.documents.all(),
            document: Arc::new(self.document.with_text(text)),
            config: Arc::clone(&self.snapshot.config),
            search: self.snapshot.search(),
            previous: None,
        }
    }

    fn action(&self, case: &Case<'_>, offer: &Offer, params: &CodeActionParams) -> CodeActionOrCommand {
        let slug = case.finding.code.slug();
        let on_line = |diagnostic: &&Diagnostic| {
            diagnostic.range.start.line == case.line as u32
                && diagnostic.code == Some(NumberOrString::String(slug.to_owned()))
        };
        let diagnostics: Vec<Diagnostic> = params.context.diagnostics.iter().filter(on_line).cloned().collect();
        let edits = offer.fix.patches.iter().map(|patch| self.text_edit(patch)).collect();
        CodeActionOrCommand::CodeAction(CodeAction {
            title: offer.fix.title.clone(),
            kind: Some(CodeActionKind::QUICKFIX),
            diagnostics: (!diagnostics.is_empty()).then_some(diagnostics),
            edit: Some(WorkspaceEdit::new([(self.document.uri.clone(), edits)].into())),
            is_preferred: Some(offer.preferred),
            ..CodeAction::default()
        })
    }

    fn text_edit(&self, patch: &Patch) -> TextEdit {
        let start = Position::new(patch.line as u32, 0);
        let end = Position::new(patch.line as u32 + u32::from(patch.replaces), 0);
        TextEdit { range: Range::new(start, end), new_text: patch.inserted() }
    }

    /// What the text with the fix has left: `None` where it does not compile, or to code that still has the finding, or one that
    /// was not there, or more odd code than there was `before`.
    fn left_by(
        &self,
        case: &Case<'_>,
        fix: &Fix,
        before: usize,
        cancel: &CancelToken,
    ) -> Result<Option<Left>, Cancelled> {
        let text = patch::apply(self.document.text.as_str(), &fix.patches);
        let task = self.task(text);
        let after = match self.snapshot.engine.judge(&task, cancel) {
            Ok(after) => after,
            Err(Trouble::Cancelled) => return Err(Cancelled),
            Err(_) => return Ok(None),
        };
        // The text before the fault was typed may be that of the built object.
        if !after.is_of(&task) || !improved(self.verdict, &after, case.finding) {
            return Ok(None);
        }
        let left = Left { printed: printed(&after).count(), oddities: oddities(&after, case) };
        Ok((left.oddities <= before).then_some(left))
    }
}

/// What the code of a verdict does that no author means. Of C, the compiler is the author.
fn oddities(verdict: &Verdict, case: &Case<'_>) -> usize {
    let anatomy = verdict.anatomy.as_ref().filter(|_| case.assembly);
    anatomy.map_or(0, |anatomy| harm::oddities(&anatomy.analysis, case.finding.function.as_deref()))
}

/// The findings that objtool prints.
fn printed(verdict: &Verdict) -> impl Iterator<Item = &ReportedFinding> {
    verdict.report.findings.iter().filter(|finding| finding.objtool.is_some())
}

/// What a fix leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Left {
    /// Findings that objtool prints.
    printed: usize,
    /// What its functions do that no author means.
    oddities: usize,
}

impl Left {
    const NOTHING: Left = Left { printed: 0, oddities: 0 };
}

/// Where a fix leaves nothing for objtool to print, those that leave something are not offered; nor is odd code where other
/// code would do. What a macro does, it does wherever it is used: mending one use of it mends nothing.
fn best(tried: Vec<(Offer, Left)>, in_macro: bool) -> Vec<Offer> {
    let clean = in_macro || tried.iter().any(|(_, left)| left.printed == 0);
    let mends = |left: &Left| !clean || left.printed == 0;
    let fewest = tried.iter().filter(|(_, left)| mends(left)).map(|(_, left)| left.oddities).min().unwrap_or(0);
    let keeps = |left: &Left| mends(left) && left.oddities == fewest;
    tried.into_iter().filter(|(_, left)| keeps(left)).map(|(offer, _)| offer).collect()
}

/// Whether `after` shows the finding no more, with all that has its cause, and has nothing that `before` had not.
fn improved(before: &Verdict, after: &Verdict, finding: &ReportedFinding) -> bool {
    let key = |finding: &ReportedFinding| (finding.code, finding.function.clone());
    let shown = |verdict: &Verdict| {
        let leaders = grouped(&verdict.report.findings).into_iter().map(|(leader, _)| leader);
        let places = leaders.filter(|leader| key(leader) == key(finding)).map(|leader| (&leader.file, leader.line));
        places.collect::<BTreeSet<_>>().len()
    };
    let leading = |verdict: &Verdict| {
        let mut counts: FxHashMap<(Code, Option<String>), usize> = FxHashMap::default();
        let leaders = grouped(&verdict.report.findings).into_iter().map(|(leader, _)| key(leader));
        leaders.for_each(|key| *counts.entry(key).or_default() += 1);
        counts
    };
    let count = |verdict: &Verdict| {
        let mut counts: FxHashMap<(Code, Option<String>), usize> = FxHashMap::default();
        verdict.report.findings.iter().for_each(|finding| *counts.entry(key(finding)).or_default() += 1);
        counts
    };
    type Counts = FxHashMap<(Code, Option<String>), usize>;
    let within = |later: &Counts, earlier: &Counts| {
        later.iter().all(|(key, n)| earlier.get(key).is_some_and(|before| n <= before))
    };
    // What objtool does not print is not mended alone where its function has what it does print: the two are one fault.
    let printed_in = |verdict: &Verdict| printed(verdict).filter(|other| other.function == finding.function).count();
    let beside = finding.objtool.is_none() && printed_in(before) > 0;
    // What stood with the finding may not come to stand alone: then the fault has only moved.
    shown(after) < shown(before)
        && (!beside || printed_in(after) < printed_in(before))
        && printed(after).count() <= printed(before).count()
        && within(&count(after), &count(before))
        && within(&leading(after), &leading(before))
}
