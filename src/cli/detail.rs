//! What `--trace`, `--disas` and `--stats` add to the findings of an object.
//!
//! In: an analysed object.  Out: text: how the state changes along a function; how much of everything there is.

use std::fmt::Write as _;

use super::disassembly::disassembly;
use super::judge::Object;
use crate::options::Options;
use crate::report::{CfiRows, Select};

/// The text, empty where neither was asked for.
pub(crate) fn detail(object: &Object, options: &Options) -> String {
    let mut text = String::new();
    if let Some(function) = &options.trace {
        trace(object, function, &mut text);
    }
    if let Some(pattern) = &options.disas {
        text.push_str(&disassembly(object, pattern, options.wide));
    }
    if options.stats {
        stats(object, &mut text);
    }
    text
}

/// Each instruction of a function, with the state behind it where it changes.
fn trace(object: &Object, function: &str, text: &mut String) {
    let select = Select { function: Some(function.to_owned()), at: None };
    let rows = CfiRows::new(&object.analysis, &object.lines, &select);
    if rows.len() == 0 {
        return;
    }
    let _ = writeln!(text, "{}: {function}:", object.name);
    for row in rows {
        let _ = write!(text, "  {:>6x}  {:<40}", row.offset, row.text);
        match (&row.cfa, &row.cfa_after) {
            (None, _) => text.push_str("  not reached, or no state"),
            (Some(before), Some(after)) if before != after => {
                let _ = write!(text, "  cfa {}{:+} -> {}{:+}", before.base, before.offset, after.base, after.offset);
            }
            _ => {}
        }
        for (register, offset) in row.saved_after.iter().filter(|(register, _)| !row.saved.contains_key(*register)) {
            let _ = write!(text, "  {register} saved at cfa{offset:+}");
        }
        for register in row.saved.keys().filter(|register| !row.saved_after.contains_key(*register)) {
            if row.cfa_after.is_some() {
                let _ = write!(text, "  {register} restored");
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
}

fn stats(object: &Object, text: &mut String) {
    let analysis = &object.analysis;
    let numbers = [
        ("sections", analysis.image.sections.len()),
        ("symbols", analysis.image.symbols.len()),
        ("instructions", analysis.insns.n_real()),
        ("alternative streams", analysis.flow.groups().count()),
        ("distinct states", analysis.states.n_states()),
        ("ORC rows", analysis.orc().map_or(0, |table| table.rows.len())),
    ];
    let parts: Vec<String> = numbers.iter().map(|(what, n)| format!("{n} {what}")).collect();
    let _ = writeln!(text, "{}: {}", object.name, parts.join(", "));
}
