//! Writes findings as SARIF 2.1.0, for code hosting sites and editors.
//!
//! In: [`Report`]s.  Out: one document with one run.
//! Reads like: OASIS SARIF 2.1.0, §3.13 (log), §3.27 (result), §3.36 (code flow).

use serde_json::{Value, json};

use super::uri::uri;
use crate::findings::Code;
use crate::findings::Severity;
use crate::report::findings::PathStep;
use crate::report::{Report, ReportedFinding};

/// The document.
pub(crate) fn document<'a>(reports: impl Iterator<Item = &'a Report>) -> String {
    let mut results = Vec::new();
    let mut notifications = Vec::new();
    let mut codes = std::collections::BTreeSet::new();
    for report in reports {
        for finding in &report.findings {
            codes.insert(finding.code);
            results.push(result(report, finding));
        }
        for gap in &report.unjudged {
            let text = format!("{}: {} was not judged: {}", report.object, gap.what, gap.why);
            notifications.push(json!({ "level": "note", "message": { "text": text } }));
        }
    }
    let rules: Vec<Value> = codes.into_iter().map(rule).collect();
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "orcls",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            // Columns are not given, so that the unit matters to nobody; the property is required all the same.
            "columnKind": "utf16CodeUnits",
            "invocations": [{ "executionSuccessful": true, "toolExecutionNotifications": notifications }],
            "results": results,
        }],
    });
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn rule(code: Code) -> Value {
    let entry = code.entry();
    json!({
        "id": code.slug(),
        "shortDescription": { "text": entry.title() },
        "fullDescription": { "text": entry.meaning() },
        "help": { "text": entry.page, "markdown": entry.page },
        "defaultConfiguration": { "level": level(entry.severity) },
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Information => "note",
    }
}

fn result(report: &Report, finding: &ReportedFinding) -> Value {
    let mut location =
        location(report, finding.file.as_deref(), finding.line, finding.section.as_deref(), finding.offset);
    if let Some(function) = &finding.function {
        location["logicalLocations"] = json!([{ "name": function, "kind": "function" }]);
    }
    let mut result = json!({
        "ruleId": finding.code.slug(),
        "level": level(finding.severity),
        "message": { "text": finding.message },
        "locations": [location],
        "partialFingerprints": { "orcls/v1": fingerprint(report, finding) },
        "properties": { "object": report.object, "kernel": report.kernel, "objtool": finding.objtool },
    });
    if !finding.path.is_empty() {
        let steps: Vec<Value> =
            finding.path.iter().map(|step| json!({ "location": step_location(report, step) })).collect();
        result["codeFlows"] = json!([{ "threadFlows": [{ "locations": steps }] }]);
    }
    result
}

fn step_location(report: &Report, step: &PathStep) -> Value {
    let mut location = location(report, step.file.as_deref(), step.line, Some(&step.section), Some(step.offset));
    location["message"] = json!({ "text": step.text });
    location
}

/// The line in the source, or the byte in the object where there is no line.
fn location(
    report: &Report,
    file: Option<&str>,
    line: Option<u32>,
    section: Option<&str>,
    offset: Option<u64>,
) -> Value {
    let physical = match (file, line) {
        (Some(file), Some(line)) => {
            json!({ "artifactLocation": { "uri": uri(file) }, "region": { "startLine": line } })
        }
        (Some(file), None) => json!({ "artifactLocation": { "uri": uri(file) } }),
        (None, _) => json!({ "artifactLocation": { "uri": uri(&report.object) } }),
    };
    let mut location = json!({ "physicalLocation": physical });
    if let (Some(section), Some(offset)) = (section, offset) {
        location["physicalLocation"]["address"] = json!({ "relativeAddress": offset, "fullyQualifiedName": format!("{section}+{offset:#x}"), "kind": "instruction" });
    }
    location
}

/// The same for the same fault in a later build: it depends on no offset and on no line.
fn fingerprint(report: &Report, finding: &ReportedFinding) -> String {
    let file = finding.file.as_deref().unwrap_or(&report.object);
    let file = file.rsplit('/').next().unwrap_or(file);
    format!("{}:{file}:{}", finding.code, finding.function.as_deref().unwrap_or_default())
}
