//! The call that never returns and that objtool does not know so: why code seems to run on.
//!
//! In: a finding at the end of a function or section, or next to a call.  Out: the callee by name, the line of the crate
//! that brings the call in, the line for objtool's list.
//! Holds afterwards: the last call before the end is named, which nothing follows; other calls on the way only where
//! something declares that they never return.

use crate::decode::Kind;
use crate::findings::{Fault, Finding};
use crate::ids::{InsnId, SymbolId};
use crate::report::cause::{Cause, CauseKind};
use crate::report::findings::{NeverReturns, ReportedFinding};
use crate::report::noreturn::entry;
use crate::report::path::{PathKind, PathStep};
use crate::report::view::{SourceLine, View, call_outside};
use crate::source_map::{Place, is_rust_library};

use super::{Surroundings, at_line, is_rust_file};

/// What remains of a compile-time check of the crate `kernel` that does not hold: a call that nothing defines.
const BUILD_ERROR: &str = "rust_build_error";
/// More calls of one function tell nobody more.
const MOST_CALLERS: usize = 4;
/// How much padding to look across.
const MOST_PADDING: usize = 64;

/// Names the call that a finding is due to; `false` where it is due to none.
pub(super) fn tell(
    view: &View<'_>,
    finding: &Finding,
    reported: &mut ReportedFinding,
    known: &Surroundings<'_>,
) -> bool {
    // What ends C is told with its declaration, or by the sanitizer that it comes from.
    let of_c = matches!(
        reported.cause.kind,
        CauseKind::Sanitizer
            | CauseKind::NoreturnUnknown
            | CauseKind::NoreturnPointer
            | CauseKind::NoreturnUndeclared
            | CauseKind::Unreachable
            | CauseKind::UndefinedBehaviour
    );
    if of_c && reported.cause != Cause::of(reported.code) {
        return false;
    }
    let Some(end) = Ending::of(view, finding) else { return false };
    let (insns, flow) = (&view.analysis.insns, &view.analysis.flow);
    let Some(callee) = flow.direct_callee(insns, end.call).filter(|_| insns.kind(end.call) == Kind::Call) else {
        return false;
    };
    let name = view.analysis.image.symbol_name(callee);
    let said_by = said_by(view, end.call, name, known);
    let is_defined = !view.analysis.image.symbol(callee).is_undefined();
    // objtool has looked at a function of this object itself. Then something else removed the code after the call.
    if said_by.is_none() && (!end.is_certain || (is_defined && !is_weak(view, callee))) {
        return false;
    }
    let chain = Chain::of(view, end.call);
    chain.place(reported);
    if name == BUILD_ERROR {
        build_error(view, finding, reported, &chain, known);
        return true;
    }
    let kernel = view.analysis.kernel;
    let path = view.name(callee);
    let why = match &said_by {
        Some(object) => format!(" ({object} says so)"),
        None => ", as the compiler sees it (nothing follows the call)".to_owned(),
    };
    let others = others(view, end.call, callee, known);
    let also = match others.len() {
        0 => String::new(),
        _ => format!("; nor {} above it", others.iter().map(|name| format!("{name}()")).collect::<Vec<_>>().join(", ")),
    };
    let verb = if also.is_empty() { "does not list it" } else { "lists neither it" };
    let consequence = consequence(view, finding, reported.file.as_deref());
    reported.message = format!("{path}() never returns{why}, but objtool {kernel} {verb}{also}: {consequence}");
    let entry = entry(name, kernel);
    let step = match &entry {
        Some(entry) => format!("{path}() is called; for {} in {}: {}", entry.list, entry.file, entry.text),
        None => format!("{path}() is called, which never returns"),
    };
    replace_last(view, reported, end.call, &chain, step);
    if chain.crate_place.is_none() {
        callers(view, finding, reported);
    }
    reported.never_returns =
        Some(NeverReturns { symbol: name.to_owned(), path: crate::mangled::plain(name), said_by, entry });
    true
}

fn is_weak(view: &View<'_>, id: SymbolId) -> bool {
    view.analysis.image.symbol(id).binding == crate::image::STB_WEAK
}

/// The call that may be to blame.
struct Ending {
    call: InsnId,
    /// Nothing but the end of the function follows it.
    is_certain: bool,
}

impl Ending {
    fn of(view: &View<'_>, finding: &Finding) -> Option<Ending> {
        let at = finding.insn.or_else(|| view.analysis.insns.containing(finding.at?))?;
        match &finding.fault {
            Fault::FallsThrough { .. } | Fault::UnexpectedEndOfSection { .. } => {
                Some(Ending { call: last_before(view, at)?, is_certain: true })
            }
            // The way that ran on from a call met another one.
            Fault::StackStateMismatch(_) | Fault::ReturnWithModifiedFrame | Fault::Unreachable => {
                let call = view.analysis.insns.prev_in_section(at)?;
                Some(Ending { call, is_certain: false })
            }
            _ => None,
        }
    }
}

