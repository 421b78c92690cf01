//! In C, tells the branches of a path by the conditions that are written there, not by the instructions that they became.
//!
//! In: findings with their paths, the texts of the files.  Out: other words for branches: "`if (max > count)` is true".
//! Holds afterwards: a condition is said to be true or false only where one way of the branch leads into what the condition
//! guards and the other does not; elsewhere the branch's line is named.

use std::ops::RangeInclusive;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::analysis::Analysis;
use crate::ids::{CodeLoc, InsnId, SectionId};
use crate::report::findings::{PathKind, PathStep, Report};
use crate::report::view::View;
use crate::source_map::Lines;

/// Longer conditions are cut.
const MAX_CONDITION: usize = 80;
/// So many lines a condition, and so many what it guards, may have.
const MAX_LINES: usize = 400;

type Texts<'a> = dyn Fn(&str) -> Option<Arc<str>> + 'a;

/// Gives the branches in files of C the words of their source. `text_of` gives the text of a file as it was compiled.
pub fn tell_conditions(report: &mut Report, analysis: &Analysis, lines: &Lines, text_of: &Texts<'_>) {
    let view = View::new(analysis, lines);
    let sections: FxHashMap<&str, SectionId> =
        analysis.image.sections().map(|(id, section)| (section.name.as_str(), id)).collect();
    let mut texts: FxHashMap<Arc<str>, Option<Arc<str>>> = FxHashMap::default();
    for step in report.findings.iter_mut().flat_map(|finding| &mut finding.path) {
        let is_c = |file: &Arc<str>| file.ends_with(".c") || file.ends_with(".h");
        let Some(file) = step.file.clone().filter(|file| is_c(file) && step.kind == PathKind::Branch) else { continue };
        let (Some(line), Some(section)) = (step.line, sections.get(step.section.as_str())) else { continue };
        let Some(outcome) = Outcome::of(&step.text) else { continue };
        let Some(insn) = analysis.insns.at(CodeLoc::new(*section, step.offset)) else { continue };
        let text = texts.entry(Arc::clone(&file)).or_insert_with(|| text_of(&file)).clone();
        let ways = Ways {
            taken: analysis.flow.jump_target(insn).and_then(|to| line_in(&view, to, &file)),
            not_taken: analysis.flow.next(&analysis.insns, insn).and_then(|to| line_in(&view, to, &file)),
        };
        step.text = words(step, line, outcome, &ways, text.as_deref());
    }
}

/// The line of an instruction, if it is of this file.
fn line_in(view: &View<'_>, insn: InsnId, file: &Arc<str>) -> Option<u32> {
    let place = view.source_line(insn);
    place.line.filter(|_| place.file.as_ref() == Some(file))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Taken,
    NotTaken,
}

impl Outcome {
    /// As the words of a step for an instruction say it (`path`).
    fn of(text: &str) -> Option<Outcome> {
        let (_, rest) = text.split_once(' ')?;
        match () {
            () if rest.starts_with("not taken") => Some(Outcome::NotTaken),
            () if rest.starts_with("taken") => Some(Outcome::Taken),
            () => None,
        }
    }
}

/// The lines that a branch leads to.
struct Ways {
    taken: Option<u32>,
    not_taken: Option<u32>,
}

fn words(step: &PathStep, line: u32, outcome: Outcome, ways: &Ways, text: Option<&str>) -> String {
    let mnemonic = step.instruction.split_whitespace().next().unwrap_or("jump");
    let (here, other, how) = match outcome {
        Outcome::Taken => (ways.taken, ways.not_taken, "taken"),
        Outcome::NotTaken => (ways.not_taken, ways.taken, "not taken"),
    };
    let told = text.zip(here).and_then(|(text, here)| {
        let condition = Condition::at(text, line)?;
        let is_true = condition.leads(here)?;
        // If the other way went the same way, the branch would not be the condition's.
        let other_way = other.and_then(|other| condition.leads(other));
        (other_way != Some(is_true)).then(|| format!("`{}` is {is_true} (`{mnemonic}` {how})", condition.words))
    });
    told.unwrap_or_else(|| {
        let to = here.filter(|here| *here != line).map_or(String::new(), |to| format!(", to line {to}"));
        format!("the branch at line {line} is {how} (`{mnemonic}`){to}")
    })
}

/// A condition of C, and what it guards.
struct Condition {
    words: String,
    /// Its own lines, from 1.
    own: RangeInclusive<u32>,
    /// The lines that run where it is true.
    guarded: RangeInclusive<u32>,
}

