//! `orcls check` by the rules for user space: unwind tables against what the code does.
//!
//! In: objects, archives, linked files.  Out: findings in one of the formats.
//! Holds afterwards: an object that can not be read is said, and hides no other; the members of an archive are named
//! `ARCHIVE(MEMBER)`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::archive;
use super::inputs::{Input, Once};
use super::output::{BOLD, ERROR};
use super::sarif;
use super::sources::Sources;
use crate::baseline::Baseline;
use crate::cancel::CancelToken;
use crate::files;
use crate::findings::Severity;
use crate::image::{ET_REL, ElfImage, FileStore, Section, Store};
use crate::report::findings::ReportedGap;
use crate::report::unwind::findings_by;
use crate::report::{Report, ReportedFinding};
use crate::source_map::Lines;
use crate::unwind::{self, Unjudged};

/// One object's answer, as JSON has it.
#[derive(Serialize)]
pub(crate) struct Answer {
    object: String,
    rules: &'static str,
    findings: Vec<ReportedFinding>,
    compared: usize,
    unjudged: BTreeMap<Unjudged, usize>,
    without_table: usize,
}

/// What printing an input came to.
#[derive(Default)]
pub(crate) struct Printed {
    pub text: String,
    pub n_objects: usize,
    pub n_findings: usize,
    pub failed: Vec<String>,
    /// For the one document that SARIF is.
    pub reports: Vec<sarif::Entry>,
}

/// What to print.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Text,
    /// And what was not judged.
    TextWithGaps,
    Json,
    /// Nothing: the reports are printed with all others.
    Sarif,
}

/// How to answer.
#[derive(Clone, Copy)]
pub(crate) struct Manner<'a> {
    pub style: Style,
    /// What is known already.
    pub baseline: &'a Baseline,
}

/// Whether an input is for user space, by what it is.
pub(crate) fn is_user_space(file: &Once<'_>) -> bool {
    if file.input.is_source() {
        return false;
    }
    let Ok(store) = file.store() else { return false };
    match ElfImage::section_names(store.as_ref()) {
        Ok(names) => unwind::is_user_space(names.iter().map(String::as_str)),
        Err(_) => is_archive(store.as_ref()),
    }
}

/// Judges an input, which may be an archive.
pub(crate) fn print(file: &Once<'_>, manner: Manner<'_>) -> Printed {
    let input = file.input;
    let mut printed = Printed::default();
    match members_of(file) {
        Ok(Some(members)) => {
            members.into_iter().for_each(|(name, store)| one(&name, ([&input.path; 2], store), manner, &mut printed))
        }
        Ok(None) => match file.store() {
            Ok(store) => one(&input.name(), ([&input.path; 2], store.clone()), manner, &mut printed),
            Err(error) => refuse(&input.name(), &error.to_string(), manner, &mut printed),
        },
        Err(error) => refuse(&input.name(), &error.to_string(), manner, &mut printed),
    }
    printed
}

type Member = (String, Arc<dyn Store>);

/// A larger archive is not read.
const MAX_ARCHIVE: u64 = 1 << 30;

/// The objects of an archive; `None` for any other file.
fn members_of(file: &Once<'_>) -> std::io::Result<Option<Vec<Member>>> {
    let input = file.input;
    if !file.store().is_ok_and(|store| is_archive(store.as_ref())) {
        return Ok(None);
    }
    let bytes = files::read(&input.path, MAX_ARCHIVE)?;
    let objects = archive::members(&bytes).into_iter().filter_map(|(name, range)| {
        let body = bytes.get(range).filter(|body| body.starts_with(b"\x7fELF"))?;
        let store: Arc<dyn Store> = Arc::new(body.to_vec());
        Some((format!("{}({name})", input.name()), store))
    });
    Ok(Some(objects.collect()))
}

/// Whether the file is a static library.
fn is_archive(store: &dyn Store) -> bool {
    store.read(0, archive::MAGIC.len() as u64).is_ok_and(|head| head == archive::MAGIC)
}

/// Judges a source by its object, which was compiled.
pub(crate) fn print_compiled(input: &Input, object: (&Path, Vec<u8>), manner: Manner<'_>) -> Printed {
    let mut printed = Printed::default();
    // The text is where the user named it; the object may be in another folder.
    one(&input.name(), ([object.0, &input.path], Arc::new(object.1)), manner, &mut printed);
    printed
}

/// Says that an input could not be judged.
pub(crate) fn print_refusal(input: &Input, why: &str, manner: Manner<'_>) -> Printed {
    let mut printed = Printed::default();
    refuse(&input.name(), why, manner, &mut printed);
    printed
}

fn refuse(name: &str, why: &str, manner: Manner<'_>, printed: &mut Printed) {
    printed.failed.push(format!("{name}: {why}"));
    if manner.style == Style::Json {
        let _ = writeln!(printed.text, "{}", serde_json::json!({ "object": name, "error": why }));
    }
}

/// The object's path, and another one near which its sources may be.
type Near<'a> = [&'a Path; 2];

fn text_near(near: Near<'_>, file: &str) -> Option<String> {
    near.iter().find_map(|path| Sources::text(path, file))
}

