//! Lines of naked functions, of which rustc tells the debug info nothing (rust-lang/rust#152456).
//!
//! In: the functions of an object that no line is known of, the texts of its crate.  Out: [`TextRow`]s: each instruction
//! on its line of `naked_asm!`, where the template spells as many as the function has, else on the line of `fn`.
//! Holds afterwards: a function is placed only where one text alone defines a naked function of its name.

use std::sync::Arc;

use crate::analysis::Analysis;
use crate::ids::{CodeLoc, InsnId, SymbolId};
use crate::image::STT_FUNC;
use crate::mangled;
use crate::source_map::{SourceMap, TextRow};

use super::asm::{Statement, same_mnemonic, template};
use crate::decode::Disassembler;

/// A text of the crate: the file's name, and what is in it.
pub type SourceText = (Arc<str>, Arc<str>);

/// The functions of the object without any line; none where no Rust compiler made it.
pub fn unplaced(analysis: &Analysis, map: Option<&SourceMap>) -> Vec<SymbolId> {
    let image = &analysis.image;
    if !is_rust_object(analysis) {
        return Vec::new();
    }
    let functions = image.symbols().filter(|(_, symbol)| symbol.kind == STT_FUNC && !symbol.is_undefined());
    let has_line = |at| map.and_then(|map| map.place(at)).is_some_and(|place| place.line.is_some());
    functions
        .filter(|(_, symbol)| image.section(symbol.section).is_code())
        .filter(|(_, symbol)| !has_line(CodeLoc::new(symbol.section, symbol.value)))
        .map(|(id, _)| id)
        .collect()
}

/// Whether rustc made the object: it names its file after the unit, `CRATE.HASH-cgu.N`.
pub fn is_rust_object(analysis: &Analysis) -> bool {
    crate_name(analysis).is_some()
}

/// The crate that the object is made of.
pub fn crate_name(analysis: &Analysis) -> Option<&str> {
    let image = &analysis.image;
    let files = image.symbols().filter(|(_, symbol)| symbol.kind == crate::image::STT_FILE);
    files.map(|(id, _)| image.symbol_name(id)).find(|name| name.contains("-cgu."))?.split('.').next()
}

/// The lines of `functions` by the texts.
pub fn rows(analysis: &Analysis, functions: &[SymbolId], texts: &[SourceText]) -> Vec<TextRow> {
    let disassembler = Disassembler::new(&analysis.image);
    let mut rows = Vec::new();
    for &id in functions {
        let path = mangled::plain(analysis.image.symbol_name(id));
        let name = path.rsplit("::").next().unwrap_or(&path);
        let mut found = texts.iter().filter_map(|(file, text)| Some((file, text, definition(text, name)?)));
        let (Some((file, text, at)), None) = (found.next(), found.next()) else { continue };
        let insns = of_function(analysis, id);
        let statements = text[at..].find("naked_asm!").map(|inner| template(text, at + inner)).unwrap_or_default();
        let matches = statements.len() == insns.len()
            && insns
                .iter()
                .zip(&statements)
                .all(|(&insn, statement)| same_mnemonic(&disassembler.text(&analysis.insns, insn), statement.text));
        let fn_line = text[..at].matches('\n').count() as u32 + 1;
        for (index, &insn) in insns.iter().enumerate() {
            let written: Option<&Statement<'_>> = statements.get(index).filter(|_| matches);
            let end = u64::from(analysis.insns.get(insn).end());
            let line = written.map_or(fn_line, |statement| statement.line);
            rows.push(TextRow { start: analysis.insns.loc(insn), end, file: Arc::clone(file), line });
        }
    }
    rows
}

fn of_function(analysis: &Analysis, id: SymbolId) -> Vec<InsnId> {
    let (insns, symbol) = (&analysis.insns, analysis.image.symbol(id));
    let first = insns.at(CodeLoc::new(symbol.section, symbol.value));
    let end = symbol.value.saturating_add(symbol.size);
    let onwards = std::iter::successors(first, |&insn| insns.next_in_section(insn));
    onwards.take_while(|&insn| u64::from(insns.get(insn).offset) < end).collect()
}

/// Where `fn NAME` of a naked function is in a text; `None` where there is no such one, or more than one.
fn definition(text: &str, name: &str) -> Option<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let defines = |at: &usize| {
        let (before, rest) = (&text[..*at], &text[*at + "fn ".len()..]);
        let after = rest.trim_start().strip_prefix(name);
        !before.ends_with(is_word)
            && after.is_some_and(|after| !after.starts_with(is_word))
            && before.lines().last().is_some_and(|line| !line.trim_start().starts_with("//"))
            && is_naked(before)
    };
    let mut found = text.match_indices("fn ").map(|(at, _)| at).filter(defines);
    let at = found.next()?;
    found.next().is_none().then_some(at)
}

/// Whether the attributes before a function, up to what is before it, make it a naked one.
fn is_naked(before: &str) -> bool {
    let end = before.rfind([';', '}']).map_or(0, |at| at + 1);
    before[end..].contains("naked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_naked_function_of_the_name_is_found() {
        let text = "fn go() {}\n#[unsafe(naked)]\npub extern \"C\" fn go_on(x: u8) {}\n// naked fn go_on()\n";
        assert_eq!(definition(text, "go"), None);
        assert_eq!(definition(text, "go_on").map(|at| &text[at..at + 8]), Some("fn go_on"));
        assert_eq!(definition("#[naked] fn a() {}\nmod b { #[naked] fn a() {} }", "a"), None);
    }
}
