//! Fixes of unwind tables: directives that are missing, or say the wrong thing.
//!
//! In: a finding of the rules for user space, with the table's state and the code's.  Out: [`Fix`]es, most likely first.
//! Holds afterwards: no instruction is changed, at most the missing partner of a push or a pop is put in; nothing is taken out
//! of the table, and nothing is declared to be undefined.

use crate::assembly::spelling::{Spelling, plain};
use crate::findings::Code;

use super::case::Case;
use super::patch::{Fix, Patch};

/// Longer functions are not searched.
const MOST_LINES: usize = 400;

/// What may mend a finding about an unwind table, spelled as the file spells its directives.
pub(super) fn fixes(case: &Case<'_>) -> Vec<Fix> {
    // Directives of inline assembly hang on the compiler's frame, which nobody knows in the source.
    if !case.assembly {
        return Vec::new();
    }
    let Some(spelling) = Spelling::of(&case.lines.join("\n")) else { return in_gas_words(case) };
    let lines: Vec<_> = case.lines.iter().map(|line| plain(line)).collect();
    let mut found = in_gas_words(&case.respelled(lines.iter().map(|line| &**line).collect()));
    for fix in &mut found {
        fix.title = spelling.write(&fix.title);
        for line in fix.patches.iter_mut().flat_map(|patch| &mut patch.with) {
            *line = spelling.write(line);
        }
    }
    found
}

fn in_gas_words(case: &Case<'_>) -> Vec<Fix> {
    match case.finding.code {
        Code::UnwindStackUntold => untold(case),
        Code::UnwindRegisterWrong => [register(case), restored(case), partner(case)].concat(),
        Code::UnwindRowsBehindReturn => behind_return(case),
        Code::UnwindWrongNumber => [partner(case), number(case)].concat(),
        Code::UnwindRowMisplaced => [misplaced(case), partner(case)].concat(),
        Code::UnwindCfaLost => partner(case),
        Code::NotGivenBack => partner(case),
        // Where a function has no table or a broken one, one directive does not mend it.
        _ => Vec::new(),
    }
}

/// A CFA: the register that it counts from, and its offset.
type Frame = (&'static str, i32);

/// The table's CFA and the code's, if both are known.
fn frames(case: &Case<'_>) -> Option<(Frame, Frame)> {
    let of = |at: usize| case.finding.states.get(at)?.cfa.as_ref().map(|cfa| (cfa.base, cfa.offset));
    Some((of(0)?, of(1)?))
}

fn line<'a>(case: &Case<'a>, at: usize) -> &'a str {
    case.lines.get(at).copied().unwrap_or_default()
}

/// The directive of a line, without what is before and behind it.
fn directive<'a>(case: &Case<'a>, at: usize) -> Option<&'a str> {
    let text = line(case, at).trim();
    text.starts_with(".cfi_").then_some(text)
}

fn is_instruction(text: &str) -> bool {
    let text = text.trim();
    text.starts_with(|c: char| c.is_ascii_lowercase()) && !text.contains(':')
}

/// The instruction's name without its size, and its operands.
fn parts(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    is_instruction(text).then(|| text.split_once(char::is_whitespace).unwrap_or((text, "")))
}

fn indent(case: &Case<'_>, at: usize) -> String {
    let found: String = line(case, at).chars().take_while(|c| c.is_whitespace()).collect();
    if found.is_empty() { "\t".to_owned() } else { found }
}

/// A register as the file spells it in directives.
fn spelled(case: &Case<'_>, reg: &str) -> String {
    let bare = |line: &&str| line.contains(".cfi_") && line.contains(reg) && !line.contains(&format!("%{reg}"));
    if case.lines.iter().any(bare) { reg.to_owned() } else { format!("%{reg}") }
}

/// Whether the file adjusts the CFA rather than saying its offset.
fn adjusts(case: &Case<'_>) -> bool {
    let has = |what: &str| case.lines.iter().any(|line| line.contains(what));
    has(".cfi_adjust_cfa_offset") || !has(".cfi_def_cfa_offset")
}

