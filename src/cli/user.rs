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
use super::inputs::Input;
use super::output::{BOLD, ERROR};
use super::sources::Sources;
use crate::cancel::CancelToken;
use crate::files;
use crate::findings::Severity;
use crate::image::{ElfImage, FileStore, Store};
use crate::report::ReportedFinding;
use crate::report::unwind::findings;
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
}

/// Whether to print JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Text,
    Json,
}

/// Whether an input is for user space, by what it is.
pub(crate) fn is_user_space(input: &Input) -> bool {
    if input.is_source() {
        return false;
    }
    let names = FileStore::open(&input.path).ok().and_then(|store| ElfImage::section_names(&store).ok());
    let by_sections = |names: Vec<String>| unwind::is_user_space(names.iter().map(String::as_str));
    is_archive(&input.path) || names.is_some_and(by_sections)
}

/// Judges an input, which may be an archive.
pub(crate) fn print(input: &Input, style: Style) -> Printed {
    let mut printed = Printed::default();
    match members_of(input) {
        Ok(Some(members)) => {
            members.into_iter().for_each(|(name, store)| one(&name, input, store, style, &mut printed))
        }
        Ok(None) => match FileStore::open(&input.path) {
            Ok(store) => one(&input.name(), input, Arc::new(store), style, &mut printed),
            Err(error) => refuse(&input.name(), &error.to_string(), style, &mut printed),
        },
        Err(error) => refuse(&input.name(), &error.to_string(), style, &mut printed),
    }
    printed
}

type Member = (String, Arc<dyn Store>);

/// A larger archive is not read.
const MAX_ARCHIVE: u64 = 1 << 30;

/// The objects of an archive; `None` for any other file.
fn members_of(input: &Input) -> std::io::Result<Option<Vec<Member>>> {
    if !is_archive(&input.path) {
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
pub(crate) fn is_archive(path: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; 8];
    files::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && head == archive::MAGIC
}

fn refuse(name: &str, why: &str, style: Style, printed: &mut Printed) {
    printed.failed.push(format!("{name}: {why}"));
    if style == Style::Json {
        let _ = writeln!(printed.text, "{}", serde_json::json!({ "object": name, "error": why }));
    }
}

fn one(name: &str, input: &Input, store: Arc<dyn Store>, style: Style, printed: &mut Printed) {
    match judge(name, input, store) {
        Ok(answer) => {
            printed.n_objects += 1;
            printed.n_findings += answer.findings.len();
            match style {
                Style::Json => {
                    printed.text.push_str(&serde_json::to_string(&answer).unwrap_or_default());
                    printed.text.push('\n');
                }
                Style::Text => text(&answer, &input.path, &mut printed.text),
            }
        }
        Err(why) => refuse(name, &why, style, printed),
    }
}

/// Judges one object.
fn judge(name: &str, input: &Input, store: Arc<dyn Store>) -> Result<Answer, String> {
    let image = ElfImage::read(store.as_ref()).map_err(|error| error.to_string())?;
    let judged = unwind::judge(store.as_ref(), &image, &CancelToken::default());
    let judgement = judged.map_err(|error| error.to_string())?;
    let lines = Lines::new(store);
    let text_of = |file: &str| Sources::text(&input.path, file).map(Arc::from);
    Ok(Answer {
        object: name.to_owned(),
        rules: "user",
        findings: findings(&image, &judgement, &lines, &text_of),
        compared: judgement.compared,
        unjudged: judgement.unjudged,
        without_table: judgement.without_table.iter().map(|bare| bare.instructions).sum(),
    })
}

/// The findings for people: place, words, source line, what else is worth to be seen.
fn text(answer: &Answer, object: &Path, out: &mut String) {
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
            source_line(object, file, line, out);
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

fn source_line(object: &Path, file: &str, line: u32, out: &mut String) {
    let text = Sources::text(object, file);
    let wanted = text.as_deref().and_then(|text| text.lines().nth(line.saturating_sub(1) as usize));
    if let Some(wanted) = wanted {
        let _ = writeln!(out, "    {line:>5} | {}", wanted.trim_end());
    }
}
