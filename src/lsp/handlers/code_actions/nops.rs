//! Places NOPs so that the arms of an alternative no longer disagree.
//!
//! In: the line of an alternative, its arms as strings.  Out: [`Fix`]es, fewest NOPs first.
//! Arms disagree at an offset where more than one has an instruction boundary. A NOP before an instruction moves its
//! boundaries; which placement helps is found by trying.

use super::case::Case;
use super::patch::{Fix, Patch};

/// A NOP is one byte; a patch site has room for few.
const MOST_NOPS: usize = 7;
/// Lines that an alternative's arms are looked for on.
const REACH: usize = 8;

/// One string of the text that holds instructions.
struct Arm {
    line: usize,
    /// The bytes of the line between the quotes.
    span: std::ops::Range<usize>,
}

/// An arm, taken apart.
struct Parts<'a> {
    separator: &'static str,
    instructions: Vec<&'a str>,
    /// Padding that stands in the arm.
    nops: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Parts<'a> {
        let newlines = text.contains("\\n");
        let parts = text.split(if newlines { "\\n" } else { ";" }).map(str::trim).filter(|part| !part.is_empty());
        let is_nop = |part: &&str| {
            part.split_whitespace().next().is_some_and(|word| word.trim_start_matches('.').starts_with("nop"))
        };
        let (nops, instructions) = parts.partition(is_nop);
        Parts { separator: if newlines { "\\n" } else { "; " }, instructions, nops }
    }

    /// The arm with its own padding and `more` NOPs in front of instruction `at`.
    fn with_nops(&self, at: usize, more: usize) -> String {
        let (before, behind) = self.instructions.split_at(at);
        let more = std::iter::repeat_n(&"nop", more);
        let all: Vec<&str> = before.iter().chain(&self.nops).chain(more).chain(behind).copied().collect();
        all.join(self.separator)
    }
}

/// The placements to try.
pub(super) fn fixes(case: &Case<'_>) -> Vec<Fix> {
    let arms = arms(case);
    let mut fixes = Vec::new();
    for more in 0..=MOST_NOPS {
        for arm in &arms {
            let parts = Parts::of(&case.lines[arm.line][arm.span.clone()]);
            if parts.instructions.is_empty() || (more == 0 && parts.nops.is_empty()) {
                continue;
            }
            for at in 0..=parts.instructions.len() {
                fixes.push(replace(case, arm, &parts.with_nops(at, more), more));
            }
        }
    }
    fixes
}

fn replace(case: &Case<'_>, arm: &Arm, text: &str, more: usize) -> Fix {
    let line = case.lines[arm.line];
    let changed = format!("{}{text}{}", &line[..arm.span.start], &line[arm.span.end..]);
    let old = &line[arm.span.clone()];
    let title = match more {
        0 => format!("Move the NOPs so that the arms agree: `{old}` becomes `{text}`"),
        _ => format!("Pad an arm so that the arms agree: `{old}` becomes `{text}`"),
    };
    Fix::new(title, vec![Patch::replace(arm.line, changed)])
}

/// The strings of the statement, without those of C's operands.
fn arms(case: &Case<'_>) -> Vec<Arm> {
    let last = (case.line + REACH).min(case.lines.len());
    let mut arms = Vec::new();
    for line in case.line..last {
        let text = case.lines[line];
        if line != case.line && !text.contains('"') {
            break;
        }
        let quotes: Vec<usize> = text.match_indices('"').map(|(at, _)| at).collect();
        for pair in quotes.chunks_exact(2) {
            let span = pair[0] + 1..pair[1];
            let operand = text[span.clone()].trim_start().starts_with(['=', '+', '&']);
            if !operand {
                arms.push(Arm { line, span });
            }
        }
        if text.contains(')') || !text.trim_end().ends_with([',', '\\']) {
            break;
        }
    }
    arms
}
