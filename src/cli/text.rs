//! Prints findings for people: the source line with a caret, the way that led there, both states where two disagree.
//!
//! In: a [`Report`] and its [`Object`].  Out: text, with colours where standard output takes them.
//! Holds afterwards: every finding shows either its source line or its instruction, and says why it shows the latter.

use annotate_snippets::renderer::{DEFAULT_TERM_WIDTH, DecorStyle};
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use rustc_hash::FxHashMap;

use super::judge::Object;
use super::output;
use super::sources::Sources;
use crate::report::findings::{PathKind, PathStep, Severity};
use crate::report::{Report, ReportedFinding};

/// Lines that are so far apart are shown one by one.
const NEAR: u32 = 500;
/// Of a long way only its end is shown; states and causes are never left out.
const MAX_BRANCHES: usize = 6;

/// The findings as text.
pub(crate) fn render(report: &Report, object: &Object) -> String {
    if report.findings.is_empty() {
        return String::new();
    }
    let renderer = if output::stdout_is_coloured() { Renderer::styled() } else { Renderer::plain() };
    let width = terminal_size::terminal_size().map_or(DEFAULT_TERM_WIDTH, |(width, _)| usize::from(width.0));
    let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(width);
    let files = report.findings.iter().flat_map(|finding| {
        let steps = finding.path.iter().filter_map(|step| step.file.as_deref());
        steps.chain(finding.file.as_deref())
    });
    let sources = Sources::read(&object.path, files);
    let mut text = String::new();
    // What is due to one function that never returns is told once.
    let mut due: FxHashMap<_, Vec<&ReportedFinding>> = FxHashMap::default();
    for finding in report.findings.iter().filter(|finding| finding.never_returns.is_some()) {
        due.entry(&finding.never_returns).or_default().push(finding);
    }
    for finding in &report.findings {
        let same = due.get(&finding.never_returns).map_or(&[][..], Vec::as_slice);
        if same.first().is_some_and(|first| !std::ptr::eq(*first, finding)) {
            continue;
        }
        let others = same.get(1..).unwrap_or_default();
        let insn = (!finding.instruction.is_empty()).then(|| finding.instruction.clone());
        let group = group(finding, insn, report, &sources, others);
        text.push_str(&renderer.render(&[group]));
        text.push_str("\n\n");
    }
    text
}

/// A mark below a source line.
struct Mark<'a> {
    line: u32,
    column: Option<u32>,
    kind: AnnotationKind,
    label: &'a str,
}

