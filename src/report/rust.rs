//! What is to be said of findings besides the object's own words: the call that never returns, compile-time checks of Rust
//! that do not hold, `asm!` that moves the stack pointer, flags that rustc was not given.
//!
//! In: a [`Report`], what is known besides the object.  Out: the same report with better messages and places.
//! Holds afterwards: no finding was added or taken away; nothing is placed in Rust's own library, which nobody who writes
//! a driver can change; a function is said never to return only where something declares it so, or where the compiler
//! left nothing after its call.

mod asm;
mod dead_end;
pub mod naked;

use std::sync::Arc;

use crate::analysis::Analysis;
use crate::findings::{Fault, Finding};
use crate::ids::CodeLoc;
use crate::mangled;
use crate::report::findings::{Report, ReportedFinding};
use crate::report::view::View;
use crate::source_map::{Lines, is_rust_library};

/// What is known besides the object.
pub struct Surroundings<'a> {
    /// The text of a file that the debug info names, as it was compiled.
    pub text_of: &'a dyn Fn(&str) -> Option<Arc<str>>,
    /// The object of the tree that declares a function never to return, by its symbol.
    pub declared_by: &'a dyn Fn(&str) -> Option<String>,
}

/// Adds to the findings of `report`, which are some of those of `analysis`.
pub fn tell(report: &mut Report, analysis: &Analysis, lines: &Lines, known: &Surroundings<'_>) {
    if analysis.findings.is_empty() {
        return;
    }
    let view = View::outside_library(analysis, lines);
    for reported in &mut report.findings {
        let Some(finding) = reported.id.and_then(|id| analysis.finding(id)) else { continue };
        if !dead_end::tell(&view, finding, reported, known) && asm::tell(&view, finding, reported, known.text_of) {
            continue;
        }
        if is_rust(&view, finding) {
            bodies(&view, finding, reported);
            missing_flags(&view, finding, reported);
            leave_library(&view, finding, reported);
        }
    }
}

/// Whether the finding is about code that a Rust compiler made.
fn is_rust(view: &View<'_>, finding: &Finding) -> bool {
    let mangled = finding.function.is_some_and(|id| mangled::is_mangled(view.analysis.image.symbol_name(id)));
    mangled || finding.at.and_then(|at| view.map()?.main_file(at)).is_some_and(|file| is_rust_file(&file))
}

/// The unit of a Rust crate is named `FILE.rs/@/CRATE.HASH-cgu.N`.
fn is_rust_file(file: &str) -> bool {
    file.ends_with(".rs") || file.contains(".rs/@/")
}

/// What is said of whole functions: those without code, and those whose names are too long. They are placed at their `fn`.
fn bodies(view: &View<'_>, finding: &Finding, reported: &mut ReportedFinding) {
    let symbol = match &finding.fault {
        Fault::MissingSize { symbol } => {
            reported.message = format!(
                "{}() has no body: the compiler removed all of its code, since every path through it is undefined \
                 behaviour; whoever calls it runs on into the next function",
                view.name(*symbol)
            );
            *symbol
        }
        Fault::MissingBody { symbol } => *symbol,
        Fault::PrefixNameTooLong { name } => {
            let Some(symbol) = finding.function.or_else(|| named(view, name)) else { return };
            reported.message = format!(
                "the name of {}() has {} characters in the object, too many for a prefix symbol: its prefix stays \
                 without one, and is not unwound",
                view.name(symbol),
                name.len()
            );
            symbol
        }
        _ => return,
    };
    let image = &view.analysis.image;
    let name = image.symbol_name(symbol);
    let at = CodeLoc::new(image.symbol(symbol).section, image.symbol(symbol).value);
    let Some(map) = view.map() else { return };
    let by_name = || map.functions().into_iter().find(|function| function.name == name);
    let Some(function) = map.function(at, name).or_else(by_name) else { return };
    if let (Some(file), Some(line)) = (function.file, function.line)
        && !is_rust_library(&file)
    {
        (reported.file, reported.line, reported.column) = (Some(file), Some(line), None);
        reported.inlined.clear();
    }
}

fn named(view: &View<'_>, name: &str) -> Option<crate::ids::SymbolId> {
    view.analysis.image.symbols().find(|(id, _)| view.analysis.image.symbol_name(*id) == name).map(|(id, _)| id)
}

/// What is in a copy of a library's function, and was not inlined, is placed nowhere: its function's name says enough.
fn leave_library(view: &View<'_>, finding: &Finding, reported: &mut ReportedFinding) {
    if !reported.file.as_deref().is_some_and(is_rust_library) || of_library(view, finding.at) {
        return;
    }
    (reported.file, reported.line, reported.column) = (None, None, None);
}

/// Whether the code belongs to Rust's own library as a whole, as that of `rust/core.o` does.
fn of_library(view: &View<'_>, at: Option<CodeLoc>) -> bool {
    at.and_then(|at| view.map()?.main_file(at)).is_some_and(|file| is_rust_library(&file))
}

/// What makes rustc do what is missing.
fn missing_flags(view: &View<'_>, finding: &Finding, reported: &mut ReportedFinding) {
    let compiled = || finding.at.and_then(|at| view.map()?.place(at)).is_some_and(|place| place.file.ends_with(".rs"));
    let flags = match &finding.fault {
        Fault::NakedReturn => "-Zfunction-return=thunk-extern",
        Fault::IndirectBranch { call: true } => {
            "the target features retpoline-indirect-calls and retpoline-external-thunk"
        }
        Fault::IndirectBranch { call: false } => {
            "the target features retpoline-indirect-branches and retpoline-external-thunk; without jump tables \
             (-Cjump-tables=n, before rustc 1.93 -Zno-jump-tables) most of these jumps go away"
        }
        Fault::MissingInt3 { ret: true } => "the target feature harden-sls-ret",
        Fault::MissingInt3 { ret: false } => "the target feature harden-sls-ijmp",
        Fault::IndirectCallWithoutCfi => "-Zsanitizer=kcfi",
        Fault::RelocationToNonEndbr { .. } | Fault::DataRelocationToNonEndbr { .. } => "-Zcf-protection=branch",
        _ => return,
    };
    // Naked functions and `asm!` are written by hand: no flag changes them.
    if compiled() {
        reported.message.push_str(&format!(" (rustc does so with {flags})"));
    }
}

/// What a sentence calls a place: `line 7`, or `io.rs:7` in another file than `here`.
fn at_line(file: &str, line: u32, here: Option<&str>) -> String {
    if here == Some(file) {
        format!("line {line}")
    } else {
        format!("{}:{line}", file.rsplit('/').next().unwrap_or(file))
    }
}