/// The last instruction up to `at` that is no padding.
fn last_before(view: &View<'_>, at: InsnId) -> Option<InsnId> {
    let insns = &view.analysis.insns;
    let backwards = std::iter::successors(Some(at), |&insn| insns.prev_in_section(insn));
    let is_padding = |insn: &InsnId| matches!(view.analysis.insns.kind(*insn), Kind::Nop | Kind::Trap);
    backwards.take(MOST_PADDING).find(|insn| !is_padding(insn))
}

/// Who declares that the function never returns: the object at hand, else another one of the tree.
fn said_by(view: &View<'_>, call: InsnId, name: &str, known: &Surroundings<'_>) -> Option<String> {
    let at = view.analysis.insns.loc(call);
    if view.map().and_then(|map| map.function(at, name)).is_some_and(|function| function.noreturn) {
        return Some("its declaration".to_owned());
    }
    (known.declared_by)(name)
}

/// Further up in the function, calls that end a block, of functions that are declared never to return and that objtool
/// does not know either: with the last one alone on its list, it would complain about these.
fn others(view: &View<'_>, last: InsnId, callee: SymbolId, known: &Surroundings<'_>) -> Vec<String> {
    let (insns, flow) = (&view.analysis.insns, &view.analysis.flow);
    let mut found: Vec<SymbolId> = Vec::new();
    let mut at = insns.prev_in_section(last);
    while let Some(insn) = at.filter(|&insn| flow.owner(insn) == flow.owner(last)) {
        match insns.kind(insn) {
            Kind::Return | Kind::JumpUnconditional | Kind::JumpDynamic => break,
            Kind::Call if !flow.has(insn, crate::flow::Flags::DEAD_END) => {
                let other = flow.direct_callee(insns, insn).filter(|other| *other != callee && !found.contains(other));
                found.extend(other);
            }
            _ => {}
        }
        at = insns.prev_in_section(insn);
    }
    found.retain(|&id| (known.declared_by)(view.analysis.image.symbol_name(id)).is_some());
    found.into_iter().map(|id| view.name(id)).collect()
}

/// What objtool takes to happen.
fn consequence(view: &View<'_>, finding: &Finding, here: Option<&str>) -> String {
    match &finding.fault {
        Fault::FallsThrough { from, to } => {
            format!("to objtool, {}() runs on into {}()", view.name(*from), view.name(*to))
        }
        Fault::UnexpectedEndOfSection { function: Some(function), .. } => {
            format!("to objtool, {}() runs on beyond the end of its section", view.name(*function))
        }
        Fault::StackStateMismatch(_) | Fault::ReturnWithModifiedFrame => {
            let line = finding.insn.map(|insn| view.words(insn, here)).unwrap_or_default();
            format!("to objtool, the path runs on into the code of {line}, which expects another stack")
        }
        _ => "to objtool, the code runs on".to_owned(),
    }
}

/// The lines that a call comes from.
struct Chain {
    /// The line of the crate; of the tree, where none of the crate is on the way.
    crate_place: Option<Place>,
    /// Whether the lines are those of a Rust compiler.
    is_rust: bool,
}

impl Chain {
    fn of(view: &View<'_>, call: InsnId) -> Chain {
        let at = view.analysis.insns.loc(call);
        let main = view.map().and_then(|map| map.main_file(at));
        let Some(main) = main.filter(|file| is_rust_file(file)) else {
            return Chain { crate_place: view.nearest_place(at), is_rust: false };
        };
        let main = main.split("/@/").next().unwrap_or(&main).to_owned();
        let folder = main.rsplit_once('/').map_or("", |(folder, _)| folder);
        let of_crate = |file: &str| file == main || (!folder.is_empty() && file.starts_with(folder));
        let of_tree = |file: &str| !is_rust_library(file);
        let place = view.map().and_then(|map| map.place(at));
        let chosen = place.and_then(|place| {
            let own = |wanted: &dyn Fn(&str) -> bool| {
                let here = place.line.is_some() && wanted(&place.file);
                if here { Some(place.clone()) } else { call_outside(&place, wanted) }
            };
            let unplaced = || of_tree(&place.file).then(|| view.nearest_place(at)).flatten();
            own(&of_crate).or_else(|| own(&of_tree)).or_else(unplaced)
        });
        Chain { crate_place: chosen.filter(|place| of_tree(&place.file) && place.line.is_some()), is_rust: true }
    }

    fn place(&self, reported: &mut ReportedFinding) {
        match &self.crate_place {
            Some(place) => {
                (reported.file, reported.line, reported.column) = (Some(place.file.clone()), place.line, place.column);
                reported.inlined = place.inlined.clone();
            }
            None if self.is_rust => {
                (reported.file, reported.line, reported.column) = (None, None, None);
                reported.inlined.clear();
            }
            None => {}
        }
    }
}