fn inserted(case: &Case<'_>, behind: usize, directive: &str) -> Patch {
    Patch::insert(behind + 1, vec![format!("{}{directive}", indent(case, behind))])
}

fn fix(directive: &str, at: usize, patches: Vec<Patch>) -> Fix {
    Fix::new(format!("Insert `{directive}` behind line {}", at + 1), patches)
}

/// By how much an instruction of a line moves rsp, as far as its text shows it.
fn moves(text: &str) -> Option<i32> {
    let (mnemonic, operands) = parts(text)?;
    let number = |text: &str| -> Option<i32> {
        let text = text.trim().trim_start_matches('$');
        let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let value = text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |hex| i32::from_str_radix(hex, 16).ok());
        Some(sign * value?)
    };
    let to_rsp = operands.split(',').next_back().is_some_and(|last| last.trim() == "%rsp");
    match mnemonic {
        "push" | "pushq" | "pushf" | "pushfq" => Some(8),
        "pop" | "popq" | "popf" | "popfq" => Some(-8),
        "sub" | "subq" if to_rsp => number(operands.split(',').next()?),
        "add" | "addq" if to_rsp => number(operands.split(',').next()?).map(|by| -by),
        "lea" | "leaq" if to_rsp => {
            let (number_part, rest) = operands.split_once('(')?;
            rest.trim_start().starts_with("%rsp)").then(|| number(number_part).map(|by| -by))?
        }
        _ => None,
    }
}

/// What follows a line: whether a directive about the CFA does, before the next instruction.
fn is_told(case: &Case<'_>, at: usize) -> bool {
    let behind = (at + 1..case.lines.len()).map_while(|at| (!is_instruction(line(case, at))).then_some(at));
    behind.filter_map(|at| directive(case, at)).any(|text| text.contains("_cfa") || text.contains("_state"))
}

fn untold(case: &Case<'_>) -> Vec<Fix> {
    let mut found = Vec::new();
    let Some(((claimed, table), (base, code))) = frames(case) else { return found };
    if claimed == base {
        found.extend(all_untold(case, table));
        let by = code - table;
        let directive =
            if adjusts(case) { format!(".cfi_adjust_cfa_offset {by}") } else { format!(".cfi_def_cfa_offset {code}") };
        found.push(fix(&directive, case.line, vec![inserted(case, case.line, &directive)]));
    }
    found.extend(by_copy(case));
    found
}

/// Every move from the line on that nothing tells, until they come to nothing together.
fn all_untold(case: &Case<'_>, table: i32) -> Option<Fix> {
    let (mut patches, mut sum) = (Vec::new(), 0);
    for at in (case.line..case.lines.len()).take(MOST_LINES) {
        let text = line(case, at);
        let Some(by) = moves(text).filter(|_| !is_told(case, at)) else {
            if text.contains(".cfi_endproc") || text.contains(".cfi_def_cfa") {
                return None;
            }
            continue;
        };
        sum += by;
        let directive = if adjusts(case) {
            format!(".cfi_adjust_cfa_offset {by}")
        } else {
            format!(".cfi_def_cfa_offset {}", table + sum)
        };
        patches.push(inserted(case, at, &directive));
        if sum == 0 {
            let title = format!(
                "Tell the unwind table of {} moves of the stack, lines {} to {}",
                patches.len(),
                case.line + 1,
                at + 1
            );
            return Some(Fix::new(title, patches));
        }
    }
    None
}

