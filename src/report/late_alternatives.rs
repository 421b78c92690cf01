//! The lines of alternatives in C whose streams are padding and `.byte`, as those of `stac()` were up to 6.12, in objects
//! whose rows can be late.
//!
//! In: the first rows of units whose rows can be late, the texts of C.  Out: what says the line of such an alternative.
//! Holds afterwards: it has the line of its own statement, or none.
//! Reads like: "GNU as", `.loc` (nothing is written for padding and `.byte`, so the row is at the alternative's end); the
//! kernel's `arch/x86/include/asm/smap.h`.
//!
//! Both the row behind such an alternative and the one before it can be its statement's. The text decides: of the two
//! statements it is the one that rather writes an alternative. Where neither is, it has no line.

use std::sync::Arc;

use super::asm_lines::{Texts, is_name};
use super::shown::{Rows, Shown};
use crate::analysis::Analysis;
use crate::assembly::is_assembly_name;
use crate::decode::Kind;
use crate::ids::CodeLoc;
use crate::source_map::FirstRow;

/// So many lines of a statement are read.
const LONGEST: usize = 8;

/// How a statement looks: the later, the rather it writes an alternative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Looks {
    /// It writes no assembly.
    Plain,
    /// An `asm()` or a macro.
    Assembly,
    Alternative,
}

/// Looks such lines up.
pub(super) struct LateAlternatives<'a> {
    rows: &'a Rows<'a>,
    texts: Texts<'a>,
}

impl<'a> LateAlternatives<'a> {
    pub(super) fn of(rows: &'a Rows<'a>) -> LateAlternatives<'a> {
        LateAlternatives { rows, texts: Texts::of(rows.texts) }
    }

    /// Whether the code is padding alone, in a unit whose rows can be late, without a row that can be its own but one of
    /// its start.
    pub(super) fn is_late(&self, analysis: &Analysis, start: CodeLoc, end: CodeLoc) -> bool {
        if self.rows.first.is_empty() {
            return false;
        }
        let insns = &analysis.insns;
        let Some(last) = end.offset.checked_sub(1).map(|offset| CodeLoc { offset, ..end }) else { return false };
        let row = self.rows.map.row_start(last);
        let is_of_unit = row.is_some_and(|row| self.first(row).is_some()) || self.first(end).is_some();
        let is_c = row
            .and_then(|row| self.rows.map.place(row))
            .is_none_or(|place| !is_assembly_name(place.file.as_ref().as_ref()));
        let mut code = std::iter::successors(insns.containing(start), |&insn| insns.next_in_section(insn))
            .take_while(|&insn| insns.loc(insn).offset < end.offset);
        is_of_unit && is_c && row.is_none_or(|row| row <= start) && code.all(|insn| insns.get(insn).kind == Kind::Nop)
    }

    /// What says the line of the alternative from `start` to `end`, if it is not the row before.
    pub(super) fn shown(&mut self, start: CodeLoc, end: CodeLoc) -> Option<Shown> {
        let rows = self.rows;
        let before = rows.map.row_start(start).and_then(|row| rows.map.place(row));
        let of_before = match &before {
            Some(place) => self.looks(&place.file, place.line?),
            None => Looks::Plain,
        };
        let Some(behind) = self.first(end) else {
            let unknown = |file| Shown::Text { file, line: None };
            return before.filter(|_| of_before == Looks::Plain).map(|place| unknown(place.file));
        };
        let of_behind = self.looks(&behind.file, behind.line);
        let is_one = before.is_some_and(|place| place.file == behind.file && place.line == Some(behind.line));
        let file = Arc::clone(&behind.file);
        match of_behind.cmp(&of_before) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => Some(Shown::Text { file, line: is_one.then_some(behind.line) }),
            std::cmp::Ordering::Greater => Some(Shown::Text { file, line: Some(behind.line) }),
        }
    }

    fn first(&self, at: CodeLoc) -> Option<&'a FirstRow> {
        let rows: &'a [FirstRow] = self.rows.first;
        rows.binary_search_by_key(&at, |row| row.at).ok().and_then(|index| rows.get(index))
    }

    /// How the statement looks that begins in a line, from 1.
    fn looks(&mut self, file: &Arc<str>, line: u32) -> Looks {
        let Some(text) = self.texts.get(file) else { return Looks::Plain };
        let mut statement = String::new();
        for line in text.lines_from((line as usize).saturating_sub(1)).take(LONGEST) {
            statement.push_str(line);
            statement.push(' ');
            if line.contains(';') {
                break;
            }
        }
        let looks = statement.split(|c: char| !is_name(c)).map(looks_of_word);
        looks.max().unwrap_or(Looks::Plain)
    }
}

fn looks_of_word(word: &str) -> Looks {
    if word.to_ascii_lowercase().starts_with("alternative") || matches!(word, "ASM_STAC" | "ASM_CLAC") {
        return Looks::Alternative;
    }
    let is_macro = word.len() > 2 && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    match is_macro || matches!(word, "asm" | "__asm__" | "__asm" | "asm_inline") {
        true => Looks::Assembly,
        false => Looks::Plain,
    }
}
