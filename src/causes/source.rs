//! Looks things up in the text of a source.

use std::sync::Arc;

use super::scene::{Line, Suspect, Text};

/// Where a label or function is defined in the source file.
pub(super) fn label(suspect: &Suspect<'_>, name: &str) -> Option<Line> {
    let (main, text) = suspect.main_text()?;
    let by_label = text.asm.label(name).map(|statement| statement.line);
    by_label.map(|line| (Arc::clone(&main), line as u32 + 1))
}

/// The lines outside of functions on which `name` is followed by a parenthesis: declarations and definitions. From 0.
pub(super) fn declarations(text: &Text, name: &str) -> Vec<usize> {
    let mut depth = 0i32;
    let mut found = Vec::new();
    for (at, line) in text.lines.iter().enumerate() {
        if depth == 0 && !line.trim_start().starts_with('#') && !line.trim_start().starts_with('*') && calls(line, name)
        {
            found.push(at);
        }
        depth += line.matches('{').count() as i32 - line.matches('}').count() as i32;
        depth = depth.max(0);
    }
    found
}

/// Whether a name is followed by a parenthesis on a line, or is that of a pointer to a function.
fn calls(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + name.len()..].trim_start();
        before.is_none_or(|c| !(c.is_alphanumeric() || c == '_')) && (after.starts_with('(') || after.starts_with(')'))
    })
}

/// Whether a word stands on a line by itself.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        before.is_none_or(|c| !is_part(c)) && after.is_none_or(|c| !is_part(c))
    })
}

/// The function of C around a line (from 0): the lines from that of its opening brace to its closing one.
pub(super) fn function_around(text: &Text, line: usize) -> std::ops::RangeInclusive<usize> {
    let last = text.lines.len().saturating_sub(1);
    let start = (0..=line.min(last)).rev().find(|&at| {
        text.lines[at].starts_with('{')
            || text.lines[at].trim_end().ends_with(") {") && !text.lines[at].starts_with(char::is_whitespace)
    });
    let end = (line.min(last)..=last).find(|&at| text.lines[at].starts_with('}'));
    start.unwrap_or(0)..=end.unwrap_or(last)
}

/// Whether a line says that the point is never reached.
fn claims(line: &str) -> bool {
    let code = line.trim_start();
    let words = ["unreachable(", "__builtin_unreachable(", "__builtin_assume(", "BUG_ON_UNREACHABLE("];
    !code.starts_with("//") && !code.starts_with('*') && words.iter().any(|word| code.contains(word))
}

/// The claim that the statement of a line (from 0) is the last one to run: on the line itself, or the next statement.
pub(super) fn unreachable_right_behind(text: &Text, line: usize) -> Option<usize> {
    let end = (line..text.lines.len()).take(8).find(|&at| text.lines[at].trim_end().ends_with([';', '}', '{']))?;
    let is_code = |&at: &usize| {
        let code = text.lines[at].trim();
        !code.is_empty() && !code.starts_with("//") && !code.starts_with("/*") && !code.starts_with('*') && code != "}"
    };
    let next = (end + 1..text.lines.len()).take(8).find(is_code);
    (line..=end).chain(next).find(|&at| claims(&text.lines[at]))
}

/// Where in a function of C its author says that a point is never reached: behind the line first, else before it.
pub(super) fn unreachable(text: &Text, line: usize) -> Option<usize> {
    let is_claim = |&at: &usize| claims(&text.lines[at]);
    let range = function_around(text, line);
    (line..=*range.end()).find(is_claim).or_else(|| (*range.start()..line).rev().find(is_claim))
}