/// A register that has a copy of rsp, from the copy on. While the CFA counts from it, no push is to be told.
fn by_copy(case: &Case<'_>) -> Vec<Fix> {
    for at in (0..=case.line).rev().take(MOST_LINES) {
        let text = line(case, at);
        if text.contains(".cfi_startproc") {
            break;
        }
        let Some((mnemonic, operands)) = parts(text) else { continue };
        let (from, to) = operands.rsplit_once(',').unwrap_or(("", ""));
        let copies = matches!((mnemonic, from.trim()), ("mov" | "movq", "%rsp") | ("lea" | "leaq", "(%rsp)"));
        if let (true, Some(reg)) = (copies, to.trim().strip_prefix('%')) {
            let directive = format!(".cfi_def_cfa_register {}", spelled(case, reg));
            let copy = inserted(case, at, &directive);
            let told = (at + 1..case.lines.len()).take(MOST_LINES).take_while(|&at| {
                let ends =
                    [".cfi_endproc", ".cfi_restore_state", ".cfi_def_cfa ", ".cfi_def_cfa\t", ".cfi_def_cfa_register"];
                !ends.iter().any(|end| line(case, at).contains(end))
            });
            let counts =
                |text: &str| text.starts_with(".cfi_def_cfa_offset") || text.starts_with(".cfi_adjust_cfa_offset");
            let counted: Vec<usize> = told.filter(|&at| directive_is(case, at, counts)).collect();
            let mut fixes = vec![fix(&directive, at, vec![copy.clone()])];
            if !counted.is_empty() {
                let patches = std::iter::once(copy).chain(counted.into_iter().map(Patch::delete)).collect();
                let title = format!("Let the CFA count from {reg} behind line {}, whatever is pushed", at + 1);
                fixes.push(Fix::new(title, patches));
            }
            return fixes;
        }
    }
    Vec::new()
}

fn directive_is(case: &Case<'_>, at: usize, wanted: impl Fn(&str) -> bool) -> bool {
    directive(case, at).is_some_and(wanted)
}

/// The directive about a register that stands at the finding or right before it.
fn directive_about(case: &Case<'_>, reg: &str) -> Option<usize> {
    let near = (case.line.saturating_sub(6)..=case.line).rev();
    let mut about =
        near.filter(|&at| directive(case, at).is_some_and(|text| text.contains("offset") && has_word(text, reg)));
    about.next()
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part == word)
}

fn register(case: &Case<'_>) -> Vec<Fix> {
    let mut found = Vec::new();
    let (Some(table), Some(code)) = (case.finding.states.first(), case.finding.states.get(1)) else { return found };
    // Under another one's name.
    for (reg, _) in code.saved.iter().filter(|(reg, _)| !table.saved.contains_key(*reg)) {
        for other in table.saved.keys() {
            let Some(at) = directive_about(case, other).filter(|_| table.saved.get(other) != code.saved.get(other))
            else {
                continue;
            };
            let text = line(case, at).replacen(other, reg, 1);
            let title = format!("Name {reg} instead of {other} in line {}", at + 1);
            found.push(Fix::new(title, vec![Patch::replace(at, text)]));
        }
    }
    // At another place.
    for (reg, offset) in &code.saved {
        let Some(at) = table.saved.get(reg).filter(|told| *told != offset).and_then(|_| directive_about(case, reg))
        else {
            continue;
        };
        let directive = format!(".cfi_offset {}, {offset}", spelled(case, reg));
        let text = format!("{}{directive}", indent(case, at));
        found.push(Fix::new(format!("Say `{directive}` in line {}", at + 1), vec![Patch::replace(at, text)]));
    }
    // Not at all.
    for cause in &case.causes {
        let saves =
            code.saved.iter().find(|(reg, _)| has_word(cause.instruction, reg) && !table.saved.contains_key(*reg));
        if let Some((reg, offset)) = saves {
            let mut behind = cause.line;
            while directive(case, behind + 1).is_some_and(|text| text.contains("_cfa_offset")) {
                behind += 1;
            }
            let directive = format!(".cfi_offset {}, {offset}", spelled(case, reg));
            found.push(fix(&directive, behind, vec![inserted(case, behind, &directive)]));
        }
    }
    found
}

