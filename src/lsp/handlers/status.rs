//! `orcls/status`: what is known about a file, how fresh it is, and what it was made from.
//!
//! In: [`Snapshot`].  Out: a JSON object with `state` and `message`, or null for a document that is not open.

use serde_json::{Value, json};

use crate::build::is_rust;
use crate::clean;
use crate::compile::confine;

use super::super::config::{CompileMode, Trust};
use super::super::documents::Document;
use super::super::snapshot::Snapshot;
use super::super::units::Unit;
use super::super::verdict::{Basis, Freshness, Scope, Trouble, Verdict};
use super::super::whole::linked_name;
use super::PlaceParams;

/// The state of a file.
pub fn status(snapshot: &Snapshot, params: &PlaceParams) -> Value {
    let Some((document, unit)) = snapshot.unit(&params.text_document.uri) else {
        return Value::Null;
    };
    let (state, message) = state(snapshot, unit, document);
    let mut status = json!({
        "uri": unit.uri,
        "state": state,
        "message": clean::notification(&message),
        "source": unit.path,
        "version": document.version,
        // What holds a compiler that is run, and why nothing does.
        "sandbox": confine::missing().map_or("landlock", |_| "none"),
        "sandboxMissing": confine::missing(),
    });
    if let (Some(verdict), Some(status)) = (&unit.last, status.as_object_mut()) {
        describe(verdict, &unit.path, status);
    }
    status
}

fn state(snapshot: &Snapshot, unit: &Unit, document: &Document) -> (&'static str, String) {
    if let Some(Trouble::NoCommand(not_found)) = &unit.trouble {
        return ("no-command", format!("{not_found}. {}", not_found.advice()));
    }
    if unit.is_busy() {
        let judged_alone = |verdict: &Verdict| verdict.scope == Scope::Pending;
        if unit.due.is_none() && unit.last.as_deref().is_some_and(judged_alone) {
            let how = match unit.last.as_ref().and_then(|verdict| verdict.by_index.as_ref()) {
                Some(_) => "judged by what is known of the other objects of",
                None => "judged alone; being judged as part of",
            };
            let (linked, index) = match &unit.last {
                Some(verdict) => (linked_name(verdict), verdict.by_index.is_some()),
                None => ("vmlinux.o".to_owned(), false),
            };
            let more = if index { "; being confirmed by a link of them" } else { "" };
            return ("analysing", format!("{how} {linked}{more}"));
        }
        return ("analysing", "the text is being compiled and analysed".to_owned());
    }
    if let Some(trouble @ Trouble::NotChecked(_)) = &unit.trouble {
        return ("not-checked", trouble.to_string());
    }
    if let Some(trouble) = &unit.trouble {
        let kept = if unit.last.is_some() { "; what is shown belongs to an older text" } else { "" };
        let state = match snapshot.config.trust {
            Trust::Untrusted if unit.last.is_none() => "untrusted",
            _ => "stale",
        };
        return (state, format!("{trouble}{kept}"));
    }
    if let Some(why) = unit.last.as_ref().and_then(|verdict| verdict.unchecked.as_ref()) {
        return ("not-checked", format!("not checked, because {why}"));
    }
    match (unit.freshness_of(document), snapshot.config.trust, snapshot.config.compile) {
        (Freshness::Fresh, ..) => ("fresh", "what is shown belongs to the text".to_owned()),
        _ if is_rust(&unit.path) => {
            let why = "orcls does not compile Rust: the build's object is shown, which is older than the text";
            ("stale", format!("{why}; it is judged again after the next build"))
        }
        (_, Trust::Untrusted, _) => {
            let why = "the workspace is not trusted: no compiler is run, the build's object is shown";
            ("untrusted", format!("{why}{}", would_run(unit)))
        }
        (_, _, CompileMode::Off) => {
            ("off", "orcls.compile is off: the build's object is shown, which is older than the text".to_owned())
        }
        (_, _, CompileMode::OnSave) => ("stale", "the text has changed; it is compiled when it is saved".to_owned()),
        (_, _, CompileMode::OnType) => ("stale", "the text has changed".to_owned()),
    }
}

/// What trust would allow, for a user who is asked for it.
fn would_run(unit: &Unit) -> String {
    let build = unit.last.as_ref().and_then(|verdict| verdict.build.as_ref());
    match build.and_then(|build| Some((build.argv.first()?, build.origin.path()))) {
        Some((program, file)) => format!("; `{program}` would be run, as {} says", file.display()),
        None => String::new(),
    }
}

fn describe(verdict: &Verdict, source: &std::path::Path, status: &mut serde_json::Map<String, Value>) {
    let basis = match verdict.basis {
        Basis::Buffer => "buffer",
        Basis::Object(_) => "object",
    };
    status.insert("basis".to_owned(), json!(basis));
    status.insert("analysedVersion".to_owned(), json!(verdict.versions.get(source)));
    status.insert("findings".to_owned(), json!(verdict.report.findings.len()));
    status.insert("unjudged".to_owned(), json!(verdict.report.unjudged));
    let linked = linked_name(verdict);
    let (scope, why) = match (&verdict.scope, &verdict.by_index) {
        (Scope::Alone, _) => ("object", None),
        (Scope::Pending, None) => ("pending", None),
        (Scope::Pending, Some(_)) => ("index", None),
        (Scope::Whole, _) => (linked.as_str(), None),
        (Scope::Unlinked(why), None) => ("object", Some(why)),
        (Scope::Unlinked(why), Some(_)) => ("index", Some(why)),
    };
    status.insert("scope".to_owned(), json!(scope));
    status.insert("scopeReason".to_owned(), json!(why));
    let index = verdict.by_index.as_ref().map(|by_index| {
        let found = &by_index.found;
        json!({"objects": found.n_objects, "left": found.n_left, "unknown": found.unknown})
    });
    status.insert("index".to_owned(), json!(index));
    // How much of what the index told at once the link has not confirmed, or has added to it.
    status.insert("indexDifferences".to_owned(), json!(verdict.differences));
    status.insert("elsewhere".to_owned(), json!(verdict.elsewhere.len()));
    status.insert("notes".to_owned(), json!(verdict.notes));
    let milliseconds = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    status.insert("compileMs".to_owned(), json!(milliseconds(verdict.timing.compile)));
    status.insert("ownMs".to_owned(), json!(milliseconds(verdict.timing.own)));
    if let Some(build) = &verdict.build {
        status.insert("object".to_owned(), json!(build.object));
        status.insert("directory".to_owned(), json!(build.directory));
        status.insert("command".to_owned(), json!(build.argv));
        status.insert("origin".to_owned(), json!(build.origin.path()));
        status.insert("flags".to_owned(), json!(build.flags.words));
        status.insert("flagsFrom".to_owned(), json!(build.flags.explained()));
    }
    if let Some(anatomy) = &verdict.anatomy {
        status.insert("kernel".to_owned(), json!(anatomy.analysis.kernel));
        status.insert("kernelEvidence".to_owned(), json!(anatomy.analysis.kernel_evidence));
    }
}
