//! What is wrong, in one sentence that a person understands.
//!
//! In: a [`Finding`]; `findings` has the sentence of each.  Out: text with registers by name, states as sums and places as
//! lines. objtool's own words are not used: they are beside the message.

mod stack;

use crate::analysis::Analysis;
use crate::cfi::CfiState;
use crate::findings::{Finding, Mismatch, Names, Scene, StateAt};
use crate::ids::{CodeLoc, InsnId, SectionId, SymbolId};
use crate::report::path::ways;
use crate::report::view::View;
use crate::wording::Naming;

/// The sentence for a finding. It starts small and has no final dot.
pub(super) fn message<'a>(view: &'a View<'a>, finding: &'a Finding) -> String {
    let speaker = Speaker { view, finding, file: finding.at.and_then(|at| view.nearest_place(at)).map(|p| p.file) };
    finding.fault.told().sentence.text(&speaker)
}

/// Speaks about one finding.
struct Speaker<'a> {
    view: &'a View<'a>,
    finding: &'a Finding,
    /// The file that the finding stands in: lines of it are named without it.
    file: Option<std::sync::Arc<str>>,
}

impl Scene for Speaker<'_> {
    fn symbol(&self, id: SymbolId) -> String {
        self.view.name(id)
    }

    fn demangled(&self, name: &str) -> String {
        crate::report::view::demangled(name)
    }

    fn section(&self, id: SectionId) -> &str {
        self.view.section_name(id)
    }

    fn own_section(&self) -> Option<SectionId> {
        self.finding.at.map(|at| at.section)
    }

    fn insn_or(&self, otherwise: &str) -> String {
        self.finding.insn.map_or_else(|| otherwise.to_owned(), |insn| format!("`{}`", self.view.text(insn)))
    }

    fn symbolic(&self, at: CodeLoc) -> String {
        let Analysis { image, insns, symbols, options, rules, .. } = self.view.analysis;
        Naming { image, insns, symbols, rules, options }.place(at)
    }

    fn code(&self, at: CodeLoc) -> String {
        let place = self.view.place(at).into();
        let words = crate::report::view::SourceLine::words(&place, self.file.as_deref());
        words.unwrap_or_else(|| self.view.offset_words(at))
    }

    fn state(&self) -> Option<&CfiState> {
        self.finding.states.first().map(|at| &at.state)
    }

    fn because(&self, sentence: String) -> String {
        match self.cause() {
            Some(cause) => format!("{sentence}: {cause}"),
            None => sentence,
        }
    }

    fn modified(&self, what: &str) -> String {
        let how = self.state().and_then(stack::left_over).unwrap_or_else(|| "with a changed stack frame".to_owned());
        self.because(format!("{what} {how}"))
    }

    fn missing_frame(&self, state: &CfiState) -> String {
        stack::missing_frame(state)
    }

    fn mismatch(&self, mismatch: &Mismatch) -> String {
        self.disagreement(mismatch)
    }

    fn conflict(&self, insn: InsnId, original: InsnId) -> String {
        self.conflict_of_arms(insn, original)
    }
}

impl Speaker<'_> {
    /// `line 41`, `list.h:41`, or `.text+0x1f`.
    fn at(&self, insn: InsnId) -> String {
        self.view.words(insn, self.file.as_deref())
    }

    /// `on the path from line 41`: from its last branch, else from its start.
    fn path_of(&self, state: &StateAt) -> String {
        match ways(self.view, state).last() {
            Some(step) => format!("on the path from {}", self.at(step.insn)),
            None => "on another path".to_owned(),
        }
    }
}
