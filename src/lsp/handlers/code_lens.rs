//! Code lenses: how deep the stack of a function gets and how many ORC rows it has; the tables of its alternatives.
//!
//! In: [`Snapshot`], a document.  Out: lenses whose commands the client's extension knows.

use serde_json::json;
use tower_lsp::lsp_types::*;

use crate::assembly::is_assembly_name;
use crate::report::summary::{is_padding, words_of};
use crate::report::{Select, alternatives, demangled};

use super::super::snapshot::Snapshot;
use super::super::to_proto::Placer;
use super::tables::spots;
use super::unwind;

/// The lines that a head of C may take.
const MAX_HEAD: usize = 16;

/// The lenses of a document.
pub fn code_lens(snapshot: &Snapshot, params: &CodeLensParams) -> Option<Vec<CodeLens>> {
    let uri = &params.text_document.uri;
    let (document, _) = snapshot.unit(uri)?;
    let path = document.path.as_deref()?;
    let Some(spot) = spots(snapshot, uri, None).into_iter().next() else {
        return unwind::code_lens(snapshot, params);
    };
    let (analysis, lines) = (&spot.anatomy.analysis, &spot.anatomy.lines);
    let placer = Placer { snapshot, verdict: spot.verdict };
    let mut lenses = Vec::new();
    let lines_of_text: Vec<&str> = document.text.as_str().lines().collect();
    let outline = is_assembly_name(path).then(|| document.parsed());
    for summary in spot.anatomy.functions().iter().filter(|summary| !is_padding(&summary.function)) {
        let (Some(file), Some(line)) = (&summary.file, summary.line) else { continue };
        if placer.file(file) != path {
            continue;
        }
        // Above the head, where assembly writes the name, and not above its first instruction.
        let head = outline.as_ref().and_then(|parsed| {
            let all = parsed.outline.named(&summary.function);
            all.filter(|found| found.kind.is_symbol()).map(|found| found.line).next()
        });
        let range = match head.and_then(|head| u32::try_from(head).ok()) {
            Some(head) => document.text.visible(head + 1, None, snapshot.session.encoding),
            None => {
                let range = placer.range(path, line, None);
                let name = demangled(&summary.function);
                match head_in_c(&lines_of_text, range.start.line as usize, &name).and_then(|at| u32::try_from(at).ok())
                {
                    Some(head) => document.text.visible(head + 1, None, snapshot.session.encoding),
                    None => range,
                }
            }
        };
        let title = format!("{}: {}", demangled(&summary.function), words_of(summary));
        lenses.push(lens(range, title, "orcls.showCfi", uri));
    }
    let mut shown: Option<u32> = None;
    for group in alternatives("", analysis, lines, &Select::default()).groups {
        let (Some(file), Some(line)) = (&group.file, group.line) else { continue };
        if placer.file(file) != path || shown.replace(line) == Some(line) {
            continue;
        }
        let conflict = group.rows.iter().any(|row| row.conflict);
        let title = format!("{} arms{}", group.arms.len(), if conflict { ", in conflict" } else { "" });
        lenses.push(lens(placer.range(path, line, None), title, "orcls.showAlternatives", uri));
    }
    Some(lenses)
}

/// The line in which C writes the head of the function whose code begins at a line: in the kernel's style that is the line of
/// the brace. Without a head of that name, as macros that define functions have it, the line at the margin above the brace.
fn head_in_c(lines: &[&str], first: usize, name: &str) -> Option<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let at_margin = |line: &str| line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let names_it = |line: &str| {
        line.match_indices(name)
            .any(|(at, _)| !line[..at].ends_with(is_word) && line[at + name.len()..].trim_start().starts_with('('))
    };
    let above = || {
        let all = (0..=first).rev().take(MAX_HEAD).filter_map(|at| Some((at, *lines.get(at)?)));
        // What ends there is another function.
        all.take_while(|(at, line)| *at == first || !line.starts_with('}'))
    };
    let named = above().find(|(_, line)| at_margin(line) && names_it(line));
    let brace = lines.get(first).is_some_and(|line| line.starts_with('{'));
    named.or_else(|| above().find(|(_, line)| brace && at_margin(line))).map(|(at, _)| at)
}

fn lens(range: Range, title: String, command: &str, uri: &Url) -> CodeLens {
    let arguments = vec![json!(uri), json!(range.start)];
    CodeLens {
        range,
        command: Some(Command { title, command: command.to_owned(), arguments: Some(arguments) }),
        data: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_of_c_is_where_its_name_is() {
        let text = "int before(void)\n{\n}\n\nstatic long\nsum(int one,\n    int two)\n{\n\treturn sum(1, 2);\n}\n\nSYSCALL_DEFINE1(kill, int,\n\t\tpid)\n{\n}\nint x(void) { return y(); }\n";
        let lines: Vec<&str> = text.lines().collect();
        for (first, name, head) in [
            (1, "before", Some(0)),
            (7, "sum", Some(5)),
            (5, "sum", Some(5)),
            (8, "sum", Some(5)),
            (13, "__do_sys_kill", Some(11)),
            (15, "x", Some(15)),
            // Code of another file's macro, and a line that is gone.
            (8, "other", None),
            (99, "sum", None),
        ] {
            assert_eq!(head_in_c(&lines, first, name), head, "{name} at {first}");
        }
    }
}
