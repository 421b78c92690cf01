//! What is wrong, in one sentence that a person understands.
//!
//! In: a [`Finding`].  Out: text with registers by name, states as sums and places as lines. objtool's own words are not
//! used: they stand beside the message.

mod objects;
mod stack;

use crate::cfi::CfiState;
use crate::finding::{Fault, Finding, StateAt};
use crate::ids::{CodeLoc, InsnId, SectionId, SymbolId};
use crate::report::path::ways;
use crate::report::view::View;

/// The sentence for a finding. It starts small and has no final dot.
pub fn message<'a>(view: &'a View<'a>, finding: &'a Finding) -> String {
    let speaker = Speaker { view, finding, file: finding.at.and_then(|at| view.nearest_place(at)).map(|p| p.file) };
    speaker.stack().or_else(|| speaker.walk()).or_else(|| speaker.objects()).unwrap_or_default()
}

/// Speaks about one finding.
struct Speaker<'a> {
    view: &'a View<'a>,
    finding: &'a Finding,
    /// The file that the finding stands in: lines of it are named without it.
    file: Option<std::sync::Arc<str>>,
}

impl Speaker<'_> {
    /// What paths do besides changing the frame.
    fn walk(&self) -> Option<String> {
        Some(match &self.finding.fault {
            Fault::FallsThrough { from, to } => {
                let (from, to) = (self.symbol(*from), self.symbol(*to));
                format!(
                    "{from}() runs on into the next function, {to}(): a return, a jump or a call that never returns is missing at its end"
                )
            }
            Fault::IgnoredFunctionReached => {
                "a path leads into this function, although it is marked as one whose stack is not standard".to_owned()
            }
            Fault::RestoreWithoutSave => "a restore hint without a save hint before it in this function".to_owned(),
            Fault::RestoreBeforeSave => {
                "this restore hint is reached on a path that has not come by its save hint".to_owned()
            }
            Fault::UnsupportedInstruction => format!(
                "{} leaves the kernel, but stands in a function that is called and should return",
                self.insn_or("an instruction")
            ),
            Fault::UaccessRecursive => self.because("user access is opened here, but is open already".to_owned()),
            Fault::UaccessRedundant => self.because("user access is closed here, but is not open".to_owned()),
            Fault::UaccessSafeDisables => {
                "user access is closed here, in a function that its callers run with user access open".to_owned()
            }
            Fault::DirectionFlagRecursive => {
                self.because("the direction flag is set here, but is set already".to_owned())
            }
            Fault::DirectionFlagRedundant => {
                self.because("the direction flag is cleared here, but is clear already".to_owned())
            }
            Fault::UnexpectedEndOfSection { function, section } => {
                let of = match (function, section.or(self.finding.at.map(|at| at.section))) {
                    (Some(function), _) => format!("{}()", self.symbol(*function)),
                    (None, Some(section)) => format!("the code of {}", self.section(section)),
                    (None, None) => "the code".to_owned(),
                };
                format!("{of} runs on beyond the end of its section")
            }
            Fault::ReturnWithInstrumentation => {
                "return while instrumentation is allowed: instrumentation_begin() without its end".to_owned()
            }
            Fault::ReturnWithUaccess => self.because("return with user access still open".to_owned()),
            Fault::ReturnWithoutUaccess => self.because(
                "return with user access closed, from a function that its callers run with user access open".to_owned(),
            ),
            Fault::ReturnWithDirectionFlag => self.because("return with the direction flag set".to_owned()),
            Fault::CallLeavesNoinstr { callee } => {
                format!("{} is called, which may be instrumented; no instrumentation is allowed here", called(callee))
            }
            Fault::CallWithUaccess { callee } => {
                self.because(format!("{} is called with user access open", called(callee)))
            }
            Fault::CallWithDirectionFlag { callee } => {
                self.because(format!("{} is called with the direction flag set", called(callee)))
            }
            Fault::ParavirtOp { slot, target } => format!(
                "the paravirt operation in slot {slot} may be {}(), which may be instrumented",
                self.symbol(*target)
            ),
            Fault::MissingSize { symbol } => {
                format!("{}() has no size: where it ends is not known", self.symbol(*symbol))
            }
            Fault::Unreachable => "no path leads to this instruction".to_owned(),
            Fault::MissingNoreturn { callee } => {
                let callee = self.symbol(*callee);
                format!(
                    "nothing follows this call, so {callee}() must never return, but is not known to: `__noreturn` is missing"
                )
            }
            _ => return None,
        })
    }

    fn symbol(&self, id: SymbolId) -> String {
        self.view.name(id)
    }

    fn section(&self, id: SectionId) -> &str {
        self.view.section_name(id)
    }

    /// The instruction that the finding is about, between backticks.
    fn insn_or(&self, otherwise: &str) -> String {
        self.finding.insn.map_or_else(|| otherwise.to_owned(), |insn| format!("`{}`", self.view.text(insn)))
    }

    /// `line 41`, `list.h:41`, or `.text+0x1f`.
    fn at(&self, insn: InsnId) -> String {
        self.view.words(insn, self.file.as_deref())
    }

    fn code(&self, at: CodeLoc) -> String {
        let place = self.view.place(at).into();
        let words = crate::report::view::SourceLine::words(&place, self.file.as_deref());
        words.unwrap_or_else(|| self.view.offset_words(at))
    }

    fn state(&self) -> Option<&CfiState> {
        self.finding.states.first().map(|at| &at.state)
    }

    /// `on the path from line 41`: from its last branch, else from its start.
    fn path_of(&self, state: &StateAt) -> String {
        match ways(self.view, state).last() {
            Some(step) => format!("on the path from {}", self.at(step.insn)),
            None => "on another path".to_owned(),
        }
    }
}

/// A callee's name for a sentence.
fn called(name: &str) -> String {
    match name {
        "{dynamic}" => "a function that a register or memory names".to_owned(),
        name if name.contains('[') => format!("a function in {name}"),
        name => format!("{}()", crate::report::view::demangled(name)),
    }
}
