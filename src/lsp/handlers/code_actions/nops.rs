//! Places NOPs so that the arms of an alternative no longer disagree.
//!
//! In: the line of an alternative, its arms as strings.  Out: [`Fix`]es, fewest NOPs first.
//! Arms disagree at an offset where more than one has an instruction boundary. A NOP before an instruction moves its
//! boundaries; which placement helps is found by trying.

use super::Case;
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

/// The placements to try.
pub fn fixes(case: &Case<'_>) -> Vec<Fix> {
    let arms = arms(case);
    let mut fixes = Vec::new();
    for n in 1..=MOST_NOPS {
        for arm in &arms {
            let text = &case.lines[arm.line][arm.span.clone()];
            let separator = if text.contains("\\n") { "\\n" } else { ";" };
            let parts: Vec<&str> = text.split(separator).collect();
            for at in 0..=parts.len() {
                let mut with: Vec<&str> = parts.clone();
                let nops = vec!["nop"; n].join(if separator == ";" { "; " } else { separator });
                with.insert(at, &nops);
                with.retain(|part| !part.trim().is_empty());
                let joined = with.join(if separator == ";" { "; " } else { separator });
                fixes.push(replace(case, arm, &joined, n));
            }
        }
    }
    fixes
}

fn replace(case: &Case<'_>, arm: &Arm, text: &str, n: usize) -> Fix {
    let line = case.lines[arm.line];
    let changed = format!("{}{text}{}", &line[..arm.span.start], &line[arm.span.end..]);
    let what = if n == 1 { "a NOP" } else { "NOPs" };
    Fix::new(format!("Pad an arm with {what} so that no boundary disagrees"), vec![Patch::replace(arm.line, changed)])
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