fn number(case: &Case<'_>) -> Vec<Fix> {
    let mut found = Vec::new();
    let Some(((claimed, table), (base, code))) = frames(case) else { return found };
    let Some(text) = directive(case, case.line).filter(|_| claimed == base) else { return found };
    let behind = |start: &str| text.strip_prefix(start).map(str::trim);
    let instead = if let Some(old) = behind(".cfi_adjust_cfa_offset").and_then(|old| old.parse::<i32>().ok()) {
        format!(".cfi_adjust_cfa_offset {}", old + code - table)
    } else if behind(".cfi_def_cfa_offset").is_some() {
        format!(".cfi_def_cfa_offset {code}")
    } else if let Some((reg, _)) = behind(".cfi_def_cfa").and_then(|rest| rest.split_once(',')) {
        format!(".cfi_def_cfa {}, {code}", reg.trim())
    } else {
        return found;
    };
    let patch = Patch::replace(case.line, format!("{}{instead}", indent(case, case.line)));
    found.push(Fix::new(format!("Say `{instead}` in line {}", case.line + 1), vec![patch]));
    found
}

/// The state remembered before the early way out, and restored behind its end.
fn behind_return(case: &Case<'_>) -> Vec<Fix> {
    let is = |at: usize, names: &[&str]| parts(line(case, at)).is_some_and(|(name, _)| names.contains(&name));
    let Some(end) = (0..=case.line).rev().take(MOST_LINES).find(|&at| is(at, &["ret", "retq", "jmp"])) else {
        return Vec::new();
    };
    // The first directive of the way out: before the instruction that it belongs to.
    let mut first = None;
    for at in (0..end).rev().take(MOST_LINES) {
        let text = line(case, at);
        let branches = parts(text).is_some_and(|(name, _)| name.starts_with('j') || name.starts_with("call"));
        if branches || text.trim().ends_with(':') || text.contains(".cfi_startproc") {
            break;
        }
        if directive(case, at).is_some() {
            first = (0..at).rev().find(|&at| is_instruction(line(case, at)));
        }
    }
    let Some(first) = first else { return Vec::new() };
    // Behind the label that the other path leads to.
    let label = (end + 1..case.lines.len()).take(8).take_while(|&at| !is_instruction(line(case, at)));
    let label = label.filter(|&at| line(case, at).trim().ends_with(':')).last().unwrap_or(end);
    let (remember, restore) = (".cfi_remember_state", ".cfi_restore_state");
    let patches = vec![
        Patch::insert(first, vec![format!("{}{remember}", indent(case, first))]),
        Patch::insert(label + 1, vec![format!("{}{restore}", indent(case, first))]),
    ];
    vec![Fix::new(
        format!("Remember the state before line {}, restore it behind line {}", first + 1, label + 1),
        patches,
    )]
}

/// A register that is put back, and of which the table still says that it is saved.
fn restored(case: &Case<'_>) -> Vec<Fix> {
    let (Some(table), Some(code)) = (case.finding.states.first(), case.finding.states.get(1)) else {
        return Vec::new();
    };
    let gone = table.saved.keys().filter(|reg| !code.saved.contains_key(*reg));
    let fixes = gone.filter_map(|reg| {
        let puts_back = |at: &usize| {
            let (name, operands) = parts(line(case, *at))?;
            let to = operands.rsplit(',').next()?.trim();
            let loads = matches!(name, "pop" | "popq") || operands.contains('(');
            (loads && to.trim_start_matches('%') == *reg).then_some(())
        };
        let mut behind = (0..=case.line).rev().take(MOST_LINES).find(|at| puts_back(at).is_some())?;
        while directive(case, behind + 1).is_some_and(|text| text.contains("_cfa_offset")) {
            behind += 1;
        }
        let directive = format!(".cfi_restore {}", spelled(case, reg));
        Some(fix(&directive, behind, vec![inserted(case, behind, &directive)]))
    });
    fixes.collect()
}

