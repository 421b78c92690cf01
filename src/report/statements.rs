//! In C, names the `asm` statements that move the stack pointer: the compiler does not know that they do.
//!
//! In: findings about the stack, the ways that led there, the texts of the files.  Out: a step in the path of each
//! finding, and a few words in its message.
//! Holds afterwards: a statement is named only where its instructions together leave the stack longer or shorter.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::analysis::Analysis;
use crate::cfi::StackOp;
use crate::findings::{Fault, Finding, Origin};
use crate::ids::InsnId;
use crate::report::findings::{PathKind, PathStep, Report, ReportedFinding};
use crate::report::path::passed;
use crate::report::view::{SourceLine, View};
use crate::source_map::Lines;

/// More statements than these are not named for one finding.
const MOST: usize = 4;
/// Instructions that are looked at in all. Only objects made for it have more on their ways.
const MOST_PASSED: usize = 1 << 20;

type Texts<'a> = dyn Fn(&str) -> Option<Arc<str>> + 'a;

/// Adds the statements to the findings of `report`, which are some of those of `analysis`. `text_of` gives the text of a file as
/// it was compiled.
pub fn name_asm_statements(report: &mut Report, analysis: &Analysis, lines: &Lines, text_of: &Texts<'_>) {
    let view = View::new(analysis, lines);
    let mut searched = Searched { text_of, lines: FxHashMap::default(), left: MOST_PASSED };
    for reported in &mut report.findings {
        if let Some(finding) =
            reported.id.and_then(|id| analysis.finding(id)).filter(|finding| is_about_the_stack(&finding.fault))
        {
            name(&view, finding, reported, &mut searched);
        }
    }
}

fn is_about_the_stack(fault: &Fault) -> bool {
    match fault.told().origin {
        Origin::LeftOver | Origin::Meeting(Some(_)) | Origin::Moves | Origin::LostBase => true,
        // Arms of alternatives have states of their own, and flags are not on the stack.
        Origin::Meeting(None)
        | Origin::Here
        | Origin::EndOfCode
        | Origin::RunsOn
        | Origin::Nowhere(_)
        | Origin::PointsTo(_)
        | Origin::OpenedAccess
        | Origin::ClosedAccess
        | Origin::SetDirection
        | Origin::ClearedDirection => false,
    }
}

fn name(view: &View<'_>, finding: &Finding, reported: &mut ReportedFinding, searched: &mut Searched<'_>) {
    let mut moves: Vec<(SourceLine, InsnId, i32)> = Vec::new();
    for state in &finding.states {
        let mut on_this_way: Vec<(SourceLine, InsnId, i32)> = Vec::new();
        let way = if searched.left == 0 { Vec::new() } else { passed(view, state) };
        searched.left = searched.left.saturating_sub(way.len());
        for insn in way {
            let ops = view.analysis.insns.ops(insn);
            if ops.is_empty() {
                continue;
            }
            let growth = ops.iter().map(StackOp::growth).fold(0, i32::wrapping_add);
            let line = view.source_line(insn);
            match on_this_way.iter_mut().find(|(known, ..)| *known == line) {
                Some((.., sum)) => *sum = sum.wrapping_add(growth),
                None => on_this_way.push((line, insn, growth)),
            }
        }
        on_this_way.retain(|(line, _, sum)| *sum != 0 && !moves.iter().any(|(known, ..)| known == line));
        moves.extend(on_this_way);
    }
    let is_told = |line: &SourceLine| {
        let causes = reported.path.iter().filter(|step| step.kind == PathKind::Cause);
        causes.into_iter().any(|step| step.file == line.file && step.line == line.line)
    };
    moves.retain(|(line, ..)| searched.is_asm(line));
    let told: Vec<bool> = moves.iter().map(|(line, ..)| is_told(line)).collect();
    for ((line, insn, _), told) in moves.into_iter().zip(told).take(MOST) {
        if let Some(place) = line.words(reported.file.as_deref()).filter(|place| !says(&reported.message, place)) {
            reported.message.push_str(&format!("; the asm statement at {place} moves the stack pointer"));
        }
        if told {
            continue;
        }
        let at = view.analysis.insns.loc(insn);
        let instruction = view.text(insn);
        reported.path.push(PathStep {
            kind: PathKind::Cause,
            section: view.section_name(at.section).to_owned(),
            offset: at.offset,
            file: line.file,
            line: line.line,
            text: format!("the compiler does not know that `{instruction}` moves the stack pointer"),
            instruction,
        });
    }
}

/// Whether a message names a place: `line 18` is none of `line 188`.
fn says(message: &str, place: &str) -> bool {
    let mut found = message.match_indices(place).map(|(at, _)| &message[at + place.len()..]);
    found.any(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Lines that were looked at.
struct Searched<'a> {
    text_of: &'a Texts<'a>,
    /// By file, the lines of `asm` statements, from 1.
    lines: FxHashMap<Arc<str>, Vec<u32>>,
    /// How many of [`MOST_PASSED`] instructions are left.
    left: usize,
}

impl Searched<'_> {
    fn is_asm(&mut self, line: &SourceLine) -> bool {
        let (Some(file), Some(line)) = (&line.file, line.line) else { return false };
        if !file.ends_with(".c") && !file.ends_with(".h") {
            return false;
        }
        let text_of = self.text_of;
        let lines = self.lines.entry(Arc::clone(file)).or_insert_with(|| {
            let text = text_of(file).unwrap_or_default();
            let numbered = (1..).zip(text.lines());
            numbered.filter(|(_, text)| has_asm(text)).map(|(number, _)| number).collect()
        });
        lines.contains(&line)
    }
}

/// Whether an `asm` statement begins on a line.
fn has_asm(line: &str) -> bool {
    let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    words.any(|word| matches!(word, "asm" | "__asm__" | "asm_inline" | "asm_volatile_goto" | "asm_goto_output"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_from_names() {
        for line in ["\tasm volatile(\"push %rbx\");", "\t__asm__ (\"\");", "#define X asm_inline volatile(\"\")"] {
            assert!(has_asm(line), "{line}");
        }
        for line in ["\tasm_exc_nmi();", "static void plasm(void)"] {
            assert!(!has_asm(line), "{line}");
        }
    }
}
