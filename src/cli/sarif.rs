//! Writes findings as SARIF 2.1.0, for code hosting sites and editors.
//!
//! In: [`Entry`]s, how things are named.  Out: one document with one run.
//! Holds afterwards: a path below the root is relative to it, wherever the root is on another machine; a fingerprint is of
//! one finding, and stays when lines and offsets move; documents of shards put together in order are the document of all.
//! Reads like: OASIS SARIF 2.1.0, §3.13 (log), §3.14 (run), §3.27 (result), §3.30 (region), §3.36 (code flow).

pub(super) mod merge;

use std::path::{Path, PathBuf};

use clap::Args;
use rustc_hash::FxHashMap;
use serde_json::{Value, json};

use super::shape::shape;
use super::sources::Sources;
use super::uri::uri;
use crate::findings::Code;
use crate::findings::Severity;
use crate::mangled;
use crate::report::findings::PathStep;
use crate::report::{Report, ReportedFinding};

/// How a document names things.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "SARIF")]
pub(crate) struct Style {
    /// Paths below DIR are relative to it [default: the work tree around the current folder, else that folder]
    #[arg(long, value_name = "DIR")]
    sarif_root: Option<PathBuf>,
    /// Where the pages of findings are, CODE.md below it
    #[arg(long, value_name = "URL")]
    help_uri: Option<String>,
}

impl Style {
    /// What a document is named by. `part`: of several documents, which this is.
    pub(super) fn naming(&self, part: Option<String>) -> Naming {
        let here = std::env::current_dir().unwrap_or_default();
        let around = || here.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_owned);
        let root = self.sarif_root.clone().or_else(around).unwrap_or_else(|| here.clone());
        Naming { root: root.canonicalize().unwrap_or(root), here, pages: self.help_uri.clone(), part }
    }
}

/// What a document's paths and pages are relative to.
pub(crate) struct Naming {
    root: PathBuf,
    here: PathBuf,
    pages: Option<String>,
    part: Option<String>,
}

/// The name of the root in a document (§3.14.14).
const ROOT: &str = "SRCROOT";

impl Naming {
    /// A file (§3.4): below the root by its way from there, and as it is elsewhere.
    fn file(&self, path: &str) -> Value {
        match self.below_root(path) {
            Some(relative) => json!({ "uri": uri(&relative), "uriBaseId": ROOT }),
            None => json!({ "uri": uri(path) }),
        }
    }

    fn below_root(&self, path: &str) -> Option<String> {
        let whole = self.here.join(path);
        // A file that is not here keeps the name that the build gave it, which is from the top of the sources.
        let Ok(real) = whole.canonicalize() else {
            return (!path.starts_with('/') && !path.starts_with(".."))
                .then(|| path.trim_start_matches("./").to_owned());
        };
        Some(real.strip_prefix(&self.root).ok()?.display().to_string())
    }

    /// What an object is recognised by on every machine.
    fn object(&self, name: &str) -> String {
        let last = || name.rsplit('/').next().unwrap_or(name).to_owned();
        self.below_root(name).unwrap_or_else(last)
    }
}

/// The findings of an object, and where they are on this machine.
pub(crate) struct Entry {
    report: Report,
    /// By finding: its first column, and the one behind its last, in UTF-16 code units from 1.
    columns: Vec<Option<(u32, u32)>>,
}

impl Entry {
    /// Gives files the names that they have on this machine.
    pub(super) fn new(mut report: Report, object: &Path) -> Entry {
        let names = report
            .findings
            .iter()
            .flat_map(|finding| finding.path.iter().filter_map(|step| step.file.clone()).chain(finding.file.clone()));
        let names: std::collections::BTreeSet<_> = names.collect();
        let sources = Sources::read(object, names.iter().map(|name| &**name));
        let column = |finding: &ReportedFinding| {
            let (file, line) = (finding.file.as_deref()?, finding.line?);
            sources.utf16_columns(file, line, finding.column)
        };
        let columns = report.findings.iter().map(column).collect();
        for finding in &mut report.findings {
            for file in finding.path.iter_mut().map(|step| &mut step.file).chain([&mut finding.file]) {
                *file = file.take().map(|name| sources.shown(&name).into());
            }
        }
        Entry { report, columns }
    }
}