/// The step that says where the code goes on becomes the one of the call.
fn replace_last(view: &View<'_>, reported: &mut ReportedFinding, call: InsnId, chain: &Chain, text: String) {
    let at = view.analysis.insns.loc(call);
    let line: SourceLine = chain.crate_place.clone().into();
    let step = PathStep {
        kind: PathKind::Branch,
        section: view.section_name(at.section).to_owned(),
        offset: at.offset,
        file: line.file,
        line: line.line,
        instruction: view.text(call),
        text,
    };
    match reported.path.last_mut().filter(|last| last.offset == at.offset && last.section == step.section) {
        Some(last) => *last = step,
        None => reported.path.push(step),
    }
}

/// Who calls a function that has no line of the crate: a copy of a generic function of the library.
fn callers(view: &View<'_>, finding: &Finding, reported: &mut ReportedFinding) {
    let Some(function) = finding.function else { return };
    let (insns, flow) = (&view.analysis.insns, &view.analysis.flow);
    let name = view.name(function);
    let calls =
        (0..insns.n_real()).map(InsnId::from_index).filter(|&insn| flow.direct_callee(insns, insn) == Some(function));
    for call in calls.take(MOST_CALLERS) {
        let Some(place) = Chain::of(view, call).crate_place else { continue };
        if reported.file.is_none() {
            (reported.file, reported.line) = (Some(place.file.clone()), place.line);
            reported.inlined = place.inlined.clone();
            let by = flow.owner(call).map_or_else(String::new, |owner| format!(" by {}()", view.name(owner)));
            reported.message.push_str(&format!("; {name}() is called here{by}"));
        }
        let at = insns.loc(call);
        reported.path.push(PathStep {
            kind: PathKind::Branch,
            section: view.section_name(at.section).to_owned(),
            offset: at.offset,
            file: Some(place.file),
            line: place.line,
            instruction: view.text(call),
            text: format!("{name}() is called"),
        });
    }
}

/// A check at compile time that does not hold for one caller.
fn build_error(
    view: &View<'_>,
    finding: &Finding,
    reported: &mut ReportedFinding,
    chain: &Chain,
    known: &Surroundings<'_>,
) {
    let fate = "its call of rust_build_error() was not removed, so that linking fails";
    let innermost = Ending::of(view, finding).and_then(|end| {
        let place = view.map()?.place(view.analysis.insns.loc(end.call))?;
        // What a macro of the library brings in is of no interest to whoever wrote the check.
        let outside = |place: Place| {
            if is_rust_library(&place.file) { call_outside(&place, |f| !is_rust_library(f)) } else { Some(place) }
        };
        outside(place).filter(|place| place.line.is_some())
    });
    let Some(check) = innermost else {
        let function = finding.function.map_or_else(|| "this code".to_owned(), |id| format!("{}()", view.name(id)));
        reported.message = format!("a compile-time check (`build_assert!`) does not hold in {function}: {fate}");
        return;
    };
    let here = chain.crate_place.as_ref().map(|place| &*place.file);
    let line = check.line.unwrap_or_default();
    let word = check_word((known.text_of)(&check.file).as_deref(), line);
    let checked = at_line(&check.file, line, here);
    let (for_whom, calls) = match (check.inlined.first(), check.inlined.last()) {
        (Some(inner), Some(outer)) => {
            let call = match (&outer.file, outer.line) {
                (Some(file), Some(line)) => format!("the call on {}", at_line(file, line, here)),
                _ => "a call".to_owned(),
            };
            let through = if check.inlined.len() > 1 { format!(", through {}", outer.function) } else { String::new() };
            (format!("does not hold for {call} (`{}`{through})", inner.function), check.inlined.as_slice())
        }
        _ => ("does not hold".to_owned(), &[][..]),
    };
    reported.message = format!("the {word} on {checked} {for_whom}: {fate}");
    for frame in calls {
        reported.path.push(PathStep {
            kind: PathKind::Branch,
            section: reported.section.clone().unwrap_or_default(),
            offset: reported.offset.unwrap_or_default(),
            file: frame.file.clone(),
            line: frame.line,
            instruction: String::new(),
            text: format!("{}() is called, which holds the check", frame.function),
        });
    }
}

/// What the check is called where it is written. A macro may take several lines, the first of which has its name.
fn check_word(text: Option<&str>, line: u32) -> &'static str {
    let lines: Vec<&str> = text.map(|text| text.lines().collect()).unwrap_or_default();
    let end = (line as usize).min(lines.len());
    let window = lines.get(end.saturating_sub(4)..end).unwrap_or_default();
    let has = |word: &str| window.iter().rev().any(|line| line.contains(word));
    match () {
        () if has("build_error!") => "`build_error!`",
        () if has("build_assert!") || window.is_empty() => "`build_assert!`",
        () if has("static_assert!") => "`static_assert!`",
        () => "check at compile time (`build_assert!`)",
    }
}
