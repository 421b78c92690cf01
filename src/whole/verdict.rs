//! What objtool says of a linked program, sorted into what is about one of its members and what is not.
//!
//! In: the analysis of a linked program, and where its parts come from.  Out: [`Judged`].
//! Holds afterwards: a finding of another member is listed only if it was not there before.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use crate::analysis::Analysis;
use crate::decode::Kind;
use crate::findings::{Code, Fault, Finding, StepKind};
use crate::ids::{CodeLoc, InsnId, SymbolId};
use crate::report::findings::{self, ReportedFinding};
use crate::report::view::{SourceLine, View};
use crate::source_map::{Lines, Places};

use super::places::MemberPlaces;
use super::stubs::STUBS;

/// A finding in another object that the edited one brings about.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    /// The finding, on its own lines.
    pub finding: ReportedFinding,
    /// The object that it is in, relative to the build directory; empty where it is in none.
    pub object: String,
    /// What of the edited object it is about, and where that is; `None` where only the link shows the connection.
    pub cause: Option<(String, SourceLine)>,
}

/// What objtool would say of `vmlinux.o`.
#[derive(Clone, Default, Debug)]
pub struct Judged {
    /// What lies in the edited object, in objtool's order.
    pub own: Vec<ReportedFinding>,
    /// What the edited object brings about in others.
    pub elsewhere: Vec<Elsewhere>,
}

/// A finding of a link, whatever else is linked.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key {
    code: Code,
    /// The member, its section, which of that name, and the offset; the symbol where there is no place.
    object: String,
    section: String,
    nth: u32,
    offset: u64,
}

/// A linked program and what objtool says of it.
pub(super) struct Verdict {
    pub analysis: Analysis,
    pub places: Arc<MemberPlaces>,
}

impl Verdict {
    pub(super) fn printed(&self) -> impl Iterator<Item = &Finding> {
        self.analysis.findings.iter().filter(|finding| finding.objtool.is_some())
    }

    /// Where a finding is: at its place, or at the symbol that it is about.
    fn at(&self, finding: &Finding) -> Option<CodeLoc> {
        finding.at.or_else(|| self.definition(finding.function?))
    }

    fn definition(&self, symbol: SymbolId) -> Option<CodeLoc> {
        self.analysis.image.symbol(symbol).place()
    }

    pub(super) fn key(&self, finding: &Finding) -> Key {
        let code = finding.fault.code();
        match self.at(finding).and_then(|at| self.places.origin(at)) {
            // Where a stub lies depends on which others there are.
            Some(origin) if origin.object == STUBS => {
                let name = finding.function.map_or("", |symbol| self.analysis.image.symbol_name(symbol));
                Key { code, object: STUBS.to_owned(), section: name.to_owned(), nth: 0, offset: 0 }
            }
            Some(origin) => Key {
                code,
                object: origin.object.to_owned(),
                section: origin.section.to_owned(),
                nth: origin.nth,
                offset: origin.offset,
            },
            None => {
                let name = finding.function.map_or("", |symbol| self.analysis.image.symbol_name(symbol));
                Key { code, object: String::new(), section: name.to_owned(), nth: 0, offset: 0 }
            }
        }
    }

    /// Sorts what is printed into what lies in the member `edited` and what lies elsewhere and was not there before.
    pub(super) fn judged(&self, edited: &str, before: &FxHashSet<Key>) -> Judged {
        let lines = Lines::elsewhere(Arc::clone(&self.places) as Arc<dyn Places>);
        let view = View::new(&self.analysis, &lines);
        let mut judged = Judged { own: Vec::new(), elsewhere: Vec::new() };
        for finding in self.printed() {
            let key = self.key(finding);
            // A slot of paravirt operations is no place: what is called through it is the matter.
            let is_placed = !matches!(finding.fault, Fault::ParavirtOp { .. });
            if key.object == edited && is_placed {
                judged.own.push(self.own(findings::reported(&view, None, finding)));
            } else if !before.contains(&key) {
                let cause = self.cause(finding, edited);
                if key.object == STUBS {
                    judged
                        .elsewhere
                        .extend(cause.map(|cause| self.in_stub(findings::reported(&view, None, finding), cause)));
                    continue;
                }
                let mut reported = findings::reported(&view, None, finding);
                if !is_placed {
                    (reported.file, reported.line) = (None, None);
                }
                judged.elsewhere.push(Elsewhere { finding: reported, object: key.object, cause });
            }
        }
        judged
    }