/// A push without its pop, or the other way round: the instruction that is missing, where the directives tell of it, or
/// before the way out.
fn partner(case: &Case<'_>) -> Vec<Fix> {
    let start =
        (0..=case.line).rev().take(MOST_LINES).find(|&at| line(case, at).contains(".cfi_startproc")).unwrap_or(0);
    let ends = |at: &usize| line(case, *at).contains(".cfi_endproc");
    let end = (case.line..case.lines.len()).take(MOST_LINES).find(ends).unwrap_or(case.lines.len());
    let of = |names: [&str; 2]| -> Vec<(usize, String)> {
        let found = (start..end).filter_map(|at| {
            let (name, operands) = parts(line(case, at))?;
            let reg = operands.trim();
            let is_reg = reg.starts_with('%') || !reg.is_empty() && reg.chars().all(|c| c.is_ascii_alphanumeric());
            (names.contains(&name) && is_reg).then(|| (at, reg.to_owned()))
        });
        found.collect()
    };
    let (pushes, pops) = (of(["push", "pushq"]), of(["pop", "popq"]));
    let count = |of: &[(usize, String)], reg: &str| of.iter().filter(|(_, other)| other == reg).count();
    let mut fixes = Vec::new();
    let mut insert = |at: usize, text: String| {
        let patch = Patch::insert(at, vec![format!("{}{text}", indent(case, at))]);
        fixes.push(Fix::new(format!("Insert `{text}` before line {}", at + 1), vec![patch]));
    };
    let is_ending = |at: &usize| parts(line(case, *at)).is_some_and(|(name, _)| matches!(name, "ret" | "retq" | "jmp"));
    // Where a directive tells of what is not done, and before the ways out.
    let told = |sign: &str| -> Vec<usize> {
        let is_told = |at: &usize| {
            let adjusts = |text: &str| {
                text.strip_prefix(".cfi_adjust_cfa_offset").map(|by| by.trim().starts_with('-') == (sign == "-"))
            };
            directive(case, *at).is_some_and(|text| adjusts(text).unwrap_or(text.starts_with(".cfi_def_cfa")))
        };
        let tells = |at: usize| directive(case, at).is_some_and(|text| !text.starts_with(".cfi_startproc"));
        let alone = |at: &usize| !at.checked_sub(1).is_some_and(tells);
        (start..end).filter(is_told).filter(alone).filter(|at| at.abs_diff(case.line) <= 8).collect()
    };
    let mut regs: Vec<&String> = pushes.iter().chain(&pops).map(|(_, reg)| reg).collect();
    regs.sort_unstable();
    regs.dedup();
    for reg in regs {
        let (pushed, popped) = (count(&pushes, reg), count(&pops, reg));
        if pushed > popped {
            let is_long = pushes.iter().any(|&(at, _)| line(case, at).trim().starts_with("pushq"));
            let name = if is_long { "popq" } else { "pop" };
            let endings = (start..end).filter(is_ending);
            for at in told("-").into_iter().chain(endings).take(8) {
                insert(at, format!("{name} {reg}"));
            }
        } else if popped > pushed {
            let is_long = pops.iter().any(|&(at, _)| line(case, at).trim().starts_with("popq"));
            for at in told("+").into_iter().take(8) {
                insert(at, format!("{} {reg}", if is_long { "pushq" } else { "push" }));
            }
        }
    }
    fixes
}

/// The directive to where it belongs: right behind the finding's instruction.
fn misplaced(case: &Case<'_>) -> Vec<Fix> {
    let mut later = (case.line + 1..case.lines.len()).take(8);
    let Some(at) = later.find(|&at| directive(case, at).is_some_and(|text| text.contains("_cfa"))) else {
        return Vec::new();
    };
    let patches = vec![Patch::insert(case.line + 1, vec![line(case, at).to_owned()]), Patch::delete(at)];
    vec![Fix::new(format!("Move the directive of line {} behind line {}", at + 1, case.line + 1), patches)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_shows_how_far_an_instruction_moves_the_stack() {
        let cases = [
            ("\tpushq\t%rbx", Some(8)),
            ("\tpopq %rbx", Some(-8)),
            ("\tsubq\t$0x98, %rsp", Some(0x98)),
            ("\tadd $16, %rsp", Some(-16)),
            ("\tleaq\t-48(%rsp), %rsp", Some(48)),
            ("\tleaq\t-48(%rbp), %rsp", None),
            ("\tsubq\t%rax, %rsp", None),
            ("\tmovq\t%rsp, %rbp", None),
        ];
        for (text, by) in cases {
            assert_eq!(moves(text), by, "{text}");
        }
    }
}
