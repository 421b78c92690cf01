//! An object's findings with all that orcls can say of them: places, causes, names in the sources' own words.
//!
//! In: an [`Object`] and who judged it.  Out: [`Report`].
//! Holds afterwards: only the findings that were asked for are in it.

use std::cell::RefCell;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::judge::{Judge, Object};
use super::sources::Sources;
use crate::causes;
use crate::compile::real_path;
use crate::ids::FindingId;
use crate::report::findings::ReportedGap;
use crate::report::rust::{self, Surroundings};
use crate::report::standing::for_module;
use crate::report::{self, Report, conditions, labels, macros, statements};

/// Whether the object is a module, or a part of one, that is no part of its kernel's sources.
fn is_foreign_module(object: &Object, judge: &Judge<'_>) -> bool {
    if !object.analysis.options.module && !object.analysis.image.is_finished_module() {
        return false;
    }
    let Some(tree) = judge.finder().flags(&object.path).tree else { return true };
    let path = real_path(&object.path);
    !tree.sources().any(|sources| path.starts_with(real_path(&sources)))
}

/// Describes those findings of `object` that `wanted` asks for.
pub(crate) fn told(object: &Object, judge: &Judge<'_>, wanted: impl Fn(FindingId) -> bool) -> Report {
    let mut report = report::report(&object.name, &object.analysis, &object.lines);
    // Thousands of findings ask for the same few files.
    let texts: RefCell<FxHashMap<String, Option<Arc<str>>>> = RefCell::default();
    let text_of = |file: &str| {
        let mut texts = texts.borrow_mut();
        match texts.get(file) {
            Some(text) => text.clone(),
            None => {
                let text: Option<Arc<str>> = Sources::text(&object.path, file).map(Arc::from);
                texts.insert(file.to_owned(), text.clone());
                text
            }
        }
    };
    labels::name_lines_by_text(&mut report, &object.analysis, &object.lines, &text_of);
    statements::name_asm_statements(&mut report, &object.analysis, &object.lines, &text_of);
    conditions::tell_conditions(&mut report, &object.analysis, &object.lines, &text_of);
    let build = (!report.findings.is_empty()).then(|| judge.build_of(object)).flatten();
    let main = build.as_ref().and_then(|build| build.source.as_deref()).map(|source| source.to_string_lossy());
    let command = build.as_ref().map_or(&[][..], |build| &build.argv);
    let sources = causes::Sources { text_of: &text_of, main: main.as_deref(), command };
    causes::explain(&mut report, &object.analysis, &object.lines, &sources);
    macros::name_macro_lines(&mut report, main.as_deref(), &text_of);
    let known = Surroundings { text_of: &text_of, declared_by: &|symbol| judge.declared_by(object, symbol) };
    rust::tell(&mut report, &object.analysis, &object.lines, &known);
    report.findings.retain(|finding| finding.id.is_none_or(&wanted));
    if is_foreign_module(object, judge) {
        for finding in &mut report.findings {
            finding.module = for_module(finding.code, finding.cause.kind, finding.file.as_deref());
        }
    }
    report.unjudged.extend(object.undecided.iter().map(|gap| {
        let (what, why) = gap.split_once(": ").unwrap_or((gap, ""));
        ReportedGap { what: what.to_owned(), why: why.to_owned() }
    }));
    report
}
