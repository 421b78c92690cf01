//! Links, judges, and tells what an edit brings about from what was there before.
//!
//! In: an object that takes the place of a member.  Out: [`Judged`].
//! Holds afterwards: a finding of another member is listed only if the link of the members as the build left them does
//! not have it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashSet;

use crate::analysis::{self, Analysis, AnalysisError, Config, Policy};
use crate::build::Finder;
use crate::cancel::CancelToken;
use crate::compile::Scratch;
use crate::decode::Kind;
use crate::findings::{Code, Fault, Finding, StepKind};
use crate::ids::{CodeLoc, InsnId, SymbolId};
use crate::image::{ElfImage, Store};
use crate::kernel::KernelChoice;
use crate::report::findings::{self, ReportedFinding};
use crate::report::view::{SourceLine, View};
use crate::source_map::{Lines, Places};

use super::layout::Layout;
use super::link::{self, Linked};
use super::places::MemberPlaces;
use super::program::{Program, Unavailable};

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

/// Which object to judge, and how.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The build directory.
    pub directory: &'a Path,
    /// Where the build keeps the object.
    pub path: &'a Path,
    /// The object to take in its place.
    pub object: &'a Arc<dyn Store>,
    /// Whose rules.
    pub kernel: KernelChoice,
    /// Functions that never return, besides those that the release knows.
    pub noreturn: &'a [String],
    /// What knows the builds.
    pub finder: &'a Finder,
    /// Where the link takes place.
    pub scratch: &'a Scratch,
}

impl Question<'_> {
    /// The program, and which of its members the object is.
    fn program(&self) -> Result<(Program, usize), Unavailable> {
        Program::with_member(self.directory, self.path, self.finder)
    }
}

/// What objtool would say of `vmlinux.o`.
#[derive(Debug)]
pub struct Judged {
    /// What lies in the edited object, in objtool's order.
    pub own: Vec<ReportedFinding>,
    /// What the edited object brings about in others.
    pub elsewhere: Vec<Elsewhere>,
}

/// A finding of a link, whatever else is linked.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Key {
    code: Code,
    /// The member, its section, which of that name, and the offset; the symbol where there is no place.
    object: String,
    section: String,
    nth: u32,
    offset: u64,
}

/// The findings of the members as the build left them.
struct Before {
    directory: PathBuf,
    /// When each member and the archive was written last: other times, another link.
    stamps: Vec<Option<std::time::SystemTime>>,
    findings: Arc<FxHashSet<Key>>,
}

/// Judges whole programs; it remembers what it knows of the last one.
#[derive(Default)]
pub struct Whole {
    before: Mutex<Option<Before>>,
}

/// A linked program and what objtool says of it.
struct Verdict {
    analysis: Analysis,
    places: Arc<MemberPlaces>,
}

impl Whole {
    /// Judges an object as the part of its tree's `vmlinux.o` that it is.
    pub fn judge(&self, question: &Question<'_>, cancel: &CancelToken) -> Result<Judged, Unavailable> {
        let (program, member) = question.program()?;
        let judging = Judging { program: &program, question, cancel };
        let before = self.before(&judging)?;
        let after = judging.link(Some((member, question.object)))?;
        let name = program.members.get(member).map_or("", String::as_str);
        Ok(after.judged(name, &before))
    }

    /// Whether the object at `path` is part of the `vmlinux.o` of `directory`, and that can be judged.
    pub fn is_part(directory: &Path, path: &Path, finder: &Finder) -> Result<(), Unavailable> {
        Program::with_member(directory, path, finder).map(|_| ())
    }

    /// Links an object into its tree's `vmlinux.o`, and judges that.
    pub fn linked(question: &Question<'_>, cancel: &CancelToken) -> Result<(Analysis, Lines), Unavailable> {
        let (program, member) = question.program()?;
        let judging = Judging { program: &program, question, cancel };
        let Verdict { analysis, places } = judging.link(Some((member, question.object)))?;
        Ok((analysis, Lines::elsewhere(places)))
    }

    fn before(&self, judging: &Judging<'_>) -> Result<Arc<FxHashSet<Key>>, Unavailable> {
        let stamps = judging.program.stamps();
        let mut slot = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = &*slot
            && before.directory == judging.program.directory
            && before.stamps == stamps
        {
            return Ok(Arc::clone(&before.findings));
        }
        let verdict = judging.link(None)?;
        let findings = Arc::new(verdict.printed().map(|finding| verdict.key(finding)).collect());
        let directory = judging.program.directory.clone();
        *slot = Some(Before { directory, stamps, findings: Arc::clone(&findings) });
        Ok(findings)
    }
}

struct Judging<'a> {
    program: &'a Program,
    question: &'a Question<'a>,
    cancel: &'a CancelToken,
}