    /// What is said of a stub is said of its function, whose own places are not known.
    fn in_stub(&self, mut finding: ReportedFinding, cause: (String, SourceLine)) -> Elsewhere {
        (finding.file, finding.line, finding.objtool) = (None, None, None);
        Elsewhere { finding, object: String::new(), cause: Some(cause) }
    }

    /// Whether something was found outside of the member `edited`.
    pub(super) fn is_about_others(&self, edited: &str) -> bool {
        self.printed().any(|finding| self.key(finding).object != edited)
    }

    /// A finding as the edited object alone would have it: its places are the object's own.
    fn own(&self, mut finding: ReportedFinding) -> ReportedFinding {
        let origin = |section: &str, offset| {
            let origin = self.places.origin_in(section, offset)?;
            Some((origin.section.to_owned(), origin.offset))
        };
        if let (Some(section), Some(offset)) = (&finding.section, finding.offset)
            && let Some((section, offset)) = origin(section, offset)
        {
            (finding.section, finding.offset) = (Some(section), Some(offset));
        }
        for step in &mut finding.path {
            if let Some(at) = origin(&step.section, step.offset) {
                (step.section, step.offset) = at;
            }
        }
        for state in &mut finding.states {
            if let Some(at) = origin(&state.section, state.offset) {
                (state.section, state.offset) = at;
            }
        }
        finding
    }

    /// What a finding of another object is about in the member `edited`.
    fn cause(&self, finding: &Finding, edited: &str) -> Option<(String, SourceLine)> {
        let named = |symbol: SymbolId| Some((self.definition(symbol)?, Some(symbol)));
        let mut candidates: Vec<(CodeLoc, Option<SymbolId>)> = Vec::new();
        match &finding.fault {
            Fault::MissingNoreturn { callee } => candidates.extend(named(*callee)),
            Fault::ParavirtOp { target, .. } => candidates.extend(named(*target)),
            Fault::UnresolvedFunctionAfterLink { symbol } => candidates.extend(named(*symbol)),
            Fault::RelocationToNonEndbr { target } | Fault::DataRelocationToNonEndbr { target } => {
                candidates.push((*target, None));
            }
            _ => {}
        }
        candidates.extend(finding.insn.into_iter().flat_map(|insn| self.called_at(insn)).filter_map(named));
        // The path may have come through the object: its last call there is the nearest.
        let calls = finding.cause.iter().rev().filter(|step| step.kind == StepKind::Call);
        candidates.extend(calls.map(|step| (self.analysis.insns.loc(step.insn), None)));
        let is_edited = |at: CodeLoc| self.places.origin(at).is_some_and(|origin| origin.object == edited);
        let (at, symbol) = candidates.into_iter().find(|(at, _)| is_edited(*at))?;
        let line = self.places.place(at).map(|place| SourceLine { file: Some(place.file), line: place.line })?;
        // Of several names of a place the one that was used.
        let symbol = symbol.or_else(|| self.analysis.symbols.symbol_containing(at.section, at.offset))?;
        Some((self.analysis.image.symbol_name(symbol).to_owned(), line))
    }

    /// What a call may lead to: the callee, or whatever may be in a slot of paravirt operations.
    fn called_at(&self, insn: InsnId) -> Vec<SymbolId> {
        let (insns, flow) = (&self.analysis.insns, &self.analysis.flow);
        match insns.kind(insn) {
            Kind::CallDynamic | Kind::JumpDynamic => {
                let slot = flow.paravirt(&self.analysis.image, &self.analysis.insns, insn);
                slot.into_iter().flat_map(|(_, targets)| targets.to_vec()).collect()
            }
            _ => flow.callee(insn).into_iter().collect(),
        }
    }
}