/// The document.
pub(crate) fn document<'a>(entries: impl Iterator<Item = &'a Entry>, naming: &Naming) -> String {
    let mut results = Vec::new();
    let mut notifications = Vec::new();
    let mut codes = std::collections::BTreeSet::new();
    for Entry { report, columns } in entries {
        let mut counts = FxHashMap::default();
        for (finding, columns) in report.findings.iter().zip(columns) {
            codes.insert(finding.code);
            let print = fingerprint(report, finding, naming, &mut counts);
            results.push(result(report, finding, *columns, &print, naming));
        }
        for gap in &report.unjudged {
            let text = format!("{}: {} was not judged: {}", report.object, gap.what, gap.why);
            notifications.push(json!({ "level": "note", "message": { "text": text } }));
        }
    }
    let rules: Vec<Value> = codes.into_iter().map(|code| rule(code, naming)).collect();
    let mut run = json!({
        "tool": { "driver": {
            "name": "orcls",
            "semanticVersion": env!("CARGO_PKG_VERSION"),
            "rules": rules,
        } },
        "columnKind": "utf16CodeUnits",
        "originalUriBaseIds": { ROOT: { "uri": format!("{}/", uri(&naming.root.display().to_string()).trim_end_matches('/')) } },
        "invocations": [{ "executionSuccessful": true, "toolExecutionNotifications": notifications }],
        "results": results,
    });
    if let Some(part) = &naming.part {
        run["automationDetails"] = json!({ "id": format!("orcls/{part}/") });
    }
    text(run)
}

/// A document with this run.
fn text(run: Value) -> String {
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    });
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn rule(code: Code, naming: &Naming) -> Value {
    let entry = code.entry();
    let mut rule = json!({
        "id": code.slug(),
        "shortDescription": { "text": entry.title() },
        "fullDescription": { "text": entry.meaning() },
        "help": { "text": entry.page, "markdown": entry.page },
        "defaultConfiguration": { "level": level(entry.severity) },
    });
    if let Some(pages) = &naming.pages {
        rule["helpUri"] = json!(format!("{}/{}.md", pages.trim_end_matches('/'), code.slug()));
    }
    rule
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Information => "note",
    }
}

fn result(
    report: &Report,
    finding: &ReportedFinding,
    columns: Option<(u32, u32)>,
    fingerprint: &str,
    naming: &Naming,
) -> Value {
    let place = (finding.section.as_deref(), finding.offset);
    let mut location = location(report, finding.file.as_deref(), finding.line, place, naming);
    if let (Some((start, end)), Some(region)) = (columns, location["physicalLocation"].get_mut("region")) {
        region["startColumn"] = json!(start);
        region["endColumn"] = json!(end);
    }
    if let Some(function) = &finding.function {
        location["logicalLocations"] = json!([{ "name": function, "kind": "function" }]);
    }
    let mut result = json!({
        "ruleId": finding.code.slug(),
        "level": level(finding.severity),
        "message": { "text": finding.message },
        "locations": [location],
        // The second one is the one by which GitHub recognises an alert.
        "partialFingerprints": { "orcls/v2": fingerprint, "primaryLocationLineHash": format!("{}:1", hash(fingerprint)) },
        "properties": { "object": report.object, "kernel": report.kernel, "objtool": finding.objtool },
    });
    if !finding.path.is_empty() {
        let steps: Vec<Value> =
            finding.path.iter().map(|step| json!({ "location": step_location(report, step, naming) })).collect();
        result["codeFlows"] = json!([{ "threadFlows": [{ "locations": steps }] }]);
    }
    result
}

fn step_location(report: &Report, step: &PathStep, naming: &Naming) -> Value {
    let place = (Some(step.section.as_str()), Some(step.offset));
    let mut location = location(report, step.file.as_deref(), step.line, place, naming);
    location["message"] = json!({ "text": step.text });
    location
}

/// The line in the source, or the byte in the object where there is no line.
fn location(
    report: &Report,
    file: Option<&str>,
    line: Option<u32>,
    (section, offset): (Option<&str>, Option<u64>),
    naming: &Naming,
) -> Value {
    let artifact = naming.file(file.unwrap_or(&report.object));
    let physical = match (file, line) {
        (Some(_), Some(line)) => json!({ "artifactLocation": artifact, "region": { "startLine": line } }),
        _ => json!({ "artifactLocation": artifact }),
    };
    let mut location = json!({ "physicalLocation": physical });
    if let (Some(section), Some(offset)) = (section, offset) {
        location["physicalLocation"]["address"] = json!({ "relativeAddress": offset, "fullyQualifiedName": format!("{section}+{offset:#x}"), "kind": "instruction" });
    }
    location
}

/// The same for the same fault in a later build, and another one for every finding of an object: it depends on no offset, no
/// line and no folder of this machine; those that are otherwise alike are numbered in their order.
fn fingerprint(
    report: &Report,
    finding: &ReportedFinding,
    naming: &Naming,
    counts: &mut FxHashMap<String, usize>,
) -> String {
    let file = finding.file.as_deref().map(|file| naming.object(file)).unwrap_or_default();
    let function = finding.function.as_deref().map(mangled::key).unwrap_or_default();
    let words = finding.objtool.as_deref().map(shape).unwrap_or_default();
    let key = format!("{}:{}:{file}:{function}:{words}", finding.code, naming.object(&report.object));
    let n = counts.entry(key.clone()).or_default();
    *n += 1;
    format!("{key}:{n}")
}

/// FNV-1a of 64 bits, which is the same on every machine.
fn hash(text: &str) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}