fn one(name: &str, (near, store): (Near<'_>, Arc<dyn Store>), manner: Manner<'_>, printed: &mut Printed) {
    let [path, _] = near;
    let mut answer = match judge(name, near, store) {
        Ok(answer) => answer,
        Err(why) => return refuse(name, &why, manner, printed),
    };
    let mut known = manner.baseline.of(Path::new(name));
    answer.findings.retain(|finding| !known.take(finding.code, finding.function.as_deref()));
    printed.n_objects += 1;
    printed.n_findings += answer.findings.len();
    match manner.style {
        Style::Json => {
            printed.text.push_str(&serde_json::to_string(&answer).unwrap_or_default());
            printed.text.push('\n');
        }
        Style::Text => text(&answer, near, &mut printed.text),
        Style::TextWithGaps => {
            text(&answer, near, &mut printed.text);
            let gaps = answer.unjudged.iter().map(|(why, n)| format!("{n} {}", why.words()));
            let gaps = gaps.collect::<Vec<_>>().join(", ");
            let gaps = if gaps.is_empty() { "nothing".to_owned() } else { gaps };
            let _ = writeln!(
                printed.text,
                "{BOLD}{name}{BOLD:#}: {} instructions judged; not judged: {gaps}; without a table: {}",
                answer.compared, answer.without_table
            );
        }
        Style::Sarif => {
            let gaps = answer.unjudged.iter().filter(|(why, _)| **why != Unjudged::Unreached);
            let gaps =
                gaps.map(|(why, n)| ReportedGap { what: format!("{n} instructions"), why: why.words().to_owned() });
            let report = Report {
                object: answer.object,
                kernel: None,
                findings: answer.findings,
                unjudged: gaps.collect(),
                no_source: None,
            };
            printed.reports.push(sarif::Entry::new(report, path));
        }
    }
}

/// Judges one object.
fn judge(name: &str, near: Near<'_>, store: Arc<dyn Store>) -> Result<Answer, String> {
    let [path, _] = near;
    let image = ElfImage::read(store.as_ref()).map_err(|error| error.to_string())?;
    let judged = unwind::judge(store.as_ref(), &image, &CancelToken::default());
    let judgement = judged.map_err(|error| error.to_string())?;
    let debug = debug_file(path, store.as_ref(), &image);
    let (debug, lines) = match debug {
        Some((debug, store)) => (Some(debug), Lines::new(store)),
        None => (None, Lines::new(store)),
    };
    let text_of = |file: &str| text_near(near, file).map(Arc::from);
    Ok(Answer {
        object: name.to_owned(),
        rules: "user",
        findings: findings_by(&image, debug.as_ref().unwrap_or(&image), &judgement, &lines, &text_of),
        compared: judgement.compared,
        unjudged: judgement.unjudged,
        without_table: judgement.without_table.iter().map(|bare| bare.instructions).sum(),
    })
}

/// The file that has a stripped one's names and lines, found by its build id or beside it.
fn debug_file(path: &Path, store: &dyn Store, image: &ElfImage) -> Option<(ElfImage, Arc<dyn Store>)> {
    let has = |image: &ElfImage, name: &str| image.sections().any(|(_, section)| section.name == name);
    if image.kind == ET_REL || has(image, ".debug_line") {
        return None;
    }
    let note = image.section_by_name(".note.gnu.build-id")?;
    let note = image.read_section(store, note).ok()?;
    // A name of four bytes, `GNU`, behind three words.
    let id: String = note.get(16..).filter(|id| id.len() >= 8)?.iter().map(|byte| format!("{byte:02x}")).collect();
    let (first, rest) = id.split_at(2);
    let name = path.file_name()?.to_string_lossy().into_owned();
    let folder = path.parent()?;
    let candidates = [
        Path::new("/usr/lib/debug/.build-id").join(first).join(format!("{rest}.debug")),
        folder.join(format!("{name}.debug")),
        folder.join(".debug").join(format!("{name}.debug")),
    ];
    candidates.iter().find_map(|candidate| {
        let store: Arc<dyn Store> = Arc::new(FileStore::open(candidate).ok()?);
        let debug = ElfImage::read(store.as_ref()).ok()?;
        let own =
            debug.section_by_name(".note.gnu.build-id").and_then(|id| debug.read_section(store.as_ref(), id).ok());
        let same = |(a, b): (&Section, &Section)| a.name == b.name && a.addr == b.addr && a.size == b.size;
        let code = image.sections.iter().zip(&debug.sections).filter(|(a, _)| a.is_code());
        (own.as_ref() == Some(&note) && code.into_iter().all(same)).then_some((debug, store))
    })
}

/// The findings for people: place, words, source line, what else is worth to be seen.
fn text(answer: &Answer, near: Near<'_>, out: &mut String) {
    for finding in &answer.findings {
        let place = match (&finding.file, finding.line) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            _ => format!(
                "{}: {}+{:#x}",
                answer.object,
                finding.section.as_deref().unwrap_or(""),
                finding.offset.unwrap_or(0)
            ),
        };
        let word = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Information => "note",
        };
        let function = finding.function.as_deref().map(|name| format!("{name}: ")).unwrap_or_default();
        let _ = writeln!(
            out,
            "{BOLD}{place}{BOLD:#}: {ERROR}{word}[{}]{ERROR:#}: {function}{}",
            finding.code, finding.message
        );
        if let (Some(file), Some(line)) = (&finding.file, finding.line) {
            source_line(near, file, line, out);
        }
        for step in &finding.path {
            let place = match (&step.file, step.line) {
                (Some(file), Some(line)) => format!("{file}:{line}"),
                _ => format!("{}+{:#x}", step.section, step.offset),
            };
            let _ = writeln!(out, "    {place}: {}", step.text);
        }
    }
}

fn source_line(near: Near<'_>, file: &str, line: u32, out: &mut String) {
    let text = text_near(near, file);
    let wanted = text.as_deref().and_then(|text| text.lines().nth(line.saturating_sub(1) as usize));
    if let Some(wanted) = wanted {
        let _ = writeln!(out, "    {line:>5} | {}", wanted.trim_end());
    }
}