impl Condition {
    /// The condition that a line is part of.
    fn at(text: &str, line: u32) -> Option<Condition> {
        let starts: Vec<usize> = [0].into_iter().chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let line_of = |at: usize| u32::try_from(starts.partition_point(|start| *start <= at)).unwrap_or(u32::MAX);
        let index = (line as usize).checked_sub(1)?;
        for back in 0..6 {
            let first = index.checked_sub(back)?;
            let start = *starts.get(first)?;
            let end = starts.get(first + 1).copied().unwrap_or(text.len());
            let Some(found) = text.get(start..end).and_then(keyword) else { continue };
            let (word, open) = (found.0, start + found.1);
            let limit = starts.get(first + MAX_LINES).copied().unwrap_or(text.len());
            let close = matching(text.get(..limit)?, open, b'(', b')')?;
            let own = line_of(start)..=line_of(close);
            if !own.contains(&line) {
                return None;
            }
            let guarded = guarded(text.get(..limit)?, close + 1)?;
            let inside: String = text.get(open..=close)?.split_whitespace().collect::<Vec<_>>().join(" ");
            let cut: String = match inside.chars().count() > MAX_CONDITION {
                true => inside.chars().take(MAX_CONDITION).chain(['…']).collect(),
                false => inside,
            };
            return Some(Condition {
                words: format!("{word} {cut}"),
                own,
                guarded: line_of(guarded.0)..=line_of(guarded.1),
            });
        }
        None
    }

    /// Whether a line is one that runs where the condition is true; `None` where that cannot be told.
    fn leads(&self, line: u32) -> Option<bool> {
        let is_same_line = self.guarded.start() <= self.own.end();
        match line {
            _ if is_same_line => None,
            line if self.guarded.contains(&line) => Some(true),
            line if line > *self.guarded.end() => Some(false),
            _ => None,
        }
    }
}

/// `if (` or `while (` in a line: the word, and where the parenthesis is.
fn keyword(line: &str) -> Option<(&'static str, usize)> {
    let mut found = None;
    for word in ["if", "while"] {
        for (at, _) in line.match_indices(word) {
            let before = line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let after = &line[at + word.len()..];
            let gap = after.len() - after.trim_start().len();
            if !before && after[gap..].starts_with('(') && !line[..at].contains("//") {
                found = found.max(Some((at + word.len() + gap, word)));
            }
        }
    }
    found.map(|(open, word)| (word, open))
}

/// Where what opens at `open` is closed, strings and comments aside.
fn matching(text: &str, open: usize, begin: u8, end: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, open);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' | b'\'' => {
                at += 1;
                while let Some(&inner) = bytes.get(at).filter(|inner| **inner != byte) {
                    at += if inner == b'\\' { 2 } else { 1 };
                }
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => at = text.get(at..)?.find("*/")? + at + 1,
            b'/' if bytes.get(at + 1) == Some(&b'/') => at = text.get(at..)?.find('\n')? + at,
            _ if byte == begin => depth += 1,
            _ if byte == end => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The first and the last byte of the statement after a condition.
fn guarded(text: &str, after: usize) -> Option<(usize, usize)> {
    let rest = text.get(after..)?;
    let begin = after + rest.len() - rest.trim_start().len();
    match text.as_bytes().get(begin)? {
        b'{' => {
            let close = matching(text, begin, b'{', b'}')?;
            // The brace itself is often in the condition's line.
            let inside = text.get(begin + 1..close)?;
            let first = begin + 1 + (inside.len() - inside.trim_start().len());
            (first < close).then_some((first, close))
        }
        _ => {
            let end = text.get(begin..)?.find(';')?;
            Some((begin, begin + end))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
int f(int max, int count)
{
\tif (max > count &&
\t    count) {
\t\tg();
\t\th();
\t}
\tif (max) return 1;
\twhile (count)
\t\tg();
\treturn 0;
}
";

    #[track_caller]
    fn check(line: u32, here: u32, expected: Option<(&str, bool)>) {
        let condition = Condition::at(TEXT, line);
        let found = condition.and_then(|found| Some((found.words.clone(), found.leads(here)?)));
        assert_eq!(found, expected.map(|(words, holds)| (words.to_owned(), holds)));
    }

    #[test]
    fn a_line_in_what_is_guarded_means_true() {
        check(3, 5, Some(("if (max > count && count)", true)));
        check(4, 6, Some(("if (max > count && count)", true)));
        check(3, 8, Some(("if (max > count && count)", false)));
        check(9, 10, Some(("while (count)", true)));
        check(9, 11, Some(("while (count)", false)));
    }

    #[test]
    fn what_cannot_be_told_is_not() {
        // To the condition's second half, and where all is in one line.
        check(3, 4, None);
        check(8, 8, None);
        check(5, 6, None);
        check(11, 12, None);
    }
}
