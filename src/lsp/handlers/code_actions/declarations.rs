//! Fixes of what C declares: functions that never return, points that are reached, a return of one's own.
//!
//! In: a case.  Out: [`Fix`]es.

use super::case::Case;
use super::patch::{Fix, Patch};

/// `__noreturn` on the declarations and the definition in this file.
pub(super) fn noreturn(case: &Case<'_>) -> Vec<Fix> {
    let Some(name) = case.cause.subject.as_deref().filter(|_| !case.assembly) else { return Vec::new() };
    let mut lines: Vec<usize> = case.causes.iter().map(|cause| cause.line).chain(case.at).collect();
    lines.sort_unstable();
    lines.dedup();
    let mut patches = Vec::new();
    for line in lines {
        let text = case.lines[line];
        let is_declaration = !text.starts_with(char::is_whitespace) && !text.contains("noreturn");
        let at = text.find(&format!("{name}(")).filter(|_| is_declaration);
        patches.extend(at.map(|at| Patch::replace(line, format!("{}__noreturn {}", &text[..at], &text[at..]))));
    }
    if patches.is_empty() {
        return Vec::new();
    }
    case.with_header(&format!("Declare {name}() `__noreturn`"), patches, "linux/compiler.h")
}

/// A trap where the source says that a point is never reached.
pub(super) fn bug(case: &Case<'_>) -> Vec<Fix> {
    let Some(at) = case.at.filter(|_| !case.assembly) else { return Vec::new() };
    let text = case.lines[at];
    let claims = ["__builtin_unreachable()", "unreachable()"];
    let Some(claim) = claims.iter().find(|claim| text.contains(**claim)) else { return Vec::new() };
    if text.trim_start().starts_with('#') {
        return Vec::new();
    }
    let title = format!("Trap instead: `BUG()` for `{claim}` in line {}", at + 1);
    case.with_header(&title, vec![Patch::replace(at, text.replacen(claim, "BUG()", 1))], "linux/bug.h")
}

/// The kernel's `RET` instead of the file's own.
pub(super) fn kernel_return_header(case: &Case<'_>) -> Vec<Fix> {
    let Some(at) = case.at.filter(|_| case.assembly) else { return Vec::new() };
    let is_define = |line: usize| {
        let words: Vec<&str> = case.lines[line].split_whitespace().collect();
        matches!(words.as_slice(), ["#define", "RET", ..] | ["#", "define", "RET", ..])
    };
    if !is_define(at) {
        return Vec::new();
    }
    // A condition that decides nothing else goes along.
    let starts = |line: usize, word: &str| case.lines.get(line).is_some_and(|text| text.trim_start().starts_with(word));
    let is_condition = |line: usize| ["#if", "#el", "#endif"].iter().any(|word| starts(line, word));
    let (mut first, mut last) = (at, at);
    while first > 0 && (is_condition(first - 1) || is_define(first - 1)) && !starts(first, "#if") {
        first -= 1;
    }
    while last + 1 < case.lines.len() && (is_condition(last + 1) || is_define(last + 1)) && !starts(last, "#endif") {
        last += 1;
    }
    let whole = starts(first, "#if") && starts(last, "#endif");
    let gone: Vec<usize> = if whole { (first..=last).collect() } else { vec![at] };
    let mut patches: Vec<Patch> = gone.into_iter().map(Patch::delete).collect();
    patches.extend(case.include("linux/linkage.h"));
    vec![Fix::new("Take the kernel's `RET`: `#include <linux/linkage.h>`", patches)]
}

/// `__always_inline` for a helper that the compiler did not inline.
pub(super) fn always_inline(case: &Case<'_>) -> Vec<Fix> {
    let (Some(at), Some(name)) = (case.at.filter(|_| !case.assembly), case.cause.subject.as_deref()) else {
        return Vec::new();
    };
    let text = case.lines[at];
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let place = text
        .match_indices("inline")
        .map(|(start, _)| start)
        .find(|&start| !text[..start].ends_with(is_word) && !text[start + 6..].starts_with(is_word));
    let Some(start) = place else { return Vec::new() };
    let changed = format!("{}__always_inline{}", &text[..start], &text[start + 6..]);
    case.with_header(&format!("Make {name}() `__always_inline`"), vec![Patch::replace(at, changed)], "linux/compiler.h")
}