fn group<'a>(
    finding: &'a ReportedFinding,
    insn: Option<String>,
    report: &'a Report,
    sources: &'a Sources,
    others: &[&ReportedFinding],
) -> Group<'a> {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Information => Level::NOTE,
    };
    let mut group = level
        .primary_title(finding.message.as_str())
        .id(finding.code.slug())
        .elements(Vec::<Snippet<'_, Annotation<'_>>>::new());
    let (steps, n_hidden) = shown(&finding.path);
    let mut files: Vec<(&str, Vec<Mark<'a>>)> = Vec::new();
    let mut without_line: Vec<&PathStep> = Vec::new();
    let mut mark = |file: Option<&'a str>, mark: Option<Mark<'a>>| match (file, mark) {
        (Some(file), Some(mark)) if sources.has(file, mark.line) => {
            match files.iter_mut().find(|(name, _)| *name == file) {
                Some((_, marks)) => marks.push(mark),
                None => files.push((file, vec![mark])),
            }
            true
        }
        _ => false,
    };
    let here = finding.line.map(|line| Mark { line, column: finding.column, kind: AnnotationKind::Primary, label: "" });
    let has_source = mark(finding.file.as_deref(), here);
    for step in steps {
        let there = step.line.map(|line| Mark { line, column: None, kind: AnnotationKind::Context, label: &step.text });
        if !mark(step.file.as_deref(), there) {
            without_line.push(step);
        }
    }
    if let (false, Some(file), Some(line)) = (has_source, finding.file.as_deref(), finding.line) {
        // The source is not on this machine, but its name and line are known.
        group = group.element(Origin::path(file).line(line as usize));
    } else if !has_source && let Some(insn) = &insn {
        let line = format!("{:#x}: {insn}", finding.offset.unwrap_or_default());
        let span = AnnotationKind::Primary.span(0..line.len());
        let path = format!("{} {}", report.object, finding.section.as_deref().unwrap_or_default());
        group = group.element(Snippet::source(line).line_numbering(false).path(path).annotation(span));
    }
    for (file, mut marks) in files {
        // Places far from each other are shown one by one: what is between them is not read.
        marks.sort_by_key(|mark| mark.line);
        for near in marks.chunk_by(|a, b| b.line - a.line <= NEAR) {
            group = group.element(snippet(file, near, sources));
        }
    }
    for frame in &finding.inlined {
        let call = match (&frame.file, frame.line) {
            (Some(file), Some(line)) => format!(" at {}:{line}", sources.shown(file)),
            _ => String::new(),
        };
        group = group.element(Level::NOTE.message(format!("inlined: {}() called{call}", frame.function)));
    }
    if let Some(place) = place(finding, insn.filter(|_| has_source || finding.line.is_some())) {
        group = group.element(Level::NOTE.message(place));
    }
    for step in without_line {
        group = group.element(Level::NOTE.message(format!("{}+{:#x}: {}", step.section, step.offset, step.text)));
    }
    if n_hidden > 0 {
        group = group.element(Level::NOTE.message(format!("{n_hidden} earlier branches are in --format json")));
    }
    if finding.line.is_none()
        && let Some(why) = &report.no_source
    {
        group = group.element(Level::NOTE.message(format!("no source line: {why}")));
    }
    for other in others {
        let place = match (&other.file, other.line) {
            (Some(file), Some(line)) => format!(" at {}:{line}", sources.shown(file)),
            _ => String::new(),
        };
        let function = other.function_name.as_deref().unwrap_or("?");
        group = group.element(Level::NOTE.message(format!("the same{place} in {function}()")));
        if let Some(line) = &other.objtool {
            group = group.element(Level::NOTE.message(format!("objtool: {line}")));
        }
    }
    if let Some(line) = &finding.objtool {
        group = group.element(Level::NOTE.message(format!("objtool: {line}")));
    }
    if let Some(module) = &finding.module {
        group = group.element(Level::NOTE.message(module.meaning));
        if let Some(author) = module.author {
            group = group.element(Level::HELP.message(format!("for the module's author: {author}")));
        }
    }
    group.element(Level::HELP.message(format!("`orcls explain {}` says what it means and how to fix it", finding.code)))
}

/// The steps to show, and how many branches were left out.
fn shown(path: &[PathStep]) -> (impl Iterator<Item = &PathStep>, usize) {
    let n_branches = path.iter().filter(|step| step.kind == PathKind::Branch).count();
    let n_hidden = n_branches.saturating_sub(MAX_BRANCHES);
    let mut left = n_hidden;
    let steps = path.iter().filter(move |step| {
        let hide = step.kind == PathKind::Branch && left > 0;
        left -= usize::from(hide);
        !hide
    });
    (steps, n_hidden)
}

/// The marked lines of one file, and those between them.
fn snippet<'a>(file: &'a str, marks: &[Mark<'a>], sources: &'a Sources) -> Snippet<'a, Annotation<'a>> {
    let first = marks.iter().map(|mark| mark.line).min().unwrap_or(1);
    let last = marks.iter().map(|mark| mark.line).max().unwrap_or(first);
    let (text, start) = sources.lines(file, first, last);
    let annotations = marks.iter().filter_map(|mark| {
        let span = sources.span(file, mark.line, mark.column)?;
        let span = span.start.checked_sub(start)?..span.end.checked_sub(start)?;
        let annotation = mark.kind.span(span);
        Some(if mark.label.is_empty() { annotation } else { annotation.label(mark.label) })
    });
    Snippet::source(text).line_start(first as usize).path(sources.shown(file)).annotations(annotations)
}

/// Where the finding is, in the object's own terms.
fn place(finding: &ReportedFinding, insn: Option<String>) -> Option<String> {
    let at = format!("{}+{:#x}", finding.section.as_ref()?, finding.offset?);
    let function = finding.function_name.as_ref().map(|function| format!(" in {function}()"));
    let insn = insn.map(|insn| format!(": {insn}"));
    Some(format!("at {at}{}{}", function.unwrap_or_default(), insn.unwrap_or_default()))
}