impl Judging<'_> {
    fn link(&self, replaced: Option<(usize, &Arc<dyn Store>)>) -> Result<Verdict, Unavailable> {
        let failed = |error: &dyn std::fmt::Display| Unavailable::NotAnalysed(error.to_string());
        let bytes = replaced.map(|(member, store)| Ok((member, store.read(0, store.size())?))).transpose();
        let bytes = bytes.map_err(|error: std::io::Error| failed(&error))?;
        let given = bytes.as_ref().map(|(member, bytes)| (*member, bytes.as_slice()));
        let Linked { object, layout } = link::link(self.program, given, self.question.scratch, self.cancel)?;
        let image = ElfImage::read(&object).map_err(|error| failed(&error))?;
        let flags = &self.program.flags;
        let (kernel, tree) = match (self.question.kernel, flags.kernel()) {
            (KernelChoice::Auto, Some((kernel, _))) => (KernelChoice::Fixed(kernel), flags.facts(kernel)),
            (chosen, _) => (chosen, None),
        };
        let options = self.program.flags.options.clone().unwrap_or_default();
        let config = Config { options, kernel, policy: Policy::Objtool, noreturn: self.question.noreturn.to_vec() };
        let analysis = match analysis::analyse_image(image, &object, &config, tree.as_deref(), self.cancel) {
            Ok(analysis) => analysis,
            Err(AnalysisError::Cancelled(_)) => return Err(Unavailable::NotLinked("cancelled".to_owned())),
            Err(error) => return Err(failed(&error)),
        };
        let edited =
            replaced.and_then(|(member, store)| Some((self.program.members.get(member)?.clone(), Arc::clone(store))));
        let layout: Arc<Layout> = Arc::new(layout);
        let places = Arc::new(MemberPlaces::new(layout, &analysis.image, &self.program.directory, edited));
        Ok(Verdict { analysis, places })
    }
}

impl Verdict {
    fn printed(&self) -> impl Iterator<Item = &Finding> {
        self.analysis.findings.iter().filter(|finding| finding.objtool.is_some())
    }

    /// Where a finding is: at its place, or at the symbol that it is about.
    fn at(&self, finding: &Finding) -> Option<CodeLoc> {
        finding.at.or_else(|| self.definition(finding.function?))
    }

    fn definition(&self, symbol: SymbolId) -> Option<CodeLoc> {
        self.analysis.image.symbol(symbol).place()
    }

    fn key(&self, finding: &Finding) -> Key {
        let code = finding.fault.code();
        match self.at(finding).and_then(|at| self.places.origin(at)) {
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
    fn judged(&self, edited: &str, before: &FxHashSet<Key>) -> Judged {
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
                let mut reported = findings::reported(&view, None, finding);
                if !is_placed {
                    (reported.file, reported.line) = (None, None);
                }
                judged.elsewhere.push(Elsewhere { finding: reported, object: key.object, cause });
            }
        }
        judged
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
        let is_edited = |at: &CodeLoc| self.places.origin(*at).is_some_and(|origin| origin.object == edited);
        let mut candidates = Vec::new();
        match &finding.fault {
            Fault::MissingNoreturn { callee } => candidates.extend(self.definition(*callee)),
            Fault::ParavirtOp { target, .. } => candidates.extend(self.definition(*target)),
            Fault::UnresolvedFunctionAfterLink { symbol } => candidates.extend(self.definition(*symbol)),
            Fault::RelocationToNonEndbr { target } | Fault::DataRelocationToNonEndbr { target } => {
                candidates.push(*target);
            }
            _ => {}
        }
        candidates.extend(finding.insn.into_iter().flat_map(|insn| self.called_at(insn)));
        // The path may have come through the object: its last call there is the nearest.
        let calls = finding.cause.iter().rev().filter(|step| step.kind == StepKind::Call);
        candidates.extend(calls.map(|step| self.analysis.insns.loc(step.insn)));
        let at = candidates.into_iter().find(is_edited)?;
        let line = self.places.place(at).map(|place| SourceLine { file: Some(place.file), line: place.line })?;
        let symbol = self.analysis.symbols.symbol_containing(at.section, at.offset)?;
        Some((self.analysis.image.symbol_name(symbol).to_owned(), line))
    }

    /// What a call may lead to: the callee, or whatever may be in a slot of paravirt operations.
    fn called_at(&self, insn: InsnId) -> Vec<CodeLoc> {
        let flow = &self.analysis.flow;
        match flow.kind(insn) {
            Kind::CallDynamic | Kind::JumpDynamic => {
                let slot = flow.paravirt(&self.analysis.image, &self.analysis.insns, insn);
                let targets = slot.into_iter().flat_map(|(_, targets)| targets);
                targets.filter_map(|&symbol| self.definition(symbol)).collect()
            }
            _ => flow.callee(insn).and_then(|callee| self.definition(callee)).into_iter().collect(),
        }
    }
}
