//! What `--disas` adds: functions with their alternatives, and the state before every instruction.
//!
//! In: an analysed object, a pattern of names.  Out: text; with `--wide` the arms of an alternative stand side by side.
//! Holds afterwards: every decoded instruction of a function whose name fits is shown once, replacements at the place that
//! they may be patched into.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::judge::Object;
use crate::report::{self, AlternativeGroup, CfiRow, Select};

/// The functions whose names fit the pattern.
pub(super) fn disassembly(object: &Object, pattern: &str, wide: bool) -> String {
    let everything = Select::default();
    let mut rows = report::CfiRows::new(&object.analysis, &object.lines, &everything).peekable();
    let groups = report::alternatives(&object.name, &object.analysis, &object.lines, &everything).groups;
    let groups: BTreeMap<(&str, u64), &AlternativeGroup> =
        groups.iter().map(|group| ((group.section.as_str(), group.offset), group)).collect();
    let mut text = String::new();
    while let Some(first) = rows.next() {
        let (section, name) = (first.section.clone(), first.function.clone());
        let wanted = name.as_deref().filter(|name| fits(pattern, name));
        let mut part = vec![first];
        while let Some(row) = rows.next_if(|row| (&row.section, &row.function) == (&section, &name)) {
            part.extend(wanted.map(|_| row));
        }
        if let Some(name) = wanted {
            let _ = writeln!(text, "{name}: {} {section}", object.name);
            function(name, &part, &groups, wide, &mut text);
            text.push('\n');
        }
    }
    text
}

fn function(
    name: &str,
    rows: &[CfiRow],
    groups: &BTreeMap<(&str, u64), &AlternativeGroup>,
    wide: bool,
    text: &mut String,
) {
    let start = rows.first().map_or(0, |row| row.offset);
    let mut line = None;
    let mut patched_to = 0;
    for row in rows.iter() {
        let group = groups.get(&(row.section.as_str(), row.offset));
        if row.offset < patched_to && group.is_none() {
            continue;
        }
        if let (Some(file), Some(number)) = (&row.file, row.line)
            && line.replace((file, number)) != Some((file, number))
        {
            let _ = writeln!(text, "{file}:{number}");
        }
        let place = format!("{name}+{:#x}", row.offset - start);
        if let Some(group) = group {
            patched_to = row.offset.saturating_add(u64::from(group.length));
            let _ = writeln!(text, "{:>6x}:  {place}  <alternative of {} bytes>", row.offset, group.length);
            if wide {
                side_by_side(group, text)
            } else {
                one_below_another(group, text)
            }
            continue;
        }
        let saved: Vec<String> = row.saved.iter().map(|(register, offset)| format!("{register}@{offset:+}")).collect();
        let cfa = row.cfa.as_ref().map_or_else(|| "?".to_owned(), |cfa| format!("{}{:+}", cfa.base, cfa.offset));
        let row = format!("{:>6x}:  {place:<32}  {:<44}  {cfa:<8} {}", row.offset, row.text, saved.join(" "));
        let _ = writeln!(text, "{}", row.trim_end());
    }
}

/// The arms as columns.
fn side_by_side(group: &AlternativeGroup, text: &mut String) {
    let cell = |row: &report::alternatives::Row, at: usize| row.cells.get(at).cloned().flatten().unwrap_or_default();
    let width = |at: usize, name: &str| {
        group.rows.iter().map(|row| cell(row, at).chars().count()).chain([name.chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = group.arms.iter().enumerate().map(|(at, arm)| width(at, &arm.name)).collect();
    let columns = |cells: &mut dyn Iterator<Item = String>| {
        cells.zip(&widths).map(|(cell, width)| format!("| {cell:<width$} ")).collect::<String>()
    };
    let heads = columns(&mut group.arms.iter().map(|arm| arm.name.clone()));
    let _ = writeln!(text, "{:>6}   {heads}|", "");
    for row in &group.rows {
        let cells = columns(&mut (0..widths.len()).map(|at| cell(row, at)));
        let at = group.offset.saturating_add(u64::from(row.offset));
        let _ = writeln!(text, "{at:>6x}:  {cells}| {}", state(row));
    }
}

/// The arms one after another.
fn one_below_another(group: &AlternativeGroup, text: &mut String) {
    for (at, arm) in group.arms.iter().enumerate() {
        let _ = writeln!(text, "{:>6}   = {} ({} bytes)", "", arm.name, arm.length);
        for row in &group.rows {
            if let Some(insn) = row.cells.get(at).and_then(Option::as_ref) {
                let place = group.offset.saturating_add(u64::from(row.offset));
                let line = format!("{place:>6x}:  | {insn:<76}  {}", state(row));
                let _ = writeln!(text, "{}", line.trim_end());
            }
        }
    }
}

fn state(row: &report::alternatives::Row) -> String {
    let state = row.state.as_deref().unwrap_or("?");
    if row.conflict { format!("{state} (the arms disagree)") } else { state.to_owned() }
}

/// Whether a name fits a pattern of the shell's (POSIX, 2.13 Pattern Matching Notation).
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of) = (0, 0);
    // Where the last star was, and what it has taken in so far.
    let mut star: Option<(usize, usize)> = None;
    while let Some(&c) = name.get(of) {
        if pattern.get(at) == Some(&'*') {
            star = Some((at, of));
            at += 1;
        } else if let Some(length) = pattern.get(at..).and_then(|rest| one(rest, c)) {
            at += length;
            of += 1;
        } else if let Some((star_at, taken)) = &mut star {
            *taken += 1;
            (at, of) = (*star_at + 1, *taken);
        } else {
            return false;
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|c| *c == '*')
}

/// How much of the pattern stands for the character.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['\\', escaped, ..] => (*escaped == c).then_some(2),
        ['[', rest @ ..] => {
            let negated = matches!(rest.first(), Some('!' | '^'));
            let inner = rest.get(usize::from(negated)..).unwrap_or_default();
            // A bracket that is first is one of the set.
            let Some(end) = inner.iter().skip(1).position(|c| *c == ']').map(|end| end + 1) else {
                return (c == '[').then_some(1);
            };
            let set = inner.get(..end).unwrap_or_default();
            let mut has = false;
            let mut at = 0;
            while let Some(&first) = set.get(at) {
                let range =
                    set.get(at + 1..at + 3).and_then(|range| if range[0] == '-' { Some(range[1]) } else { None });
                has |= range.map_or(first == c, |last| (first..=last).contains(&c));
                at += if range.is_some() { 3 } else { 1 };
            }
            (has != negated).then_some(1 + usize::from(negated) + end + 1)
        }
        [literal, ..] => (*literal == c).then_some(1),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns_are_those_of_the_shell() {
        for (pattern, name) in [
            ("*", "f"),
            ("f", "f"),
            ("*_irq*", "do_irq_x"),
            ("a?c*", "abcd"),
            ("[a-c]x", "bx"),
            ("[!a-c]x", "dx"),
            ("*.part.[0-9]", "f.part.0"),
            ("\\*", "*"),
            ("a*b*c", "aXbYbZc"),
            ("[", "["),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("f", "ff"), ("f?", "f"), ("[!a]", "a"), ("a*b", "abc"), ("", "f"), ("*x", "y")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }
}
