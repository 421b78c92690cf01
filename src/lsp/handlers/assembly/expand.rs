//! `orcls/expandMacro`: what the macro under the cursor becomes, with the state of the stack before each instruction.
//!
//! In: [`Snapshot`], a position.  Out: the statements, where each is written, and the CFA before those that a verdict on this
//! very text knows.

use serde::Serialize;
use serde_json::Value;

use crate::assembly::expand::{Expansion, expand as expand_statement};
use crate::assembly::lines::pieces;
use crate::report::cfi_rows;
use crate::report::macros::is_written;

use super::super::super::assembly::includes::preprocessed;
use super::super::super::assembly::view::View;
use super::super::super::snapshot::Snapshot;
use super::super::PlaceParams;
use super::super::tables::spots;

/// The answer.
#[derive(Serialize)]
struct Answer {
    /// The macro.
    name: String,
    /// The statement that uses it.
    statement: String,
    /// What it becomes, as text to be shown.
    text: String,
    lines: Vec<Line>,
    /// Whether lines were cut off.
    cut: bool,
}

#[derive(Serialize)]
struct Line {
    text: String,
    depth: usize,
    #[serde(rename = "macro")]
    from: String,
    file: String,
    line: usize,
    cfa: Option<String>,
}

/// `orcls/expandMacro`
pub fn expand_macro(snapshot: &Snapshot, params: &PlaceParams) -> Value {
    answer(snapshot, params).and_then(|answer| serde_json::to_value(answer).ok()).unwrap_or(Value::Null)
}

fn answer(snapshot: &Snapshot, params: &PlaceParams) -> Option<Answer> {
    let view = View::of(snapshot, &params.text_document.uri)?;
    let at = params.position?;
    let source = &view.parsed.source;
    let line = (at.line as usize).min(source.n_lines().saturating_sub(1));
    let first = source.first_of(line);
    let joined = source.joined(first);
    let column = view.document.text.column(at, view.encoding());
    let done = preprocessed(&view);
    let find = |name: &str| view.find_macro(&done, name);
    // The statement under the cursor, else the first of the line that is a macro's.
    let all = pieces(&joined);
    let statements: Vec<_> = all.iter().filter(|piece| !piece.is_label).collect();
    let under = statements.iter().rfind(|piece| line > first || piece.column <= column);
    let tried = under.into_iter().chain(statements.iter());
    let (statement, expansion) =
        tried.into_iter().find_map(|piece| Some((piece.text, expand_statement(piece.text, &find)?)))?;
    let states = states(snapshot, params, &expansion);
    let lines: Vec<Line> = expansion
        .lines
        .iter()
        .zip(states)
        .map(|(one, cfa)| Line {
            text: one.text.clone(),
            depth: one.depth,
            from: one.from.clone(),
            file: one.path.display().to_string(),
            line: one.line + 1,
            cfa,
        })
        .collect();
    let statement = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(Answer {
        text: shown(&statement, &lines, expansion.cut),
        name: expansion.name,
        statement,
        lines,
        cut: expansion.cut,
    })
}

/// The CFA before each statement: the line's instructions are those of the expansion, in its order, as far as they are alike.
fn states(snapshot: &Snapshot, params: &PlaceParams, expansion: &Expansion) -> Vec<Option<String>> {
    let mut states: Vec<Option<String>> = vec![None; expansion.lines.len()];
    let spots = spots(snapshot, &params.text_document.uri, params.position);
    let document = snapshot.documents.get(&params.text_document.uri);
    let Some((spot, document)) = spots.first().zip(document) else { return states };
    let version = document.path.as_deref().and_then(|path| spot.verdict.versions.get(path));
    if version != Some(&document.version) {
        return states;
    }
    let rows = cfi_rows(&spot.anatomy.analysis, &spot.anatomy.lines, &spot.insns());
    let mut next = 0;
    for (line, state) in expansion.lines.iter().zip(&mut states) {
        let found = rows.iter().skip(next).position(|row| is_written(&line.text, &row.text));
        if let Some(row) = found.and_then(|at| rows.get(next + at)) {
            next += found.unwrap_or(0) + 1;
            *state = row.cfa.as_ref().map(|cfa| format!("{}{:+}", cfa.base, cfa.offset));
        }
    }
    states
}

/// The expansion as text: the statements, and beside them where they come from and the CFA where it changes.
fn shown(statement: &str, lines: &[Line], cut: bool) -> String {
    let width = lines.iter().map(|line| 2 * line.depth + line.text.chars().count()).max().unwrap_or(0).min(56);
    let mut text = format!("/* {statement} */\n");
    let (mut last_cfa, mut last_from) = (None, String::new());
    for line in lines {
        let indent = "  ".repeat(line.depth);
        let mut notes: Vec<String> = Vec::new();
        if line.cfa.is_some() && line.cfa != last_cfa {
            notes.extend(line.cfa.as_ref().map(|cfa| format!("cfa = {cfa}")));
            last_cfa.clone_from(&line.cfa);
        }
        if line.from != last_from {
            let file = line.file.rsplit('/').next().unwrap_or_default();
            notes.push(format!("{}, {file}:{}", line.from, line.line));
            last_from.clone_from(&line.from);
        }
        let code = format!("{indent}{}", line.text);
        if notes.is_empty() {
            text.push_str(&format!("\t{code}\n"));
        } else {
            text.push_str(&format!("\t{code:width$}\t/* {} */\n", notes.join("; ")));
        }
    }
    if cut {
        text.push_str("\t/* ... cut off */\n");
    }
    text
}
